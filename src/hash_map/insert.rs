//! Inserting: what becomes of a leaf, how it splits, and whole trees built at once.
//!
//! All user code (hashing for a split, comparing, cloning) runs before anything moves.

use std::hash::{BuildHasher, Hash};

use super::node::{
    LEVELS, MapBranch, MapNode, Prefix, ROOT, SHIFT, Tree, leaf_of_hash, prefix_of, room_for, slot_of, tag_of,
};
use crate::node::{Branch, LeafMut, Node, NodeMut, NodeRef, OwnedLeaf};

/// Inserts or replaces; the value that was there. Hashing (for a split), comparing and cloning are done before anything
/// moves.
pub(super) fn insert<K, V, S>(
    tree: &mut Tree<K, V>,
    capacity: usize,
    hasher: &S,
    hash: u64,
    key: K,
    value: V,
) -> Option<V>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    let Some(branch) = tree.descend_mut(hash, || ROOT) else {
        return insert_at_root(tree, capacity, hasher, hash, key, value);
    };
    let slot = slot_of(hash, u32::from(branch.level()));
    let entry = match branch.child_mut(slot) {
        Some(NodeMut::Leaf(leaf)) => match put(leaf, capacity, hash, key, value) {
            Put::Replaced(old) => return Some(old),
            Put::Added => return None,
            Put::Full(key, value) => (key, value),
        },
        Some(NodeMut::Branch(_)) => unreachable!("the last branch of a way leads to no other"),
        None => (key, value),
    };
    make_room(branch, slot, capacity, hasher, hash, entry);
    None
}

/// What putting an entry into a leaf came to.
enum Put<K, V> {
    Replaced(V),
    Added,
    /// The leaf has no room for it, or has as many entries as it may.
    Full(K, V),
}

#[inline]
fn put<K: Eq, V>(mut leaf: LeafMut<'_, (K, V)>, most: usize, hash: u64, key: K, value: V) -> Put<K, V> {
    if let Some((index, _)) = leaf.as_ref().find(tag_of(hash), |entry| entry.0 == key) {
        return Put::Replaced(std::mem::replace(&mut leaf.item_mut(index, true, SHIFT).1, value));
    }
    if leaf.as_ref().len() >= most || !leaf.has_room() {
        return Put::Full(key, value);
    }
    leaf.push((key, value), Some(tag_of(hash)), SHIFT);
    Put::Added
}

/// Inserts into a tree that is empty or one leaf.
#[inline(never)]
fn insert_at_root<K, V, S>(
    tree: &mut Tree<K, V>,
    capacity: usize,
    hasher: &S,
    hash: u64,
    key: K,
    value: V,
) -> Option<V>
where
    K: Hash + Eq + Clone,
    V: Clone,
    S: BuildHasher,
{
    let Some(NodeMut::Leaf(leaf)) = tree.get_mut(|| ROOT) else {
        tree.set(Some(leaf_of([(hash, (key, value))], 1, capacity)));
        return None;
    };
    let len = leaf.as_ref().len();
    let entry = match put(leaf, capacity, hash, key, value) {
        Put::Replaced(old) => return Some(old),
        Put::Added => return None,
        Put::Full(key, value) => (key, value),
    };
    if len < capacity {
        tree.resize_leaf(room_for(len + 1, capacity));
        if let Some(NodeMut::Leaf(mut leaf)) = tree.get_mut(|| ROOT) {
            leaf.push(entry, Some(tag_of(hash)), SHIFT);
        }
        return None;
    }
    let hashes = Hashes::of(tree.get(|| ROOT), hasher);
    let mut branch = Branch::new(0, 1, Prefix(0));
    if let Some(leaf) = tree.take(|| ROOT) {
        split(&mut branch, 0, leaf.into_leaf(), hashes.as_slice(), hash, entry, capacity);
    }
    tree.set(Some(Node::from_branch(branch)));
    None
}

