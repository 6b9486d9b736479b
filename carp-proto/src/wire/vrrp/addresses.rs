//! The addresses that an advert lists: as they were received, and as they may be sent.

use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thiserror::Error;

use crate::address::VirtualAddress;
use crate::id::Family;

const IPV4_LEN: usize = 4;
const IPV6_LEN: usize = 16;

/// The addresses of an advert, read from its bytes when they are asked for.
///
/// What was received may be anything, also no address at all. Lists to be sent are [`Ipv4List`] and
/// [`Ipv6List`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Addresses<'a> {
    family: Family,
    /// A whole number of addresses.
    bytes: &'a [u8],
}

impl<'a> Addresses<'a> {
    /// The addresses in `bytes`; the rest of an incomplete last one is left out.
    pub(super) fn from_wire(family: Family, bytes: &'a [u8]) -> Self {
        let whole = bytes.len() - bytes.len() % address_len(family);
        Self { family, bytes: &bytes[..whole] }
    }

    /// The family of them all.
    #[must_use]
    pub const fn family(self) -> Family {
        self.family
    }

    /// How many there are.
    #[must_use]
    pub const fn len(self) -> usize {
        self.bytes.len() / address_len(self.family)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.bytes.is_empty()
    }

    /// The first one.
    #[must_use]
    pub fn first(self) -> Option<IpAddr> {
        self.iter().next()
    }

    /// One after the other.
    #[must_use]
    pub const fn iter(self) -> Iter<'a> {
        Iter(self)
    }

    pub(crate) const fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }
}

/// The length of one address.
pub(super) const fn address_len(family: Family) -> usize {
    match family {
        Family::Ipv4 => IPV4_LEN,
        Family::Ipv6 => IPV6_LEN,
    }
}

impl fmt::Debug for Addresses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(*self).finish()
    }
}

impl<'a> IntoIterator for Addresses<'a> {
    type Item = IpAddr;
    type IntoIter = Iter<'a>;

    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// An iterator over [`Addresses`].
#[derive(Clone, Debug)]
pub struct Iter<'a>(Addresses<'a>);

impl Iterator for Iter<'_> {
    type Item = IpAddr;

    fn next(&mut self) -> Option<IpAddr> {
        let Self(Addresses { family, bytes }) = self;
        match family {
            Family::Ipv4 => bytes.split_off(..IPV4_LEN).and_then(ip::<IPV4_LEN>),
            Family::Ipv6 => bytes.split_off(..IPV6_LEN).and_then(ip::<IPV6_LEN>),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for Iter<'_> {}

fn ip<const LEN: usize>(bytes: &[u8]) -> Option<IpAddr>
where
    IpAddr: From<[u8; LEN]>,
{
    <[u8; LEN]>::try_from(bytes).ok().map(IpAddr::from)
}

/// One to 255 IPv4 addresses, as an advert lists them.
#[derive(Clone, PartialEq, Eq)]
pub struct Ipv4List(Bytes);

/// One to 255 IPv6 addresses, as an advert lists them. The first is link-local, as RFC 9568 section
/// 5.2.9 wants it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ipv6List(Bytes);

/// The bytes of a list, and how many addresses they are.
#[derive(Clone, PartialEq, Eq)]
struct Bytes {
    count: u8,
    bytes: Vec<u8>,
}

impl Bytes {
    fn new<const LEN: usize>(
        addresses: impl Iterator<Item = [u8; LEN]>,
    ) -> Result<Self, ListError> {
        let bytes: Vec<u8> = addresses.flatten().collect();
        let found = bytes.len() / LEN;
        match u8::try_from(found) {
            Ok(0) => Err(ListError::Empty),
            Ok(count) => Ok(Self { count, bytes }),
            Err(_) => Err(ListError::TooMany { found }),
        }
    }
}

impl Ipv4List {
    /// A list, in the order that is given. All routers should have the same order.
    ///
    /// # Errors
    /// [`ListError`] if there is no address, or there are more than 255.
    pub fn new(addresses: impl IntoIterator<Item = Ipv4Addr>) -> Result<Self, ListError> {
        Bytes::new(addresses.into_iter().map(|ip| ip.octets())).map(Self)
    }

    /// The addresses.
    #[must_use]
    pub fn addresses(&self) -> Addresses<'_> {
        Addresses { family: Family::Ipv4, bytes: &self.0.bytes }
    }

    pub(super) const fn count(&self) -> u8 {
        self.0.count
    }
}

impl Ipv6List {
    /// A list, in the order that is given, which is: the virtual router's link-local address first.
    ///
    /// # Errors
    /// [`ListError`] if there is no address, there are more than 255, or the first is not link-local.
    pub fn new(addresses: impl IntoIterator<Item = Ipv6Addr>) -> Result<Self, ListError> {
        let list = Bytes::new(addresses.into_iter().map(|ip| ip.octets())).map(Self)?;
        match list.addresses().first() {
            Some(IpAddr::V6(first)) if !first.is_unicast_link_local() => {
                Err(ListError::NotLinkLocal { first })
            }
            Some(_) | None => Ok(list),
        }
    }

    /// The addresses.
    #[must_use]
    pub fn addresses(&self) -> Addresses<'_> {
        Addresses { family: Family::Ipv6, bytes: &self.0.bytes }
    }

    pub(super) const fn count(&self) -> u8 {
        self.0.count
    }
}

