//! A game world of a million players: updates, snapshots, a rollback, a durable checkpoint after every iteration,
//! then a second process that opens the store, travels through time and checks every answer.
//!
//! ```text
//! cargo run --release --example quickstart            # in a temporary directory
//! cargo run --release --example quickstart -- PATH    # in a new directory, which is kept
//! ```

mod support;

use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use perennial::hash_map::DiffItem;
use perennial::state::Depth;
use perennial::store::{CheckpointId, Store};
use perennial::{HashMap, History, Snapshot, State, Vector};
use serde::{Deserialize, Serialize};
use support::{Progress, Random, Samples, Table, bytes, seconds, time};

const PLAYERS: u64 = 1_000_000;
const ITERATIONS: u64 = 200;
const UPDATES: u64 = 1_000;
/// Every so many iterations one goes wrong, is noticed and is rolled back.
const BAD_EVERY: u64 = 40;
/// The iterations that the second process travels to.
const VISITED: [u64; 3] = [10, 90, 150];
const DEPTH: usize = 64;
/// When the game starts, in milliseconds since 1970.
const START_MS: u64 = 1_767_225_600_000;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// The state: collections of this crate in a struct with derived serde. Cloning it is O(1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct World {
    tick: u64,
    players: HashMap<u64, Player>,
    log: Vector<Event>,
}

