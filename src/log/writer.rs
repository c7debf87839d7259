//! The writer: records into blocks, blocks into batches, batches into segments.
//!
//! A batch is everything from one commit to the next. It starts on a fresh sector, and a small one is a single
//! positioned write. A large one is written out piece by piece as it grows. When a segment is full it is *sealed*:
//! the rest of the batch so far is written, an index block after it, and all of that synced **before** the manifest
//! names the next segment. So what lies in sealed segments is durable, and only the active one can be torn.

mod committing;
mod roll_over;

use std::sync::Arc;

use super::active::Active;
use super::block::{self, BlockBuilder, BlockFacts, BlockKind, HEADER_BYTES};
use super::commit::{BatchSize, Commit, Draft};
use super::compression::Compressor;
use super::directory::segment_name;
use super::format::{MAX_RECORD_BYTES, SECTOR_BYTES, VARINT_BYTES, chain, sector_up};
use super::gc::address_set::{Doubts, Reachable};
use super::index::{BlockEntry, Index};
use super::kept_commits::{KeptCommits, Listed};
use super::manifest::{CommitRef, Manifest, Point, SegmentEntry};
use super::options::{Clock, Durability, Options};
use super::reader::LogReader;
use super::record;
use super::segment::{self, FIRST_BATCH, Segment};
use super::slots::{Refused, Slots};
use super::syncer::Syncer;
use super::witness;
use crate::error::{Error, Result};
use crate::record::recheck::{RECHECKED, Rechecks};
use crate::record::{Address, LiveSet, RecordHead, RecordReader, RecordWriter, Tag};
use crate::retention::Thinning;
use crate::storage::StorageFile;
use crate::weaken;

/// A batch is written out in pieces of about this size.
const WRITE_OUT_BYTES: usize = 1 << 20;

/// The writing end of a log. There is one for each opening that is not read-only.
pub(crate) struct Writer {
    opening: Arc<LogReader>,
    syncer: Arc<Syncer>,
    compressor: Compressor,
    segment_bytes: u32,
    durability: Durability,
    /// What blocks of this opening carry.
    epoch: u64,
    /// The manifest as it lies in the directory, its point moved along with each commit.
    manifest: Manifest,
    slots: Slots,
    /// Segments whose files go with the next manifest, which does not name them.
    forgotten: Vec<SegmentEntry>,
    /// The manifest in the directory says that this opening writes.
    begun: bool,
    /// The directory was not left clean: the manifest there is behind.
    recovered: bool,
    active: Option<Active>,
    /// Records that are not in a block yet.
    block: BlockBuilder,
    /// Blocks that are not written yet; they go to `active.offset`.
    buffer: Vec<u8>,
    /// The blocks in `buffer`.
    entries: Vec<BlockEntry>,
    newest: Option<Arc<Commit>>,
    next_id: u64,
    batch: BatchSize,
    /// What the last mark found reachable.
    reach: Option<Arc<Reachable>>,
    doubts: Doubts,
    /// The versions that a policy keeps, where one is applied with each commit.
    thinning: Option<Thinning>,
    clock: Clock,
}

/// What an opening found: where to go on writing.
pub(crate) struct Resume {
    pub manifest: Manifest,
    pub slots: Slots,
    /// What the manifest in the directory still names.
    pub forgotten: Vec<SegmentEntry>,
    pub newest: Option<Arc<Commit>>,
    pub active: Option<(Arc<Segment>, Arc<dyn StorageFile>)>,
    pub epoch: u64,
    pub recovered: bool,
    pub thinning: Option<Thinning>,
}

