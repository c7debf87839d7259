//! Power cuts: scripts of commits, roll-overs, kills and reopenings, cut at every operation.
//!
//! A script runs once on a disk that remembers every moment. Then, for each moment, the disks that a power cut there
//! can leave are made, opened, and held against what the script knows: what is found is exactly one of its commits
//! with all before it, not older than the last one that was acknowledged as durable, and the same when it is looked
//! for again. Of some of these disks, recovery itself is cut in the same way.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::storage::{CrashPoint, SimStorage};
use crate::store::Compression;
use crate::tests::power::{self, EXHAUSTIVE};

/// One step of a script.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// A commit of so many records of up to so many bytes.
    Commit(u64, u64, Durability),
    /// Makes what was `Buffered` durable.
    Sync,
    /// Records that never get a commit, written out.
    Abandon(u64),
    /// Reads everything.
    Read,
    /// Closes the store and opens it again.
    Reopen,
    /// The process dies, another one opens the store.
    Kill,
}
use Step::{Abandon, Commit as Write, Kill, Read, Reopen, Sync};

const BUFFERED: Durability = Durability::Buffered;
const SYNC: Durability = Durability::Sync;

/// Segments of 4 KiB: eight sectors, a header, six or seven batches.
fn tiny() -> Options {
    Options::new().segment_bytes(4 << 10).block_bytes(256).compression(Compression::None)
}

/// What a script did, and when: what was acknowledged is known by the number of operations before it.
struct Played {
    disk: SimStorage,
    model: Model,
    /// For each commit: the operations before it was begun.
    begun: BTreeMap<u64, u64>,
    /// For each commit: the operations before its call returned.
    returned: BTreeMap<u64, u64>,
    /// Operations, and the newest commit that was known to be durable after them.
    durable: Vec<(u64, u64)>,
}

impl Played {
    /// Runs a script on a disk where `model` was committed.
    fn on(disk: SimStorage, model: Model, options: &Options, script: &[Step], noise: &mut Noise) -> Self {
        disk.record(true);
        let durable = vec![(0, model.durable)];
        let mut played = Self { disk, model, begun: BTreeMap::new(), returned: BTreeMap::new(), durable };
        let mut log = open(&played.disk, options).unwrap();
        for &step in script {
            played.step(&mut log, step, options, noise);
        }
        drop(log);
        played.note_durable(played.model.newest());
        played
    }

    fn note_durable(&mut self, id: u64) {
        self.model.durable = id;
        self.durable.push((self.disk.operations(), id));
    }

    fn step(&mut self, log: &mut Log, step: Step, options: &Options, noise: &mut Noise) {
        match step {
            Write(records, bytes, durability) => {
                let before = self.disk.operations();
                self.model.append(log, noise, records, bytes).unwrap();
                let id = self.model.commit(log, durability).unwrap().id;
                self.begun.insert(id, before);
                self.returned.insert(id, self.disk.operations());
                if durability == SYNC {
                    self.note_durable(id);
                }
            }
            Sync => {
                let id = log.sync().unwrap();
                self.note_durable(id);
            }
            Abandon(records) => {
                self.model.append(log, noise, records, 100).unwrap();
                log.writer().unwrap().make_readable().unwrap();
                // They are given up, now or when the process dies.
                self.reopen(log, options, true);
            }
            Read => self.model.try_check(log).unwrap(),
            Reopen => self.reopen(log, options, false),
            Kill => self.reopen(log, options, true),
        }
    }

    fn reopen(&mut self, log: &mut Log, options: &Options, kill: bool) {
        let spare = open(&MemoryStorage::new(), options).unwrap();
        let old = std::mem::replace(log, spare);
        self.model.cut(self.model.newest());
        match kill {
            true => {
                std::mem::forget(old);
                self.disk.kill();
            }
            false => {
                drop(old);
                self.note_durable(self.model.newest());
            }
        }
        *log = open(&self.disk, options).unwrap();
        assert_eq!(log.latest().map_or(0, |commit| commit.id), self.model.newest());
    }

