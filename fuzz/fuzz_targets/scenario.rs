//! See `fuzz/checks/src/scenario.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::scenario::check(input));
