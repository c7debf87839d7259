//! What checkpoints take on disk: together, and each alone, which is what dropping it would free.
//!
//! One sweep over the log from its end to its beginning, as a mark does it ([`mark`](crate::log::gc::mark)), with the *owner* of
//! each record beside it: nobody yet, one group of checkpoints, or several. Whatever refers to a record is met before
//! it, so its owner is known when its turn comes.

use std::sync::Arc;

use super::Store;
use super::checkpoint::CheckpointId;
use crate::error::Result;
use crate::log::Log;
use crate::log::commit::Commit;
use crate::log::gc::address_set::AddressSet;
use crate::log::gc::mark::read_needs;
use crate::log::index::BlockEntry;
use crate::log::reader::{LogReader, read_block};
use crate::log::segment::Segment;
use crate::random::HashMap;
use crate::record::{Address, Record, RecordKind};
use crate::retention::Retention;

/// Slots of a branch, at most.
const SLOTS: usize = 16;
/// Longest chain that is told apart.
const MAX_CHAIN_LEN: usize = 16;

/// What some checkpoints take on disk. A record has its share of the (compressed) block it lies in.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct DiskFootprint {
    /// Bytes that any of them needs.
    pub total_bytes: u64,
    /// Bytes that more than one of them needs.
    pub shared_bytes: u64,
    /// Of each: the bytes that none of the others needs. Dropping it would free them.
    pub unique_bytes: Vec<u64>,
}

/// What is in use of a store, and by what. See [`Store::usage`].
#[derive(Clone, PartialEq, Debug, Default)]
#[non_exhaustive]
pub struct Usage {
    /// Length of all segments.
    pub disk_bytes: u64,
    /// Bytes that the kept and the held checkpoints need.
    pub used_bytes: u64,
    /// Room of the segment that is being written, for what comes. The rest is garbage, and indexes.
    pub free_bytes: u64,
    /// Of these: records of leaves.
    pub leaf_bytes: u64,
    /// Records of branches.
    pub branch_bytes: u64,
    /// Commits, and shapes of types.
    pub commit_bytes: u64,
    /// Of the leaves and branches: records that are deltas, the others being full.
    pub delta_bytes: u64,
    /// Of each sealed segment, by number: the part of its length that is in use.
    pub live_ratios: Vec<(u32, f64)>,
    /// Number of nodes whose newest record stands so many deltas above a full one: what a cold read of one reads, less
    /// one.
    pub chain_lengths: Vec<u64>,
}

impl Store {
    /// Tells what checkpoints take on disk. **O(what they reach)**; waits for a compaction that runs.
    ///
    /// ```
    /// use perennial::{HashMap, store::Store};
    ///
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::open(dir.path().join("world"))?;
    /// let mut state: HashMap<u32, u32> = (0..10_000).map(|n| (n, n)).collect();
    /// let first = store.checkpoint(&state)?.id;
    /// state.insert(0, 1);
    /// let second = store.checkpoint(&state)?.id;
    /// let footprint = store.disk_footprint(&[first, second])?;
    /// assert!(footprint.unique_bytes[0] < 2_000 && footprint.shared_bytes > 20_000);
    /// # Ok::<(), perennial::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCheckpoint`](crate::Error::UnknownCheckpoint); [`Error::Corrupt`](crate::Error::Corrupt) or
    /// [`Error::Io`](crate::Error::Io) if something cannot be read.
    pub fn disk_footprint(&self, checkpoints: &[CheckpointId]) -> Result<DiskFootprint> {
        let _still = self.log.hold_compaction()?;
        let find = |id: &CheckpointId| self.log.find(id.0).map(|commit| vec![commit]);
        let groups = checkpoints.iter().map(find).collect::<Result<Vec<_>>>()?;
        Sweep::run(self.log.opening(), &groups, None).map(|sweep| sweep.footprint)
    }

