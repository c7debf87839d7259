//! Compaction: giving back the space of records that no checkpoint reaches, without moving an address.
//!
//! A *pass* is a sequence of steps, each about a segment's worth of work:
//!
//! 1. **Mark** from the kept and the held checkpoints, segment by segment ([`mark`](super::mark)).
//! 2. **Install** what was found reachable in the writer. From then on a flush writes again whatever else it meets
//!    (invariant 13), so that nothing more can come to refer to it.
//! 3. **Remove** the segments of which nothing is needed: that takes no room, and gives the next step some.
//! 4. **Rewrite** the others, the newest segment first. A victim's live records go into a [`Replacement`], each at its own ordinal;
//!    a manifest that names the replacement makes it so; the old file is unlinked, and whoever still maps it reads on.
//!
//! A delta whose base is nothing but a base is written in full: the oldest kept version of every node ends up as one
//! full record, and what lay under it dies. Bases lie below what stands upon them, so going downwards their turn comes
//! when the last one who needed them is known. A victim for whose replacement the disk has no room stays as it is, with all the
//! bases of its deltas; the others go on.
//!
//! Checkpoints wait only where the writer is needed: to begin (what is buffered is written out), to install (what the
//! last few checkpoints refer to is looked at), and once a victim (one sync and one manifest). A crash anywhere leaves
//! the old segment or the new one named, and at most a file that is not: the next opening removes it.

use std::collections::BinaryHeap;
use std::sync::Arc;

use super::super::Log;
use super::super::block::RecordBlock;
use super::super::compression::Compressor;
use super::super::directory::{Directory, parse_segment_name, segment_name};
use super::super::manifest::Manifest;
use super::super::reader::{LogReader, read_block};
use super::super::record;
use super::super::segment::Segment;
use super::super::slots::{Slots, is_full};
use super::address_set::{AddressSet, Reachable};
use super::mark::{Mark, Swept};
use super::replacement::Replacement;
use super::throttle::Pace;
use crate::error::{Error, Result};
use crate::node::Version;
use crate::node::merge;
use crate::random::{HashMap, HashSet};
use crate::record::{Address, RecordReader};

/// Beside checkpoints, a delta is written in full where its chain is as long as this or longer: that takes about as many bytes as it frees. By
/// hand every delta is, wherever it lies, so that reads find one record for each node.
const MIN_CHAIN_LEN: u8 = 4;
/// A segment of which enough is in use is rewritten all the same, if one in so many of its records would be written in
/// full.
const MIN_PART: u64 = 4;
/// What is written in full is in memory until its segment's turn comes, and makes that one longer: so much at most.
const MAX_MERGED_BYTES: usize = 16 << 20;
/// So many deltas have their chains in memory at once, to be written in full.
const MAX_CHAINS: usize = 32 << 10;
/// What checkpoints wrote while the mark ran is looked at while they go on, until so little is left.
const CATCH_UP_BYTES: u64 = 128 << 10;
/// After so many attempts the writer waits for the rest, however much it is.
const CATCH_UP_ROUNDS: usize = 8;
/// Longer chains are damage.
const MAX_CHAIN_RECORDS: usize = 256;

/// What compaction did, or a pass of it so far.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CompactionReport {
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

impl CompactionReport {
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

/// One pass.
pub(crate) struct Pass<'a> {
    log: &'a Log,
    /// A sealed segment of which less than this part is nodes is a victim.
    threshold: f64,
    compressor: Compressor,
    pace: Pace,
    phase: Phase,
    done: CompactionReport,
}

