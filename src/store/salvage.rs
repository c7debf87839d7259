//! For the day when a disk lies: copies every checkpoint that is whole into a new store, and says what is lost.
//!
//! Nothing of the old store is trusted further than its checksums reach. Where the manifest or a segment's index is
//! unreadable, blocks are looked for in the segment's bytes. A checkpoint is whole if its commit and every record that
//! it reaches can be read ([`copy`]); records refer to each other by index into the addresses that stand before their
//! payload, so they can be moved without knowing what they hold, and what checkpoints share stays shared.
//!
//! *Work.* The bytes may have been chosen by somebody who means harm. The search for blocks hashes at most 28 times the
//! bytes of a segment in vain ([`scan`](crate::log::scan)); every block is unpacked at most twice, every commit three times. The
//! new store is none until it is complete ([`unfinished`](crate::log::unfinished)).
//!
//! *Blocks that were cut* by an earlier recovery may still lie whole behind newer ones. They carry the epoch of an opening
//! that had ended before the newer ones were written: in a segment, an epoch that comes again after another one is stale.
//! Behind the point of a readable manifest, only its epoch counts.

mod copy;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::copy::Copy;
use super::{CheckpointId, Location, Store};
use crate::error::{Error, IS_MISSING, Result};
use crate::log::Log;
use crate::log::block::{self, BlockKind, corrupt};
use crate::log::commit::Commit;
use crate::log::directory::{Directory, MANIFEST, parse_segment_name, segment_name};
use crate::log::file_region::FileRegion;
use crate::log::format::{MAX_SEGMENT_BYTES, Place, SECTOR_BYTES, sector_up};
use crate::log::identity::other_store;
use crate::log::index::{BlockEntry, Index};
use crate::log::kept_commits::Listed;
use crate::log::manifest::{Manifest, SegmentEntry};
use crate::log::options::Options;
use crate::log::reader::LogReader;
use crate::log::scan::Scan;
use crate::log::segment::{self, FIRST_BATCH, Segment};
use crate::log::slots;
use crate::log::unfinished::Unfinished;
use crate::log::verify::{Progress, Watched};
use crate::log::witness;
use crate::random::HashSet;
use crate::record::Address;
use crate::storage::FileStorage;

/// What [`Store::salvage`](super::Store::salvage) saved, and what it could not.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct SalvageReport {
    /// The checkpoints that were copied, the oldest first, under their own ids.
    pub checkpoints: Vec<CheckpointId>,
    /// The checkpoints that were kept, as far as is known, and are not whole; and why.
    pub lost: Vec<(CheckpointId, Error)>,
    /// Those of `checkpoints` that were dropped, by a policy or by hand, and stand in for lost ones: before a lost checkpoint, the
    /// nearest one that is whole.
    pub revived: Vec<CheckpointId>,
    /// What else is wrong with the old store: its manifest, its segments.
    pub damage: Vec<Error>,
    /// Records that were copied.
    pub records: u64,
}

