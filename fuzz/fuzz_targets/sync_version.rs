//! See `fuzz/checks/src/sync_version.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::sync_version::check(input));
