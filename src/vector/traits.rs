//! Comparison of versions, hashing and indexing, as std's vectors have them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::{Index, IndexMut};
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::Vector;
use super::cursor::Pair;

impl<T: PartialEq> PartialEq for Vector<T> {
    /// Compares item by item. **O(difference)**: shared nodes are skipped.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && (self.ptr_eq(other) || Pair::<T, false>::new(self, other).skip_equal(self.len()) == self.len())
    }
}

impl<T: Eq> Eq for Vector<T> {}

impl<T: PartialOrd> PartialOrd for Vector<T> {
    /// Compares lexicographically. **O(position of the first difference)**, shared nodes not counted.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let mut pair = Pair::<T, false>::new(self, other);
        pair.skip_equal(usize::MAX);
        match pair.next_items() {
            Some((mine, theirs)) => mine.partial_cmp(theirs),
            None => Some(self.len().cmp(&other.len())),
        }
    }
}

impl<T: Ord> Ord for Vector<T> {
    /// Compares lexicographically. **O(position of the first difference)**, shared nodes not counted.
    fn cmp(&self, other: &Self) -> Ordering {
        let mut pair = Pair::<T, false>::new(self, other);
        pair.skip_equal(usize::MAX);
        match pair.next_items() {
            Some((mine, theirs)) => mine.cmp(theirs),
            None => self.len().cmp(&other.len()),
        }
    }
}

impl<T: Hash> Hash for Vector<T> {
    /// Hashes the length and every item. **O(n)**.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.iter().for_each(|item| item.hash(state));
    }
}

impl<T: fmt::Debug> fmt::Debug for Vector<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self).finish()
    }
}

impl<T> Index<usize> for Vector<T> {
    type Output = T;

    /// Returns the item at `index`. **O(log n)**.
    ///
    /// # Panics
    /// When `index` is past the end.
    #[inline]
    #[track_caller]
    fn index(&self, index: usize) -> &T {
        match self.get(index) {
            Some(item) => item,
            None => panic!("index {index} is past the end of a vector of {} items", self.len()),
        }
    }
}

impl<T: Clone> IndexMut<usize> for Vector<T> {
    /// Returns the item at `index` to be changed. **O(log n)**.
    ///
    /// # Panics
    /// When `index` is past the end; then nothing is copied.
    #[inline]
    #[track_caller]
    fn index_mut(&mut self, index: usize) -> &mut T {
        let len = self.len();
        match self.get_mut(index) {
            Some(item) => item,
            None => panic!("index {index} is past the end of a vector of {len} items"),
        }
    }
}

// As std's vectors: what a panic can leave behind is a valid vector. (The log that it reads is behind locks.)
impl<T: RefUnwindSafe> UnwindSafe for Vector<T> {}
impl<T: RefUnwindSafe> RefUnwindSafe for Vector<T> {}
