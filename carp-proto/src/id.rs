//! The small values that name things: routers, families, protocols, link-layer addresses.

use core::fmt;
use core::net::{IpAddr, Ipv6Addr};
use core::num::NonZeroU8;
use core::str::FromStr;

use thiserror::Error;

/// The number that the members of one virtual router share on a link: the VHID of CARP, the VRID of
/// VRRP (RFC 9568 section 5.2.3). 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "vhid")]
#[doc(alias = "vrid")]
pub struct VirtualId(NonZeroU8);

impl VirtualId {
    /// An id from its number.
    ///
    /// # Errors
    /// [`IdError`] for 0, which both protocols reserve.
    pub const fn new(id: u8) -> Result<Self, IdError> {
        match NonZeroU8::new(id) {
            Some(id) => Ok(Self(id)),
            None => Err(IdError { found: 0 }),
        }
    }

    /// The number as it stands on the wire.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0.get()
    }
}

impl fmt::Display for VirtualId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i64> for VirtualId {
    type Error = IdError;

    fn try_from(id: i64) -> Result<Self, IdError> {
        u8::try_from(id).ok().and_then(NonZeroU8::new).map(Self).ok_or(IdError { found: id })
    }
}

/// An id that is not one of 1 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{found} is not a virtual router id: it is one of 1 to 255")]
#[non_exhaustive]
pub struct IdError {
    /// The number that was given.
    pub found: i64,
}

