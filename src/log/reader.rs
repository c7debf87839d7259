//! An opening: the reading end of the log, which lazy nodes hold on to.
//!
//! It outlives the [`Log`](super::Log) it came from: it keeps maps (or open files), not the lock. Readers never wait for a
//! write to the disk: the writer publishes blocks, segments and commits after it wrote them, under locks that are
//! held for a few instructions.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering, RwLock};

use super::block::{self, RecordBlock, corrupt};
use super::block_cache::BlockCache;
use super::commit::{Commit, Link};
use super::directory::Directory;
use super::format::Place;
use super::index::BlockEntry;
use super::kept_commits::KeptCommits;
use super::large_block::{KeepLarge, LargeBlock};
use super::manifest::Manifest;
use super::pin::PinTable;
use super::segment::Segment;
use crate::error::{Error, Result};
use crate::record::recheck::Rechecks;
use crate::record::{Address, LogScan, Record, RecordReader, Tag};

/// One opening of one store.
pub(crate) struct LogReader {
    tag: Tag,
    pub(crate) directory: Arc<Directory>,
    pub(crate) store_id: u64,
    cache: BlockCache,
    large: LargeBlock,
    /// By number; compaction leaves holes.
    segments: RwLock<Vec<Option<Arc<Segment>>>>,
    newest: RwLock<Option<Arc<Commit>>>,
    pin_table: Mutex<PinTable>,
    /// Where the log ended at the last eviction.
    evicted: AtomicU64,
    /// Segment and offset of what was found damaged.
    damaged: Mutex<BTreeSet<(u32, u64)>>,
    /// Number of new findings.
    damages: AtomicU64,
    /// Of leaves that were encoded; see there.
    pub(crate) rechecks: Arc<Rechecks>,
}

/// Places of damage that are remembered, so that each counts once. After so many, what was written is in doubt as a whole.
const MAX_DAMAGES: usize = 1 << 16;

impl LogReader {
    /// Starts an opening of what a manifest names, still without segments.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`] if the process has used up its tags.
    pub(crate) fn of(directory: Arc<Directory>, manifest: &Manifest, cache_bytes: usize) -> Result<Self> {
        let segments = manifest.segments.last().map_or(0, |last| last.number + 1);
        Self::new(directory, manifest.store_id, segments, cache_bytes)
    }

