//! Following a state as it is written.

use std::sync::{Arc, Weak};

use crate::sync::{AtomicBool, Ordering, RwLock};

/// Somebody who follows a state.
pub(crate) trait Watch: Send + Sync {
    /// A version was published. Runs on the writer's thread, after its turn and under no lock: holding it up slows this
    /// writer down and no other.
    fn published(&self);
}

/// Those who follow one state. While there are none, a writer pays one load.
pub(super) struct Watchers {
    /// Relaxed: a watcher that came during an update may miss it, as if it had come after it.
    any: AtomicBool,
    /// Replaced, never changed: writers take it out of the lock, since a watcher may hold one of them up, and waiting for
    /// the lock beside it would hold up all.
    list: RwLock<List>,
}

type List = Arc<[Weak<dyn Watch>]>;

impl Default for Watchers {
    fn default() -> Self {
        Self { any: AtomicBool::new(false), list: RwLock::new(Arc::new([])) }
    }
}

impl Watchers {
    pub(super) fn add(&self, watcher: Weak<dyn Watch>) {
        let mut list = self.list.write();
        *list = alive(&list).chain([watcher]).collect();
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
        let list = Arc::clone(&self.list.read());
        let mut any = false;
        // Letting go of the last reference to a watcher may drop states, and with them values of the user's.
        for watcher in list.iter().filter_map(Weak::upgrade) {
            watcher.published();
            any = true;
        }
        if !any {
            let mut list = self.list.write();
            *list = alive(&list).collect();
            self.any.store(!list.is_empty(), Ordering::Relaxed);
        }
    }
}

fn alive(list: &List) -> impl Iterator<Item = Weak<dyn Watch>> {
    list.iter().filter(|watcher| watcher.strong_count() > 0).cloned()
}

#[cfg(test)]
mod tests {
    use std::sync::{OnceLock, mpsc};
    use std::time::Duration;

    use super::*;

    /// Follows the state once more, as a checkpointer that starts does, while it is told of a version.
    struct Adds(OnceLock<Arc<Watchers>>, Weak<Self>);

    impl Watch for Adds {
        fn published(&self) {
            if let Some(watchers) = self.0.get() {
                watchers.add(self.1.clone());
            }
        }
    }

    #[test]
    fn watchers_are_called_under_no_lock() {
        let (done, is_done) = mpsc::channel();
        std::thread::spawn(move || {
            let watchers = Arc::new(Watchers::default());
            let adds = Arc::new_cyclic(|this| Adds(OnceLock::new(), this.clone()));
            watchers.add(adds.1.clone());
            assert!(adds.0.set(Arc::clone(&watchers)).is_ok());
            watchers.published();
            watchers.published();
            assert_eq!(watchers.list.read().len(), 4);
            drop(adds);
            watchers.published();
            assert_eq!(watchers.list.read().len(), 0);
            assert!(!watchers.any.load(Ordering::Relaxed));
            done.send(()).unwrap();
        });
        is_done.recv_timeout(Duration::from_secs(30)).expect("it waits for itself");
    }
}
