//! What std's or other maps have besides: comparison as sets of entries, and capacity, which a trie does not have.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use super::{DiffItem, HashMap, node};

/// A map of this many times fewer entries is looked up in the other one, and not walked together with it.
const MUCH_SMALLER: usize = 8;

impl<K: Hash + Eq, V, S: BuildHasher> HashMap<K, V, S> {
    /// Tells whether `other` has all entries of this map: each key, with an equal value.
    ///
    /// **O(d log n)** for d differences between versions of one map, as [`diff`](Self::diff); at most **O(k log n)** if
    /// this map has only k entries, less than 1/8 of those of `other`.
    ///
    /// ```
    /// use perennial::HashMap;
    /// let map = HashMap::from([(1, 'a'), (2, 'b')]);
    /// assert!(HashMap::from([(1, 'a')]).is_submap(&map));
    /// assert!(!HashMap::from([(1, 'b')]).is_submap(&map));
    /// ```
    pub fn is_submap(&self, other: &Self) -> bool
    where
        V: PartialEq,
    {
        if self.len() < other.len() / MUCH_SMALLER {
            return self.is_submap_by(other, V::eq);
        }
        let is_mine = |change| !matches!(change, DiffItem::Added { .. });
        self.len() <= other.len() && (self.ptr_eq(other) || !self.diff(other).any(is_mine))
    }

    /// Tells whether `other` has all entries of this map, and others. See [`is_submap`](Self::is_submap).
    ///
    /// ```
    /// let map = perennial::HashMap::from([(1, 'a')]);
    /// assert!(map.is_submap(&map) && !map.is_proper_submap(&map));
    /// ```
    pub fn is_proper_submap(&self, other: &Self) -> bool
    where
        V: PartialEq,
    {
        self.len() < other.len() && self.is_submap(other)
    }

    /// Tells whether `other` has all keys of this map, with values for which `same` returns true. **O(n log m)** for the n
    /// entries of this map and m of `other`: `same` sees each pair, also where the maps share nodes.
    ///
    /// ```
    /// use perennial::HashMap;
    /// let (had, has) = (HashMap::from([("ada", 1u8)]), HashMap::from([("ada", 500u16), ("bob", 2)]));
    /// assert!(had.is_submap_by(&has, |had, has| u16::from(*had) <= *has));
    /// ```
    pub fn is_submap_by<W, R: BuildHasher>(
        &self,
        other: &HashMap<K, W, R>,
        mut same: impl FnMut(&V, &W) -> bool,
    ) -> bool {
        self.len() <= other.len()
            && self.iter().all(|(key, mine)| other.get(key).is_some_and(|theirs| same(mine, theirs)))
    }

    /// Tells whether [`is_submap_by`](Self::is_submap_by) holds and `other` has further keys.
    pub fn is_proper_submap_by<W, R: BuildHasher>(
        &self,
        other: &HashMap<K, W, R>,
        same: impl FnMut(&V, &W) -> bool,
    ) -> bool {
        self.len() < other.len() && self.is_submap_by(other, same)
    }
}

impl<K: Hash + Eq + Clone, V: Clone, S: BuildHasher> HashMap<K, V, S> {
    /// Returns the entry of a key, with its value to change. **O(log n)**. If the key is absent nothing is copied or marked
    /// changed.
    ///
    /// ```
    /// let mut map = perennial::HashMap::from([("ada".to_string(), 1)]);
    /// let (key, value) = map.get_key_value_mut("ada").unwrap();
    /// *value += key.len();
    /// assert_eq!(map["ada"], 4);
    /// ```
    pub fn get_key_value_mut<Q>(&mut self, key: &Q) -> Option<(&K, &mut V)>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        let hash = self.hash(key);
        let (index, _) = node::find(&self.tree, hash, |other| other.borrow() == key)?;
        node::entry_mut(&mut self.tree, hash, index).map(|(key, value)| (&*key, value))
    }
}

impl<K, V> HashMap<K, V> {
    /// Makes an empty map; the capacity is ignored: nodes are allocated when entries come. **O(1)**, allocates nothing.
    ///
    /// ```
    /// assert!(perennial::HashMap::<u8, u8>::with_capacity(1000).is_empty());
    /// ```
    pub fn with_capacity(_capacity: usize) -> Self {
        Self::new()
    }
}

impl<K, V, S> HashMap<K, V, S> {
    /// Makes an empty map with this hasher; the capacity is ignored. **O(1)**, allocates nothing.
    pub fn with_capacity_and_hasher(_capacity: usize, hash_builder: S) -> Self {
        Self::with_hasher(hash_builder)
    }

    /// Does nothing: nodes are allocated when entries come. **O(1)**.
    pub fn reserve(&mut self, _additional: usize) {}

    /// Does nothing: leaves grow by steps, and have little spare room. **O(1)**.
    pub fn shrink_to_fit(&mut self) {}
}
