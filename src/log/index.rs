//! The index of a segment: where its blocks lie, and which opening wrote them.

use super::format::{Cursor, put_varint};
use crate::record::Address;

/// One block of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BlockEntry {
    /// Offset of the block's header.
    pub offset: u32,
    /// Ordinal of its first record, or of the commit.
    pub first_ordinal: u32,
    /// Whether it is a commit.
    pub is_commit: bool,
}

/// The blocks of a segment in the order of their offsets, which is that of their ordinals.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub(crate) struct Index {
    entries: Vec<BlockEntry>,
    /// From which entry on blocks carry which epoch: a block of another epoch at the place of an entry is a stale
    /// one, of a batch that was cut, however right its checksum is.
    epochs: Vec<(u32, u64)>,
}

impl Index {
    /// At most how many bytes an entry takes in an encoded index.
    const ENTRY_BYTES: usize = 5 + 4;
    /// At most how many bytes an epoch takes in an encoded index.
    const EPOCH_BYTES: usize = 5 + 8;

    /// Number of blocks.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Adds the block after the last one, written under `epoch`.
    pub(crate) fn push(&mut self, entry: BlockEntry, epoch: u64) {
        debug_assert!(self.ends_before(entry.offset, entry.first_ordinal));
        if self.epochs.last().is_none_or(|&(_, last)| last != epoch) {
            self.epochs.push((self.entries.len() as u32, epoch));
        }
        self.entries.push(entry);
    }

    /// Whether a block at this offset, of this ordinal, can come behind the last one.
    pub(crate) fn ends_before(&self, offset: u32, first_ordinal: u32) -> bool {
        self.entries.last().is_none_or(|last| last.offset < offset && last.first_ordinal < first_ordinal)
    }

    /// Finds the block that `ordinal` would lie in, and its epoch.
    pub(crate) fn find(&self, ordinal: u32) -> Option<(BlockEntry, u64)> {
        let i = self.entries.partition_point(|entry| entry.first_ordinal <= ordinal).checked_sub(1)?;
        let run = self.epochs.partition_point(|&(first, _)| first as usize <= i).checked_sub(1)?;
        Some((self.entries[i], self.epochs[run].1))
    }

    /// The block of this number, counted from 0, and its epoch.
    pub(crate) fn entry(&self, i: usize) -> Option<(BlockEntry, u64)> {
        let run = self.epochs.partition_point(|&(first, _)| first as usize <= i).checked_sub(1)?;
        Some((*self.entries.get(i)?, self.epochs[run].1))
    }

