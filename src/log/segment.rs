//! A segment: one file of the log, as readers see it.
//!
//! The first sector of the file is its header, the rest are batches, and at the end, once the segment is sealed,
//! an index block.
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `PRNLSEGM` |
//! | 8 | 4 | format version |
//! | 12 | 4 | number |
//! | 16 | 4 | generation |
//! | 20 | 4 | length of the file in bytes |
//! | 24 | 8 | store id |
//! | 32 | 8 | checksum of the 32 bytes before |

use std::borrow::Cow;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::sync::{OnceLock, RwLock};

use super::block::{self, Block, BlockKind, corrupt};
use super::directory::{Directory, segment_name};
use super::file_region::FileRegion;
use super::format::{Cursor, MAX_SEGMENT_BYTES, Place, SECTOR_BYTES, VERSION, checksum};
use super::index::{BlockEntry, Index};
use super::manifest::SegmentEntry;
use super::scan::Scan;
use crate::error::{Error, IS_MISSING, Result};
use crate::storage::{Region, StorageFile, lend};

const MAGIC: [u8; 8] = *b"PRNLSEGM";
const HEADER_BYTES: usize = 40;

/// Where the first batch of a segment starts.
pub(crate) const FIRST_BATCH: u32 = SECTOR_BYTES;

/// One segment. Its file is opened and mapped, and its index read, on first use.
pub(crate) struct Segment {
    pub entry: SegmentEntry,
    store_id: u64,
    directory: Arc<Directory>,
    region: OnceLock<FileRegion>,
    /// The blocks that readers may look for. `None`: sealed, and not read yet.
    index: RwLock<Option<Index>>,
}

impl Segment {
    /// Makes the segment of a manifest's entry; the active one comes with its index.
    pub(crate) fn new(
        directory: Arc<Directory>,
        store_id: u64,
        entry: SegmentEntry,
        index: Option<Index>,
    ) -> Self {
        debug_assert_eq!(entry.index_offset == 0, index.is_some());
        Self { entry, store_id, directory, region: OnceLock::new(), index: RwLock::new(index) }
    }

    /// Makes the segment of a file that was found, whatever its header says, with the blocks that it was seen to hold.
    pub(crate) fn found(
        directory: Arc<Directory>,
        store_id: u64,
        entry: SegmentEntry,
        index: Index,
        region: FileRegion,
    ) -> Self {
        let mapped = OnceLock::new();
        mapped.get_or_init(|| region);
        Self { entry, store_id, directory, region: mapped, index: RwLock::new(Some(index)) }
    }

    /// A copy whose bytes are in memory, as far as blocks lie there. `None` if it cannot be read, or is sealed: then nobody
    /// writes to the file any more. (Of one that cannot be read, the region stays: what others write over it fails its
    /// checksum, or carries another epoch.)
    pub(crate) fn in_memory(&self) -> Option<Self> {
        if self.entry.index_offset != 0 {
            return None;
        }
        let region = self.region().ok()?;
        let index = self.with_index(Index::clone);
        let last = index.iter().next_back()?.0;
        let end = u64::from(last.offset) + self.block_bytes(last).ok()?;
        let bytes = region.bytes(0..end).ok()??.into_owned();
        let directory = Arc::clone(&self.directory);
        let copy = FileRegion::new(Arc::new(Bytes(bytes)), self.path());
        Some(Self::found(directory, self.store_id, self.entry, index, copy))
    }

    /// Number of the segment.
    pub(crate) fn number(&self) -> u32 {
        self.entry.number
    }

    /// The identity of its store.
    pub(crate) fn store_id(&self) -> u64 {
        self.store_id
    }

    /// The place at `offset` of this segment.
    pub(crate) fn place(&self, offset: u32) -> Place {
        Place { store_id: self.store_id, segment: self.entry.number, offset }
    }

    fn path(&self) -> PathBuf {
        self.directory.path.join(segment_name(self.entry.number, self.entry.generation))
    }

    /// The segment's region; made, and the file's header checked, on the first call.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if the file is missing, too short, or has another header; [`Error::Io`] if the system
    /// refuses.
    pub(crate) fn region(&self) -> Result<&FileRegion> {
        if let Some(region) = self.region.get() {
            return Ok(region);
        }
        let region = self.map()?;
        Ok(self.region.get_or_init(|| region))
    }

