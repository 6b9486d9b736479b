//! Packets that must change nothing (chapter C).

use crate::support::Test;

pub(crate) const TESTS: &[Test] = &[];
