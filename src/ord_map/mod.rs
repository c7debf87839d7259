//! An ordered map with O(1) snapshots: a counted B+-tree with separators in its branches.

mod algebra;
mod build;
#[cfg(test)]
mod check;
mod convert;
mod diff;
mod edit;
mod entry;
mod into_iter;
mod iter;
mod iter_mut;
mod join;
mod neighbours;
pub(crate) mod node;
pub(crate) mod persist;
mod submap;
mod traits;
pub(crate) mod tree;
mod walk;

use std::borrow::Borrow;
use std::ops::RangeBounds;

pub use crate::hash_map::DiffItem;
pub use diff::Diff;
pub use edit::ExtractIf;
pub use entry::{Entry, OccupiedEntry, VacantEntry};
pub use into_iter::{IntoIter, IntoKeys, IntoValues};
pub use iter::{Iter, Keys, Range, TryIter, Values};
pub use iter_mut::{IterMut, RangeMut, ValuesMut};

pub(crate) use edit::Extract;

use crate::error::Result;
use crate::node::Items;
use crate::node::load_all;
use crate::sync::const_fn;
use tree::Tree;

/// An ordered map whose clones share what they have in common.
///
/// `clone` is **O(1)**; a change copies only the nodes on the way to it that a clone still holds, and nothing where
/// none does. It reads as [`BTreeMap`](std::collections::BTreeMap) does, and knows positions besides: the rank of a
/// key, the entry at a position, the exact length of a range.
///
/// | operation | cost |
/// |---|---|
/// | `clone`, `len`, `ptr_eq` | O(1) |
/// | `get`, `insert`, `remove`, `entry`, `first_key_value`, `pop_first`, … | O(log n) |
/// | `index_of`, `get_index`, `range`, the length of a range | O(log n) |
/// | `split_off`, `append`, `remove_range` | O(log n) |
/// | `==`, `diff`, `union`, … of versions with k differences | O(k log n): shared nodes are skipped |
/// | from sorted entries, iteration, `retain` | O(n) |
///
/// Entries lie in leaves of about 512 bytes, sorted. Skipping shared nodes means that a map with a NaN in it equals its
/// own clone.
///
/// Methods that may copy a shared node ask for `K: Clone` and `V: Clone`. Entries are cloned only when another version
/// shares their leaf, and beside that one key for every leaf, which tells its parent where to look.
///
/// As in std, a key must not change its order while it is in a map, and `Ord` must be an order: else keys may be missed
/// and iteration be out of order, but nothing worse.
///
/// # Panics
/// A map restored from a store loads its nodes when they are first touched. Where a method cannot return the store's
/// error, it panics with it; [`try_get`](Self::try_get) and [`try_iter`](Self::try_iter) return it.
///
/// Branches keep their counts in 32 bits. An entry beyond 4,294,967,295 panics with "capacity overflow" and changes nothing.
///
/// # In a generic type
/// Nodes load when the reader of the rest has gone, so `#[derive(Deserialize)]` on a type with a parameter needs a line, which
/// names each field whose type has the parameter:
///
/// ```
/// use perennial::OrdMap;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// #[serde(bound(deserialize = "OrdMap<K, V>: Deserialize<'de>"))]
/// struct Board<K, V> {
///     items: OrdMap<K, V>,
/// }
/// let board: Board<u32, String> = serde_json::from_str(r#"{ "items": { "7": "ada" } }"#)?;
/// assert_eq!(board.items.len(), 1);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// ```
/// use perennial::OrdMap;
///
/// let mut scores: OrdMap<u32, &str> = OrdMap::from([(30, "ada"), (10, "bob")]);
/// let before = scores.clone(); // O(1)
/// scores.insert(20, "cem");
/// assert!(scores.range(15..).map(|(_, name)| *name).eq(["cem", "ada"]));
/// assert_eq!(scores.index_of(&30), Some(2));
/// assert_eq!(before.len(), 2);
/// ```
pub struct OrdMap<K, V> {
    pub(crate) tree: Tree<K, V>,
}

impl<K, V> OrdMap<K, V> {
    const_fn! {
        /// Makes an empty map. **O(1)**, allocates nothing.
        ///
        /// ```
        /// assert!(perennial::OrdMap::<u8, u8>::new().is_empty());
        /// ```
        pub const fn new() -> Self {
            Self { tree: Tree::empty() }
        }
    }

