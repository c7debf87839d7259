//! A leaf: header, tags (hash maps only) and items in one allocation.
//!
//! ```text
//! | header 24 | capacity 4 | tags: capacity rounded up to 16, if T is tagged | pad | items: capacity x T |
//! ```
//!
//! Items `0..len` are initialised, and so are all tags. A reference to the front of an allocation may not be used to
//! reach the rest of it, so a leaf is handled through [`LeafRef`] and [`LeafMut`], which hold the pointer itself.
#![expect(unsafe_code, reason = "a length-prefixed allocation with inline items")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::marker::PhantomData;
use std::mem::size_of;
use std::ptr::{self, NonNull};

use super::header::Header;
use super::tags::{self, GROUP};

/// The fixed front of a leaf.
#[repr(C)]
pub(super) struct LeafHead {
    pub(super) header: Header,
    capacity: u32,
}

/// Bits of the changed-items mask; items share a bit when a leaf can hold more of them.
pub(crate) const MASK_BITS: u32 = 32;

/// How many items (as a power of two) share one bit of the mask in leaves of up to `capacity` items.
pub(crate) const fn mask_shift(capacity: usize) -> u32 {
    let mut shift = 0;
    while capacity > (MASK_BITS as usize) << shift {
        shift += 1;
    }
    shift
}

/// The mask that marks item `index`, and past the last bit everything.
#[inline]
fn mask_of(index: usize, shift: u32) -> u32 {
    let bit = index >> shift;
    if bit < MASK_BITS as usize { 1 << bit } else { u32::MAX }
}

fn layout<T>(capacity: usize, tagged: bool) -> (Layout, usize) {
    let tags = if tagged { capacity.next_multiple_of(GROUP) } else { 0 };
    let size = size_of::<LeafHead>() + tags;
    Layout::from_size_align(size, align_of::<LeafHead>())
        .and_then(|front| front.extend(Layout::array::<T>(capacity)?))
        .map(|(layout, items)| (layout.pad_to_align(), items))
        .unwrap_or_else(|_| panic!("capacity overflow: a leaf of {capacity} items"))
}

/// A leaf that somebody keeps alive for `'a`.
pub(crate) struct LeafRef<'a, T> {
    pub(super) head: NonNull<LeafHead>,
    _life: PhantomData<&'a T>,
}

impl<T> Clone for LeafRef<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for LeafRef<'_, T> {}

// SAFETY: a LeafRef is a `&'a` to a leaf: shared access to its `T`s and to an atomic header.
unsafe impl<T: Sync> Send for LeafRef<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for LeafRef<'_, T> {}

impl<'a, T> LeafRef<'a, T> {
    /// # Safety
    /// `head` must be a live leaf of `T` for all of `'a`, not mutated meanwhile.
    #[inline]
    pub(super) unsafe fn new(head: NonNull<LeafHead>) -> Self {
        Self { head, _life: PhantomData }
    }

    /// The node's header.
    #[inline]
    pub(crate) fn header(self) -> &'a Header {
        // SAFETY: alive for 'a by construction; only the head's own bytes are referenced.
        unsafe { &(*self.head.as_ptr()).header }
    }

    /// Number of items.
    #[inline]
    pub(crate) fn len(self) -> usize {
        self.header().len as usize
    }

    /// Items that fit without a new allocation.
    #[inline]
    pub(crate) fn capacity(self) -> usize {
        // SAFETY: alive by construction.
        unsafe { (*self.head.as_ptr()).capacity as usize }
    }

    /// The items.
    #[inline]
    pub(crate) fn items(self, tagged: bool) -> &'a [T] {
        // SAFETY: items 0..len are initialised and nobody mutates them during 'a.
        unsafe { std::slice::from_raw_parts(items_ptr(self.head, tagged), self.len()) }
    }

    /// Position of the first item whose tag is `tag` and that `is` it.
    #[inline]
    pub(crate) fn find(self, tag: u8, mut is: impl FnMut(&T) -> bool) -> Option<usize> {
        let items = self.items(true);
        // SAFETY: the tag area follows the head and is padded to whole groups, all initialised.
        let tags: &[[u8; GROUP]] =
            unsafe { std::slice::from_raw_parts(tags_ptr(self.head).cast(), items.len().div_ceil(GROUP)) };
        // Two groups a step, without asking whether there are two: the last one is looked at twice where it is odd.
        for first in (0..tags.len()).step_by(2) {
            let second = (first + 1).min(tags.len() - 1);
            let in_second = tags::matches(&tags[second], tag) << ((second - first) * GROUP);
            let mut found = tags::matches(&tags[first], tag) | in_second;
            while found != 0 {
                let position = first * GROUP + found.trailing_zeros() as usize;
                match items.get(position) {
                    Some(item) if is(item) => return Some(position),
                    Some(_) => found &= found - 1,
                    None => break, // tags past the last item are left over from earlier ones
                }
            }
        }
        None
    }

    /// The tags of the items.
    pub(crate) fn tags(self) -> &'a [u8] {
        // SAFETY: all tags are initialised.
        unsafe { std::slice::from_raw_parts(tags_ptr(self.head), self.len()) }
    }

    /// Bytes of the allocation.
    pub(crate) fn allocated_bytes(self, tagged: bool) -> usize {
        layout::<T>(self.capacity(), tagged).0.size()
    }
}

