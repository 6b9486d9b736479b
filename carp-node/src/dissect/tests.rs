use std::net::IpAddr;

use carp_proto::wire::WireError;
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::vrrp::v3::{self, Checksum};
use carp_proto::wire::vrrp::{AddressList, ChecksumForm};
use carp_proto::{
    Authenticator, CarpInterval, Centiseconds, Family, Key, Priority, Protocol, Reject,
    VirtualAddress, VirtualId,
};
use proptest::prelude::*;

use super::*;

fn advert() -> Advert {
    let interval = CarpInterval { advbase: 1, advskew: 100 };
    Advert { vhid: 42, interval, demotion: 0, counter: 7, digest: [0xa5; 20] }
}

fn message() -> Vec<u8> {
    let mut bytes = Vec::new();
    carp::emit(&advert(), &mut bytes);
    bytes
}

fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(20 + payload.len()).unwrap().to_be_bytes();
    let header = [0x45, 0x10, high, low, 0, 0, 0x40, 0, 255, protocol, 0, 0];
    [&header[..], &[10, 99, 0, 1], &[224, 0, 0, 18], payload].concat()
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let source: std::net::Ipv6Addr = "fe80::1".parse().unwrap();
    let destination: std::net::Ipv6Addr = "ff02::12".parse().unwrap();
    let header = [0x60, 0, 0, 0, high, low, next, 255];
    [&header[..], &source.octets(), &destination.octets(), payload].concat()
}

/// An authentication header of 24 bytes, as keepalived writes it.
fn ah(next: u8, payload: &[u8]) -> Vec<u8> {
    [&[next, 4], &[0; 22][..], payload].concat()
}

/// An IPv6 extension header of 8 bytes.
fn extension(next: u8, payload: &[u8]) -> Vec<u8> {
    [&[next, 0, 1, 4, 0, 0, 0, 0], payload].concat()
}

/// An IPv6 fragment header.
fn fragment(next: u8, offset_more: u16, payload: &[u8]) -> Vec<u8> {
    [&[next, 0][..], &offset_more.to_be_bytes(), &[0; 4], payload].concat()
}

fn in_ip(packet: &[u8]) -> Option<Dissected<'_>> {
    dissect(packet, Layer::Ip, false)
}

fn is_the_advert(found: Option<Dissected<'_>>) -> bool {
    let expected = carp::Parsed { advert: advert(), checksum_ok: true };
    found.is_some_and(|found| found.message == Message::Carp(expected) && found.length == 36)
}

/// The protocol, and the label of the error.
fn outcome(message: Message<'_>) -> (Option<Protocol>, Option<&'static str>) {
    let error = match message {
        Message::Unreadable { error, .. } => Some(Reject::from(error).label()),
        Message::Carp(_) | Message::Vrrp2(_) | Message::Vrrp3(_) => None,
    };
    (message.protocol(), error)
}

