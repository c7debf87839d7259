//! Garbage collection of the log: marks what is reachable, and rewrites the segments of which little is.

pub(crate) mod address_set;
pub(crate) mod blame;
pub(crate) mod compaction;
pub(crate) mod mark;
mod replacement;
pub(crate) mod thread;
pub(crate) mod throttle;
