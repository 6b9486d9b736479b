//! Starting, stopping and starting again (chapter A).

use crate::support::Test;

pub(crate) const TESTS: &[Test] = &[];
