//! The thread that keeps a store as deep as its options say, and no larger than need be.
//!
//! It sleeps until the log has grown by an eighth, or two segments if that is more; then it drops what the policy does
//! not keep, and runs a pass of compaction at the pace it was given. Checkpoints tell it how much they wrote.

use std::sync::Arc;

use super::compaction::Pace;
use super::log::Log;
use super::options::Options;
use crate::retention::Retention;
use crate::sync::{AtomicBool, Condvar, JoinHandle, Mutex, Ordering, spawn};

/// The log has to grow by this part of its length.
const GROWTH: u64 = 8;

/// The thread. Dropping it calls off what it does, and waits for it.
pub(crate) struct Compactor {
    shared: Arc<Shared>,
    thread: Option<JoinHandle>,
}

struct Shared {
    grown_bytes: Mutex<u64>,
    changed: Condvar,
    stop: Arc<AtomicBool>,
    /// What the last pass failed with.
    failure: Mutex<Option<String>>,
}

impl Compactor {
    /// Starts the thread, if the options ask for one and the system has one. (Without it the store grows: `retain` and
    /// `compact` can still be called.)
    pub(crate) fn start(log: &Arc<Log>, options: &Options) -> Option<Self> {
        let policy = options.keep.clone().filter(|_| !options.read_only)?;
        let shared = Arc::new(Shared {
            grown_bytes: Mutex::new(0),
            changed: Condvar::default(),
            stop: Arc::new(AtomicBool::new(false)),
            failure: Mutex::new(None),
        });
        let job = Job {
            log: Arc::clone(log),
            policy,
            threshold: options.compact_below,
            bytes_per_second: options.compact_bytes_per_second,
            least_bytes: 2 * u64::from(options.segment_bytes),
        };
        let theirs = Arc::clone(&shared);
        let thread = spawn("perennial-compact", move || job.run(&theirs)).ok()?;
        Some(Self { shared, thread: Some(thread) })
    }

    /// Counts what a checkpoint wrote.
    pub(crate) fn grew(&self, bytes: u64) {
        *self.shared.grown_bytes.lock() += bytes;
        self.shared.changed.notify_all();
    }

    /// What the last pass failed with.
    pub(crate) fn failure(&self) -> Option<String> {
        self.shared.failure.lock().clone()
    }
}

impl Drop for Compactor {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        // Under the lock, or it may be about to wait.
        drop(self.shared.grown_bytes.lock());
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A panic of its own was printed; the store does not depend on the thread.
            let _ = thread.join();
        }
    }
}

struct Job {
    log: Arc<Log>,
    policy: Retention,
    threshold: f64,
    bytes_per_second: Option<u64>,
    least_bytes: u64,
}

impl Job {
    fn run(self, shared: &Shared) {
        let stopped = || shared.stop.load(Ordering::Acquire);
        loop {
            let enough = (self.log.stats().disk_bytes / GROWTH).max(self.least_bytes);
            let mut grown = shared.grown_bytes.lock();
            while *grown < enough && !stopped() {
                grown = shared.changed.wait(grown);
            }
            *grown = 0;
            drop(grown);
            if stopped() {
                return;
            }
            let pace = Pace::new(self.bytes_per_second, Some(Arc::clone(&shared.stop)));
            let done = self.log.retain(&self.policy).and_then(|_| self.log.compact(self.threshold, pace));
            *shared.failure.lock() = done.err().map(|error| error.to_string());
        }
    }
}
