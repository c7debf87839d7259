//! Nodes: the unit shared in memory and written on disk.

mod address;
mod branch;
mod children;
pub(crate) mod codec;
mod header;
mod leaf;
mod link;
mod record;
mod root;
mod source;
mod tags;

pub use address::Address;
pub(crate) use address::Tag;
pub(crate) use branch::{BITS, Branch, Child, Ranges, SLOTS, loaded};
pub(crate) use children::ChildrenMut;
pub(crate) use header::{Header, Identity};
pub(crate) use leaf::{LeafMut, LeafRef, OwnedLeaf, mask_shift};
pub(crate) use link::{Node, NodeMut, NodeOwned, NodeRef};
pub(crate) use record::{Backing, Record, RecordHead, RecordKind, Refs, Sink};
pub(crate) use root::Root;
pub(crate) use source::{Decode, Place, Source};

/// What a collection adds to its nodes.
pub(crate) trait Shape: Copy + Send + Sync + 'static {
    /// Whether leaves keep a byte of hash beside every item.
    const TAGGED: bool;

    /// What the branch knows of the child that starts at `start`.
    fn place<T>(&self, branch: &Branch<T, Self>, start: usize) -> Place;
}
