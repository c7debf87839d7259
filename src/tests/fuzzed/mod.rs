//! What the targets of `fuzz/` do with their inputs. There this file is the root of a crate; here the tests of
//! `corpus` give the same code the inputs that were kept.

pub mod map_ops;
pub mod open_bytes;
pub mod ord_map_ops;
mod seal;
pub mod store_ops;
mod stores;
pub mod vector_ops;
mod versions;