#[test]
fn the_message_is_found_below_every_link_layer() {
    let (v4, v6) = (ipv4(112, &message()), ipv6(112, &message()));
    let macs = [0xee; 12];
    for (link, header, packet) in [
        (LinkType::Ethernet, [&macs[..], &[8, 0]].concat(), &v4),
        (LinkType::Ethernet, [&macs[..], &[0x86, 0xdd]].concat(), &v6),
        (LinkType::Ethernet, [&macs[..], &[0x81, 0, 0, 5, 8, 0]].concat(), &v4),
        (
            LinkType::Ethernet,
            [&macs[..], &[0x88, 0xa8, 0, 5, 0x81, 0, 0, 6, 0x86, 0xdd]].concat(),
            &v6,
        ),
        (LinkType::Raw, vec![], &v4),
        (LinkType::Raw, vec![], &v6),
        (LinkType::Ipv4, vec![], &v4),
        (LinkType::Ipv6, vec![], &v6),
        (LinkType::Null, vec![2, 0, 0, 0], &v4),
        (LinkType::Null, vec![0, 0, 0, 30], &v6),
        (LinkType::Loop, vec![0, 0, 0, 2], &v4),
        (LinkType::Loop, vec![0, 0, 0, 24], &v6),
        (LinkType::LinuxSll, [&[0; 14][..], &[8, 0]].concat(), &v4),
        (LinkType::LinuxSll, [&[0; 14][..], &[0x81, 0, 0, 5, 8, 0]].concat(), &v4),
        (LinkType::LinuxSll2, [&[0x86, 0xdd][..], &[0; 18]].concat(), &v6),
        (LinkType::LinuxSll2, [&[0x81, 0][..], &[0; 18], &[0, 5, 8, 0]].concat(), &v4),
    ] {
        let frame = [header, packet.clone()].concat();
        assert!(is_the_advert(dissect(&frame, Layer::Link(link), false)), "{link}");
        // Padding and frame check sequences lie behind the IP packet.
        let padded = [&frame[..], &[0xff; 10]].concat();
        assert!(is_the_advert(dissect(&padded, Layer::Link(link), false)), "{link}, padded");
        for len in 0..frame.len() {
            let found = dissect(&frame[..len], Layer::Link(link), true);
            assert!(found.is_none_or(|it| outcome(it.message).1 == Some("too-short")), "{link}");
        }
    }
    assert!(dissect(&v4, Layer::Link(LinkType::Other(1)), false).is_none());
    assert!(dissect(&v4, Layer::Link(LinkType::Null), false).is_none());
    let arp = [&macs[..], &[8, 6], &v4].concat();
    assert!(dissect(&arp, Layer::Link(LinkType::Ethernet), false).is_none());
}

#[test]
fn the_link_layer_says_who_sent_it_and_in_which_vlan() {
    let mac = [2, 0, 0, 0, 0, 0x0a];
    let packet = ipv4(112, &message());
    let cooked = |length: u8| [&[0, 0, 0, 1, 0, length][..], &mac, &[0, 0]].concat();
    let cooked2 = [&[8, 0, 0, 0, 0, 0, 0, 2, 0, 1, 0, 6][..], &mac, &[0, 0]].concat();
    for (link, header, sender, vlan) in [
        (LinkType::Ethernet, [&[0xee; 6], &mac[..], &[8, 0]].concat(), true, None),
        (
            LinkType::Ethernet,
            [&[0xee; 6], &mac[..], &[0x88, 0xa8, 0xe0, 5, 0x81, 0, 0, 6, 8, 0]].concat(),
            true,
            Some(5),
        ),
        (LinkType::LinuxSll, [cooked(6), vec![8, 0]].concat(), true, None),
        (LinkType::LinuxSll, [cooked(6), vec![0x81, 0, 0, 7, 8, 0]].concat(), true, Some(7)),
        (LinkType::LinuxSll, [cooked(0), vec![8, 0]].concat(), false, None),
        (LinkType::LinuxSll2, cooked2, true, None),
        (LinkType::Raw, vec![], false, None),
    ] {
        let frame = [header, packet.clone()].concat();
        let found = dissect(&frame, Layer::Link(link), false).unwrap();
        let sender = sender.then_some(MacAddr(mac));
        assert_eq!(found.link, LinkInfo { sender, vlan }, "{link}");
    }
}

#[test]
fn a_gratuitous_arp_is_read_below_every_link_layer_that_has_it() {
    let said = Announcement { mac: MacAddr([0, 0, 0x5e, 0, 1, 7]), address: [10, 0, 0, 1].into() };
    let mut frame = Vec::new();
    arp::emit_frame(said, arp::Form::Request, &mut frame);
    let (link, found) = announcement(&frame, LinkType::Ethernet).unwrap();
    assert_eq!((found, link.sender, link.vlan), (said, Some(said.mac), None));
    let tagged = [&frame[..12], &[0x81, 0, 0, 9], &frame[12..]].concat();
    let (link, found) = announcement(&tagged, LinkType::Ethernet).unwrap();
    assert_eq!((found, link.vlan), (said, Some(9)));
    assert_eq!(announcement(&frame[..30], LinkType::Ethernet), None);
    assert_eq!(announcement(&frame, LinkType::Raw), None);
    assert_eq!(dissect(&frame, Layer::Link(LinkType::Ethernet), false), None);
}

