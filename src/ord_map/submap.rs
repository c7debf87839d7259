//! Comparison of maps as sets of entries.

use super::{DiffItem, OrdMap};

/// A map of this many times fewer entries is looked up in the other one, and not walked together with it.
const MUCH_SMALLER: usize = 8;

impl<K: Ord, V> OrdMap<K, V> {
    /// Tells whether `other` has all entries of this map: each key, with an equal value.
    ///
    /// **O(d log n)** for d differences between versions of one map, as [`diff`](Self::diff); at most **O(k log n)** if
    /// this map has only k entries, less than 1/8 of those of `other`.
    ///
    /// ```
    /// use perennial::OrdMap;
    /// let map = OrdMap::from([(1, 'a'), (2, 'b')]);
    /// assert!(OrdMap::from([(1, 'a')]).is_submap(&map));
    /// assert!(!OrdMap::from([(1, 'b')]).is_submap(&map));
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
    /// let map = perennial::OrdMap::from([(1, 'a')]);
    /// assert!(map.is_submap(&map) && !map.is_proper_submap(&map));
    /// ```
    pub fn is_proper_submap(&self, other: &Self) -> bool
    where
        V: PartialEq,
    {
        self.len() < other.len() && self.is_submap(other)
    }

    /// Tells whether `other` has all keys of this map, with values for which `same` returns true. **O(m)** for the m entries
    /// of `other`, and at most **O(n log m)** if this map has only n, less than 1/8 of those: `same` sees each pair, also
    /// where the maps share nodes.
    ///
    /// ```
    /// use perennial::OrdMap;
    /// let (had, has) = (OrdMap::from([("ada", 1u8)]), OrdMap::from([("ada", 500u16), ("bob", 2)]));
    /// assert!(had.is_submap_by(&has, |had, has| u16::from(*had) <= *has));
    /// ```
    pub fn is_submap_by<W>(&self, other: &OrdMap<K, W>, mut same: impl FnMut(&V, &W) -> bool) -> bool {
        if self.len() > other.len() {
            return false;
        }
        if self.len() < other.len() / MUCH_SMALLER {
            return self.iter().all(|(key, mine)| other.get(key).is_some_and(|theirs| same(mine, theirs)));
        }
        let mut others = other.iter();
        self.iter().all(|(key, mine)| {
            let found = others.find(|(other, _)| *other >= key).filter(|(other, _)| *other == key);
            found.is_some_and(|(_, theirs)| same(mine, theirs))
        })
    }

    /// Tells whether [`is_submap_by`](Self::is_submap_by) holds and `other` has further keys.
    pub fn is_proper_submap_by<W>(&self, other: &OrdMap<K, W>, same: impl FnMut(&V, &W) -> bool) -> bool {
        self.len() < other.len() && self.is_submap_by(other, same)
    }
}
