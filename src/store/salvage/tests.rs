//! Salvage keeps what the old store said, and is all or nothing, whenever it is interrupted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::super::{CheckpointId, CheckpointOptions, Durability, Options, Store};
use super::SalvageReport;
use crate::HashMap;
use crate::error::Error;
use crate::log::directory::MANIFEST;
use crate::retention::keep_last;
use crate::storage::{SimStorage, Storage};
use crate::store::Location;

type State = HashMap<u32, u32>;

fn options() -> Options {
    Options::new().segment_bytes(16 << 10)
}

fn open(options: &Options, disk: &SimStorage) -> Store {
    options.open_storage(Arc::new(disk.clone())).unwrap()
}

fn salvage_into(disk: &SimStorage, to: &SimStorage) -> Result<SalvageReport, Error> {
    Store::salvage(
        Location::storage(Arc::new(disk.clone()), "<old>"),
        Location::storage(Arc::new(to.clone()), Path::new("new")),
    )
}

fn salvage(disk: &SimStorage) -> (SalvageReport, Store) {
    let to = SimStorage::new();
    let salvaged = salvage_into(disk, &to).unwrap();
    let new = open(&Options::new(), &to);
    assert!(new.verify().unwrap().is_clean());
    let mut found: Vec<_> = new.checkpoints().map(|made| made.unwrap().id).collect();
    found.reverse();
    assert_eq!(found, salvaged.checkpoints);
    (salvaged, new)
}

fn ids(ids: &[CheckpointId]) -> Vec<u64> {
    ids.iter().map(|id| id.0).collect()
}

fn lost(salvaged: &SalvageReport) -> Vec<u64> {
    salvaged.lost.iter().map(|(id, _)| id.0).collect()
}

fn state(n: u32) -> State {
    (0..50).map(|key| (key, key * n)).collect()
}

/// File and offset of the block of a commit.
fn place_of(store: &Store, id: u64) -> (String, usize) {
    let address = store.log.find(id).unwrap().address;
    let segment = store.log.opening().segment(address.segment()).unwrap();
    let (entry, _) = segment.find(address.ordinal()).unwrap();
    let name = super::segment_name(segment.number(), segment.entry.generation);
    (name, entry.offset as usize)
}

fn damage(disk: &SimStorage, (name, offset): &(String, usize)) {
    let mut bytes = disk.contents(name).unwrap();
    bytes[offset + 40] ^= 1;
    disk.set_contents(name, bytes);
}

#[test]
fn what_was_dropped_stays_away_and_the_nearest_one_stands_in_for_what_is_lost() {
    for (by_policy, is_closed) in [(true, true), (true, false), (false, true), (false, false)] {
        let mut disk = SimStorage::new();
        let options = if by_policy { options().keep(keep_last(2)) } else { options() };
        let store = open(&options, &disk);
        let mut places = Vec::new();
        for n in 1..=10 {
            store.checkpoint(&state(n)).unwrap();
            places.push(place_of(&store, n.into()));
        }
        if !by_policy {
            store.retain(&keep_last(2)).unwrap();
        }
        if is_closed {
            store.close().unwrap();
        } else {
            disk = disk.crash_point().killed();
            drop(store);
        }
        let (salvaged, new) = salvage(&disk);
        assert_eq!((ids(&salvaged.checkpoints), lost(&salvaged)), (vec![9, 10], vec![]), "{by_policy}");
        assert!(salvaged.revived.is_empty());
        assert_eq!(new.latest::<State>().unwrap(), Some(state(10)));
        // The nearest whole one before 9 comes back for it.
        damage(&disk, &places[8]);
        let (salvaged, new) = salvage(&disk);
        // Where no manifest lists what is kept, that 9 dropped 7 is lost with 9, and that 8 dropped 6 with 8.
        let is_listed = !by_policy || is_closed;
        let kept = if is_listed { vec![8, 10] } else { vec![7, 8, 10] };
        assert_eq!((ids(&salvaged.checkpoints), lost(&salvaged)), (kept, vec![9]));
        assert_eq!(ids(&salvaged.revived), [8]);
        assert_eq!(new.restore::<State>(CheckpointId(8)).unwrap(), state(8));
        // That one is damaged as well, and had been dropped: it is neither lost nor found.
        damage(&disk, &places[7]);
        let (salvaged, _) = salvage(&disk);
        let kept = if is_listed { vec![7, 10] } else { vec![6, 7, 10] };
        assert_eq!((ids(&salvaged.checkpoints), lost(&salvaged)), (kept, vec![9]));
        // Without a manifest, what the commits themselves dropped stays away.
        disk.remove(MANIFEST).unwrap();
        let (salvaged, _) = salvage(&disk);
        let kept = if by_policy { vec![6, 7, 10] } else { vec![1, 2, 3, 4, 5, 6, 7, 10] };
        assert_eq!(ids(&salvaged.checkpoints), kept);
    }
}

