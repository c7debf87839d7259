//! Verify, back up, salvage: on stores that are whole, live, and damaged.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::hash_map::SeededState;
use crate::storage::{Fault, SimStorage, Storage};
use crate::store::{
    CheckpointId, CheckpointOptions, Compression, Durability, Error, Location, Options, Store, VerifyOptions,
};
use crate::{HashMap, Vector};

#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
struct World {
    tick: u64,
    players: HashMap<u32, Vector<u32>, SeededState>,
    log: Vector<String>,
}

impl World {
    fn step(&mut self) {
        self.tick += 1;
        for n in 0..5u32 {
            let key = (self.tick as u32 * 7 + n * 31) % 200;
            let mut items = self.players.get(&key).cloned().unwrap_or_default();
            items.push_back(n);
            self.players.insert(key, items);
        }
        self.log.push_back(format!("tick {}", self.tick));
    }
}

fn options() -> Options {
    Options::new().segment_bytes(8 << 10).block_bytes(512).compression(Compression::None)
}

fn open(disk: &SimStorage) -> Store {
    options().open_storage(Arc::new(disk.clone())).unwrap()
}

/// A store of forty checkpoints, every other one with a label, and what is in them.
fn store() -> (SimStorage, Vec<(CheckpointId, World)>) {
    let disk = SimStorage::new();
    let store = open(&disk);
    let mut world = World::default();
    let mut states = Vec::new();
    for tick in 0..40 {
        world.step();
        let mut how = CheckpointOptions::new().durability(Durability::Buffered);
        if tick % 2 == 0 {
            how = how.label(format!("label {tick}"));
        }
        states.push((
            store.commit().roots(&[("state", &world)]).options(&how).write().unwrap().id,
            world.clone(),
        ));
    }
    store.close().unwrap();
    (disk, states)
}

fn check(disk: &SimStorage, states: &[(CheckpointId, World)]) {
    let store = open(disk);
    let found: Vec<_> = store.checkpoints().map(|checkpoint| checkpoint.unwrap().id).collect();
    assert_eq!(found, states.iter().rev().map(|(id, _)| *id).collect::<Vec<_>>());
    for (id, world) in states {
        assert_eq!(store.restore::<World>(*id).unwrap(), *world);
    }
    let verified = store.verify().unwrap();
    assert!(verified.is_clean(), "{:?}", verified.damage);
}

fn segments(disk: &SimStorage) -> Vec<String> {
    disk.list().unwrap().into_iter().filter(|name| name.ends_with(".segment")).collect()
}

#[test]
fn a_whole_store_verifies_and_tells_how_far_it_got() {
    let (disk, states) = store();
    let store = open(&disk);
    let mut told = Vec::new();
    let verified =
        store.verify_with(VerifyOptions::new().progress(|progress| told.push(progress.done_bytes))).unwrap();
    assert!(verified.is_clean());
    assert_eq!(verified.checkpoints, states.len() as u64);
    assert_eq!(verified.segments, store.stats().segments as u64);
    assert!(verified.records > 200 && verified.blocks > 40);
    assert_eq!(told.len() as u64, verified.segments);
    assert!(told.is_sorted() && told.last() == Some(&store.stats().disk_bytes));
    // Beside a live writer, and through a read-only opening.
    store.checkpoint(&states[39].1).unwrap();
    assert!(store.verify().unwrap().is_clean());
    let reader = options().read_only(true).open_storage(Arc::new(disk)).unwrap();
    assert_eq!(reader.verify().unwrap().checkpoints, 41);
}

#[test]
fn verify_finds_damage_that_nobody_has_read_yet() {
    let (disk, _) = store();
    let mut names = segments(&disk);
    names.sort();
    // The newest may hold the last commit just there, and then the store does not open.
    names.pop();
    for name in names {
        let mut bytes = disk.contents(&name).unwrap();
        bytes[600] ^= 1;
        disk.set_contents(&name, bytes);
    }
    let Ok(store) = options().open_storage(Arc::new(disk.clone())) else {
        panic!("the last commit is whole")
    };
    let verified = store.verify().unwrap();
    assert!(verified.damaged >= segments(&disk).len() as u64 - 1, "{:?}", verified.damage);
    assert!(verified.damage.iter().all(|error| matches!(error, Error::Corrupt { .. })));
    assert!(matches!(verified.into_result(), Err(Error::Corrupt { .. })));
}

