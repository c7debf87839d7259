//! The 24 bytes at the front of every node: count, identity, and what both kinds of node need.
//!
//! ```text
//!  0        4        8                16       20    22   23   24
//!  | refs   | mask   | identity       | len    | aux |chn |lvl |
//! ```
//!
//! *Reference count.* There are no weak references, so one plain load answers "is this node mine alone?" and the
//! answer cannot change under a `&mut` path: nobody else can reach the node to clone it.
//!
//! *Identity* is one word: fresh (0), or `address << 22 | tag << 2 | state`, clean (1) or dirty (2); beside a narrow
//! [`Tag`] it is `address << 35 | tag << 3 | dirty << 2 | 3`. A *staged* address is a
//! clean one above the opening's durable mark: the opening knows the mark, the node need not be visited twice.
//!
//! *Hops* are two numbers of four bits: of the base (low) and of the node's own record (high).
//!
//! A flush publishes a record with one atomic write of the identity while others may be copying the node. What goes
//! with a *dirty* identity (mask, chain length of the base) is written only under `&mut`, what goes with a *clean* one (chain length of
//! the record) before it and with Release. So whoever reads the identity first takes what is true together with it,
//! whichever of the two he saw (invariant 1).

use crate::record::recheck::RECHECKED;
use crate::record::{Address, Tag};
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};
use crate::weaken;

/// Set in a branch's mask when ranges, emptiness or number of children changed, and not only a child.
pub(super) const STRUCTURE: u32 = 1 << 31;

const HOPS_BITS: u32 = 4;
const STATE_BITS: u32 = 2;
const CLEAN: u64 = 1;
const DIRTY: u64 = 2;
/// Of a narrow tag: one more bit says whether it is dirty.
const NARROW: u64 = 3;
const NARROW_DIRTY: u64 = 4;
const NARROW_STATE_BITS: u32 = 3;
const NARROW_TAG_BITS: u32 = 32;
const _: () = assert!(NARROW_STATE_BITS + NARROW_TAG_BITS + Tag::NARROW_ADDRESS_BITS == 64);

/// What a node's identity word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Identity {
    /// Never written to any log, or changed beyond what a delta can say.
    Fresh,
    /// The record at this address holds exactly this node.
    Clean(u32, Address),
    /// Changed since the record at this address, in the items that the mask names.
    Dirty(u32, Address),
}

impl Identity {
    #[inline]
    fn from_word(word: u64) -> Self {
        if word & NARROW == NARROW {
            let address = Address::from_bits(word >> (NARROW_TAG_BITS + NARROW_STATE_BITS));
            let tag = (word >> NARROW_STATE_BITS) as u32;
            return match word & NARROW_DIRTY {
                0 => Self::Clean(tag, address),
                _ => Self::Dirty(tag, address),
            };
        }
        let address = Address::from_bits(word >> (Tag::BITS + STATE_BITS));
        let tag = (word >> STATE_BITS) as u32 & ((1 << Tag::BITS) - 1);
        match word & ((1 << STATE_BITS) - 1) {
            CLEAN => Self::Clean(tag, address),
            DIRTY => Self::Dirty(tag, address),
            _ => Self::Fresh,
        }
    }
}

/// The identity word of a node whose record lies at `address`.
///
/// # Panics
///
/// Panics if the address does not fit beside the tag: an opening of a narrow tag makes none that does not.
pub(crate) fn clean_word(tag: Tag, address: Address) -> u64 {
    if tag.is_narrow() {
        let address = address.to_bits();
        assert!(address >> Tag::NARROW_ADDRESS_BITS == 0, "a log of a narrow tag has few segments");
        return address << (NARROW_TAG_BITS + NARROW_STATE_BITS)
            | tag.to_bits() << NARROW_STATE_BITS
            | NARROW;
    }
    address.to_bits() << (Tag::BITS + STATE_BITS) | tag.to_bits() << STATE_BITS | CLEAN
}

/// The front of a node; leaf and branch start with it.
#[repr(C)]
pub(crate) struct Header {
    refs: AtomicU32,
    mask: AtomicU32,
    identity: AtomicU64,
    /// Leaf: number of items. Branch: unused by the node layer, free to the collection.
    pub(super) len: u32,
    /// Branch: bitmap of the slots that start a range. Leaf: its [`stamp`](Self::stamp).
    pub(super) starts: u16,
    chain_len: AtomicU8,
    /// Branch: distance from the leaves or from the root, as the collection counts it. Leaf: see [`copies`](Self::copies).
    pub(super) level: u8,
}

