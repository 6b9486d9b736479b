//! See `fuzz/checks/src/ndp_parse.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::ndp_parse::check(input));
