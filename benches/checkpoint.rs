//! What a checkpoint, an opening, a snapshot and a rollback cost, by size of the state.
//!
//! `benches/limit.rs` puts checkpoints beside the least that any writer could do.
#![expect(clippy::unwrap_used, reason = "a bench stops where something fails")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use perennial::store::{CheckpointOptions, Durability, Store};
use perennial::{HashMap, State};

type World = HashMap<u64, [u64; 12]>;

fn world(entries: u64) -> World {
    (0..entries).map(|key| (key, [key.wrapping_mul(0x9e37_79b9_7f4a_7c15); 12])).collect()
}

fn snapshots(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("state");
    for entries in [1_000, 10_000, 100_000, 1_000_000, 10_000_000u64] {
        let state = State::new((0..entries).map(|key| (key, key)).collect::<HashMap<u64, u64>>());
        group.bench_function(format!("snapshot/{entries}"), |bench| {
            bench.iter(|| black_box(state.snapshot()))
        });
        let snapshot = state.snapshot();
        group.bench_function(format!("rollback/{entries}"), |bench| {
            bench.iter(|| black_box(state.rollback(&snapshot)))
        });
    }
}

fn checkpoints(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    for entries in [10_000, 100_000, 1_000_000u64] {
        let dir = tempfile::tempdir_in("target").unwrap();
        let path = dir.path().join("store");
        let store = Store::open(&path).unwrap();
        let mut map = world(entries);
        store.checkpoint(&map).unwrap();
        let mut next = 0u64;
        for (updates, durability) in
            [(10, Durability::Sync), (1000, Durability::Sync), (1000, Durability::Buffered)]
        {
            let how = CheckpointOptions::new().durability(durability);
            group.bench_function(
                format!("{updates} updates and a checkpoint, {durability:?}/{entries}"),
                |bench| {
                    bench.iter(|| {
                        for _ in 0..updates {
                            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                            map.insert((next >> 20) % entries, [next; 12]);
                        }
                        store.checkpoint_with(&[("state", &map)], &how).unwrap()
                    })
                },
            );
        }
        drop((map, store));
        group.bench_function(format!("open and read one key/{entries}"), |bench| {
            bench.iter(|| {
                let store = Store::open(&path).unwrap();
                let map: World = store.latest().unwrap().unwrap();
                next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                map[&((next >> 20) % entries)]
            })
        });
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_secs(1));
    targets = snapshots, checkpoints
}
criterion_main!(benches);
