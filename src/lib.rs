//! perennial
#![allow(dead_code)]
mod error;
mod node;
mod sync;

pub use error::Error;
