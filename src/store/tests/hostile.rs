//! Files made by somebody who means harm: whatever lengths they claim, the work is linear in the bytes that are there.
//!
//! Work is counted, not timed: see [`work`](crate::log::work).

use std::path::Path;
use std::sync::Arc;

use crate::HashMap;
use crate::error::Error;
use crate::log::block::{self, BlockBuilder, BlockFacts, BlockKind, HEADER_BYTES};
use crate::log::commit::{BatchPart, BatchSize};
use crate::log::commit::{Commit, Root};
use crate::log::compression::Compressor;
use crate::log::directory::{Directory, MANIFEST, segment_name};
use crate::log::fields::Fields;
use crate::log::format::{Place, chain, put_varint, sector_up};
use crate::log::index::{BlockEntry, Index};
use crate::log::manifest::{CommitRef, Manifest, Point, SegmentEntry};
use crate::log::options::Compression;
use crate::log::record;
use crate::log::segment::{self, FIRST_BATCH};
use crate::log::slots::Slots;
use crate::log::work::{self, Work};
use crate::record::{Address, RecordHead, RecordKind};
use crate::storage::{Fate, MemoryStorage, SimStorage, Storage};
use crate::store::Location;
use crate::store::{Options, SalvageReport, Store};

const STORE: u64 = 77;
const EPOCH: u64 = 0x0123_4567_89ab_cdef;
const LEAF: RecordHead = RecordHead { kind: RecordKind::Leaf, delta: false };
const SHAPE: RecordHead = RecordHead { kind: RecordKind::Schema, delta: false };

/// A store of one segment, made block by block.
struct Forge {
    bytes: Vec<u8>,
    index: Index,
    ordinal: u32,
    newest: Option<CommitRef>,
    /// The batch in progress.
    part: BatchPart,
}

impl Forge {
    fn new() -> Self {
        Self {
            bytes: vec![0; FIRST_BATCH as usize],
            index: Index::default(),
            ordinal: 0,
            newest: None,
            part: BatchPart { offset: FIRST_BATCH, ..BatchPart::default() },
        }
    }

    fn place(&self) -> Place {
        Place { store_id: STORE, segment: 0, offset: self.bytes.len() as u32 }
    }

    fn block(&mut self, kind: BlockKind, records: u16, ordinals: u32, raw: &[u8], compression: Compression) {
        let facts = BlockFacts { kind, records, first_ordinal: self.ordinal, epoch: EPOCH };
        let place = self.place();
        let sum = block::write(&mut self.bytes, place, facts, raw, &mut Compressor::new(compression));
        self.part.blocks += 1;
        self.part.checksum = chain(self.part.checksum, sum);
        let is_commit = kind == BlockKind::Commit;
        self.index.push(BlockEntry { offset: place.offset, first_ordinal: self.ordinal, is_commit }, EPOCH);
        self.ordinal += ordinals;
    }

    /// Records one behind the other, with these payloads.
    fn records(&mut self, kind: BlockKind, head: RecordHead, payloads: &[&[u8]], compression: Compression) {
        let (mut raw, mut records) = (Vec::new(), Vec::new());
        for (i, payload) in payloads.iter().enumerate() {
            let before = records.len();
            record::encode(&mut records, Address::new(0, self.ordinal + i as u32), head, &[], payload);
            put_varint(&mut raw, (records.len() - before) as u64);
            if kind == BlockKind::Sparse {
                put_varint(&mut raw, 0);
            }
        }
        raw.append(&mut records);
        self.block(kind, payloads.len() as u16, payloads.len() as u32, &raw, compression);
    }

    /// A commit of a state that refers to these records.
    fn commit(&mut self, id: u64, refs: impl Iterator<Item = u32>) {
        let address = Address::new(0, self.ordinal);
        let commit = Commit {
            id,
            address,
            time_micros: id,
            parent: None,
            label: None,
            durable_floor: 0,
            depth: 0,
            previous: None,
            jump: None,
            part: self.part,
            size: BatchSize::default(),
            roots: vec![Root {
                name: "state".into(),
                shape: Address::new(0, 0),
                refs: refs.map(|ordinal| Address::new(0, ordinal)).collect(),
                payload: Vec::new(),
            }],
            fields: Fields::default(),
            written_bytes: 0,
        };
        self.block(BlockKind::Commit, 1, 1, &commit.encode(), Compression::None);
        self.newest = Some(CommitRef { id, address });
        self.bytes.resize(sector_up(self.bytes.len() as u32) as usize, 0);
        self.part = BatchPart { offset: self.bytes.len() as u32, ..BatchPart::default() };
    }

