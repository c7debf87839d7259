//! std's traits for the hash set.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::Sum;

use super::{HashSet, IntoIter, Iter};
use crate::hash_map::HashMap;

impl<T, S: Clone> Clone for HashSet<T, S> {
    /// Makes another version that shares everything. **O(1)**: one reference count.
    #[inline]
    fn clone(&self) -> Self {
        Self { map: self.map.clone() }
    }
}

impl<T, S: Default> Default for HashSet<T, S> {
    /// Makes an empty set.
    fn default() -> Self {
        Self { map: HashMap::default() }
    }
}

impl<T: Hash + Eq, S: BuildHasher> PartialEq for HashSet<T, S> {
    /// Compares contents. **O(d log n)** for d differences between versions of one set.
    fn eq(&self, other: &Self) -> bool {
        self.map == other.map
    }
}

impl<T: Hash + Eq, S: BuildHasher> Eq for HashSet<T, S> {}

impl<T: fmt::Debug, S> fmt::Debug for HashSet<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self).finish()
    }
}

impl<T: Hash + Eq + Clone, S: BuildHasher + Default> FromIterator<T> for HashSet<T, S> {
    /// Collects the items. **O(n)**.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self { map: items.into_iter().map(|item| (item, ())).collect() }
    }
}

impl<T: Hash + Eq + Clone, S: BuildHasher> Extend<T> for HashSet<T, S> {
    /// Inserts the items.
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.map.extend(items.into_iter().map(|item| (item, ())));
    }
}

impl<'a, T: Hash + Eq + Copy + 'a, S: BuildHasher> Extend<&'a T> for HashSet<T, S> {
    /// Inserts copies of the items.
    fn extend<I: IntoIterator<Item = &'a T>>(&mut self, items: I) {
        self.extend(items.into_iter().copied());
    }
}

impl<T: Clone, S> IntoIterator for HashSet<T, S> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    /// Takes the items out; those that a clone still holds are cloned one by one as they come. **O(n)** for all.
    fn into_iter(self) -> IntoIter<T> {
        self.map.into_keys()
    }
}

impl<'a, T, S> IntoIterator for &'a HashSet<T, S> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Hash + Eq + Clone, S: BuildHasher + Clone + Default> Sum for HashSet<T, S> {
    /// Makes the set of all items of several. See [`HashSet::unions`].
    fn sum<I: Iterator<Item = Self>>(sets: I) -> Self {
        Self::unions(sets)
    }
}

impl<'a, T: Hash + Eq + Clone, S: BuildHasher + Clone + Default> Sum<&'a Self> for HashSet<T, S> {
    /// Makes the set of all items of several. See [`HashSet::unions`].
    fn sum<I: Iterator<Item = &'a Self>>(sets: I) -> Self {
        Self::unions(sets.cloned())
    }
}
