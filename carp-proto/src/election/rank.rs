//! Who is better: ranks, and the claims that carry them.

use core::cmp::Ordering;
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
    /// Whether an active router at `own` yields to one of equal rank at `theirs`.
    pub(super) fn yields(self, own: IpAddr, theirs: IpAddr) -> bool {
        match self {
            Self::LowerAddressStays => theirs < own,
            Self::UcarpAddressStays => compare_backwards(theirs, own) == Ordering::Less,
            Self::HigherAddressStays => theirs > own,
            Self::HearerYields => true,
        }
    }
}

fn compare_backwards(a: IpAddr, b: IpAddr) -> Ordering {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => a.octets().iter().rev().cmp(b.octets().iter().rev()),
        (IpAddr::V6(a), IpAddr::V6(b)) => a.octets().iter().rev().cmp(b.octets().iter().rev()),
        (IpAddr::V4(_), IpAddr::V6(_)) => Ordering::Less,
        (IpAddr::V6(_), IpAddr::V4(_)) => Ordering::Greater,
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
    fn the_ucarp_tie_reads_addresses_from_the_last_octet() {
        // ucarp-tie-endianness.pcap: 10.99.1.2 stayed, 10.99.0.9 yielded.
        let [a, b] = ["10.99.0.9", "10.99.1.2"].map(|ip| ip.parse::<IpAddr>().unwrap());
        assert!(TieBreak::UcarpAddressStays.yields(a, b));
        assert!(!TieBreak::UcarpAddressStays.yields(b, a));
        assert!(TieBreak::LowerAddressStays.yields(b, a));
        assert!(!TieBreak::LowerAddressStays.yields(a, b));
        assert!(TieBreak::HigherAddressStays.yields(a, b));
        assert!(TieBreak::HearerYields.yields(a, b) && TieBreak::HearerYields.yields(b, a));
    }
}
