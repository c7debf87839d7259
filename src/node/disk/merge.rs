//! What compaction may know of a node's records without knowing its type: which records they need, and how a chain of
//! them becomes one full record. The formats are those of [`flush`](mod@super::flush); this reads no item.

use super::super::branch::{Ranges as Slots, SLOTS};
use super::super::mask::MASK_BITS;
use super::flush::STARTS_FOLLOW;
use super::load::{take_byte, take_changes, take_starts};
use crate::record::Address;
use crate::record::varint;
use crate::record::{Record, RecordHead, RecordKind};

/// One record of a chain, apart from the block it was read from.
#[derive(Clone)]
pub(crate) struct Version {
    head: RecordHead,
    refs: Vec<Address>,
    payload: Vec<u8>,
}

/// What one record needs of others.
#[derive(Default, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Nodes that are part of this one.
    pub nodes: Vec<Address>,
    /// The record it is a delta of, and the slots of which that one still has the say (of a leaf: all).
    pub base: Option<(Address, u16)>,
}

impl Version {
    /// Takes what is needed of a record, and lets the block go.
    pub(crate) fn of(record: Record) -> Self {
        let payload = record.payload().to_vec();
        Self { head: record.head, refs: record.refs, payload }
    }

    /// Bytes of memory that it takes, about.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.payload.len() + self.refs.len() * size_of::<Address>() + size_of::<Self>()
    }

    /// The record that this one is a delta of.
    pub(crate) fn base(&self) -> Option<Address> {
        self.refs.first().copied().filter(|_| self.head.delta)
    }
}

/// Tells what a record needs, if it has the say in `slots` (all of them where it is a node, and not only the base of
/// one). Of a leaf nobody can tell which item refers to what, so a base needs all that it refers to.
///
/// `None` if the record is not one that a flush writes.
pub(crate) fn needs(record: &Record, slots: u16) -> Option<Needs> {
    needs_of(record.head, &record.refs, record.payload(), slots)
}

/// As [`needs`], of the parts of a record.
pub(crate) fn needs_of(head: RecordHead, refs: &[Address], payload: &[u8], slots: u16) -> Option<Needs> {
    let base = refs.first().copied().filter(|_| head.delta);
    let own = &refs[usize::from(base.is_some())..];
    match head.kind {
        RecordKind::Schema => Some(Needs::default()),
        RecordKind::Leaf => Some(Needs { nodes: own.to_vec(), base: base.map(|base| (base, u16::MAX)) }),
        RecordKind::Branch => {
            let branch = BranchRecord::parse(head, payload)?;
            let slots = branch.starts.map_or(slots, |(starts, vacant)| slots & starts & !vacant);
            let (children, others) = own.split_at_checked(branch.written.count_ones() as usize)?;
            let wanted = Slots(branch.written).zip(children).filter(|(slot, _)| slots & 1 << slot != 0);
            // Separators may refer to records too.
            let nodes = wanted.map(|(_, &child)| child).chain(others.iter().copied()).collect();
            Some(Needs { nodes, base: base.map(|base| (base, slots & !branch.written)) })
        }
    }
}

/// Makes one full record of a chain, the newest first: its head, its addresses and its payload.
///
/// `None` where that takes more than is known here: of records whose items or separators refer to other records.
pub(crate) fn merge(chain: &[Version]) -> Option<(RecordHead, Vec<Address>, Vec<u8>)> {
    let (newest, full) = (chain.first()?, chain.last()?);
    if full.head.delta || chain.iter().any(|version| version.head.kind != newest.head.kind) {
        return None;
    }
    let head = RecordHead { kind: newest.head.kind, delta: false };
    match newest.head.kind {
        RecordKind::Leaf => merge_leaf(chain).map(|payload| (head, Vec::new(), payload)),
        RecordKind::Branch => merge_branch(chain).map(|(refs, payload)| (head, refs, payload)),
        RecordKind::Schema => None,
    }
}

