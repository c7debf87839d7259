//! A block: a checksummed header and a run of records, a commit or an index.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | checksum of all that follows, seeded with the block's [`Place`] |
//! | 8 | 1 | kind |
//! | 9 | 1 | codec |
//! | 10 | 2 | number of records |
//! | 12 | 4 | length of the stored bytes, which follow the header |
//! | 16 | 4 | their length when decompressed |
//! | 20 | 4 | ordinal of the first record |
//! | 24 | 8 | epoch: the random number of the opening that wrote it |
//!
//! The raw bytes of a block of records are the records' lengths as varints, then the records. In a *sparse* block,
//! which compaction writes, each length is followed by the number of ordinals that are left out after the record.

use std::borrow::Cow;
use std::sync::Arc;

use super::compression::{Codec, Compressor, decompress};
use super::file_region::FileRegion;
use super::format::{Cursor, MAX_RECORD_BYTES, Place, VARINT_BYTES, put_varint};
use super::record;
use super::work;
use crate::error::{Error, Result};
use crate::record::{Address, Record, RecordHead, RecordKind};
use crate::weaken;

/// Length of a block's header.
pub(crate) const HEADER_BYTES: u32 = 32;
/// The checksum covers the block from here on.
const CHECKED_FROM: usize = 8;
/// Offset of the kind in the header.
pub(crate) const KIND_AT: usize = 8;
/// Where in the header the epoch lies.
pub(crate) const EPOCH_AT: usize = 24;

/// What a block holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BlockKind {
    /// Records of nodes.
    Records,
    /// One commit, which takes one ordinal.
    Commit,
    /// The index of its segment.
    Index,
    /// Records of nodes whose ordinals have gaps.
    Sparse,
}

impl BlockKind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Records, Self::Commit, Self::Index, Self::Sparse]
            .into_iter()
            .find(|kind| kind.to_byte() == byte)
    }

    pub(crate) fn to_byte(self) -> u8 {
        match self {
            Self::Records => 1,
            Self::Commit => 2,
            Self::Index => 3,
            Self::Sparse => 4,
        }
    }
}

/// The header of a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockHeader {
    pub checksum: u64,
    pub kind: BlockKind,
    pub codec: Codec,
    pub records: u16,
    pub stored_bytes: u32,
    pub raw_bytes: u32,
    pub first_ordinal: u32,
    pub epoch: u64,
}

impl BlockHeader {
    /// Reads a header; `None` if it is not one of a block that a writer can have made.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let checksum = cursor.u64()?;
        let kind = BlockKind::from_byte(cursor.u8()?)?;
        let codec = Codec::from_byte(cursor.u8()?)?;
        let header = Self {
            checksum,
            kind,
            codec,
            records: cursor.u16()?,
            stored_bytes: cursor.u32()?,
            raw_bytes: cursor.u32()?,
            first_ordinal: cursor.u32()?,
            epoch: cursor.u64()?,
        };
        (u64::from(header.raw_bytes) <= header.most_raw_bytes()).then_some(header)
    }

    /// Most bytes that a block of such a header can hold. A header that claims more is refused before the memory is asked
    /// for.
    fn most_raw_bytes(&self) -> u64 {
        let stored_bytes = u64::from(self.stored_bytes);
        let of_codec = match self.codec {
            Codec::Raw => stored_bytes,
            Codec::Lz4 => stored_bytes << LZ4_EXPANSION_SHIFT,
            Codec::Zstd => stored_bytes << ZSTD_EXPANSION_SHIFT,
        };
        let of_kind = match self.kind {
            BlockKind::Records if self.records > 1 => MAX_SHARED_BYTES,
            BlockKind::Index => MAX_INDEX_BYTES,
            _ => MAX_BLOCK_BYTES,
        };
        of_codec.min(of_kind)
    }

    /// Length of the whole block.
    pub(crate) fn len_bytes(&self) -> u64 {
        u64::from(HEADER_BYTES) + u64::from(self.stored_bytes)
    }
}