impl Store {
    /// Copies every checkpoint that is whole out of a damaged store into a new one, and says what is lost. The old store
    /// is only read, and need not be one that opens: manifest, indexes, segments may be damaged or missing.
    /// **O(bytes)**, whatever the bytes are, and some 100 bytes of memory for each record and 200 for each branch.
    ///
    /// Checkpoints keep their ids, times, labels and names. What they share stays shared. Those that were dropped stay away, as far as
    /// it can be told, unless they stand in for lost ones ([`SalvageReport::revived`]). The new store gives no id again that
    /// the old one may have given. The new directory (or storage, see [`Location::storage`]) is no store until
    /// all is copied: what an interruption leaves there cannot be opened, and the next salvage into it removes it.
    ///
    /// ```
    /// # use perennial::{HashMap, store::Store};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let (old, new) = (dir.path().join("world"), dir.path().join("saved"));
    /// let store = Store::open(&old)?;
    /// let state = HashMap::from([(1u32, 2u32)]);
    /// let first = store.checkpoint(&state)?;
    /// drop(store);
    /// std::fs::remove_file(old.join("MANIFEST")).unwrap();
    /// assert!(Store::open(&old).is_err());
    ///
    /// let salvaged = Store::salvage(&old, &new)?;
    /// assert_eq!(salvaged.checkpoints, [first.id]);
    /// assert_eq!(Store::open(&new)?.latest::<HashMap<u32, u32>>()?, Some(state));
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// The old store is read through memory maps. Where its medium may refuse to be read, which kills a process that reads a map, give
    /// a [`Location::storage`] without ([`FileStorage::map`](crate::storage::FileStorage::map)): it is [`Error::Io`] then, see
    /// [`docs::durability`](crate::docs::durability#reads-that-fail).
    ///
    /// *A limit:* without a readable manifest nobody can tell the newest checkpoints from some that were made after them,
    /// never acknowledged as durable, and cut by a recovery that then wrote nothing. They are whole, and copied.
    ///
    /// # Errors
    ///
    /// [`Error::NotAStore`] if there is no store to begin with, or the new directory holds
    /// something; [`Error::SameDirectory`] if the two are one; [`Error::Io`] if the system refuses.
    pub fn salvage<'p>(from: impl Into<Location<'p>>, to: impl Into<Location<'p>>) -> Result<SalvageReport> {
        let (mut from, mut to) = (from.into(), to.into());
        let old = match from.storage.take() {
            Some(storage) => storage,
            None => {
                Arc::new(FileStorage::open_or(&from.path, Some("name the directory that is to be salvaged"))?)
            }
        };
        let old = Directory::new(old, &from.path);
        let new = match to.storage.take() {
            Some(storage) => storage,
            None => Arc::new(FileStorage::open(&to.path, true)?),
        };
        let new = Directory::new(new, &to.path);
        salvage(old, new, &mut |now| {
            from.tell(now);
            to.tell(now);
        })
    }
}

/// Copies what is whole of the store in `from` into a new one, which is begun when there is something to copy, and is no
/// store until all of it is there.
///
/// # Errors
///
/// [`Error::NotAStore`] if there is nothing to begin with, or something in `to`; [`Error::Io`] and [`Error::Poisoned`] if the system refuses.
fn salvage(from: Directory, to: Directory, tell: &mut dyn FnMut(Progress)) -> Result<SalvageReport> {
    from.expect_other(&to)?;
    let unfinished = Unfinished::prepare(&to)?;
    let mut salvaged = SalvageReport::default();
    let found = Found::look(&Arc::new(from), &mut salvaged)?;
    let new = Log::open(unfinished.storage(), &Options::new(), &to.path)?;
    let bytes: u64 = found.opening.segments().iter().map(|segment| u64::from(segment.entry.len_bytes)).sum();
    // Looked through, then copied.
    let mut watched = Watched::new(2 * bytes, tell);
    let mut copy = Copy::of(&found.opening, &mut watched)?;
    choose(&found, &mut copy, &mut salvaged)?;
    salvaged.records = copy.write(&new, &mut watched)?;
    new.writer()?.skip_ids(found.next_id);
    new.sync()?;
    let store_id = new.opening().store_id;
    new.close()?;
    unfinished.complete(store_id)?;
    Ok(salvaged)
}

/// Chooses what to copy: all that is kept and whole; and where something is not, the nearest one before it that is, though
/// it had been dropped.
fn choose(found: &Found, copy: &mut Copy<'_>, salvaged: &mut SalvageReport) -> Result<()> {
    let mut is_wanting = false;
    let ids: BTreeSet<u64> = found.commits.keys().chain(found.missing.keys()).copied().collect();
    for id in ids.into_iter().rev() {
        let is_dropped = found.dropped.contains(&id);
        if is_dropped && !is_wanting {
            continue;
        }
        let taken = match (found.commits.get(&id), found.missing.get(&id)) {
            (Some(&address), _) => copy.take(id, address),
            (None, address) => {
                let segment = address.map_or(0, |address| address.segment());
                let at = address.map_or_else(String::new, |address| format!(" at {address}"));
                let place = Place { store_id: 0, segment, offset: 0 };
                Err(corrupt(place, format!("the commit{at} cannot be read")))
            }
        };
        match taken {
            Ok(()) => {
                salvaged.checkpoints.push(CheckpointId(id));
                salvaged.revived.extend(is_dropped.then_some(CheckpointId(id)));
            }
            Err(error @ (Error::Io { .. } | Error::MissingFeature { .. })) => return Err(error),
            Err(_) if is_dropped => continue,
            Err(error) => salvaged.lost.push((CheckpointId(id), error)),
        }
        is_wanting = salvaged.lost.last().is_some_and(|(lost, _)| lost.0 == id);
    }
    salvaged.checkpoints.reverse();
    salvaged.revived.reverse();
    salvaged.lost.reverse();
    Ok(())
}

