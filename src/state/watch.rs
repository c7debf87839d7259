//! Following a state as it is written.

use std::sync::Weak;

use crate::sync::{AtomicBool, Ordering, RwLock};

/// Somebody who follows a state.
pub(crate) trait Watch: Send + Sync {
    /// A version was published. Runs on the writer's thread, after its turn: holding it up slows this writer down and
    /// no other.
    fn published(&self);
}

/// Those who follow one state. While there are none, a writer pays one load.
pub(super) struct Watchers {
    /// Relaxed: a watcher that came during an update may miss it, as if it had come after it.
    any: AtomicBool,
    list: RwLock<Vec<Weak<dyn Watch>>>,
}

impl Default for Watchers {
    fn default() -> Self {
        Self { any: AtomicBool::new(false), list: RwLock::new(Vec::new()) }
    }
}

impl Watchers {
    pub(super) fn add(&self, watcher: Weak<dyn Watch>) {
        let mut list = self.list.write();
        list.retain(|watcher| watcher.strong_count() > 0);
        list.push(watcher);
        self.any.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub(super) fn published(&self) {
        if self.any.load(Ordering::Relaxed) {
            self.tell();
        }
    }

    #[cold]
    fn tell(&self) {
        let list = self.list.read();
        let mut alive = false;
        for watcher in list.iter().filter_map(Weak::upgrade) {
            watcher.published();
            alive = true;
        }
        drop(list);
        if !alive {
            let mut list = self.list.write();
            list.retain(|watcher| watcher.strong_count() > 0);
            self.any.store(!list.is_empty(), Ordering::Relaxed);
        }
    }
}
