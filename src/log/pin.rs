//! Who needs what of the log: the checkpoints that retention left, and those that somebody holds although it did not.
//!
//! A restored state loads its nodes when they are touched, so the records of the checkpoint it came from must stay.
//! It holds a *lease*: what backs its lazy nodes is not the opening itself but a handle that pins the checkpoint, and
//! goes with the last node that may still have to load something. Lists and pins stand under one lock, so that a
//! checkpoint is either pinned while it is there, or gone before it could be.
//!
//! A demoted state may be no checkpoint at all. Its lease holds single nodes instead, and all
//! below them.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::commit::Commit;
use super::gc::address_set::AddressSet;
use super::kept_commits::{Catalogue, Listed};
use super::reader::Opening;
use crate::error::Result;
use crate::record::{Address, Backing, Keeper, Record, Sweep, Tag};
use crate::sync::Mutex;
use crate::weaken;

/// The checkpoints of an opening: those that are kept, and those that are held.
#[derive(Default)]
pub(crate) struct Ledger {
    pub catalogue: Catalogue,
    /// Number of times that the catalogue was replaced.
    pub changes: u64,
    /// By id, with the number of leases.
    pins: BTreeMap<u64, (Arc<Commit>, u32)>,
    /// Leases of single nodes.
    of_nodes: Vec<Weak<Lease>>,
}

impl Ledger {
    /// Whether retention left the commit `id`, if there ever was one.
    pub(crate) fn keeps(&self, id: u64) -> bool {
        self.catalogue.look(id) != Listed::Not
    }

    /// The commits that somebody holds.
    pub(crate) fn pinned(&self) -> Vec<Arc<Commit>> {
        if weaken::is("pins_ignored") {
            return Vec::new();
        }
        self.pins.values().map(|(commit, _)| Arc::clone(commit)).collect()
    }

    /// The nodes that somebody holds beside these commits.
    pub(crate) fn held(&self) -> AddressSet {
        let mut held = AddressSet::default();
        for lease in self.of_nodes.iter().filter_map(Weak::upgrade) {
            held.unite(&lease.nodes.lock());
        }
        held
    }

    fn pin(&mut self, commit: &Arc<Commit>) {
        self.pins.entry(commit.id).or_insert_with(|| (Arc::clone(commit), 0)).1 += 1;
    }

    fn unpin(&mut self, id: u64) {
        if let Some((_, leases)) = self.pins.get_mut(&id) {
            *leases -= 1;
            if *leases == 0 {
                self.pins.remove(&id);
            }
        }
    }
}

/// The reading end of a log, for nodes of one checkpoint, or for some nodes, which stay as long as this does.
pub(crate) struct Lease {
    opening: Arc<Opening>,
    /// Of the checkpoint, if it is one.
    id: Option<u64>,
    nodes: Mutex<AddressSet>,
}

impl Lease {
    /// Pins a commit; `None` if retention dropped it meanwhile.
    pub(crate) fn take(opening: &Arc<Opening>, commit: &Arc<Commit>) -> Option<Arc<Self>> {
        let mut ledger = opening.ledger();
        if !ledger.keeps(commit.id) {
            return None;
        }
        ledger.pin(commit);
        drop(ledger);
        let nodes = Mutex::default();
        Some(Arc::new(Self { opening: Arc::clone(opening), id: Some(commit.id), nodes }))
    }

    /// Starts a lease of single nodes, of none yet.
    pub(crate) fn of_nodes(opening: &Arc<Opening>) -> Arc<Self> {
        let lease = Arc::new(Self { opening: Arc::clone(opening), id: None, nodes: Mutex::default() });
        let mut ledger = opening.ledger();
        ledger.of_nodes.retain(|lease| lease.strong_count() > 0);
        ledger.of_nodes.push(Arc::downgrade(&lease));
        drop(ledger);
        lease
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.opening.ledger().unpin(id);
        }
    }
}

impl Backing for Lease {
    fn tag(&self) -> Tag {
        self.opening.tag()
    }

    fn read(&self, address: Address) -> Result<Record> {
        self.opening.read(address)
    }

    fn decoded(&self, address: Address, node: usize) {
        self.opening.decoded(address, node);
    }

    fn sweep(&self) -> Box<dyn Sweep + '_> {
        self.opening.sweep()
    }
}

impl Keeper for Lease {
    fn keep(&self, address: Address) {
        self.nodes.lock().insert(address);
    }
}