    /// The blocks, each with its epoch and the ordinal below which its records lie.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (BlockEntry, u64, u32)> {
        (0..self.entries.len()).map(|i| {
            let run = self.epochs.partition_point(|&(first, _)| first as usize <= i);
            let end = self.entries.get(i + 1).map_or(Address::MAX_ORDINALS, |next| next.first_ordinal);
            (self.entries[i], self.epochs[run - 1].1, end)
        })
    }

    /// Returns the latest end of the block at this offset: the begin of the next one; behind the last one `end`.
    pub(crate) fn limit(&self, offset: u32, end: u32) -> u32 {
        let next = self.entries.partition_point(|entry| entry.offset <= offset);
        self.entries.get(next).map_or(end, |next| next.offset)
    }

    /// The first `len` blocks.
    pub(crate) fn prefix(&self, len: usize) -> Self {
        let entries = self.entries[..len].to_vec();
        let epochs = self.epochs.iter().copied().filter(|&(first, _)| (first as usize) < len).collect();
        Self { entries, epochs }
    }

    /// At most how many bytes the encoded index takes once it has `more` blocks more.
    pub(crate) fn bound_bytes(&self, more: usize) -> usize {
        10 + (self.entries.len() + more) * Self::ENTRY_BYTES + (self.epochs.len() + 1) * Self::EPOCH_BYTES
    }

    /// Appends the encoded index: number of blocks, number of epochs, the epochs (first block, number), and the
    /// blocks (distance of offsets; distance of ordinals doubled, plus one for a commit).
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.entries.len() as u64);
        put_varint(out, self.epochs.len() as u64);
        for &(first, epoch) in &self.epochs {
            put_varint(out, first.into());
            out.extend_from_slice(&epoch.to_le_bytes());
        }
        let (mut offset, mut ordinal) = (0, 0);
        for entry in &self.entries {
            put_varint(out, u64::from(entry.offset - offset));
            put_varint(out, u64::from(entry.first_ordinal - ordinal) << 1 | u64::from(entry.is_commit));
            (offset, ordinal) = (entry.offset, entry.first_ordinal);
        }
    }

    /// Decodes an index that fills all of `bytes`; `None` if they do not hold one.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let count = cursor.varint_u32()? as usize;
        let epoch_count = cursor.varint_u32()? as usize;
        // Each takes two bytes or more, and each block an ordinal of its own: what is allocated is bounded by what is there,
        // and by what a segment can hold.
        let too_many = count > Address::MAX_ORDINALS as usize || epoch_count > count;
        if too_many || count.checked_add(epoch_count)? > cursor.remaining() / 2 {
            return None;
        }
        let mut epochs: Vec<(u32, u64)> = Vec::with_capacity(epoch_count);
        for _ in 0..epoch_count {
            let (first, epoch) = (cursor.varint_u32()?, cursor.u64()?);
            let in_order = epochs.last().map_or(first == 0, |&(last, _)| last < first);
            if !in_order || first as usize >= count {
                return None;
            }
            epochs.push((first, epoch));
        }
        let mut entries: Vec<BlockEntry> = Vec::with_capacity(count);
        let (mut offset, mut ordinal) = (0u32, 0u32);
        for i in 0..count {
            let ahead = cursor.varint_u32()?;
            let ordinals = cursor.varint_u32()?;
            if ahead == 0 || (i > 0 && ordinals >> 1 == 0) {
                return None;
            }
            offset = offset.checked_add(ahead)?;
            ordinal = ordinal.checked_add(ordinals >> 1).filter(|&o| o < Address::MAX_ORDINALS)?;
            entries.push(BlockEntry { offset, first_ordinal: ordinal, is_commit: ordinals & 1 == 1 });
        }
        (cursor.remaining() == 0 && epochs.is_empty() == entries.is_empty())
            .then_some(Self { entries, epochs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::default();
        for i in 0..100u32 {
            let entry = BlockEntry { offset: 512 + i * 700, first_ordinal: i * 9, is_commit: i % 5 == 4 };
            index.push(entry, u64::from(i / 30 + 1));
        }
        index
    }

    #[test]
    fn finds_the_block_and_the_epoch_of_an_ordinal() {
        let index = index();
        for ordinal in 0..1000u32 {
            let (entry, epoch) = index.find(ordinal).unwrap();
            let i = (ordinal / 9).min(99);
            assert_eq!((entry.offset, epoch), (512 + i * 700, u64::from(i / 30 + 1)));
        }
        assert_eq!(Index::default().find(0), None);
        assert_eq!(index.prefix(31).find(900).unwrap().1, 2);
        assert_eq!(index.prefix(30).find(900).unwrap().1, 1);
    }

    #[test]
    fn comes_back_within_its_bound() {
        for len in 0..=100 {
            let index = index().prefix(len);
            let mut bytes = Vec::new();
            index.encode(&mut bytes);
            assert!(bytes.len() <= index.bound_bytes(0));
            assert_eq!(Index::decode(&bytes), Some(index));
            assert!((0..bytes.len()).all(|len| Index::decode(&bytes[..len]).is_none()));
        }
    }

    #[test]
    fn counts_beyond_the_bytes_are_refused() {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, u32::MAX.into());
        put_varint(&mut bytes, u32::MAX.into());
        assert_eq!(Index::decode(&bytes), None);
    }
}
