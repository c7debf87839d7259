//! Replays a recorded editing session: a text in a vector of characters, a snapshot for every transaction kept in a
//! history, a durable checkpoint for every N of them; then restores checkpoints and compares them.
//!
//! ```text
//! cargo run --release --example replay -- --demo
//! cargo run --release --example replay -- TRACE.json.gz --every 1
//! ```

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use perennial::state::Depth;
use perennial::store::{Durability, Store};
use perennial::{History, State, Vector};
use serde::Deserialize;
use support::{Progress, Random, Samples, Table, bytes, seconds, time};

const USAGE: &str = "\
usage: replay TRACE.json.gz [--every N] [--buffered]
       replay --demo        [--every N] [--buffered]

  --every N    a checkpoint for every N transactions (100)
  --buffered   checkpoints need not survive a power cut, only the death of the process
  --demo       replay a made-up session

A trace is gzipped JSON with startContent, endContent and txns[].patches[] = [position, deleted, inserted], positions
in Unicode scalar values. Recorded ones are in https://github.com/josephg/editing-traces (sequential_traces).";

/// How many checkpoints are restored and compared.
const COMPARED: usize = 20;
/// Up to so many characters go in or out one by one; more of them by cutting and joining, which is O(log n).
const ONE_BY_ONE: usize = 12;

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// A recorded editing session.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trace {
    start_content: String,
    end_content: String,
    txns: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    patches: Vec<Patch>,
}

/// At a position, so many characters are deleted, and these inserted.
#[derive(Deserialize)]
struct Patch(usize, usize, String);

impl Trace {
    fn read(path: &str) -> Result<Self> {
        let file = File::open(path).map_err(|error| format!("{path}: {error}\n\n{USAGE}"))?;
        let json = GzDecoder::new(BufReader::new(file));
        serde_json::from_reader(BufReader::new(json))
            .map_err(|error| format!("{path} is not a trace: {error}\n\n{USAGE}").into())
    }

    /// Makes up a session: somebody types, corrects, jumps about, pastes and cuts.
    fn demo() -> Self {
        let mut random = Random(7);
        let (mut text, mut cursor) = (Vec::new(), 0);
        let mut txns = Vec::new();
        for _ in 0..20_000 {
            if random.below(40) == 0 {
                cursor = random.below(text.len() as u64 + 1) as usize;
            }
            let (deleted, inserted) = match random.below(200) {
                0 => (0, 40 + random.below(400)),
                1 => (random.below(300), 0),
                2..40 => (1, 0),
                _ => (0, 1),
            };
            let deleted = (deleted as usize).min(cursor);
            cursor -= deleted;
            let inserted: String =
                (0..inserted).map(|_| char::from(b"etaoin shrdlu\n"[random.below(14) as usize])).collect();
            let patch = Patch(cursor, deleted, inserted);
            patch.apply_plain(&mut text);
            cursor += patch.2.len();
            txns.push(Transaction { patches: vec![patch] });
        }
        Self { start_content: String::new(), end_content: text.into_iter().collect(), txns }
    }

    fn start(&self) -> impl Iterator<Item = char> {
        self.start_content.chars()
    }

    /// The texts after these transactions, by the plainest means.
    fn texts_after(&self, transactions: &[usize]) -> Vec<Vec<char>> {
        let mut text: Vec<char> = self.start().collect();
        let mut texts = Vec::new();
        for (index, transaction) in self.txns.iter().enumerate() {
            transaction.patches.iter().for_each(|patch| patch.apply_plain(&mut text));
            if transactions.contains(&(index + 1)) {
                texts.push(text.clone());
            }
        }
        texts
    }
}

impl Patch {
    fn apply(&self, text: &mut Vector<char>) {
        let Patch(position, deleted, inserted) = self;
        if *deleted > ONE_BY_ONE {
            let mut rest = text.split_off(position + deleted);
            text.truncate(*position);
            text.append(&mut rest);
        } else {
            for _ in 0..*deleted {
                text.remove(*position);
            }
        }
        if inserted.len() > ONE_BY_ONE {
            let mut rest = text.split_off(*position);
            text.extend(inserted.chars());
            text.append(&mut rest);
        } else {
            for (place, letter) in inserted.chars().enumerate() {
                text.insert(position + place, letter);
            }
        }
    }

    fn apply_plain(&self, text: &mut Vec<char>) {
        let Patch(position, deleted, inserted) = self;
        text.splice(*position..position + deleted, inserted.chars());
    }
}

struct Arguments {
    /// `None` for the demo.
    path: Option<String>,
    every: usize,
    durability: Durability,
}

impl Arguments {
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut parsed = Self { path: None, every: 100, durability: Durability::Sync };
        let (mut demo, mut arguments) = (false, arguments);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--demo" => demo = true,
                "--buffered" => parsed.durability = Durability::Buffered,
                "--every" => {
                    let number = arguments.next().and_then(|number| number.parse().ok());
                    parsed.every =
                        number.filter(|&every| every > 0).ok_or("--every needs a number, from 1 on")?;
                }
                _ if argument.starts_with('-') || parsed.path.is_some() => return Err(USAGE.into()),
                _ => parsed.path = Some(argument),
            }
        }
        if demo == parsed.path.is_some() { Err(USAGE.into()) } else { Ok(parsed) }
    }
}

