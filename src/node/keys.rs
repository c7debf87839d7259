//! The separators of a branch: at most one fewer than its slots.
//!
//! Numbers and the like lie inline, so that a look-up reads them where it is. Others are shared by the copies of a branch:
//! a copy on write would else clone every separator on its path, and separators seldom change. What is large is shared as
//! well: room for it inline would be there, and copied, in the branches of strings too.
#![expect(
    unsafe_code,
    reason = "an array of which a part is initialised; a union chosen by the type of the keys"
)]

use std::mem::{ManuallyDrop, MaybeUninit, needs_drop};
use std::ops::Range;
use std::ptr;
use std::sync::Arc;

use super::branch::SLOTS;

const MOST: usize = SLOTS - 1;

/// Up to `SLOTS - 1` keys, in order: `shared` if [`SHARED`](Keys::SHARED), else `inline`.
pub(crate) union Keys<K> {
    /// Holds an `Array<K>`: no type can say that it is as large as that, but not where it is not used.
    inline: Room,
    shared: ManuallyDrop<Arc<Array<K>>>,
}

/// Room for an `Array` of keys of 8 bytes.
type Room = MaybeUninit<[u64; MOST + 1]>;

impl<K> Keys<K> {
    /// Whether copies share their keys until one of them calls [`own`](Self::own).
    pub(crate) const SHARED: bool = needs_drop::<K>()
        || size_of::<Array<K>>() > size_of::<Room>()
        || align_of::<Array<K>>() > align_of::<Room>();

    /// No keys.
    pub(crate) fn new() -> Self {
        match Self::SHARED {
            true => Self { shared: ManuallyDrop::new(Arc::new(Array::new())) },
            false => Self::inline(Array::new()),
        }
    }

    #[inline]
    fn inline(array: Array<K>) -> Self {
        let mut inline = Room::uninit();
        // SAFETY: large and aligned enough, since the keys are not shared.
        unsafe { inline.as_mut_ptr().cast::<Array<K>>().write(array) };
        Self { inline }
    }

    #[inline]
    fn array(&self) -> &Array<K> {
        // SAFETY: every constructor writes the field that `SHARED` says, and into the room an array.
        unsafe { if Self::SHARED { &self.shared } else { &*self.inline.as_ptr().cast() } }
    }

    /// # Panics
    /// When the keys are shared: `own` makes them ours, before anything has changed.
    fn array_mut(&mut self) -> &mut Array<K> {
        // SAFETY: as in `array`.
        unsafe {
            match Self::SHARED {
                true => Arc::get_mut(&mut self.shared).expect("keys are made ours before they change"),
                false => &mut *self.inline.as_mut_ptr().cast(),
            }
        }
    }

    /// Lets no copy share these keys any more. Clones them if one did.
    #[inline]
    pub(crate) fn own(&mut self)
    where
        K: Clone,
    {
        if Self::SHARED {
            // SAFETY: as in `array`.
            Arc::make_mut(unsafe { &mut self.shared });
        }
    }

    /// Returns whether no copy shares these keys, so that `own` clones none.
    pub(crate) fn are_own(&self) -> bool {
        // SAFETY: as in `array`. There are no weak references.
        !Self::SHARED || Arc::strong_count(unsafe { &self.shared }) == 1
    }

    /// The allocation that copies share, if these keys are shared: where it is, and its bytes.
    pub(crate) fn shared(&self) -> Option<(*const (), usize)> {
        let counts_bytes = 2 * size_of::<usize>();
        Self::SHARED.then(|| (ptr::from_ref(self.array()).cast(), counts_bytes + size_of::<Array<K>>()))
    }

    /// All of them.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[K] {
        self.array().as_slice()
    }

    /// Puts a key at `at`; those from there on move up. There must be room.
    ///
    /// # Panics
    /// As all changes, when the keys are shared.
    pub(crate) fn insert(&mut self, at: usize, key: K) {
        self.array_mut().insert(at, key);
    }

    /// Takes the key at `at` out; those after it move down.
    pub(crate) fn remove(&mut self, at: usize) -> K {
        self.array_mut().remove(at)
    }

    /// Moves the keys `range` of `other` to `at` here; those from there on move up. There must be room.
    pub(crate) fn take(&mut self, at: usize, other: &mut Self, range: Range<usize>) {
        self.array_mut().take(at, other.array_mut(), range);
    }
}

impl<K: Clone> Clone for Keys<K> {
    #[inline]
    fn clone(&self) -> Self {
        match Self::SHARED {
            // SAFETY: as in `array`.
            true => Self { shared: unsafe { self.shared.clone() } },
            false => Self::inline(self.array().clone()),
        }
    }
}

impl<K> Drop for Keys<K> {
    fn drop(&mut self) {
        if Self::SHARED {
            // SAFETY: as in `array`; it is not used again. (What is inline needs no drop.)
            unsafe { ManuallyDrop::drop(&mut self.shared) }
        }
    }
}

/// Keys, of which the first `len` are initialised.
struct Array<K> {
    len: usize,
    keys: [MaybeUninit<K>; MOST],
}

impl<K> Array<K> {
    #[inline]
    fn new() -> Self {
        Self { len: 0, keys: [const { MaybeUninit::uninit() }; MOST] }
    }

