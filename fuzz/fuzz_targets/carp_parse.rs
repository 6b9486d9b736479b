//! See `fuzz/checks/src/carp_parse.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::carp_parse::check(input));
