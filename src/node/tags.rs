//! One byte of hash beside every entry of a hash leaf, compared sixteen at a time.

/// Tags compared in one step; tag areas are padded to a multiple of it.
pub(super) const GROUP: usize = 16;

/// Positions at which `tag` stands in the group of sixteen tags, as bits.
#[inline]
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[expect(unsafe_code, reason = "SSE2 intrinsics; part of every x86-64")]
pub(super) fn matches(group: &[u8; GROUP], tag: u8) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    // SAFETY: the array is 16 readable bytes, the load is unaligned, SSE2 is enabled by the cfg above.
    unsafe {
        let tags = _mm_loadu_si128(group.as_ptr().cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8(tag as i8))) as u32
    }
}

/// Positions at which `tag` stands in the group of sixteen tags, as bits.
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
            assert_eq!(matches(&group, 7), 0xffff ^ 1 << position);
        }
        assert_eq!(matches(&[9; GROUP], 8), 0);
    }
}