/// No LZ4 block makes 2 to this many bytes of one stored byte.
const LZ4_EXPANSION_SHIFT: u32 = 8;
/// No Zstandard frame makes more than 2 to this many bytes of one stored byte.
const ZSTD_EXPANSION_SHIFT: u32 = 16;
/// Most raw bytes of a block of several records. A writer closes it before it is twice the largest target size long, so a
/// longer one is not unpacked again and again for each of its records. (Compaction once put small records before a large
/// one, so sparse blocks have no such bound.)
const MAX_SHARED_BYTES: u64 = 4 << 20;
/// Most raw bytes of an index: as many entries as a segment has ordinals, and an epoch for each.
const MAX_INDEX_BYTES: u64 = 16 << 20;
/// Most raw bytes a block may hold: one record of the largest size, and its length.
const MAX_BLOCK_BYTES: u64 = MAX_RECORD_BYTES + VARINT_BYTES as u64;

/// What a block is, other than its bytes.
#[derive(Clone, Copy)]
pub(crate) struct BlockFacts {
    pub kind: BlockKind,
    pub records: u16,
    pub first_ordinal: u32,
    pub epoch: u64,
}

/// Appends a block that will lie at `place`, and returns its checksum.
pub(crate) fn write(
    out: &mut Vec<u8>,
    place: Place,
    facts: BlockFacts,
    raw: &[u8],
    compressor: &mut Compressor,
) -> u64 {
    debug_assert!(raw.len() as u64 <= MAX_BLOCK_BYTES);
    let (codec, stored) = compressor.compress(raw).unwrap_or((Codec::Raw, raw));
    let start = out.len();
    out.extend_from_slice(&[0; CHECKED_FROM]);
    out.push(facts.kind.to_byte());
    out.push(codec.to_byte());
    out.extend_from_slice(&facts.records.to_le_bytes());
    out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    out.extend_from_slice(&(raw.len() as u32).to_le_bytes());
    out.extend_from_slice(&facts.first_ordinal.to_le_bytes());
    out.extend_from_slice(&facts.epoch.to_le_bytes());
    debug_assert_eq!(out.len() - start, HEADER_BYTES as usize);
    out.extend_from_slice(stored);
    let checksum = place.checksum(&out[start + CHECKED_FROM..]);
    out[start..start + CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
    checksum
}

/// Appends the block that lies at `from` as one that will lie at `to`, under another epoch.
///
/// # Errors
///
/// [`Error::Corrupt`] if there is no whole block; [`Error::Io`] if the system refuses.
pub(crate) fn copy(out: &mut Vec<u8>, region: &FileRegion, from: Place, to: Place, epoch: u64) -> Result<()> {
    let (_, whole) = Block::copied(region, from)?;
    let start = out.len();
    out.extend_from_slice(&whole);
    out[start + EPOCH_AT..start + HEADER_BYTES as usize].copy_from_slice(&epoch.to_le_bytes());
    let checksum = to.checksum(&out[start + CHECKED_FROM..]);
    out[start..start + CHECKED_FROM].copy_from_slice(&checksum.to_le_bytes());
    Ok(())
}

/// The header of a block at `place`, if there is one; not checked yet.
fn header_at(region: &FileRegion, place: Place) -> Result<Option<BlockHeader>> {
    let start = u64::from(place.offset);
    let bytes = region.bytes(start..start + u64::from(HEADER_BYTES))?;
    Ok(bytes.and_then(|bytes| BlockHeader::parse(&bytes)))
}

/// The stored bytes of a block at `place`, header included, with the header; not checked yet.
fn stored<'a>(region: &'a FileRegion, place: Place) -> Result<Option<(BlockHeader, Cow<'a, [u8]>)>> {
    let Some(header) = header_at(region, place)? else { return Ok(None) };
    let start = u64::from(place.offset);
    let bytes = region.bytes(start..start + header.len_bytes())?;
    Ok(bytes.map(|bytes| (header, bytes)))
}

