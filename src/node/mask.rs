//! The mask of a leaf's changed items: a bit for each, or for a few where a leaf can hold more items than the mask has bits.

/// Bits of the changed-items mask; items share a bit when a leaf can hold more of them.
pub(crate) const MASK_BITS: u32 = 32;

/// Returns the number of items (as a power of two) that share one bit of the mask in leaves of up to `capacity` items.
pub(crate) const fn mask_shift(capacity: usize) -> u32 {
    let mut shift = 0;
    while capacity > (MASK_BITS as usize) << shift {
        shift += 1;
    }
    shift
}

/// The mask that marks item `index`, and past the last bit everything.
#[inline]
pub(super) fn mask_of(index: usize, shift: u32) -> u32 {
    let bit = index >> shift;
    if bit < MASK_BITS as usize { 1 << bit } else { u32::MAX }
}

/// The mask that marks the items `from..to`: all bits where one lies past the last.
#[inline]
pub(super) fn mask_between(from: usize, to: usize, shift: u32) -> u32 {
    match (from >> shift, to.wrapping_sub(1) >> shift) {
        _ if from >= to => 0,
        (_, last) if last >= MASK_BITS as usize => u32::MAX,
        (first, last) => u32::MAX << first & u32::MAX >> (MASK_BITS as usize - 1 - last),
    }
}
