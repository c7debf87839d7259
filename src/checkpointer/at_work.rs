//! Which checkpointers the running thread works for at the moment: code of the user's that they run must not wait for them.

use std::cell::Cell;

use super::core::Core;
use crate::sync::per_thread;

/// Checkpointers that may work within one another on one thread and be told apart: the steps of one run by code that
/// another runs, and so on. Beyond these the outermost are forgotten.
const MOST: usize = 4;

/// A checkpointer, by the address of its core.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct AtWork(usize);

per_thread!(static HERE: Cell<[usize; MOST]> = Cell::new([0; MOST]));

impl AtWork {
    pub(super) fn of(core: &Core) -> Self {
        Self(std::ptr::from_ref(core).addr())
    }

    /// Returns whether the running thread works for it.
    pub(super) fn is_here(self) -> bool {
        HERE.with(|here| here.get().contains(&self.0))
    }

    /// Says that the running thread works for it, while the guard lives.
    pub(super) fn begin(self) -> Shift {
        HERE.with(|here| {
            let before = here.get();
            let mut now = before;
            now.rotate_right(1);
            now[0] = self.0;
            here.set(now);
            Shift(before)
        })
    }
}

/// The time in which a thread works for a checkpointer.
pub(super) struct Shift([usize; MOST]);

impl Drop for Shift {
    fn drop(&mut self) {
        HERE.with(|here| here.set(self.0));
    }
}
