//! The manifest: which segments make up the store, and up to which point they are durable.
//!
//! It lies in a file of two [slots] and is replaced as a whole, so there is always a whole one, the old or the new.
//! **Everything before its point is durable**: what recovery finds damaged there is damage, not a power cut. It is replaced
//! when an opening first writes, when a segment is begun, when checkpoints are dropped or a segment is compacted, and at a
//! clean close; never by a plain checkpoint.
//!
//! Store id and sequence stand before the body, which is
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | flags: 1 clean, 2 buffered, 4 some checkpoints were dropped |
//! | 4 | 8 | epoch of the blocks after the point |
//! | 12 | 8 | next commit id |
//! | 20 | 8 | id of the newest commit before the point, 0: none |
//! | 28 | 8 | its address |
//! | 36 | 4 | point: offset in the last segment |
//! | 40 | 4 | point: ordinal |
//! | 44 | 4 | number of segments |
//! | 48 | 4 | length of the index of the last segment |
//! | 52 | 20 each | segments: number, generation, length, offset of the index (the last one: 0), 0 |
//! | | | index of the last segment up to the point |
//! | | | with flag 4: commits up to this id (8) are kept only if listed; their number (8); id and address (16) each |
//! | | | further [fields](super::fields) |

use super::directory::Directory;
use super::fields::Fields;
use super::format::{Cursor, MAX_SEGMENT_BYTES, SECTOR_BYTES, checksum};
use super::index::Index;
use super::kept_commits::KeptCommits;
use super::slots;
use crate::error::Result;
use crate::record::Address;

pub(crate) const MAGIC: [u8; 8] = *b"PRNLMANI";
const CLEAN: u32 = 1;
const BUFFERED: u32 = 2;
const DROPPED: u32 = 4;
const ENTRY_BYTES: usize = 20;
/// The fields that this build knows.
pub(crate) const KNOWN_FIELDS: &[u64] = &[];

/// One segment, as the manifest names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct SegmentEntry {
    pub number: u32,
    /// How often compaction replaced the segment.
    pub generation: u32,
    pub len_bytes: u32,
    /// Where the index block lies; 0 in the active segment, which has none.
    pub index_offset: u32,
}

/// Where the next batch goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Point {
    /// Offset in the active segment; a multiple of the sector.
    pub offset: u32,
    /// The next ordinal.
    pub ordinal: u32,
}

/// A commit, as the manifest names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CommitRef {
    pub id: u64,
    pub address: Address,
}

/// The manifest, decoded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Manifest {
    pub store_id: u64,
    pub sequence: u64,
    /// What the blocks after the point carry.
    pub epoch: u64,
    /// Nothing was written after the point.
    pub clean: bool,
    /// `Buffered` commits may have been acknowledged after the point.
    pub buffered: bool,
    pub next_commit_id: u64,
    /// The newest commit before the point.
    pub newest: Option<CommitRef>,
    /// Ascending by number; the last one is active.
    pub segments: Vec<SegmentEntry>,
    pub point: Point,
    /// Index of the active segment up to the point.
    pub index: Index,
    /// Which commits retention left.
    pub kept_commits: KeptCommits,
    /// Further fields, known and unknown.
    pub fields: Fields,
}

impl Manifest {
    /// The manifest of a store without a commit and without a segment.
    pub(crate) fn of_new_store(store_id: u64, epoch: u64) -> Self {
        Self {
            store_id,
            sequence: 0,
            epoch,
            clean: true,
            buffered: false,
            next_commit_id: 1,
            newest: None,
            segments: Vec::new(),
            point: Point { offset: 0, ordinal: 0 },
            index: Index::default(),
            kept_commits: KeptCommits::default(),
            fields: Fields::default(),
        }
    }

    /// Reads the manifest; `None` if there is none.
    ///
    /// # Errors
    ///
    /// Those of [`slots::read`].
    pub(crate) fn read(directory: &Directory) -> Result<Option<Self>> {
        Ok(slots::read(directory)?.map(|found| found.manifest))
    }

