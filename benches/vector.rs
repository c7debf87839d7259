//! `perennial::Vector` against imbl, im, rpds, and std's vectors, in one process.
//!
//! `cargo bench --bench vector -- 100000/get` runs one group. Everything is measured on `u64`, per item where an
//! operation is repeated.

use std::collections::VecDeque;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};

/// What is measured; `None` from `supports` leaves a peer out of a group.
trait Peer: Clone + PartialEq + FromIterator<u64> {
    const NAME: &str;
    /// Has insert, remove, append, split and a front end.
    const FULL: bool = true;
    /// `clone` shares.
    const SHARES: bool = true;
    fn push(&mut self, item: u64);
    fn at(&self, index: usize) -> u64;
    fn put(&mut self, index: usize, item: u64);
    fn sum(&self) -> u64;
    fn size(&self) -> usize;
    fn join(&mut self, _: Self) {}
    fn cut(&mut self, _: usize) -> Self {
        self.clone()
    }
    fn add(&mut self, _: usize, _: u64) {}
    fn take(&mut self, _: usize) {}
    fn push_first(&mut self, _: u64) {}
    fn pop_first(&mut self) {}
}

macro_rules! peer {
    ($type:ty, $name:literal, $push:ident, $append:expr, $($shares:ident)?) => {
        impl Peer for $type {
            const NAME: &str = $name;
            $(const SHARES: bool = $shares;)?
            fn push(&mut self, item: u64) { self.$push(item); }
            fn at(&self, index: usize) -> u64 { self[index] }
            fn put(&mut self, index: usize, item: u64) { self[index] = item; }
            fn sum(&self) -> u64 {
                let mut sum = 0u64;
                for item in self { sum = sum.wrapping_add(*item); }
                sum
            }
            fn size(&self) -> usize { self.len() }
            fn join(&mut self, other: Self) { $append(self, other) }
            fn cut(&mut self, at: usize) -> Self { self.split_off(at) }
            fn add(&mut self, index: usize, item: u64) { self.insert(index, item); }
            fn take(&mut self, index: usize) { let _ = self.remove(index); }
            fn push_first(&mut self, item: u64) { self.push_front(item); }
            fn pop_first(&mut self) { self.pop_front(); }
        }
    };
}

peer!(perennial::Vector<u64>, "perennial", push_back, |a: &mut Self, mut b: Self| a.append(&mut b),);
peer!(imbl::Vector<u64>, "imbl", push_back, |a: &mut Self, b: Self| a.append(b),);
peer!(im::Vector<u64>, "im", push_back, |a: &mut Self, b: Self| a.append(b),);
peer!(VecDeque<u64>, "VecDeque", push_back, |a: &mut Self, mut b: Self| a.append(&mut b), SHARES_NOT);
const SHARES_NOT: bool = false;

impl Peer for rpds::VectorSync<u64> {
    const NAME: &str = "rpds";
    const FULL: bool = false;
    fn push(&mut self, item: u64) {
        self.push_back_mut(item);
    }
    fn at(&self, index: usize) -> u64 {
        self[index]
    }
    fn put(&mut self, index: usize, item: u64) {
        self.set_mut(index, item);
    }
    fn sum(&self) -> u64 {
        self.iter().fold(0, |sum, item| sum.wrapping_add(*item))
    }
    fn size(&self) -> usize {
        self.len()
    }
}

impl Peer for Vec<u64> {
    const NAME: &str = "Vec";
    const FULL: bool = false;
    const SHARES: bool = false;
    fn push(&mut self, item: u64) {
        Vec::push(self, item);
    }
    fn at(&self, index: usize) -> u64 {
        self[index]
    }
    fn put(&mut self, index: usize, item: u64) {
        self[index] = item;
    }
    fn sum(&self) -> u64 {
        let mut sum = 0u64;
        for item in self {
            sum = sum.wrapping_add(*item);
        }
        sum
    }
    fn size(&self) -> usize {
        self.len()
    }
}

/// A sequence of positions that no prefetcher guesses.
fn random(seed: &mut u64, below: usize) -> usize {
    *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
    ((*seed >> 33) as usize * below) >> 31
}

const STEPS: usize = 1000;

fn cut_up<P: Peer>(n: usize) -> P {
    let (mut vector, mut seed) = ((0..n as u64).collect::<P>(), 3);
    for _ in 0..200 {
        let mut right = vector.cut(random(&mut seed, n));
        right.join(vector);
        vector = right;
    }
    vector
}

type Group<'a> = BenchmarkGroup<'a, criterion::measurement::WallTime>;

