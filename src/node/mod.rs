//! Nodes: the unit shared in memory and written on disk.

mod address;
pub(crate) mod codec;
mod record;

pub use address::Address;
pub(crate) use address::Tag;
pub(crate) use record::{Backing, Record, RecordHead, RecordKind, Refs, Sink};
