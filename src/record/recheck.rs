//! The memory of leaves that were encoded, by which builds with debug assertions find changes that no checkpoint sees.
//!
//! The looking itself is done where nodes are known: [`recheck`](mod@crate::node::recheck).

use std::cell::Cell;
use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use super::Address;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// True if this build looks. A model has enough to look at.
pub(crate) const RECHECKED: bool = cfg!(all(debug_assertions, not(loom)));
/// Leaves that an opening remembers.
const REMEMBERED: usize = 2048;
/// Leaves that a checkpoint encodes again, for each collection that is not in another one.
const LEAVES: u32 = 16;
/// Nodes that it looks at to find them.
const NODES: u32 = 128;
/// Bytes that it encodes.
const BYTES: usize = 64 << 10;

/// An opening's memory of leaves that were encoded.
#[derive(Default)]
pub(crate) struct Rechecks {
    /// By a hash of the address: what comes later takes the place of what was there.
    leaves: Mutex<Vec<Option<Encoded>>>,
    /// Counts checkpoints, so that each looks elsewhere.
    turns: AtomicU64,
}

/// A leaf in memory: where it lies, and how often it was copied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LeafId {
    pub node: usize,
    pub copies: u8,
}

/// A leaf as it was written.
struct Encoded {
    address: Address,
    leaf: LeafId,
    groups: Vec<Option<Digest>>,
}

/// The bytes of one group of items.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Digest {
    /// Addresses in the record before this group's: its bytes refer to its own by their number.
    pub(crate) refs: u32,
    hash: u64,
}

impl Digest {
    pub(crate) fn of(refs: usize, bytes: &[u8]) -> Self {
        // std is compiled with optimizations, also where this crate is not: another hash is slower here.
        let mut hasher = DefaultHasher::new();
        hasher.write(bytes);
        Self { refs: refs as u32, hash: hasher.finish() }
    }
}

fn slot_of(address: Address) -> usize {
    (address.to_bits().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % REMEMBERED
}

impl Rechecks {
    /// Remembers what was written of a leaf: of a delta, the groups that it left out are as they were in its base.
    pub(crate) fn wrote(
        &self,
        leaf: LeafId,
        base: Option<Address>,
        address: Address,
        mut groups: Vec<Option<Digest>>,
    ) {
        let mut leaves = self.leaves.lock();
        leaves.resize_with(REMEMBERED, || None);
        let is_base = |known: &&Encoded| base == Some(known.address) && known.leaf == leaf;
        if let Some(known) = base.and_then(|base| leaves[slot_of(base)].as_ref()).filter(is_base) {
            groups.iter_mut().zip(&known.groups).for_each(|(group, known)| *group = group.or(*known));
        }
        leaves[slot_of(address)] = Some(Encoded { address, leaf, groups });
    }

    /// Takes note of a leaf that was decoded: if one that was encoded lay where it lies now, that one is gone.
    pub(crate) fn decoded(&self, address: Address, node: usize) {
        if let Some(slot) = self.leaves.lock().get_mut(slot_of(address)) {
            slot.take_if(|known| known.address == address && known.leaf.node == node);
        }
    }

    /// Returns the digests of a leaf as it was written, if it is remembered and no other lies there since.
    pub(crate) fn known(&self, leaf: LeafId, address: Address) -> Option<Vec<Option<Digest>>> {
        let leaves = self.leaves.lock();
        let known = leaves.get(slot_of(address))?.as_ref()?;
        (known.address == address && known.leaf == leaf).then(|| known.groups.clone())
    }

    /// Begins the look of a checkpoint.
    pub(crate) fn look(self: &Arc<Self>) -> Look {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed) + 1;
        Look {
            rechecks: Arc::clone(self),
            noise: Cell::new(turn.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            leaves: Cell::new(LEAVES),
            nodes: Cell::new(NODES),
            bytes: Cell::new(BYTES),
            met: Cell::new(false),
        }
    }
}

/// The rest of one look at a collection, and those in it.
pub(crate) struct Look {
    pub(crate) rechecks: Arc<Rechecks>,
    pub(crate) noise: Cell<u64>,
    pub(crate) leaves: Cell<u32>,
    pub(crate) nodes: Cell<u32>,
    pub(crate) bytes: Cell<usize>,
    /// Something has changed, so the error that comes back says so.
    pub(crate) met: Cell<bool>,
}

impl Look {
    /// A number that looks random, below `below`.
    pub(crate) fn random(&self, below: usize) -> usize {
        let noise = self.noise.get().wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        self.noise.set(noise);
        (noise >> 33) as usize % below.max(1)
    }
}
