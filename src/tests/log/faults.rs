//! Torn tails, flipped bits, failed system calls, power cuts.

use std::collections::BTreeSet;

use super::*;
use crate::error::Error;
use crate::storage::{Fate, Fault, SimStorage};
use crate::store::Compression;
use crate::tests::compressions;

fn plain() -> Options {
    Options::new().segment_bytes(64 << 10).block_bytes(512).compression(Compression::None)
}

/// A store that was never closed, with a batch for each of `durabilities` in its one segment.
fn killed(durabilities: &[Durability], records: u64) -> (MemoryStorage, Model, Vec<Commit>) {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(40));
    let log = open(&storage, &plain()).unwrap();
    let mut commits = Vec::new();
    for &durability in durabilities {
        model.append(&log, &mut noise, records, 100).unwrap();
        commits.push((*model.commit(&log, durability).unwrap()).clone());
    }
    let copy = storage.copy();
    drop(log);
    (copy, model, commits)
}

fn range_of(commit: &Commit) -> std::ops::Range<u64> {
    let start = u64::from(commit.part.offset);
    start..start + commit.written_bytes
}

fn write(storage: &MemoryStorage, commit: &Commit, at: u64, bytes: &[u8]) {
    file(storage, &segment_of(commit)).write_all_at(bytes, at).unwrap();
}

fn flip(storage: &MemoryStorage, name: &str, at: u64, bit: u32) {
    let byte = contents(storage, name)[at as usize];
    file(storage, name).write_all_at(&[byte ^ 1 << bit], at).unwrap();
}

const SYNCS: [Durability; 3] = [Durability::Sync; 3];

#[test]
fn a_batch_torn_at_any_byte_is_cut_and_the_one_before_stays() {
    let (storage, model, commits) = killed(&SYNCS, 12);
    model.check(&open(&storage.copy(), &plain()).unwrap());
    let mut cut = model.clone();
    cut.cut(commits[1].id);
    let whole = contents(&storage, &segment_of(&commits[2]));
    let mut noise = Noise(1);
    for at in range_of(&commits[2]) {
        for garbage in [false, true] {
            let storage = storage.copy();
            let mut tail = vec![0; whole.len() - at as usize];
            if garbage {
                tail.iter_mut().for_each(|byte| *byte = noise.next(256) as u8);
                // Not what was there, by chance.
                tail[0] = !whole[at as usize];
            }
            let torn = whole[at as usize..range_of(&commits[2]).end as usize].iter().any(|&byte| byte != 0);
            write(&storage, &commits[2], at, &tail);
            let log = open(&storage, &plain()).unwrap();
            let expected = if torn || garbage { commits[1].id } else { commits[2].id };
            assert_eq!(log.latest().unwrap().id, expected, "torn at {at}");
            if at % 16 == 0 && expected == commits[1].id {
                let mut cut = cut.clone();
                cut.check(&log);
                let commit = cut.step(&log, &mut noise, 7, 50).unwrap();
                assert!(commit.id > commits[2].id, "the id of a cut commit is not used again");
                drop(log);
                cut.check(&open(&storage, &plain()).unwrap());
            }
        }
    }
}

#[test]
fn a_batch_that_misses_any_sectors_is_cut() {
    let (storage, _, commits) = killed(&SYNCS, 40);
    let range = range_of(&commits[2]);
    let whole = contents(&storage, &segment_of(&commits[2]));
    let mut noise = Noise(2);
    for _ in 0..200 {
        let storage = storage.copy();
        let mut missing = false;
        for start in range.clone().step_by(512) {
            let end = (start + 512).min(range.end);
            if noise.next(4) == 0 && whole[start as usize..end as usize].iter().any(|&byte| byte != 0) {
                write(&storage, &commits[2], start, &vec![0; (end - start) as usize]);
                missing = true;
            }
        }
        let expected = if missing { commits[1].id } else { commits[2].id };
        assert_eq!(open(&storage, &plain()).unwrap().latest().unwrap().id, expected);
    }
}

