//! See `fuzz/checks/src/round_trip.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::round_trip::check(input));