    /// The oldest and the newest commit that may be found after a power cut behind so many operations.
    fn bounds(&self, operation: u64) -> (u64, u64) {
        let durable =
            self.durable.iter().take_while(|&&(at, _)| at <= operation).last().map_or(0, |&(_, id)| id);
        // What was there before the script began was durable.
        let known = self.durable[0].1;
        let begun = self.begun.iter().filter(|&(_, &at)| at < operation).map(|(&id, _)| id).max();
        (durable, begun.unwrap_or(known))
    }

    /// The ids that somebody may have been told when power was cut behind so many operations.
    fn used_before(&self, operation: u64) -> BTreeSet<u64> {
        let is_used = |id: &&u64| self.returned.get(id).is_none_or(|&at| at <= operation);
        self.model.used.iter().filter(is_used).copied().collect()
    }

    /// The model of a disk that lost power behind so many operations, on which `found` was the newest commit.
    fn model_at(&self, operation: u64, found: u64) -> Model {
        // What recovery shows is durable from then on.
        let mut model = Model { used: self.used_before(operation), durable: found, ..self.model.clone() };
        model.cut(found);
        model
    }

    /// Opens what a power cut left and checks it; the newest commit found.
    fn check(
        &self,
        image: &SimStorage,
        operation: u64,
        bounds: (u64, u64),
        options: &Options,
        what: &dyn Fn() -> String,
    ) -> u64 {
        let log = open(image, options).unwrap_or_else(|e| panic!("{e}: {}", what()));
        let found = log.latest().map_or(0, |commit| commit.id);
        let next = log.writer().unwrap().next_id();
        let used = self.used_before(operation);
        assert!(used.last() < Some(&next), "{next} would be used again, after {used:?}: {}", what());
        let (oldest, newest) = bounds;
        assert!(
            (oldest..=newest).contains(&found),
            "found {found}, expected {oldest} to {newest}: {}",
            what()
        );
        self.check_contents(&log, found, what);
        let verified = crate::log::verify(&log, &mut |_| ()).unwrap();
        assert!(verified.is_clean(), "{:?}: {}", verified.damage, what());
        found
    }

    fn check_contents(&self, log: &Log, found: u64, what: &dyn Fn() -> String) {
        let mut expected = self.model.commits.range(..=found).rev();
        for commit in log.commits() {
            let commit = commit.unwrap_or_else(|e| panic!("{e}: {}", what()));
            let Some((_, (model, records))) = expected.next() else { panic!("too many commits: {}", what()) };
            assert_eq!(&commit, model, "{}", what());
            for written in records {
                let record = log.opening().read(written.address);
                let record = record.unwrap_or_else(|e| panic!("{e}: {}", what()));
                let same = record.payload() == written.payload
                    && record.head == written.head
                    && record.refs == written.refs;
                assert!(same, "record {}: {}", written.address, what());
            }
        }
        assert!(expected.next().is_none(), "too few commits: {}", what());
    }
}

/// Cuts power at every operation of what was played, and in one of `recoveries` images during recovery as well.
/// Returns the number of images.
fn cut_everywhere(played: &Played, options: &Options, most: usize, recoveries: u64) -> u64 {
    let mut again = 0;
    let images = power::cut_everywhere(&played.disk, most, &mut |cut| {
        let (at, image, what) = (cut.operation(), cut.image(), || cut.to_string());
        let found = played.check(&image, at, played.bounds(at), options, &what);
        assert_eq!(played.check(&image, at, (found, found), options, &what), found);
        if cut.is_one_in(recoveries) {
            again += cut_recovery(played.model_at(at, found), &cut.image(), options, &what);
        }
    });
    images + again
}

/// Opens an image, commits once and closes it; cuts power at every operation of that.
fn cut_recovery(model: Model, image: &SimStorage, options: &Options, what: &dyn Fn() -> String) -> u64 {
    let again = Played::on(image.clone(), model, options, &[Write(2, 60, SYNC)], &mut Noise(7));
    power::cut_everywhere(&again.disk, 4, &mut |cut| {
        let what = || format!("{}, then {cut}", what());
        again.check(&cut.image(), cut.operation(), again.bounds(cut.operation()), options, &what);
    })
}

fn play(options: &Options, script: &[Step]) -> Played {
    Played::on(SimStorage::new(), Model::default(), options, script, &mut Noise(1))
}

