//! A build without Zstandard refuses what needs it, by name, and takes none of it for damage.

use std::path::Path;
use std::sync::Arc;

use super::golden::{World, golden, kept};
use crate::HashMap;
use crate::error::{Error, Result};
use crate::log::block::{BlockHeader, BlockKind, is_whole};
use crate::log::compression::Codec;
use crate::log::format::Place;
use crate::retention::keep_last;
use crate::storage::{MemoryStorage, Storage};
use crate::store::{CheckpointId, Compression, Location, Options, Store};

fn names_the_feature<T>(result: Result<T>) -> bool {
    match result {
        Err(error @ Error::MissingFeature { feature: "zstd", .. }) => {
            error.to_string().contains("features = [\"zstd\"]")
        }
        Err(error) => panic!("{error}"),
        Ok(_) => false,
    }
}

/// Name and bytes of every file.
fn files(storage: &MemoryStorage) -> Vec<(String, Vec<u8>)> {
    let bytes = |name: &str| {
        let file = storage.open(name).unwrap();
        let len = file.len_bytes().unwrap();
        file.map(len).unwrap().bytes(0..len).unwrap().into_owned()
    };
    storage.list().unwrap().into_iter().map(|name| (name.clone(), bytes(&name))).collect()
}

#[test]
fn the_choice_of_zstandard_is_refused_before_anything_is_written() {
    let storage = MemoryStorage::new();
    for options in [Options::new(), Options::new().read_only(true)] {
        let options = options.compression(Compression::Zstd);
        assert!(names_the_feature(options.open_storage(Arc::new(storage.clone()))));
    }
    assert!(storage.list().unwrap().is_empty());
}

#[test]
fn blocks_of_zstandard_are_refused_by_name_and_are_no_damage() {
    let store = Options::new().open_storage(Arc::new(golden())).unwrap();
    // Compaction wrote with Zstandard what all of them share.
    kept().into_iter().for_each(|tick| assert!(names_the_feature(restore(&store, tick)), "{tick}"));
    // What cannot be looked at is neither whole nor damaged.
    assert!(names_the_feature(store.verify()));
    store.scrub_step(1 << 20);
    let scrubbed = store.stats().scrubbed;
    assert_eq!((scrubbed.damaged, scrubbed.damage.len()), (0, 0));
    assert!(scrubbed.unreadable.unwrap().contains("`zstd`"));
}

/// All of a checkpoint, or the first error.
fn restore(store: &Store, tick: u64) -> Result<World> {
    let world: World = store.restore(CheckpointId(tick))?;
    world.units.load_all()?;
    world.scores.load_all()?;
    world.log.load_all()?;
    world.seen.load_all()?;
    world.marks.load_all()?;
    for kind in world.units.values() {
        if let super::golden::Kind::Holding(items) = kind {
            items.load_all()?;
        }
    }
    Ok(world)
}

#[test]
fn what_is_refused_is_neither_cut_nor_collected_nor_left_behind() {
    let storage = golden();
    let store = Options::new().open_storage(Arc::new(storage.clone())).unwrap();
    let fresh: HashMap<u32, u32> = (0..100).map(|n| (n, n)).collect();
    store.checkpoint(&fresh).unwrap();
    assert_eq!(store.latest::<HashMap<u32, u32>>().unwrap(), Some(fresh));
    // A pass that would have to follow what it cannot read leaves every segment where it is.
    let before = files(&storage).len();
    store.retain(&keep_last(8)).unwrap();
    if store.compact().is_err() {
        assert_eq!(files(&storage).len(), before);
    }
    drop(store);
    let (from, to) = (Arc::new(golden()), Arc::new(MemoryStorage::new()));
    assert!(names_the_feature(Store::salvage(
        Location::storage(from, "<old>"),
        Location::storage(to, Path::new("new"))
    )));
}

/// Says in the header of the newest commit that it is of Zstandard, and that its bytes are right.
fn claim_zstandard(storage: &MemoryStorage) {
    const SEGMENT: &str = "0000000-0.segment";
    let (_, bytes) = files(storage).into_iter().find(|(name, _)| name == SEGMENT).unwrap();
    let store_id = u64::from_le_bytes(*bytes[24..].first_chunk().unwrap());
    let mut commits = (512..bytes.len()).filter_map(|at| {
        let header = BlockHeader::parse(&bytes[at..])?;
        let place = Place { store_id, segment: 0, offset: at as u32 };
        let block = bytes.get(at..at + header.len_bytes() as usize)?;
        (header.kind == BlockKind::Commit && is_whole(block, place, &header))
            .then_some((place, block.to_vec()))
    });
    let (place, mut block) = commits.next_back().unwrap();
    block[9] = Codec::Zstd.to_byte();
    let checksum = place.checksum(&block[8..]);
    block[..8].copy_from_slice(&checksum.to_le_bytes());
    storage.open_writable(SEGMENT).unwrap().write_all_at(&block, place.offset.into()).unwrap();
}

#[test]
fn a_recovery_that_meets_a_commit_of_zstandard_cuts_nothing() {
    let storage = MemoryStorage::new();
    let store = Options::new().segment_bytes(64 << 10).open_storage(Arc::new(storage.clone())).unwrap();
    (0..3u32).for_each(|n| _ = store.checkpoint(&HashMap::<u32, u32>::from([(n, n)])).unwrap());
    // As if the process were killed here.
    let killed = storage.copy();
    assert!(Options::new().open_storage(Arc::new(killed.copy())).is_ok());
    claim_zstandard(&killed);
    let before = files(&killed);
    assert!(names_the_feature(Options::new().open_storage(Arc::new(killed.clone()))));
    assert!(names_the_feature(Options::new().read_only(true).open_storage(Arc::new(killed.clone()))));
    assert_eq!(files(&killed), before);
}
