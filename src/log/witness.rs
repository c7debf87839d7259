//! Proof that a manifest is older than the segments beside it: a file that was put back, half a copy of a directory.
//!
//! Such a manifest would show the store as it was, without the checkpoints made since; what is written next would go over
//! them, under their ids. A manifest that is merely behind, since the process died, is told apart by what it says of what comes
//! after it: its epoch, and its next id. A recovery that cuts commits raises the next id above theirs before anything is
//! written, so that what lies cut behind the point is never taken for a proof.

use super::block::{self, BlockHeader, BlockKind};
use super::commit::Commit;
use super::directory::{Directory, parse_segment_name, segment_name};
use super::file_region::FileRegion;
use super::format::{SECTOR_BYTES, sector_up};
use super::manifest::Manifest;
use super::scan::Scan;
use super::segment::{self, FIRST_BATCH, Segment};
use crate::error::{Error, Result};

/// Makes sure that no file in the directory is younger than the manifest.
///
/// A file behind the last segment is, if it holds a batch (an empty one was being made when the process died), and so is one of a
/// later generation than the one that is named, where that is gone.
///
/// # Errors
///
/// [`Error::NotAStore`] if one is; [`Error::Io`] if the system refuses.
pub(crate) fn check_files(directory: &Directory, manifest: &Manifest) -> Result<()> {
    let names = directory.storage.list().map_err(|e| directory.io_error("list", "", e))?;
    let next = manifest.segments.last().map_or(0, |active| active.number + 1);
    for name in &names {
        let Some((number, generation)) = parse_segment_name(name) else { continue };
        if number >= next {
            match directory.expect_own_segment(manifest.store_id, name) {
                // It is in nobody's way yet.
                Err(Error::Foreign { .. }) if number > next => continue,
                own => own?,
            }
            // Only a segment that was sealed, and named, is ever replaced.
            if generation > 0 {
                return Err(unnamed(directory, name));
            }
            check_unnamed(directory, manifest.store_id, number)?;
            continue;
        }
        let named = manifest.segments.binary_search_by_key(&number, |entry| entry.number).ok();
        let Some(named) = named.map(|i| manifest.segments[i].generation) else { continue };
        let named_name = segment_name(number, named);
        if generation > named && !names.contains(&named_name) {
            let what = format!("names {named_name}, which is gone, and {name} lies in its place");
            return Err(older(directory, &what));
        }
    }
    Ok(())
}

/// Makes sure that the file of a segment that the manifest does not name, if there is such a file, is the store's own and
/// holds no batch.
///
/// # Errors
///
/// Those of [`check_files`].
pub(crate) fn check_unnamed(directory: &Directory, store_id: u64, number: u32) -> Result<()> {
    let name = segment_name(number, 0);
    directory.expect_own_segment(store_id, &name)?;
    match directory.map_whole(&name)? {
        Some(region) if segment::holds_batch(&region, store_id, number)? => Err(unnamed(directory, &name)),
        _ => Ok(()),
    }
}

fn unnamed(directory: &Directory, name: &str) -> Error {
    older(directory, &format!("does not name {name}, which holds data"))
}

/// Makes sure that the batch at `at` of the active segment, where the log ends, is none that the manifest should know of. **O(batch)**.
///
/// # Errors
///
/// [`Error::NotAStore`] if it is one; [`Error::Io`] if the system refuses.
pub(crate) fn check_end(
    directory: &Directory,
    manifest: &Manifest,
    segment: &Segment,
    region: &FileRegion,
    at: u32,
) -> Result<()> {
    match batch_at(segment, region, at, |at| block::check(region, segment.place(at)))? {
        Some((Some(commit), epoch, _)) => check_commit(directory, manifest, segment, &commit, epoch),
        _ => Ok(()),
    }
}

/// As [`check_end`], of every batch behind the manifest's point. **O(segment)**, whatever the bytes are: where too many
/// headers of blocks head nothing ([`Scan::is_exhausted`]), some that follow are passed over.
///
/// # Errors
///
/// Those of [`check_end`].
pub(crate) fn check_behind(
    directory: &Directory,
    manifest: &Manifest,
    segment: &Segment,
    region: &FileRegion,
) -> Result<()> {
    let mut at = manifest.point.offset.max(FIRST_BATCH);
    let bytes = region.bytes_from(at.into())?;
    let mut scan = Scan::new(&bytes, segment.place(at));
    while u64::from(at) < region.len_bytes() {
        at = match batch_at(segment, region, at, |at| Ok(scan.check(at)))? {
            Some((commit, epoch, end)) => {
                if let Some(commit) = commit {
                    check_commit(directory, manifest, segment, &commit, epoch)?;
                }
                sector_up(end)
            }
            None => at + SECTOR_BYTES,
        };
    }
    Ok(())
}

fn check_commit(
    directory: &Directory,
    manifest: &Manifest,
    segment: &Segment,
    commit: &Commit,
    epoch: u64,
) -> Result<()> {
    let is_expected = epoch == manifest.epoch && !manifest.clean;
    if is_expected || commit.id < manifest.next_commit_id {
        return Ok(());
    }
    let what = format!(
        "ends before checkpoint {}, but checkpoint {} lies in segment {} behind that end",
        manifest.next_commit_id,
        commit.id,
        segment.number()
    );
    Err(older(directory, &what))
}

/// A run of blocks of one epoch, up to its commit if it has one; the epoch, and where it ends.
type Run = (Option<Commit>, u64, u32);

/// The run that begins at `at`, of blocks that `check` finds whole; none if there is none.
fn batch_at(
    segment: &Segment,
    region: &FileRegion,
    at: u32,
    mut check: impl FnMut(u32) -> Result<Option<BlockHeader>>,
) -> Result<Option<Run>> {
    let Some(first) = check(at)? else { return Ok(None) };
    let (mut header, mut at, mut ordinal) = (first, at, first.first_ordinal);
    loop {
        // A block that was read lies within a file, whose length fits.
        let end = (u64::from(at) + header.len_bytes()) as u32;
        if header.kind == BlockKind::Commit {
            let commit = match Commit::read(region, segment.place(at), ordinal, header.epoch) {
                Ok(commit) => Some(commit),
                Err(Error::Corrupt { .. }) => None,
                Err(error) => return Err(error),
            };
            return Ok(Some((commit, header.epoch, end)));
        }
        ordinal = ordinal.saturating_add(header.records.into());
        match check(end)? {
            Some(next) if next.epoch == first.epoch && next.first_ordinal == ordinal => {
                (header, at) = (next, end);
            }
            _ => return Ok(Some((None, first.epoch, end))),
        }
    }
}

fn older(directory: &Directory, what: &str) -> Error {
    let advice = "put the MANIFEST that belongs to these segments back, or copy what is whole with `Store::salvage`; \
         nothing was changed";
    directory.not_a_store(format!("its MANIFEST is older than its segments: it {what}"), advice)
}
