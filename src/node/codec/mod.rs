//! Node to bytes and back.
