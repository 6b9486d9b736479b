//! What a node is told to run.

use carp_proto::{MacAddr, RouterConfig};

use crate::addresses::Place;

/// A router to run.
#[derive(Clone, Debug)]
pub struct RouterSetup {
    /// Its name in messages.
    pub name: String,
    /// The interface on which it advertises, and has its addresses unless something else is said.
    pub interface: String,
    /// Everything that the election needs.
    pub config: RouterConfig,
    /// The source of its adverts to the group, if it is not the interface's own link-layer address.
    pub advert_mac: Option<MacAddr>,
    /// The interface that has the addresses, if it is another one.
    pub address_interface: Option<String>,
    /// The virtual link-layer address at which the addresses are, on a device made for it above
    /// `interface`. Not together with `address_interface`.
    pub virtual_mac: Option<MacAddr>,
    /// Which sync group it is in: routers of one number become active and step down together.
    pub group: Option<usize>,
}

impl RouterSetup {
    /// A router that uses its interface for everything.
    #[must_use]
    pub fn new(name: &str, interface: &str, config: RouterConfig) -> Self {
        Self {
            name: name.to_owned(),
            interface: interface.to_owned(),
            config,
            advert_mac: None,
            address_interface: None,
            virtual_mac: None,
            group: None,
        }
    }

    /// Where its addresses live.
    #[must_use]
    pub fn place(&self) -> Place {
        let owned = self.config.standing().is_owner();
        let elsewhere = self.address_interface.as_deref();
        Place::of_router(&self.interface, elsewhere, self.virtual_mac, owned)
    }
}
