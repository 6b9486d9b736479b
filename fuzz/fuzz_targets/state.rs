//! See `fuzz/checks/src/state.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::state::check(input));
