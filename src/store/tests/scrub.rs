//! Scrubbing: the pace, and that every damage is found.

use crate::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::log::scrub::*;
use crate::retention::keep_last;
use crate::storage::{MemoryStorage, Storage};
use crate::store::Options;
use crate::store::{Compression, Store};

type State = HashMap<u32, u64>;

fn options() -> Options {
    Options::new().segment_bytes(8 << 10).block_bytes(512).compression(Compression::None)
}

/// A store of several segments.
fn store(storage: &MemoryStorage) -> (Store, State) {
    let store = options().open_storage(Arc::new(storage.clone())).unwrap();
    let mut state: State = (0..6000).map(|n| (n, u64::from(n) << 40)).collect();
    for n in 0..10 {
        state.insert(n, 0);
        store.checkpoint(&state).unwrap();
    }
    assert!(store.stats().segments > 5);
    (store, state)
}

fn flip(storage: &MemoryStorage, name: &str, at: usize) {
    let file = storage.open_writable(name).unwrap();
    let byte = file.map(at as u64 + 1).unwrap().bytes(at as u64..at as u64 + 1).unwrap()[0];
    file.write_all_at(&[byte ^ 4], at as u64).unwrap();
}

/// Steps until a pass is over; how many it took.
fn pass(store: &Store, budget: u64) -> usize {
    let before = store.stats().scrubbed.passes;
    let mut steps = 0;
    while store.stats().scrubbed.passes == before {
        let bytes = store.scrub_step(budget);
        assert!(bytes < budget + 2048, "{bytes} in a step of {budget}");
        steps += 1;
    }
    steps
}

#[test]
fn a_pass_looks_at_every_block_in_steps_of_the_size_it_is_given() {
    let (store, _) = store(&MemoryStorage::new());
    let blocks = store.verify().unwrap().blocks;
    let steps = pass(&store, 4096);
    let scrubbed = store.stats().scrubbed;
    assert_eq!((scrubbed.blocks, scrubbed.passes, scrubbed.damaged), (blocks, 1, 0));
    assert!(steps as u64 >= scrubbed.bytes / (4096 + 2048), "{steps}");
    assert_eq!(pass(&store, u64::MAX >> 1), 1);
    assert_eq!(store.stats().scrubbed.bytes, 2 * scrubbed.bytes);
}

#[test]
fn a_flipped_bit_is_found_once_in_every_pass_and_stops_nobody() {
    let storage = MemoryStorage::new();
    let (store, mut state) = store(&storage);
    pass(&store, 4096);
    let names = storage.list().unwrap();
    let names: Vec<_> = names.iter().filter(|name| name.ends_with(".segment")).take(3).collect();
    names.iter().for_each(|name| flip(&storage, name, 600));
    for round in 1..4 {
        pass(&store, 1000);
        let ScrubReport { damage, damaged, .. } = store.stats().scrubbed;
        assert_eq!((damage.len(), damaged), (3, 3 * round));
        let mut places: Vec<_> = damage.iter().map(|damage| (damage.segment, damage.offset)).collect();
        places.sort_unstable();
        assert_eq!(places, [(0, 512), (1, 512), (2, 512)], "{damage:?}");
        state.insert(7, round);
        store.checkpoint(&state).unwrap();
    }
    // Mended, say from a copy.
    flip(&storage, names[1], 600);
    pass(&store, 1000);
    let found = store.stats().scrubbed;
    assert_eq!((found.damage.len(), found.damaged), (2, 11));
    assert!(found.damage.iter().all(|damage| damage.what.contains("checksum")), "{found:?}");
}

#[test]
fn a_step_that_is_called_off_ends_with_the_block_it_is_at() {
    let (store, _) = store(&MemoryStorage::new());
    let asked = std::cell::Cell::new(0);
    for blocks in [0, 1, 7] {
        let before = store.stats().scrubbed.blocks;
        asked.set(0);
        // Also asked on the way from one segment to the next.
        let stop = || asked.replace(asked.get() + 1) >= blocks;
        store.scrub.step(store.log.opening(), u64::MAX, &stop);
        assert!(store.stats().scrubbed.blocks - before <= blocks);
    }
    assert!(store.stats().scrubbed.blocks > 0);
}

#[test]
fn the_next_checkpoint_writes_again_what_is_in_memory_of_what_was_found_damaged_and_does_so_once() {
    let storage = MemoryStorage::new();
    let (store, mut state) = store(&storage);
    let mut nodes = |store: &Store, n: u64| {
        state.insert(1, n);
        store.checkpoint(&state).unwrap().nodes
    };
    let few = nodes(&store, 100);
    pass(&store, 1000);
    assert!(nodes(&store, 101) <= few + 1, "nothing was found");
    flip(&storage, "0000000-0.segment", 600);
    pass(&store, 1000);
    let all = nodes(&store, 102);
    assert!(all > 20 * few, "{all} nodes, {few} without damage");
    let id = store.checkpoints().next().unwrap().unwrap().id;
    pass(&store, 1000);
    assert!(nodes(&store, 103) <= few + 1, "the same damage, found again");
    let mut expected = state.clone();
    expected.insert(1, 102);
    drop(store);
    let store = options().open_storage(Arc::new(storage)).unwrap();
    assert_eq!(store.restore::<State>(id).unwrap(), expected);
}

