//! Writing a tree: only what has no record yet (invariants 1, 2), leaves before branches.
//!
//! Payloads, after the record's head and addresses (numbers are varints unless a width is given):
//!
//! ```text
//! leaf, full      shift u8, number of items, every group: length in bytes, bytes
//! leaf, delta     changed groups, number of items, every changed group: length in bytes, bytes
//! branch, full    level u8, range starts, vacant starts, [a number for every child,] [separators]
//! branch, delta   changed slots, [range starts, vacant starts,] [a number for every changed child,] [separators]
//! ```
//!
//! A *group* is what one bit of the mask stands for: one item where a leaf has at most 32, else 2^shift neighbours,
//! encoded as one sequence. A set of changes is one byte below 32 when it is a single one, else the byte 32 and the
//! bits (of a branch, bit 16 says that starts follow, and separators where the collection keeps them, as one sequence).
//! A full branch refers to its children in slot order, a delta
//! to its base and then to the changed children.
//!
//! The walk has two passes: leaves are written on the way down, branches are listed on the way up and written after
//! them. So branches lie together, which makes the first read of a restored state cheap, and what compresses badly
//! (addresses) does not stand between what compresses well.

use std::rc::Rc;

use serde::Serialize;

use super::super::BranchLayout;
use super::super::branch::{Branch, Child, Ranges, SLOTS};
use super::super::header::{Header, Identity, STRUCTURE};
use super::super::leaf::LeafRef;
use super::super::link::NodeRef;
use super::super::recheck;
use super::super::root::Root;
use super::super::source::Source;
use crate::codec::{Buffers, FlushContext, Met, Portion, RoundTrip};
use crate::error::Result;
use crate::random::PointerSet;
use crate::record::Address;
use crate::record::Place;
use crate::record::recheck::Digest;
use crate::record::varint;
use crate::record::{RecordHead, RecordKind};

/// Deltas in a row after which a leaf is written in full. See `docs::design` for the measurements.
pub(crate) const LEAF_HOPS: u8 = if cfg!(loom) { 2 } else { 10 };
/// Deltas in a row after which a branch is written in full.
pub(crate) const BRANCH_HOPS: u8 = if cfg!(loom) { 2 } else { 8 };
/// The larger of the two.
pub(crate) const MAX_CHAIN_LEN: u8 = if LEAF_HOPS > BRANCH_HOPS { LEAF_HOPS } else { BRANCH_HOPS };
const _: () = assert!(MAX_CHAIN_LEN <= Header::MAX_CHAIN_LEN);

/// First byte of a set of changes that is not a single one.
pub(crate) const MANY: u8 = 32;
/// In a branch's set of changes: range starts and vacancies follow.
pub(crate) const STARTS_FOLLOW: u64 = 1 << 16;

/// Writes what the tree has not yet on record in this opening; the address of its root.
///
/// A record that compaction gave up counts as none (invariant 13), also where only a lazy link refers to it: such a node
/// is loaded and written in full, or the flush fails. (It cannot happen as long as whoever shares nodes shares their
/// pins. But an address that is written and not there makes a checkpoint that nobody can read.)
///
/// Costs **O(changed nodes)**. A node is marked clean as soon as its record is appended, so a flush that fails in
/// the middle loses nothing: what was appended goes out with the next commit.
///
/// # Errors
/// Passes on the answer of encoding an item or appending a record; [`Error::Encode`](crate::Error::Encode) where an item was changed behind `&` and a look
/// at it found that; what loading answered, where a lazy part belongs to another
/// opening, or is no longer there, and must be written again.
pub(crate) fn flush<T: Serialize, X: BranchLayout<Key: Serialize>>(
    root: &Root<T, X>,
    place: Place,
    save: &Rc<FlushContext>,
) -> Result<Option<Address>> {
    if let Some(RoundTrip::Look(look)) = save.trial() {
        return look.collection(root, save);
    }
    if let Some(how) = save.trial() {
        let met = root.unloaded().map(|(address, source)| met::<T, X>(address, source, place));
        try_child(met, &|| root.try_get(|| place), save, how)?;
        return Ok(None);
    }
    if let Some((address, source)) = root.unloaded()
        && source.backing.tag() == save.tag()
        && save.trusts(address)
    {
        return Ok(Some(address));
    }
    let Some(node) = root.try_get(|| place)? else { return Ok(None) };
    save.flushing(|is_outermost| {
        let tag = save.tag().to_bits() as u32;
        let mut flush = Flush { save, tag, branches: Vec::new(), seen: PointerSet::default() };
        flush.visit(node)?;
        for branch in std::mem::take(&mut flush.branches) {
            if flush.clean(branch.header()).is_none() {
                flush.write_branch(branch)?;
            }
        }
        let address = flush.address(node)?;
        if is_outermost {
            recheck::look(root, save)?;
        }
        Ok(Some(address))
    })
}

