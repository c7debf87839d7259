//! One version of a state: borrowed for a moment, or kept.

use std::fmt;
use std::ops::Deref;

use super::reclaim::reclaim;
use crate::node::Disposable;
use crate::sync::{self, Arc, into_inner};

/// A value and the number it was published under. Never changes once it is shared.
pub(super) struct Version<T> {
    pub(super) number: u64,
    /// With a way to drop it, once nobody holds it any more, without keeping its last holder waiting. Made where it is
    /// known that another thread may do it.
    pub(super) value: Disposable<T>,
}

impl<T: Send + 'static> Version<T> {
    pub(super) fn new(number: u64, value: T) -> Self {
        Self { number, value: Disposable::new(value, reclaim::<T>) }
    }
}

/// One version of a [`State`](super::State), immutable, kept for as long as this is held.
///
/// Cloning is **O(1)**. It dereferences to `T`. What a snapshot costs is the nodes that later versions no longer
/// share with it. Dropping the last snapshot of a version is **O(1)** too, however large it is: a thread of the
/// process (one for all states, started when it is first needed) drops the value soon after.
///
/// ```
/// use perennial::State;
///
/// let state = State::new(vec![1, 2]);
/// let before = state.snapshot();
/// state.update(|list| list.push(3));
/// assert_eq!(before[..], [1, 2]);
/// assert_eq!(state.load()[..], [1, 2, 3]);
/// assert!(before.version() < state.version());
/// ```
pub struct Snapshot<T> {
    /// `None` while the snapshot is taken apart only.
    shared: Option<Arc<Version<T>>>,
}

impl<T> Snapshot<T> {
    pub(super) fn new(shared: Arc<Version<T>>) -> Self {
        Self { shared: Some(shared) }
    }

    pub(super) fn shared(&self) -> &Arc<Version<T>> {
        match &self.shared {
            Some(shared) => shared,
            None => unreachable!("a snapshot is taken apart by value"),
        }
    }

    /// Drops the snapshot, and whatever it alone holds, before it returns: for threads that nobody waits for.
    pub(crate) fn drop_here(mut self) {
        self.shared = None;
    }

    /// Tells the number this version was published under: unique within its state, and higher than those before.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared().number
    }

    /// Takes the value out, cloning it if the version is held elsewhere (by the state itself, to begin with).
    ///
    /// ```
    /// let state = perennial::State::new(vec![1]);
    /// let mut list = state.snapshot().into_inner();
    /// list.push(2);
    /// assert_eq!(state.load().len(), 1);
    /// ```
    #[must_use]
    pub fn into_inner(mut self) -> T
    where
        T: Clone,
    {
        let Some(shared) = self.shared.take() else { unreachable!("a snapshot is taken apart by value") };
        match Arc::try_unwrap(shared) {
            Ok(version) => version.value.into_inner(),
            Err(shared) => T::clone(&shared.value),
        }
    }

    /// Tells whether this is that very version, of that very state.
    pub(super) fn is(&self, version: &Version<T>) -> bool {
        std::ptr::eq(&**self.shared(), version)
    }
}

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(self.shared()))
    }
}

impl<T> Drop for Snapshot<T> {
    fn drop(&mut self) {
        if let Some(version) = self.shared.take().and_then(into_inner) {
            version.value.dispose();
        }
    }
}

impl<T> Deref for Snapshot<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared().value
    }
}

impl<T> AsRef<T> for Snapshot<T> {
    fn as_ref(&self) -> &T {
        self
    }
}

impl<T: fmt::Debug> fmt::Debug for Snapshot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("version", &self.version()).field("value", &**self).finish()
    }
}

/// The version that [`State::load`](super::State::load) found, borrowed for a moment.
///
/// Dereferences to `T`. Cheaper than a [`Snapshot`], since it leaves the reference count alone, but each thread
/// has only a handful of places to note its guards, and a guard that outlives its version by chance drops it on the
/// spot: keep what must live longer with [`snapshot`](Self::snapshot).
#[must_use = "a guard that is dropped reads nothing"]
pub struct Guard<T> {
    pub(super) borrowed: sync::Guard<Version<T>>,
}

impl<T> Guard<T> {
    /// Tells the number this version was published under.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.borrowed.number
    }

    /// Keeps this very version. **O(1).**
    ///
    /// ```
    /// let state = perennial::State::new(7);
    /// let guard = state.load();
    /// state.replace(8);
    /// assert_eq!(*guard.snapshot(), 7);
    /// ```
    #[must_use = "a snapshot that is dropped keeps nothing"]
    pub fn snapshot(&self) -> Snapshot<T> {
        Snapshot::new(Arc::clone(&self.borrowed))
    }
}

impl<T> Deref for Guard<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.borrowed.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Guard<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("version", &self.version()).field("value", &**self).finish()
    }
}
