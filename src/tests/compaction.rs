//! Retention and compaction: every kept checkpoint stays what it was, whatever is dropped, moved and collected.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::retention::{every_nth, keep_last, pinned};
use crate::storage::{Fate, Fault, MemoryStorage, SimStorage, Storage};
use crate::store::{CheckpointId, CheckpointOptions, Options, Store};
use crate::{Error, HashMap, OrdMap, Vector};

/// One of each collection, and one in another.
#[derive(Clone, Default, Serialize, Deserialize, PartialEq, Debug)]
pub(super) struct World {
    pub players: HashMap<u32, String>,
    pub scores: OrdMap<u32, u64>,
    pub log: Vector<u32>,
    pub inventories: HashMap<u32, Vector<u16>>,
    turn: u64,
}

pub(super) fn small() -> Options {
    Options::new().segment_bytes(16 << 10).block_bytes(512).cache_bytes(64 << 10)
}

pub(super) fn open(storage: &MemoryStorage) -> Store {
    small().open_storage(Arc::new(storage.clone())).unwrap()
}

#[derive(Clone)]
pub(super) struct Noise(pub u64);

impl Noise {
    pub(super) fn below(&mut self, below: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) % u64::from(below)) as u32
    }
}

impl World {
    pub(super) fn step(&mut self, noise: &mut Noise, changes: u32) {
        self.turn += 1;
        for _ in 0..changes {
            let key = noise.below(400);
            match noise.below(12) {
                0..4 => {
                    self.players.insert(key, format!("player {key} of turn {}", self.turn));
                }
                4 => {
                    self.players.remove(&key);
                }
                5..7 => {
                    self.scores.insert(key, self.turn);
                }
                7 => {
                    self.scores.remove(&key);
                }
                8 => self.log.push_back(key),
                9 if !self.log.is_empty() => {
                    let at = noise.below(self.log.len() as u32) as usize;
                    if let Some(entry) = self.log.get_mut(at) {
                        *entry = key;
                    }
                }
                _ => {
                    let mut items = self.inventories.get(&(key % 40)).cloned().unwrap_or_default();
                    items.push_back(key as u16);
                    self.inventories.insert(key % 40, items);
                }
            }
        }
    }
}

/// Restores every checkpoint of the store and compares it with what it should be.
pub(super) fn check(store: &Store, model: &BTreeMap<CheckpointId, World>) {
    let verified = store.verify().unwrap();
    assert!(verified.is_clean(), "{:?}", verified.damage);
    let listed: Vec<_> = store.checkpoints().map(|checkpoint| checkpoint.unwrap().id).collect();
    assert_eq!(listed, model.keys().rev().copied().collect::<Vec<_>>());
    for (&id, expected) in model {
        let found: World = store.restore(id).unwrap();
        assert!(found == *expected, "checkpoint {id} is another one");
    }
}

fn segments(storage: &MemoryStorage) -> usize {
    storage.list().unwrap().iter().filter(|name| name.ends_with(".segment")).count()
}

