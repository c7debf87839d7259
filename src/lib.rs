//! perennial
mod error;
pub mod hash_map;
mod node;
pub mod state;
pub mod storage;
pub mod store;
mod sync;
#[cfg(test)]
mod tests;
pub mod vector;

pub mod docs {
    //! How the crate works, in pages: design, format, durability.
    #[doc = include_str!("docs/design.md")]
    pub mod design {}
    #[doc = include_str!("docs/format.md")]
    pub mod format {}
    #[doc = include_str!("docs/durability.md")]
    pub mod durability {}
}

pub use error::Error;
pub use hash_map::{HashMap, SeededState};
pub use state::{History, Snapshot, State};
pub use vector::Vector;