/// Returns the header of the block at `place` if there is a whole one, its checksum right.
///
/// # Errors
///
/// [`Error::Io`] if the system refuses: whether there is one is not known then.
pub(crate) fn check(region: &FileRegion, place: Place) -> Result<Option<BlockHeader>> {
    let Some((header, bytes)) = stored(region, place)? else { return Ok(None) };
    Ok(is_whole(&bytes, place, &header).then_some(header))
}

/// Returns whether these bytes are the whole block of this header, as it was written to `place`.
pub(crate) fn is_whole(block: &[u8], place: Place, header: &BlockHeader) -> bool {
    work::hashed(block.len());
    let whole = place.checksum(&block[CHECKED_FROM..]) == header.checksum;
    whole || weaken::canary("checksum_ignored")
}

/// Makes sure that the block at `place` ends at `limit` at the latest: where the next one begins, or the segment ends.
///
/// Blocks do not overlap. Without this check, *n* headers one behind the other could each claim the rest of the segment,
/// and looking at each of their blocks would take a time quadratic in its length.
///
/// # Errors
///
/// [`Error::Corrupt`] if it does not, or there is no header of a block; [`Error::Io`] if the system refuses.
pub(crate) fn expect_end(region: &FileRegion, place: Place, limit: u32) -> Result<()> {
    let end = u64::from(place.offset) + len_bytes(region, place)?;
    if end <= u64::from(limit) {
        return Ok(());
    }
    let what = format!(
        "the block's header claims the bytes up to {end}, but the next part of the segment begins at {limit}"
    );
    Err(corrupt(place, what))
}

/// Length of the block at `place`, as its header says.
///
/// # Errors
///
/// [`Error::Corrupt`] if there is no header of a block; [`Error::Io`] if the system refuses.
pub(crate) fn len_bytes(region: &FileRegion, place: Place) -> Result<u64> {
    let header = header_at(region, place)?;
    header.map(|header| header.len_bytes()).ok_or_else(|| corrupt(place, "this is no block's header"))
}

/// A block that was read, checked and decompressed.
pub(crate) struct Block {
    pub header: BlockHeader,
    /// The raw bytes from `start` on; before them, of a block that was stored raw, its header.
    bytes: Arc<[u8]>,
    start: u32,
}

impl Block {
    /// Reads the block at `place`.
    ///
    /// The bytes are copied *before* they are checked: where a recovery of another process writes over what this
    /// one still maps, the answer is an error or the old bytes, never a mixture.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if there is no whole block; [`Error::Io`] if the system refuses;
    /// [`Error::MissingFeature`] if this build cannot decompress it.
    pub(crate) fn read(region: &FileRegion, place: Place) -> Result<Self> {
        let (header, copy) = Self::copied(region, place)?;
        if header.codec == Codec::Raw {
            if header.raw_bytes != header.stored_bytes {
                return Err(corrupt(place, "the lengths in the block's header contradict each other"));
            }
            return Ok(Self { header, bytes: copy, start: HEADER_BYTES });
        }
        header.codec.expect_feature(|| {
            format!(
                "the block of segment {} at offset {} is compressed with Zstandard",
                place.segment, place.offset
            )
        })?;
        work::unpacked(header.raw_bytes as usize);
        let mut bytes: Arc<[u8]> = std::iter::repeat_n(0, header.raw_bytes as usize).collect();
        let whole = Arc::get_mut(&mut bytes)
            .is_some_and(|raw| decompress(header.codec, &copy[HEADER_BYTES as usize..], raw));
        if !whole {
            return Err(corrupt(place, "the block does not decompress to the length its header tells"));
        }
        Ok(Self { header, bytes, start: 0 })
    }

    /// The bytes of the block at `place`, header included, copied and checked.
    fn copied(region: &FileRegion, place: Place) -> Result<(BlockHeader, Arc<[u8]>)> {
        let (header, mapped) = stored(region, place)?
            .ok_or_else(|| corrupt(place, "a block was expected, but this is no block's header"))?;
        let copy: Arc<[u8]> = Arc::from(mapped.as_ref());
        let copied = BlockHeader::parse(&copy).filter(|copied| *copied == header);
        if copied.is_none() || !is_whole(&copy, place, &header) {
            return Err(corrupt(place, "the checksum of the block does not match its bytes"));
        }
        Ok((header, copy))
    }

