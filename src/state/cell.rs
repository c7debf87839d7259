//! The swappable root.
//!
//! The protocol, which `loom-tests/tests/state.rs` checks:
//!
//! - *Readers* load the published pointer and never write to anything a writer waits for.
//! - *Writers* take turns. The one whose turn it is clones the published value, changes the clone, and swaps the
//!   pointer as its last act. Until then nothing it does can be seen, so leaving early (an error, a panic) needs
//!   no undoing.
//! - The number of a version is its predecessor's plus one. Only the writer whose turn it is reads the one and
//!   publishes the other, so numbers are unique and ascend without a counter of their own.
//! - Whatever is dropped is dropped after the turn ends, also when user code panics: the version that was replaced, a
//!   clone that was refused, what a closure holds. So freeing a large version, or a `Drop` of the user's that updates the
//!   state again, never happens under the lock. Only `Clone` and the closure itself run within the turn.

use std::convert::Infallible;
use std::fmt;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Weak;

use super::snapshot::{Guard, Snapshot, Version};
use super::watch::{Watch, Watchers};
use crate::sync::{Arc, Holder, Mutex, MutexGuard, Swap};
use crate::weaken;

/// A value that is changed version by version while any number of threads read it.
///
/// Reading is wait-free: [`load`](Self::load) never blocks, whatever writers do, and no writer waits for a reader.
/// Writing is one at a time: [`update`](Self::update) changes a clone and publishes it as a whole, or not at all.
///
/// # Cost
///
/// An update clones `T`, so `T` should be made of this crate's collections, whose clones are **O(1)**: a plain
/// `Vec` or `HashMap` of std inside `T` is copied entry by entry at every update. Within one update the first
/// change of a node copies it (the published version shares it), and further changes of the same node are made in
/// place: many changes in one `update` copy each node at most once, many updates of one change each copy a path of
/// nodes every time. Batch where you can.
///
/// # Examples
///
/// ```
/// use perennial::State;
///
/// let scores = State::new([0, 0]);
/// let before = scores.snapshot();
///
/// scores.update(|s| s[0] += 5);
/// let refused = scores.try_update(|s| {
///     s[1] -= 1;
///     if s[1] < 0 { Err("no debts") } else { Ok(()) }
/// });
/// assert_eq!(refused, Err("no debts"));
/// assert_eq!(*scores.load(), [5, 0]);
///
/// let undone = scores.rollback(&before);
/// assert_eq!((*undone, *scores.load()), ([5, 0], [0, 0]));
/// assert_eq!(scores.version(), 2, "going back is a version of its own");
/// ```
pub struct State<T> {
    current: Swap<Version<T>>,
    turns: Turns,
    watchers: Watchers,
}

impl<T> State<T> {
    /// Lets `watcher` follow the state, for as long as it lives.
    pub(crate) fn watch(&self, watcher: Weak<dyn Watch>) {
        self.watchers.add(watcher);
    }

    /// Borrows the current version. Wait-free.
    ///
    /// All that is read through one guard belongs to one version; two loads may see two.
    ///
    /// ```
    /// let state = perennial::State::new(vec!['a']);
    /// let now = state.load();
    /// state.update(|list| list.push('b'));
    /// assert_eq!((now.len(), now.version()), (1, 0));
    /// assert_eq!((state.load().len(), state.version()), (2, 1));
    /// ```
    pub fn load(&self) -> Guard<T> {
        Guard { borrowed: self.current.load() }
    }

    /// Keeps the current version. Wait-free, **O(1)**.
    #[must_use = "a snapshot that is dropped keeps nothing"]
    pub fn snapshot(&self) -> Snapshot<T> {
        Snapshot::new(self.current.load_full())
    }

    /// Tells the number of the current version: 0 at first, one more with each version published, never less.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.current.load().number
    }
}

