//! Feeds `fuzzed::open_bytes`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use perennial_fuzz::open_bytes;

fuzz_target!(|input: open_bytes::Input| open_bytes::run(input));
