//! The manifest: which segments make up the store, and up to which point they are durable.
//!
//! It is replaced as a whole (written beside, synced, renamed over, directory synced), so there is always exactly
//! one, the old or the new. **Everything before its point is durable**: what recovery finds damaged there is
//! damage, not a power cut. It is replaced when an opening first writes, when a segment is begun, and at a clean
//! close; never by a plain checkpoint.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `PRNLMANI` |
//! | 8 | 4 | format version |
//! | 12 | 4 | flags: 1 clean, 2 buffered, 4 some checkpoints were dropped |
//! | 16 | 8 | store id |
//! | 24 | 8 | sequence: one more than in the manifest before |
//! | 32 | 8 | epoch of the blocks after the point |
//! | 40 | 8 | next commit id |
//! | 48 | 8 | id of the newest commit before the point, 0: none |
//! | 56 | 8 | its address |
//! | 64 | 4 | point: offset in the last segment |
//! | 68 | 4 | point: ordinal |
//! | 72 | 4 | number of segments |
//! | 76 | 4 | length of the index of the last segment |
//! | 80 | 20 each | segments: number, generation, length, offset of the index (the last one: 0), 0 |
//! | | | index of the last segment up to the point |
//! | | | with flag 4: commits up to this id (8) are kept only if listed; their number (8); id and address (16) each |
//! | | | further [fields](super::fields) |
//! | | 8 | checksum of all before |

use std::io;

use super::catalogue::Catalogue;
use super::directory::{Directory, MANIFEST, MANIFEST_TEMP};
use super::fields::Fields;
use super::format::{Cursor, MAX_SEGMENT_BYTES, SECTOR_BYTES, VERSION, checksum};
use super::index::Index;
use crate::error::{Error, Result};
use crate::node::Address;
use crate::weaken;

