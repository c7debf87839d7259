//! Where lazy links get their nodes from.

use std::sync::Arc;

use super::BranchLayout;
use super::disk::load::Chain;
use super::link::Node;
use crate::error::Result;
use crate::record::{Address, Place, RecordReader};

/// Decodes a node from its chain of records, the newest first. Made where the items' `Deserialize` is known, so that
/// reads need no such bound. `context` is the collection's own (a hash seed).
pub(crate) type Decode<T, X> = fn(&Arc<dyn RecordReader>, u64, &Chain, Place) -> Result<Node<T, X>>;

/// The opening that lazy links of a branch belong to, and how to decode what it returns.
pub(crate) struct Source<T, X: BranchLayout> {
    pub(crate) backing: Arc<dyn RecordReader>,
    pub(crate) context: u64,
    pub(crate) decode: Decode<T, X>,
}

// What a panic can leave behind in the log that it reads is behind locks.
impl<T, X: BranchLayout> std::panic::UnwindSafe for Source<T, X> {}
impl<T, X: BranchLayout> std::panic::RefUnwindSafe for Source<T, X> {}

impl<T, X: BranchLayout> Source<T, X> {
    /// Loads the node at `address`. Branches remember this source for their own children.
    pub(super) fn load(self: &Arc<Self>, address: Address, place: Place) -> Result<Node<T, X>> {
        let mut missing = None;
        loop {
            let mut chain = Chain::default();
            let mut next = Some(address);
            let failed = loop {
                let Some(at) = next else { return self.decode(&chain, place) };
                match self.backing.read(at) {
                    Ok(record) => next = chain.push(record)?,
                    Err(error) => break (at, error),
                }
            };
            // Compaction may have written one of the chain in full since it was read here, and then removed what lay
            // under it. The second time it is missing for good.
            let (at, error) = failed;
            if at == address || missing.replace(at) == Some(at) {
                return Err(error);
            }
        }
    }

    /// Decodes a node whose records were read.
    pub(super) fn decode(self: &Arc<Self>, chain: &Chain, place: Place) -> Result<Node<T, X>> {
        let mut node = (self.decode)(&self.backing, self.context, chain, place)?;
        node.adopt(self);
        Ok(node)
    }

    /// Returns whether addresses of both mean the same records. That says nothing about who holds these records: see
    /// [`shares_pin`](Self::shares_pin).
    pub(crate) fn same_opening(&self, other: &Self) -> bool {
        self.backing.tag() == other.backing.tag()
    }

    /// Returns whether both read through the same reader: as long as one of them lives, so do the records that the other needs.
    pub(crate) fn shares_pin(&self, other: &Self) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.backing), Arc::as_ptr(&other.backing))
    }
}
