//! A leaf: header, tags (hash maps only) and items in one allocation.
//!
//! ```text
//! | header 24 | capacity 4 | tags: capacity rounded up to 32, if T is tagged | pad | items: capacity x T |
//! ```
//!
//! Items `0..len` are initialised, and so are all tags. A reference to the front of an allocation may not be used to
//! reach the rest of it, so a leaf is handled through [`LeafRef`] and [`LeafMut`], which hold the pointer itself.
#![expect(unsafe_code, reason = "a length-prefixed allocation with inline items")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error, realloc};
use std::marker::PhantomData;
use std::mem::size_of;
use std::ptr::{self, NonNull};

use super::header::{Header, Identity};
use super::mask::{mask_between, mask_of};
use super::tags::{self, GROUP};

/// The fixed front of a leaf.
#[repr(C)]
pub(super) struct LeafHead {
    pub(super) header: Header,
    capacity: u32,
}

/// Where the items of a leaf begin, in bytes from its front.
#[inline]
fn items_offset<T>(capacity: usize, tagged: bool) -> usize {
    // Not `next_multiple_of`, which asks whether the sum overflows: this is on the path of every look-up.
    let tags = if tagged { (capacity + GROUP - 1) & !(GROUP - 1) } else { 0 };
    (size_of::<LeafHead>() + tags + align_of::<T>() - 1) & !(align_of::<T>() - 1)
}

