//! What stops a [trace](super::trace).

use std::cell::RefCell;
use std::fmt;
use std::mem::ManuallyDrop;

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

// The fields that a value could not be made without. Without a destructor, the variable is there as long as the thread
// runs; `missed_during` leaves in it what it found.
per_thread!(
    static MISSED: RefCell<ManuallyDrop<Vec<&'static str>>> = RefCell::new(ManuallyDrop::new(Vec::new()))
);

/// Calls what makes values, and tells the fields that they could not be made without: serde tells it where it asks for an
/// error, and nobody afterwards.
pub(super) fn missed_during<R>(call: impl FnOnce() -> R) -> (R, Vec<&'static str>) {
    /// The fields that an outer call has missed. Put back also when the call panics.
    struct Outer(Vec<&'static str>);
    impl Drop for Outer {
        fn drop(&mut self) {
            swap(std::mem::take(&mut self.0));
        }
    }
    fn swap(fields: Vec<&'static str>) -> Vec<&'static str> {
        MISSED.with(|missed| ManuallyDrop::into_inner(missed.replace(ManuallyDrop::new(fields))))
    }
    let mut outer = Outer(swap(Vec::new()));
    let result = call();
    let missed = swap(std::mem::take(&mut outer.0));
    std::mem::forget(outer);
    (result, missed)
}
