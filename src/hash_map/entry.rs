//! A view into one key's place in a map, occupied or vacant, as std's.

use std::fmt;
use std::hash::{BuildHasher, Hash};

use super::HashMap;
use super::node;

/// One key's place in a [`HashMap`]. See [`HashMap::entry`].
pub enum Entry<'a, K, V, S> {
    /// The key is there.
    Occupied(OccupiedEntry<'a, K, V, S>),
    /// The key is not there.
    Vacant(VacantEntry<'a, K, V, S>),
}

/// The place of a key that is there.
pub struct OccupiedEntry<'a, K, V, S> {
    pub(super) map: &'a mut HashMap<K, V, S>,
    pub(super) hash: u64,
    /// Position in its leaf, as `node::find` answered: no other operation can come between.
    pub(super) index: usize,
}

/// The place of a key that is not there.
pub struct VacantEntry<'a, K, V, S> {
    pub(super) map: &'a mut HashMap<K, V, S>,
    pub(super) hash: u64,
    pub(super) key: K,
}

impl<'a, K: Hash + Eq + Clone, V: Clone, S: BuildHasher> Entry<'a, K, V, S> {
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
    /// use perennial::HashMap;
    ///
    /// let mut visits: HashMap<&str, u32> = HashMap::new();
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
    /// let mut map = perennial::HashMap::from([(1, 'a')]);
    /// assert_eq!(map.entry(2).insert_entry('b').key(), &2);
    /// assert_eq!(map.entry(1).insert_entry('c').get(), &'c');
    /// ```
    pub fn insert_entry(self, value: V) -> OccupiedEntry<'a, K, V, S> {
        match self {
            Self::Vacant(entry) => entry.insert_entry(value),
            Self::Occupied(mut entry) => {
                entry.insert(value);
                entry
            }
        }
    }
}

impl<K, V, S> Entry<'_, K, V, S> {
    /// The key: of an occupied place, the one in the map.
    pub fn key(&self) -> &K {
        match self {
            Self::Occupied(entry) => entry.key(),
            Self::Vacant(entry) => entry.key(),
        }
    }
}

const FOUND: &str = "an occupied entry has a value";

impl<K, V, S> OccupiedEntry<'_, K, V, S> {
    fn entry(&self) -> &(K, V) {
        node::entry_at(&self.map.tree, self.hash, self.index).expect(FOUND)
    }

    /// The key in the map. **O(log n)**.
    pub fn key(&self) -> &K {
        &self.entry().0
    }

    /// The value. **O(log n)**.
    pub fn get(&self) -> &V {
        &self.entry().1
    }
}

impl<'a, K: Hash + Eq + Clone, V: Clone, S: BuildHasher> OccupiedEntry<'a, K, V, S> {
    /// The value, to change it; its leaf is copied if a snapshot holds it. **O(log n)**.
    pub fn get_mut(&mut self) -> &mut V {
        node::value_mut(&mut self.map.tree, self.hash, self.index).expect(FOUND)
    }

    /// The value, to change it for as long as the map is borrowed. **O(log n)**.
    pub fn into_mut(self) -> &'a mut V {
        node::value_mut(&mut self.map.tree, self.hash, self.index).expect(FOUND)
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
        self.map.remove_at(self.hash, self.index)
    }
}

impl<K, V, S> VacantEntry<'_, K, V, S> {
    /// The key.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Gives the key back.
    pub fn into_key(self) -> K {
        self.key
    }
}

impl<'a, K: Hash + Eq + Clone, V: Clone, S: BuildHasher> VacantEntry<'a, K, V, S> {
    /// Inserts a value. **O(log n)**.
    pub fn insert(self, value: V) -> &'a mut V {
        self.insert_entry(value).into_mut()
    }

    /// Inserts a value; the place, which is now occupied. **O(log n)**.
    pub fn insert_entry(self, value: V) -> OccupiedEntry<'a, K, V, S> {
        let Self { map, hash, key } = self;
        let index = map.insert_new(hash, key, value);
        OccupiedEntry { map, hash, index }
    }
}

impl<K: fmt::Debug, V: fmt::Debug, S> fmt::Debug for Entry<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vacant(entry) => f.debug_tuple("Entry").field(entry).finish(),
            Self::Occupied(entry) => f.debug_tuple("Entry").field(entry).finish(),
        }
    }
}

impl<K: fmt::Debug, V: fmt::Debug, S> fmt::Debug for OccupiedEntry<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, value) = self.entry();
        f.debug_struct("OccupiedEntry").field("key", key).field("value", value).finish_non_exhaustive()
    }
}

impl<K: fmt::Debug, V, S> fmt::Debug for VacantEntry<'_, K, V, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("VacantEntry").field(self.key()).finish()
    }
}