#[test]
fn kept_checkpoints_stay_what_they_were_through_rounds_of_dropping_and_compacting() {
    for (seed, compression) in (1..).zip(super::compressions()) {
        let storage = MemoryStorage::new();
        let options = small().compression(compression).compact_below(0.8);
        let mut store = options.open_storage(Arc::new(storage.clone())).unwrap();
        let (mut world, mut noise, mut model) = (World::default(), Noise(seed), BTreeMap::new());
        let mut before: Vec<World> = Vec::new();
        let mut merged = 0;
        for round in 0..12 {
            for _ in 0..20 {
                let changes = 1 + noise.below(30);
                world.step(&mut noise, changes);
                if noise.below(15) == 0 && !before.is_empty() {
                    // Back to a snapshot whose records may be gone.
                    world = before[noise.below(before.len() as u32) as usize].clone();
                }
                let id = store.checkpoint(&world).unwrap().id;
                model.insert(id, world.clone());
                before.push(world.clone());
            }
            let policy = keep_last(u64::from(noise.below(25))) | every_nth(17);
            let retained = store.retain(&policy).unwrap();
            retained.dropped.iter().for_each(|id| drop(model.remove(id)));
            assert_eq!(retained.kept.len(), model.len());
            for id in &retained.dropped {
                assert!(matches!(store.restore::<World>(*id), Err(Error::UnknownCheckpoint { .. })));
            }
            let compacted = store.compact().unwrap();
            merged += compacted.merged;
            check(&store, &model);
            if round % 4 == 3 {
                drop(store);
                store = options.open_storage(Arc::new(storage.clone())).unwrap();
                check(&store, &model);
                world = store.latest().unwrap().unwrap();
            }
        }
        assert!(merged > 0, "deltas are written in full");
        store.retain(&keep_last(1)).unwrap();
        for _ in 0..3 {
            store.compact().unwrap();
        }
        let full = {
            let storage = MemoryStorage::new();
            let store = options.open_storage(Arc::new(storage.clone())).unwrap();
            store.checkpoint(&World::clone(&store_copy(&world))).unwrap();
            store.stats().disk_bytes
        };
        // The active segment is as long as it was reserved.
        let most = 2 * full + 2 * (16 << 10);
        assert!(store.stats().disk_bytes <= most, "{} > {most}", store.stats().disk_bytes);
    }
}

/// The same contents, of no store.
fn store_copy(world: &World) -> World {
    let bytes = serde_json::to_string(world).unwrap();
    serde_json::from_str(&bytes).unwrap()
}

#[test]
fn a_snapshot_whose_records_were_collected_is_written_again() {
    let storage = MemoryStorage::new();
    let store = open(&storage);
    let (mut world, mut noise) = (World::default(), Noise(5));
    (0..20).for_each(|_| world.step(&mut noise, 100));
    let old = world.clone();
    store.checkpoint(&old).unwrap();
    for _ in 0..60 {
        world.step(&mut noise, 60);
        store.checkpoint(&world).unwrap();
    }
    store.retain(&keep_last(1)).unwrap();
    let compacted = store.compact().unwrap();
    assert!(compacted.removed + compacted.rewritten > 0);
    // Unchanged since its own checkpoint: every address of it is of the opening, and most are gone.
    let rolled_back = store.checkpoint(&old).unwrap();
    assert!(rolled_back.nodes > 10, "{} nodes were written again", rolled_back.nodes);
    // And a descendant of it, whose nodes are dirty against records that are gone.
    let mut changed = old.clone();
    changed.step(&mut noise, 10);
    let descendant = store.checkpoint(&changed).unwrap();
    assert!(descendant.nodes < rolled_back.nodes);
    drop(store);
    let store = open(&storage);
    assert!(store.restore::<World>(rolled_back.id).unwrap() == old);
    assert!(store.restore::<World>(descendant.id).unwrap() == changed);
}

#[test]
fn a_state_that_is_loaded_lazily_never_loses_its_nodes() {
    let storage = MemoryStorage::new();
    let store = open(&storage);
    let (mut world, mut noise) = (World::default(), Noise(6));
    (0..20).for_each(|_| world.step(&mut noise, 100));
    let first = store.checkpoint(&world).unwrap().id;
    let lazy: World = store.restore(first).unwrap();
    let expected = world.clone();
    let mut derived: World = store.restore(first).unwrap();
    derived.players.insert(9999, "since".into());
    for _ in 0..5 {
        for _ in 0..30 {
            world.step(&mut noise, 60);
            store.checkpoint(&world).unwrap();
        }
        store.retain(&keep_last(1)).unwrap();
        store.compact().unwrap();
    }
    assert!(matches!(store.restore::<World>(first), Err(Error::UnknownCheckpoint { .. })));
    let mut with_change = expected.clone();
    with_change.players.insert(9999, "since".into());
    // Written while most of it is not loaded, read after a reopening.
    let id = store.checkpoint(&derived).unwrap().id;
    assert!(lazy == expected);
    assert!(derived == with_change);
    let held = store.stats().disk_bytes;
    drop((lazy, derived));
    store.checkpoint(&world).unwrap();
    store.retain(&keep_last(1)).unwrap();
    store.compact().unwrap();
    assert!(store.stats().disk_bytes < held, "what was held is given back when it is let go");
    assert!(matches!(store.restore::<World>(id), Err(Error::UnknownCheckpoint { .. })));
    // A state that outlives the store goes on loading.
    let late: World = store.latest().unwrap().unwrap();
    drop(store);
    assert!(late == world);
}