/// Inserts an entry where there is no leaf yet or a full one, which is ours: a new one, a larger one, or two.
#[inline(never)]
fn make_room<K, V, S>(
    branch: &mut MapBranch<K, V>,
    slot: usize,
    capacity: usize,
    hasher: &S,
    hash: u64,
    entry: (K, V),
) where
    K: Hash + Clone,
    V: Clone,
    S: BuildHasher,
{
    let start = branch.start_of(slot);
    let Some(len) = branch.child_leaf(slot).map(|leaf| leaf.len()) else {
        return branch.set(start, Some(leaf_of([(hash, entry)], 1, capacity)));
    };
    let is_last = u32::from(branch.level()) + 1 == LEVELS && branch.end_of(start) == start + 1;
    if len < capacity || is_last {
        branch.resize_leaf(slot, room_for(len + 1, capacity));
        if let Some(NodeMut::Leaf(mut leaf)) = branch.child_mut(slot) {
            leaf.push(entry, Some(tag_of(hash)), SHIFT);
        }
        return;
    }
    let hashes = Hashes::of(branch.child(slot), hasher);
    if let Some(leaf) = branch.take(start) {
        split(branch, start, leaf.into_leaf(), hashes.as_slice(), hash, entry, capacity);
    }
}

/// The position of the entry that was inserted last under `hash`: it is the last of its leaf.
pub(super) fn newest<K, V>(tree: &Tree<K, V>, hash: u64) -> Option<usize> {
    leaf_of_hash(tree, hash)?.len().checked_sub(1)
}

/// The hashes of a leaf's keys, in order; those of an ordinary leaf without an allocation.
struct Hashes {
    few: [u64; 32],
    len: usize,
    /// All of them, where they are more.
    many: Vec<u64>,
}

impl Hashes {
    fn of<K: Hash, V>(leaf: Option<NodeRef<'_, (K, V), Prefix>>, hasher: &impl BuildHasher) -> Self {
        let Some(NodeRef::Leaf(leaf)) = leaf else { unreachable!("a leaf stays a leaf") };
        let mut these = Self { few: [0; 32], len: leaf.len(), many: Vec::new() };
        let hashes = leaf.items(true).iter().map(|entry| hasher.hash_one(&entry.0));
        if leaf.len() > these.few.len() {
            these.many = hashes.collect();
        } else {
            these.few.iter_mut().zip(hashes).for_each(|(place, hash)| *place = hash);
        }
        these
    }

    fn as_slice(&self) -> &[u64] {
        if self.many.is_empty() { &self.few[..self.len] } else { &self.many }
    }
}

/// Fills the empty range that starts at `start` with the entries of a full leaf, whose hashes are given, and a new one,
/// which becomes the last of its leaf. Runs no user code.
fn split<K, V>(
    branch: &mut MapBranch<K, V>,
    mut start: usize,
    mut leaf: OwnedLeaf<(K, V)>,
    hashes: &[u64],
    hash: u64,
    entry: (K, V),
    capacity: usize,
) {
    let level = u32::from(branch.level());
    let fill = |mut leaf: OwnedLeaf<(K, V)>, entry| {
        // Marked changed: a leaf whose keys share all bits moves down as it is, with the record that lacks this entry.
        leaf.as_mut().push(entry, Some(tag_of(hash)), SHIFT);
        Some(Node::from_leaf(leaf))
    };
    loop {
        let end = branch.end_of(start);
        if end == start + 1 {
            if level + 1 == LEVELS {
                leaf = leaf.resized(room_for(hashes.len() + 1, capacity));
                return branch.set(start, fill(leaf, entry));
            }
            let mut child =
                Branch::new(branch.level() + 1, 1, Prefix(branch.extra.0 | prefix_of(start, level)));
            split(&mut child, 0, leaf, hashes, hash, entry, capacity);
            return branch.set(start, Some(Node::from_branch(child)));
        }
        let middle = start + (end - start) / 2;
        branch.divide(start, middle);
        let is_high = |hash: u64| slot_of(hash, level) >= middle;
        let high = hashes.iter().filter(|&&hash| is_high(hash)).count();
        let low = hashes.len() - high;
        let (of_old, of_new) =
            (if high > 0 { middle } else { start }, if is_high(hash) { middle } else { start });
        if low > 0 && high > 0 {
            let (more_low, more_high) = if of_new == middle { (0, 1) } else { (1, 0) };
            let (low, high) = leaf.divided(
                |index| is_high(hashes[index]),
                room_for(low + more_low, capacity),
                room_for(high + more_high, capacity),
            );
            let (grown, other, of_other) =
                if more_high > 0 { (high, low, start) } else { (low, high, middle) };
            branch.set(of_other, Some(Node::from_leaf(other)));
            return branch.set(of_new, fill(grown, entry));
        }
        if of_old != of_new {
            branch.set(of_old, Some(Node::from_leaf(leaf)));
            return branch.set(of_new, fill(OwnedLeaf::with_capacity(room_for(1, capacity), true), entry));
        }
        start = of_old;
    }
}

