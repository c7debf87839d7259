//! perennial
#![allow(dead_code)]
mod error;
mod node;
mod sync;
pub mod vector;

pub use error::Error;
pub use vector::Vector;
#[cfg(test)]
mod tests;
