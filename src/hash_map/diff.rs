//! What changed between two maps, in time proportional to the change.

use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;

use super::HashMap;
use super::node::{MapBranch, Prefix};
use crate::node::{Items, LeafRef, NodeRef, SLOTS};

/// One difference between two maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiffItem<'a, K, V> {
    /// The key is only in the newer map.
    Added(&'a K, &'a V),
    /// The key is only in the older map.
    Removed(&'a K, &'a V),
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

type MapRef<'a, K, V> = NodeRef<'a, (K, V), Prefix>;

/// Work that is left: nodes of the two maps that lie at the same place, or what only has to be looked up.
enum Part<'a, K, V> {
    Both(MapRef<'a, K, V>, MapRef<'a, K, V>),
    Old(MapRef<'a, K, V>),
    New(MapRef<'a, K, V>),
}

/// Differences between two maps, found lazily. See [`HashMap::diff`].
///
/// Both tries are walked together; what they share, in memory or by address, is passed over without a look (and
/// without being loaded). Two leaves are compared by their tags; where the shapes differ, the few entries of that
/// place are looked up in the other map.
pub struct Diff<'a, K, V, S> {
    old: &'a HashMap<K, V, S>,
    new: &'a HashMap<K, V, S>,
    parts: Vec<Part<'a, K, V>>,
    removed: Items<'a, (K, V), Prefix>,
    added: Items<'a, (K, V), Prefix>,
    found: Vec<DiffItem<'a, K, V>>,
}

impl<'a, K: Hash + Eq, V: PartialEq, S: BuildHasher> Diff<'a, K, V, S> {
    pub(super) fn new(old: &'a HashMap<K, V, S>, new: &'a HashMap<K, V, S>) -> Self {
        let (removed, added) = (Items::new(None), Items::new(None));
        let mut diff = Self { old, new, parts: Vec::new(), removed, added, found: Vec::new() };
        if old.tree.same(&new.tree) {
            return diff;
        }
        match (old.root(), new.root()) {
            (Some(old_root), Some(new_root)) if old.same_layout(new) => {
                diff.parts.push(Part::Both(old_root, new_root));
            }
            // One is empty, or another seed or capacity puts keys elsewhere: every entry is looked up.
            (old_root, new_root) => {
                diff.parts.extend(old_root.map(Part::Old));
                diff.parts.extend(new_root.map(Part::New));
            }
        }
        diff
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
                        (old, new) => {
                            self.parts.extend(old.map(Part::Old));
                            self.parts.extend(new.map(Part::New));
                        }
                    }
                }
            } else {
                let region = slot..old_end.max(new_end);
                let within = |start: &usize| region.contains(start);
                self.parts
                    .extend(old.ranges().filter(within).filter_map(|start| old.child(start).map(Part::Old)));
                self.parts
                    .extend(new.ranges().filter(within).filter_map(|start| new.child(start).map(Part::New)));
            }
            slot = old_end.max(new_end);
        }
    }

    /// Compares two leaves of the same place by their tags.
    fn compare(&mut self, old: LeafRef<'a, (K, V)>, new: LeafRef<'a, (K, V)>) {
        for (entry, &tag) in new.items(true).iter().zip(new.tags()) {
            match old.find(tag, |other| other.0 == entry.0) {
                None => self.found.push(DiffItem::Added(&entry.0, &entry.1)),
                Some(index) => {
                    let old = &old.items(true)[index].1;
                    if *old != entry.1 {
                        self.found.push(DiffItem::Changed { key: &entry.0, old, new: &entry.1 });
                    }
                }
            }
        }
        for (entry, &tag) in old.items(true).iter().zip(old.tags()) {
            if new.find(tag, |other| other.0 == entry.0).is_none() {
                self.found.push(DiffItem::Removed(&entry.0, &entry.1));
            }
        }
    }
}

impl<'a, K: Hash + Eq, V: PartialEq, S: BuildHasher> Iterator for Diff<'a, K, V, S> {
    type Item = DiffItem<'a, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.found.pop() {
                return Some(item);
            }
            if let Some((key, value)) = self.removed.next() {
                if !self.new.contains_key(key) {
                    return Some(DiffItem::Removed(key, value));
                }
            } else if let Some((key, new)) = self.added.next() {
                match self.old.get(key) {
                    None => return Some(DiffItem::Added(key, new)),
                    Some(old) if old != new => return Some(DiffItem::Changed { key, old, new }),
                    Some(_) => {}
                }
            } else {
                match self.parts.pop()? {
                    Part::Both(NodeRef::Branch(old), NodeRef::Branch(new)) => self.divide(old, new),
                    Part::Both(NodeRef::Leaf(old), NodeRef::Leaf(new)) => self.compare(old, new),
                    Part::Both(old, new) => self.parts.extend([Part::Old(old), Part::New(new)]),
                    Part::Old(node) => self.removed = Items::new(Some(node)),
                    Part::New(node) => self.added = Items::new(Some(node)),
                }
            }
        }
    }
}

impl<K: Hash + Eq, V: PartialEq, S: BuildHasher> FusedIterator for Diff<'_, K, V, S> {}
