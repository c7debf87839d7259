//! What compaction takes: room on the disk beside the store, and time of the checkpoints that go on meanwhile.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::compaction::{Noise, World, small};
use crate::retention::keep_last;
use crate::storage::{Lock, MemoryStorage, Region, Storage, StorageFile};

/// A directory in memory that knows the most it ever held, and can be slow to write what compaction writes.
#[derive(Clone, Default)]
struct Watched {
    storage: MemoryStorage,
    most_bytes: Arc<AtomicU64>,
    slow: Duration,
}

struct WatchedFile {
    file: Arc<dyn StorageFile>,
    directory: Watched,
    is_replacement: bool,
}

impl Watched {
    fn bytes(&self) -> u64 {
        let length = |name: &String| self.storage.open(name).map_or(0, |file| file.len_bytes().unwrap());
        self.storage.list().unwrap().iter().map(length).sum()
    }

    fn look(&self) {
        self.most_bytes.fetch_max(self.bytes(), Ordering::Relaxed);
    }

    /// The most it held since this was asked last.
    fn most_bytes(&self) -> u64 {
        self.most_bytes.swap(0, Ordering::Relaxed)
    }

    fn watch(&self, name: &str, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        self.look();
        let is_replacement = name.ends_with(".segment") && !name.ends_with("-0.segment");
        Arc::new(WatchedFile { file, directory: self.clone(), is_replacement })
    }
}

impl Storage for Watched {
    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.watch(name, self.storage.create(name, len_bytes)?))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.watch(name, self.storage.open(name)?))
    }

    fn open_writable(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(self.watch(name, self.storage.open_writable(name)?))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.storage.list()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.storage.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.storage.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.storage.sync_dir()
    }

    fn lock(&self, name: &str) -> io::Result<Lock> {
        self.storage.lock(name)
    }
}

impl StorageFile for WatchedFile {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)?;
        self.directory.look();
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.is_replacement {
            std::thread::sleep(self.directory.slow);
        }
        self.file.sync_data()
    }

    fn len_bytes(&self) -> io::Result<u64> {
        self.file.len_bytes()
    }

    fn map(&self, len_bytes: u64) -> io::Result<Arc<dyn Region>> {
        self.file.map(len_bytes)
    }
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
        let before = disk.bytes();
        disk.most_bytes();
        let compacted = store.compact().unwrap();
        let most = disk.most_bytes();
        assert!(compacted.rewritten > 0, "{compacted:?}");
        assert!(most > before, "round {round}: the replacement stands beside what it replaces");
        let bound = before + SEGMENT_BYTES + compacted.new_bytes.min(4 * SEGMENT_BYTES) + MANIFEST_BYTES;
        assert!(most <= bound, "round {round}: {most} bytes, {before} before");
    }
}

#[test]
fn the_log_keeps_to_its_limit_however_slow_compaction_is() {
    let disk = Watched { slow: Duration::from_millis(15), ..Watched::default() };
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
    // the limit, the segment that was begun for it, and the one that is being replaced.
    let limit = 2 * live + (live / 3).max(2 * SEGMENT_BYTES);
    let bound = limit + largest + 2 * SEGMENT_BYTES + MANIFEST_BYTES;
    let most = disk.most_bytes();
    assert!(most <= bound, "{most} bytes; limit {limit}, in use {live}, {written} written");
    assert!(bound < written / 4 * 3, "the bound says something: {bound} of {written}");
}
