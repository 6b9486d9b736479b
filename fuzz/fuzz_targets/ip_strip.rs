//! See `fuzz/checks/src/ip_strip.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::ip_strip::check(input));
