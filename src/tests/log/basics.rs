//! What is written is read, through every codec, segment boundary and reopening.

use super::*;
use crate::storage::FileStorage;
use crate::store::Compression;
use crate::tests::compressions;

#[test]
fn records_and_commits_come_back_with_each_codec_in_memory_and_on_disk() {
    for compression in compressions() {
        let options = Options::new().compression(compression);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        let stores: [Arc<dyn Storage>; 2] =
            [Arc::new(MemoryStorage::new()), Arc::new(FileStorage::open(&path, true).unwrap())];
        for storage in stores {
            let (mut model, mut noise) = (Model::default(), Noise(1));
            let log = Log::open(Arc::clone(&storage), &options, &path).unwrap();
            for count in [0, 1, 5, 300, 0, 2000] {
                model.step(&log, &mut noise, count, 400).unwrap();
            }
            model.check(&log);
            let id = log.opening().store_id;
            log.close().unwrap();
            let log = Log::open(storage, &options, &path).unwrap();
            model.check(&log);
            assert_eq!(log.opening().store_id, id);
            model.step(&log, &mut noise, 10, 400).unwrap();
            model.check(&log);
        }
    }
}

#[test]
fn codecs_mix_in_one_store() {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(2));
    for compression in compressions().chain([Compression::None]) {
        let log = open(&storage, &small().compression(compression)).unwrap();
        model.step(&log, &mut noise, 100, 200).unwrap();
        model.check(&log);
    }
}

#[test]
fn a_batch_runs_over_many_segments() {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(3));
    let log = open(&storage, &small()).unwrap();
    for _ in 0..5 {
        model.step(&log, &mut noise, 500, 200).unwrap();
    }
    assert!(log.stats().segments > 20, "{:?}", log.stats());
    assert_eq!(log.stats().disk_bytes, log.stats().segments as u64 * (8 << 10));
    model.check(&log);
    drop(log);
    model.check(&open(&storage, &small()).unwrap());
}

#[test]
fn segments_fill_up_to_the_last_sector_whatever_the_sizes() {
    for max_bytes in [0, 1, 13, 100, 480, 700] {
        let storage = MemoryStorage::new();
        let (mut model, mut noise) = (Model::default(), Noise(max_bytes));
        let log = open(&storage, &Options::new().segment_bytes(4 << 10).block_bytes(256)).unwrap();
        for i in 0..60 {
            model.step(&log, &mut noise, i % 7, max_bytes).unwrap();
        }
        model.check(&log);
        drop(log);
        model.check(&open(&storage, &small()).unwrap());
    }
}

#[test]
fn a_record_larger_than_a_segment_gets_its_own() {
    for compression in compressions() {
        let storage = MemoryStorage::new();
        let (mut model, mut noise) = (Model::default(), Noise(4));
        let log = open(&storage, &small().compression(compression)).unwrap();
        let head = RecordHead { kind: RecordKind::Leaf, delta: false };
        for len in [7_000, 8_000, 9_000, 3_000_000, 10] {
            model.append(&log, &mut noise, 3, 100).unwrap();
            let payload: Vec<u8> = (0..len).map(|_| noise.next(256) as u8).collect();
            let address = log.writer().unwrap().append(head, &[], &payload).unwrap();
            model.recent.push(address);
            model.pending.push(Written { address, head, refs: vec![], payload });
        }
        model.commit(&log, Durability::Sync).unwrap();
        model.check(&log);
        drop(log);
        let log = open(&storage, &small()).unwrap();
        model.check(&log);
        // A commit can be larger than a segment, too.
        let shape = model.recent[0];
        let root = Root { name: "large".into(), shape, refs: vec![], payload: noise.payload(100_000) };
        let draft = Draft { roots: vec![root.clone()], ..Draft::default() };
        let commit = log.writer().unwrap().commit(draft, Durability::Sync).unwrap();
        drop(log);
        let log = open(&storage, &small()).unwrap();
        assert_eq!(log.latest().unwrap(), commit);
        assert_eq!(log.latest().unwrap().roots, [root]);
    }
}

