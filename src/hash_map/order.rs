//! The order in which a leaf's entries are met: a function of them, and not of where earlier changes left them.
//!
//! The place of an entry in its leaf depends on history: it is appended, and the last one moves to where one was removed.
//! Keeping leaves sorted would move, and so write, half of them with every insertion. Instead a leaf is sorted when it is
//! iterated over: by the tags of its entries, which are a byte of their hashes; entries of equal tags by a hash of their
//! keys that every map has in common. That one is made where `K: Hash` is known ([`KeyHash`]), so iteration asks for no
//! bound, and it runs for entries of equal tags alone.

use std::cmp::Reverse;
use std::hash::{BuildHasher, Hash, Hasher};

use super::hasher::{SeededHasher, SeededState};
use crate::node::{KeyHash, LeafRef};

/// Entries of an ordinary leaf; a larger one holds keys whose hashes are equal in all bits, or comes from a store whose leaves
/// were larger.
pub(super) const FEW: usize = 32;

/// Slots that a leaf's entries are sorted into, one for each bit of a word.
const SLOTS: usize = u64::BITS as usize;

/// The hash that orders entries of equal tags.
pub(super) struct TieHasher(SeededHasher);

impl Default for TieHasher {
    fn default() -> Self {
        const FOR_ALL: SeededState = SeededState::new(0);
        Self(FOR_ALL.build_hasher())
    }
}

macro_rules! forward {
    ($($write:ident: $type:ty),+) => {
        $(#[inline]
        fn $write(&mut self, value: $type) {
            self.0.$write(value);
        })+
    };
}

impl Hasher for TieHasher {
    forward!(write: &[u8], write_u8: u8, write_u16: u16, write_u32: u32, write_u64: u64, write_u128: u128, write_usize: usize);

    #[inline]
    fn finish(&self) -> u64 {
        self.0.finish()
    }
}

/// The order of entries of equal tags; `None` in a map that never had a key.
pub(super) type Ties<K> = Option<KeyHash<K>>;

/// The hash that orders keys of equal tags.
pub(super) fn ties_of<K: Hash>() -> Ties<K> {
    Some(KeyHash::with::<TieHasher>())
}

/// The positions of a leaf's entries in the order of iteration, as far as they are to come.
#[derive(Clone)]
pub(super) struct LeafOrder {
    /// The position of the entry in each slot that is in `taken`; behind the slots, of those that found no slot.
    positions: [u8; SLOTS + FEW],
    /// Slots with entries to come, a bit each.
    taken: u64,
    /// Entries to come that found no slot, a bit each.
    overflow: u32,
    /// Positions of a large leaf's entries to come, the next one last.
    many: Vec<u32>,
}

impl LeafOrder {
    pub(super) const NONE: Self =
        Self { positions: [0; SLOTS + FEW], taken: 0, overflow: 0, many: Vec::new() };

    /// The order of the entries of a leaf.
    pub(super) fn of<K, V>(leaf: LeafRef<'_, (K, V)>, ties: Ties<K>) -> Self {
        let mut order = Self::NONE;
        order.enter(leaf, ties);
        order
    }

    /// Goes on to another leaf. What was to come of the one before is forgotten.
    ///
    /// An entry's slot is the upper 6 bits of its tag, so slots are in the order of tags. Most entries are alone in theirs.
    #[inline]
    pub(super) fn enter<K, V>(&mut self, leaf: LeafRef<'_, (K, V)>, ties: Ties<K>) {
        let tags = leaf.tags();
        (self.taken, self.overflow) = (0, 0);
        self.many.clear();
        if tags.len() > FEW {
            return self.enter_many(leaf, ties);
        }
        let (mut taken, mut homeless) = (0u64, 0u32);
        for (position, &tag) in tags.iter().enumerate() {
            let slot = slot_of(tag);
            if taken & 1 << slot != 0 {
                homeless |= 1 << position;
            } else {
                taken |= 1 << slot;
                self.positions[slot] = position as u8;
            }
        }
        self.taken = taken;
        if homeless != 0 {
            self.house(homeless, leaf, ties);
        }
    }

