//! Directories that hold something else than a whole store: each is told apart, none is taken for an empty one.

use super::*;
use crate::error::Error;
use crate::storage::FileStorage;
use crate::store::Location;

fn store_with_commits() -> (MemoryStorage, Model) {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(70));
    let log = open(&storage, &small()).unwrap();
    model.step(&log, &mut noise, 200, 100).unwrap();
    model.step(&log, &mut noise, 20, 100).unwrap();
    (storage, model)
}

fn expect_not_a_store(storage: &MemoryStorage, part_of_message: &str) {
    for options in [small(), small().read_only(true)] {
        let names = storage.list().unwrap();
        let error = open(storage, &options).err().unwrap();
        assert!(matches!(error, Error::NotAStore { .. }), "{error}");
        assert!(error.to_string().contains(part_of_message), "{error}");
        assert_eq!(storage.list().unwrap(), names);
    }
}

#[test]
fn a_store_that_is_absent_is_created_only_if_allowed() {
    let storage = MemoryStorage::new();
    assert!(matches!(open(&storage, &small().create(false)), Err(Error::NotAStore { .. })));
    assert_eq!(storage.list().unwrap(), Vec::<String>::new());
    let log = open(&storage, &small()).unwrap();
    assert!(log.latest().is_none());
    assert_eq!(log.commits().count(), 0);
    drop(log);
    assert!(open(&storage, &small().create(false)).unwrap().latest().is_none());
    assert!(open(&storage, &small().read_only(true)).unwrap().latest().is_none());
}

#[test]
fn who_only_reads_is_not_told_to_create_a_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("world");
    let told = |options: &Options| options.open(&path).err().unwrap().to_string();
    let readers = [small().read_only(true), small().read_only(true).create(false)];
    let expect = |found: &str, other: &Options| {
        for reader in &readers {
            let text = told(reader);
            assert!(
                text.contains(&format!("{} is not a perennial store: {found}", path.display())),
                "{text}"
            );
            assert!(text.contains("to only read, a store must be there"), "{text}");
            assert!(!text.contains("allow") && !text.contains("name a directory that is empty"), "{text}");
        }
        let text = told(other);
        assert!(text.contains(found) && !text.contains("to only read"), "{text}");
    };
    let writer = small().create(false);
    expect("nothing is there", &writer);
    assert!(!path.exists());
    std::fs::create_dir(&path).unwrap();
    expect("it is an empty directory", &writer);
    std::fs::write(path.join("LOCK"), "").unwrap();
    expect("a store was begun there and not finished", &writer);
    std::fs::write(path.join("notes.txt"), "").unwrap();
    expect("it holds other files, such as \"notes.txt\"", &small());
    assert_eq!(std::fs::read_dir(&path).unwrap().count(), 2);
}

#[test]
fn a_missing_manifest_is_an_error() {
    let (storage, _) = store_with_commits();
    storage.remove("MANIFEST").unwrap();
    expect_not_a_store(&storage, "no MANIFEST");
}

#[test]
fn an_empty_manifest_is_an_error() {
    let (storage, _) = store_with_commits();
    storage.remove("MANIFEST").unwrap();
    storage.create("MANIFEST", 0).unwrap();
    expect_not_a_store(&storage, "empty");
}

#[test]
fn a_garbled_manifest_is_an_error() {
    let (storage, _) = store_with_commits();
    let whole = contents(&storage, "MANIFEST");
    file(&storage, "MANIFEST").write_all_at(b"garbage", 20).unwrap();
    assert!(open(&storage.copy(), &small()).is_ok(), "the other slot is whole");
    file(&storage, "MANIFEST").write_all_at(b"garbage", whole.len() as u64 / 2 + 20).unwrap();
    expect_not_a_store(&storage, "damaged");
    file(&storage, "MANIFEST").write_all_at(b"garbage!", 0).unwrap();
    expect_not_a_store(&storage, "does not start as one");
}

#[test]
fn a_directory_of_other_files_is_left_alone() {
    let storage = MemoryStorage::new();
    storage.create("thesis.tex", 10).unwrap();
    expect_not_a_store(&storage, "thesis.tex");
}

#[test]
fn what_a_crash_at_the_first_opening_leaves_is_a_new_store() {
    let storage = MemoryStorage::new();
    storage.create("LOCK", 11).unwrap();
    storage.create("MANIFEST.tmp", 30).unwrap();
    assert!(open(&storage, &small()).unwrap().latest().is_none());
}

