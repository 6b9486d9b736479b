//! `lease`.

use std::time::Duration;

use crate::addresses::Lease;
use crate::config::duration::format_duration;
use crate::config::read::{Reader, Section};
use crate::config::spec::{LeaseSpec, RouterSpec, Timers};

const EXAMPLE: &str = "lease = \"2s\"";

pub(super) fn read(section: &Section<'_>, owner: bool) -> LeaseSpec {
    let lease = section.text("lease", EXAMPLE).and_then(|text| match *text.get_ref() {
        "auto" => Some(LeaseSpec::Auto),
        "off" => Some(LeaseSpec::Off),
        _ => {
            let time = section.reader().duration(&text, limits())?;
            let lease = Lease::new(time).map(LeaseSpec::Of);
            lease.map_err(|error| section.reader().error(text.span(), error.to_string())).ok()
        }
    });
    if let (true, Some(LeaseSpec::Of(_)), Some(value)) = (owner, lease, section.value("lease")) {
        let message = "lease has no effect: the addresses of an owner are the host's own";
        let help = "remove it, or take a priority of 1 to 254";
        section.reader().warning(value.span(), message, help);
    }
    lease.unwrap_or_default()
}

fn limits() -> std::ops::RangeInclusive<Duration> {
    Lease::SHORTEST.time()..=Lease::LONGEST.time()
}

/// The lease that holds for a router.
pub(in crate::config) fn in_force(router: &RouterSpec, active_down: Duration) -> Option<Lease> {
    match router.lease {
        _ if router.is_owner() => None,
        LeaseSpec::Auto => Some(Lease::auto(active_down)),
        LeaseSpec::Off => None,
        LeaseSpec::Of(lease) => Some(lease),
    }
}

/// A lease may be longer than is good.
pub(super) fn check(reader: &Reader<'_>, router: &RouterSpec) {
    let Timers { interval, active_down, lease: Some(lease), .. } = router.timers else { return };
    let best = Lease::auto(active_down);
    if lease > best {
        let message = format!(
            "should daemon and guard die together, two servers have the addresses for up to {}",
            format_duration(lease.overlap(interval, active_down))
        );
        let help = format!(
            "a successor takes over after {}, and the lease is over after it: take {} or less",
            format_duration(active_down),
            format_duration(best.time())
        );
        reader.note(router.place("lease").warning(message).with_help(help));
    }
}
