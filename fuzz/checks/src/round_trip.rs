//! Whatever can be sent reads back as it was, in whatever buffer it was written.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use arbitrary::Unstructured;
use carp_proto::auth::Password;
use carp_proto::testing::Version;
use carp_proto::wire::ip::{self, TTL};
use carp_proto::wire::ndp::{self, Message};
use carp_proto::wire::vrrp::v3::{self, Carrier};
use carp_proto::wire::vrrp::{
    AddressList, Addresses, Authentication, ChecksumForm, Ipv4List, Ipv6List, Trailer, v2,
};
use carp_proto::wire::{Kind, arp, carp, classify, ethernet};
use carp_proto::{Centiseconds, Priority, RxMeta, Seconds, VirtualId};

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    // Bytes that end too early make nothing, which is no mistake.
    let _ = made(&mut Unstructured::new(input));
}

fn made(bytes: &mut Unstructured<'_>) -> arbitrary::Result<()> {
    let dirt = bytes.arbitrary::<[u8; 3]>()?;
    match bytes.int_in_range(0..=5)? {
        0 => carp(bytes.arbitrary()?, &dirt),
        1 => vrrp(bytes, &dirt)?,
        2 => arp(bytes.arbitrary()?, bytes.arbitrary()?, &dirt),
        3 => ndp(bytes.arbitrary()?, &dirt),
        4 => ipv4(bytes.arbitrary()?, bytes.arbitrary()?, bytes.arbitrary()?, &dirt),
        _ => ipv6(bytes.arbitrary()?, bytes.arbitrary()?, bytes.arbitrary()?, &dirt),
    }
    Ok(())
}

/// What is written behind the dirt, which stays.
fn written(dirt: &[u8], write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut buffer = dirt.to_vec();
    write(&mut buffer);
    assert_eq!(&buffer[..dirt.len()], dirt);
    buffer.split_off(dirt.len())
}

fn carp(advert: carp::Advert, dirt: &[u8]) {
    let message = written(dirt, |buffer| carp::emit(&advert, buffer));
    match carp::parse(&message) {
        Ok(read) => assert_eq!(read, carp::Parsed { advert, checksum_ok: true }),
        Err(error) => panic!("{error}: {advert:?}"),
    }
}

fn vrrp(bytes: &mut Unstructured<'_>, dirt: &[u8]) -> arbitrary::Result<()> {
    let (id, priority): (VirtualId, Priority) = (bytes.arbitrary()?, bytes.arbitrary()?);
    let (v4, form, trailer) = (bytes.arbitrary()?, bytes.arbitrary()?, bytes.arbitrary()?);
    match bytes.arbitrary()? {
        Version::V2 => {
            let (interval, password) = (bytes.arbitrary()?, bytes.arbitrary()?);
            let Ok(list) = ipv4_list(bytes) else { return Ok(()) };
            version_2(id, priority, interval, &list, password, dirt);
        }
        Version::V3 => {
            let interval = bytes.arbitrary()?;
            let ends = (IpAddr::V4(v4), bytes.arbitrary::<Ipv4Addr>()?.into());
            let Ok(list) = ipv4_list(bytes) else { return Ok(()) };
            let list = AddressList::Ipv4(list);
            version_3((id, priority, interval), ends, &list, form, trailer, dirt);
        }
        Version::V3Ipv6 => {
            let (interval, source, destination) = (
                bytes.arbitrary()?,
                bytes.arbitrary::<Ipv6Addr>()?,
                bytes.arbitrary::<Ipv6Addr>()?,
            );
            let first = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, bytes.arbitrary()?);
            let rest = bytes.arbitrary_iter()?.take(254).map_while(Result::ok);
            let list = Ipv6List::new(std::iter::once(first).chain(rest)).expect("1 to 255");
            let (ends, list) = ((source.into(), destination.into()), AddressList::Ipv6(list));
            version_3((id, priority, interval), ends, &list, form, trailer, dirt);
        }
    }
    Ok(())
}

fn ipv4_list(bytes: &mut Unstructured<'_>) -> Result<Ipv4List, arbitrary::Error> {
    let addresses = bytes.arbitrary_iter()?.take(255).map_while(Result::ok);
    Ipv4List::new(addresses).map_err(|_| arbitrary::Error::NotEnoughData)
}

