//! Directories that move, vanish and change places while a store is open: it goes on in the one that it opened, and touches
//! no other.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::alone::{alone, run_alone};
use crate::HashMap;
use crate::retention::keep_last;
use crate::store::{CheckpointOptions, Durability, Error, Options, Store};

type World = HashMap<u32, [u32; 16]>;

/// Small segments, so that a few checkpoints make several.
fn options() -> Options {
    Options::new().segment_bytes(8 << 10).block_bytes(512)
}

fn world(tick: u32) -> World {
    let value = |n: u32, i: usize| (tick * 31 + n * 977 + i as u32).wrapping_mul(0x9e37_79b9);
    (0..30).map(|n| (n, std::array::from_fn(|i| value(n, i)))).collect()
}

fn store_with(path: &Path, ticks: std::ops::Range<u32>) -> Store {
    let store = options().open(path).unwrap();
    ticks.for_each(|tick| drop(store.checkpoint(&world(tick)).unwrap()));
    store
}

/// All files of a directory.
fn contents(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| (file.file_name().unwrap().into(), fs::read(file).unwrap())).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for (name, bytes) in contents(from) {
        fs::write(to.join(name), bytes).unwrap();
    }
}

/// Opens a copy of the files as a process that is killed now leaves them.
fn after_a_kill(path: &Path, to: &Path) -> Store {
    copy(path, to);
    options().open(to).unwrap()
}

fn segments(path: &Path) -> Vec<PathBuf> {
    let names = contents(path).into_keys().filter(|name| name.to_string_lossy().ends_with(".segment"));
    names.map(|name| path.join(name)).collect()
}

#[test]
fn a_store_opened_by_a_relative_path_is_not_left_for_one_of_the_same_name() {
    run_alone("tests::moved::relative");
}

#[test]
fn relative() {
    let Some(dir) = alone() else { return };
    let (here, there) = (dir.join("here"), dir.join("there"));
    fs::create_dir(&here).unwrap();
    fs::create_dir(&there).unwrap();
    drop(store_with(&there.join("world"), 100..140));
    let foreign = contents(&there.join("world"));
    std::env::set_current_dir(&here).unwrap();
    let store = store_with(Path::new("world"), 0..20);
    let mut reader = options().read_only(true).open("world").unwrap();
    std::env::set_current_dir(&there).unwrap();
    for tick in 20..60 {
        store.checkpoint(&world(tick)).unwrap();
    }
    assert!(reader.refresh().unwrap());
    assert_eq!(reader.latest::<World>().unwrap(), Some(world(59)));
    store.retain(&keep_last(5)).unwrap();
    assert!(store.compact().unwrap().removed > 0);
    // Paths of targets mean what they mean now.
    let refused = store.backup("../here/world");
    assert!(matches!(refused, Err(Error::SameDirectory { .. })), "{refused:?}");
    let refused = store.backup("world");
    assert!(matches!(refused, Err(Error::NotAStore { .. })), "{refused:?}");
    store.backup("copy").unwrap();
    assert_eq!(store.path(), Path::new("world"));
    store.close().unwrap();
    assert_eq!(contents(&there.join("world")), foreign, "the other store was touched");
    for path in [here.join("world"), there.join("copy")] {
        let store = options().open(path).unwrap();
        assert_eq!(store.latest::<World>().unwrap(), Some(world(59)));
        assert_eq!(store.checkpoints().count(), 5);
        assert!(store.verify().unwrap().is_clean());
    }
}

#[test]
fn a_migration_ends_where_it_was_sent_whatever_its_function_does() {
    run_alone("tests::moved::migrating");
}

#[test]
fn migrating() {
    let Some(dir) = alone() else { return };
    let (here, there) = (dir.join("here"), dir.join("there"));
    fs::create_dir(&here).unwrap();
    fs::create_dir(&there).unwrap();
    std::env::set_current_dir(&here).unwrap();
    let store = Store::open("old").unwrap();
    store.checkpoint(&HashMap::from([(1u32, 2u32)])).unwrap();
    let migrated = store.migrate("new", |migrator, old: HashMap<u32, u32>| {
        std::env::set_current_dir(&there).unwrap();
        migrator.map(&old, |_, (_, value)| Ok(u64::from(*value)))
    });
    assert_eq!(migrated.unwrap().states, 1);
    assert_eq!(fs::read_dir(&there).unwrap().count(), 0);
    let new = Store::open(here.join("new")).unwrap();
    assert_eq!(new.latest::<HashMap<u32, u64>>().unwrap(), Some(HashMap::from([(1, 2)])));
    assert!(!here.join("new.part").exists());
    // A part that was exchanged is not moved.
    let mv = |from: &str, to: &str| fs::rename(here.join(from), here.join(to)).unwrap();
    std::env::set_current_dir(&here).unwrap();
    let refused = store.migrate("third", |_, old: HashMap<u32, u32>| {
        mv("third.part", "aside");
        fs::create_dir(here.join("third.part")).unwrap();
        Ok(old)
    });
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    assert!(!here.join("third").exists());
}

