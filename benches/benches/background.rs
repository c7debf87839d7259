//! What background checkpoints cost the application: for how long an iteration is blocked, and what throughput is left.
//!
//! `cargo bench -p benches --bench background -- [ENTRIES] [ITERATIONS] [UPDATES]` (1,000,000, 300 and 1,000). Rounds of the same
//! iterations take turns: without checkpoints, with a [`Checkpointer`] asked once an iteration, and with an imbl map
//! whose clone a thread serialises whole (the newest clone wins). Then the last snapshot of a large version is dropped,
//! beside a plain map of the same size. The environment variable DIR chooses the disk.

#![expect(clippy::unwrap_used, reason = "a bench stops where something fails")]

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use benches::{Entry, Random, directory, median, us};
use perennial::store::Store;
use perennial::{Checkpointer, HashMap, State};

/// Rounds of each kind.
const ROUNDS: usize = 5;

/// Times in ascending order.
struct Times(Vec<Duration>);

impl Times {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort();
        Self(times)
    }

    fn at(&self, share: f64) -> Duration {
        self.0[((self.0.len() - 1) as f64 * share) as usize]
    }

    fn line(&self) -> String {
        let [p50, p90, p99, max] = [0.5, 0.9, 0.99, 1.0].map(|share| us(self.at(share)));
        format!("{p50:>10} {p90:>10} {p99:>10} {max:>10}")
    }

    /// Rows of a histogram, a power of two each.
    fn histogram(&self) {
        let bucket = |time: &Duration| (time.as_nanos().max(1) as f64 / 1e3).log2().ceil() as i32;
        let most = 50.0 / self.0.len() as f64;
        for power in bucket(&self.0[0])..=bucket(&self.at(1.0)) {
            let count = self.0.iter().filter(|time| bucket(time) == power).count();
            let bar = "#".repeat((count as f64 * most).ceil() as usize);
            println!("    <= {:>10} {count:>6} {bar}", us(Duration::from_secs_f64(2f64.powi(power) / 1e6)));
        }
    }
}

struct Load {
    entries: u64,
    iterations: usize,
    updates: usize,
    /// Each change is an update of its own, instead of one update for all of an iteration.
    is_single: bool,
}

impl Load {
    /// Runs the iterations; how long they took without `after`, and how long each `after` took.
    fn run(
        &self,
        random: &mut Random,
        mut change: impl FnMut(&[(u64, Entry)]),
        mut after: impl FnMut(),
    ) -> (Duration, Vec<Duration>) {
        let mut blocked = Vec::with_capacity(self.iterations);
        let mut worked = Duration::ZERO;
        for _ in 0..self.iterations {
            let changes: Vec<_> =
                (0..self.updates).map(|_| (random.bits() % self.entries, random.entry())).collect();
            let began = Instant::now();
            change(&changes);
            worked += began.elapsed();
            let began = Instant::now();
            after();
            blocked.push(began.elapsed());
        }
        (worked, blocked)
    }
}

type Map = HashMap<u64, Entry>;

fn change(state: &State<Map>, is_single: bool, changes: &[(u64, Entry)]) {
    if is_single {
        for &(key, entry) in changes {
            state.update(|map| map.insert(key, entry));
        }
    } else {
        state.update(|map| {
            for &(key, entry) in changes {
                map.insert(key, entry);
            }
        });
    }
}

/// The newest clone, whether more come, how many were written.
type Next = (Mutex<Option<imbl::HashMap<u64, Entry>>>, Condvar, AtomicBool, AtomicU64);

/// An imbl map and a thread that writes the newest clone whole.
struct Whole {
    next: Arc<Next>,
    thread: std::thread::JoinHandle<()>,
}

