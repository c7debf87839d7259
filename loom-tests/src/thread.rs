//! Threads of a model: loom's, or real ones.

#[cfg(not(loom))]
pub use std::thread::{JoinHandle, spawn, yield_now};

#[cfg(loom)]
pub use loom::thread::{JoinHandle, yield_now};

/// Starts a thread. Loom's have 32 KiB of stack by default, which a checkpoint outgrows: these have 512.
#[cfg(loom)]
pub fn spawn<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    // Loom takes words for bytes.
    let size = (512 << 10) / size_of::<usize>();
    loom::thread::Builder::new().stack_size(size).spawn(body).expect("loom starts threads")
}