#[test]
fn a_store_goes_on_in_its_own_directory_when_a_backup_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let store = store_with(&path("s"), 0..5);
    store.backup(path("backup")).unwrap();
    let mut reader = options().read_only(true).open(path("s")).unwrap();
    fs::rename(path("s"), path("s.bad")).unwrap();
    copy(&path("backup"), &path("s"));
    let restored = contents(&path("s"));
    for tick in 5..65 {
        store.checkpoint(&world(tick)).unwrap();
    }
    store.retain(&keep_last(30)).unwrap();
    store.compact().unwrap();
    assert!(reader.refresh().unwrap());
    assert_eq!(reader.latest::<World>().unwrap(), Some(world(64)));
    assert_eq!(contents(&path("s")), restored, "the restored store was touched");
    // Both can be used at once: they are two directories.
    let other = options().open(path("s")).unwrap();
    other.checkpoint(&world(1000)).unwrap();
    store.checkpoint(&world(65)).unwrap();
    other.close().unwrap();
    store.close().unwrap();
    let other = options().open(path("s")).unwrap();
    assert_eq!((other.latest::<World>().unwrap(), other.checkpoints().count()), (Some(world(1000)), 6));
    let moved = options().open(path("s.bad")).unwrap();
    assert_eq!((moved.latest::<World>().unwrap(), moved.checkpoints().count()), (Some(world(65)), 31));
    assert!(moved.verify().unwrap().is_clean() && other.verify().unwrap().is_clean());
}

#[test]
fn directories_that_change_places_and_links_that_are_turned_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    drop((store_with(&path("one"), 0..20), store_with(&path("two"), 100..120)));
    std::os::unix::fs::symlink(path("one"), path("link")).unwrap();
    let store = options().open(path("link")).unwrap();
    fs::remove_file(path("link")).unwrap();
    std::os::unix::fs::symlink(path("two"), path("link")).unwrap();
    (20..40).for_each(|tick| drop(store.checkpoint(&world(tick)).unwrap()));
    // The two are exchanged.
    fs::rename(path("one"), path("three")).unwrap();
    fs::rename(path("two"), path("one")).unwrap();
    fs::rename(path("three"), path("two")).unwrap();
    (40..60).for_each(|tick| drop(store.checkpoint(&world(tick)).unwrap()));
    store.close().unwrap();
    for (name, newest, count) in [("two", 59, 60), ("one", 119, 20)] {
        let store = options().open(path(name)).unwrap();
        assert_eq!(store.latest::<World>().unwrap(), Some(world(newest)), "{name}");
        assert_eq!(store.checkpoints().count(), count, "{name}");
        assert!(store.verify().unwrap().is_clean(), "{name}");
    }
}

#[test]
fn a_lock_that_is_deleted_or_replaced_lets_nobody_in() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    let store = store_with(&path, 0..5);
    fs::remove_file(path.join("LOCK")).unwrap();
    let refused = options().open(&path);
    assert!(matches!(refused, Err(Error::Locked { .. })), "{refused:?}");
    fs::write(path.join("LOCK"), "").unwrap();
    let refused = options().open(&path);
    assert!(matches!(refused, Err(Error::Locked { pid: 0, .. })), "{refused:?}");
    assert!(refused.unwrap_err().to_string().contains("another process"));
    // Nor is anything else in the way of who writes.
    store.checkpoint(&world(5)).unwrap();
    store.close().unwrap();
    assert_eq!(options().open(&path).unwrap().latest::<World>().unwrap(), Some(world(5)));
}

#[test]
fn a_lock_that_is_a_link_leads_nobody_into_another_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s");
    drop(store_with(&path, 0..5));
    let precious = dir.path().join("precious");
    fs::write(&precious, "precious").unwrap();
    fs::remove_file(path.join("LOCK")).unwrap();
    std::os::unix::fs::symlink(&precious, path.join("LOCK")).unwrap();
    assert!(matches!(options().open(&path), Err(Error::Io { action: "lock", .. })));
    assert_eq!(fs::read(&precious).unwrap(), b"precious");
}

const LEVELS: [Durability; 2] = [Durability::Sync, Durability::Buffered];