fn merge_leaf(chain: &[Version]) -> Option<Vec<u8>> {
    if chain.iter().any(|version| version.refs.len() > usize::from(version.head.delta)) {
        return None;
    }
    let shift = *chain.last()?.payload.first()?;
    let (mut len, mut groups) = (None, Vec::new());
    for version in chain {
        let mut bytes = &version.payload[..];
        let mask = match version.head.delta {
            true => Some(take_changes(&mut bytes)?),
            false => take_byte(&mut bytes).map(|_| None)?,
        };
        let items = varint::take(&mut bytes)?;
        if len.is_none() {
            let count = usize::try_from(items.div_ceil(1u64.checked_shl(shift.into())?)).ok()?;
            // A group takes a byte or more in one of the records.
            if count > chain.iter().map(|version| version.payload.len()).sum() {
                return None;
            }
            (len, groups) = (Some(items), vec![None; count]);
        }
        let mut group = 0;
        while !bytes.is_empty() {
            if let Some(mask) = mask {
                while group < MASK_BITS as usize && mask & 1 << group == 0 {
                    group += 1;
                }
            }
            let mut rest = bytes;
            let size = usize::try_from(varint::take(&mut rest)?).ok()?;
            let whole = bytes.len() - rest.len() + size;
            let (item, rest) = bytes.split_at_checked(whole)?;
            bytes = rest;
            if let Some(place @ None) = groups.get_mut(group) {
                *place = Some(item);
            }
            group += 1;
        }
    }
    let mut payload = vec![shift];
    varint::push(&mut payload, len?);
    for group in groups {
        payload.extend_from_slice(group?);
    }
    Some(payload)
}

/// The payload of a branch's record, taken apart.
struct BranchRecord<'a> {
    /// Of a full record.
    level: Option<u8>,
    /// The slots that it says the child of.
    written: u16,
    /// Range starts and vacant starts, where it says them.
    starts: Option<(u16, u16)>,
    /// Numbers of the children written, separators.
    rest: &'a [u8],
}

impl<'a> BranchRecord<'a> {
    fn parse(head: RecordHead, payload: &'a [u8]) -> Option<Self> {
        let mut rest = payload;
        if head.delta {
            let changes = take_changes(&mut rest)?;
            let starts = if changes & STARTS_FOLLOW != 0 { Some(take_starts(&mut rest)?) } else { None };
            return Some(Self { level: None, written: changes as u16, starts, rest });
        }
        let level = Some(take_byte(&mut rest)?);
        let (starts, vacant) = take_starts(&mut rest)?;
        Some(Self { level, written: starts & !vacant, starts: Some((starts, vacant)), rest })
    }
}

fn merge_branch(chain: &[Version]) -> Option<(Vec<Address>, Vec<u8>)> {
    let full = chain.last()?;
    // What a collection keeps beside the children shows in a full record: nothing, numbers, numbers and separators.
    let beside = BranchRecord::parse(full.head, &full.payload)?;
    let mut rest = beside.rest;
    let numbered = !rest.is_empty();
    if numbered {
        (0..beside.written.count_ones()).try_for_each(|_| varint::take(&mut rest).map(drop))?;
    }
    let keyed = !rest.is_empty();
    let (mut starts, mut keys) = (None, None);
    let (mut children, mut numbers) = ([None; SLOTS], [0; SLOTS]);
    for version in chain {
        let record = BranchRecord::parse(version.head, &version.payload)?;
        let mut refs = version.refs[usize::from(version.head.delta)..].iter();
        let mut rest = record.rest;
        starts = starts.or(record.starts);
        for slot in Slots(record.written) {
            let address = *refs.next()?;
            let number = if numbered { varint::take(&mut rest)? } else { 0 };
            if children[slot].is_none() {
                (children[slot], numbers[slot]) = (Some(address), number);
            }
        }
        if keyed && record.starts.is_some() {
            keys = keys.or(Some(rest));
        } else if !rest.is_empty() {
            return None;
        }
        if refs.next().is_some() {
            return None;
        }
    }
    let (starts, vacant) = starts?;
    let occupied = starts & !vacant;
    let mut payload = vec![beside.level?];
    varint::push(&mut payload, starts.into());
    varint::push(&mut payload, vacant.into());
    let mut refs = Vec::with_capacity(SLOTS);
    for slot in Slots(occupied) {
        refs.push(children[slot]?);
        if numbered {
            varint::push(&mut payload, numbers[slot]);
        }
    }
    payload.extend_from_slice(keys.unwrap_or_default());
    Some((refs, payload))
}
