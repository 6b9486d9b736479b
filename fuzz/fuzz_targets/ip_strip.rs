//! See `fuzz/checks/src/ip_strip.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::run("ip_strip", input));
