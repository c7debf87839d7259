//! Reading a node: from its newest record back to a full one, taking for every item the first bytes seen.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::super::BranchLayout;
use super::super::branch::{Branch, SLOTS};
use super::super::header::Header;
use super::super::leaf::OwnedLeaf;
use super::super::link::Node;
use super::super::mask::MASK_BITS;
use super::evict;
use super::flush::{MANY, STARTS_FOLLOW};
use crate::codec::{self, Portion};
use crate::error::{Error, Result};
use crate::record::Address;
use crate::record::Place;
use crate::record::recheck::RECHECKED;
use crate::record::varint;
use crate::record::{Record, RecordKind, RecordReader};

/// Most records of one node: no writer makes longer chains, so a longer one is damage.
const MAX_CHAIN_RECORDS: usize = 256;
/// Hops of a node whose next record must be full.
const NO_DELTA: u8 = Header::MAX_CHAIN_LEN;

/// The records of one node, from the newest back to a full one.
#[derive(Default)]
pub(crate) struct Chain(Vec<Record>);

impl Chain {
    /// Adds the next older record; the address of the one before it, if it is a delta.
    ///
    /// # Errors
    /// `Error::Decode` where the record is no earlier version of the node.
    pub(crate) fn push(&mut self, record: Record) -> Result<Option<Address>> {
        let (address, base) = (record.address, record.refs.first().copied());
        let stranger = self.0.first().is_some_and(|newest| newest.head.kind != record.head.kind);
        if stranger || self.0.len() == MAX_CHAIN_RECORDS {
            return Err(bad::<Self>(address, "a base that is no earlier version of the node"));
        }
        let next = match record.head.delta {
            true => Some(base.ok_or_else(|| bad::<Self>(address, "a delta without a base"))?),
            false => None,
        };
        self.0.push(record);
        Ok(next)
    }

    /// Where the newest record lies.
    pub(crate) fn address(&self) -> Address {
        self.0.first().map_or(Address::from_bits(0), |newest| newest.address)
    }
}

/// Decodes the node of a complete chain. `tag` checks an item and gives its tag, for leaves that keep tags.
///
/// # Errors
/// `Error::Decode` where a record does not say what a node of these types says, or not what its parent expects; what
/// `tag` answered.
pub(crate) fn load<T: DeserializeOwned, X: BranchLayout<Key: DeserializeOwned>>(
    backing: &Arc<dyn RecordReader>,
    chain: &Chain,
    place: Place,
    tag: impl FnMut(&T) -> Result<u8>,
) -> Result<Node<T, X>> {
    let Some(newest) = chain.0.first() else { unreachable!("a chain has a record") };
    let chain_len = (chain.0.len() - 1).min(usize::from(NO_DELTA)) as u8;
    match newest.head.kind {
        RecordKind::Leaf => load_leaf(backing, &chain.0, place, tag, chain_len),
        RecordKind::Branch => load_branch::<T, X>(backing, &chain.0, place, chain_len),
        RecordKind::Schema => Err(bad::<T>(newest.address, "the shape of a type where a node was expected")),
    }
}

#[cold]
fn bad<T>(address: Address, reason: impl Into<String>) -> Error {
    Error::Decode { address, type_name: std::any::type_name::<T>(), reason: reason.into() }
}

fn cut<T>(address: Address) -> Error {
    bad::<T>(address, "the record is cut short")
}

pub(crate) fn take_byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(first)
}

/// Takes a set of changes, as `flush` writes it.
pub(crate) fn take_changes(bytes: &mut &[u8]) -> Option<u64> {
    match take_byte(bytes)? {
        single if single < MANY => Some(1 << single),
        MANY => varint::take(bytes),
        _ => None,
    }
}

