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
        complain(Complaint::Missing(field))
    }

    fn duplicate_field(field: &'static str) -> Self {
        complain(Complaint::Duplicate(field))
    }
}

/// A complaint of a struct's code about a field, by its first name.
#[derive(Debug)]
pub(super) enum Complaint {
    /// There is no value without it.
    Missing(&'static str),
    /// It came twice.
    Duplicate(&'static str),
}

// serde tells it where it asks for an error, and nobody afterwards. Without a destructor, the variable is there as long as
// the thread runs; `complaints_during` leaves in it what it found.
per_thread!(
    static COMPLAINTS: RefCell<ManuallyDrop<Vec<Complaint>>> = RefCell::new(ManuallyDrop::new(Vec::new()))
);

fn swap(complaints: Vec<Complaint>) -> Vec<Complaint> {
    COMPLAINTS.with(|all| ManuallyDrop::into_inner(all.replace(ManuallyDrop::new(complaints))))
}

fn complain(complaint: Complaint) -> Stop {
    COMPLAINTS.with(|complaints| complaints.borrow_mut().push(complaint));
    Stop::Rejected
}

/// Calls what makes values, and returns what the code of their types complained of.
pub(super) fn complaints_during<R>(call: impl FnOnce() -> R) -> (R, Vec<Complaint>) {
    /// The complaints of an outer call. Put back also when the call panics.
    struct Outer(Vec<Complaint>);
    impl Drop for Outer {
        fn drop(&mut self) {
            swap(std::mem::take(&mut self.0));
        }
    }
    let mut outer = Outer(swap(Vec::new()));
    let result = call();
    let complaints = swap(std::mem::take(&mut outer.0));
    std::mem::forget(outer);
    (result, complaints)
}