/// How much a VRRP router wants to be active, as one byte (RFC 9568 section 5.2.4): the higher, the
/// better. The two ends have meanings of their own.
///
/// Every byte can appear on the wire; 1 to 255 can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// What an active router says when it leaves: it resigns.
    pub const RESIGN: Self = Self(0);

    /// The default of those who do not own the address.
    pub const DEFAULT: Self = Self(100);

    /// The router whose own address the virtual address is.
    pub const OWNER: Self = Self(255);

    /// The priority that stands on the wire.
    #[must_use]
    pub const fn from_wire(byte: u8) -> Self {
        Self(byte)
    }

    /// The byte as it stands on the wire.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether the sender resigns.
    #[must_use]
    pub const fn is_resignation(self) -> bool {
        self.0 == Self::RESIGN.0
    }

    /// Whether the sender owns the address.
    #[must_use]
    pub const fn is_owner(self) -> bool {
        self.0 == Self::OWNER.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl TryFrom<i64> for Priority {
    type Error = PriorityError;

    /// A priority that can be configured: 1 to 255.
    fn try_from(priority: i64) -> Result<Self, PriorityError> {
        let byte =
            u8::try_from(priority).ok().map(Self).filter(|priority| !priority.is_resignation());
        byte.ok_or(PriorityError { found: priority })
    }
}

/// A number that cannot be configured as a priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{found} is not a priority: it is one of 1 to 254, or 255 for the owner of the address")]
#[non_exhaustive]
pub struct PriorityError {
    /// The number that was given.
    pub found: i64,
}

/// How far present faults push a router back in the election: 0, the default, is not at all.
///
/// What a point is worth is a column of the [policy table](crate::election::Policy): 1/256 s of
/// advskew in CARP, clamped so that the result stays at or below 240, or one unit of the demotion
/// byte in the OpenBSD dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Demotion(u8);

impl Demotion {
    /// No demotion.
    pub const NONE: Self = Self(0);

    /// A demotion by `points`, clamped to 255.
    #[must_use]
    pub fn clamped(points: u32) -> Self {
        Self(u8::try_from(points).unwrap_or(u8::MAX))
    }

    /// The points, 0 to 255.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

/// A 48-bit link-layer address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// The broadcast address.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// Where IPv4 multicast to 224.0.0.18 goes (RFC 1112 section 6.4).
    pub const ADVERTISEMENT_IPV4: Self = Self([0x01, 0x00, 0x5e, 0x00, 0x00, 0x12]);

    /// Where IPv6 multicast to `ff02::12` goes (RFC 2464 section 7).
    pub const ADVERTISEMENT_IPV6: Self = Self([0x33, 0x33, 0x00, 0x00, 0x00, 0x12]);

    /// Where IPv6 multicast to a group goes: `33:33` and the group's last four bytes
    /// (RFC 2464 section 7).
    #[must_use]
    pub const fn multicast_ipv6(group: Ipv6Addr) -> Self {
        let [.., a, b, c, d] = group.octets();
        Self([0x33, 0x33, a, b, c, d])
    }

    /// The virtual router address `00:00:5e:00:01:ID` that the BSDs' CARP and VRRP for IPv4 use
    /// (RFC 9568 section 7.3).
    #[must_use]
    pub const fn virtual_router(id: VirtualId) -> Self {
        Self([0x00, 0x00, 0x5e, 0x00, 0x01, id.get()])
    }

    /// The virtual router address `00:00:5e:00:02:ID` of VRRP for IPv6 (RFC 9568 section 7.3).
    #[must_use]
    pub const fn virtual_router_ipv6(id: VirtualId) -> Self {
        Self([0x00, 0x00, 0x5e, 0x00, 0x02, id.get()])
    }

    /// The source address `00:00:5e:00:00:ID` of ucarp's adverts: its fourth byte is not the one
    /// that the BSDs use.
    #[must_use]
    pub const fn ucarp(id: VirtualId) -> Self {
        Self([0x00, 0x00, 0x5e, 0x00, 0x00, id.get()])
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

/// The protocols that elect over IP protocol 112.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// CARP version 2, as OpenBSD, FreeBSD and ucarp speak it.
    Carp,
    /// VRRP version 2 (RFC 3768).
    Vrrp2,
    /// VRRP version 3 (RFC 9568).
    Vrrp3,
}

impl Protocol {
    /// The IP protocol number (IPv6 next header) that all three share.
    pub const IP_PROTOCOL: u8 = 112;

    /// The name in configuration and JSON: `carp`, `vrrp2`, `vrrp3`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Carp => "carp",
            Self::Vrrp2 => "vrrp2",
            Self::Vrrp3 => "vrrp3",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Protocol {
    type Err = UnknownProtocol;

    fn from_str(name: &str) -> Result<Self, UnknownProtocol> {
        [Self::Carp, Self::Vrrp2, Self::Vrrp3]
            .into_iter()
            .find(|protocol| protocol.name() == name)
            .ok_or(UnknownProtocol)
    }
}

/// A protocol name that is none of `carp`, `vrrp2`, `vrrp3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a protocol: it is one of carp, vrrp2, vrrp3")]
#[non_exhaustive]
pub struct UnknownProtocol;

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn ids_are_one_to_255() {
        assert!(VirtualId::new(0).is_err());
        assert!(VirtualId::try_from(256).is_err());
        assert!(VirtualId::try_from(-1).is_err());
        assert_eq!(VirtualId::try_from(255).unwrap().get(), 255);
    }

    #[test]
    fn a_resignation_cannot_be_configured() {
        for found in [0, -1, 256] {
            assert_eq!(Priority::try_from(found), Err(PriorityError { found }));
        }
        assert_eq!(Priority::try_from(255), Ok(Priority::OWNER));
        assert!(Priority::from_wire(0).is_resignation() && Priority::from_wire(255).is_owner());
    }

    #[test]
    fn multicast_macs_end_as_their_group() {
        let group = "ff02::12".parse().unwrap();
        assert_eq!(MacAddr::multicast_ipv6(group), MacAddr::ADVERTISEMENT_IPV6);
        let group = "ff02::1:ff28:9c5a".parse().unwrap();
        assert_eq!(MacAddr::multicast_ipv6(group).to_string(), "33:33:ff:28:9c:5a");
    }

    #[test]
    fn the_virtual_macs_differ_in_the_fifth_byte() {
        let id = VirtualId::new(0x2a).unwrap();
        assert_eq!(MacAddr::virtual_router(id).to_string(), "00:00:5e:00:01:2a");
        assert_eq!(MacAddr::virtual_router_ipv6(id).to_string(), "00:00:5e:00:02:2a");
        assert_eq!(MacAddr::ucarp(id).to_string(), "00:00:5e:00:00:2a");
    }

    #[test]
    fn protocol_names_read_back() {
        for protocol in [Protocol::Carp, Protocol::Vrrp2, Protocol::Vrrp3] {
            assert_eq!(protocol.name().parse(), Ok(protocol));
        }
        assert_eq!("hsrp".parse::<Protocol>(), Err(UnknownProtocol));
    }
}