    /// The number of entries. **O(1)**.
    ///
    /// ```
    /// assert_eq!(perennial::OrdMap::from([(1, 2)]).len(), 1);
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        self.tree.len
    }

    /// Whether there are no entries. **O(1)**.
    ///
    /// ```
    /// assert!(!perennial::OrdMap::from([(1, 2)]).is_empty());
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all entries. **O(1)** if a clone holds them, else **O(n)** to drop them.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([(1, 2)]);
    /// map.clear();
    /// assert!(map.is_empty());
    /// ```
    pub fn clear(&mut self) {
        *self = Self::new();
    }

    /// Whether both maps are one version: they share their root. **O(1)**; `false` says nothing about contents.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([(1, 2)]);
    /// let snapshot = map.clone();
    /// assert!(map.ptr_eq(&snapshot));
    /// map.insert(3, 4);
    /// assert!(!map.ptr_eq(&snapshot));
    /// ```
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.tree.root.same(&other.tree.root)
    }

    /// Loads everything that a restored map has not loaded yet, in the order of the log and on all cores. **O(n)**.
    ///
    /// After it no read of this map can fail. Collections inside its entries load on their own.
    ///
    /// # Errors
    /// The first that reading or decoding a node answered; what could be loaded is loaded.
    pub fn load_all(&self) -> Result<()>
    where
        K: Send + Sync,
        V: Send + Sync,
    {
        load_all(&self.tree.root, self.tree.place())
    }

    /// Walks over all entries in order of their keys, from both ends. **O(n)** for all, **O(log n)** for `nth`.
    ///
    /// # Panics
    /// With the store's [`Error`](crate::Error) where an entry of a restored map cannot be loaded;
    /// [`try_iter`](Self::try_iter) returns it.
    ///
    /// ```
    /// let map = perennial::OrdMap::from([(2, 'b'), (1, 'a')]);
    /// assert!(map.iter().rev().eq([(&2, &'b'), (&1, &'a')]));
    /// ```
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(&self.tree, 0, self.len())
    }

    /// Walks over the entries at these positions in the order of the keys.
    #[cfg(feature = "rayon")]
    pub(crate) fn iter_between(&self, positions: std::ops::Range<usize>) -> Iter<'_, K, V> {
        Iter::new(&self.tree, positions.start, positions.end)
    }

    /// Walks over all entries of a map that may be only partly loaded, in order. **O(n)** for all.
    ///
    /// # Errors
    /// The first item says why the root could not be loaded; later ones, why some leaf could not. The walk goes on
    /// with what follows.
    pub fn try_iter(&self) -> Result<TryIter<'_, K, V>> {
        Ok(TryIter { items: Items::new(self.tree.root.try_get(|| self.tree.place())?) })
    }

    /// Walks over all keys in order. See [`iter`](Self::iter).
    ///
    /// ```
    /// assert!(perennial::OrdMap::from([(2, 'b'), (1, 'a')]).keys().eq(&[1, 2]));
    /// ```
    pub fn keys(&self) -> Keys<'_, K, V> {
        Keys(self.iter())
    }

    /// Walks over all values in order of their keys. See [`iter`](Self::iter).
    ///
    /// ```
    /// assert!(perennial::OrdMap::from([(2, 'b'), (1, 'a')]).values().eq(&['a', 'b']));
    /// ```
    pub fn values(&self) -> Values<'_, K, V> {
        Values(self.iter())
    }

    /// The entry with the lowest key. **O(log n)**.
    ///
    /// ```
    /// assert_eq!(perennial::OrdMap::from([(2, 'b'), (1, 'a')]).first_key_value(), Some((&1, &'a')));
    /// ```
    pub fn first_key_value(&self) -> Option<(&K, &V)> {
        self.get_index(0)
    }

    /// The entry with the highest key. **O(log n)**.
    ///
    /// ```
    /// assert_eq!(perennial::OrdMap::from([(2, 'b'), (1, 'a')]).last_key_value(), Some((&2, &'b')));
    /// ```
    pub fn last_key_value(&self) -> Option<(&K, &V)> {
        self.get_index(self.len().checked_sub(1)?)
    }

    /// The entry at a position in the order of the keys, `None` past the end. **O(log n)**.
    ///
    /// ```
    /// let map = perennial::OrdMap::from([(20, 'b'), (10, 'a')]);
    /// assert_eq!((map.get_index(1), map.get_index(2)), (Some((&20, &'b')), None));
    /// ```
    pub fn get_index(&self, index: usize) -> Option<(&K, &V)> {
        if index >= self.len() {
            return None;
        }
        let spot = self.tree.spot(index)?;
        spot.entries.get(spot.index).map(|(key, value)| (key, value))
    }

    /// Walks over what changed from this map to `newer`, in order of the keys. **O(d log n)** for d differences: what the
    /// two share is passed over, also what neither has loaded.
    ///
    /// ```
    /// use perennial::{OrdMap, ord_map::DiffItem};
    ///
    /// let old: OrdMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    /// let mut new = old.clone();
    /// new.insert(7, 70);
    /// let changes: Vec<_> = old.diff(&new).collect();
    /// assert_eq!(changes, [DiffItem::Changed { key: &7, old: &7, new: &70 }]);
    /// ```
    pub fn diff<'a>(&'a self, newer: &'a Self) -> Diff<'a, K, V>
    where
        K: Ord,
        V: PartialEq,
    {
        Diff::new(&self.tree, &newer.tree)
    }
}

