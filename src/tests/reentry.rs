//! User code that calls what called it: every such call works or is an error, and none waits for itself.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::checkpointer::{Overflow, Step, Workers};
use crate::error::Error;
use crate::footprint::{Evict, Eviction};
use crate::retention::keep_last;
use crate::storage::MemoryStorage;
use crate::store::{Location, RestoreOptions, Store, VerifyOptions};
use crate::{Checkpointer, HashMap, OrdMap, State, Vector};

/// Runs a test on a thread of its own, and fails if it hangs.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let outcome = catch_unwind(AssertUnwindSafe(test));
        done.send(()).unwrap();
        outcome.unwrap_or_else(|panic| resume_unwind(panic));
    });
    is_done.recv_timeout(Duration::from_secs(60)).expect("it waits for itself");
    thread.join().unwrap_or_else(|panic| resume_unwind(panic));
}

fn store() -> Arc<Store> {
    Arc::new(Store::options().open_storage(Arc::new(MemoryStorage::new())).unwrap())
}

/// An act of user code, which is told where it is called.
type Deed = Rc<dyn Fn(&'static str)>;

thread_local! {
    static DEED: RefCell<Option<Deed>> = const { RefCell::new(None) };
}

/// Does the deed, which does not do itself.
fn act(place: &'static str) {
    let Ok(Some(deed)) = DEED.try_with(RefCell::take) else { return };
    deed(place);
    DEED.set(Some(deed));
}

/// Calls back from all of its implementations.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Imp(u32);

impl Serialize for Imp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        act("Serialize");
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Imp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        act("Deserialize");
        u32::deserialize(deserializer).map(Self)
    }
}

impl Clone for Imp {
    fn clone(&self) -> Self {
        act("Clone");
        Self(self.0)
    }
}

impl Drop for Imp {
    fn drop(&mut self) {
        act("Drop");
    }
}

impl std::hash::Hash for Imp {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        act("Hash");
        state.write_u32(self.0);
    }
}

#[derive(Serialize, Deserialize, Clone)]
struct World {
    alone: Imp,
    hash: HashMap<Imp, u32>,
    ord: OrdMap<u32, Imp>,
    vector: Vector<Imp>,
}

impl Evict for World {
    fn evict(&mut self, eviction: &mut Eviction<'_>) {
        act("Evict");
        self.hash.evict(eviction);
        self.ord.evict(eviction);
        self.vector.evict(eviction);
    }
}

fn world() -> World {
    World {
        alone: Imp(7),
        hash: (0..50).map(|n| (Imp(n), n)).collect(),
        ord: (0..50).map(|n| (n, Imp(n))).collect(),
        vector: (0..50).map(Imp).collect(),
    }
}

/// Calls everything that a store can do; how many of the calls were refused because they came from within.
fn call_all(store: &Store) -> usize {
    let refused = Cell::new(0);
    fn count<R>(refused: &Cell<usize>, result: Result<R, Error>) {
        match result {
            Ok(_) => {}
            Err(Error::Reentrant { .. }) => refused.set(refused.get() + 1),
            Err(error) => panic!("{error}"),
        }
    }
    let numbers = HashMap::from([(1u32, 2u32)]);
    count(&refused, store.checkpoint(&numbers));
    count(&refused, store.commit().roots(&[("one", &1u32), ("two", &2u32)]).write());
    count(&refused, store.checkpoint_and_evict(&mut numbers.clone(), 0));
    count(&refused, store.evict(&mut numbers.clone(), 0));
    count(&refused, store.retain(&keep_last(1000)));
    count(&refused, store.compact());
    count(&refused, store.verify());
    count(&refused, store.verify_with(VerifyOptions::new().states::<HashMap<u32, u32>>()));
    count(&refused, store.usage());
    count(&refused, store.disk_footprint(&[]));
    count(&refused, store.would_free(&keep_last(1000)));
    count(&refused, store.backup(Location::storage(Arc::new(MemoryStorage::new()), Path::new("copy"))));
    // These never are.
    store.sync().unwrap();
    assert!(store.stats().segments > 0 && store.would_retain(&keep_last(1)).is_ok());
    for checkpoint in store.checkpoints().collect::<Result<Vec<_>, _>>().unwrap() {
        assert!(matches!(
            store.restore::<HashMap<u32, u32>>(checkpoint.id),
            Ok(_) | Err(Error::ShapeMismatch { .. } | Error::UnknownRoot { .. })
        ));
    }
    refused.get()
}

