//! See `fuzz/checks/src/hex.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::hex::check(input));
