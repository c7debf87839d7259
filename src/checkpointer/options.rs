//! What a checkpointer is told: when, what waits, how durable.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::policy::Policy;
use crate::error::Error;

/// What is called with every error.
pub(super) type Hook = Arc<dyn Fn(&Error) + Send + Sync>;

/// What happens to a request when others wait already.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Overflow {
    /// It joins the one that waits, and both get the newest version at the time it is written. The queue never holds
    /// more than one such request. A labelled request is never joined: it keeps the version at which it was made, up to
    /// [`Options::queue`] of them wait, and more are refused.
    #[default]
    Coalesce,
    /// Each request keeps the version at which it was made; when [`Options::queue`] of them wait, the next one blocks
    /// its caller until there is room.
    Block,
    /// Each request keeps the version at which it was made; when [`Options::queue`] of them wait, the next one is
    /// answered with [`Error::QueueFull`].
    Refuse,
}

/// How durable a checkpoint is when its ticket is answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Durability {
    /// The system has it: it survives the death of the process, a power cut may undo it.
    Buffered,
    /// It survives a power cut; one sync answers for all checkpoints written within this time of the first.
    Group(Duration),
    /// It survives a power cut; synced as soon as it is written. Checkpoints that are written during a sync share the
    /// next one.
    #[default]
    Sync,
}

/// How a [`Checkpointer`](super::Checkpointer) works.
///
/// The default checkpoints on request only, lets requests coalesce, and syncs each checkpoint. Triggers add up: a
/// checkpoint is due when any of them says so and the state has changed since the last one.
///
/// ```
/// use std::time::Duration;
/// use perennial::checkpointer::{Durability, Options, Overflow};
///
/// let options = Options::new()
///     .every(Duration::from_millis(250))
///     .every_updates(10_000)
///     .overflow(Overflow::Coalesce)
///     .unsaved_bytes(64 << 20, 256 << 20)
///     .durability(Durability::Group(Duration::from_millis(20)));
/// # let _ = options;
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until a checkpointer is started with them"]
pub struct Options {
    pub(super) policy: Policy,
    pub(super) overflow: Overflow,
    pub(super) queue: usize,
    pub(super) durability: Durability,
    pub(super) hard_unsaved_bytes: Option<u64>,
    pub(super) max_pause: Duration,
    pub(super) barrier_timeout: Duration,
    pub(super) on_error: Option<Hook>,
}

// The hook is only called, by a thread that outlives its panics.
impl std::panic::UnwindSafe for Options {}
impl std::panic::RefUnwindSafe for Options {}

impl Options {
    /// The defaults: on request, coalescing, synced.
    pub fn new() -> Self {
        Self {
            policy: Policy::default(),
            overflow: Overflow::default(),
            queue: 16,
            durability: Durability::default(),
            hard_unsaved_bytes: None,
            max_pause: Duration::from_millis(10),
            barrier_timeout: Duration::from_secs(10),
            on_error: None,
        }
    }

    /// Checkpoints every `interval`, if there was an update.
    pub fn every(mut self, interval: Duration) -> Self {
        self.policy.every = Some(interval);
        self
    }

    /// Checkpoints when this many versions were published since the last checkpoint was begun; 0 acts as 1.
    pub fn every_updates(mut self, updates: u64) -> Self {
        self.policy.every_updates = Some(updates.max(1));
        self
    }

    /// Checkpoints when about this many bytes changed since the last checkpoint was begun.
    ///
    /// Estimated: updates since then, times the bytes that an update turned out to be in recent checkpoints.
    pub fn dirty_bytes(mut self, bytes: u64) -> Self {
        self.policy.dirty_bytes = Some(bytes);
        self
    }

    /// An objective: at most this much time between publishing a version and its being as durable as asked for (the
    /// *recovery point objective*).
    ///
    /// The interval becomes this, less the longest that checkpoints took of late. What the disk cannot do cannot be
    /// steered to: [`Stats::interval`](super::Stats::interval) shows what was chosen,
    /// [`Stats::latency`](super::Stats::latency) what checkpoints take.
    pub fn max_data_loss(mut self, time: Duration) -> Self {
        self.policy.max_data_loss = Some(time);
        self
    }

    /// An objective: at most this many bytes a second written to the log by automatic checkpoints, on average.
    ///
    /// The interval becomes as long as recent checkpoints need to keep to it. Where
    /// [`max_data_loss`](Self::max_data_loss) asks for a shorter one, that wins: losing data is worse than writing it.
    pub fn max_io_bytes_per_second(mut self, bytes: u64) -> Self {
        self.policy.max_io_bytes_per_second = Some(bytes.max(1));
        self
    }

    /// What happens to a request when others wait. Default: [`Overflow::Coalesce`].
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }

    /// How many requests may wait, see [`Overflow`]; 0 acts as 1. Default: 16.
    ///
    /// Each holds a snapshot, so the nodes that changed since.
    pub fn queue(mut self, requests: usize) -> Self {
        self.queue = requests.max(1);
        self
    }

    /// How durable a checkpoint is when its ticket is answered. Default: [`Durability::Sync`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Slows writers down when the disk does not keep up: back-pressure by marks of unsaved bytes (estimated as for
    /// [`dirty_bytes`](Self::dirty_bytes), until they are as durable as asked for).
    ///
    /// Up to `soft`, nobody waits. From there each update is followed by a pause that grows in proportion, to
    /// [`max_pause`](Self::max_pause) at `hard`; beyond it an update waits until enough became durable, but never longer
    /// than `max_pause`. So a writer is never blocked without bound, and the marks are no hard limit. Passing `soft` also
    /// makes a checkpoint due.
    pub fn unsaved_bytes(mut self, soft: u64, hard: u64) -> Self {
        self.policy.soft_unsaved_bytes = Some(soft);
        self.hard_unsaved_bytes = Some(hard.max(soft.saturating_add(1)));
        self
    }

    /// The longest that back-pressure holds up one update. Default: 10 ms.
    pub fn max_pause(mut self, pause: Duration) -> Self {
        self.max_pause = pause;
        self
    }

    /// How long workers may take to pass a barrier, before it fails. Default: 10 s.
    pub fn barrier_timeout(mut self, timeout: Duration) -> Self {
        self.barrier_timeout = timeout;
        self
    }

    /// Calls `hook` with every error, on the thread that met it, also where a ticket or
    /// [`close`](super::Checkpointer::close) reports it.
    pub fn on_error(mut self, hook: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Arc::new(hook));
        self
    }
}

impl Default for Options {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("policy", &self.policy)
            .field("overflow", &self.overflow)
            .field("queue", &self.queue)
            .field("durability", &self.durability)
            .field("hard_unsaved_bytes", &self.hard_unsaved_bytes)
            .field("max_pause", &self.max_pause)
            .field("barrier_timeout", &self.barrier_timeout)
            .finish_non_exhaustive()
    }
}