/// Calls, and what user code is reached in it.
fn reached(store: &Arc<Store>, call: impl FnOnce()) -> std::collections::BTreeMap<&'static str, usize> {
    let (theirs, places) = (Arc::clone(store), Rc::new(RefCell::new(std::collections::BTreeMap::new())));
    let told = Rc::clone(&places);
    DEED.set(Some(Rc::new(move |place| {
        // Once for each place is enough, and the first time only: all of it takes a while.
        if !told.borrow().contains_key(place) {
            told.borrow_mut().insert(place, 0);
            let refused = call_all(&theirs);
            told.borrow_mut().insert(place, refused);
        }
    })));
    call();
    DEED.set(None);
    places.take()
}

/// Every call that writes or walks.
const ALL: usize = 12;

#[test]
fn what_is_called_from_within_a_checkpoint_is_an_error_or_works() {
    in_time(|| {
        let (store, state) = (store(), world());
        store.checkpoint(&1u32).unwrap();
        let places = reached(&store, || drop(store.checkpoint(&state).unwrap()));
        // The first checkpoint of a type reads back, hashes and drops what it wrote.
        assert_eq!(places["Serialize"], ALL);
        assert_eq!(places["Drop"], ALL);
        assert_eq!(places["Hash"], ALL);
        assert!(places.contains_key("Deserialize"));
        assert_eq!(store.latest::<World>().unwrap().unwrap().alone, Imp(7));
        assert_eq!(call_all(&store), 0, "it is over");
    });
}

#[test]
fn what_is_called_from_within_other_calls_is_an_error_or_works() {
    in_time(|| {
        let (store, mut state) = (store(), world());
        let id = store.checkpoint(&state).unwrap().id;
        let places = reached(&store, || {
            let restored: World = store.restore(id).unwrap();
            assert_eq!((restored.hash[&Imp(7)], restored.ord[&7].0, restored.vector[7].0), (7, 7, 7));
            let mut copy = restored.clone();
            copy.ord.insert(7, Imp(8));
        });
        // Nothing is written meanwhile.
        assert_eq!(places, ["Clone", "Deserialize", "Drop", "Hash"].map(|place| (place, 0)).into());
        let rebuilt = reached(&store, || {
            drop(store.get(id).unwrap().restore_with::<World>(&RestoreOptions::new().rebuild(true)).unwrap())
        });
        assert!(rebuilt["Deserialize"] == 0 && rebuilt["Hash"] == 0, "{rebuilt:?}");
        let verified = reached(&store, || {
            assert!(store.verify_with(VerifyOptions::new().states::<World>()).unwrap().is_clean())
        });
        assert!(verified["Serialize"] == 0 && verified["Deserialize"] == 0, "{verified:?}");
        let evicted = reached(&store, || _ = store.evict(&mut state, 0).unwrap());
        assert_eq!(evicted, ["Evict", "Drop"].map(|place| (place, ALL)).into());
        let places = reached(&store, || {
            let walks = Cell::new(0);
            let walk = |_| {
                act("progress");
                walks.set(walks.get() + 1);
            };
            store.verify_with(VerifyOptions::new().progress(walk)).unwrap();
            store
                .backup(Location::storage(Arc::new(MemoryStorage::new()), Path::new("copy")).progress(walk))
                .unwrap();
            assert!(walks.get() > 1);
        });
        // What walks the files is refused, what writes is not.
        assert_eq!(places, [("progress", 7)].into());
        assert_eq!(call_all(&store), 0);
    });
}

#[test]
fn within_a_migration_everything_works_on_the_old_store() {
    in_time(|| {
        let store = store();
        store.checkpoint(&vec![Imp(1)]).unwrap();
        let called = Cell::new(0);
        let migrated = store.migrate(
            Location::storage(Arc::new(MemoryStorage::new()), Path::new("new")),
            |_, old: Vec<Imp>| {
                called.set(called.get() + 1);
                assert_eq!(call_all(&store), 0);
                Ok(old.len() as u64)
            },
        );
        assert_eq!((migrated.unwrap().states, called.get()), (1, 1));
    });
}

