//! Feeds `fuzzed::vector_ops`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perennial_fuzz::vector_ops;

fuzz_target!(|ops: Vec<vector_ops::Op>| vector_ops::run(ops));
