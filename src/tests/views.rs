//! What can be done with one checkpoint, with several states, and with a store that is shared.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, SystemTime};

use crate::retention::{keep_last, pinned};
use crate::storage::{MemoryStorage, SimStorage, Storage};
use crate::store::{CheckpointId, Durability, Location, Options, RestoreOptions, Store, VerifyOptions};
use crate::{Error, HashMap, Vector};

type Players = HashMap<u32, String>;

fn open(storage: &MemoryStorage) -> Store {
    Options::new().open_storage(Arc::new(storage.clone())).unwrap()
}

fn players(count: u32) -> Players {
    (0..count).map(|n| (n, format!("player {n}"))).collect()
}

#[test]
fn the_only_state_is_restored_whatever_its_name_and_of_several_one_is_named() {
    let store = open(&MemoryStorage::new());
    let one = store.commit().root("world", &players(3)).write().unwrap();
    assert_eq!(store.latest::<Players>().unwrap(), Some(players(3)));
    assert_eq!(store.restore::<Players>(one.id).unwrap(), players(3));
    let both = store.commit().root("a", &1u8).root("b", &2u16).write().unwrap();
    let view = store.latest_checkpoint().unwrap().unwrap();
    assert_eq!((view.id, &view.roots[..]), (both.id, &["a".to_owned(), "b".to_owned()][..]));
    assert_eq!((view.restore_root::<u8>("a").unwrap(), view.restore_root::<u16>("b").unwrap()), (1, 2));
    assert_eq!(view.restore_with::<u16>(&RestoreOptions::new().root("b")).unwrap(), 2);
    for refused in [view.restore::<u8>(), view.restore_root("c"), store.restore(both.id)] {
        let error = refused.unwrap_err();
        assert!(matches!(&error, Error::UnknownRoot { id, .. } if *id == both.id));
        assert!(error.to_string().contains(r#""a", "b""#), "{error}");
    }
    assert!(matches!(view.restore_root::<String>("a"), Err(Error::ShapeMismatch { .. })));
    let main = store.commit().root("log", &1u8).state(&7u64).write().unwrap();
    assert_eq!(store.restore::<u64>(main.id).unwrap(), 7);
    let none = store.commit().write().unwrap();
    assert!(matches!(store.restore::<u8>(none.id), Err(Error::UnknownRoot { .. })));
}

#[test]
fn a_label_needs_no_name_of_a_state_and_finds_the_newest_of_its_checkpoints() {
    let store = open(&MemoryStorage::new());
    for turn in 0..20u32 {
        let label = if turn % 5 == 0 { "fifth" } else { "other" };
        store.commit().state(&turn).label(label).durability(Durability::Buffered).write().unwrap();
    }
    let found = store.checkpoints().labelled("fifth").unwrap().unwrap();
    assert_eq!(store.restore::<u32>(found.id).unwrap(), 15);
    // The walk goes on where it stopped.
    let mut checkpoints = store.checkpoints();
    let all: Vec<u32> = std::iter::from_fn(|| checkpoints.labelled("fifth").unwrap())
        .map(|checkpoint| store.restore(checkpoint.id).unwrap())
        .collect();
    assert_eq!(all, [15, 10, 5, 0]);
    assert_eq!(store.checkpoints().labelled("none").unwrap(), None);
    store.retain(&(keep_last(1) | pinned(["fifth"]))).unwrap();
    assert_eq!(store.checkpoints().count(), 5);
}

#[test]
fn a_time_finds_the_checkpoint_that_was_the_newest_then() {
    let storage = MemoryStorage::new();
    let origin = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let now = Arc::new(std::sync::Mutex::new(origin));
    let clock = Arc::clone(&now);
    let store = Options::new().clock(move || *clock.lock().unwrap()).open_storage(Arc::new(storage)).unwrap();
    let ids: Vec<_> = (0..10u32)
        .map(|hour| {
            *now.lock().unwrap() = origin + Duration::from_secs(3600) * hour;
            store.checkpoint(&hour).unwrap().id
        })
        .collect();
    let at = |seconds: u64| store.checkpoints().at(origin + Duration::from_secs(seconds)).unwrap();
    assert_eq!(at(3600 * 4).map(|checkpoint| checkpoint.id), Some(ids[4]));
    assert_eq!(at(3600 * 4 + 3599).map(|checkpoint| checkpoint.id), Some(ids[4]));
    assert_eq!(at(1 << 30).map(|checkpoint| checkpoint.id), Some(ids[9]));
    assert_eq!(store.checkpoints().at(origin - Duration::from_secs(1)).unwrap(), None);
}

#[test]
fn a_view_holds_its_checkpoint_through_retention_and_compaction() {
    let storage = MemoryStorage::new();
    let options = Options::new().segment_bytes(16 << 10).block_bytes(512).compact_below(0.9);
    let store = options.open_storage(Arc::new(storage)).unwrap();
    let mut state = players(2000);
    let first = store.checkpoint(&state).unwrap().id;
    let view = store.get(first).unwrap();
    for turn in 0..200 {
        (0..40).for_each(|n| drop(state.insert(turn * 10 + n, format!("changed in {turn}"))));
        store.checkpoint(&state).unwrap();
    }
    store.retain(&keep_last(1)).unwrap();
    assert!(store.compact().unwrap().rewritten > 0);
    assert!(matches!(store.get(first), Err(Error::UnknownCheckpoint { id }) if id == first));
    let restored: Players = view.restore().unwrap();
    drop(view);
    // The state goes on holding it.
    store.compact().unwrap();
    assert_eq!(restored, players(2000));
    assert!(store.verify_with(VerifyOptions::new().states::<Players>()).unwrap().is_clean());
}

#[test]
fn one_checkpoint_is_deleted_durably_and_the_newest_is_not() {
    let disk = SimStorage::new();
    let options = Options::new().segment_bytes(8 << 10).block_bytes(512);
    let store = options.open_storage(Arc::new(disk.clone())).unwrap();
    let ids: Vec<CheckpointId> = (0..12u32).map(|turn| store.checkpoint(&turn).unwrap().id).collect();
    for id in [ids[3], ids[0], ids[7]] {
        store.get(id).unwrap().delete().unwrap();
        assert!(matches!(store.get(id), Err(Error::UnknownCheckpoint { .. })));
    }
    let view = store.get(ids[5]).unwrap();
    view.delete().unwrap();
    assert!(matches!(view.delete(), Err(Error::UnknownCheckpoint { .. })));
    assert_eq!(view.restore::<u32>().unwrap(), 5);
    let newest = store.latest_checkpoint().unwrap().unwrap();
    assert!(matches!(newest.delete(), Err(Error::Refused { .. })));
    let left: Vec<u32> = [1, 2, 4, 6, 8, 9, 10, 11].into();
    // Without a sync or a clean close.
    let killed = disk.crash_point().image(0, |_| crate::storage::Fate::Vanishes);
    drop(newest);
    for store in [store, options.open_storage(Arc::new(killed)).unwrap()] {
        let found: Vec<_> = store.checkpoints().map(|checkpoint| checkpoint.unwrap().id).collect();
        assert_eq!(found, left.iter().rev().map(|&turn| ids[turn as usize]).collect::<Vec<_>>());
        for &turn in &left {
            assert_eq!(store.restore::<u32>(ids[turn as usize]).unwrap(), turn);
        }
        store.checkpoint(&99u32).unwrap();
        store.get(ids[11]).unwrap().delete().unwrap();
        assert!(store.verify().unwrap().is_clean());
    }
}

#[test]
fn deletion_and_a_policy_that_is_applied_with_each_commit_agree() {
    let storage = MemoryStorage::new();
    let options = Options::new().keep(keep_last(5));
    let store = options.open_storage(Arc::new(storage.clone())).unwrap();
    for turn in 0..30u32 {
        let id = store.checkpoint(&turn).unwrap().id;
        if turn % 3 == 1 {
            let before = store.checkpoints().nth(1).unwrap().unwrap();
            assert!(before.id < id);
            store.get(before.id).unwrap().delete().unwrap();
        }
        assert!(store.checkpoints().count() <= 5);
    }
    let listed: Vec<_> = store.checkpoints().map(|checkpoint| checkpoint.unwrap().id).collect();
    store.close().unwrap();
    let store = options.open_storage(Arc::new(storage)).unwrap();
    assert_eq!(store.checkpoints().map(|checkpoint| checkpoint.unwrap().id).collect::<Vec<_>>(), listed);
    assert!(store.verify().unwrap().is_clean());
}

#[test]
fn a_shared_store_is_closed_once_and_read_on() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("world");
    let options = Options::new().keep(keep_last(3)).scrub_bytes_per_second(Some(1 << 20));
    let store = Arc::new(options.open(&path).unwrap());
    store.checkpoint(&players(5000)).unwrap();
    let lazy: Players = store.latest().unwrap().unwrap();
    let writers: Vec<_> = (0..4u32)
        .map(|thread| {
            let store = Arc::clone(&store);
            thread::spawn(move || {
                for turn in 0.. {
                    match store.checkpoint(&players(thread + turn % 7)) {
                        Ok(_) => {}
                        Err(Error::Closed { .. }) => return turn,
                        Err(error) => panic!("{error}"),
                    }
                }
                unreachable!()
            })
        })
        .collect();
    thread::sleep(Duration::from_millis(30));
    store.close().unwrap();
    store.close().unwrap();
    writers.into_iter().for_each(|writer| assert!(writer.join().unwrap() < u32::MAX));
    assert!(matches!(store.latest::<Players>(), Err(Error::Closed { .. })));
    // Somebody else writes it, and gives back what the closed one may still have to load.
    let other = Store::open(&path).unwrap();
    (0..50u32).for_each(|turn| drop(other.checkpoint(&players(turn)).unwrap()));
    other.retain(&keep_last(1)).unwrap();
    other.compact().unwrap();
    assert_eq!(lazy, players(5000));
    for refused in [
        store.sync().err(),
        store.compact().err(),
        store.retain(&keep_last(1)).err(),
        store.backup(directory.path().join("copy")).err(),
    ] {
        assert!(matches!(refused, Some(Error::Closed { .. })), "{refused:?}");
    }
    drop(store);
    assert!(other.checkpoint(&players(1)).is_ok());
}

#[test]
fn a_call_that_writes_through_a_read_only_store_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let writer = Store::open(directory.path().join("world")).unwrap();
    writer.checkpoint(&1u8).unwrap();
    let reader = Options::new().read_only(true).open(directory.path().join("world")).unwrap();
    let view = reader.latest_checkpoint().unwrap().unwrap();
    for refused in [
        reader.checkpoint(&2u8).err(),
        reader.retain(&keep_last(1)).err().or_else(|| view.delete().err()),
        view.delete().err(),
        reader.compact().err(),
    ] {
        let error = refused.expect("it is read-only");
        assert!(matches!(error, Error::ReadOnly { .. } | Error::Refused { .. }), "{error}");
    }
}

