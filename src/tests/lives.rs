//! Several lives on one disk: a process is killed at any call, the next one goes on with what it *sees*, though a power cut
//! may still undo it, and is killed in its turn; power fails at any moment of any life.
//!
//! (`log::crash` and `crash` cut power at any call, but kill between the steps of a script only.) What is done on the word of
//! something that is not durable yet shows here: a file that is removed, a name that nobody synced, an id given out again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::HashMap;
use crate::retention::keep_last;
use crate::storage::{CrashPoint, Fate, SimStorage, Storage};
use crate::store::{CheckpointId, CheckpointOptions, Compression, Durability, Options, Store};

const BUFFERED: Durability = Durability::Buffered;
const SYNC: Durability = Durability::Sync;

/// One step of a life.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write(Durability),
    /// Keeps so many checkpoints.
    Drop(u64),
    Compact,
    Reopen,
}
use Step::{Compact, Drop, Reopen, Write};

/// A tick, and entries that are long enough for a segment to hold few of them.
type State = (u64, HashMap<u32, String>);

fn step(state: &mut State) -> u64 {
    let (tick, entries) = state;
    *tick += 1;
    for n in 0..8 {
        entries.insert(((*tick * 7 + n * 5) % 20) as u32, format!("{tick} {n:0120}"));
    }
    *tick
}

/// Segments of 4 KiB.
fn options() -> Options {
    Options::new().segment_bytes(4 << 10).block_bytes(256).compression(Compression::None).compact_below(0.9)
}

/// Facts that somebody was told.
#[derive(Clone, Default)]
struct Known {
    /// Every checkpoint that was acknowledged, and its tick.
    made: BTreeMap<CheckpointId, u64>,
    /// Those that a power cut may not take.
    durable: BTreeSet<CheckpointId>,
    /// Those that are being dropped, and those that were.
    going: BTreeSet<CheckpointId>,
    gone: BTreeSet<CheckpointId>,
}

impl Known {
    /// Looks at what is found: `required`, if it was not dropped, and nothing that was; each as it was made.
    fn check(
        &self,
        store: &Store,
        required: &BTreeSet<CheckpointId>,
        states: &[State],
        what: &dyn Fn() -> String,
    ) {
        let listed: Vec<CheckpointId> =
            store.checkpoints().map(|made| made.unwrap_or_else(|e| panic!("{e}: {}", what())).id).collect();
        let found: BTreeSet<_> = listed.iter().copied().collect();
        assert!(found.len() == listed.len() && listed.is_sorted_by(|a, b| a > b), "{listed:?}: {}", what());
        let lost: Vec<_> =
            required.iter().filter(|id| !found.contains(id) && !self.going.contains(id)).collect();
        assert!(lost.is_empty(), "{lost:?} were acknowledged and are gone, {found:?} are left: {}", what());
        let back: Vec<_> = found.intersection(&self.gone).collect();
        assert!(back.is_empty(), "{back:?} were dropped and are back: {}", what());
        let mut last = u64::MAX;
        for id in &listed {
            let state: State = store.restore(*id).unwrap_or_else(|e| panic!("{id}: {e}: {}", what()));
            let tick = state.0;
            assert!(tick < last && self.made.get(id).is_none_or(|made| *made == tick), "{id}: {}", what());
            assert!(state == states[tick as usize], "{id} is another state: {}", what());
            last = tick;
        }
        let verified = store.verify().unwrap();
        assert!(verified.is_clean(), "{:?}: {}", verified.damage, what());
    }

    /// As `check`, of a disk; then makes a checkpoint there, under an id that nobody was told.
    fn check_disk(
        &self,
        disk: SimStorage,
        required: &BTreeSet<CheckpointId>,
        states: &[State],
        what: &dyn Fn() -> String,
    ) {
        let store =
            options().open_storage(Arc::new(disk.clone())).unwrap_or_else(|e| panic!("{e}: {}", what()));
        self.check(&store, required, states, what);
        let made = store.checkpoint(&0u8).unwrap().id;
        let last = self.made.last_key_value();
        assert!(last.is_none_or(|(last, _)| *last < made), "{made} again: {}", what());
        drop(store);
        let left = disk.list().unwrap();
        let segments = left.iter().filter_map(|name| name.strip_suffix(".segment")?.split_once('-'));
        let numbers: Vec<_> = segments.map(|(number, _)| number).collect();
        assert_eq!(numbers.len(), numbers.iter().collect::<BTreeSet<_>>().len(), "{left:?}: {}", what());
    }
}

/// A life that was lived to its end: the disk at each moment, and what was known then.
struct Life {
    points: Vec<CrashPoint>,
    /// By the number of operations from which on it was known; ascending.
    known: Vec<(u64, Known)>,
    /// Number of segments that compaction rewrote or removed.
    compacted: u64,
}

