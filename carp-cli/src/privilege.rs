//! The two capabilities that the daemon works with, and no others.

use crate::exit::Failure;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs,
};

/// What adverts and addresses need.
const NEEDED: CapabilitySet = CapabilitySet::NET_ADMIN.union(CapabilitySet::NET_RAW);

/// Says what is missing, before anything fails for want of it.
pub(crate) fn check() -> Result<(), Failure> {
    let held = capabilities(None).map_err(|error| Failure::failed(error.to_string()))?;
    let missing = NEEDED.difference(held.effective);
    let names =
        [(CapabilitySet::NET_ADMIN, "CAP_NET_ADMIN"), (CapabilitySet::NET_RAW, "CAP_NET_RAW")];
    let names: Vec<_> =
        names.into_iter().filter(|(set, _)| missing.contains(*set)).map(|(_, name)| name).collect();
    if names.is_empty() {
        return Ok(());
    }
    let names = names.join(" and ");
    Err(Failure::missing(format!("{names} missing: adverts and addresses need it")).with_help(
        "run it as root, from a unit with AmbientCapabilities=CAP_NET_ADMIN CAP_NET_RAW, or after \
         `setcap cap_net_admin,cap_net_raw+ep` on the program",
    ))
}

/// Gives up everything else, for good. Call it before threads are started: each thread has its own
/// capabilities, and inherits them from the one that starts it.
pub(crate) fn keep_needed_only() -> Result<(), Failure> {
    let sets = CapabilitySets {
        effective: NEEDED,
        permitted: NEEDED,
        inheritable: CapabilitySet::empty(),
    };
    let dropped = clear_ambient_capability_set()
        .and_then(|()| set_no_new_privs(true))
        .and_then(|()| set_capabilities(None, sets));
    dropped.map_err(|error| Failure::failed(format!("cannot give up privileges: {error}")))
}
