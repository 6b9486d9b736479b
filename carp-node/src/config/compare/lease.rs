//! Whether addresses that nobody removes are gone when the other node takes over.

use super::Pair;
use crate::addresses::Lease;
use crate::config::duration::format_duration;
use crate::config::spec::RouterSpec;

/// Presumes that the routers hear each other.
pub(super) fn compare(pair: &mut Pair<'_>) {
    outlasts(pair, pair.ours, pair.theirs);
    outlasts(pair, pair.theirs, pair.ours);
}

/// A lease that fits the router's own active-down interval may be too long for that of the other node.
fn outlasts(pair: &mut Pair<'_>, dead: &RouterSpec, successor: &RouterSpec) {
    let Some(lease) = dead.timers.lease else { return };
    let waits = successor.patience_with(dead);
    let best = Lease::auto(waits);
    // What the file says by itself is told without the other one.
    if lease <= best || lease > Lease::auto(dead.timers.active_down) {
        return;
    }
    let (node, other) = if std::ptr::eq(dead, pair.ours) {
        ("this node", "the other one")
    } else {
        ("the other node", "this one")
    };
    let message = format!(
        "should daemon and guard of {node} die together, both nodes have the addresses for up to {}",
        format_duration(lease.overlap(dead.timers.interval, waits))
    );
    let help = format!(
        "{other} takes over after {}: give {node} lease = {:?}",
        format_duration(waits),
        format_duration(best.time())
    );
    pair.warning(pair.ours.place("lease"), message, &help);
}
