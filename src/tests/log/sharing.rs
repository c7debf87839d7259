//! Several readers, several threads, several openings.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::*;
use crate::error::Error;
use crate::storage::FileStorage;

#[test]
fn a_second_writer_is_refused_until_the_first_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let stores: [Arc<dyn Storage>; 2] =
        [Arc::new(MemoryStorage::new()), Arc::new(FileStorage::open(path, true).unwrap())];
    for storage in stores {
        let log = Log::open(Arc::clone(&storage), &small(), path).unwrap();
        let refused = Log::open(Arc::clone(&storage), &small(), path).err().unwrap();
        assert!(matches!(&refused, Error::Locked { pid, .. } if *pid == std::process::id()), "{refused}");
        // A lazy node keeps the opening, not the lock.
        let opening = Arc::clone(log.opening());
        drop(log);
        Log::open(storage, &small(), path).unwrap();
        drop(opening);
    }
}

#[test]
fn an_opening_reads_on_after_its_log_is_gone_and_its_files_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (mut model, mut noise) = (Model::default(), Noise(80));
    let log = Log::open(Arc::new(FileStorage::open(path, true).unwrap()), &small(), path).unwrap();
    model.step(&log, &mut noise, 200, 100).unwrap();
    let opening = Arc::clone(log.opening());
    model.check(&log);
    drop(log);
    std::fs::remove_dir_all(path).unwrap();
    for written in &model.commits[&1].1 {
        assert_eq!(opening.read(written.address).unwrap().payload(), written.payload);
    }
}

#[test]
fn readers_read_while_a_writer_appends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let stores: [Arc<dyn Storage>; 2] =
        [Arc::new(MemoryStorage::new()), Arc::new(FileStorage::open(path, true).unwrap())];
    for storage in stores {
        let log = Log::open(storage, &small().cache_bytes(64 << 10), path).unwrap();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let readers: Vec<_> = (0..3)
                .map(|seed| {
                    let (log, done) = (&log, &done);
                    scope.spawn(move || {
                        let mut noise = Noise(seed);
                        let mut reads = 0;
                        while !done.load(Ordering::Relaxed) || reads < 100 {
                            let Some(newest) = log.latest() else { continue };
                            let id = 1 + noise.next(newest.id);
                            let commit = log.find(id).unwrap();
                            let root = &commit.roots[0];
                            let address = root.refs[noise.next(root.refs.len() as u64) as usize];
                            // The payload says which record it is.
                            let record = log.opening().read(address).unwrap();
                            assert_eq!(record.payload()[..8], root.payload[..8]);
                            reads += 1;
                        }
                    })
                })
                .collect();
            let head = RecordHead { kind: RecordKind::Leaf, delta: false };
            for i in 0..400u64 {
                let mut writer = log.writer().unwrap();
                let refs: Vec<_> = (0..20)
                    .map(|n| {
                        let mut payload = i.to_le_bytes().to_vec();
                        payload.resize(8 + n * 5, n as u8);
                        writer.append(head, &[], &payload).unwrap()
                    })
                    .collect();
                let root = Root { name: "r".into(), shape: refs[0], refs, payload: i.to_le_bytes().to_vec() };
                let durability = if i % 50 == 0 { Durability::Sync } else { Durability::Buffered };
                writer.commit(Draft { roots: vec![root], ..Draft::default() }, durability).unwrap();
            }
            done.store(true, Ordering::Relaxed);
            readers.into_iter().for_each(|reader| reader.join().unwrap());
        });
    }
}

#[test]
fn waiting_callers_share_a_sync_and_all_become_durable() {
    let storage = MemoryStorage::new();
    let log = open(&storage, &small()).unwrap();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let commit =
                        log.writer().unwrap().commit(Draft::default(), Durability::Buffered).unwrap();
                    assert!(log.sync().unwrap() >= commit.id);
                    assert!(log.durable() >= commit.id);
                }
            });
        }
    });
    assert_eq!(log.latest().unwrap().id, 200);
}

#[test]
fn a_reader_beside_the_writer_sees_what_was_committed_when_it_opened() {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(81));
    let log = open(&storage, &small()).unwrap();
    for round in 0..12 {
        model.step(&log, &mut noise, round * 10, 100).unwrap();
        let before = model.clone();
        let reader = open(&storage, &small().read_only(true)).unwrap();
        before.check(&reader);
        model.append(&log, &mut noise, 5, 100).unwrap();
        log.writer().unwrap().make_readable().unwrap();
        before.check(&open(&storage, &small().read_only(true)).unwrap());
        model.commit(&log, Durability::Buffered).unwrap();
        before.check(&reader);
        let refused = reader.writer().err().unwrap();
        assert!(refused.to_string().contains("read-only"), "{refused}");
    }
    drop(log);
    let names = storage.list().unwrap();
    let bytes: Vec<_> = names.iter().map(|name| contents(&storage, name)).collect();
    model.check(&open(&storage, &small().read_only(true)).unwrap());
    assert_eq!(bytes, names.iter().map(|name| contents(&storage, name)).collect::<Vec<_>>());
}

#[test]
fn readers_open_again_and_again_while_a_writer_runs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let storage: Arc<dyn Storage> = Arc::new(FileStorage::open(path, true).unwrap());
    let log = Log::open(Arc::clone(&storage), &small(), path).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut last = 0;
            while !done.load(Ordering::Relaxed) {
                let reader = Log::open(Arc::clone(&storage), &small().read_only(true), path).unwrap();
                let newest = reader.latest().map_or(0, |commit| commit.id);
                assert!(newest >= last);
                last = newest;
                assert_eq!(reader.commits().collect::<Result<Vec<_>>>().unwrap().len() as u64, newest);
            }
        });
        let (mut model, mut noise) = (Model::default(), Noise(82));
        for round in 0..300 {
            model.append(&log, &mut noise, round % 9, 100).unwrap();
            let durability = if round % 4 == 0 { Durability::Sync } else { Durability::Buffered };
            model.commit(&log, durability).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
}

#[test]
fn a_killed_store_opens_again_with_all_that_was_committed() {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(83));
    let mut storage = storage;
    for round in 0..30 {
        let log = open(&storage, &small()).unwrap();
        model.check(&log);
        for _ in 0..round % 3 {
            model.append(&log, &mut noise, noise_len(round), 100).unwrap();
            let durability = if round % 2 == 0 { Durability::Sync } else { Durability::Buffered };
            model.commit(&log, durability).unwrap();
        }
        let kept = model.newest();
        model.append(&log, &mut noise, 5, 100).unwrap();
        if round % 4 == 1 {
            log.writer().unwrap().make_readable().unwrap();
        }
        storage = storage.copy();
        // The killed process never got to its destructor.
        std::mem::forget(log);
        model.cut(kept);
    }
}

fn noise_len(round: u64) -> u64 {
    [0, 3, 40, 150][(round % 4) as usize]
}