#[test]
fn a_damaged_slot_of_the_manifest_is_told_of_until_the_next_one_is_written() {
    let storage = MemoryStorage::new();
    let (store, _) = store(&storage);
    flip(&storage, "MANIFEST", 60);
    pass(&store, 1000);
    let found = store.stats().scrubbed;
    assert!(found.manifest.as_ref().is_some_and(|what| what.contains("MANIFEST")), "{found:?}");
    assert_eq!((found.damaged, found.damage.len()), (1, 0));
    store.retain(&keep_last(1)).unwrap();
    pass(&store, 1000);
    assert_eq!(store.stats().scrubbed.manifest, None);
}

#[cfg(feature = "zstd")]
#[test]
fn every_bit_of_what_was_written_is_looked_at() {
    let storage = MemoryStorage::new();
    let small = Options::new().compression(Compression::Zstd).segment_bytes(4096);
    let store = small.open_storage(Arc::new(storage.clone())).unwrap();
    store.checkpoint(&State::from([(1, 2)])).unwrap();
    store.checkpoint(&7u32).unwrap();
    let index = store.log.opening().segments()[0].blocks().unwrap();
    let mut flips = 0;
    for (entry, ..) in index.iter() {
        let bytes = store.log.opening().segments()[0].block_bytes(entry).unwrap();
        for at in entry.offset as usize..entry.offset as usize + bytes as usize {
            flip(&storage, "0000000-0.segment", at);
            pass(&store, 4096);
            let damage = store.stats().scrubbed.damage;
            assert!(damage.iter().any(|found| found.offset == u64::from(entry.offset)), "{at}: {damage:?}");
            flip(&storage, "0000000-0.segment", at);
            flips += 1;
        }
    }
    pass(&store, 4096);
    assert!(store.stats().scrubbed.damage.is_empty() && flips > 100);
}

#[test]
fn compaction_in_the_middle_of_a_pass_is_no_damage_and_checkpoints_go_on() {
    let storage = MemoryStorage::new();
    let (store, mut state) = store(&storage);
    let mut old_bytes = 0;
    for round in 0..30u32 {
        for key in 0..40 {
            state.insert(round * 40 + key, round.into());
        }
        store.checkpoint(&state).unwrap();
        store.scrub_step(1500);
        if round % 3 == 2 {
            store.retain(&keep_last(1)).unwrap();
            store.scrub_step(700);
            old_bytes += store.compact().unwrap().old_bytes;
        }
        store.scrub_step(3000);
    }
    pass(&store, 1000);
    let scrubbed = store.stats().scrubbed;
    assert_eq!((scrubbed.damaged, scrubbed.unreadable), (0, None));
    assert!(scrubbed.passes > 0 && old_bytes > 100_000, "{old_bytes}");
}

#[test]
fn a_thread_scrubs_with_and_without_a_policy_and_keeps_to_its_rate() {
    for policy in [None, Some(keep_last(3))] {
        let storage = MemoryStorage::new();
        drop(store(&storage));
        flip(&storage, "0000001-0.segment", 600);
        let mut options = options().scrub_bytes_per_second(Some(200_000));
        options.keep = policy;
        let store = options.open_storage(Arc::new(storage)).unwrap();
        let began = Instant::now();
        while store.stats().scrubbed.passes == 0 {
            assert!(began.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(5));
        }
        let seconds = began.elapsed().as_secs_f64();
        let scrubbed = store.stats().scrubbed;
        assert!(scrubbed.bytes as f64 <= 200_000.0 * (seconds + 0.1) + 4096.0, "{scrubbed:?} in {seconds}");
        assert_eq!(scrubbed.damage.len(), 1);
        store.checkpoint(&7u32).unwrap();
        // The next pass is not due yet.
        let bytes = store.stats().scrubbed.bytes;
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(store.stats().scrubbed.bytes, bytes);
        store.close().unwrap();
    }
    let store = options().open_storage(Arc::new(MemoryStorage::new())).unwrap();
    assert!(store.compactor.is_none(), "off by default");
}

impl Store {
    /// Does a step by hand.
    pub(crate) fn scrub_step(&self, budget_bytes: u64) -> u64 {
        self.scrub.step(self.log.opening(), budget_bytes, &|| false)
    }

    /// Holds what was found, as a thread that is about to change it does.
    pub(crate) fn hold_scrubbed(&self) -> crate::sync::MutexGuard<'_, ScrubReport> {
        self.scrub.found.lock()
    }
}
