//! Conversion from std's collections and slices, and back; sums.

use std::collections::{self, BTreeMap};
use std::iter::Sum;

use super::OrdMap;

impl<K: Ord + Clone, V, const N: usize> From<[(K, V); N]> for OrdMap<K, V> {
    /// Moves the entries over; of equal keys the last one stays.
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: Ord + Clone, V> From<Vec<(K, V)>> for OrdMap<K, V> {
    /// Moves the entries over; of equal keys the last one stays. **O(n)** if the keys ascend.
    fn from(entries: Vec<(K, V)>) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: Ord + Clone, V> From<BTreeMap<K, V>> for OrdMap<K, V> {
    /// Moves the entries over. **O(n)**.
    fn from(map: BTreeMap<K, V>) -> Self {
        map.into_iter().collect()
    }
}

impl<K: Ord + Clone, V: Clone> From<OrdMap<K, V>> for BTreeMap<K, V> {
    /// Moves the entries over, or clones those that other versions share. **O(n)**.
    fn from(map: OrdMap<K, V>) -> Self {
        map.into_iter().collect()
    }
}

impl<K: Ord + Clone, V, S> From<collections::HashMap<K, V, S>> for OrdMap<K, V> {
    /// Moves the entries over and sorts them. **O(n log n)**.
    fn from(map: collections::HashMap<K, V, S>) -> Self {
        map.into_iter().collect()
    }
}

impl<K: Ord + Clone, V: Clone> From<&[(K, V)]> for OrdMap<K, V> {
    /// Clones the entries; of equal keys the last one stays. **O(n)** if the keys ascend.
    fn from(entries: &[(K, V)]) -> Self {
        entries.iter().cloned().collect()
    }
}

impl<K: Ord + Clone, V: Clone, const N: usize> From<&[(K, V); N]> for OrdMap<K, V> {
    /// Clones the entries; of equal keys the last one stays. **O(n)** if the keys ascend.
    fn from(entries: &[(K, V); N]) -> Self {
        entries.iter().cloned().collect()
    }
}

impl<K: Ord + Clone, V: Clone> From<&Vec<(K, V)>> for OrdMap<K, V> {
    /// Clones the entries; of equal keys the last one stays. **O(n)** if the keys ascend.
    fn from(entries: &Vec<(K, V)>) -> Self {
        entries.iter().cloned().collect()
    }
}

impl<K: Ord + Clone, V: Clone, S> From<&collections::HashMap<K, V, S>> for OrdMap<K, V> {
    /// Clones the entries and sorts them. **O(n log n)**.
    fn from(map: &collections::HashMap<K, V, S>) -> Self {
        map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl<K: Ord + Clone, V: Clone> From<&BTreeMap<K, V>> for OrdMap<K, V> {
    /// Clones the entries. **O(n)**.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// let std = BTreeMap::from([(1, 'a'), (2, 'b')]);
    /// let map = perennial::OrdMap::from(&std);
    /// assert_eq!(BTreeMap::from(&map), std);
    /// ```
    fn from(map: &BTreeMap<K, V>) -> Self {
        map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl<K: Ord + Clone, V: Clone> From<&OrdMap<K, V>> for BTreeMap<K, V> {
    /// Clones the entries. **O(n)**.
    fn from(map: &OrdMap<K, V>) -> Self {
        map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl<K: Clone, V: Clone> From<OrdMap<K, V>> for Vec<(K, V)> {
    /// Moves the entries over, in order, or clones those that other versions share. **O(n)**.
    fn from(map: OrdMap<K, V>) -> Self {
        map.into_iter().collect()
    }
}

impl<K: Ord + Clone, V: Clone> Sum for OrdMap<K, V> {
    /// Makes the map of all entries of several. See [`OrdMap::unions`].
    fn sum<I: Iterator<Item = Self>>(maps: I) -> Self {
        Self::unions(maps)
    }
}

impl<'a, K: Ord + Clone, V: Clone> Sum<&'a Self> for OrdMap<K, V> {
    /// Makes the map of all entries of several. See [`OrdMap::unions`].
    fn sum<I: Iterator<Item = &'a Self>>(maps: I) -> Self {
        Self::unions(maps.cloned())
    }
}
