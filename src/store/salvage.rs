//! For the day when a disk lies: copies every checkpoint that is whole into a new store, and says what is lost.
//!
//! Nothing of the old store is trusted further than its checksums reach. Where the manifest or a segment's index is
//! unreadable, blocks are looked for in the segment's bytes. A checkpoint is whole if its commit and every record that
//! it reaches can be read; records refer to each other by index into the addresses that stand before their payload, so
//! they can be moved without knowing what they hold, and what checkpoints share stays shared.
//!
//! *Blocks that were cut* by an earlier recovery may still lie whole behind newer ones. They carry the epoch of an opening
//! that had ended before the newer ones were written: in a segment, an epoch that comes again after another one is stale.
//! Behind the point of a readable manifest, only its epoch counts.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::vec::IntoIter;

use super::block::{self, BlockHeader, BlockKind, HEADER_BYTES, corrupt};
use super::commit::{Commit, Draft};
use super::copying::{self, Copied};
use super::directory::{Directory, MANIFEST, parse_segment_name, segment_name};
use super::format::{MAX_SEGMENT_BYTES, Place, sector_up};
use super::identity::other_store;
use super::index::{BlockEntry, Index};
use super::log::Log;
use super::manifest::{Manifest, SegmentEntry};
use super::opening::Opening;
use super::options::{Durability, Options};
use super::segment::{self, FIRST_BATCH, Segment};
use super::slots;
use super::verify::{Progress, Wanted, Watched, no_beginning};
use super::witness;
use super::{CheckpointId, aging};
use crate::error::{Error, Result};
use crate::node::{Address, RecordKind, needs_of};
use crate::storage::Region;

/// What [`Store::salvage`](super::Store::salvage) saved, and what it could not.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Salvaged {
    /// The checkpoints that were copied, the oldest first, under their own ids.
    pub checkpoints: Vec<CheckpointId>,
    /// The checkpoints that are known to have been and are not whole, and why.
    pub lost: Vec<(CheckpointId, Error)>,
    /// What else is wrong with the old store: its manifest, its segments.
    pub damage: Vec<Error>,
    /// Records that were copied.
    pub records: u64,
}

/// Copies what is whole of the store in `from` into a new one, which is begun when there is something to copy.
///
/// # Errors
///
/// [`Error::NotAStore`] if there is nothing to begin with, or something in `to`; [`Error::Io`] and [`Error::Poisoned`] if the system refuses.
pub(crate) fn salvage(from: Directory, to: Directory, tell: &mut dyn FnMut(Progress)) -> Result<Salvaged> {
    from.expect_other(&to)?;
    to.expect_empty()?;
    let mut salvaged = Salvaged::default();
    let found = Found::look(&Arc::new(from), &mut salvaged)?;
    let to = Log::open(to.storage, &Options::new(), &to.path)?;
    let bytes = found.opening.segments().iter().map(|segment| u64::from(segment.entry.len_bytes)).sum();
    let mut copy = Copy {
        from: &found.opening,
        to: &to,
        copied: Copied::default(),
        whole: HashMap::new(),
        broken: HashMap::new(),
    };
    let mut watched = Watched::new(bytes, tell);
    let mut copied_bytes = 0;
    for (id, commit) in &found.commits {
        match copy.commit(commit) {
            Ok(()) => salvaged.checkpoints.push(CheckpointId(*id)),
            Err(error @ (Error::Io { .. } | Error::Poisoned { .. })) => return Err(error),
            Err(error) => salvaged.lost.push((CheckpointId(*id), error)),
        }
        let done = (copied_bytes + commit.written_bytes).min(bytes);
        watched.add(done - copied_bytes);
        copied_bytes = done;
    }
    for (id, address) in found.missing {
        let place = Place { store_id: 0, segment: address.segment(), offset: 0 };
        let what = format!("the commit at {address} cannot be read");
        salvaged.lost.push((CheckpointId(id), corrupt(place, what)));
    }
    salvaged.lost.sort_by_key(|(id, _)| *id);
    salvaged.records = copy.copied.len() as u64;
    to.sync()?;
    to.close()?;
    Ok(salvaged)
}

/// What can be read of a store.
struct Found {
    opening: Arc<Opening>,
    commits: BTreeMap<u64, Commit>,
    /// Commits that others refer to.
    missing: BTreeMap<u64, Address>,
}