fn main() -> ExitCode {
    match Arguments::parse(std::env::args().skip(1)).and_then(|arguments| replay(&arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("replay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn replay(arguments: &Arguments) -> Result<()> {
    let trace = arguments.path.as_deref().map_or_else(|| Ok(Trace::demo()), Trace::read)?;
    let (transactions, every) = (trace.txns.len(), arguments.every);
    let patches: usize = trace.txns.iter().map(|transaction| transaction.patches.len()).sum();
    let checkpoints = transactions / every;

    // What the checkpoints that are compared must hold, computed without this crate.
    let compared = COMPARED.min(checkpoints);
    let chosen: Vec<usize> = (1..=compared).map(|index| checkpoints * index / compared * every).collect();
    let expected = trace.texts_after(&chosen);

    let directory = tempfile::Builder::new().prefix("perennial-replay-").tempdir()?;
    let path = directory.path().join("text");
    let store = Store::options().durability(arguments.durability).open(&path)?;

    let state = State::new(trace.start().collect::<Vector<char>>());
    let mut history = History::new(Depth::unbounded());
    history.record(&state);
    let (mut checkpoint_took, mut written) = <(Samples, Samples)>::default();
    let mut ids = Vec::new();
    let mut in_checkpoints = Duration::ZERO;
    let progress = Progress::start("transactions", transactions as u64);
    let start = Instant::now();
    for (index, transaction) in trace.txns.iter().enumerate() {
        state.update(|text| transaction.patches.iter().for_each(|patch| patch.apply(text)));
        history.record(&state);
        if (index + 1) % every == 0 {
            let began = Instant::now();
            let checkpoint = store.checkpoint(&*state.snapshot())?;
            let took = began.elapsed();
            in_checkpoints += took;
            checkpoint_took.add(took.as_secs_f64());
            written.add(checkpoint.bytes as f64);
            if chosen.contains(&(index + 1)) {
                ids.push(checkpoint.id);
            }
            progress.advance_to(index as u64 + 1, || format!("{} written", bytes(checkpoint.bytes as f64)));
        }
    }
    let altogether = start.elapsed();
    drop(progress);

    if !state.load().iter().copied().eq(trace.end_content.chars()) {
        return Err("the replayed text is not the recorded one (endContent)".into());
    }
    let versions = history.len();
    let with_history = LIVE_BYTES.load(Ordering::Relaxed);
    drop(history);
    let history_bytes = with_history - LIVE_BYTES.load(Ordering::Relaxed);
    let text_bytes = state.load().len() * size_of::<char>();
    let disk_bytes = store.stats().disk_bytes;
    store.close()?;

    let store = Store::open(&path)?;
    for ((id, expected), transaction) in ids.iter().zip(&expected).zip(&chosen) {
        let text: Vector<char> = store.restore(*id)?;
        if text != *expected {
            return Err(format!("checkpoint {id} does not hold the text of transaction {transaction}").into());
        }
    }

    let in_memory = altogether - in_checkpoints;
    let rate = |took: Duration| format!("{:.0} a second", patches as f64 / took.as_secs_f64());
    let mut table = Table::new(&["replay", ""]);
    table.row(&["transactions", &transactions.to_string()]);
    table.row(&["keystrokes (patches)", &patches.to_string()]);
    table.row(&["in memory, every version kept", &time(in_memory), &rate(in_memory)]);
    table.row(&["altogether, with checkpoints", &time(altogether), &rate(altogether)]);
    table.row(&["versions in the history", &versions.to_string()]);
    table.row(&[
        "memory of the history",
        &bytes(history_bytes as f64),
        &format!("{} a version", bytes(history_bytes as f64 / versions as f64)),
    ]);
    table.row(&["memory of the text alone, as Vec<char>", &bytes(text_bytes as f64)]);
    table.row(&["memory: peak of the process", &support::or_unknown(support::memory("VmHWM"))]);
    table.row(&["disk", &bytes(disk_bytes as f64)]);
    table.print();

    if checkpoints > 0 {
        let mut table = Table::new(&["each checkpoint", "median", "mean", "p99"]);
        for (what, samples, show) in
            [("bytes", &written, bytes as fn(f64) -> String), ("time", &checkpoint_took, seconds)]
        {
            let cells = [samples.quantile(0.5), samples.mean(), samples.quantile(0.99)].map(show);
            table.row(&[what, &cells[0], &cells[1], &cells[2]]);
        }
        table.print();
    }
    println!("\n{checkpoints} checkpoints; {compared} of them restored and compared, all right.");
    Ok(())
}

/// Counts the bytes that are allocated.
struct Counting;

static LIVE_BYTES: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[expect(unsafe_code, reason = "only an allocator sees what is allocated")]
// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE_BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE_BYTES.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise, passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}
