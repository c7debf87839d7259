//! A store that was written once in format version 1 and lies beside this file: every later version must open it.
//!
//! It has segments of every kind: sealed, replaced by compaction, active; blocks of each codec; deltas; dropped
//! checkpoints; several openings. It is made anew (after a change of the format, under the next version's name) by
//! `PERENNIAL_GOLDEN=src/tests/golden/v1 cargo test --lib golden`, in an empty directory.
#![cfg_attr(
    not(feature = "zstd"),
    allow(dead_code, unused_imports, reason = "for the tests that read all of it")
)]

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::retention::{every_nth, keep_last};
use crate::storage::{MemoryStorage, Storage};
use crate::store::{
    CheckpointId, CheckpointOptions, Compression, Location, Options, Persist, Store, VerifyOptions,
};
use crate::{HashMap, HashSet, OrdMap, OrdSet, SeededState, Vector};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Kind {
    Idle,
    Moving { to: (i32, i32) },
    Holding(Vector<u16>),
}

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub(super) struct World {
    tick: u64,
    name: Option<String>,
    pub(super) units: HashMap<u32, Kind, SeededState>,
    pub(super) scores: OrdMap<String, u64>,
    pub(super) log: Vector<String>,
    pub(super) seen: HashSet<u64, SeededState>,
    pub(super) marks: OrdSet<i16>,
}

const TICKS: u64 = 40;

impl World {
    fn step(&mut self) {
        self.tick += 1;
        let tick = self.tick;
        self.name = tick.is_multiple_of(3).then(|| format!("world of {tick}"));
        for n in 0..12 {
            let key = ((tick * 31 + n * 17) % 300) as u32;
            let kind = match (tick + n) % 3 {
                0 => Kind::Idle,
                1 => Kind::Moving { to: (tick as i32, -(n as i32)) },
                _ => Kind::Holding((0..n as u16).collect()),
            };
            self.units.insert(key, kind);
            self.scores.insert(format!("score {:03}", key % 100), tick * n);
            self.seen.insert(tick << 32 | n);
            self.marks.insert((key as i16) - 150);
        }
        self.units.remove(&((tick * 7 % 300) as u32));
        self.scores.remove(&format!("score {:03}", tick * 5 % 100));
        self.log.push_back(format!("tick {tick}"));
        if tick > 20 {
            self.log.pop_front();
        }
    }

    pub(super) fn at(tick: u64) -> Self {
        let mut world = Self::default();
        (0..tick).for_each(|_| world.step());
        world
    }
}

/// The checkpoint of tick `t` has the id `t`; these are kept.
pub(super) fn kept() -> Vec<u64> {
    let nth = |tick: &u64| (*tick - 1).is_multiple_of(8);
    (1..=TICKS).filter(|tick| *tick >= 30 || nth(tick)).collect()
}

fn write(path: &Path) {
    let mut world = World::default();
    for compression in [Compression::Lz4, Compression::None, Compression::Zstd, Compression::Lz4] {
        let options = Options::new().segment_bytes(8 << 10).block_bytes(1 << 10).compression(compression);
        let store = options.open(path).unwrap();
        for _ in 0..TICKS / 4 {
            world.step();
            let mut how = CheckpointOptions::new();
            if world.tick.is_multiple_of(5) {
                how = how.label(format!("label {}", world.tick));
            }
            let states: [(&str, &dyn Persist); 2] = [("state", &world), ("log", &world.log)];
            store
                .commit()
                .roots(&states[..1 + usize::from(world.tick.is_multiple_of(2))])
                .options(&how)
                .write()
                .unwrap();
        }
        if world.tick == 30 {
            store.retain(&(keep_last(1) | every_nth(8))).unwrap();
            let compacted = store.compact().unwrap();
            assert!(compacted.rewritten > 0, "{compacted:?}");
        }
    }
}

/// The files, in memory.
pub(super) fn golden() -> MemoryStorage {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/golden/v1");
    let storage = MemoryStorage::new();
    for entry in std::fs::read_dir(path).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        storage.create(&name, 0).unwrap().write_all_at(&std::fs::read(entry.path()).unwrap(), 0).unwrap();
    }
    storage
}

fn manifest(storage: &MemoryStorage) -> Vec<u8> {
    let file = storage.open("MANIFEST").unwrap();
    let len = file.len_bytes().unwrap();
    file.map(len).unwrap().bytes(0..len).unwrap().into_owned()
}

