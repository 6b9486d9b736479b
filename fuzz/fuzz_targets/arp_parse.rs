//! See `fuzz/checks/src/arp_parse.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::arp_parse::check(input));