#[test]
fn a_directory_that_is_removed_fails_the_next_checkpoint() {
    for durability in LEVELS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let store = store_with(&path, 0..5);
        fs::remove_dir_all(&path).unwrap();
        let how = CheckpointOptions::new().durability(durability);
        let failed = store.commit().roots(&[("state", &world(5))]).options(&how).write();
        assert!(failed.as_ref().is_err_and(|e| e.to_string().contains("removed")), "{failed:?}");
        assert!(matches!(store.checkpoint(&world(6)), Err(Error::Poisoned { .. })));
        assert!(!path.exists());
    }
}

#[test]
fn segments_that_are_removed_moved_or_replaced_fail_the_next_checkpoint() {
    for durability in LEVELS {
        for (what, oldest) in [("removed", false), ("removed", true), ("moved", false), ("replaced", false)] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("s");
            let store = store_with(&path, 0..15);
            let segments = segments(&path);
            assert!(segments.len() > 2);
            let victim = if oldest { &segments[0] } else { segments.last().unwrap() };
            match what {
                "removed" => fs::remove_file(victim).unwrap(),
                "moved" => fs::rename(victim, dir.path().join("elsewhere")).unwrap(),
                _ => {
                    let copy = dir.path().join("copy");
                    fs::copy(victim, &copy).unwrap();
                    fs::rename(copy, victim).unwrap();
                }
            }
            let how = CheckpointOptions::new().durability(durability);
            let failed = store.commit().roots(&[("state", &world(15))]).options(&how).write();
            let name = victim.file_name().unwrap().to_string_lossy().into_owned();
            assert!(
                failed.as_ref().is_err_and(|e| e.to_string().contains(&name)),
                "{what}, {oldest}: {failed:?}"
            );
        }
    }
}

#[test]
fn a_manifest_that_is_removed_is_there_again_when_the_next_checkpoint_is_acknowledged() {
    for durability in LEVELS {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let store = store_with(&path, 0..5);
        fs::remove_file(path.join("MANIFEST")).unwrap();
        let how = CheckpointOptions::new().durability(durability);
        store.commit().roots(&[("state", &world(5))]).options(&how).write().unwrap();
        let found = after_a_kill(&path, &dir.path().join("killed"));
        assert_eq!((found.latest::<World>().unwrap(), found.checkpoints().count()), (Some(world(5)), 6));
    }
}

#[test]
fn a_manifest_of_another_store_is_not_replaced() {
    // Put in place by a rename, as rsync does it, or written over the old one, as cp does it.
    for renamed in [true, false] {
        for durability in LEVELS {
            let dir = tempfile::tempdir().unwrap();
            let path = |name: &str| dir.path().join(name);
            let store = store_with(&path("s"), 0..5);
            drop(store_with(&path("other"), 100..130));
            let manifest = path("s").join("MANIFEST");
            if renamed {
                fs::rename(path("other").join("MANIFEST"), &manifest).unwrap();
            } else {
                fs::copy(path("other").join("MANIFEST"), &manifest).unwrap();
            }
            let foreign = fs::read(&manifest).unwrap();
            let how = CheckpointOptions::new().durability(durability);
            let next = store.commit().roots(&[("state", &world(5))]).options(&how).write();
            assert!(!renamed || next.is_err(), "{next:?}");
            let failed = store.retain(&keep_last(2));
            assert!(failed.is_err(), "{failed:?}");
            let acknowledged = 5 + usize::from(next.is_ok());
            let mut error = failed.unwrap_err().to_string();
            error.extend(next.err().map(|e| e.to_string()));
            assert!(error.contains("another store") || error.contains("another file"), "{error}");
            drop(store);
            assert_eq!(fs::read(&manifest).unwrap(), foreign, "it was replaced");
            // What was acknowledged is found by the segments.
            let salvaged = Store::salvage(path("s"), path("saved")).unwrap();
            assert!(salvaged.checkpoints.len() >= acknowledged, "{salvaged:?}");
        }
    }
}

#[test]
fn an_older_manifest_of_the_same_store_is_not_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    drop(store_with(&path("s"), 0..5));
    copy(&path("s"), &path("older"));
    let store = store_with(&path("s"), 5..30);
    fs::copy(path("older").join("MANIFEST"), path("s").join("MANIFEST")).unwrap();
    let older = fs::read(path("s").join("MANIFEST")).unwrap();
    let failed = store.retain(&keep_last(2));
    assert!(failed.as_ref().is_err_and(|e| e.to_string().contains("MANIFEST")), "{failed:?}");
    drop(store);
    assert_eq!(fs::read(path("s").join("MANIFEST")).unwrap(), older);
}

