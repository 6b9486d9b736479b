//! See `fuzz/checks/src/lan.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::lan::check(input));
