//! Comparison, hashing, indexing and conversion, as std's ordered maps have them.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Index;
use std::panic::{RefUnwindSafe, UnwindSafe};

use super::OrdMap;
use super::walk::{Step, Walk};

impl<K: Ord, V: PartialEq> PartialEq for OrdMap<K, V> {
    /// Compares contents. **O(d log n)** for d differences between versions of one map, as [`diff`](OrdMap::diff). A
    /// map that holds a `NaN` equals its own clone.
    fn eq(&self, other: &Self) -> bool {
        self.ptr_eq(other) || self.len() == other.len() && self.diff(other).next().is_none()
    }
}

impl<K: Ord, V: Eq> Eq for OrdMap<K, V> {}

/// Compares entry by entry, past shared nodes.
fn compare<K: Ord, V, O>(
    one: &OrdMap<K, V>,
    two: &OrdMap<K, V>,
    values: impl Fn(&V, &V) -> O,
    equal: O,
    of: impl Fn(Ordering) -> O,
) -> O
where
    O: PartialEq,
{
    let mut walk = Walk::new(&one.tree, &two.tree);
    loop {
        let order = match walk.next() {
            None => return equal,
            Some(Step::Shared(_)) => continue,
            Some(Step::Both((_, one), (_, two))) => values(one, two),
            // The next key of the other map is higher, if there is any.
            Some(Step::Old(_)) => of(if walk.new_ended() { Ordering::Greater } else { Ordering::Less }),
            Some(Step::New(_)) => of(if walk.old_ended() { Ordering::Less } else { Ordering::Greater }),
        };
        if order != equal {
            return order;
        }
    }
}

impl<K: Ord, V: PartialOrd> PartialOrd for OrdMap<K, V> {
    /// Compares the entries in order, lexicographically. **O(position of the first difference)**, shared nodes not
    /// counted.
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        compare(self, other, V::partial_cmp, Some(Ordering::Equal), Some)
    }
}

impl<K: Ord, V: Ord> Ord for OrdMap<K, V> {
    /// Compares the entries in order, lexicographically. **O(position of the first difference)**, shared nodes not
    /// counted.
    fn cmp(&self, other: &Self) -> Ordering {
        compare(self, other, V::cmp, Ordering::Equal, |order| order)
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

// As std's maps: what a panic can leave behind is a valid map. (The log that a restored map reads is behind locks.)
impl<K: RefUnwindSafe, V: RefUnwindSafe> UnwindSafe for OrdMap<K, V> {}
impl<K: RefUnwindSafe, V: RefUnwindSafe> RefUnwindSafe for OrdMap<K, V> {}
