//! The thread that keeps a store as deep as its options say, and no larger than need be; and looks for damage.
//!
//! What is kept is decided with each commit. The thread sleeps until the log has grown enough
//! ([`pacing`](super::throttle)), or, where the opening found more than the policy keeps, until something is written; then it
//! runs a pass of compaction, at the pace it was given or that checkpoints ask for. Between passes it takes steps of
//! [`scrub`](super::super::scrub), if the options ask for that.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::super::Log;
use super::super::directory::expect_process;
use super::super::options::Options;
use super::super::scrub::{Rate, Scrub};
use super::throttle::{Pace, Throttle};
use crate::error::Result;
use crate::retention::Retention;
use crate::sync::{JoinHandle, Mutex, join, spawn};

/// The thread. Dropping it calls off what it does, and waits for it.
pub(crate) struct Compactor {
    pacing: Arc<Throttle>,
    thread: Mutex<Option<JoinHandle>>,
    /// The process that the thread runs in.
    started_by: u32,
}

impl Compactor {
    /// Starts the thread, if the options ask for one and the system has one. (Without it the store grows: `retain` and
    /// `compact` can still be called.)
    pub(crate) fn start(log: &Arc<Log>, scrub: &Arc<Scrub>, options: &Options) -> Option<Self> {
        let (policy, rate) = (options.keep.clone(), Rate::of(options));
        if options.read_only || policy.is_none() && rate.is_none() {
            return None;
        }
        let pacing = Arc::new(match policy {
            Some(_) => Throttle::new(log.stats().disk_bytes, options),
            None => Throttle::idle(options),
        });
        if log.owes_space() {
            pacing.owe();
        }
        let job = Job {
            log: Arc::downgrade(log),
            policy,
            scrub: Arc::clone(scrub),
            rate,
            threshold: options.compact_below,
            pacing: Arc::clone(&pacing),
        };
        let thread = spawn("perennial-compact", move || job.run()).ok()?;
        Some(Self { pacing, thread: Mutex::new(Some(thread)), started_by: std::process::id() })
    }

    /// Calls off what the thread does, and waits for it.
    pub(crate) fn stop(&self) {
        let thread = self.thread.lock().take();
        if expect_process(self.started_by).is_err() {
            // A fork has no such thread: waiting for it would never end, and what it held is held for good.
            std::mem::forget(thread);
            return;
        }
        self.pacing.stop();
        if let Some(thread) = thread {
            // The store does not depend on the thread.
            join(thread);
        }
    }

    /// What checkpoints and the thread know of each other.
    pub(crate) fn pacing(&self) -> &Throttle {
        &self.pacing
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Job {
    /// Held during a pass or a step only, so that a fork, which has no thread to let go of it, can drop it.
    log: Weak<Log>,
    policy: Option<Retention>,
    scrub: Arc<Scrub>,
    /// `None`: nothing is scrubbed.
    rate: Option<Rate>,
    threshold: f64,
    pacing: Arc<Throttle>,
}

impl Job {
    fn run(mut self) {
        while self.wait() {
            let (Some(policy), Some(log)) = (&self.policy, self.log.upgrade()) else { return };
            let pace = Pace::of(&self.pacing);
            let done = retain(policy, &log).and_then(|()| log.compact(self.threshold, pace));
            self.pacing.passed(log.stats().disk_bytes, done.err().map(|error| error.to_string()));
        }
    }

    /// Waits until a pass is due, and scrubs meanwhile. False: there is to be none any more.
    fn wait(&mut self) -> bool {
        let Some(rate) = &mut self.rate else { return self.pacing.wait_until_due() };
        let mut pause = Duration::ZERO;
        loop {
            if let Some(is_due) = self.pacing.wait_until_due_for(pause) {
                return is_due;
            }
            let Some(log) = self.log.upgrade() else { return false };
            pause = rate.step(&self.scrub, log.opening(), &|| self.pacing.is_stopped());
        }
    }
}

/// Drops what the policy does not keep, where that is not done with each commit since the commits there were could
/// not be read; this says so, unless they can be by now.
fn retain(policy: &Retention, log: &Log) -> Result<()> {
    if log.is_thinned() || policy.keeps_all() {
        return Ok(());
    }
    log.retain(policy).map(drop)
}

impl Drop for Job {
    fn drop(&mut self) {
        // Also where it panics: nobody waits for a thread that is gone.
        self.pacing.stop();
    }
}