impl fmt::Debug for Ipv4List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addresses().fmt(f)
    }
}

impl fmt::Debug for Ipv6List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addresses().fmt(f)
    }
}

/// A list that can be sent, of either family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressList {
    /// IPv4 addresses.
    Ipv4(Ipv4List),
    /// IPv6 addresses.
    Ipv6(Ipv6List),
}

impl AddressList {
    /// The list of a router's virtual addresses, in their order.
    ///
    /// # Errors
    /// [`ListError`] if one of the two lists cannot be made of them, or if they are of both families,
    /// which RFC 9568 section 5.2.9 forbids.
    pub fn new(addresses: &[VirtualAddress]) -> Result<Self, ListError> {
        let v4 = addresses.iter().filter_map(|address| match address.ip() {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        let v6 = addresses.iter().filter_map(|address| match address.ip() {
            IpAddr::V4(_) => None,
            IpAddr::V6(ip) => Some(ip),
        });
        match (Ipv4List::new(v4), Ipv6List::new(v6)) {
            (Ok(list), Err(ListError::Empty)) => Ok(Self::Ipv4(list)),
            (Err(ListError::Empty), Ok(list)) => Ok(Self::Ipv6(list)),
            (Err(ListError::Empty), Err(error)) | (Err(error), Err(ListError::Empty)) => Err(error),
            (Ok(_) | Err(_), Ok(_) | Err(_)) => Err(ListError::Mixed),
        }
    }

    /// The addresses.
    #[must_use]
    pub fn addresses(&self) -> Addresses<'_> {
        match self {
            Self::Ipv4(list) => list.addresses(),
            Self::Ipv6(list) => list.addresses(),
        }
    }
}

/// Why addresses cannot be sent as one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ListError {
    /// No address at all.
    #[error("an advert lists at least one address")]
    Empty,
    /// More addresses than the count can say.
    #[error(
        "{found} addresses are more than the 255 that one advert can list: use another router id"
    )]
    TooMany {
        /// The addresses given.
        found: usize,
    },
    /// Both families.
    #[error("an advert lists addresses of one family: IPv4 and IPv6 are two virtual routers")]
    Mixed,
    /// An IPv6 list that begins with another kind of address.
    #[error(
        "{first} is not link-local (fe80::/10), as the first address of an IPv6 list has to be"
    )]
    NotLinkLocal {
        /// The first address.
        first: Ipv6Addr,
    },
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    fn list(texts: &[&str]) -> Result<AddressList, ListError> {
        let addresses: Vec<VirtualAddress> =
            texts.iter().map(|text| text.parse().unwrap()).collect();
        AddressList::new(&addresses)
    }

    #[test]
    fn a_list_keeps_its_order() {
        let addresses = ["192.0.2.9", "192.0.2.1", "192.0.2.1"];
        let list = list(&addresses).unwrap();
        let read: Vec<_> = list.addresses().iter().map(|ip| ip.to_string()).collect();
        assert_eq!(read, addresses);
        assert_eq!((list.addresses().len(), list.addresses().iter().len()), (3, 3));
    }

    #[test]
    fn an_ipv6_list_begins_with_a_link_local_address() {
        assert!(list(&["fe80::1", "2001:db8::1"]).is_ok());
        let first = "2001:db8::1".parse().unwrap();
        assert_eq!(list(&["2001:db8::1", "fe80::1"]), Err(ListError::NotLinkLocal { first }));
    }

    #[test]
    fn families_are_not_mixed() {
        assert_eq!(list(&["192.0.2.1", "fe80::1"]), Err(ListError::Mixed));
        assert_eq!(list(&["192.0.2.1", "2001:db8::1"]), Err(ListError::Mixed));
    }

    #[test]
    fn a_list_has_1_to_255_addresses() {
        assert_eq!(list(&[]), Err(ListError::Empty));
        let many = |count| Ipv4List::new(core::iter::repeat_n(Ipv4Addr::LOCALHOST, count));
        assert_eq!(many(255).unwrap().count(), 255);
        assert_eq!(many(256), Err(ListError::TooMany { found: 256 }));
    }

    #[test]
    fn what_was_received_may_end_inside_an_address() {
        let addresses = Addresses::from_wire(Family::Ipv4, &[10, 0, 0, 1, 10, 0]);
        assert_eq!(addresses.iter().collect::<Vec<_>>(), [IpAddr::from([10, 0, 0, 1])]);
    }
}
