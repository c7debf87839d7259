//! What the threads and handles of a checkpointer share, and how requests enter.
//!
//! ```text
//!  request ──► queue ──► write step ──► written ──► sync step ──► tickets
//!                 ▲      (capture,       (at most a few:           answered
//!   policy ───────┘       encode, write)  double buffering)
//! ```
//!
//! The *write step* takes the next job: it captures the state (O(1)), encodes what changed and writes it, without a sync.
//! The *sync step* makes everything written so far durable at once, and answers. So the encoding of one checkpoint
//! overlaps with the sync of the one before, and checkpoints that become ready during a sync share the next one.
//!
//! One lock guards queue and progress; it is never held while user code, the store or a ticket is called. Who changes
//! what another waits for changes it under the lock, and notifies after.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::at_work::AtWork;
use super::backpressure::Pressure;
use super::barrier::Gate;
use super::options::{Options, Overflow};
use super::policy::Trigger;
use super::source::{Captured, Source};
use super::stats::Stats;
use super::ticket::{Promise, Saved, Ticket};
use crate::error::{Error, Result};
use crate::store::{CheckpointOptions, Store};
use crate::sync::{AtomicBool, Condvar, Mutex, Ordering, caught};
use crate::weaken;

/// What a request asks for.
pub(super) struct Job {
    pub promise: Promise,
    pub trigger: Trigger,
    /// How it is to be written, where that was said; such a job is not joined.
    pub how: Option<CheckpointOptions>,
    /// The version it is for; `None`: the newest when it is written.
    pub version: Option<Version>,
}

/// One version of all states.
pub(super) struct Version {
    pub states: Vec<Captured>,
    /// See [`Pressure::capture`].
    pub mark: u64,
}

impl Job {
    pub(super) fn unasked(core: &Core, trigger: Trigger) -> Self {
        Self { promise: Promise::of(AtWork::of(core)), trigger, how: None, version: None }
    }

    /// Whether any request for the newest version may join it.
    fn is_open(&self) -> bool {
        self.version.is_none() && self.how.is_none()
    }
}

/// A checkpoint that is not yet as durable as asked for.
pub(super) struct Written {
    pub promise: Promise,
    pub saved: Saved,
    /// True if it was written for this; else nothing had changed since.
    pub is_new: bool,
    /// See [`Pressure::capture`].
    pub mark: u64,
    pub began: Instant,
    pub written: Instant,
}

/// Queue and progress.
pub(super) struct Inner {
    pub queue: VecDeque<Job>,
    /// A job whose barrier is open, and the mark of when it was opened.
    pub gathering: Option<(Job, u64)>,
    pub is_writing: bool,
    /// The writing thread looks again within a [`TICK`](super::writing::TICK): it need not be woken.
    pub is_lingering: bool,
    pub written: VecDeque<Written>,
    pub closing: Option<Closing>,
    /// The store takes no more: automatic checkpoints are over.
    pub is_poisoned: bool,
    /// When the last checkpoint was begun, or found to have nothing to do.
    pub last: Instant,
    /// The mark of the last one written; `None`: nothing was, and who knows what the store has.
    pub last_mark: Option<u64>,
    /// The last one written, or found in the store; it may not be durable yet.
    pub last_saved: Option<Saved>,
    /// About how many bytes a checkpoint writes.
    pub checkpoint_bytes: u64,
    /// The newest that is as durable as asked for.
    pub newest: Option<Saved>,
    pub stats: Stats,
}

/// How far closing is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// What is unsaved is still to be looked at.
    Asked,
    /// Nothing will come to the queue any more.
    Last,
    /// The writing thread has ended.
    Written,
}

/// What threads and handles of a checkpointer share.
pub(super) struct Core {
    pub store: Arc<Store>,
    pub options: Options,
    pub sources: Vec<Arc<Source>>,
    /// Where the states are captured by barrier.
    pub gate: Option<Arc<Gate>>,
    /// Nobody but the application runs the steps.
    pub is_manual: bool,
    pub pressure: Pressure,
    /// A mark was passed, and the writing thread was told.
    pub signalled: AtomicBool,
    /// The last checkpoint failed: holding up writers would not help.
    pub is_failing: AtomicBool,
    pub inner: Mutex<Inner>,
    pub for_writer: Condvar,
    pub for_syncer: Condvar,
    pub for_application: Condvar,
}

impl Core {
    pub(super) fn new(
        store: &Arc<Store>,
        options: Options,
        sources: Vec<Arc<Source>>,
        gate: Option<Arc<Gate>>,
        is_manual: bool,
    ) -> Self {
        let inner = Inner {
            queue: VecDeque::new(),
            gathering: None,
            is_writing: false,
            is_lingering: false,
            written: VecDeque::new(),
            closing: None,
            is_poisoned: false,
            last: Instant::now(),
            last_mark: None,
            last_saved: None,
            checkpoint_bytes: 0,
            newest: None,
            stats: Stats::default(),
        };
        Self {
            store: Arc::clone(store),
            options,
            sources,
            gate,
            is_manual,
            pressure: Pressure::new(),
            signalled: AtomicBool::new(false),
            is_failing: AtomicBool::new(false),
            inner: Mutex::new(inner),
            for_writer: Condvar::default(),
            for_syncer: Condvar::default(),
            for_application: Condvar::default(),
        }
    }

