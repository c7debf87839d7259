//! Tests that look at several rooms at once.

mod log;
