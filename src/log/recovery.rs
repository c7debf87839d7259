//! What an opening finds: the newest commit that is whole, and where to go on.
//!
//! After a clean close the manifest says it all. Else the blocks after the manifest's point are walked, in the
//! active segment only: what lies in the others was durable before the manifest named this one. A block counts if
//! it is whole, lies where it was written, carries the epoch of the opening that the manifest names, and goes on
//! with the ordinals; a commit counts if its batch is exactly the blocks walked since the last one.
//!
//! The walk ends at the first thing that does not count. That is the end of the log, or a batch torn by a power
//! cut, or damage to something durable. A commit further on tells them apart: its *durable floor* is the newest
//! commit that was durable when it was written. If that is younger than the last one walked, durable data is
//! damaged, and nothing may be cut.
//!
//! A block that cannot be read is none of these: nothing is known of it, and the opening fails with the system's error.
//!
//! Nothing is written here. What is cut stays where it is until the next batch is written over it; it can never
//! come back, because that batch's opening has another epoch, which is in the manifest before the first write.

use std::sync::Arc;

use super::block::{self, BlockKind, EPOCH_AT, KIND_AT, corrupt};
use super::commit::{BatchPart, Commit, Link};
use super::file_region::FileRegion;
use super::format::{SECTOR_BYTES, chain, sector_up};
use super::index::BlockEntry;
use super::manifest::{CommitRef, Manifest, Point, SegmentEntry};
use super::reader::LogReader;
use super::scan::Scan;
use super::segment::{FIRST_BATCH, Segment};
use super::witness;
use crate::error::{Error, Result};
use crate::record::Address;
use crate::weaken;

/// Gives the opening its segments, all but the last one sealed, and its checkpoints. Returns the active segment.
pub(crate) fn add_segments(opening: &LogReader, manifest: &mut Manifest) -> Option<Arc<Segment>> {
    opening.set_kept_commits(manifest.kept_commits.clone());
    let mut active = None;
    for &entry in &manifest.segments {
        let index = (entry.index_offset == 0).then(|| std::mem::take(&mut manifest.index));
        let directory = Arc::clone(&opening.directory);
        let segment = Arc::new(Segment::new(directory, opening.store_id, entry, index));
        opening.add_segment(Arc::clone(&segment));
        active = Some(segment);
    }
    active
}

/// Finds the newest commit, and moves the manifest's point (in memory) behind it.
///
/// # Errors
///
/// [`Error::Corrupt`] if something durable is damaged; [`Error::NotAStore`] if the manifest is older than the segments;
/// [`Error::Io`] if the system refuses.
pub(crate) fn find_newest(
    opening: &LogReader,
    manifest: &mut Manifest,
    active: Option<&Segment>,
) -> Result<Option<Arc<Commit>>> {
    let known = match manifest.newest {
        None => None,
        Some(CommitRef { id, address }) => {
            let commit = opening.read_commit(address)?;
            if commit.id != id {
                let place = opening.segment(address.segment())?.place(0);
                return Err(corrupt(
                    place,
                    format!("commit {id} was expected at {address}, found {}", commit.id),
                ));
            }
            Some(commit)
        }
    };
    let Some(active) = active else { return Ok(known.map(Arc::new)) };
    let directory = &opening.directory;
    let region = active.region()?;
    if manifest.clean {
        let at = manifest.point.offset.max(FIRST_BATCH);
        witness::check_end(directory, manifest, active, region, at)?;
        return Ok(known.map(Arc::new));
    }
    let walk = Walk::over(active, manifest.epoch, manifest.point, known.as_ref().map(Commit::link))?;
    witness::check_end(directory, manifest, active, region, walk.point.offset.max(FIRST_BATCH))?;
    opening
        .pin_table()
        .kept_commits
        .recover(known.as_ref(), &walk.commits, |address| opening.read_commit(address))?;
    let newest = walk.newest.or(known);
    let newest_id = newest.as_ref().map_or(0, |newest| newest.id);
    // A commit that was cut may be known to somebody by its id. At most one was in flight; `Buffered` ones were
    // acknowledged in any number that fits the rest of the segment, each on a sector of its own. They began to count where
    // the opening that wrote them did, which may be far above the newest one that is left.
    let sectors_left = (active.entry.len_bytes - walk.point.offset).div_ceil(SECTOR_BYTES);
    let lost = if manifest.buffered { u64::from(sectors_left) } else { 1 };
    let unseen = newest_id.max(walk.seen_id).saturating_add(1).max(manifest.next_commit_id);
    manifest.next_commit_id = unseen.saturating_add(lost);
    manifest.newest = newest.as_ref().map(|newest| CommitRef { id: newest.id, address: newest.address });
    manifest.point = walk.point;
    Ok(newest.map(Arc::new))
}

/// Forgets (in memory) the sealed segments behind the newest commit, and returns them: a batch filled them that was never
/// committed, for the disk was full, say. Nothing refers to what is in them, and without this every new try would leave as
/// much again.
pub(crate) fn forget_uncommitted(opening: &LogReader, manifest: &mut Manifest) -> Vec<SegmentEntry> {
    let newest = manifest.newest.map(|newest| newest.address.segment());
    let is_sealed = |entry: &SegmentEntry| entry.index_offset != 0;
    let forgotten: Vec<_> = manifest
        .segments
        .extract_if(.., |entry| is_sealed(entry) && newest.is_none_or(|newest| entry.number > newest))
        .collect();
    forgotten.iter().for_each(|entry| opening.remove_segment(entry.number));
    forgotten
}

/// A walk over the active segment.
struct Walk {
    /// The commits that count, each with what it drops.
    commits: Vec<(CommitRef, Vec<u64>)>,
    /// The last commit that counts.
    newest: Option<Commit>,
    /// Behind it.
    point: Point,
    /// The largest id among the commits that were found, whether they count or not.
    seen_id: u64,
}

