//! What stops a [trace](super::trace).

use std::cell::RefCell;
use std::fmt;

use serde::de;

use crate::sync::per_thread;

/// Why a value could not be made.
#[derive(Debug)]
pub(super) enum Stop {
    /// User code did not like it.
    Rejected,
    /// A later pass will do something else here.
    Retry,
    /// No value can be made here.
    Blocked,
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a made-up value was rejected")
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self::Rejected
    }

    fn missing_field(field: &'static str) -> Self {
        MISSED.with(|missed| missed.borrow_mut().push(field));
        Self::Rejected
    }
}

// The fields that a value could not be made without.
per_thread!(static MISSED: RefCell<Vec<&'static str>> = RefCell::new(Vec::new()));

/// The fields that values could not be made without since this was last called: serde tells it where it asks for an
/// error, and nobody afterwards.
pub(super) fn take_missed() -> Vec<&'static str> {
    MISSED.with(RefCell::take)
}
