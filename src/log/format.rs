//! The small parts of the format: integers, checksums, sectors. `docs/format.md` shows how they make a store.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// The version of the format that this build writes. It reads all from 1 on.
pub(crate) const VERSION: u32 = 2;

/// A batch starts at a multiple of this, so that a torn batch cannot hurt the one before it.
pub(crate) const SECTOR_BYTES: u32 = 512;

/// Most bytes a record may take, and a commit: every offset and length fits a `u32` with room to spare.
pub(crate) const MAX_RECORD_BYTES: u64 = 1 << 30;

/// Most bytes a segment may take: one record of the largest size, its own index, and much room to spare, so that
/// no offset in a segment, rounded up or not, overflows a `u32`.
pub(crate) const MAX_SEGMENT_BYTES: u32 = 1 << 31;

/// Most bytes a varint takes.
pub(crate) const VARINT_BYTES: usize = 10;

/// Rounds up to the next sector.
pub(crate) fn sector_up(offset: u32) -> u32 {
    offset.next_multiple_of(SECTOR_BYTES)
}

/// Where a block lies. The checksum of a block depends on it, so that a block that was written to, or copied
/// to, another place (of this store or another) is not taken for the one that belongs there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place {
    /// The store's random identity.
    pub store_id: u64,
    /// Number of the segment.
    pub segment: u32,
    /// Offset in the segment's file.
    pub offset: u32,
}

impl Place {
    /// Checksums `bytes` as lying here.
    pub(crate) fn checksum(self, bytes: &[u8]) -> u64 {
        xxh3_64_with_seed(bytes, self.store_id ^ (u64::from(self.segment) << 32 | u64::from(self.offset)))
    }
}

/// Checksums bytes that lie at no place in particular.
pub(crate) fn checksum(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

/// As [`checksum`], seeded with that of what comes before.
pub(crate) fn checksum_seeded(bytes: &[u8], seed: u64) -> u64 {
    xxh3_64_with_seed(bytes, seed)
}

/// Chains the checksum of one more block of a batch onto those before it; a batch starts from 0.
pub(crate) fn chain(before: u64, block_checksum: u64) -> u64 {
    xxh3_64_with_seed(&block_checksum.to_le_bytes(), before)
}

/// Appends `value` in 7-bit groups, lowest first, the high bit set on all but the last.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads the parts of a record, a block or a file one after the other; every method gives `None` where the
/// bytes end too early or do not hold what was asked for.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read so far.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Reads `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Reads one byte.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        Some(self.array::<1>()?[0])
    }

    /// Reads a little-endian `u16`.
    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Reads a little-endian `u32`.
    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads a little-endian `u64`.
    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a varint.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for group in 0..VARINT_BYTES {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if group == VARINT_BYTES - 1 && byte > 1 {
                return None;
            }
            value |= bits << (7 * group);
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Reads a varint that fits a `u32`.
    pub(crate) fn varint_u32(&mut self) -> Option<u32> {
        self.varint()?.try_into().ok()
    }

    /// Reads a varint, then as many bytes.
    pub(crate) fn counted(&mut self) -> Option<&'a [u8]> {
        let len = self.varint()?.try_into().ok()?;
        self.take(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, value);
                let mut cursor = Cursor::new(&bytes);
                assert_eq!(cursor.varint(), Some(value));
                assert_eq!(cursor.remaining(), 0);
                assert_eq!(Cursor::new(&bytes[..bytes.len() - 1]).varint(), None);
            }
        }
    }

    #[test]
    fn a_varint_beyond_64_bits_is_refused() {
        let mut bytes = vec![0xff; 9];
        bytes.push(2);
        assert_eq!(Cursor::new(&bytes).varint(), None);
        assert_eq!(Cursor::new(&[0xff; 11]).varint(), None);
    }

    #[test]
    fn a_checksum_knows_its_place() {
        let place = Place { store_id: 7, segment: 1, offset: 512 };
        let here = place.checksum(b"x");
        assert_ne!(here, Place { offset: 1024, ..place }.checksum(b"x"));
        assert_ne!(here, Place { segment: 2, ..place }.checksum(b"x"));
        assert_ne!(here, Place { store_id: 8, ..place }.checksum(b"x"));
    }
}