thread_local! {
    static STATE: RefCell<Option<Arc<State<Updater>>>> = const { RefCell::new(None) };
}

/// Updates the state that held it when it is dropped with a deed to do.
struct Updater(u32, bool);

impl Clone for Updater {
    fn clone(&self) -> Self {
        Self(self.0, false)
    }
}

impl Drop for Updater {
    fn drop(&mut self) {
        if self.1
            && let Some(state) = STATE.take()
        {
            state.update(|value| value.0 += 100);
            STATE.set(Some(state));
        }
    }
}

#[test]
fn what_an_update_refuses_or_a_panic_leaves_is_dropped_after_the_turn() {
    in_time(|| {
        let state = Arc::new(State::new(Updater(0, false)));
        STATE.set(Some(Arc::clone(&state)));
        let refused = state.try_update(|value| {
            value.1 = true;
            Err::<(), _>("no")
        });
        assert_eq!((refused, state.load().0), (Err("no"), 100));
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            state.update(|value| {
                value.1 = true;
                resume_unwind(Box::new("on purpose"));
            })
        }));
        // With the turn held, the panic in the drop would have been one too many.
        assert_eq!((panicked.is_err(), state.load().0), (true, 200));
        assert_eq!(state.version(), 2);
    });
}

#[test]
fn a_closure_that_is_never_called_is_dropped_after_the_turn() {
    /// Its clone panics.
    struct Fragile;
    impl Clone for Fragile {
        fn clone(&self) -> Self {
            resume_unwind(Box::new("on purpose"));
        }
    }
    struct Replaces<'a>(&'a State<Fragile>);
    impl Drop for Replaces<'_> {
        fn drop(&mut self) {
            self.0.replace(Fragile);
        }
    }
    let state = State::new(Fragile);
    let held = Replaces(&state);
    let updated = catch_unwind(AssertUnwindSafe(|| state.update(move |_| drop(held))));
    assert_eq!((updated.is_err(), state.version()), (true, 1));
}

#[test]
fn waiting_for_a_ticket_within_its_own_checkpointer_is_an_error() {
    in_time(|| {
        type Slot = Arc<std::sync::OnceLock<std::sync::Weak<Checkpointer>>>;
        /// Waits for the next checkpoint while it is written.
        #[derive(Clone, Default)]
        struct Waits(u32, Slot, Arc<AtomicUsize>);
        impl Serialize for Waits {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if let Some(checkpointer) = self.1.get().and_then(std::sync::Weak::upgrade) {
                    let outcome = checkpointer.request().wait();
                    assert!(matches!(outcome, Err(error) if matches!(error, Error::Reentrant { .. })));
                    self.2.fetch_add(1, Ordering::Relaxed);
                }
                self.0.serialize(serializer)
            }
        }
        impl<'de> Deserialize<'de> for Waits {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                u32::deserialize(deserializer).map(|number| Self(number, Arc::default(), Arc::default()))
            }
        }
        let (store, state) = (store(), Arc::new(State::new(Waits::default())));
        let (slot, waited) = (Arc::clone(&state.load().1), Arc::clone(&state.load().2));
        let checkpointer =
            Checkpointer::options().overflow(Overflow::Coalesce).start(&state, &store).unwrap();
        let checkpointer = Arc::new(checkpointer);
        assert!(slot.set(Arc::downgrade(&checkpointer)).is_ok());
        state.update(|value| value.0 = 1);
        checkpointer.request().wait().unwrap();
        assert!(waited.load(Ordering::Relaxed) > 0);
    });
}

#[test]
fn a_hook_that_panics_with_a_payload_that_panics_stops_nothing() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            resume_unwind(Box::new("the payload panics when it is dropped"));
        }
    }
    #[derive(Clone, Deserialize)]
    struct Explosive(u32);
    impl Serialize for Explosive {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            if self.0 == 1 {
                std::panic::panic_any(Bomb);
            }
            serializer.serialize_newtype_struct("Explosive", &self.0)
        }
    }
    in_time(|| {
        let (store, state) = (store(), Arc::new(State::new(Explosive(0))));
        let hooked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&hooked);
        let options = Checkpointer::options().on_error(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            std::panic::panic_any(Bomb);
        });
        let checkpointer = options.start(&state, &store).unwrap();
        state.replace(Explosive(1));
        let failed = checkpointer.request().wait();
        assert!(matches!(failed, Err(error) if matches!(error, Error::Panicked { .. })));
        state.replace(Explosive(2));
        assert_eq!(checkpointer.request().wait().unwrap().version(), 2);
        assert_eq!(hooked.load(Ordering::Relaxed), 1);
        assert_eq!(checkpointer.close().unwrap().unwrap().version(), 2);
    });
}

