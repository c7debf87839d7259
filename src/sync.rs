//! The primitives that threads meet at: from std, parking_lot and arc_swap, or loom's stand-ins under `--cfg loom`.
//!
//! No other file names them, so that the models in `loom-tests` check the very code that ships. Loom cannot see
//! inside arc_swap or parking_lot: it checks *our* protocol on top of them. Process-wide counters in statics are
//! exempt (a static cannot hold a loom atomic, and nothing is published through them).
#![allow(
    unused_imports,
    dead_code,
    reason = "the nodes, the log and the checkpointer use what the state does not"
)]

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Makes functions `const` where atomics can be made in constants: everywhere but under loom.
macro_rules! const_fn {
    ($($(#[$meta:meta])* $visibility:vis const fn $name:ident($($parameters:tt)*) -> $result:ty $body:block)+) => {$(
        #[cfg(not(loom))]
        $(#[$meta])*
        $visibility const fn $name($($parameters)*) -> $result $body

        #[cfg(loom)]
        $(#[$meta])*
        $visibility fn $name($($parameters)*) -> $result $body
    )+};
}
pub(crate) use const_fn;

/// Declares a variable that every thread has of its own: also loom's threads, which share one thread of the system.
/// Use it through `with` alone.
macro_rules! per_thread {
    (static $name:ident: $of:ty = $init:expr) => {
        #[cfg(not(loom))]
        std::thread_local!(static $name: $of = const { $init });
        #[cfg(loom)]
        loom::thread_local!(static $name: $of = $init);
    };
}
pub(crate) use per_thread;

/// Stack reserved for the threads that drop or encode values of the user's, which may be nested as deep as on a thread of
/// his own: it takes address space, and memory only as far as it is used.
pub(crate) const RESERVED_STACK_BYTES: usize = 64 << 20;

/// Calls user code whose panic must go no further; returns what it said, if it panicked. The panic hook has reported it.
pub(crate) fn caught<R>(call: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(call)).map_err(message_of)
}

/// Returns the message of a panic.
///
/// A payload that is no text is forgotten, not dropped: it is the user's as well, and its own `Drop` may panic.
pub(crate) fn message_of(panic: Box<dyn Any + Send>) -> String {
    let panic = match panic.downcast::<&str>() {
        Ok(text) => return String::from(*text),
        Err(panic) => panic,
    };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => {
            std::mem::forget(panic);
            String::from("(no message)")
        }
    }
}

/// Waits for a thread to end. Its panic was reported.
pub(crate) fn join(thread: JoinHandle) {
    if let Err(panic) = thread.join() {
        message_of(panic);
    }
}

/// Which thread holds a lock that user code may run under, so that it is never waited for by the thread that holds it.
/// Relaxed: a thread compares the mark with its own only, and what it stored itself it also sees.
#[derive(Default)]
pub(crate) struct Holder(AtomicUsize);

impl Holder {
    /// Tells whether the running thread is the holder.
    pub(crate) fn is_me(&self) -> bool {
        self.0.load(Ordering::Relaxed) == thread_mark()
    }

    /// Says that the running thread holds the lock now.
    pub(crate) fn set(&self) {
        self.0.store(thread_mark(), Ordering::Relaxed);
    }

    /// Says that nobody does, before the lock is given back.
    pub(crate) fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[cfg(loom)]
pub(crate) use self::model::*;
#[cfg(not(loom))]
pub(crate) use self::real::*;

/// Tells the running thread from every other one alive: the address of a variable of its own, never 0.
pub(crate) fn thread_mark() -> usize {
    per_thread!(static MARK: Cell<u8> = Cell::new(0));
    MARK.with(|mark| std::ptr::from_ref::<Cell<u8>>(mark).addr())
}

#[cfg(not(loom))]
mod real {
    pub(crate) use parking_lot::{Mutex, MutexGuard, RwLock};
    pub(crate) use std::hint::spin_loop;
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use std::sync::{Arc, OnceLock};
    use std::time::Duration;

    /// Lets threads that hold a mutex wait for one another.
    #[derive(Default)]
    pub(crate) struct Condvar(parking_lot::Condvar);

    impl Condvar {
        /// Gives the lock back, waits for a notification, takes the lock again. May wake without one.
        pub(crate) fn wait<'a, T>(&self, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(&mut guard);
            guard
        }

        /// The same, for at most `timeout`.
        pub(crate) fn wait_for<'a, T>(
            &self,
            mut guard: MutexGuard<'a, T>,
            timeout: Duration,
        ) -> MutexGuard<'a, T> {
            self.0.wait_for(&mut guard, timeout);
            guard
        }

        /// Waits for a notification or for the time to pass, whichever comes first.
        pub(crate) fn tick<'a, T>(
            &self,
            _lock: &'a Mutex<T>,
            guard: MutexGuard<'a, T>,
            time: Duration,
        ) -> MutexGuard<'a, T> {
            self.wait_for(guard, time)
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    /// Returns the number of ticks that a thread waits, given those it would wait.
    pub(crate) const fn ticks_of(ticks: u32) -> u32 {
        ticks
    }

    /// A thread that was started by [`spawn`].
    pub(crate) type JoinHandle = std::thread::JoinHandle<()>;

    /// Starts a thread of this name, with [`RESERVED_STACK_BYTES`](crate::sync::RESERVED_STACK_BYTES) of stack.
    pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle> {
        let builder = std::thread::Builder::new().name(name.to_owned());
        builder.stack_size(crate::sync::RESERVED_STACK_BYTES).spawn(body)
    }

    /// Tells whether it is the running thread.
    pub(crate) fn is_current(thread: &JoinHandle) -> bool {
        thread.thread().id() == std::thread::current().id()
    }

    /// A lock held by value, for as long as its owner lives.
    pub(crate) type OwnedGuard<T> = parking_lot::ArcMutexGuard<parking_lot::RawMutex, T>;

    /// A mutex whose guard keeps it alive.
    pub(crate) struct OwnedMutex<T>(Arc<Mutex<T>>);

    impl<T> OwnedMutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Arc::new(Mutex::new(value)))
        }

        pub(crate) fn lock(&self) -> OwnedGuard<T> {
            self.0.lock_arc()
        }
    }

    /// Takes the value out of the last pointer to it; drops the pointer if it is not the last.
    pub(crate) fn into_inner<T>(shared: Arc<T>) -> Option<T> {
        Arc::into_inner(shared)
    }

    /// A shared pointer to the version that [`Swap::load`] found.
    pub(crate) type Guard<T> = arc_swap::Guard<Arc<T>>;

    /// An `Arc` that one thread swaps while others read it: readers are wait-free.
    pub(crate) struct Swap<T>(arc_swap::ArcSwap<T>);

    impl<T> Swap<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self(arc_swap::ArcSwap::new(value))
        }

        /// Borrows the current pointer, without touching its reference count in the common case.
        pub(crate) fn load(&self) -> Guard<T> {
            self.0.load()
        }

        /// Clones the current pointer.
        pub(crate) fn load_full(&self) -> Arc<T> {
            self.0.load_full()
        }

        /// Publishes `value` and returns what it replaced.
        pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
            self.0.swap(value)
        }
    }
}