impl Writer {
    /// Goes on where the store ends.
    pub(crate) fn new(
        opening: Arc<LogReader>,
        syncer: Arc<Syncer>,
        options: &Options,
        resume: Resume,
    ) -> Self {
        let Resume { manifest, slots, forgotten, newest, active, epoch, recovered, thinning } = resume;
        let active = active.map(|(segment, file)| {
            let path = opening.directory.path.join(segment_name(segment.number(), segment.entry.generation));
            syncer.set_active(Arc::clone(&file), path);
            Active::new(segment, file, manifest.point)
        });
        syncer.start(newest.as_ref().map_or(0, |newest| newest.id));
        Self {
            opening,
            syncer,
            compressor: Compressor::new(options.compression),
            segment_bytes: options.segment_bytes,
            durability: options.durability,
            epoch,
            next_id: manifest.next_commit_id,
            manifest,
            slots,
            forgotten,
            begun: false,
            recovered,
            active,
            block: BlockBuilder::new(options.block_bytes),
            buffer: Vec::new(),
            entries: Vec::new(),
            newest,
            batch: BatchSize::default(),
            reach: None,
            doubts: Doubts::default(),
            thinning,
            clock: options.clock.clone(),
        }
    }

    /// Commits everything appended since the last commit, which may be nothing.
    ///
    /// With [`Durability::Sync`] the commit, and all before it, are durable on return. One positioned write and at
    /// most one sync, unless the batch is large or ends a segment. The first write of an opening replaces the
    /// manifest as well.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses a write or a sync: the writer is poisoned then, and whether the commit
    /// happened shows at the next opening. [`Error::Poisoned`] ever after. [`Error::Limit`] if the roots are too
    /// large for a commit, or the store is full.
    pub(crate) fn commit(&mut self, draft: Draft, durability: Durability) -> Result<Arc<Commit>> {
        let (commit, dropped) = self.write_commit(draft, durability)?;
        match durability {
            Durability::Buffered => {}
            Durability::Sync if weaken::is("acknowledged_early") => {}
            Durability::Sync => {
                self.syncer.sync()?;
            }
        }
        self.opening.directory.keep_manifest().map_err(|e| self.syncer.poison(e))?;
        let here = CommitRef { id: commit.id, address: commit.address };
        self.opening.pin_table().kept_commits.commit(here, &dropped);
        self.opening.set_newest(Some(Arc::clone(&commit)));
        Ok(commit)
    }