#[test]
fn copies_take_places_of_every_kind_and_tell_how_far_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path().join("world")).unwrap();
    let state: Vector<u32> = (0..50_000).collect();
    store.checkpoint(&state).unwrap();
    let mut told = Vec::new();
    let memory = MemoryStorage::new();
    let to = Location::storage(Arc::new(memory.clone()), "memory").progress(|now| told.push(now));
    store.backup(to).unwrap();
    store.backup(directory.path().join("copy")).unwrap();
    store.backup(directory.path().join("text").to_str().unwrap()).unwrap();
    let last = told.last().unwrap();
    assert_eq!(last.done_bytes, last.total_bytes);
    let salvaged = MemoryStorage::new();
    let from = Location::storage(Arc::new(memory), "memory");
    Store::salvage(from, Location::storage(Arc::new(salvaged.clone()), "salvaged")).unwrap();
    let migrated = MemoryStorage::new();
    let mut told = Vec::new();
    let to = Location::storage(Arc::new(migrated.clone()), "migrated").progress(|now| told.push(now));
    store.migrate(to, |migrator, old: Vector<u32>| migrator.keep(&old)).unwrap();
    assert!(told.is_sorted_by_key(|now| now.done_bytes));
    let last = told.last().unwrap();
    assert_eq!(last.done_bytes, last.total_bytes);
    for storage in [salvaged, migrated] {
        assert!(!storage.list().unwrap().is_empty());
        assert_eq!(open(&storage).latest::<Vector<u32>>().unwrap(), Some(state.clone()));
    }
}
