//! How far back one can go, and what it costs: a simulation of 60 days, an hour a step, under a grandfather-father-son
//! policy. Every step is a checkpoint; all of a day, one a day for a fortnight and one a week from then on are kept.
//!
//! `cargo run --release -p benches --example retention -- [DAYS] [ENTRIES] [SVG]` (60, 50,000 and retention.svg in the directory of
//! temporary files). Draws disk use, latency of a checkpoint and depth over time, and prints a table. Its clock is the
//! simulation's: checkpoints carry the hour in their labels, and the policy is asked with these times.

#![expect(clippy::unwrap_used, reason = "an example stops where something fails")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use perennial::HashMap;
use perennial::retention::{Moment, Retention, every, keep_within, pinned};
use perennial::store::{CheckpointOptions, Store};
use plotters::prelude::*;

#[expect(dead_code, reason = "the other examples use the rest of it")]
#[path = "../../examples/support/mod.rs"]
mod support;
use support::Random;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// What was measured after a step.
struct Sample {
    day: f64,
    disk_mib: f64,
    latency_ms: f64,
    kept: usize,
    depth_days: f64,
}

/// The hour that a checkpoint's label says.
fn hour_of(label: &str) -> u64 {
    label.parse().unwrap()
}

/// Asks the policy with the simulation's times, and keeps what it keeps: by name.
fn retain(store: &Store, policy: &Retention) -> Vec<u64> {
    let mut hours: Vec<u64> =
        store.checkpoints().map(|checkpoint| hour_of(&checkpoint.unwrap().label.unwrap())).collect();
    hours.reverse();
    let moment = |&hour: &u64| Moment { number: hour, time: HOUR * hour as u32, name: None };
    let kept = policy.kept(&hours.iter().map(moment).collect::<Vec<_>>());
    let kept: Vec<u64> =
        hours.into_iter().zip(kept).filter(|(_, kept)| *kept).map(|(hour, _)| hour).collect();
    store.retain(&pinned(kept.iter().map(u64::to_string))).unwrap();
    kept
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number =
        |at: usize, default: u64| arguments.get(at).and_then(|word| word.parse().ok()).unwrap_or(default);
    let (days, entries) = (number(0, 60), number(1, 50_000));
    let svg = arguments.get(2).map_or_else(|| std::env::temp_dir().join("retention.svg"), PathBuf::from);
    let policy = keep_within(DAY) | every(DAY).for_last(14 * DAY).every(7 * DAY).for_last(365 * DAY);

    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path().join("world")).unwrap();
    let mut random = Random(1);
    let mut world: HashMap<u64, [u64; 8]> =
        (0..entries).map(|key| (key, std::array::from_fn(|_| random.bits()))).collect();
    let progress = support::Progress::start("hours", days * 24);
    let mut samples = Vec::new();
    for hour in 0..days * 24 {
        for _ in 0..200 {
            let key = random.below(entries);
            world.insert(key, std::array::from_fn(|_| random.bits()));
        }
        let label = CheckpointOptions::new().label(hour.to_string());
        let started = Instant::now();
        store.commit().roots(&[("state", &world)]).options(&label).write().unwrap();
        let latency_ms = started.elapsed().as_secs_f64() * 1e3;
        let mut kept = Vec::new();
        if hour % 24 == 23 {
            kept = retain(&store, &policy);
            store.compact().unwrap();
        }
        progress.advance_to(hour + 1, || format!("{} MiB", store.stats().disk_bytes >> 20));
        let oldest = kept.first().copied().or_else(|| {
            samples.last().map(|last: &Sample| (hour as f64 - 24.0 * last.depth_days).max(0.0) as u64)
        });
        samples.push(Sample {
            day: hour as f64 / 24.0,
            disk_mib: store.stats().disk_bytes as f64 / f64::from(1 << 20),
            latency_ms,
            kept: store.stats().checkpoints as usize,
            depth_days: (hour - oldest.unwrap_or(0).min(hour)) as f64 / 24.0,
        });
    }
    drop(progress);

    println!("{:>5} {:>10} {:>12} {:>12} {:>8}", "day", "disk MiB", "checkpoints", "latency ms", "depth d");
    for sample in samples.iter().skip(23).step_by((24 * days as usize / 12).max(1)) {
        let Sample { day, disk_mib, latency_ms, kept, depth_days } = sample;
        println!("{day:5.1} {disk_mib:10.1} {kept:12} {latency_ms:12.2} {depth_days:8.1}");
    }
    let ids: Vec<_> = store.checkpoints().map(|checkpoint| checkpoint.unwrap()).collect();
    let footprint =
        store.disk_footprint(&ids.iter().map(|checkpoint| checkpoint.id).collect::<Vec<_>>()).unwrap();
    println!(
        "{} checkpoints: {} KiB, of it shared {} KiB",
        ids.len(),
        footprint.total_bytes >> 10,
        footprint.shared_bytes >> 10
    );
    for (checkpoint, bytes) in ids.iter().zip(&footprint.unique_bytes).step_by(6) {
        println!(
            "dropping hour {:>5} alone would free {:>6} KiB",
            checkpoint.label.as_deref().unwrap_or(""),
            bytes >> 10
        );
    }
    draw(&svg, &samples);
    println!("drawn: {}", svg.display());

    // Every checkpoint that is left restores.
    for checkpoint in &ids {
        let found: HashMap<u64, [u64; 8]> = store.restore(checkpoint.id).unwrap();
        assert_eq!(found.len() as u64, entries);
        assert!(found.get(&random.below(entries)).is_some());
    }
    assert!(ids.len() < 24 + 14 + 60, "the old ones were thinned out");
    assert_eq!(store.latest::<HashMap<u64, [u64; 8]>>().unwrap().unwrap(), world);
}

fn draw(path: &std::path::Path, samples: &[Sample]) {
    let root = SVGBackend::new(path, (900, 900)).into_drawing_area();
    root.fill(&WHITE).unwrap();
    type Value = fn(&Sample) -> f64;
    let series: [(&str, Value); 3] = [
        ("disk, MiB", |sample| sample.disk_mib),
        ("checkpoint, ms", |sample| sample.latency_ms),
        ("depth, days", |sample| sample.depth_days),
    ];
    let last = samples.last().map_or(1.0, |sample| sample.day);
    for (area, (name, value)) in root.split_evenly((3, 1)).iter().zip(series) {
        let top = samples.iter().map(value).fold(1e-9, f64::max) * 1.05;
        let mut chart = ChartBuilder::on(area)
            .caption(name, ("sans-serif", 18))
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(48)
            .build_cartesian_2d(0.0..last, 0.0..top)
            .unwrap();
        chart.configure_mesh().x_desc("day").draw().unwrap();
        let points = samples.iter().map(|sample| (sample.day, value(sample)));
        chart.draw_series(LineSeries::new(points, &BLUE)).unwrap();
    }
    root.present().unwrap();
}