#[test]
fn damage_to_what_a_later_commit_knows_to_be_durable_is_corrupt_and_changes_nothing() {
    let (storage, _, commits) = killed(&SYNCS, 12);
    for damaged in &commits[..2] {
        for at in range_of(damaged) {
            let storage = storage.copy();
            flip(&storage, &segment_of(damaged), at, (at % 8) as u32);
            if at % 2 == 0 {
                // The last batch lost its beginning as well, but its commit still says what it knew.
                write(&storage, &commits[2], range_of(&commits[2]).start, &[0; 64]);
            }
            let names: BTreeSet<_> = storage.list().unwrap().into_iter().collect();
            let before: Vec<_> = names.iter().map(|name| contents(&storage, name)).collect();
            let error = open(&storage, &plain()).err().unwrap();
            let start = range_of(damaged).start;
            assert!(
                matches!(error, Error::Corrupt { segment: 0, offset, .. } if (start..=at).contains(&offset)),
                "{error}"
            );
            let after: Vec<_> = names.iter().map(|name| contents(&storage, name)).collect();
            assert!(before == after && storage.list().unwrap().len() == names.len());
        }
    }
}

#[test]
fn damage_to_commits_that_were_never_synced_is_a_power_cut() {
    let durabilities = [Durability::Sync, Durability::Buffered, Durability::Buffered, Durability::Buffered];
    let (storage, model, commits) = killed(&durabilities, 12);
    for (i, damaged) in commits.iter().enumerate().skip(1) {
        let storage = storage.copy();
        flip(&storage, &segment_of(damaged), range_of(damaged).start + 40, 3);
        let log = open(&storage, &plain()).unwrap();
        let mut model = model.clone();
        model.cut(commits[i - 1].id);
        model.check(&log);
        let next = model.step(&log, &mut Noise(1), 3, 10).unwrap();
        assert!(next.id > commits[3].id, "the id of a lost commit is not used again");
    }
}

#[test]
fn an_id_is_never_used_twice_however_often_commits_are_lost() {
    for first in [Durability::Sync, Durability::Buffered] {
        let mut disk = SimStorage::new();
        let mut used = BTreeSet::new();
        for life in 0..6 {
            let log = open(&disk, &plain()).unwrap();
            for nth in 0..3 {
                let durability = if life == 0 && nth == 0 { first } else { Durability::Buffered };
                let commit = log.writer().unwrap().commit(Draft::default(), durability).unwrap();
                assert!(used.insert(commit.id), "life {life}: {} was used before: {used:?}", commit.id);
            }
            std::mem::forget(log);
            disk = disk.crash_point().image(0, |_| Fate::Vanishes);
        }
    }
}

#[test]
fn commits_that_were_cut_never_come_back() {
    let durabilities = [Durability::Sync, Durability::Buffered, Durability::Buffered, Durability::Buffered];
    let (storage, mut model, commits) = killed(&durabilities, 12);
    // The first lost batch is overwritten by one of the same length, behind which the next lost one lies whole.
    flip(&storage, &segment_of(&commits[1]), range_of(&commits[1]).start + 40, 3);
    let lost = model.commits[&commits[1].id].1.clone();
    model.cut(commits[0].id);
    let log = open(&storage, &plain()).unwrap();
    for written in lost {
        let address = log.writer().unwrap().append(written.head, &written.refs, &written.payload).unwrap();
        assert_eq!(address, written.address);
        model.recent.push(address);
        model.pending.push(Written { address, ..written });
    }
    let commit = model.commit(&log, Durability::Sync).unwrap();
    let end = |commit: &Commit| range_of(commit).end.div_ceil(512);
    assert_eq!(end(&commit), end(&commits[1]), "the test needs batches of one length");
    let killed = storage.copy();
    drop(log);
    for storage in [killed, storage] {
        let log = open(&storage, &plain()).unwrap();
        model.check(&log);
        model.clone().step(&log, &mut Noise(3), 1, 10).unwrap();
    }
}