    /// The directory, its last bytes as they are; with a manifest of what was made, or without one.
    fn finish(mut self, tail: &[u8], has_manifest: bool) -> MemoryStorage {
        let point = Point { offset: self.bytes.len() as u32, ordinal: self.ordinal };
        self.bytes.extend_from_slice(tail);
        self.bytes.resize(sector_up(self.bytes.len() as u32) as usize, 0);
        let entry =
            SegmentEntry { number: 0, generation: 0, len_bytes: self.bytes.len() as u32, index_offset: 0 };
        let header = segment::header(entry, STORE);
        self.bytes[..header.len()].copy_from_slice(&header);
        let storage = MemoryStorage::new();
        storage.create(&segment_name(0, 0), 0).unwrap().write_all_at(&self.bytes, 0).unwrap();
        if has_manifest {
            let manifest = Manifest {
                clean: false,
                next_commit_id: self.newest.map_or(1, |newest| newest.id + 1),
                newest: self.newest,
                segments: vec![entry],
                point,
                index: self.index,
                ..Manifest::of_new_store(STORE, EPOCH)
            };
            let directory = Directory::new(Arc::new(storage.clone()), Path::new("store"));
            let _ = Slots::create(&directory, &manifest).unwrap();
        }
        storage
    }
}

/// So many bytes of headers, one behind the other, each of which claims all that is behind it. None of them is right.
fn headers(bytes: usize, kind: BlockKind, claimed: impl Fn(usize) -> usize) -> Vec<u8> {
    let mut out = Vec::new();
    while out.len() + 2 * HEADER_BYTES as usize <= bytes {
        let stored = claimed(bytes - out.len() - HEADER_BYTES as usize) as u32;
        out.extend_from_slice(&[0xee; 8]);
        out.extend_from_slice(&[kind.to_byte(), 0, 1, 0]);
        out.extend_from_slice(&stored.to_le_bytes());
        out.extend_from_slice(&stored.to_le_bytes());
        out.extend_from_slice(&500u32.to_le_bytes());
        out.extend_from_slice(&EPOCH.to_le_bytes());
    }
    out
}

fn open(storage: &MemoryStorage) -> Result<Store, Error> {
    Options::new().create(false).open_storage(Arc::new(storage.clone()))
}

/// Salvages; what that took is compared with the length of the files.
fn salvage(storage: &MemoryStorage) -> (SalvageReport, Work) {
    work::take();
    let to = Arc::new(MemoryStorage::new());
    let salvaged = Store::salvage(
        Location::storage(Arc::new(storage.clone()), "<old>"),
        Location::storage(to.clone(), Path::new("new")),
    )
    .unwrap();
    let done = work::take();
    let new = Options::new().open_storage(to).unwrap();
    assert!(new.verify().unwrap().is_clean());
    assert_eq!(new.checkpoints().count(), salvaged.checkpoints.len());
    (salvaged, done)
}

/// A small whole checkpoint.
fn small() -> Forge {
    let mut forge = Forge::new();
    forge.records(BlockKind::Records, SHAPE, &[b"u8\n"], Compression::None);
    forge.records(BlockKind::Records, LEAF, &[b"a", b"b"], Compression::None);
    forge.commit(1, 1..3);
    forge
}

const TAIL_BYTES: usize = 1_600_000;

#[test]
fn a_salvage_hashes_a_bounded_number_of_bytes_whatever_headers_claim() {
    let lengths: [&dyn Fn(usize) -> usize; 3] = [&|rest| rest, &|rest| rest.min(4000), &|rest| rest / 3];
    for kind in [BlockKind::Records, BlockKind::Commit, BlockKind::Sparse] {
        for claimed in lengths {
            let storage = small().finish(&headers(TAIL_BYTES, kind, claimed), false);
            let (salvaged, done) = salvage(&storage);
            assert_eq!(salvaged.checkpoints.len(), 1);
            assert!(salvaged.damage.len() > 1, "{:?}", salvaged.damage);
            assert!(done.hashed_bytes < 30 * TAIL_BYTES as u64, "{kind:?}: {done:?}");
        }
    }
}