fn met<T, X: BranchLayout>(address: Address, source: &Source<T, X>, place: Place) -> Met {
    Met { address, types: std::any::type_name::<(T, X)>(), context: source.context, place }
}

/// Loads a node, unless it was met and is sound, and encodes the items below it, which tries those of their
/// collections in turn.
fn try_child<'a, T: Serialize + 'a, X: BranchLayout + 'a>(
    lazy: Option<Met>,
    load: &dyn Fn() -> Result<Option<NodeRef<'a, T, X>>>,
    save: &Rc<FlushContext>,
    how: &RoundTrip,
) -> Result<()> {
    let sound = match how {
        RoundTrip::Whole(sound) => lazy.map(|met| (sound, met)),
        RoundTrip::Sample | RoundTrip::Look(_) => None,
    };
    if sound.as_ref().is_some_and(|(sound, met)| sound.borrow().contains(met)) {
        return Ok(());
    }
    match load()? {
        None => {}
        Some(NodeRef::Branch(branch)) => {
            let most = if matches!(how, RoundTrip::Sample) { 1 } else { SLOTS };
            for start in branch.ranges().filter(|&start| !branch.is_vacant(start)).take(most) {
                let lazy = match (branch.peek(start), branch.source()) {
                    (Some(Child::Lazy(address)), Some(source)) => {
                        Some(met::<T, X>(address, source, branch.place(start)))
                    }
                    _ => None,
                };
                try_child(lazy, &|| branch.try_child(start), save, how)?;
            }
        }
        Some(NodeRef::Leaf(leaf)) => {
            let mut buffers = save.buffers();
            for item in leaf.items(X::TAGGED).iter().take(save.most_items()) {
                save.encode(item, &mut buffers.bytes, &mut buffers.refs)?;
                buffers.bytes.clear();
            }
            save.recycle(buffers);
        }
    }
    if let Some((sound, met)) = sound {
        sound.borrow_mut().insert(met);
    }
    Ok(())
}

struct Flush<'a, T, X: BranchLayout> {
    save: &'a Rc<FlushContext>,
    tag: u32,
    /// Dirty branches, children before parents.
    branches: Vec<&'a Branch<T, X>>,
    /// Dirty branches with more than one holder: a tree that holds one part many times is walked once.
    seen: PointerSet<Branch<T, X>>,
}

impl<'a, T: Serialize, X: BranchLayout<Key: Serialize>> Flush<'a, T, X> {
    #[inline]
    fn clean(&self, header: &Header) -> Option<Address> {
        match header.identity() {
            Identity::Clean(tag, address) if tag == self.tag && self.save.suffices(address) => Some(address),
            _ => None,
        }
    }

    /// The record that a delta can build upon, if a delta is what should be written.
    fn base(&self, header: &Header, max_chain_len: u8) -> Option<(Address, u32)> {
        match header.identity() {
            Identity::Dirty(tag, base)
                if tag == self.tag && header.chain_len() < max_chain_len && self.save.suffices(base) =>
            {
                Some((base, header.mask()))
            }
            _ => None,
        }
    }

