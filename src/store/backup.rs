//! A consistent copy of a store, made while others go on writing it.
//!
//! A store is its segments up to a point and a manifest that says so. What lies before the point of the newest commit
//! never changes, so a copy of that, and a manifest as a clean close would write it, is the store as it was at that
//! moment. The manifest is made last: a copy that was not finished is no store, and is refused as such.

use std::sync::Arc;

use super::{Location, Store};

use crate::error::Result;
use crate::log::Log;
use crate::log::block::{self, Block, corrupt};
use crate::log::directory::{Directory, segment_name};
use crate::log::manifest::{Manifest, SegmentEntry};
use crate::log::segment::Segment;
use crate::log::slots::Slots;
use crate::log::verify::{Progress, Watched};
use crate::storage::{FileStorage, StorageFile};

/// What was copied by [`Store::backup`](super::Store::backup).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Backup {
    /// The newest checkpoint in the copy.
    pub newest: Option<super::CheckpointId>,
    /// Segments.
    pub segments: u64,
    /// Bytes that were written; the rest of the last segment's file is a hole where the file system has such.
    pub bytes: u64,
}

impl Store {
    /// Copies the store as it is now, with all its checkpoints, into a directory that is empty or does not exist yet
    /// (its parent must), or a storage that is empty ([`Location::storage`]). Everything that is copied is checked. **O(bytes)**; others may checkpoint meanwhile.
    ///
    /// The copy is a store of its own; it has the same identity and the same ids of checkpoints. Until it is complete
    /// it has no MANIFEST, and cannot be opened.
    ///
    /// ```
    /// # use perennial::{HashMap, store::Store};
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("world"))?;
    /// let state = HashMap::from([(1u32, 2u32)]);
    /// store.checkpoint(&state)?;
    /// store.backup(dir.path().join("copy"))?;
    /// let copy = Store::open(dir.path().join("copy"))?;
    /// assert_eq!(copy.latest::<HashMap<u32, u32>>()?, Some(state));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) if something is damaged ([`salvage`](Self::salvage) copies the rest);
    /// [`Error::SameDirectory`](crate::Error::SameDirectory) if it is the store's own, [`Error::NotAStore`](crate::Error::NotAStore) if it holds something;
    /// [`Error::Io`](crate::Error::Io) if the system refuses.
    pub fn backup<'p>(&self, to: impl Into<Location<'p>>) -> Result<Backup> {
        let mut to = to.into();
        self.expect_owner()?;
        let storage = match to.storage.take() {
            Some(storage) => storage,
            None => Arc::new(FileStorage::open(&to.path, true)?.map(self.options.map)),
        };
        let directory = Directory::new(storage, &to.path);
        self.log.opening().directory.expect_other(&directory)?;
        let _still = self.log.hold_compaction()?;
        backup(&self.log, &directory, &mut |now| to.tell(now))
    }
}

/// Copies a log into an empty directory.
///
/// # Errors
///
/// [`Error::Corrupt`](crate::Error::Corrupt) if something that is copied is damaged,
/// [`Error::NotAStore`](crate::Error::NotAStore) if the directory is not empty,
/// [`Error::Io`](crate::Error::Io) if the system refuses.
fn backup(log: &Log, to: &Directory, tell: &mut dyn FnMut(Progress)) -> Result<Backup> {
    to.expect_empty()?;
    let manifest = log.closed_manifest()?;
    // Taken now: compaction may replace one while others are copied.
    let segments: Vec<Arc<Segment>> =
        manifest.segments.iter().map(|entry| log.opening().segment(entry.number)).collect::<Result<_>>()?;
    let ends = manifest.segments.iter().map(|entry| end_of(*entry, &manifest));
    let total = ends.clone().map(u64::from).sum();
    let mut watched = Watched::new(total, tell);
    for ((segment, entry), end) in segments.iter().zip(&manifest.segments).zip(ends) {
        check(segment, *entry, &manifest)?;
        copy(segment, end, to)?;
        watched.add(end.into());
    }
    to.storage.sync_dir().map_err(|e| to.io_error("sync the directory of", "", e))?;
    Slots::create(to, &manifest)?;
    // An earlier attempt may have made the directory and died.
    to.storage.sync_name().map_err(|e| to.io_error("sync the parent directory of", "", e))?;
    let newest = manifest.newest.map(|newest| super::CheckpointId(newest.id));
    Ok(Backup { newest, segments: segments.len() as u64, bytes: total })
}

/// Where what counts of a segment ends.
fn end_of(entry: SegmentEntry, manifest: &Manifest) -> u32 {
    match entry.index_offset {
        0 => manifest.point.offset,
        _ => entry.len_bytes,
    }
}

/// Checks what is about to be copied: a backup of damage is none.
fn check(segment: &Segment, entry: SegmentEntry, manifest: &Manifest) -> Result<()> {
    let region = segment.region()?;
    let (index, end) = match entry.index_offset {
        0 => (manifest.index.clone(), manifest.point.offset),
        index_offset => (segment.blocks()?, index_offset),
    };
    for (entry, epoch, _) in index.iter() {
        let place = segment.place(entry.offset);
        block::expect_end(region, place, index.limit(entry.offset, end))?;
        let block = Block::read(region, place)?;
        if block.header.epoch != epoch || block.header.first_ordinal != entry.first_ordinal {
            return Err(corrupt(
                place,
                "a stale block of another opening lies where a newer one was written",
            ));
        }
    }
    Ok(())
}

fn copy(segment: &Segment, end: u32, to: &Directory) -> Result<()> {
    /// Bytes that are copied at once.
    const PIECE_BYTES: u64 = 1 << 20;
    let SegmentEntry { number, generation, len_bytes, .. } = segment.entry;
    let name = segment_name(number, generation);
    let region = segment.region()?;
    let created: Arc<dyn StorageFile> =
        to.storage.create(&name, len_bytes.into()).map_err(|e| to.io_error("create", &name, e))?;
    let mut at = 0;
    while at < u64::from(end) {
        let next = (at + PIECE_BYTES).min(end.into());
        let bytes = region.bytes(at..next)?.ok_or_else(|| {
            let what = format!("the segment ends at {}, before its last block", region.len_bytes());
            corrupt(segment.place(at as u32), what)
        })?;
        created.write_all_at(&bytes, at).map_err(|e| to.io_error("write", &name, e))?;
        at = next;
    }
    created.sync_data().map_err(|e| to.io_error("sync", &name, e))
}
