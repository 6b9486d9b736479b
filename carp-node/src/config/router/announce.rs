//! `announce` and `handover`.

use std::time::Duration;

use carp_proto::election::AnnouncePlan;

use super::{DAY, MILLISECOND, SECOND};
use crate::config::known;
use crate::config::read::Section;

const MAX_HANDOVER: Duration = Duration::from_secs(60);
const MAX_BURST: u8 = 20;

/// `None` for `"auto"`.
pub(super) fn handover(section: &Section<'_>) -> Option<Duration> {
    let text = section.text("handover", "handover = \"2s\"")?;
    if *text.get_ref() == "auto" {
        return None;
    }
    section.reader().duration(&text, Duration::ZERO..=MAX_HANDOVER)
}

pub(super) fn announce(section: &Section<'_>) -> AnnouncePlan {
    let plan = AnnouncePlan::default();
    let example = "announce = { burst = 5, repeat = [\"1s\", \"5s\"], refresh = \"60s\" }";
    let inner = section.section("announce", "announce", example, &known::ANNOUNCE);
    let Some(inner) = inner else { return plan };
    AnnouncePlan {
        burst: burst(&inner).unwrap_or(plan.burst),
        repeat: repeat(&inner).unwrap_or(plan.repeat),
        refresh: refresh(&inner).unwrap_or(plan.refresh),
    }
}

fn burst(announce: &Section<'_>) -> Option<u8> {
    let number = announce.integer("burst")?;
    let burst =
        u8::try_from(*number.get_ref()).ok().filter(|burst| (1..=MAX_BURST).contains(burst));
    if burst.is_none() {
        let message = format!("burst {} is out of range: it is 1 to {MAX_BURST}", number.get_ref());
        announce.reader().error(number.span(), message);
    }
    burst
}

fn repeat(announce: &Section<'_>) -> Option<[Option<Duration>; 4]> {
    let reader = announce.reader();
    let list = announce.texts("repeat", "repeat = [\"1s\", \"5s\"]")?;
    let mut plan = [None; 4];
    if list.get_ref().len() > plan.len() {
        let found = list.get_ref().len();
        reader.error(list.span(), format!("repeat has {found} times: at most {} fit", plan.len()));
        return None;
    }
    let mut last = None;
    for (slot, text) in plan.iter_mut().zip(list.get_ref()) {
        let time = reader.duration(text, MILLISECOND..=DAY)?;
        if last.is_some_and(|last| time <= last) {
            let message = "the times of repeat are not ascending";
            let help =
                "they count from the takeover: \"1s\", \"5s\" is once after 1 s and once after 5 s";
            reader.mistake(text.span(), message, help);
            return None;
        }
        *slot = Some(time);
        last = Some(time);
    }
    Some(plan)
}

/// `Some(None)` for `"off"`.
fn refresh(announce: &Section<'_>) -> Option<Option<Duration>> {
    let text = announce.text("refresh", "refresh = \"60s\"")?;
    if *text.get_ref() == "off" {
        return Some(None);
    }
    announce.reader().duration(&text, SECOND..=DAY).map(Some)
}
