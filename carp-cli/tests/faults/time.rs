//! Clocks that are set, and machines that sleep (chapter E).
//!
//! What concerns wall clocks and suspends (F64, F66) cannot be tried here: the wall clock has no namespace, and
//! a time namespace does not let `CLOCK_BOOTTIME` jump. The same node runs on a clock that the test turns in
//! `carp-node/tests/memory/pauses.rs`.

use crate::support::Test;

pub(crate) const TESTS: &[Test] = &[];