/// What can be read of a store.
struct Found {
    opening: Arc<LogReader>,
    /// Addresses of the commits.
    commits: BTreeMap<u64, Address>,
    /// Commits that others refer to, and that cannot be read.
    missing: BTreeMap<u64, Address>,
    /// Ids of commits that are no checkpoints any more.
    dropped: BTreeSet<u64>,
    /// No id from here on was ever given to a checkpoint.
    next_id: u64,
}

/// Ids that are left out where no manifest says how far they went: as many as 64 segments of the usual length can hold, should
/// the newest ones be lost.
const LOST_IDS: u64 = 1 << 20;

impl Found {
    fn look(directory: &Arc<Directory>, salvaged: &mut SalvageReport) -> Result<Self> {
        let manifest = match slots::read(directory) {
            Ok(Some(found)) => {
                salvaged.damage.extend(found.damage);
                Some(found.manifest)
            }
            Ok(None) => {
                salvaged.damage.push(directory.not_a_store("it has no MANIFEST", "what follows is guessed"));
                None
            }
            Err(error @ (Error::Io { .. } | Error::MissingFeature { .. })) => return Err(error),
            Err(error) => {
                salvaged.damage.push(error);
                None
            }
        };
        let files = all_files(directory)?;
        let (store_id, manifest) = whose(directory, manifest, &files, salvaged)?;
        let manifest = manifest.map(|manifest| current(directory, manifest, salvaged)).transpose()?.flatten();
        let files = segment_files(directory, files, store_id, manifest.as_ref(), salvaged)?;
        let segments = files.last_key_value().map_or(0, |(last, _)| last + 1);
        let opening = Arc::new(LogReader::new(Arc::clone(directory), store_id, segments, 4 << 20)?);
        for file in files.values() {
            let index = file.index(store_id, manifest.as_ref(), salvaged)?;
            let region = file.region.clone();
            let directory = Arc::clone(directory);
            opening.add_segment(Arc::new(Segment::found(directory, store_id, file.entry, index, region)));
        }
        if let Some(manifest) = &manifest {
            for entry in &manifest.segments {
                let what = match files.get(&entry.number).map(|file| file.entry.len_bytes) {
                    None => format!("the segment's file{IS_MISSING}"),
                    Some(found) if found < entry.len_bytes => {
                        format!("the segment's file was truncated to {found} of {} bytes", entry.len_bytes)
                    }
                    Some(_) => continue,
                };
                salvaged.damage.push(corrupt(Place { store_id, segment: entry.number, offset: 0 }, what));
            }
        }
        let (mut commits, mut missing, mut dropped) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        for segment in opening.segments() {
            let index = segment.blocks()?;
            for (entry, epoch, _) in index.iter().filter(|(entry, ..)| entry.is_commit) {
                let place = segment.place(entry.offset);
                let read = segment
                    .expect_apart(&index, entry)
                    .and_then(|()| Commit::read(segment.region()?, place, entry.first_ordinal, epoch));
                match read {
                    Ok(commit) => {
                        let links = [commit.previous, commit.jump].into_iter().flatten();
                        missing.extend(links.map(|link| (link.id, link.address)));
                        dropped.extend(commit.dropped());
                        commits.insert(commit.id, commit.address);
                    }
                    Err(error @ Error::Io { .. }) => return Err(error),
                    Err(error @ Error::UnknownField { .. }) => salvaged.damage.push(error),
                    Err(error @ Error::MissingFeature { .. }) => return Err(error),
                    Err(_) => {}
                }
            }
        }
        let newest = [commits.last_key_value(), missing.last_key_value()];
        let newest_id = newest.into_iter().flatten().map(|(&id, _)| id).max().unwrap_or(0);
        let mut next_id = newest_id.saturating_add(1);
        if let Some(manifest) = &manifest {
            let kept_commits = &manifest.kept_commits;
            missing.extend(
                manifest.newest.into_iter().chain(kept_commits.listed()).map(|at| (at.id, at.address)),
            );
            dropped.extend(
                commits.keys().chain(missing.keys()).filter(|&&id| kept_commits.look(id) == Listed::Not),
            );
            // Behind the point, each commit has a sector of its own.
            let active_bytes = manifest.segments.last().map_or(0, |active| active.len_bytes);
            let lost = if manifest.clean { 0 } else { u64::from(active_bytes / SECTOR_BYTES) };
            next_id = next_id.max(manifest.next_commit_id).saturating_add(lost);
        } else {
            next_id = next_id.saturating_add(LOST_IDS);
        }
        missing.retain(|id, _| !commits.contains_key(id));
        Ok(Self { opening, commits, missing, dropped, next_id })
    }
}

