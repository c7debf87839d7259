//! Defects to plant, one at a time, to see that a model of `loom-tests` finds each of them.
//!
//! Compiled in by `--cfg weakened` alone, and chosen by name in the environment variable `WEAKEN`. In every other
//! build the question is the constant `false` and an ordering is the one that stands in the code. `.ci/models` lists
//! the names and the model that must fail for each; `.ci/canaries` those that tests without threads must find.

use crate::sync::Ordering;

/// Whether the defect of this name was chosen.
#[cfg(weakened)]
pub(crate) fn is(name: &str) -> bool {
    static CHOSEN: std::sync::LazyLock<Option<String>> =
        std::sync::LazyLock::new(|| std::env::var("WEAKEN").ok());
    CHOSEN.as_deref() == Some(name)
}

/// Whether the defect of this name was chosen: no.
#[cfg(not(weakened))]
#[inline(always)]
pub(crate) const fn is(_: &str) -> bool {
    false
}

/// Whether the defect of this name was chosen, of those that `.ci/canaries` plants: the ordinary tests must find each.
#[inline(always)]
pub(crate) fn canary(name: &str) -> bool {
    is(name)
}

/// The ordering that the code needs, or `Relaxed` where the defect of this name was chosen.
#[inline(always)]
pub(crate) fn ordering(name: &str, needed: Ordering) -> Ordering {
    if is(name) { Ordering::Relaxed } else { needed }
}
