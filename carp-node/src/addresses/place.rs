//! Where the addresses of a router live.

use carp_proto::MacAddr;

use super::Lease;
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
    /// How long the kernel keeps them when nobody renews them; `None` for ever.
    pub lease: Option<Lease>,
}

impl Place {
    /// On an interface that is there anyhow, and that answers for them. There is no lease.
    #[must_use]
    pub fn on(interface: &str) -> Self {
        Self {
            interface: interface.to_owned(),
            announced_on: interface.to_owned(),
            mac: None,
            device: None,
            owned: false,
            lease: None,
        }
    }

    /// On a device of their own above an interface, with this link-layer address. There is no lease.
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