/// The manifest, unless it is proved to be older than the segments: those are looked at without it then.
fn current(
    directory: &Arc<Directory>,
    manifest: Manifest,
    salvaged: &mut SalvageReport,
) -> Result<Option<Manifest>> {
    let checked = witness::check_files(directory, &manifest).and_then(|()| {
        let Some(&entry) = manifest.segments.last() else { return Ok(()) };
        let segment = Segment::new(Arc::clone(directory), manifest.store_id, entry, Some(Index::default()));
        let region = match segment.region() {
            Ok(region) => region,
            Err(error @ Error::Io { .. }) => return Err(error),
            // Damage to it is noted where it is read.
            Err(_) => return Ok(()),
        };
        witness::check_behind(directory, &manifest, &segment, region)
    });
    match checked {
        Ok(()) => Ok(Some(manifest)),
        Err(error @ (Error::Io { .. } | Error::MissingFeature { .. })) => Err(error),
        Err(error) => {
            salvaged.damage.push(error);
            Ok(None)
        }
    }
}

/// The file of a segment, as far as it is there.
struct SegmentFile {
    entry: SegmentEntry,
    region: FileRegion,
}

/// Maps the files of all segments, whosever they are, ascending by number and generation.
fn all_files(directory: &Directory) -> Result<Vec<SegmentFile>> {
    let names = directory.storage.list().map_err(|e| directory.io_error("list", "", e))?;
    let names: BTreeSet<_> =
        names.iter().filter_map(|name| Some((parse_segment_name(name)?, name.clone()))).collect();
    let mut files = Vec::with_capacity(names.len());
    for ((number, generation), name) in names {
        let Some(region) = directory.map_whole(&name)? else { continue };
        let len_bytes = u32::try_from(region.len_bytes()).unwrap_or(u32::MAX).min(MAX_SEGMENT_BYTES);
        let entry = SegmentEntry { number, generation, len_bytes, index_offset: 0 };
        files.push(SegmentFile { entry, region });
    }
    Ok(files)
}

/// Finds which store is to be salvaged: the manifest's, unless segments say whose they are and none of them is of that
/// store; then the one that most segments belong to, as without a manifest. Gives the manifest back if it is that store's.
fn whose(
    directory: &Directory,
    manifest: Option<Manifest>,
    files: &[SegmentFile],
    salvaged: &mut SalvageReport,
) -> Result<(u64, Option<Manifest>)> {
    let mut segments = BTreeMap::<u64, usize>::new();
    for file in files {
        if let Some(id) = file.store_id()? {
            *segments.entry(id).or_default() += 1;
        }
    }
    let most = segments.iter().max_by_key(|(_, count)| **count).map(|(id, _)| *id);
    match (manifest, most) {
        (Some(manifest), Some(most)) if !segments.contains_key(&manifest.store_id) => {
            salvaged.damage.push(directory.foreign(MANIFEST, other_store(most, manifest.store_id)));
            Ok((most, None))
        }
        (Some(manifest), _) => Ok((manifest.store_id, Some(manifest))),
        (None, Some(most)) => Ok((most, None)),
        (None, None) => {
            Err(directory.not_a_store("no segment with a readable header", "restore it from a backup"))
        }
    }
}

