//! What a node is told to run.

use std::net::IpAddr;

use carp_proto::{MacAddr, RouterConfig};

use super::{Duplicate, Hold};
use crate::addresses::{Lease, Place};

/// A router to run.
#[derive(Clone, Debug)]
pub struct RouterSetup {
    /// Its name in messages.
    pub name: String,
    /// The interface on which it advertises.
    pub interface: String,
    /// Everything that the election needs.
    pub config: RouterConfig,
    /// The source of its adverts to the group, if it is not the interface's own link-layer address.
    pub advert_mac: Option<MacAddr>,
    /// Where its addresses live.
    pub place: Place,
    /// How long it waits before it takes part.
    pub hold: Hold,
    /// Which sync group it is in: routers of one number become active and step down together.
    pub group: Option<usize>,
    /// What to do if another host has one of the addresses.
    pub duplicate: Duplicate,
    /// A host that has to answer, or the router takes nothing over, and gives way if another one is there.
    pub gateway: Option<IpAddr>,
}

impl RouterSetup {
    /// A router that uses its interface for everything, and [leases](Lease::auto) its addresses.
    #[must_use]
    pub fn new(name: &str, interface: &str, config: RouterConfig) -> Self {
        let owned = config.standing().is_owner();
        let lease = Some(Lease::auto(config.active_down()));
        Self {
            name: name.to_owned(),
            interface: interface.to_owned(),
            config,
            advert_mac: None,
            place: Place { owned, lease, ..Place::on(interface) },
            hold: Hold::default(),
            group: None,
            duplicate: Duplicate::default(),
            gateway: None,
        }
    }
}
