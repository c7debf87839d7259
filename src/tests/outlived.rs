//! States that outlive their store: what they have not loaded yet stays readable, whoever opens the store meanwhile and
//! whatever he drops, compacts or writes over.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compaction::{Noise, World, small};
use super::hooked::{Hooked, Hooks};
use crate::retention::keep_last;
use crate::storage::{Fault, FileStorage, MemoryStorage, SimStorage, Storage};
use crate::store::{Checkpoint, Durability, Options, Store};
use crate::{Checkpointer, Error, HashMap, OrdMap, State, Vector};

fn options() -> Options {
    small().cache_bytes(0).compact_below(1.0)
}

fn open(storage: &Arc<dyn Storage>) -> Store {
    options().open_storage(Arc::clone(storage)).unwrap()
}

/// A store of a few checkpoints, and the newest state.
fn begun(storage: &Arc<dyn Storage>) -> (Store, World) {
    let store = open(storage);
    let (mut world, mut noise) = (World::default(), Noise(7));
    for _ in 0..8 {
        world.step(&mut noise, 300);
        store.checkpoint(&world).unwrap();
    }
    (store, world)
}

/// Works with the store as others might meanwhile: nothing of what was there stays where it was.
fn overturn(storage: &Arc<dyn Storage>) -> Store {
    let store = open(storage);
    let (mut other, mut noise) = (World::default(), Noise(8));
    for _ in 0..4 {
        other.step(&mut noise, 300);
        store.checkpoint(&other).unwrap();
        store.retain(&keep_last(1)).unwrap();
        store.compact().unwrap();
    }
    store
}

/// The state is what it was, and can be saved again.
fn expect_whole(store: &Store, state: &World, expected: &World) {
    let Checkpoint { id, .. } = store.checkpoint(state).unwrap();
    store.retain(&keep_last(1)).unwrap();
    store.compact().unwrap();
    assert!(store.verify().unwrap().is_clean());
    assert!(store.restore::<World>(id).unwrap() == *expected);
    assert!(state == expected);
}

fn on_all(test: impl Fn(&Arc<dyn Storage>)) {
    test(&(Arc::new(MemoryStorage::new()) as Arc<dyn Storage>));
    let dir = tempfile::tempdir().unwrap();
    test(&(Arc::new(FileStorage::open(dir.path().join("world"), true).unwrap()) as Arc<dyn Storage>));
    let unmapped = FileStorage::open(dir.path().join("unmapped"), true).unwrap().map(false);
    test(&(Arc::new(unmapped) as Arc<dyn Storage>));
}

#[test]
fn a_lazy_state_is_saved_by_a_later_opening_that_compacted() {
    on_all(|storage| {
        let (store, mut expected) = begun(storage);
        drop(store);
        let store = open(storage);
        let mut lazy: World = store.latest().unwrap().unwrap();
        drop(store);
        let store = overturn(storage);
        lazy.players.insert(1_000_000, "new".into());
        expected.players.insert(1_000_000, "new".into());
        expect_whole(&store, &lazy, &expected);
    });
}

#[test]
fn a_state_that_was_let_go_of_outlives_its_store_and_so_do_its_clones() {
    on_all(|storage| {
        let (store, mut state) = begun(storage);
        let expected = state.clone();
        store.evict(&mut state, 0).unwrap();
        let (copy, mut changed) = (state.clone(), state.clone());
        changed.players.insert(3, "three".into());
        store.close().unwrap();
        let store = overturn(storage);
        expect_whole(&store, &state, &expected);
        drop(store);
        // Over another opening still, which never heard of it.
        let store = overturn(storage);
        expect_whole(&store, &copy, &expected);
        let mut with_three = expected.clone();
        with_three.players.insert(3, "three".into());
        expect_whole(&store, &changed, &with_three);
    });
}

#[test]
fn an_old_checkpoint_held_over_many_openings_is_what_it_was() {
    on_all(|storage| {
        let (store, _) = begun(storage);
        let oldest = store.checkpoints().last().unwrap().unwrap().id;
        let expected: World = store.restore(oldest).unwrap();
        let expected = expected.clone();
        expected.players.load_all().unwrap();
        let held: World = store.restore(oldest).unwrap();
        let copy: World = store.restore(oldest).unwrap();
        store.retain(&keep_last(1)).unwrap();
        store.compact().unwrap();
        drop(store);
        for _ in 0..3 {
            drop(overturn(storage));
        }
        let listed = overturn(storage);
        assert!(copy.players == expected.players && copy.log.iter().eq(held.log.iter()));
        expect_whole(&listed, &held, &copy);
    });
}

