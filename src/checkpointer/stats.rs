//! What a checkpointer did, does and chose.

use std::time::Duration;

use super::policy::Trigger;
use crate::error::Error;

/// What a checkpointer did so far, and how it is doing. See [`Checkpointer::stats`](super::Checkpointer::stats).
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Stats {
    /// Checkpoints that are as durable as asked for.
    pub checkpoints: u64,
    /// Syncs that made them so; fewer where checkpoints shared one.
    pub syncs: u64,
    /// Checkpoints that failed.
    pub failed: u64,
    /// Requests that joined one that was waiting.
    pub coalesced: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Bytes written to the log.
    pub bytes: u64,
    /// Requests that wait, those being written included.
    pub waiting: usize,
    /// Checkpoints written and not yet as durable as asked for.
    pub in_flight: usize,
    /// Versions published since the last checkpoint that is as durable as asked for was begun.
    pub unsaved_updates: u64,
    /// About how many bytes they changed.
    pub unsaved_bytes: u64,
    /// Updates that back-pressure held up.
    pub pauses: u64,
    /// For how long, all told.
    pub paused: Duration,
    /// The longest that checkpoints took of late, from being begun to being as durable as asked for (falls by an eighth
    /// with each checkpoint).
    pub latency: Duration,
    /// The interval of automatic checkpoints at present, and what decided it; `None` if time triggers none.
    pub interval: Option<(Duration, Trigger)>,
    /// Why the last checkpoint was made.
    pub last_trigger: Option<Trigger>,
    /// The last error.
    pub last_error: Option<Error>,
}
