//! What changed from one version of a map to another.

use std::fmt;
use std::iter::FusedIterator;

use super::OrdMap;
use super::node::Order;
use super::tree::Tree;
use super::walk::{Part, Step, Walk};
use crate::error::Result;
use crate::hash_map::DiffItem;
use crate::node::{Items, MapValues};

/// Walks over the differences of two maps in order of the keys; see [`OrdMap::diff`](super::OrdMap::diff).
pub struct Diff<'a, K, V> {
    walk: Walk<'a, K, V>,
    /// The entries of a node that only one of the two has.
    removed: Items<'a, (K, V), Order<K>>,
    added: Items<'a, (K, V), Order<K>>,
}

impl<'a, K: Ord, V: PartialEq> Diff<'a, K, V> {
    pub(super) fn new(old: &'a Tree<K, V>, new: &'a Tree<K, V>) -> Self {
        Self { walk: Walk::new(old, new), removed: Items::new(None), added: Items::new(None) }
    }
}

impl<'a, K: Ord, V: PartialEq> Iterator for Diff<'a, K, V> {
    type Item = DiffItem<'a, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, old)) = self.removed.next() {
                return Some(DiffItem::Removed { key, old });
            }
            if let Some((key, new)) = self.added.next() {
                return Some(DiffItem::Added { key, new });
            }
            self.walk.pass_equal();
            match self.walk.next()? {
                Step::Old(Part::Entry((key, old))) => return Some(DiffItem::Removed { key, old }),
                Step::New(Part::Entry((key, new))) => return Some(DiffItem::Added { key, new }),
                Step::Both((_, old), (key, new)) if old != new => {
                    return Some(DiffItem::Changed { key, old, new });
                }
                Step::Both(..) | Step::Shared(_) => {}
                Step::Old(part) => self.removed = Items::new(part.node()),
                Step::New(part) => self.added = Items::new(part.node()),
            }
        }
    }
}

impl<K: Ord, V: PartialEq> FusedIterator for Diff<'_, K, V> {}

impl<K, V> Clone for Diff<'_, K, V> {
    fn clone(&self) -> Self {
        Self { walk: self.walk.clone(), removed: self.removed.clone(), added: self.added.clone() }
    }
}

impl<K: Ord + fmt::Debug, V: PartialEq + fmt::Debug> fmt::Debug for Diff<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

impl<K, V> MapValues for OrdMap<K, V>
where
    K: Ord + Clone + 'static,
    V: PartialEq + Clone + 'static,
{
    type Item<'a> = (&'a K, &'a V);
    type Mapped<W: Clone + 'static> = OrdMap<K, W>;

    fn map_since<W: Clone + 'static>(
        &self,
        earlier: Option<(&Self, &OrdMap<K, W>)>,
        mut map: impl for<'a> FnMut((&'a K, &'a V)) -> Result<W>,
    ) -> Result<OrdMap<K, W>> {
        let Some((earlier, mapped)) = earlier else {
            let entries = self.iter().map(|(key, value)| Ok((key.clone(), map((key, value))?)));
            return entries.collect::<Result<Vec<_>>>().map(OrdMap::from);
        };
        let mut mapped = mapped.clone();
        for change in earlier.diff(self) {
            match change.new() {
                Some(value) => drop(mapped.insert(change.key().clone(), map((change.key(), value))?)),
                None => drop(mapped.remove(change.key())),
            }
        }
        Ok(mapped)
    }
}
