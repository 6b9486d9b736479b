//! What is spoken: a protocol, and how.

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::MacAddr;

use crate::speaker::Kind;

/// A way to speak one of the protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Carp,
    Vrrp2,
    Vrrp2Password,
    Vrrp3,
    Vrrp3Ipv6,
    Vrrp3Fast,
    Vrrp3Unicast,
    Vrrp3Vmac,
}

/// Which of two routers is to be active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    Better,
    Worse,
    Equal,
}

/// The id of the virtual router.
pub(crate) const ID: u8 = 1;

impl Variant {
    pub(crate) const ALL: [Self; 8] = [
        Self::Carp,
        Self::Vrrp2,
        Self::Vrrp2Password,
        Self::Vrrp3,
        Self::Vrrp3Ipv6,
        Self::Vrrp3Fast,
        Self::Vrrp3Unicast,
        Self::Vrrp3Vmac,
    ];

    /// Its name in the names of tests.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Carp => "carp",
            Self::Vrrp2 => "vrrp2",
            Self::Vrrp2Password => "vrrp2-password",
            Self::Vrrp3 => "vrrp3",
            Self::Vrrp3Ipv6 => "vrrp3-ipv6",
            Self::Vrrp3Fast => "vrrp3-fast",
            Self::Vrrp3Unicast => "vrrp3-unicast",
            Self::Vrrp3Vmac => "vrrp3-vmac",
        }
    }

    /// Its name for people.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Carp => "CARP over IPv4",
            Self::Vrrp2 => "VRRPv2",
            Self::Vrrp2Password => "VRRPv2 with a password",
            Self::Vrrp3 => "VRRPv3 over IPv4",
            Self::Vrrp3Ipv6 => "VRRPv3 over IPv6",
            Self::Vrrp3Fast => "VRRPv3, an advert every 250 ms",
            Self::Vrrp3Unicast => "VRRPv3 to peers by unicast",
            Self::Vrrp3Vmac => "VRRPv3 with the virtual MAC",
        }
    }

    /// Who speaks it. FRR has the virtual MAC in every variant, and is not listed twice for that.
    pub(crate) const fn speakers(self) -> &'static [Kind] {
        match self {
            Self::Carp => &[Kind::Ours, Kind::Ucarp],
            Self::Vrrp2 | Self::Vrrp3 | Self::Vrrp3Ipv6 | Self::Vrrp3Fast | Self::Vrrp3Vmac => {
                &[Kind::Ours, Kind::Keepalived, Kind::Frr]
            }
            Self::Vrrp2Password | Self::Vrrp3Unicast => &[Kind::Ours, Kind::Keepalived],
        }
    }

    /// The version of VRRP; CARP has none.
    pub(crate) const fn vrrp(self) -> Option<u8> {
        match self {
            Self::Carp => None,
            Self::Vrrp2 | Self::Vrrp2Password => Some(2),
            Self::Vrrp3
            | Self::Vrrp3Ipv6
            | Self::Vrrp3Fast
            | Self::Vrrp3Unicast
            | Self::Vrrp3Vmac => Some(3),
        }
    }

    /// Whether addresses and adverts are of IPv6.
    pub(crate) const fn is_ipv6(self) -> bool {
        matches!(self, Self::Vrrp3Ipv6)
    }

    /// The virtual MAC (RFC 9568 section 7.3).
    pub(crate) const fn virtual_mac(self) -> MacAddr {
        let family = if self.is_ipv6() { 2 } else { 1 };
        MacAddr([0, 0, 0x5e, 0, family, ID])
    }

    /// The virtual addresses. In IPv6 a link-local one comes first (RFC 9568 section 5.2.9).
    pub(crate) const fn addresses(self) -> &'static [&'static str] {
        if self.is_ipv6() { &["fe80::100", "2001:db8:130::100"] } else { &["192.168.130.100"] }
    }

    /// The virtual address that clients ask for.
    pub(crate) fn address(self) -> IpAddr {
        let last = self.addresses().last().and_then(|address| address.parse().ok());
        last.expect("a table of addresses")
    }

    /// The priority that VRRP gives a rank.
    pub(crate) const fn priority(rank: Rank) -> u8 {
        match rank {
            Rank::Better => 200,
            Rank::Worse => 100,
            Rank::Equal => 150,
        }
    }

    /// The skew that CARP gives a rank, in 1/256 s.
    pub(crate) const fn advskew(rank: Rank) -> u8 {
        match rank {
            Rank::Better => 1,
            Rank::Worse => 100,
            Rank::Equal => 20,
        }
    }

    /// The interval that is configured, without CARP's skew.
    pub(crate) const fn base(self) -> Duration {
        match self {
            Self::Vrrp3Fast => Duration::from_millis(250),
            Self::Carp
            | Self::Vrrp2
            | Self::Vrrp2Password
            | Self::Vrrp3
            | Self::Vrrp3Ipv6
            | Self::Vrrp3Unicast
            | Self::Vrrp3Vmac => Duration::from_secs(1),
        }
    }

    /// From one advert to the next.
    pub(crate) fn interval(self, rank: Rank) -> Duration {
        match self.vrrp() {
            None => self.base() + self.base() * u32::from(Self::advskew(rank)) / 256,
            Some(_) => self.base(),
        }
    }

    /// From the last advert to a takeover (RFC 9568 section 6.1, and CARP alike). With 250 ms the skew
    /// is taken of the interval too.
    pub(crate) fn active_down(self, rank: Rank) -> Duration {
        let skew = match self.vrrp() {
            None => u32::from(Self::advskew(rank)),
            Some(_) => 256 - u32::from(Self::priority(rank)),
        };
        3 * self.base() + self.base() * skew / 256
    }

    /// Of two routers of equal rank that are both active, which stays: in VRRP the one with the higher
    /// address, in CARP of our dialects and in ucarp's, with these addresses, the one with the lower.
    pub(crate) const fn higher_address_wins(self) -> bool {
        self.vrrp().is_some()
    }
}
