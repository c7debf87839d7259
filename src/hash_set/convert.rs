//! Conversion from std's collections and slices, and back.

use std::collections::{self, BTreeSet};
use std::hash::{BuildHasher, Hash};

use super::HashSet;

impl<T: Hash + Eq + Clone, const N: usize> From<[T; N]> for HashSet<T> {
    /// Moves the items over.
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Hash + Eq + Clone> From<Vec<T>> for HashSet<T> {
    /// Moves the items over. **O(n)**.
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Hash + Eq + Clone, S> From<collections::HashSet<T, S>> for HashSet<T> {
    /// Moves the items over. **O(n)**.
    fn from(set: collections::HashSet<T, S>) -> Self {
        set.into_iter().collect()
    }
}

impl<T, S, R> From<HashSet<T, S>> for collections::HashSet<T, R>
where
    T: Hash + Eq + Clone,
    R: BuildHasher + Default,
{
    /// Moves the items over, or clones those that other versions share. **O(n)**.
    fn from(set: HashSet<T, S>) -> Self {
        set.into_iter().collect()
    }
}

impl<T: Hash + Eq + Clone> From<BTreeSet<T>> for HashSet<T> {
    /// Moves the items over. **O(n)**.
    fn from(set: BTreeSet<T>) -> Self {
        set.into_iter().collect()
    }
}

impl<T: Hash + Eq + Clone> From<&[T]> for HashSet<T> {
    /// Clones the items. **O(n)**.
    fn from(items: &[T]) -> Self {
        items.iter().cloned().collect()
    }
}

impl<T: Hash + Eq + Clone, const N: usize> From<&[T; N]> for HashSet<T> {
    /// Clones the items. **O(n)**.
    fn from(items: &[T; N]) -> Self {
        items.iter().cloned().collect()
    }
}

impl<T: Hash + Eq + Clone> From<&Vec<T>> for HashSet<T> {
    /// Clones the items. **O(n)**.
    fn from(items: &Vec<T>) -> Self {
        items.iter().cloned().collect()
    }
}

impl<T: Hash + Eq + Clone, S> From<&collections::HashSet<T, S>> for HashSet<T> {
    /// Clones the items. **O(n)**.
    ///
    /// ```
    /// use std::collections;
    /// let std = collections::HashSet::from([1, 2]);
    /// let set = perennial::HashSet::from(&std);
    /// assert_eq!(collections::HashSet::from(&set), std);
    /// ```
    fn from(set: &collections::HashSet<T, S>) -> Self {
        set.iter().cloned().collect()
    }
}

impl<T: Hash + Eq + Clone> From<&BTreeSet<T>> for HashSet<T> {
    /// Clones the items. **O(n)**.
    fn from(set: &BTreeSet<T>) -> Self {
        set.iter().cloned().collect()
    }
}

impl<T, S, R> From<&HashSet<T, S>> for collections::HashSet<T, R>
where
    T: Hash + Eq + Clone,
    R: BuildHasher + Default,
{
    /// Clones the items. **O(n)**.
    fn from(set: &HashSet<T, S>) -> Self {
        set.iter().cloned().collect()
    }
}

impl<T: Clone, S> From<HashSet<T, S>> for Vec<T> {
    /// Moves the items over, in the order of the set, or clones those that other versions share. **O(n)**.
    fn from(set: HashSet<T, S>) -> Self {
        set.into_iter().collect()
    }
}
