//! perennial
mod error;
mod node;
pub mod storage;
pub mod store;

pub use error::Error;

#[cfg(test)]
mod tests;
