//! Depth at a known price: what a long history costs on disk, and what compaction costs its checkpoints.
//!
//! `cargo bench -p benches --bench soak -- [ENTRIES] [CHECKPOINTS] [UPDATES] [KEEP]` (1,000,000, 10,000,
//! 1,000 and 100), in DIR. Three runs: the same zipf updates without retention (up to 2,000 checkpoints, for the latency to
//! compare with) and under `keep_last`; then KEEP checkpoints of uniform updates upon a full one, and what they add. `ONLY=history` runs a
//! fourth alone: reads after 2,000 checkpoints of uniform updates, before and after compaction.

#![expect(clippy::unwrap_used, reason = "a bench stops where something fails")]

use std::path::Path;
use std::time::{Duration, Instant};

use benches::{Entry, Random, directory};
use perennial::HashMap;
use perennial::retention::keep_last;
use perennial::store::Store;

type State = HashMap<u64, Entry>;

/// Which keys are updated.
enum Keys {
    Uniform(u64),
    /// Of exponent 1: the sums of 1/rank, to search in.
    Zipf(Vec<f64>),
}

impl Keys {
    fn zipf(entries: u64) -> Self {
        let mut sum = 0.0;
        Self::Zipf(
            (1..=entries)
                .map(|rank| {
                    sum += 1.0 / rank as f64;
                    sum
                })
                .collect(),
        )
    }

    fn next(&self, random: &mut Random) -> u64 {
        match self {
            Self::Uniform(entries) => random.bits() % entries,
            Self::Zipf(sums) => {
                let at = (random.bits() >> 11) as f64 / (1u64 << 53) as f64 * sums.last().unwrap();
                let rank = sums.partition_point(|&sum| sum < at) as u64;
                // Neighbours in rank are no neighbours in the map.
                rank.wrapping_mul(0x9e37_79b9_7f4a_7c15) % sums.len() as u64
            }
        }
    }
}