    /// The raw bytes.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.bytes[self.start as usize..]
    }
}

/// How far the ordinal of each record of a sparse block lies above the first.
type Steps = Box<[u32]>;

/// A decoded block of records, as the cache keeps it.
pub(crate) struct RecordBlock {
    bytes: Arc<[u8]>,
    /// Where in `bytes` each record starts, and where the last one ends.
    bounds: Box<[u32]>,
    first_ordinal: u32,
    /// Of a sparse block.
    steps: Option<Steps>,
    place: Place,
}

impl RecordBlock {
    /// Reads the block of records at `place`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if there is no whole block of records; [`Error::Io`] if the system refuses.
    pub(crate) fn read(region: &FileRegion, place: Place) -> Result<(BlockHeader, Self)> {
        let block = Block::read(region, place)?;
        let (bounds, steps) = record_bounds(&block)
            .ok_or_else(|| corrupt(place, "the lengths of the records do not add up to the block's"))?;
        let header = block.header;
        Ok((header, Self { bytes: block.bytes, bounds, first_ordinal: header.first_ordinal, steps, place }))
    }

    /// Bytes of memory that the block takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let words = self.bounds.len() + self.steps.as_ref().map_or(0, |steps| steps.len());
        self.bytes.len() + words * size_of::<u32>() + size_of::<Self>()
    }

    /// Number of records.
    pub(crate) fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Whether the record at `address` is one of this block.
    pub(crate) fn holds(&self, address: Address) -> bool {
        self.place.segment == address.segment() && self.position(address.ordinal()).is_some()
    }

    /// Which of the block's records has this ordinal.
    fn position(&self, ordinal: u32) -> Option<usize> {
        let step = ordinal.checked_sub(self.first_ordinal)?;
        match &self.steps {
            None => Some(step as usize).filter(|&position| position < self.bounds.len() - 1),
            Some(steps) => steps.binary_search(&step).ok(),
        }
    }

    /// The ordinals and lengths of the records, the last one first.
    pub(crate) fn lengths(&self) -> impl DoubleEndedIterator<Item = (u32, u32)> {
        (0..self.bounds.len() - 1).rev().map(|i| {
            let step = self.steps.as_ref().map_or(i as u32, |steps| steps[i]);
            (self.first_ordinal + step, self.bounds[i + 1] - self.bounds[i])
        })
    }

    /// The bytes of the record at `address`, if there is one.
    pub(crate) fn record_bytes(&self, address: Address) -> Option<&[u8]> {
        let i = self.position(address.ordinal())?;
        Some(&self.bytes[self.bounds[i] as usize..self.bounds[i + 1] as usize])
    }

    /// Length of all records.
    pub(crate) fn raw_bytes(&self) -> u64 {
        self.bounds.last().zip(self.bounds.first()).map_or(0, |(end, start)| u64::from(end - start))
    }

    /// The record at `address`.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the block has no such record, or the record does not decode.
    pub(crate) fn record(&self, address: Address) -> Result<Record> {
        let bounds = self.position(address.ordinal()).map(|i| (self.bounds[i], self.bounds[i + 1]));
        let (start, end) =
            bounds.ok_or_else(|| corrupt(self.place, format!("the block has no record {address}")))?;
        let bytes = &self.bytes[start as usize..end as usize];
        let (head, refs, payload) = record::decode(address, bytes)
            .map_err(|what| corrupt(self.place, format!("{what} (record {address})")))?;
        let payload = start + payload as u32..end;
        Ok(Record { address, head, refs, block: Arc::clone(&self.bytes), payload })
    }
}

