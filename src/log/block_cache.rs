//! Decoded blocks, the recently used ones, bounded by their bytes.
//!
//! Sixteen shards, each a map and a clock: a hit sets a bit, and the hand that looks for room passes over blocks
//! whose bit is set, clearing it. Nothing is decoded, and nothing large freed, under a shard's lock.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use super::block::RecordBlock;
use super::format::MAX_SEGMENT_BYTES;
use super::manifest::SegmentEntry;
use crate::record::Address;
use crate::sync::Mutex;

const SHARDS: usize = 16;

/// A bounded cache of decoded blocks.
pub(crate) struct BlockCache {
    shards: [Mutex<Shard>; SHARDS],
    shard_bytes: usize,
}

#[derive(Default)]
struct Shard {
    slots: HashMap<u64, usize, BuildHasherDefault<KeyHasher>>,
    clock: Vec<Slot>,
    hand: usize,
    bytes: usize,
}

struct Slot {
    key: u64,
    bytes: usize,
    used: bool,
    block: Arc<RecordBlock>,
}

/// Hashes the keys of blocks, which are far from random: both halves of a product, so that all bits reach all bits. The
/// keys of a shard agree in the highest bits of the lower half, which a map tells entries apart by: they go elsewhere.
#[derive(Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    #[inline]
    fn write_u64(&mut self, key: u64) {
        let product = u128::from(key) * u128::from(MULTIPLIER);
        self.0 = ((product >> 64) as u64 ^ product as u64).rotate_left(24);
    }

    /// Not called: a key is a `u64`.
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_u64(self.0 << 8 ^ u64::from(byte)));
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

/// The fractional part of the golden ratio, as 64 bits.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl BlockCache {
    /// Makes a cache of up to `bytes`; 0 keeps nothing.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { shards: Default::default(), shard_bytes: bytes / SHARDS }
    }

    fn shard(&self, key: u64) -> &Mutex<Shard> {
        // The offsets of blocks are far from random: take bits that all of them reach.
        let mixed = key.wrapping_mul(MULTIPLIER);
        &self.shards[(mixed >> 60) as usize % SHARDS]
    }

    /// 23 bits of the segment's number, 10 of its generation, 31 of the offset. A block that is still in use when the
    /// generations have come round to its own again cannot be told from a younger one; it would take 1024 compactions.
    fn key(segment: SegmentEntry, offset: u32) -> u64 {
        const _: () = assert!(Address::MAX_SEGMENTS <= 1 << 23 && MAX_SEGMENT_BYTES <= 1 << 31);
        u64::from(segment.number) << 41 | u64::from(segment.generation % 1024) << 31 | u64::from(offset)
    }

    /// Returns the block, if it is there.
    pub(crate) fn get(&self, segment: SegmentEntry, offset: u32) -> Option<Arc<RecordBlock>> {
        let key = Self::key(segment, offset);
        let mut shard = self.shard(key).lock();
        let i = *shard.slots.get(&key)?;
        let slot = &mut shard.clock[i];
        slot.used = true;
        Some(Arc::clone(&slot.block))
    }

    /// Keeps a block, for which others make room; false: it is larger than a shard, and was not kept.
    pub(crate) fn insert(&self, segment: SegmentEntry, offset: u32, block: Arc<RecordBlock>) -> bool {
        let bytes = block.memory_bytes();
        if bytes > self.shard_bytes {
            return false;
        }
        let key = Self::key(segment, offset);
        let mut evicted = Vec::new();
        let mut shard = self.shard(key).lock();
        if shard.slots.contains_key(&key) {
            return true;
        }
        while shard.bytes + bytes > self.shard_bytes {
            evicted.push(shard.evict());
        }
        let slot = shard.clock.len();
        shard.clock.push(Slot { key, bytes, used: false, block });
        shard.slots.insert(key, slot);
        shard.bytes += bytes;
        drop(shard);
        drop(evicted);
        true
    }
}

impl Shard {
    /// Takes out the first block from the hand on that was not used since the hand last passed.
    fn evict(&mut self) -> Slot {
        loop {
            if self.hand >= self.clock.len() {
                self.hand = 0;
            }
            let slot = &mut self.clock[self.hand];
            if !std::mem::take(&mut slot.used) {
                break;
            }
            self.hand += 1;
        }
        let slot = self.clock.swap_remove(self.hand);
        self.slots.remove(&slot.key);
        if let Some(moved) = self.clock.get(self.hand) {
            self.slots.insert(moved.key, self.hand);
        }
        self.bytes -= slot.bytes;
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::block::BlockBuilder;
    use crate::log::compression::Compressor;
    use crate::log::file_region::FileRegion;
    use crate::log::format::Place;
    use crate::log::options::Compression;
    use crate::record::{RecordHead, RecordKind};
    use crate::storage::{MemoryStorage, Storage};

    fn block() -> Arc<RecordBlock> {
        let mut builder = BlockBuilder::new(8192);
        let head = RecordHead { kind: RecordKind::Leaf, delta: false };
        builder.push(Address::new(0, 0), head, &[], &[1; 1000]);
        let place = Place { store_id: 1, segment: 0, offset: 0 };
        let mut bytes = Vec::new();
        builder.finish(&mut bytes, place, 1, &mut Compressor::new(Compression::None));
        let file = MemoryStorage::new().create("a", 0).unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        let region = FileRegion::new(file.map(bytes.len() as u64).unwrap(), "a".into());
        Arc::new(RecordBlock::read(&region, place).unwrap().1)
    }

    fn segment(number: u32, generation: u32) -> SegmentEntry {
        SegmentEntry { number, generation, len_bytes: 8192, index_offset: 0 }
    }

    #[test]
    fn stays_within_its_bytes_and_keeps_what_is_used() {
        let block = block();
        let cache = BlockCache::new(SHARDS * 10 * block.memory_bytes());
        cache.insert(segment(0, 0), 512, Arc::clone(&block));
        for i in 1..2000 {
            assert!(cache.get(segment(0, 0), 512).is_some(), "evicted after {i} although used");
            cache.insert(segment(0, 0), 512 + i * 8192, Arc::clone(&block));
        }
        for shard in &cache.shards {
            let shard = shard.lock();
            assert_eq!(shard.clock.len(), 10);
            assert_eq!(shard.slots.len(), 10);
            assert!(shard.bytes <= cache.shard_bytes);
            assert!(shard.clock.iter().enumerate().all(|(i, slot)| shard.slots[&slot.key] == i));
        }
        assert!(cache.get(segment(1, 0), 512).is_none());
        assert!(cache.get(segment(0, 1), 512).is_none());
    }

    #[test]
    fn what_is_larger_than_a_shard_is_not_kept() {
        let cache = BlockCache::new(100);
        assert!(!cache.insert(segment(0, 0), 512, block()));
        assert!(cache.get(segment(0, 0), 512).is_none());
    }
}
