//! Tests that need more than one module, or the source tree itself.

mod kill;
mod log;
mod store;
mod tidy;
mod vector;
