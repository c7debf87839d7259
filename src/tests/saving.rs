//! Saving beside damage: whatever of the log is damaged, a state that is in memory can be saved, and what is acknowledged
//! then needs nothing of what was damaged.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::retention::keep_last;
use crate::storage::{MemoryStorage, Storage};
use crate::store::{CheckpointId, CheckpointOptions, Compression, Options, Store, VerifyOptions};
use crate::{Checkpointer, Error, HashMap, OrdMap, State, Vector};

fn options() -> Options {
    Options::new().segment_bytes(16 << 10).block_bytes(512).cache_bytes(0).compression(Compression::None)
}

fn open(storage: &MemoryStorage) -> Store {
    options().open_storage(Arc::new(storage.clone())).unwrap()
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct World {
    names: OrdMap<u32, String>,
    bags: HashMap<u32, Vector<u32>>,
    lines: Vector<String>,
}

fn world(entries: u32) -> World {
    World {
        names: (0..entries).map(|n| (n, format!("name {n:05}"))).collect(),
        bags: (0..entries / 10).map(|n| (n, (n..n + 40).collect())).collect(),
        lines: (0..entries).map(|n| format!("line {n:05}")).collect(),
    }
}

/// Flips a bit of every copy of these bytes in the segments; how many there were.
fn damage(storage: &MemoryStorage, needle: &str) -> usize {
    let mut found = 0;
    for name in storage.list().unwrap().iter().filter(|name| name.ends_with(".segment")) {
        let file = storage.open_writable(name).unwrap();
        let len = file.len_bytes().unwrap();
        let mut bytes = file.map(len).unwrap().bytes(0..len).unwrap().into_owned();
        let places: Vec<_> = bytes.windows(needle.len()).enumerate().collect();
        let places = places.iter().filter(|(_, window)| *window == needle.as_bytes()).map(|(at, _)| *at);
        for at in places.collect::<Vec<_>>() {
            bytes[at] ^= 4;
            file.write_all_at(&bytes[at..=at], at as u64).unwrap();
            found += 1;
        }
    }
    found
}

/// The newest checkpoint is this state, and needs nothing that is damaged: all of it is read (comparing alone would not
/// read what has the same address).
fn expect_saved(store: &Store, state: &World) {
    let newest = store.checkpoints().next().unwrap().unwrap().id;
    for found in [store.latest::<World>().unwrap().unwrap(), store.restore(newest).unwrap()] {
        found.names.load_all().unwrap();
        found.bags.load_all().unwrap();
        found.bags.values().for_each(|bag| bag.load_all().unwrap());
        found.lines.load_all().unwrap();
        assert!(found == *state);
    }
}

#[test]
fn a_damaged_record_of_a_shape_is_written_again() {
    for roots in [1, 3] {
        let storage = MemoryStorage::new();
        let state = world(300);
        let store = open(&storage);
        let others = (Vector::from([1u8]), OrdMap::from([(1u16, 'a')]));
        let states: [(&str, &dyn crate::store::Persist); 3] =
            [("state", &state), ("one", &others.0), ("two", &others.1)];
        store.commit().roots(&states[..roots]).write().unwrap();
        drop(store);
        assert!(damage(&storage, "bags: ") > 0);

        let store = open(&storage);
        assert!(matches!(store.latest::<World>(), Err(Error::Corrupt { .. } | Error::UnknownRoot { .. })));
        let checkpoint = store.checkpoint(&state).unwrap();
        expect_saved(&store, &state);
        drop(store);
        // Nor does it, or those after it, need what was damaged.
        let store = open(&storage);
        expect_saved(&store, &state);
        assert!(store.checkpoint(&state).unwrap().id > checkpoint.id);
        store.retain(&keep_last(1)).unwrap();
        store.compact().unwrap();
        expect_saved(&store, &state);
        assert!(
            store
                .verify_with(VerifyOptions::new().states::<World>())
                .unwrap()
                .damage
                .iter()
                .all(|error| !error.to_string().is_empty())
        );
    }
}

#[test]
fn a_damaged_commit_stops_no_later_one() {
    let storage = MemoryStorage::new();
    let store = open(&storage);
    let mut state = world(50);
    let labelled = |label: String| CheckpointOptions::new().label(label);
    let mut ids = Vec::new();
    for n in 0..20 {
        state.names.insert(n, "new".into());
        ids.push(
            store
                .commit()
                .roots(&[("state", &state)])
                .options(&labelled(format!("label {n:03}")))
                .write()
                .unwrap()
                .id,
        );
    }
    for damaged in [3, 7, 12, 15, 18] {
        assert_eq!(damage(&storage, &format!("label {damaged:03}")), 1);
    }
    for n in 20..90 {
        state.names.insert(n, "newer".into());
        // Derived from one that cannot be found any more, for what lies on the way.
        let how = labelled(format!("label {n:03}")).parent(ids[n as usize % 20]);
        let made = store.commit().roots(&[("state", &state)]).options(&how).write().unwrap();
        assert_eq!(made.parent, Some(ids[n as usize % 20]));
        expect_saved(&store, &state);
    }
    let how = CheckpointOptions::new().parent(crate::store::CheckpointId(1000));
    assert!(matches!(
        store.commit().roots(&[("state", &state)]).options(&how).write(),
        Err(Error::UnknownCheckpoint { id: CheckpointId(1000) })
    ));
    drop(store);
    let store = open(&storage);
    expect_saved(&store, &state);
    store.checkpoint(&state).unwrap();
    expect_saved(&store, &state);
}

#[test]
fn the_trial_of_a_type_does_not_fail_for_an_old_record_that_is_damaged() {
    for needle in ["name 00000", "line 00250", "name 00150"] {
        let storage = MemoryStorage::new();
        let store = open(&storage);
        store.checkpoint(&world(600)).unwrap();
        drop(store);

        // All of it in memory, and clean.
        let store = open(&storage);
        let mut state: World = store.latest().unwrap().unwrap();
        assert_eq!(state, world(600));
        assert!(damage(&storage, needle) > 0);
        state.names.insert(599, "changed".into());
        store.checkpoint(&state).unwrap();
        // Somebody finds it, at the latest now. What is in memory is then written again.
        let _ = store.latest::<World>().unwrap().unwrap().names.load_all();
        let _ = store.latest::<World>().unwrap().unwrap().lines.load_all();
        let written = store.checkpoint(&state).unwrap();
        expect_saved(&store, &state);
        // Once.
        assert!(store.checkpoint(&state).unwrap().nodes <= written.nodes.min(1), "{needle}");
        state.lines.push_back("last".into());
        assert!(store.checkpoint(&state).unwrap().nodes < 10);
        expect_saved(&store, &state);
        drop(store);
        let store = open(&storage);
        expect_saved(&store, &state);
        store.checkpoint(&state).unwrap();
        store.retain(&keep_last(1)).unwrap();
        store.compact().unwrap();
        expect_saved(&store, &state);
    }
}

#[test]
fn what_is_damaged_and_in_memory_is_written_again_once_it_is_known() {
    type Find = fn(&Store);
    let find: [Find; 3] = [
        |store| assert!(!store.verify().unwrap().is_clean()),
        |store| assert!(store.latest::<World>().unwrap().unwrap().names.load_all().is_err()),
        |store| {
            let latest = store.latest::<World>().unwrap().unwrap();
            assert!(latest.names.try_iter().is_err() || latest.names.try_iter().unwrap().any(|e| e.is_err()));
        },
    ];
    for find in find {
        let storage = MemoryStorage::new();
        let store = open(&storage);
        let state = world(600);
        store.checkpoint(&state).unwrap();
        assert!(damage(&storage, "name 00321") > 0);
        store.checkpoint(&state).unwrap();
        find(&store);
        assert!(store.checkpoint(&state).unwrap().nodes > 50);
        expect_saved(&store, &state);
        // The same damage, met again, has no more to say.
        find_again(&store);
        assert_eq!(store.checkpoint(&state).unwrap().nodes, 0);
    }
}

fn find_again(store: &Store) {
    assert!(!store.verify().unwrap().is_clean());
}

#[test]
fn a_part_that_is_only_in_the_log_and_damaged_does_not_stop_the_saving_of_the_rest() {
    let storage = MemoryStorage::new();
    let store = open(&storage);
    let mut state = world(600);
    store.checkpoint(&state).unwrap();
    store.evict(&mut state.lines, 0).unwrap();
    assert!(damage(&storage, "line 00300") > 0);
    for n in 0..5 {
        state.names.insert(n, "new".into());
        store.checkpoint(&state).unwrap();
        let latest: World = store.latest().unwrap().unwrap();
        assert!(latest.names == state.names && latest.bags == state.bags);
        assert!(matches!(latest.lines.load_all(), Err(Error::Corrupt { .. })));
    }
    assert!(matches!(state.lines.load_all(), Err(Error::Corrupt { .. })));
}

#[test]
fn a_checkpointer_goes_on_beside_damage() {
    let storage = MemoryStorage::new();
    let store = options().keep(keep_last(3)).open_storage(Arc::new(storage.clone())).unwrap();
    let store = Arc::new(store);
    let state = Arc::new(State::new(world(300)));
    let checkpointer = Checkpointer::options().start(&state, &store).unwrap();
    for n in 0..60 {
        let how = CheckpointOptions::new().label(format!("label {n:03}"));
        state.update(|world| world.names.insert(n, format!("{n} {}", "x".repeat(400))));
        checkpointer.request_with(how).wait().unwrap();
        if n % 20 == 5 {
            damage(&storage, &format!("label {n:03}"));
            damage(&storage, "name 00250");
            let _ = store.latest::<World>().unwrap().unwrap().names.load_all();
        }
    }
    checkpointer.close().unwrap();
    expect_saved(&store, &state.snapshot());
}
