//! Clocks that are set, and machines that sleep (chapter E).

use crate::support::Test;

pub(crate) const TESTS: &[Test] = &[];
