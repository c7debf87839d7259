//! The canonical bucket trie: where a key lies, and how it is found. See `insert` and `remove` for how leaves split and
//! merge.
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

#[cfg(test)]
use std::hash::Hash;

use crate::error::Result;
use crate::node::{
    BITS, Branch, BranchLayout, Descent, LeafMut, LeafRef, Node, NodeMut, NodeRef, Ranges, Root, SLOTS,
    SMALL, by_bits, fitting,
};
use crate::record::Place;

/// Levels of branches that 64 bits can route.
pub(super) const LEVELS: u32 = 64 / BITS;

/// What a map's branch keeps: the hash bits that lead to it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prefix(pub(super) u64);

impl BranchLayout for Prefix {
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
    if fitting::<T>() > 32 { 32 } else { fitting::<T>() }
}

/// Room to allocate for `len` entries: leaves grow by steps, so that small maps stay small.
#[inline]
pub(super) fn room_for(len: usize, capacity: usize) -> usize {
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
    is: impl FnMut(&K) -> bool,
) -> Option<(usize, &(K, V))> {
    match tree.descend(by_bits(hash)) {
        Descent::Leaf(leaf) => find_in(leaf, hash, is),
        Descent::Nothing => None,
        Descent::Lazy => find_lazily(tree, hash, is),
    }
}

#[inline]
fn find_in<'a, K, V>(
    leaf: LeafRef<'a, (K, V)>,
    hash: u64,
    mut is: impl FnMut(&K) -> bool,
) -> Option<(usize, &'a (K, V))> {
    leaf.find(tag_of(hash), |entry| is(&entry.0))
}

/// [`find`] where something on the way is not in memory yet.
#[cold]
#[inline(never)]
fn find_lazily<K, V>(tree: &Tree<K, V>, hash: u64, is: impl FnMut(&K) -> bool) -> Option<(usize, &(K, V))> {
    let mut node = tree.get(|| ROOT)?;
    let mut level = 0;
    loop {
        match node {
            NodeRef::Branch(branch) => node = branch.child(slot_of(hash, level))?,
            NodeRef::Leaf(leaf) => return find_in(leaf, hash, is),
        }
        level += 1;
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

/// The leaf that `hash` leads to, ours, and its path marked changed. Runs no user code but `Clone`.
#[inline]
pub(super) fn leaf_mut<K: Clone, V: Clone>(tree: &mut Tree<K, V>, hash: u64) -> Option<LeafMut<'_, (K, V)>> {
    let node = match tree.get(|| ROOT)? {
        NodeRef::Leaf(_) => tree.get_mut(|| ROOT)?,
        NodeRef::Branch(_) => {
            let branch = tree.descend_mut(hash, || ROOT)?;
            branch.child_mut(slot_of(hash, u32::from(branch.level())))?
        }
    };
    match node {
        NodeMut::Leaf(leaf) => Some(leaf),
        NodeMut::Branch(_) => unreachable!("the last branch of a way leads to no other"),
    }
}

/// The value at a position that `find` answered, marked changed. Runs no user code but `Clone`.
pub(super) fn value_mut<K: Clone, V: Clone>(
    tree: &mut Tree<K, V>,
    hash: u64,
    index: usize,
) -> Option<&mut V> {
    Some(&mut entry_mut(tree, hash, index)?.1)
}

/// The entry at a position that `find` answered, marked changed. Runs no user code but `Clone`.
#[inline]
pub(super) fn entry_mut<K: Clone, V: Clone>(
    tree: &mut Tree<K, V>,
    hash: u64,
    index: usize,
) -> Option<&mut (K, V)> {
    Some(leaf_mut(tree, hash)?.item_mut(index, true, SHIFT))
}

/// The leaf that `hash` leads to.
pub(super) fn leaf_of_hash<K, V>(tree: &Tree<K, V>, hash: u64) -> Option<LeafRef<'_, (K, V)>> {
    let (mut node, mut level) = (tree.get(|| ROOT)?, 0);
    loop {
        match node {
            NodeRef::Branch(branch) => node = branch.child(slot_of(hash, level))?,
            NodeRef::Leaf(leaf) => return Some(leaf),
        }
        level += 1;
    }
}

/// The entry at a position that `find` answered.
pub(super) fn entry_at<K, V>(tree: &Tree<K, V>, hash: u64, index: usize) -> Option<&(K, V)> {
    leaf_of_hash(tree, hash)?.items(true).get(index)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic")]
    fn every_slot_of_every_level_has_the_hashes_of_its_prefix() {
        for level in 0..LEVELS {
            // Whatever lies above and below these bits.
            for rest in [0, u64::MAX, 0x5555_5555_5555_5555, 0x0123_4567_89ab_cdef] {
                let mut before: Option<u64> = None;
                for slot in 0..SLOTS {
                    let (prefix, bits) = (prefix_of(slot, level), prefix_of(SLOTS - 1, level));
                    let hash = rest & !bits | prefix;
                    assert_eq!((slot_of(hash, level), slot_of(prefix, level)), (slot, slot));
                    assert!(before.replace(prefix).is_none_or(|before| before < prefix));
                    let depth = BITS * (level + 1);
                    let above = if depth == 64 { u64::MAX } else { !(u64::MAX >> depth) };
                    let place = Place { what: hash & above, depth };
                    assert!(lies_under(hash, place) && lies_under(hash, ROOT));
                    for bit in 0..64 {
                        assert_eq!(lies_under(hash ^ 1 << bit, place), 64 - bit > depth, "{bit}, {depth}");
                    }
                }
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic")]
    fn room_holds_what_it_is_for_and_little_more() {
        for capacity in 1..=64 {
            for len in 1..400 {
                let room = room_for(len, capacity);
                assert!(
                    room >= len && (room < 2 * len || room <= (capacity / 8).max(1)),
                    "{len} of {capacity}: {room}"
                );
                assert!(room <= capacity || len > capacity);
            }
        }
    }
}