#[test]
fn names_pin_checkpoints_for_ever() {
    let storage = MemoryStorage::new();
    let store = open(&storage);
    let (mut world, mut noise) = (World::default(), Noise(7));
    let mut model = BTreeMap::new();
    for turn in 0..100 {
        world.step(&mut noise, 20);
        let how = match turn {
            30 => CheckpointOptions::new().label("release"),
            _ => CheckpointOptions::new(),
        };
        let id = store.commit().roots(&[("state", &world)]).options(&how).write().unwrap().id;
        if turn == 30 || turn >= 97 {
            model.insert(id, world.clone());
        }
    }
    for _ in 0..2 {
        store.retain(&(keep_last(3) | pinned(["release"]))).unwrap();
        store.compact().unwrap();
        check(&store, &model);
    }
}

#[test]
fn a_reader_beside_the_writer_keeps_what_it_opened() {
    let directory = tempfile::tempdir().unwrap();
    let store = small().open(directory.path()).unwrap();
    let (mut world, mut noise) = (World::default(), Noise(8));
    let mut model = BTreeMap::new();
    for _ in 0..50 {
        world.step(&mut noise, 50);
        model.insert(store.checkpoint(&world).unwrap().id, world.clone());
    }
    let reader = small().read_only(true).open(directory.path()).unwrap();
    for _ in 0..50 {
        world.step(&mut noise, 50);
        store.checkpoint(&world).unwrap();
    }
    store.retain(&keep_last(1)).unwrap();
    let compacted = store.compact().unwrap();
    assert!(compacted.rewritten + compacted.removed > 0 && compacted.new_bytes < compacted.old_bytes);
    check(&reader, &model);
    assert!(matches!(reader.retain(&keep_last(1)), Err(Error::ReadOnly { .. })));
    assert!(reader.compact().is_err());
}

#[test]
fn checkpoints_and_reads_go_on_while_it_compacts() {
    let directory = tempfile::tempdir().unwrap();
    let store = small().compact_below(0.9).open(directory.path()).unwrap();
    let done = AtomicBool::new(false);
    let (mut world, mut noise) = (World::default(), Noise(9));
    (0..20).for_each(|_| world.step(&mut noise, 100));
    store.checkpoint(&world).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut passes = 0;
            while !done.load(Ordering::Relaxed) || passes < 3 {
                store.retain(&keep_last(4)).unwrap();
                store.compact().unwrap();
                passes += 1;
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let latest: World = store.latest().unwrap().unwrap();
                assert_eq!(latest.players.iter().count(), latest.players.len());
                latest.scores.load_all().unwrap();
                assert_eq!(latest.log.iter().count(), latest.log.len());
                for checkpoint in store.checkpoints() {
                    checkpoint.unwrap();
                }
            }
        });
        let mut before = vec![world.clone()];
        for turn in 0..150 {
            world.step(&mut noise, 40);
            if turn % 20 == 19 {
                world = before.swap_remove(noise.below(before.len() as u32) as usize);
            }
            before.push(world.clone());
            store.checkpoint(&world).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
    let newest = store.checkpoints().next().unwrap().unwrap().id;
    drop(store);
    let store = small().open(directory.path()).unwrap();
    assert!(store.restore::<World>(newest).unwrap() == world);
}

