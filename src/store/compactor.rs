//! The thread that keeps a store as deep as its options say, and no larger than need be.
//!
//! What is kept is decided with each commit. The thread sleeps until the log has grown enough
//! ([`pacing`](super::pacing)), or, where the opening found more than the policy keeps, until something is written; then it
//! runs a pass of compaction, at the pace it was given or that checkpoints ask for.

use std::sync::{Arc, Weak};

use super::directory::expect_process;
use super::log::Log;
use super::options::Options;
use super::pacing::{Pace, Pacing};
use crate::error::Result;
use crate::retention::Retention;
use crate::sync::{JoinHandle, join, spawn};

/// The thread. Dropping it calls off what it does, and waits for it.
pub(crate) struct Compactor {
    pacing: Arc<Pacing>,
    thread: Option<JoinHandle>,
    /// The process that the thread runs in.
    started_by: u32,
}

impl Compactor {
    /// Starts the thread, if the options ask for one and the system has one. (Without it the store grows: `retain` and
    /// `compact` can still be called.)
    pub(crate) fn start(log: &Arc<Log>, options: &Options) -> Option<Self> {
        let policy = options.keep.clone().filter(|_| !options.read_only)?;
        let pacing = Arc::new(Pacing::new(log.stats().disk_bytes, options));
        if log.owes_space() {
            pacing.owe();
        }
        let job = Job {
            log: Arc::downgrade(log),
            policy,
            threshold: options.compact_below,
            pacing: Arc::clone(&pacing),
        };
        let thread = spawn("perennial-compact", move || job.run()).ok()?;
        Some(Self { pacing, thread: Some(thread), started_by: std::process::id() })
    }

    /// What checkpoints and the thread know of each other.
    pub(crate) fn pacing(&self) -> &Pacing {
        &self.pacing
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        if expect_process(self.started_by).is_err() {
            // A fork has no such thread: waiting for it would never end, and what it held is held for good.
            std::mem::forget(self.thread.take());
            return;
        }
        self.pacing.stop();
        if let Some(thread) = self.thread.take() {
            // The store does not depend on the thread.
            join(thread);
        }
    }
}

struct Job {
    /// Held during a pass only, so that a fork, which has no thread to let go of it, can drop it.
    log: Weak<Log>,
    policy: Retention,
    threshold: f64,
    pacing: Arc<Pacing>,
}

impl Job {
    fn run(self) {
        while self.pacing.wait_until_due() {
            let Some(log) = self.log.upgrade() else { return };
            let pace = Pace::of(&self.pacing);
            let done = self.retain(&log).and_then(|()| log.compact(self.threshold, pace));
            self.pacing.passed(log.stats().disk_bytes, done.err().map(|error| error.to_string()));
        }
    }
}

impl Job {
    /// Drops what the policy does not keep, where that is not done with each commit since the commits there were could
    /// not be read; this says so, unless they can be by now.
    fn retain(&self, log: &Log) -> Result<()> {
        if log.is_thinned() || self.policy.keeps_all() {
            return Ok(());
        }
        log.retain(&self.policy).map(drop)
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        // Also where it panics: nobody waits for a thread that is gone.
        self.pacing.stop();
    }
}
