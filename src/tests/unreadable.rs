//! Reads that fail, each in turn, once or from then on: every call answers with what is true, or with the error of the
//! file that could not be read. No failure is taken for the end of the log, or for a file that holds nothing, and no store is
//! the worse for it.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::hooked::{Hooked, Hooks};
use crate::error::Result;
use crate::hash_map::SeededState;
use crate::retention::keep_last;
use crate::storage::{MemoryStorage, Storage};
use crate::store::{CheckpointId, Compression, Error, Location, Options, Store, VerifyOptions};
use crate::{Checkpointer, HashMap, OrdMap, State, Vector};

/// Reads are counted, and one fails, or all from one on.
#[derive(Clone, Default)]
struct Reads(Arc<Mutex<Counted>>);

#[derive(Default)]
struct Counted {
    reads: u64,
    fails: Option<u64>,
    for_good: bool,
}

impl Hooks for Reads {
    fn reading(&self, _: &str) -> io::Result<()> {
        let mut counted = self.0.lock().unwrap();
        let number = counted.reads;
        counted.reads += 1;
        let fails = counted.fails.is_some_and(|at| number == at || counted.for_good && number > at);
        if fails { Err(io::Error::other("the medium refuses")) } else { Ok(()) }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct World {
    tick: u32,
    players: HashMap<u32, Vector<u16>, SeededState>,
    scores: OrdMap<u32, String>,
    notes: Vector<String>,
}

impl World {
    fn begin() -> Self {
        let notes =
            (0..80).map(|n| format!("note {n} of a world that takes more than one segment")).collect();
        Self { notes, ..Self::default() }
    }

    fn step(&mut self) {
        self.tick += 1;
        for n in 0..8 {
            let key = self.tick * 5 + n;
            self.players.insert(key % 20, (0..n as u16).collect());
            self.scores.insert(key % 30, format!("score {key}"));
        }
    }

    fn load(self) -> Result<Self> {
        self.players.load_all()?;
        self.players.values().try_for_each(Vector::load_all)?;
        self.scores.load_all()?;
        self.notes.load_all()?;
        Ok(self)
    }
}

type States = BTreeMap<u64, World>;

fn options() -> Options {
    Options::new().segment_bytes(4 << 10).block_bytes(512).compression(Compression::None)
}

/// A store of some checkpoints in several segments; what is in them.
struct Image {
    files: MemoryStorage,
    states: States,
    name: &'static str,
}

impl Image {
    /// Of stores that were closed; killed, so that commits lie behind the manifest's point; and killed after the manifest was
    /// replaced by one that the other slot does not hold, with files that no manifest names.
    fn all() -> [Self; 3] {
        let storage = MemoryStorage::new();
        let (mut world, mut states) = (World::begin(), States::new());
        let mut step = |store: &Store, states: &mut States| {
            world.step();
            states.insert(store.checkpoint(&world).unwrap().id.0, world.clone());
        };
        let store = options().open_storage(Arc::new(storage.clone())).unwrap();
        (0..4).for_each(|_| step(&store, &mut states));
        store.close().unwrap();
        let closed = Self { files: storage.copy(), states: states.clone(), name: "closed" };
        let store = options().open_storage(Arc::new(storage.clone())).unwrap();
        step(&store, &mut states);
        store.retain(&keep_last(4)).unwrap();
        while states.len() > 4 {
            states.pop_first();
        }
        (0..2).for_each(|_| step(&store, &mut states));
        let killed = Self { files: storage.copy(), states: states.clone(), name: "killed" };
        let littered = storage.copy();
        let segments: Vec<_> =
            dump(&littered).into_keys().filter(|name| name.ends_with(".segment")).collect();
        assert!(segments.len() > 2, "{segments:?}");
        // Begun by a compaction; begun by a checkpoint, and none of it but zeros there yet.
        littered.create(&segments[0].replace("-0.", "-1."), 700).unwrap();
        let number: u32 = segments[segments.len() - 1][..7].parse().unwrap();
        littered.create(&format!("{:07}-0.segment", number + 1), 4096).unwrap();
        let manifest = littered.open_writable("MANIFEST").unwrap();
        manifest.write_all_at(&[7; 40], 4096).unwrap();
        let littered = Self { files: littered, states: states.clone(), name: "littered" };
        [closed, killed, littered]
    }

    fn newest(&self) -> &World {
        self.states.last_key_value().unwrap().1
    }

    /// The store is whole and has all checkpoints, and these.
    fn expect_whole(&self, files: &MemoryStorage, more: &[World], what: &str) {
        let store = options().open_storage(Arc::new(files.copy())).unwrap();
        let mut found = checkpoints(&store).unwrap();
        for (id, state) in &self.states {
            assert_eq!(found.remove(id).as_ref(), Some(state), "{what}: checkpoint {id}");
        }
        // What was not acknowledged may be there as well.
        assert!(found.values().all(|state| more.contains(state)), "{what}: {:?}", found.keys());
        let verified = store.verify().unwrap();
        assert!(verified.is_clean(), "{what}: {:?}", verified.damage);
    }
}

fn checkpoints(store: &Store) -> Result<States> {
    let ids = store.checkpoints().map(|checkpoint| Ok(checkpoint?.id)).collect::<Result<Vec<_>>>()?;
    ids.into_iter().map(|id| Ok((id.0, store.restore::<World>(id)?.load()?))).collect()
}

/// All files.
fn dump(storage: &MemoryStorage) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for name in storage.list().unwrap() {
        let file = storage.open(&name).unwrap();
        let len = file.len_bytes().unwrap();
        files.insert(name, file.map(len).unwrap().bytes(0..len).unwrap().into_owned());
    }
    files
}

fn expect_read_error(error: &Error, what: &str) {
    let Error::Io { action: "read", path, source } = error else { panic!("{what}: {error:?}") };
    let name = path.file_name().unwrap().to_str().unwrap();
    assert!(name == "MANIFEST" || name.ends_with("MANIFEST") || name.ends_with(".segment"), "{what}: {name}");
    assert_eq!(source.to_string(), "the medium refuses", "{what}");
}

/// Calls `see` with a copy of the files of which each read fails in turn, once and for good; at last with one that can be read.
/// What it is told is whether one fails.
fn each_failing(files: &MemoryStorage, mut see: impl FnMut(&Hooked<Reads>, bool)) {
    for fails in 0.. {
        for for_good in [false, true] {
            let hooks = Reads(Arc::new(Mutex::new(Counted { reads: 0, fails: Some(fails), for_good })));
            let hooked = Hooked { storage: files.copy(), hooks };
            let reads = || hooked.hooks.0.lock().unwrap().reads;
            see(&hooked, true);
            if reads() <= fails {
                return see(&Hooked { storage: files.copy(), hooks: Reads::default() }, false);
            }
        }
    }
}

/// Lets every read of a call fail in turn, once and for good. The call is handed the storage, and asserts what it finds.
/// `may_write`: it is one that changes the store; `more`: the states that it may add.
fn fail_each(
    images: &[Image],
    what: &str,
    (may_write, more): (bool, fn(&Image) -> Vec<World>),
    call: impl Fn(Arc<dyn Storage>, &Image) -> Result<()>,
) {
    for image in images {
        let run = |fails: Option<u64>, for_good| {
            let hooks = Reads(Arc::new(Mutex::new(Counted { reads: 0, fails, for_good })));
            let hooked = Hooked { storage: image.files.copy(), hooks };
            let storage: Arc<dyn Storage> = Arc::new(hooked.clone());
            let answer = catch_unwind(AssertUnwindSafe(|| call(storage, image)));
            let reads = hooked.hooks.0.lock().unwrap().reads;
            (answer, reads, hooked.storage)
        };
        let (whole, reads, _) = run(None, false);
        whole.unwrap().unwrap_or_else(|error| panic!("{what}, {}: {error}", image.name));
        assert!(reads > 0, "{what}");
        let before = dump(&image.files);
        let mut refused = 0;
        for (fails, for_good) in (0..reads).flat_map(|k| [(k, false), (k, true)]) {
            let what = format!("{what}, {}: read {fails} of {reads} fails, for good: {for_good}", image.name);
            let (answer, _, files) = run(Some(fails), for_good);
            let answer = answer.unwrap_or_else(|_| panic!("{what}: a panic"));
            if let Err(error) = answer {
                expect_read_error(&error, &what);
                refused += 1;
            }
            if dump(&files) != before {
                assert!(may_write, "{what}: a file was changed");
                image.expect_whole(&files, &more(image), &what);
            }
        }
        assert!(refused > 0, "{what}, {}", image.name);
    }
}

fn nothing(_: &Image) -> Vec<World> {
    Vec::new()
}

fn next(image: &Image) -> Vec<World> {
    let mut next = image.newest().clone();
    next.step();
    vec![next]
}

#[test]
fn an_opening_finds_all_checkpoints_or_says_which_file_it_cannot_read() {
    fail_each(&Image::all(), "open", (true, nothing), |storage, image| {
        let store = options().open_storage(storage)?;
        assert_eq!(store.latest::<World>()?.unwrap().load()?, *image.newest());
        assert_eq!(checkpoints(&store)?, image.states);
        Ok(())
    });
}

#[test]
fn an_opening_that_fails_changes_no_segment_and_removes_no_file() {
    for image in Image::all() {
        let before = dump(&image.files);
        each_failing(&image.files, |hooked, _| {
            if options().open_storage(Arc::new(hooked.clone())).is_err() {
                let mut after = dump(&hooked.storage);
                // Both slots may be the same by then: that is the first thing that an opening does which has seen all.
                after.insert("MANIFEST".into(), before["MANIFEST"].clone());
                assert!(before == after, "{}", image.name);
            }
        });
    }
}

/// Two checkpoints that were made durable one by one, after the manifest was written; what was there before.
fn two_behind_the_manifest(closed: bool) -> (BTreeMap<String, Vec<u8>>, MemoryStorage, States) {
    let storage = MemoryStorage::new();
    let open = || options().segment_bytes(1 << 16).open_storage(Arc::new(storage.clone())).unwrap();
    let (mut world, mut states) = (World::begin(), States::new());
    let mut step = |store: &Store| {
        world.step();
        states.insert(store.checkpoint(&world).unwrap().id.0, world.clone());
    };
    let store = open();
    step(&store);
    store.close().unwrap();
    let before = dump(&storage);
    let store = open();
    (0..2).for_each(|_| step(&store));
    if closed {
        store.close().unwrap();
        return (before, storage, states);
    }
    (before, storage.copy(), states)
}

#[test]
fn damage_to_what_was_durable_is_not_cut_whatever_cannot_be_read() {
    // The first of two commits is damaged; the second one alone says that it was durable.
    let (before, files, _) = two_behind_the_manifest(false);
    let name = "0000000-0.segment";
    let bytes = dump(&files).remove(name).unwrap();
    let end = (0..bytes.len()).find(|&at| bytes[at] != before[name][at]).unwrap();
    let at = end + 40;
    files.open_writable(name).unwrap().write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
    let damaged = dump(&files);
    each_failing(&files, |hooked, is_failing| {
        match options().open_storage(Arc::new(hooked.clone())).map(drop) {
            Err(Error::Corrupt { .. }) => {}
            Err(error) if is_failing => expect_read_error(&error, "damaged"),
            opened => panic!("{opened:?}"),
        }
        assert!(dump(&hooked.storage) == damaged);
    });
}

#[test]
fn a_manifest_that_is_older_than_the_segments_is_refused_whatever_cannot_be_read() {
    let (before, files, states) = two_behind_the_manifest(true);
    let manifest = files.open_writable("MANIFEST").unwrap();
    manifest.write_all_at(&before["MANIFEST"], 0).unwrap();
    let put_back = dump(&files);
    each_failing(&files, |hooked, is_failing| {
        match options().open_storage(Arc::new(hooked.clone())).map(drop) {
            Err(Error::NotAStore { found, .. }) => assert!(found.contains("is older"), "{found}"),
            Err(error) if is_failing => expect_read_error(&error, "older"),
            opened => panic!("{opened:?}"),
        }
        assert!(dump(&hooked.storage) == put_back);
    });
    each_failing(&files, |hooked, is_failing| {
        let copy = MemoryStorage::new();
        let (from, to) = (Arc::new(hooked.clone()), Arc::new(copy.clone()));
        match Store::salvage(Location::storage(from, "<old>"), Location::storage(to, Path::new("copy"))) {
            Ok(_) => {
                assert_eq!(checkpoints(&options().open_storage(Arc::new(copy)).unwrap()).unwrap(), states)
            }
            Err(error) => {
                assert!(is_failing, "{error}");
                expect_read_error(&error, "older, salvaged");
            }
        }
    });
}

#[test]
fn an_opening_with_a_policy_drops_nothing_that_it_would_keep() {
    fail_each(&Image::all()[1..], "open with a policy", (true, nothing), |storage, image| {
        let store = options().keep(keep_last(image.states.len() as u64)).open_storage(storage)?;
        assert_eq!(checkpoints(&store)?, image.states);
        Ok(())
    });
}

#[test]
fn a_reader_beside_the_writer_finds_all_checkpoints_or_says_which_file_it_cannot_read() {
    fail_each(&Image::all(), "read-only", (false, nothing), |storage, image| {
        let mut store = options().read_only(true).open_storage(storage)?;
        assert_eq!(checkpoints(&store)?, image.states);
        assert!(!store.refresh()?);
        assert_eq!(checkpoints(&store)?, image.states);
        Ok(())
    });
}

#[test]
fn a_checkpoint_is_made_or_refused() {
    fail_each(&Image::all()[..2], "checkpoint", (true, next), |storage, image| {
        let store = options().open_storage(storage)?;
        let mut world = store.latest::<World>()?.unwrap().load()?;
        world.step();
        assert_eq!(vec![world.clone()], next(image));
        let id = store.checkpoint(&world)?.id;
        assert_eq!(store.restore::<World>(id)?.load()?, world);
        store.close()
    });
}

#[test]
fn a_lazy_state_is_changed_and_checkpointed_or_the_checkpoint_is_refused() {
    fail_each(&Image::all()[..2], "lazy checkpoint", (true, next), |storage, image| {
        let store = options().open_storage(storage)?;
        let mut world = store.latest::<World>()?.unwrap();
        // The vectors are not in memory.
        world.players.load_all()?;
        world.scores.load_all()?;
        let expected = next(image).remove(0);
        world.step();
        let id = store.checkpoint(&world)?.id;
        assert_eq!(store.restore::<World>(id)?.load()?, expected);
        Ok(())
    });
}

#[test]
fn compaction_keeps_what_is_kept() {
    fail_each(&Image::all()[..2], "compact", (true, nothing), |storage, image| {
        let store = options().compact_below(1.0).open_storage(storage)?;
        store.retain(&keep_last(image.states.len() as u64))?;
        store.compact()?;
        assert_eq!(checkpoints(&store)?, image.states);
        store.close()
    });
}

#[test]
fn verify_reports_no_damage_where_there_is_none() {
    fail_each(&Image::all()[..2], "verify", (false, nothing), |storage, image| {
        let store = options().read_only(true).open_storage(storage)?;
        let verified = store.verify()?;
        assert!(verified.is_clean(), "{:?}", verified.damage);
        let verified = store.verify_with(VerifyOptions::new().states::<World>())?;
        assert!(verified.is_clean(), "{:?}", verified.damage);
        assert_eq!(verified.states, image.states.len() as u64);
        Ok(())
    });
}

#[test]
fn scrubbing_reports_no_damage_where_there_is_none() {
    let mut told = 0;
    let told = &mut told;
    let told = std::cell::Cell::from_mut(told);
    fail_each(&Image::all()[..2], "scrub", (true, nothing), |storage, _| {
        let store = options().open_storage(storage)?;
        let scrubbed = || store.stats().scrubbed;
        while scrubbed().passes == 0 {
            store.scrub_step(1 << 20);
        }
        assert_eq!((scrubbed().damage, scrubbed().damaged, scrubbed().manifest), (vec![], 0, None));
        told.set(told.get() + u64::from(scrubbed().unreadable.is_some()));
        Ok(())
    });
    assert!(told.get() > 0, "what was not looked at is told");
}

#[test]
fn a_backup_is_whole_or_no_store() {
    fail_each(&Image::all()[..2], "backup", (true, nothing), |storage, image| {
        let store = options().open_storage(storage)?;
        let copy = MemoryStorage::new();
        let backup = store.backup(Location::storage(Arc::new(copy.clone()), Path::new("copy")));
        expect_store(&copy, image, backup.is_ok());
        backup.map(drop)
    });
}

#[test]
fn a_salvage_saves_all_or_makes_no_store() {
    fail_each(&Image::all(), "salvage", (false, nothing), |storage, image| {
        let copy = MemoryStorage::new();
        let salvaged = Store::salvage(
            Location::storage(storage, "<old>"),
            Location::storage(Arc::new(copy.clone()), Path::new("copy")),
        );
        expect_store(&copy, image, salvaged.is_ok());
        let salvaged = salvaged?;
        let ids = image.states.keys().map(|&id| CheckpointId(id));
        assert_eq!(salvaged.checkpoints, ids.collect::<Vec<_>>());
        assert!(salvaged.lost.is_empty() && salvaged.revived.is_empty(), "{:?}", salvaged.lost);
        let is_slot = |error: &Error| matches!(error, Error::ManifestSlot { .. });
        assert!(salvaged.damage.iter().all(is_slot), "{:?}", salvaged.damage);
        Ok(())
    });
}

#[test]
fn a_salvage_without_a_manifest_saves_all_or_makes_no_store() {
    let [closed, ..] = Image::all();
    let without = closed.files.copy();
    without.remove("MANIFEST").unwrap();
    each_failing(&without, |hooked, is_failing| {
        let (from, copy) = (Arc::new(hooked.clone()), MemoryStorage::new());
        let salvaged = Store::salvage(
            Location::storage(from, "<old>"),
            Location::storage(Arc::new(copy.clone()), Path::new("copy")),
        );
        expect_store(&copy, &closed, salvaged.is_ok());
        if let Err(error) = salvaged {
            assert!(is_failing, "{error}");
            expect_read_error(&error, "salvage without a manifest");
        }
    });
}

#[test]
fn a_migration_is_whole_or_no_store() {
    fail_each(&Image::all()[..2], "migrate", (true, nothing), |storage, image| {
        let store = options().open_storage(storage)?;
        let copy = MemoryStorage::new();
        let migrated =
            store.migrate(Location::storage(Arc::new(copy.clone()), Path::new("copy")), |_, old: World| {
                // Its own reads may fail as well.
                old.load()
            });
        expect_store(&copy, image, migrated.is_ok());
        migrated.map(drop)
    });
}

/// A copy that is a store is a whole one.
fn expect_store(copy: &MemoryStorage, image: &Image, is_one: bool) {
    let opened = options().read_only(true).open_storage(Arc::new(copy.copy()));
    assert_eq!(opened.is_ok(), is_one, "{:?}", opened.err());
    if let Ok(store) = opened {
        assert_eq!(checkpoints(&store).unwrap(), image.states);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_not_taken_for_one_of_no_store_and_removed() {
    // A file in the place of a leftover, of another store: it is left alone, and so is one that cannot be read.
    let [_, killed, _] = Image::all();
    let other = MemoryStorage::new();
    let store = options().open_storage(Arc::new(other.clone())).unwrap();
    store.checkpoint(&World::default()).unwrap();
    drop(store);
    let foreign = dump(&other)["0000000-0.segment"].clone();
    let name = "0000000-1.segment";
    let put = killed.files.create(name, 0).unwrap();
    put.write_all_at(&foreign, 0).unwrap();
    each_failing(&killed.files, |hooked, is_failing| {
        let opened = options().open_storage(Arc::new(hooked.clone()));
        assert_eq!(dump(&hooked.storage).get(name), Some(&foreign));
        if let Err(error) = opened {
            assert!(is_failing, "{error}");
            expect_read_error(&error, "beside a foreign file");
        }
    });
}

#[test]
fn a_segment_behind_the_last_that_holds_a_batch_is_not_written_over_whatever_cannot_be_read() {
    // A manifest of another time was put back: it does not name the file that the last checkpoint went to, for want of room.
    let files = MemoryStorage::new();
    let store = options().open_storage(Arc::new(files.clone())).unwrap();
    store.checkpoint(&1u32).unwrap();
    store.close().unwrap();
    let before = dump(&files);
    let store = options().open_storage(Arc::new(files.clone())).unwrap();
    store.checkpoint(&"x".repeat(6000)).unwrap();
    store.close().unwrap();
    assert_eq!((before.len(), files.list().unwrap().len()), (2, 3));
    files.open_writable("MANIFEST").unwrap().write_all_at(&before["MANIFEST"], 0).unwrap();
    let put_back = dump(&files);
    each_failing(&files, |hooked, is_failing| {
        match options().open_storage(Arc::new(hooked.clone())).map(drop) {
            Err(Error::NotAStore { found, .. }) => assert!(found.contains("holds data"), "{found}"),
            Err(error) if is_failing => expect_read_error(&error, "unnamed"),
            opened => panic!("{opened:?}"),
        }
        assert!(dump(&hooked.storage) == put_back);
    });
}

/// The checkpoint loads what the state never had in memory, through the opening before.
#[test]
fn a_checkpointer_tries_again_after_a_read_that_failed() {
    let [closed, ..] = Image::all();
    let hooked = Hooked { storage: closed.files.copy(), hooks: Reads::default() };
    let open = || options().cache_bytes(0).open_storage(Arc::new(hooked.clone())).unwrap();
    let first = open();
    let lazy: World = first.latest().unwrap().unwrap();
    drop(first);
    let store = Arc::new(open());
    let state = Arc::new(State::new(lazy));
    let checkpointer = Checkpointer::options().every(Duration::from_millis(10)).manual(&state, &store);
    state.update(|world| world.tick += 1);
    let fail = |fails| {
        let mut counted = hooked.hooks.0.lock().unwrap();
        *counted = Counted { reads: 0, fails, for_good: true };
    };
    fail(Some(0));
    let now = Instant::now();
    checkpointer.step(now + Duration::from_secs(1));
    let error = checkpointer.stats().last_error.expect("nothing could be read");
    expect_read_error(&error, "checkpointer");
    fail(None);
    checkpointer.step(now + Duration::from_secs(2));
    assert_eq!(store.latest::<World>().unwrap().unwrap().tick, closed.newest().tick + 1);
    checkpointer.close().unwrap();
}