#[test]
fn a_walk_over_the_checkpoints_goes_on_after_the_store_was_closed() {
    on_all(|storage| {
        let (store, _) = begun(storage);
        let mut walk = store.checkpoints();
        let first = walk.next().unwrap().unwrap();
        drop(store);
        let _later = overturn(storage);
        let rest: Vec<_> = walk.map(|checkpoint| checkpoint.unwrap().id.0).collect();
        assert!(rest.len() == 7 && rest.first() == Some(&(first.id.0 - 1)), "{rest:?}");
    });
}

#[test]
fn a_reader_beside_a_writer_that_compacts_and_its_states_stay_as_they_were() {
    on_all(|storage| {
        let (store, expected) = begun(storage);
        let reader = options().read_only(true).open_storage(Arc::clone(storage)).unwrap();
        let mut state: World = reader.latest().unwrap().unwrap();
        reader.evict(&mut state, 0).unwrap();
        let later: World = reader.latest().unwrap().unwrap();
        drop((store, reader));
        let store = overturn(storage);
        assert!(later == expected);
        expect_whole(&store, &state, &expected);
    });
}

#[test]
fn a_checkpointer_and_its_store_may_go_before_the_state() {
    on_all(|storage| {
        let (store, expected) = begun(storage);
        drop(store);
        let store = Arc::new(open(storage));
        let state = Arc::new(State::new(store.latest::<World>().unwrap().unwrap()));
        let checkpointer = Checkpointer::options().start(&state, &store).unwrap();
        state.update(|world| world.players.insert(1, "one".into()));
        checkpointer.request().wait().unwrap();
        checkpointer.close().unwrap();
        drop(store);
        let store = overturn(storage);
        let mut with_one = expected;
        with_one.players.insert(1, "one".into());
        expect_whole(&store, &state.snapshot(), &with_one);
    });
}

#[test]
fn the_directory_may_go_before_the_state() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("world");
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::open(&path, true).unwrap());
    let (store, expected) = begun(&storage);
    drop(store);
    let store = open(&storage);
    let lazy: World = store.latest().unwrap().unwrap();
    drop(store);
    std::fs::remove_dir_all(&path).unwrap();
    assert!(lazy == expected);
}

/// A sync fails after checkpoints were written and restored: the next opening does not find them, and writes where they
/// were.
#[test]
fn what_a_poisoned_store_had_written_stays_readable_when_it_is_opened_again_and_written_over() {
    let mut struck = 0;
    for fault in [Fault::Refuse, Fault::Short, Fault::Late] {
        let disk = SimStorage::new();
        let storage: Arc<dyn Storage> = Arc::new(disk.clone());
        let store = small().cache_bytes(0).segment_bytes(1 << 20).open_storage(storage.clone()).unwrap();
        let mut state: (OrdMap<u32, String>, Vector<u32>, HashMap<u32, u32>) = Default::default();
        store.checkpoint(&state).unwrap();
        for n in 0..2000 {
            state.0.insert(n, format!("entry {n}"));
            state.1.push_back(n);
            state.2.insert(n, n);
        }
        let how = crate::store::CheckpointOptions::new().durability(Durability::Buffered);
        store.commit().roots(&[("state", &state)]).options(&how).write().unwrap();
        let mut lazy: (OrdMap<u32, String>, Vector<u32>, HashMap<u32, u32>) =
            store.latest().unwrap().unwrap();
        disk.plant(disk.operations(), fault);
        assert!(store.sync().is_err());
        assert!(matches!(store.checkpoint(&state), Err(Error::Poisoned { .. })));
        drop(store);
        let store = small().cache_bytes(0).segment_bytes(1 << 20).open_storage(storage).unwrap();
        struck += store.checkpoints().count() % 2;
        let noise: Vector<u64> = (0..20_000).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        store.checkpoint(&noise).unwrap();
        lazy.1.push_back(7);
        state.1.push_back(7);
        let id = store.checkpoint(&lazy).unwrap().id;
        assert!(store.restore::<(OrdMap<u32, String>, Vector<u32>, HashMap<u32, u32>)>(id).unwrap() == state);
        assert!(lazy == state);
        assert!(store.verify().unwrap().is_clean());
    }
    assert!(struck > 0, "some sync lost what it should have written");
}

#[derive(Clone, Default)]
struct Opened(Arc<AtomicU64>);

impl Hooks for Opened {
    fn touched(&self, _: &MemoryStorage) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn syncing(&self, _: &str) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn closing_a_store_of_which_nobody_holds_anything_opens_no_file() {
    let hooked = Hooked::<Opened>::default();
    let count = || hooked.hooks.0.load(Ordering::Relaxed);
    let storage: Arc<dyn Storage> = Arc::new(hooked.clone());
    let (store, state) = begun(&storage);
    drop((store, state));
    let closed = |hold: bool| {
        let store = open(&storage);
        let lazy = store.latest::<World>().unwrap().filter(|_| hold);
        let before = count();
        drop(store);
        (count() - before, lazy)
    };
    assert_eq!(closed(false).0, 0);
    assert!(closed(true).0 > 0, "what was not mapped yet is");
}
