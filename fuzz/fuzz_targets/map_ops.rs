//! Feeds `fuzzed::map_ops`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perennial_fuzz::map_ops;

fuzz_target!(|ops: Vec<map_ops::Op>| map_ops::run(ops));
