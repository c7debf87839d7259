//! The canonical bucket trie: where a key lies, how leaves split and merge.
//!
//! A branch at level `l` routes the hash bits `BITS * l ..` from the top. A leaf stands in an aligned range of its
//! parent's slots, so what leads to it is a prefix of the hash of any length. Invariants, checked by `check`:
//!
//! 1. Every entry of a leaf has the leaf's prefix.
//! 2. A prefix is a leaf exactly when at most C entries have it (C: the map's leaf capacity) or all 64 bits are used;
//!    a prefix that no entry has is an empty range. So the shape depends on contents, seed and C alone.
//! 3. Tags are the low byte of the hash. Entries of a leaf are in no order.
//!
//! All user code (hashing, comparing, cloning) runs before the first structural change of an operation: a panic
//! leaves the map as it was.

use std::hash::{BuildHasher, Hash};

use crate::error::Result;
use crate::node::{
    BITS, Branch, Node, NodeMut, NodeRef, OwnedLeaf, Place, Ranges, Root, SLOTS, SMALL, Shape,
};

/// Levels of branches that 64 bits can route.
pub(super) const LEVELS: u32 = 64 / BITS;

/// What a map's branch keeps: the hash bits that lead to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix(pub(super) u64);

impl Shape for Prefix {
    type Key = ();

    const TAGGED: bool = true;
    const NUMBERED: bool = false;

    fn shift<T>() -> u32 {
        SHIFT
    }

    fn place<T>(&self, branch: &Branch<T, Self>, start: usize) -> Place {
        let level = u32::from(branch.level());
        let range = (branch.end_of(start) - start).trailing_zeros();
        Place { what: self.0 | prefix_of(start, level), depth: BITS * (level + 1) - range }
    }

    fn number(&self, _: usize) -> Option<u64> {
        None
    }

    fn rebuild<T>(level: u8, starts: u16, _: u16, place: Place, _: &[u64; SLOTS]) -> Option<Self> {
        let aligned =
            |start: usize, end: usize| (end - start).is_power_of_two() && start.is_multiple_of(end - start);
        let mut ends = Ranges(starts).skip(1).chain([SLOTS]);
        let ranges = Ranges(starts).all(|start| ends.next().is_some_and(|end| aligned(start, end)));
        (ranges && BITS * u32::from(level) == place.depth && place.depth < 64).then_some(Self(place.what))
    }

    fn leaf_fits(_: Place, _: usize) -> bool {
        true // where a key may lie is checked key by key, by its hash
    }
}

/// The place of a map's root: no bits lead there.
pub(super) const ROOT: Place = Place { what: 0, depth: 0 };

/// Hash bits of a slot at a level.
pub(super) fn prefix_of(slot: usize, level: u32) -> u64 {
    (slot as u64) << (64 - BITS * (level + 1))
}

/// The slot that `hash` takes at a level.
#[inline]
pub(super) fn slot_of(hash: u64, level: u32) -> usize {
    (hash >> (64 - BITS * (level + 1))) as usize & (SLOTS - 1)
}

/// The byte of `hash` kept beside an entry.
#[inline]
pub(super) fn tag_of(hash: u64) -> u8 {
    hash as u8
}

/// Whether `hash` lies under `place`.
pub(super) fn lies_under(hash: u64, place: Place) -> bool {
    place.depth == 0 || (hash ^ place.what) >> (64 - place.depth) == 0
}

/// Most entries of a leaf for entries of type `T`.
pub(super) const fn leaf_capacity<T>() -> usize {
    if SMALL {
        return 3;
    }
    let fitting = 512 / if size_of::<T>() == 0 { 1 } else { size_of::<T>() };
    if fitting < 8 {
        8
    } else if fitting > 32 {
        32
    } else {
        fitting
    }
}

/// Room to allocate for `len` entries: leaves grow by steps, so that small maps stay small.
fn room_for(len: usize, capacity: usize) -> usize {
    if len > capacity {
        len.next_power_of_two()
    } else {
        len.next_multiple_of((capacity / 8).max(1)).min(capacity)
    }
}

