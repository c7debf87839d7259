//! `perennial::HashMap` against imbl, im, rpds and std, with one hasher, in one process.
//!
//! `cargo bench --bench hash_map -- 100000/get` runs one group. Keys and values are `u64`; everything is per operation.

use std::collections::HashMap as StdHashMap;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use perennial::SeededState;

trait Peer: Clone {
    const NAME: &str;
    /// `clone` shares.
    const SHARES: bool = true;
    fn empty() -> Self;
    fn put(&mut self, key: u64, value: u64);
    fn find(&self, key: u64) -> Option<u64>;
    fn drop_key(&mut self, key: u64);
    fn sum(&self) -> u64;
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
        }
    };
}

type Imbl = imbl::GenericHashMap<u64, u64, SeededState, imbl::shared_ptr::DefaultSharedPtr>;
type Rpds = rpds::HashTrieMapSync<u64, u64, SeededState>;

peer!(perennial::HashMap<u64, u64>, "perennial", Self::new(), insert, remove, true);
peer!(Imbl, "imbl", Self::with_hasher(SeededState::default()), insert, remove, true);
peer!(im::HashMap<u64, u64, SeededState>, "im", Self::with_hasher(SeededState::default()), insert, remove, true);
peer!(Rpds, "rpds", Self::new_with_hasher_and_ptr_kind(SeededState::default()), insert_mut, remove_mut, true);
peer!(
    StdHashMap<u64, u64, SeededState>,
    "std",
    Self::with_hasher(SeededState::default()),
    insert,
    remove,
    false
);

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

fn hash_map(criterion: &mut Criterion) {
    for count in [1_000, 100_000, 1_000_000] {
        let keys = keys(count);
        for what in [
            "build",
            "get",
            "update",
            "update with a version alive",
            "a snapshot and 1,000 updates",
            "iterate",
            "remove and insert",
        ] {
            let mut group = criterion.benchmark_group(format!("{count}/{what}"));
            measure::<perennial::HashMap<u64, u64>>(&mut group, what, &keys);
            measure::<Imbl>(&mut group, what, &keys);
            measure::<im::HashMap<u64, u64, SeededState>>(&mut group, what, &keys);
            measure::<Rpds>(&mut group, what, &keys);
            measure::<StdHashMap<u64, u64, SeededState>>(&mut group, what, &keys);
        }
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800));
    targets = hash_map
}
criterion_main!(benches);
