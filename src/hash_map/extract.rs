//! Taking out what a predicate names, entry by entry, without copying what stays.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;

use super::HashMap;
use super::node::{MapBranch, Prefix, ROOT, Tree, slot_of};
use crate::node::{LeafRef, NodeRef, Place, SLOTS};

impl<K, V, S> HashMap<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    /// Keeps the entries for which `keep` answers true; it sees each once, in no order. **O(n)**, and **O(log n)** for
    /// each one that goes. What is kept is not copied, so `keep` sees values and cannot change them; for that there is
    /// [`iter_mut`](Self::iter_mut).
    ///
    /// If `keep` panics, what it refused before is gone.
    ///
    /// ```
    /// let mut map: perennial::HashMap<u32, u32> = (0..10).map(|n| (n, n * n)).collect();
    /// map.retain(|_, square| square % 2 == 0);
    /// assert_eq!(map, (0..5).map(|n| (2 * n, 4 * n * n)).collect());
    /// ```
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.extract_if(|key, value| !keep(key, value)).for_each(drop);
    }

    /// Takes out, as it is iterated, the entries for which `goes` answers true. **O(n)**, and **O(log n)** for each one
    /// that goes; what stays is not copied. Those not iterated over stay.
    ///
    /// ```
    /// let mut map: perennial::HashMap<u32, u32> = (0..10).map(|n| (n, n)).collect();
    /// assert_eq!(map.extract_if(|key, _| key % 3 == 0).count(), 4);
    /// assert_eq!(map.len(), 6);
    /// ```
    pub fn extract_if<F: FnMut(&K, &V) -> bool>(&mut self, goes: F) -> ExtractIf<'_, K, V, S, F> {
        ExtractIf { map: self, from: Some(0), seen: 0, goes }
    }
}

/// Takes entries out of a [`HashMap`]. See [`HashMap::extract_if`].
///
/// Leaves are found by the lowest hash that was not looked at. Removing an entry may merge its leaf with ones before
/// or behind it; the leaf's own entries then stay in front, in their order (see `remove::remove`), and of the others those
/// with lower hashes were looked at where they lay before.
pub struct ExtractIf<'a, K, V, S, F> {
    map: &'a mut HashMap<K, V, S>,
    /// Where the leaf begins that is looked at, as it was found; `None` when all were.
    from: Option<u64>,
    /// Entries at the front of that leaf that were looked at and stay.
    seen: usize,
    goes: F,
}

/// The first leaf that ends behind `from`.
fn leaf_from<K, V>(tree: &Tree<K, V>, from: u64) -> Option<(LeafRef<'_, (K, V)>, Place)> {
    match tree.get(|| ROOT)? {
        NodeRef::Leaf(leaf) => Some((leaf, ROOT)),
        NodeRef::Branch(branch) => leaf_below(branch, from),
    }
}

fn leaf_below<K, V>(branch: &MapBranch<K, V>, from: u64) -> Option<(LeafRef<'_, (K, V)>, Place)> {
    let Prefix(prefix) = branch.extra;
    let mut slot = slot_of(from.max(prefix), u32::from(branch.level()));
    while slot < SLOTS {
        let start = branch.start_of(slot);
        let found = match branch.child(start) {
            Some(NodeRef::Leaf(leaf)) => Some((leaf, branch.place(start))),
            Some(NodeRef::Branch(child)) => leaf_below(child, from),
            None => None,
        };
        if found.is_some() {
            return found;
        }
        slot = branch.end_of(start);
    }
    None
}

/// The first hash behind a place, unless it is the last one.
fn end_of(place: Place) -> Option<u64> {
    if place.depth == 0 { None } else { place.what.checked_add(1 << (64 - place.depth)) }
}

impl<K, V, S, F> Iterator for ExtractIf<'_, K, V, S, F>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
    F: FnMut(&K, &V) -> bool,
{
    type Item = (K, V);

    fn next(&mut self) -> Option<(K, V)> {
        loop {
            let Some((leaf, place)) = leaf_from(&self.map.tree, self.from?) else {
                self.from = None;
                return None;
            };
            let from = self.from?.max(place.what);
            let was_merged = place.what < from;
            let entries = leaf.items(true);
            let found = (self.seen..entries.len()).find(|&index| {
                let (key, value) = &entries[index];
                !(was_merged && self.map.hash(key) < from) && (self.goes)(key, value)
            });
            match found {
                Some(index) => {
                    // The last entry moves to its place and is the next to be looked at.
                    (self.from, self.seen) = (Some(from), index);
                    return Some(self.map.remove_at(place.what, index));
                }
                None => (self.from, self.seen) = (end_of(place), 0),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.map.len()))
    }
}

impl<K, V, S, F> FusedIterator for ExtractIf<'_, K, V, S, F>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
    F: FnMut(&K, &V) -> bool,
{
}

impl<K, V, S, F> fmt::Debug for ExtractIf<'_, K, V, S, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExtractIf").field("len", &self.map.len()).finish_non_exhaustive()
    }
}