#[test]
fn a_stale_block_in_the_place_of_a_newer_one_is_not_read() {
    let (storage, mut model, commits) = killed(&SYNCS, 12);
    let before = contents(&storage, &segment_of(&commits[2]));
    // Cut the last batch, and write another one of the same shape over it.
    flip(&storage, &segment_of(&commits[2]), range_of(&commits[2]).end - 1, 0);
    let lost = model.commits[&commits[2].id].1.clone();
    model.cut(commits[1].id);
    let log = open(&storage, &plain()).unwrap();
    for written in lost {
        let payload: Vec<u8> = written.payload.iter().map(|byte| byte ^ 1).collect();
        let address = log.writer().unwrap().append(written.head, &written.refs, &payload).unwrap();
        model.recent.push(address);
        model.pending.push(Written { address, payload, ..written });
    }
    model.commit(&log, Durability::Sync).unwrap();
    drop(log);
    // The medium lost the newer write to the first block, and shows what was there before.
    let start = range_of(&commits[2]).start as usize;
    let stored_bytes = u32::from_le_bytes(before[start + 12..start + 16].try_into().unwrap()) as usize;
    write(&storage, &commits[2], start as u64, &before[start..start + 32 + stored_bytes]);
    let log = open(&storage, &plain()).unwrap();
    assert!(matches!(model.try_check(&log), Err(Error::Corrupt { .. })));
}

#[test]
fn a_flip_anywhere_in_a_closed_store_is_an_error_or_harmless() {
    for compression in compressions() {
        let options = Options::new().segment_bytes(4 << 10).block_bytes(512).compression(compression);
        let storage = MemoryStorage::new();
        let (mut model, mut noise) = (Model::default(), Noise(50));
        for _ in 0..3 {
            let log = open(&storage, &options).unwrap();
            for _ in 0..2 {
                model.step(&log, &mut noise, 8, 80).unwrap();
            }
        }
        model.check(&open(&storage, &options).unwrap());
        let batches: Vec<_> = model.commits.values().map(|(commit, _)| commit.clone()).collect();
        let names: Vec<_> = storage.list().unwrap().into_iter().filter(|name| name != "LOCK").collect();
        assert!(names.len() >= 3, "{names:?}");
        for name in names {
            for at in 0..contents(&storage, &name).len() as u64 {
                let storage = storage.copy();
                flip(&storage, &name, at, (at % 8) as u32);
                let checked = open(&storage, &options).and_then(|log| model.try_check(&log));
                let in_batch =
                    batches.iter().any(|commit| segment_of(commit) == name && range_of(commit).contains(&at));
                // A batch that began in the segment before has its own part at the start of the segment.
                let in_batch =
                    in_batch && batches.iter().all(|c| c.part.offset != 512 || segment_of(c) != name);
                if name == "MANIFEST" {
                    assert!(checked.is_ok(), "the other slot is whole: {checked:?}");
                } else if at < 40 || in_batch {
                    assert!(checked.is_err(), "a flip at {at} of {name} was not noticed");
                }
            }
        }
    }
}

/// A run of commits over several segments, until it ends or fails.
fn run(log: &Log, model: &mut Model, noise: &mut Noise) -> Result<()> {
    run_rounds(log, model, noise, 12)
}

fn run_rounds(log: &Log, model: &mut Model, noise: &mut Noise, rounds: u64) -> Result<()> {
    for round in 0..rounds {
        model.append(log, noise, round % 5 * 8, 120)?;
        if round % 3 == 1 {
            log.writer()?.make_readable()?;
            model.append(log, noise, 3, 50)?;
        }
        if round % 4 == 2 {
            model.commit(log, Durability::Buffered)?;
            if rounds < 12 && noise.next(2) == 0 {
                continue;
            }
            model.durable = log.sync()?;
        } else {
            model.commit(log, Durability::Sync)?;
        }
    }
    Ok(())
}

