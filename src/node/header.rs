//! The 24 bytes at the front of every node: count, identity, and what both kinds of node need.
//!
//! ```text
//!  0        4        8                16       20    22   23   24
//!  | refs   | mask   | identity       | len    | aux |hops|lvl |
//! ```
//!
//! *Reference count.* There are no weak references, so one plain load answers "is this node mine alone?" and the
//! answer cannot change under a `&mut` path: nobody else can reach the node to clone it.
//!
//! *Identity* is one word, `address << 22 | tag << 2 | state`: fresh (0), clean or dirty. A flush stores it with
//! one atomic write while others may be copying the node; the mask is written only under `&mut`, so whoever reads
//! the identity first and the mask second sees a pair that is true together (invariant 1). A *staged* address is a
//! clean one above the opening's durable mark: the opening knows the mark, the node need not be visited twice.

use crate::node::address::{Address, Tag};
use crate::sync::{AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

/// Set in a branch's mask when ranges, emptiness or number of children changed, and not only a child.
pub(super) const STRUCTURE: u32 = 1 << 31;

const STATE_BITS: u32 = 2;
const CLEAN: u64 = 1;
const DIRTY: u64 = 2;

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
    fn from_word(word: u64) -> Self {
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
pub(crate) fn clean_word(tag: Tag, address: Address) -> u64 {
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
    /// Branch: bitmap of the slots that start a range.
    pub(super) starts: u16,
    hops: AtomicU8,
    /// Distance from the leaves or from the root, as the collection counts it.
    pub(super) level: u8,
}

impl Header {
    /// A fresh node, counted once.
    pub(super) fn fresh() -> Self {
        Self {
            refs: AtomicU32::new(1),
            mask: AtomicU32::new(0),
            identity: AtomicU64::new(0),
            len: 0,
            starts: 0,
            hops: AtomicU8::new(0),
            level: 0,
        }
    }

    /// The header of a copy that is about to be changed: dirty against the record that `self` stands for.
    pub(super) fn copied(&self) -> Self {
        let word = self.identity.load(Ordering::Acquire);
        let (word, mask) = match word & 3 {
            CLEAN => (word ^ CLEAN ^ DIRTY, 0),
            // The mask is read after the identity: see the module's text.
            DIRTY => (word, self.mask.load(Ordering::Relaxed)),
            _ => (0, 0),
        };
        Self {
            refs: AtomicU32::new(1),
            mask: AtomicU32::new(mask),
            identity: AtomicU64::new(word),
            len: self.len,
            starts: self.starts,
            hops: AtomicU8::new(self.hops.load(Ordering::Relaxed)),
            level: self.level,
        }
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
        if self.refs.load(Ordering::Acquire) == 1 {
            return true;
        }
        if self.refs.fetch_sub(1, Ordering::Release) != 1 {
            return false;
        }
        fence(Ordering::Acquire);
        true
    }

    /// Whether the caller, who holds a reference, holds the only one.
    #[inline]
    pub(super) fn is_unique(&self) -> bool {
        self.refs.load(Ordering::Acquire) == 1
    }

    /// Whether some other holder exists just now.
    pub(crate) fn is_shared(&self) -> bool {
        !self.is_unique()
    }

    /// What the identity word says now.
    pub(crate) fn identity(&self) -> Identity {
        Identity::from_word(self.identity.load(Ordering::Acquire))
    }

    /// The identity word itself if it is clean: equal words mean equal contents (invariant 7).
    #[inline]
    pub(super) fn clean_word(&self) -> Option<u64> {
        let word = self.identity.load(Ordering::Acquire);
        (word & 3 == CLEAN).then_some(word)
    }

    /// Items (or slots) that changed since the base; meaningful after `identity()` answered `Dirty`.
    pub(crate) fn mask(&self) -> u32 {
        self.mask.load(Ordering::Relaxed)
    }

    /// Deltas between this node's record and the full record under it.
    pub(crate) fn hops(&self) -> u8 {
        self.hops.load(Ordering::Relaxed)
    }

    /// Says that the record at `address` holds this node, `hops` deltas above a full one.
    pub(crate) fn set_clean(&self, tag: Tag, address: Address, hops: u8) {
        self.hops.store(hops, Ordering::Relaxed);
        self.identity.store(clean_word(tag, address), Ordering::Release);
    }

    /// Marks the items of `bits` changed: no record holds this node any more (invariant 1).
    #[inline]
    pub(super) fn touch(&mut self, bits: u32) {
        // Plain loads and stores: `&mut` means that nobody else can reach the node.
        let identity = self.identity.load(Ordering::Relaxed);
        match identity & 3 {
            CLEAN => {
                self.identity.store(identity ^ CLEAN ^ DIRTY, Ordering::Relaxed);
                self.mask.store(bits, Ordering::Relaxed);
            }
            DIRTY => self.mask.store(self.mask.load(Ordering::Relaxed) | bits, Ordering::Relaxed),
            _ => {}
        }
    }

    /// Takes identity, mask and hops of a node whose contents moved into this one.
    pub(super) fn inherit(&mut self, from: &Header) {
        self.identity.store(from.identity.load(Ordering::Relaxed), Ordering::Relaxed);
        self.mask.store(from.mask.load(Ordering::Relaxed), Ordering::Relaxed);
        self.hops.store(from.hops.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