#[test]
fn what_is_all_in_use_is_left_alone() {
    let storage = MemoryStorage::new();
    let store = open(&storage);
    assert_eq!(store.compact().unwrap(), Default::default());
    let (mut world, mut noise) = (World::default(), Noise(10));
    for _ in 0..40 {
        world.step(&mut noise, 30);
        store.checkpoint(&world).unwrap();
    }
    let before = segments(&storage);
    assert!(before > 3);
    let compacted = store.compact().unwrap();
    assert_eq!((compacted.rewritten, compacted.removed, segments(&storage)), (0, 0, before));
}

#[test]
fn a_full_disk_fails_a_compaction_and_nothing_else() {
    let disk = SimStorage::new();
    let store = small().open_storage(Arc::new(disk.clone())).unwrap();
    let (mut world, mut noise) = (World::default(), Noise(12));
    (0..20).for_each(|_| world.step(&mut noise, 100));
    for _ in 0..60 {
        world.step(&mut noise, 40);
        store.checkpoint(&world).unwrap();
    }
    store.retain(&keep_last(2)).unwrap();
    let names = disk.list().unwrap();
    // Nothing can grow, however much room the segments give back that are dead as a whole.
    disk.set_capacity(Some(4096));
    assert!(matches!(store.compact(), Err(Error::Io { .. })));
    let mut found = disk.list().unwrap();
    found.sort();
    assert!(found.iter().all(|name| names.contains(name)), "what it began is removed");
    // Not poisoned: with some room, both go on.
    disk.set_capacity(None);
    world.step(&mut noise, 5);
    let newest = store.checkpoint(&world).unwrap().id;
    assert!(store.compact().unwrap().rewritten > 0);
    drop(store);
    let store = small().open_storage(Arc::new(disk)).unwrap();
    assert!(store.restore::<World>(newest).unwrap() == world);
    assert!(store.verify().unwrap().is_clean());
}

/// A manifest that could not be made durable may be in force all the same, and names a file that compaction made.
#[test]
fn whatever_call_of_a_compaction_fails_later_passes_leave_the_files_that_a_manifest_may_name() {
    let (kept, full) = two_checkpoints_of_many();
    let (mut calls, mut poisoned) = (0, 0);
    for fault in [Fault::Refuse, Fault::Full, Fault::Short, Fault::Late] {
        for call in 0.. {
            let disk = full.crash_point().killed();
            let store = small().compact_below(0.9).open_storage(Arc::new(disk.clone())).unwrap();
            disk.plant(disk.operations() + call, fault);
            let _ = store.compact();
            if disk.struck() == 0 {
                calls += call;
                break;
            }
            let (failed, operations) = (disk.crash_point(), disk.operations());
            let is_poisoned = matches!(store.sync(), Err(Error::Poisoned { .. }));
            if is_poisoned {
                poisoned += 1;
                assert!(matches!(store.compact(), Err(Error::Poisoned { .. })));
                assert!(matches!(store.retain(&keep_last(1)), Err(Error::Poisoned { .. })));
                assert!(matches!(store.checkpoint(&World::default()), Err(Error::Poisoned { .. })));
                assert!(store.verify().is_ok());
            }
            drop(store);
            assert!(
                !is_poisoned || disk.operations() == operations,
                "{fault:?} of call {call}: a file was touched"
            );
            let images = [Fate::Lands, Fate::Vanishes].map(|fate| failed.image(call, |_| fate));
            for image in images.into_iter().chain([failed.killed(), failed.random_image(call)]) {
                check(&small().open_storage(Arc::new(image)).unwrap(), &kept);
            }
        }
    }
    assert!(calls > 100 && poisoned > 20, "{calls} calls, {poisoned} refusals");
}