#[cfg(loom)]
mod model {
    pub(crate) use loom::hint::spin_loop;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use loom::sync::{Arc, MutexGuard, RwLockReadGuard, RwLockWriteGuard};
    use std::time::Duration;

    const POISONED: &str = "a lock of a loom model is not poisoned: models do not panic while they hold one";

    /// loom's mutex with parking_lot's signature.
    #[derive(Default)]
    pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

    impl<T> Mutex<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::Mutex::new(value))
        }

        pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
            self.0.lock().expect(POISONED)
        }
    }

    /// loom's condition variable with the signatures above. No time passes in a model: a wait with a timeout ends by
    /// a notification too, so that no timeout can hide a lost one.
    #[derive(Default)]
    pub(crate) struct Condvar(loom::sync::Condvar);

    impl Condvar {
        pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
            self.0.wait(guard).expect(POISONED)
        }

        pub(crate) fn wait_for<'a, T>(&self, guard: MutexGuard<'a, T>, _: Duration) -> MutexGuard<'a, T> {
            self.wait(guard)
        }

        /// A tick passes without a notification: others have their turn, and the mutex is locked anew.
        pub(crate) fn tick<'a, T>(
            &self,
            lock: &'a Mutex<T>,
            guard: MutexGuard<'a, T>,
            _: Duration,
        ) -> MutexGuard<'a, T> {
            drop(guard);
            loom::thread::yield_now();
            lock.lock()
        }

        pub(crate) fn notify_all(&self) {
            self.0.notify_all();
        }
    }

    std::thread_local! {
        /// Of one model: its threads are one thread of the system.
        static TICKS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
    }

    /// Lets the threads of this model wait for so many ticks where they would wait for some.
    pub(crate) fn set_ticks(ticks: u32) {
        TICKS.set(ticks);
    }

    pub(crate) fn ticks_of(_: u32) -> u32 {
        TICKS.get()
    }

    pub(crate) type JoinHandle = loom::thread::JoinHandle<()>;

    /// With 512 KiB of stack (loom takes words for bytes): what loom gives by default is too little for a checkpoint.
    pub(crate) fn spawn(_name: &str, body: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle> {
        loom::thread::Builder::new().stack_size((512 << 10) / size_of::<usize>()).spawn(body)
    }

    pub(crate) fn is_current(thread: &JoinHandle) -> bool {
        thread.thread().id() == loom::thread::current().id()
    }

    /// loom's reader-writer lock with parking_lot's signature.
    pub(crate) struct RwLock<T>(loom::sync::RwLock<T>);

    impl<T> RwLock<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(loom::sync::RwLock::new(value))
        }

        pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
            self.0.read().expect(POISONED)
        }

        pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
            self.0.write().expect(POISONED)
        }
    }

    pub(crate) fn into_inner<T>(shared: Arc<T>) -> Option<T> {
        Arc::try_unwrap(shared).ok()
    }

    /// A value set once: a flag to synchronise by, before std's cell, which cannot block here (loom's threads share
    /// one thread of the system, and nothing that sets one passes the turn on meanwhile).
    #[derive(Default)]
    pub(crate) struct OnceLock<T> {
        is_set: AtomicBool,
        value: std::sync::OnceLock<T>,
    }

    impl<T> OnceLock<T> {
        pub(crate) fn new() -> Self {
            Self { is_set: AtomicBool::new(false), value: std::sync::OnceLock::new() }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            if self.is_set.load(Ordering::Acquire) { self.value.get() } else { None }
        }

        pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
            let value = self.value.get_or_init(make);
            // Also by those who come later: their setting it stands for the acquiring end of std's cell.
            self.is_set.swap(true, Ordering::AcqRel);
            value
        }
    }

    /// A mutex that can be held by value: whoever locks it takes its content away, and brings it back.
    pub(crate) struct OwnedMutex<T>(std::sync::Arc<Home<T>>);

    struct Home<T> {
        content: Mutex<Option<Box<T>>>,
        is_back: Condvar,
    }

    impl<T> OwnedMutex<T> {
        pub(crate) fn new(value: T) -> Self {
            let content = Mutex::new(Some(Box::new(value)));
            Self(std::sync::Arc::new(Home { content, is_back: Condvar::default() }))
        }

        pub(crate) fn lock(&self) -> OwnedGuard<T> {
            let mut content = self.0.content.lock();
            loop {
                if let Some(value) = content.take() {
                    return OwnedGuard { value: Some(value), home: std::sync::Arc::clone(&self.0) };
                }
                content = self.0.is_back.wait(content);
            }
        }
    }

    pub(crate) struct OwnedGuard<T> {
        /// `None` only while it is dropped.
        value: Option<Box<T>>,
        home: std::sync::Arc<Home<T>>,
    }

    impl<T> std::ops::Deref for OwnedGuard<T> {
        type Target = T;

        fn deref(&self) -> &T {
            self.value.as_ref().expect("held until it is dropped")
        }
    }

    impl<T> std::ops::DerefMut for OwnedGuard<T> {
        fn deref_mut(&mut self) -> &mut T {
            self.value.as_mut().expect("held until it is dropped")
        }
    }

    impl<T> Drop for OwnedGuard<T> {
        fn drop(&mut self) {
            *self.home.content.lock() = self.value.take();
            self.home.is_back.notify_all();
        }
    }

    pub(crate) type Guard<T> = Arc<T>;

    /// The pointer under a lock: the same guarantees, for a model to explore.
    pub(crate) struct Swap<T>(Mutex<Arc<T>>);

    impl<T> Swap<T> {
        pub(crate) fn new(value: Arc<T>) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn load(&self) -> Guard<T> {
            self.load_full()
        }

        pub(crate) fn load_full(&self) -> Arc<T> {
            Arc::clone(&self.0.lock())
        }

        pub(crate) fn swap(&self, value: Arc<T>) -> Arc<T> {
            std::mem::replace(&mut *self.0.lock(), value)
        }
    }
}
