//! What nodes ask of a log, and nothing more: append a record, read a record.
//!
//! A record is one node's bytes: a head, the addresses it refers to, a payload. The log knows the first two (so
//! that it can be walked without knowing any type); the payload belongs to [`codec`](crate::codec).

mod address;
mod checkpoint_id;
pub(crate) mod recheck;
pub(crate) mod varint;

use std::ops::Range;
use std::sync::Arc;

pub use self::address::Address;
pub(crate) use self::address::Tag;
#[cfg(test)]
pub(crate) use self::address::after_many_openings;
pub use self::checkpoint_id::CheckpointId;
use self::recheck::Rechecks;
use crate::codec::ResolvingReader;
use crate::error::Result;

/// What a record holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RecordKind {
    /// A leaf: items.
    Leaf,
    /// A branch: child addresses.
    Branch,
    /// The shape of a type, as text.
    Schema,
}

/// The first byte of a record, decoded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RecordHead {
    /// What the record holds.
    pub kind: RecordKind,
    /// Whether it is a delta: its first address is then the *base* it is encoded against.
    pub delta: bool,
}

/// A record as read back: whole, checksummed, not yet decoded.
#[derive(Clone)]
pub(crate) struct Record {
    /// Where it was read from.
    pub address: Address,
    /// Its first byte.
    pub head: RecordHead,
    /// The addresses it refers to; of a delta the first is the base. All of them lie before `address`.
    pub refs: Refs,
    /// The decoded block that `payload` is a range of.
    pub block: Arc<[u8]>,
    /// Where in `block` the payload lies.
    pub payload: Range<u32>,
}

/// The outgoing addresses of one record.
pub(crate) type Refs = Vec<Address>;

impl Record {
    /// The payload's bytes.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.block[self.payload.start as usize..self.payload.end as usize]
    }

    /// Copies the payload, and lets the block go: for a record that is kept longer than its neighbours are of use.
    pub(crate) fn detach(self) -> Self {
        let block = Arc::<[u8]>::from(self.payload());
        let payload = 0..block.len() as u32;
        Self { block, payload, ..self }
    }
}

/// What the parent knows about a child before it is loaded, to check the record against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// Hash maps: the hash bits, from the top, that lead here. Vectors: the number of items below.
    pub what: u64,
    /// Hash maps: how many bits lead here. Vectors: the height of the child.
    pub depth: u32,
}

/// The writing end of a log, as a flush sees it.
///
/// An appended record has its address for good: if the flush fails later, the record stays in the batch and is
/// written with the next commit, so a node that was marked with the address never lies.
pub(crate) trait RecordWriter {
    /// The opening whose addresses these are.
    fn tag(&self) -> Tag;

    /// Which of the opening's addresses still stand for a record; `None`: all of them.
    fn live_set(&self) -> Option<Arc<dyn LiveSet>> {
        None
    }

    /// Returns this opening's memory of leaves that were encoded, if it has one; see [`recheck`](mod@crate::node::recheck).
    fn rechecks(&self) -> Option<Arc<Rechecks>> {
        None
    }

    /// Appends one record to the batch in progress. `refs` must all lie before; of a delta, `refs[0]` is the base.
    fn append(&mut self, head: RecordHead, refs: &[Address], payload: &[u8]) -> Result<Address>;
}

/// Which records are still reachable: compaction gives back the space of the others (invariant 13).
pub(crate) trait LiveSet: Send + Sync {
    /// Whether the node at `address`, and all below it, stays.
    fn holds(&self, address: Address) -> bool;

    /// Returns whether the record at `address` will also do for a node that is in memory and could be written again. Not where
    /// damage was found that may lie in it, or below.
    fn suffices(&self, address: Address) -> bool {
        self.holds(address)
    }
}

/// The reading end of a log, as a lazy node sees it.
pub(crate) trait RecordReader: Send + Sync {
    /// The opening whose addresses these are.
    fn tag(&self) -> Tag;

    /// Reads one record whose block was written.
    fn read(&self, address: Address) -> Result<Record>;

    /// By which plan the records are read, where that is not the type asked for.
    fn driven(&self) -> Option<&ResolvingReader> {
        None
    }

    /// Whether hash maps are to be built anew from their entries, wherever these lie.
    fn rebuilds(&self) -> bool {
        false
    }

    /// Takes note of a leaf that was decoded from the record at `address`, and where it lies in memory; see
    /// [`recheck`](mod@crate::node::recheck).
    fn decoded(&self, _address: Address, _node: usize) {}

    /// Starts a pass over many records in the order of the log, forwards or backwards.
    fn sweep(&self) -> Box<dyn LogScan + '_>;
}

/// A reading end that keeps the records of some nodes: those it is told of, and all below them.
pub(crate) trait PinRecords: RecordReader {
    /// Keeps a node that can be read now, as long as this lives.
    fn keep(&self, address: Address);
}

/// A pass over the log: reads as [`RecordReader::read`] does, and keeps the block it is at instead of caching many.
pub(crate) trait LogScan {
    /// Reads one record.
    fn read(&mut self, address: Address) -> Result<Record>;
}
