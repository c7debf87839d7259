//! The table of the README: every collection beside its peers, in one process, with one hasher.
//!
//! `cargo bench -p benches --bench table -- [NAME...] [SIZE...] [rounds=N]`, by default all tables (`hash_map`, `ord_map`,
//! `vector`, `hash_strings`, `ord_strings`, `hash_112_bytes`, `hash_1_kib`) at 1,000, 100,000 and 1,000,000 items in 5
//! rounds. In a round every peer does the same work in turn; a figure is the median of its rounds, in nanoseconds of
//! thread CPU time per operation (or bytes, counted by the allocator). The ratio is ours to that of the fastest peer
//! that shares its clones; std is shown beside them and does not count.
//!
//! `.ci/instructions` prints the same tables with instructions instead of nanoseconds: no noise moves these, but they do
//! not say what waits for memory.

#![expect(clippy::unwrap_used, reason = "a bench stops where something fails")]

mod maps;
mod measure;
mod vectors;

use measure::Table;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let numbers: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if numbers.is_empty() { vec![1_000, 100_000, 1_000_000] } else { numbers };
    let rounds =
        arguments.iter().find_map(|argument| argument.strip_prefix("rounds=")?.parse().ok()).unwrap_or(5);
    let names: Vec<&String> =
        arguments.iter().filter(|it| it.starts_with(char::is_alphabetic) && !it.contains('=')).collect();
    for (name, run) in [
        ("hash_map", maps::hash_maps as fn(&mut Table, usize)),
        ("ord_map", maps::ord_maps),
        ("vector", vectors::vectors),
        ("hash_strings", maps::hash_strings),
        ("ord_strings", maps::ord_strings),
        ("hash_112_bytes", maps::hash_wide),
        ("hash_1_kib", maps::hash_kib),
    ] {
        if !names.is_empty() && !names.iter().any(|wanted| *wanted == name) {
            continue;
        }
        for &size in &sizes {
            let mut table = Table::default();
            for round in 0..rounds {
                eprint!("\r{name}, {size} items, round {} of {rounds}  ", round + 1);
                run(&mut table, size);
            }
            eprint!("\r{:60}\r", "");
            table.print(name, size);
        }
    }
}
