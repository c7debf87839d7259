//! Removing: leaves that fit one become one, so that the trie stays canonical.

use super::node::{MapBranch, MapNode, ROOT, SHIFT, Tree, room_for, slot_of};
use crate::node::{Node, NodeMut, NodeRef, SLOTS};

/// Removes the entry at a position that `find` answered.
pub(super) fn remove<K: Clone, V: Clone>(
    tree: &mut Tree<K, V>,
    capacity: usize,
    hash: u64,
    index: usize,
) -> (K, V) {
    if let Some(entry) = remove_alone(tree, capacity, hash, index) {
        return entry;
    }
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

/// Removes an entry whose leaf stays what it is, which is nearly always so; nothing happens where it would have to go or
/// to merge.
fn remove_alone<K: Clone, V: Clone>(
    tree: &mut Tree<K, V>,
    capacity: usize,
    hash: u64,
    index: usize,
) -> Option<(K, V)> {
    let branch = tree.descend_mut(hash, || ROOT)?;
    let slot = slot_of(hash, u32::from(branch.level()));
    let start = branch.start_of(slot);
    let width = branch.end_of(start) - start;
    let left = branch.child_leaf(slot)?.len() - 1;
    let merges =
        width == SLOTS || sibling(branch, start, width).is_some_and(|(_, more)| left + more <= capacity);
    match branch.child_mut(slot) {
        Some(NodeMut::Leaf(mut leaf)) if left > 0 && !merges => Some(leaf.swap_remove(index, SHIFT)),
        _ => None,
    }
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
        // Those of lower hashes stay in front: see `ExtractIf`.
        let (low, high) = (start.min(beside), start.max(beside));
        let (one, two) = (branch.take(low), branch.take(high));
        start = low;
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