#[test]
fn a_backup_of_a_live_store_is_the_store_at_that_moment() {
    let (disk, mut states) = store();
    let store = open(&disk);
    let mut world = states[39].1.clone();
    for round in 0..3 {
        world.step();
        let how = CheckpointOptions::new().durability(Durability::Buffered);
        states.push((
            store.commit().roots(&[("state", &world)]).options(&how).write().unwrap().id,
            world.clone(),
        ));
        let copy = SimStorage::new();
        let mut told = 0;
        let backup = store
            .backup(Location::storage(Arc::new(copy.clone()), Path::new("copy")).progress(|_| told += 1))
            .unwrap();
        assert_eq!((backup.newest, backup.segments), (Some(states[40 + round].0), told));
        // It is durable, is a store of its own, and the old one goes on.
        let copy = copy.crash_point().image(0, |_| crate::storage::Fate::Vanishes);
        check(&copy, &states);
        let other = open(&copy);
        other.checkpoint(&world).unwrap();
        // A reader can make one as well.
        let reader = options().read_only(true).open_storage(Arc::new(disk.clone())).unwrap();
        let copy = SimStorage::new();
        reader.backup(Location::storage(Arc::new(copy.clone()), Path::new("copy"))).unwrap();
        check(&copy, &states);
    }
}

#[test]
fn a_backup_that_fails_is_no_store_and_one_of_damage_is_refused() {
    let (disk, states) = store();
    let store = open(&disk);
    let mut failures = 0;
    for operation in 0.. {
        let copy = SimStorage::new();
        copy.plant(operation, Fault::Refuse);
        let done = store.backup(Location::storage(Arc::new(copy.clone()), Path::new("copy")));
        if copy.struck() == 0 {
            break;
        }
        failures += 1;
        assert!(matches!(done, Err(Error::Io { .. })));
        let again = store.backup(Location::storage(Arc::new(copy.clone()), Path::new("copy")));
        assert!(
            matches!(again, Err(Error::NotAStore { .. })) || copy.list().unwrap().is_empty() || again.is_ok()
        );
        // All but the last few operations are before the manifest.
        if let Ok(store) = options().create(false).open_storage(Arc::new(copy)) {
            assert_eq!(store.latest::<World>().unwrap().unwrap(), states[39].1);
        }
    }
    assert!(failures > 10);
    drop(store);
    let name = &segments(&disk)[0];
    let mut bytes = disk.contents(name).unwrap();
    bytes[600] ^= 1;
    disk.set_contents(name, bytes);
    let refused = open(&disk).backup(Location::storage(Arc::new(SimStorage::new()), Path::new("copy")));
    assert!(matches!(refused, Err(Error::Corrupt { segment: 0, .. })));
}