/// Leaf capacity and mask shift never meet: a leaf above 32 entries is a collision of all 64 bits and is written in
/// full.
pub(super) const SHIFT: u32 = 0;

/// A map's tree.
pub(super) type Tree<K, V> = Root<(K, V), Prefix>;
/// A branch of a map.
pub(super) type MapBranch<K, V> = Branch<(K, V), Prefix>;
/// A node of a map.
pub(super) type MapNode<K, V> = Node<(K, V), Prefix>;

/// Finds the entry whose hash is `hash` and whose key `is` the one, and its position in its leaf.
#[inline]
pub(super) fn find<K, V>(
    tree: &Tree<K, V>,
    hash: u64,
    mut is: impl FnMut(&K) -> bool,
) -> Option<(usize, &(K, V))> {
    let mut node = tree.get(|| ROOT)?;
    let mut bits = hash;
    loop {
        match node {
            NodeRef::Branch(branch) => {
                node = branch.child((bits >> (64 - BITS)) as usize)?;
                bits <<= BITS;
            }
            NodeRef::Leaf(leaf) => {
                let index = leaf.find(tag_of(hash), |entry| is(&entry.0))?;
                return Some((index, &leaf.items(true)[index]));
            }
        }
    }
}

/// Loads the nodes on the way to `hash`.
pub(super) fn load_path<K, V>(tree: &Tree<K, V>, hash: u64) -> Result<()> {
    let mut next = tree.try_get(|| ROOT)?;
    let mut level = 0;
    while let Some(NodeRef::Branch(branch)) = next {
        next = branch.try_child(slot_of(hash, level))?;
        level += 1;
    }
    Ok(())
}

/// The value at a position that `find` answered, marked changed. Runs no user code but `Clone`.
pub(super) fn value_mut<K: Clone, V: Clone>(
    tree: &mut Tree<K, V>,
    hash: u64,
    index: usize,
) -> Option<&mut V> {
    let mut node = tree.get_mut(|| ROOT)?;
    let mut level = 0;
    loop {
        match node {
            NodeMut::Branch(branch) => {
                node = branch.child_mut(slot_of(hash, level))?;
                level += 1;
            }
            NodeMut::Leaf(leaf) => return Some(&mut leaf.item_mut(index, true, SHIFT).1),
        }
    }
}

/// What `insert` did.
pub(super) enum Inserted<V> {
    /// A new entry.
    New,
    /// The value of an entry that was there.
    Replaced(V),
}

