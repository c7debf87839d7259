//! The entries beside a key, and entries with values to change.

use std::borrow::Borrow;

use super::OrdMap;

impl<K: Clone, V: Clone> OrdMap<K, V> {
    /// Returns the entry of a key, with its value to change. **O(log n)**. If the key is absent nothing is copied or marked
    /// changed.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([("ada".to_string(), 1)]);
    /// let (key, value) = map.get_key_value_mut("ada").unwrap();
    /// *value += key.len();
    /// assert_eq!(map["ada"], 4);
    /// ```
    pub fn get_key_value_mut<Q>(&mut self, key: &Q) -> Option<(&K, &mut V)>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (path, found) = self.tree.find(key);
        found?;
        self.tree.entry_mut(&path).map(|(key, value)| (&*key, value))
    }

    /// Returns the entry with the highest key that is not above `key`, with its value to change. **O(log n)**. If there is
    /// none, nothing is copied or marked changed.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([(10, 'a'), (20, 'b')]);
    /// *map.get_prev_mut(&19).unwrap().1 = 'c';
    /// assert_eq!((map[&10], map.get_prev_mut(&9)), ('c', None));
    /// ```
    pub fn get_prev_mut<Q>(&mut self, key: &Q) -> Option<(&K, &mut V)>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let above = self.tree.seek(|other| other.borrow() <= key).0;
        self.get_index_mut(above.checked_sub(1)?)
    }

    /// Returns the entry with the lowest key that is not below `key`, with its value to change. **O(log n)**. If there is
    /// none, nothing is copied or marked changed.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([(10, 'a'), (20, 'b')]);
    /// *map.get_next_mut(&11).unwrap().1 = 'c';
    /// assert_eq!((map[&20], map.get_next_mut(&21)), ('c', None));
    /// ```
    pub fn get_next_mut<Q>(&mut self, key: &Q) -> Option<(&K, &mut V)>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let at = self.tree.seek(|other| other.borrow() < key).0;
        self.get_index_mut(at)
    }

    /// Returns the entry at a position in the order of the keys, with its value to change; `None` past the end.
    /// **O(log n)**.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([(10, 'a'), (20, 'b')]);
    /// *map.get_index_mut(1).unwrap().1 = 'c';
    /// assert_eq!(map[&20], 'c');
    /// ```
    pub fn get_index_mut(&mut self, index: usize) -> Option<(&K, &mut V)> {
        if index >= self.len() {
            return None;
        }
        let path = self.tree.path_to(index);
        self.tree.entry_mut(&path).map(|(key, value)| (&*key, value))
    }
}
