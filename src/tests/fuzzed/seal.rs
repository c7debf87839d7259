//! Makes the checksums of a store right again after it was damaged, so that what lies behind them is reached:
//! the byte tables of `docs/format.md`, written once more.

use perennial::storage::{MemoryStorage, Storage};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::stores::{contents, names, replace};

const SECTOR_BYTES: usize = 512;
const BLOCK_HEADER_BYTES: usize = 32;
const RECORDS: u8 = 1;
const COMMIT: u8 = 2;

/// Where the checksums of a whole store are: for each segment the offsets of its blocks.
pub struct Seals {
    segments: Vec<(String, Vec<usize>)>,
}

impl Seals {
    /// Finds them.
    pub fn of(storage: &MemoryStorage) -> Self {
        let names = names(storage).into_iter().filter(|name| name.ends_with(".segment"));
        let Some(store) = store_id(storage) else { return Self { segments: Vec::new() } };
        let segments = names.map(|name| {
            let bytes = contents(storage, &name);
            let blocks = blocks(&bytes, store ^ place(&name));
            (name, blocks)
        });
        Self { segments: segments.collect() }
    }

    /// Number of segments, and of the blocks of one of them; where one of those lies.
    pub fn block(&self, segment: u8, block: u8) -> Option<(&str, usize)> {
        let (name, blocks) = self.segments.get(usize::from(segment) % self.segments.len().max(1))?;
        Some((name, *blocks.get(usize::from(block) % blocks.len().max(1))?))
    }

    /// Makes them right, whatever the bytes now are, as far as what they cover is still within its file.
    pub fn renew(&self, storage: &MemoryStorage) {
        let Some(store) = store_id(storage) else { return };
        for (name, blocks) in &self.segments {
            if storage.open(name).is_err() {
                continue;
            }
            let mut bytes = contents(storage, name);
            if bytes.len() >= 40 {
                let sum = xxh3_64(&bytes[..32]);
                put(&mut bytes, 32, sum);
            }
            let mut batch = Vec::new();
            for &at in blocks {
                let Some(end) = end(&bytes, at) else { continue };
                let kind = bytes[at + 8];
                if kind == COMMIT && bytes[at + 9] == 0 && name.ends_with("-0.segment") {
                    renew_batch(&mut bytes[at + BLOCK_HEADER_BYTES..end], &batch);
                }
                let sum = xxh3_64_with_seed(&bytes[at + 8..end], store ^ place(name) ^ at as u64);
                put(&mut bytes, at, sum);
                if kind == RECORDS {
                    batch.push(sum);
                }
            }
            replace(storage, name, &bytes);
        }
        let mut manifest = contents(storage, "MANIFEST");
        let second = manifest.len() / 2;
        for slot in [0, second] {
            let body_bytes =
                manifest.get(slot + 12..slot + 16).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap()));
            let body = body_bytes.and_then(|len| manifest.get(slot + 48..)?.get(..len as usize));
            if let Some(sum) = body.map(|body| xxh3_64_with_seed(body, xxh3_64(&manifest[slot..slot + 40]))) {
                put(&mut manifest, slot + 40, sum);
            }
        }
        replace(storage, "MANIFEST", &manifest);
    }
}

fn store_id(storage: &MemoryStorage) -> Option<u64> {
    storage.open("MANIFEST").ok()?;
    let manifest = contents(storage, "MANIFEST");
    Some(u64::from_le_bytes(manifest.get(16..24)?.try_into().ok()?))
}

/// What the checksum of a block at offset 0 of this segment is seeded with, but for the store.
fn place(name: &str) -> u64 {
    name[..7].parse::<u64>().unwrap_or(0) << 32
}

fn put(bytes: &mut [u8], at: usize, sum: u64) {
    bytes[at..at + 8].copy_from_slice(&sum.to_le_bytes());
}

/// Where the block at an offset ends, as its header says, if the file goes so far.
fn end(bytes: &[u8], at: usize) -> Option<usize> {
    let stored: [u8; 4] = bytes.get(at + 12..at + 16)?.try_into().ok()?;
    let end = (at + BLOCK_HEADER_BYTES).checked_add(u32::from_le_bytes(stored) as usize)?;
    (end <= bytes.len()).then_some(end)
}

/// The offsets of the blocks of a whole segment: one behind the other, or at the next sector.
fn blocks(bytes: &[u8], seed: u64) -> Vec<usize> {
    let (mut found, mut at) = (Vec::new(), SECTOR_BYTES);
    while at + BLOCK_HEADER_BYTES <= bytes.len() {
        let sum = bytes[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or(0);
        let whole =
            end(bytes, at).filter(|&end| xxh3_64_with_seed(&bytes[at + 8..end], seed ^ at as u64) == sum);
        match whole {
            Some(end) => {
                found.push(at);
                at = end;
            }
            None => at = (at + 1).next_multiple_of(SECTOR_BYTES),
        }
    }
    found
}

/// Makes the checksum right that a commit tells of its batch: of as many of the blocks before it as it says.
fn renew_batch(commit: &mut [u8], blocks_before: &[u64]) {
    let mut at = 0;
    let told = (|| {
        let mut varint = |skip: u64| -> Option<u64> {
            at += usize::try_from(skip).ok()?;
            let (mut value, mut shift) = (0, 0);
            loop {
                let byte = *commit.get(at)?;
                at += 1;
                value |= u64::from(byte & 0x7f).checked_shl(shift)?;
                shift += 7;
                if byte < 0x80 {
                    return Some(value);
                }
            }
        };
        // Id, time, parent; label; floor, depth.
        (0..3).try_for_each(|_| varint(0).map(drop))?;
        let label = varint(0)?;
        varint(label.saturating_sub(1))?;
        varint(0)?;
        for _link in 0..2 {
            if varint(0)? > 0 {
                varint(0)?;
                // An address in an earlier segment takes two numbers.
                if varint(0)? % 2 == 1 {
                    varint(0)?;
                }
            }
        }
        varint(0)?;
        varint(0)
    })();
    let Some(blocks) = told.and_then(|blocks| blocks_before.len().checked_sub(blocks as usize)) else {
        return;
    };
    if commit.len() >= at + 8 {
        let chain = |sum, block: &u64| xxh3_64_with_seed(&block.to_le_bytes(), sum);
        put(commit, at, blocks_before[blocks..].iter().fold(0, chain));
    }
}
