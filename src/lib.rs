//! perennial
#![allow(dead_code)]
mod error;
pub mod hash_map;
mod node;
pub mod state;
mod sync;
#[cfg(test)]
mod tests;
/// docs
pub mod docs {
    /// design
    pub mod design {}
}

pub use error::Error;
pub use hash_map::{HashMap, SeededState};
pub use state::{History, Snapshot, State};
