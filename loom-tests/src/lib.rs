//! Runs one body of test in two ways.
//!
//! With `RUSTFLAGS="--cfg loom"`, [`model`] explores every interleaving that the bound on preemptions allows, over
//! the stand-ins of `perennial/src/sync.rs`. Without it, the same body runs again and again on the real primitives
//! and real threads. The models of one layer are in one file: `tests/state.rs`, `tests/node.rs`, `tests/store.rs`,
//! `tests/checkpointer.rs`.
//!
//! ```sh
//! bash .ci/models                                                              # all of this, and the weakenings
//! RUSTFLAGS="--cfg loom" LOOM_MAX_PREEMPTIONS=2 cargo test --tests
//! RUSTFLAGS="--cfg internals" cargo test --tests
//! ```
//!
//! A model is worth what it finds. With `--cfg weakened` beside `--cfg loom`, the variable `WEAKEN` plants one defect
//! (`perennial/src/weaken.rs`), and the model that stands beside its name in `.ci/models` must fail.

mod disk;
pub mod thread;
mod tracked;

pub use disk::{Disk, Image};
pub use tracked::Tracked;

#[cfg(loom)]
pub use loom::sync::Arc;
#[cfg(not(loom))]
pub use std::sync::Arc;

/// Explores every interleaving of `body`, and prints how many executions that took.
///
/// Bounded by `LOOM_MAX_PREEMPTIONS`, 2 unless it is set.
///
/// # Panics
///
/// When an execution does.
#[cfg(loom)]
pub fn model(body: impl Fn() + Send + Sync + 'static) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    // A few checkpoints take more steps than loom's 1,000.
    builder.max_branches = builder.max_branches.max(10_000);
    let executions = Arc::new(AtomicU64::new(0));
    let (body, counter) = (Arc::new(body), Arc::clone(&executions));
    builder.check(move || {
        counter.fetch_add(1, Ordering::Relaxed);
        let body = Arc::clone(&body);
        thread::spawn(move || body()).join().expect("a panic in a model ends it");
    });
    let name = std::thread::current().name().unwrap_or("?").to_owned();
    println!("model {name}: {} executions", executions.load(Ordering::Relaxed));
}

/// Runs `body` many times on real threads.
#[cfg(not(loom))]
pub fn model(body: impl Fn() + Send + Sync + 'static) {
    for _ in 0..2_000 {
        body();
    }
}