#[test]
fn link_types_have_the_numbers_of_tcpdump() {
    for link in LinkType::KNOWN {
        assert_eq!(LinkType::from_number(link.number()), link);
    }
    assert_eq!(LinkType::from_number(276), LinkType::LinuxSll2);
    assert_eq!(LinkType::from_number(9), LinkType::Other(9));
    assert_eq!(LinkType::Ethernet.to_string(), "1 (ETHERNET)");
    assert_eq!(LinkType::Other(9).to_string(), "9");
}

#[test]
fn the_headers_say_who_sent_it_and_what_was_between() {
    let packet = ipv4(51, &ah(112, &message()));
    let found = in_ip(&packet).unwrap();
    let meta = RxMeta {
        source: IpAddr::from([10, 99, 0, 1]),
        destination: IpAddr::from([224, 0, 0, 18]),
        ttl: 255,
    };
    assert_eq!(found.meta, Some(meta));
    assert!(found.authentication.is_some() && is_the_advert(Some(found)));
    assert_eq!(found.bytes, message());

    let packet = ipv6(112, &message());
    let found = in_ip(&packet).unwrap();
    let meta = found.meta.unwrap();
    assert_eq!(
        (meta.source.to_string(), meta.destination.to_string(), meta.ttl),
        ("fe80::1".to_owned(), "ff02::12".to_owned(), 255)
    );
    assert!(found.authentication.is_none());

    let found = dissect(&packet[40..], Layer::Message, false);
    assert!(found.is_some_and(|found| found.meta.is_none()) && is_the_advert(found));
}

#[test]
fn options_and_extension_headers_are_walked_over() {
    let mut with_options = ipv4(112, &[&[1; 4][..], &message()].concat());
    with_options[0] = 0x46;
    assert!(is_the_advert(in_ip(&with_options)));
    for (next, payload) in [
        (0, extension(112, &message())),
        (0, extension(60, &extension(112, &message()))),
        (0, extension(51, &ah(112, &message()))),
        (43, extension(112, &message())),
        // A fragment header around a whole datagram.
        (44, fragment(112, 0, &message())),
        (51, ah(60, &extension(112, &message()))),
    ] {
        assert!(is_the_advert(in_ip(&ipv6(next, &payload))), "{next}");
    }
}

#[test]
fn other_protocols_are_not_found() {
    let others: [Vec<u8>; 7] = [
        ipv4(6, &message()),
        ipv4(51, &ah(6, &message())),
        ipv4(51, &[]),
        // IPv6's extension headers are none of IPv4's.
        ipv4(60, &extension(112, &message())),
        ipv6(58, &message()),
        ipv6(0, &extension(58, &message())),
        ipv6(59, &message()),
    ];
    for packet in others {
        assert_eq!(in_ip(&packet), None);
    }
    assert_eq!(in_ip(&[]), None);
    assert_eq!(in_ip(&[0x50; 60]), None);
}

#[test]
fn fragments_are_no_messages() {
    for flags_offset in [[0x20, 0], [0, 3], [0x20, 3]] {
        let mut packet = ipv4(112, &message());
        packet[6..8].copy_from_slice(&flags_offset);
        let message = in_ip(&packet).unwrap().message;
        let expected = Message::Unreadable { protocol: None, error: WireError::Ip("a fragment") };
        assert_eq!(message, expected);
        assert_eq!(outcome(message), (None, Some("malformed-ip")));
    }
    for offset_more in [1, 8, 9] {
        let packet = ipv6(44, &fragment(112, offset_more, &message()));
        assert_eq!(outcome(in_ip(&packet).unwrap().message), (None, Some("malformed-ip")));
    }
    // What a later fragment holds nobody can tell, only what the datagram began with.
    let first = ipv6(44, &fragment(60, 1, &extension(112, &message())));
    assert_eq!(outcome(in_ip(&first).unwrap().message), (None, Some("malformed-ip")));
    let later = ipv6(44, &fragment(60, 8, &extension(112, &message())));
    assert_eq!(in_ip(&later), None);
    let mut later = ipv4(51, &ah(112, &message()));
    later[7] = 3;
    assert_eq!(in_ip(&later), None);
}