#[test]
fn a_salvage_finds_ordinary_blocks_between_headers_that_claim_everything() {
    let mut forge = small();
    forge.bytes.extend(headers(TAIL_BYTES / 2, BlockKind::Records, |rest| rest));
    forge.bytes.resize(sector_up(forge.bytes.len() as u32) as usize, 0);
    forge.records(BlockKind::Records, LEAF, &[b"c"], Compression::None);
    forge.commit(2, 1..3);
    let storage = forge.finish(&headers(TAIL_BYTES / 2, BlockKind::Records, |rest| rest), false);
    let (salvaged, done) = salvage(&storage);
    assert_eq!(salvaged.checkpoints.len(), 2, "{salvaged:?}");
    assert!(done.hashed_bytes < 30 * TAIL_BYTES as u64, "{done:?}");
}

#[test]
fn an_opening_hashes_a_bounded_number_of_bytes_whatever_commits_claim_behind_the_log() {
    let storage = small().finish(&headers(TAIL_BYTES, BlockKind::Commit, |rest| rest), true);
    work::take();
    let Err(error) = open(&storage) else { panic!("no crash leaves such a tail") };
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    let done = work::take();
    assert!(done.hashed_bytes < 30 * TAIL_BYTES as u64, "{done:?}");
    // A few, such as torn writes leave, are cut.
    let storage = small().finish(&headers(20 * HEADER_BYTES as usize, BlockKind::Commit, |_| 16), true);
    assert_eq!(open(&storage).unwrap().checkpoints().count(), 1);
}

#[test]
fn an_opening_hashes_a_bounded_number_of_bytes_of_a_segment_that_is_not_named() {
    let storage = small().finish(&[], true);
    let header = headers(2 * HEADER_BYTES as usize, BlockKind::Records, |_| TAIL_BYTES);
    let mut bytes = vec![0; 2 * TAIL_BYTES];
    bytes.chunks_exact_mut(512).for_each(|sector| sector[..header.len()].copy_from_slice(&header));
    storage.create(&segment_name(1, 0), 0).unwrap().write_all_at(&bytes, 0).unwrap();
    work::take();
    assert!(matches!(open(&storage), Err(Error::NotAStore { .. })));
    let done = work::take();
    assert!(done.hashed_bytes < 30 * 2 * TAIL_BYTES as u64, "{done:?}");
}

/// A store whose index names blocks that all claim the rest of the segment; their checksums are right or not.
fn overlapping(right: bool) -> MemoryStorage {
    let mut forge = small();
    let from = forge.bytes.len();
    forge.bytes.extend(headers(200_000, BlockKind::Records, |rest| rest));
    let end = forge.bytes.len();
    let offsets: Vec<_> = (from..end).step_by(HEADER_BYTES as usize).collect();
    for &offset in offsets.iter().rev().filter(|_| right) {
        let place = Place { offset: offset as u32, ..forge.place() };
        let sum = place.checksum(&forge.bytes[offset + 8..end]);
        forge.bytes[offset..offset + 8].copy_from_slice(&sum.to_le_bytes());
    }
    for offset in offsets {
        let entry = BlockEntry { offset: offset as u32, first_ordinal: forge.ordinal, is_commit: false };
        forge.index.push(entry, EPOCH);
        forge.ordinal += 1;
    }
    forge.bytes.resize(sector_up(end as u32) as usize, 0);
    forge.finish(&[], true)
}

#[test]
fn blocks_that_overlap_are_damage_and_each_byte_is_hashed_a_few_times_only() {
    for right in [true, false] {
        let storage = overlapping(right);
        let bytes = 200_000 + 8192;
        let store = open(&storage).unwrap();
        work::take();
        let verified = store.verify().unwrap();
        assert!(verified.damaged > 6000, "{}", verified.damaged);
        let done = work::take();
        assert!(done.hashed_bytes < 4 * bytes, "{done:?}");
        let refused = store.backup(Location::storage(Arc::new(MemoryStorage::new()), Path::new("copy")));
        assert!(matches!(refused, Err(Error::Corrupt { .. })));
        assert!(work::take().hashed_bytes < 4 * bytes);
        drop(store);
        let (salvaged, done) = salvage(&storage);
        assert_eq!(salvaged.checkpoints.len(), 1);
        assert!(done.hashed_bytes < 30 * bytes, "{done:?}");
    }
}

