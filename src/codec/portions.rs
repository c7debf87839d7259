//! What passes between nodes, collections and the codec.

use std::cell::RefCell;

use crate::random::HashSet;
use crate::record::recheck::Look;
use crate::record::{Address, Place};

/// All that the enclosing record holds of a collection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Root {
    /// Where the records of its root nodes lie, `None` where one has no node; collections of one tree use the first.
    pub addresses: [Option<Address>; Self::TREES],
    /// What else is needed to restore it (length, seed, leaf capacity): a few bytes that the collection defines.
    pub meta: Vec<u8>,
}

impl Root {
    /// Most trees of a collection.
    pub(crate) const TREES: usize = 3;

    /// The root of a collection of one tree.
    pub(crate) fn of_tree(address: Option<Address>, meta: Vec<u8>) -> Self {
        Self { addresses: [address, None, None], meta }
    }
}

/// The two buffers of a record in the making.
#[derive(Default)]
pub(crate) struct Buffers {
    /// The payload.
    pub bytes: Vec<u8>,
    /// The addresses that the payload refers to by index.
    pub refs: Vec<Address>,
}

/// What one call decodes of a collection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Portion {
    /// One item.
    Item,
    /// A sequence of items.
    Items,
    /// A sequence of keys.
    Keys,
}

/// How much of a restored value a trial reads back.
pub(crate) enum RoundTrip {
    /// The items of the first leaf of every collection in it, and so on in their collections.
    Sample,
    /// Nothing: items of leaves are encoded again, see [`recheck`](mod@crate::node::recheck).
    Look(Look),
    /// All that no trial through the same [`FlushContext`](super::FlushContext) has met: the nodes that were found sound.
    Whole(RefCell<HashSet<Met>>),
}

/// A node that was found sound: where it lies, and as what and at which place of which tree. As another it may not be.
#[derive(PartialEq, Eq, Hash)]
pub(crate) struct Met {
    pub address: Address,
    pub types: &'static str,
    pub context: u64,
    pub place: Place,
}