#[test]
fn a_store_is_not_copied_into_itself_by_whatever_path() {
    let outside = tempfile::tempdir().unwrap();
    let own = outside.path().join("world");
    let store = options().open(&own).unwrap();
    let mut world = World::default();
    world.step();
    let id = store.checkpoint(&world).unwrap().id;
    let link = outside.path().join("link");
    std::os::unix::fs::symlink(&own, &link).unwrap();
    let names = || {
        let names = std::fs::read_dir(&own).unwrap().map(|entry| entry.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    let before = names();
    for to in [own.clone(), own.join("."), own.join(""), own.join("../world"), link] {
        let refused = [
            store.backup(&to).map(drop),
            Store::salvage(&own, &to).map(drop),
            Store::salvage(&to, &own).map(drop),
            store.migrate(&to, |_, old: World| Ok(old)).map(drop),
        ];
        for refused in refused {
            let Err(error @ Error::SameDirectory { .. }) = refused else { panic!("{to:?}: {refused:?}") };
            let text = error.to_string();
            assert!(text.contains("the same directory") && text.contains("name one"), "{text}");
        }
    }
    assert_eq!(names(), before);
    assert!(store.verify().unwrap().is_clean());
    assert_eq!(store.restore::<World>(id).unwrap(), world);
    world.step();
    store.checkpoint(&world).unwrap();
    // One that is elsewhere, if only just, is another.
    for to in ["copy", "world.copy", "link/.."] {
        assert!(!matches!(store.backup(outside.path().join(to)), Err(Error::SameDirectory { .. })));
    }
    let moved = store.migrate(outside.path().join("moved/"), |_, old: World| Ok(old)).unwrap();
    assert_eq!(moved.states, 2);
}

#[test]
fn salvage_of_what_is_no_store_leaves_room_for_the_next_try() {
    let outside = tempfile::tempdir().unwrap();
    let [wrong, right, to] = ["wrong", "right", "to"].map(|name| outside.path().join(name));
    let id = options().open(&right).unwrap().checkpoint(&World::default()).unwrap().id;
    let Err(error @ Error::NotAStore { .. }) = Store::salvage(&wrong, &to) else {
        panic!("nothing is there")
    };
    assert!(error.to_string().contains("name the directory that is to be salvaged"), "{error}");
    std::fs::create_dir(&wrong).unwrap();
    let Err(error @ Error::NotAStore { .. }) = Store::salvage(&wrong, &to) else { panic!("it is empty") };
    assert!(error.to_string().contains(wrong.to_str().unwrap()), "{error}");
    assert_eq!(Store::salvage(&right, &to).unwrap().checkpoints, [id]);
}

/// Salvages a disk; what was saved must be what was in these checkpoints.
fn salvage(disk: &SimStorage, states: &[(CheckpointId, World)]) -> (Vec<CheckpointId>, Vec<CheckpointId>) {
    let before = disk.operations();
    let to = SimStorage::new();
    let salvaged = Store::salvage(
        Location::storage(Arc::new(disk.clone()), "<old>"),
        Location::storage(Arc::new(to.clone()), Path::new("new")),
    )
    .unwrap();
    assert_eq!(disk.operations(), before, "the old store is only read");
    let saved: Vec<_> = states.iter().filter(|(id, _)| salvaged.checkpoints.contains(id)).cloned().collect();
    assert_eq!(saved.len(), salvaged.checkpoints.len());
    check(&to, &saved);
    (salvaged.checkpoints, salvaged.lost.into_iter().map(|(id, _)| id).collect())
}

#[test]
fn salvage_copies_a_whole_store_with_ids_labels_and_sharing() {
    let (disk, states) = store();
    let to = SimStorage::new();
    let salvaged = Store::salvage(
        Location::storage(Arc::new(disk.clone()), "<old>"),
        Location::storage(Arc::new(to.clone()), Path::new("new")),
    )
    .unwrap();
    assert_eq!((salvaged.checkpoints.len(), salvaged.lost.len(), salvaged.damage.len()), (40, 0, 0));
    check(&to, &states);
    let facts = |disk: &SimStorage| -> Vec<_> {
        let facts = |checkpoint: crate::store::Checkpoint| {
            (checkpoint.id, checkpoint.parent, checkpoint.label, checkpoint.time, checkpoint.roots)
        };
        open(disk).checkpoints().map(|checkpoint| facts(checkpoint.unwrap())).collect()
    };
    assert_eq!(facts(&to), facts(&disk));
    // What they share was copied once.
    assert_eq!(open(&to).verify().unwrap().records, open(&disk).verify().unwrap().records);
    // Not into something else.
    let again = Store::salvage(
        Location::storage(Arc::new(disk), "<old>"),
        Location::storage(Arc::new(to), Path::new("new")),
    );
    assert!(matches!(again, Err(Error::NotAStore { .. })));
}

#[test]
fn salvage_works_without_a_manifest_and_without_an_index() {
    let (disk, states) = store();
    let ids: Vec<_> = states.iter().map(|(id, _)| *id).collect();
    disk.set_contents("MANIFEST", b"garbage".to_vec());
    assert_eq!(salvage(&disk, &states), (ids.clone(), vec![]));
    disk.remove("MANIFEST").unwrap();
    assert_eq!(salvage(&disk, &states), (ids.clone(), vec![]));
    // The index of a sealed segment is the last block of it.
    let (disk, states) = store();
    let name = &segments(&disk)[1];
    let mut bytes = disk.contents(name).unwrap();
    let last = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[last - 3] ^= 1;
    disk.set_contents(name, bytes);
    assert_eq!(salvage(&disk, &states), (ids, vec![]));
}

#[test]
fn salvage_saves_what_is_whole_and_names_what_is_lost() {
    let (disk, states) = store();
    let names = segments(&disk);
    assert!(names.len() >= 4, "{names:?}");
    // Any one segment gone: what was committed before it is saved, and nothing is made up.
    for (i, name) in names.iter().enumerate() {
        let disk = disk.crash_point().image(0, |_| crate::storage::Fate::Lands);
        disk.remove(name).unwrap();
        let (saved, lost) = salvage(&disk, &states);
        assert!(i == 0 || !saved.is_empty());
        assert!(!lost.is_empty() && saved.len() + lost.len() <= states.len());
        assert!(lost.iter().all(|id| !saved.contains(id)));
    }
    // One bit anywhere loses only what reaches it.
    for at in (512..disk.contents(&names[1]).unwrap().len()).step_by(97) {
        let disk = disk.crash_point().image(0, |_| crate::storage::Fate::Lands);
        let mut bytes = disk.contents(&names[1]).unwrap();
        bytes[at] ^= 0x20;
        disk.set_contents(&names[1], bytes);
        let (saved, lost) = salvage(&disk, &states);
        assert_eq!(saved.len() + lost.len(), states.len());
    }
}

#[test]
fn salvage_tells_of_every_segment_that_was_truncated() {
    let (disk, _) = store();
    for name in segments(&disk) {
        let disk = disk.crash_point().image(0, |_| crate::storage::Fate::Lands);
        let bytes = disk.contents(&name).unwrap();
        disk.set_contents(&name, bytes[..bytes.len() / 2].to_vec());
        let to = Arc::new(SimStorage::new());
        let salvaged = Store::salvage(
            Location::storage(Arc::new(disk), "<old>"),
            Location::storage(to, Path::new("new")),
        )
        .unwrap();
        let told = salvaged.damage.iter().any(|error| error.to_string().contains("truncated"));
        assert!(told, "{name}: {:?}", salvaged.damage);
    }
}

#[test]
fn a_reader_follows_a_writer_over_roll_overs_and_reopenings() {
    let disk = SimStorage::new();
    let mut writer = open(&disk);
    let mut world = World::default();
    writer.checkpoint(&world).unwrap();
    let mut reader = options().read_only(true).open_storage(Arc::new(disk.clone())).unwrap();
    for round in 0..60 {
        let before = reader.latest::<World>().unwrap().unwrap();
        world.step();
        let durability = if round % 2 == 0 { Durability::Sync } else { Durability::Buffered };
        let how = CheckpointOptions::new().durability(durability);
        writer.commit().roots(&[("state", &world)]).options(&how).write().unwrap();
        assert_eq!(reader.latest::<World>().unwrap().unwrap(), before, "only on request");
        assert!(reader.refresh().unwrap());
        assert!(!reader.refresh().unwrap());
        assert_eq!(reader.latest::<World>().unwrap().unwrap(), world);
        assert_eq!(before.tick, world.tick - 1);
        if round % 20 == 19 {
            drop(writer);
            writer = open(&disk);
        }
    }
    assert!(!writer.refresh().unwrap());
    assert!(writer.stats().segments > 3);
    assert!(matches!(reader.checkpoint(&world), Err(Error::ReadOnly { .. })));
}

/// What a `World` holds, under keys that say where they belong as they like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Liar(u32);

impl Eq for Liar {}

impl std::hash::Hash for Liar {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let lie = LIE.with(std::cell::Cell::get);
        state.write_u32(self.0 ^ lie);
    }
}

std::thread_local!(static LIE: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });

