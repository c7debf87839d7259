//! Looking at everything: is what the log holds what was written, without knowing a type.
//!
//! Records refer only to what lies before them (invariant 5), so one sweep over the log from its end to its beginning
//! meets everything that refers to a record before the record itself: whatever is needed is known when its turn comes,
//! and every block is read once.

use std::collections::BTreeMap;

use super::Log;
use super::block::{RecordBlock, corrupt};
use super::commit::{BatchPart, Commit, Root};
use super::format::{Place, chain};
use super::index::BlockEntry;
use super::segment::Segment;
use super::slots;
use crate::error::{Error, Result};
use crate::node::needs;
use crate::record::{Address, RecordKind};

/// How far something long has got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that are done.
    pub done_bytes: u64,
    /// Bytes in all.
    pub total_bytes: u64,
}

/// Who is told how far something has got.
pub(crate) struct Watched<'a> {
    progress: Progress,
    tell: &'a mut dyn FnMut(Progress),
}

impl<'a> Watched<'a> {
    pub(crate) fn new(total_bytes: u64, tell: &'a mut dyn FnMut(Progress)) -> Self {
        Self { progress: Progress { done_bytes: 0, total_bytes }, tell }
    }

    pub(crate) fn add(&mut self, bytes: u64) {
        self.progress.done_bytes += bytes;
        (self.tell)(self.progress);
    }
}

/// What [`Store::verify`](crate::store::Store::verify) looked at, and what is wrong with it.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Checkpoints whose commits were read.
    pub checkpoints: u64,
    /// Segments.
    pub segments: u64,
    /// Blocks in them.
    pub blocks: u64,
    /// Records in these.
    pub records: u64,
    /// States that were decoded to the last item (of the type of [`VerifyOptions::states`](crate::store::VerifyOptions::states)).
    pub states: u64,
    /// States that were passed over, since they are of another type than that of [`VerifyOptions::states`](crate::store::VerifyOptions::states).
    pub other_types: u64,
    /// What is wrong, each with its place; the first [`MAX_REPORTED`](Self::MAX_REPORTED) of them.
    pub damage: Vec<Error>,
    /// How many damages there are.
    pub damaged: u64,
}

impl VerifyReport {
    /// Most damages that are listed.
    pub const MAX_REPORTED: usize = 1000;

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.damaged == 0
    }

    /// Turns damage into an error: the first one.
    ///
    /// # Errors
    ///
    /// The first of `damage`.
    pub fn into_result(mut self) -> Result<Self> {
        if self.damage.is_empty() {
            return Ok(self);
        }
        Err(self.damage.swap_remove(0))
    }

    /// Notes what is wrong; an error of the system ends the work instead.
    pub(crate) fn note<T>(&mut self, result: Result<T>) -> Result<Option<T>> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error @ (Error::Io { .. } | Error::MissingFeature { .. })) => Err(error),
            Err(error) => {
                self.damaged += 1;
                if self.damage.len() < Self::MAX_REPORTED {
                    self.damage.push(error);
                }
                Ok(None)
            }
        }
    }
}

/// Checks all of a log.
///
/// # Errors
///
/// [`Error::Io`] if the system refuses; [`Error::MissingFeature`] if a block needs one. Damage is no error: it is in the answer.
pub(crate) fn verify(log: &Log, tell: &mut dyn FnMut(Progress)) -> Result<VerifyReport> {
    let mut verified = VerifyReport::default();
    let mut needed = Needed::default();
    for commit in log.commits() {
        let Some(commit) = verified.note(commit)? else { break };
        verified.checkpoints += 1;
        commit.roots.iter().for_each(|root| needed.add_root(root));
    }
    let directory = &log.opening().directory;
    for damage in verified.note(slots::damage(directory))?.unwrap_or_default() {
        verified.note::<()>(Err(damage))?;
    }
    let segments = log.opening().segments();
    let total = segments.iter().map(|segment| u64::from(segment.entry.len_bytes)).sum();
    let mut watched = Watched::new(total, tell);
    for segment in segments.iter().rev() {
        check_segment(segment, &mut needed, &mut verified)?;
        watched.add(segment.entry.len_bytes.into());
    }
    for &segment in needed.segments.keys() {
        let place = Place { store_id: log.opening().store_id, segment, offset: 0 };
        verified.note::<()>(Err(corrupt(place, "records refer to this segment, but the store has none")))?;
    }
    Ok(verified)
}

