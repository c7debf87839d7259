//! What the checkpointer does on the threads of writers: count their versions, and slow them down.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::at_work::AtWork;
use super::backpressure::Backpressure;
use super::core::Core;
use crate::state::{State, Watch};
use crate::sync::Ordering;
use crate::weaken;

/// Lets a core follow one state, whose type it has forgotten.
pub(super) type Follow = Box<dyn Fn(&Arc<Core>) + Send + Sync>;

/// Lets a checkpointer follow a state for as long as both live.
pub(super) fn follow<T>(state: &State<T>, core: &Arc<Core>) {
    let watcher: Weak<dyn Watch> = Arc::<Core>::downgrade(core);
    state.watch(watcher);
}

impl Watch for Core {
    fn published(&self) {
        self.pressure.publish();
        let policy = &self.options.policy;
        let (updates, dirty_bytes) = self.pressure.uncaptured();
        let is_past = |mark: Option<u64>, value| mark.is_some_and(|mark| value >= mark);
        let is_due = is_past(policy.every_updates, updates)
            || is_past(policy.dirty_bytes, dirty_bytes)
            || is_past(policy.soft_unsaved_bytes, dirty_bytes);
        if is_due && self.store.expect_owner().is_err() {
            // In a fork nobody saves, and nobody is waited for.
            return;
        }
        if is_due && !self.signalled.swap(true, Ordering::Relaxed) {
            // The writing thread counts under the lock: it has seen this version, or sleeps and hears of it.
            let is_lingering = !weaken::is("mark_unlocked") && self.inner.lock().is_lingering;
            if !is_lingering {
                self.for_writer.notify_all();
            }
        }
        if let (Some(soft), Some(hard)) = (policy.soft_unsaved_bytes, self.options.hard_unsaved_bytes)
            && !self.is_failing.load(Ordering::Relaxed)
            && !AtWork::of(self).is_here()
        {
            match self.pressure.brake(soft, hard, self.options.max_pause) {
                Backpressure::Free => {}
                Backpressure::Pause(pause) => self.pause(|| std::thread::sleep(pause)),
                Backpressure::Wait(most) => self.pause(|| self.wait_below(hard, most)),
            }
        }
    }
}

impl Core {
    /// Waits until less than `hard_bytes` is unsaved, but no longer than `most`.
    fn wait_below(&self, hard_bytes: u64, most: Duration) {
        let began = Instant::now();
        let mut inner = self.inner.lock();
        while self.pressure.unsaved().1 >= hard_bytes && !self.is_failing.load(Ordering::Relaxed) {
            let left = most.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            inner = self.for_application.wait_for(inner, left);
        }
    }

    fn pause(&self, wait: impl FnOnce()) {
        let began = Instant::now();
        wait();
        let mut inner = self.inner.lock();
        inner.stats.pauses += 1;
        inner.stats.paused += began.elapsed();
    }
}
