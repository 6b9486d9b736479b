//! The daemon, its guard and its host die, hang, or run late (chapter A).

use crate::support::Test;

pub(crate) const TESTS: &[Test] = &[];
