//! The addresses that a virtual router carries.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use thiserror::Error;

use crate::id::Family;

/// One virtual address with the length of its prefix.
///
/// Written bare it is a host address (`/32`, `/128`), which no outgoing connection picks as its
/// source and which brings no route with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VirtualAddress {
    ip: IpAddr,
    prefix_len: u8,
}

impl VirtualAddress {
    /// An address with its prefix length; `None` stands for the host prefix.
    ///
    /// # Errors
    /// [`AddressError`] if no host can own the address, or the prefix is longer than the address.
    pub fn new(ip: IpAddr, prefix_len: Option<u8>) -> Result<Self, AddressError> {
        let host = host_prefix(ip);
        let prefix_len = prefix_len.unwrap_or(host);
        if prefix_len > host || prefix_len == 0 {
            return Err(AddressError::Prefix { longest: host });
        }
        let ownable = match ip {
            IpAddr::V4(ip) => {
                !ip.is_unspecified()
                    && !ip.is_broadcast()
                    && !ip.is_multicast()
                    && !ip.is_loopback()
            }
            IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback(),
        };
        if ownable { Ok(Self { ip, prefix_len }) } else { Err(AddressError::NotAHost { ip }) }
    }

    /// The address.
    #[must_use]
    pub const fn ip(self) -> IpAddr {
        self.ip
    }

    /// The prefix length: 1 to 32, or 1 to 128.
    #[must_use]
    pub const fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// Whether the prefix covers this one address only.
    #[must_use]
    pub const fn is_host(self) -> bool {
        self.prefix_len == host_prefix(self.ip)
    }

    /// The address family.
    #[must_use]
    pub const fn family(self) -> Family {
        Family::of(self.ip)
    }
}

const fn host_prefix(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

impl fmt::Display for VirtualAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() { self.ip.fmt(f) } else { write!(f, "{}/{}", self.ip, self.prefix_len) }
    }
}

impl FromStr for VirtualAddress {
    type Err = AddressError;

    /// Reads `192.168.130.100` or `192.168.130.100/24`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (ip, prefix_len) = match text.split_once('/') {
            Some((ip, len)) => (ip, Some(len.parse().map_err(|_| AddressError::Syntax)?)),
            None => (text, None),
        };
        Self::new(ip.parse().map_err(|_| AddressError::Syntax)?, prefix_len)
    }
}

/// Why something cannot be a virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressError {
    /// Not an address at all.
    #[error("not an IP address: write it like 192.0.2.1 or 192.0.2.1/24")]
    Syntax,
    /// A prefix length that the family does not have.
    #[error("the prefix length must be 1 to {longest}")]
    Prefix {
        /// The longest prefix of the family.
        longest: u8,
    },
    /// An address that no host on a link can own.
    #[error("{ip} cannot be on an interface: it is unspecified, broadcast, multicast or loopback")]
    NotAHost {
        /// The address.
        ip: IpAddr,
    },
}

/// The addresses of one router as CARP hashes them: IPv4 then IPv6, each sorted, duplicates once.
///
/// The prefix length is not part of it; of a link-local IPv6 address the bytes 2 and 3, where the
/// BSDs keep the scope, count as zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HashedAddresses {
    pub(crate) v4: Vec<Ipv4Addr>,
    pub(crate) v6: Vec<Ipv6Addr>,
}

impl HashedAddresses {
    pub(crate) fn new(addresses: &[VirtualAddress]) -> Self {
        let mut v4 = Vec::new();
        let mut v6 = Vec::new();
        for address in addresses {
            match address.ip {
                IpAddr::V4(ip) => v4.push(ip),
                IpAddr::V6(ip) => v6.push(without_scope(ip)),
            }
        }
        v4.sort_unstable();
        v4.dedup();
        v6.sort_unstable();
        v6.dedup();
        Self { v4, v6 }
    }
}

fn without_scope(ip: Ipv6Addr) -> Ipv6Addr {
    let mut segments = ip.segments();
    if ip.is_unicast_link_local() {
        segments[1] = 0;
    }
    Ipv6Addr::from(segments)
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_bare_address_is_a_host_prefix() {
        let address: VirtualAddress = "192.168.130.100".parse().unwrap();
        assert_eq!(address.prefix_len(), 32);
        assert_eq!(address.to_string(), "192.168.130.100");
        let wide: VirtualAddress = "192.168.130.100/24".parse().unwrap();
        assert_eq!(wide.to_string(), "192.168.130.100/24");
    }

    #[test]
    fn addresses_that_no_host_owns_are_refused() {
        for text in
            ["0.0.0.0", "255.255.255.255", "224.0.0.18", "127.0.0.1", "::", "ff02::1", "::1"]
        {
            let error = text.parse::<VirtualAddress>().unwrap_err();
            assert!(matches!(error, AddressError::NotAHost { .. }), "{text}: {error}");
        }
    }

    #[test]
    fn nonsense_is_told_from_a_bad_prefix() {
        assert_eq!("web".parse::<VirtualAddress>(), Err(AddressError::Syntax));
        assert_eq!("10.0.0.1/x".parse::<VirtualAddress>(), Err(AddressError::Syntax));
        let error = "10.0.0.1/33".parse::<VirtualAddress>();
        assert_eq!(error, Err(AddressError::Prefix { longest: 32 }));
        let error = "fd00::1/0".parse::<VirtualAddress>();
        assert_eq!(error, Err(AddressError::Prefix { longest: 128 }));
    }
}