/// A leaf that the caller alone can reach.
pub(crate) struct LeafMut<'a, T> {
    head: NonNull<LeafHead>,
    _life: PhantomData<&'a mut T>,
}

fn tags_ptr(head: NonNull<LeafHead>) -> *mut u8 {
    // SAFETY: the tag area follows the head within the allocation.
    unsafe { head.as_ptr().add(1).cast() }
}

#[inline]
fn items_ptr<T>(head: NonNull<LeafHead>, tagged: bool) -> *mut T {
    // The same sum as in `layout`, without its checks: this is on the path of every look-up.
    // SAFETY: the head is alive.
    let capacity = unsafe { (*head.as_ptr()).capacity as usize };
    let tags = if tagged { (capacity + GROUP - 1) & !(GROUP - 1) } else { 0 };
    let align = align_of::<T>();
    let offset = (size_of::<LeafHead>() + tags + align - 1) & !(align - 1);
    // SAFETY: the offset at which `layout` put the items of this allocation.
    unsafe { head.as_ptr().cast::<u8>().add(offset).cast() }
}

impl<'a, T> LeafMut<'a, T> {
    /// # Safety
    /// `head` must be a live leaf of `T` that nobody else can reach during `'a`.
    #[inline]
    pub(super) unsafe fn new(head: NonNull<LeafHead>) -> Self {
        Self { head, _life: PhantomData }
    }

