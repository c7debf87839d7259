//! Who needs what of the log: the checkpoints that retention left, and those that somebody holds although it did not.
//!
//! A restored state loads its nodes when they are touched, so the records of the checkpoint it came from must stay.
//! It holds a *pin*: what backs its lazy nodes is not the opening itself but a handle that pins the checkpoint, and
//! goes with the last node that may still have to load something. Lists and pins stand under one lock, so that a
//! checkpoint is either pinned while it is there, or gone before it could be.
//!
//! An evicted state may be no checkpoint at all. Its pin holds single nodes instead, and all
//! below them.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use super::commit::Commit;
use super::gc::address_set::AddressSet;
use super::kept_commits::{KeptCommits, Listed};
use super::reader::LogReader;
use crate::error::Result;
use crate::record::{Address, LogScan, PinRecords, Record, RecordReader, Tag};
use crate::sync::Mutex;
use crate::weaken;

/// The checkpoints of an opening: those that are kept, and those that are held.
#[derive(Default)]
pub(crate) struct PinTable {
    pub kept_commits: KeptCommits,
    /// Number of times that the list of kept commits was replaced.
    pub changes: u64,
    /// By id, with the number of pins.
    pins: BTreeMap<u64, (Arc<Commit>, u32)>,
    /// Leases of single nodes.
    of_nodes: Vec<Weak<Pin>>,
}

impl PinTable {
    /// Whether retention left the commit `id`, if there ever was one.
    pub(crate) fn keeps(&self, id: u64) -> bool {
        self.kept_commits.look(id) != Listed::Not
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
        for pin in self.of_nodes.iter().filter_map(Weak::upgrade) {
            held.unite(&pin.nodes.lock());
        }
        held
    }

    fn pin(&mut self, commit: &Arc<Commit>) {
        self.pins.entry(commit.id).or_insert_with(|| (Arc::clone(commit), 0)).1 += 1;
    }

    fn unpin(&mut self, id: u64) {
        if let Some((_, pins)) = self.pins.get_mut(&id) {
            *pins -= 1;
            if *pins == 0 {
                self.pins.remove(&id);
            }
        }
    }
}

/// The reading end of a log, for nodes of one checkpoint, or for some nodes, which stay as long as this does.
pub(crate) struct Pin {
    opening: Arc<LogReader>,
    /// Of the checkpoint, if it is one.
    id: Option<u64>,
    nodes: Mutex<AddressSet>,
}

impl Pin {
    /// Pins a commit; `None` if retention dropped it meanwhile.
    pub(crate) fn take(opening: &Arc<LogReader>, commit: &Arc<Commit>) -> Option<Arc<Self>> {
        let mut pin_table = opening.pin_table();
        if !pin_table.keeps(commit.id) {
            return None;
        }
        pin_table.pin(commit);
        drop(pin_table);
        let nodes = Mutex::default();
        Some(Arc::new(Self { opening: Arc::clone(opening), id: Some(commit.id), nodes }))
    }

    /// Starts a pin of single nodes, of none yet.
    pub(crate) fn of_nodes(opening: &Arc<LogReader>) -> Arc<Self> {
        let pin = Arc::new(Self { opening: Arc::clone(opening), id: None, nodes: Mutex::default() });
        let mut pin_table = opening.pin_table();
        pin_table.of_nodes.retain(|pin| pin.strong_count() > 0);
        pin_table.of_nodes.push(Arc::downgrade(&pin));
        drop(pin_table);
        pin
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.opening.pin_table().unpin(id);
        }
    }
}

impl RecordReader for Pin {
    fn tag(&self) -> Tag {
        self.opening.tag()
    }

    fn read(&self, address: Address) -> Result<Record> {
        self.opening.read(address)
    }

    fn decoded(&self, address: Address, node: usize) {
        self.opening.decoded(address, node);
    }

    fn sweep(&self) -> Box<dyn LogScan + '_> {
        self.opening.sweep()
    }
}

impl PinRecords for Pin {
    fn keep(&self, address: Address) {
        self.nodes.lock().insert(address);
    }
}
