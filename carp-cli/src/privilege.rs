//! The capabilities that a command works with, and no others.

use crate::exit::Failure;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

/// What adverts and addresses need.
const NEEDED: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::NET_RAW);

/// Says what the daemon misses, before anything fails for want of it.
pub(crate) fn check() -> Result<(), Failure> {
    require(NEEDED, "adverts and addresses need it").map_err(|failure| {
        failure.with_help(
            "run it as root, from a unit with AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW, or after \
             `setcap cap_net_admin,cap_net_raw+ep` on the program",
        )
    })
}

/// The same for listening, which needs less.
pub(crate) fn check_listening() -> Result<(), Failure> {
    require(CapabilitySet::NET_RAW, "listening on an interface needs it").map_err(|failure| {
        failure.with_help("run it as root, or after `setcap cap_net_raw+ep` on the program")
    })
}

fn require(needed: CapabilitySet, what_for: &str) -> Result<(), Failure> {
    let held = capabilities(None).map_err(|error| Failure::failed(error.to_string()))?;
    let missing = needed.difference(held.effective);
    let names =
        [(CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"), (CapabilitySet::NET_RAW, "CAP_NET_RAW")];
    let names: Vec<_> =
        names.into_iter().filter(|(set, _)| missing.contains(*set)).map(|(_, name)| name).collect();
    if names.is_empty() {
        return Ok(());
    }
    Err(Failure::missing(format!("{} missing: {what_for}", names.join(" and "))))
}

/// What looking through a share needs in addition, whoever its files belong to.
const FOR_SHARES: CapabilitySet = CapabilitySet::DAC_OVERRIDE;

/// Gives up everything else, for good. Call it before threads are started: each thread has its own
/// capabilities, and inherits them from the one that starts it. With shares, what they need is kept as far
/// as it is there.
pub(crate) fn keep_needed_only(shares: bool) -> Result<(), Failure> {
    let held = capabilities(None).map_err(|error| Failure::failed(error.to_string()))?;
    let more = if shares { held.permitted & FOR_SHARES } else { CapabilitySet::empty() };
    keep(NEEDED | more)
}

/// Gives up everything, for good, before bytes are read that others made up.
pub(crate) fn keep_nothing() -> Result<(), Failure> {
    keep(CapabilitySet::empty())
}

fn keep(kept: CapabilitySet) -> Result<(), Failure> {
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    let dropped = clear_ambient_capability_set()
        .and_then(|()| set_no_new_privs(true))
        .and_then(|()| set_capabilities(None, sets));
    dropped.map_err(|error| Failure::failed(format!("cannot give up privileges: {error}")))
}