#[test]
fn every_power_cut_of_short_scripts_leaves_exactly_one_commit() {
    let scripts: [&[Step]; 6] = [
        // From nothing, one after the other.
        &[Write(2, 60, SYNC), Write(0, 0, SYNC), Read, Write(3, 90, SYNC)],
        // Several in flight, then a sync: commit 4 may be whole and commit 2 torn.
        &[
            Write(1, 40, SYNC),
            Write(3, 200, BUFFERED),
            Write(2, 100, BUFFERED),
            Write(2, 200, BUFFERED),
            Sync,
            Write(1, 9, SYNC),
        ],
        // Over the ends of segments, in one batch and between two.
        &[Write(5, 300, SYNC), Write(7, 400, SYNC), Read, Write(9, 300, BUFFERED), Write(5, 200, SYNC)],
        // Closed and opened.
        &[Write(2, 60, BUFFERED), Reopen, Write(2, 60, SYNC), Reopen, Read, Write(3, 200, BUFFERED)],
        // Killed with a commit in flight, and again.
        &[
            Write(2, 60, SYNC),
            Write(2, 300, BUFFERED),
            Kill,
            Write(2, 60, BUFFERED),
            Kill,
            Write(1, 60, SYNC),
        ],
        // Records without a commit, over which the next opening writes.
        &[Write(2, 60, SYNC), Abandon(5), Write(4, 100, BUFFERED), Abandon(2), Write(1, 60, SYNC)],
    ];
    let mut images = 0;
    for script in scripts {
        images += cut_everywhere(&play(&tiny(), script), &tiny(), EXHAUSTIVE, 20);
    }
    // Many sectors in flight, of batches of one to four sectors, beside roll-overs, syncs and kills.
    for variant in 0..18u64 {
        let sectors = 1 + variant % 4;
        let batch = Write(sectors * 3, 300, BUFFERED);
        let mut script = vec![Write(1, 9, SYNC), Write(variant % 3, 100, BUFFERED)];
        script.extend(vec![batch; 11 / sectors as usize]);
        script.push([Sync, Kill, Reopen][variant as usize % 3]);
        script.extend([Write(2, 60, SYNC), Read, Write(9, 200, BUFFERED)]);
        images += cut_everywhere(&play(&small(), &script), &small(), EXHAUSTIVE, 2000);
    }
    println!("{images} images");
    assert!(images >= 100_000, "only {images} images");
}

/// A random script.
fn script(noise: &mut Noise) -> Vec<Step> {
    let durability = |noise: &mut Noise| if noise.next(3) == 0 { SYNC } else { BUFFERED };
    let step = |noise: &mut Noise| match noise.next(16) {
        0 => Reopen,
        1 => Kill,
        2 => Abandon(noise.next(30)),
        3 => Sync,
        4 => Read,
        5 => Write(40, 200, durability(noise)),
        _ => Write(noise.next(9), 1 + noise.next(150), durability(noise)),
    };
    (0..4 + noise.next(12)).map(|_| step(noise)).collect()
}

#[test]
fn power_cuts_one_after_the_other_leave_whole_commits() {
    for seed in crate::tests::seeds(60) {
        let run = std::panic::AssertUnwindSafe(|| lives_of(seed));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("seed {seed} failed; PERENNIAL_SEED={seed} runs it alone");
            std::panic::resume_unwind(panic);
        }
    }
}

/// A store that lives through several power cuts, some of them early in a life: during recovery.
fn lives_of(seed: u64) {
    let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let options = if noise.next(2) == 0 { tiny() } else { small() };
    let (mut disk, mut model) = (SimStorage::new(), Model::default());
    for _ in 0..6 {
        let script = script(&mut noise);
        let played = Played::on(disk, model, &options, &script, &mut noise);
        let points = played.disk.crash_points();
        let among = if noise.next(3) == 0 { points.len().min(12) } else { points.len() };
        let point: &CrashPoint = &points[noise.next(among as u64) as usize];
        let bounds = played.bounds(point.operation());
        let what = || format!("seed {seed}, {script:?}, after operation {}", point.operation());
        let image = point.random_image(noise.next(u64::MAX));
        let found = played.check(&image, point.operation(), bounds, &options, &what);
        model = played.model_at(point.operation(), found);
        disk = image;
    }
}