impl<K: Ord, V> OrdMap<K, V> {
    /// The value of a key. **O(log n)**, no allocation, never blocks.
    ///
    /// # Panics
    /// With the store's [`Error`](crate::Error) if a restored map cannot load what it needs;
    /// [`try_get`](Self::try_get) returns it.
    ///
    /// ```
    /// let map = perennial::OrdMap::from([("ada".to_string(), 1)]);
    /// assert_eq!((map.get("ada"), map.get("bob")), (Some(&1), None));
    /// ```
    #[inline]
    pub fn get<Q>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.tree.get(key).map(|entry| &entry.1)
    }

    /// The entry of a key. See [`get`](Self::get).
    ///
    /// ```
    /// assert_eq!(perennial::OrdMap::from([(1, 'a')]).get_key_value(&1), Some((&1, &'a')));
    /// ```
    #[inline]
    pub fn get_key_value<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.tree.get(key).map(|(key, value)| (key, value))
    }

    /// The value of a key in a map that may be only partly loaded. **O(log n)**.
    ///
    /// # Errors
    /// What reading or decoding the nodes on the way answered.
    pub fn try_get<Q>(&self, key: &Q) -> Result<Option<&V>>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.tree.load_path(key)?;
        Ok(self.get(key))
    }

    /// Whether the key is there. See [`get`](Self::get).
    ///
    /// ```
    /// assert!(perennial::OrdMap::from([(1, 'a')]).contains_key(&1));
    /// ```
    #[inline]
    pub fn contains_key<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.tree.get(key).is_some()
    }

    /// The entry with the highest key that is not above `key`. **O(log n)**.
    ///
    /// ```
    /// let map = perennial::OrdMap::from([(10, 'a'), (20, 'b')]);
    /// assert_eq!(map.get_prev(&20), Some((&20, &'b')));
    /// assert_eq!(map.get_prev(&19), Some((&10, &'a')));
    /// assert_eq!(map.get_prev(&9), None);
    /// ```
    pub fn get_prev<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (rank, spot) = self.tree.seek(|other| other.borrow() <= key);
        let spot = spot?;
        match spot.index.checked_sub(1) {
            Some(index) => spot.entries.get(index).map(|(key, value)| (key, value)),
            // It lies in the leaf before: the one sought may have been its leaf's first.
            None => self.get_index(rank.checked_sub(1)?),
        }
    }

    /// The entry with the lowest key that is not below `key`. **O(log n)**.
    ///
    /// ```
    /// let map = perennial::OrdMap::from([(10, 'a'), (20, 'b')]);
    /// assert_eq!(map.get_next(&10), Some((&10, &'a')));
    /// assert_eq!(map.get_next(&11), Some((&20, &'b')));
    /// assert_eq!(map.get_next(&21), None);
    /// ```
    pub fn get_next<Q>(&self, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (rank, spot) = self.tree.seek(|other| other.borrow() < key);
        let spot = spot?;
        match spot.entries.get(spot.index) {
            Some((key, value)) => Some((key, value)),
            None => self.get_index(rank),
        }
    }

    /// How many keys are below `key`, which need not be there. **O(log n)**.
    ///
    /// ```
    /// let map = perennial::OrdMap::from([(10, 'a'), (20, 'b')]);
    /// assert_eq!((map.rank(&10), map.rank(&15), map.rank(&99)), (0, 1, 2));
    /// ```
    pub fn rank<Q>(&self, key: &Q) -> usize
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.tree.seek(|other| other.borrow() < key).0
    }

    /// The position of a key in the order of the keys, if it is there. **O(log n)**.
    ///
    /// ```
    /// let map = perennial::OrdMap::from([(10, 'a'), (20, 'b')]);
    /// assert_eq!((map.index_of(&20), map.index_of(&15)), (Some(1), None));
    /// ```
    pub fn index_of<Q>(&self, key: &Q) -> Option<usize>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (path, entry) = self.tree.find(key);
        entry.map(|_| self.tree.rank_of(&path))
    }

    /// Walks over the entries whose keys are in `range`, from both ends. **O(log n + k)** for k of them; the length is
    /// known at once.
    ///
    /// # Panics
    /// As std's: panics if the range starts after its end, or is empty with both ends excluded. (In an empty map it does
    /// not.)
    ///
    /// ```
    /// let map: perennial::OrdMap<u32, u32> = (0..1000).map(|n| (n, n)).collect();
    /// let mut range = map.range(10..20);
    /// assert_eq!((range.len(), range.next(), range.next_back()), (10, Some((&10, &10)), Some((&19, &19))));
    /// ```
    #[track_caller]
    pub fn range<Q, R>(&self, range: R) -> Range<'_, K, V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        self.range_of("OrdMap", range)
    }

    /// [`range`](Self::range) of the collection of this name.
    #[track_caller]
    pub(crate) fn range_of<Q, R>(&self, of: &str, range: R) -> Range<'_, K, V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        Iter::between(&self.tree, of, &range)
    }
}

impl<K, V> Clone for OrdMap<K, V> {
    /// Makes another version that shares everything. **O(1)**: one reference count.
    #[inline]
    fn clone(&self) -> Self {
        Self { tree: self.tree.clone() }
    }
}

impl<K, V> Default for OrdMap<K, V> {
    /// Makes an empty map.
    fn default() -> Self {
        Self::new()
    }
}
