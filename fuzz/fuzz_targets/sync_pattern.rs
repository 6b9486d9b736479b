//! See `fuzz/checks/src/sync_pattern.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::sync_pattern::check(input));