#[test]
fn a_copy_says_of_each_checkpoint_what_the_old_store_said() {
    let disk = SimStorage::new();
    let now = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let clock = Arc::clone(&now);
    let options = options().clock(move || {
        UNIX_EPOCH + Duration::from_secs(1_000_000 + clock.load(std::sync::atomic::Ordering::Relaxed))
    });
    let store = open(&options, &disk);
    // Pauses, and a clock that goes back: times in use are not to be had from the times.
    for (n, seconds) in [(1, 0), (2, 10), (3, 5000), (4, 20), (5, 90), (6, 90)] {
        now.store(seconds, std::sync::atomic::Ordering::Relaxed);
        let mut how = CheckpointOptions::new();
        if n % 2 == 0 {
            how = how.label(format!("before {n}")).parent(CheckpointId(u64::from(n) / 2));
        }
        store.commit().roots(&[("", &state(n))]).options(&how).write().unwrap();
    }
    let said = |store: &Store| {
        let said = |id| {
            let commit = store.log.find(id).unwrap();
            (id, commit.time_micros, commit.in_use_micros(), commit.parent, commit.label.clone())
        };
        (1..=6).map(said).collect::<Vec<_>>()
    };
    let before = said(&store);
    assert_ne!(before[5].2, Some(before[5].1));
    store.close().unwrap();
    assert_eq!(said(&salvage(&disk).1), before);
    // Also where the one before is lost, which they build upon.
    let store = open(&options, &disk);
    let place = place_of(&store, 3);
    store.close().unwrap();
    damage(&disk, &place);
    let (_, new) = salvage(&disk);
    for (id, time, in_use, ..) in before.iter().filter(|said| said.0 != 3) {
        let commit = new.log.find(*id).unwrap();
        assert_eq!((commit.time_micros, commit.in_use_micros()), (*time, *in_use));
    }
}

#[test]
fn no_id_is_used_again_after_a_salvage_whatever_was_lost() {
    for (is_closed, durability) in
        [(true, Durability::Sync), (false, Durability::Sync), (false, Durability::Buffered)]
    {
        for intact in [0, 5] {
            for has_manifest in [true, false] {
                let mut disk = SimStorage::new();
                let store = open(&options().durability(durability), &disk);
                let mut places = Vec::new();
                for n in 1..=40 {
                    let id = store.checkpoint(&n).unwrap().id;
                    places.push(place_of(&store, id.0));
                }
                // Given, and gone with the newest ones.
                if is_closed {
                    store.close().unwrap();
                } else {
                    disk = disk.crash_point().killed();
                    drop(store);
                }
                places[intact..].iter().for_each(|place| damage(&disk, place));
                if !has_manifest {
                    disk.remove(MANIFEST).unwrap();
                }
                let (salvaged, new) = salvage(&disk);
                assert_eq!(salvaged.checkpoints.len(), intact);
                let next = new.checkpoint(&7u32).unwrap().id;
                assert!(next.0 > 40, "{next:?}, closed: {is_closed}, {durability:?}, {has_manifest}");
            }
        }
    }
}

#[test]
fn either_slot_of_a_manifest_is_enough_and_both_are_not_needed() {
    let (disk, other) = (SimStorage::new(), SimStorage::new());
    for disk in [&disk, &other] {
        let store = open(&options(), disk);
        (1..=30).for_each(|n| drop(store.checkpoint(&state(n)).unwrap()));
        store.retain(&keep_last(20)).unwrap();
        store.close().unwrap();
    }
    let whole = disk.contents(MANIFEST).unwrap();
    let half = whole.len() / 2;
    let kept: Vec<u64> = (11..=30).collect();
    let expect = |bytes: Vec<u8>, kept: &[u64], damages: usize| {
        disk.set_contents(MANIFEST, bytes);
        let (salvaged, new) = salvage(&disk);
        assert_eq!((ids(&salvaged.checkpoints), lost(&salvaged)), (kept.to_vec(), vec![]));
        assert_eq!(salvaged.damage.len(), damages, "{:?}", salvaged.damage);
        assert!(new.checkpoint(&1u32).unwrap().id.0 > 30);
    };
    expect(whole.clone(), &kept, 0);
    for slot in [0, half] {
        let mut bytes = whole.clone();
        bytes[slot + 60] ^= 1;
        expect(bytes, &kept, 1);
    }
    // What `retain` dropped is known to the manifest alone.
    let all: Vec<u64> = (1..=30).collect();
    let mut bytes = whole.clone();
    [60, half + 60].iter().for_each(|&at| bytes[at] ^= 1);
    expect(bytes, &all, 1);
    let mut bytes = whole.clone();
    bytes[half..].copy_from_slice(&other.contents(MANIFEST).unwrap()[half..]);
    expect(bytes, &all, 1);
    expect(other.contents(MANIFEST).unwrap(), &all, 1);
}