impl Found {
    fn look(directory: &Arc<Directory>, salvaged: &mut Salvaged) -> Result<Self> {
        let manifest = match slots::read(directory) {
            Ok(Some(found)) => {
                salvaged.damage.extend(found.damage);
                Some(found.manifest)
            }
            Ok(None) => {
                salvaged.damage.push(directory.not_a_store("it has no MANIFEST", "what follows is guessed"));
                None
            }
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(error) => {
                salvaged.damage.push(error);
                None
            }
        };
        let files = all_files(directory)?;
        let (store_id, manifest) = whose(directory, manifest, &files, salvaged)?;
        let manifest = manifest.map(|manifest| current(directory, manifest, salvaged)).transpose()?.flatten();
        let files = segment_files(directory, files, store_id, manifest.as_ref(), salvaged);
        let opening = Arc::new(Opening::new(Arc::clone(directory), store_id, 4 << 20)?);
        for file in files.values() {
            let index = file.index(store_id, manifest.as_ref(), salvaged);
            let region = Arc::clone(&file.region);
            let directory = Arc::clone(directory);
            opening.add_segment(Arc::new(Segment::found(directory, store_id, file.entry, index, region)));
        }
        if let Some(manifest) = &manifest {
            for entry in &manifest.segments {
                let what = match files.get(&entry.number).map(|file| file.entry.len_bytes) {
                    None => "the segment's file is missing".to_owned(),
                    Some(found) if found < entry.len_bytes => {
                        format!("the segment's file was truncated to {found} of {} bytes", entry.len_bytes)
                    }
                    Some(_) => continue,
                };
                salvaged.damage.push(corrupt(Place { store_id, segment: entry.number, offset: 0 }, what));
            }
        }
        let mut commits = BTreeMap::new();
        for segment in opening.segments() {
            for (entry, epoch, _) in segment.blocks()?.iter().filter(|(entry, ..)| entry.is_commit) {
                let place = segment.place(entry.offset);
                match Commit::read(&**segment.region()?, place, entry.first_ordinal, epoch) {
                    Ok(commit) => drop(commits.insert(commit.id, commit)),
                    Err(error @ Error::UnknownField { .. }) => salvaged.damage.push(error),
                    Err(_) => {}
                }
            }
        }
        let links = commits.values().flat_map(|commit| [commit.previous, commit.jump]).flatten();
        let mut missing: BTreeMap<u64, Address> = links.map(|link| (link.id, link.address)).collect();
        missing
            .extend(manifest.and_then(|manifest| manifest.newest).map(|newest| (newest.id, newest.address)));
        missing.retain(|id, _| !commits.contains_key(id));
        Ok(Self { opening, commits, missing })
    }
}

/// The manifest, unless it is proved to be older than the segments: those are looked at without it then.
fn current(
    directory: &Arc<Directory>,
    manifest: Manifest,
    salvaged: &mut Salvaged,
) -> Result<Option<Manifest>> {
    let checked = witness::check_files(directory, &manifest).and_then(|()| {
        let Some(&entry) = manifest.segments.last() else { return Ok(()) };
        let segment = Segment::new(Arc::clone(directory), manifest.store_id, entry, Some(Index::default()));
        // Damage to it is noted where it is read.
        let Ok(region) = segment.region() else { return Ok(()) };
        witness::check_behind(directory, &manifest, &segment, &**region)
    });
    match checked {
        Ok(()) => Ok(Some(manifest)),
        Err(error @ Error::Io { .. }) => Err(error),
        Err(error) => {
            salvaged.damage.push(error);
            Ok(None)
        }
    }
}

