//! perennial
#![allow(dead_code)]
mod error;
pub mod hash_map;
mod node;
mod sync;
/// docs
pub mod docs {
    /// design
    pub mod design {}
}

pub use error::Error;
pub use hash_map::{HashMap, SeededState};