/// Checks a store after a failure: all that was acknowledged as durable, or more of what was acknowledged, or also the commit that was being written.
fn check_reopened(log: &Log, model: &mut Model) {
    let newest = log.latest();
    let newest_id = newest.as_ref().map_or(0, |newest| newest.id);
    assert!(newest_id >= model.durable, "commit {} was acknowledged and is gone", model.durable);
    if newest_id > model.newest() {
        let records = std::mem::take(&mut model.pending);
        model.commits.insert(newest_id, ((*newest.unwrap()).clone(), records));
    } else {
        model.cut(newest_id);
    }
    // What recovery shows is durable from then on.
    model.durable = newest_id;
    model.check(log);
}

#[test]
fn any_failing_call_poisons_the_writer_and_loses_nothing_acknowledged() {
    for fault in [Fault::Refuse, Fault::Full, Fault::Short, Fault::Late] {
        any_failing_call(fault, false);
    }
}

#[test]
fn any_failing_call_of_a_second_opening_loses_nothing_acknowledged() {
    for fault in [Fault::Refuse, Fault::Full, Fault::Short, Fault::Late] {
        any_failing_call(fault, true);
    }
}

/// Plants the fault at each call in turn, of the opening that makes the store or of the one after it.
fn any_failing_call(fault: Fault, is_second: bool) {
    let (mut failures, mut harmless) = (0, 0);
    for call in 0.. {
        let disk = SimStorage::new();
        let (mut model, mut noise) = (Model::default(), Noise(60));
        if is_second {
            model.step(&open(&disk, &small()).unwrap(), &mut noise, 5, 60).unwrap();
        }
        disk.plant(disk.operations() + call, fault);
        let Ok(log) = open(&disk, &small()) else {
            failures += 1;
            check_reopened(&open(&disk, &small()).unwrap(), &mut model);
            continue;
        };
        let ended = run(&log, &mut model, &mut noise);
        if ended.is_ok() && disk.struck() == 0 {
            assert!(call > 40, "only {call} calls");
            break;
        }
        failures += 1;
        assert!(ended.is_err(), "the failure of call {call} went unnoticed");
        if fault == Fault::Full && log.writer().unwrap().make_readable().is_ok() {
            // Before anything was in doubt: the same writer goes on, or is closed, or dies.
            harmless += 1;
            let acknowledged = Model { pending: Vec::new(), ..model.clone() };
            acknowledged.check(&open(&disk.crash_point().killed(), &small()).unwrap());
            if call % 2 == 0 {
                run(&log, &mut model, &mut noise).unwrap();
            } else {
                model = acknowledged;
            }
            model.check(&log);
            drop(log);
            model.check(&open(&disk, &small()).unwrap());
            continue;
        }
        assert!(matches!(log.writer().unwrap().make_readable(), Err(Error::Poisoned { .. })));
        let refused = log.writer().unwrap().commit(Draft::default(), Durability::Sync);
        assert!(matches!(refused, Err(Error::Poisoned { .. })));
        assert!(matches!(log.sync(), Err(Error::Poisoned { .. })));
        let acknowledged = Model { pending: Vec::new(), ..model.clone() };
        assert_eq!(log.latest().map_or(0, |commit| commit.id), acknowledged.newest());
        acknowledged.check(&log);
        drop(log);
        let log = open(&disk, &small()).unwrap();
        check_reopened(&log, &mut model);
        run(&log, &mut model, &mut noise).unwrap();
        model.check(&log);
        drop(log);
        model.check(&open(&disk, &small()).unwrap());
    }
    assert!(failures > 40 && (harmless > 4) == (fault == Fault::Full), "{failures} and {harmless}");
}

/// The one case that nobody can tell apart: see "Torn or damaged?" in `docs::durability`.
#[test]
fn damage_to_the_very_last_commit_counts_as_torn_until_anything_recorded_that_it_was_durable() {
    let (storage, model, commits) = killed(&SYNCS, 12);
    let damage = |storage: &MemoryStorage, commit: &Commit| {
        flip(storage, &segment_of(commit), range_of(commit).end - 1, 3);
    };
    let unwitnessed = storage.copy();
    damage(&unwitnessed, &commits[2]);
    assert_eq!(open(&unwitnessed, &plain()).unwrap().latest().unwrap().id, commits[1].id);
    // Each of these is a witness: a clean close, the next commit, a segment begun after it.
    let closed = storage.copy();
    model.check(&open(&closed, &plain()).unwrap());
    damage(&closed, &commits[2]);
    let next = storage.copy();
    let log = open(&next, &plain()).unwrap();
    log.writer().unwrap().commit(Draft::default(), Durability::Sync).unwrap();
    std::mem::forget(log);
    damage(&next, &commits[2]);
    for witnessed in [closed.copy(), next.copy()] {
        let error = open(&witnessed, &plain()).and_then(|log| log.commits().collect::<Result<Vec<_>>>());
        assert!(matches!(error, Err(Error::Corrupt { .. })), "{error:?}");
    }
}

