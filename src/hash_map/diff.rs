//! What changed between two maps, in time proportional to the change.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;

use super::HashMap;
use super::iter::Entries;
use super::node::{MapBranch, Prefix};
use super::order::LeafOrder;
use crate::error::Result;
use crate::node::{LeafRef, MapValues, NodeRef, SLOTS};

/// One difference between two maps, the old and the new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DiffItem<'a, K, V> {
    /// The key is only in the newer map.
    Added {
        /// The key.
        key: &'a K,
        /// The newer map's value.
        new: &'a V,
    },
    /// The key is only in the older map.
    Removed {
        /// The key.
        key: &'a K,
        /// The older map's value.
        old: &'a V,
    },
    /// The key is in both, with different values.
    Changed {
        /// The key, as the newer map holds it.
        key: &'a K,
        /// The older map's value.
        old: &'a V,
        /// The newer map's value.
        new: &'a V,
    },
}

impl<'a, K, V> DiffItem<'a, K, V> {
    /// The key.
    ///
    /// ```
    /// use perennial::hash_map::DiffItem;
    /// let change = DiffItem::Changed { key: &1, old: &'a', new: &'b' };
    /// assert_eq!((change.key(), change.old(), change.new()), (&1, Some(&'a'), Some(&'b')));
    /// ```
    pub fn key(&self) -> &'a K {
        match *self {
            Self::Added { key, .. } | Self::Removed { key, .. } | Self::Changed { key, .. } => key,
        }
    }

    /// The older map's value, if it has the key.
    pub fn old(&self) -> Option<&'a V> {
        match *self {
            Self::Added { .. } => None,
            Self::Removed { old, .. } | Self::Changed { old, .. } => Some(old),
        }
    }

    /// The newer map's value, if it has the key.
    #[expect(clippy::new_ret_no_self, reason = "the opposite of `old`")]
    pub fn new(&self) -> Option<&'a V> {
        match *self {
            Self::Removed { .. } => None,
            Self::Added { new, .. } | Self::Changed { new, .. } => Some(new),
        }
    }

    /// What a three-way merge makes of this change where a third map has `mine`: `None` if that stays, else the value
    /// in its place, if any.
    pub(crate) fn merged(
        &self,
        mine: Option<&V>,
        resolve: impl FnOnce(&K, Option<&V>, Option<&V>, Option<&V>) -> Option<V>,
    ) -> Option<Option<V>>
    where
        V: Clone + PartialEq,
    {
        if mine == self.new() {
            return None;
        }
        let value = if mine == self.old() {
            self.new().cloned()
        } else {
            resolve(self.key(), self.old(), mine, self.new())
        };
        (value.as_ref() != mine).then_some(value)
    }
}

type MapRef<'a, K, V> = NodeRef<'a, (K, V), Prefix>;

/// Work that is left: nodes of the two maps that lie at the same place, or what only has to be looked up.
enum Part<'a, K, V> {
    Both(MapRef<'a, K, V>, MapRef<'a, K, V>),
    Old(MapRef<'a, K, V>),
    New(MapRef<'a, K, V>),
}

impl<K, V> Clone for Part<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Part<'_, K, V> {}

/// What two maps do not share.
pub(super) enum Step<'a, K, V> {
    /// Only the old map has the key.
    Old(&'a (K, V)),
    /// Only the new map has the key.
    New(&'a (K, V)),
    /// Both have the key.
    Both(&'a (K, V), &'a (K, V)),
}

impl<K, V> Clone for Step<'_, K, V> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<K, V> Copy for Step<'_, K, V> {}

/// Keys of which map alone are of interest. Those that both have always are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sides {
    Old,
    New,
    Both,
}

/// Two tries walked together; what they share, in memory or by address, is passed over without a look (and without
/// being loaded). Two leaves are compared by their tags; where the shapes differ, the few entries of that place are
/// looked up in the other map. A key that both have is met when the new map's entries are looked at, or the old one's
/// where only these are.
pub(super) struct Walk<'a, K, V, S> {
    old: &'a HashMap<K, V, S>,
    new: &'a HashMap<K, V, S>,
    sides: Sides,
    parts: Vec<Part<'a, K, V>>,
    of_old: Entries<'a, K, V>,
    of_new: Entries<'a, K, V>,
    found: Vec<Step<'a, K, V>>,
}

