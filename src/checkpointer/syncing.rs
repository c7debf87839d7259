//! The sync step: one sync for everything written, and the answers.

use std::time::Instant;

use super::Step;
use super::at_work::AtWork;
use super::core::{Closing, Core, Inner, Written, guarded};
use super::options::Durability;
use super::ticket::{Outcome, Promise};
use super::writing::GROUP;
use crate::sync::{MutexGuard, Ordering};
use crate::weaken;

impl Core {
    /// Makes what was written durable, if there is something to do.
    pub(super) fn sync_step(&self, now: Instant) -> Step {
        if self.store.expect_owner().is_err() {
            return Step::Idle(None);
        }
        let _shift = AtWork::of(self).begin();
        let inner = self.inner.lock();
        match self.next_sync(&inner, now) {
            Ok(count) => {
                self.sync(inner, count);
                Step::Worked
            }
            Err(until) => Step::Idle(until),
        }
    }

    /// The syncing thread.
    pub(super) fn run_syncer(&self) {
        let _shift = AtWork::of(self).begin();
        let mut inner = self.inner.lock();
        loop {
            let now = Instant::now();
            match self.next_sync(&inner, now) {
                Ok(count) => {
                    self.sync(inner, count);
                    inner = self.inner.lock();
                }
                Err(None) if inner.closing == Some(Closing::Written) => break,
                Err(None) => inner = self.for_syncer.wait(inner),
                Err(Some(until)) => {
                    inner = self.for_syncer.wait_for(inner, until.saturating_duration_since(now));
                }
            }
        }
    }

    /// How many checkpoints to sync now, or when to look again.
    fn next_sync(&self, inner: &Inner, now: Instant) -> Result<usize, Option<Instant>> {
        let Some(oldest) = inner.written.front() else { return Err(None) };
        if let Durability::Group(interval) = self.options.durability
            && inner.closing.is_none()
            && inner.written.len() < GROUP
            && let Some(until) = oldest.written.checked_add(interval)
            && until > now
        {
            return Err(Some(until));
        }
        Ok(inner.written.len())
    }

    /// Syncs, and answers for the `count` oldest.
    fn sync(&self, inner: MutexGuard<'_, Inner>, count: usize) {
        drop(inner);
        let result = guarded(|| self.store.sync());
        let mut inner = self.inner.lock();
        let written = inner.written.len();
        let count = if weaken::is("counted_after_sync") { written } else { count.min(written) };
        let synced: Vec<Written> = inner.written.drain(..count).collect();
        match result {
            Ok(()) => {
                inner.stats.syncs += 1;
                let answers: Vec<_> =
                    synced.into_iter().map(|written| self.saved(&mut inner, written)).collect();
                drop(inner);
                for (promise, outcome) in answers {
                    promise.give(outcome);
                }
            }
            Err(error) => {
                inner.is_poisoned = true;
                inner.stats.failed += synced.len() as u64;
                drop(inner);
                self.report(&error);
                for written in synced {
                    written.promise.give(Err(error.clone()));
                }
            }
        }
        self.notify();
    }

    /// Counts a checkpoint that is as durable as asked for; its answer is to be given without the lock.
    pub(super) fn saved(&self, inner: &mut Inner, written: Written) -> (Promise, Outcome) {
        if written.is_new {
            let took = written.began.elapsed();
            inner.stats.checkpoints += 1;
            inner.stats.latency = took.max(inner.stats.latency / 8 * 7);
        }
        inner.newest = Some(written.saved.clone());
        self.pressure.set_durable(written.mark);
        self.is_failing.store(false, Ordering::Relaxed);
        (written.promise, Ok(written.saved))
    }
}