/// The file of a segment, as far as it is there.
struct SegmentFile {
    entry: SegmentEntry,
    region: Arc<dyn Region>,
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
    salvaged: &mut Salvaged,
) -> Result<(u64, Option<Manifest>)> {
    let mut segments = BTreeMap::<u64, usize>::new();
    files.iter().filter_map(SegmentFile::store_id).for_each(|id| *segments.entry(id).or_default() += 1);
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
    salvaged: &mut Salvaged,
) -> BTreeMap<u32, SegmentFile> {
    let mut chosen = BTreeMap::new();
    for mut file in files {
        let SegmentEntry { number, generation, .. } = file.entry;
        if let Some(other) = file.store_id().filter(|found| *found != store_id) {
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
    chosen
}

impl SegmentFile {
    /// The identity of its store, if the file's header can be read.
    fn store_id(&self) -> Option<u64> {
        segment::store_of(&*self.region)
    }

    /// Finds the blocks: by the manifest or the segment's own index where there is one, else by looking.
    fn index(&self, store_id: u64, manifest: Option<&Manifest>, salvaged: &mut Salvaged) -> Index {
        let place = |offset| Place { store_id, segment: self.entry.number, offset };
        let active = manifest.filter(|manifest| {
            manifest.segments.last().is_some_and(|active| active.number == self.entry.number)
        });
        if let Some(manifest) = active {
            let behind = if manifest.clean { None } else { Some(manifest.epoch) };
            let mut index = manifest.index.clone();
            self.look(place, manifest.point.offset, manifest.point.ordinal, behind, &mut index);
            return index;
        }
        if self.entry.index_offset != 0 {
            let read = block::Block::read(&*self.region, place(self.entry.index_offset));
            let index = read.ok().filter(|block| block.header.kind == BlockKind::Index);
            if let Some(index) = index.and_then(|block| Index::decode(block.raw())) {
                return index;
            }
            salvaged.damage.push(corrupt(place(self.entry.index_offset), "the segment's index is damaged"));
        }
        let mut index = Index::default();
        self.look(place, FIRST_BATCH, 0, Some(0), &mut index);
        index
    }

    /// Adds the blocks that lie from `at` on, of `epoch` alone (0: of any); `None`: there are none.
    fn look(
        &self,
        place: impl Fn(u32) -> Place,
        at: u32,
        mut ordinal: u32,
        epoch: Option<u64>,
        index: &mut Index,
    ) {
        let Some(only) = epoch else { return };
        let (mut at, mut current, mut ended) = (at.max(FIRST_BATCH), 0, HashSet::new());
        while let Some((offset, header)) = self.next_block(&place, at) {
            if header.kind == BlockKind::Index {
                return;
            }
            let end = (u64::from(offset) + header.len_bytes()).min(self.entry.len_bytes.into()) as u32;
            let is_commit = header.kind == BlockKind::Commit;
            let counts = (only == 0 || header.epoch == only)
                && !ended.contains(&header.epoch)
                && header.first_ordinal >= ordinal
                && header.first_ordinal < Address::MAX_ORDINALS
                && header.records > 0;
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
    }

    /// The first whole block at or behind `at`.
    fn next_block(&self, place: &impl Fn(u32) -> Place, at: u32) -> Option<(u32, BlockHeader)> {
        if let Some(header) = block::check(&*self.region, place(at)) {
            return Some((at, header));
        }
        let bytes = self.region.bytes(at.into()..self.entry.len_bytes.into())?;
        let last = bytes.len().checked_sub(HEADER_BYTES as usize)?;
        (1..=last).find_map(|i| {
            // Kind and codec: most places are ruled out by them.
            if !(1..=4).contains(&bytes[i + 8]) || bytes[i + 9] > 2 {
                return None;
            }
            let offset = at + i as u32;
            block::check(&*self.region, place(offset)).map(|header| (offset, header))
        })
    }
}

/// Copies commits into another log, each record once.
struct Copy<'a> {
    from: &'a Arc<Opening>,
    to: &'a Log,
    copied: Copied,
    /// Records that were found whole, with all that they reach.
    whole: HashMap<Address, RecordKind>,
    /// Records that are lost, or reach one that is: where that lies and what is wrong.
    broken: HashMap<Address, (Address, String)>,
}

/// A record, and what of the records that it refers to is still to be looked at.
struct Looked {
    address: Address,
    kind: RecordKind,
    refs: IntoIter<(Address, Wanted)>,
}

impl Copy<'_> {
    fn commit(&mut self, commit: &Commit) -> Result<()> {
        for root in &commit.roots {
            self.check(root.shape, Wanted::Shape)?;
            root.refs.iter().try_for_each(|&to| self.check(to, Wanted::Node))?;
        }
        let mut turn = self.to.writer()?;
        let roots = commit.roots.iter().map(|root| self.copied.root(&**self.from, root, &mut turn));
        let draft = Draft {
            parent: commit.parent,
            label: commit.label.clone(),
            roots: roots.collect::<Result<_>>()?,
            copy_of: Some((commit.id, commit.time_micros)),
            fields: aging::copied(commit),
        };
        turn.commit(draft, Durability::Buffered).map(drop)
    }

    /// Makes sure that a record, and all that it reaches, can be read and is what others take it for.
    fn check(&mut self, address: Address, wanted: Wanted) -> Result<()> {
        let mut open: Vec<Looked> = Vec::new();
        let mut next = Some((address, wanted));
        loop {
            if let Some((address, wanted)) = next {
                let wrong = match (self.broken.get(&address), self.whole.get(&address)) {
                    (Some(wrong), _) => Some(wrong.clone()),
                    (None, Some(kind)) => wanted.fits(address, *kind).err().map(|what| (address, what)),
                    (None, None) => match self.look(address)? {
                        Err(what) => {
                            self.broken.insert(address, (address, what.clone()));
                            Some((address, what))
                        }
                        Ok(looked) => match wanted.fits(address, looked.kind) {
                            Err(what) => Some((address, what)),
                            Ok(()) => {
                                open.push(looked);
                                None
                            }
                        },
                    },
                };
                if let Some((at, what)) = wrong {
                    // Whoever reaches it is broken as well.
                    for above in &open {
                        self.broken.insert(above.address, (at, what.clone()));
                    }
                    let place = Place { store_id: 0, segment: at.segment(), offset: 0 };
                    return Err(corrupt(place, format!("the record {at} is lost: {what}")));
                }
            }
            let Some(last) = open.last_mut() else { return Ok(()) };
            next = last.refs.next();
            if next.is_none() {
                self.whole.insert(last.address, last.kind);
                open.pop();
            }
        }
    }

    /// What a record is and refers to, or what is wrong with it.
    fn look(&self, address: Address) -> Result<Result<Looked, String>> {
        let (head, refs, payload) = match copying::read(&**self.from, address) {
            Err(error @ Error::Io { .. }) => return Err(error),
            Err(error) => return Ok(Err(error.to_string())),
            Ok(read) => read,
        };
        let Some(needs) = needs_of(head, &refs, &payload, u16::MAX) else {
            return Ok(Err(no_beginning(address)));
        };
        let base = needs.base.map(|(base, _)| (base, Wanted::version(head.kind)));
        let nodes = needs.nodes.into_iter().map(|to| (to, Wanted::Node));
        let refs: Vec<_> = nodes.chain(base).collect();
        Ok(Ok(Looked { address, kind: head.kind, refs: refs.into_iter() }))
    }
}
