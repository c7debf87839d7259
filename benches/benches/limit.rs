//! Checkpoints beside the *limit writer*: a std `HashMap` whose changed entries are appended as one zstd -1 frame to a
//! preallocated file and synced once. No store that keeps every version can do with less work.
//!
//! `cargo bench -p benches --bench limit -- [ENTRIES] [CHECKPOINTS] [UPDATES]` (1,000,000, 2,000 and 1,000). Both run in turns,
//! iteration by iteration, on the same disk; an iteration is the updates, the encoding and the sync. The environment
//! variables COMPRESSION (none, lz4, zstd), BLOCK_BYTES and DIR choose what else there is to choose.

#![expect(clippy::unwrap_used, reason = "a bench stops where something fails")]

use std::collections::HashMap as StdHashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use benches::{Entry, Random, directory, median};
use perennial::HashMap;
use perennial::store::{Compression, Store};

/// The limit writer.
struct Limit {
    map: StdHashMap<u64, Entry>,
    file: File,
    offset: u64,
    zstd: zstd::bulk::Compressor<'static>,
}

impl Limit {
    fn new(path: &Path, entries: &[(u64, Entry)]) -> Self {
        let file = File::options().create(true).truncate(true).read(true).write(true).open(path).unwrap();
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, 2 << 30).unwrap();
        file.sync_all().unwrap();
        let zstd = zstd::bulk::Compressor::new(1).unwrap();
        Self { map: entries.iter().copied().collect(), file, offset: 0, zstd }
    }

    fn iterate(&mut self, updates: &[(u64, Entry)], durable: bool) -> u64 {
        let mut bytes = Vec::with_capacity(updates.len() * 108);
        for (key, entry) in updates {
            self.map.insert(*key, *entry);
            bytes.extend(key.to_le_bytes());
            entry.append_raw(&mut bytes);
        }
        let frame = self.zstd.compress(&bytes).unwrap();
        self.file.write_all_at(&frame, self.offset).unwrap();
        self.offset += frame.len() as u64;
        if durable {
            self.file.sync_data().unwrap();
        }
        frame.len() as u64
    }
}

/// Bytes that this process has sent towards the device.
fn device_bytes() -> u64 {
    let mut text = String::new();
    let read = File::open("/proc/self/io").and_then(|mut file| file.read_to_string(&mut text));
    read.ok()
        .and_then(|_| text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.parse().ok()))
        .unwrap_or(0)
}

fn time<T>(work: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed().as_secs_f64() * 1e3)
}

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|arg| arg.parse().ok()).collect();
    let number = |index: usize, default| numbers.get(index).copied().unwrap_or(default);
    let (entries, checkpoints, updates) = (number(0, 1_000_000), number(1, 2_000), number(2, 1_000));
    let compression = match std::env::var("COMPRESSION").as_deref() {
        Ok("none") => Compression::None,
        Ok("lz4") => Compression::Lz4,
        Ok("zstd") => Compression::Zstd,
        _ => Compression::default(),
    };
    let dir = directory();
    let path = dir.path().join("store");
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let initial: Vec<(u64, Entry)> = (0..entries as u64).map(|key| (key, random.entry())).collect();

    let block_bytes = std::env::var("BLOCK_BYTES").ok().and_then(|bytes| bytes.parse().ok());
    let mut options = Store::options().compression(compression);
    if let Some(bytes) = block_bytes {
        options = options.block_bytes(bytes);
    }
    let store = options.open(&path).unwrap();
    let mut map: HashMap<u64, Entry> = initial.iter().copied().collect();
    let (full, full_ms) = time(|| store.checkpoint(&map).unwrap());
    let mut limit = Limit::new(&dir.path().join("limit"), &initial);
    let (limit_full, limit_full_ms) = time(|| limit.iterate(&initial, true));
    println!("{entries} entries of 108 bytes, {updates} uniform updates per checkpoint, {compression:?}");
    println!(
        "everything: {:.1} MiB in {full_ms:.0} ms (limit {:.1} MiB in {limit_full_ms:.0} ms)",
        full.bytes as f64 / 1048576.0,
        limit_full as f64 / 1048576.0
    );
    println!("checkpoints     bytes each       x limit   ms each        x limit   device KiB each");

    let marks = [10, 100, 500, 1_000, 1_500, 2_000, 5_000, 10_000];
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    let (mut my_bytes, mut their_bytes, mut my_device, mut their_device) = (0, 0, 0, 0);
    for checkpoint in 1..=checkpoints {
        let batch: Vec<(u64, Entry)> =
            (0..updates).map(|_| (random.bits() % entries as u64, random.entry())).collect();
        let before = device_bytes();
        let (bytes, ms) = time(|| {
            for (key, entry) in &batch {
                map.insert(*key, *entry);
            }
            store.checkpoint(&map).unwrap().bytes
        });
        let between = device_bytes();
        mine.push(ms);
        my_bytes += bytes;
        my_device += between - before;
        let (bytes, ms) = time(|| limit.iterate(&batch, true));
        theirs.push(ms);
        their_bytes += bytes;
        their_device += device_bytes() - between;
        if marks.contains(&checkpoint) || checkpoint == checkpoints {
            let n = mine.len() as f64;
            let (my_ms, their_ms) = (median(&mut mine), median(&mut theirs));
            println!(
                "{:>5}..{checkpoint:<5} {:>8.1} KiB {:>8.2} x {:>8.2} ms {:>10.2} x {:>10.1} / {:.1}",
                checkpoint - mine.len() + 1,
                my_bytes as f64 / n / 1024.0,
                my_bytes as f64 / their_bytes as f64,
                my_ms,
                my_ms / their_ms,
                my_device as f64 / n / 1024.0,
                their_device as f64 / n / 1024.0,
            );
            std::io::stdout().flush().unwrap();
            (mine, theirs) = (Vec::new(), Vec::new());
            (my_bytes, their_bytes, my_device, their_device) = (0, 0, 0, 0);
        }
    }
    let expected = map.clone();
    drop((map, store));

    let mut opened = Vec::new();
    for _ in 0..21 {
        let (store, open_ms) = time(|| Store::open(&path).unwrap());
        let (first, first_ms) = time(|| {
            let map: HashMap<u64, Entry> = store.latest().unwrap().unwrap();
            let value = map.get(&(random.bits() % entries as u64)).copied();
            (map, value)
        });
        assert!(first.1.is_some());
        opened.push((open_ms + first_ms, open_ms));
    }
    opened.sort_by(|a, b| a.0.total_cmp(&b.0));
    println!("open and read one key: {:.3} ms (of it opening {:.3} ms)", opened[10].0, opened[10].1);
    let mut thousand = Vec::new();
    for _ in 0..5 {
        let store = Store::open(&path).unwrap();
        let map: HashMap<u64, Entry> = store.latest().unwrap().unwrap();
        let keys: Vec<u64> = (0..1000).map(|_| random.bits() % entries as u64).collect();
        let (_, ms) = time(|| keys.iter().for_each(|key| assert_eq!(map.get(key), expected.get(key))));
        thousand.push(ms);
    }
    println!("1,000 random keys: {:.1} ms", median(&mut thousand));
    let mut all = Vec::new();
    for _ in 0..3 {
        let store = Store::open(&path).unwrap();
        let map: HashMap<u64, Entry> = store.latest().unwrap().unwrap();
        let (_, ms) = time(|| map.load_all().unwrap());
        all.push(ms);
        assert!(map == expected);
    }
    println!("everything (load_all): {:.0} ms", median(&mut all));
}
