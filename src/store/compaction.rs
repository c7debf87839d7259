//! Compaction: giving back the space of records that no checkpoint reaches, without moving an address.
//!
//! A *pass* is a sequence of steps, each about a segment's worth of work:
//!
//! 1. **Mark** from the kept and the held checkpoints, segment by segment ([`mark`](super::mark)).
//! 2. **Install** what was found reachable in the writer. From then on a flush writes again whatever else it meets
//!    (invariant 13), so that nothing more can come to refer to it.
//! 3. **Rewrite**, the newest segment first. A victim's live records go into a [`Replacement`], each at its own ordinal;
//!    a manifest that names the replacement makes it so; the old file is unlinked, and whoever still maps it reads on.
//!
//! A delta whose base is nothing but a base is written in full: the oldest kept version of every node ends up as one
//! full record, and what lay under it dies. Bases lie below what stands upon them, so going downwards their turn comes
//! when the last one who needed them is known.
//!
//! Checkpoints wait only where the writer is needed: to begin (what is buffered is written out), to install (what the
//! last few checkpoints refer to is looked at), and once a victim (one sync and one manifest). A crash anywhere leaves
//! the old segment or the new one named, and at most a file that is not: the next opening removes it.

use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::block::RecordBlock;
use super::compression::Compressor;
use super::directory::{Directory, segment_name};
use super::log::Log;
use super::manifest::Manifest;
use super::mark::{Mark, Usage};
use super::opening::{Opening, read_block};
use super::reach::{AddressSet, Reach};
use super::record;
use super::replacement::Replacement;
use super::segment::Segment;
use crate::error::Result;
use crate::node::{Address, Backing, Version, merge};
use crate::sync::{AtomicBool, Ordering};

/// Most records of one segment that are written in full in one pass: they are held in memory meanwhile.
const MOST_MERGED: usize = 16 << 10;
/// Of these, most whose chains are in memory at once.
const MOST_CHAINS: usize = 2 << 10;
/// What checkpoints wrote while the mark ran is looked at while they go on, until so little is left.
const CATCH_UP_BYTES: u64 = 128 << 10;
/// After so many attempts the writer waits for the rest, however much it is.
const CATCH_UP_ROUNDS: usize = 8;
/// Longer chains are damage.
const MAX_CHAIN: usize = 256;

/// What compaction did, or a pass of it so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Compacted {
    /// Segments that a shorter one took the place of.
    pub rewritten: u64,
    /// Segments of which nothing was left.
    pub removed: u64,
    /// Length of all these in bytes.
    pub old_bytes: u64,
    /// Length of what took their places.
    pub new_bytes: u64,
    /// Records that were copied.
    pub records: u64,
    /// Of these, deltas that were written in full.
    pub merged: u64,
}

impl Compacted {
    /// Counts another pass.
    pub(crate) fn add(&mut self, other: Self) {
        self.rewritten += other.rewritten;
        self.removed += other.removed;
        self.old_bytes += other.old_bytes;
        self.new_bytes += other.new_bytes;
        self.records += other.records;
        self.merged += other.merged;
    }
}

/// Holds work back to a number of bytes a second.
pub(crate) struct Pace {
    bytes_per_second: Option<u64>,
    stop: Option<Arc<AtomicBool>>,
    since: Instant,
    spent_bytes: u64,
}

impl Pace {
    /// No limit, unless one is given; `stop` lets go of everything that waits.
    pub(crate) fn new(bytes_per_second: Option<u64>, stop: Option<Arc<AtomicBool>>) -> Self {
        Self { bytes_per_second, stop, since: Instant::now(), spent_bytes: 0 }
    }

    /// Whether the work was called off.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Counts bytes that were read or written, and waits until that many were due.
    pub(crate) fn spend(&mut self, bytes: u64) {
        const NAP: Duration = Duration::from_millis(20);
        let Some(rate) = self.bytes_per_second else { return };
        self.spent_bytes += bytes;
        let due = self.since + Duration::from_secs_f64(self.spent_bytes as f64 / rate.max(1) as f64);
        loop {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() || self.is_stopped() {
                return;
            }
            std::thread::sleep(left.min(NAP));
        }
    }
}