#[test]
fn another_format_version_is_named() {
    let (storage, _) = store_with_commits();
    let name = "0000000-0.segment";
    let mut header = contents(&storage, name)[..40].to_vec();
    header[8] = 200;
    let flipped = storage.copy();
    file(&flipped, name).write_all_at(&header, 0).unwrap();
    let sum = xxhash_rust::xxh3::xxh3_64(&header[..32]);
    header[32..].copy_from_slice(&sum.to_le_bytes());
    file(&storage, name).write_all_at(&header, 0).unwrap();
    let error = open(&storage, &small().read_only(true)).err().unwrap();
    assert!(matches!(error, Error::FormatVersion { found: 200, expected: 2, .. }), "{error}");
    // Where the checksum does not hold, it is damage.
    let error = open(&flipped, &small().read_only(true)).err().unwrap();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[test]
fn a_missing_or_truncated_segment_is_corrupt() {
    let (storage, model) = store_with_commits();
    let names: Vec<_> =
        storage.list().unwrap().into_iter().filter(|name| name.ends_with(".segment")).collect();
    assert!(names.len() > 1);
    for name in names {
        for truncated in [None, Some(0), Some(511), Some((8 << 10) - 1)] {
            let storage = storage.copy();
            let bytes = contents(&storage, &name);
            storage.remove(&name).unwrap();
            if let Some(len) = truncated {
                storage.create(&name, 0).unwrap().write_all_at(&bytes[..len], 0).unwrap();
            }
            let error = open(&storage, &small()).and_then(|log| model.try_check(&log)).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{error}");
            assert!(matches!(open(&storage, &small().read_only(true)), Err(Error::Corrupt { .. })));
        }
    }
}

#[test]
fn a_truncated_segment_of_the_file_system_is_an_error_and_not_a_signal() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Log::open(Arc::new(FileStorage::open(directory.path(), true)?), &small(), directory.path());
    let (mut model, mut noise) = (Model::default(), Noise(71));
    let log = open().unwrap();
    model.step(&log, &mut noise, 20, 100).unwrap();
    drop(log);
    let path = directory.path().join("0000000-0.segment");
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(4096).unwrap();
    let error = open().err().unwrap();
    assert!(matches!(error, Error::Corrupt { segment: 0, .. }), "{error}");
    assert!(error.to_string().contains("truncated"), "{error}");
}

#[test]
fn a_segment_of_another_store_is_refused() {
    let (storage, model) = store_with_commits();
    let (other, _) = store_with_commits();
    let name = "0000000-0.segment";
    file(&storage, name).write_all_at(&contents(&other, name), 0).unwrap();
    let error = open(&storage, &small()).and_then(|log| model.try_check(&log)).unwrap_err();
    assert!(error.to_string().contains("another segment or store"), "{error}");
}

#[test]
fn a_manifest_older_than_the_segments_is_refused() {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(72));
    let log = open(&storage, &small()).unwrap();
    model.step(&log, &mut noise, 10, 100).unwrap();
    drop(log);
    let old = contents(&storage, "MANIFEST");
    let log = open(&storage, &small()).unwrap();
    model.step(&log, &mut noise, 300, 100).unwrap();
    drop(log);
    storage.remove("MANIFEST").unwrap();
    storage.create("MANIFEST", 0).unwrap().write_all_at(&old, 0).unwrap();
    let error = open(&storage, &small()).err().unwrap();
    assert!(error.to_string().contains("older than its segments"), "{error}");
}

#[test]
fn the_empty_file_of_a_segment_that_was_never_begun_is_replaced() {
    for len in [0, 100, 8 << 10] {
        let storage = MemoryStorage::new();
        drop(open(&storage, &small()).unwrap());
        storage.create("0000000-0.segment", len).unwrap();
        let (mut model, mut noise) = (Model::default(), Noise(73));
        let log = open(&storage, &small()).unwrap();
        model.step(&log, &mut noise, 10, 100).unwrap();
        model.check(&log);
    }
}

/// The directory at several moments of a store's life: after each step, closed or killed.
fn moments() -> Vec<(MemoryStorage, Model)> {
    let mut storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(74));
    let mut moments = Vec::new();
    for life in 0..5u64 {
        let log = open(&storage, &small()).unwrap();
        for step in 0..2 {
            // Now and then a segment is filled.
            let records = if life == 2 && step == 1 { 60 } else { 3 };
            model.append(&log, &mut noise, records, 100).unwrap();
            let durability = if step == 0 { Durability::Buffered } else { Durability::Sync };
            model.commit(&log, durability).unwrap();
            moments.push((storage.copy(), model.clone()));
        }
        let killed = storage.copy();
        drop(log);
        match life % 2 {
            0 => moments.push((storage.copy(), model.clone())),
            _ => storage = killed,
        }
    }
    moments
}