impl<K, V, S> Clone for Walk<'_, K, V, S> {
    fn clone(&self) -> Self {
        let Self { old, new, sides, .. } = *self;
        let (of_old, of_new) = (self.of_old.clone(), self.of_new.clone());
        Self { old, new, sides, parts: self.parts.clone(), of_old, of_new, found: self.found.clone() }
    }
}

impl<'a, K: Hash + Eq, V, S: BuildHasher> Walk<'a, K, V, S> {
    pub(super) fn new(old: &'a HashMap<K, V, S>, new: &'a HashMap<K, V, S>, sides: Sides) -> Self {
        let (of_old, of_new) = (Entries::new(None, old.ties), Entries::new(None, new.ties));
        let mut walk = Self { old, new, sides, parts: Vec::new(), of_old, of_new, found: Vec::new() };
        if !old.tree.same(&new.tree) {
            let (old_root, new_root) = (old.root(), new.root());
            match old_root.zip(new_root).filter(|_| old.same_layout(new)) {
                Some((old, new)) => walk.parts.push(Part::Both(old, new)),
                // One is empty, or another seed or capacity puts keys elsewhere: every entry is looked up.
                None => walk.each(old_root, new_root),
            }
        }
        walk
    }

    /// Leaves the entries of two nodes to be looked up, those that are of interest.
    fn each(&mut self, old: Option<MapRef<'a, K, V>>, new: Option<MapRef<'a, K, V>>) {
        self.parts.extend(old.filter(|_| self.sides != Sides::New).map(Part::Old));
        self.parts.extend(new.filter(|_| self.sides != Sides::Old).map(Part::New));
    }

    /// Leaves the parts of two branches to be done, except those that are the same.
    fn divide(&mut self, old: &'a MapBranch<K, V>, new: &'a MapBranch<K, V>) {
        let mut slot = 0;
        while slot < SLOTS {
            // Ranges are aligned powers of two, so of two that meet one contains the other.
            let (old_end, new_end) = (old.end_of(old.start_of(slot)), new.end_of(new.start_of(slot)));
            if old_end == new_end {
                if !old.same_child(slot, new, slot) {
                    match (old.child(slot), new.child(slot)) {
                        (Some(old), Some(new)) => self.parts.push(Part::Both(old, new)),
                        (old, new) => self.each(old, new),
                    }
                }
            } else {
                let region = slot..old_end.max(new_end);
                let within = |start: &usize| region.contains(start);
                old.ranges().filter(within).for_each(|start| self.each(old.child(start), None));
                new.ranges().filter(within).for_each(|start| self.each(None, new.child(start)));
            }
            slot = old_end.max(new_end);
        }
    }

    /// Compares two leaves of the same place by their tags.
    fn compare(&mut self, old: LeafRef<'a, (K, V)>, new: LeafRef<'a, (K, V)>) {
        for (entry, tag) in
            LeafOrder::of(new, self.new.ties).map(|index| (&new.items(true)[index], new.tags()[index]))
        {
            match old.find(tag, |other| other.0 == entry.0) {
                None if self.sides == Sides::Old => {}
                None => self.found.push(Step::New(entry)),
                Some((_, older)) => self.found.push(Step::Both(older, entry)),
            }
        }
        if self.sides == Sides::New {
            return;
        }
        for (entry, tag) in
            LeafOrder::of(old, self.old.ties).map(|index| (&old.items(true)[index], old.tags()[index]))
        {
            if new.find(tag, |other| other.0 == entry.0).is_none() {
                self.found.push(Step::Old(entry));
            }
        }
    }
}

