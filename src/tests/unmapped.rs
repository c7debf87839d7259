//! Stores that read without memory maps: no file of theirs is mapped, what is removed or replaced stays readable, and a file
//! that a stranger truncates is an error and no signal.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::compaction::{Noise, World, small};
use super::hooked::{Hooked, Hooks};
use crate::retention::keep_last;
use crate::storage::FileStorage;
use crate::store::{Error, Location, Options, Store, VerifyOptions};
use crate::{HashMap, Vector};

fn options() -> Options {
    small().cache_bytes(0).compact_below(1.0).map(false)
}

/// The files of stores below a directory that this process has mapped.
#[cfg(target_os = "linux")]
fn mapped(directory: &Path) -> Vec<String> {
    let directory = directory.canonicalize().unwrap().display().to_string();
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter_map(|line| line.find(&directory).map(|at| line[at..].to_owned())).collect()
}

/// Works with a store in every way that reads its files, and lets `look` look again and again.
fn work(options: &Options, directory: &Path, look: impl Fn()) {
    let path = directory.join("world");
    let store = options.open(&path).unwrap();
    let (mut world, mut noise) = (World::default(), Noise(7));
    for _ in 0..6 {
        world.step(&mut noise, 300);
        store.checkpoint(&world).unwrap();
    }
    look();
    drop(store);
    let store = options.open(&path).unwrap();
    let mut reader = options.clone().read_only(true).open(&path).unwrap();
    let (lazy, beside): (World, World) =
        (store.latest().unwrap().unwrap(), reader.latest().unwrap().unwrap());
    look();
    let expected = world.clone();
    for _ in 0..3 {
        world.step(&mut noise, 300);
        store.checkpoint(&world).unwrap();
        store.retain(&keep_last(1)).unwrap();
        store.compact().unwrap();
    }
    look();
    assert!(beside == expected, "what compaction replaced stays readable");
    assert!(reader.refresh().unwrap());
    assert!(reader.latest::<World>().unwrap().unwrap() == world);
    assert!(store.verify_with(VerifyOptions::new().states::<World>()).unwrap().is_clean());
    store.backup(directory.join("copy")).unwrap();
    store.migrate(directory.join("new"), |_, old: World| Ok((1u32, old))).unwrap();
    look();
    drop(store);
    let store = options.open(&path).unwrap();
    store.checkpoint(&1u32).unwrap();
    store.retain(&keep_last(1)).unwrap();
    store.compact().unwrap();
    look();
    assert!(lazy == expected, "what outlives its store stays readable");
    look();
    let copy = options.open(directory.join("copy")).unwrap();
    assert!(copy.latest::<World>().unwrap().unwrap() == world);
    drop(copy);
    let saved = directory.join("saved");
    let from = FileStorage::open(directory.join("copy"), false).unwrap().map(false);
    let to = FileStorage::open(&saved, true).unwrap().map(false);
    Store::salvage(
        Location::storage(Arc::new(from), "<old>"),
        Location::storage(Arc::new(to), &saved).progress(|_| look()),
    )
    .unwrap();
    look();
}

#[cfg(target_os = "linux")]
#[test]
fn no_file_of_a_store_is_mapped() {
    let directory = tempfile::tempdir().unwrap();
    work(&options(), directory.path(), || assert_eq!(mapped(directory.path()), Vec::<String>::new()));
}

#[cfg(target_os = "linux")]
#[test]
fn by_default_segments_are_mapped() {
    let directory = tempfile::tempdir().unwrap();
    let seen = AtomicU64::new(0);
    work(&options().map(true), directory.path(), || {
        let is_one = |line: &String| line.contains(".segment");
        seen.fetch_add(
            mapped(directory.path()).iter().filter(|line| is_one(line)).count() as u64,
            Ordering::Relaxed,
        );
    });
    assert!(seen.into_inner() > 0);
}

#[test]
fn a_segment_that_is_truncated_under_its_reader_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("world");
    let store = options().open(&path).unwrap();
    let map: HashMap<u32, u64> = (0..20_000).map(|n| (n, u64::from(n))).collect();
    let list: Vector<u32> = (0..20_000).collect();
    store.checkpoint(&(map, list)).unwrap();
    let (map, list): (HashMap<u32, u64>, Vector<u32>) = store.latest().unwrap().unwrap();
    let reader = options().read_only(true).open(&path).unwrap();
    let beside: (HashMap<u32, u64>, Vector<u32>) = reader.latest().unwrap().unwrap();
    for entry in fs::read_dir(&path).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "segment") {
            File::options().write(true).open(path).unwrap().set_len(1000).unwrap();
        }
    }
    let expect = |error: Error| {
        let Error::Io { action: "read", path, source } = &error else { panic!("{error:?}") };
        assert!(path.extension().is_some_and(|extension| extension == "segment"), "{error}");
        assert_eq!(source.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("it was truncated"), "{error}");
    };
    expect(map.load_all().unwrap_err());
    expect(list.load_all().unwrap_err());
    expect(beside.0.load_all().unwrap_err());
    expect(store.verify().map(drop).unwrap_err());
    expect(reader.backup(directory.path().join("copy")).map(drop).unwrap_err());
    drop((store, reader));
    // Who opens it now finds it damaged, and changes nothing.
    assert!(matches!(options().open(&path), Err(Error::Corrupt { .. })));
}

#[derive(Clone, Default)]
struct Reads(Arc<AtomicU64>);

impl Hooks for Reads {
    fn reading(&self, _: &str) -> io::Result<()> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

#[test]
fn what_is_in_the_cache_of_blocks_is_not_read_again() {
    let hooked = Hooked::<Reads>::default();
    let store = small().cache_bytes(32 << 20).open_storage(Arc::new(hooked.clone())).unwrap();
    let list: Vector<u32> = (0..20_000).collect();
    store.checkpoint(&list).unwrap();
    let read = || {
        let before = hooked.hooks.0.load(Ordering::Relaxed);
        let list: Vector<u32> = store.latest().unwrap().unwrap();
        assert!(list.iter().copied().eq(0..20_000));
        hooked.hooks.0.load(Ordering::Relaxed) - before
    };
    assert!(read() > 0);
    assert_eq!(read(), 0);
}
