//! What others do to addresses (chapter D of the faults).

use crate::support::Test;

pub(crate) const TESTS: &[Test] = &[];