/// Inserts or replaces. Hashing (for a split), comparing and cloning are done before anything moves.
pub(super) fn insert<K, V, S>(
    tree: &mut Tree<K, V>,
    capacity: usize,
    hasher: &S,
    hash: u64,
    key: K,
    value: V,
) -> Inserted<V>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    let mut branch = match tree.get(|| ROOT) {
        None => {
            tree.set(Some(leaf_of([(hash, (key, value))], 1, capacity)));
            return Inserted::New;
        }
        Some(NodeRef::Leaf(leaf)) => {
            let (found, full) = (leaf.find(tag_of(hash), |entry| entry.0 == key), leaf.len() >= capacity);
            if found.is_none() && full {
                let hashes: Vec<u64> =
                    leaf.items(true).iter().map(|entry| hasher.hash_one(&entry.0)).collect();
                // The leaf is made unique while it still stands in the tree: cloning may panic.
                tree.get_mut(|| ROOT);
                let items = tree.take(|| ROOT).into_iter().flat_map(|leaf| spill(leaf, &hashes));
                let items = items.chain([(hash, (key, value))]).collect();
                let mut branch = Branch::new(0, 1, Prefix(0));
                distribute(&mut branch, 0, items, capacity);
                tree.set(Some(Node::from_branch(branch)));
                return Inserted::New;
            }
            let Some(NodeMut::Leaf(leaf)) = tree.get_mut(|| ROOT) else {
                unreachable!("a leaf stays a leaf")
            };
            if let Some(index) = found {
                return Inserted::Replaced(std::mem::replace(
                    &mut leaf.item_mut(index, true, SHIFT).1,
                    value,
                ));
            }
            if !leaf.has_room() {
                let room = room_for(leaf.as_ref().len() + 1, capacity);
                tree.resize_leaf(room);
            }
            if let Some(NodeMut::Leaf(mut leaf)) = tree.get_mut(|| ROOT) {
                let end = leaf.as_ref().len();
                leaf.insert(end, (key, value), Some(tag_of(hash)), SHIFT);
            }
            return Inserted::New;
        }
        Some(NodeRef::Branch(_)) => match tree.get_mut(|| ROOT) {
            Some(NodeMut::Branch(branch)) => branch,
            _ => unreachable!("a branch stays a branch"),
        },
    };
    let mut level = 0;
    loop {
        let slot = slot_of(hash, level);
        let (found, full) = match branch.child(slot) {
            Some(NodeRef::Branch(_)) => {
                let Some(NodeMut::Branch(child)) = branch.child_mut(slot) else {
                    unreachable!("a branch stays a branch")
                };
                branch = child;
                level += 1;
                continue;
            }
            None => {
                let start = branch.start_of(slot);
                branch.set(start, Some(leaf_of([(hash, (key, value))], 1, capacity)));
                return Inserted::New;
            }
            Some(NodeRef::Leaf(leaf)) => {
                let found = leaf.find(tag_of(hash), |entry| entry.0 == key);
                let start = branch.start_of(slot);
                let last = level + 1 == LEVELS && branch.end_of(start) == start + 1;
                (found, leaf.len() >= capacity && !last)
            }
        };
        if found.is_none() && full {
            let hashes: Vec<u64> = match branch.child(slot) {
                Some(NodeRef::Leaf(leaf)) => {
                    leaf.items(true).iter().map(|entry| hasher.hash_one(&entry.0)).collect()
                }
                _ => unreachable!("a leaf stays a leaf"),
            };
            branch.child_mut(slot);
            let start = branch.start_of(slot);
            let items = branch.take(start).into_iter().flat_map(|leaf| spill(leaf, &hashes));
            let items = items.chain([(hash, (key, value))]).collect();
            distribute(branch, start, items, capacity);
            return Inserted::New;
        }
        let Some(NodeMut::Leaf(leaf)) = branch.child_mut(slot) else { unreachable!("a leaf stays a leaf") };
        if let Some(index) = found {
            return Inserted::Replaced(std::mem::replace(&mut leaf.item_mut(index, true, SHIFT).1, value));
        }
        if !leaf.has_room() {
            let room = room_for(leaf.as_ref().len() + 1, capacity);
            branch.resize_leaf(slot, room);
        }
        if let Some(NodeMut::Leaf(mut leaf)) = branch.child_mut(slot) {
            let end = leaf.as_ref().len();
            leaf.insert(end, (key, value), Some(tag_of(hash)), SHIFT);
        }
        return Inserted::New;
    }
}

/// Entries with their hashes, on the way to new leaves.
type Hashed<K, V> = Vec<(u64, (K, V))>;

/// Takes the entries out of a leaf that nobody else holds, with the hashes of its items in order.
fn spill<K: Clone, V: Clone>(leaf: MapNode<K, V>, hashes: &[u64]) -> Hashed<K, V> {
    let mut leaf = leaf.into_leaf();
    let mut items = Vec::with_capacity(hashes.len() + 1);
    for &hash in hashes.iter().rev() {
        items.extend(leaf.pop().map(|entry| (hash, entry)));
    }
    items
}

fn leaf_of<K, V>(
    items: impl IntoIterator<Item = (u64, (K, V))>,
    len: usize,
    capacity: usize,
) -> MapNode<K, V> {
    let mut leaf = OwnedLeaf::with_capacity(room_for(len, capacity), true);
    for (hash, entry) in items {
        leaf.push(entry, Some(tag_of(hash)));
    }
    Node::from_leaf(leaf)
}