/// Checks one segment, the newest record first.
fn check_segment(segment: &Segment, needed: &mut Needed, verified: &mut VerifyReport) -> Result<()> {
    verified.segments += 1;
    if verified.note(segment.region().map(drop))?.is_some()
        && let Some(index) = verified.note(segment.blocks())?
    {
        let mut found = Vec::with_capacity(index.len());
        for (entry, epoch, end) in index.iter().rev() {
            verified.blocks += 1;
            let apart = segment.expect_apart(&index, entry);
            let content = match entry.is_commit {
                true => check_commit(segment, entry, epoch, apart, verified)?,
                false => check_records(segment, entry, epoch, (end, apart), needed, verified)?,
            };
            found.push((entry.offset, content));
        }
        found.reverse();
        // Compaction lays blocks out anew, and leaves the commits as they were.
        if segment.entry.generation == 0 {
            check_batches(segment, &found, verified)?;
        }
        if let Some((ordinal, _)) = needed.segment(segment.number()).first_key_value() {
            let what = format!("the segment has no record {ordinal}, but other records refer to it");
            verified.note::<()>(Err(corrupt(segment.place(0), what)))?;
        }
    }
    needed.segments.remove(&segment.number());
    Ok(())
}

/// What a block was found to hold.
enum Content {
    Records {
        checksum: u64,
    },
    /// With what it says of its batch.
    Commit {
        id: u64,
        part: BatchPart,
    },
    Damage,
}

fn check_commit(
    segment: &Segment,
    entry: BlockEntry,
    epoch: u64,
    apart: Result<()>,
    verified: &mut VerifyReport,
) -> Result<Content> {
    let region = segment.region()?;
    let commit =
        apart.and_then(|()| Commit::read(region, segment.place(entry.offset), entry.first_ordinal, epoch));
    let content = |commit: Commit| Content::Commit { id: commit.id, part: commit.part };
    Ok(verified.note(commit)?.map_or(Content::Damage, content))
}

/// Checks a block of records whose ordinals lie below `end`, and which is `apart` from the block behind it.
fn check_records(
    segment: &Segment,
    entry: BlockEntry,
    epoch: u64,
    (end, apart): (u32, Result<()>),
    needed: &mut Needed,
    verified: &mut VerifyReport,
) -> Result<Content> {
    let place = segment.place(entry.offset);
    let region = segment.region()?;
    let read = apart.and_then(|()| RecordBlock::read(region, place)).and_then(|(header, block)| {
        let belongs = header.epoch == epoch && header.first_ordinal == entry.first_ordinal;
        let stale = || corrupt(place, "a stale block of another opening lies where a newer one was written");
        belongs.then_some((header.checksum, block)).ok_or_else(stale)
    });
    let Some((checksum, block)) = verified.note(read)? else {
        // What it held is damaged with it: once is enough.
        needed.forget(segment.number(), entry.first_ordinal, end);
        return Ok(Content::Damage);
    };
    for (ordinal, _) in block.lengths() {
        verified.records += 1;
        let address = Address::new(segment.number(), ordinal);
        let wanted = needed.segment(segment.number()).remove(&ordinal);
        let Some(record) = verified.note(block.record(address))? else { continue };
        let Some((wanted, slots)) = wanted else { continue };
        if let Err(what) = wanted.fits(address, record.head.kind) {
            verified.note::<()>(Err(corrupt(place, what)))?;
        }
        // What a base says of slots that a delta above it says anew may be gone: compaction does not follow it.
        if let Some(needs) = needs(&record, slots) {
            needs.nodes.into_iter().for_each(|to| needed.add(to, Wanted::Node, u16::MAX));
            let version = Wanted::version(record.head.kind);
            needs.base.into_iter().for_each(|(base, slots)| needed.add(base, version, slots));
        } else {
            let what = no_beginning(address);
            verified.note::<()>(Err(corrupt(place, what)))?;
        }
    }
    Ok(Content::Records { checksum })
}