    #[inline]
    fn as_slice(&self) -> &[K] {
        // SAFETY: the first `len` are initialised, and len is at most MOST.
        unsafe { std::slice::from_raw_parts(self.keys.as_ptr().cast(), self.len) }
    }

    fn insert(&mut self, at: usize, key: K) {
        assert!(at <= self.len && self.len < MOST);
        // SAFETY: those from `at` on move up by one, within the array; then `at` is free to write.
        unsafe {
            let place = self.keys.as_mut_ptr().add(at);
            ptr::copy(place, place.add(1), self.len - at);
            (*place).write(key);
        }
        self.len += 1;
    }

    fn remove(&mut self, at: usize) -> K {
        assert!(at < self.len);
        self.len -= 1;
        // SAFETY: it was initialised; those after it move down by one, and are counted once.
        unsafe {
            let place = self.keys.as_mut_ptr().add(at);
            let key = (*place).assume_init_read();
            ptr::copy(place.add(1), place, self.len - at);
            key
        }
    }

    fn take(&mut self, at: usize, other: &mut Self, range: Range<usize>) {
        assert!(at <= self.len && range.start <= range.end && range.end <= other.len);
        let count = range.end - range.start;
        assert!(self.len + count <= MOST);
        // SAFETY: what is moved is initialised, and counted by one of the two only; both gaps lie within the arrays.
        // No user code runs in between.
        unsafe {
            let (here, there) = (self.keys.as_mut_ptr().add(at), other.keys.as_mut_ptr().add(range.start));
            ptr::copy(here, here.add(count), self.len - at);
            ptr::copy_nonoverlapping(there, here, count);
            ptr::copy(there.add(count), there, other.len - range.end);
        }
        self.len += count;
        other.len -= count;
    }
}

impl<K: Clone> Clone for Array<K> {
    fn clone(&self) -> Self {
        let mut copy = Self::new();
        // If a clone panics, `copy` drops those made so far.
        for (place, key) in copy.keys.iter_mut().zip(self.as_slice()) {
            place.write(key.clone());
            copy.len += 1;
        }
        copy
    }
}

impl<K> Drop for Array<K> {
    fn drop(&mut self) {
        // SAFETY: the first `len` are initialised and never touched again.
        unsafe {
            ptr::drop_in_place(ptr::slice_from_raw_parts_mut(self.keys.as_mut_ptr().cast::<K>(), self.len))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[test]
    fn keys_move_and_are_dropped_once() {
        let counted = Rc::new(());
        let mut left = Keys::new();
        (0..MOST).for_each(|n| left.insert(n, (n, Rc::clone(&counted))));
        let mut right = left.clone();
        assert_eq!(Rc::strong_count(&counted), MOST + 1, "copies share");
        left.own();
        right.own();
        assert_eq!(Rc::strong_count(&counted), 2 * MOST + 1);
        assert_eq!(right.remove(1).0, 1);
        drop((left.remove(MOST - 1), left.remove(0)));
        let mut numbers = Keys::new();
        numbers.take(0, &mut right, 0..2);
        numbers.take(1, &mut left, 0..1);
        let of = |keys: &Keys<(usize, Rc<()>)>| keys.as_slice().iter().map(|key| key.0).collect::<Vec<_>>();
        assert_eq!(of(&numbers), [0, 1, 2]);
        assert_eq!(of(&left), (2..MOST - 1).collect::<Vec<_>>());
        assert_eq!(of(&right), (3..MOST).collect::<Vec<_>>());
        drop((left, right, numbers));
        assert_eq!(Rc::strong_count(&counted), 1);
    }

    /// Inserts and removes at every place; what is there is what a `Vec` has.
    fn behaves_as_a_vec<K: Clone + PartialEq + std::fmt::Debug>(of: impl Fn(usize) -> K) {
        let (mut keys, mut model) = (Keys::new(), Vec::new());
        for n in 0..MOST {
            keys.insert(n * 7 % (n + 1), of(n));
            model.insert(n * 7 % (n + 1), of(n));
            assert_eq!(keys.as_slice(), model);
        }
        let copy = keys.clone();
        keys.own();
        for n in (0..MOST).rev() {
            assert_eq!(keys.remove(n * 5 % (n + 1)), model.remove(n * 5 % (n + 1)));
            assert_eq!(keys.as_slice(), model);
        }
        assert_eq!(copy.as_slice().len(), MOST);
    }

    #[test]
    fn keys_of_every_size_behave_as_a_vec() {
        behaves_as_a_vec(|_| ());
        behaves_as_a_vec(|n| n as u8);
        behaves_as_a_vec(|n| (n as u8, n as u16));
        behaves_as_a_vec(|n| [n as u8; 7]);
        behaves_as_a_vec(|n| n as u64);
        behaves_as_a_vec(|n| [n as u8; 9]);
        behaves_as_a_vec(|n| (n as u64, n));
        behaves_as_a_vec(|n| n as u128);
        behaves_as_a_vec(|n| n.to_string());
    }

    #[test]
    fn only_what_is_small_and_plain_lies_inline() {
        const { assert!(!Keys::<u64>::SHARED && !Keys::<[u8; 8]>::SHARED && !Keys::<()>::SHARED) };
        const { assert!(Keys::<u128>::SHARED && Keys::<String>::SHARED && Keys::<Box<u8>>::SHARED) };
        assert_eq!(size_of::<Keys<String>>(), size_of::<Keys<u64>>());
    }
}
