//! perennial
mod error;
mod node;
pub mod storage;
pub mod store;
mod sync;

pub use error::Error;

#[cfg(test)]
mod tests;
