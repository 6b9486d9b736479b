//! How long the packets of a router are.

use core::net::IpAddr;

use super::RouterConfig;
use super::speech::Speech;
use crate::address::VirtualAddress;
use crate::id::Family;
use crate::wire::vrrp::{self, trailer, v2};
use crate::wire::{carp, ip};

impl RouterConfig {
    /// The length of the longest packet that the router sends, header of IP included, in bytes. It is never
    /// sent in fragments: an interface with a lower MTU cannot carry its adverts.
    #[must_use]
    pub fn packet_len(&self) -> u32 {
        let header = |destination: &IpAddr| match destination {
            IpAddr::V4(_) => ip::HEADER_LEN,
            IpAddr::V6(_) => ip::IPV6_HEADER_LEN,
        };
        let header = self.destinations().iter().map(header).max().unwrap_or(ip::HEADER_LEN);
        u32::try_from(header.saturating_add(self.message_len())).unwrap_or(u32::MAX)
    }

    fn message_len(&self) -> usize {
        let listed = |address: &VirtualAddress| match address.family() {
            Family::Ipv4 => 4,
            Family::Ipv6 => 16,
        };
        let list: usize = self.addresses().iter().map(listed).sum();
        let fixed = match self.speech {
            Speech::Carp(_) => return carp::HEADER_LEN,
            Speech::Vrrp2 { .. } => vrrp::HEADER_LEN + v2::AUTH_DATA_LEN,
            Speech::Vrrp3 { .. } if self.is_signed() => vrrp::HEADER_LEN + trailer::LEN,
            Speech::Vrrp3 { .. } => vrrp::HEADER_LEN,
        };
        list.saturating_add(fixed)
    }
}
