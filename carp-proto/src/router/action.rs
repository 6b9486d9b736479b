//! What a router wants done.

use core::net::IpAddr;

use crate::address::VirtualAddress;
use crate::election::{Advertisement, Event};
use crate::id::Family;

/// Something to carry out. A new kind breaks every executor's build, and should.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Send a datagram. One advert may be several of them: one for each peer, or for each family.
    Send(Transmit<'a>),
    /// Do what must come before the addresses are taken; answer
    /// [`Input::Prepared`](crate::election::Input::Prepared) or
    /// [`Input::Refused`](crate::election::Input::Refused).
    Prepare,
    /// Take the addresses and announce each `burst` times, as one unit; answer
    /// [`Input::Acquired`](crate::election::Input::Acquired) or
    /// [`Input::Fault`](crate::election::Input::Fault).
    Acquire(Announce<'a>),
    /// Announce each address `burst` times.
    Announce(Announce<'a>),
    /// Give the addresses back.
    Release(&'a [VirtualAddress]),
    /// Tell whoever wants to know.
    Event(Event),
}

/// A datagram to send, with IP protocol 112 and a TTL or hop limit of 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// The source address that ties are decided by, and that peers expect.
    pub source: IpAddr,
    /// Where it goes, in the family of the source: to the group, or to one peer.
    pub destination: IpAddr,
    /// The message: what follows the IP header.
    pub payload: &'a [u8],
    /// What it says.
    pub advertisement: Advertisement,
}

impl Transmit<'_> {
    /// The family of source and destination.
    #[must_use]
    pub const fn family(&self) -> Family {
        Family::of(self.destination)
    }
}

/// Addresses to announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce<'a> {
    /// The addresses.
    pub addresses: &'a [VirtualAddress],
    /// How many announcements of each.
    pub burst: u8,
}