/// One pass.
pub(crate) struct Pass<'a> {
    log: &'a Log,
    /// A sealed segment of which less than this part is nodes is a victim.
    threshold: f64,
    compressor: Compressor,
    pace: Pace,
    phase: Phase,
    done: Compacted,
}

enum Phase {
    Marking(Box<Mark>),
    /// Going down: the segments to come are at the end.
    Rewriting {
        reach: Arc<Reach>,
        bases: AddressSet,
        segments: Vec<(Arc<Segment>, Usage)>,
    },
    Done,
}

impl<'a> Pass<'a> {
    /// Begins a pass.
    ///
    /// # Errors
    ///
    /// Those of [`step`](Self::step).
    pub(crate) fn begin(log: &'a Log, threshold: f64, pace: Pace) -> Result<Self> {
        let position = log.writer()?.position()?;
        let phase = match position {
            None => Phase::Done,
            Some(position) => Phase::Marking(Box::new(Mark::begin(log.opening(), position, log.in_use())?)),
        };
        let compressor = Compressor::new(log.compression());
        Ok(Self { log, threshold, compressor, pace, phase, done: Compacted::default() })
    }

    /// Does the next step. False: the pass is over, or was called off.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) if something reachable cannot be read,
    /// [`Error::Io`](crate::Error::Io) if the system refuses: the store is as it was before the step, and not poisoned,
    /// unless it was the manifest that could not be replaced. [`Error::Poisoned`](crate::Error::Poisoned).
    pub(crate) fn step(&mut self) -> Result<bool> {
        if self.pace.is_stopped() {
            return Ok(false);
        }
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Done => Ok(false),
            Phase::Marking(mut mark) => {
                self.phase = if mark.step()? {
                    let swept =
                        mark.usage().last().map_or(0, |(_, usage)| usage.node_bytes + usage.base_bytes);
                    self.pace.spend(swept);
                    Phase::Marking(mark)
                } else {
                    self.install(*mark)?
                };
                Ok(true)
            }
            Phase::Rewriting { reach, mut bases, mut segments } => {
                let Some((segment, usage)) = segments.pop() else { return Ok(false) };
                self.rewrite(&segment, usage, &reach, &mut bases)?;
                self.phase = Phase::Rewriting { reach, bases, segments };
                Ok(true)
            }
        }
    }

    /// Does all steps that are left.
    ///
    /// # Errors
    ///
    /// Those of [`step`](Self::step).
    pub(crate) fn run(mut self) -> Result<Compacted> {
        while self.step()? {}
        Ok(self.done)
    }

    /// Lets the writer know what is reachable.
    fn install(&mut self, mut mark: Mark) -> Result<Phase> {
        let mut from = mark.position();
        for _ in 0..CATCH_UP_ROUNDS {
            let Some(to) = self.log.writer()?.position()? else { break };
            let seen = mark.catch_up(from, to)?;
            from = to;
            if seen < CATCH_UP_BYTES {
                break;
            }
        }
        let mut writer = self.log.writer()?;
        if let Some(to) = writer.position()? {
            mark.catch_up(from, to)?;
        }
        mark.catch_up_held()?;
        let mut segments = mark.usage().to_vec();
        segments.reverse();
        let reach = Arc::new(Reach { position: mark.position(), nodes: mark.into_nodes() });
        writer.set_reach(Arc::clone(&reach));
        Ok(Phase::Rewriting { reach, bases: AddressSet::default(), segments })
    }

    fn rewrite(
        &mut self,
        segment: &Arc<Segment>,
        usage: Usage,
        reach: &Reach,
        bases: &mut AddressSet,
    ) -> Result<()> {
        let (number, len_bytes) = (segment.number(), u64::from(segment.entry.len_bytes));
        let is_below = |bytes: u64| (bytes as f64) < len_bytes as f64 * self.threshold;
        let is_victim = number < reach.position.segment() && is_below(usage.node_bytes);
        let live = self.resolve(segment, is_victim, reach, bases)?;
        self.pace.spend(live.read_bytes);
        if !is_victim || !is_below(live.bytes) && live.merged.is_empty() {
            return Ok(());
        }
        let replacement = if live.is_empty {
            None
        } else {
            let written = self.copy(segment, &live.merged, reach, bases);
            Some(written.inspect_err(|_| {
                // Nobody knows the file; if it cannot be removed either, the next opening does.
                let _ = remove(&self.log.opening().directory, number, segment.entry.generation + 1);
            })?)
        };
        let new_bytes = replacement.as_ref().map_or(0, |new| u64::from(new.entry.len_bytes));
        self.log.writer()?.replace_segment(number, replacement)?;
        self.done.old_bytes += len_bytes;
        self.done.new_bytes += new_bytes;
        *if new_bytes == 0 { &mut self.done.removed } else { &mut self.done.rewritten } += 1;
        remove(&self.log.opening().directory, number, segment.entry.generation)
    }

    /// Finds out what of a segment is needed: bases of what stays a delta are added. The deltas of a victim that can
    /// be written in full are.
    fn resolve(
        &self,
        segment: &Segment,
        is_victim: bool,
        reach: &Reach,
        bases: &mut AddressSet,
    ) -> Result<Live> {
        let number = segment.number();
        let mut live = Live { is_empty: true, ..Live::default() };
        let mut deltas = Vec::new();
        for (entry, epoch, end) in segment.blocks()?.iter().rev() {
            let is_position = number == reach.position.segment();
            let end = end.min(if is_position { reach.position.ordinal() } else { end });
            let nodes = reach.nodes.ordinals(number, entry.first_ordinal, end);
            let below = bases.ordinals(number, entry.first_ordinal, end);
            if nodes.is_empty() && below.is_empty() || end <= entry.first_ordinal {
                continue;
            }
            live.is_empty = false;
            let stored = segment.block_bytes(entry)?;
            live.read_bytes += stored;
            if entry.is_commit {
                live.bytes += stored;
                continue;
            }
            let block = read_block(segment, entry, epoch, Address::new(number, entry.first_ordinal))?;
            let mut raw_bytes = 0;
            for (ordinal, len) in block.lengths() {
                let address = Address::new(number, ordinal);
                if !reach.nodes.contains(address) && !bases.contains(address) {
                    continue;
                }
                raw_bytes += u64::from(len);
                let record = block.record(address)?;
                let base = record.refs.first().filter(|_| record.head.delta);
                let Some(&base) = base.filter(|&&base| !reach.nodes.contains(base)) else { continue };
                if is_victim && deltas.len() < MOST_MERGED {
                    deltas.push(address);
                } else {
                    bases.insert(base);
                }
            }
            live.bytes += (stored * raw_bytes).div_ceil(block.raw_bytes().max(1));
        }
        for deltas in deltas.chunks(MOST_CHAINS) {
            for (address, chain) in chains(self.log.opening(), deltas)? {
                match merge(&chain) {
                    Some((head, refs, payload)) => {
                        let mut bytes = Vec::with_capacity(payload.len() + 4 * refs.len() + 1);
                        record::encode(&mut bytes, address, head, &refs, &payload);
                        live.merged.insert(address.ordinal(), bytes);
                    }
                    // It stays upon its bases, which are all needed; some lie in this segment.
                    None => bases.extend(chain.iter().filter_map(Version::base)),
                }
            }
        }
        Ok(live)
    }

    /// Writes the replacement of a segment.
    fn copy(
        &mut self,
        segment: &Segment,
        merged: &HashMap<u32, Vec<u8>>,
        reach: &Reach,
        bases: &AddressSet,
    ) -> Result<Arc<Segment>> {
        let (number, log) = (segment.number(), self.log);
        let (opening, epoch) = (log.opening(), log.epoch());
        let (compressor, pace) = (&mut self.compressor, &mut self.pace);
        let mut new =
            Replacement::begin(segment, &opening.directory, epoch, log.block_bytes(), compressor, pace)?;
        for (entry, epoch, end) in segment.blocks()?.iter() {
            let mut live = reach.nodes.ordinals(number, entry.first_ordinal, end);
            if entry.is_commit {
                if !live.is_empty() {
                    new.copy_commit(entry)?;
                }
                continue;
            }
            live.extend(bases.ordinals(number, entry.first_ordinal, end));
            live.sort_unstable();
            live.dedup();
            let mut block: Option<RecordBlock> = None;
            for ordinal in live {
                let address = Address::new(number, ordinal);
                if let Some(bytes) = merged.get(&ordinal) {
                    self.done.merged += 1;
                    new.push(ordinal, bytes)?;
                } else {
                    let block = match &mut block {
                        Some(block) => block,
                        none => none.insert(read_block(segment, entry, epoch, address)?),
                    };
                    if let Some(bytes) = block.record_bytes(address) {
                        new.push(ordinal, bytes)?;
                    }
                }
                self.done.records += 1;
            }
        }
        new.finish()
    }
}

