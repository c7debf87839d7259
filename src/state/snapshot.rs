//! One version of a state: borrowed for a moment, or kept.

use std::fmt;
use std::ops::Deref;

use crate::sync::{self, Arc};

/// A value and the number it was published under. Never changes once it is shared.
pub(super) struct Version<T> {
    pub(super) number: u64,
    pub(super) value: T,
}

/// One version of a [`State`](super::State), immutable, kept for as long as this is held.
///
/// Cloning is **O(1)**. It dereferences to `T`. What a snapshot costs is the nodes that later versions no longer
/// share with it; dropping the last snapshot of a version frees them.
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
    pub(super) shared: Arc<Version<T>>,
}

impl<T> Snapshot<T> {
    /// Tells the number this version was published under: unique within its state, and higher than those before.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.number
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
    pub fn into_inner(self) -> T
    where
        T: Clone,
    {
        match Arc::try_unwrap(self.shared) {
            Ok(version) => version.value,
            Err(shared) => shared.value.clone(),
        }
    }

    /// Tells whether this is that very version, of that very state.
    pub(super) fn is(&self, version: &Version<T>) -> bool {
        std::ptr::eq(&*self.shared, version)
    }
}

impl<T> Clone for Snapshot<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Deref for Snapshot<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.shared.value
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
/// has only a handful of places to note its guards: keep what must live longer with [`snapshot`](Self::snapshot).
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
        Snapshot { shared: Arc::clone(&self.borrowed) }
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
