//! A view into one key's place in a map, occupied or vacant, as std's.

use std::fmt;

use super::OrdMap;
use super::tree::Path;

/// One key's place in an [`OrdMap`]. See [`OrdMap::entry`].
pub enum Entry<'a, K, V> {
    /// The key is not there.
    Vacant(VacantEntry<'a, K, V>),
    /// The key is there.
    Occupied(OccupiedEntry<'a, K, V>),
}

/// The place of a key that is there.
pub struct OccupiedEntry<'a, K, V> {
    pub(super) map: &'a mut OrdMap<K, V>,
    /// As `Tree::find` answered: no other operation can come between.
    pub(super) path: Path,
}

/// The place of a key that is not there.
pub struct VacantEntry<'a, K, V> {
    pub(super) map: &'a mut OrdMap<K, V>,
    pub(super) path: Path,
    pub(super) key: K,
}

impl<'a, K: Clone, V: Clone> Entry<'a, K, V> {
    /// Inserts `default` if the key is not there; the value. **O(log n)**.
    pub fn or_insert(self, default: V) -> &'a mut V {
        self.or_insert_with(|| default)
    }

    /// Inserts what `default` makes if the key is not there; the value. **O(log n)**.
    pub fn or_insert_with(self, default: impl FnOnce() -> V) -> &'a mut V {
        self.or_insert_with_key(|_| default())
    }

    /// Inserts what `default` makes of the key if it is not there; the value. **O(log n)**.
    pub fn or_insert_with_key(self, default: impl FnOnce(&K) -> V) -> &'a mut V {
        match self {
            Self::Occupied(entry) => entry.into_mut(),
            Self::Vacant(entry) => {
                let value = default(&entry.key);
                entry.insert(value)
            }
        }
    }

    /// Inserts `V::default()` if the key is not there; the value. **O(log n)**.
    pub fn or_default(self) -> &'a mut V
    where
        V: Default,
    {
        self.or_insert_with(V::default)
    }

    /// Changes the value if the key is there.
    ///
    /// ```
    /// use perennial::OrdMap;
    ///
    /// let mut visits: OrdMap<&str, u32> = OrdMap::new();
    /// for name in ["ada", "bob", "ada"] {
    ///     visits.entry(name).and_modify(|count| *count += 1).or_insert(1);
    /// }
    /// assert_eq!((visits["ada"], visits["bob"]), (2, 1));
    /// ```
    pub fn and_modify(mut self, change: impl FnOnce(&mut V)) -> Self {
        if let Self::Occupied(entry) = &mut self {
            change(entry.get_mut());
        }
        self
    }

    /// Sets the value, whether the key is there or not; its place. **O(log n)**.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([(1, 'a')]);
    /// assert_eq!(map.entry(2).insert_entry('b').key(), &2);
    /// assert_eq!(map.entry(1).insert_entry('c').get(), &'c');
    /// ```
    pub fn insert_entry(self, value: V) -> OccupiedEntry<'a, K, V> {
        match self {
            Self::Vacant(entry) => entry.insert_entry(value),
            Self::Occupied(mut entry) => {
                entry.insert(value);
                entry
            }
        }
    }
}

impl<K, V> Entry<'_, K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        match self {
            Self::Occupied(entry) => entry.key(),
            Self::Vacant(entry) => entry.key(),
        }
    }
}

const FOUND: &str = "an occupied entry has a value";

impl<K, V> OccupiedEntry<'_, K, V> {
    /// The key in the map. **O(log n)**.
    pub fn key(&self) -> &K {
        &self.map.tree.entry_at(&self.path).expect(FOUND).0
    }

    /// The value. **O(log n)**.
    pub fn get(&self) -> &V {
        &self.map.tree.entry_at(&self.path).expect(FOUND).1
    }
}

impl<'a, K: Clone, V: Clone> OccupiedEntry<'a, K, V> {
    /// The value, to change it; its leaf is copied if another version holds it. **O(log n)**.
    pub fn get_mut(&mut self) -> &mut V {
        &mut self.map.tree.entry_mut(&self.path).expect(FOUND).1
    }

    /// The value, to change it for as long as the map is borrowed. **O(log n)**.
    pub fn into_mut(self) -> &'a mut V {
        &mut self.map.tree.entry_mut(&self.path).expect(FOUND).1
    }

    /// Replaces the value; the old one. **O(log n)**.
    pub fn insert(&mut self, value: V) -> V {
        std::mem::replace(self.get_mut(), value)
    }

    /// Removes the entry; its value. **O(log n)**.
    pub fn remove(self) -> V {
        self.remove_entry().1
    }

    /// Removes the entry. **O(log n)**.
    pub fn remove_entry(self) -> (K, V) {
        self.map.tree.remove(&self.path)
    }
}

impl<K, V> VacantEntry<'_, K, V> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Gives the key back.
    pub fn into_key(self) -> K {
        self.key
    }
}

impl<'a, K: Clone, V: Clone> VacantEntry<'a, K, V> {
    /// Inserts a value. **O(log n)**.
    pub fn insert(self, value: V) -> &'a mut V {
        self.insert_entry(value).into_mut()
    }

    /// Inserts a value; the place, which is now occupied. **O(log n)**.
    pub fn insert_entry(self, value: V) -> OccupiedEntry<'a, K, V> {
        let Self { map, path, key } = self;
        // Nodes may split, and the way change; the position does not.
        let rank = map.tree.rank_of(&path);
        map.tree.insert(&path, (key, value));
        let path = map.tree.path_to(rank);
        OccupiedEntry { map, path }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Entry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vacant(entry) => f.debug_tuple("Entry").field(entry).finish(),
            Self::Occupied(entry) => f.debug_tuple("Entry").field(entry).finish(),
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for OccupiedEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OccupiedEntry").field("key", self.key()).field("value", self.get()).finish()
    }
}

impl<K: fmt::Debug, V> fmt::Debug for VacantEntry<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VacantEntry").field(self.key()).finish()
    }
}