#[test]
fn headers_that_contradict_themselves_are_malformed() {
    let whole = ipv4(112, &message());
    let with = |at: usize, byte: u8| {
        let mut packet = whole.clone();
        packet[at] = byte;
        packet
    };
    let mut long = ipv6(112, &message());
    long[5] += 1;
    let mut ah_too_long = ah(112, &message());
    ah_too_long[1] = 200;
    let mut extension_too_long = extension(112, &message());
    extension_too_long[1] = 200;
    for packet in [
        with(0, 0x44),
        with(0, 0x40),
        with(3, 19),
        with(3, 57),
        long,
        ipv4(51, &ah_too_long),
        ipv6(0, &extension_too_long),
    ] {
        let message = in_ip(&packet).unwrap().message;
        assert_eq!(outcome(message), (None, Some("malformed-ip")), "{packet:02x?}");
    }
}

#[test]
fn a_message_that_the_capture_cut_is_too_short_and_keeps_its_shape() {
    let packet = ipv4(112, &message());
    for (kept, protocol) in
        [(20, None), (23, None), (24, Some(Protocol::Carp)), (55, Some(Protocol::Carp))]
    {
        let found = dissect(&packet[..kept], Layer::Ip, true).unwrap();
        assert_eq!(outcome(found.message), (protocol, Some("too-short")), "{kept} bytes");
        assert_eq!((found.length, found.bytes.len()), (36, kept - 20));
    }
    // The same bytes, if nothing was cut, contradict their header.
    let found = in_ip(&packet[..40]).unwrap();
    assert_eq!(outcome(found.message), (None, Some("malformed-ip")));
}

#[test]
fn messages_are_told_apart_by_their_structure() {
    let with = |first: u8, fourth: u8, len: usize| {
        let mut bytes = vec![0; len];
        for (at, byte) in [(0, first), (3, fourth)] {
            if let Some(it) = bytes.get_mut(at) {
                *it = byte;
            }
        }
        bytes
    };
    let (carp, vrrp2, vrrp3) = (Some(Protocol::Carp), Some(Protocol::Vrrp2), Some(Protocol::Vrrp3));
    for (first, fourth, len, expected) in [
        (0x21, 7, 36, (carp, None)),
        (0x23, 7, 36, (carp, Some("bad-type"))),
        // Seven addresses in VRRPv2, and CARP's length with another authlen.
        (0x21, 7, 44, (vrrp2, None)),
        (0x21, 5, 36, (vrrp2, None)),
        (0x21, 9, 36, (None, Some("bad-length"))),
        (0x21, 7, 40, (None, Some("bad-length"))),
        (0x21, 7, 35, (None, Some("too-short"))),
        (0x21, 1, 20, (vrrp2, None)),
        (0x22, 1, 20, (vrrp2, Some("bad-type"))),
        (0x31, 1, 12, (vrrp3, None)),
        (0x31, 7, 36, (vrrp3, None)),
        (0x32, 7, 36, (vrrp3, Some("bad-type"))),
        (0x31, 1, 7, (vrrp3, Some("too-short"))),
        (0x11, 7, 36, (None, Some("bad-version"))),
        (0x41, 7, 36, (None, Some("bad-version"))),
        (0x21, 0, 3, (None, Some("too-short"))),
        (0x00, 0, 0, (None, Some("too-short"))),
    ] {
        let bytes = with(first, fourth, len);
        let found = dissect(&bytes, Layer::Message, false).unwrap();
        assert_eq!(outcome(found.message), expected, "{first:#x}, {fourth}, {len} bytes");
    }
}