fn load_leaf<T: DeserializeOwned, X: BranchLayout>(
    backing: &Arc<dyn RecordReader>,
    chain: &[Record],
    place: Place,
    mut tag: impl FnMut(&T) -> Result<u8>,
    chain_len: u8,
) -> Result<Node<T, X>> {
    let (Some(newest), Some(full)) = (chain.first(), chain.last()) else {
        unreachable!("a chain has a record")
    };
    let shift = u32::from(*full.payload().first().ok_or_else(|| cut::<T>(full.address))?);
    if shift > 16 {
        return Err(bad::<T>(full.address, format!("groups of 2^{shift} items")));
    }
    if chain.len() == 1 {
        return load_full_leaf(backing, full, shift, place, tag);
    }
    let (mut len, mut groups) = (0, Vec::<Option<(&Record, &[u8])>>::new());
    for record in chain {
        let mut bytes = record.payload();
        let cut = || cut::<T>(record.address);
        let mask = match record.head.delta {
            true => Some(take_changes(&mut bytes).ok_or_else(cut)?),
            false => take_byte(&mut bytes).map(|_| None).ok_or_else(cut)?,
        };
        let items = varint::take(&mut bytes).ok_or_else(cut)?;
        if std::ptr::eq(record, newest) {
            // Only the oldest record has every group; it bounds the number of items by its bytes.
            let most = chain.iter().map(|record| record.payload().len()).sum::<usize>() as u64;
            if items == 0 || items.div_ceil(1 << shift) > most {
                return Err(bad::<T>(record.address, format!("a leaf of {items} items")));
            }
            len = items as usize;
            groups = vec![None; len.div_ceil(1 << shift)];
        }
        let mut group = 0;
        while !bytes.is_empty() {
            if let Some(mask) = mask {
                while group < MASK_BITS as usize && mask & 1 << group == 0 {
                    group += 1;
                }
                if group >= MASK_BITS as usize {
                    return Err(bad::<T>(record.address, "more groups than it names"));
                }
            }
            let size =
                varint::take(&mut bytes).and_then(|size| usize::try_from(size).ok()).ok_or_else(cut)?;
            let (item, rest) = bytes.split_at_checked(size).ok_or_else(cut)?;
            bytes = rest;
            if let Some(place @ None) = groups.get_mut(group) {
                *place = Some((record, item));
            }
            group += 1;
        }
    }
    let mut leaf = OwnedLeaf::with_capacity(len, X::TAGGED);
    for (index, group) in groups.iter().enumerate() {
        let (record, bytes) =
            group.ok_or_else(|| bad::<T>(newest.address, format!("group {index} is nowhere")))?;
        let expected = (len - (index << shift)).min(1 << shift);
        push_group::<T, X>(&mut leaf, backing, record, bytes, shift, expected, &mut tag)?;
    }
    finish_leaf::<T, X>(leaf, backing, newest.address, place, shift, chain_len)
}

/// The common case: a leaf whose only record is full is decoded as it is read.
fn load_full_leaf<T: DeserializeOwned, X: BranchLayout>(
    backing: &Arc<dyn RecordReader>,
    record: &Record,
    shift: u32,
    place: Place,
    mut tag: impl FnMut(&T) -> Result<u8>,
) -> Result<Node<T, X>> {
    let mut bytes = &record.payload()[1..];
    let cut = || cut::<T>(record.address);
    let len = varint::take(&mut bytes).ok_or_else(cut)?;
    if len == 0 || len.div_ceil(1 << shift) > bytes.len() as u64 {
        return Err(bad::<T>(record.address, format!("a leaf of {len} items")));
    }
    let len = len as usize;
    let mut leaf = OwnedLeaf::with_capacity(len, X::TAGGED);
    for first in (0..len).step_by(1 << shift) {
        let size = varint::take(&mut bytes).and_then(|size| usize::try_from(size).ok()).ok_or_else(cut)?;
        let (item, rest) = bytes.split_at_checked(size).ok_or_else(cut)?;
        bytes = rest;
        let expected = (len - first).min(1 << shift);
        push_group::<T, X>(&mut leaf, backing, record, item, shift, expected, &mut tag)?;
    }
    if !bytes.is_empty() {
        return Err(bad::<T>(record.address, "bytes are left over at its end"));
    }
    finish_leaf::<T, X>(leaf, backing, record.address, place, shift, 0)
}

/// Decodes the items of one group to the end of a leaf.
#[inline]
fn push_group<T: DeserializeOwned, X: BranchLayout>(
    leaf: &mut OwnedLeaf<T>,
    backing: &Arc<dyn RecordReader>,
    record: &Record,
    bytes: &[u8],
    shift: u32,
    expected: usize,
    tag: &mut impl FnMut(&T) -> Result<u8>,
) -> Result<()> {
    let mut push = |item: T| -> Result<()> {
        let tag = if X::TAGGED { Some(tag(&item)?) } else { None };
        leaf.push(item, tag);
        Ok(())
    };
    if shift == 0 {
        return push(codec::decode_portion(backing, Portion::Item, record.address, bytes, &record.refs)?);
    }
    let items: Vec<T> = codec::decode_portion(backing, Portion::Items, record.address, bytes, &record.refs)?;
    if items.len() != expected {
        return Err(bad::<T>(record.address, format!("{} items in a group of {expected}", items.len())));
    }
    items.into_iter().try_for_each(push)
}