fn percentile(times: &[Duration], part: f64) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = ((sorted.len() as f64 * part) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn disk_bytes(path: &Path) -> u64 {
    let entries = std::fs::read_dir(path).unwrap();
    entries.map(|entry| entry.and_then(|entry| entry.metadata()).map_or(0, |meta| meta.len())).sum()
}

fn state(entries: u64, random: &mut Random) -> State {
    (0..entries).map(|key| (key, random.entry())).collect()
}

fn update(state: &mut State, keys: &Keys, updates: u64, random: &mut Random) {
    for _ in 0..updates {
        let (key, entry) = (keys.next(random), random.entry());
        state.insert(key, entry);
    }
}

/// A run of checkpoints: their times, their bytes, and the largest the store was.
struct Run {
    full_bytes: u64,
    times: Vec<Duration>,
    bytes: Vec<u64>,
    most_bytes: u64,
    kept: Vec<(perennial::store::CheckpointId, State)>,
}

fn run(store: &Store, state: &mut State, keys: &Keys, [checkpoints, updates, keep]: [u64; 3]) -> Run {
    let mut random = Random(99);
    let full_bytes = store.checkpoint(state).unwrap().bytes;
    let mut run = Run { full_bytes, times: Vec::new(), bytes: Vec::new(), most_bytes: 0, kept: Vec::new() };
    for n in 0..checkpoints {
        update(state, keys, updates, &mut random);
        let started = Instant::now();
        let checkpoint = store.checkpoint(state).unwrap();
        run.times.push(started.elapsed());
        run.bytes.push(checkpoint.bytes);
        if n + keep >= checkpoints {
            run.kept.push((checkpoint.id, state.clone()));
        }
        if n % 50 == 0 {
            run.most_bytes = run.most_bytes.max(disk_bytes(store.path()));
        }
        if (n + 1) % 1000 == 0 {
            println!("  {} checkpoints: {:.0} MiB", n + 1, mib(disk_bytes(store.path())));
        }
    }
    run
}

fn soak(directory: &Path, entries: u64, checkpoints: u64, updates: u64, keep: u64) {
    let keys = Keys::zipf(entries);
    println!("zipf updates, nothing dropped:");
    let mut world = state(entries, &mut Random(1));
    let calm = {
        let store = Store::open(directory.join("calm")).unwrap();
        run(&store, &mut world, &keys, [checkpoints.min(2000), updates, 0])
    };
    std::fs::remove_dir_all(directory.join("calm")).unwrap();
    println!("zipf updates, keep_last({keep}):");
    let mut world = state(entries, &mut Random(1));
    let store = Store::options().keep(keep_last(keep)).open(directory.join("soak")).unwrap();
    let started = Instant::now();
    let soak = run(&store, &mut world, &keys, [checkpoints, updates, keep]);
    let waited = store.stats().compaction_wait.as_secs_f64();
    println!(
        "  {:.1} s in all, {waited:.1} s of them waiting for compaction",
        started.elapsed().as_secs_f64()
    );
    let deltas: u64 = soak.bytes.iter().rev().take(keep as usize).sum();
    let bound = soak.full_bytes * 5 / 2 + deltas;
    let most = mib(soak.most_bytes);
    println!("full state {:.1} MiB, deltas of {keep}: {:.1} MiB", mib(soak.full_bytes), mib(deltas));
    println!("disk, at most: {most:.1} MiB; the bound is {:.1} MiB", mib(bound));
    for part in [0.5, 0.99, 0.999] {
        let (calm, soak) = (percentile(&calm.times, part), percentile(&soak.times, part));
        println!(
            "p{}: {calm:.2} ms without, {soak:.2} ms with compaction: {:.2} x",
            part * 100.0,
            soak / calm
        );
    }
    drop(world);
    store.retain(&keep_last(keep)).unwrap();
    let started = Instant::now();
    println!("one pass more: {:?} in {:.2} s", store.compact().unwrap(), started.elapsed().as_secs_f64());
    println!("disk then: {:.1} MiB", mib(disk_bytes(store.path())));
    let listed: Vec<_> = store.checkpoints().map(|checkpoint| checkpoint.unwrap().id).collect();
    assert!(listed.iter().rev().eq(soak.kept.iter().map(|(id, _)| id)), "exactly the kept ones are listed");
    drop(store);
    let store = Store::open(directory.join("soak")).unwrap();
    for (n, (id, expected)) in soak.kept.iter().enumerate() {
        let found: State = store.restore(*id).unwrap();
        if n % 10 == 0 || n + 1 == soak.kept.len() {
            found.load_all().unwrap();
            assert!(found == *expected, "checkpoint {id} is another one");
        } else {
            let mut random = Random(n as u64 + 1);
            for _ in 0..1000 {
                let key = random.bits() % entries;
                assert_eq!(found.get(&key), expected.get(&key));
            }
        }
    }
    println!("all {} kept checkpoints restore right (one in ten in full)", soak.kept.len());
}

fn hundred(directory: &Path, entries: u64, updates: u64, keep: u64) {
    let store = Store::open(directory.join("hundred")).unwrap();
    let mut world = state(entries, &mut Random(1));
    let run = run(&store, &mut world, &Keys::Uniform(entries), [keep, updates, 0]);
    let added: u64 = run.bytes.iter().sum();
    println!("{keep} checkpoints of {updates} uniform updates: {:.2} MiB beyond the first", mib(added));
}

fn history(directory: &Path, entries: u64, checkpoints: u64, updates: u64) {
    let path = directory.join("history");
    {
        let store = Store::open(&path).unwrap();
        let mut world = state(entries, &mut Random(1));
        run(&store, &mut world, &Keys::Uniform(entries), [checkpoints, updates, 0]);
    }
    for keep in [None, Some(100)] {
        if let Some(keep) = keep {
            let store = Store::open(&path).unwrap();
            store.retain(&keep_last(keep)).unwrap();
            let started = Instant::now();
            println!("{:?} in {:.2} s", store.compact().unwrap(), started.elapsed().as_secs_f64());
        }
        let store = Store::open(&path).unwrap();
        let world: State = store.latest().unwrap().unwrap();
        let mut random = Random(5);
        let started = Instant::now();
        let found = (0..1000).filter(|_| world.get(&(random.bits() % entries)).is_some()).count();
        let reads = started.elapsed();
        let world: State = store.latest().unwrap().unwrap();
        let started = Instant::now();
        world.load_all().unwrap();
        println!(
            "{found} random keys: {:.1} ms; load_all: {:.0} ms; disk {:.0} MiB",
            reads.as_secs_f64() * 1e3,
            started.elapsed().as_secs_f64() * 1e3,
            mib(disk_bytes(&path))
        );
    }
}

fn main() {
    let numbers: Vec<u64> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let number = |at: usize, default| numbers.get(at).copied().unwrap_or(default);
    let (entries, checkpoints) = (number(0, 1_000_000), number(1, 10_000));
    let (updates, keep) = (number(2, 1_000), number(3, 100));
    let directory = directory();
    let only = std::env::var("ONLY").unwrap_or_default();
    if only.is_empty() || only == "hundred" {
        hundred(directory.path(), entries, updates, keep);
    }
    if only.is_empty() || only == "soak" {
        soak(directory.path(), entries, checkpoints, updates, keep);
    }
    if only == "history" {
        history(directory.path(), entries, 2000, updates);
    }
}
