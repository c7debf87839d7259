//! Costs of a snapshot, a rollback, a checkpoint and an opening, by size of the state.
//!
//! `cargo bench -p benches --bench checkpoint -- [ENTRIES...]` (10,000, 100,000 and 1,000,000), in DIR. Each
//! figure is the median of repeated calls. `limit` puts checkpoints beside the least work that any writer could do.

#![expect(clippy::unwrap_used, reason = "a bench stops where something fails")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use benches::{Random, directory, median, us};
use perennial::store::{CheckpointOptions, Durability, Store};
use perennial::{HashMap, State};

type World = HashMap<u64, [u64; 12]>;

/// Returns the median time of `times` calls of `work`.
fn timed<T>(times: usize, mut work: impl FnMut() -> T) -> Duration {
    let mut seconds: Vec<f64> = (0..times)
        .map(|_| {
            let began = Instant::now();
            black_box(work());
            began.elapsed().as_secs_f64()
        })
        .collect();
    Duration::from_secs_f64(median(&mut seconds))
}

fn row(what: &str, entries: u64, time: Duration) {
    println!("| {what} | {entries} | {} |", us(time));
}

fn snapshots(entries: u64) {
    let state = State::new((0..entries).map(|key| (key, key)).collect::<HashMap<u64, u64>>());
    let taken = timed(1_000, || (0..1_000).for_each(|_| drop(black_box(state.snapshot())))) / 1_000;
    println!("| a snapshot, and its drop | {entries} | {} ns |", taken.as_nanos());
    let snapshot = state.snapshot();
    row("a rollback to it", entries, timed(1_000, || state.rollback(&snapshot)));
}

fn checkpoints(entries: u64) {
    let directory = directory();
    let path = directory.path().join("store");
    let store = Store::open(&path).unwrap();
    let mut random = Random(1);
    let mut world: World = (0..entries).map(|key| (key, [random.bits(); 12])).collect();
    store.checkpoint(&world).unwrap();
    for (updates, durability) in
        [(10, Durability::Sync), (1_000, Durability::Sync), (1_000, Durability::Buffered)]
    {
        let options = CheckpointOptions::new().durability(durability);
        let taken = timed(200, || {
            for _ in 0..updates {
                world.insert(random.bits() % entries, [random.bits(); 12]);
            }
            store.commit().roots(&[("state", &world)]).options(&options).write().unwrap()
        });
        row(&format!("{updates} updates and a checkpoint, {durability:?}"), entries, taken);
    }
    drop((world, store));
    let taken = timed(50, || {
        let store = Store::open(&path).unwrap();
        let world: World = store.latest().unwrap().unwrap();
        world[&(random.bits() % entries)]
    });
    row("an opening, and a read of one key", entries, taken);
}

fn main() {
    let mut sizes: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000, 1_000_000];
    }
    println!("| operation | entries | median |\n|---|---|---|");
    for entries in sizes {
        snapshots(entries);
        checkpoints(entries);
    }
}