#[test]
fn a_full_disk_leaves_the_store_as_it_was_and_room_lets_it_go_on() {
    for room in [0, 600, 5_000, 9_000, 20_000, 40_000] {
        let disk = SimStorage::new();
        let (mut model, mut noise) = (Model::default(), Noise(5));
        let log = open(&disk, &small()).unwrap();
        model.step(&log, &mut noise, 5, 60).unwrap();
        let used: usize = disk.list().unwrap().iter().map(|name| disk.contents(name).unwrap().len()).sum();
        disk.set_capacity(Some(used as u64 + room));
        let full = (0..100).find_map(|_| model.step(&log, &mut noise, 20, 200).err()).expect("it fills up");
        assert!(full.to_string().contains("space"), "{full}");
        assert!(log.writer().unwrap().make_readable().is_ok(), "only room was missing");
        model.check(&log);
        let mut same_life = model.clone();
        let killed = disk.crash_point().killed();
        // With room it goes on, what was appended before included.
        disk.set_capacity(None);
        same_life.step(&log, &mut noise, 20, 200).unwrap();
        same_life.check(&log);
        drop(log);
        same_life.check(&open(&disk, &small()).unwrap());
        // Opened on the full disk it reads; with room it writes.
        let disk = killed;
        disk.set_capacity(Some(used as u64 + room));
        model.cut(model.newest());
        model.check(&open(&disk, &small()).unwrap());
        disk.set_capacity(None);
        let log = open(&disk, &small()).unwrap();
        model.step(&log, &mut noise, 20, 200).unwrap();
        model.check(&log);
    }
}

#[test]
fn a_batch_that_filled_the_disk_in_vain_takes_no_room_from_the_next_try() {
    let disk = SimStorage::new();
    let used = |disk: &SimStorage| -> u64 {
        disk.list().unwrap().iter().map(|name| disk.contents(name).unwrap().len() as u64).sum()
    };
    let mut model = Model::default();
    model.step(&open(&disk, &small()).unwrap(), &mut Noise(6), 5, 60).unwrap();
    let write = |disk: &SimStorage, model: &mut Model| -> Result<()> {
        let log = open(disk, &small())?;
        let done = model.step(&log, &mut Noise(7), 800, 200).map(drop);
        if done.is_err() {
            model.cut(model.newest());
        }
        model.check(&log);
        done
    };
    let roomy = disk.crash_point().image(0, |_| Fate::Lands);
    write(&roomy, &mut model.clone()).unwrap();
    let (before, enough) = (used(&disk), used(&roomy));
    let mut tries = 0;
    for capacity in (before..2 * enough).step_by(8 << 10) {
        disk.set_capacity(Some(capacity));
        tries += 1;
        if write(&disk, &mut model).is_ok() {
            break;
        }
    }
    // The segment that was active when the first try began, half empty, and that of the last one.
    let bound = enough + 2 * (8 << 10);
    assert!(
        tries > 5 && used(&disk) <= bound,
        "{} bytes after {tries} tries, {enough} after one",
        used(&disk)
    );
    let log = open(&disk, &small()).unwrap();
    model.check(&log);
    assert!(crate::log::verify(&log, &mut |_| ()).unwrap().is_clean());
}