fn put(storage: &MemoryStorage, name: &str, bytes: &[u8]) {
    let _ = storage.remove(name);
    storage.create(name, 0).unwrap().write_all_at(bytes, 0).unwrap();
}

/// Makes sure that a store holds everything that was committed up to then, or is refused with nothing changed; tells which.
fn all_or_refused(storage: &MemoryStorage, model: &Model, what: &str) -> bool {
    let files = |storage: &MemoryStorage| {
        let names: std::collections::BTreeSet<_> = storage.list().unwrap().into_iter().collect();
        names.into_iter().map(|name| (contents(storage, &name), name)).collect::<Vec<_>>()
    };
    let before = files(storage);
    let is_refused = |error: &Error| {
        assert!(matches!(error, Error::NotAStore { .. } | Error::Corrupt { .. }), "{what}: {error}");
        assert!(error.to_string().contains("salvage"), "{what}: {error}");
    };
    let reader = open(storage, &small().read_only(true)).map(drop);
    match open(storage, &small()) {
        Ok(log) => {
            let newest = log.latest().map_or(0, |commit| commit.id);
            assert_eq!(newest, model.newest(), "{what}");
            assert!(reader.is_ok(), "{what}");
            match model.try_check(&log) {
                Ok(()) => return true,
                Err(error) => is_refused(&error),
            }
        }
        Err(error) => {
            is_refused(&error);
            assert!(reader.is_err(), "{what}");
            assert!(files(storage) == before, "{what}: something was changed");
        }
    }
    false
}

#[test]
fn a_manifest_of_an_older_time_gives_everything_or_is_refused() {
    let moments = moments();
    let (mut right, mut refused) = (0, 0);
    for (newer, (storage, model)) in moments.iter().enumerate() {
        for (older, (old, _)) in moments[..=newer].iter().enumerate() {
            let mixed = storage.copy();
            put(&mixed, "MANIFEST", &contents(old, "MANIFEST"));
            match all_or_refused(&mixed, model, &format!("the manifest of moment {older} at {newer}")) {
                true => right += 1,
                false => refused += 1,
            }
        }
    }
    println!("{right} right, {refused} refused");
    assert!(right > moments.len() && refused > 20, "{right} right, {refused} refused");
}

#[test]
fn salvage_beside_an_older_manifest_finds_what_was_committed_since() {
    let moments = moments();
    let (storage, model) = moments.last().unwrap();
    for (old, _) in &moments {
        let mixed = storage.copy();
        put(&mixed, "MANIFEST", &contents(old, "MANIFEST"));
        let new = MemoryStorage::new();
        let salvaged = crate::store::Store::salvage(
            Location::storage(Arc::new(mixed), "<old>"),
            Location::storage(Arc::new(new.clone()), Path::new("new")),
        )
        .unwrap();
        let saved: Vec<_> = salvaged.checkpoints.iter().map(|id| id.0).collect();
        assert!(saved.iter().eq(model.commits.keys()), "{saved:?}, {:?}", salvaged.lost);
    }
}

#[test]
fn segments_of_an_older_time_are_refused_where_they_are_met() {
    let moments = moments();
    let mut refused = 0;
    for (newer, (storage, model)) in moments.iter().enumerate() {
        for (older, (old, _)) in moments[..newer].iter().enumerate() {
            for name in old.list().unwrap().into_iter().filter(|name| name.ends_with(".segment")) {
                let mixed = storage.copy();
                put(&mixed, &name, &contents(old, &name));
                let what = format!("{name} of moment {older} at {newer}");
                // What was never acknowledged as durable may be missing: nobody can tell this from a power cut.
                let newest =
                    open(&mixed.copy(), &small()).map(|log| log.latest().map_or(0, |commit| commit.id));
                let mut model = model.clone();
                match newest {
                    Ok(newest) if newest < model.newest() => model.cut(newest),
                    _ => {}
                }
                refused += usize::from(!all_or_refused(&mixed, &model, &what));
            }
        }
    }
    assert!(refused > 20, "{refused}");
}
