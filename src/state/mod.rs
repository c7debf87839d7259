//! State in memory: one swappable root, the versions it went through, and the way back.
//!
//! [`State`] holds the current version of a value and swaps it for the next one; readers never wait. A
//! [`Snapshot`] is one version, kept for as long as it is held. A [`History`] keeps a bounded number of snapshots
//! and goes back and forth among them.

mod cell;
mod history;
mod snapshot;

pub use cell::State;
pub use history::{Depth, Entry, History};
pub use snapshot::{Guard, Snapshot};
