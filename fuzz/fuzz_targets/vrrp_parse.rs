//! See `fuzz/checks/src/vrrp_parse.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::vrrp_parse::check(input));
