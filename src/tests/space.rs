//! What compaction takes: room on the disk beside the store, and time of the checkpoints that go on meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::compaction::{Noise, World, small};
use super::hooked::{Hooked, Hooks};
use crate::retention::keep_last;
use crate::storage::{MemoryStorage, Storage};

/// A directory in memory that knows the most it ever held, and can be slow to write what compaction writes.
type Watched = Hooked<Watch>;

#[derive(Clone, Default)]
struct Watch {
    most_bytes: Arc<AtomicU64>,
    slow: Duration,
}

impl Hooks for Watch {
    fn touched(&self, storage: &MemoryStorage) {
        self.most_bytes.fetch_max(bytes(storage), Ordering::Relaxed);
    }

    fn syncing(&self, name: &str) -> io::Result<()> {
        if name.ends_with(".segment") && !name.ends_with("-0.segment") {
            std::thread::sleep(self.slow);
        }
        Ok(())
    }
}

impl Watch {
    /// The most it held since this was asked last.
    fn most_bytes(&self) -> u64 {
        self.most_bytes.swap(0, Ordering::Relaxed)
    }
}

fn bytes(storage: &MemoryStorage) -> u64 {
    let length = |name: &String| storage.open(name).map_or(0, |file| file.len_bytes().unwrap());
    storage.list().unwrap().iter().map(length).sum()
}

const SEGMENT_BYTES: u64 = 16 << 10;
/// The manifest, while it is replaced.
const MANIFEST_BYTES: u64 = 4 << 10;

#[test]
fn a_pass_needs_a_segment_and_what_it_moves_beside_the_store() {
    let disk = Watched::default();
    let store = small().compact_below(0.9).open_storage(Arc::new(disk.clone())).unwrap();
    let (mut world, mut noise) = (World::default(), Noise(31));
    for round in 0..6 {
        for _ in 0..40 {
            world.step(&mut noise, 40);
            store.checkpoint(&world).unwrap();
        }
        store.retain(&keep_last(10)).unwrap();
        let before = bytes(&disk.storage);
        disk.hooks.most_bytes();
        let compacted = store.compact().unwrap();
        let most = disk.hooks.most_bytes();
        assert!(compacted.rewritten > 0, "{compacted:?}");
        assert!(most > before, "round {round}: the replacement stands beside what it replaces");
        let bound = before + SEGMENT_BYTES + compacted.new_bytes.min(4 * SEGMENT_BYTES) + MANIFEST_BYTES;
        assert!(most <= bound, "round {round}: {most} bytes, {before} before");
    }
}

#[test]
fn the_log_keeps_to_its_limit_however_slow_compaction_is() {
    let mut disk = Watched::default();
    disk.hooks.slow = Duration::from_millis(15);
    let store = small().keep(keep_last(5)).open_storage(Arc::new(disk.clone())).unwrap();
    let (mut world, mut noise) = (World::default(), Noise(32));
    let (mut written, mut largest, mut live) = (0, 0, 0);
    for n in 0..800 {
        world.step(&mut noise, 30);
        let bytes = store.checkpoint(&world).unwrap().bytes;
        written += bytes;
        largest = bytes.max(largest);
        if n % 40 == 39 {
            live = live.max(store.usage().unwrap().used_bytes);
        }
    }
    let stats = store.stats();
    assert_eq!(stats.compaction_failure, None);
    assert!(stats.compaction_wait > Duration::ZERO, "it was too slow, so checkpoints waited");
    // What the options allow, with some room where that is hardly less than the log; then the checkpoint that passed
    // the limit, the segment that was begun for it, those that are being replaced, and what a busy machine adds.
    let limit = 2 * live + (live / 3).max(2 * SEGMENT_BYTES);
    let bound = limit + largest + 4 * SEGMENT_BYTES + MANIFEST_BYTES;
    let most = disk.hooks.most_bytes();
    assert!(most <= bound, "{most} bytes; limit {limit}, in use {live}, {written} written");
    assert!(bound < written / 4 * 3, "the bound says something: {bound} of {written}");
}