    /// Asks for a checkpoint; `how` makes it one that is not joined with others.
    pub(super) fn request(&self, how: Option<CheckpointOptions>) -> Ticket {
        if let Err(error) = self.store.expect_owner() {
            return Ticket::answered(Err(error));
        }
        let mut inner = self.inner.lock();
        let ticket = loop {
            if inner.closing.is_some() {
                break refuse(&mut inner, Error::Closed { what: "checkpointer" });
            }
            if self.options.overflow == Overflow::Coalesce && how.is_none() {
                if let Some(job) = inner.queue.back().filter(|job| job.is_open()) {
                    let ticket = job.promise.ticket();
                    inner.stats.coalesced += 1;
                    return ticket;
                }
                break self.push(&mut inner, None, None);
            }
            if inner.queue.len() < self.options.queue {
                // Under the lock: the order of the queue is the order of the versions.
                let version = self.gate.is_none().then(|| self.capture());
                break self.push(&mut inner, how, version);
            }
            if self.options.overflow != Overflow::Block {
                break refuse(&mut inner, Error::QueueFull { limit: self.options.queue });
            }
            if self.is_manual {
                let what = "the queue is full and nobody else runs the steps; run them first";
                break refuse(&mut inner, Error::Refused { what: what.to_owned() });
            }
            if AtWork::of(self).is_here() {
                let what = "the queue is full, and code that the checkpointer runs itself cannot wait for room in it; ask on \
                            another thread, or allow for more";
                break refuse(&mut inner, Error::Refused { what: what.to_owned() });
            }
            inner = self.for_application.wait(inner);
        };
        let is_awake = inner.is_lingering || weaken::is("request_unnotified");
        drop(inner);
        if !is_awake {
            self.for_writer.notify_all();
        }
        ticket
    }

    /// Queues a job. One that keeps its version also answers what waits before it for the newest: written after a newer
    /// version, the older one would become the latest checkpoint.
    fn push(&self, inner: &mut Inner, how: Option<CheckpointOptions>, version: Option<Version>) -> Ticket {
        let open = inner.queue.back().is_some_and(Job::is_open) && version.is_some();
        let joined = if open { inner.queue.pop_back() } else { None };
        let promise = joined.map_or_else(|| Promise::of(AtWork::of(self)), |job| job.promise);
        let ticket = promise.ticket();
        inner.queue.push_back(Job { promise, trigger: Trigger::Request, how, version });
        ticket
    }

    /// Takes the newest version of all states. **O(1)** each.
    pub(super) fn capture(&self) -> Version {
        let mark = self.pressure.capture();
        Version { mark, states: self.sources.iter().map(|source| source.capture()).collect() }
    }

    /// Answers a job that came to nothing, and gives the writing back.
    pub(super) fn fail(&self, promise: Promise, error: Error) {
        // A read that failed poisons nothing: the next attempt may succeed.
        let poisons = match &error {
            Error::Io { action, .. } => *action != "read",
            error => matches!(error, Error::Poisoned { .. }),
        };
        let mut inner = self.inner.lock();
        inner.is_writing = false;
        inner.is_poisoned |= poisons;
        inner.last = Instant::now();
        inner.stats.failed += 1;
        drop(inner);
        self.report(&error);
        promise.give(Err(error));
        self.notify();
    }

    /// Remembers an error and tells the hook.
    pub(super) fn report(&self, error: &Error) {
        self.is_failing.store(true, Ordering::Relaxed);
        // What is in an error may be of a storage of the user's: the one before is dropped without the lock.
        let _before = self.inner.lock().stats.last_error.replace(error.clone());
        if let Some(hook) = &self.options.on_error {
            // If it panics, the checkpointer goes on.
            let _ = caught(|| hook(error));
        }
    }

    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// Takes no more requests; what is asked for or unsaved is still written. In a fork, whose parent goes on, nothing is
    /// done.
    pub(super) fn begin_close(&self) {
        if self.store.expect_owner().is_err() {
            return;
        }
        self.inner.lock().closing.get_or_insert(Closing::Asked);
        self.notify();
    }

    /// Gives everything up: a thread of the checkpointer panicked.
    pub(super) fn abandon(&self, message: String) {
        let mut inner = self.inner.lock();
        inner.closing = Some(Closing::Written);
        // Dropped promises are answered, which is not done under the lock.
        let left =
            (std::mem::take(&mut inner.queue), std::mem::take(&mut inner.written), inner.gathering.take());
        drop(inner);
        self.report(&Error::Panicked { message });
        drop(left);
        self.notify();
    }

    /// Wakes everybody.
    pub(super) fn notify(&self) {
        self.for_writer.notify_all();
        self.for_syncer.notify_all();
        self.for_application.notify_all();
    }

    pub(super) fn stats(&self) -> Stats {
        let inner = self.inner.lock();
        let mut stats = inner.stats.clone();
        stats.waiting = inner.queue.len() + usize::from(inner.is_writing || inner.gathering.is_some());
        stats.in_flight = inner.written.len();
        (stats.unsaved_updates, stats.unsaved_bytes) = self.pressure.unsaved();
        stats.interval = self.options.policy.interval(stats.latency, inner.checkpoint_bytes);
        stats
    }
}

fn refuse(inner: &mut Inner, error: Error) -> Ticket {
    inner.stats.refused += 1;
    Ticket::answered(Err(error))
}

/// Calls what may run user code; its panic becomes an error.
pub(super) fn guarded<R>(call: impl FnOnce() -> Result<R>) -> Result<R> {
    caught(call).unwrap_or_else(|message| Err(Error::Panicked { message }))
}
