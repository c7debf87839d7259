//! perennial
mod error;
mod node;
pub mod state;
mod sync;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use state::{History, Snapshot, State};
