//! The thread that drops versions nobody holds any more.
//!
//! A version may hold gigabytes that no other shares, and whoever lets go of it last is often somebody who must not
//! wait: a reader, an undo history making room. So the last [`Snapshot`](super::Snapshot) hands its version over.
//! Two exceptions, both dropped on the spot: what an update replaces (it freed about what the update allocated, and
//! memory is freed cheapest where it was allocated), and a version handed over when the thread has [`MAX_WAITING`]
//! to do already (garbage must not grow without bound).
//!
//! Where there is no thread versions are dropped on the spot, too: in the child of a fork, which has only the thread that
//! called it (and perhaps a queue that was locked at that moment), under Miri, which wants every thread ended before the
//! first one, and where the system gives no thread.
//!
//! What is nested deep (a map in a value of a map, and so on) is dropped by recursion: our own nodes take a bounded part of
//! the stack for each collection, and the rest is the user's. The thread has 64 MiB of stack for that, reserved.

/// Versions that may wait for the thread.
#[cfg(not(miri))]
const MAX_WAITING: usize = if cfg!(loom) { 2 } else { 1_024 };

#[cfg(not(miri))]
use crate::sync::{Condvar, Mutex};
#[cfg(not(miri))]
use crate::weaken;

/// Drops `value` soon, on the thread; or here and now where that is not possible.
#[cfg(not(any(loom, miri)))]
pub(super) fn reclaim<T: Send + 'static>(value: T) {
    if std::mem::needs_drop::<T>() {
        thread::hand_over(value, std::process::id());
    }
}

/// In a model everything happens on the threads that the model made, and under Miri on those that the program joins.
#[cfg(any(loom, miri))]
pub(super) fn reclaim<T: Send + 'static>(value: T) {
    drop(value);
}

/// The queue of the thread. Checked by `loom-tests`, where the thread is the model's.
#[cfg(not(miri))]
#[derive(Default)]
pub(crate) struct Queue {
    inner: Mutex<Inner>,
    filled: Condvar,
}

/// Something to be dropped.
#[cfg(not(miri))]
pub(crate) type Garbage = Box<dyn Send>;

#[cfg(not(miri))]
#[derive(Default)]
struct Inner {
    waiting: Vec<Garbage>,
    /// The thread sleeps until it is notified.
    is_asleep: bool,
}

#[cfg(not(miri))]
impl Queue {
    /// Adds what is to be dropped; gives it back if as much waits as may.
    pub(crate) fn push(&self, garbage: Garbage) -> Option<Garbage> {
        let mut inner = self.inner.lock();
        if inner.waiting.len() >= MAX_WAITING {
            return Some(garbage);
        }
        inner.waiting.push(garbage);
        let is_asleep = std::mem::take(&mut inner.is_asleep);
        drop(inner);
        if is_asleep && !weaken::is("reclaim_unnotified") {
            self.filled.notify_all();
        }
        None
    }

    /// Takes all that waits. Where the thread has `lingered` in vain, waits until there is something.
    pub(crate) fn take(&self, lingered: bool) -> Vec<Garbage> {
        let mut inner = self.inner.lock();
        while lingered && inner.waiting.is_empty() {
            inner.is_asleep = true;
            inner = self.filled.wait(inner);
        }
        inner.is_asleep = false;
        std::mem::take(&mut inner.waiting)
    }
}

#[cfg(not(any(loom, miri)))]
mod thread {
    use std::sync::OnceLock;
    use std::time::Duration;

    use super::Queue;
    use crate::sync::{caught, spawn};

    /// The thread looks again after this time before it goes to sleep, so that a burst of drops wakes it once.
    const LINGER: Duration = Duration::from_millis(2);

    struct Reclaimer {
        /// The process that has the thread.
        process: u32,
        queue: Queue,
    }

    /// `None` if the system gave us no thread.
    static RECLAIMER: OnceLock<Option<&'static Reclaimer>> = OnceLock::new();

