//! Clock, allocator, counts of instructions, and the table of medians.

use std::hint::black_box;
use std::sync::atomic::{AtomicUsize, Ordering};

use benches::median;
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds that this thread has run.
fn now_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// Figures of one peer in one round.
pub struct Rows<'a> {
    table: &'a mut Table,
    peer: &'static str,
}

/// What peers answered: rows in the order in which they first came.
#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

struct Row {
    what: &'static str,
    /// Figures of each peer, one a round.
    peers: Vec<(&'static str, Vec<f64>)>,
}

impl Table {
    /// Where `peer` writes its figures.
    pub fn of(&mut self, peer: &'static str) -> Rows<'_> {
        Rows { table: self, peer }
    }

    fn add(&mut self, what: &'static str, peer: &'static str, value: f64) {
        let row = match self.rows.iter().position(|row| row.what == what) {
            Some(index) => &mut self.rows[index],
            None => {
                self.rows.push(Row { what, peers: Vec::new() });
                self.rows.last_mut().unwrap()
            }
        };
        match row.peers.iter_mut().find(|(name, _)| *name == peer) {
            Some((_, values)) => values.push(value),
            None => row.peers.push((peer, vec![value])),
        }
    }

    /// Prints the medians as Markdown.
    pub fn print(&mut self, name: &str, size: usize) {
        println!("| {name}, {size} | perennial | fastest peer | ratio | std |");
        println!("|---|---|---|---|---|");
        for row in &mut self.rows {
            let medians: Vec<(&str, f64)> =
                row.peers.iter_mut().map(|(name, values)| (*name, median(values))).collect();
            let of = |wanted: &str| medians.iter().find(|(name, _)| *name == wanted).map(|&(_, value)| value);
            let Some(ours) = of("perennial") else { continue };
            let best = medians
                .iter()
                .filter(|(name, _)| *name != "perennial" && *name != "std")
                .min_by(|a, b| a.1.total_cmp(&b.1));
            let (peer, ratio) = match best {
                Some((name, value)) => {
                    (format!("{} ({name})", short(*value)), format!("{:.2}", ours / value))
                }
                None => ("–".into(), "–".into()),
            };
            let std = of("std").map_or("–".into(), short);
            println!("| {} | {} | {peer} | {ratio} | {std} |", row.what, short(ours));
        }
        println!();
    }
}

fn short(value: f64) -> String {
    match value {
        v if v < 100.0 => format!("{v:.1}"),
        v if v < 100_000.0 => format!("{v:.0}"),
        v => format!("{:.1}M", v / 1e6),
    }
}

/// The work, under a name that callgrind can look for.
#[inline(never)]
fn measured<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// The instructions of the last [`measured`]: `.ci/instructions` runs this under callgrind, which writes a file
/// whenever that function returns.
fn counted(prefix: &str) -> f64 {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let file = format!("{prefix}.{}", CALLS.fetch_add(1, Ordering::Relaxed) + 1);
    let text = std::fs::read_to_string(&file).expect("callgrind writes a file for each call");
    std::fs::remove_file(&file).expect("what callgrind wrote can be removed");
    let total =
        text.lines().find_map(|line| line.strip_prefix("totals: ")).expect("callgrind says the total");
    total.trim().parse().expect("one kind of events is counted")
}

impl Rows<'_> {
    /// Runs `work`, which does `operations`; what it answered.
    pub fn time<T>(&mut self, what: &'static str, operations: usize, work: impl FnOnce() -> T) -> T {
        let (result, taken) = match std::env::var("PERENNIAL_CALLGRIND_OUT") {
            Ok(prefix) => (measured(work), counted(&prefix)),
            Err(_) => {
                let began = now_ns();
                (measured(work), now_ns() - began)
            }
        };
        self.table.add(what, self.peer, taken / operations as f64);
        result
    }

    /// Counts the bytes that are allocated by `work` and not given back, over `count` items.
    pub fn bytes(&mut self, what: &'static str, count: usize, work: impl FnOnce()) {
        let info = allocation_counter::measure(work);
        self.table.add(what, self.peer, info.bytes_current as f64 / count as f64);
    }
}
