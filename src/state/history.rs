//! Undo, redo and jump over the snapshots of a state.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use super::cell::State;
use super::snapshot::Snapshot;
use crate::retention::{Moment, Retention};

/// How far back a [`History`] reaches: by count, by age, by a policy, by several (whichever ends first), or without end.
///
/// ```
/// use perennial::state::Depth;
/// use std::time::Duration;
///
/// let depth = Depth::unbounded().count(1_000).age(Duration::from_secs(3_600));
/// assert_ne!(depth, Depth::default());
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "a depth does nothing until a History is made with it"]
pub struct Depth {
    count: Option<usize>,
    age: Option<Duration>,
    policy: Option<Retention>,
}

impl Depth {
    /// Keeps every entry. The default.
    pub fn unbounded() -> Self {
        Self::default()
    }

    /// Keeps at most `entries` entries. The one the history stands at is kept in any case, so 0 acts as 1.
    pub fn count(mut self, entries: usize) -> Self {
        self.count = Some(entries);
        self
    }

    /// Keeps what is needed to go back to any recorded version that was the newest within the last `age`.
    ///
    /// So an entry's age counts from when the *next* one was recorded: after an hour without a change, the change
    /// that ends it can still be undone.
    pub fn age(mut self, age: Duration) -> Self {
        self.age = Some(age);
        self
    }

    /// Keeps, of the entries before the one the history stands at, only those that a policy keeps: the same policies
    /// as for the checkpoints of a store. An entry's name is its label; times count from the first entry recorded.
    /// Recording then costs **O(entries)**.
    ///
    /// ```
    /// use perennial::retention::{every_nth, keep_last, pinned};
    /// use perennial::state::{Depth, History};
    /// use perennial::State;
    ///
    /// let policy = keep_last(3) | every_nth(4) | pinned(["the start"]);
    /// let (state, mut history) = (State::new(0), History::new(Depth::unbounded().policy(policy)));
    /// history.record_as(&state, "the start");
    /// for turn in 1..=10 {
    ///     state.replace(turn);
    ///     history.record(&state);
    /// }
    /// let kept: Vec<i32> = history.iter().map(|entry| **entry.snapshot()).collect();
    /// assert_eq!(kept, [0, 4, 8, 9, 10]);
    /// ```
    pub fn policy(mut self, policy: Retention) -> Self {
        self.policy = Some(policy);
        self
    }
}

/// One recorded version.
#[derive(Debug)]
pub struct Entry<T> {
    snapshot: Snapshot<T>,
    recorded: Instant,
    /// How many entries were recorded before it.
    number: u64,
    label: Option<Box<str>>,
}

impl<T> Entry<T> {
    /// The version, as it was recorded.
    #[must_use]
    pub fn snapshot(&self) -> &Snapshot<T> {
        &self.snapshot
    }

    /// Its number: what [`History::jump`] takes. It stays the same however often one goes back to the entry.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.snapshot.version()
    }

    /// When it was recorded.
    #[must_use]
    pub fn recorded_at(&self) -> Instant {
        self.recorded
    }

    /// What it was called.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        self.label.as_deref()
    }
}

/// Recorded versions of one [`State`], oldest first, and a position among them: undo, redo, jump.
///
/// Record the state once at the start, then after each change that should be one step of undo. Going anywhere
/// publishes the entry's contents as a new version of the state; the entry keeps its own number. Recording after an
/// undo drops the entries that were undone. A change that was never recorded is not lost either: undo, redo and
/// jump record it before they move.
///
/// Every operation but [`trim`](Self::trim) is given the state it works on: use one history with one state only.
///
/// # Cost
///
/// Undo and redo are one [`State::rollback`]; jump adds a binary search. Recording is **O(1)** amortized besides
/// dropping what falls out. What an entry costs in memory is the nodes that no other version shares.
///
/// # Examples
///
/// ```
/// use perennial::State;
/// use perennial::state::{Depth, History};
///
/// let text = State::new(String::new());
/// let mut history = History::new(Depth::unbounded().count(100));
/// history.record(&text);
///
/// text.update(|t| t.push_str("one"));
/// history.record_as(&text, "type one");
/// text.update(|t| t.push_str(" two"));
/// history.record_as(&text, "type two");
///
/// history.undo(&text);
/// assert_eq!(*text.load(), "one");
/// history.undo(&text);
/// assert_eq!(*text.load(), "");
/// assert!(history.undo(&text).is_none(), "nothing before the first entry");
/// history.redo(&text);
/// assert_eq!(*text.load(), "one");
///
/// text.update(|t| t.push_str(" three"));
/// history.record(&text);
/// assert!(history.redo(&text).is_none(), "a new change drops what was undone");
/// let labels: Vec<_> = history.iter().map(|entry| entry.label()).collect();
/// assert_eq!(labels, [None, Some("type one"), None]);
/// ```
pub struct History<T> {
    /// Versions ascend.
    entries: VecDeque<Entry<T>>,
    /// Index of the entry the history stands at; meaningless while there is none.
    position: usize,
    /// The version of the state that holds the contents of the entry at `position`: the one recorded, or the one
    /// that going there published. As long as it is current there is nothing to record. `None` while empty.
    standing: Option<Snapshot<T>>,
    depth: Depth,
    /// How many entries were recorded, and when the first was.
    recorded: (u64, Option<Instant>),
    clock: Box<dyn Fn() -> Instant + Send + Sync>,
}