impl Walk {
    /// Walks from `point`, where `known` was the newest commit. Blocks of commits that count are published.
    fn over(segment: &Segment, epoch: u64, point: Point, known: Option<Link>) -> Result<Self> {
        let region = segment.region()?;
        let mut walk = Self { commits: Vec::new(), newest: None, point, seen_id: 0 };
        let mut last = known;
        let mut at = point.offset.max(FIRST_BATCH);
        let mut ordinal = point.ordinal;
        let mut part = BatchPart { offset: at, ..BatchPart::default() };
        let mut entries = Vec::new();
        // What cannot be read is not the end of the log: cutting there would lose what lies behind.
        while let Some(header) = block::check(region, segment.place(at))? {
            let goes_on = header.epoch == epoch && header.first_ordinal == ordinal && header.records > 0;
            let Some(next_ordinal) = ordinal.checked_add(header.records.into()) else { break };
            if !goes_on || next_ordinal > Address::MAX_ORDINALS {
                break;
            }
            let end = (u64::from(at) + header.len_bytes()) as u32;
            let entry = BlockEntry {
                offset: at,
                first_ordinal: ordinal,
                is_commit: header.kind == BlockKind::Commit,
            };
            match header.kind {
                // Of sealed segments only.
                BlockKind::Index | BlockKind::Sparse => break,
                BlockKind::Records => {
                    entries.push(entry);
                    part.blocks += 1;
                    part.checksum = chain(part.checksum, header.checksum);
                    (at, ordinal) = (end, next_ordinal);
                }
                BlockKind::Commit => {
                    let commit = match Commit::read(region, segment.place(at), ordinal, epoch) {
                        Ok(commit) => commit,
                        Err(Error::Corrupt { .. }) => break,
                        // It cannot be read, or is whole and of a newer version, or a build of more features: cutting it would destroy it.
                        Err(error) => return Err(error),
                    };
                    if commit.part != part || commit.previous != last {
                        break;
                    }
                    entries.push(entry);
                    segment.publish(&entries, epoch);
                    entries.clear();
                    (at, ordinal) = (sector_up(end).min(segment.entry.len_bytes), next_ordinal);
                    walk.point = Point { offset: at, ordinal };
                    part = BatchPart { offset: at, ..BatchPart::default() };
                    last = Some(commit.link());
                    let here = CommitRef { id: commit.id, address: commit.address };
                    walk.commits.push((here, commit.dropped()));
                    walk.newest = Some(commit);
                }
            }
        }
        walk.check_cut(segment, region, epoch, at, last)?;
        Ok(walk)
    }

    /// Makes sure that what is cut, from `at` on, was not durable.
    fn check_cut(
        &mut self,
        segment: &Segment,
        region: &FileRegion,
        epoch: u64,
        at: u32,
        last: Option<Link>,
    ) -> Result<()> {
        let last_id = last.map_or(0, |last| last.id);
        each_commit_from(segment, region, epoch, at, |commit| {
            self.seen_id = self.seen_id.max(commit.id);
            if weaken::canary("torn_tail_kept") {
                self.newest = Some(commit);
                return Ok(());
            }
            if commit.durable_floor > last_id {
                let what = format!(
                    "the log breaks off after commit {last_id}, but commit {} further on says that commit {} was \
                     durable",
                    commit.id, commit.durable_floor
                );
                return Err(corrupt(segment.place(at), what));
            }
            Ok(())
        })
    }
}

/// Shows all whole commits of an epoch that lie at or after `from`, wherever they start, whatever is around them; but for
/// what lies inside of one. **O(bytes)**, whatever the bytes are.
///
/// # Errors
///
/// What `see` answers; [`Error::UnknownField`] if a commit has a field that must be known and is not; [`Error::MissingFeature`] if this
/// build cannot decompress one; [`Error::Io`] if the system refuses; [`Error::Corrupt`] if so many headers of commits head nothing that no torn write can have left them: not all of
/// them were looked at then.
fn each_commit_from(
    segment: &Segment,
    region: &FileRegion,
    epoch: u64,
    from: u32,
    mut see: impl FnMut(Commit) -> Result<()>,
) -> Result<()> {
    let bytes = region.bytes_from(from.into())?;
    // Most of the segment is as it was reserved: zero.
    let zeros: usize =
        bytes.rchunks(64).take_while(|c| c.iter().fold(0, |a, b| a | b) == 0).map(<[u8]>::len).sum();
    let written = &bytes[..bytes.len() - zeros];
    let mut scan = Scan::new(&bytes, segment.place(from));
    let needle = epoch.to_le_bytes();
    let mut at = EPOCH_AT;
    while let Some(found) = written.get(at..).and_then(|rest| rest.windows(8).position(|w| w == needle)) {
        let start = at + found - EPOCH_AT;
        at += found + 1;
        if written[start + KIND_AT] != BlockKind::Commit.to_byte() {
            continue;
        }
        let place = segment.place(from + start as u32);
        let Some(header) = scan.check(place.offset) else { continue };
        // What it holds is no commit of its own.
        at = start + header.len_bytes() as usize + EPOCH_AT;
        match Commit::read(region, place, header.first_ordinal, epoch) {
            Ok(commit) => see(commit)?,
            Err(Error::Corrupt { .. }) => {}
            // It cannot be read, or is whole and of a newer version, or a build of more features: cutting it would destroy it.
            Err(error) => return Err(error),
        }
    }
    if scan.is_exhausted() {
        let what =
            "behind the last commit that counts lie more headers of commits than there is room for commits";
        return Err(corrupt(segment.place(from), what));
    }
    Ok(())
}
