//! See `fuzz/checks/src/config.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::config::check(input));
