//! Any single bit of a small store flipped, and any truncation of it, seen by who uses the store: each outcome is right
//! data or a clear error, whoever reads first, and little memory is asked for on the way.

use std::ops::AddAssign;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::hash_map::SeededState;
use crate::storage::{MemoryStorage, Storage};
use crate::store::{CheckpointId, Compression, Error, Options, VerifyOptions};
use crate::{HashMap, OrdMap, Vector};

/// Most memory that opening and reading a damaged store of a few KiB may ask for at a time.
const MAX_BYTES: u64 = 64 << 10;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct World {
    tick: u32,
    players: HashMap<u32, Vector<u16>, SeededState>,
    scores: OrdMap<u32, String>,
    log: Vector<u32>,
}

impl World {
    fn step(&mut self) {
        self.tick += 1;
        for n in 0..6 {
            let key = self.tick * 5 + n;
            self.players.insert(key % 40, (0..n as u16).collect());
            self.scores.insert(key % 30, format!("score {key}"));
            self.log.push_back(key);
        }
    }

    /// Reads everything.
    fn load(&self) -> Result<(), Error> {
        self.players.load_all()?;
        self.players.values().try_for_each(Vector::load_all)?;
        self.scores.load_all()?;
        self.log.load_all()
    }
}

fn options(compression: Compression) -> Options {
    Options::new().segment_bytes(4 << 10).block_bytes(512).compression(compression)
}

/// A store of a few checkpoints, closed or killed, and what is in them.
fn store(compression: Compression, closed: bool) -> (MemoryStorage, Vec<(CheckpointId, World)>) {
    let storage = MemoryStorage::new();
    let (mut world, mut states) = (World::default(), Vec::new());
    for _ in 0..2 {
        let store = options(compression).open_storage(Arc::new(storage.clone())).unwrap();
        for _ in 0..2 {
            world.step();
            states.push((store.checkpoint(&world).unwrap().id, world.clone()));
        }
        if !closed && states.len() == 4 {
            return (storage.copy(), states);
        }
    }
    (storage, states)
}

/// How damaged stores were met.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Outcomes {
    /// All checkpoints are there, and right.
    right: u64,
    /// The newest is missing, the others are right: only where nothing recorded that it was durable.
    without_the_last: u64,
    /// Refused when it was opened.
    refused: u64,
    /// Some checkpoint was an error, those that were none were right.
    errors: u64,
    /// Most memory asked for at a time.
    most_bytes: u64,
}

impl AddAssign for Outcomes {
    fn add_assign(&mut self, other: Self) {
        self.right += other.right;
        self.without_the_last += other.without_the_last;
        self.refused += other.refused;
        self.errors += other.errors;
        self.most_bytes = self.most_bytes.max(other.most_bytes);
    }
}

/// Opens a damaged store and reads all there is, in every way there is.
fn meet(storage: &MemoryStorage, states: &[(CheckpointId, World)], closed: bool, what: &str) -> Outcomes {
    let mut outcome = Outcomes::default();
    let memory = allocation_counter::measure(|| {
        let options = options(Compression::None).cache_bytes(16 << 10).read_only(closed);
        let Ok(store) = options.open_storage(Arc::new(storage.clone())) else {
            outcome.refused += 1;
            return;
        };
        let read = |id| store.restore::<World>(id).and_then(|world| world.load().map(|()| world));
        let mut errors = 0;
        for (id, expected) in states {
            match read(*id) {
                Ok(found) => assert!(found == *expected, "checkpoint {id} is another one: {what}"),
                Err(_) => errors += 1,
            }
        }
        let listed: Result<Vec<_>, _> = store.checkpoints().map(|made| made.map(|made| made.id)).collect();
        let all: Vec<_> = states.iter().rev().map(|(id, _)| *id).collect();
        let latest = store.latest::<World>().and_then(|latest| {
            latest.iter().try_for_each(World::load)?;
            Ok(latest)
        });
        if let (Ok(listed), Ok(latest)) = (&listed, &latest) {
            assert!(*listed == all || !closed && *listed == all[1..], "{listed:?} are listed: {what}");
            let newest = states.iter().find(|(id, _)| listed.first() == Some(id));
            assert!(latest.as_ref() == newest.map(|(_, world)| world), "another latest one: {what}");
        }
        match (listed, errors) {
            (Ok(listed), 0) if listed == all => outcome.right += 1,
            (Ok(listed), 1) if listed == all[1..] => outcome.without_the_last += 1,
            _ => {
                outcome.errors += 1;
                assert!(
                    !store.verify_with(VerifyOptions::new().states::<World>()).unwrap().is_clean(),
                    "verify finds nothing wrong: {what}"
                );
            }
        }
    });
    outcome.most_bytes = memory.bytes_max;
    assert!(memory.bytes_max <= MAX_BYTES, "{} bytes were asked for: {what}", memory.bytes_max);
    outcome
}

fn contents(storage: &MemoryStorage, name: &str) -> Vec<u8> {
    let file = storage.open(name).unwrap();
    let len = file.len_bytes().unwrap();
    file.map(len).unwrap().bytes(0..len).unwrap().into_owned()
}

fn with(storage: &MemoryStorage, name: &str, bytes: &[u8]) -> MemoryStorage {
    let changed = storage.copy();
    changed.remove(name).unwrap();
    changed.create(name, 0).unwrap().write_all_at(bytes, 0).unwrap();
    changed
}

fn damage(compression: Compression, closed: bool) {
    let (storage, states) = store(compression, closed);
    assert_eq!(meet(&storage.copy(), &states, closed, "nothing").right, 1);
    let (mut flips, mut cuts) = (Outcomes::default(), Outcomes::default());
    for name in storage.list().unwrap() {
        let mut bytes = contents(&storage, &name);
        let used = bytes.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        for at in 0..bytes.len() {
            // Behind what was ever written one bit of each byte will do.
            for bit in 0..if at < used + 64 { 8 } else { 1 } {
                bytes[at] ^= 1 << bit;
                let what = format!("{compression:?}, bit {bit} of byte {at} of {name}");
                flips += meet(&with(&storage, &name, &bytes), &states, closed, &what);
                bytes[at] ^= 1 << bit;
            }
            let what = format!("{compression:?}, {name} of {at} bytes");
            cuts += meet(&with(&storage, &name, &bytes[..at]), &states, closed, &what);
        }
    }
    println!("{compression:?}, closed: {closed}: flipped {flips:?}; truncated {cuts:?}");
    assert!(flips.refused > 500 && flips.errors > 1000 && flips.right > 500);
    assert_eq!(flips.without_the_last > 0, !closed);
}

#[test]
fn any_bit_of_a_closed_store_flipped_and_any_truncation_is_right_data_or_an_error() {
    damage(Compression::Lz4, true);
}

#[test]
fn any_bit_of_a_killed_store_flipped_and_any_truncation_is_right_data_or_an_error() {
    damage(Compression::None, false);
}
