//! Where a node's record lies in the log, and which opening of which store says so.

use std::fmt;

/// Where a record lies: a segment and the ordinal of the record in it.
///
/// An address is never reused, and never moves while a store is open. 42 bits: 23 of segment, 19 of ordinal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address(u64);

impl Address {
    /// Bits of the ordinal.
    pub(crate) const ORDINAL_BITS: u32 = 19;
    /// Bits of the whole address.
    pub(crate) const BITS: u32 = 42;
    /// Most records a segment can hold.
    pub(crate) const MAX_ORDINALS: u32 = 1 << Self::ORDINAL_BITS;
    /// Most segments a store can have.
    pub(crate) const MAX_SEGMENTS: u32 = 1 << (Self::BITS - Self::ORDINAL_BITS);

    pub(crate) fn new(segment: u32, ordinal: u32) -> Self {
        debug_assert!(segment < Self::MAX_SEGMENTS && ordinal < Self::MAX_ORDINALS);
        Self(u64::from(segment) << Self::ORDINAL_BITS | u64::from(ordinal))
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        debug_assert!(bits >> Self::BITS == 0);
        Self(bits)
    }

    pub(crate) fn to_bits(self) -> u64 {
        self.0
    }

    /// Number of the segment.
    pub fn segment(self) -> u32 {
        (self.0 >> Self::ORDINAL_BITS) as u32
    }

    /// Ordinal of the record in its segment.
    pub fn ordinal(self) -> u32 {
        (self.0 & u64::from(Self::MAX_ORDINALS - 1)) as u32
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment(), self.ordinal())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

/// One opening of one store: an address is trusted only by the opening whose tag stands beside it.
///
/// 20 bits, never 0, never reused within a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tag(u32);

impl Tag {
    /// Bits of a tag.
    pub(crate) const BITS: u32 = 20;

    /// Takes the next tag of this process, `None` once all of them are used.
    pub(crate) fn next() -> Option<Self> {
        use std::sync::atomic::{AtomicU32, Ordering};
        static NEXT: AtomicU32 = AtomicU32::new(1);
        NEXT.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tag| {
            (tag < 1 << Self::BITS).then_some(tag + 1)
        })
        .ok()
        .map(Self)
    }

    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.0)
    }

    /// The tag of these bits.
    #[cfg(test)]
    pub(crate) fn of_test(bits: u32) -> Self {
        assert!(bits >> Self::BITS == 0);
        Self(bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers around every power of two below `end`.
    fn edges(end: u32) -> Vec<u32> {
        let around = (0..32).flat_map(|bit| [(1u32 << bit).wrapping_sub(1), 1 << bit, (1 << bit) + 1]);
        let mut edges: Vec<u32> = around.chain([0, end - 1, end / 3]).filter(|&edge| edge < end).collect();
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    #[test]
    #[cfg_attr(miri, ignore = "arithmetic")]
    fn an_address_is_its_segment_and_ordinal_and_sorts_as_they_do() {
        let mut before = None;
        for segment in edges(Address::MAX_SEGMENTS) {
            for ordinal in edges(Address::MAX_ORDINALS) {
                let address = Address::new(segment, ordinal);
                assert_eq!((address.segment(), address.ordinal()), (segment, ordinal));
                assert_eq!(Address::from_bits(address.to_bits()), address);
                assert!(
                    address.to_bits() >> Address::BITS == 0 && before.is_none_or(|before| before < address)
                );
                before = Some(address);
            }
        }
    }
}