pub(crate) fn no_beginning(address: Address) -> String {
    format!("the record {address} does not begin as one of its kind")
}

/// Checks that every commit's batch is exactly the blocks before it.
fn check_batches(segment: &Segment, found: &[(u32, Content)], verified: &mut VerifyReport) -> Result<()> {
    let mut part: Option<BatchPart> = None;
    let mut whole = true;
    for (offset, content) in found {
        let batch = part.get_or_insert(BatchPart { offset: *offset, ..BatchPart::default() });
        match content {
            Content::Records { checksum } => {
                batch.blocks += 1;
                batch.checksum = chain(batch.checksum, *checksum);
            }
            // Whether it was a commit, nobody knows.
            Content::Damage => whole = false,
            Content::Commit { id, part: said } => {
                if whole && said != batch {
                    let what = format!("the batch of commit {id} is not the blocks before it");
                    verified.note::<()>(Err(corrupt(segment.place(*offset), what)))?;
                }
                (part, whole) = (None, true);
            }
        }
    }
    Ok(())
}

/// What a record that others refer to has to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wanted {
    Node,
    Leaf,
    Branch,
    Schema,
}

impl Wanted {
    /// An earlier version of a record of this kind.
    pub(crate) fn version(kind: RecordKind) -> Self {
        match kind {
            RecordKind::Leaf => Self::Leaf,
            RecordKind::Branch => Self::Branch,
            RecordKind::Schema => Self::Schema,
        }
    }

    /// Makes sure that the record at `address`, which is of this kind, is one; else says what is wrong.
    pub(crate) fn fits(self, address: Address, kind: RecordKind) -> Result<(), String> {
        let fits = match self {
            Self::Node => kind != RecordKind::Schema,
            Self::Leaf => kind == RecordKind::Leaf,
            Self::Branch => kind == RecordKind::Branch,
            Self::Schema => kind == RecordKind::Schema,
        };
        match fits {
            true => Ok(()),
            false => Err(format!("the record {address} is a {kind:?} where a {self:?} belongs")),
        }
    }
}

/// The records that something refers to and that were not met yet, and the slots in which each has the say.
#[derive(Default)]
struct Needed {
    segments: BTreeMap<u32, BTreeMap<u32, (Wanted, u16)>>,
}

impl Needed {
    fn segment(&mut self, number: u32) -> &mut BTreeMap<u32, (Wanted, u16)> {
        self.segments.entry(number).or_default()
    }

    /// Forgets the ordinals from `first` on and below `end`. **O(those · log n)**: a segment may hold many damaged blocks.
    fn forget(&mut self, number: u32, first: u32, end: u32) {
        let segment = self.segment(number);
        let lost: Vec<u32> = segment.range(first..end.max(first)).map(|(&ordinal, _)| ordinal).collect();
        lost.iter().for_each(|ordinal| _ = segment.remove(ordinal));
    }

    fn add(&mut self, address: Address, wanted: Wanted, slots: u16) {
        let segment = self.segment(address.segment());
        let (known, known_slots) = segment.entry(address.ordinal()).or_insert((wanted, slots));
        *known_slots |= slots;
        if *known == Wanted::Node {
            *known = wanted;
        }
    }

    fn add_root(&mut self, root: &Root) {
        self.add(root.shape, Wanted::Schema, 0);
        root.refs.iter().for_each(|&to| self.add(to, Wanted::Node, u16::MAX));
    }
}
