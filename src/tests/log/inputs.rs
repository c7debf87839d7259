//! Directories that hold something else than a whole store: each is told apart, none is taken for an empty one.

use super::*;
use crate::error::Error;
use crate::storage::FileStorage;

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
    file(&storage, "MANIFEST").write_all_at(b"garbage", 20).unwrap();
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
    file(&storage, "MANIFEST").write_all_at(&[200], 8).unwrap();
    for options in [small(), small().read_only(true)] {
        let error = open(&storage, &options).err().unwrap();
        assert!(matches!(error, Error::FormatVersion { found: 200, expected: 1, .. }), "{error}");
    }
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
    assert!(error.to_string().contains("an older one"), "{error}");
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
