//! Feeds `fuzzed::ord_map_ops`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perennial_fuzz::ord_map_ops;

fuzz_target!(|ops: Vec<ord_map_ops::Op>| ord_map_ops::run(ops));