// What a panic can leave behind is a history that lacks an entry; the clock is only asked.
impl<T: std::panic::RefUnwindSafe> std::panic::UnwindSafe for History<T> {}
impl<T: std::panic::RefUnwindSafe> std::panic::RefUnwindSafe for History<T> {}

impl<T> History<T> {
    /// Makes a history without entries.
    #[must_use]
    pub fn new(depth: Depth) -> Self {
        Self::with_clock(depth, Instant::now)
    }

    /// Makes a history without entries that asks `clock` for the time, once per entry recorded and per trim.
    #[must_use]
    pub fn with_clock(depth: Depth, clock: impl Fn() -> Instant + Send + Sync + 'static) -> Self {
        Self {
            entries: VecDeque::new(),
            position: 0,
            standing: None,
            depth,
            recorded: (0, None),
            clock: Box::new(clock),
        }
    }

    /// Records the current version as the newest entry, drops those that had been undone and, from the oldest on,
    /// those beyond the depth.
    ///
    /// Does nothing and returns `false` if the state has not been written since the history last saw it.
    ///
    /// # Panics
    ///
    /// If `state` is evidently not the one recorded before (its version is older than entries of the history).
    pub fn record(&mut self, state: &State<T>) -> bool {
        self.push(state, None)
    }

    /// Records like [`record`](Self::record) and gives the entry a label, such as the name of the command that made
    /// it.
    ///
    /// # Panics
    ///
    /// As [`record`](Self::record).
    pub fn record_as(&mut self, state: &State<T>, label: impl Into<Box<str>>) -> bool {
        self.push(state, Some(label.into()))
    }

    /// Goes to the entry before, and returns the version that the state has now; `None` if there is none.
    ///
    /// # Panics
    ///
    /// If called from within an update of `state`, or as [`record`](Self::record).
    pub fn undo(&mut self, state: &State<T>) -> Option<Snapshot<T>>
    where
        T: Clone + Send + Sync + 'static,
    {
        self.go(state, |history| history.position.checked_sub(1))
    }

    /// Goes to the entry after, and returns the version that the state has now; `None` if there is none.
    ///
    /// # Panics
    ///
    /// As [`undo`](Self::undo).
    pub fn redo(&mut self, state: &State<T>) -> Option<Snapshot<T>>
    where
        T: Clone + Send + Sync + 'static,
    {
        self.go(state, |history| Some(history.position + 1))
    }

    /// Goes to the entry of this [version](Entry::version), and returns the version that the state has now; `None`
    /// if there is no such entry.
    ///
    /// ```
    /// use perennial::State;
    /// use perennial::state::{Depth, History};
    ///
    /// let state = State::new('a');
    /// let mut history = History::new(Depth::unbounded());
    /// for letter in ['b', 'c', 'd'] {
    ///     history.record(&state);
    ///     state.replace(letter);
    /// }
    /// let b = history.iter().find(|entry| **entry.snapshot() == 'b').unwrap().version();
    /// history.jump(&state, b);
    /// assert_eq!(*state.load(), 'b');
    /// history.redo(&state);
    /// history.redo(&state);
    /// assert_eq!(*state.load(), 'd', "recorded by the jump");
    /// ```
    ///
    /// # Panics
    ///
    /// As [`undo`](Self::undo).
    pub fn jump(&mut self, state: &State<T>, version: u64) -> Option<Snapshot<T>>
    where
        T: Clone + Send + Sync + 'static,
    {
        self.go(state, |history| history.entries.binary_search_by_key(&version, Entry::version).ok())
    }

    /// Drops the entries that have grown too old since the last one was recorded, those of the position and after
    /// it excepted. Recording does this too; call it from a timer to free memory while nothing changes.
    pub fn trim(&mut self) {
        if self.depth.age.is_some() || self.depth.policy.is_some() {
            let now = (self.clock)();
            self.evict(now);
        }
    }