fn check(store: &Store) {
    let verified = store.verify_with(VerifyOptions::new().states::<World>()).unwrap();
    assert!(verified.is_clean(), "{:?}", verified.damage);
    let listed: Vec<_> = store.checkpoints().map(|made| made.unwrap()).collect();
    assert_eq!(listed.iter().rev().map(|made| made.id.0).collect::<Vec<_>>(), kept());
    for made in listed {
        let tick = made.id.0;
        assert_eq!(store.restore::<World>(made.id).unwrap(), World::at(tick));
        assert_eq!(made.label, tick.is_multiple_of(5).then(|| format!("label {tick}")));
        if tick.is_multiple_of(2) {
            assert_eq!(
                store.get(made.id).unwrap().restore_root::<Vector<String>>("log").unwrap(),
                World::at(tick).log
            );
        }
    }
}

#[cfg(feature = "zstd")]
#[test]
fn the_golden_store_of_format_version_1_opens_reads_and_goes_on() {
    if let Some(path) = std::env::var_os("PERENNIAL_GOLDEN") {
        write(Path::new(&path));
    }
    let storage = golden();
    let names = storage.list().unwrap();
    assert!(names.iter().any(|name| name.ends_with("-1.segment")), "a replaced segment: {names:?}");
    check(&Options::new().read_only(true).open_storage(Arc::new(storage.copy())).unwrap());
    let store = Options::new().open_storage(Arc::new(storage.clone())).unwrap();
    check(&store);
    let mut world: World = store.latest().unwrap().unwrap();
    world.step();
    let made = store.checkpoint(&world).unwrap();
    assert_eq!(made.id, CheckpointId(TICKS + 1));
    assert!(made.nodes < 100, "what did not change is not written again");
    drop(store);
    // It is one of version 2 now, with segments of both.
    let version =
        |name: &str| storage.open(name).unwrap().map(16).unwrap().bytes(8..12).unwrap().into_owned();
    assert_eq!(version("MANIFEST"), [2, 0, 0, 0]);
    assert_eq!(version("0000000-1.segment"), [1, 0, 0, 0]);
    let store = Options::new().compact_below(1.0).open_storage(Arc::new(storage.clone())).unwrap();
    assert_eq!(store.latest::<World>().unwrap(), Some(World::at(TICKS + 1)));
    assert!(store.verify_with(VerifyOptions::new().states::<World>()).unwrap().is_clean());
    store.retain(&keep_last(12)).unwrap();
    assert!(store.compact().unwrap().rewritten > 0);
    store.checkpoint(&world).unwrap();
    drop(store);
    let store = Options::new().open_storage(Arc::new(storage)).unwrap();
    assert!(store.verify_with(VerifyOptions::new().states::<World>()).unwrap().is_clean());
    for made in store.checkpoints().skip(1).map(|made| made.unwrap()) {
        assert_eq!(store.restore::<World>(made.id).unwrap(), World::at(made.id.0));
    }
}

#[cfg(feature = "zstd")]
#[test]
fn the_golden_store_of_format_version_1_is_recovered_backed_up_and_salvaged() {
    let storage = golden();
    // As a killed process left it: flag 1 of version 1 says that it was closed.
    let mut bytes = manifest(&storage);
    bytes[12] &= !1;
    let end = bytes.len() - 8;
    let sum = xxhash_rust::xxh3::xxh3_64(&bytes[..end]);
    bytes[end..].copy_from_slice(&sum.to_le_bytes());
    storage.open_writable("MANIFEST").unwrap().write_all_at(&bytes, 0).unwrap();
    let store = Options::new().open_storage(Arc::new(storage.clone())).unwrap();
    check(&store);
    let copy = MemoryStorage::new();
    store.backup(Location::storage(Arc::new(copy.clone()), Path::new("copy"))).unwrap();
    check(&Options::new().open_storage(Arc::new(copy)).unwrap());
    drop(store);
    check(&Options::new().open_storage(Arc::new(storage)).unwrap());
    // A flipped bit in its manifest, of which there is one copy, is damage, and no other version.
    for (at, bit) in [(8, 1), (8, 2), (9, 0), (40, 3)] {
        let storage = golden();
        let byte = manifest(&storage)[at];
        storage.open_writable("MANIFEST").unwrap().write_all_at(&[byte ^ 1 << bit], at as u64).unwrap();
        let error = Options::new().open_storage(Arc::new(storage.clone())).err().unwrap();
        assert!(error.to_string().contains("salvage"), "{error}");
        let new = MemoryStorage::new();
        let salvaged = Store::salvage(
            Location::storage(Arc::new(storage), "<old>"),
            Location::storage(Arc::new(new), Path::new("new")),
        )
        .unwrap();
        let saved = |id: &u64| salvaged.checkpoints.contains(&CheckpointId(*id));
        assert!(kept().iter().all(saved), "{:?}", salvaged.lost);
    }
}