#[test]
fn verify_as_a_type_decodes_every_item_and_finds_keys_where_their_hash_does_not_put_them() {
    let (disk, states) = store();
    let store = open(&disk);
    let verified = store.verify_with(VerifyOptions::new().states::<World>()).unwrap();
    assert!(verified.is_clean(), "{:?}", verified.damage);
    assert_eq!((verified.states, verified.other_types), (40, 0));
    // Another type in between.
    type Liars = Vector<HashMap<Liar, u32, SeededState>>;
    let liars: Liars = (0..3).map(|n| (0..200).map(|i| (Liar(i), n)).collect()).collect();
    store.checkpoint(&liars).unwrap();
    let mut world = states[39].1.clone();
    world.step();
    store.checkpoint(&world).unwrap();
    let verified = store.verify_with(VerifyOptions::new().states::<World>()).unwrap();
    assert!(verified.is_clean());
    assert_eq!((verified.states, verified.other_types), (41, 1));
    let mut told = 0;
    let verified = store.verify_with(VerifyOptions::new().states::<Liars>().progress(|_| told += 1)).unwrap();
    assert!(verified.is_clean());
    assert_eq!((verified.states, verified.other_types), (1, 41));
    assert_eq!(told, verified.segments + 42);
    // Maps deep inside of a value, of which no type-blind look can tell.
    LIE.with(|lie| lie.set(1));
    let verified = store.verify_with(VerifyOptions::new().states::<Liars>()).unwrap();
    assert!(matches!(verified.damage[..], [Error::HashChanged { .. }]), "{:?}", verified.damage);
    assert_eq!((verified.states, verified.damaged), (0, 1));
    assert!(store.verify().unwrap().is_clean());
    LIE.with(|lie| lie.set(0));
}

#[test]
fn verify_as_a_type_reads_what_checkpoints_share_once() {
    let disk = SimStorage::new();
    let store = options().cache_bytes(0).open_storage(Arc::new(disk)).unwrap();
    let mut state: HashMap<u32, Counted> = (0..2000).map(|n| (n, Counted(n))).collect();
    for n in 0..20 {
        state.insert(n * 50, Counted(n));
        store.checkpoint(&state).unwrap();
    }
    DECODED.with(|decoded| decoded.set(0));
    let verified = store.verify_with(VerifyOptions::new().states::<HashMap<u32, Counted>>()).unwrap();
    assert_eq!((verified.states, verified.damaged), (20, 0));
    let decoded = DECODED.with(std::cell::Cell::get);
    assert!((2000..2000 + 20 * 100).contains(&decoded), "{decoded} items were decoded");
}

std::thread_local!(static DECODED: std::cell::Cell<u32> = const { std::cell::Cell::new(0) });

/// Counts how often one of it is read.
#[derive(Clone, PartialEq, Serialize)]
struct Counted(u32);

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DECODED.with(|decoded| decoded.set(decoded.get() + 1));
        u32::deserialize(deserializer).map(Counted)
    }
}
