//! The file that takes a segment's place: some of its records, at their old ordinals, and its kept commits.
//!
//! It is written from its first block to its index, synced, and only then named by a manifest, which is not done here:
//! until then it is no part of the store, and a failure costs nothing but the work.

use std::io;
use std::sync::Arc;

use super::super::block::{self, BlockFacts, BlockKind};
use super::super::compression::Compressor;
use super::super::directory::{Directory, segment_name};
use super::super::format::{MAX_SEGMENT_BYTES, put_varint};
use super::super::index::{BlockEntry, Index};
use super::super::manifest::SegmentEntry;
use super::super::segment::{self, FIRST_BATCH, Segment};
use super::throttle::Pace;
use crate::error::{Error, Result};
use crate::storage::StorageFile;

/// Written and synced in pieces of about this size, so that a checkpoint's sync never waits for more.
const PIECE_BYTES: usize = 1 << 20;

/// A replacement in the making.
pub(crate) struct Replacement<'a> {
    old: &'a Segment,
    directory: &'a Arc<Directory>,
    file: Arc<dyn StorageFile>,
    name: String,
    epoch: u64,
    target_bytes: usize,
    compressor: &'a mut Compressor,
    pace: &'a mut Pace,
    index: Index,
    /// Blocks that are not written yet.
    buffer: Vec<u8>,
    /// Where they go.
    offset: u64,
    /// Ordinals and lengths of the records that are in no block yet.
    open: Vec<(u32, u32)>,
    records: Vec<u8>,
}

impl<'a> Replacement<'a> {
    /// Begins the next generation of `old`. What a failed attempt left behind is removed.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses.
    pub(crate) fn begin(
        old: &'a Segment,
        directory: &'a Arc<Directory>,
        epoch: u64,
        target_bytes: u32,
        compressor: &'a mut Compressor,
        pace: &'a mut Pace,
    ) -> Result<Self> {
        let name = segment_name(old.number(), old.entry.generation + 1);
        let storage = &directory.storage;
        let file = match storage.create(&name, 0) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                directory.remove_segment(old.store_id(), old.number(), old.entry.generation + 1)?;
                storage.create(&name, 0)
            }
            created => created,
        };
        let file = file.map_err(|e| directory.io_error("create", &name, e))?;
        Ok(Self {
            old,
            directory,
            file,
            name,
            epoch,
            target_bytes: target_bytes as usize,
            compressor,
            pace,
            index: Index::default(),
            buffer: Vec::new(),
            offset: FIRST_BATCH.into(),
            open: Vec::new(),
            records: Vec::new(),
        })
    }

    /// Counts what was read for it.
    pub(crate) fn spend(&mut self, bytes: u64) {
        self.pace.spend(bytes);
    }

    /// Appends the record of an ordinal above all before it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses; [`Error::Limit`] if the segment would become too long.
    pub(crate) fn push(&mut self, ordinal: u32, record: &[u8]) -> Result<()> {
        // A record that is a block's worth by itself does not make its neighbours dear to read.
        if record.len() >= self.target_bytes {
            self.close_block()?;
        }
        self.open.push((ordinal, record.len() as u32));
        self.records.extend_from_slice(record);
        if self.records.len() >= self.target_bytes || self.open.len() == usize::from(u16::MAX) {
            self.close_block()?;
        }
        Ok(())
    }

    /// Copies the commit in a block of the old segment, as it is.
    ///
    /// # Errors
    ///
    /// Those of [`push`](Self::push); [`Error::Corrupt`] if there is no whole block.
    pub(crate) fn copy_commit(&mut self, entry: BlockEntry) -> Result<()> {
        self.close_block()?;
        let offset = self.next_offset()?;
        let (from, to) = (self.old.place(entry.offset), self.old.place(offset));
        block::copy(&mut self.buffer, self.old.region()?, from, to, self.epoch)?;
        self.index.push(BlockEntry { offset, ..entry }, self.epoch);
        self.write_out(false)
    }

    fn next_offset(&self) -> Result<u32> {
        let next = self.offset + self.buffer.len() as u64;
        let limit = || Error::Limit {
            what: format!("segment {} would become too long to be compacted", self.old.number()),
        };
        // A block and an index of ordinary sizes come after it.
        u32::try_from(next).ok().filter(|&next| next < MAX_SEGMENT_BYTES / 2).ok_or_else(limit)
    }

    fn close_block(&mut self) -> Result<()> {
        let Some(&(first_ordinal, _)) = self.open.first() else { return Ok(()) };
        let offset = self.next_offset()?;
        let mut raw = Vec::with_capacity(3 * self.open.len() + self.records.len());
        for (i, &(ordinal, len)) in self.open.iter().enumerate() {
            put_varint(&mut raw, len.into());
            let next = self.open.get(i + 1).map_or(ordinal + 1, |next| next.0);
            put_varint(&mut raw, u64::from(next - ordinal - 1));
        }
        raw.append(&mut self.records);
        let records = self.open.len() as u16;
        let facts = BlockFacts { kind: BlockKind::Sparse, records, first_ordinal, epoch: self.epoch };
        block::write(&mut self.buffer, self.old.place(offset), facts, &raw, self.compressor);
        self.index.push(BlockEntry { offset, first_ordinal, is_commit: false }, self.epoch);
        self.open.clear();
        self.write_out(false)
    }

    /// Writes the buffer, and makes it durable, if it is a piece's worth or this is the end.
    fn write_out(&mut self, is_end: bool) -> Result<()> {
        if self.buffer.len() < PIECE_BYTES && !is_end {
            return Ok(());
        }
        self.file
            .write_all_at(&self.buffer, self.offset)
            .and_then(|()| self.file.sync_data())
            .map_err(|e| self.directory.io_error("write", &self.name, e))?;
        self.offset += self.buffer.len() as u64;
        self.pace.spend(self.buffer.len() as u64);
        self.buffer.clear();
        Ok(())
    }

    /// Makes the replacement whole and durable, its name too. The manifest does not know it yet.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses; [`Error::Limit`] if the segment would become too long.
    pub(crate) fn finish(mut self) -> Result<Arc<Segment>> {
        self.close_block()?;
        let index_offset = self.next_offset()?;
        let mut raw = Vec::new();
        self.index.encode(&mut raw);
        let facts = BlockFacts { kind: BlockKind::Index, records: 0, first_ordinal: 0, epoch: self.epoch };
        block::write(&mut self.buffer, self.old.place(index_offset), facts, &raw, self.compressor);
        let entry = SegmentEntry {
            number: self.old.number(),
            generation: self.old.entry.generation + 1,
            len_bytes: self.next_offset()?,
            index_offset,
        };
        let header = segment::header(entry, self.old.store_id());
        self.file.write_all_at(&header, 0).map_err(|e| self.directory.io_error("write", &self.name, e))?;
        self.write_out(true)?;
        let storage = &self.directory.storage;
        storage.sync_dir().map_err(|e| self.directory.io_error("sync the directory of", &self.name, e))?;
        let segment = Segment::new(Arc::clone(self.directory), self.old.store_id(), entry, None);
        segment.map_through(&*self.file)?;
        Ok(Arc::new(segment))
    }
}