/// A disk with many segments of which two checkpoints need little, and these.
fn two_checkpoints_of_many() -> (BTreeMap<CheckpointId, World>, SimStorage) {
    let disk = SimStorage::new();
    let store = small().open_storage(Arc::new(disk.clone())).unwrap();
    let (mut world, mut noise, mut model) = (World::default(), Noise(15), BTreeMap::new());
    for _ in 0..60 {
        world.step(&mut noise, 40);
        model.insert(store.checkpoint(&world).unwrap().id, world.clone());
    }
    let retained = store.retain(&keep_last(2)).unwrap();
    retained.dropped.iter().for_each(|id| drop(model.remove(id)));
    store.close().unwrap();
    (model, disk)
}

#[test]
fn unique_bytes_are_what_dropping_the_checkpoint_alone_would_free() {
    let storage = MemoryStorage::new();
    let store = open(&storage);
    let (mut world, mut noise) = (World::default(), Noise(13));
    (0..10).for_each(|_| world.step(&mut noise, 100));
    let mut ids = Vec::new();
    for _ in 0..25 {
        world.step(&mut noise, 40);
        ids.push(store.checkpoint(&world).unwrap().id);
    }
    let all = store.disk_footprint(&ids).unwrap();
    assert_eq!(all.unique_bytes.iter().sum::<u64>() + all.shared_bytes, all.total_bytes);
    let usage = store.usage().unwrap();
    assert_eq!(usage.used_bytes, all.total_bytes);
    assert_eq!(usage.leaf_bytes + usage.branch_bytes + usage.commit_bytes, usage.used_bytes);
    assert!(usage.delta_bytes > 0 && usage.delta_bytes < usage.leaf_bytes + usage.branch_bytes);
    assert!(usage.used_bytes + usage.free_bytes <= usage.disk_bytes);
    let written = store.stats().written;
    assert_eq!(written.checkpoints, 25);
    assert!(written.bytes + usage.free_bytes <= usage.disk_bytes);
    assert!(usage.chain_lengths.len() > 2 && usage.live_ratios.iter().all(|(_, ratio)| *ratio <= 1.0));
    for (i, unique) in all.unique_bytes.iter().enumerate() {
        let others: Vec<_> = ids.iter().copied().filter(|id| *id != ids[i]).collect();
        let without = store.disk_footprint(&others).unwrap();
        assert_eq!(without.total_bytes + unique, all.total_bytes, "checkpoint {}", ids[i]);
    }
    let policy = keep_last(5);
    let kept = store.disk_footprint(&ids[20..]).unwrap();
    assert_eq!(store.would_free(&policy).unwrap(), all.total_bytes - kept.total_bytes);
    store.retain(&policy).unwrap();
    assert_eq!(store.usage().unwrap().used_bytes, kept.total_bytes);
    assert_eq!(store.would_free(&policy).unwrap(), 0);
}

#[test]
fn a_store_with_a_policy_stays_small_by_itself() {
    let storage = MemoryStorage::new();
    let options = small().keep(keep_last(5)).compact_bytes_per_second(None);
    let store = options.open_storage(Arc::new(storage.clone())).unwrap();
    let (mut world, mut noise) = (World::default(), Noise(14));
    let mut written = 0;
    for _ in 0..400 {
        world.step(&mut noise, 30);
        written += store.checkpoint(&world).unwrap().bytes;
        std::thread::yield_now();
    }
    let began = std::time::Instant::now();
    while store.stats().disk_bytes * 3 > written && began.elapsed().as_secs() < 20 {
        // A pass may have just missed the last growth.
        world.step(&mut noise, 30);
        written += store.checkpoint(&world).unwrap().bytes;
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    let stats = store.stats();
    assert_eq!(stats.compaction_failure, None);
    assert!(stats.disk_bytes * 3 <= written, "{stats:?}, {written} bytes written");
    assert!(stats.compacted.removed + stats.compacted.rewritten > 0 && stats.checkpoints < 200);
    let newest = store.checkpoints().next().unwrap().unwrap().id;
    store.close().unwrap();
    let store = open(&storage);
    assert!(store.restore::<World>(newest).unwrap() == world);
}
