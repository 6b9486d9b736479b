//! `hold`.

use std::time::Duration;

use super::HOUR;
use crate::config::known;
use crate::config::read::Section;
use crate::node::Hold;

pub(super) fn hold(section: &Section<'_>) -> Hold {
    let example = "hold = { boot = \"30s\", link_up = \"10s\" }";
    let Some(inner) = section.section("hold", "hold", example, &known::HOLD) else {
        return Hold::default();
    };
    let time = |key| inner.duration(key, Duration::ZERO..=HOUR).unwrap_or_default();
    Hold { boot: time("boot"), link_up: time("link_up") }
}