    /// Writes the dirty leaves under a node and lists its dirty branches.
    fn visit(&mut self, node: NodeRef<'a, T, X>) -> Result<()> {
        match node {
            NodeRef::Leaf(leaf) => {
                if self.clean(leaf.header()).is_none() {
                    self.write_leaf(leaf)?;
                }
            }
            NodeRef::Branch(branch) => {
                if self.clean(branch.header()).is_some()
                    || branch.header().is_shared() && !self.seen.insert(branch)
                {
                    return Ok(());
                }
                let changed = self.changed(branch);
                self.prefetch_below(branch, changed);
                for start in Ranges(changed) {
                    match branch.peek(start) {
                        Some(Child::Resident(child)) => self.visit(child)?,
                        Some(Child::Lazy(address)) if !self.is_there(branch, address) => {
                            if let Some(child) = branch.try_child(start)? {
                                self.visit(child)?;
                            }
                        }
                        _ => {}
                    }
                }
                self.branches.push(branch);
            }
        }
        Ok(())
    }

    /// The ranges of a dirty branch in which something may have no record yet: below a branch with a base, only what the
    /// mask names can have changed since.
    #[inline]
    fn changed(&self, branch: &Branch<T, X>) -> u16 {
        match self.base(branch.header(), BRANCH_HOPS) {
            Some((_, mask)) => mask as u16 & branch.starts(),
            None => branch.starts(),
        }
    }

    /// Begins to fetch the changed nodes two levels below a branch whose changed children are already being fetched:
    /// they lie anywhere in memory, and waiting for one after the other is most of what a walk would cost.
    fn prefetch_below(&self, branch: &Branch<T, X>, changed: u16) {
        branch.prefetch(changed);
        for start in Ranges(changed) {
            if let Some(Child::Resident(NodeRef::Branch(child))) = branch.peek(start)
                && self.clean(child.header()).is_none()
            {
                child.prefetch(self.changed(child));
            }
        }
    }

    /// Returns whether a lazy link of a branch is the address of a record of this opening that stays.
    fn is_there(&self, branch: &Branch<T, X>, address: Address) -> bool {
        self.save.trusts(address)
            && branch.source().is_some_and(|source| source.backing.tag() == self.save.tag())
    }

    /// The address of a node's record, which is written now if there is none.
    ///
    /// The result of a write is used as it is and not read back: a flush of another store may mark the same node
    /// for itself at any time.
    #[inline]
    fn address(&mut self, node: NodeRef<'a, T, X>) -> Result<Address> {
        match (self.clean(node.header()), node) {
            (Some(address), _) => Ok(address),
            (None, NodeRef::Leaf(leaf)) => self.write_leaf(leaf),
            (None, NodeRef::Branch(branch)) => self.write_branch(branch),
        }
    }

    fn write_leaf(&mut self, leaf: LeafRef<'a, T>) -> Result<Address> {
        let (items, shift) = (leaf.items(X::TAGGED), X::shift::<T>());
        let groups = items.len().div_ceil(1 << shift);
        // A mask of all bits also stands for "beyond what the mask can say".
        let base = self
            .base(leaf.header(), LEAF_HOPS)
            .filter(|&(_, mask)| mask != u32::MAX && 2 * mask.count_ones() as usize <= groups);
        let mut buffers = self.save.buffers();
        let Buffers { bytes, refs } = &mut buffers;
        let changed = match base {
            Some((address, mask)) => {
                refs.push(address);
                let mask = if groups < 32 { mask & ((1 << groups) - 1) } else { mask };
                push_changes(bytes, u64::from(mask));
                Some(mask)
            }
            None => {
                bytes.push(shift as u8);
                None
            }
        };
        varint::push(bytes, items.len() as u64);
        let mut digests = self.save.rechecks().map(|_| vec![None; groups]);
        for (group, items) in items.chunks(1 << shift).enumerate() {
            if changed.is_none_or(|mask| group < 32 && mask & 1 << group != 0) {
                let (start, refs_before) = (bytes.len(), refs.len());
                bytes.push(0);
                match items {
                    [item] if shift == 0 => self.save.encode(item, bytes, refs)?,
                    items => self.save.encode_portion(Portion::Items, items, bytes, refs)?,
                }
                if let Some(digests) = &mut digests {
                    digests[group] = Some(Digest::of(refs_before, &bytes[start + 1..]));
                }
                put_length(bytes, start);
            }
        }
        let chain_len = if base.is_some() { leaf.header().chain_len() + 1 } else { 0 };
        let address = self.append(RecordKind::Leaf, leaf.header(), chain_len, buffers)?;
        if let (Some(rechecks), Some(digests)) = (self.save.rechecks(), digests) {
            rechecks.wrote(recheck::leaf_id(leaf.header()), base.map(|(base, _)| base), address, digests);
        }
        Ok(address)
    }

