//! Edits of a map: one entry, a range, a predicate.

use std::borrow::Borrow;
use std::fmt;
use std::iter::FusedIterator;
use std::mem;
use std::ops::{Range, RangeBounds};

use super::OrdMap;
use super::algebra::Pick;
use super::entry::{Entry, OccupiedEntry, VacantEntry};
use super::iter::{Iter, bounds, positions};
use super::join::Seam;
use super::node::assert_room;
use super::tree::Tree;
use super::walk::{Step, Walk};

impl<K: Clone, V: Clone> OrdMap<K, V> {
    /// Inserts an entry; the value that the key had. **O(log n)**. As in std, a key that is there is kept.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::new();
    /// assert_eq!(map.insert("ada", 1), None);
    /// assert_eq!(map.insert("ada", 2), Some(1));
    /// ```
    #[inline]
    pub fn insert(&mut self, key: K, value: V) -> Option<V>
    where
        K: Ord,
    {
        let (path, found) = self.tree.find(&key);
        if found.is_none() {
            self.tree.insert(&path, (key, value));
            return None;
        }
        self.tree.entry_mut(&path).map(|entry| mem::replace(&mut entry.1, value))
    }

    /// Removes a key; its value. **O(log n)**. If the key is absent nothing is copied or marked changed.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([("ada", 1)]);
    /// assert_eq!((map.remove("ada"), map.remove("ada")), (Some(1), None));
    /// ```
    pub fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        self.remove_entry(key).map(|(_, value)| value)
    }

    /// Removes a key; its entry. See [`remove`](Self::remove).
    ///
    /// ```
    /// assert_eq!(perennial::OrdMap::from([(1, 'a')]).remove_entry(&1), Some((1, 'a')));
    /// ```
    pub fn remove_entry<Q>(&mut self, key: &Q) -> Option<(K, V)>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (path, found) = self.tree.find(key);
        found?;
        Some(self.tree.remove(&path))
    }

    /// The value of a key, to change it. **O(log n)**. If the key is absent nothing is copied or marked changed.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([("ada", 1)]);
    /// *map.get_mut("ada").unwrap() += 1;
    /// assert_eq!(map["ada"], 2);
    /// ```
    pub fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let (path, found) = self.tree.find(key);
        found?;
        self.tree.entry_mut(&path).map(|entry| &mut entry.1)
    }

    /// Puts a key in the place of one that equals it, which comes back; the key, if there is none.
    pub(crate) fn replace_key(&mut self, key: K) -> Result<K, K>
    where
        K: Ord,
    {
        match self.tree.find(&key) {
            (path, Some(_)) => match self.tree.entry_mut(&path) {
                Some(entry) => Ok(mem::replace(&mut entry.0, key)),
                None => Err(key),
            },
            (_, None) => Err(key),
        }
    }

    /// The place of a key, for changes that depend on whether it is there. **O(log n)**. Looking copies nothing.
    ///
    /// ```
    /// let mut visits = perennial::OrdMap::new();
    /// for name in ["ada", "bob", "ada"] {
    ///     *visits.entry(name).or_insert(0) += 1;
    /// }
    /// assert_eq!((visits["ada"], visits["bob"]), (2, 1));
    /// ```
    pub fn entry(&mut self, key: K) -> Entry<'_, K, V>
    where
        K: Ord,
    {
        match self.tree.find(&key) {
            (path, Some(_)) => Entry::Occupied(OccupiedEntry { map: self, path }),
            (path, None) => Entry::Vacant(VacantEntry { map: self, path, key }),
        }
    }

    /// The place of the lowest key. **O(log n)**.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([(1, 'a'), (2, 'b')]);
    /// assert_eq!(map.first_entry().unwrap().remove(), 'a');
    /// ```
    pub fn first_entry(&mut self) -> Option<OccupiedEntry<'_, K, V>> {
        self.index_entry(0)
    }

    /// The place of the highest key. **O(log n)**.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([(1, 'a'), (2, 'b')]);
    /// assert_eq!(map.last_entry().unwrap().remove(), 'b');
    /// ```
    pub fn last_entry(&mut self) -> Option<OccupiedEntry<'_, K, V>> {
        self.index_entry(self.len().checked_sub(1)?)
    }

    /// The place of the entry at a position in the order of the keys. **O(log n)**.
    ///
    /// ```
    /// let mut map = perennial::OrdMap::from([(1, 'a'), (2, 'b')]);
    /// *map.index_entry(1).unwrap().get_mut() = 'c';
    /// assert_eq!(map[&2], 'c');
    /// ```
    pub fn index_entry(&mut self, index: usize) -> Option<OccupiedEntry<'_, K, V>> {
        if index >= self.len() {
            return None;
        }
        let path = self.tree.path_to(index);
        Some(OccupiedEntry { map: self, path })
    }

    /// Takes the entry with the lowest key out. **O(log n)**.
    ///
    /// ```
    /// assert_eq!(perennial::OrdMap::from([(1, 'a'), (2, 'b')]).pop_first(), Some((1, 'a')));
    /// ```
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        self.first_entry().map(OccupiedEntry::remove_entry)
    }

    /// Takes the entry with the highest key out. **O(log n)**.
    ///
    /// ```
    /// assert_eq!(perennial::OrdMap::from([(1, 'a'), (2, 'b')]).pop_last(), Some((2, 'b')));
    /// ```
    pub fn pop_last(&mut self) -> Option<(K, V)> {
        self.last_entry().map(OccupiedEntry::remove_entry)
    }

    /// Takes out the entry at a position in the order of the keys, `None` past the end. **O(log n)**.
    ///
    /// ```
    /// assert_eq!(perennial::OrdMap::from([(1, 'a'), (2, 'b')]).remove_index(1), Some((2, 'b')));
    /// ```
    pub fn remove_index(&mut self, index: usize) -> Option<(K, V)> {
        self.index_entry(index).map(OccupiedEntry::remove_entry)
    }

    /// Keeps the entries below `key` and returns the others. **O(log n)**. If cloning panics, nothing has changed.
    ///
    /// ```
    /// let mut map: perennial::OrdMap<u32, ()> = (0..10).map(|n| (n, ())).collect();
    /// let high = map.split_off(&7);
    /// assert_eq!((map.len(), high.first_key_value()), (7, Some((&7, &()))));
    /// ```
    pub fn split_off<Q>(&mut self, key: &Q) -> Self
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let at = self.tree.seek(|other| other.borrow() < key).0;
        self.split_off_index(at)
    }

    /// The maps of the entries below and above `key`, and the value of `key` itself. **O(log n)**: they share nodes with
    /// this one.
    ///
    /// ```
    /// let map = perennial::OrdMap::from([(1, 'a'), (2, 'b'), (3, 'c')]);
    /// let (low, value, high) = map.split_at_key(&2);
    /// assert_eq!((low, value, high), ([(1, 'a')].into(), Some('b'), [(3, 'c')].into()));
    /// ```
    pub fn split_at_key<Q>(&self, key: &Q) -> (Self, Option<V>, Self)
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
    {
        let value = self.tree.get(key).map(|entry| entry.1.clone());
        let at = self.tree.seek(|other| other.borrow() < key).0;
        let (low, rest) = self.tree.clone().cut(at);
        let (_, high) = rest.cut(usize::from(value.is_some()));
        (Self { tree: low }, value, Self { tree: high })
    }

    /// Moves all entries of `other` here; of keys that both have, the key of this map and the value of `other` stay, as in
    /// std. **O(log n)** if all keys of one lie above those of the other. Else as [`union`](Self::union) for versions of one
    /// map, and **O(k log n)** for maps that share nothing, k the entries of one that lie between those of the other.
    ///
    /// If comparing or cloning panics, both maps are valid, and some entries may have moved; one that was on its way may
    /// be gone.
    ///
    /// ```
    /// let mut low = perennial::OrdMap::from([(1, 'a'), (2, 'b')]);
    /// let mut high = perennial::OrdMap::from([(2, 'x'), (3, 'c')]);
    /// low.append(&mut high);
    /// assert_eq!(low, [(1, 'a'), (2, 'x'), (3, 'c')].into());
    /// assert!(high.is_empty());
    /// ```
    pub fn append(&mut self, other: &mut Self)
    where
        K: Ord,
    {
        let above = |one: &Self, two: &Self| match (one.last_key_value(), two.first_key_value()) {
            (Some((last, _)), Some((first, _))) => last < first,
            _ => true,
        };
        if above(self, other) {
            move_above(&mut other.tree, 0, &mut self.tree);
        } else if above(other, self) {
            move_above(&mut self.tree, 0, &mut other.tree);
            mem::swap(self, other);
        } else if share_nodes(&self.tree, &other.tree) {
            let merge = |mine: &(K, V), theirs: &(K, V)| Some((mine.0.clone(), theirs.1.clone()));
            self.tree = Pick::UNION.combine(&self.tree, &other.tree, merge);
            other.clear();
        } else {
            self.pour(other);
        }
    }

    /// Does [`append`](Self::append) for two maps that overlap and share nothing: moves the entries of the one that has
    /// fewer of them in the range of the other, and joins what remains.
    fn pour(&mut self, other: &mut Self)
    where
        K: Ord,
    {
        let (mine, theirs) = (self.overlap(other), other.overlap(self));
        let is_mine = mine.len() < theirs.len();
        let (from, into, range) =
            if is_mine { (&mut *self, &mut *other, mine) } else { (&mut *other, &mut *self, theirs) };
        for _ in range.clone() {
            let Some((key, _)) = from.get_index(range.start) else { break };
            let (path, found) = into.tree.find(key);
            if found.is_none() {
                let Some(entry) = from.remove_index(range.start) else { break };
                into.tree.insert(&path, entry);
                continue;
            }
            // Ours before the other one leaves its map: cloning a shared leaf may panic.
            into.tree.entry_mut(&path);
            let Some(entry) = from.remove_index(range.start) else { break };
            if let Some(place) = into.tree.entry_mut(&path) {
                // What is replaced is dropped when both maps are whole.
                let _old = if is_mine {
                    (Some(mem::replace(&mut place.0, entry.0)), entry.1)
                } else {
                    (None, mem::replace(&mut place.1, entry.1))
                };
            }
        }
        // What is left of `from` lies before or behind all of `into`.
        move_above(&mut from.tree, range.start, &mut into.tree);
        move_above(&mut into.tree, 0, &mut from.tree);
        if !is_mine {
            mem::swap(self, other);
        }
    }

    /// The positions of the entries that lie between the first and the last key of `other`.
    fn overlap(&self, other: &Self) -> Range<usize>
    where
        K: Ord,
    {
        let (Some((first, _)), Some((last, _))) = (other.first_key_value(), other.last_key_value()) else {
            return 0..0;
        };
        self.rank(first)..self.tree.seek(|key| key <= last).0
    }

    /// Keeps the first `at` entries and returns the others.
    fn split_off_index(&mut self, at: usize) -> Self {
        if !self.tree.is_own_around(at) {
            let (low, high) = self.tree.clone().cut(at);
            self.tree = low;
            return Self { tree: high };
        }
        let (even, mut dropped) = (self.tree.front_key(at, self.len()).0, Vec::new());
        let tree = mem::replace(&mut self.tree, Tree::empty());
        let (low, high) = tree.cut_by(at, even, &mut dropped);
        self.tree = low;
        Self { tree: high }
    }

    /// Takes out the entries whose keys are in `range`. **O(log n)**. If cloning panics, nothing has changed.
    ///
    /// # Panics
    /// As [`range`](Self::range).
    ///
    /// ```
    /// let mut map: perennial::OrdMap<u32, ()> = (0..1000).map(|n| (n, ())).collect();
    /// assert_eq!(map.remove_range(10..990).len(), 980);
    /// assert_eq!(map.len(), 20);
    /// ```
    #[track_caller]
    pub fn remove_range<Q, R>(&mut self, range: R) -> Self
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        self.remove_range_of("OrdMap", range)
    }

    /// [`remove_range`](Self::remove_range) of the collection of this name.
    #[track_caller]
    pub(crate) fn remove_range_of<Q, R>(&mut self, of: &str, range: R) -> Self
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        let (from, to, _) = positions(&self.tree, of, &range);
        if from == to {
            return Self::new();
        }
        let len = self.len();
        if !self.tree.is_own_around(from) || !self.tree.is_own_around(to) {
            let (low, rest) = self.tree.clone().cut(from);
            let (tree, high) = rest.cut(to - from);
            self.tree = Tree::join(low, high);
            return Self { tree };
        }
        let (behind, first_leaf) = self.tree.front_key(to, len);
        let even = self.tree.front_key(from, to).0;
        let seam = (from > 0 && to < len).then(|| Seam::around(&self.tree, from, to, first_leaf));
        // Nothing from here on fails, and what is left over is dropped last.
        let mut dropped = Vec::new();
        let (left, high) = mem::replace(&mut self.tree, Tree::empty()).cut_by(to, behind, &mut dropped);
        let (low, tree) = left.cut_by(from, even, &mut dropped);
        self.tree = match seam {
            Some(seam) => Tree::join_by(low, high, seam, &mut dropped),
            None if from > 0 => low,
            None => high,
        };
        Self { tree }
    }

    /// Keeps the entries for which `keep` answers true; it sees each once, in order. **O(n)**, and **O(log n)** for each
    /// one that goes. What is kept is not copied, so `keep` sees values and cannot change them; for that there is
    /// [`iter_mut`](Self::iter_mut).
    ///
    /// If `keep` panics, what it refused before is gone.
    ///
    /// ```
    /// let mut map: perennial::OrdMap<u32, u32> = (0..10).map(|n| (n, n * n)).collect();
    /// map.retain(|_, square| square % 2 == 0);
    /// assert!(map.keys().eq(&[0, 2, 4, 6, 8]));
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        let to = self.len();
        let mut extract = Extract { map: self, from: 0, to };
        while extract.next_if(|key, value| !keep(key, value)).is_some() {}
    }

    /// Takes out, as it is iterated, the entries whose keys are in `range` and for which `goes` answers true. **O(n)**,
    /// and **O(log n)** for each one that goes; what stays is not copied. Those not iterated over stay.
    ///
    /// # Panics
    /// As [`range`](Self::range).
    ///
    /// ```
    /// let mut map: perennial::OrdMap<u32, u32> = (0..10).map(|n| (n, n)).collect();
    /// assert!(map.extract_if(4.., |key, _| key % 3 == 0).eq([(6, 6), (9, 9)]));
    /// assert_eq!(map.len(), 8);
    /// ```
    pub fn extract_if<Q, R, F>(&mut self, range: R, goes: F) -> ExtractIf<'_, K, V, F>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
        F: FnMut(&K, &V) -> bool,
    {
        ExtractIf { extract: self.extract(range), goes }
    }

    /// Begins to take out entries whose keys are in `range`.
    pub(crate) fn extract<Q, R>(&mut self, range: R) -> Extract<'_, K, V>
    where
        K: Borrow<Q>,
        Q: Ord + ?Sized,
        R: RangeBounds<Q>,
    {
        let (from, to, _) = bounds(&self.tree, &range);
        Extract { map: self, from, to }
    }
}