    /// Writes out what was appended so far, without a commit, so that it can be read.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub(crate) fn make_readable(&mut self) -> Result<()> {
        self.syncer.check()?;
        self.close_block();
        self.write_out(self.durability)
    }

    /// What blocks of this opening carry.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The id that the next commit will have.
    #[cfg(test)]
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Gives no id below this one any more: a store that this one is a copy of may have given it. Durable once closed.
    pub(crate) fn skip_ids(&mut self, next_id: u64) {
        if self.next_id < next_id {
            self.next_id = next_id;
            // As after a recovery, there is something for the manifest to say.
            self.recovered = true;
        }
    }

    /// Where the next record will lie; `None` if there is no segment yet. All before it can be read.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit).
    pub(crate) fn position(&mut self) -> Result<Option<Address>> {
        self.syncer.check()?;
        if !self.block.is_empty() || !self.buffer.is_empty() {
            self.make_readable()?;
        }
        Ok(self.next_address())
    }

    /// Trusts no record but these from now on, and those after them.
    pub(crate) fn set_reach(&mut self, reach: Arc<Reachable>) {
        self.reach = Some(reach);
    }

    /// See [`Doubts::heed`].
    pub(crate) fn heed_damage(&mut self) -> bool {
        self.doubts.heed(self.opening.damages(), self.next_address())
    }

    fn next_address(&self) -> Option<Address> {
        let active = self.active.as_ref()?;
        // Behind the last ordinal of a segment lies the first one of the next: the bits carry.
        let first = Address::new(active.segment.number(), 0).to_bits();
        Some(Address::from_bits(first + u64::from(active.next_ordinal)))
    }

    /// Returns the place of the next block: segment and offset.
    pub(crate) fn next_place(&self) -> (u32, u64) {
        let Some(active) = &self.active else { return (0, 0) };
        (active.segment.number(), u64::from(active.offset) + self.buffer.len() as u64)
    }

    /// Says which commits are kept, durably.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses, which poisons the writer, unless only room was missing: which commits are kept shows
    /// at the next opening. [`Error::Poisoned`].
    pub(crate) fn set_kept_commits(&mut self, kept_commits: KeptCommits) -> Result<()> {
        self.syncer.sync()?;
        self.replace_manifest(Manifest {
            kept_commits: kept_commits.for_manifest(),
            ..self.manifest.clone()
        })?;
        if let Some(thinning) = &mut self.thinning {
            thinning.forget(|id| kept_commits.look(id) != Listed::Not);
        }
        self.opening.set_kept_commits(kept_commits);
        Ok(())
    }

    /// Lets the manifest, and then readers, find `new` where a sealed segment was; `None`: nothing.
    ///
    /// # Errors
    ///
    /// As [`set_kept_commits`](Self::set_kept_commits).
    pub(crate) fn replace_segment(&mut self, number: u32, new: Option<Arc<Segment>>) -> Result<()> {
        self.syncer.sync()?;
        let Ok(i) = self.manifest.segments.binary_search_by_key(&number, |entry| entry.number) else {
            return Err(no_segment());
        };
        let mut next = self.next_manifest();
        match &new {
            Some(new) => next.segments[i] = new.entry,
            None => drop(next.segments.remove(i)),
        }
        let replaced = self.replace_manifest(next);
        if let (Err(_), Some(new), Ok(())) = (&replaced, &new, self.syncer.check()) {
            // The manifest is what it was, and does not know the file.
            let LogReader { directory, store_id, .. } = &*self.opening;
            let _ = directory.remove_segment(*store_id, number, new.entry.generation);
        }
        replaced?;
        match new {
            Some(new) => self.opening.add_segment(new),
            None => self.opening.remove_segment(number),
        }
        Ok(())
    }

    /// Leaves the store clean: syncs, and records in the manifest that it ends here. Records without a commit
    /// are given up.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses. Nothing is done, successfully, by a poisoned writer.
    pub(crate) fn finish(&mut self) -> Result<()> {
        if !self.begun && !self.recovered || self.syncer.check().is_err() {
            return Ok(());
        }
        if !weaken::is("closed_unsynced") {
            self.syncer.sync_all()?;
        }
        self.replace_manifest(Manifest { clean: true, buffered: false, ..self.next_manifest() })?;
        (self.begun, self.recovered) = (false, false);
        Ok(())
    }

    /// Moves the records that are in no block yet into one.
    fn close_block(&mut self) {
        let Some(active) = &mut self.active else { return };
        if self.block.is_empty() {
            return;
        }
        let start = self.buffer.len();
        let offset = active.offset + start as u32;
        let place = active.segment.place(offset);
        let (first_ordinal, checksum) =
            self.block.finish(&mut self.buffer, place, self.epoch, &mut self.compressor);
        self.entries.push(BlockEntry { offset, first_ordinal, is_commit: false });
        active.part.blocks += 1;
        active.part.checksum = chain(active.part.checksum, checksum);
        self.batch.stored_bytes += (self.buffer.len() - start) as u64;
    }

    /// Makes sure that a block of up to `bound` bytes fits into the active segment and its ordinal lies below
    /// `ordinals`, in a new segment if need be. Returns where the next block would start.
    fn make_room(&mut self, bound: u64, ordinals: u32) -> Result<u32> {
        let needed = u64::from(HEADER_BYTES) + VARINT_BYTES as u64 + bound;
        if let Some(active) = &self.active {
            let open = if self.block.is_empty() {
                0
            } else {
                self.block.raw_bytes() as u64 + u64::from(HEADER_BYTES)
            };
            let used = u64::from(active.offset) + self.buffer.len() as u64 + open;
            // The index may have to start on the sector after a commit.
            let end = (used + needed).next_multiple_of(SECTOR_BYTES.into()) + self.index_bound_bytes(active);
            if end <= u64::from(active.segment.entry.len_bytes) && active.next_ordinal < ordinals {
                return Ok(active.offset + self.buffer.len() as u32);
            }
        }
        self.roll_over(needed)?;
        Ok(self.active.as_ref().map_or(0, |active| active.offset))
    }

    /// At most how many bytes the index of the active segment will take, if two more blocks come to it.
    fn index_bound_bytes(&self, active: &Active) -> u64 {
        let index_bytes = active.segment.with_index(|index| index.bound_bytes(self.entries.len() + 3));
        u64::from(HEADER_BYTES) + index_bytes as u64
    }

    /// Writes the blocks of the buffer, and lets readers see them.
    fn write_out(&mut self, durability: Durability) -> Result<()> {
        self.begin(durability)?;
        let Some(active) = &mut self.active else { return Ok(()) };
        if self.buffer.is_empty() {
            return Ok(());
        }
        let mut written = active.file.write_all_at(&self.buffer, active.offset.into());
        if let Some(commit) = self.entries.last().filter(|_| weaken::canary("commit_before_nodes")) {
            // What a log does that counts on nothing but the order of its writes.
            let nodes_bytes = (commit.offset - active.offset) as usize;
            let (nodes, commit_bytes) = self.buffer.split_at(nodes_bytes);
            written = active.file.write_all_at(&vec![0; nodes_bytes], active.offset.into());
            written = written.and_then(|()| active.file.write_all_at(commit_bytes, commit.offset.into()));
            self.syncer.set_written(self.next_id);
            self.syncer.sync()?;
            written = written.and_then(|()| active.file.write_all_at(nodes, active.offset.into()));
        }
        let segment = &active.segment;
        written.map_err(|e| {
            let name = segment_name(segment.number(), segment.entry.generation);
            self.syncer.poison(self.opening.directory.io_error("write", &name, e))
        })?;
        segment.publish(&self.entries, self.epoch);
        active.offset += self.buffer.len() as u32;
        self.entries.clear();
        self.buffer.clear();
        self.buffer.shrink_to(2 * WRITE_OUT_BYTES);
        Ok(())
    }

    /// Records in the manifest, before the first write, that this opening writes and under which epoch; and before
    /// the first `Buffered` commit, that there may be some.
    fn begin(&mut self, durability: Durability) -> Result<()> {
        let buffered = durability == Durability::Buffered || self.durability == Durability::Buffered;
        if self.active.is_none() || self.begun && (self.manifest.buffered || !buffered) {
            return Ok(());
        }
        let buffered = self.manifest.buffered || buffered;
        self.replace_manifest(Manifest { clean: false, buffered, ..self.next_manifest() })?;
        self.begun = true;
        Ok(())
    }

    /// The manifest of a store that was closed after the last commit.
    pub(crate) fn closed_manifest(&self) -> Manifest {
        let mut manifest = Manifest { clean: true, buffered: false, ..self.next_manifest() };
        self.move_point(&mut manifest, self.active.as_ref());
        manifest
    }
}