/// About 100 bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Player {
    name: [u8; 12],
    class: Class,
    level: u16,
    health: f32,
    position: [f32; 3],
    velocity: [f32; 3],
    gold: u64,
    experience: u64,
    inventory: [Slot; 8],
    guild: Option<u32>,
    joined_ms: u64,
    last_seen_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Slot {
    item: u16,
    count: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Class {
    Bard,
    Knight,
    Mage,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Event {
    Levelled { player: u64, level: u16 },
    Traded { from: u64, to: u64, gold: u64 },
    Said { player: u64, text: String },
}

impl World {
    fn generate(random: &mut Random) -> Self {
        let mut world = World { tick: 0, players: HashMap::new(), log: Vector::new() };
        let progress = Progress::start("players", PLAYERS);
        for id in 0..PLAYERS {
            world.players.insert(id, Player::generate(id, random));
            if id % 4_096 == 0 {
                progress.advance_to(id, String::new);
            }
        }
        world
    }

    /// One iteration: players meet in pairs; both move, and gold changes hands.
    fn step(&mut self, random: &mut Random) {
        self.tick += 1;
        for meeting in 0..UPDATES / 2 {
            let (from, to) = (random.below(PLAYERS), random.below(PLAYERS));
            let Some(giver) = self.players.get_mut(&from) else { continue };
            giver.act(self.tick, random);
            let gold = random.below(giver.gold + 1);
            giver.gold -= gold;
            let Some(taker) = self.players.get_mut(&to) else { continue };
            taker.act(self.tick, random);
            taker.gold += gold;
            let level = taker.level;
            match meeting % 30 {
                0 => self.log.push_back(Event::Traded { from, to, gold }),
                10 => self.log.push_back(Event::Levelled { player: to, level }),
                20 => self.log.push_back(Event::Said { player: from, text: format!("{gold} gold for you!") }),
                _ => {}
            }
        }
    }

    /// A number that depends on everything in the world, and not on the order of the map.
    fn checksum(&self) -> Result<u64> {
        let mut sum = self.tick;
        for entry in self.players.try_iter()? {
            sum = sum.wrapping_add(fingerprint(&entry?)?);
        }
        for entry in self.log.iter().enumerate() {
            sum = sum.wrapping_add(fingerprint(&entry)?);
        }
        Ok(sum)
    }
}

impl Player {
    fn generate(id: u64, random: &mut Random) -> Self {
        let mut name = *b"player000000";
        for (place, digit) in name[6..].iter_mut().rev().zip(0..) {
            *place += (id / 10_u64.pow(digit) % 10) as u8;
        }
        let mut coordinates = || [(); 3].map(|()| random.below(1 << 20) as f32 / 64.0);
        let (position, velocity) = (coordinates(), coordinates());
        Self {
            name,
            class: [Class::Bard, Class::Knight, Class::Mage][random.below(3) as usize],
            level: 1,
            health: 100.0,
            position,
            velocity,
            gold: random.below(1_000),
            experience: random.below(1 << 24),
            inventory: [(); 8].map(|()| Slot::generate(random)),
            guild: (random.below(4) > 0).then(|| random.below(5_000) as u32),
            joined_ms: START_MS - random.below(1 << 36),
            last_seen_ms: START_MS,
        }
    }

    fn act(&mut self, tick: u64, random: &mut Random) {
        for (coordinate, speed) in self.position.iter_mut().zip(&self.velocity) {
            *coordinate += speed / 60.0;
        }
        self.health = (self.health + random.below(21) as f32 - 10.0).clamp(1.0, 100.0);
        self.inventory[random.below(8) as usize] = Slot::generate(random);
        self.experience += random.below(1_000);
        self.level += u16::from(random.below(10) == 0);
        self.last_seen_ms = START_MS + tick * 1_000 / 60;
    }
}

impl Slot {
    fn generate(random: &mut Random) -> Self {
        Self { item: random.below(4_000) as u16, count: random.below(20) as u8 }
    }
}

/// A hash of a value's bytes.
fn fingerprint(value: &impl Serialize) -> Result<u64> {
    Ok(xxhash_rust::xxh3::xxh3_64(postcard::to_slice(value, &mut [0; 512])?))
}

/// What one iteration changed, found by comparing two versions: O(changes), since shared nodes are passed over.
struct Changes {
    players: usize,
    /// Size of the changed players and new events by themselves, without any structure.
    raw_bytes: usize,
    /// Gold that came from nowhere.
    gold_made: i128,
}

fn changes(older: &World, newer: &World) -> Result<Changes> {
    let mut changes = Changes { players: 0, raw_bytes: 0, gold_made: 0 };
    let size = |entry: &_| Ok::<_, Box<dyn Error>>(postcard::to_slice(entry, &mut [0; 512])?.len());
    for change in older.players.diff(&newer.players) {
        let DiffItem::Changed { key, old, new } = change else {
            return Err("an iteration added or removed a player".into());
        };
        changes.players += 1;
        changes.raw_bytes += size(&(key, new))?;
        changes.gold_made += i128::from(new.gold) - i128::from(old.gold);
    }
    for event in newer.log.range(older.log.len()..) {
        changes.raw_bytes += postcard::to_slice(event, &mut [0; 512])?.len();
    }
    Ok(changes)
}

/// What the first process knows of a checkpoint, for the second one to find again.
#[derive(Serialize, Deserialize)]
struct Expected {
    id: CheckpointId,
    tick: u64,
    checksum: u64,
    /// A player, and its fingerprint.
    probe: (u64, u64),
}

impl Expected {
    fn note(id: CheckpointId, world: &World, random: &mut Random) -> Result<Self> {
        let player = random.below(PLAYERS);
        let probe = (player, fingerprint(&world.players.get(&player))?);
        Ok(Self { id, tick: world.tick, checksum: world.checksum()?, probe })
    }

    /// Reads one player; only the nodes on the way to it are loaded.
    fn probe(&self, world: &World) -> Result<()> {
        let (player, expected) = self.probe;
        let found = world.players.try_get(&player)?;
        if world.tick != self.tick || fingerprint(&found)? != expected {
            return Err(format!("checkpoint {}: tick {}, player {player} is {found:?}, which the first process did not have then", self.id, world.tick).into());
        }
        Ok(())
    }

    /// Reads everything.
    fn verify(&self, world: &World) -> Result<()> {
        let found = world.checksum()?;
        if found != self.checksum {
            return Err(format!(
                "checkpoint {}: checksum {found:016x}, expected {:016x}",
                self.id, self.checksum
            )
            .into());
        }
        Ok(())
    }
}

/// What the second process measured, in seconds and bytes.
#[derive(Serialize, Deserialize)]
struct Report {
    open: f64,
    first_read: f64,
    travel: Vec<f64>,
    load_everything: f64,
    peak_bytes: Option<f64>,
    first_read_bytes: Option<f64>,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => in_temporary_directory(),
        ["--check", path] => check(Path::new(path)),
        [path] if !path.starts_with('-') => play(Path::new(path)),
        _ => Err("usage: quickstart [PATH], where PATH is a directory that does not exist yet".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("quickstart: {error}");
            ExitCode::FAILURE
        }
    }
}

fn in_temporary_directory() -> Result<()> {
    let directory = tempfile::Builder::new().prefix("perennial-quickstart-").tempdir()?;
    play(&directory.path().join("world"))
}

/// The first process.
fn play(path: &Path) -> Result<()> {
    if path.exists() {
        return Err(format!("{} exists; name a directory that does not", path.display()).into());
    }
    let started = Instant::now();
    let mut random = Random(42);
    let world = World::generate(&mut random);
    let generated = started.elapsed();
    let memory_at_first = support::memory("VmRSS");

    let state = State::new(world);
    let mut history = History::new(Depth::unbounded().count(DEPTH));
    history.record(&state);

    let store = Store::open(path)?;
    let start = Instant::now();
    let first = store.checkpoint(&*state.snapshot())?;
    let first_took = start.elapsed();
    let first_disk_bytes = store.stats().disk_bytes;

    let (mut update, mut snapshot, mut rollback, mut audit, mut checkpoint) = Default::default();
    let (mut changed, mut written): (Samples, Samples) = Default::default();
    let mut visited = Vec::new();
    let mut latest = first.clone();
    let progress = Progress::start("iterations", ITERATIONS);
    for iteration in 1..=ITERATIONS {
        let before: Snapshot<World> = state.snapshot();
        timed(&mut update, || state.update(|world| world.step(&mut random)));
        let mut now = timed(&mut snapshot, || state.snapshot());
        let mut found = timed(&mut audit, || changes(&before, &now))?;

        if iteration % BAD_EVERY == 0 {
            // A bug strikes: gold from nowhere. The audit of what changed notices, and the iteration is undone.
            state.update(|world| {
                for id in 0..UPDATES {
                    world.players.entry(id).and_modify(|player| player.gold += 1_000_000);
                }
            });
            let bad = changes(&before, &state.load())?;
            if bad.gold_made == 0 {
                return Err("the audit missed a corrupt iteration".into());
            }
            timed(&mut rollback, || state.rollback(&before));
            if !state.load().players.ptr_eq(&before.players) || *state.load() != *before {
                return Err("the rollback did not bring back the version before".into());
            }
            state.update(|world| world.step(&mut random));
            now = state.snapshot();
            found = changes(&before, &now)?;
        }
        if found.gold_made != 0 {
            return Err(format!("iteration {iteration} made {} gold from nothing", found.gold_made).into());
        }
        history.record(&state);

        latest = timed(&mut checkpoint, || store.checkpoint(&*now))?;
        changed.add(found.raw_bytes as f64);
        written.add(latest.bytes as f64);
        if VISITED.contains(&iteration) {
            visited.push(Expected::note(latest.id, &now, &mut random)?);
        }
        progress.advance_to(iteration, || {
            format!("{} players changed, {} written", found.players, bytes(latest.bytes as f64))
        });
    }
    drop(progress);
    undo_and_redo(&state, &mut history)?;
    let (memory, memory_peak) = (support::memory("VmRSS"), support::memory("VmHWM"));

    let mut expected = vec![Expected::note(latest.id, &state.load(), &mut random)?];
    expected.extend(visited);
    let disk_bytes = store.stats().disk_bytes;
    store.close()?;
    let report = in_second_process(path, &expected)?;

    println!(
        "\n{PLAYERS} players, {ITERATIONS} iterations of {UPDATES} updates, a durable checkpoint after each:"
    );
    let mut table = Table::new(&["each iteration", "median", "p99"]);
    let mut row = |what: &str, samples: &Samples, show: fn(f64) -> String| {
        table.row(&[what, &show(samples.quantile(0.5)), &show(samples.quantile(0.99))]);
    };
    row("update: 1,000 players", &update, seconds);
    row("snapshot", &snapshot, seconds);
    row("find what changed (diff)", &audit, seconds);
    row("rollback", &rollback, seconds);
    row("checkpoint, durable", &checkpoint, seconds);
    row("bytes changed", &changed, bytes);
    row("bytes written", &written, bytes);
    table.print();
    let ratio = written.mean() / changed.mean();
    println!("{ratio:.2} bytes written for each byte changed, all told.");

    let mut table = Table::new(&["once", "time", "size"]);
    table.row(&["generate the world", &time(generated), &support::or_unknown(memory_at_first)]);
    table.row(&["first checkpoint, in full", &time(first_took), &bytes(first.bytes as f64)]);
    table.print();

    let mut table = Table::new(&["a second process", "time", "its memory"]);
    table.row(&["open the store", &seconds(report.open)]);
    table.row(&[
        "restore the latest, read one player",
        &seconds(report.first_read),
        &support::or_unknown(report.first_read_bytes),
    ]);
    for (travel, expected) in report.travel.iter().zip(&expected[1..]) {
        table.row(&[&format!("travel to tick {}, read one player", expected.tick), &seconds(*travel)]);
    }
    table.row(&[
        "load everything, and check it",
        &seconds(report.load_everything),
        &support::or_unknown(report.peak_bytes),
    ]);
    table.print();

    let mut table = Table::new(&["space", "size"]);
    table.row(&[&format!("memory: world and a history of {DEPTH} versions"), &support::or_unknown(memory)]);
    table.row(&["memory: peak", &support::or_unknown(memory_peak)]);
    table.row(&["disk: after the first checkpoint", &bytes(first_disk_bytes as f64)]);
    table.row(&["disk: with all checkpoints", &bytes(disk_bytes as f64)]);
    table.print();
    println!("\nEvery answer of the second process was right. {} in all.", time(started.elapsed()));
    Ok(())
}

/// Walks the history to its end and back.
fn undo_and_redo(state: &State<World>, history: &mut History<World>) -> Result<()> {
    let newest = state.snapshot();
    let mut steps = 0;
    while history.undo(state).is_some() {
        steps += 1;
    }
    let oldest_tick = state.load().tick;
    while history.redo(state).is_some() {}
    if steps != DEPTH - 1 || oldest_tick != ITERATIONS - steps as u64 || *state.load() != *newest {
        return Err(format!("{steps} steps of undo led to tick {oldest_tick}, and redo not back").into());
    }
    Ok(())
}

/// Runs `work` and notes how long it took.
fn timed<T>(samples: &mut Samples, work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    samples.add(start.elapsed().as_secs_f64());
    result
}

/// Starts this program again to check the store; returns what it reports.
fn in_second_process(path: &Path, expected: &[Expected]) -> Result<Report> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--check")
        .arg(path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().ok_or("no pipe to the second process")?;
    input.write_all(&serde_json::to_vec(expected)?)?;
    drop(input);
    let output = child.wait_with_output()?;
    if !output.status.success() {
        return Err(format!("the second process found a difference, or failed ({})", output.status).into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The second process: all it knows comes from the store, and what it must find from the first one.
fn check(path: &Path) -> Result<()> {
    let expected: Vec<Expected> = serde_json::from_reader(std::io::stdin())?;
    let [newest, older @ ..] = &expected[..] else { return Err("nothing to check".into()) };

    let start = Instant::now();
    let store = Store::open(path)?;
    let open = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let world: World = store.latest()?.ok_or("the store has no checkpoint")?;
    newest.probe(&world)?;
    let first_read = start.elapsed().as_secs_f64();
    let first_read_bytes = support::memory("VmRSS");

    let (mut travel, mut worlds) = (Vec::new(), Vec::new());
    for expected in older {
        let start = Instant::now();
        let world: World = store.restore(expected.id)?;
        expected.probe(&world)?;
        travel.push(start.elapsed().as_secs_f64());
        worlds.push(world);
    }

    let start = Instant::now();
    newest.verify(&world)?;
    let load_everything = start.elapsed().as_secs_f64();
    let peak_bytes = support::memory("VmHWM");

    for (world, expected) in worlds.into_iter().zip(older) {
        expected.verify(&world)?;
    }
    let listed = store.checkpoints().collect::<std::result::Result<Vec<_>, _>>()?;
    if listed.len() as u64 != ITERATIONS + 1 || listed[0].id != newest.id {
        return Err(
            format!("{} checkpoints are listed, {} were written", listed.len(), ITERATIONS + 1).into()
        );
    }
    let report = Report { open, first_read, travel, load_everything, peak_bytes, first_read_bytes };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}