    /// Starts an opening without segments, which will have numbers below `segments`, and those that come after.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub(crate) fn new(
        directory: Arc<Directory>,
        store_id: u64,
        segments: u32,
        cache_bytes: usize,
    ) -> Result<Self> {
        let tag = next_tag(segments)?;
        Ok(Self {
            tag,
            directory,
            store_id,
            cache: BlockCache::new(cache_bytes),
            large: LargeBlock::default(),
            segments: RwLock::new(Vec::new()),
            newest: RwLock::new(None),
            pin_table: Mutex::default(),
            evicted: AtomicU64::new(0),
            damaged: Mutex::default(),
            damages: AtomicU64::new(0),
            rechecks: Arc::default(),
        })
    }

    /// Lets readers see a segment.
    pub(crate) fn add_segment(&self, segment: Arc<Segment>) {
        let number = segment.number() as usize;
        let mut segments = self.segments.write();
        if segments.len() <= number {
            segments.resize(number + 1, None);
        }
        segments[number] = Some(segment);
    }

    /// Takes a segment of which nothing is left away from readers.
    pub(crate) fn remove_segment(&self, number: u32) {
        if let Some(place) = self.segments.write().get_mut(number as usize) {
            *place = None;
        }
    }

    /// The segment of this number.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the store has none.
    pub(crate) fn segment(&self, number: u32) -> Result<Arc<Segment>> {
        let found = self.segments.read().get(number as usize).cloned().flatten();
        found.ok_or_else(|| {
            let place = Place { store_id: self.store_id, segment: number, offset: 0 };
            corrupt(place, "a record refers to this segment, but the store has none of this number")
        })
    }

    /// All segments, ascending by number.
    pub(crate) fn segments(&self) -> Vec<Arc<Segment>> {
        self.segments.read().iter().flatten().cloned().collect()
    }

    /// One more than the highest number of a segment.
    pub(crate) fn segments_end(&self) -> u32 {
        self.segments.read().len() as u32
    }

    /// Makes sure that a segment of this number can be told from those of other openings.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`] if it cannot, in a process that has opened very many stores.
    pub(crate) fn expect_room(&self, number: u32) -> Result<()> {
        let most = self.tag.max_segments();
        if number < most || most == Address::MAX_SEGMENTS {
            return Ok(());
        }
        let what = format!(
            "this process has opened stores so often that this opening, begun with few segments, can have no more than \
             {most} of them; open the store again"
        );
        Err(Error::Limit { what })
    }

    /// Lets what is read through this opening stay readable when its log is closed and others open the store, who may
    /// replace and remove files: all segments are mapped, or opened where nothing is mapped, which keeps their bytes when their
    /// names are gone. What cannot be (the system allows some 65,000 maps, and often 1,024 open files) is looked for by its name
    /// when it is needed.
    ///
    /// `is_in_doubt`: how much of the active segment is durable is not known. The next opening then may cut what it does
    /// not find on the medium and write over it, which would show in the map. So the segment is copied into memory, if it can be
    /// read; else what is written over is found by its checksum or its epoch, and is an error.
    pub(crate) fn outlive(&self, is_in_doubt: bool) {
        let segments = self.segments();
        for segment in &segments {
            let _ = segment.region();
        }
        if let Some(active) = segments.last().filter(|_| is_in_doubt)
            && let Some(copy) = active.in_memory()
        {
            self.add_segment(Arc::new(copy));
        }
    }

    /// The newest commit.
    pub(crate) fn newest(&self) -> Option<Arc<Commit>> {
        self.newest.read().clone()
    }

    /// Lets readers see a commit as the newest.
    pub(crate) fn set_newest(&self, commit: Option<Arc<Commit>>) {
        *self.newest.write() = commit;
    }

    /// Which checkpoints are kept, and which are held. Locked for a few instructions at a time.
    pub(crate) fn pin_table(&self) -> MutexGuard<'_, PinTable> {
        self.pin_table.lock()
    }

    /// Where the log ended at the last eviction that let go of something.
    pub(crate) fn evicted(&self) -> Address {
        Address::from_bits(self.evicted.load(Ordering::Relaxed))
    }

    /// Says where the log ended at an eviction.
    pub(crate) fn set_evicted(&self, end: Address) {
        self.evicted.store(end.to_bits(), Ordering::Relaxed);
    }

    /// Takes note of damage that somebody met: what lies there is written again with the next checkpoint, if it is in
    /// memory. Each place counts once. Other errors are passed over.
    pub(crate) fn note_damage(&self, error: &Error) {
        let Error::Corrupt { segment, offset, .. } = *error else { return };
        let mut damaged = self.damaged.lock();
        if damaged.len() < MAX_DAMAGES && damaged.insert((segment, offset)) {
            self.damages.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of damages met so far.
    pub(crate) fn damages(&self) -> u64 {
        self.damages.load(Ordering::Relaxed)
    }

    /// As [`note_damage`](Self::note_damage), of whatever walked the log. A damaged commit says nothing of nodes.
    pub(crate) fn note_found(&self, error: &Error) {
        let Error::Corrupt { segment, offset, .. } = *error else { return };
        let index = self.segment(segment).and_then(|segment| segment.blocks());
        let is_commit = |entry: BlockEntry| entry.is_commit && u64::from(entry.offset) == offset;
        if !index.is_ok_and(|index| index.iter().any(|(entry, ..)| is_commit(entry))) {
            self.note_damage(error);
        }
    }

    /// Takes note of a block, or a segment, that cannot be read. A segment that compaction took away meanwhile is none.
    fn note_unreadable(&self, segment: &Arc<Segment>, error: &Error) {
        let current = self.segments.read().get(segment.number() as usize).cloned().flatten();
        if current.is_some_and(|current| Arc::ptr_eq(&current, segment)) {
            self.note_damage(error);
        }
    }

    /// The block that holds the record at `address`, as the segment's index says.
    fn block_of(&self, segment: &Arc<Segment>, address: Address) -> Result<(BlockEntry, u64)> {
        segment.find(address.ordinal()).inspect_err(|error| {
            // That there is no such record says nothing of the medium: compaction removed it.
            if segment.blocks().is_err() {
                self.note_unreadable(segment, error);
            }
        })
    }

    /// As [`read_block`], and takes note of damage.
    fn read_block(
        &self,
        segment: &Arc<Segment>,
        (entry, epoch): (BlockEntry, u64),
        address: Address,
    ) -> Result<RecordBlock> {
        let read = read_block(segment, entry, epoch, address);
        read.inspect_err(|error| {
            // A commit where a record was is what compaction leaves of a record that nobody reached.
            if !entry.is_commit {
                self.note_unreadable(segment, error);
            }
        })
    }

    /// Keeps the last block that is too large for the cache while the guard lives: for what reads all of a store.
    pub(crate) fn keep_large(&self) -> KeepLarge<'_> {
        self.large.keep()
    }

    /// Says which checkpoints are kept.
    pub(crate) fn set_kept_commits(&self, kept_commits: KeptCommits) {
        let mut pin_table = self.pin_table();
        pin_table.kept_commits = kept_commits;
        pin_table.changes += 1;
    }

    /// Reads the commit at `address`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if there is none; [`Error::Io`] if the system refuses.
    pub(crate) fn read_commit(&self, address: Address) -> Result<Commit> {
        self.in_segment(address, |segment| {
            let (entry, epoch) = segment.find(address.ordinal())?;
            let place = segment.place(entry.offset);
            block::expect_end(segment.region()?, place, segment.limit(entry.offset))?;
            Commit::read(segment.region()?, place, address.ordinal(), epoch)
        })
    }

    /// The jump of the commit after `newest` (Myers, "An applicative random-access stack", 1983): twice as far as the
    /// two jumps before it if those were equally far, else one step. Finding any commit then takes O(log n) steps.
    pub(crate) fn jump_after(&self, newest: &Commit) -> Link {
        let jump = newest.jump();
        let step = newest.depth - jump.depth;
        // An unreadable commit far back must not fail this one: one step is always right.
        match self.read_commit(jump.address).map(|far| far.jump()) {
            Ok(far) if jump.depth.checked_sub(far.depth) == Some(step) => far,
            _ => newest.link(),
        }
    }

    /// Reads something of the segment that `address` lies in; again, if compaction replaced the segment meanwhile and
    /// its file was gone before it was mapped.
    fn in_segment<T>(&self, address: Address, mut read: impl FnMut(&Arc<Segment>) -> Result<T>) -> Result<T> {
        loop {
            let segment = self.segment(address.segment())?;
            match read(&segment) {
                Err(error) if Arc::ptr_eq(&segment, &self.segment(address.segment())?) => return Err(error),
                Err(_) => {}
                done => return done,
            }
        }
    }
}

