//! Taking out what a predicate names, entry by entry, without copying what stays.

use std::fmt;
use std::hash::{BuildHasher, Hash};
use std::iter::FusedIterator;

use super::HashMap;
use super::node::{MapBranch, Prefix, ROOT, Tree, leaf_of_hash, lies_under, slot_of};
use super::order::LeafOrder;
use crate::node::{LeafRef, NodeRef, SLOTS};
use crate::record::Place;

impl<K, V, S> HashMap<K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    /// Keeps the entries for which `keep` answers true; it sees each once. **O(n)**, and **O(log n)** for each one that goes.
    /// The order is that of [`iter`](Self::iter), but where leaves merge because of what went, the rest of them comes in the order of
    /// the merged one: the same contents, seed and answers always give the same order. What is kept is not copied, so `keep` sees values and cannot change them; for that there is
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

    /// Takes out, as it is iterated, the entries for which `goes` answers true, in the order of [`retain`](Self::retain).
    /// **O(n)**, and **O(log n)** for each one that goes; what stays is not copied. Those not iterated over stay.
    ///
    /// ```
    /// let mut map: perennial::HashMap<u32, u32> = (0..10).map(|n| (n, n)).collect();
    /// assert_eq!(map.extract_if(|key, _| key % 3 == 0).count(), 4);
    /// assert_eq!(map.len(), 6);
    /// ```
    pub fn extract_if<F: FnMut(&K, &V) -> bool>(&mut self, goes: F) -> ExtractIf<'_, K, V, S, F> {
        ExtractIf { extract: Extract::new(self), goes }
    }
}

/// Takes entries out of a [`HashMap`]. See [`HashMap::extract_if`].
pub struct ExtractIf<'a, K, V, S, F> {
    extract: Extract<'a, K, V, S>,
    goes: F,
}

/// A walk through a map that takes entries out; whoever holds it decides which.
///
/// Leaves are found by the lowest hash that was not looked at. Removing an entry may merge its leaf with ones before or
/// behind it. The leaf's own entries then stay together, behind those of lower hashes (see `remove::extract`), and what
/// was merged from before them is not looked at again.
pub(crate) struct Extract<'a, K, V, S> {
    map: &'a mut HashMap<K, V, S>,
    /// Start of the next leaf; `None` when there is none.
    from: Option<u64>,
    /// Start of the leaf at hand when it was found.
    place: u64,
    /// Hashes and positions of its entries that were not looked at, the next one last.
    pending: Vec<(u64, usize)>,
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

impl<'a, K, V, S> Extract<'a, K, V, S> {
    pub(crate) fn new(map: &'a mut HashMap<K, V, S>) -> Self {
        Self { map, from: Some(0), place: 0, pending: Vec::new() }
    }

    /// Bounds of how many entries are to come.
    pub(crate) fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.map.len()))
    }
}

impl<K, V, S> Extract<'_, K, V, S>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    /// Finds the next leaf with entries that were not looked at; whether there is one.
    fn enter(&mut self) -> bool {
        while let Some(from) = self.from.take() {
            let Some((leaf, place)) = leaf_from(&self.map.tree, from) else { return false };
            let in_order = LeafOrder::of(leaf, self.map.ties);
            let hashed = in_order.map(|index| (self.map.hash(&leaf.items(true)[index].0), index));
            // What was merged from before `from` was looked at. Where keys lie, a hash is kept within its leaf.
            let is_merged = place.what < from;
            let hashed = hashed.filter(|&(hash, _)| !is_merged || hash >= from);
            self.pending = hashed.map(|(hash, index)| (within(hash, place), index)).collect();
            self.pending.reverse();
            (self.place, self.from) = (place.what, end_of(place));
            if !self.pending.is_empty() {
                return true;
            }
        }
        false
    }

    /// Finds the entries that are pending again when one of `len`, at `index`, was removed.
    fn settle(&mut self, index: usize, len: usize) {
        let Some(&(hash, _)) = self.pending.last() else { return };
        let Some((leaf, place)) = leaf_from(&self.map.tree, hash) else { return self.pending.clear() };
        let first = match leaf.len() {
            now if now + 1 == len => 0,
            // Merged: behind what has lower hashes.
            _ => leaf.items(true).iter().filter(|entry| self.map.hash(&entry.0) < self.place).count(),
        };
        self.place = place.what;
        for (_, at) in &mut self.pending {
            // The last entry moved to where the other was.
            *at = first + if *at + 1 == len { index } else { *at };
        }
        if self.pending.iter().any(|&(_, at)| at >= leaf.len()) {
            self.pending.clear(); // hashes lie
        }
    }

    /// Goes on to the next entry for which `goes` returns true, and takes it out.
    pub(crate) fn next_if(&mut self, mut goes: impl FnMut(&K, &V) -> bool) -> Option<(K, V)> {
        loop {
            let Some((hash, index)) = self.pending.pop() else {
                if self.enter() {
                    continue;
                }
                return None;
            };
            let leaf = leaf_of_hash(&self.map.tree, hash)?;
            let (len, (key, value)) = (leaf.len(), leaf.items(true).get(index)?);
            if goes(key, value) {
                let entry = self.map.remove_at(hash, index);
                self.settle(index, len);
                return Some(entry);
            }
        }
    }
}

/// A hash, or the first one of the place if it does not lie there.
fn within(hash: u64, place: Place) -> u64 {
    if lies_under(hash, place) { hash } else { place.what }
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
        self.extract.next_if(&mut self.goes)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.extract.size_hint()
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
        f.debug_struct("ExtractIf").finish_non_exhaustive()
    }
}