#[cfg(feature = "zstd")]
/// Two blocks of many small records before a large one each, as compaction once made them.
fn bombs(raw_bytes: usize) -> (MemoryStorage, u64) {
    let mut forge = Forge::new();
    forge.records(BlockKind::Records, SHAPE, &[b"u8\n"], Compression::None);
    let large = vec![7; raw_bytes];
    let payloads: Vec<&[u8]> = (0..2047).map(|_| &b"a"[..]).chain([&large[..]]).collect();
    forge.records(BlockKind::Sparse, LEAF, &payloads, Compression::Zstd);
    forge.records(BlockKind::Sparse, LEAF, &payloads, Compression::Zstd);
    // Now one, now the other.
    forge.commit(1, (1..2048).flat_map(|ordinal| [ordinal, ordinal + 2048]).chain([2048]));
    (forge.finish(&[], true), 2 * (raw_bytes as u64 + 3 * 4096))
}

#[cfg(feature = "zstd")]
#[test]
fn a_salvage_unpacks_each_block_twice_however_many_records_refer_to_it() {
    let (storage, raw_bytes) = bombs(5 << 20);
    let (salvaged, done) = salvage(&storage);
    assert_eq!((salvaged.checkpoints.len(), salvaged.records), (1, 1 + 4095));
    // The records, and the commit, which is read three times.
    assert!(done.unpacked_bytes <= 2 * raw_bytes + 100_000, "{done:?} of {raw_bytes}");
    let store = open(&storage).unwrap();
    work::take();
    assert!(store.verify().unwrap().is_clean());
    assert!(work::take().unpacked_bytes <= raw_bytes + 100_000);
}

#[cfg(feature = "zstd")]
#[test]
fn a_block_that_is_read_record_by_record_is_unpacked_once_where_all_is_read() {
    let (storage, raw_bytes) = bombs(5 << 20);
    let store = open(&storage).unwrap();
    let opening = store.log.opening();
    use crate::record::RecordReader;
    let read = || (1..500).for_each(|ordinal| drop(opening.read(Address::new(0, ordinal)).unwrap()));
    work::take();
    let large = opening.keep_large();
    read();
    let done = work::take();
    assert!(done.unpacked_bytes <= raw_bytes / 2 + 100, "{done:?}");
    drop(large);
    // And given back.
    drop(opening.read(Address::new(0, 1)).unwrap());
    assert!(work::take().unpacked_bytes > 0);
}

#[cfg(feature = "zstd")]
#[test]
fn a_block_of_many_records_that_claims_more_than_any_writer_puts_into_one_is_not_unpacked() {
    let mut forge = Forge::new();
    forge.records(BlockKind::Records, SHAPE, &[b"u8\n"], Compression::None);
    let large = vec![7; 5 << 20];
    let payloads: Vec<&[u8]> = (0..4095).map(|_| &b"a"[..]).chain([&large[..]]).collect();
    forge.records(BlockKind::Records, LEAF, &payloads, Compression::Zstd);
    forge.commit(1, 1..4096);
    let storage = forge.finish(&[], true);
    let (salvaged, done) = salvage(&storage);
    assert_eq!((salvaged.checkpoints.len(), salvaged.lost.len()), (0, 1));
    assert!(done.unpacked_bytes < 100_000, "{done:?}");
    let store = open(&storage).unwrap();
    assert!(!store.verify().unwrap().is_clean());
    assert!(work::take().unpacked_bytes < 100_000);
}

#[test]
fn a_chain_of_branches_is_not_merged_again_and_again() {
    // Each of them a delta of the one before: its base, no change.
    let mut forge = small();
    let head = RecordHead { kind: RecordKind::Branch, delta: true };
    let mut builder = BlockBuilder::new(4096);
    for _ in 0..20_000 {
        let own = Address::new(0, forge.ordinal);
        builder.push(own, head, &[Address::new(0, forge.ordinal - 1)], &[1]);
        forge.ordinal += 1;
        if builder.is_full() {
            let place = forge.place();
            let (first_ordinal, _) =
                builder.finish(&mut forge.bytes, place, EPOCH, &mut Compressor::new(Compression::None));
            forge.index.push(BlockEntry { offset: place.offset, first_ordinal, is_commit: false }, EPOCH);
        }
    }
    let last = forge.index.len();
    assert!(last > 10);
    let newest = forge.ordinal - 2000;
    forge.commit(2, std::iter::once(newest));
    let storage = forge.finish(&[], true);
    let (salvaged, done) = salvage(&storage);
    assert_eq!(salvaged.checkpoints.len(), 1);
    assert!(done.hashed_bytes < 40 * 200_000, "{done:?}");
}

