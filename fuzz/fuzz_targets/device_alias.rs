//! See `fuzz/checks/src/device_alias.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::device_alias::check(input));