fn version_2(
    id: VirtualId,
    priority: Priority,
    interval: Seconds,
    addresses: &Ipv4List,
    secret: Option<[u8; 8]>,
    dirt: &[u8],
) {
    let password = secret.and_then(|secret| Password::new(&secret).ok());
    let authentication = password.as_ref().map_or(Authentication::None, Authentication::Password);
    let outgoing = v2::Outgoing { id, priority, interval, addresses, authentication };
    let message = written(dirt, |buffer| v2::emit(&outgoing, buffer));
    assert_eq!(classify(&message), Kind::Vrrp2);
    let read = v2::parse(&message).expect("what was written");
    assert!(read.checksum_ok);
    let advert = read.advert;
    assert_eq!((advert.vrid, advert.priority, advert.interval), (id.get(), priority, interval));
    assert!(same(advert.addresses, addresses.addresses()));
    match &password {
        Some(password) => assert!(password.matches(&advert.auth_data.0)),
        None => assert_eq!(advert.auth_type, v2::AuthType::None),
    }
}

fn version_3(
    (id, priority, interval): (VirtualId, Priority, Centiseconds),
    (source, destination): (IpAddr, IpAddr),
    list: &AddressList,
    form: ChecksumForm,
    trailer: Option<Trailer>,
    dirt: &[u8],
) {
    let carrier = Carrier::new(list, source, destination, form).expect("one family");
    let outgoing = v3::Outgoing { id, priority, interval, carrier };
    let message = written(dirt, |buffer| match &trailer {
        Some(trailer) => v3::emit_signed(&outgoing, trailer, buffer),
        None => v3::emit(&outgoing, buffer),
    });
    assert_eq!(classify(&message), Kind::Vrrp3);
    let meta = RxMeta { source, destination, ttl: TTL };
    let read = v3::parse(&meta, &message).expect("what was written");
    assert!(read.checksum.is_ok());
    let advert = read.advert;
    assert_eq!((advert.vrid, advert.priority, advert.interval), (id.get(), priority, interval));
    assert!(same(advert.addresses, list.addresses()));
    assert_eq!(read.signed.map(|signed| signed.trailer), trailer);
}

fn same(read: Addresses<'_>, sent: Addresses<'_>) -> bool {
    read.family() == sent.family() && read.iter().eq(sent.iter())
}

fn arp(announcement: arp::Announcement, reply: bool, dirt: &[u8]) {
    let form = if reply { arp::Form::Reply } else { arp::Form::Request };
    let frame = written(dirt, |buffer| arp::emit_frame(announcement, form, buffer));
    assert_eq!(arp::parse(&frame[ethernet::HEADER_LEN..]), Ok((announcement, form)));
}

fn ndp(announcement: ndp::Announcement, dirt: &[u8]) {
    let frame = written(dirt, |buffer| ndp::emit_frame(announcement, buffer));
    // What is no host's address is announced by nobody, and not read.
    if let Ok(read) = ndp::parse(&frame[ethernet::HEADER_LEN..]) {
        assert_eq!(read, Message::Announcement(announcement));
    } else {
        assert!(announcement.address.is_multicast() || announcement.address.is_unspecified());
    }
}

fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, payload: &[u8], dirt: &[u8]) {
    let mut packet =
        written(dirt, |buffer| ip::emit_ipv4(source, destination, payload.len(), buffer));
    packet.extend_from_slice(payload);
    let meta = RxMeta { source: source.into(), destination: destination.into(), ttl: TTL };
    assert_eq!(ip::strip_ipv4(&packet), Ok((meta, payload)));
}

fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, payload: &[u8], dirt: &[u8]) {
    let mut packet =
        written(dirt, |buffer| ip::emit_ipv6_advert(source, destination, payload.len(), buffer));
    packet.extend_from_slice(payload);
    let meta = RxMeta { source: source.into(), destination: destination.into(), ttl: TTL };
    assert_eq!(ip::strip_ipv6(&packet), Ok((meta, payload)));
}