enum Phase {
    Marking(Box<Mark>),
    Rewriting(Rewriting),
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
        Ok(Self { log, threshold, compressor, pace, phase, done: CompactionReport::default() })
    }

    /// Does the next step. False: the pass is over, or was called off.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if something reachable cannot be read,
    /// [`Error::Io`] if the system refuses: the store is as it was before the step, and not poisoned,
    /// unless it was the manifest that could not be replaced; want of room is an error only if none was given back by then.
    /// [`Error::Poisoned`].
    pub(crate) fn step(&mut self) -> Result<bool> {
        if self.pace.is_stopped() {
            return Ok(false);
        }
        match std::mem::replace(&mut self.phase, Phase::Done) {
            Phase::Done => Ok(false),
            Phase::Marking(mut mark) => {
                self.phase =
                    if mark.step(&mut self.pace)? { Phase::Marking(mark) } else { self.install(*mark)? };
                Ok(true)
            }
            Phase::Rewriting(mut rewriting) if !rewriting.victims.is_empty() => {
                self.rewrite(&mut rewriting)?;
                self.phase = Phase::Rewriting(rewriting);
                Ok(true)
            }
            Phase::Rewriting(Rewriting { refused: Some(error), .. }) if self.done.old_bytes == 0 => {
                Err(error)
            }
            Phase::Rewriting(rewriting) => {
                self.pace.found(rewriting.live_bytes);
                Ok(false)
            }
        }
    }

    /// Does all steps that are left.
    ///
    /// # Errors
    ///
    /// Those of [`step`](Self::step).
    pub(crate) fn run(mut self) -> Result<CompactionReport> {
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
        let position = mark.position();
        let (nodes, swept) = mark.finish();
        let reach = Arc::new(Reachable { position, nodes });
        writer.set_reach(Arc::clone(&reach));
        drop(writer);
        let rewriting = Rewriting::plan(reach, swept, self.threshold, self.pace.is_free());
        self.pace.planned(rewriting.len_bytes());
        Ok(Phase::Rewriting(rewriting))
    }

    /// Rewrites the next victim.
    fn rewrite(&mut self, rewriting: &mut Rewriting) -> Result<()> {
        // A manifest that could not be made durable may be in force, and name the file that this would begin anew.
        self.log.expect_sound()?;
        let Some(victim) = rewriting.victims.last() else { return Ok(()) };
        let segment = Arc::clone(&victim.segment);
        let (number, len_bytes) = (segment.number(), u64::from(segment.entry.len_bytes));
        self.merge(rewriting)?;
        rewriting.victims.pop();
        self.pace.begin_step(len_bytes);
        let sets = [&rewriting.reach.nodes, &rewriting.bases];
        let replacement = if sets.iter().all(|set| set.count(number) == 0) {
            None
        } else {
            let (done, merging) = (self.done, rewriting.merged_of(number));
            let written = self.copy(&segment, rewriting).inspect_err(|_| {
                // Nobody knows the file; if it cannot be removed either, the next opening does.
                let opening = self.log.opening();
                let generation = segment.entry.generation + 1;
                let _ = opening.directory.remove_segment(opening.store_id, number, generation);
            });
            match written {
                Err(Error::Io { source, action, path }) if is_full(&source) => {
                    self.done = done;
                    rewriting.refused.get_or_insert(Error::Io { source, action, path });
                    return self.keep(&segment, &merging, rewriting);
                }
                written => Some(written?),
            }
        };
        let new_bytes = replacement.as_ref().map_or(0, |new| u64::from(new.entry.len_bytes));
        self.log.writer()?.replace_segment(number, replacement)?;
        rewriting.live_bytes += new_bytes;
        self.done.old_bytes += len_bytes;
        self.done.new_bytes += new_bytes;
        *if new_bytes == 0 { &mut self.done.removed } else { &mut self.done.rewritten } += 1;
        let opening = self.log.opening();
        opening.directory.remove_segment(opening.store_id, number, segment.entry.generation)
    }

    /// Leaves a victim as it is: its deltas stay deltas, and need all their bases.
    fn keep(&mut self, segment: &Segment, merging: &[Address], rewriting: &mut Rewriting) -> Result<()> {
        rewriting.merged.retain(|address, _| address.segment() != segment.number());
        rewriting.live_bytes += u64::from(segment.entry.len_bytes);
        read_chains(self.log.opening(), merging, &mut self.pace, |_, chain| {
            rewriting.bases.extend(chain.iter().filter_map(Version::base));
        })
    }

    /// Makes full records of the next victim's deltas; in the same sweep over the log, of those of the victims after it.
    fn merge(&mut self, rewriting: &mut Rewriting) -> Result<()> {
        let Rewriting { bases, victims, merged, log_bytes, .. } = rewriting;
        let held_bytes = merged.values().map(Vec::len).sum::<usize>();
        let mut room_bytes = MAX_MERGED_BYTES.saturating_sub(held_bytes);
        while victims.last().is_some_and(|victim| !victim.deltas.is_empty()) {
            let mut deltas = Vec::new();
            for victim in victims.iter_mut().rev().filter(|victim| !victim.deltas.is_empty()) {
                if deltas.len() == MAX_CHAINS {
                    break;
                }
                let taken = victim.deltas.len().min(MAX_CHAINS - deltas.len());
                deltas.extend(victim.deltas.drain(..taken));
            }
            self.pace.begin_step(*log_bytes);
            read_chains(self.log.opening(), &deltas, &mut self.pace, |address, chain| {
                match merge(chain).filter(|_| room_bytes > 0) {
                    Some((head, refs, payload)) => {
                        let mut bytes = Vec::with_capacity(payload.len() + 4 * refs.len() + 1);
                        record::encode(&mut bytes, address, head, &refs, &payload);
                        room_bytes = room_bytes.saturating_sub(bytes.len());
                        merged.insert(address, bytes);
                    }
                    // It stays upon its bases, which are all needed; none of them lies in what was rewritten already.
                    None => bases.extend(chain.iter().filter_map(Version::base)),
                }
            })?;
        }
        Ok(())
    }

    /// Writes the replacement of a segment.
    fn copy(&mut self, segment: &Segment, rewriting: &mut Rewriting) -> Result<Arc<Segment>> {
        let (number, log) = (segment.number(), self.log);
        let Rewriting { reach, bases, merged, .. } = rewriting;
        let (opening, epoch) = (log.opening(), log.epoch());
        let (compressor, pace) = (&mut self.compressor, &mut self.pace);
        let mut new =
            Replacement::begin(segment, &opening.directory, epoch, log.block_bytes(), compressor, pace)?;
        let index = segment.blocks()?;
        for (entry, epoch, end) in index.iter() {
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
                if let Some(bytes) = merged.remove(&address) {
                    self.done.merged += 1;
                    new.push(ordinal, &bytes)?;
                } else {
                    let block = match &mut block {
                        Some(block) => block,
                        none => {
                            segment.expect_apart(&index, entry)?;
                            new.spend(segment.block_bytes(entry)?);
                            none.insert(read_block(segment, entry, epoch, address)?)
                        }
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

/// What there is to rewrite.
struct Rewriting {
    reach: Arc<Reachable>,
    /// Records that are nothing but bases, and needed.
    bases: AddressSet,
    /// From the oldest to the newest, whose turn comes first; but behind that, those of which nothing is needed.
    victims: Vec<Victim>,
    /// Deltas of victims as full records.
    merged: HashMap<Address, Vec<u8>>,
    /// What is in use, as far as it is known.
    live_bytes: u64,
    /// Length of all segments there were.
    log_bytes: u64,
    /// Why the first victim that had to stay did.
    refused: Option<Error>,
}

/// A segment to rewrite.
struct Victim {
    segment: Arc<Segment>,
    /// Deltas to write in full, the newest first.
    deltas: Vec<Address>,
}

impl Rewriting {
    /// Finds the victims, and which bases are needed if those deltas of victims are written in full that are worth it:
    /// going down the log, whatever stands upon a base is met before it.
    fn plan(reach: Arc<Reachable>, swept: Vec<Swept>, threshold: f64, by_hand: bool) -> Self {
        let min_chain_len = if by_hand { 1 } else { MIN_CHAIN_LEN };
        let chain_len = ChainLens::of(&swept);
        let log_bytes = swept.iter().map(|swept| u64::from(swept.segment.entry.len_bytes)).sum();
        let deltas = swept.iter().flat_map(|swept| &swept.deltas);
        let stood_upon: HashSet<u32> = deltas.map(|(_, base)| base.segment()).collect();
        let (mut bases, mut victims, mut live_bytes) = (AddressSet::default(), Vec::new(), 0);
        for Swept { segment, usage, deltas } in swept {
            let (number, len_bytes) = (segment.number(), f64::from(segment.entry.len_bytes));
            let is_below = |bytes: u64| (bytes as f64) < len_bytes * threshold;
            let may_go = number < reach.position.segment() && (by_hand || is_below(usage.node_bytes));
            // The deltas to write in full; the bases of the others are added.
            let take = |bases: &mut AddressSet, min_chain_len: u8| {
                let mut merging = Vec::new();
                for &(ordinal, base) in &deltas {
                    let address = Address::new(number, ordinal);
                    let is_needed = reach.nodes.contains(address) || bases.contains(address);
                    if is_needed && !reach.nodes.contains(base) {
                        if chain_len.at(address) >= min_chain_len {
                            merging.push(address);
                        } else {
                            bases.insert(base);
                        }
                    }
                }
                merging
            };
            let mut merging = take(&mut bases, if may_go { min_chain_len } else { u8::MAX });
            let needed_bases = bases.count(number).min(usage.bases);
            let needed_bytes = usage.node_bytes + usage.base_bytes * needed_bases / usage.bases.max(1);
            let records = reach.nodes.count(number) + needed_bases;
            if may_go && (is_below(needed_bytes) || MIN_PART * merging.len() as u64 > records) {
                merging.dedup();
                victims.push(Victim { segment, deltas: merging });
            } else {
                // All of them stay deltas, and bases of theirs that lie here need theirs.
                take(&mut bases, u8::MAX);
                live_bytes += needed_bytes;
            }
        }
        victims.reverse();
        // Nothing stands upon what is in these: they go first.
        let is_dead = |victim: &Victim| {
            let number = victim.segment.number();
            !stood_upon.contains(&number) && reach.nodes.count(number) == 0
        };
        let (mut victims, dead): (Vec<_>, Vec<_>) = victims.into_iter().partition(|victim| !is_dead(victim));
        victims.extend(dead);
        Self { reach, bases, victims, merged: HashMap::default(), live_bytes, log_bytes, refused: None }
    }

    /// The deltas of a segment that are to be written in full.
    fn merged_of(&self, segment: u32) -> Vec<Address> {
        self.merged.keys().copied().filter(|address| address.segment() == segment).collect()
    }

    /// Length of the segments that all steps go over: each victim is copied, and its deltas are made full records in sweeps
    /// over the log.
    fn len_bytes(&self) -> u64 {
        let deltas: usize = self.victims.iter().map(|victim| victim.deltas.len()).sum();
        let copied: u64 = self.victims.iter().map(|victim| u64::from(victim.segment.entry.len_bytes)).sum();
        copied + deltas.div_ceil(MAX_CHAINS) as u64 * self.log_bytes
    }
}

/// How many deltas stand one upon the other at each of those that stand upon nothing but bases; by segment and ordinal.
#[derive(Default)]
struct ChainLens(Vec<Vec<u8>>);

impl ChainLens {
    fn of(swept: &[Swept]) -> Self {
        let mut chain_len = Self::default();
        // Whatever stands upon a base lies after it.
        for Swept { segment, deltas, .. } in swept.iter().rev() {
            let number = segment.number() as usize;
            chain_len.0.resize(number + 1, Vec::new());
            chain_len.0[number] = vec![0; deltas.first().map_or(0, |&(last, _)| last as usize + 1)];
            for &(ordinal, base) in deltas.iter().rev() {
                // `u8::MAX` is more than any: see `plan`.
                chain_len.0[number][ordinal as usize] = (chain_len.at(base) + 1).min(u8::MAX - 1);
            }
        }
        chain_len
    }

    fn at(&self, delta: Address) -> u8 {
        let segment = self.0.get(delta.segment() as usize);
        segment.and_then(|chain_len| chain_len.get(delta.ordinal() as usize)).copied().unwrap_or(0)
    }
}

/// Reads the chains of some deltas, going down the log once, and hands over each when its last record was read.
fn read_chains(
    opening: &LogReader,
    deltas: &[Address],
    pace: &mut Pace,
    mut complete: impl FnMut(Address, &[Version]),
) -> Result<()> {
    let mut chains = Vec::<Vec<Version>>::new();
    chains.resize_with(deltas.len(), Vec::new);
    let mut needed: BinaryHeap<_> = deltas.iter().enumerate().map(|(i, &address)| (address, i)).collect();
    let mut log = opening.sweep();
    let mut block = std::ptr::null();
    while let Some((address, i)) = needed.pop() {
        let record = log.read(address)?;
        if block != record.block.as_ptr() {
            block = record.block.as_ptr();
            // About what it takes on disk.
            pace.spend(record.block.len() as u64 / 2);
        }
        let version = Version::of(record);
        let (base, chain) = (version.base(), &mut chains[i]);
        chain.push(version);
        match base.filter(|_| chain.len() < MAX_CHAIN_RECORDS) {
            Some(base) => needed.push((base, i)),
            None => complete(deltas[i], &std::mem::take(chain)),
        }
    }
    Ok(())
}

/// Removes what a crash left of a compaction: files of segments whose places others have taken, or never took.
///
/// A file that belongs to a segment after the last is none of these, and where the file that the manifest names is
/// missing, nothing is removed: it is the manifest that is of another time then.
///
/// # Errors
///
/// [`Error::Io`] if the system refuses.
pub(crate) fn remove_leftovers(directory: &Directory, manifest: &Manifest, slots: &Slots) -> Result<()> {
    let Some(last) = manifest.segments.last() else { return Ok(()) };
    let names = directory.storage.list().map_err(|e| directory.io_error("list", "", e))?;
    let mut leftovers = Vec::new();
    for name in &names {
        let Some((number, generation)) = parse_segment_name(name) else { continue };
        let named = manifest.segments.binary_search_by_key(&number, |entry| entry.number).ok();
        let is_leftover = match named.map(|i| manifest.segments[i].generation) {
            Some(current) => {
                generation != current && names.iter().any(|name| *name == segment_name(number, current))
            }
            None => number < last.number,
        };
        if is_leftover {
            leftovers.push((number, generation));
        }
    }
    if leftovers.is_empty() {
        return Ok(());
    }
    // The process that replaced the manifest may have died before that was durable: a power cut could bring the one before
    // back, which needs what is removed here.
    slots.sync(directory)?;
    for (number, generation) in leftovers {
        match directory.remove_segment(manifest.store_id, number, generation) {
            // Whoever put it there can take it away.
            Ok(()) | Err(Error::Foreign { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::log::gc::mark::Usage;
    use crate::log::manifest::SegmentEntry;
    use crate::storage::MemoryStorage;

    const LEN_BYTES: u32 = 1000;

    fn at(segment: u32, ordinal: u32) -> Address {
        Address::new(segment, ordinal)
    }

    fn swept(number: u32, node_bytes: u64, base_bytes: u64, deltas: &[(u32, Address)]) -> Swept {
        let directory = Arc::new(Directory::new(Arc::new(MemoryStorage::new()), Path::new("store")));
        let entry = SegmentEntry { number, generation: 0, len_bytes: LEN_BYTES, index_offset: 900 };
        let segment = Arc::new(Segment::new(directory, 1, entry, None));
        Swept { segment, usage: Usage { node_bytes, base_bytes, bases: 1 }, deltas: deltas.to_vec() }
    }

    /// Three segments, the newest in use. Of the middle one 300 bytes are nodes, one of which has a chain that goes on in
    /// the oldest; and `base_bytes` are a base of the newest.
    fn plan(base_bytes: u64, by_hand: bool) -> Rewriting {
        let mut nodes = AddressSet::default();
        nodes.extend((0..50).map(|n| at(1, 20 + n)).chain([at(1, 9), at(2, 1)]));
        let reach = Arc::new(Reachable { position: at(2, 100), nodes });
        let newest = swept(2, 900, 0, &[(1, at(1, 6))]);
        let middle = swept(1, 300, base_bytes, &[(9, at(1, 5)), (5, at(0, 3))]);
        let oldest = swept(0, 0, 100, &[(3, at(0, 1))]);
        Rewriting::plan(reach, vec![newest, middle, oldest], 0.5, by_hand)
    }

    #[test]
    fn deltas_of_victims_are_written_in_full_and_what_lay_under_them_dies() {
        let plan = plan(100, true);
        let victims: Vec<_> = plan.victims.iter().map(|victim| victim.segment.number()).collect();
        assert_eq!(victims, [0, 1]);
        assert_eq!(plan.victims[1].deltas, [at(1, 9)]);
        assert!(plan.victims[0].deltas.is_empty());
        assert!(plan.bases.iter().eq([at(1, 6)]));
        assert_eq!(plan.live_bytes, 900);
    }

    #[test]
    fn deltas_of_a_segment_that_stays_keep_all_their_bases() {
        // Too short a chain; or, of the middle one, more than half in use, and few records to write in full.
        for (base_bytes, by_hand) in [(100, false), (400, true)] {
            let plan = plan(base_bytes, by_hand);
            let is_kept = |base| plan.bases.contains(base) || by_hand && base == at(0, 1);
            assert!([at(0, 3), at(1, 5), at(1, 6), at(0, 1)].into_iter().all(is_kept), "{by_hand}");
            assert!(
                plan.victims.iter().all(|victim| victim.segment.number() != 1 || victim.deltas.is_empty())
            );
        }
    }
}
