//! Opening: many times in one process, in the root of a file system, where files are missing, beside states that hold damage.

use std::sync::Arc;

use crate::record::after_many_openings;
use crate::retention::keep_last;
use crate::storage::{MemoryStorage, Storage};
use crate::store::{CheckpointId, Compression, Error, Options, Store, VerifyOptions};
use crate::{HashMap, OrdMap, Vector};

type State = (HashMap<u32, u64>, OrdMap<u32, String>, Vector<u32>);

fn change(state: &mut State, round: u32) {
    for n in 0..20 {
        state.0.insert(round * 7 + n, u64::from(n));
        state.1.insert(round * 5 + n, format!("{round}"));
        state.2.push_back(n);
    }
}

/// Openings of a store, each of which goes on with what the one before left; how many bytes all checkpoints took.
fn life(storage: &MemoryStorage) -> u64 {
    let mut bytes = 0;
    let mut before = State::default();
    let second = Options::new().open_storage(Arc::new(MemoryStorage::new())).unwrap();
    for opening in 0..5 {
        let store = Options::new().segment_bytes(16 << 10).open_storage(Arc::new(storage.clone())).unwrap();
        let mut state = store.latest::<State>().unwrap().unwrap_or_default();
        assert_eq!(state, before);
        for round in 0..20 {
            change(&mut state, opening * 20 + round);
            bytes += store.checkpoint(&state).unwrap().bytes;
            // The same nodes, in the log of another store: each trusts its own alone.
            if round % 7 == 6 {
                second.checkpoint(&state).unwrap();
            }
            if round % 5 == 4 {
                store.evict(&mut state.0, 0).unwrap();
                store.evict(&mut state.2, 0).unwrap();
            }
        }
        second.checkpoint(&state).unwrap();
        store.retain(&keep_last(3)).unwrap();
        store.compact().unwrap();
        assert!(store.verify_with(VerifyOptions::new().states::<State>()).unwrap().is_clean());
        assert_eq!(second.latest::<State>().unwrap().unwrap(), state);
        before = state;
    }
    bytes
}

#[test]
fn a_process_that_has_opened_half_a_million_stores_goes_on_as_before() {
    let wide = life(&MemoryStorage::new());
    let narrow = after_many_openings(|| life(&MemoryStorage::new()));
    // Times make a difference of a few bytes.
    assert!(wide.abs_diff(narrow) < wide / 20, "{wide} and {narrow}");
}

#[test]
fn an_opening_that_outgrows_its_tag_says_so_and_the_next_one_goes_on() {
    after_many_openings(|| {
        let storage = MemoryStorage::new();
        let options = Options::new().segment_bytes(0).compression(Compression::None);
        let store = options.open_storage(Arc::new(storage.clone())).unwrap();
        let mut state = (0u32, vec![7u8; 3000]);
        let refused = loop {
            state.0 += 1;
            if let Err(error) = store.checkpoint(&state) {
                break error;
            }
        };
        assert!(matches!(refused, Error::Limit { .. }), "{refused}");
        assert!(refused.to_string().contains("open the store again"), "{refused}");
        let made = store.stats().checkpoints;
        assert!(made > 500, "{made}");
        assert_eq!(store.latest::<(u32, Vec<u8>)>().unwrap().unwrap().0, state.0 - 1);
        drop(store);
        let store = options.open_storage(Arc::new(storage)).unwrap();
        for _ in 0..5 {
            store.checkpoint(&state).unwrap();
        }
        assert_eq!(store.latest::<(u32, Vec<u8>)>().unwrap().unwrap(), state);
    });
}