/// Fills the empty range that starts at `start` with entries that lie under it, dividing it until leaves hold them.
pub(super) fn distribute<K, V>(
    branch: &mut MapBranch<K, V>,
    start: usize,
    items: Hashed<K, V>,
    capacity: usize,
) {
    let (end, level) = (branch.end_of(start), u32::from(branch.level()));
    if items.is_empty() {
        return;
    }
    if items.len() <= capacity || (end == start + 1 && level + 1 == LEVELS) {
        let len = items.len();
        branch.set(start, Some(leaf_of(items, len, capacity)));
    } else if end == start + 1 {
        let mut child = Branch::new(branch.level() + 1, 1, Prefix(branch.extra.0 | prefix_of(start, level)));
        distribute(&mut child, 0, items, capacity);
        branch.set(start, Some(Node::from_branch(child)));
    } else {
        let middle = start + (end - start) / 2;
        branch.divide(start, middle);
        let (low, high) = items.into_iter().partition(|&(hash, _)| slot_of(hash, level) < middle);
        distribute(branch, start, low, capacity);
        distribute(branch, middle, high, capacity);
    }
}

/// Removes the entry at a position that `find` answered.
pub(super) fn remove<K: Clone, V: Clone>(
    tree: &mut Tree<K, V>,
    capacity: usize,
    hash: u64,
    index: usize,
) -> (K, V) {
    // Everything that the merges need is loaded and made unique first: what follows runs no user code.
    let collapses = match tree.get_mut(|| ROOT) {
        Some(NodeMut::Branch(branch)) => prepare(branch, hash, capacity).is_some(),
        _ => false,
    };
    let entry = match tree.get_mut(|| ROOT) {
        Some(NodeMut::Branch(branch)) => extract(branch, hash, index, capacity),
        Some(NodeMut::Leaf(mut leaf)) => leaf.swap_remove(index, SHIFT),
        None => unreachable!("the entry was found"),
    };
    if collapses {
        let leaf = match tree.get_mut(|| ROOT) {
            Some(NodeMut::Branch(branch)) => branch.take(0),
            _ => unreachable!("only branches collapse"),
        };
        tree.set(leaf);
    } else if matches!(tree.get(|| ROOT), Some(NodeRef::Leaf(leaf)) if leaf.len() == 0) {
        tree.set(None);
    }
    entry
}

/// The range beside the one that starts at `start`, if it is as long and no branch, and its number of entries.
fn sibling<K, V>(branch: &MapBranch<K, V>, start: usize, len: usize) -> Option<(usize, usize)> {
    let beside = start ^ len;
    if len >= SLOTS || branch.start_of(beside) != beside || branch.end_of(beside) != beside + len {
        return None;
    }
    match branch.child(beside) {
        None => Some((beside, 0)),
        Some(NodeRef::Leaf(leaf)) => Some((beside, leaf.len())),
        Some(NodeRef::Branch(_)) => None,
    }
}

/// Makes every leaf unique that will merge once the entry with `hash` is gone; the number of entries if all of
/// `branch` will become one leaf.
fn prepare<K: Clone, V: Clone>(branch: &mut MapBranch<K, V>, hash: u64, capacity: usize) -> Option<usize> {
    let slot = slot_of(hash, u32::from(branch.level()));
    let mut count = match branch.child_mut(slot)? {
        NodeMut::Branch(child) => prepare(child, hash, capacity)?,
        NodeMut::Leaf(leaf) => leaf.as_ref().len() - 1,
    };
    if count > capacity {
        return None;
    }
    let (mut start, mut len) = (branch.start_of(slot), branch.end_of(slot) - branch.start_of(slot));
    while len < SLOTS {
        let (beside, more) = sibling(branch, start, len)?;
        if count + more > capacity {
            return None;
        }
        if more > 0 {
            branch.child_mut(beside);
        }
        count += more;
        start = start.min(beside);
        len *= 2;
    }
    Some(count)
}

