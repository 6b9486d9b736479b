//! What the tests of VRRP's bytes share.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::BytesMut;
use carp_proto::auth::Password;
use carp_proto::wire::ip::{GROUP_IPV4, GROUP_IPV6};
use carp_proto::wire::vrrp::v3::{self, Carrier};
use carp_proto::wire::vrrp::{
    AddressList, Authentication, ChecksumForm, Expectations, Senders, Version, v2,
};
use carp_proto::{Centiseconds, Priority, RxMeta, Seconds};

use super::{addresses, id};

/// Whose adverts the tests send.
pub(crate) const PEER_IPV4: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 9);
pub(crate) const PEER_IPV6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);

pub(crate) fn meta_ipv4() -> RxMeta {
    RxMeta { source: PEER_IPV4.into(), destination: GROUP_IPV4.into(), ttl: 255 }
}

pub(crate) fn meta_ipv6() -> RxMeta {
    RxMeta { source: PEER_IPV6.into(), destination: GROUP_IPV6.into(), ttl: 255 }
}

pub(crate) fn list(texts: &[&str]) -> AddressList {
    AddressList::new(&addresses(texts)).unwrap()
}

/// An advert of version 2 for id 42: priority 100, 1 s.
pub(crate) fn v2_message(texts: &[&str], password: Option<&Password>) -> Vec<u8> {
    let AddressList::Ipv4(addresses) = list(texts) else { panic!("{texts:?} are not IPv4") };
    let authentication = password.map_or(Authentication::None, Authentication::Password);
    let advert = v2::Outgoing {
        id: id(42),
        priority: Priority::DEFAULT,
        interval: Seconds::DEFAULT,
        addresses: &addresses,
        authentication,
    };
    let mut message = Vec::new();
    v2::emit(&advert, &mut message);
    message
}

/// An advert of version 3 for id 42, from the peer of the list's family: priority 100, 1 s.
pub(crate) fn outgoing(list: &AddressList, form: ChecksumForm) -> v3::Outgoing<'_> {
    let meta = match list {
        AddressList::Ipv4(_) => meta_ipv4(),
        AddressList::Ipv6(_) => meta_ipv6(),
    };
    v3::Outgoing {
        id: id(42),
        priority: Priority::DEFAULT,
        interval: Centiseconds::DEFAULT,
        carrier: Carrier::new(list, meta.source, meta.destination, form).unwrap(),
    }
}

pub(crate) fn v3_message(texts: &[&str], form: ChecksumForm) -> Vec<u8> {
    let mut message = BytesMut::new();
    v3::emit(&outgoing(&list(texts), form), &mut message);
    message.to_vec()
}

pub(crate) fn expects_v2(authentication: Authentication<'_>) -> Expectations<'_> {
    expects(Version::V2 { interval: Seconds::DEFAULT, authentication })
}

pub(crate) fn expects_v3<'a>() -> Expectations<'a> {
    expects(Version::V3 { trailer: false })
}

pub(crate) fn expects(version: Version<'_>) -> Expectations<'_> {
    Expectations {
        id: id(42),
        version,
        min_ttl: 255,
        senders: Senders::Group { only: &[] },
        own_source: Some(IpAddr::from([10, 99, 0, 5])),
    }
}

/// Puts a checksum into an advert of version 2.
pub(crate) fn sum_v2(message: &mut [u8]) {
    message[6..8].fill(0);
    let sum = carp_proto::wire::checksum::checksum(message);
    message[6..8].copy_from_slice(&sum.to_be_bytes());
}

/// Puts a checksum with a pseudo-header into an advert of version 3.
pub(crate) fn sum_v3(meta: &RxMeta, message: &mut [u8]) {
    message[6..8].fill(0);
    let octets = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut summed = [octets(meta.source), octets(meta.destination)].concat();
    summed.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    summed.extend([0, 112]);
    summed.extend_from_slice(message);
    let sum = carp_proto::wire::checksum::checksum(&summed);
    message[6..8].copy_from_slice(&sum.to_be_bytes());
}

pub(crate) fn flipped(message: &[u8], bit: usize) -> Vec<u8> {
    let mut message = message.to_vec();
    message[bit / 8] ^= 0x80 >> (bit % 8);
    message
}