    fn write_branch(&mut self, branch: &'a Branch<T, X>) -> Result<Address> {
        let starts = branch.starts();
        let vacant =
            branch.ranges().filter(|&start| branch.is_vacant(start)).fold(0, |bits, start| bits | 1 << start);
        let occupied = starts & !vacant;
        let base = self
            .base(branch.header(), BRANCH_HOPS)
            .filter(|&(_, mask)| 2 * (mask as u16 & occupied).count_ones() <= occupied.count_ones());
        let mut buffers = self.save.buffers();
        let Buffers { bytes, refs } = &mut buffers;
        let (written, structure) = match base {
            Some((address, mask)) => {
                refs.push(address);
                let (slots, structure) = (mask as u16 & occupied, mask & STRUCTURE != 0);
                push_changes(bytes, u64::from(slots) | if structure { STARTS_FOLLOW } else { 0 });
                if structure {
                    varint::push(bytes, u64::from(starts));
                    varint::push(bytes, u64::from(vacant));
                }
                (slots, structure)
            }
            None => {
                bytes.push(branch.level());
                varint::push(bytes, u64::from(starts));
                varint::push(bytes, u64::from(vacant));
                (occupied, true)
            }
        };
        for start in branch.ranges().filter(|&start| written & 1 << start != 0) {
            let address = match branch.peek(start) {
                Some(Child::Resident(child)) => self.address(child)?,
                Some(Child::Lazy(address)) if self.is_there(branch, address) => address,
                _ => match branch.try_child(start)? {
                    Some(child) => self.address(child)?,
                    None => continue,
                },
            };
            refs.push(address);
            if let Some(number) = branch.extra.number(start) {
                varint::push(bytes, number);
            }
        }
        if X::KEYED && structure {
            self.save.encode_portion(Portion::Keys, branch.extra.keys(), bytes, refs)?;
        }
        let chain_len = if base.is_some() { branch.header().chain_len() + 1 } else { 0 };
        self.append(RecordKind::Branch, branch.header(), chain_len, buffers)
    }

    fn append(
        &mut self,
        kind: RecordKind,
        header: &Header,
        chain_len: u8,
        buffers: Buffers,
    ) -> Result<Address> {
        let head = RecordHead { kind, delta: chain_len > 0 };
        let address = self.save.append(head, &buffers.refs, &buffers.bytes)?;
        header.set_clean(self.save.tag(), address, chain_len);
        self.save.recycle(buffers);
        Ok(address)
    }
}

/// Writes a set of changes: one byte for a single one below 32.
fn push_changes(bytes: &mut Vec<u8>, changes: u64) {
    if changes.is_power_of_two() && changes < 1 << MANY {
        bytes.push(changes.trailing_zeros() as u8);
    } else {
        bytes.push(MANY);
        varint::push(bytes, changes);
    }
}

/// Replaces the byte at `start` by the length of what follows it.
fn put_length(bytes: &mut Vec<u8>, start: usize) {
    let len = bytes.len() - start - 1;
    if len < 0x80 {
        bytes[start] = len as u8;
        return;
    }
    let mut varint = Vec::with_capacity(4);
    varint::push(&mut varint, len as u64);
    bytes.splice(start..=start, varint);
}