impl Header {
    /// Longest chain that is counted; longer ones are taken for as long.
    pub(super) const MAX_CHAIN_LEN: u8 = (1 << HOPS_BITS) - 1;

    /// A fresh node, counted once.
    #[inline]
    pub(super) fn fresh() -> Self {
        Self {
            refs: AtomicU32::new(1),
            mask: AtomicU32::new(0),
            identity: AtomicU64::new(0),
            len: 0,
            starts: 0,
            chain_len: AtomicU8::new(0),
            level: 0,
        }
    }

    /// The header of a copy that is about to be changed: dirty against the record that `self` stands for.
    #[inline]
    pub(super) fn copied(&self) -> Self {
        let word = self.identity.load(Ordering::Acquire);
        // Read after the identity: see the module's text.
        let chain_len = self.chain_len.load(Ordering::Relaxed);
        let (word, mask, chain_len) = match word & 3 {
            CLEAN => (word ^ CLEAN ^ DIRTY, 0, chain_len >> HOPS_BITS),
            DIRTY => (word, self.mask.load(Ordering::Relaxed), chain_len & Self::MAX_CHAIN_LEN),
            NARROW if word & NARROW_DIRTY == 0 => (word | NARROW_DIRTY, 0, chain_len >> HOPS_BITS),
            NARROW => (word, self.mask.load(Ordering::Relaxed), chain_len & Self::MAX_CHAIN_LEN),
            _ => (0, 0, 0),
        };
        Self {
            refs: AtomicU32::new(1),
            mask: AtomicU32::new(mask),
            identity: AtomicU64::new(word),
            len: self.len,
            starts: self.starts,
            chain_len: AtomicU8::new(chain_len),
            level: self.level,
        }
    }

    /// Of a leaf: how often its items were cloned since they were made or decoded, as far as anybody counts.
    pub(super) fn copies(&self) -> u8 {
        self.level
    }

    /// Counts that the items of a leaf were cloned: it is told apart from what it was copied from.
    pub(super) fn count_copy(&mut self) {
        if RECHECKED {
            self.level = self.level.wrapping_add(1);
        }
    }

    /// The header of a copy that stays as it is: the same record holds both.
    pub(super) fn twin(&self) -> Self {
        // The identity first: see the module's text.
        let identity = self.identity.load(weaken::ordering("twin", Ordering::Acquire));
        Self {
            refs: AtomicU32::new(1),
            mask: AtomicU32::new(self.mask.load(Ordering::Relaxed)),
            identity: AtomicU64::new(identity),
            len: self.len,
            starts: self.starts,
            chain_len: AtomicU8::new(self.chain_len.load(Ordering::Relaxed)),
            level: self.level,
        }
    }

    /// Of a leaf: when it came into memory, in evictions.
    pub(super) fn stamp(&self) -> u16 {
        self.starts
    }

    /// Says when a leaf came into memory.
    pub(super) fn set_stamp(&mut self, stamp: u16) {
        self.starts = stamp;
    }

    /// Counts one more reference.
    ///
    /// Aborts when the count overflows, as std's `Arc` does: it takes more than 2^31 leaked clones.
    #[inline]
    pub(super) fn retain(&self) {
        if self.refs.fetch_add(1, Ordering::Relaxed) > i32::MAX as u32 {
            std::process::abort();
        }
    }

    /// Gives one reference back; true if it was the last, and everything done under the others is then visible.
    #[inline]
    pub(super) fn release(&self) -> bool {
        // A count of one cannot change under us: only a holder can clone. Saves the locked operation.
        if self.refs.load(weaken::ordering("last_holder", Ordering::Acquire)) == 1 {
            return true;
        }
        if self.refs.fetch_sub(1, weaken::ordering("release", Ordering::Release)) != 1 {
            return false;
        }
        if !weaken::is("release_fence") {
            fence(Ordering::Acquire);
        }
        true
    }

    /// Whether the caller, who holds a reference, holds the only one.
    #[inline]
    pub(super) fn is_unique(&self) -> bool {
        let holders = self.refs.load(weaken::ordering("unique", Ordering::Acquire));
        holders == 1 || weaken::canary("copied_shallow")
    }

