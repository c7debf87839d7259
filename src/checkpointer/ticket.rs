//! The answer to a request that is still being worked on.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use super::at_work::AtWork;
use crate::error::Error;
use crate::store::Checkpoint;
use crate::sync::{Condvar, Mutex, caught};
use crate::weaken;

/// What became durable.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Saved {
    /// The checkpoint in the store.
    pub checkpoint: Checkpoint,
    /// The version of each state in it, in the order of [`Checkpoint::roots`].
    pub versions: Vec<u64>,
}

impl Saved {
    /// The version that became durable; of several states, that of the first.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.versions.first().copied().unwrap_or(0)
    }

    /// The version of the state of this name that became durable.
    #[must_use]
    pub fn version_of(&self, name: &str) -> Option<u64> {
        let index = self.checkpoint.roots.iter().position(|root| root == name)?;
        self.versions.get(index).copied()
    }
}

/// How a request ended. The error is shared by all tickets that it answers.
pub type Outcome = Result<Saved, Error>;

/// The answer to [`Checkpointer::request`](super::Checkpointer::request): wait for it, look at it now and then, or
/// `.await` it.
///
/// Tickets of requests that were answered by one checkpoint share its answer. Dropping a ticket changes nothing: the
/// checkpoint is made all the same.
///
/// ```
/// # use std::sync::Arc;
/// # use perennial::{Checkpointer, HashMap, State, storage::MemoryStorage, store::Store};
/// # let store = Arc::new(Store::options().open_storage(Arc::new(MemoryStorage::new()))?);
/// let state = Arc::new(State::new(HashMap::from([(1u32, 'a')])));
/// let checkpointer = Checkpointer::start(&state, &store)?;
/// state.update(|map| map.insert(2, 'b'));
///
/// let ticket = checkpointer.request();
/// // … the application goes on, and later:
/// let saved = ticket.wait()?;
/// assert_eq!(saved.version(), 1);
/// assert_eq!(store.restore::<HashMap<u32, char>>(saved.checkpoint.id)?.len(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a ticket that is dropped tells nobody whether the checkpoint was made"]
pub struct Ticket {
    answer: Arc<Answer>,
    /// Under which number its waker is kept; 0: it was not awaited yet.
    number: u64,
}

/// Where the answer will be.
struct Answer {
    /// The process that asked: nobody answers in a fork of it.
    asked_by: u32,
    progress: Mutex<Progress>,
    arrived: Condvar,
    /// Which checkpointer owes it.
    owed_by: Option<AtWork>,
}

impl Default for Answer {
    fn default() -> Self {
        let asked_by = std::process::id();
        Self { asked_by, progress: Mutex::default(), arrived: Condvar::default(), owed_by: None }
    }
}

/// Wakers are code of the user's: cloned, dropped and woken without the lock.
#[derive(Default)]
struct Progress {
    outcome: Option<Outcome>,
    /// One for each ticket that is awaited, by its number: of the task that looked last.
    wakers: Vec<(u64, Waker)>,
    /// Number of tickets that were awaited.
    numbers: u64,
}

impl Answer {
    /// The answer, if there is one, or there will be none.
    fn look(&self, progress: &Progress) -> Option<Outcome> {
        if progress.outcome.is_some() {
            return progress.outcome.clone();
        }
        match std::process::id() {
            called_in if called_in == self.asked_by => None,
            called_in => Some(Err(Error::Forked { opened_by: self.asked_by, called_in })),
        }
    }

    /// Gives the answer; the first one counts.
    fn give(&self, outcome: Outcome) {
        let mut progress = self.progress.lock();
        if progress.outcome.is_none() {
            progress.outcome = Some(outcome);
        }
        let wakers = std::mem::take(&mut progress.wakers);
        drop(progress);
        if !weaken::is("answer_unnotified") {
            self.arrived.notify_all();
        }
        for (_, waker) in wakers {
            // If it panics, the others are woken all the same.
            let _ = caught(|| waker.wake());
        }
    }
}

/// The other end of a ticket: who holds it owes an answer, and gives one in any case.
#[derive(Default)]
pub(super) struct Promise(Arc<Answer>);

impl Promise {
    /// A promise of this checkpointer.
    pub(super) fn of(owed_by: AtWork) -> Self {
        Self(Arc::new(Answer { owed_by: Some(owed_by), ..Answer::default() }))
    }

    /// Another ticket for the answer.
    pub(super) fn ticket(&self) -> Ticket {
        Ticket { answer: Arc::clone(&self.0), number: 0 }
    }

    /// Gives the answer. Wakers run here, which are user code: hold no lock.
    pub(super) fn give(self, outcome: Outcome) {
        self.0.give(outcome);
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        if self.0.progress.lock().outcome.is_none() {
            self.0.give(Err(Error::Closed { what: "checkpointer" }));
        }
    }
}

impl Ticket {
    /// A ticket that was answered at once.
    pub(super) fn answered(outcome: Outcome) -> Self {
        let promise = Promise::default();
        let ticket = promise.ticket();
        promise.give(outcome);
        ticket
    }

    /// Waits until the checkpoint is as durable as was asked for, or failed.
    ///
    /// # Errors
    ///
    /// Why it was not made: what [`Store::checkpoint`](crate::store::Store::checkpoint) answered,
    /// [`Error::Panicked`] if user code panicked, [`Error::QueueFull`] if as many were waiting as the queue holds, [`Error::Closed`] if the checkpointer ended before it,
    /// [`Error::BarrierFailed`] if not every worker passed; [`Error::Forked`] in a fork of the process that asked;
    /// [`Error::Reentrant`] if there is no answer yet and it is code that the checkpointer runs itself that waits for it
    /// (`Serialize`, the hook, a waker).
    pub fn wait(&self) -> Outcome {
        let mut progress = self.answer.progress.lock();
        loop {
            if let Some(outcome) = self.answer.look(&progress) {
                return outcome;
            }
            if self.answer.owed_by.is_some_and(AtWork::is_here) {
                let what = "a ticket was waited for within code that its own checkpointer runs (Serialize, Drop, the hook \
                            for errors, a waker), which would wait for itself for ever; look at it with `try_wait`, or \
                            wait on another thread";
                return Err(Error::Reentrant { what: what.to_owned() });
            }
            progress = self.answer.arrived.wait(progress);
        }
    }