impl Life {
    fn live(disk: &SimStorage, known: Known, script: &[Step], states: &mut Vec<State>) -> Self {
        disk.record(true);
        let open = || options().open_storage(Arc::new(disk.clone())).unwrap();
        let mut life = Self { points: Vec::new(), known: vec![(0, known.clone())], compacted: 0 };
        let mut now = known;
        let mut store = open();
        // What an opening has shown is durable from then on.
        now.durable = now.made.keys().copied().filter(|id| !now.going.contains(id)).collect();
        life.known.push((disk.operations(), now.clone()));
        let mut state: State = store.latest().unwrap().unwrap_or_default();
        for &next in script {
            match next {
                Write(durability) => {
                    let tick = step(&mut state);
                    if states.len() == tick as usize {
                        states.push(state.clone());
                    }
                    let how = CheckpointOptions::new().durability(durability);
                    let made = store.commit().roots(&[("state", &state)]).options(&how).write().unwrap().id;
                    assert!(now.made.insert(made, tick).is_none(), "{made} was used before");
                    if durability == SYNC {
                        now.durable = now.made.keys().copied().collect();
                    }
                }
                Drop(count) => {
                    let dropped = store.would_retain(&keep_last(count)).unwrap().dropped;
                    now.going.extend(dropped.iter().copied());
                    // Begun before anything is written.
                    life.known.push((disk.operations(), now.clone()));
                    store.retain(&keep_last(count)).unwrap();
                    now.gone.extend(dropped);
                }
                Compact => {
                    let compacted = store.compact().unwrap();
                    life.compacted += compacted.rewritten + compacted.removed;
                }
                Reopen => {
                    store.close().unwrap();
                    now.durable = now.made.keys().copied().collect();
                    life.known.push((disk.operations(), now.clone()));
                    store = open();
                }
            }
            life.known.push((disk.operations(), now.clone()));
        }
        drop((state, store));
        life.points = disk.crash_points();
        disk.record(false);
        life
    }

    fn known_at(&self, operation: u64) -> &Known {
        &self.known.iter().rev().find(|(at, _)| *at <= operation).unwrap().1
    }
}

/// The disks that a power cut leaves: everything landed, nothing did, all up to one part, one part alone, all but one.
fn images(point: &CrashPoint, each: &mut dyn FnMut(SimStorage, &str)) {
    let pending = point.pending();
    let fate = |lands: bool| if lands { Fate::Lands } else { Fate::Vanishes };
    for bound in 0..=pending {
        each(point.image(1, |part| fate(part < bound)), &format!("the first {bound} parts landed"));
    }
    for one in 0..pending {
        each(point.image(1, |part| fate(part == one)), &format!("part {one} landed"));
        each(point.image(1, |part| fate(part != one)), &format!("part {one} vanished"));
        let torn = |part| if part == one { Fate::Garbage } else { Fate::Lands };
        each(point.image(one as u64, torn), &format!("part {one} turned to garbage"));
    }
}

/// Lives the scripts one after the other, each killed at any call (but only at one in so many), power cut at any.
fn kill_everywhere(
    disk: &SimStorage,
    known: Known,
    lives: &[(&[Step], usize)],
    states: &mut Vec<State>,
    what: &str,
) -> u64 {
    let [(script, _), next @ ..] = lives else { return 0 };
    let life = Life::live(disk, known, script, states);
    let compacts = script.iter().any(|step| matches!(step, Compact));
    assert!(!what.is_empty() || !compacts || life.compacted > 0, "{} segments compacted", life.compacted);
    let mut disks = 0;
    for (number, point) in life.points.iter().enumerate() {
        let known = life.known_at(point.operation());
        let what = format!("{what}, {script:?} until call {}", point.operation());
        images(point, &mut |image, landed| {
            disks += 1;
            known.check_disk(image, &known.durable, states, &|| format!("{what}, power cut: {landed}"));
        });
        let seen = known.made.keys().copied().collect();
        disks += 1;
        known.check_disk(point.killed(), &seen, states, &|| format!("{what}, killed"));
        if let Some((_, one_in)) = next.first()
            && number % one_in == 0
        {
            disks += kill_everywhere(&point.killed(), known.clone(), next, states, &what);
        }
    }
    disks
}

fn lives(lives: &[(&[Step], usize)]) -> u64 {
    let mut states = vec![State::default()];
    kill_everywhere(&SimStorage::in_a_new_directory(), Known::default(), lives, &mut states, "")
}

#[test]
fn processes_killed_at_any_call_one_after_the_other_leave_what_was_acknowledged_to_any_power_cut() {
    let begin: &[Step] = &[Write(SYNC), Write(BUFFERED)];
    let next: &[Step] = &[Write(BUFFERED), Write(SYNC)];
    let disks = lives(&[(begin, 1), (next, 2), (&[], 5)]);
    println!("{disks} disks");
    assert!(disks > 2_000, "{disks}");
}

#[test]
fn processes_killed_at_any_call_of_dropping_and_compacting_lose_nothing_that_is_kept() {
    let script = [Write(SYNC), Write(SYNC), Write(SYNC), Write(SYNC), Drop(1), Compact, Write(BUFFERED)];
    let disks = lives(&[(&script, 1), (&[], 1)]);
    let reopened = [Write(SYNC), Write(SYNC), Write(SYNC), Reopen, Drop(1), Reopen, Compact, Reopen];
    let again = lives(&[(&reopened, 1), (&[Compact], 3)]);
    println!("{disks} and {again} disks");
    assert!(disks > 1_000 && again > 1_000, "{disks} and {again}");
}
