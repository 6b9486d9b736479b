//! What the lease of a router means.

use std::time::Duration;

use carp_node::config::{LeaseSpec, RouterSpec, format_duration};

/// The longest overlap when daemon and guard die together; `None` if it has no end, because the addresses
/// stay.
pub(super) fn overlap(router: &RouterSpec, counterpart: Option<&RouterSpec>) -> Option<Duration> {
    let successor = counterpart.unwrap_or(router);
    let lease = router.timers.lease?;
    Some(lease.overlap(router.timers.interval, successor.patience_with(router)))
}

/// Where the lease comes from, and what it leaves open.
pub(super) fn notes(router: &RouterSpec, counterpart: Option<&RouterSpec>) -> Vec<String> {
    if router.is_owner() {
        return vec!["no lease: the addresses of an owner are the host's own".to_owned()];
    }
    let Some(lease) = router.timers.lease else {
        let note = "no lease: should daemon and guard die together, the addresses stay until `carp \
                    cleanup` or the next start";
        return vec![note.to_owned()];
    };
    let whence = match router.lease {
        LeaseSpec::Auto => {
            format!("from the detection time {}, ", format_duration(router.timers.active_down))
        }
        LeaseSpec::Off | LeaseSpec::Of(_) => String::new(),
    };
    let when = if lease.keeps_step(router.timers.interval) {
        "with an advert, before half of it has passed"
    } else {
        "after half of it at the latest"
    };
    let gone = format!(
        "lease: {whence}renewed {when}; the kernel drops what nobody renews after {} \
         at the most",
        format_duration(lease.longest())
    );
    let waits = match counterpart {
        Some(other) => {
            let waits = format_duration(other.patience_with(router));
            format!("the other node takes over after {waits}")
        }
        None => "if the other node's detection time is the same".to_owned(),
    };
    let overlap = overlap(router, counterpart).unwrap_or_default();
    let overlap = if overlap.is_zero() { "none".to_owned() } else { format_duration(overlap) };
    vec![gone, format!("worst overlap when daemon and guard die together: {overlap} ({waits})")]
}
