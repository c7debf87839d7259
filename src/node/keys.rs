//! The separators of a branch: at most one fewer than its slots.
//!
//! Keys that are plain memory lie inline, so that a look-up reads them where it is. Others (strings) are shared by the
//! copies of a branch: a copy on write would else clone every separator on its path, and separators seldom change.
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
    inline: ManuallyDrop<Array<K>>,
    shared: ManuallyDrop<Arc<Array<K>>>,
}

impl<K> Keys<K> {
    /// Whether copies share their keys until one of them calls [`own`](Self::own).
    pub(crate) const SHARED: bool = needs_drop::<K>();

    /// No keys.
    pub(crate) fn new() -> Self {
        let array = Array { len: 0, keys: [const { MaybeUninit::uninit() }; MOST] };
        match Self::SHARED {
            true => Self { shared: ManuallyDrop::new(Arc::new(array)) },
            false => Self { inline: ManuallyDrop::new(array) },
        }
    }

    #[inline]
    fn array(&self) -> &Array<K> {
        // SAFETY: every constructor writes the field that `SHARED` says.
        unsafe { if Self::SHARED { &self.shared } else { &self.inline } }
    }

    /// # Panics
    /// When the keys are shared: `own` makes them ours, before anything has changed.
    fn array_mut(&mut self) -> &mut Array<K> {
        // SAFETY: as in `array`.
        unsafe {
            match Self::SHARED {
                true => Arc::get_mut(&mut self.shared).expect("keys are made ours before they change"),
                false => &mut self.inline,
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
        // SAFETY: as in `array`.
        unsafe {
            match Self::SHARED {
                true => Self { shared: self.shared.clone() },
                false => Self { inline: self.inline.clone() },
            }
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
        let mut copy = Self { len: 0, keys: [const { MaybeUninit::uninit() }; MOST] };
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
}