impl<T: Send + Sync + 'static> State<T> {
    /// Publishes `value` as version 0.
    #[must_use]
    pub fn new(value: T) -> Self {
        Self {
            current: Swap::new(Arc::new(Version::new(0, value))),
            turns: Turns::default(),
            watchers: Watchers::default(),
        }
    }

    /// Publishes `value` as the next version and returns the one it replaced. Waits for the writer before it.
    ///
    /// ```
    /// let state = perennial::State::new("old");
    /// assert_eq!(*state.replace("new"), "old");
    /// assert_eq!(*state.load(), "new");
    /// ```
    ///
    /// # Panics
    ///
    /// If called from within an update of the same state.
    pub fn replace(&self, value: T) -> Snapshot<T> {
        let Ok(published) = self.publish(|_, next| {
            *next = Some(value);
            Ok::<_, Infallible>(())
        });
        Snapshot::new(published.old)
    }

    /// Publishes what `change` makes of the current value, and returns what it returns.
    ///
    /// One writer at a time: waits for the one before it. `change` gets a clone; readers see the version before
    /// until it returns. If it panics, nothing is published and the state goes on as if it had not been called.
    ///
    /// Costs one clone of `T` and one small allocation besides what `change` does; see [the type](Self#cost) for
    /// what it does to nodes.
    ///
    /// ```
    /// let state = perennial::State::new(vec![3, 1, 2]);
    /// let smallest = state.update(|list| {
    ///     list.sort();
    ///     list[0]
    /// });
    /// assert_eq!(smallest, 1);
    /// assert_eq!(*state.load(), [1, 2, 3]);
    /// ```
    ///
    /// # Panics
    ///
    /// If called from within an update of the same state (which would wait for itself). Reading the state there is
    /// fine, and so is updating another one, as long as all threads nest them in the same order.
    pub fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R
    where
        T: Clone,
    {
        let Ok(result) = self.try_update(|value| Ok::<_, Infallible>(change(value)));
        result
    }

    /// Publishes what `change` makes of the current value if it returns `Ok`; drops it if not.
    ///
    /// Like [`update`](Self::update) otherwise.
    ///
    /// ```
    /// let balance = perennial::State::new(10_u32);
    /// let left = balance.try_update(|b| {
    ///     *b = b.checked_sub(25).ok_or("too little")?;
    ///     Ok::<_, &str>(*b)
    /// });
    /// assert_eq!(left, Err("too little"));
    /// assert_eq!((*balance.load(), balance.version()), (10, 0));
    /// ```
    ///
    /// # Errors
    ///
    /// What `change` returned. Nothing was published.
    ///
    /// # Panics
    ///
    /// If called from within an update of the same state.
    pub fn try_update<R, E>(&self, change: impl FnOnce(&mut T) -> Result<R, E>) -> Result<R, E>
    where
        T: Clone,
    {
        // Where the value's own `Clone` panics, the closure is dropped here: after the turn.
        let mut change = Some(change);
        let published = self.publish(|current, next| {
            let value = next.insert(T::clone(&current.value));
            let Some(change) = change.take() else { unreachable!("a turn runs once") };
            let result = change(value);
            if weaken::is("error_published") && result.is_err() {
                self.current.swap(Arc::new(Version::new(current.number + 1, value.clone())));
            }
            result
        })?;
        Ok(published.result)
    }

    /// Publishes the contents of `to` again, under a new number, and returns the version this replaced.
    ///
    /// **O(1)** for the collections of this crate (one clone of `T`). Roll back to what this returned to undo it.
    ///
    /// ```
    /// let state = perennial::State::new(1);
    /// let one = state.snapshot();
    /// state.update(|n| *n = 2);
    /// let two = state.rollback(&one);
    /// assert_eq!((*state.load(), state.version()), (1, 2));
    /// state.rollback(&two);
    /// assert_eq!((*state.load(), state.version()), (2, 3));
    /// ```
    ///
    /// # Panics
    ///
    /// If called from within an update of the same state.
    pub fn rollback(&self, to: &Snapshot<T>) -> Snapshot<T>
    where
        T: Clone,
    {
        let Ok(published) = self.publish(|_, next| {
            *next = Some(T::clone(to));
            Ok::<_, Infallible>(())
        });
        Snapshot::new(published.old)
    }

    /// Rolls back to `to` only while `from` is current. Returns the version published, or `None` if another one
    /// came between.
    pub(super) fn rollback_from(&self, from: &Snapshot<T>, to: &Snapshot<T>) -> Option<Snapshot<T>>
    where
        T: Clone,
    {
        self.publish(|current, next| {
            if !from.is(current) && !weaken::is("undo_unchecked") {
                return Err(());
            }
            *next = Some(T::clone(to));
            Ok(())
        })
        .ok()
        .map(|published| Snapshot::new(published.new))
    }

    /// Takes the turn, lets `make` put the next value in its place, given the current version, and publishes it.
    fn publish<R, E>(
        &self,
        make: impl FnOnce(&Version<T>, &mut Option<T>) -> Result<R, E>,
    ) -> Result<Published<T, R>, E> {
        let early = |name| weaken::is(name).then(|| self.current.load_full());
        let (base, numbered, replaced) =
            (early("base_before_turn"), early("number_before_turn"), early("replaced_before_turn"));
        // Declared before the turn, and so dropped after it, also by `?` and by a panic in `make`.
        let (current, mut next);
        next = None;
        let turn = self.turns.take();
        current = base.unwrap_or_else(|| self.current.load_full());
        let result = make(&current, &mut next)?;
        let Some(value) = next.take() else { unreachable!("a value that is well is in its place") };
        let number = numbered.as_ref().unwrap_or(&current).number + 1;
        let new = Arc::new(Version::new(number, value));
        self.current.swap(Arc::clone(&new));
        drop(turn);
        self.watchers.published();
        let current = replaced.unwrap_or(current);
        Ok(Published { old: current, new, result })
    }
}