    /// Places entries whose slots are taken. Where one asks for a taken slot, the lesser entry has it, and the other one asks
    /// for the next slot: so entries end up sorted (an ordered hash table, Amble and Knuth, 1974).
    fn house<K, V>(&mut self, mut homeless: u32, leaf: LeafRef<'_, (K, V)>, ties: Ties<K>) {
        let tags = leaf.first_tags();
        let mut taken = self.taken;
        while homeless != 0 {
            let mut position = homeless.trailing_zeros() as usize % FEW;
            let mut tag = tags[position];
            let mut slot = slot_of(tag);
            while slot < SLOTS && taken & 1 << slot != 0 {
                let there = usize::from(self.positions[slot]) % FEW;
                let tag_there = tags[there];
                if tag < tag_there || tag == tag_there && is_less_of_tied(leaf, ties, position, there) {
                    self.positions[slot] = position as u8;
                    (position, tag) = (there, tag_there);
                }
                slot += 1;
            }
            if slot < SLOTS {
                self.positions[slot] = position as u8;
                taken |= 1 << slot;
            } else {
                self.place_behind(position, leaf, ties);
            }
            homeless &= homeless - 1;
        }
        self.taken = taken;
    }

    /// Sorts an entry in among those that found no slot. They are behind all that did.
    #[cold]
    fn place_behind<K, V>(&mut self, position: usize, leaf: LeafRef<'_, (K, V)>, ties: Ties<K>) {
        let tags = leaf.first_tags();
        let is_less = |one: usize, two: usize| {
            tags[one] < tags[two] || tags[one] == tags[two] && is_less_of_tied(leaf, ties, one, two)
        };
        let mut place = SLOTS + self.overflow.count_ones() as usize;
        while place > SLOTS && is_less(position, self.positions[place - 1].into()) {
            self.positions[place] = self.positions[place - 1];
            place -= 1;
        }
        self.positions[place] = position as u8;
        self.overflow = self.overflow << 1 | 1;
    }

    #[cold]
    fn enter_many<K, V>(&mut self, leaf: LeafRef<'_, (K, V)>, ties: Ties<K>) {
        let (entries, tags) = (leaf.items(true), leaf.tags());
        let order_of = |position: u32| {
            let position = position as usize;
            (tags[position], ties.map_or(0, |ties| ties.of(&entries[position].0)))
        };
        self.many.extend(0..entries.len() as u32);
        self.many.sort_by_cached_key(|&position| Reverse(order_of(position)));
    }

    /// The next position that is in a slot.
    #[inline]
    pub(super) fn next_in_slot(&mut self) -> Option<usize> {
        let slot = self.taken.trailing_zeros() as usize;
        if slot == SLOTS {
            return None;
        }
        self.taken &= self.taken - 1;
        Some(self.positions[slot].into())
    }

    /// The number of positions to come.
    pub(super) fn len(&self) -> usize {
        (self.taken.count_ones() + self.overflow.count_ones()) as usize + self.many.len()
    }

    /// The next position where no slot has one.
    #[inline(never)]
    fn next_of_others(&mut self) -> Option<usize> {
        if self.overflow == 0 {
            return self.many.pop().map(|position| position as usize);
        }
        let place = SLOTS + self.overflow.trailing_zeros() as usize;
        self.overflow &= self.overflow - 1;
        Some(self.positions[place].into())
    }
}

#[inline]
fn slot_of(tag: u8) -> usize {
    usize::from(tag >> 2)
}

/// Returns whether the first of two entries of equal tags is to be met first.
#[cold]
fn is_less_of_tied<K, V>(leaf: LeafRef<'_, (K, V)>, ties: Ties<K>, one: usize, two: usize) -> bool {
    let entries = leaf.items(true);
    ties.is_some_and(|ties| ties.of(&entries[one].0) < ties.of(&entries[two].0))
}

impl Iterator for LeafOrder {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        self.next_in_slot().or_else(|| self.next_of_others())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len(), Some(self.len()))
    }
}