#[test]
fn segments_of_another_store_are_neither_removed_nor_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    drop(store_with(&path("other"), 100..130));
    drop(store_with(&path("s"), 0..5));
    let other = segments(&path("other"));
    let foreign = fs::read(&other[0]).unwrap();
    let own = segments(&path("s")).len();
    // One looks like what compaction left, one takes the place of a segment that is still to come.
    let leftover = path("s").join("0000000-7.segment");
    fs::write(&leftover, &foreign).unwrap();
    let next = path("s").join(format!("{:07}-0.segment", own + 1));
    fs::write(&next, &foreign).unwrap();
    let store = options().open(path("s")).unwrap();
    assert_eq!(fs::read(&leftover).unwrap(), foreign, "it was taken for a leftover");
    let mut acknowledged = 4;
    let failed = (5..60).find_map(|tick| {
        let made = store.checkpoint(&world(tick));
        acknowledged += u32::from(made.is_ok());
        made.err()
    });
    let failed = failed.expect("a segment cannot be begun").to_string();
    assert!(failed.contains("another store"), "{failed}");
    drop(store);
    let refused = options().open(path("s"));
    assert!(refused.as_ref().is_err_and(|e| e.to_string().contains("another store")), "{refused:?}");
    assert_eq!((fs::read(&leftover).unwrap(), fs::read(&next).unwrap()), (foreign.clone(), foreign));
    fs::remove_file(&next).unwrap();
    let store = options().open(path("s")).unwrap();
    assert_eq!(store.latest::<World>().unwrap(), Some(world(acknowledged)));
}

#[test]
fn a_reader_never_shows_the_state_of_another_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    drop((store_with(&path("s"), 0..5), store_with(&path("other"), 100..130)));
    let mut reader = options().read_only(true).open(path("s")).unwrap();
    copy(&path("other"), &path("s"));
    let refused = reader.refresh();
    assert!(refused.as_ref().is_err_and(|e| e.to_string().contains("another store")), "{refused:?}");
}

#[test]
fn salvage_beside_the_manifest_of_another_store_goes_by_the_segments() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    drop((store_with(&path("s"), 0..3), store_with(&path("other"), 100..130)));
    fs::copy(path("other").join("MANIFEST"), path("s").join("MANIFEST")).unwrap();
    let salvaged = Store::salvage(path("s"), path("saved")).unwrap();
    assert_eq!(salvaged.checkpoints.len(), 3, "{salvaged:?}");
    assert!(salvaged.damage.iter().any(|e| e.to_string().contains("another store")), "{salvaged:?}");
    assert_eq!(Store::open(path("saved")).unwrap().latest::<World>().unwrap(), Some(world(2)));

    // Some segments of each: those of the manifest's store are saved, the others are named.
    drop(store_with(&path("s2"), 0..30));
    let segment = segments(&path("s2"))[0].file_name().unwrap().to_owned();
    let higher = segments(&path("other")).pop().unwrap();
    fs::copy(&higher, path("s2").join("0000050-0.segment")).unwrap();
    fs::copy(path("other").join(&segment), path("s2").join("0000000-9.segment")).unwrap();
    fs::remove_file(path("s2").join("MANIFEST")).unwrap();
    let salvaged = Store::salvage(path("s2"), path("saved2")).unwrap();
    assert_eq!(salvaged.checkpoints.len(), 30, "{salvaged:?}");
    let named = salvaged.damage.iter().filter(|e| e.to_string().contains("another store")).count();
    assert_eq!(named, 2, "{salvaged:?}");
}

#[test]
fn copies_are_refused_into_the_store_by_whatever_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let store = store_with(&path("s"), 0..3);
    std::os::unix::fs::symlink(path("s"), path("link")).unwrap();
    fs::rename(path("s"), path("moved")).unwrap();
    fs::create_dir(path("s")).unwrap();
    // The store lies elsewhere by now, and its old path is free.
    assert!(matches!(store.backup(path("moved")), Err(Error::SameDirectory { .. })));
    let refused = store.migrate(path("moved"), |_, world: World| Ok(world));
    assert!(matches!(refused, Err(Error::SameDirectory { .. })), "{refused:?}");
    store.backup(path("link")).unwrap();
    assert_eq!(options().open(path("s")).unwrap().latest::<World>().unwrap(), Some(world(2)));
}

#[test]
fn many_open_an_absent_store_at_once_and_one_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..50 {
        let path = dir.path().join(round.to_string());
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(|| options().open(&path))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(opened.iter().filter(|opened| opened.is_ok()).count(), 1);
        let locked = |opened: &Result<Store, Error>| matches!(opened, Err(Error::Locked { .. }));
        assert_eq!(opened.iter().filter(|opened| locked(opened)).count(), 5, "{opened:?}");
    }
}

#[test]
fn a_link_that_leads_nowhere_is_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    std::os::unix::fs::symlink(dir.path().join("nothing/there"), &link).unwrap();
    let refused = Store::open(&link);
    assert!(matches!(refused, Err(Error::NotAStore { .. })), "{refused:?}");
}
