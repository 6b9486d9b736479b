//! Links, interfaces and partitions (chapter B).

use crate::support::Test;

pub(crate) const TESTS: &[Test] = &[];