const MAGIC: [u8; 8] = *b"PRNLMANI";
const CLEAN: u32 = 1;
const BUFFERED: u32 = 2;
const DROPPED: u32 = 4;
const ENTRY_BYTES: usize = 20;
/// The fields that this build knows.
const KNOWN_FIELDS: &[u64] = &[];

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
    pub catalogue: Catalogue,
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
            catalogue: Catalogue::default(),
            fields: Fields::default(),
        }
    }

    /// Reads the manifest; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`] if it is empty or damaged, [`Error::FormatVersion`] if it is of another version,
    /// [`Error::UnknownField`] if it has a field that must be known and is not, [`Error::Io`] if the system refuses.
    pub(crate) fn read(directory: &Directory) -> Result<Option<Self>> {
        let Some(region) = directory.map_whole(MANIFEST)? else { return Ok(None) };
        let bytes = region.bytes(0..region.len_bytes()).unwrap_or_default();
        let damaged = |what: String| {
            let advice =
                "restore MANIFEST from a backup made together with the segments; nothing was changed";
            Err(directory.not_a_store(what, advice))
        };
        if bytes.is_empty() {
            return damaged("its MANIFEST is empty".into());
        }
        if !bytes.starts_with(&MAGIC) {
            return damaged("its MANIFEST does not start as one".into());
        }
        match Cursor::new(&bytes[MAGIC.len()..]).u32() {
            Some(VERSION) | None => {}
            Some(found) => {
                let path = directory.path.join(MANIFEST);
                return Err(Error::FormatVersion { path, found, expected: VERSION });
            }
        }
        match Self::decode(&bytes) {
            Some(manifest) => match manifest.fields.unknown(KNOWN_FIELDS) {
                Some(field) => Err(Error::UnknownField { what: "the MANIFEST".into(), field }),
                None => Ok(Some(manifest)),
            },
            None => damaged(format!("its MANIFEST ({} bytes) is damaged", bytes.len())),
        }
    }

    /// Replaces the manifest in the directory, durably.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the system refuses; the old manifest or the new one is then in place.
    pub(crate) fn write(&self, directory: &Directory) -> Result<()> {
        let storage = &*directory.storage;
        let created = match storage.create(MANIFEST_TEMP, 0) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                // Left behind by a crash. Nobody reads it.
                storage.remove(MANIFEST_TEMP).and_then(|()| storage.create(MANIFEST_TEMP, 0))
            }
            created => created,
        };
        let file = created.map_err(|e| directory.io_error("create", MANIFEST_TEMP, e))?;
        file.write_all_at(&self.encode(), 0).map_err(|e| directory.io_error("write", MANIFEST_TEMP, e))?;
        file.sync_data().map_err(|e| directory.io_error("sync", MANIFEST_TEMP, e))?;
        storage
            .rename(MANIFEST_TEMP, MANIFEST)
            .map_err(|e| directory.io_error("rename", MANIFEST_TEMP, e))?;
        if weaken::canary("directory_sync_skipped") {
            return Ok(());
        }
        storage.sync_dir().map_err(|e| directory.io_error("sync the directory of", MANIFEST, e))
    }

    fn encode(&self) -> Vec<u8> {
        let mut index = Vec::new();
        self.index.encode(&mut index);
        let mut bytes = Vec::with_capacity(96 + self.segments.len() * ENTRY_BYTES + index.len());
        let dropped = !self.catalogue.is_trivial();
        let flags = [(self.clean, CLEAN), (self.buffered, BUFFERED), (dropped, DROPPED)];
        let flags = flags.iter().filter(|(set, _)| *set).fold(0, |flags, (_, flag)| flags | flag);
        bytes.extend_from_slice(&MAGIC);
        for value in [VERSION, flags] {
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        let newest = self.newest.map_or([0, 0], |newest| [newest.id, newest.address.to_bits()]);
        for value in [self.store_id, self.sequence, self.epoch, self.next_commit_id, newest[0], newest[1]] {
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
            self.catalogue.encode(&mut bytes);
        }
        self.fields.encode(&mut bytes);
        let checksum = checksum(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (bytes, stored) = bytes.split_last_chunk::<8>()?;
        if u64::from_le_bytes(*stored) != checksum(bytes) {
            return None;
        }
        let mut cursor = Cursor::new(bytes);
        if cursor.take(MAGIC.len())? != MAGIC || cursor.u32()? != VERSION {
            return None;
        }
        let flags = cursor.u32()?;
        let (store_id, sequence, epoch) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
        let next_commit_id = cursor.u64()?;
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
        let catalogue = match flags & DROPPED {
            0 => Catalogue::default(),
            _ => Catalogue::decode(&mut cursor).filter(|found| found.is_below(next_commit_id))?,
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
            catalogue,
            fields,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::storage::MemoryStorage;
    use crate::store::index::BlockEntry;

    fn manifest() -> Manifest {
        let mut index = Index::default();
        index.push(BlockEntry { offset: 512, first_ordinal: 0, is_commit: false }, 3);
        index.push(BlockEntry { offset: 900, first_ordinal: 8, is_commit: true }, 3);
        let entry =
            |number, index_offset| SegmentEntry { number, generation: 0, len_bytes: 8192, index_offset };
        Manifest {
            sequence: 6,
            clean: false,
            buffered: true,
            next_commit_id: 10,
            newest: Some(CommitRef { id: 9, address: Address::new(4, 8) }),
            segments: vec![entry(1, 5000), entry(4, 0)],
            point: Point { offset: 1024, ordinal: 9 },
            index,
            catalogue: Catalogue::up_to(8, [CommitRef { id: 3, address: Address::new(1, 2) }]),
            ..Manifest::of_new_store(77, 3)
        }
    }

    fn directory() -> Directory {
        Directory::new(Arc::new(MemoryStorage::new()), Path::new("store"))
    }

    #[test]
    fn comes_back_and_replaces_the_one_before() {
        let directory = directory();
        assert_eq!(Manifest::read(&directory).unwrap(), None);
        for manifest in [Manifest::of_new_store(1, 2), manifest(), Manifest::of_new_store(1, 2)] {
            manifest.write(&directory).unwrap();
            assert_eq!(Manifest::read(&directory).unwrap(), Some(manifest));
        }
        directory.storage.create(MANIFEST_TEMP, 5).unwrap();
        manifest().write(&directory).unwrap();
        assert_eq!(Manifest::read(&directory).unwrap(), Some(manifest()));
    }

    #[test]
    fn any_damage_is_an_error() {
        let whole = manifest().encode();
        for at in 0..whole.len() {
            for damaged in [whole[..at].to_vec(), {
                let mut bytes = whole.clone();
                bytes[at] ^= 0x10;
                bytes
            }] {
                let directory = directory();
                directory.storage.create(MANIFEST, 0).unwrap().write_all_at(&damaged, 0).unwrap();
                assert!(Manifest::read(&directory).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_point_that_is_not_behind_the_index_is_an_error() {
        let of = |offset, ordinal| Manifest { point: Point { offset, ordinal }, ..manifest() }.encode();
        assert_eq!(Manifest::decode(&of(1024, 9)), Some(manifest()));
        for (offset, ordinal) in [(1024, 8), (512, 9), (0, 0)] {
            assert_eq!(Manifest::decode(&of(offset, ordinal)), None, "{offset}, {ordinal}");
        }
    }

    #[test]
    fn another_version_is_named() {
        let directory = directory();
        let mut bytes = manifest().encode();
        bytes[8] = 9;
        directory.storage.create(MANIFEST, 0).unwrap().write_all_at(&bytes, 0).unwrap();
        let error = Manifest::read(&directory).unwrap_err();
        assert!(matches!(error, Error::FormatVersion { found: 9, expected: VERSION, .. }), "{error}");
    }
}