    /// Tells how many bytes compaction could give back if [`retain`](Self::retain) were called with this policy, beyond
    /// what it could already. Otherwise as [`disk_footprint`](Self::disk_footprint).
    ///
    /// # Errors
    ///
    /// As [`disk_footprint`](Self::disk_footprint).
    pub fn would_free(&self, policy: &Retention) -> Result<u64> {
        let dropped = self.would_retain(policy)?.dropped;
        let _still = self.log.hold_compaction()?;
        let (mut goes, mut stays) = (Vec::new(), self.log.opening().pin_table().pinned());
        for commit in self.log.commits() {
            let commit = Arc::new(commit?);
            let is_dropped = dropped.binary_search_by(|id| commit.id.cmp(&id.0)).is_ok();
            if is_dropped { &mut goes } else { &mut stays }.push(commit);
        }
        Sweep::run(self.log.opening(), &[goes, stays], Some(1)).map(|sweep| sweep.footprint.unique_bytes[0])
    }

    /// Tells what is in use of the store, and by what. **O(what the checkpoints reach)**; waits for a compaction that
    /// runs. What costs nothing to know is in [`stats`](Self::stats).
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) or [`Error::Io`](crate::Error::Io) if something cannot be read.
    pub fn usage(&self) -> Result<Usage> {
        let _still = self.log.hold_compaction()?;
        usage(&self.log)
    }
}

fn usage(log: &Log) -> Result<Usage> {
    let commits = log.in_use().collect::<Result<Vec<_>>>()?;
    let sweep = Sweep::run(log.opening(), &[commits], Some(0))?;
    let mut usage = sweep.usage;
    usage.disk_bytes = log.stats().disk_bytes;
    usage.used_bytes = sweep.footprint.total_bytes;
    let longest = usage.chain_lengths.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
    usage.chain_lengths.truncate(longest);
    usage.live_ratios.reverse();
    Ok(usage)
}

/// Who needs a record.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Owner {
    #[default]
    Nobody,
    Group(u32),
    Several,
}

impl Owner {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Nobody, owner) | (owner, Self::Nobody) => owner,
            (mine, theirs) if mine == theirs => mine,
            _ => Self::Several,
        }
    }
}

/// What is known of a record before its turn.
#[derive(Clone, Copy, Default)]
struct Known {
    /// Who needs its bytes.
    owner: Owner,
    /// Who needs it as a node.
    as_node: Owner,
    /// Who needs what a branch says of a slot, where it is the base of others.
    slots: [Owner; SLOTS],
    /// Nodes that stand so many deltas above it.
    above: [u32; MAX_CHAIN_LEN],
}

struct Sweep<'a> {
    opening: &'a LogReader,
    reached: AddressSet,
    known: HashMap<Address, Known>,
    footprint: DiskFootprint,
    usage: Usage,
}

impl<'a> Sweep<'a> {
    /// Sweeps from groups of commits; what is held beside commits belongs to the group `held`.
    fn run(opening: &'a LogReader, groups: &[Vec<Arc<Commit>>], held: Option<u32>) -> Result<Self> {
        let unique_bytes = vec![0; groups.len()];
        let footprint = DiskFootprint { total_bytes: 0, shared_bytes: 0, unique_bytes };
        let usage = Usage { chain_lengths: vec![0; MAX_CHAIN_LEN], ..Usage::default() };
        let mut sweep =
            Self { opening, reached: AddressSet::default(), known: HashMap::default(), footprint, usage };
        for (group, commits) in groups.iter().enumerate() {
            for commit in commits {
                let owner = Owner::Group(group as u32);
                sweep.reach(commit.address, owner);
                for root in &commit.roots {
                    root.refs.iter().chain([&root.shape]).for_each(|&to| sweep.reach(to, owner));
                }
            }
        }
        if let Some(group) = held {
            opening.pin_table().held().iter().for_each(|node| sweep.reach(node, Owner::Group(group)));
        }
        for segment in opening.segments().iter().rev() {
            sweep.segment(segment)?;
        }
        Ok(sweep)
    }

    fn reach(&mut self, node: Address, owner: Owner) {
        self.reached.insert(node);
        let known = self.known.entry(node).or_default();
        known.owner = known.owner.and(owner);
        known.as_node = known.as_node.and(owner);
    }

