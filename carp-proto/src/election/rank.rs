//! Who is better: ranks, and the claims that carry them.

use core::net::IpAddr;
use core::time::Duration;

use crate::id::Demotion;
use crate::interval::CarpInterval;

/// How good a router is as the active one. Totally ordered; the **greater is the better**.
///
/// A rank says nothing about the source address: what happens between equal ranks is a column of the
/// [policy table](super::Policy). Ranks of different protocols never meet in one election.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank(u32);

impl Rank {
    /// A CARP rank: first the smaller demotion byte (always 0 outside the OpenBSD dialect), then the
    /// smaller advert interval.
    #[must_use]
    pub const fn carp(demotion: Demotion, interval: CarpInterval) -> Self {
        let [demotion, base, skew] = [demotion.get(), interval.advbase, interval.advskew];
        Self(!u32::from_be_bytes([0, demotion, base, skew]))
    }

    /// A VRRP rank: the greater priority (RFC 9568 section 5.2.4).
    #[must_use]
    pub const fn priority(priority: u8) -> Self {
        Self(u32::from_be_bytes([0, 0, 0, priority]))
    }
}

/// What one valid advert says: "I am the active router, with this rank".
///
/// Only validation makes one: [`VirtualRouter::handle_datagram`](crate::VirtualRouter::handle_datagram)
/// is the way in, so that a rejected datagram cannot reach the election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    /// The sender's rank; meaningless if it resigns.
    pub(crate) rank: Rank,
    pub(crate) demotion: Demotion,
    /// The time until the sender's next advert.
    pub(crate) interval: Duration,
    pub(crate) source: IpAddr,
    /// The sender gives up: CARP's 255/255, VRRP's priority 0.
    pub(crate) resigning: bool,
}

/// What decides between two active routers of equal rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TieBreak {
    /// The one with the lower source address stays. Together with the rank a total order: exactly
    /// one of two stays.
    LowerAddressStays,
    /// As ucarp compares on little-endian machines: the address whose octets, read from the last to
    /// the first, are the smaller number stays.
    UcarpAddressStays,
    /// The one with the higher source address stays (RFC 9568 section 6.4.3).
    HigherAddressStays,
    /// Whoever hears the other yields, as on the BSDs; two can yield to each other.
    HearerYields,
}

impl TieBreak {
    /// Whether an active router at `own` yields to one of equal rank at `theirs`. `None` if addresses
    /// decide and these are of two families: routers with both have to compare the same pair.
    pub(super) fn yields(self, own: IpAddr, theirs: IpAddr) -> Option<bool> {
        if self == Self::HearerYields {
            return Some(true);
        }
        match (own, theirs) {
            (IpAddr::V4(own), IpAddr::V4(theirs)) => {
                Some(self.orders(own.octets(), theirs.octets()))
            }
            (IpAddr::V6(own), IpAddr::V6(theirs)) => {
                Some(self.orders(own.octets(), theirs.octets()))
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }

    /// The comparison, octet by octet as they stand on the wire.
    fn orders<const N: usize>(self, own: [u8; N], theirs: [u8; N]) -> bool {
        match self {
            Self::LowerAddressStays => theirs < own,
            Self::UcarpAddressStays => theirs.iter().rev().lt(own.iter().rev()),
            Self::HigherAddressStays => theirs > own,
            Self::HearerYields => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(demotion: u32, advbase: u8, advskew: u8) -> Rank {
        Rank::carp(Demotion::clamped(demotion), CarpInterval { advbase, advskew })
    }

    #[test]
    fn demotion_counts_before_base_and_base_before_skew() {
        assert!(rank(0, 1, 0) > rank(0, 1, 1));
        assert!(rank(0, 1, 254) > rank(0, 2, 0));
        assert!(rank(0, 254, 254) > rank(1, 0, 0));
        assert!(Rank::priority(200) > Rank::priority(100));
    }

    #[test]
    fn only_whoever_hears_yields_to_its_own_address() {
        let own = IpAddr::from([10, 0, 0, 1]);
        let stays = [
            TieBreak::LowerAddressStays,
            TieBreak::UcarpAddressStays,
            TieBreak::HigherAddressStays,
        ];
        for tie in stays {
            assert_eq!(tie.yields(own, own), Some(false), "{tie:?}");
        }
        assert_eq!(TieBreak::HearerYields.yields(own, own), Some(true));
    }

    #[test]
    fn the_ucarp_tie_reads_addresses_from_the_last_octet() {
        // ucarp-tie-endianness.pcap: 10.99.1.2 stayed, 10.99.0.9 yielded.
        let [a, b] = ["10.99.0.9", "10.99.1.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        for (tie, low_yields, high_yields) in [
            (TieBreak::UcarpAddressStays, true, false),
            (TieBreak::LowerAddressStays, false, true),
            (TieBreak::HigherAddressStays, true, false),
            (TieBreak::HearerYields, true, true),
        ] {
            assert_eq!(tie.yields(a, b), Some(low_yields), "{tie:?}");
            assert_eq!(tie.yields(b, a), Some(high_yields), "{tie:?}");
        }
    }

    #[test]
    fn addresses_are_compared_as_octets_and_within_a_family() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let higher = TieBreak::HigherAddressStays;
        assert_eq!(higher.yields(ip("9.255.255.255"), ip("10.0.0.0")), Some(true));
        assert_eq!(higher.yields(ip("127.0.0.1"), ip("128.0.0.1")), Some(true));
        assert_eq!(higher.yields(ip("fe80::ff"), ip("fe80::100")), Some(true));
        assert_eq!(higher.yields(ip("fe80::ff"), ip("255.0.0.1")), None);
        assert_eq!(TieBreak::HearerYields.yields(ip("fe80::ff"), ip("10.0.0.1")), Some(true));
    }
}