impl Whole {
    fn start(path: &Path) -> Self {
        let file = std::fs::File::create(path).unwrap();
        let next = Arc::new((Mutex::new(None), Condvar::new(), AtomicBool::new(false), AtomicU64::new(0)));
        let shared = Arc::clone(&next);
        let thread = std::thread::spawn(move || {
            let (slot, filled, ended, written) = &*shared;
            loop {
                let mut guard = slot.lock().unwrap();
                while guard.is_none() && !ended.load(Ordering::Relaxed) {
                    guard = filled.wait(guard).unwrap();
                }
                let Some(map) = guard.take() else { return };
                drop(guard);
                let mut bytes = Vec::new();
                for entry in &map {
                    bytes = postcard::to_extend(&entry, bytes).unwrap();
                }
                file.write_all_at(&bytes, 0).unwrap();
                file.sync_data().unwrap();
                written.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { next, thread }
    }

    fn request(&self, map: &imbl::HashMap<u64, Entry>) {
        let old = self.next.0.lock().unwrap().replace(map.clone());
        self.next.1.notify_one();
        drop(old);
    }

    fn end(self) -> u64 {
        *self.next.0.lock().unwrap() = None;
        self.next.2.store(true, Ordering::Relaxed);
        self.next.1.notify_one();
        self.thread.join().unwrap();
        self.next.3.load(Ordering::Relaxed)
    }
}

fn compare(load: &Load, directory: &Path) {
    let mut random = Random(42);
    let entries: Vec<_> = (0..load.entries).map(|key| (key, random.entry())).collect();
    let state = Arc::new(State::new(entries.iter().copied().collect::<Map>()));
    let mut other: imbl::HashMap<u64, Entry> = entries.into_iter().collect();
    let store = Arc::new(Store::open(directory.join(format!("store-{}", load.is_single))).unwrap());
    store.checkpoint(&*state.snapshot()).unwrap();

    let mut rates = [const { Vec::new() }; 4];
    let (mut blocked, mut blocked_whole) = (Vec::new(), Vec::new());
    let (mut made, mut wrote, mut whole) = (0, 0, 0);
    let mut latencies = Vec::new();
    let rate = |worked: Duration| (load.iterations * load.updates) as f64 / worked.as_secs_f64();
    for round in 0..ROUNDS {
        let (worked, _) = load.run(&mut random, |changes| change(&state, load.is_single, changes), || {});
        rates[0].push(rate(worked));

        let checkpointer = Checkpointer::start(&state, &store).unwrap();
        // What the iterations without checkpoints changed.
        checkpointer.request().wait().unwrap();
        let before = checkpointer.stats();
        let (worked, times) = load.run(
            &mut random,
            |changes| change(&state, load.is_single, changes),
            || drop(checkpointer.request()),
        );
        rates[1].push(rate(worked));
        blocked.extend(times);
        let stats = checkpointer.stats();
        made += stats.checkpoints - before.checkpoints;
        wrote += stats.bytes - before.bytes;
        latencies.push(stats.latency);
        drop(checkpointer);

        if !load.is_single {
            let insert = |map: &mut imbl::HashMap<_, _>, changes: &[(u64, Entry)]| {
                for &(key, entry) in changes {
                    map.insert(key, entry);
                }
            };
            let (worked, _) = load.run(&mut random, |changes| insert(&mut other, changes), || {});
            rates[2].push(rate(worked));
            let thread = Whole::start(&directory.join("whole"));
            let map = std::cell::RefCell::new(&mut other);
            let (worked, times) = load.run(
                &mut random,
                |changes| insert(*map.borrow_mut(), changes),
                || thread.request(*map.borrow()),
            );
            rates[3].push(rate(worked));
            blocked_whole.extend(times);
            whole += thread.end();
        }
        print!("\r{}/{ROUNDS}", round + 1);
        std::io::stdout().flush().unwrap();
    }
    let how = if load.is_single { "an update each" } else { "one update" };
    println!(
        "\r{} entries, {} changes an iteration ({how}), {} iterations",
        load.entries,
        load.updates,
        ROUNDS * load.iterations
    );
    println!("  {:<26} {:>10} {:>10} {:>10} {:>10}", "blocked per iteration", "p50", "p90", "p99", "max");
    let times = Times::of(blocked);
    println!("  {:<26} {}", "Checkpointer::request", times.line());
    if !load.is_single {
        println!("  {:<26} {}", "imbl, clone to a thread", Times::of(blocked_whole).line());
    }
    times.histogram();
    let [without, with, other_without, other_with] = &mut rates;
    let ratio = median(with) / median(without);
    println!(
        "  updates a second: {:.0} without, {:.0} with checkpoints: {ratio:.2}",
        median(without),
        median(with)
    );
    println!(
        "  durable checkpoints: {made} of {} iterations (others coalesced), {} KiB each, at most {} from request to \
         durable",
        ROUNDS * load.iterations,
        wrote / made.max(1) / 1024,
        us(Times::of(latencies).at(1.0))
    );
    if !load.is_single {
        let ratio = median(other_with) / median(other_without);
        let (without, with) = (median(other_without), median(other_with));
        println!(
            "  imbl: {without:.0} without, {with:.0} with whole checkpoints ({whole} of them): {ratio:.2}"
        );
    }
}

/// The last holder of a large version lets go of it.
fn drops(entries: u64) {
    let mut random = Random(7);
    let mut build = || (0..entries).map(|key| (key, random.entry())).collect::<Map>();
    let (mut snapshots, mut plain) = (Vec::new(), Vec::new());
    for _ in 0..12 {
        let state = State::new(build());
        let last = state.snapshot();
        drop(state.replace(Map::new()));
        let began = Instant::now();
        drop(last);
        snapshots.push(began.elapsed());
        let map = build();
        let began = Instant::now();
        drop(map);
        plain.push(began.elapsed());
    }
    println!("{entries} entries, dropped by their last holder");
    println!("  {:<26} {:>10} {:>10} {:>10} {:>10}", "", "p50", "p90", "p99", "max");
    let times = Times::of(snapshots);
    println!("  {:<26} {}", "snapshot of a state", times.line());
    println!("  {:<26} {}", "plain map", Times::of(plain).line());
    times.histogram();
}

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let number = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let directory = directory();
    for is_single in [false, true] {
        let load = Load {
            entries: number(0, 1_000_000) as u64,
            iterations: number(1, 300),
            updates: number(2, 1_000),
            is_single,
        };
        compare(&load, directory.path());
    }
    drops(number(0, 1_000_000) as u64);
}
