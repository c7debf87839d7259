//! Several states, one moment: a barrier that each worker passes at a point of its own.
//!
//! A checkpoint of states that different threads own must not catch one of them in the middle of what the others have
//! finished. So it is taken in the manner of asynchronous barrier snapshots (Carbone et al., "Lightweight Asynchronous
//! Snapshots for Distributed Dataflows", 2015): the checkpointer opens barrier *n*; each worker sees that at the next
//! point where its own state is whole, leaves a snapshot (O(1)) and goes on at once; when the last one has passed, all
//! the snapshots are committed as one checkpoint. Nobody waits for anybody but the checkpointer's own thread.
//!
//! Where workers send messages to one another, what is in flight between them belongs to the moment, too. Then let the
//! barrier travel with the messages: a source passes when it sees [`Worker::pending`], sends the number on, and who
//! receives it on all its inputs passes next.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::braking::{Follow, follow};
use super::source::{Captured, Source};
use crate::state::State;
use crate::store::Persist;
use crate::sync::{AtomicU64, Condvar, Mutex, Ordering};
use crate::weaken;

/// The states of one aligned checkpoint, each owned by a worker.
///
/// ```
/// # use std::sync::Arc;
/// # use perennial::{Checkpointer, HashMap, State, storage::MemoryStorage, store::Store};
/// # use perennial::checkpointer::Workers;
/// # let store = Arc::new(Store::options().open_storage(Arc::new(MemoryStorage::new()))?);
/// let accounts = Arc::new(State::new(HashMap::from([("ada".to_string(), 10)])));
/// let orders = Arc::new(State::new(HashMap::<u32, u32>::new()));
///
/// let mut workers = Workers::new();
/// let mut books = workers.add("accounts", &accounts);
/// let mut desk = workers.add("orders", &orders);
/// let checkpointer = Checkpointer::options().start(workers, &store)?;
///
/// let thread = std::thread::spawn(move || {
///     for order in 0..10 {
///         orders.update(|orders| orders.insert(order, 1));
///         desk.pass(); // all that belongs together is in
///     }
///     desk.retire(); // from now on the state stays as it is
/// });
/// let ticket = checkpointer.request();
/// while !ticket.is_done() {
///     books.pass(); // costs one load while there is no barrier
/// }
/// let saved = ticket.wait()?;
/// assert_eq!(saved.checkpoint.roots, ["accounts", "orders"]);
/// # thread.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Default)]
pub struct Workers {
    gate: Arc<Gate>,
    pub(super) sources: Vec<Arc<Source>>,
    pub(super) follow: Vec<Follow>,
}

// What a panic can leave behind is behind locks.
impl std::panic::UnwindSafe for Workers {}
impl std::panic::RefUnwindSafe for Workers {}

impl Workers {
    /// Starts without workers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a state under the name that its root will have, and returns the handle that its worker passes barriers
    /// with.
    ///
    /// # Panics
    ///
    /// If the name is taken.
    pub fn add<T>(&mut self, name: impl Into<String>, state: &Arc<State<T>>) -> Worker<T>
    where
        T: Persist + Send + Sync,
    {
        let name = name.into();
        assert!(
            self.sources.iter().all(|source| source.name != name),
            "two workers are named {name:?}; give each state of a checkpoint its own name"
        );
        let index = self.sources.len();
        let source = Arc::new(Source::new(name.clone(), state));
        self.gate.inner.lock().workers.push(Place::default());
        self.sources.push(source);
        let watched = Arc::clone(state);
        self.follow.push(Box::new(move |core| follow(&watched, core)));
        Worker { state: Arc::clone(state), gate: Arc::clone(&self.gate), index, name, passed: 0 }
    }

    pub(super) fn gate(&self) -> Arc<Gate> {
        Arc::clone(&self.gate)
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.sources.iter().map(|source| &source.name)).finish()
    }
}

/// One worker's end of the barriers. Dropping it makes the barrier that is open, and all later ones, fail: a worker that
/// ends in good order [retires](Self::retire).
#[must_use = "barriers fail when their workers are dropped"]
pub struct Worker<T: Persist + Send + Sync> {
    state: Arc<State<T>>,
    gate: Arc<Gate>,
    index: usize,
    name: String,
    /// The last barrier that this worker passed or failed.
    passed: u64,
}

// As above; the number of the last barrier is set in one step.
impl<T: Persist + Send + Sync> std::panic::UnwindSafe for Worker<T> {}
impl<T: Persist + Send + Sync> std::panic::RefUnwindSafe for Worker<T> {}

impl<T: Persist + Send + Sync> Worker<T> {
    /// Passes the barrier that is open, if there is one that this worker has not passed. Tells whether it did.
    ///
    /// Call it where the state is whole, as often as you like. **O(1)**; one atomic load while no barrier is open. What
    /// the worker publishes afterwards is not in the checkpoint.
    pub fn pass(&mut self) -> bool {
        let Some(number) = self.pending() else { return false };
        self.passed = number;
        self.gate.answer(self.index, number, Ok(Captured::new(self.state.snapshot())));
        true
    }

    /// The number of the barrier that is open and that this worker has not passed.
    #[must_use]
    pub fn pending(&self) -> Option<u64> {
        let open = self.gate.open.load(Ordering::Acquire);
        (open > self.passed).then_some(open)
    }

    /// Makes the open barrier fail, if there is one that this worker has not passed: nothing is committed, the request is
    /// answered with [`Error::BarrierFailed`](crate::Error::BarrierFailed). Later barriers are not affected.
    pub fn fail(&mut self, reason: impl Into<String>) {
        let Some(number) = self.pending() else { return };
        self.passed = number;
        self.gate.answer(self.index, number, Err(reason.into()));
    }

