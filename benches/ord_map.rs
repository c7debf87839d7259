//! `perennial::OrdMap` against imbl, im, rpds and std, in one process.
//!
//! `cargo bench --bench ord_map -- 100000/get` runs one group. Keys and values are `u64`; everything is per operation.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

trait Peer: Clone {
    const NAME: &str;
    /// `clone` shares.
    const SHARES: bool = true;
    fn empty() -> Self;
    fn put(&mut self, key: u64, value: u64);
    fn find(&self, key: u64) -> Option<u64>;
    fn drop_key(&mut self, key: u64);
    fn sum(&self) -> u64;
    fn sum_from(&self, key: u64, count: usize) -> u64;
    fn of_sorted(keys: &[u64]) -> Self;
}

macro_rules! peer {
    ($type:ty, $name:literal, $new:expr, $insert:ident, $remove:ident, $shares:literal) => {
        impl Peer for $type {
            const NAME: &str = $name;
            const SHARES: bool = $shares;
            fn empty() -> Self {
                $new
            }
            fn put(&mut self, key: u64, value: u64) {
                let _ = self.$insert(key, value);
            }
            fn find(&self, key: u64) -> Option<u64> {
                self.get(&key).copied()
            }
            fn drop_key(&mut self, key: u64) {
                let _ = self.$remove(&key);
            }
            fn sum(&self) -> u64 {
                self.iter().fold(0, |sum, (_, value)| sum.wrapping_add(*value))
            }
            fn sum_from(&self, key: u64, count: usize) -> u64 {
                self.range(key..).take(count).fold(0, |sum, (_, value)| sum.wrapping_add(*value))
            }
            fn of_sorted(keys: &[u64]) -> Self {
                keys.iter().map(|&key| (key, key)).collect()
            }
        }
    };
}

peer!(perennial::OrdMap<u64, u64>, "perennial", Self::new(), insert, remove, true);
peer!(imbl::OrdMap<u64, u64>, "imbl", Self::new(), insert, remove, true);
peer!(im::OrdMap<u64, u64>, "im", Self::new(), insert, remove, true);
peer!(rpds::RedBlackTreeMapSync<u64, u64>, "rpds", Self::new_sync(), insert_mut, remove_mut, true);
peer!(BTreeMap<u64, u64>, "std", Self::new(), insert, remove, false);

/// Keys that are in the map, in random order.
fn keys(count: usize) -> Vec<u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let next = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    next.take(count).collect()
}

fn measure<P: Peer>(
    group: &mut BenchmarkGroup<'_, criterion::measurement::WallTime>,
    what: &str,
    keys: &[u64],
) {
    let full = || {
        let mut map = P::empty();
        keys.iter().for_each(|&key| map.put(key, key));
        map
    };
    let some: Vec<u64> = keys.iter().step_by(keys.len().div_ceil(1000)).copied().collect();
    group.throughput(Throughput::Elements(some.len() as u64));
    match what {
        "build" => {
            group.throughput(Throughput::Elements(keys.len() as u64));
            group.bench_function(P::NAME, |bench| bench.iter(full));
        }
        "build from sorted" => {
            let mut sorted = keys.to_vec();
            sorted.sort_unstable();
            group.throughput(Throughput::Elements(keys.len() as u64));
            group.bench_function(P::NAME, |bench| bench.iter(|| P::of_sorted(&sorted)));
        }
        "range of 100" => {
            let map = full();
            group.bench_function(P::NAME, |bench| {
                bench.iter(|| some.iter().fold(0, |sum: u64, &key| sum.wrapping_add(map.sum_from(key, 100))))
            });
        }
        "get" => {
            let map = full();
            group.bench_function(P::NAME, |bench| {
                bench.iter(|| {
                    some.iter().fold(0, |sum: u64, &key| sum.wrapping_add(map.find(key).unwrap_or(0)))
                })
            });
        }
        "update" => {
            let mut map = full();
            group
                .bench_function(P::NAME, |bench| bench.iter(|| some.iter().for_each(|&key| map.put(key, 1))));
        }
        "update with a version alive" if P::SHARES => {
            let mut map = full();
            group.bench_function(P::NAME, |bench| {
                bench.iter(|| {
                    for &key in &some {
                        let before = map.clone();
                        map.put(key, 1);
                        black_box(before);
                    }
                })
            });
        }
        "a snapshot and 1,000 updates" if P::SHARES => {
            let mut map = full();
            group.bench_function(P::NAME, |bench| {
                bench.iter(|| {
                    let before = map.clone();
                    some.iter().for_each(|&key| map.put(key, 1));
                    black_box(before)
                })
            });
        }
        "iterate" => {
            let map = full();
            group.throughput(Throughput::Elements(keys.len() as u64));
            group.bench_function(P::NAME, |bench| bench.iter(|| map.sum()));
        }
        "remove and insert" => {
            let mut map = full();
            group.bench_function(P::NAME, |bench| {
                bench.iter(|| {
                    some.iter().for_each(|&key| map.drop_key(key));
                    some.iter().for_each(|&key| map.put(key, 1));
                })
            });
        }
        _ => {}
    }
}

fn ord_map(criterion: &mut Criterion) {
    for count in [1_000, 100_000, 1_000_000] {
        let keys = keys(count);
        for what in [
            "build",
            "build from sorted",
            "get",
            "update",
            "update with a version alive",
            "a snapshot and 1,000 updates",
            "iterate",
            "range of 100",
            "remove and insert",
        ] {
            let mut group = criterion.benchmark_group(format!("{count}/{what}"));
            measure::<perennial::OrdMap<u64, u64>>(&mut group, what, &keys);
            measure::<imbl::OrdMap<u64, u64>>(&mut group, what, &keys);
            measure::<im::OrdMap<u64, u64>>(&mut group, what, &keys);
            measure::<rpds::RedBlackTreeMapSync<u64, u64>>(&mut group, what, &keys);
            measure::<BTreeMap<u64, u64>>(&mut group, what, &keys);
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = ord_map
}
criterion_main!(benches);