    fn segment(&mut self, segment: &Segment) -> Result<()> {
        let (number, before) = (segment.number(), self.footprint.total_bytes);
        let blocks = segment.blocks()?;
        if segment.entry.index_offset == 0 {
            let end_bytes = match blocks.iter().next_back() {
                Some((last, ..)) => u64::from(last.offset) + segment.block_bytes(last)?,
                None => 0,
            };
            self.usage.free_bytes += u64::from(segment.entry.len_bytes).saturating_sub(end_bytes);
        }
        for (entry, epoch, end) in blocks.iter().rev() {
            if self.reached.ordinals(number, entry.first_ordinal, end).is_empty() {
                continue;
            }
            let first = Address::new(number, entry.first_ordinal);
            if entry.is_commit {
                let bytes = segment.block_bytes(entry)?;
                let owner = self.known.remove(&first).unwrap_or_default().owner;
                self.usage.commit_bytes += bytes;
                self.count(owner, bytes);
            } else {
                segment.expect_apart(&blocks, entry)?;
                self.block(segment, entry, epoch)?;
            }
        }
        if segment.entry.index_offset != 0 {
            let used = (self.footprint.total_bytes - before) as f64;
            self.usage.live_ratios.push((number, used / f64::from(segment.entry.len_bytes)));
        }
        Ok(())
    }

    fn block(&mut self, segment: &Segment, entry: BlockEntry, epoch: u64) -> Result<()> {
        let first = Address::new(segment.number(), entry.first_ordinal);
        let block = read_block(segment, entry, epoch, first)?;
        let (stored, raw) = (segment.block_bytes(entry)?, block.raw_bytes().max(1));
        for (ordinal, len) in block.lengths() {
            let address = Address::new(segment.number(), ordinal);
            let Some(known) = self.known.remove(&address) else { continue };
            let record = block.record(address)?;
            let bytes = (stored * u64::from(len)).div_ceil(raw);
            if record.head.delta {
                self.usage.delta_bytes += bytes;
            }
            match record.head.kind {
                RecordKind::Leaf => self.usage.leaf_bytes += bytes,
                RecordKind::Branch => self.usage.branch_bytes += bytes,
                RecordKind::Schema => self.usage.commit_bytes += bytes,
            }
            self.count(known.owner, bytes);
            self.follow(&record, known)?;
        }
        Ok(())
    }

    fn count(&mut self, owner: Owner, bytes: u64) {
        self.footprint.total_bytes += bytes;
        match owner {
            Owner::Group(group) => self.footprint.unique_bytes[group as usize] += bytes,
            _ => self.footprint.shared_bytes += bytes,
        }
    }

    /// Hands on to what a record needs who needs it.
    fn follow(&mut self, record: &Record, known: Known) -> Result<()> {
        // Whoever stood so many deltas above this record's delta stands one more above what it is a delta of.
        let mut above = known.above;
        above[0] += u32::from(known.as_node != Owner::Nobody && record.head.kind != RecordKind::Schema);
        if !record.head.delta {
            for (chain_len, &nodes) in above.iter().enumerate() {
                self.usage.chain_lengths[chain_len] += u64::from(nodes);
            }
        }
        // Slots of one owner at a time: as a node all of them, as a base those it has the say in.
        let mut rest = u16::MAX;
        while rest != 0 {
            let slot = rest.trailing_zeros() as usize;
            let owner = known.as_node.and(known.slots[slot]);
            let same = (0..SLOTS).filter(|&other| known.as_node.and(known.slots[other]) == owner);
            let slots = same.fold(0u16, |bits, other| bits | 1 << other) & rest;
            rest &= !slots;
            if owner == Owner::Nobody {
                continue;
            }
            let needs = read_needs(self.opening, record, slots)?;
            needs.nodes.into_iter().for_each(|to| self.reach(to, owner));
            if let Some((base, said)) = needs.base {
                let below = self.known.entry(base).or_default();
                let slots = below.slots.iter_mut().enumerate().filter(|(slot, _)| said & 1 << slot != 0);
                slots.for_each(|(_, theirs)| *theirs = theirs.and(owner));
            }
        }
        if let Some(&base) = record.refs.first().filter(|_| record.head.delta) {
            self.reached.insert(base);
            let below = self.known.entry(base).or_default();
            below.owner = below.owner.and(known.owner);
            for (chain_len, nodes) in above.into_iter().enumerate() {
                below.above[(chain_len + 1).min(MAX_CHAIN_LEN - 1)] += nodes;
            }
        }
        Ok(())
    }
}
