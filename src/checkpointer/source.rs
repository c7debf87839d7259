//! A state as the checkpointer sees it: something to take versions of, without its type.

use std::sync::Arc;

use crate::state::{Snapshot, State};
use crate::store::Persist;

/// A state that can be captured.
pub(super) struct Source {
    pub name: String,
    capture: Box<dyn Fn() -> Captured + Send + Sync>,
}

impl Source {
    pub(super) fn new<T>(name: String, state: &Arc<State<T>>) -> Self
    where
        T: Persist + Send + Sync,
    {
        let state = Arc::clone(state);
        Self { name, capture: Box::new(move || Captured::new(state.snapshot())) }
    }

    /// Takes the newest version. **O(1).**
    pub(super) fn capture(&self) -> Captured {
        (self.capture)()
    }
}

/// One version of one state, held until it is written.
pub(super) struct Captured {
    pub version: u64,
    value: Box<dyn Held>,
}

impl Captured {
    pub(super) fn new<T: Persist + Send + Sync>(snapshot: Snapshot<T>) -> Self {
        Self { version: snapshot.version(), value: Box::new(snapshot) }
    }

    pub(super) fn value(&self) -> &dyn Persist {
        self.value.value()
    }

    /// Frees what nobody else holds, on this thread.
    pub(super) fn drop_here(self) {
        self.value.drop_here();
    }
}

trait Held: Send + Sync {
    fn value(&self) -> &dyn Persist;
    fn drop_here(self: Box<Self>);
}

impl<T: Persist + Send + Sync> Held for Snapshot<T> {
    fn value(&self) -> &dyn Persist {
        &**self
    }

    fn drop_here(self: Box<Self>) {
        Self::drop_here(*self);
    }
}