    /// Reads through this exclusive access.
    #[inline]
    pub(crate) fn as_ref(&self) -> LeafRef<'_, T> {
        LeafRef { head: self.head, _life: PhantomData }
    }

    pub(super) fn header_mut(&mut self) -> &mut Header {
        // SAFETY: exclusive by construction; only the head's own bytes are referenced.
        unsafe { &mut (*self.head.as_ptr()).header }
    }

    /// Whether another item fits without a new allocation.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.as_ref().len() < self.as_ref().capacity()
    }

    /// Marks the items `from..to` changed.
    #[inline]
    pub(crate) fn touch(&mut self, from: usize, to: usize, shift: u32) {
        let bits = match (from >> shift, to.wrapping_sub(1) >> shift) {
            _ if from >= to => 0,
            (_, last) if last >= MASK_BITS as usize => u32::MAX,
            (first, last) => u32::MAX << first & u32::MAX >> (MASK_BITS as usize - 1 - last),
        };
        self.header_mut().touch(bits);
    }

    /// The item at `index`, marked changed.
    #[inline]
    pub(crate) fn item_mut(self, index: usize, tagged: bool, shift: u32) -> &'a mut T {
        let mut this = self;
        assert!(index < this.as_ref().len());
        this.header_mut().touch(mask_of(index, shift));
        // SAFETY: initialised (checked above), and exclusively ours for 'a.
        unsafe { &mut *items_ptr::<T>(this.head, tagged).add(index) }
    }

    /// All items, marked changed.
    pub(crate) fn into_items_mut(self, tagged: bool) -> &'a mut [T] {
        let mut this = self;
        this.header_mut().touch(u32::MAX);
        // SAFETY: items 0..len are initialised, and exclusively ours for 'a.
        unsafe { std::slice::from_raw_parts_mut(items_ptr(this.head, tagged), this.as_ref().len()) }
    }

    /// The items `from..to`, marked changed (leaves without tags).
    pub(crate) fn into_range_mut(self, from: usize, to: usize, shift: u32) -> &'a mut [T] {
        let mut this = self;
        assert!(from <= to && to <= this.as_ref().len());
        this.touch(from, to, shift);
        // SAFETY: items 0..len are initialised, and exclusively ours for 'a.
        unsafe { std::slice::from_raw_parts_mut(items_ptr::<T>(this.head, false).add(from), to - from) }
    }

    /// Inserts `item` at `index` and moves those after it; there must be room. `tag` is kept by tagged leaves,
    /// which only ever append.
    pub(crate) fn insert(&mut self, index: usize, item: T, tag: Option<u8>, shift: u32) {
        let len = self.as_ref().len();
        assert!(index <= len && self.has_room() && (tag.is_none() || index == len));
        self.touch(index, len + 1, shift);
        // SAFETY: there is room for len + 1 items; those at index.. move up by one, then index is free to write.
        unsafe {
            let place = items_ptr::<T>(self.head, tag.is_some()).add(index);
            ptr::copy(place, place.add(1), len - index);
            place.write(item);
            if let Some(tag) = tag {
                tags_ptr(self.head).add(index).write(tag);
            }
        }
        self.header_mut().len += 1;
    }

    /// Appends `item`; there must be room (leaves without tags).
    #[inline]
    pub(crate) fn push(&mut self, item: T, shift: u32) {
        let len = self.as_ref().len();
        assert!(len < self.as_ref().capacity());
        self.header_mut().touch(mask_of(len, shift));
        // SAFETY: there is room for one more item, which is counted right after it is written.
        unsafe { items_ptr::<T>(self.head, false).add(len).write(item) };
        self.header_mut().len += 1;
    }

    /// Takes the last item out (leaves without tags).
    #[inline]
    pub(crate) fn pop(&mut self, shift: u32) -> Option<T> {
        let last = self.as_ref().len().checked_sub(1)?;
        // A mask group that stays partly filled changed its length, one that is left empty is told by the count.
        self.header_mut().touch(if last & ((1 << shift) - 1) != 0 { mask_of(last, shift) } else { 0 });
        self.header_mut().len -= 1;
        // SAFETY: the last item is initialised and no longer counted.
        Some(unsafe { items_ptr::<T>(self.head, false).add(last).read() })
    }

    /// Takes out the item at `index` and moves the last one into its place (tagged leaves).
    pub(crate) fn swap_remove(&mut self, index: usize, shift: u32) -> T {
        let last = self.as_ref().len().checked_sub(1).expect("an item to remove");
        assert!(index <= last);
        self.header_mut().len -= 1;
        self.touch(index, index + usize::from(index < last), shift);
        self.touch_end(shift);
        // SAFETY: index and last were initialised; len no longer counts the last, so nothing is dropped twice.
        unsafe {
            let items = items_ptr::<T>(self.head, true);
            let item = items.add(index).read();
            if index < last {
                ptr::copy_nonoverlapping(items.add(last), items.add(index), 1);
                *tags_ptr(self.head).add(index) = *tags_ptr(self.head).add(last);
            }
            item
        }
    }

    /// Takes out the item at `index` and moves those after it down (leaves without tags).
    pub(crate) fn remove(&mut self, index: usize, shift: u32) -> T {
        let len = self.as_ref().len();
        assert!(index < len);
        self.header_mut().len -= 1;
        self.touch(index, len - 1, shift);
        self.touch_end(shift);
        // SAFETY: index was initialised, those after it move down by one; len was lowered first.
        unsafe {
            let place = items_ptr::<T>(self.head, false).add(index);
            let item = place.read();
            ptr::copy(place.add(1), place, len - 1 - index);
            item
        }
    }

    /// Marks a last, partly filled mask group: its bytes changed because its length did.
    fn touch_end(&mut self, shift: u32) {
        let len = self.as_ref().len();
        let partial = len & ((1 << shift) - 1) != 0;
        self.touch(len - usize::from(partial), len, shift);
    }

    /// Moves the items `from..` to the end of `other`, which must have room for them (leaves without tags).
    pub(crate) fn move_tail(&mut self, from: usize, other: &mut LeafMut<'_, T>, shift: u32) {
        let (len, other_len) = (self.as_ref().len(), other.as_ref().len());
        assert!(from <= len && other_len + (len - from) <= other.as_ref().capacity());
        other.touch(other_len, other_len + (len - from), shift);
        self.header_mut().len = from as u32;
        self.touch_end(shift);
        // SAFETY: initialised items move to free room of another leaf; both lengths are set so that each item is
        // counted once, and no user code runs in between.
        unsafe {
            ptr::copy_nonoverlapping(
                items_ptr::<T>(self.head, false).add(from),
                items_ptr::<T>(other.head, false).add(other_len),
                len - from,
            );
        }
        other.header_mut().len += (len - from) as u32;
    }

    /// Moves the items `..to` to the front of nothing: returns them to the caller through `take`, in order, and
    /// closes the gap (leaves without tags).
    pub(crate) fn move_head(&mut self, to: usize, other: &mut LeafMut<'_, T>, shift: u32) {
        let (len, other_len) = (self.as_ref().len(), other.as_ref().len());
        assert!(to <= len && other_len + to <= other.as_ref().capacity());
        other.touch(other_len, other_len + to, shift);
        self.header_mut().len = (len - to) as u32;
        self.touch(0, len - to, shift);
        // SAFETY: as in `move_tail`, and what stays moves down to the front.
        unsafe {
            let items = items_ptr::<T>(self.head, false);
            ptr::copy_nonoverlapping(items, items_ptr::<T>(other.head, false).add(other_len), to);
            ptr::copy(items.add(to), items, len - to);
        }
        other.header_mut().len += to as u32;
    }
}