    /// Ends the worker in good order: its state stays in later checkpoints, as it is whenever one is begun.
    pub fn retire(self) {
        self.gate.leave(self.index, End::Retired);
    }

    /// The state.
    pub fn state(&self) -> &Arc<State<T>> {
        &self.state
    }
}

impl<T: Persist + Send + Sync> Drop for Worker<T> {
    fn drop(&mut self) {
        // The first word counts: one that retired has said it.
        let how = if std::thread::panicking() { "panicked" } else { "was dropped without retiring" };
        self.gate.leave(self.index, End::Gone(format!("worker {:?} {how}", self.name)));
    }
}

impl<T: Persist + Send + Sync> fmt::Debug for Worker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("name", &self.name)
            .field("passed", &self.passed)
            .finish_non_exhaustive()
    }
}

/// Where workers and checkpointer meet.
#[derive(Default)]
pub(super) struct Gate {
    /// The number of the newest barrier.
    open: AtomicU64,
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    /// The barrier that is being gathered; 0: none.
    number: u64,
    deadline: Option<Instant>,
    workers: Vec<Place>,
}

/// A worker's answer to the barrier that is being gathered: a version, or the reason why it failed.
type Answer = Result<Captured, String>;

/// What the gate knows of a worker.
#[derive(Default)]
struct Place {
    answer: Option<Answer>,
    end: Option<End>,
}

/// Why a worker will not pass any more.
enum End {
    /// Its state can be taken at any time.
    Retired,
    /// Its state may be half changed for good.
    Gone(String),
}

impl Inner {
    /// What stands in the way of the barrier: why it failed, or who is late.
    fn obstacle(&self, sources: &[Arc<Source>]) -> Option<Result<String, String>> {
        let mut late = Vec::new();
        for (place, source) in self.workers.iter().zip(sources) {
            match (&place.answer, &place.end) {
                (Some(Err(_)), _) if weaken::is("failure_ignored") => {}
                (Some(Err(reason)), _) | (None, Some(End::Gone(reason))) => return Some(Err(reason.clone())),
                (None, None) => late.push(source.name.as_str()),
                (Some(Ok(_)), _) | (None, Some(End::Retired)) => {}
            }
        }
        (!late.is_empty()).then(|| Ok(late.join(", ")))
    }
}

/// What became of a barrier so far.
pub(super) enum Gathered {
    /// Not everybody has passed. There is time until then.
    Waiting(Instant),
    /// Everybody has passed.
    Whole(Vec<Captured>),
    /// It failed, and why.
    Failed(u64, String),
}

impl Gate {
    /// Opens the next barrier.
    pub(super) fn open(&self, now: Instant, timeout: Duration) {
        let number = self.open.load(Ordering::Relaxed) + 1;
        let mut inner = self.inner.lock();
        inner.number = number;
        inner.deadline = now.checked_add(timeout);
        drop(inner);
        // Last, so that the worker who sees it finds its number.
        self.open.store(number, Ordering::Release);
    }

    /// Looks how far the barrier is. One that is whole or failed is closed.
    pub(super) fn look(&self, sources: &[Arc<Source>], now: Instant) -> Gathered {
        let (gathered, _left) = self.look_in(&mut self.inner.lock(), sources, now);
        gathered
    }

    /// Waits until the barrier is whole or failed.
    pub(super) fn wait(&self, sources: &[Arc<Source>]) -> Gathered {
        let mut inner = self.inner.lock();
        loop {
            let now = Instant::now();
            let (gathered, left) = self.look_in(&mut inner, sources, now);
            let Gathered::Waiting(until) = gathered else {
                drop(inner);
                drop(left);
                return gathered;
            };
            inner = self.changed.wait_for(inner, until.saturating_duration_since(now));
        }
    }

    /// Looks how far the barrier is; and the answers that came to nothing, which are versions of the user's values: they
    /// are to be dropped without the lock.
    fn look_in(&self, inner: &mut Inner, sources: &[Arc<Source>], now: Instant) -> (Gathered, Vec<Answer>) {
        let failure = match (inner.obstacle(sources), inner.deadline) {
            (None, _) => None,
            (Some(Err(reason)), _) => Some(reason),
            (Some(Ok(_)), Some(deadline)) if now < deadline => {
                return (Gathered::Waiting(deadline), Vec::new());
            }
            (Some(Ok(late)), _) => Some(format!("these workers did not pass it in time: {late}")),
        };
        let number = std::mem::take(&mut inner.number);
        let answers = inner.workers.iter_mut().map(|place| place.answer.take());
        if let Some(reason) = failure {
            return (Gathered::Failed(number, reason), answers.flatten().collect());
        }
        let captured = answers.zip(sources).map(|(answer, source)| match answer {
            Some(Ok(captured)) => captured,
            _ => source.capture(),
        });
        (Gathered::Whole(captured.collect()), Vec::new())
    }

    /// Notes what a worker says to a barrier, unless that was closed meanwhile.
    fn answer(&self, index: usize, number: u64, answer: Answer) {
        let mut inner = self.inner.lock();
        // What is left of the two, a version of the user's value, is dropped without the lock.
        let left = if inner.number == number || weaken::is("late_answer") {
            inner.workers[index].answer.replace(answer)
        } else {
            Some(answer)
        };
        drop(inner);
        if !weaken::is("barrier_unnotified") {
            self.changed.notify_all();
        }
        drop(left);
    }

    /// Notes that a worker will not come any more.
    fn leave(&self, index: usize, end: End) {
        self.inner.lock().workers[index].end.get_or_insert(end);
        self.changed.notify_all();
    }
}
