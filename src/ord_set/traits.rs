//! Comparison, hashing, collecting and sums, as std's ordered sets have them.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::iter::Sum;

use super::OrdSet;

impl<T> Clone for OrdSet<T> {
    /// Makes another version that shares everything. **O(1)**: one reference count.
    #[inline]
    fn clone(&self) -> Self {
        Self { map: self.map.clone() }
    }
}

impl<T> Default for OrdSet<T> {
    /// Makes an empty set.
    fn default() -> Self {
        Self::new()
    }
}

impl<T: PartialEq> PartialEq for OrdSet<T> {
    /// Compares item by item. **O(position of the first difference)**, shared nodes not counted.
    fn eq(&self, other: &Self) -> bool {
        self.map == other.map
    }
}

impl<T: Eq> Eq for OrdSet<T> {}

impl<T: PartialOrd> PartialOrd for OrdSet<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.map.partial_cmp(&other.map)
    }
}

impl<T: Ord> Ord for OrdSet<T> {
    /// Compares the items in order, lexicographically.
    fn cmp(&self, other: &Self) -> Ordering {
        self.map.cmp(&other.map)
    }
}

impl<T: Hash> Hash for OrdSet<T> {
    /// Hashes the length and every item. **O(n)**.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.map.hash(state);
    }
}

impl<T: fmt::Debug> fmt::Debug for OrdSet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}

impl<T: Ord + Clone> FromIterator<T> for OrdSet<T> {
    /// Collects the items. **O(n)** if they ascend, else **O(n log n)**.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { map: items.into_iter().map(|item| (item, ())).collect() }
    }
}

impl<T: Ord + Clone> Extend<T> for OrdSet<T> {
    /// Inserts the items. See [`OrdMap`](crate::OrdMap)'s.
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.map.extend(items.into_iter().map(|item| (item, ())));
    }
}

impl<'a, T: Ord + Clone + 'a> Extend<&'a T> for OrdSet<T> {
    /// Inserts clones of the items.
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, items: I) {
        self.extend(items.into_iter().cloned());
    }
}

impl<T: Ord + Clone> Sum for OrdSet<T> {
    /// Makes the set of all items of several. See [`OrdSet::unions`].
    fn sum<I: Iterator<Item = Self>>(sets: I) -> Self {
        Self::unions(sets)
    }
}

impl<'a, T: Ord + Clone> Sum<&'a Self> for OrdSet<T> {
    /// Makes the set of all items of several. See [`OrdSet::unions`].
    fn sum<I: Iterator<Item = &'a Self>>(sets: I) -> Self {
        Self::unions(sets.cloned())
    }
}
