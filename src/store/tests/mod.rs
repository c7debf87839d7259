//! Tests that look inside of a store.

mod hostile;
mod scrub;
