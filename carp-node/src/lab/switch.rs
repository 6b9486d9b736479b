//! The switch: a Linux bridge in a network namespace of its own.

use std::net::IpAddr;
use std::sync::Arc;

use carp_proto::MacAddr;

use super::error::Doing;
use super::net::{NetNs, Netlink};
use super::{Host, Lab, LabError, Tap};

/// The bridge's name, and its link-layer address, which no host should use.
const BRIDGE: &str = "switch";
const BRIDGE_MAC: MacAddr = MacAddr([0x02, 0, 0, 0, 0xff, 0xff]);

/// A switch that floods multicast, forwards from the first moment, and knows no spanning tree.
///
/// Each switch has its own network namespace: switches in one lab know nothing of each other, so that
/// tests can run side by side.
#[derive(Clone, Debug)]
pub struct Switch {
    pub(super) backplane: Arc<Backplane>,
}

/// What hosts need of their switch.
#[derive(Debug)]
pub(super) struct Backplane {
    pub(super) namespace: NetNs,
    pub(super) netlink: Netlink,
    pub(super) bridge: u32,
}

impl Switch {
    /// A switch without hosts.
    ///
    /// # Errors
    /// [`LabError::System`] if the kernel refuses.
    pub fn new(_inside: &Lab) -> Result<Self, LabError> {
        let namespace = NetNs::new().doing(|| "make a network namespace".into())?;
        let netlink = Netlink::open(&namespace)?;
        let bridge = netlink
            .add_bridge(BRIDGE, BRIDGE_MAC)
            .doing(|| "make a bridge for the switch".into())?;
        Ok(Self { backplane: Arc::new(Backplane { namespace, netlink, bridge }) })
    }

    /// A host that is switched on, plugged in, and ready to send. Its interface is `eth0`.
    ///
    /// `name` is also the name of its port, of at most 15 bytes; `addresses` are written as
    /// `ADDRESS/PREFIX`. [`mac`] makes distinct link-layer addresses.
    ///
    /// # Errors
    /// [`LabError::Address`] for an address that is none; [`LabError::System`] if the kernel refuses.
    pub fn host(&self, name: &str, mac: MacAddr, addresses: &[&str]) -> Result<Host, LabError> {
        let addresses = addresses.iter().map(|text| parse(text)).collect::<Result<_, _>>()?;
        Host::new(self, name, mac, addresses)
    }

    /// Listens to all that the switch forwards. What comes in at a port that is cut is not forwarded.
    ///
    /// # Errors
    /// [`LabError::System`] if the kernel refuses.
    pub fn tap(&self) -> Result<Tap, LabError> {
        Tap::open(&self.backplane.namespace, self.backplane.bridge)
    }
}

/// The locally administered link-layer address `02:00:00:00:00:NUMBER`.
#[must_use]
pub const fn mac(number: u8) -> MacAddr {
    MacAddr([0x02, 0, 0, 0, 0, number])
}

fn parse(text: &str) -> Result<(IpAddr, u8), LabError> {
    let parsed = text.split_once('/').and_then(|(ip, prefix)| {
        let (ip, prefix): (IpAddr, u8) = (ip.parse().ok()?, prefix.parse().ok()?);
        let longest = if ip.is_ipv4() { 32 } else { 128 };
        (prefix <= longest).then_some((ip, prefix))
    });
    parsed.ok_or_else(|| LabError::Address { found: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_prefix_that_fits() {
        assert_eq!(parse("192.0.2.1/24").unwrap(), ("192.0.2.1".parse().unwrap(), 24));
        for wrong in ["192.0.2.1", "192.0.2.1/33", "192.0.2/24", "fe80::1/129", "fe80::1/"] {
            assert!(matches!(parse(wrong), Err(LabError::Address { .. })), "{wrong}");
        }
    }
}