/// A leaf owned outside any tree, being built or taken apart. Dropping it drops its items.
pub(crate) struct OwnedLeaf<T> {
    head: NonNull<LeafHead>,
    tagged: bool,
    _own: PhantomData<T>,
}

impl<T> OwnedLeaf<T> {
    /// Allocates an empty leaf with room for `capacity` items.
    ///
    /// # Panics
    /// When the capacity overflows `u32` or the address space.
    pub(crate) fn with_capacity(capacity: usize, tagged: bool) -> Self {
        let (layout, _) = layout::<T>(capacity, tagged);
        assert!(u32::try_from(capacity).is_ok(), "capacity overflow: a leaf of {capacity} items");
        // SAFETY: the layout is never empty (it has a head).
        let Some(head) = NonNull::new(unsafe { alloc(layout) }.cast::<LeafHead>()) else {
            handle_alloc_error(layout)
        };
        // SAFETY: freshly allocated for a head and the tag area after it.
        unsafe {
            head.write(LeafHead { header: Header::fresh(), capacity: capacity as u32 });
            if tagged {
                tags_ptr(head).write_bytes(0, capacity.next_multiple_of(GROUP));
            }
        }
        Self { head, tagged, _own: PhantomData }
    }

    /// # Safety
    /// `head` must be a leaf that the caller owns alone and gives up.
    pub(super) unsafe fn from_raw(head: NonNull<LeafHead>, tagged: bool) -> Self {
        Self { head, tagged, _own: PhantomData }
    }

    pub(super) fn into_raw(self) -> NonNull<LeafHead> {
        let head = self.head;
        std::mem::forget(self);
        head
    }

