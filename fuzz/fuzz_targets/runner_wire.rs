//! See `fuzz/checks/src/runner_wire.rs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| carp_checks::runner_wire::check(input));
