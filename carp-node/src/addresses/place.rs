//! Where the addresses of a router live.

use carp_proto::MacAddr;

use crate::backend::VirtualDevice;

/// Where the addresses of a router live, and how neighbours learn of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The interface that has them.
    pub interface: String,
    /// The interface on whose link they are announced.
    pub announced_on: String,
    /// The link-layer address that they are announced at, if it is not that of `announced_on`.
    pub mac: Option<MacAddr>,
    /// The device that `interface` is, if it is made for them.
    pub device: Option<VirtualDevice>,
    /// Whether they are the host's own: then they are announced, and neither added nor removed.
    pub owned: bool,
}

impl Place {
    /// On an interface that is there anyhow, and that answers for them.
    #[must_use]
    pub fn on(interface: &str) -> Self {
        Self {
            interface: interface.to_owned(),
            announced_on: interface.to_owned(),
            mac: None,
            device: None,
            owned: false,
        }
    }

    /// Where a router on this interface has its addresses: on a device for its virtual link-layer address,
    /// on another interface, or right there. `owned` says that they are the host's own.
    #[must_use]
    pub fn of_router(
        interface: &str,
        address_interface: Option<&str>,
        virtual_mac: Option<MacAddr>,
        owned: bool,
    ) -> Self {
        let place = match (virtual_mac, address_interface) {
            (Some(mac), _) => Self::virtual_on(interface, mac),
            (None, Some(other)) => Self::on(other),
            (None, None) => Self::on(interface),
        };
        Self { owned, ..place }
    }

    /// On a device of their own above an interface, with this link-layer address.
    #[must_use]
    pub fn virtual_on(interface: &str, mac: MacAddr) -> Self {
        let device = VirtualDevice::new(interface, mac);
        Self {
            interface: device.name.clone(),
            mac: Some(mac),
            device: Some(device),
            ..Self::on(interface)
        }
    }
}