fn finish_leaf<T, X: BranchLayout>(
    mut leaf: OwnedLeaf<T>,
    backing: &Arc<dyn RecordReader>,
    address: Address,
    place: Place,
    shift: u32,
    chain_len: u8,
) -> Result<Node<T, X>> {
    let len = leaf.as_ref().len();
    if !X::leaf_fits(place, len) {
        return Err(bad::<T>(
            address,
            format!("a leaf of {len} items where the branch above expects another"),
        ));
    }
    let chain_len = if shift == X::shift::<T>() { chain_len } else { NO_DELTA };
    leaf.as_mut().header_mut().set_stamp(evict::now());
    mark(leaf.as_ref().header(), backing, address, chain_len);
    if RECHECKED {
        backing.decoded(address, std::ptr::from_ref(leaf.as_ref().header()).addr());
    }
    Ok(Node::from_leaf(leaf))
}

/// Range starts and vacant starts, as a record says them.
pub(crate) fn take_starts(bytes: &mut &[u8]) -> Option<(u16, u16)> {
    let starts = u16::try_from(varint::take(bytes)?).ok()?;
    let vacant = u16::try_from(varint::take(bytes)?).ok()?;
    (starts & 1 == 1 && vacant & !starts == 0 && (SLOTS == 16 || starts >> SLOTS == 0))
        .then_some((starts, vacant))
}

fn load_branch<T, X: BranchLayout<Key: DeserializeOwned>>(
    backing: &Arc<dyn RecordReader>,
    chain: &[Record],
    place: Place,
    chain_len: u8,
) -> Result<Node<T, X>> {
    let (Some(newest), Some(full)) = (chain.first(), chain.last()) else {
        unreachable!("a chain has a record")
    };
    let level = *full.payload().first().ok_or_else(|| cut::<T>(full.address))?;
    let (mut structure, mut keys) = (None, None);
    let (mut children, mut numbers) = ([None; SLOTS], [0; SLOTS]);
    for record in chain {
        let (mut bytes, mut refs) = (record.payload(), record.refs.iter());
        let cut = || cut::<T>(record.address);
        let (slots, structured) = if record.head.delta {
            refs.next();
            let changes = take_changes(&mut bytes).ok_or_else(cut)?;
            if changes & STARTS_FOLLOW != 0 {
                let found = take_starts(&mut bytes).ok_or_else(cut)?;
                structure = structure.or(Some(found));
            }
            (changes as u16, changes & STARTS_FOLLOW != 0)
        } else {
            take_byte(&mut bytes).ok_or_else(cut)?;
            let (starts, vacant) = take_starts(&mut bytes).ok_or_else(cut)?;
            structure = structure.or(Some((starts, vacant)));
            (starts & !vacant, true)
        };
        for slot in (0..SLOTS).filter(|slot| slots & 1 << slot != 0) {
            let address = *refs.next().ok_or_else(cut)?;
            let number = if X::NUMBERED { varint::take(&mut bytes).ok_or_else(cut)? } else { 0 };
            if children[slot].is_none() {
                (children[slot], numbers[slot]) = (Some(address), number);
            }
        }
        if X::KEYED && structured {
            // The newest that has any has all. They may refer to records themselves.
            if keys.is_none() {
                let portion = Portion::Keys;
                keys = Some(codec::decode_portion(backing, portion, record.address, bytes, &record.refs)?);
            }
        } else if refs.next().is_some() || !bytes.is_empty() {
            return Err(bad::<T>(record.address, "bytes are left over at its end"));
        }
    }
    let (starts, vacant) = structure.ok_or_else(|| cut::<T>(full.address))?;
    let occupied = starts & !vacant;
    let extra = X::rebuild::<T>(level, starts, occupied, place, &numbers)
        .and_then(|mut extra| extra.set_keys(keys.unwrap_or_default()).then_some(extra))
        .ok_or_else(|| bad::<T>(newest.address, "a branch that is not what the branch above expects"))?;
    let mut branch = Branch::new(level, starts, extra);
    for start in branch.ranges().filter(|&start| occupied & 1 << start != 0) {
        let address =
            children[start].ok_or_else(|| bad::<T>(newest.address, format!("slot {start} is nowhere")))?;
        let end = branch.end_of(start);
        branch.put_address(start, end, address);
    }
    branch.set_count(occupied.count_ones() as usize);
    mark(branch.header(), backing, newest.address, chain_len);
    Ok(Node::from_branch(branch))
}

fn mark(header: &Header, backing: &Arc<dyn RecordReader>, address: Address, chain_len: u8) {
    header.set_clean(backing.tag(), address, chain_len);
}