/// Moves the entries of `from` at position `at` and behind, whose keys are all above those of `into`, to the end of that.
/// If cloning panics, nothing has moved.
fn move_above<K: Clone, V: Clone>(from: &mut Tree<K, V>, at: usize, into: &mut Tree<K, V>) {
    if at >= from.len {
        return;
    }
    assert_room(into.len, from.len - at);
    if !from.is_own_around(at) || !into.is_own_around(into.len) {
        let (low, high) = from.clone().cut(at);
        *into = Tree::join(into.clone(), high);
        *from = low;
        return;
    }
    let (even, first_leaf) = from.front_key(at, from.len);
    let seam = (into.len > 0).then(|| Seam::of(into, from, at, first_leaf));
    // Nothing from here on fails, and what is left over is dropped last.
    let mut dropped = Vec::new();
    let (low, high) = mem::replace(from, Tree::empty()).cut_by(at, even, &mut dropped);
    *from = low;
    *into = match seam {
        Some(seam) => Tree::join_by(mem::replace(into, Tree::empty()), high, seam, &mut dropped),
        None => high,
    };
}

/// Returns whether two maps are versions of one, as far as a short walk shows.
fn share_nodes<K: Ord, V>(one: &Tree<K, V>, two: &Tree<K, V>) -> bool {
    Walk::new(one, two).take(1000).any(|step| matches!(step, Step::Shared(_)))
}