/// Where in the block's bytes its records lie, and of a sparse block their steps; `None` if they do not fill it exactly.
fn record_bounds(block: &Block) -> Option<(Box<[u32]>, Option<Steps>)> {
    let is_sparse = block.header.kind == BlockKind::Sparse;
    if !is_sparse && block.header.kind != BlockKind::Records {
        return None;
    }
    let records = usize::from(block.header.records);
    let mut cursor = Cursor::new(block.raw());
    let mut bounds = Vec::with_capacity(records + 1);
    let mut steps = Vec::with_capacity(if is_sparse { records } else { 0 });
    let (mut end, mut step) = (0u32, 0u32);
    bounds.push(end);
    for _ in 0..records {
        end = end.checked_add(cursor.varint_u32()?)?;
        bounds.push(end);
        if is_sparse {
            steps.push(step);
            step = step.checked_add(cursor.varint_u32()?.checked_add(1)?)?;
        }
    }
    if end as usize != cursor.remaining() {
        return None;
    }
    let highest = block.header.first_ordinal.checked_add(steps.last().copied().unwrap_or(0))?;
    let first = block.start + cursor.position() as u32;
    bounds.iter_mut().for_each(|bound| *bound += first);
    (highest < Address::MAX_ORDINALS)
        .then(|| (bounds.into_boxed_slice(), is_sparse.then(|| steps.into_boxed_slice())))
}

/// Says that the bytes at `place` are not what was written.
pub(crate) fn corrupt(place: Place, what: impl Into<String>) -> Error {
    Error::Corrupt { segment: place.segment, offset: place.offset.into(), what: what.into() }
}

/// The block that is being filled.
pub(crate) struct BlockBuilder {
    lengths: Vec<u8>,
    records: Vec<u8>,
    count: u16,
    kind: RecordKind,
    first_ordinal: u32,
    target_bytes: u32,
    raw: Vec<u8>,
}

impl BlockBuilder {
    /// A change between leaves and branches starts a new block from this size on: branches do not compress (they
    /// hold addresses), so a block of nothing else is stored raw and read without decompression.
    const SPLIT_KINDS_BYTES: usize = 1 << 10;