#[test]
fn versions_that_a_barrier_leaves_are_dropped_without_its_lock() {
    in_time(|| {
        thread_local! {
            static LATE: RefCell<Option<crate::checkpointer::Worker<u32>>> = const { RefCell::new(None) };
        }
        /// Retires a worker when it is dropped, which takes the gate's lock.
        #[derive(Clone, Serialize, Deserialize)]
        struct Retires(u32);
        impl Drop for Retires {
            fn drop(&mut self) {
                if let Some(worker) = LATE.try_with(RefCell::take).ok().flatten() {
                    worker.retire();
                }
            }
        }
        let (store, one, two) = (store(), Arc::new(State::new(Retires(0))), Arc::new(State::new(0u32)));
        let mut workers = Workers::new();
        let mut passes = workers.add("one", &one);
        let mut fails = workers.add("two", &two);
        LATE.set(Some(workers.add("three", &Arc::new(State::new(0u32)))));
        let checkpointer = Checkpointer::options().manual(workers, &store);
        let ticket = checkpointer.request();
        checkpointer.write_step(std::time::Instant::now());
        assert!(passes.pass());
        // The barrier is the last to hold this version; versions are dropped on the spot while this lives.
        one.replace(Retires(1));
        let _busy = crate::state::KeepBusy::new();
        fails.fail("on purpose");
        while checkpointer.step(std::time::Instant::now()) == Step::Worked {}
        assert!(
            matches!(ticket.try_wait(), Some(Err(error)) if matches!(error, Error::BarrierFailed { .. }))
        );
        assert!(LATE.with_borrow(Option::is_none), "dropped here");
    });
}

/// Does something when its thread ends.
struct AtEnd(Cell<Option<Box<dyn FnOnce()>>>);

impl Drop for AtEnd {
    fn drop(&mut self) {
        if let Some(last) = self.0.take() {
            last();
        }
    }
}

thread_local!(static AT_END: AtEnd = const { AtEnd(Cell::new(None)) });

#[test]
fn a_destructor_of_a_thread_local_checkpoints_restores_and_writes_json() {
    // Miri runs no C.
    for compression in super::compressions().take(if cfg!(miri) { 2 } else { 3 }) {
        let storage = MemoryStorage::new();
        let (done, is_done) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let options = Store::options().compression(compression).cache_bytes(0).clone();
            let store = options.open_storage(Arc::new(storage)).unwrap();
            let state: HashMap<u32, String> = (0..500).map(|n| (n, n.to_string())).collect();
            // Registered before what is used now: variables go in the opposite order.
            AT_END.with(|at_end| {
                let mut state = state.clone();
                at_end.0.set(Some(Box::new(move || {
                    state.insert(7, "seven".into());
                    let id = store.checkpoint(&state).unwrap().id;
                    let restored: HashMap<u32, String> = store.restore(id).unwrap();
                    assert_eq!(restored, state);
                    let json = serde_json::to_string(&OrdMap::from_iter(state.clone())).unwrap();
                    let back: OrdMap<u32, String> = serde_json::from_str(&json).unwrap();
                    assert_eq!(back[&7], "seven");
                    let cell = State::new(back);
                    cell.update(|map| map.remove(&7));
                    assert!(
                        store
                            .verify_with(VerifyOptions::new().states::<HashMap<u32, String>>())
                            .unwrap()
                            .is_clean()
                    );
                    // A type that was not met before is traced.
                    store.checkpoint(&(Vector::from_iter([1u8, 2]), cell.load().len() as u64)).unwrap();
                    done.send(()).unwrap();
                })));
            });
            let other =
                Store::options().compression(compression).open_storage(Arc::new(MemoryStorage::new()));
            let other = other.unwrap();
            other.checkpoint(&state).unwrap();
            assert_eq!(other.latest::<HashMap<u32, String>>().unwrap(), Some(state));
        });
        thread.join().unwrap();
        is_done.try_recv().expect("all of it was done");
    }
}
