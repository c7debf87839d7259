//! What the targets of `fuzz/` are given, on stable: the inputs that were kept in `fuzz/corpus` (what the fuzzer reached, and
//! what it once broke), and some that look random.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arbitrary::{Arbitrary, Unstructured};

use super::compaction::Noise;
use super::fuzzed::{map_ops, open_bytes, ord_map_ops, store_ops, vector_ops};
use super::seeds;

/// Most memory that anything may ask for at a time which opens a store of some 20 KiB, its checksums made right.
const MAX_BYTES: u64 = 64 << 20;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The inputs that were kept for a target; none in a published package.
fn kept(target: &str) -> Vec<PathBuf> {
    let listed = fs::read_dir(directory().join("corpus").join(target));
    listed.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
}

/// Runs one input, and holds it to the bound.
fn run_one<I: for<'a> Arbitrary<'a>>(what: &str, bytes: &[u8], run: fn(I)) {
    let Ok(input) = I::arbitrary_take_rest(Unstructured::new(bytes)) else { return };
    let memory = allocation_counter::measure(|| {
        let ran = catch_unwind(AssertUnwindSafe(|| run(input)));
        ran.unwrap_or_else(|_| panic!("{what} fails"));
    });
    assert!(memory.bytes_max <= MAX_BYTES, "{what}: {} bytes", memory.bytes_max);
}

/// Runs a target on the kept inputs, and on a few that look random (`PERENNIAL_SEEDS` makes them more).
fn run_all<I: for<'a> Arbitrary<'a>>(target: &str, few: u64, run: fn(I)) {
    for path in kept(target) {
        run_one(&path.display().to_string(), &fs::read(&path).unwrap(), run);
    }
    for seed in seeds(few) {
        let mut noise = Noise(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let bytes: Vec<u8> = (0..20 + noise.below(300)).map(|_| noise.below(256) as u8).collect();
        run_one(&format!("PERENNIAL_SEED={seed}"), &bytes, run);
    }
}

#[test]
fn inputs_are_kept_for_every_target() {
    for target in ["map_ops", "open_bytes", "ord_map_ops", "store_ops", "vector_ops"] {
        let bytes: u64 = kept(target).iter().map(|path| fs::metadata(path).unwrap().len()).sum();
        assert!(!directory().is_dir() || kept(target).len() > 10 && bytes < 100 << 10, "{target}: {bytes}");
    }
}

#[test]
fn any_operations_on_a_hash_map() {
    run_all("map_ops", 100, map_ops::run);
}

#[test]
fn any_operations_on_an_ordered_map() {
    run_all("ord_map_ops", 100, ord_map_ops::run);
}

#[test]
fn any_operations_on_a_vector() {
    run_all("vector_ops", 100, vector_ops::run);
}

#[test]
fn any_damage_to_the_files_of_a_store() {
    run_all("open_bytes", 300, open_bytes::run);
}

#[test]
fn any_operations_and_power_cuts_of_a_store() {
    run_all("store_ops", 200, store_ops::run);
}
