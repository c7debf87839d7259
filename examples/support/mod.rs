//! What the examples share: random numbers from a seed, tables, progress, memory as the system counts it.

use std::cell::Cell;
use std::io::{IsTerminal, stdout};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A small generator of random numbers (SplitMix64): the same seed gives the same run everywhere.
pub struct Random(pub u64);

impl Random {
    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }
}

/// A progress bar on a terminal, a line every quarter elsewhere.
pub struct Progress {
    bar: ProgressBar,
    total: u64,
    what: &'static str,
    plain: bool,
    /// The quarter that was last said, where that is plain.
    quarter: Cell<u64>,
}

impl Progress {
    /// Starts at 0 of `total`.
    pub fn start(what: &'static str, total: u64) -> Self {
        let plain = !stdout().is_terminal();
        let bar = ProgressBar::new(total);
        if plain {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        } else {
            bar.set_draw_target(ProgressDrawTarget::stdout());
        }
        let style = ProgressStyle::with_template("{prefix} [{bar:40}] {pos}/{len} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(what);
        Self { bar, total, what, plain, quarter: Cell::new(0) }
    }

    /// Says how far the work is, and something about it.
    pub fn advance_to(&self, position: u64, message: impl FnOnce() -> String) {
        if self.plain {
            let quarter = position * 4 / self.total.max(1);
            if self.quarter.replace(quarter) < quarter {
                println!("{}: {position} of {}, {}", self.what, self.total, message());
            }
        } else {
            self.bar.set_position(position);
            if position.is_multiple_of(16) {
                self.bar.set_message(message());
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Rows of text in columns: the first to the left, the others to the right.
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// Starts with a head.
    pub fn new(head: &[&str]) -> Self {
        Self(vec![head.iter().map(|cell| (*cell).to_owned()).collect()])
    }

    /// Adds a row.
    pub fn row(&mut self, cells: &[&str]) {
        self.0.push(cells.iter().map(|cell| (*cell).to_owned()).collect());
    }

    /// Prints the table with a line above and below the head.
    pub fn print(&self) {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width_of = |column| {
            self.0
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell: &String| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width_of).collect();
        println!();
        for (index, row) in self.0.iter().enumerate() {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                line += &match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("  {cell:>width$}"),
                };
            }
            println!("{}", line.trim_end());
            if index == 0 {
                println!("{}", "-".repeat(widths.iter().sum::<usize>() + 2 * columns.saturating_sub(1)));
            }
        }
    }
}

/// Measurements of one kind, of which the middle and the end are wanted.
#[derive(Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub fn add(&mut self, sample: f64) {
        self.0.push(sample);
    }

    /// The smallest sample that `fraction` of all samples do not exceed.
    pub fn quantile(&self, fraction: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let rank = (fraction * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// The mean.
    pub fn mean(&self) -> f64 {
        self.0.iter().sum::<f64>() / self.0.len() as f64
    }
}

/// A number of bytes for people.
pub fn bytes(count: f64) -> String {
    match count.abs() {
        c if c < 1024.0 => format!("{count:.0} B"),
        c if c < 1024.0 * 1024.0 => format!("{:.1} KiB", count / 1024.0),
        _ => format!("{:.1} MiB", count / 1024.0 / 1024.0),
    }
}

/// A duration in seconds for people.
pub fn seconds(duration: f64) -> String {
    match duration {
        d if d < 1e-6 => format!("{:.0} ns", d * 1e9),
        d if d < 1e-3 => format!("{:.1} us", d * 1e6),
        d if d < 1.0 => format!("{:.2} ms", d * 1e3),
        d => format!("{d:.2} s"),
    }
}

/// A duration for people.
pub fn time(duration: Duration) -> String {
    seconds(duration.as_secs_f64())
}

/// A number of bytes for people, or that it is not known.
pub fn or_unknown(count: Option<f64>) -> String {
    count.map_or_else(|| "unknown".to_owned(), bytes)
}

/// What the system says of this process's memory, in bytes: "VmRSS" is what it has, "VmHWM" the most it had.
/// `None` where there is no `/proc`.
pub fn memory(what: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)?.strip_prefix(':'))?;
    line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok().map(|kib| kib * 1024.0)
}
