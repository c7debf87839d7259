//! What is known of a checkpoint.

use std::time::{Duration, SystemTime};

use crate::log::commit::Commit;
use crate::log::options::Durability;
pub use crate::record::CheckpointId;

/// A durable, atomic version of one or several states.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Checkpoint {
    /// Its name in the store.
    pub id: CheckpointId,
    /// The checkpoint it was derived from: the one before, unless it was said to be another.
    pub parent: Option<CheckpointId>,
    /// The machine's clock when it was written. Clocks are wrong at times: which checkpoint came first, `id` says.
    pub time: SystemTime,
    /// A note for people.
    pub label: Option<String>,
    /// The names of the states in it.
    pub roots: Vec<String>,
    /// Nodes written for it: those that had no record yet.
    pub nodes: u64,
    /// Bytes of these nodes before compression.
    pub node_bytes: u64,
    /// Bytes written to the log for it, all told.
    pub bytes: u64,
}

impl From<&Commit> for Checkpoint {
    fn from(commit: &Commit) -> Self {
        Self {
            id: CheckpointId(commit.id),
            parent: commit.parent.map(CheckpointId),
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(commit.time_micros),
            label: commit.label.clone(),
            roots: commit.roots.iter().map(|root| root.name.clone()).collect(),
            nodes: commit.size.records,
            node_bytes: commit.size.record_bytes,
            bytes: commit.written_bytes,
        }
    }
}

/// Label, parent and durability of a checkpoint, where a [`CommitBuilder`](super::CommitBuilder) or a
/// [`Checkpointer`](crate::Checkpointer) is told of them.
#[derive(Clone, Debug, Default)]
pub struct CheckpointOptions {
    pub(super) label: Option<String>,
    pub(super) parent: Option<CheckpointId>,
    pub(super) durability: Option<Durability>,
}

impl CheckpointOptions {
    /// The defaults: no label, derived from the newest checkpoint, as durable as the store's options say.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a note for people.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Says from which checkpoint the state was derived, where that is not the newest one.
    pub fn parent(mut self, parent: CheckpointId) -> Self {
        self.parent = Some(parent);
        self
    }

    /// Says how durable the checkpoint must be on return.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }
}
