//! Where a node's record lies in the log, and which opening of which store says so.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};

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

#[cfg(test)]
crate::sync::per_thread!(static IS_USED_UP: std::cell::Cell<bool> = std::cell::Cell::new(false));

/// Runs a test as in a process that has used up the wide tags that small stores may have.
#[cfg(test)]
pub(crate) fn after_many_openings<R>(test: impl FnOnce() -> R) -> R {
    IS_USED_UP.with(|is_used_up| is_used_up.set(true));
    let result = test();
    IS_USED_UP.with(|is_used_up| is_used_up.set(false));
    result
}

/// One opening of one store: an address is trusted only by the opening whose tag stands beside it.
///
/// Never 0, never reused within a process. A node's identity has room for 62 bits of tag and address: a *wide* tag has 20 of
/// them and leaves 42 to the address, which is any; a *narrow* one has 32 and leaves 29, which is enough for
/// [`NARROW_SEGMENTS`](Self::NARROW_SEGMENTS) segments. A process that opens many stores runs out of wide tags, so half of
/// them are kept for stores that have that many segments, and the others go on with narrow ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Tag(u32);

impl Tag {
    /// Bits of a wide tag.
    pub(crate) const BITS: u32 = 20;
    /// Bits of an address beside a narrow tag.
    pub(crate) const NARROW_ADDRESS_BITS: u32 = 29;
    /// Most segments of a store whose opening has a narrow tag.
    pub(crate) const NARROW_SEGMENTS: u32 = 1 << (Self::NARROW_ADDRESS_BITS - Address::ORDINAL_BITS);

    /// Takes the next tag of this process, `None` once all of them are used.
    #[cfg(any(test, loom, internals))]
    pub(crate) fn next() -> Option<Self> {
        Self::next_for(0)
    }

    /// Takes the next tag of this process for an opening of a store of so many segments, which may get as many again and
    /// more; `None` once all of them are used.
    pub(crate) fn next_for(segments: u32) -> Option<Self> {
        static WIDE: AtomicU32 = AtomicU32::new(1);
        static NARROW: AtomicU32 = AtomicU32::new(1 << Tag::BITS);
        #[cfg(test)]
        if IS_USED_UP.with(std::cell::Cell::get) {
            // As after half a million openings.
            let used_up = AtomicU32::new(1 << Self::BITS);
            let is_large = segments > Self::NARROW_SEGMENTS / 2;
            return Self::take(if is_large { &WIDE } else { &used_up }, &NARROW, segments);
        }
        Self::take(&WIDE, &NARROW, segments)
    }

    fn take(wide: &AtomicU32, narrow: &AtomicU32, segments: u32) -> Option<Self> {
        let next = |counter: &AtomicU32, end: u32| {
            let more = |tag| (tag < end).then(|| tag + 1);
            counter.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()
        };
        let is_large = segments > Self::NARROW_SEGMENTS / 2;
        let found = next(wide, 1 << if is_large { Self::BITS } else { Self::BITS - 1 });
        found.or_else(|| if is_large { None } else { next(narrow, u32::MAX) }).map(Self)
    }

    /// Returns whether it leaves less room to the address.
    #[inline]
    pub(crate) fn is_narrow(self) -> bool {
        self.0 >> Self::BITS != 0
    }

    /// Most segments that the store of its opening can have.
    pub(crate) fn max_segments(self) -> u32 {
        if self.is_narrow() { Self::NARROW_SEGMENTS } else { Address::MAX_SEGMENTS }
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

    #[test]
    fn large_stores_keep_half_of_the_wide_tags_and_no_tag_comes_twice() {
        let (wide, narrow) = (AtomicU32::new((1 << 19) - 1), AtomicU32::new(1 << Tag::BITS));
        let take = |segments| Tag::take(&wide, &narrow, segments).map(|tag| tag.0);
        assert_eq!(take(0), Some((1 << 19) - 1));
        assert_eq!(take(Tag::NARROW_SEGMENTS / 2), Some(1 << 20));
        assert_eq!(take(Tag::NARROW_SEGMENTS / 2 + 1), Some(1 << 19));
        assert_eq!(take(0), Some((1 << 20) + 1));
        wide.store((1 << 20) - 1, Ordering::Relaxed);
        assert_eq!((take(1 << 20), take(1 << 20)), (Some((1 << 20) - 1), None));
        narrow.store(u32::MAX - 1, Ordering::Relaxed);
        assert_eq!((take(3), take(3)), (Some(u32::MAX - 1), None));
    }
}