    /// Waits, but no longer than `timeout`; `None` if there is no answer by then.
    pub fn wait_for(&self, timeout: Duration) -> Option<Outcome> {
        let end = Instant::now().checked_add(timeout);
        let mut progress = self.answer.progress.lock();
        loop {
            if let Some(outcome) = self.answer.look(&progress) {
                return Some(outcome);
            }
            let left = match end {
                Some(end) => end.saturating_duration_since(Instant::now()),
                None => timeout,
            };
            if left.is_zero() {
                return None;
            }
            progress = self.answer.arrived.wait_for(progress, left);
        }
    }

    /// The answer, if there is one by now. Never waits.
    pub fn try_wait(&self) -> Option<Outcome> {
        self.answer.look(&self.answer.progress.lock())
    }

    /// Tells whether there is an answer.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.try_wait().is_some()
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let this = &mut *self;
        let mut new = None;
        loop {
            let mut progress = this.answer.progress.lock();
            if let Some(outcome) = this.answer.look(&progress) {
                return Poll::Ready(outcome);
            }
            if this.number == 0 {
                progress.numbers += 1;
                this.number = progress.numbers;
            }
            let number = this.number;
            let known = progress.wakers.iter_mut().find(|(of, _)| *of == number);
            if known.as_ref().is_some_and(|(_, waker)| waker.will_wake(context.waker())) {
                return Poll::Pending;
            }
            // Whatever is left in `new` is dropped without the lock, which was taken later.
            match (known, &mut new) {
                (_, None) => {
                    drop(progress);
                    new = Some(context.waker().clone());
                }
                (Some((_, known)), Some(new)) => {
                    std::mem::swap(known, new);
                    return Poll::Pending;
                }
                (None, new) => {
                    progress.wakers.extend(new.take().map(|waker| (number, waker)));
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        Self { answer: Arc::clone(&self.answer), number: 0 }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.number > 0 {
            // Dropped without the lock.
            let _waker = {
                let wakers = &mut self.answer.progress.lock().wakers;
                wakers.iter().position(|(of, _)| *of == self.number).map(|at| wakers.swap_remove(at))
            };
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("outcome", &self.try_wait()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    fn refused() -> Outcome {
        Err(Error::Refused { what: "on purpose".to_owned() })
    }

    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn of_the_tasks_that_a_ticket_moved_through_only_the_last_is_kept_and_woken() {
        let promise = Promise::default();
        let (mut one, mut other) = (promise.ticket(), promise.ticket());
        let tasks: Vec<_> = (0..1000).map(|_| Arc::new(Count(AtomicUsize::new(0)))).collect();
        for task in &tasks {
            let waker = Waker::from(Arc::clone(task));
            assert!(Pin::new(&mut one).poll(&mut Context::from_waker(&waker)).is_pending());
            assert!(Pin::new(&mut one).poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let waker = Waker::from(Arc::clone(&tasks[0]));
        assert!(Pin::new(&mut other).poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        let held = |task: &Arc<Count>| Arc::strong_count(task) - 1;
        assert_eq!((held(&tasks[0]), held(&tasks[998]), held(&tasks[999])), (1, 0, 1));
        // A ticket that is gone wakes nobody.
        let (mut third, waker) = (one.clone(), Waker::from(Arc::clone(&tasks[1])));
        assert!(Pin::new(&mut third).poll(&mut Context::from_waker(&waker)).is_pending());
        drop((third, waker));
        assert_eq!(held(&tasks[1]), 0);
        promise.give(refused());
        let woken: usize = tasks.iter().map(|task| task.0.load(Ordering::Relaxed)).sum();
        assert_eq!(
            (woken, tasks[0].0.load(Ordering::Relaxed), tasks[999].0.load(Ordering::Relaxed)),
            (2, 1, 1)
        );
        assert!(matches!(
            Pin::new(&mut one).poll(&mut Context::from_waker(Waker::noop())),
            Poll::Ready(Err(_))
        ));
    }

    thread_local!(static WATCHED: RefCell<Option<Ticket>> = const { RefCell::new(None) });

    /// A task that looks at a ticket, which takes its lock, when the last of its wakers is dropped.
    struct Looks;

    impl Wake for Looks {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Looks {
        fn drop(&mut self) {
            if let Some(ticket) = WATCHED.take() {
                assert_eq!(ticket.is_done(), ticket.try_wait().is_some());
                WATCHED.set(Some(ticket));
            }
        }
    }

    #[test]
    fn a_waker_is_dropped_without_the_lock() {
        let (done, is_done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let promise = Promise::default();
            WATCHED.set(Some(promise.ticket()));
            let mut ticket = pin!(promise.ticket());
            // Replaced by the next, and at last dropped with the ticket.
            for _ in 0..3 {
                let waker = Waker::from(Arc::new(Looks));
                assert!(ticket.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
            let mut other = promise.ticket();
            assert!(
                Pin::new(&mut other).poll(&mut Context::from_waker(&Arc::new(Looks).into())).is_pending()
            );
            drop(other);
            promise.give(refused());
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(30)).expect("it waits for itself");
    }
}
