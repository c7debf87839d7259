//! Conversion from std's collections and slices, and back.

use std::collections::{self, BTreeSet};

use super::OrdSet;

impl<T: Ord + Clone, const N: usize> From<[T; N]> for OrdSet<T> {
    /// Moves the items over.
    fn from(items: [T; N]) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Ord + Clone> From<Vec<T>> for OrdSet<T> {
    /// Moves the items over. **O(n)** if they ascend.
    fn from(items: Vec<T>) -> Self {
        items.into_iter().collect()
    }
}

impl<T: Ord + Clone> From<BTreeSet<T>> for OrdSet<T> {
    /// Moves the items over. **O(n)**.
    fn from(set: BTreeSet<T>) -> Self {
        set.into_iter().collect()
    }
}

impl<T: Ord + Clone> From<OrdSet<T>> for BTreeSet<T> {
    /// Moves the items over, or clones those that other versions share. **O(n)**.
    fn from(set: OrdSet<T>) -> Self {
        set.into_iter().collect()
    }
}

impl<T: Ord + Clone, S> From<collections::HashSet<T, S>> for OrdSet<T> {
    /// Moves the items over and sorts them. **O(n log n)**.
    fn from(set: collections::HashSet<T, S>) -> Self {
        set.into_iter().collect()
    }
}

impl<T: Ord + Clone, S> From<&collections::HashSet<T, S>> for OrdSet<T> {
    /// Clones the items and sorts them. **O(n log n)**.
    fn from(set: &collections::HashSet<T, S>) -> Self {
        set.iter().cloned().collect()
    }
}

impl<T: Ord + Clone> From<&[T]> for OrdSet<T> {
    /// Clones the items. **O(n)** if they ascend.
    fn from(items: &[T]) -> Self {
        items.iter().cloned().collect()
    }
}

impl<T: Ord + Clone, const N: usize> From<&[T; N]> for OrdSet<T> {
    /// Clones the items. **O(n)** if they ascend.
    fn from(items: &[T; N]) -> Self {
        items.iter().cloned().collect()
    }
}

impl<T: Ord + Clone> From<&Vec<T>> for OrdSet<T> {
    /// Clones the items. **O(n)** if they ascend.
    fn from(items: &Vec<T>) -> Self {
        items.iter().cloned().collect()
    }
}

impl<T: Ord + Clone> From<&BTreeSet<T>> for OrdSet<T> {
    /// Clones the items. **O(n)**.
    ///
    /// ```
    /// use std::collections::BTreeSet;
    /// let std = BTreeSet::from([1, 2]);
    /// let set = perennial::OrdSet::from(&std);
    /// assert_eq!(BTreeSet::from(&set), std);
    /// ```
    fn from(set: &BTreeSet<T>) -> Self {
        set.iter().cloned().collect()
    }
}

impl<T: Ord + Clone> From<&OrdSet<T>> for BTreeSet<T> {
    /// Clones the items. **O(n)**.
    fn from(set: &OrdSet<T>) -> Self {
        set.iter().cloned().collect()
    }
}

impl<T: Clone> From<OrdSet<T>> for Vec<T> {
    /// Moves the items over, in order, or clones those that other versions share. **O(n)**.
    fn from(set: OrdSet<T>) -> Self {
        set.into_iter().collect()
    }
}
