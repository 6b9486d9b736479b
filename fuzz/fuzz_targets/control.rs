//! See `fuzz/checks/src/control.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::control::check(input));