/// What of a segment is needed.
#[derive(Default)]
struct Live {
    is_empty: bool,
    /// On disk, as it lies there now.
    bytes: u64,
    /// What was read to find out.
    read_bytes: u64,
    /// Records that are deltas and will be full ones, by ordinal.
    merged: HashMap<u32, Vec<u8>>,
}

/// Reads the chains of some deltas, going down the log once.
fn chains(opening: &Opening, deltas: &[Address]) -> Result<Vec<(Address, Vec<Version>)>> {
    let mut chains: Vec<_> = deltas.iter().map(|&address| (address, Vec::new())).collect();
    let mut needed: BinaryHeap<_> = deltas.iter().enumerate().map(|(i, &address)| (address, i)).collect();
    let mut log = opening.sweep();
    while let Some((address, i)) = needed.pop() {
        let version = Version::of(log.read(address)?);
        let (base, chain) = (version.base(), &mut chains[i].1);
        chain.push(version);
        if let Some(base) = base.filter(|_| chain.len() < MAX_CHAIN) {
            needed.push((base, i));
        }
    }
    Ok(chains)
}

/// Removes the file of a segment that no manifest names any more.
fn remove(directory: &Directory, number: u32, generation: u32) -> Result<()> {
    let name = segment_name(number, generation);
    directory.storage.remove(&name).map_err(|e| directory.io_error("remove", &name, e))
}