/// Takes the entry out and merges as `prepare` foresaw.
fn extract<K: Clone, V: Clone>(
    branch: &mut MapBranch<K, V>,
    hash: u64,
    index: usize,
    capacity: usize,
) -> (K, V) {
    let slot = slot_of(hash, u32::from(branch.level()));
    let mut start = branch.start_of(slot);
    let entry = match branch.child_mut(slot) {
        Some(NodeMut::Branch(child)) => {
            let entry = extract(child, hash, index, capacity);
            if child.starts() == 1 && !matches!(child.child(0), Some(NodeRef::Branch(_))) {
                let leaf = child.take(0);
                branch.set(start, leaf);
            }
            entry
        }
        Some(NodeMut::Leaf(mut leaf)) => {
            let entry = leaf.swap_remove(index, SHIFT);
            let len = leaf.as_ref().len();
            if len == 0 {
                branch.set(start, None);
            }
            entry
        }
        None => unreachable!("the entry was found"),
    };
    let mut count = match branch.child(start) {
        None => 0,
        Some(NodeRef::Leaf(leaf)) => leaf.len(),
        Some(NodeRef::Branch(_)) => return entry,
    };
    loop {
        let len = branch.end_of(start) - start;
        let Some((beside, more)) = sibling(branch, start, len) else { return entry };
        if count + more > capacity {
            return entry;
        }
        let (one, two) = (branch.take(start), branch.take(beside));
        start = start.min(beside);
        branch.join(start, start + len);
        count += more;
        branch.set(start, merge(one, two, count, capacity));
    }
}

/// One leaf with the entries of two that nobody else holds.
fn merge<K: Clone, V: Clone>(
    one: Option<MapNode<K, V>>,
    two: Option<MapNode<K, V>>,
    count: usize,
    capacity: usize,
) -> Option<MapNode<K, V>> {
    match (one, two) {
        (Some(one), Some(two)) => {
            let mut leaf = one.into_leaf().resized(room_for(count, capacity));
            leaf.append(two.into_leaf(), SHIFT);
            Some(Node::from_leaf(leaf))
        }
        (one, two) => one.or(two),
    }
}

/// Checks the trie's invariants; the number of entries.
///
/// # Panics
/// When one does not hold.
#[cfg(test)]
pub(super) fn check<K: Hash, V>(
    node: NodeRef<'_, (K, V), Prefix>,
    place: Place,
    level: u32,
    capacity: usize,
    hash: &impl Fn(&K) -> u64,
) -> usize {
    match node {
        NodeRef::Leaf(leaf) => {
            assert!(leaf.len() > 0, "an empty leaf");
            assert!(leaf.len() <= capacity || place.depth == 64, "a leaf above the capacity");
            for (entry, &tag) in leaf.items(true).iter().zip(leaf.tags()) {
                assert!(lies_under(hash(&entry.0), place) && tag == tag_of(hash(&entry.0)));
            }
            leaf.len()
        }
        NodeRef::Branch(branch) => {
            assert_eq!(
                (u32::from(branch.level()), branch.extra.0, level * BITS),
                (level, place.what, place.depth)
            );
            let mut counts = Vec::new();
            for start in branch.ranges() {
                let end = branch.end_of(start);
                assert!((end - start).is_power_of_two() && start % (end - start) == 0, "ranges are aligned");
                let child = branch.child(start);
                for alias in start..end {
                    assert_eq!(branch.is_vacant(alias), child.is_none());
                    assert!(branch.same_alias(start, alias), "an alias differs from the start of its range");
                }
                let is_branch = matches!(child, Some(NodeRef::Branch(_)));
                assert!(!is_branch || end == start + 1, "a branch stands in one slot");
                let count =
                    child.map_or(0, |child| check(child, branch.place(start), level + 1, capacity, hash));
                counts.push((start, end - start, count));
            }
            // Canonical: nothing that could be one leaf is two ranges or a branch.
            let total: usize = counts.iter().map(|&(_, _, count)| count).sum();
            assert!(total > capacity, "a branch whose entries fit a leaf");
            for &(start, len, count) in &counts {
                let beside = counts.iter().find(|&&(other, width, _)| other == start ^ len && width == len);
                let leaves = |slot: usize| !matches!(branch.child(slot), Some(NodeRef::Branch(_)));
                if let Some(&(other, _, more)) = beside {
                    assert!(
                        count + more > capacity || !(leaves(start) && leaves(other)),
                        "two leaves that fit one"
                    );
                }
            }
            total
        }
    }
}