#[test]
fn a_disk_that_loses_or_misplaces_operations_gives_the_truth_or_an_error() {
    let (mut struck, mut noticed) = (0, 0);
    for fault in [Fault::Lose, Fault::Misdirect] {
        for call in 0..90 {
            let disk = SimStorage::new();
            disk.plant(call, fault);
            let (mut model, mut noise) = (Model::default(), Noise(61));
            let Ok(log) = open(&disk, &small()) else { continue };
            let _ = run(&log, &mut model, &mut noise);
            struck += disk.struck();
            let cut = disk.crash_point().random_image(call);
            drop(log);
            for disk in [cut, disk] {
                // `try_check` panics where anything else is read than was written.
                let truth = open(&disk, &small()).and_then(|log| {
                    let mut model = model.clone();
                    model.cut(log.latest().map_or(0, |commit| commit.id));
                    model.try_check(&log)
                });
                noticed += usize::from(truth.is_err());
            }
        }
    }
    assert!(struck > 80 && noticed > 40, "{struck} faults, {noticed} noticed");
}

/// A store of several segments, opened and closed a few times, one that died in the end.
fn small_store(options: &Options) -> (MemoryStorage, Model) {
    let storage = MemoryStorage::new();
    let (mut model, mut noise) = (Model::default(), Noise(51));
    for round in 0..3 {
        let log = open(&storage, options).unwrap();
        model.step(&log, &mut noise, 6, 80).unwrap();
        model.append(&log, &mut noise, 4, 60).unwrap();
        model.commit(&log, Durability::Buffered).unwrap();
        model.durable = log.sync().unwrap();
        model.step(&log, &mut noise, 3, 80).unwrap();
        if round == 2 {
            let copy = storage.copy();
            drop(log);
            return (copy, model);
        }
    }
    unreachable!("the last round returns")
}

/// Opens a damaged store. Panics where it reads anything else than was written; what it reads is a run of commits from
/// the first one on.
fn truth_or_error(storage: &MemoryStorage, options: &Options, model: &Model) -> bool {
    let read = |log: Log| {
        let mut model = model.clone();
        model.cut(log.latest().map_or(0, |commit| commit.id));
        let verified = crate::log::verify(&log, &mut |_| ())?.into_result();
        let read = model.try_check(&log);
        assert!(read.is_ok() || verified.is_err(), "what cannot be read is found by verify: {read:?}");
        read.map(|()| model.newest())
    };
    open(storage, options).and_then(read).is_ok_and(|newest| newest == model.newest())
}

#[test]
fn any_bit_flipped_and_any_truncation_give_the_truth_or_an_error() {
    let options = Options::new().segment_bytes(4 << 10).block_bytes(512).compression(Compression::Lz4);
    let (storage, model) = small_store(&options);
    assert!(truth_or_error(&storage, &options, &model));
    let (mut images, mut harmless) = (0, 0);
    for name in storage.list().unwrap().into_iter().filter(|name| name != "LOCK") {
        let whole = contents(&storage, &name);
        for at in 0..whole.len() {
            // Most of a segment was never written: one bit of each of those bytes will do.
            let bits =
                if whole[at.saturating_sub(40)..(at + 40).min(whole.len())].iter().any(|&byte| byte != 0) {
                    8
                } else {
                    1
                };
            for bit in 0..bits {
                let damaged = storage.copy();
                flip(&damaged, &name, at as u64, bit);
                images += 1;
                let truth = truth_or_error(&damaged, &options, &model);
                assert!(truth || name != "MANIFEST", "one slot of the manifest is enough");
                harmless += u32::from(truth);
            }
            if name == "MANIFEST" && bits == 1 && at % 16 != 0 {
                continue;
            }
            let truncated = storage.copy();
            truncated.remove(&name).unwrap();
            truncated.create(&name, 0).unwrap().write_all_at(&whole[..at], 0).unwrap();
            images += 1;
            let whole_slot = name == "MANIFEST" && at > 48;
            let truth = truth_or_error(&truncated, &options, &model);
            assert!(!truth || whole_slot, "{name} cut to {at} bytes went unnoticed");
        }
    }
    println!("{images} damaged stores, of which {harmless} lost nothing");
    assert!(images > 30_000 && harmless < images / 2);
}