/// Takes a tag that no other opening of this process has, for a store of so many segments.
///
/// # Errors
///
/// [`Error::Limit`] if the process has used up its tags.
pub(crate) fn next_tag(segments: u32) -> Result<Tag> {
    Tag::next_for(segments).ok_or_else(|| Error::Limit {
        what: format!(
            "this process has opened stores more often than it can tell apart (2^32 times; {} times those of more than \
             {} segments); start another process",
            1u32 << Tag::BITS,
            Tag::NARROW_SEGMENTS / 2
        ),
    })
}

impl RecordReader for LogReader {
    fn tag(&self) -> Tag {
        self.tag
    }

    fn read(&self, address: Address) -> Result<Record> {
        self.in_segment(address, |segment| {
            let found @ (entry, _) = self.block_of(segment, address)?;
            let cached = self.cache.get(segment.entry, entry.offset);
            if let Some(block) = cached.or_else(|| self.large.get(segment.entry, entry.offset)) {
                return block.record(address);
            }
            let block = Arc::new(self.read_block(segment, found, address)?);
            if !self.cache.insert(segment.entry, entry.offset, Arc::clone(&block)) {
                self.large.offer(segment.entry, entry.offset, &block);
            }
            block.record(address)
        })
    }

    fn decoded(&self, address: Address, node: usize) {
        self.rechecks.decoded(address, node);
    }

    fn sweep(&self) -> Box<dyn LogScan + '_> {
        Box::new(BlockScan { opening: self, block: None })
    }
}

/// Reads and decodes the block that holds the record at `address`, as the segment's index says.
pub(crate) fn read_block(
    segment: &Segment,
    entry: BlockEntry,
    epoch: u64,
    address: Address,
) -> Result<RecordBlock> {
    let place = segment.place(entry.offset);
    if entry.is_commit {
        return Err(corrupt(place, format!("the record {address} was expected, but a commit is here")));
    }
    block::expect_end(segment.region()?, place, segment.limit(entry.offset))?;
    let (header, block) = RecordBlock::read(segment.region()?, place)?;
    if header.epoch != epoch || header.first_ordinal != entry.first_ordinal {
        return Err(corrupt(place, "a stale block of another opening lies where a newer one was written"));
    }
    Ok(block)
}

/// A pass over the log that keeps the block it is at.
struct BlockScan<'a> {
    opening: &'a LogReader,
    block: Option<RecordBlock>,
}

impl LogScan for BlockScan<'_> {
    fn read(&mut self, address: Address) -> Result<Record> {
        if let Some(block) = self.block.as_ref().filter(|block| block.holds(address)) {
            return block.record(address);
        }
        let block = self.opening.in_segment(address, |segment| {
            let found = self.opening.block_of(segment, address)?;
            self.opening.read_block(segment, found, address)
        })?;
        self.block.insert(block).record(address)
    }
}