    /// Forgets every entry. Record the state again to have a version to come back to.
    pub fn clear(&mut self) {
        let forgotten = (std::mem::take(&mut self.entries), self.standing.take());
        self.position = 0;
        drop(forgotten);
    }

    /// Tells the index of the entry the history stands at, counted from the oldest; `None` while it is empty.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        (!self.is_empty()).then_some(self.position)
    }

    /// Tells the number of entries: those before the position, the one at it, and those that redo can reach.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Tells whether nothing is recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lists the entries, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Entry<T>> + ExactSizeIterator {
        self.entries.iter()
    }

    fn push(&mut self, state: &State<T>, label: Option<Box<str>>) -> bool {
        let snapshot = state.snapshot();
        if self.standing.as_ref().is_some_and(|standing| standing.is(snapshot.shared())) {
            return false;
        }
        if let Some(newest) = self.entries.back() {
            assert!(
                newest.version() < snapshot.version(),
                "History: the state has version {}, but version {} is recorded already: this is another State than \
                 before; keep a History for each, or clear() this one first",
                snapshot.version(),
                newest.version()
            );
        }
        let recorded = (self.clock)();
        self.entries.truncate(self.position + 1);
        let number = self.recorded.0;
        self.recorded = (number + 1, self.recorded.1.or(Some(recorded)));
        self.entries.push_back(Entry { snapshot: snapshot.clone(), recorded, number, label });
        self.position = self.entries.len() - 1;
        self.standing = Some(snapshot);
        self.evict(recorded);
        true
    }

    /// Records what is not recorded, then moves to the entry that `target` picks.
    fn go(&mut self, state: &State<T>, target: impl Fn(&Self) -> Option<usize>) -> Option<Snapshot<T>>
    where
        T: Clone + Send + Sync + 'static,
    {
        // Another round only if another thread published between the recording and the rollback: its change is
        // recorded as well, never overwritten.
        loop {
            self.push(state, None);
            let index = target(self)?;
            let to = self.entries.get(index)?;
            let from = self.standing.as_ref()?;
            if index == self.position {
                return Some(from.clone());
            }
            if let Some(published) = state.rollback_from(from, &to.snapshot) {
                self.position = index;
                self.standing = Some(published.clone());
                return Some(published);
            }
        }
    }

    /// Drops entries beyond the depth from the front, never the one at the position.
    fn evict(&mut self, now: Instant) {
        while self.position > 0 && (self.is_over_count() || self.is_over_age(now)) {
            // The value's `Drop` may panic: it runs when the history is whole again.
            let oldest = self.entries.pop_front();
            self.position -= 1;
            drop(oldest);
        }
        self.thin();
    }

    /// Drops the entries before the position that the policy does not keep.
    fn thin(&mut self) {
        let (Some(policy), Some(origin)) = (&self.depth.policy, self.recorded.1) else { return };
        let moment = |entry: &Entry<T>| (entry.number, entry.recorded.saturating_duration_since(origin));
        let moments: Vec<_> = (self.entries.iter())
            .map(|entry| (moment(entry), entry.label()))
            .map(|((number, time), name)| Moment { number, time, name })
            .collect();
        let kept = policy.kept(&moments);
        if kept[..self.position].iter().all(|kept| *kept) {
            return;
        }
        let mut kept = kept.into_iter().enumerate();
        let position = self.position;
        let entries = std::mem::take(&mut self.entries);
        let mut dropped = Vec::new();
        for entry in entries {
            let (at, keeps) = kept.next().unwrap_or((position, true));
            if keeps || at >= position {
                self.entries.push_back(entry);
            } else {
                dropped.push(entry);
            }
        }
        self.position -= dropped.len();
        // The values' `Drop` may panic: it runs when the history is whole again.
        drop(dropped);
    }

    fn is_over_count(&self) -> bool {
        self.depth.count.is_some_and(|count| self.entries.len() > count)
    }

    /// Whether the oldest entry had been superseded before the time that the depth reaches back to.
    fn is_over_age(&self, now: Instant) -> bool {
        match (self.depth.age, self.entries.get(1)) {
            (Some(age), Some(next)) => now.saturating_duration_since(next.recorded) > age,
            _ => false,
        }
    }
}

impl<T> Default for History<T> {
    /// Makes an unbounded history without entries.
    fn default() -> Self {
        Self::new(Depth::unbounded())
    }
}

impl<T: fmt::Debug> fmt::Debug for History<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("depth", &self.depth)
            .field("position", &self.position())
            .field("entries", &self.entries)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
