//! See `fuzz/checks/src/router/mod.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::router::check(input));