#[test]
fn a_wrong_checksum_leaves_the_fields_readable() {
    let mut bytes = message();
    bytes[2] ^= 1;
    let found = dissect(&bytes, Layer::Message, false).unwrap();
    let Message::Carp(parsed) = found.message else { panic!("{found:?}") };
    assert!(!parsed.checksum_ok);
    assert_eq!(parsed.advert.interval.advskew, 101);
}

/// A message of VRRP version 3 from 10.99.0.1 or `fe80::1` to the group, with one address.
fn vrrp3(family: Family, form: ChecksumForm) -> Vec<u8> {
    let (address, source, destination) = match family {
        Family::Ipv4 => ("192.0.2.1", "10.99.0.1", "224.0.0.18"),
        Family::Ipv6 => ("fe80::7", "fe80::1", "ff02::12"),
    };
    let list = AddressList::new(&[address.parse().unwrap()]).unwrap();
    let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
    let carrier = v3::Carrier::new(&list, source, destination, form).unwrap();
    let (id, interval) = (VirtualId::new(9).unwrap(), Centiseconds::DEFAULT);
    let mut bytes = Vec::new();
    let advert = v3::Outgoing { id, priority: Priority::DEFAULT, interval, carrier };
    v3::emit(&advert, &mut bytes);
    bytes
}

fn read_v3(found: Option<Dissected<'_>>) -> (Vec<String>, Option<Checksum>) {
    let Some(Dissected { message: Message::Vrrp3(read), .. }) = found else { panic!("{found:?}") };
    (read.advert.addresses.iter().map(|ip| ip.to_string()).collect(), read.checksum)
}

#[test]
fn a_bare_message_of_version_3_has_a_family_by_its_length_and_a_checksum_that_may_be_unknown() {
    let (message, pseudo) = (ChecksumForm::Message, ChecksumForm::PseudoHeader);
    let (fits_message, fits_pseudo) = (Checksum::Fits(message), Checksum::Fits(pseudo));
    for (family, form, address, in_packet, bare) in [
        (Family::Ipv4, message, "192.0.2.1", fits_message, Some(fits_message)),
        (Family::Ipv4, pseudo, "192.0.2.1", fits_pseudo, None),
        (Family::Ipv6, pseudo, "fe80::7", fits_pseudo, None),
    ] {
        let bytes = vrrp3(family, form);
        let packet = match family {
            Family::Ipv4 => ipv4(112, &bytes),
            Family::Ipv6 => ipv6(112, &bytes),
        };
        let expected = vec![address.to_owned()];
        assert_eq!(read_v3(in_ip(&packet)), (expected.clone(), Some(in_packet)));
        assert_eq!(read_v3(dissect(&bytes, Layer::Message, false)), (expected, bare));
        // Of another family than its carrier's it has the wrong length.
        let wrong = match family {
            Family::Ipv4 => ipv6(112, &bytes),
            Family::Ipv6 => ipv4(112, &bytes),
        };
        let expected = (Some(Protocol::Vrrp3), Some("bad-length"));
        assert_eq!(outcome(in_ip(&wrong).unwrap().message), expected);
    }
    let mut damaged = vrrp3(Family::Ipv4, message);
    damaged[2] ^= 1;
    let packet = ipv4(112, &damaged);
    assert!(in_ip(&packet).unwrap().message.is_damaged());
}