#[test]
fn a_commit_of_two_roots_of_one_name_is_none() {
    let root = || Root { name: "a".into(), shape: Address::new(0, 0), refs: Vec::new(), payload: Vec::new() };
    let mut forge = Forge::new();
    forge.records(BlockKind::Records, SHAPE, &[b"u8\n"], Compression::None);
    forge.commit(1, 0..0);
    let storage = forge.finish(&[], true);
    let commit = open(&storage).unwrap().log.latest().unwrap();
    let twice = Commit { roots: vec![root(), root()], ..(*commit).clone() };
    let mut forge = Forge::new();
    forge.records(BlockKind::Records, SHAPE, &[b"u8\n"], Compression::None);
    forge.newest = Some(CommitRef { id: 1, address: Address::new(0, 1) });
    forge.block(BlockKind::Commit, 1, 1, &twice.encode(), Compression::None);
    forge.bytes.resize(sector_up(forge.bytes.len() as u32) as usize, 0);
    assert!(matches!(open(&forge.finish(&[], true)), Err(Error::Corrupt { .. })));
}

#[test]
fn an_interrupted_salvage_is_no_store_and_the_next_one_completes_it() {
    let old = SimStorage::new();
    let store = Options::new().segment_bytes(8 << 10).open_storage(Arc::new(old.clone())).unwrap();
    let mut state: HashMap<u32, u32> = (0..500).map(|n| (n, n)).collect();
    for n in 0..6 {
        state.insert(n, 0);
        store.checkpoint(&state).unwrap();
    }
    store.close().unwrap();
    let whole = |to: &SimStorage| {
        let store = Options::new().open_storage(Arc::new(to.clone())).unwrap();
        assert_eq!(store.checkpoints().count(), 6);
        assert_eq!(store.latest::<HashMap<u32, u32>>().unwrap().unwrap(), state);
    };
    let salvage = |to: &SimStorage| {
        Store::salvage(
            Location::storage(Arc::new(old.clone()), "<old>"),
            Location::storage(Arc::new(to.clone()), Path::new("new")),
        )
    };
    let mut interrupted = 0;
    for operation in 0.. {
        let to = SimStorage::new();
        to.plant(operation, crate::storage::Fault::Refuse);
        let done = salvage(&to);
        if to.struck() == 0 {
            done.unwrap();
            whole(&to);
            break;
        }
        for fate in [Fate::Lands, Fate::Vanishes] {
            let left = to.crash_point().image(0, |_| fate);
            let names = left.list().unwrap();
            if names.iter().any(|name| name == MANIFEST) {
                whole(&left);
                continue;
            }
            interrupted += 1;
            let opened = Options::new().create(false).open_storage(Arc::new(left.clone()));
            let Err(error) = opened else { panic!("{names:?} opens after {operation} operations") };
            let says = error.to_string().contains("did not complete");
            assert!(says || names.len() <= 1, "{names:?}: {error}");
            salvage(&left).unwrap();
            whole(&left);
        }
    }
    assert!(interrupted > 20, "{interrupted}");
}

#[test]
fn what_is_not_an_unfinished_copy_is_never_cleared() {
    let old = small().finish(&[], true);
    let salvage = |to: &MemoryStorage| {
        Store::salvage(
            Location::storage(Arc::new(old.clone()), "<old>"),
            Location::storage(Arc::new(to.clone()), Path::new("new")),
        )
    };
    for foreign in [&["notes"][..], &["0000000-0.segment"], &[MANIFEST], &["UNFINISHED-MANIFEST", "notes"]] {
        let to = MemoryStorage::new();
        foreign.iter().for_each(|name| drop(to.create(name, 1).unwrap()));
        assert!(matches!(salvage(&to), Err(Error::NotAStore { .. })), "{foreign:?}");
        assert_eq!(to.list().unwrap().len(), foreign.len());
    }
    // Somebody else is at it.
    let to = MemoryStorage::new();
    drop(to.create("UNFINISHED-MANIFEST", 1).unwrap());
    let lock = to.lock("LOCK").unwrap();
    assert!(matches!(salvage(&to), Err(Error::Locked { .. })));
    drop(lock);
    salvage(&to).unwrap();
    assert!(open(&to).is_ok());
}