impl RecordWriter for Writer {
    fn tag(&self) -> Tag {
        self.opening.tag()
    }

    fn live_set(&self) -> Option<Arc<dyn LiveSet>> {
        self.doubts.live_set(self.reach.as_ref())
    }

    fn rechecks(&self) -> Option<Arc<Rechecks>> {
        RECHECKED.then(|| Arc::clone(&self.opening.rechecks))
    }

    fn append(&mut self, head: RecordHead, refs: &[Address], payload: &[u8]) -> Result<Address> {
        self.syncer.check()?;
        let bound = record::bound_bytes(refs.len(), payload.len());
        if bound > MAX_RECORD_BYTES {
            return Err(record::too_large("a node", bound));
        }
        if !self.block.accepts(head.kind, bound) {
            self.close_block();
        }
        // The last ordinal is left to the commit.
        self.make_room(bound, Address::MAX_ORDINALS - 1)?;
        let Some(active) = &mut self.active else { return Err(no_segment()) };
        let address = Address::new(active.segment.number(), active.next_ordinal);
        active.next_ordinal += 1;
        self.batch.records += 1;
        self.batch.record_bytes += self.block.push(address, head, refs, payload);
        if self.block.is_full() {
            self.close_block();
        }
        if self.buffer.len() >= WRITE_OUT_BYTES {
            self.write_out(self.durability)?;
        }
        Ok(address)
    }
}

fn no_segment() -> Error {
    Error::Poisoned { cause: "it has no segment to write to".into() }
}