    fn map(&self) -> Result<FileRegion> {
        let name = segment_name(self.entry.number, self.entry.generation);
        let file = self.directory.storage.open(&name).map_err(|e| self.open_error(&name, e))?;
        self.map_file(&name, &*file)
    }

    /// Opens the segment's file for appending, and maps it through the same handle.
    pub(crate) fn open_writable(&self) -> Result<Arc<dyn StorageFile>> {
        let name = segment_name(self.entry.number, self.entry.generation);
        let file = self.directory.storage.open_writable(&name).map_err(|e| self.open_error(&name, e))?;
        Ok(file)
    }

    /// Uses this handle's map, unless there is one already.
    pub(crate) fn map_through(&self, file: &dyn StorageFile) -> Result<()> {
        if self.region.get().is_none() {
            let region = self.map_file(&segment_name(self.entry.number, self.entry.generation), file)?;
            self.region.get_or_init(|| region);
        }
        Ok(())
    }

    fn open_error(&self, name: &str, e: io::Error) -> Error {
        match e.kind() {
            io::ErrorKind::NotFound => corrupt(self.place(0), format!("the file {name}{IS_MISSING}")),
            _ => self.directory.io_error("open", name, e),
        }
    }

    fn map_file(&self, name: &str, file: &dyn StorageFile) -> Result<FileRegion> {
        let region = file.map(self.entry.len_bytes.into()).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => corrupt(self.place(0), format!("{name} was truncated: {e}")),
            _ => self.directory.io_error("map", name, e),
        })?;
        let region = FileRegion::new(region, self.directory.path.join(name));
        self.check_header(name, &region)?;
        Ok(region)
    }

    fn check_header(&self, name: &str, region: &FileRegion) -> Result<()> {
        let found = region.bytes(0..HEADER_BYTES as u64)?;
        let found = found.as_deref().unwrap_or_default();
        if (1..=VERSION).any(|version| found == header_of(version, self.entry, self.store_id)) {
            return Ok(());
        }
        let version = Cursor::new(found.get(8..).unwrap_or_default()).u32();
        if let Some(version) = version.filter(|&version| found.starts_with(&MAGIC) && version > VERSION)
            && header_checksum_holds(found)
        {
            let path = self.directory.path.join(name);
            return Err(Error::FormatVersion { path, found: version, expected: VERSION });
        }
        let whole =
            if header_checksum_holds(found) { "belongs to another segment or store" } else { "is damaged" };
        Err(corrupt(self.place(0), format!("the header of {name} {whole}")))
    }

    /// Finds the block that `ordinal` would lie in, and the epoch it must carry.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if no block can hold it, or the segment's index is damaged.
    pub(crate) fn find(&self, ordinal: u32) -> Result<(BlockEntry, u64)> {
        let found = {
            let index = self.index.read();
            index.as_ref().map(|index| index.find(ordinal))
        };
        let found = match found {
            Some(found) => found,
            None => {
                // Read outside the lock: nobody waits for the disk. Two readers may both read it.
                let index = self.read_index()?;
                let found = index.find(ordinal);
                self.index.write().get_or_insert(index);
                found
            }
        };
        found.ok_or_else(|| corrupt(self.place(0), format!("the segment has no record {ordinal}")))
    }

    /// The blocks that readers may look for.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find).
    pub(crate) fn blocks(&self) -> Result<Index> {
        let known = self.index.read().clone();
        known.map_or_else(|| self.read_index(), Ok)
    }

    /// Returns the latest end of the block at this offset, as far as the index is in memory.
    pub(crate) fn limit(&self, offset: u32) -> u32 {
        let index = self.index.read();
        index.as_ref().map_or(self.end(), |index| index.limit(offset, self.end()))
    }

    /// Returns the latest end of its last block.
    pub(crate) fn end(&self) -> u32 {
        match self.entry.index_offset {
            0 => self.entry.len_bytes,
            index_offset => index_offset,
        }
    }

    /// Makes sure that a block ends before the one that `index` says comes next: see [`block::expect_end`].
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if it does not.
    pub(crate) fn expect_apart(&self, index: &Index, entry: BlockEntry) -> Result<()> {
        let limit = index.limit(entry.offset, self.end());
        block::expect_end(self.region()?, self.place(entry.offset), limit)
    }

    /// What a block of this segment takes on disk.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if there is no block's header.
    pub(crate) fn block_bytes(&self, entry: BlockEntry) -> Result<u64> {
        block::len_bytes(self.region()?, self.place(entry.offset))
    }

    fn read_index(&self) -> Result<Index> {
        let place = self.place(self.entry.index_offset);
        let block = Block::read(self.region()?, place)?;
        if block.header.kind != BlockKind::Index {
            return Err(corrupt(
                place,
                "the segment's index was expected, but this is another kind of block",
            ));
        }
        Index::decode(block.raw()).ok_or_else(|| corrupt(place, "the segment's index does not decode"))
    }

    /// Lets readers see blocks that were written just now (or found, by recovery).
    pub(crate) fn publish(&self, entries: &[BlockEntry], epoch: u64) {
        if let Some(index) = &mut *self.index.write() {
            entries.iter().for_each(|&entry| index.push(entry, epoch));
        }
    }

    /// Looks at the index of a segment that has it in memory: the active one.
    pub(crate) fn with_index<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        let index = self.index.read();
        look(index.as_ref().unwrap_or(&Index::default()))
    }
}