    pub(crate) fn new(target_bytes: u32) -> Self {
        Self {
            lengths: Vec::new(),
            records: Vec::new(),
            count: 0,
            kind: RecordKind::Leaf,
            first_ordinal: 0,
            target_bytes,
            raw: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Length in bytes of the block's contents before compression.
    pub(crate) fn raw_bytes(&self) -> usize {
        self.lengths.len() + self.records.len()
    }

    /// Whether the block is as large as blocks should be.
    pub(crate) fn is_full(&self) -> bool {
        self.raw_bytes() >= self.target_bytes as usize || self.count == u16::MAX
    }

    /// Whether a record of this kind, of up to `bound_bytes`, should go into this block.
    pub(crate) fn accepts(&self, kind: RecordKind, bound_bytes: u64) -> bool {
        let changes = kind != self.kind && self.raw_bytes() >= Self::SPLIT_KINDS_BYTES;
        // A record that is a block's worth by itself does not make its neighbours dear to read.
        self.is_empty() || !changes && bound_bytes < u64::from(self.target_bytes)
    }

    /// Appends a record, and returns its length.
    pub(crate) fn push(&mut self, own: Address, head: RecordHead, refs: &[Address], payload: &[u8]) -> u64 {
        if self.is_empty() {
            self.first_ordinal = own.ordinal();
        }
        debug_assert_eq!(own.ordinal(), self.first_ordinal + u32::from(self.count));
        let start = self.records.len();
        record::encode(&mut self.records, own, head, refs, payload);
        let len = (self.records.len() - start) as u64;
        put_varint(&mut self.lengths, len);
        self.count += 1;
        self.kind = head.kind;
        len
    }

    /// Appends the block to `out`, where it will lie at `place`, and empties the builder. Returns the ordinal of
    /// its first record and its checksum.
    pub(crate) fn finish(
        &mut self,
        out: &mut Vec<u8>,
        place: Place,
        epoch: u64,
        compressor: &mut Compressor,
    ) -> (u32, u64) {
        self.raw.clear();
        self.raw.extend_from_slice(&self.lengths);
        self.raw.extend_from_slice(&self.records);
        let first_ordinal = self.first_ordinal;
        let facts = BlockFacts { kind: BlockKind::Records, records: self.count, first_ordinal, epoch };
        let checksum = write(out, place, facts, &self.raw, compressor);
        self.lengths.clear();
        self.records.clear();
        self.count = 0;
        if self.raw.capacity() > Self::KEPT_BYTES {
            (self.raw, self.records) = (Vec::new(), Vec::new());
        }
        (first_ordinal, checksum)
    }

    /// Buffers larger than this (after a huge record) are given back.
    const KEPT_BYTES: usize = 4 << 20;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::options::Compression;
    use crate::storage::{MemoryStorage, Storage};
    use crate::tests::compressions;

    const PLACE: Place = Place { store_id: 5, segment: 3, offset: 512 };

    fn region(bytes: &[u8]) -> FileRegion {
        let file = MemoryStorage::new().create("a", 0).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        FileRegion::new(file.map(bytes.len() as u64).unwrap(), "a".into())
    }

    fn block_of_ten(compression: Compression) -> Vec<u8> {
        let mut builder = BlockBuilder::new(8192);
        for i in 0..10u32 {
            let head = RecordHead { kind: RecordKind::Leaf, delta: false };
            builder.push(Address::new(3, 20 + i), head, &[Address::new(3, 7)], &[i as u8; 50]);
        }
        let mut bytes = vec![0; 512];
        let (first, _) = builder.finish(&mut bytes, PLACE, 99, &mut Compressor::new(compression));
        assert_eq!(first, 20);
        assert!(builder.is_empty());
        bytes
    }

    #[test]
    fn records_come_back_from_a_block_of_each_codec() {
        for compression in compressions() {
            let bytes = block_of_ten(compression);
            let region = region(&bytes);
            let (header, block) = RecordBlock::read(&region, PLACE).unwrap();
            assert_eq!((header.records, header.first_ordinal, header.epoch), (10, 20, 99));
            assert_eq!(check(&region, PLACE).unwrap(), Some(header));
            for i in 0..10u32 {
                let record = block.record(Address::new(3, 20 + i)).unwrap();
                assert_eq!(record.payload(), [i as u8; 50]);
                assert_eq!(record.refs, [Address::new(3, 7)]);
            }
            assert!(block.record(Address::new(3, 19)).is_err());
            assert!(block.record(Address::new(3, 30)).is_err());
        }
    }

    #[test]
    fn a_flip_anywhere_in_a_block_is_found() {
        for compression in compressions() {
            let bytes = block_of_ten(compression);
            for at in 512..bytes.len() {
                for bit in 0..8 {
                    let mut bytes = bytes.clone();
                    bytes[at] ^= 1 << bit;
                    let region = region(&bytes);
                    assert!(RecordBlock::read(&region, PLACE).is_err(), "byte {at} bit {bit}");
                    assert!(check(&region, PLACE).unwrap().is_none());
                }
            }
            for len in 0..bytes.len() {
                assert!(RecordBlock::read(&region(&bytes[..len]), PLACE).is_err());
            }
        }
    }

    #[test]
    fn a_block_moved_elsewhere_is_refused() {
        let mut bytes = vec![0; 512];
        bytes.extend(block_of_ten(Compression::None));
        let moved = Place { offset: 1024, ..PLACE };
        assert!(Block::read(&region(&bytes), moved).is_err());
    }

    #[test]
    fn kinds_are_kept_apart_once_a_block_has_a_kilobyte() {
        let mut builder = BlockBuilder::new(8192);
        let head = |kind| RecordHead { kind, delta: false };
        builder.push(Address::new(0, 0), head(RecordKind::Leaf), &[], &[0; 500]);
        assert!(builder.accepts(RecordKind::Branch, 100));
        builder.push(Address::new(0, 1), head(RecordKind::Leaf), &[], &[0; 600]);
        assert!(builder.accepts(RecordKind::Leaf, 100));
        assert!(!builder.accepts(RecordKind::Branch, 100));
        assert!(!builder.accepts(RecordKind::Leaf, 10_000));
    }
}