    /// Reads the leaf.
    #[inline]
    pub(crate) fn as_ref(&self) -> LeafRef<'_, T> {
        LeafRef { head: self.head, _life: PhantomData }
    }

    /// Changes the leaf.
    #[inline]
    pub(crate) fn as_mut(&mut self) -> LeafMut<'_, T> {
        LeafMut { head: self.head, _life: PhantomData }
    }

    /// Appends an item; there must be room.
    #[inline]
    pub(crate) fn push(&mut self, item: T, tag: Option<u8>) {
        debug_assert_eq!(tag.is_some(), self.tagged);
        let len = self.as_ref().len();
        assert!(len < self.as_ref().capacity());
        // SAFETY: there is room for one more item (and its tag).
        unsafe {
            items_ptr::<T>(self.head, self.tagged).add(len).write(item);
            if let Some(tag) = tag {
                tags_ptr(self.head).add(len).write(tag);
            }
            (*self.head.as_ptr()).header.len += 1;
        }
    }

    /// Takes the last item out.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.as_ref().len().checked_sub(1)?;
        // SAFETY: the last item is initialised and no longer counted after this.
        unsafe {
            (*self.head.as_ptr()).header.len -= 1;
            Some(items_ptr::<T>(self.head, self.tagged).add(last).read())
        }
    }

    /// Moves all items of `other` to the end of this leaf, which must have room; they are marked changed.
    pub(crate) fn append(&mut self, other: Self, shift: u32) {
        let (len, more) = (self.as_ref().len(), other.as_ref().len());
        assert!(len + more <= self.as_ref().capacity() && self.tagged == other.tagged);
        self.as_mut().touch(len, len + more, shift);
        // SAFETY: there is room for `more` items (and tags); `other` forgets them in the same step.
        unsafe {
            ptr::copy_nonoverlapping(
                items_ptr::<T>(other.head, self.tagged),
                items_ptr::<T>(self.head, self.tagged).add(len),
                more,
            );
            if self.tagged {
                ptr::copy_nonoverlapping(tags_ptr(other.head), tags_ptr(self.head).add(len), more);
            }
            (*self.head.as_ptr()).header.len += more as u32;
            (*other.head.as_ptr()).header.len = 0;
        }
    }

    /// Moves the items into two fresh leaves of these capacities, in order: into the second those whose index `is_high`
    /// (tagged leaves).
    pub(crate) fn divided(
        self,
        is_high: impl Fn(usize) -> bool,
        low_capacity: usize,
        high_capacity: usize,
    ) -> (Self, Self) {
        let len = self.as_ref().len();
        let mut leaves = [low_capacity, high_capacity].map(|capacity| Self::with_capacity(capacity, true));
        // SAFETY: every item moves to one of the two, whose room is checked and which counts it at once; `self` forgets
        // them all first, so a panic in between leaks and frees nothing twice.
        unsafe {
            (*self.head.as_ptr()).header.len = 0;
            for index in 0..len {
                let leaf = &mut leaves[usize::from(is_high(index))];
                leaf.push(
                    items_ptr::<T>(self.head, true).add(index).read(),
                    Some(*tags_ptr(self.head).add(index)),
                );
            }
        }
        let [low, high] = leaves;
        (low, high)
    }

    /// Moves everything, identity included, into an allocation of another capacity.
    pub(crate) fn resized(self, capacity: usize) -> Self {
        let len = self.as_ref().len();
        assert!(capacity >= len);
        let bigger = Self::with_capacity(capacity, self.tagged);
        // SAFETY: `len` items (and tags) fit; they are bitwise moved, and `self` forgets them before it is dropped.
        unsafe {
            ptr::copy_nonoverlapping(
                items_ptr::<T>(self.head, self.tagged),
                items_ptr::<T>(bigger.head, self.tagged),
                len,
            );
            if self.tagged {
                ptr::copy_nonoverlapping(tags_ptr(self.head), tags_ptr(bigger.head), len);
            }
            let header = &mut (*bigger.head.as_ptr()).header;
            header.inherit(&(*self.head.as_ptr()).header);
            header.len = len as u32;
            header.level = (*self.head.as_ptr()).header.level;
            (*self.head.as_ptr()).header.len = 0;
        }
        bigger
    }

    /// Copies a leaf that others hold too, to change the copy: dirty against the same record.
    pub(super) fn copy_of(leaf: LeafRef<'_, T>, tagged: bool) -> Self
    where
        T: Clone,
    {
        /// Counts what was cloned, also when the next clone panics: the leaf then drops just these.
        struct Made(NonNull<LeafHead>, usize);
        impl Drop for Made {
            fn drop(&mut self) {
                // SAFETY: the copy outlives this guard; only its head is touched.
                unsafe { (*self.0.as_ptr()).header.len = self.1 as u32 }
            }
        }
        let copy = Self::with_capacity(leaf.capacity(), tagged);
        let mut made = Made(copy.head, 0);
        for (index, item) in leaf.items(tagged).iter().enumerate() {
            // SAFETY: same capacity, so there is room for every item; counted right after it is written.
            unsafe { items_ptr::<T>(copy.head, tagged).add(index).write(item.clone()) };
            made.1 = index + 1;
        }
        drop(made);
        // SAFETY: both tag areas have the same size; a live head is replaced by a plain value.
        unsafe {
            if tagged {
                ptr::copy_nonoverlapping(tags_ptr(leaf.head), tags_ptr(copy.head), leaf.len());
            }
            (*copy.head.as_ptr()).header = leaf.header().copied();
        }
        copy
    }
}

impl<T> Drop for OwnedLeaf<T> {
    fn drop(&mut self) {
        struct Free(NonNull<LeafHead>, Layout);
        impl Drop for Free {
            fn drop(&mut self) {
                // SAFETY: allocated with this layout, and nothing uses it any more.
                unsafe { dealloc(self.0.as_ptr().cast(), self.1) }
            }
        }
        // Freed also when dropping an item panics.
        let _free = Free(self.head, layout::<T>(self.as_ref().capacity(), self.tagged).0);
        // SAFETY: items 0..len are initialised and never touched again.
        unsafe {
            ptr::drop_in_place(ptr::slice_from_raw_parts_mut(
                items_ptr::<T>(self.head, self.tagged),
                self.as_ref().len(),
            ));
        }
    }
}