impl<'a, K: Hash + Eq, V, S: BuildHasher> Iterator for Walk<'a, K, V, S> {
    type Item = Step<'a, K, V>;

    fn next(&mut self) -> Option<Step<'a, K, V>> {
        loop {
            if let Some(step) = self.found.pop() {
                return Some(step);
            }
            if let Some(entry) = self.of_old.next() {
                match self.new.entry_of(&entry.0) {
                    None => return Some(Step::Old(entry)),
                    Some(other) if self.sides == Sides::Old => return Some(Step::Both(entry, other)),
                    Some(_) => {}
                }
            } else if let Some(entry) = self.of_new.next() {
                match self.old.entry_of(&entry.0) {
                    None => return Some(Step::New(entry)),
                    Some(other) => return Some(Step::Both(other, entry)),
                }
            } else {
                match self.parts.pop()? {
                    Part::Both(NodeRef::Branch(old), NodeRef::Branch(new)) => self.divide(old, new),
                    Part::Both(NodeRef::Leaf(old), NodeRef::Leaf(new)) => self.compare(old, new),
                    Part::Both(old, new) => self.each(Some(old), Some(new)),
                    Part::Old(node) => self.of_old = Entries::new(Some(node), self.old.ties),
                    Part::New(node) => self.of_new = Entries::new(Some(node), self.new.ties),
                }
            }
        }
    }
}

/// Differences between two maps, found lazily. See [`HashMap::diff`].
pub struct Diff<'a, K, V, S>(Walk<'a, K, V, S>);

impl<'a, K: Hash + Eq, V: PartialEq, S: BuildHasher> Diff<'a, K, V, S> {
    pub(super) fn new(old: &'a HashMap<K, V, S>, new: &'a HashMap<K, V, S>) -> Self {
        Self(Walk::new(old, new, Sides::Both))
    }
}

impl<'a, K: Hash + Eq, V: PartialEq, S: BuildHasher> Iterator for Diff<'a, K, V, S> {
    type Item = DiffItem<'a, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.next()? {
                Step::Old((key, old)) => return Some(DiffItem::Removed { key, old }),
                Step::New((key, new)) => return Some(DiffItem::Added { key, new }),
                Step::Both((_, old), (key, new)) if old != new => {
                    return Some(DiffItem::Changed { key, old, new });
                }
                Step::Both(..) => {}
            }
        }
    }
}

impl<K: Hash + Eq, V: PartialEq, S: BuildHasher> FusedIterator for Diff<'_, K, V, S> {}

impl<K, V, S> Clone for Diff<'_, K, V, S> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V, S> fmt::Debug for Diff<'_, K, V, S>
where
    K: Hash + Eq + fmt::Debug,
    V: PartialEq + fmt::Debug,
    S: BuildHasher,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<K, V, S> MapValues for HashMap<K, V, S>
where
    K: Hash + Eq + Clone + 'static,
    V: PartialEq + Clone + 'static,
    S: BuildHasher + Clone + 'static,
{
    type Item<'a> = (&'a K, &'a V);
    type Mapped<W: Clone + 'static> = HashMap<K, W, S>;

    fn map_since<W: Clone + 'static>(
        &self,
        earlier: Option<(&Self, &HashMap<K, W, S>)>,
        mut map: impl for<'a> FnMut((&'a K, &'a V)) -> Result<W>,
    ) -> Result<HashMap<K, W, S>> {
        let empty = Self::with_hasher(self.hash_builder.clone());
        let (earlier, mut mapped) = match earlier {
            Some((earlier, mapped)) => (earlier, mapped.clone()),
            None => (&empty, HashMap::with_hasher(self.hash_builder.clone())),
        };
        for change in earlier.diff(self) {
            match change.new() {
                Some(value) => drop(mapped.insert(change.key().clone(), map((change.key(), value))?)),
                None => drop(mapped.remove(change.key())),
            }
        }
        Ok(mapped)
    }
}
