//! Looking for blocks where nothing trustworthy says where they lie, in time linear in the bytes looked at.
//!
//! A header says how long its block is, and only the checksum over all of that tells a header from bytes that look like
//! one. Of *n* bytes one in 32 can begin a header that claims all the rest, so checking each claim would take a time
//! quadratic in *n*. A [`Scan`] therefore bounds the claims that turn out to be wrong: those of about one length (within a
//! factor of 4) may add up to twice the bytes of the region, and there are 14 such classes. **At most 28 · n bytes are
//! hashed in vain.** Blocks that were written do not overlap, so what is left of them after damage stays far below that;
//! and who claims much uses up the patience with long blocks, not that with those of an ordinary size.

use super::block::{self, BlockHeader, BlockKind, HEADER_BYTES};
use super::format::Place;
use crate::record::Address;

/// Lengths are told apart by every other bit.
const CLASSES: usize = 16;

/// A search for whole blocks in the bytes of one segment.
pub(crate) struct Scan<'a> {
    /// The segment's bytes, from `start` on.
    bytes: &'a [u8],
    /// Offset in the segment of the first of them.
    start: u32,
    store_id: u64,
    segment: u32,
    /// For each class of lengths, how many bytes may still be hashed in vain.
    patience: [u64; CLASSES],
    is_exhausted: bool,
}

impl<'a> Scan<'a> {
    /// Starts a search in the bytes of a segment that begin at `place`.
    pub(crate) fn new(bytes: &'a [u8], place: Place) -> Self {
        let Place { store_id, segment, offset: start } = place;
        let patience = [2 * bytes.len() as u64; CLASSES];
        Self { bytes, start, store_id, segment, patience, is_exhausted: false }
    }

    /// Returns whether some headers were left unchecked, because too many before them headed nothing.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.is_exhausted
    }

    /// The place at this offset of the segment.
    pub(crate) fn place(&self, offset: u32) -> Place {
        Place { store_id: self.store_id, segment: self.segment, offset }
    }

    /// Returns the header of the block at `offset` if there is a whole one.
    pub(crate) fn check(&mut self, offset: u32) -> Option<BlockHeader> {
        let bytes = self.bytes.get(offset.checked_sub(self.start)? as usize..)?;
        let header = BlockHeader::parse(bytes).filter(is_plausible)?;
        let len_bytes = header.len_bytes();
        let block = bytes.get(..usize::try_from(len_bytes).ok()?)?;
        let class = (len_bytes.ilog2() / 2) as usize % CLASSES;
        if self.patience[class] < len_bytes {
            self.is_exhausted = true;
            return None;
        }
        if block::is_whole(block, self.place(offset), &header) {
            return Some(header);
        }
        self.patience[class] -= len_bytes;
        None
    }

    /// Returns the first whole block at or behind `offset`.
    pub(crate) fn next(&mut self, offset: u32) -> Option<(u32, BlockHeader)> {
        let first = offset.checked_sub(self.start)? as usize;
        let last = self.bytes.len().checked_sub(HEADER_BYTES as usize)?;
        (first..=last).find_map(|at| {
            // Kind and codec: most places are ruled out by them.
            if !(1..=4).contains(&self.bytes[at + 8]) || self.bytes[at + 9] > 2 {
                return None;
            }
            let offset = self.start + at as u32;
            self.check(offset).map(|header| (offset, header))
        })
    }
}

/// Returns whether a block of this header can have been written.
fn is_plausible(header: &BlockHeader) -> bool {
    let records = match header.kind {
        BlockKind::Records | BlockKind::Sparse => header.records > 0,
        BlockKind::Commit => header.records == 1,
        BlockKind::Index => header.records == 0,
    };
    // An index says one more than the last ordinal.
    records && header.first_ordinal <= Address::MAX_ORDINALS
}