    /// Whether some other holder exists just now.
    #[inline]
    pub(crate) fn is_shared(&self) -> bool {
        !self.is_unique()
    }

    /// What the identity word says now.
    #[inline]
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_word(self.identity.load(Ordering::Acquire))
    }

    /// The identity word itself if it is clean: equal words mean equal contents (invariant 7).
    #[inline]
    pub(super) fn clean_word(&self) -> Option<u64> {
        let word = self.identity.load(Ordering::Acquire);
        (word & 3 == CLEAN || word & (NARROW | NARROW_DIRTY) == NARROW).then_some(word)
    }

    /// Items (or slots) that changed since the base; meaningful after `identity()` answered `Dirty`.
    #[inline]
    pub(crate) fn mask(&self) -> u32 {
        self.mask.load(Ordering::Relaxed)
    }

    /// Deltas between the base and the full record under it; meaningful after `identity()` answered `Dirty`.
    #[inline]
    pub(crate) fn chain_len(&self) -> u8 {
        self.chain_len.load(Ordering::Relaxed) & Self::MAX_CHAIN_LEN
    }

    /// Says that the record at `address` holds this node, `chain_len` deltas above a full one.
    pub(crate) fn set_clean(&self, tag: Tag, address: Address, chain_len: u8) {
        let of_record = chain_len.min(Self::MAX_CHAIN_LEN) << HOPS_BITS;
        if weaken::is("chain_len_of_base") {
            self.chain_len.store(of_record | of_record >> HOPS_BITS, Ordering::Relaxed);
        } else if weaken::is("chain_len_lowered") {
            self.chain_len.store(of_record | self.chain_len(), Ordering::Relaxed);
        } else {
            // Raised, never lowered: of flushes to two stores at once, whose identity stays nobody knows, and a
            // chain taken for longer than it is ends early, no more.
            self.chain_len.fetch_max(of_record | self.chain_len(), Ordering::Relaxed);
        }
        self.identity.store(clean_word(tag, address), weaken::ordering("identity", Ordering::Release));
    }

    /// Marks the items of `bits` changed: no record holds this node any more (invariant 1).
    #[inline]
    pub(super) fn touch(&mut self, bits: u32) {
        // Plain loads and stores: `&mut` means that nobody else can reach the node.
        let identity = self.identity.load(Ordering::Relaxed);
        let dirty = match identity & 3 {
            CLEAN => Some(identity ^ CLEAN ^ DIRTY),
            NARROW if identity & NARROW_DIRTY == 0 => Some(identity | NARROW_DIRTY),
            _ => None,
        };
        if let Some(dirty) = dirty {
            self.identity.store(dirty, Ordering::Relaxed);
            self.mask.store(bits, Ordering::Relaxed);
            self.chain_len.store(self.chain_len.load(Ordering::Relaxed) >> HOPS_BITS, Ordering::Relaxed);
            return;
        }
        match identity & 3 {
            DIRTY | NARROW => self.mask.store(self.mask.load(Ordering::Relaxed) | bits, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Takes identity, mask and chain length of a node whose contents moved into this one.
    #[inline]
    pub(super) fn inherit(&mut self, from: &Header) {
        self.identity.store(from.identity.load(Ordering::Relaxed), Ordering::Relaxed);
        self.mask.store(from.mask.load(Ordering::Relaxed), Ordering::Relaxed);
        self.chain_len.store(from.chain_len.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_published_record_leaves_the_chain_length_of_the_base() {
        chain_len_of(Tag::next().unwrap());
        chain_len_of(crate::record::after_many_openings(|| Tag::next().unwrap()));
    }

    fn chain_len_of(tag: Tag) {
        let (base, record) = (Address::new(0, 1), Address::new(0, 2));
        let mut header = Header::fresh();
        header.set_clean(tag, base, 9);
        header.touch(1);
        assert_eq!((header.chain_len(), header.copied().chain_len()), (9, 9));

        // A flush writes it in full. Whoever read the identity just before still counts from the base.
        header.set_clean(tag, record, 0);
        assert_eq!(header.chain_len(), 9);
        assert_eq!(header.copied().identity(), Identity::Dirty(tag.to_bits() as u32, record));
        assert_eq!(header.copied().chain_len(), 0);
        header.touch(1);
        assert_eq!(header.chain_len(), 0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic")]
    fn every_identity_word_says_what_it_was_made_of() {
        let edges = |bits: u32| {
            (0..=bits).flat_map(|bit| [(1u32 << bit) - 1, (1 << bit) >> 1, 0x5555_5555 >> (32 - bit.max(1))])
        };
        for bits in edges(Tag::BITS) {
            let tag = Tag::of_test(bits);
            for segment in edges(Address::BITS - Address::ORDINAL_BITS) {
                for ordinal in edges(Address::ORDINAL_BITS) {
                    let address = Address::new(segment, ordinal);
                    let mut header = Header::fresh();
                    assert_eq!((header.identity(), header.clean_word()), (Identity::Fresh, None));
                    header.touch(1);
                    assert_eq!((header.identity(), header.mask()), (Identity::Fresh, 0));
                    header.set_clean(tag, address, 0);
                    assert_eq!(header.identity(), Identity::Clean(bits, address));
                    assert_eq!(header.clean_word(), Some(clean_word(tag, address)));
                    let dirty = Identity::Dirty(bits, address);
                    assert_eq!((header.copied().identity(), header.copied().mask()), (dirty, 0));
                    header.touch(1 << 31);
                    header.touch(1);
                    assert_eq!((header.identity(), header.mask()), (dirty, 1 << 31 | 1));
                    assert_eq!((header.clean_word(), header.copied().identity()), (None, dirty));
                }
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic")]
    fn chain_lengths_of_base_and_record_are_kept_apart() {
        let (tag, address) = (Tag::of_test(1), Address::new(0, 1));
        for base in 0..=u8::MAX {
            for record in 0..=u8::MAX {
                let mut header = Header::fresh();
                header.set_clean(tag, address, base);
                header.touch(1);
                let base = base.min(Header::MAX_CHAIN_LEN);
                assert_eq!(header.chain_len(), base);
                header.set_clean(tag, address, record);
                assert_eq!(header.chain_len(), base, "{record}");
                let record = record.min(Header::MAX_CHAIN_LEN);
                assert_eq!(header.copied().chain_len(), record, "{base}");
                header.touch(1);
                assert_eq!(header.chain_len(), record, "{base}");
            }
        }
    }

    #[test]
    fn of_two_records_published_at_once_the_longer_chain_counts() {
        let tags = [(); 2].map(|()| Tag::next().unwrap());
        let header = Header::fresh();
        header.set_clean(tags[0], Address::new(0, 1), 7);
        header.set_clean(tags[1], Address::new(0, 2), 0);
        assert_eq!(header.copied().chain_len(), 7);
        header.set_clean(tags[0], Address::new(0, 3), u8::MAX);
        assert_eq!(header.copied().chain_len(), Header::MAX_CHAIN_LEN);
    }

    #[test]
    fn words_of_wide_and_narrow_tags_say_what_was_put_in() {
        let narrow = crate::record::after_many_openings(|| Tag::next().unwrap());
        let wide = Tag::next().unwrap();
        assert!(narrow.is_narrow() && !wide.is_narrow());
        for tag in [wide, narrow] {
            for (segment, ordinal) in [(0, 0), (tag.max_segments() - 1, Address::MAX_ORDINALS - 1), (7, 1)] {
                let address = Address::new(segment, ordinal);
                let mut header = Header::fresh();
                header.set_clean(tag, address, 3);
                let number = tag.to_bits() as u32;
                assert_eq!(header.identity(), Identity::Clean(number, address));
                assert_eq!(header.clean_word(), Some(clean_word(tag, address)));
                assert_eq!(header.twin().clean_word(), header.clean_word());
                let copied = header.copied();
                assert_eq!((copied.identity(), copied.chain_len()), (Identity::Dirty(number, address), 3));
                header.touch(1);
                header.touch(4);
                assert_eq!(header.identity(), Identity::Dirty(number, address));
                assert_eq!((header.clean_word(), header.mask(), header.chain_len()), (None, 5, 3));
                assert_eq!((header.copied().mask(), header.copied().identity()), (5, header.identity()));
            }
        }
        let other = clean_word(narrow, Address::new(1, 2));
        assert_ne!(other, clean_word(wide, Address::new(1, 2)));
        let beyond = std::panic::catch_unwind(|| clean_word(narrow, Address::new(Tag::NARROW_SEGMENTS, 0)));
        assert!(beyond.is_err());
    }
}
