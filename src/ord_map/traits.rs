//! Comparison, hashing and indexing, as std's ordered maps have them.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Index;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::OrdMap;
use super::walk::Lockstep;

impl<K: PartialEq, V: PartialEq> PartialEq for OrdMap<K, V> {
    /// Compares entry by entry. **O(position of the first difference)**, shared nodes not counted: a map that holds a
    /// `NaN` equals its own clone.
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len()
            && Lockstep::new(&self.tree, &other.tree).first_difference(|one, two| one == two).is_none()
    }
}

impl<K: Eq, V: Eq> Eq for OrdMap<K, V> {}

impl<K: PartialOrd, V: PartialOrd> PartialOrd for OrdMap<K, V> {
    /// Compares the entries in order, lexicographically. **O(position of the first difference)**, shared nodes not
    /// counted.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let is_equal = |one: &(K, V), two: &(K, V)| one.partial_cmp(two) == Some(Ordering::Equal);
        match Lockstep::new(&self.tree, &other.tree).first_difference(is_equal) {
            Some((one, two)) => one.partial_cmp(&two),
            None => Some(Ordering::Equal),
        }
    }
}

impl<K: Ord, V: Ord> Ord for OrdMap<K, V> {
    /// Compares the entries in order, lexicographically. **O(position of the first difference)**, shared nodes not
    /// counted.
    fn cmp(&self, other: &Self) -> Ordering {
        let is_equal = |one: &(K, V), two: &(K, V)| one.cmp(two).is_eq();
        match Lockstep::new(&self.tree, &other.tree).first_difference(is_equal) {
            Some((one, two)) => one.cmp(&two),
            None => Ordering::Equal,
        }
    }
}

impl<K: Hash, V: Hash> Hash for OrdMap<K, V> {
    /// Hashes the length and every entry. **O(n)**.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.iter().for_each(|entry| entry.hash(state));
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for OrdMap<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K: Ord + Borrow<Q>, Q: Ord + ?Sized, V> Index<&Q> for OrdMap<K, V> {
    type Output = V;

    /// The value of a key. **O(log n)**.
    ///
    /// # Panics
    /// When the key is not there.
    #[inline]
    #[track_caller]
    fn index(&self, key: &Q) -> &V {
        self.get(key).expect("no entry found for key")
    }
}

// As std's maps: what a panic can leave behind is a valid map. (The log that a restored map reads is behind locks.)
impl<K: RefUnwindSafe, V: RefUnwindSafe> UnwindSafe for OrdMap<K, V> {}
impl<K: RefUnwindSafe, V: RefUnwindSafe> RefUnwindSafe for OrdMap<K, V> {}