/// Builds the tree of many entries at once, of which `last` wins where keys are equal (the first key stays); the number of
/// entries. **O(n log n)** moves in order of the hashes, each node is allocated once and full size.
pub(super) fn build<K: Eq, V>(mut entries: Hashed<K, V>, capacity: usize) -> (Tree<K, V>, usize) {
    entries.sort_by_key(|&(hash, _)| hash);
    let mut unique: Hashed<K, V> = Vec::with_capacity(entries.len());
    for (hash, (key, value)) in entries {
        let equal = unique.iter_mut().rev().take_while(|other| other.0 == hash);
        match { equal }.find(|other| other.1.0 == key) {
            Some(other) => other.1.1 = value,
            None => unique.push((hash, (key, value))),
        }
    }
    let len = unique.len();
    let root = match len {
        0 => None,
        len if len <= capacity => Some(leaf_of(unique, len, capacity)),
        _ => {
            let mut branch = Branch::new(0, 1, Prefix(0));
            let hashes: Vec<u64> = unique.iter().map(|&(hash, _)| hash).collect();
            distribute(&mut branch, 0, &hashes, &mut unique.into_iter(), capacity);
            Some(Node::from_branch(branch))
        }
    };
    let mut tree = Tree::empty();
    tree.set(root);
    (tree, len)
}

/// Entries with their hashes.
pub(super) type Hashed<K, V> = Vec<(u64, (K, V))>;

/// Fills the empty range that starts at `start` with the next entries, whose ascending hashes are given and lie under it,
/// dividing it until leaves hold them.
fn distribute<K, V>(
    branch: &mut MapBranch<K, V>,
    start: usize,
    hashes: &[u64],
    entries: &mut impl Iterator<Item = (u64, (K, V))>,
    capacity: usize,
) {
    let (end, level, len) = (branch.end_of(start), u32::from(branch.level()), hashes.len());
    if len == 0 {
        return;
    }
    if len <= capacity || (end == start + 1 && level + 1 == LEVELS) {
        branch.set(start, Some(leaf_of(entries.take(len), len, capacity)));
    } else if end == start + 1 {
        let mut child = Branch::new(branch.level() + 1, 1, Prefix(branch.extra.0 | prefix_of(start, level)));
        distribute(&mut child, 0, hashes, entries, capacity);
        branch.set(start, Some(Node::from_branch(child)));
    } else {
        let middle = start + (end - start) / 2;
        branch.divide(start, middle);
        let (low, high) = hashes.split_at(hashes.partition_point(|&hash| slot_of(hash, level) < middle));
        distribute(branch, start, low, entries, capacity);
        distribute(branch, middle, high, entries, capacity);
    }
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
