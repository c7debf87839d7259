//! perennial
mod error;
mod node;

pub use error::Error;