#[test]
fn the_layer_of_bytes_is_guessed_by_their_structure() {
    let ethernet = Layer::Link(LinkType::Ethernet);
    let frame =
        |packet: &[u8]| [&[1, 0, 0x5e, 0, 0, 0x12, 2, 0, 0, 0, 0, 1, 8, 0], packet].concat();
    let ipv6_frame = |packet: &[u8]| {
        [&[0x33, 0x33, 0, 0, 0, 0x12, 2, 0, 0, 0, 0, 1, 0x86, 0xdd], packet].concat()
    };
    let (v4, v6) = (ipv4(112, &message()), ipv6(112, &message()));
    for (bytes, layer) in [
        (message(), Layer::Message),
        (v4.clone(), Layer::Ip),
        (v6.clone(), Layer::Ip),
        ([&v4[..], &[0; 6]].concat(), Layer::Ip),
        (frame(&v4), ethernet),
        (ipv6_frame(&v6), ethernet),
        // A MAC address that begins like an IPv4 header.
        ([&[0x45, 0, 0xff, 0xff, 0, 1][..], &frame(&v4)[6..]].concat(), ethernet),
        // Cut: only the beginning is there.
        (v4[..40].to_vec(), Layer::Ip),
        (v6[..60].to_vec(), Layer::Ip),
        (frame(&v4)[..50].to_vec(), ethernet),
        (message()[..30].to_vec(), Layer::Message),
        (message()[..3].to_vec(), Layer::Message),
        ([&[0x11], &message()[1..]].concat(), Layer::Message),
        ([&message()[..], &[0; 4]].concat(), Layer::Message),
        (vec![], Layer::Message),
        (vec![0xff; 13], Layer::Message),
        // Something else: ARP in a frame and without, spanning tree.
        ([&[0x24, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 1, 8, 6][..], &[0; 28]].concat(), ethernet),
        ([&[0, 1, 8, 0, 6, 4, 0, 1][..], &[0; 20]].concat(), ethernet),
        ([&[1, 0x80, 0xc2, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 38][..], &[0x42; 38]].concat(), ethernet),
    ] {
        assert_eq!(guess(&bytes), layer, "{bytes:02x?}");
    }
}

#[test]
fn digests_are_verified_for_each_vhid() {
    let key = Key::new(b"secret").unwrap();
    let list: Vec<VirtualAddress> =
        vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let mut verifier = Verifier::new(key.clone(), list.clone());
    let signed = |vhid| {
        let id = VirtualId::new(vhid).unwrap();
        Advert { vhid, digest: Authenticator::new(&key, id, &list).digest(7), ..advert() }
    };
    for vhid in [1, 2, 255, 1] {
        assert!(verifier.verify(&signed(vhid)));
        assert!(!verifier.verify(&Advert { counter: 8, ..signed(vhid) }));
    }
    assert!(!verifier.verify(&Advert { vhid: 2, ..signed(1) }));
    assert!(!verifier.verify(&Advert { vhid: 0, ..signed(1) }));
    let mut fewer = Verifier::new(key.clone(), list[..1].to_vec());
    assert!(!fewer.verify(&signed(1)));
}

/// Bytes that begin like something.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let starts = vec![
        vec![],
        message(),
        ipv4(112, &message()),
        ipv4(51, &ah(112, &message())),
        ipv6(0, &extension(44, &fragment(112, 0, &message()))),
        [&[0; 12][..], &[0x81, 0, 0, 0, 8, 0], &ipv4(112, &message())].concat(),
    ];
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (
        prop::sample::select(starts),
        prop::collection::vec(any::<u8>(), 0..64),
        prop::collection::vec(change, 0..4),
    )
        .prop_map(|(start, rest, changes)| {
            let mut bytes = [start, rest].concat();
            for (index, byte) in changes {
                if !bytes.is_empty() {
                    *index.get_mut(&mut bytes) = byte;
                }
            }
            bytes
        })
}

proptest! {
    #[test]
    fn whatever_the_bytes_are_dissecting_ends(bytes in packets(), cut in any::<bool>()) {
        let layers = LinkType::KNOWN.map(Layer::Link).into_iter();
        for layer in layers.chain([Layer::Ip, Layer::Message, guess(&bytes)]) {
            let Some(found) = dissect(&bytes, layer, cut) else { continue };
            prop_assert!(found.bytes.len() <= found.length);
            let inside = bytes.as_ptr_range();
            prop_assert!(found.bytes.is_empty() || inside.contains(&found.bytes.as_ptr()));
            if let Message::Carp(_) = found.message {
                prop_assert_eq!((found.length, found.bytes.len()), (36, 36));
            }
        }
    }
}