    /// Encodes the body.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut index = Vec::new();
        self.index.encode(&mut index);
        let mut bytes = Vec::with_capacity(96 + self.segments.len() * ENTRY_BYTES + index.len());
        let dropped = !self.kept_commits.is_trivial();
        let flags = [(self.clean, CLEAN), (self.buffered, BUFFERED), (dropped, DROPPED)];
        let flags = flags.iter().filter(|(set, _)| *set).fold(0, |flags, (_, flag)| flags | flag);
        bytes.extend_from_slice(&flags.to_le_bytes());
        let newest = self.newest.map_or([0, 0], |newest| [newest.id, newest.address.to_bits()]);
        for value in [self.epoch, self.next_commit_id, newest[0], newest[1]] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        let counts = [self.segments.len() as u32, index.len() as u32];
        for value in [self.point.offset, self.point.ordinal, counts[0], counts[1]] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        for entry in &self.segments {
            for value in [entry.number, entry.generation, entry.len_bytes, entry.index_offset, 0] {
                bytes.extend_from_slice(&value.to_le_bytes());
            }
        }
        bytes.extend_from_slice(&index);
        if dropped {
            self.kept_commits.encode(&mut bytes);
        }
        self.fields.encode(&mut bytes);
        bytes
    }

    /// Decodes a body.
    pub(crate) fn decode(store_id: u64, sequence: u64, body: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(body);
        let flags = cursor.u32()?;
        Self::decode_rest(store_id, sequence, flags, cursor)
    }

    /// Decodes a file of format version 1, which is one manifest: magic, version, flags, store id, sequence, what a body has
    /// after its flags, the checksum of all that.
    pub(crate) fn decode_version_1(bytes: &[u8]) -> Option<Self> {
        let (bytes, stored) = bytes.split_last_chunk::<8>()?;
        if u64::from_le_bytes(*stored) != checksum(bytes) {
            return None;
        }
        let mut cursor = Cursor::new(bytes);
        if cursor.take(MAGIC.len())? != MAGIC || cursor.u32()? != 1 {
            return None;
        }
        let flags = cursor.u32()?;
        let (store_id, sequence) = (cursor.u64()?, cursor.u64()?);
        Self::decode_rest(store_id, sequence, flags, cursor)
    }

    fn decode_rest(store_id: u64, sequence: u64, flags: u32, mut cursor: Cursor<'_>) -> Option<Self> {
        let (epoch, next_commit_id) = (cursor.u64()?, cursor.u64()?);
        let (newest_id, newest_address) = (cursor.u64()?, cursor.u64()?);
        if newest_address >> Address::BITS != 0
            || newest_id >= next_commit_id
            || flags & !(CLEAN | BUFFERED | DROPPED) != 0
        {
            return None;
        }
        let newest =
            (newest_id > 0).then(|| CommitRef { id: newest_id, address: Address::from_bits(newest_address) });
        let point = Point { offset: cursor.u32()?, ordinal: cursor.u32()? };
        let count = cursor.u32()? as usize;
        let index_bytes = cursor.u32()? as usize;
        if count > cursor.remaining() / ENTRY_BYTES {
            return None;
        }
        let mut segments: Vec<SegmentEntry> = Vec::with_capacity(count);
        for i in 0..count {
            let entry = SegmentEntry {
                number: cursor.u32()?,
                generation: cursor.u32()?,
                len_bytes: cursor.u32()?,
                index_offset: cursor.u32()?,
            };
            let _reserved = cursor.u32()?;
            let ascending = segments.last().is_none_or(|last| last.number < entry.number);
            let sealed = entry.index_offset != 0;
            let too_long = entry.len_bytes > MAX_SEGMENT_BYTES;
            if too_long || !ascending || entry.number >= Address::MAX_SEGMENTS || sealed != (i + 1 < count) {
                return None;
            }
            segments.push(entry);
        }
        let index = Index::decode(cursor.take(index_bytes)?)?;
        let kept_commits = match flags & DROPPED {
            0 => KeptCommits::default(),
            _ => KeptCommits::decode(&mut cursor).filter(|found| found.is_below(next_commit_id))?,
        };
        let end = segments.last().map_or(0, |active| active.len_bytes);
        let in_bounds = point.offset <= end
            && point.offset.is_multiple_of(SECTOR_BYTES)
            && index.ends_before(point.offset, point.ordinal);
        let fields = Fields::decode(&mut cursor)?;
        if !in_bounds || point.ordinal > Address::MAX_ORDINALS {
            return None;
        }
        Some(Self {
            store_id,
            sequence,
            epoch,
            clean: flags & CLEAN != 0,
            buffered: flags & BUFFERED != 0,
            next_commit_id,
            newest,
            segments,
            point,
            index,
            kept_commits,
            fields,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::log::index::BlockEntry;

    pub(in crate::log) fn manifest() -> Manifest {
        let mut index = Index::default();
        index.push(BlockEntry { offset: 512, first_ordinal: 0, is_commit: false }, 3);
        index.push(BlockEntry { offset: 900, first_ordinal: 8, is_commit: true }, 3);
        let entry =
            |number, index_offset| SegmentEntry { number, generation: 0, len_bytes: 8192, index_offset };
        let mut fields = Fields::default();
        fields.set(5, vec![1, 2]);
        Manifest {
            sequence: 6,
            clean: false,
            buffered: true,
            next_commit_id: 10,
            newest: Some(CommitRef { id: 9, address: Address::new(4, 8) }),
            segments: vec![entry(1, 5000), entry(4, 0)],
            point: Point { offset: 1024, ordinal: 9 },
            index,
            kept_commits: KeptCommits::up_to(8, [CommitRef { id: 3, address: Address::new(1, 2) }]),
            fields,
            ..Manifest::of_new_store(77, 3)
        }
    }

    /// The file that version 1 of the format made of a manifest.
    pub(in crate::log) fn version_1(manifest: &Manifest) -> Vec<u8> {
        let body = Manifest { fields: Fields::default(), ..manifest.clone() }.encode();
        let mut bytes = [&MAGIC[..], &1u32.to_le_bytes(), &body[..4]].concat();
        bytes.extend_from_slice(&manifest.store_id.to_le_bytes());
        bytes.extend_from_slice(&manifest.sequence.to_le_bytes());
        bytes.extend_from_slice(&body[4..]);
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    #[test]
    fn comes_back_whole_or_not_at_all() {
        for manifest in [Manifest::of_new_store(1, 2), manifest()] {
            let body = manifest.encode();
            let decode = |body: &[u8]| Manifest::decode(manifest.store_id, manifest.sequence, body);
            assert_eq!(decode(&body), Some(manifest.clone()));
            // Without its fields it is a manifest again.
            let end = Manifest { fields: Fields::default(), ..manifest.clone() }.encode().len();
            assert!((0..body.len()).all(|len| len == end || decode(&body[..len]).is_none()));
        }
    }

    #[test]
    fn a_point_that_is_not_behind_the_index_is_an_error() {
        let of = |offset, ordinal| Manifest { point: Point { offset, ordinal }, ..manifest() }.encode();
        let decode = |body: Vec<u8>| Manifest::decode(77, 6, &body);
        assert_eq!(decode(of(1024, 9)), Some(manifest()));
        for (offset, ordinal) in [(1024, 8), (512, 9), (0, 0)] {
            assert_eq!(decode(of(offset, ordinal)), None, "{offset}, {ordinal}");
        }
    }

    #[test]
    fn that_of_version_1_comes_back_and_no_damage_to_it_goes_unnoticed() {
        let expected = Manifest { fields: Fields::default(), ..manifest() };
        let whole = version_1(&expected);
        assert_eq!(Manifest::decode_version_1(&whole), Some(expected));
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x10;
            assert_eq!(Manifest::decode_version_1(&damaged), None, "byte {at}");
            assert_eq!(Manifest::decode_version_1(&whole[..at]), None, "{at} bytes");
        }
    }
}
