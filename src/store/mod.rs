//! Durable checkpoints: the log, and how it is opened.

#![allow(dead_code, unused_imports, reason = "the typed store above the log calls these")]

mod block;
mod block_cache;
mod commit;
mod compression;
mod directory;
mod format;
mod index;
mod log;
mod manifest;
mod opening;
mod options;
mod record;
mod recovery;
mod segment;
mod syncer;
mod writer;

pub(crate) use commit::{Commit, Draft, Root};
pub(crate) use log::{Commits, Log, LogStats};
pub(crate) use opening::Opening;
pub use options::{Compression, Durability, Options};
pub(crate) use writer::Writer;
