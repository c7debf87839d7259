//! Checkpoints in the background: a thread that makes versions of a state durable while the application runs on.
//!
//! A [`Checkpointer`] takes O(1) snapshots of a [`State`](crate::State) and writes them to a [`Store`]. What it was told by
//! [`Options`] decides when (on request, by count, by time, by bytes, by objectives), what happens to requests that come
//! too fast, how durable they are when their [`Ticket`] is answered, and how writers are slowed when the disk cannot keep
//! up. Several states of several threads are captured at one moment with [`Workers`].
//!
//! See [`docs::checkpointer`](crate::docs::checkpointer) for how it works and what it costs.

mod at_work;
mod backpressure;
mod barrier;
mod braking;
mod core;
mod options;
mod policy;
mod source;
mod states;
mod stats;
mod syncing;
#[cfg(test)]
mod tests;
mod ticket;
mod writing;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use self::core::Core;
use self::states::Parts;
use crate::error::{Error, Result};
use crate::store::{CheckpointOptions, Store};
use crate::sync::{JoinHandle, caught, is_current, join, spawn};
pub use barrier::{Worker, Workers};
pub use options::{Durability, Options, Overflow};
pub use policy::Trigger;
pub use states::States;
pub use stats::Stats;
pub use ticket::{Outcome, Saved, Ticket};

/// Makes versions of one or several states durable in the background.
///
/// The application publishes versions with [`State::update`](crate::State::update) and goes on; asking for a checkpoint costs it about a
/// microsecond, and the disk never. Two threads do the work: one encodes and writes what changed, the other syncs, so
/// that one checkpoint is encoded while the one before is synced.
///
/// Errors and panics of user code (`Serialize`, `Drop` …) answer the ticket, go to
/// [the hook](Options::on_error), are remembered in [`stats`](Self::stats) and returned by [`close`](Self::close).
///
/// Dropping it does what [`close`](Self::close) does, without telling.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use perennial::{Checkpointer, HashMap, State, store::Store};
///
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("world");
/// let store = Arc::new(Store::open(&path)?);
/// let state = Arc::new(State::new(store.latest()?.unwrap_or(HashMap::<u32, String>::new())));
/// let checkpointer = Checkpointer::options().every(Duration::from_millis(50)).start(&state, &store)?;
///
/// state.update(|map| map.insert(1, "saved within 50 ms and the time of a checkpoint".into()));
/// state.update(|map| map.insert(2, "saved when the ticket says so".into()));
/// let saved = checkpointer.request().wait()?;
/// assert_eq!(saved.version(), 2);
/// state.update(|map| map.insert(3, "saved when the checkpointer is closed".into()));
/// checkpointer.close()?;
/// # drop(state);
/// assert_eq!(store.latest::<HashMap<u32, String>>()?.unwrap().len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Checkpointer {
    core: Arc<Core>,
    /// Empty where the application runs the steps.
    threads: Vec<JoinHandle>,
}

// What a panic can leave behind is behind locks.
impl std::panic::UnwindSafe for Checkpointer {}
impl std::panic::RefUnwindSafe for Checkpointer {}

impl Checkpointer {
    /// Starts with the default options: on request, coalescing, each checkpoint synced.
    ///
    /// # Errors
    ///
    /// As [`Options::start`].
    pub fn start(states: impl States, store: &Arc<Store>) -> Result<Self> {
        Self::options().start(states, store)
    }

    /// Starts with the default options. The same as [`Options::new`].
    pub fn options() -> Options {
        Options::new()
    }

    fn new(options: Options, states: impl States, store: &Arc<Store>, is_manual: bool) -> Self {
        let Parts { sources, gate, follow } = states.into_parts();
        let core = Arc::new(Core::new(store, options, sources, gate, is_manual));
        follow.iter().for_each(|follow| follow(&core));
        Self { core, threads: Vec::new() }
    }

    /// Asks for a checkpoint of the newest version; the ticket tells which version became durable, or why not.
    ///
    /// Never waits for the disk; waits for room in the queue with [`Overflow::Block`] only. The checkpoint holds the
    /// version at the time of the call or, where requests coalesce, a newer one. If the store's newest checkpoint holds
    /// that version already, it is the answer, and nothing is written.
    pub fn request(&self) -> Ticket {
        self.core.request(None)
    }