#[test]
fn a_power_cut_or_a_kill_at_any_moment_leaves_no_store_or_all_of_it_and_the_next_salvage_completes_it() {
    let old = SimStorage::new();
    let store = open(&Options::new().segment_bytes(4 << 10), &old);
    (1..=3).for_each(|n| drop(store.checkpoint(&state(n)).unwrap()));
    store.close().unwrap();
    let whole = |to: &SimStorage, what: &str| {
        let new = open(&Options::new(), to);
        assert_eq!(new.checkpoints().count(), 3, "{what}");
        (1..=3).for_each(|n| assert_eq!(new.restore::<State>(CheckpointId(n.into())).unwrap(), state(n)));
        assert!(new.checkpoint(&7u32).unwrap().id.0 > 3);
    };
    // What the first one left is there when the second begins.
    let mut lefts = vec![SimStorage::new()];
    let (mut images, mut unfinished) = (0, 0);
    for round in 0..2 {
        for begun in std::mem::take(&mut lefts) {
            let to = begun.crash_point().killed();
            to.record(true);
            salvage_into(&old, &to).unwrap();
            for point in to.crash_points() {
                for seed in 0..if round == 0 { 3 } else { 1 } {
                    let left = if seed == 0 { point.killed() } else { point.random_image(seed) };
                    let what = format!("round {round}, operation {}, seed {seed}", point.operation());
                    images += 1;
                    if left.list().unwrap().iter().any(|name| name == MANIFEST) {
                        whole(&left, &what);
                        continue;
                    }
                    let opened = Options::new().create(false).open_storage(Arc::new(left.clone()));
                    assert!(matches!(opened, Err(Error::NotAStore { .. })), "{what}");
                    let has_segment = left.list().unwrap().iter().any(|name| name.ends_with(".segment"));
                    let says = opened.err().unwrap().to_string();
                    assert!(!has_segment || says.contains("did not complete"), "{what}: {says}");
                    unfinished += 1;
                    if round == 0 && seed == 1 && has_segment && lefts.len() < 2 {
                        lefts.push(left.crash_point().killed());
                    }
                    salvage_into(&old, &left).unwrap_or_else(|error| panic!("{what}: {error}"));
                    whole(&left, &what);
                }
            }
        }
    }
    println!("{images} images, {unfinished} of them no stores");
    assert!(unfinished > 50 && images - unfinished > 4);
}

#[test]
fn a_tail_that_is_destroyed_as_a_whole_looks_like_a_torn_one_as_the_docs_say() {
    let mut disk = SimStorage::new();
    let store = open(&options(), &disk);
    let places: Vec<_> = (1..=8u32).map(|n| place_of(&store, store.checkpoint(&n).unwrap().id.0)).collect();
    disk = disk.crash_point().killed();
    drop(store);
    let (name, _) = &places[0];
    let whole = disk.contents(name).unwrap();
    let zero = |from: usize, to: usize| {
        let mut bytes = whole.clone();
        bytes[places[from].1 / 512 * 512..to].fill(0);
        disk.set_contents(name, bytes);
    };
    let open = || options().open_storage(Arc::new(disk.clone()));
    // If one behind them is whole, it tells.
    zero(3, places[7].1 / 512 * 512);
    assert!(matches!(open(), Err(Error::Corrupt { .. })));
    // Five of them, though all were `Sync`. A copy gives none of their ids again.
    zero(3, whole.len());
    let (salvaged, copy) = salvage(&disk);
    assert_eq!((ids(&salvaged.checkpoints), lost(&salvaged)), (vec![1, 2, 3], vec![]));
    assert!(copy.checkpoint(&9u32).unwrap().id.0 > 8);
    let found = open().unwrap();
    assert_eq!(found.checkpoints().count(), 3);
    assert!(found.verify().unwrap().is_clean());
}
