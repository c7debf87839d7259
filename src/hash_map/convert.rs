//! Conversion from std's collections and slices, and back; sums.

use std::collections::{self, BTreeMap};
use std::hash::{BuildHasher, Hash};
use std::iter::Sum;

use super::HashMap;

impl<K: Hash + Eq + Clone, V: Clone, const N: usize> From<[(K, V); N]> for HashMap<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: Hash + Eq + Clone, V: Clone> From<Vec<(K, V)>> for HashMap<K, V> {
    /// Moves the entries over; of equal keys the last value stays. **O(n)**.
    fn from(entries: Vec<(K, V)>) -> Self {
        entries.into_iter().collect()
    }
}

impl<K, V, S> From<collections::HashMap<K, V, S>> for HashMap<K, V>
where
    K: Hash + Eq + Clone,
    V: Clone,
{
    /// Moves the entries over. **O(n)**.
    fn from(map: collections::HashMap<K, V, S>) -> Self {
        map.into_iter().collect()
    }
}

impl<K, V, S, R> From<HashMap<K, V, S>> for collections::HashMap<K, V, R>
where
    K: Hash + Eq + Clone,
    V: Clone,
    R: BuildHasher + Default,
{
    /// Moves the entries over, or clones those that other versions share. **O(n)**.
    fn from(map: HashMap<K, V, S>) -> Self {
        map.into_iter().collect()
    }
}

impl<K: Hash + Eq + Clone, V: Clone> From<BTreeMap<K, V>> for HashMap<K, V> {
    /// Moves the entries over. **O(n)**.
    fn from(map: BTreeMap<K, V>) -> Self {
        map.into_iter().collect()
    }
}

impl<K: Hash + Eq + Clone, V: Clone> From<&[(K, V)]> for HashMap<K, V> {
    /// Clones the entries; of equal keys the last value stays. **O(n)**.
    fn from(entries: &[(K, V)]) -> Self {
        entries.iter().cloned().collect()
    }
}

impl<K: Hash + Eq + Clone, V: Clone, const N: usize> From<&[(K, V); N]> for HashMap<K, V> {
    /// Clones the entries; of equal keys the last value stays. **O(n)**.
    fn from(entries: &[(K, V); N]) -> Self {
        entries.iter().cloned().collect()
    }
}

impl<K: Hash + Eq + Clone, V: Clone> From<&Vec<(K, V)>> for HashMap<K, V> {
    /// Clones the entries; of equal keys the last value stays. **O(n)**.
    fn from(entries: &Vec<(K, V)>) -> Self {
        entries.iter().cloned().collect()
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S> From<&collections::HashMap<K, V, S>> for HashMap<K, V> {
    /// Clones the entries. **O(n)**.
    ///
    /// ```
    /// use std::collections::HashMap;
    /// let std = HashMap::from([(1, 'a'), (2, 'b')]);
    /// let map = perennial::HashMap::from(&std);
    /// assert_eq!(HashMap::from(&map), std);
    /// ```
    fn from(map: &collections::HashMap<K, V, S>) -> Self {
        map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl<K: Hash + Eq + Clone, V: Clone> From<&BTreeMap<K, V>> for HashMap<K, V> {
    /// Clones the entries. **O(n)**.
    fn from(map: &BTreeMap<K, V>) -> Self {
        map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl<K, V, S, R> From<&HashMap<K, V, S>> for collections::HashMap<K, V, R>
where
    K: Hash + Eq + Clone,
    V: Clone,
    R: BuildHasher + Default,
{
    /// Clones the entries. **O(n)**.
    fn from(map: &HashMap<K, V, S>) -> Self {
        map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl<K: Clone, V: Clone, S> From<HashMap<K, V, S>> for Vec<(K, V)> {
    /// Moves the entries over, in the order of the map, or clones those that other versions share. **O(n)**.
    fn from(map: HashMap<K, V, S>) -> Self {
        map.into_iter().collect()
    }
}

impl<K, V, S> Sum for HashMap<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher + Clone + Default,
{
    /// Makes the map of all entries of several. See [`HashMap::unions`].
    fn sum<I: Iterator<Item = Self>>(maps: I) -> Self {
        Self::unions(maps)
    }
}

impl<'a, K, V, S> Sum<&'a Self> for HashMap<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher + Clone + Default,
{
    /// Makes the map of all entries of several. See [`HashMap::unions`].
    fn sum<I: Iterator<Item = &'a Self>>(maps: I) -> Self {
        Self::unions(maps.cloned())
    }
}