/// Bytes of a file that was copied into memory.
struct Bytes(Vec<u8>);

impl Region for Bytes {
    fn len_bytes(&self) -> u64 {
        self.0.len() as u64
    }

    fn bytes(&self, range: Range<u64>) -> io::Result<Cow<'_, [u8]>> {
        lend(&self.0, range).map(Cow::Borrowed)
    }
}

/// The header of a segment's file.
pub(crate) fn header(entry: SegmentEntry, store_id: u64) -> Vec<u8> {
    header_of(VERSION, entry, store_id)
}

/// The header that a version of the format gives to a segment's file.
pub(crate) fn header_of(version: u32, entry: SegmentEntry, store_id: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&version.to_le_bytes());
    bytes.extend_from_slice(&entry.number.to_le_bytes());
    bytes.extend_from_slice(&entry.generation.to_le_bytes());
    bytes.extend_from_slice(&entry.len_bytes.to_le_bytes());
    bytes.extend_from_slice(&store_id.to_le_bytes());
    bytes.extend_from_slice(&checksum(&bytes).to_le_bytes());
    bytes
}

/// The identity of the store that the file of a segment belongs to; `None` if its header is not whole.
///
/// # Errors
///
/// [`Error::Io`] if the system refuses: whose it is is not known then.
pub(crate) fn store_of(region: &FileRegion) -> Result<Option<u64>> {
    let Some(header) = region.bytes(0..HEADER_BYTES as u64)? else { return Ok(None) };
    let is_whole = header.starts_with(&MAGIC) && header_checksum_holds(&header);
    Ok(header.get(24..).filter(|_| is_whole).and_then(|rest| Cursor::new(rest).u64()))
}

fn header_checksum_holds(bytes: &[u8]) -> bool {
    bytes.len() == HEADER_BYTES && checksum(&bytes[..32]).to_le_bytes() == bytes[32..]
}

/// Returns whether the file of a segment that no manifest names holds a batch: a whole block where batches start.
///
/// Anything else is what a crash left of a file that was being made; on some media that need not be zeros.
///
/// # Errors
///
/// [`Error::Io`] if the system refuses: what the file holds is not known then, and it may not be thrown away.
pub(crate) fn holds_batch(region: &FileRegion, store_id: u64, number: u32) -> Result<bool> {
    let len_bytes = u32::try_from(region.len_bytes()).unwrap_or(u32::MAX).min(MAX_SEGMENT_BYTES);
    let Some(bytes) = region.bytes(0..len_bytes.into())? else { return Ok(false) };
    let mut scan = Scan::new(&bytes, Place { store_id, segment: number, offset: 0 });
    let mut sectors = (FIRST_BATCH..len_bytes).step_by(SECTOR_BYTES as usize);
    // No crash leaves so many headers that head nothing: the file is then none that may be thrown away.
    Ok(sectors.any(|offset| scan.check(offset).is_some()) || scan.is_exhausted())
}
