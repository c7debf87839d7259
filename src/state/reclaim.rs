//! The thread that drops versions nobody holds any more.
//!
//! A version may hold gigabytes that no other shares, and whoever lets go of it last is often somebody who must not
//! wait: a reader, an undo history making room. So the last [`Snapshot`](super::Snapshot) hands its version over.
//! Two exceptions, both dropped on the spot: what an update replaces (it freed about what the update allocated, and
//! memory is freed cheapest where it was allocated), and a version handed over when the thread has [`MOST_WAITING`]
//! to do already (garbage must not grow without bound).
//!
//! Where there is no thread versions are dropped on the spot, too: in the child of a fork, which has only the thread that
//! called it (and perhaps a queue that was locked at that moment), under Miri, which wants every thread ended before the
//! first one, and where the system gives no thread.
//!
//! What is nested deep (a map in a value of a map, and so on) is dropped by recursion: our own nodes take a bounded part of
//! the stack for each collection, and the rest is the user's. The thread has 64 MiB of stack for that, reserved.

/// Versions that may wait for the thread.
#[cfg(not(any(loom, miri)))]
const MOST_WAITING: usize = 1_024;

/// Drops `value` soon, on the thread; or here and now where that is not possible.
#[cfg(not(any(loom, miri)))]
pub(super) fn reclaim<T: Send + 'static>(value: T) {
    if std::mem::needs_drop::<T>() {
        thread::hand_over(value);
    }
}

/// In a model everything happens on the threads that the model made, and under Miri on those that the program joins.
#[cfg(any(loom, miri))]
pub(super) fn reclaim<T: Send + 'static>(value: T) {
    drop(value);
}

#[cfg(not(any(loom, miri)))]
mod thread {
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::MOST_WAITING;
    use crate::sync::{Condvar, Mutex, caught, spawn};

    /// The thread looks again after this time before it goes to sleep, so that a burst of drops wakes it once.
    const LINGER: Duration = Duration::from_millis(2);

    type Garbage = Box<dyn Send>;

    struct Reclaimer {
        /// The process that has the thread.
        process: u32,
        queue: Mutex<Queue>,
        filled: Condvar,
    }

    #[derive(Default)]
    struct Queue {
        waiting: Vec<Garbage>,
        /// The thread sleeps until it is notified.
        asleep: bool,
    }

    /// `None` if the system gave us no thread.
    static RECLAIMER: OnceLock<Option<&'static Reclaimer>> = OnceLock::new();

    fn start() -> Option<&'static Reclaimer> {
        let (process, queue, filled) = (std::process::id(), Mutex::default(), Condvar::default());
        let reclaimer: &'static Reclaimer = Box::leak(Box::new(Reclaimer { process, queue, filled }));
        spawn("perennial-reclaim", || reclaimer.run()).ok().map(|_detached| reclaimer)
    }

    pub(super) fn hand_over<T: Send + 'static>(value: T) {
        let Some(reclaimer) = *RECLAIMER.get_or_init(start) else { return drop(value) };
        // Before the lock: a fork may have copied it locked.
        if reclaimer.process != std::process::id() {
            return drop(value);
        }
        let mut queue = reclaimer.queue.lock();
        if queue.waiting.len() >= MOST_WAITING {
            drop(queue);
            return drop(value);
        }
        queue.waiting.push(Box::new(value));
        if std::mem::take(&mut queue.asleep) {
            reclaimer.filled.notify_all();
        }
    }

    impl Reclaimer {
        fn run(&self) {
            let mut lingered = false;
            loop {
                let mut queue = self.queue.lock();
                while lingered && queue.waiting.is_empty() {
                    queue.asleep = true;
                    queue = self.filled.wait(queue);
                }
                queue.asleep = false;
                let batch = std::mem::take(&mut queue.waiting);
                drop(queue);
                lingered = batch.is_empty();
                for value in batch {
                    // Of a user's Drop that panics; the others are dropped all the same.
                    let _ = caught(|| drop(value));
                }
                std::thread::sleep(LINGER);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc;
    use std::thread::ThreadId;
    use std::time::Duration;

    use super::*;
    use crate::State;

    /// Tells which thread dropped it.
    struct Tell(mpsc::Sender<ThreadId>);

    impl Drop for Tell {
        fn drop(&mut self) {
            let _ = self.0.send(std::thread::current().id());
        }
    }

    #[test]
    fn the_last_snapshot_is_dropped_elsewhere_and_soon() {
        let (tell, told) = mpsc::channel();
        let state = State::new(Some(Arc::new(Tell(tell))));
        let snapshot = state.snapshot();
        drop(state.replace(None));
        assert!(told.try_recv().is_err(), "still held");
        drop(snapshot);
        let dropped_by = told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_ne!(dropped_by, std::thread::current().id());
    }

    #[test]
    fn what_an_update_replaces_is_dropped_by_the_update() {
        let (tell, told) = mpsc::channel();
        let state = State::new(Some(Arc::new(Tell(tell))));
        state.update(|value| *value = None);
        assert_eq!(told.try_recv().unwrap(), std::thread::current().id());
    }

    #[test]
    fn a_panicking_drop_does_not_stop_the_thread() {
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new("on purpose"));
            }
        }
        let (tell, told) = mpsc::channel();
        reclaim(Panics);
        reclaim(Tell(tell));
        told.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn garbage_does_not_pile_up_without_bound() {
        let (hold, held) = mpsc::channel::<()>();
        /// Keeps the thread busy until the test ends.
        struct Waits(mpsc::Receiver<()>);
        impl Drop for Waits {
            fn drop(&mut self) {
                let _ = self.0.recv();
            }
        }
        reclaim(Waits(held));
        let (tell, told) = mpsc::channel();
        for _ in 0..3 * MOST_WAITING {
            reclaim(Tell(tell.clone()));
        }
        let here = told.try_iter().filter(|&id| id == std::thread::current().id()).count();
        assert!(here >= MOST_WAITING, "{here}");
        drop(hold);
        drop(tell);
        assert_eq!(here + told.iter().count(), 3 * MOST_WAITING);
    }
}
