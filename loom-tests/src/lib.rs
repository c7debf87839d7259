//! Runs one body of test in two ways.
//!
//! With `RUSTFLAGS="--cfg loom"`, [`model`] explores every interleaving that the bound on preemptions allows, over
//! the stand-ins of `perennial/src/sync.rs`. Without it, the same body runs again and again on the real primitives
//! and real threads. The models of one layer are in one file: `tests/state.rs`, `tests/node.rs`.
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test --tests
//! cargo test --tests
//! ```

#[cfg(loom)]
pub use loom::{model, sync::Arc, thread};
#[cfg(not(loom))]
pub use std::{sync::Arc, thread};

/// Runs `body` many times on real threads.
#[cfg(not(loom))]
pub fn model(body: impl Fn() + Send + Sync + 'static) {
    for _ in 0..2_000 {
        body();
    }
}