    /// Asks for a checkpoint with a label or a parent of its own. It keeps the version at the time of the call and is not
    /// joined with other requests. (The durability in `how` is not used: [`Options::durability`] decides.)
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use perennial::{Checkpointer, State, storage::MemoryStorage, store::{CheckpointOptions, Store}};
    /// # let store = Arc::new(Store::options().open_storage(Arc::new(MemoryStorage::new()))?);
    /// # let state = Arc::new(State::new(7));
    /// # let checkpointer = Checkpointer::start(&state, &store)?;
    /// let ticket = checkpointer.request_with(CheckpointOptions::new().label("before the boss"));
    /// state.replace(8);
    /// let saved = ticket.wait()?;
    /// assert_eq!(saved.version(), 0);
    /// assert_eq!(saved.checkpoint.label.as_deref(), Some("before the boss"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn request_with(&self, how: CheckpointOptions) -> Ticket {
        self.core.request(Some(how))
    }

    /// What it did so far and how it is doing.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.core.stats()
    }

    /// The store it writes to.
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.core.store
    }

    /// Does the next piece of work on this thread: one write and one sync, as far as there is something to do at `now`. In
    /// a fork of the process that opened the store there is nothing to do.
    ///
    /// For checkpointers made with [`Options::manual`], whose threads are this call; harmless on others.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::{Duration, Instant};
    /// # use perennial::{Checkpointer, State, checkpointer::Step, storage::MemoryStorage, store::Store};
    /// # let store = Arc::new(Store::options().open_storage(Arc::new(MemoryStorage::new()))?);
    /// let state = Arc::new(State::new(0));
    /// let checkpointer = Checkpointer::options().every(Duration::from_secs(60)).manual(&state, &store);
    /// let start = Instant::now();
    /// state.replace(1);
    /// assert!(matches!(checkpointer.step(start), Step::Idle(Some(_))));
    /// assert_eq!(checkpointer.step(start + Duration::from_secs(61)), Step::Worked);
    /// assert_eq!(store.latest()?, Some(1));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    pub fn step(&self, now: Instant) -> Step {
        match (self.write_step(now), self.sync_step(now)) {
            (Step::Idle(Some(one)), Step::Idle(Some(other))) => Step::Idle(Some(one.min(other))),
            (Step::Idle(one), Step::Idle(other)) => Step::Idle(one.or(other)),
            _ => Step::Worked,
        }
    }

    /// The first half of [`step`](Self::step): captures, encodes and writes the next checkpoint, or looks at the barrier.
    pub fn write_step(&self, now: Instant) -> Step {
        self.core.write_step(now)
    }

    /// The second half of [`step`](Self::step): one sync for all that was written, and the answers.
    pub fn sync_step(&self, now: Instant) -> Step {
        self.core.sync_step(now)
    }

    /// Takes no more requests, and does not wait: what was asked for is still written, and what is unsaved where there is
    /// any trigger. [`close`](Self::close) and dropping wait for it.
    pub fn begin_close(&self) {
        self.core.begin_close();
    }

    /// Finishes what was asked for and, if any trigger is set, saves what is unsaved; then ends the threads.
    ///
    /// Returns the newest checkpoint that this checkpointer made as durable as asked for, or found to hold what it was
    /// to save; `None` if there is none. With
    /// [`Workers`] the last barrier is given its time, too: let workers that pass no more retire first.
    ///
    /// # Errors
    ///
    /// The last error since the last checkpoint that went well; [`Error::Forked`] in a fork of the process that opened the
    /// store, where nothing is finished.
    pub fn close(mut self) -> Result<Option<Saved>> {
        self.core.store.expect_owner()?;
        self.finish();
        let is_failing = self.core.is_failing();
        let inner = self.core.inner.lock();
        match &inner.stats.last_error {
            Some(error) if is_failing => Err(error.clone()),
            _ => Ok(inner.newest.clone()),
        }
    }

    /// Starts one of the threads. When it fails, dropping the checkpointer ends those that run.
    fn spawn(&mut self, name: &'static str, body: fn(&Core)) -> Result<()> {
        let core = Arc::clone(&self.core);
        let started = spawn(name, move || {
            if let Err(message) = caught(|| body(&core)) {
                core.abandon(message);
            }
        });
        let failed = |source| Error::Io {
            action: "start the thread",
            path: Path::new(name).to_owned(),
            source: Arc::new(source),
        };
        self.threads.push(started.map_err(failed)?);
        Ok(())
    }

    fn finish(&mut self) {
        if self.core.store.expect_owner().is_err() {
            // A fork has no such threads: waiting for them would never end.
            std::mem::take(&mut self.threads).into_iter().for_each(std::mem::forget);
            return;
        }
        self.begin_close();
        // A thread that was made to drop its own checkpointer, by the hook or a waker, cannot wait for itself.
        let threads = std::mem::take(&mut self.threads);
        if !threads.iter().any(is_current) {
            threads.into_iter().for_each(join);
        }
        if self.core.is_manual {
            let mut now = Instant::now();
            loop {
                match self.step(now) {
                    Step::Worked => {}
                    // A barrier that nobody is left to pass.
                    Step::Idle(Some(until)) => now = until,
                    Step::Idle(None) => break,
                }
            }
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.finish();
    }
}

impl fmt::Debug for Checkpointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Checkpointer").field("store", &self.core.store).field("stats", &self.stats()).finish()
    }
}

impl Options {
    /// Starts a checkpointer of a state, or of the states of [`Workers`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system gives no threads.
    pub fn start(self, states: impl States, store: &Arc<Store>) -> Result<Checkpointer> {
        let mut checkpointer = Checkpointer::new(self, states, store, false);
        checkpointer.spawn("perennial-write", Core::run_writer)?;
        checkpointer.spawn("perennial-sync", Core::run_syncer)?;
        Ok(checkpointer)
    }

    /// Makes a checkpointer without threads: nothing happens but in [`step`](Checkpointer::step) and
    /// [`close`](Checkpointer::close). For tests, and for applications with a loop of their own.
    pub fn manual(self, states: impl States, store: &Arc<Store>) -> Checkpointer {
        Checkpointer::new(self, states, store, true)
    }
}

/// What a step did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Step {
    /// It did something; there may be more to do.
    Worked,
    /// There was nothing to do. There may be at this time, and earlier if somebody asks or updates.
    Idle(Option<Instant>),
}