    fn start() -> Option<&'static Reclaimer> {
        let reclaimer = Reclaimer { process: std::process::id(), queue: Queue::default() };
        let reclaimer: &'static Reclaimer = Box::leak(Box::new(reclaimer));
        spawn("perennial-reclaim", || reclaimer.run()).ok().map(|_detached| reclaimer)
    }

    /// Drops `value` on the thread, if it is one of this process.
    pub(super) fn hand_over<T: Send + 'static>(value: T, process: u32) {
        let Some(reclaimer) = *RECLAIMER.get_or_init(start) else { return drop(value) };
        // Before the lock: a fork may have copied it locked.
        if reclaimer.process != process {
            return drop(value);
        }
        // Dropped here if there is no room.
        drop(reclaimer.queue.push(Box::new(value)));
    }

    impl Reclaimer {
        fn run(&self) {
            let mut lingered = false;
            loop {
                let batch = self.queue.take(lingered);
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

/// Lets versions be dropped on the spot while it lives: the thread waits for it, with as many as may wait.
#[cfg(test)]
pub(crate) struct KeepBusy {
    _hold: std::sync::mpsc::Sender<()>,
    _alone: std::sync::MutexGuard<'static, ()>,
}

/// Held by tests that say where something is dropped: there is one thread for all.
#[cfg(test)]
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

#[cfg(test)]
impl KeepBusy {
    pub(crate) fn new() -> Self {
        let alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let (hold, held) = std::sync::mpsc::channel();
        reclaim_when(held);
        Self { _hold: hold, _alone: alone }
    }
}

/// Gives the thread something that takes until the other end is dropped, and then as much as may wait for it.
#[cfg(all(test, not(any(loom, miri))))]
fn reclaim_when(held: std::sync::mpsc::Receiver<()>) {
    struct Waits(std::sync::mpsc::Receiver<()>);
    impl Drop for Waits {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }
    reclaim(Waits(held));
    // The thread takes all that wait at once before it comes to the one that holds it.
    std::thread::sleep(std::time::Duration::from_millis(50));
    (0..MAX_WAITING).for_each(|_| reclaim(Box::new(())));
}

/// There is no thread.
#[cfg(all(test, any(loom, miri)))]
fn reclaim_when(_: std::sync::mpsc::Receiver<()>) {}

#[cfg(all(test, not(miri)))]
mod tests {
    use std::sync::Arc;
    use std::sync::{PoisonError, mpsc};
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
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
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
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (tell, told) = mpsc::channel();
        let state = State::new(Some(Arc::new(Tell(tell))));
        state.update(|value| *value = None);
        assert_eq!(told.try_recv().unwrap(), std::thread::current().id());
    }

    #[test]
    fn a_panicking_drop_does_not_stop_the_thread() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
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
    fn a_payload_whose_own_drop_panics_does_not_stop_the_thread() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        struct Payload;
        impl Drop for Payload {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new("on purpose, once more"));
            }
        }
        struct Panics;
        impl Drop for Panics {
            fn drop(&mut self) {
                std::panic::resume_unwind(Box::new(Payload));
            }
        }
        let (tell, told) = mpsc::channel();
        reclaim(Panics);
        reclaim(Tell(tell));
        let dropped_by = told.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_ne!(dropped_by, std::thread::current().id());
        // Sent before it is known whether the thread went on.
        let (tell, told) = mpsc::channel();
        reclaim(Tell(tell));
        told.recv_timeout(Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn in_another_process_there_is_no_thread_to_hand_over_to() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (tell, told) = mpsc::channel();
        reclaim(Tell(tell.clone()));
        told.recv_timeout(Duration::from_secs(10)).unwrap();
        thread::hand_over(Tell(tell), std::process::id() ^ 1);
        assert_eq!(told.try_recv().unwrap(), std::thread::current().id());
    }

    #[test]
    fn a_version_nested_as_deep_as_a_large_stack_allows_is_dropped() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        #[derive(Clone)]
        struct Nest {
            _inner: Option<crate::HashMap<u8, Self>>,
            _tell: Option<Arc<Tell>>,
        }
        let (tell, told) = mpsc::channel();
        let innermost = Nest { _inner: None, _tell: Some(Arc::new(Tell(tell))) };
        let nest = (0..20_000).fold(innermost, |inner, _| {
            let mut map = crate::HashMap::new();
            map.insert(0, inner);
            Nest { _inner: Some(map), _tell: None }
        });
        let state = State::new(Some(Arc::new(nest)));
        let snapshot = state.snapshot();
        drop(state.replace(None));
        drop(snapshot);
        let dropped_by = told.recv_timeout(Duration::from_secs(60)).unwrap();
        assert_ne!(dropped_by, std::thread::current().id());
    }

    #[test]
    fn garbage_does_not_pile_up_without_bound() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
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
        for _ in 0..3 * MAX_WAITING {
            reclaim(Tell(tell.clone()));
        }
        let here = told.try_iter().filter(|&id| id == std::thread::current().id()).count();
        assert!(here >= MAX_WAITING, "{here}");
        drop(hold);
        drop(tell);
        assert_eq!(here + told.iter().count(), 3 * MAX_WAITING);
    }
}