#[test]
fn the_directory_that_a_fresh_file_system_has_in_its_root_is_in_nobodys_way() {
    let outside = tempfile::tempdir().unwrap();
    let root = |name: &str| {
        let root = outside.path().join(name);
        std::fs::create_dir_all(root.join("lost+found")).unwrap();
        root
    };
    let world = root("world");
    let store = Store::open(&world).unwrap();
    store.checkpoint(&7u32).unwrap();
    store.backup(root("backup")).unwrap();
    drop(store);
    for name in ["backup", "salvaged"] {
        if name == "salvaged" {
            Store::salvage(&world, root(name)).unwrap();
        }
        let store = Store::open(outside.path().join(name)).unwrap();
        assert_eq!(store.latest::<u32>().unwrap(), Some(7));
        store.checkpoint(&8u32).unwrap();
    }
    let store = Store::open(&world).unwrap();
    assert!(store.verify().unwrap().is_clean());
    // A directory cannot be moved onto one that holds something: that is said at once.
    let onto = store.migrate(root("onto"), |_, old: u32| Ok(u64::from(old)));
    assert!(matches!(onto, Err(Error::NotAStore { .. })));
    // Nothing else is let pass.
    let other = root("other");
    std::fs::write(other.join("notes"), "mine").unwrap();
    let Err(error @ Error::NotAStore { .. }) = Store::open(&other) else { panic!("there are notes") };
    assert!(error.to_string().contains("notes"), "{error}");
    let absent = Options::new().create(false).open(root("absent"));
    assert!(absent.err().unwrap().to_string().contains("it is an empty directory"));
}

#[test]
fn a_segment_that_is_missing_is_not_called_damaged() {
    let storage = MemoryStorage::new();
    let store = Options::new().open_storage(Arc::new(storage.clone())).unwrap();
    store.checkpoint(&7u32).unwrap();
    drop(store);
    storage.remove("0000000-0.segment").unwrap();
    let error = Options::new().open_storage(Arc::new(storage)).err().unwrap();
    let text = error.to_string();
    assert!(matches!(error, Error::Corrupt { segment: 0, .. }), "{text}");
    assert!(text.contains("the file 0000000-0.segment is missing") && !text.contains("damage"), "{text}");
}

#[test]
fn compaction_that_meets_damage_which_only_a_state_in_memory_needs_says_so() {
    let storage = MemoryStorage::new();
    let options = Options::new()
        .segment_bytes(8 << 10)
        .compression(Compression::None)
        .cache_bytes(0)
        .compact_below(1.0);
    let store = options.open_storage(Arc::new(storage.clone())).unwrap();
    let mut state: HashMap<u32, u64> = (0..2000).map(|n| (n, 0)).collect();
    let first: CheckpointId = store.checkpoint(&state).unwrap().id;
    state = (0..2000).map(|n| (n, 1)).collect();
    store.checkpoint(&state).unwrap();
    let held: HashMap<u32, u64> = store.restore(first).unwrap();
    store.retain(&keep_last(1)).unwrap();
    let damage = |at: u64| {
        let name = storage.list().unwrap().into_iter().find(|name| name.ends_with(".segment")).unwrap();
        storage.open_writable(&name).unwrap().write_all_at(&[0xee; 64], at).unwrap();
    };
    // Behind the block that begins with the shape, which the next checkpoint refers to as well.
    damage(6000);
    let Err(error) = store.compact() else { panic!("what the state holds cannot be read") };
    let text = error.to_string();
    let dropped = format!("dropped checkpoints {}", first.0);
    assert!(text.contains("only states in memory") && text.contains(&dropped), "{text}");
    drop(held);
    assert!(store.compact().unwrap().old_bytes > 0);
    // Damage that a kept checkpoint needs is no matter of states in memory.
    state.iter_mut().filter(|(key, _)| **key % 40 == 0).for_each(|(_, value)| *value = 2);
    store.checkpoint(&state).unwrap();
    store.retain(&keep_last(1)).unwrap();
    for name in storage.list().unwrap().into_iter().filter(|name| name.ends_with(".segment")) {
        let region = storage.open_writable(&name).unwrap();
        (600..3000).step_by(800).for_each(|at| region.write_all_at(&[0xee; 64], at).unwrap());
    }
    let text = store.compact().unwrap_err().to_string();
    assert!(!text.contains("in memory"), "{text}");
}