fn gets<P: Peer>(group: &mut Group<'_>, build: impl Fn() -> P) {
    group.bench_function(P::NAME, |bench| {
        let (vector, mut seed) = (build(), 1);
        let n = vector.size();
        bench.iter(|| (0..STEPS).fold(0u64, |sum, _| sum.wrapping_add(vector.at(random(&mut seed, n)))));
    });
}

fn each<P: Peer>(criterion: &mut Criterion, n: usize, what: &str) {
    let mut group = criterion.benchmark_group(format!("{n}/{what}"));
    let large = !P::SHARES;
    group
        .sample_size(10)
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(400));
    let build = || (0..n as u64).collect::<P>();
    let mut seed = 1;
    match what {
        "push_back" => {
            group.throughput(Throughput::Elements(n as u64));
            group.bench_function(P::NAME, |bench| {
                bench.iter_with_large_drop(|| {
                    let mut vector: P = std::iter::empty().collect();
                    (0..n as u64).for_each(|item| vector.push(item));
                    vector
                });
            });
        }
        "collect" => {
            group.throughput(Throughput::Elements(n as u64));
            group
                .bench_function(P::NAME, |bench| bench.iter_with_large_drop(|| (0..n as u64).collect::<P>()));
        }
        "get" => {
            group.throughput(Throughput::Elements(STEPS as u64));
            gets(&mut group, build);
        }
        "get_after_cuts" if P::FULL => {
            group.throughput(Throughput::Elements(STEPS as u64));
            gets(&mut group, || cut_up::<P>(n));
        }
        "update" => {
            group.throughput(Throughput::Elements(STEPS as u64));
            group.bench_function(P::NAME, |bench| {
                let mut vector = build();
                bench.iter(|| (0..STEPS).for_each(|step| vector.put(random(&mut seed, n), step as u64)));
            });
        }
        "update_shared" if !large => {
            group.bench_function(P::NAME, |bench| {
                let mut vector = build();
                bench.iter(|| {
                    let before = vector.clone();
                    vector.put(random(&mut seed, n), 1);
                    before
                });
            });
        }
        "iterate" => {
            group.throughput(Throughput::Elements(n as u64));
            group.bench_function(P::NAME, |bench| {
                let vector = build();
                bench.iter(|| black_box(&vector).sum());
            });
        }
        "concat" if P::FULL => {
            group.bench_function(P::NAME, |bench| {
                let left: P = (0..n as u64 / 2).collect();
                bench.iter_batched(
                    || (left.clone(), left.clone()),
                    |(mut a, b)| {
                        a.join(b);
                        a
                    },
                    BatchSize::SmallInput,
                );
            });
        }
        "insert_remove" if P::FULL => {
            group.bench_function(P::NAME, |bench| {
                let mut vector = build();
                bench.iter(|| {
                    vector.add(random(&mut seed, n), 1);
                    vector.take(random(&mut seed, n));
                });
            });
        }
        "front" if P::FULL => {
            group.throughput(Throughput::Elements(2 * STEPS as u64));
            group.bench_function(P::NAME, |bench| {
                let mut vector = build();
                bench.iter(|| {
                    (0..STEPS).for_each(|step| vector.push_first(step as u64));
                    (0..STEPS).for_each(|_| vector.pop_first());
                });
            });
        }
        "eq_10" => {
            // Ten items are written with the values that they have: all of both must be compared or known shared.
            group.bench_function(P::NAME, |bench| {
                let vector = build();
                let mut other = vector.clone();
                (0..10).map(|part| part * (n / 10) + n / 20).for_each(|index| other.put(index, index as u64));
                bench.iter(|| black_box(&vector) == black_box(&other));
            });
        }
        _ => {}
    }
    group.finish();
}

fn all(criterion: &mut Criterion) {
    let whats = [
        "push_back",
        "collect",
        "get",
        "get_after_cuts",
        "update",
        "update_shared",
        "iterate",
        "concat",
        "insert_remove",
        "front",
        "eq_10",
    ];
    for n in [100_000, 1_000_000] {
        for what in whats {
            each::<perennial::Vector<u64>>(criterion, n, what);
            each::<imbl::Vector<u64>>(criterion, n, what);
            each::<im::Vector<u64>>(criterion, n, what);
            each::<rpds::VectorSync<u64>>(criterion, n, what);
            each::<Vec<u64>>(criterion, n, what);
            each::<VecDeque<u64>>(criterion, n, what);
        }
    }
}

criterion_group!(benches, all);
criterion_main!(benches);