/// What one turn did.
struct Published<T, R> {
    old: Arc<Version<T>>,
    new: Arc<Version<T>>,
    result: R,
}

impl<T: Default + Send + Sync + 'static> Default for State<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T: Send + Sync + 'static> From<T> for State<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: fmt::Debug> fmt::Debug for State<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let now = self.load();
        f.debug_struct("State").field("version", &now.version()).field("value", &*now).finish()
    }
}

// A panic leaves the version before it: there is no broken state to be seen after one.
impl<T: RefUnwindSafe> UnwindSafe for State<T> {}
impl<T: RefUnwindSafe> RefUnwindSafe for State<T> {}

/// The lock that writers take turns with, which knows the thread whose turn it is.
#[derive(Default)]
struct Turns {
    lock: Mutex<()>,
    holder: Holder,
}

impl Turns {
    fn take(&self) -> Turn<'_> {
        assert!(
            !self.holder.is_me(),
            "a State was written (update, replace, rollback) from within an update of the same State, which would \
             wait for itself for ever; change the value that the outer update was given instead"
        );
        let lock = self.lock.lock();
        self.holder.set();
        Turn { turns: self, _lock: lock }
    }
}

/// A writer's turn: ends when dropped, during a panic too.
struct Turn<'a> {
    turns: &'a Turns,
    _lock: MutexGuard<'a, ()>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Before the field `_lock` is dropped, hence before the next owner stores its mark.
        self.turns.holder.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use std::sync::{LazyLock, mpsc};
    use std::thread;

    use super::*;

    /// Two numbers that are equal in every published version.
    type Pair = (u64, u64);

    fn bump(pair: &mut Pair) {
        pair.0 += 1;
        thread::yield_now();
        pair.1 += 1;
    }

    #[test]
    fn a_state_is_shared_among_threads_when_its_value_is() {
        fn shared<S: Send + Sync + UnwindSafe + RefUnwindSafe>() {}
        shared::<State<String>>();
        shared::<Snapshot<String>>();
    }

    #[test]
    fn snapshots_keep_their_version_whatever_is_published() {
        let state = State::from(String::from("a"));
        let (a, guard) = (state.snapshot(), state.load());
        state.update(|text| text.push('b'));
        let b = state.snapshot();
        state.replace(String::new());
        assert_eq!((a.as_str(), a.version()), ("a", 0));
        assert_eq!((guard.as_str(), guard.version()), ("a", 0));
        assert_eq!((b.as_str(), b.version()), ("ab", 1));
        assert_eq!((state.load().as_str(), state.version()), ("", 2));
    }

    #[test]
    fn rollback_publishes_old_contents_under_a_new_number() {
        let state = State::new(1);
        let one = state.snapshot();
        for n in 2..10 {
            state.replace(n);
        }
        let replaced = state.rollback(&one);
        assert_eq!((*replaced, replaced.version()), (9, 8));
        assert_eq!((*state.load(), state.version()), (1, 9));
        assert_eq!(one.version(), 0);
    }

    #[test]
    fn rollback_takes_the_snapshot_of_another_state() {
        let (here, there) = (State::new(1), State::new(2));
        here.rollback(&there.snapshot());
        assert_eq!((*here.load(), here.version()), (2, 1));
    }

    #[test]
    fn rollback_from_refuses_when_another_version_came_between() {
        let state = State::new(1);
        let one = state.snapshot();
        state.replace(2);
        assert!(state.rollback_from(&one, &one).is_none());
        assert_eq!((*state.load(), state.version()), (2, 1));
        let published = state.rollback_from(&state.snapshot(), &one).unwrap();
        assert_eq!((*published, published.version()), (1, 2));
        assert!(published.is(state.snapshot().shared()));
    }

    #[test]
    fn into_inner_clones_only_what_is_held_elsewhere() {
        let state = State::new(vec![1]);
        let snapshot = state.snapshot();
        let address = snapshot.as_ptr();
        let cloned = snapshot.clone().into_inner();
        assert_ne!(cloned.as_ptr(), address);
        drop(state);
        let moved = snapshot.into_inner();
        assert_eq!(moved.as_ptr(), address);
    }

    #[test]
    fn an_error_publishes_nothing() {
        let state = State::new((0, 0));
        let refused = state.try_update(|pair| {
            pair.0 = 9;
            Err::<(), _>("no")
        });
        assert_eq!(refused, Err("no"));
        assert_eq!((*state.load(), state.version()), ((0, 0), 0));
        let done = state.try_update(|pair| {
            bump(pair);
            Ok::<_, ()>(pair.0)
        });
        assert_eq!(done, Ok(1));
        assert_eq!((*state.load(), state.version()), ((1, 1), 1));
    }

    #[test]
    fn a_panic_publishes_nothing_and_ends_the_turn() {
        let state = State::new((0, 0));
        for _ in 0..3 {
            let panicked = catch_unwind(|| {
                state.update(|pair| {
                    pair.0 = 9;
                    panic!("on purpose");
                })
            });
            assert!(panicked.is_err());
        }
        assert_eq!((*state.load(), state.version()), ((0, 0), 0));
        thread::scope(|scope| scope.spawn(|| state.update(bump)).join().unwrap());
        state.update(bump);
        assert_eq!((*state.load(), state.version()), ((2, 2), 2));
    }

    #[test]
    fn a_panic_in_clone_publishes_nothing_and_ends_the_turn() {
        #[derive(Debug)]
        struct Fragile(u32, bool);
        impl Clone for Fragile {
            fn clone(&self) -> Self {
                assert!(!self.1, "on purpose");
                Self(self.0, self.1)
            }
        }
        let state = State::new(Fragile(1, true));
        let one = state.snapshot();
        assert!(catch_unwind(|| state.update(|value| value.0 = 2)).is_err());
        assert!(catch_unwind(|| drop(state.rollback(&one))).is_err());
        assert_eq!((state.load().0, state.version()), (1, 0));
        state.replace(Fragile(3, false));
        state.update(|value| value.0 += 1);
        assert_eq!((state.load().0, state.version()), (4, 2));
    }

    #[test]
    fn updating_within_an_update_of_the_same_state_panics() {
        let state = State::new(0);
        let message = |panic: Box<dyn std::any::Any + Send>| match panic.downcast::<&str>() {
            Ok(text) => String::from(*text),
            Err(panic) => *panic.downcast::<String>().unwrap(),
        };
        let nested = catch_unwind(|| state.update(|_| state.update(|n| *n = 1)));
        assert!(message(nested.unwrap_err()).contains("from within an update of the same State"));
        let nested = catch_unwind(|| state.update(|_| drop(state.replace(1))));
        assert!(message(nested.unwrap_err()).contains("from within an update of the same State"));
        assert_eq!((*state.load(), state.version()), (0, 0));
        state.update(|n| *n = 2);
        assert_eq!(*state.load(), 2);
    }

    #[test]
    fn reading_it_and_updating_another_is_fine_within_an_update() {
        let (outer, inner) = (State::new(1), State::new(10));
        outer.update(|n| {
            *n += *outer.load() + *outer.snapshot();
            inner.update(|m| *m += *n);
        });
        assert_eq!((*outer.load(), *inner.load()), (3, 13));
    }

    #[test]
    fn what_was_replaced_is_dropped_after_the_turn() {
        /// The first one, when dropped, publishes the next value of the very state that held it.
        struct Again(u32);
        static STATE: LazyLock<State<Again>> = LazyLock::new(|| State::new(Again(0)));
        impl Drop for Again {
            fn drop(&mut self) {
                if self.0 == 0 {
                    STATE.replace(Again(2));
                }
            }
        }
        STATE.replace(Again(1));
        assert!(crate::state::soon(|| (STATE.load().0, STATE.version()) == (2, 2)));
    }

    #[test]
    fn a_version_is_dropped_when_the_last_holder_goes() {
        let token = std::sync::Arc::new(());
        let state = State::new(std::sync::Arc::clone(&token));
        let (snapshot, guard) = (state.snapshot(), state.load());
        state.replace(std::sync::Arc::new(()));
        assert_eq!(std::sync::Arc::strong_count(&token), 2);
        drop(guard);
        assert_eq!(std::sync::Arc::strong_count(&token), 2);
        drop(snapshot);
        assert!(crate::state::soon(|| std::sync::Arc::strong_count(&token) == 1));
    }

    #[test]
    fn readers_go_on_while_an_update_is_under_way() {
        let state = State::new((0, 0));
        let (started, wait_for_start) = mpsc::channel();
        let (release, wait_for_release) = mpsc::channel();
        thread::scope(|scope| {
            let state = &state;
            scope.spawn(move || {
                state.update(|pair| {
                    pair.0 = 1;
                    started.send(()).unwrap();
                    wait_for_release.recv().unwrap();
                    pair.1 = 1;
                });
            });
            wait_for_start.recv().unwrap();
            // Would never return if any of these waited for the writer.
            assert_eq!((*state.load(), *state.snapshot(), state.version()), ((0, 0), (0, 0), 0));
            release.send(()).unwrap();
        });
        assert_eq!((*state.load(), state.version()), ((1, 1), 1));
    }

    #[test]
    fn concurrent_updates_lose_nothing_and_readers_see_whole_ascending_versions() {
        const WRITERS: u64 = 3;
        const UPDATES: u64 = if cfg!(miri) { 2 } else { 1_000 };
        let state = State::new((0, 0));
        let (done, reads) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    let mut last = 0;
                    while !done.load(Ordering::Acquire) {
                        let now = state.load();
                        assert_eq!(now.0, now.1, "half a version");
                        assert_eq!(now.0, now.version(), "each version adds one");
                        assert!(now.version() >= last, "versions went back");
                        last = now.version();
                        let kept = state.snapshot();
                        assert!(kept.version() >= last && kept.0 == kept.1);
                        reads.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            let writers: Vec<_> =
                (0..WRITERS).map(|_| scope.spawn(|| (0..UPDATES).for_each(|_| state.update(bump)))).collect();
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            done.store(true, Ordering::Release);
        });
        let all = WRITERS * UPDATES;
        assert_eq!((*state.load(), state.version()), ((all, all), all));
    }

    #[test]
    fn debug_shows_version_and_value() {
        let state = State::new(5);
        state.replace(6);
        assert_eq!(format!("{state:?}"), "State { version: 1, value: 6 }");
        assert_eq!(format!("{:?}", state.snapshot()), "Snapshot { version: 1, value: 6 }");
        assert_eq!(format!("{:?}", state.load()), "Guard { version: 1, value: 6 }");
    }
}
