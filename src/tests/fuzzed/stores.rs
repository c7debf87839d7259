//! Small whole stores of every kind, which `open_bytes` damages: the same in every process, but for what a store draws
//! at random (its identity, its epochs) and the time.

use std::sync::{Arc, OnceLock};

use perennial::retention::keep_last;
use perennial::storage::{MemoryStorage, Storage};
use perennial::store::{CheckpointId, CheckpointOptions, Compression, Durability, Error, Options, Store};
use perennial::{HashMap, HashSet, OrdMap, OrdSet, SeededState, Vector};
use serde::{Deserialize, Serialize};

use super::seal::Seals;

/// One of each collection, and one in another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct World {
    turn: u64,
    players: HashMap<u32, String, SeededState>,
    scores: OrdMap<String, u32>,
    log: Vector<[u32; 8]>,
    inventories: HashMap<u8, Vector<u16>, SeededState>,
    tags: HashSet<u16, SeededState>,
    times: OrdSet<u64>,
    newest: Option<String>,
}

impl World {
    fn new() -> Self {
        let hasher = SeededState::new(7);
        Self {
            turn: 0,
            players: HashMap::with_hasher(hasher),
            scores: OrdMap::new(),
            log: Vector::new(),
            inventories: HashMap::with_hasher(hasher),
            tags: HashSet::with_hasher(hasher),
            times: OrdSet::new(),
            newest: None,
        }
    }

    /// Changes a little of everything.
    pub fn step(&mut self) {
        self.turn += 1;
        for n in 0..5 {
            let key = (self.turn as u32 * 31 + n * 7) % 40;
            self.players.insert(key, format!("player {key} of turn {}", self.turn));
            self.scores.insert(format!("score {}", key % 25), key);
            self.log.push_back([key; 8]);
            let mut items = self.inventories.get(&(key as u8 % 5)).cloned().unwrap_or_default();
            items.push_front(n as u16);
            self.inventories.insert(key as u8 % 5, items);
            self.tags.insert(key as u16 * 3);
            self.times.insert(self.turn * 10 + u64::from(n));
        }
        self.players.remove(&(self.turn as u32 % 40));
        self.log.set(self.log.len() / 2, [9; 8]);
        self.newest = Some(format!("turn {}", self.turn));
    }

    /// Loads everything; then every way of reading must do, since none of them can fail any more.
    pub fn read(&self) -> Result<usize, Error> {
        self.players.load_all()?;
        self.scores.load_all()?;
        self.log.load_all()?;
        self.inventories.load_all()?;
        self.inventories.values().try_for_each(Vector::load_all)?;
        self.tags.load_all()?;
        self.times.load_all()?;
        let found = self.players.iter().filter(|(key, name)| self.players.get(key) == Some(name)).count()
            + self.scores.iter().rev().filter(|(key, _)| self.scores.contains_key(*key)).count()
            + self.scores.range("score 2".to_owned()..).count()
            + (0..self.log.len()).filter(|at| self.log.get(*at) == Some(&self.log[*at])).count()
            + self.log.iter().rev().count()
            + self.inventories.values().map(|items| items.iter().count()).sum::<usize>()
            + self.tags.iter().filter(|tag| self.tags.contains(tag)).count()
            + self.times.iter().filter(|time| self.times.contains(time)).count();
        Ok(found)
    }
}

/// A whole store.
pub struct Whole {
    pub storage: MemoryStorage,
    /// What is in it, the oldest first.
    pub states: Vec<(CheckpointId, World)>,
    /// Where its checksums are.
    pub seals: Seals,
}

/// Small segments and blocks, so that few records reach every shape.
pub fn options(compression: Compression) -> Options {
    let options = Options::new().segment_bytes(8 << 10).block_bytes(512).cache_bytes(64 << 10);
    options.compression(compression).compact_below(0.9)
}

fn checkpoint(store: &Store, world: &mut World, durability: Durability) -> (CheckpointId, World) {
    world.step();
    let how = CheckpointOptions::new().durability(durability);
    let made = store.commit().roots(&[("state", world)]).options(&how).write().expect("a checkpoint");
    (made.id, world.clone())
}

/// A store of checkpoints in two segments or more, some of them dropped and what they held compacted, or not; then
/// closed, or killed.
fn make(
    compression: Compression,
    compacted: bool,
    closed: bool,
) -> (MemoryStorage, Vec<(CheckpointId, World)>) {
    let storage = MemoryStorage::new();
    let open = || options(compression).open_storage(Arc::new(storage.clone())).expect("a sound store");
    let (mut world, mut states) = (World::new(), Vec::new());
    let mut store = open();
    for _ in 0..if compacted { 16 } else { 5 } {
        states.push(checkpoint(&store, &mut world, Durability::Sync));
    }
    if compacted {
        let dropped = store.retain(&keep_last(4)).expect("retention").dropped;
        states.retain(|(id, _)| !dropped.contains(id));
        store.compact().expect("compaction");
    }
    drop(store);
    // Another opening, with another epoch.
    store = open();
    states.push(checkpoint(&store, &mut world, Durability::Sync));
    states.push(checkpoint(&store, &mut world, Durability::Buffered));
    if closed {
        store.close().expect("a sound store");
        return (storage, states);
    }
    (storage.copy(), states)
}

/// All of them.
pub fn all() -> &'static [Whole] {
    static ALL: OnceLock<Vec<Whole>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut stores = Vec::new();
        for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
            for (compacted, closed) in [(false, true), (false, false), (true, true), (true, false)] {
                stores.push(make(compression, compacted, closed));
            }
        }
        // The last batch of it is torn: what is missing is known.
        let (storage, mut states) = make(Compression::None, false, false);
        tear(&storage);
        states.pop();
        stores.push((storage, states));
        stores.push((MemoryStorage::new(), Vec::new()));
        let whole = |(storage, states)| Whole { seals: Seals::of(&storage), storage, states };
        stores.into_iter().map(whole).collect()
    })
}

/// Overwrites the end of what was written last with zeros.
fn tear(storage: &MemoryStorage) {
    let name = names(storage).pop().expect("a segment");
    let bytes = contents(storage, &name);
    let end = bytes.iter().rposition(|&byte| byte != 0).expect("a batch");
    let file = storage.open_writable(&name).expect("a segment");
    file.write_all_at(&[0; 40], end as u64 - 39).expect("memory takes it");
}

/// The files of a store, the manifest and then its segments in order.
pub fn names(storage: &MemoryStorage) -> Vec<String> {
    let mut names = storage.list().expect("memory tells them");
    names.retain(|name| name != "LOCK");
    names.sort_by_key(|name| (name != "MANIFEST", name.clone()));
    names
}

/// All bytes of a file.
pub fn contents(storage: &MemoryStorage, name: &str) -> Vec<u8> {
    let file = storage.open(name).expect("it was listed");
    let len = file.len_bytes().expect("memory tells it");
    file.map(len).ok().and_then(|map| map.bytes(0..len).ok().map(Into::into)).unwrap_or_default()
}

/// Replaces a file, or makes it.
pub fn replace(storage: &MemoryStorage, name: &str, bytes: &[u8]) {
    let _ = storage.remove(name);
    let file = storage.create(name, 0).expect("memory has room");
    file.write_all_at(bytes, 0).expect("memory has room");
}