/// Chooses the files of the store's segments: those that the manifest names, else of each number the last generation.
/// Files of other stores are named as damage.
fn segment_files(
    directory: &Directory,
    files: Vec<SegmentFile>,
    store_id: u64,
    manifest: Option<&Manifest>,
    salvaged: &mut SalvageReport,
) -> Result<BTreeMap<u32, SegmentFile>> {
    let mut chosen = BTreeMap::new();
    for mut file in files {
        let SegmentEntry { number, generation, .. } = file.entry;
        if let Some(other) = file.store_id()?.filter(|found| *found != store_id) {
            let name = segment_name(number, generation);
            salvaged.damage.push(directory.foreign(&name, other_store(store_id, other)));
            continue;
        }
        if let Some(manifest) = manifest {
            let named = manifest.segments.iter().find(|entry| entry.number == number);
            let Some(named) = named.filter(|named| named.generation == generation) else { continue };
            file.entry.index_offset = named.index_offset;
        }
        chosen.insert(number, file);
    }
    Ok(chosen)
}

impl SegmentFile {
    /// The identity of its store, if the file's header can be read.
    fn store_id(&self) -> Result<Option<u64>> {
        segment::store_of(&self.region)
    }

    /// Finds the blocks: by the manifest or the segment's own index where there is one, else by looking.
    fn index(
        &self,
        store_id: u64,
        manifest: Option<&Manifest>,
        salvaged: &mut SalvageReport,
    ) -> Result<Index> {
        let place = |offset| Place { store_id, segment: self.entry.number, offset };
        let active = manifest.filter(|manifest| {
            manifest.segments.last().is_some_and(|active| active.number == self.entry.number)
        });
        if let Some(manifest) = active {
            let behind = if manifest.clean { None } else { Some(manifest.epoch) };
            let mut index = manifest.index.clone();
            let point = (manifest.point.offset, manifest.point.ordinal);
            self.look(place(0), point, behind, &mut index, salvaged)?;
            return Ok(index);
        }
        if self.entry.index_offset != 0 {
            let read = match block::Block::read(&self.region, place(self.entry.index_offset)) {
                Err(error @ Error::Io { .. }) => return Err(error),
                read => read.ok().filter(|block| block.header.kind == BlockKind::Index),
            };
            if let Some(index) = read.and_then(|block| Index::decode(block.raw())) {
                return Ok(index);
            }
            salvaged.damage.push(corrupt(place(self.entry.index_offset), "the segment's index is damaged"));
        }
        let mut index = Index::default();
        self.look(place(0), (FIRST_BATCH, 0), Some(0), &mut index, salvaged)?;
        Ok(index)
    }

    /// Adds the blocks that lie from an offset and an ordinal on, of `epoch` alone (0: of any); `None`: there are none.
    fn look(
        &self,
        start: Place,
        (at, mut ordinal): (u32, u32),
        epoch: Option<u64>,
        index: &mut Index,
        salvaged: &mut SalvageReport,
    ) -> Result<()> {
        let Some(only) = epoch else { return Ok(()) };
        let Some(bytes) = self.region.bytes(0..self.entry.len_bytes.into())? else { return Ok(()) };
        let mut scan = Scan::new(&bytes, start);
        let (mut at, mut current, mut ended) = (at.max(FIRST_BATCH), 0, HashSet::default());
        while let Some((offset, header)) = scan.next(at) {
            if header.kind == BlockKind::Index {
                break;
            }
            let end = (u64::from(offset) + header.len_bytes()).min(self.entry.len_bytes.into()) as u32;
            let is_commit = header.kind == BlockKind::Commit;
            let counts = (only == 0 || header.epoch == only)
                && !ended.contains(&header.epoch)
                && header.first_ordinal >= ordinal
                && header.first_ordinal < Address::MAX_ORDINALS;
            if counts {
                if current != header.epoch {
                    ended.insert(std::mem::replace(&mut current, header.epoch));
                }
                let entry = BlockEntry { offset, first_ordinal: header.first_ordinal, is_commit };
                index.push(entry, header.epoch);
                ordinal = header.first_ordinal.saturating_add(header.records.into());
            }
            // In a replacement, blocks follow each other without gaps.
            let is_gap = is_commit && self.entry.generation == 0;
            at = if is_gap { sector_up(end).min(self.entry.len_bytes) } else { end };
        }
        if scan.is_exhausted() {
            let what = "it holds so many headers of blocks that are none that not all could be looked at";
            salvaged.damage.push(corrupt(start, what));
        }
        Ok(())
    }
}
