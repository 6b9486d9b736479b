//! The keys that CARP alone has.

use std::time::Duration;

use carp_proto::election::Dialect;
use carp_proto::{AdvBase, AdvSkew, CarpInterval, IntervalError, Key};
use toml::Spanned;

use super::{DAY, HOUR, SECOND, addresses, secret, values};
use crate::config::election::{authenticator, previous_authenticator};
use crate::config::key::KeyKind;
use crate::config::known;
use crate::config::read::{Reader, Section};
use crate::config::spec::{CarpSpec, PreviousSpec, ProtocolSpec, RouterSpec};

const WEEK: Duration = Duration::from_secs(7 * DAY.as_secs());

pub(super) fn read(section: &Section<'_>) -> Option<CarpSpec> {
    let dialect = dialect(section);
    let interval = interval(section, dialect);
    let previous = previous(section);
    let key = secret::read(section, KeyKind::Carp, Key::new);
    Some(CarpSpec { key: key?, interval: interval?, dialect, previous })
}

fn dialect(section: &Section<'_>) -> Dialect {
    let names = Dialect::ALL.map(|dialect| (dialect.name(), dialect));
    section.word("dialect", &names).unwrap_or_default()
}

fn interval(section: &Section<'_>, dialect: Dialect) -> Option<CarpInterval> {
    let part = |key, default| match section.value(key) {
        Some(_) => section.integer(key),
        None => Some(Spanned::new(0..0, default)),
    };
    let in_range = |span, error: IntervalError| section.reader().error(span, error.to_string());
    let (base, skew) = (part("advbase", 1), part("advskew", 0));
    let advbase = base.as_ref().and_then(|base| {
        AdvBase::new(*base.get_ref()).map_err(|error| in_range(base.span(), error)).ok()
    });
    let advskew = skew.and_then(|skew| {
        AdvSkew::new(*skew.get_ref()).map_err(|error| in_range(skew.span(), error)).ok()
    });
    let interval = CarpInterval::new(advbase?, advskew?);
    if interval.advbase == 0 && !dialect.policy().zero_base {
        let message = IntervalError::Zero.to_string();
        let help = "take advbase = 1 or one of these dialects";
        section.reader().mistake(base?.span(), message, help);
        return None;
    }
    Some(interval)
}

/// What was before a change. What is not written has not changed.
fn previous(section: &Section<'_>) -> Option<PreviousSpec> {
    let title = format!("{}.previous]", section.title().trim_end_matches(']'));
    let inner = section.section("previous", &title, &title, &known::PREVIOUS)?;
    let accept_for = inner.duration("accept_for", SECOND..=WEEK).unwrap_or(HOUR);
    if inner.value("key_file").is_none() && inner.value("addresses").is_none() {
        let message = format!("{title} names nothing that was before");
        let help = "add the key_file or the addresses of before the change, or remove the table";
        inner.reader().mistake(inner.header(), message, help);
        return None;
    }
    let key = inner.value("key_file").map(|_| secret::read(&inner, KeyKind::Carp, Key::new));
    let addresses = inner.value("addresses").map(|_| values(addresses::list(&inner)));
    Some(PreviousSpec { key: key.flatten(), addresses, accept_for })
}

/// What is as it was needs no second look at every advert.
pub(super) fn check_previous(reader: &Reader<'_>, router: &RouterSpec) {
    let ProtocolSpec::Carp(carp) = &router.speech else { return };
    if reader.has_errors() {
        // What could not be read looks as if it were not written.
        return;
    }
    let digest = authenticator(router, carp).digest(0);
    if carp.previous.is_some() && previous_authenticator(router, carp).verify(0, &digest) {
        let message = "the previous key and addresses are the present ones";
        let help = "name what was before the change, or remove the table";
        reader.note(router.place("previous").warning(message).with_help(help));
    }
}
