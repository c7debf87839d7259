//! One byte of hash beside every entry of a hash leaf, compared thirty-two at a time: those of an ordinary leaf at once.

/// Tags compared in one step; tag areas are padded to a multiple of it.
pub(super) const GROUP: usize = 32;

/// Positions at which `tag` stands in the group, as bits.
#[inline]
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[expect(unsafe_code, reason = "SSE2 intrinsics; part of every x86-64")]
pub(super) fn matches(group: &[u8; GROUP], tag: u8) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    // SAFETY: the array is twice 16 readable bytes, the loads are unaligned, SSE2 is enabled by the cfg above.
    unsafe {
        let tag = _mm_set1_epi8(tag as i8);
        let half = |at: *const u8| _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128(at.cast()), tag)) as u32;
        half(group.as_ptr()) | half(group.as_ptr().add(GROUP / 2)) << (GROUP / 2)
    }
}

/// Positions at which `tag` stands in the group, as bits.
#[inline]
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
pub(super) fn matches(group: &[u8; GROUP], tag: u8) -> u32 {
    // A fixed-length loop of byte compares: compilers turn it into the target's own vector instructions.
    let mut found = 0;
    for (position, &other) in group.iter().enumerate() {
        found |= u32::from(other == tag) << position;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_position_is_found_alone_and_together() {
        for position in 0..GROUP {
            let mut group = [7; GROUP];
            group[position] = 200;
            assert_eq!(matches(&group, 200), 1 << position);
            assert_eq!(matches(&group, 7), !(1 << position));
        }
        assert_eq!(matches(&[9; GROUP], 8), 0);
    }
}