#[test]
fn many_small_commits_find_each_other_after_many_openings() {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(5));
    for round in 0..40 {
        let log = open(&storage, &small()).unwrap();
        assert_eq!(log.latest().map_or(0, |commit| commit.id), model.newest());
        for _ in 0..round % 10 {
            let durability = if noise.next(2) == 0 { Durability::Sync } else { Durability::Buffered };
            model.append(&log, &mut noise, round % 4, 60).unwrap();
            model.commit(&log, durability).unwrap();
        }
        model.check(&log);
    }
    // Clean closes leave no gaps.
    assert_eq!(model.newest(), model.commits.len() as u64);
}

#[test]
fn a_commit_is_found_in_few_steps() {
    let storage = MemoryStorage::new();
    let log = open(&storage, &Options::new()).unwrap();
    for _ in 0..3000 {
        log.writer().unwrap().commit(Draft::default(), Durability::Buffered).unwrap();
    }
    for id in 1..=3000 {
        let mut here = log.latest().unwrap();
        let mut steps = 0;
        while here.id != id {
            let link = [here.jump, here.previous].into_iter().flatten().find(|link| link.id >= id).unwrap();
            here = Arc::new(log.opening().read_commit(link.address).unwrap());
            steps += 1;
        }
        assert!(steps <= 36, "{steps} steps to {id}");
    }
}

#[test]
fn a_commit_tells_what_was_written() {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(6));
    let log = open(&storage, &Options::new()).unwrap();
    let empty = model.step(&log, &mut noise, 0, 0).unwrap();
    assert!(empty.written_bytes < 100, "an empty commit takes {} bytes", empty.written_bytes);
    let first = model.step(&log, &mut noise, 100, 100).unwrap();
    let second = model.step(&log, &mut noise, 100, 100).unwrap();
    let distance = u64::from(second.part.offset - first.part.offset);
    assert!(first.written_bytes <= distance && distance < first.written_bytes + 512);
    drop(log);
    let log = open(&storage, &Options::new()).unwrap();
    assert_eq!(log.find(first.id).unwrap().written_bytes, first.written_bytes);
}

#[test]
fn what_was_not_committed_is_gone_after_reopening_and_does_no_harm() {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(7));
    for round in 0..6 {
        let log = open(&storage, &small()).unwrap();
        model.check(&log);
        model.step(&log, &mut noise, 20, 100).unwrap();
        let kept = model.newest();
        model.append(&log, &mut noise, round * 40, 200).unwrap();
        if round % 2 == 0 {
            log.writer().unwrap().make_readable().unwrap();
        }
        drop(log);
        model.cut(kept);
    }
}

#[test]
fn records_are_readable_before_their_commit_once_made_so() {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(8));
    let log = open(&storage, &small()).unwrap();
    model.append(&log, &mut noise, 10, 20).unwrap();
    assert!(log.opening().read(model.pending[9].address).is_err());
    log.writer().unwrap().make_readable().unwrap();
    for written in &model.pending {
        assert_eq!(log.opening().read(written.address).unwrap().payload(), written.payload);
    }
    model.append(&log, &mut noise, 10, 20).unwrap();
    model.commit(&log, Durability::Sync).unwrap();
    model.check(&log);
    drop(log);
    model.check(&open(&storage, &small()).unwrap());
}

#[test]
fn a_commit_too_large_is_refused_and_the_records_stay_in_the_batch() {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(9));
    let log = open(&storage, &small()).unwrap();
    model.append(&log, &mut noise, 10, 20).unwrap();
    let root = |refs| Root { name: "r".into(), shape: model.recent[0], refs, payload: vec![] };
    let many = vec![model.recent[1]; (1 << 30) / 20];
    let draft = Draft { roots: vec![root(many)], ..Draft::default() };
    let refused = log.writer().unwrap().commit(draft, Durability::Sync);
    assert!(matches!(refused, Err(crate::Error::Limit { .. })));
    model.commit(&log, Durability::Sync).unwrap();
    model.check(&log);
}
