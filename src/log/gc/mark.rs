//! Marking: which records the kept and the held checkpoints reach.
//!
//! Records refer only to what lies before them (invariant 5), so one sweep over the log from its end to its beginning
//! meets everything that refers to a record before the record itself: no stack, no random reads, and only blocks that
//! hold something reachable are read.
//!
//! A record is reached as a *node*, or only as the *base* of a delta. Of a base only what the deltas above it leave it
//! to say is followed. The nodes are what a flush may go on trusting; bases disappear when what stands upon them is
//! written in full.
//!
//! Checkpoints go on while this runs. Whatever they write lies above the *position* where the mark began, and counts
//! as reachable; what they refer to below is *revived*. At the end, with the writer stopped, nothing is missing.

use std::sync::Arc;

use super::super::block::{RecordBlock, corrupt};
use super::super::commit::Commit;
use super::super::index::BlockEntry;
use super::super::reader::{LogReader, read_block};
use super::super::segment::Segment;
use super::address_set::AddressSet;
use super::throttle::Pace;
use crate::error::Result;
use crate::node::{Needs, needs};
use crate::random::HashMap;
use crate::record::{Address, Record, RecordReader};

/// What of a segment is in use. In bytes on disk: a record has its share of the block it lies in.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Commits, and records that are nodes.
    pub node_bytes: u64,
    /// Records that are nothing but bases.
    pub base_bytes: u64,
    /// Number of the latter.
    pub bases: u64,
}

/// A segment that was swept.
pub(crate) struct Swept {
    pub segment: Arc<Segment>,
    pub usage: Usage,
    /// Ordinals of the deltas in use, from the last to the first, each with its base; but for those whose base was known
    /// to be a node.
    pub deltas: Vec<(u32, Address)>,
}

/// A set of commits and all that they reach.
pub(crate) struct Mark {
    opening: Arc<LogReader>,
    /// Records from here on are not looked at.
    position: Address,
    nodes: AddressSet,
    bases: AddressSet,
    /// Of branches that are bases: the slots they have the say in.
    slots: HashMap<Address, u16>,
    /// The next segment to sweep, counted down.
    next: u32,
    swept: Vec<Swept>,
    /// Deltas that were reached after their segment was swept, each with its base.
    revived: Vec<(Address, Address)>,
}

impl Mark {
    /// Starts from these commits and the nodes that somebody holds, looking at what lies below `position` (a block begins there, or nothing does).
    pub(crate) fn begin(
        opening: &Arc<LogReader>,
        position: Address,
        commits: impl IntoIterator<Item = Result<Arc<Commit>>>,
    ) -> Result<Self> {
        let held = opening.pin_table().held();
        Self::over(opening, position, held, commits)
    }

    /// As [`begin`](Self::begin), with these nodes.
    pub(crate) fn over(
        opening: &Arc<LogReader>,
        position: Address,
        nodes: AddressSet,
        commits: impl IntoIterator<Item = Result<Arc<Commit>>>,
    ) -> Result<Self> {
        let mut mark = Self {
            opening: Arc::clone(opening),
            position,
            nodes,
            bases: AddressSet::default(),
            slots: HashMap::default(),
            next: position.segment() + 1,
            swept: Vec::new(),
            revived: Vec::new(),
        };
        for commit in commits {
            mark.reach_commit(&*commit?);
        }
        Ok(mark)
    }

    fn reach_commit(&mut self, commit: &Commit) {
        self.nodes.insert(commit.address);
        for root in &commit.roots {
            self.nodes.insert(root.shape);
            self.nodes.extend(root.refs.iter().copied());
        }
    }

    /// Sweeps the next segment, at this pace. False: there was none left.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`](crate::Error::Corrupt) or [`Error::Io`](crate::Error::Io) if something reachable cannot be read.
    pub(crate) fn step(&mut self, pace: &mut Pace) -> Result<bool> {
        let Some(number) = self.next.checked_sub(1) else { return Ok(false) };
        self.next = number;
        let Ok(segment) = self.opening.segment(number) else { return Ok(true) };
        pace.begin_step(segment.entry.len_bytes.into());
        let mut swept = Swept { segment, usage: Usage::default(), deltas: Vec::new() };
        let segment = Arc::clone(&swept.segment);
        let index = segment.blocks()?;
        for (entry, epoch, end) in index.iter().rev() {
            let end = end.min(if number == self.position.segment() { self.position.ordinal() } else { end });
            let nodes = self.nodes.ordinals(number, entry.first_ordinal, end);
            let bases = self.bases.ordinals(number, entry.first_ordinal, end);
            if nodes.is_empty() && bases.is_empty() || end <= entry.first_ordinal {
                continue;
            }
            if entry.is_commit {
                // Its roots were reached to begin with.
                swept.usage.node_bytes += segment.block_bytes(entry)?;
                continue;
            }
            segment.expect_apart(&index, entry)?;
            let block = read_block(&segment, entry, epoch, Address::new(number, entry.first_ordinal))?;
            pace.spend(segment.block_bytes(entry)?);
            self.sweep(&mut swept, entry, &block, end)?;
        }
        self.swept.push(swept);
        Ok(true)
    }