/// A walk through a part of a map that takes entries out; whoever holds it decides which.
pub(crate) struct Extract<'a, K, V> {
    map: &'a mut OrdMap<K, V>,
    from: usize,
    to: usize,
}

impl<K, V> Extract<'_, K, V> {
    /// Bounds of how many entries are to come.
    pub(crate) fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.to - self.from))
    }

    /// Looks at the next entry, which may stay.
    pub(crate) fn peek(&self) -> Option<(&K, &V)> {
        if self.from < self.to { self.map.get_index(self.from) } else { None }
    }
}

impl<K: Clone, V: Clone> Extract<'_, K, V> {
    /// Goes on to the next entry for which `goes` returns true, and takes it out.
    pub(crate) fn next_if(&mut self, mut goes: impl FnMut(&K, &V) -> bool) -> Option<(K, V)> {
        let rest = Iter::new(&self.map.tree, self.from, self.to);
        self.from += rest.take_while(|(key, value)| !goes(key, value)).count();
        if self.from == self.to {
            return None;
        }
        let entry = self.map.remove_index(self.from)?;
        self.to -= 1;
        Some(entry)
    }
}

/// Takes entries out of an [`OrdMap`]. See [`OrdMap::extract_if`].
pub struct ExtractIf<'a, K, V, F> {
    extract: Extract<'a, K, V>,
    goes: F,
}

impl<K: Clone, V: Clone, F: FnMut(&K, &V) -> bool> Iterator for ExtractIf<'_, K, V, F> {
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        self.extract.next_if(&mut self.goes)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.extract.size_hint()
    }
}

impl<K: Clone, V: Clone, F: FnMut(&K, &V) -> bool> FusedIterator for ExtractIf<'_, K, V, F> {}

impl<K: fmt::Debug, V: fmt::Debug, F> fmt::Debug for ExtractIf<'_, K, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtractIf").field("peek", &self.extract.peek()).finish_non_exhaustive()
    }
}
