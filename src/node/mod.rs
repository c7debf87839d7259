//! Nodes: the unit shared in memory and written on disk.

mod branch;
mod children;
mod descend;
pub(crate) mod disk;
mod disposable;
mod footprint;
mod header;
mod iter;
mod key_hash;
mod keys;
mod leaf;
mod link;
mod mask;
mod path_copy;
pub(crate) mod recheck;
mod root;
mod slot;
mod source;
mod tags;
mod values;

pub(crate) use branch::{BITS, Branch, Child, Ranges, SLOTS, loaded};
pub(crate) use children::ChildrenMut;
pub(crate) use descend::{Descent, by_bits};
pub use disk::evict::{Evict, EvictReport, Eviction};
#[cfg(test)]
pub(crate) use disk::flush::MANY;
#[cfg(any(loom, internals))]
pub(crate) use disk::flush::MAX_CHAIN_LEN;
pub(crate) use disk::flush::flush;
pub(crate) use disk::load::{Chain, load};
pub(crate) use disk::load_all::load_all;
pub(crate) use disk::merge::{Needs, Version, merge, needs, needs_of};
pub(crate) use disposable::Disposable;
pub use footprint::{Footprint, MemoryFootprint, Meter, footprint, resident_bytes};
pub(crate) use footprint::{measure, measure_with};
#[cfg(test)]
pub(crate) use header::{Header, Identity};
pub(crate) use iter::{IntoLeaves, Items, Leaves, LeavesMut, MAX_DEPTH, TakenLeaf};
pub(crate) use key_hash::KeyHash;
pub(crate) use keys::Keys;
pub(crate) use leaf::{LeafMut, LeafRef, OwnedLeaf};
pub(crate) use link::{Node, NodeMut, NodeOwned, NodeRef};
pub(crate) use mask::mask_shift;
pub(crate) use root::Root;
pub(crate) use source::Source;
pub use values::MapValues;

use crate::record::Place;

/// Whether nodes are narrow: few keys reach every shape, and models have few slots to explore.
pub(crate) const SMALL: bool = cfg!(any(small_nodes, loom));

/// Items that a leaf should hold: 512 bytes of plain memory, since a copy then costs about as much as the path above it;
/// 256 bytes of what is cloned one by one. At least 8 of small plain items, and 4 of others.
pub(crate) const fn fitting<T>() -> usize {
    let (size, cloned) = (if size_of::<T>() == 0 { 1 } else { size_of::<T>() }, std::mem::needs_drop::<T>());
    let (fitting, least) = (if cloned { 256 } else { 512 } / size, if cloned || size > 128 { 4 } else { 8 });
    if fitting < least { least } else { fitting }
}

/// What a collection adds to its nodes.
pub(crate) trait BranchLayout: Sized {
    /// What separates the children of a branch, where branches keep separators; else `()`.
    type Key;

    /// Whether branches keep a separator between every two children.
    const KEYED: bool = false;

    /// Whether leaves keep a byte of hash beside every item.
    const TAGGED: bool;

    /// Whether branches keep a number for every child.
    const NUMBERED: bool;

    /// How many items (as a power of two) share one bit of a leaf's mask.
    fn shift<T>() -> u32;

    /// What the branch knows of the child that starts at `start`.
    fn place<T>(&self, branch: &Branch<T, Self>, start: usize) -> Place;

    /// An allocation that the copies of a branch share: where it is, and its bytes.
    fn shared(&self) -> Option<(*const (), usize)> {
        None
    }

    /// The number kept for the child at `slot`, where branches keep one.
    fn number(&self, slot: usize) -> Option<u64>;

    /// The separators, in order.
    fn keys(&self) -> &[Self::Key] {
        &[]
    }

    /// Takes over separators that a record says; whether there are as many as there should be.
    fn set_keys(&mut self, keys: Vec<Self::Key>) -> bool {
        keys.is_empty()
    }

    /// Makes what a branch keeps from what its records say; `None` if that is not what `place` expects. It checks
    /// all that the collection relies on: bytes that pass the checksum may still be of another structure.
    fn rebuild<T>(
        level: u8,
        starts: u16,
        occupied: u16,
        place: Place,
        numbers: &[u64; SLOTS],
    ) -> Option<Self>;

    /// Whether a leaf of `len` items can stand at `place`.
    fn leaf_fits(place: Place, len: usize) -> bool;
}