/// How a leaf with room for `capacity` items is allocated.
///
/// # Panics
/// When that overflows `u32` or the address space.
#[inline]
fn layout<T>(capacity: usize, tagged: bool) -> Layout {
    let align = const {
        if align_of::<T>() > align_of::<LeafHead>() { align_of::<T>() } else { align_of::<LeafHead>() }
    };
    let items = u32::try_from(capacity).ok().and_then(|_| capacity.checked_mul(size_of::<T>()));
    items
        .and_then(|items| items.checked_add(items_offset::<T>(capacity, tagged)))
        .and_then(|size| Layout::from_size_align(size, align).ok())
        .unwrap_or_else(|| panic!("capacity overflow: a leaf of {capacity} items"))
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

    /// The first item whose tag is `tag` and that `is` it, and its position (tagged leaves).
    #[inline]
    pub(crate) fn find(self, tag: u8, mut is: impl FnMut(&T) -> bool) -> Option<(usize, &'a T)> {
        let items = self.items(true);
        let mut first = 0;
        while first < items.len() {
            // SAFETY: the tag area follows the head, is padded to whole groups, and all of it is initialised.
            let group = unsafe { &*tags_ptr(self.head).add(first).cast::<[u8; GROUP]>() };
            let mut found = tags::matches(group, tag);
            while found != 0 {
                let position = first + found.trailing_zeros() as usize;
                match items.get(position) {
                    Some(item) if is(item) => return Some((position, item)),
                    Some(_) => found &= found - 1,
                    None => break, // tags past the last item are left over from earlier ones
                }
            }
            first += GROUP;
        }
        None
    }

    /// The tags of the items.
    pub(crate) fn tags(self) -> &'a [u8] {
        // SAFETY: all tags are initialised.
        unsafe { std::slice::from_raw_parts(tags_ptr(self.head), self.len()) }
    }

    /// The tags of the first items, and behind them whatever was there before (tagged leaves).
    #[inline]
    pub(crate) fn first_tags(self) -> &'a [u8; GROUP] {
        if self.capacity() == 0 {
            return &[0; GROUP];
        }
        // SAFETY: the tag area follows the head, is padded to whole groups, and all of it is initialised.
        unsafe { &*tags_ptr(self.head).cast::<[u8; GROUP]>() }
    }

    /// Bytes of the allocation.
    pub(crate) fn allocated_bytes(self, tagged: bool) -> usize {
        layout::<T>(self.capacity(), tagged).size()
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
    // SAFETY: the head is alive.
    let capacity = unsafe { (*head.as_ptr()).capacity as usize };
    let offset = items_offset::<T>(capacity, tagged);
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
        self.header_mut().touch(mask_between(from, to, shift));
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

    /// Inserts `item` at `index` and moves those after it; there must be room (leaves without tags).
    pub(crate) fn insert(&mut self, index: usize, item: T, shift: u32) {
        let len = self.as_ref().len();
        assert!(index <= len && self.has_room());
        self.touch(index, len + 1, shift);
        // SAFETY: there is room for len + 1 items; those at index.. move up by one, then index is free to write.
        unsafe {
            let place = items_ptr::<T>(self.head, false).add(index);
            ptr::copy(place, place.add(1), len - index);
            place.write(item);
        }
        self.header_mut().len += 1;
    }

    /// Appends `item`, and its tag in a tagged leaf; there must be room.
    #[inline]
    pub(crate) fn push(&mut self, item: T, tag: Option<u8>, shift: u32) {
        let len = self.as_ref().len();
        assert!(self.has_room());
        self.header_mut().touch(mask_of(len, shift));
        // SAFETY: there is room for one more item (and its tag), which is counted right after it is written.
        unsafe {
            items_ptr::<T>(self.head, tag.is_some()).add(len).write(item);
            if let Some(tag) = tag {
                tags_ptr(self.head).add(len).write(tag);
            }
        }
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

// SAFETY: an OwnedLeaf is a `Vec<T>`: it owns its items, and a header that nobody else reaches.
unsafe impl<T: Send> Send for OwnedLeaf<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for OwnedLeaf<T> {}

impl<T> OwnedLeaf<T> {
    /// Allocates an empty leaf with room for `capacity` items.
    ///
    /// # Panics
    /// When the capacity overflows `u32` or the address space.
    pub(crate) fn with_capacity(capacity: usize, tagged: bool) -> Self {
        let layout = layout::<T>(capacity, tagged);
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

    /// Appends an item to a leaf that no record holds, and marks nothing changed: [`LeafMut::push`] is for others. There must
    /// be room.
    #[inline]
    pub(crate) fn push(&mut self, item: T, tag: Option<u8>) {
        debug_assert!(tag.is_some() == self.tagged && self.as_ref().header().identity() == Identity::Fresh);
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
        let leaves = [low_capacity, high_capacity].map(|capacity| Self::with_capacity(capacity, true));
        let mut moved = [0; 2];
        // SAFETY: every item moves to one of the two, whose room is checked. `self` forgets them all first and they are
        // counted at the end, so a panic in between leaks and frees nothing twice.
        unsafe {
            (*self.head.as_ptr()).header.len = 0;
            for index in 0..len {
                let side = usize::from(is_high(index));
                let (leaf, at) = (&leaves[side], moved[side]);
                assert!(at < leaf.as_ref().capacity());
                let item = items_ptr::<T>(self.head, true).add(index);
                ptr::copy_nonoverlapping(item, items_ptr::<T>(leaf.head, true).add(at), 1);
                *tags_ptr(leaf.head).add(at) = *tags_ptr(self.head).add(index);
                moved[side] = at + 1;
            }
            for (leaf, moved) in leaves.iter().zip(moved) {
                (*leaf.head.as_ptr()).header.len = moved as u32;
            }
        }
        let [low, high] = leaves;
        (low, high)
    }

    /// Moves everything, identity included, into an allocation of another capacity.
    ///
    /// # Panics
    /// As [`with_capacity`](Self::with_capacity).
    pub(crate) fn resized(mut self, capacity: usize) -> Self {
        let (len, old) = (self.as_ref().len(), self.as_ref().capacity());
        assert!(capacity >= len);
        if items_offset::<T>(old, self.tagged) != items_offset::<T>(capacity, self.tagged) {
            return self.moved(capacity);
        }
        let (layout, new) = (layout::<T>(old, self.tagged), layout::<T>(capacity, self.tagged));
        // SAFETY: allocated with `layout`; head, tags and items keep their places, and `len` items fit the new size too.
        unsafe {
            let Some(head) = NonNull::new(realloc(self.head.as_ptr().cast(), layout, new.size())) else {
                handle_alloc_error(new)
            };
            self.head = head.cast();
            (*self.head.as_ptr()).capacity = capacity as u32;
        }
        self
    }

    /// [`resized`](Self::resized) where the items come to lie elsewhere, behind more tags or fewer.
    #[cold]
    fn moved(self, capacity: usize) -> Self {
        let len = self.as_ref().len();
        let moved = Self::with_capacity(capacity, self.tagged);
        // SAFETY: `len` items (and tags) fit; they are bitwise moved, and `self` forgets them before it is dropped.
        unsafe {
            ptr::copy_nonoverlapping(
                items_ptr::<T>(self.head, self.tagged),
                items_ptr::<T>(moved.head, self.tagged),
                len,
            );
            if self.tagged {
                ptr::copy_nonoverlapping(tags_ptr(self.head), tags_ptr(moved.head), len);
            }
            let header = &mut (*moved.head.as_ptr()).header;
            header.inherit(&(*self.head.as_ptr()).header);
            header.len = len as u32;
            header.level = (*self.head.as_ptr()).header.level;
            (*self.head.as_ptr()).header.len = 0;
        }
        moved
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
        let items = items_ptr::<T>(copy.head, tagged);
        let mut made = Made(copy.head, 0);
        for (index, item) in leaf.items(tagged).iter().enumerate() {
            // SAFETY: same capacity, so there is room for every item; counted right after it is written.
            unsafe { items.add(index).write(item.clone()) };
            // Where nothing is to be dropped nothing need be counted: cloning plain items is one copy of memory.
            if std::mem::needs_drop::<T>() {
                made.1 = index + 1;
            }
        }
        drop(made);
        // SAFETY: both tag areas have the same size; a live head is replaced by a plain value.
        unsafe {
            if tagged {
                ptr::copy_nonoverlapping(tags_ptr(leaf.head), tags_ptr(copy.head), leaf.len());
            }
            (*copy.head.as_ptr()).header = leaf.header().copied();
            (*copy.head.as_ptr()).header.count_copy();
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
        let _free = Free(self.head, layout::<T>(self.as_ref().capacity(), self.tagged));
        // SAFETY: items 0..len are initialised and never touched again.
        unsafe {
            ptr::drop_in_place(ptr::slice_from_raw_parts_mut(
                items_ptr::<T>(self.head, self.tagged),
                self.as_ref().len(),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mask::{MASK_BITS, mask_shift};
    use super::*;
    use crate::record::{Address, Tag};

    #[repr(align(64))]
    struct Wide(#[expect(dead_code, reason = "for its size")] [u8; 64]);

    #[repr(align(64))]
    struct WideNothing;

    #[repr(align(4096))]
    struct Page(#[expect(dead_code, reason = "for its size")] u8);

    fn lies_within<T>() {
        for capacity in (0..=600).chain([4095, 4096, 1 << 20, u32::MAX as usize]) {
            for tagged in [false, true] {
                let (layout, offset) = (layout::<T>(capacity, tagged), items_offset::<T>(capacity, tagged));
                let tags = if tagged { capacity.next_multiple_of(GROUP) } else { 0 };
                let front = size_of::<LeafHead>() + tags;
                assert!(offset >= front && offset - front < align_of::<T>(), "{capacity} {tagged}");
                assert_eq!(offset % align_of::<T>(), 0);
                assert_eq!(layout.size(), offset + capacity * size_of::<T>());
                assert!(layout.align() >= align_of::<T>().max(align_of::<LeafHead>()).max(8));
                // A group of tags that begins at an item lies within the tags.
                let last_group = capacity.saturating_sub(1) / GROUP * GROUP;
                assert!(!tagged || capacity == 0 || last_group + GROUP <= tags);
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic")]
    fn items_and_tags_of_every_capacity_lie_within_the_allocation() {
        lies_within::<()>();
        lies_within::<u8>();
        lies_within::<[u8; 3]>();
        lies_within::<u16>();
        lies_within::<u32>();
        lies_within::<(u64, u8)>();
        lies_within::<u128>();
        lies_within::<Wide>();
        lies_within::<WideNothing>();
        lies_within::<Page>();
        lies_within::<[Page; 3]>();
        lies_within::<[u8; 1000]>();
    }

    /// Of every capacity into every other: items, tags and identity stay.
    fn moves_whole<T: PartialEq + std::fmt::Debug>(tagged: bool, item: impl Fn(usize) -> T) {
        let capacities = if cfg!(miri) { &[1, 32, 33][..] } else { &[1, 2, 31, 32, 33, 64, 65] };
        for (old, new) in capacities.iter().flat_map(|&old| capacities.iter().map(move |&new| (old, new))) {
            let len = if cfg!(miri) { old.min(new).min(3) } else { old.min(new) };
            let mut leaf = OwnedLeaf::with_capacity(old, tagged);
            (0..len).for_each(|n| leaf.push(item(n), tagged.then_some(n as u8)));
            let (tag, address) = (Tag::of_test(7), Address::new(1, 2));
            leaf.as_ref().header().set_clean(tag, address, 3);
            let leaf = leaf.resized(new);
            assert_eq!((leaf.as_ref().len(), leaf.as_ref().capacity()), (len, new));
            assert_eq!(leaf.as_ref().header().identity(), Identity::Clean(7, address));
            assert!(leaf.as_ref().items(tagged).iter().enumerate().all(|(n, found)| *found == item(n)));
            assert!(!tagged || leaf.as_ref().tags().iter().enumerate().all(|(n, &tag)| tag == n as u8));
            // Every group of tags can be looked at, also past the last item.
            assert!(!tagged || leaf.as_ref().find(200, |_| true).is_none());
        }
    }

    #[test]
    fn a_leaf_moves_whole_from_any_capacity_to_any_other() {
        for tagged in [false, true] {
            moves_whole(tagged, |_| ());
            moves_whole(tagged, |n| n as u8);
            moves_whole(tagged, |n| n.to_string());
            moves_whole(tagged, |n| (n as u128, n as u8));
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic")]
    fn a_capacity_that_overflows_is_refused() {
        let refused = |call: fn() -> Layout| std::panic::catch_unwind(call).is_err();
        assert!(refused(|| layout::<u8>(1 << 32, false)));
        assert!(refused(|| layout::<[u64; 1 << 40]>(u32::MAX as usize, true)));
        assert_eq!(layout::<()>(u32::MAX as usize, false).size(), size_of::<LeafHead>());
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic")]
    fn masks_name_every_item_and_no_bit_too_many() {
        for shift in 0..4 {
            let most = 40 << shift;
            for index in 0..most {
                let bit = index >> shift;
                assert_eq!(mask_of(index, shift), if bit < 32 { 1 << bit } else { u32::MAX });
            }
            for from in 0..most {
                let mut naive = 0;
                for to in from..most {
                    assert_eq!(mask_between(from, to, shift), naive, "{from}..{to} by {shift}");
                    naive |= mask_of(to, shift);
                }
            }
            assert_eq!(mask_between(7, 3, shift), 0);
        }
        for capacity in 1..5000 {
            let shift = mask_shift(capacity);
            assert!((capacity - 1) >> shift < MASK_BITS as usize, "every item has a bit of its own group");
            assert!(
                shift == 0 || capacity > (MASK_BITS as usize) << (shift - 1),
                "groups are no larger than need be"
            );
        }
    }
}
