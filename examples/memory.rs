//! A state several times larger than the memory it may take: built, read, changed and checkpointed within a budget, and
//! every value compared at the end.
//!
//! `cargo run --release --example memory -- [BUDGET_MIB] [TIMES]` (32 and 5: a state of 160 MiB). Prints the most memory
//! that the process had of its own (anonymous pages: file pages are the system's, which takes them back when it needs
//! them). `.ci/memory` runs it under a limit of the system.

#![expect(clippy::unwrap_used, reason = "an example stops where something fails")]

use std::time::Instant;

use perennial::HashMap;
use perennial::footprint::resident_bytes;
use perennial::retention::keep_last;
use perennial::store::Store;
use serde::{Deserialize, Serialize};

#[expect(dead_code, reason = "the other examples use the rest of it")]
mod support;
use support::{Random, bytes, memory};

/// 100 bytes.
#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
struct Entry {
    version: u32,
    noise: [u64; 12],
}

impl Entry {
    /// What a key holds in a version.
    fn of(key: u64, version: u8) -> Self {
        let mut random = Random(key << 8 | u64::from(version));
        Self { version: u32::from(version), noise: std::array::from_fn(|_| random.bits()) }
    }
}

/// A state, and what it should be.
struct World {
    store: Store,
    state: HashMap<u64, Entry>,
    versions: Vec<u8>,
    budget_bytes: u64,
    most: f64,
}

impl World {
    /// Writes what changed and lets go of what is too much.
    fn checkpoint(&mut self) {
        self.most = self.most.max(memory("RssAnon").unwrap_or(0.0));
        self.store.checkpoint_and_evict(&mut self.state, self.budget_bytes).unwrap();
    }

    fn set(&mut self, key: u64, version: u8) {
        self.versions[key as usize] = version;
        self.state.insert(key, Entry::of(key, version));
    }

    fn check(&self, key: u64) {
        assert_eq!(self.state[&key], Entry::of(key, self.versions[key as usize]), "key {key}");
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|word| word.parse::<u64>().ok());
    let (budget_mib, times) = (arguments.next().unwrap_or(32), arguments.next().unwrap_or(5));
    let budget_bytes = budget_mib << 20;
    let directory = tempfile::tempdir().unwrap();
    let options = Store::options().keep(keep_last(3)).cache_bytes(4 << 20);
    let store = options.open(directory.path().join("world")).unwrap();
    // An entry takes about 125 bytes in its leaf.
    let entries = budget_bytes * times / 125;
    // A touched key loads a leaf of about 1 KiB: so many fit into a sixth of the budget.
    let batch = budget_bytes / 6 / 1024;
    let started = Instant::now();
    let mut world =
        World { store, state: HashMap::new(), versions: vec![0; entries as usize], budget_bytes, most: 0.0 };

    for key in 0..entries {
        world.set(key, 0);
        if key % batch == 0 {
            world.checkpoint();
        }
    }
    world.checkpoint();
    assert!(resident_bytes(&world.state) <= budget_bytes);
    println!("{entries} entries built in {:.1} s", started.elapsed().as_secs_f64());

    let started = Instant::now();
    let mut random = Random(7);
    for round in 0..100 {
        for _ in 0..batch / 2 {
            world.set(random.below(entries), round);
            world.check(random.below(entries));
        }
        world.checkpoint();
    }
    println!("100 rounds of {} updates and reads in {:.1} s", batch / 2, started.elapsed().as_secs_f64());

    let started = Instant::now();
    for key in 0..entries {
        world.check(key);
        if key % batch == 0 {
            world.most = world.most.max(memory("RssAnon").unwrap_or(0.0));
            world.store.evict(&mut world.state, budget_bytes).unwrap();
        }
    }
    println!("every value is right; read in {:.1} s", started.elapsed().as_secs_f64());

    let latest: HashMap<u64, Entry> = world.store.latest().unwrap().unwrap();
    let leaves_bytes = entries as f64 * size_of::<(u64, Entry)>() as f64;
    assert_eq!(latest.len() as u64, entries);
    println!(
        "budget {}; entries {} ({:.1} x); own memory at most {} ({:.2} x)",
        bytes(budget_bytes as f64),
        bytes(leaves_bytes),
        leaves_bytes / budget_bytes as f64,
        bytes(world.most),
        world.most / budget_bytes as f64
    );
}
