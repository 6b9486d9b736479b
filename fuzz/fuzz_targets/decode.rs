//! See `fuzz/checks/src/decode.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::decode::check(input));