/// Removes what a crash left of a compaction: files of segments whose places others have taken, or never took.
///
/// A file that belongs to a segment after the last is none of these, and where the file that the manifest names is
/// missing, nothing is removed: it is the manifest that is of another time then.
///
/// # Errors
///
/// [`Error::Io`](crate::Error::Io) if the system refuses.
pub(crate) fn remove_leftovers(directory: &Directory, manifest: &Manifest) -> Result<()> {
    let Some(last) = manifest.segments.last() else { return Ok(()) };
    let names = directory.storage.list().map_err(|e| directory.io_error("list", "", e))?;
    for name in &names {
        let Some((number, generation)) = parse_name(name) else { continue };
        let named = manifest.segments.binary_search_by_key(&number, |entry| entry.number).ok();
        let is_leftover = match named.map(|i| manifest.segments[i].generation) {
            Some(current) => {
                generation != current && names.iter().any(|name| *name == segment_name(number, current))
            }
            None => number < last.number,
        };
        if is_leftover {
            remove(directory, number, generation)?;
        }
    }
    Ok(())
}

fn parse_name(name: &str) -> Option<(u32, u32)> {
    let (number, generation) = name.strip_suffix(".segment")?.split_once('-')?;
    let parsed = (number.parse().ok()?, generation.parse().ok()?);
    (segment_name(parsed.0, parsed.1) == name).then_some(parsed)
}
