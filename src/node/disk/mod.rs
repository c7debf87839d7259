//! The bytes of a node, both ways: written by a flush, read on first touch, let go of, merged without types.

pub(crate) mod evict;
pub(crate) mod flush;
pub(crate) mod load;
pub(crate) mod load_all;
pub(crate) mod merge;
