//! Feeds `fuzzed::store_ops`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perennial_fuzz::store_ops;

fuzz_target!(|ops: Vec<store_ops::Op>| store_ops::run(ops));
