//! State in memory: one swappable root, the versions it went through, and the way back.
//!
//! [`State`] holds the current version of a value and swaps it for the next one; readers never wait. A
//! [`Snapshot`] is one version, kept for as long as it is held. A [`History`] keeps a bounded number of snapshots
//! and goes back and forth among them.

mod cell;
mod history;
mod reclaim;
mod snapshot;
mod watch;

pub use cell::State;
pub use history::{Depth, Entry, History};
#[cfg(test)]
pub(crate) use reclaim::KeepBusy;
#[cfg(any(loom, internals))]
pub(crate) use reclaim::Queue;
pub use snapshot::{Guard, Snapshot};
pub(crate) use watch::Watch;

/// Waits for what the thread that drops versions is about to do.
#[cfg(test)]
fn soon(holds: impl Fn() -> bool) -> bool {
    (0..10_000).any(|_| holds() || (std::thread::sleep(std::time::Duration::from_millis(1)), false).1)
}