    fn sweep(&mut self, swept: &mut Swept, entry: BlockEntry, block: &RecordBlock, end: u32) -> Result<()> {
        let Swept { segment, usage, deltas } = swept;
        let (mut node_bytes, mut base_bytes) = (0, 0);
        // Backwards: what a record reaches may lie in this very block.
        for (ordinal, bytes) in block.lengths().filter(|&(ordinal, _)| ordinal < end) {
            let address = Address::new(segment.number(), ordinal);
            let is_node = self.nodes.contains(address);
            if !is_node && !self.bases.contains(address) {
                continue;
            }
            usage.bases += u64::from(!is_node);
            *if is_node { &mut node_bytes } else { &mut base_bytes } += u64::from(bytes);
            let slots = self.slots.remove(&address).unwrap_or(0);
            let needs =
                read_needs(&self.opening, &block.record(address)?, if is_node { u16::MAX } else { slots })?;
            self.nodes.extend(needs.nodes);
            if let Some((base, slots)) = needs.base {
                if !self.nodes.contains(base) {
                    deltas.push((ordinal, base));
                }
                self.bases.insert(base);
                *self.slots.entry(base).or_default() |= slots;
            }
        }
        let (stored, raw) = (segment.block_bytes(entry)?, block.raw_bytes().max(1));
        usage.node_bytes += (stored * node_bytes).div_ceil(raw);
        usage.base_bytes += (stored * base_bytes).div_ceil(raw);
        Ok(())
    }

    /// Reaches a node after its segment was swept. **O(what was not reached before)**.
    fn revive(&mut self, node: Address) -> Result<()> {
        let mut open = vec![(node, None)];
        while let Some((address, slots)) = open.pop() {
            let is_known = match slots {
                None => address >= self.position || !self.nodes.insert(address),
                // A base may be asked again, for other slots.
                Some(_) => address >= self.position || self.nodes.contains(address),
            };
            if is_known {
                continue;
            }
            let Needs { nodes, base } =
                read_needs(&self.opening, &self.opening.read(address)?, slots.unwrap_or(u16::MAX))?;
            open.extend(nodes.into_iter().map(|node| (node, None)));
            if let Some((base, slots)) = base {
                self.bases.insert(base);
                self.revived.push((address, base));
                open.push((base, Some(slots)));
            }
        }
        Ok(())
    }

    /// After the sweep: reaches what was written from `from` on, below `to`, refers to. Returns how many bytes that is.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub(crate) fn catch_up(&mut self, from: Address, to: Address) -> Result<u64> {
        let mut seen_bytes = 0;
        for number in from.segment()..=to.segment() {
            let Ok(segment) = self.opening.segment(number) else { continue };
            let index = segment.blocks()?;
            for (entry, epoch, _) in index.iter() {
                let address = Address::new(number, entry.first_ordinal);
                if address < from || address >= to {
                    continue;
                }
                seen_bytes += segment.block_bytes(entry)?;
                if entry.is_commit {
                    for root in self.opening.read_commit(address)?.roots {
                        root.refs.into_iter().chain([root.shape]).try_for_each(|to| self.revive(to))?;
                    }
                    continue;
                }
                segment.expect_apart(&index, entry)?;
                let block = read_block(&segment, entry, epoch, address)?;
                for (ordinal, _) in block.lengths() {
                    let record = block.record(Address::new(number, ordinal))?;
                    record.refs.iter().try_for_each(|&to| self.revive(to))?;
                }
            }
        }
        Ok(seen_bytes)
    }

    /// At the end, with the writer stopped: reaches what somebody began to hold since.
    ///
    /// # Errors
    ///
    /// As [`step`](Self::step).
    pub(crate) fn catch_up_held(&mut self) -> Result<()> {
        let held = self.opening.pin_table().held();
        held.iter().try_for_each(|node| self.revive(node))
    }

    /// Where it began.
    pub(crate) fn position(&self) -> Address {
        self.position
    }

    /// The nodes, and the segments, the newest first.
    pub(crate) fn finish(mut self) -> (AddressSet, Vec<Swept>) {
        for (delta, base) in self.revived {
            let swept = self.swept.iter_mut().find(|swept| swept.segment.number() == delta.segment());
            swept.into_iter().for_each(|swept| swept.deltas.push((delta.ordinal(), base)));
        }
        self.swept.iter_mut().for_each(|swept| swept.deltas.sort_unstable_by(|one, other| other.cmp(one)));
        (self.nodes, self.swept)
    }
}

/// What a record needs, read for marking.
pub(crate) fn read_needs(opening: &LogReader, record: &Record, slots: u16) -> Result<Needs> {
    match needs(record, slots) {
        Some(needs) => Ok(needs),
        None => {
            let place = opening.segment(record.address.segment())?.place(0);
            Err(corrupt(place, format!("the record {} is not one that a flush writes", record.address)))
        }
    }
}
