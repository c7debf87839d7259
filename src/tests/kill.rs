//! A process that checkpoints is killed at random moments: nothing it acknowledged may be lost, and what is found is
//! exactly one of its states.
//!
//! The test binary runs itself as the victim. The victim's state is a function of its tick alone, so any recovered
//! state can be checked whole.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::store::{CheckpointOptions, Durability, Options, Store};
use crate::{HashMap, Vector};

const ROUNDS: u64 = 100;
const VICTIM: &str = "PERENNIAL_KILL_TEST_DIR";
const WORKLOAD: &str = "PERENNIAL_KILL_TEST_WORKLOAD";
const PLAYERS: u64 = 2000;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct World {
    tick: u64,
    players: HashMap<u64, [u64; 4]>,
    log: Vector<String>,
}

impl World {
    /// One tick: a few players change, one leaves, the log grows at one end and shrinks at the other.
    fn step(&mut self) {
        self.tick += 1;
        let tick = self.tick;
        for n in 0..7 {
            self.players.insert((tick * 31 + n * 977) % PLAYERS, [tick, n, tick ^ n, 7]);
        }
        self.players.remove(&(tick * 17 % PLAYERS));
        self.log.push_back(format!("tick {tick}"));
        if tick > 50 {
            self.log.pop_front();
        }
    }

    fn at(tick: u64) -> Self {
        let mut world = Self::default();
        while world.tick < tick {
            world.step();
        }
        world
    }
}

/// How a victim works.
#[derive(Clone, Copy, PartialEq)]
enum Workload {
    /// Durable checkpoints, and some that only the system has.
    Mixed,
    /// Handed to the system alone.
    Buffered,
    /// Closed and opened again every few checkpoints.
    Reopening,
}

const WORKLOADS: [Workload; 3] = [Workload::Mixed, Workload::Buffered, Workload::Reopening];

impl Workload {
    fn durability(self, tick: u64) -> Durability {
        match self {
            Self::Mixed if tick.is_multiple_of(3) => Durability::Buffered,
            Self::Mixed | Self::Reopening => Durability::Sync,
            Self::Buffered => Durability::Buffered,
        }
    }
}

/// Small segments, so that rounds meet roll-overs too.
fn open(path: &Path) -> Store {
    Options::new().segment_bytes(64 << 10).open(path).unwrap()
}

/// Checkpoints for ever, and says so line by line: identifier and tick.
#[test]
fn victim() {
    let Some(path) = std::env::var_os(VICTIM) else { return };
    let number = std::env::var(WORKLOAD).ok().and_then(|number| number.parse::<usize>().ok());
    let workload = WORKLOADS[number.expect("a workload")];
    let mut store = open(path.as_ref());
    let mut world: World = store.latest().unwrap().unwrap_or_default();
    loop {
        world.step();
        if workload == Workload::Reopening && world.tick.is_multiple_of(5) {
            drop(store);
            store = open(path.as_ref());
        }
        // What only the system has, a killed process does not lose either.
        let how = CheckpointOptions::new().durability(workload.durability(world.tick));
        let checkpoint = store.commit().roots(&[("state", &world)]).options(&how).write().unwrap();
        println!("acknowledged {} {}", checkpoint.id, world.tick);
    }
}

#[test]
fn nothing_acknowledged_is_lost_to_kills() {
    kill(0);
}

#[test]
fn nothing_that_only_the_system_has_is_lost_to_kills() {
    kill(1);
}

#[test]
fn nothing_is_lost_to_kills_between_closing_and_opening() {
    kill(2);
}

fn kill(workload: usize) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut random = 0x2545_f491_4f6c_dd1du64;
    let (mut acknowledged, mut total) = ((0, 0), 0);
    for round in 0..ROUNDS {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["tests::kill::victim", "--exact", "--nocapture", "--test-threads=1"])
            .env(VICTIM, &path)
            .env(WORKLOAD, workload.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(victim.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            let numbers = |line: String| {
                let (_, numbers) = line.split_once("acknowledged ")?;
                let (id, tick) = numbers.split_once(' ')?;
                Some((id.parse::<u64>().ok()?, tick.parse::<u64>().ok()?))
            };
            lines.filter_map(numbers).collect::<Vec<_>>()
        });
        // One in ten dies while it opens.
        let life_us = if round % 10 == 0 { random % 5_000 } else { 5_000 + random % 45_000 };
        std::thread::sleep(Duration::from_micros(life_us));
        victim.kill().unwrap();
        victim.wait().unwrap();
        let lines = reader.join().unwrap();
        total += lines.len();
        let ids = lines.iter().map(|(id, _)| *id);
        assert!(ids.is_sorted_by(|a, b| a < b), "an id was used twice: {lines:?}");
        assert!(
            lines.first().is_none_or(|first| first.0 > acknowledged.0),
            "{lines:?} after {acknowledged:?}"
        );
        acknowledged = lines.last().copied().unwrap_or(acknowledged);

        let store = open(&path);
        let found: Option<World> = store.latest().unwrap();
        let found = found.unwrap_or_default();
        assert!(
            found.tick >= acknowledged.1,
            "tick {} after {} was acknowledged",
            found.tick,
            acknowledged.1
        );
        assert!(found.tick <= acknowledged.1 + 1, "at most one checkpoint was in flight");
        assert_eq!(found, World::at(found.tick), "a state that never was");
        let newest = store.checkpoints().next().map_or(0, |newest| newest.unwrap().id.0);
        assert!(newest >= acknowledged.0);
        acknowledged = (newest, found.tick);
    }
    assert!(total > 100, "the victims hardly did anything: {total} checkpoints");
}
