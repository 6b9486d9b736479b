//! The VRRP adverts of keepalived and FRR, and signatures that others computed.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use carp_proto::auth::{AntiReplay, HmacAuthenticator, HmacKey, HmacMode, Password, Verdict};
use carp_proto::wire::ndp::{self, Announcement};
use carp_proto::wire::vrrp::v3::{self, Carrier, Checksum};
use carp_proto::wire::vrrp::{
    AddressList, Addresses, Authentication, ChecksumForm, Expectations, Senders, Sequence, Version,
    v2, validate,
};
use carp_proto::wire::{Kind, carp, classify, ip as ip_header};
use carp_proto::{Centiseconds, MacAddr, Priority, RxMeta, Seconds, VirtualAddress};
use support::{id, ip, pcap};

/// Every capture, and how many messages of each kind are in it.
const CAPTURES: [(&str, [usize; 4]); 14] = [
    // CARP, version 2, version 3, none of these.
    ("ucarp-default.pcap", [11, 0, 0, 0]),
    ("ucarp-two-elect-sigterm.pcap", [23, 0, 0, 0]),
    ("ucarp-tie-endianness.pcap", [11, 0, 0, 0]),
    // The hand-made packets: version 3, authlen 9, four bytes more.
    ("ucarp-injection.pcap", [45, 0, 1, 2]),
    ("ucarp-honours-bowout-255.pcap", [10, 0, 0, 0]),
    ("ucarp-linkdown.pcap", [6, 0, 0, 0]),
    ("collision-ucarp-vhid42-keepalived-col2.pcap", [12, 2, 0, 0]),
    ("keepalived-v2-noauth-elect-stop.pcap", [0, 21, 0, 0]),
    ("keepalived-v2-auth-pass.pcap", [0, 12, 0, 0]),
    ("keepalived-v2-auth-ah.pcap", [0, 25, 0, 0]),
    ("keepalived-v3-ipv4-centisec.pcap", [0, 0, 31, 0]),
    ("keepalived-v3-ipv6.pcap", [0, 0, 14, 0]),
    ("frr-v3-ipv4-ipv6-stop.pcap", [0, 0, 11, 0]),
    ("frr-sigterm.pcap", [0, 3, 0, 0]),
];

/// An advert of a capture: the frame's number, and what [`ip_header::find_message`] found in it.
struct Captured {
    frame: usize,
    meta: RxMeta,
    authenticated: bool,
    message: Vec<u8>,
}

fn adverts(name: &str) -> Vec<Captured> {
    let packets = pcap::read(name).into_iter().filter_map(|frame| {
        let carried = ip_header::find_message(&frame.bytes[14..], false)?;
        assert_eq!(carried.problem, None, "{name} frame {}", frame.number);
        Some(Captured {
            frame: frame.number,
            meta: carried.meta,
            authenticated: carried.authentication.is_some(),
            message: carried.payload.to_vec(),
        })
    });
    packets.collect()
}

fn texts(addresses: Addresses<'_>) -> Vec<String> {
    addresses.iter().map(|ip| ip.to_string()).collect()
}

fn expects(id_number: u8, version: Version<'_>) -> Expectations<'_> {
    let senders = Senders::Group { only: &[] };
    Expectations { id: id(id_number), version, min_ttl: 255, senders, own_source: Some(ip(77)) }
}

#[test]
fn every_captured_message_is_told_by_its_shape() {
    for (name, expected) in CAPTURES {
        let mut found = [0; 4];
        for Captured { frame, meta, message, .. } in adverts(name) {
            let taken = [
                carp::parse(&message).is_ok(),
                v2::parse(&message).is_ok(),
                v3::parse(&meta, &message).is_ok(),
                false,
            ];
            let kind = match classify(&message) {
                Kind::Carp => 0,
                Kind::Vrrp2 => 1,
                Kind::Vrrp3 => 2,
                Kind::Unknown => 3,
            };
            found[kind] += 1;
            let others = (0..4).filter(|other| *other != kind);
            assert!(others.clone().all(|other| !taken[other]), "{name} frame {frame}");
            // The hand-made packets are wrong in other ways too.
            assert!(taken[kind] || name == "ucarp-injection.pcap", "{name} frame {frame}");
        }
        assert_eq!(found, expected, "{name}");
    }
}

/// The adverts of one sender and kind: their priorities, in order, without repetitions.
fn priorities(name: &str, version: Version<'_>, id_number: u8) -> Vec<(IpAddr, u8)> {
    let mut priorities = Vec::new();
    for Captured { frame, meta, message, .. } in adverts(name) {
        let valid = validate(&meta, &message, &expects(id_number, version))
            .unwrap_or_else(|reject| panic!("{name} frame {frame}: {reject}"));
        priorities.push((meta.source, valid.priority().get()));
    }
    priorities.dedup();
    priorities
}

#[test]
fn version_2_of_keepalived_and_frr_is_valid() {
    let none = Version::V2 { interval: Seconds::DEFAULT, authentication: Authentication::None };
    let resigned_in_turn = [(ip(1), 150), (ip(1), 0), (ip(2), 100), (ip(2), 0)];
    assert_eq!(priorities("keepalived-v2-noauth-elect-stop.pcap", none, 51), resigned_in_turn);
    assert_eq!(priorities("frr-sigterm.pcap", none, 70), [(ip(1), 150), (ip(1), 0)]);

    let password = Password::new(b"s3cr3t").unwrap();
    let authentication = Authentication::Password(&password);
    let password = Version::V2 { interval: Seconds::DEFAULT, authentication };
    assert_eq!(priorities("keepalived-v2-auth-pass.pcap", password, 52), resigned_in_turn);
}

#[test]
fn version_3_of_keepalived_and_frr_is_valid() {
    let version = Version::V3 { trailer: false };
    let resigned_in_turn = [(ip(1), 150), (ip(1), 0), (ip(2), 100), (ip(2), 0)];
    assert_eq!(priorities("keepalived-v3-ipv4-centisec.pcap", version, 54), resigned_in_turn);

    let a = "fe80::6cfa:37ff:fec3:1fb0".parse().unwrap();
    let b = "fe80::1887:acff:fee1:edce".parse().unwrap();
    let resigned_in_turn = [(a, 150), (a, 0), (b, 100), (b, 0)];
    assert_eq!(priorities("keepalived-v3-ipv6.pcap", version, 55), resigned_in_turn);

    let mac_based = "fe80::200:5eff:fe00:246".parse().unwrap();
    let found = priorities("frr-v3-ipv4-ipv6-stop.pcap", version, 70);
    for source in [ip(1), mac_based] {
        let of_one: Vec<_> = found.iter().filter(|(sender, _)| *sender == source).collect();
        assert_eq!(of_one.first(), Some(&&(source, 150)));
        assert_eq!(of_one.last(), Some(&&(source, 0)));
    }
}

#[test]
fn the_fields_are_those_of_the_configuration() {
    let first = |name| adverts(name).into_iter().next().unwrap();
    let noauth = first("keepalived-v2-noauth-elect-stop.pcap");
    let advert = v2::parse(&noauth.message).unwrap().advert;
    assert_eq!(texts(advert.addresses), ["10.99.0.150", "10.99.0.151"]);
    assert_eq!((advert.vrid, advert.interval.get()), (51, 1));
    assert_eq!((advert.auth_type, advert.auth_data), (v2::AuthType::None, v2::AuthData([0; 8])));

    let pass = first("keepalived-v2-auth-pass.pcap");
    let advert = v2::parse(&pass.message).unwrap().advert;
    assert_eq!(advert.auth_type, v2::AuthType::Password);
    assert_eq!(advert.auth_data.0, *b"s3cr3t\0\0");
    assert!(!format!("{advert:?}").contains("115"), "the password is not shown: {advert:?}");

    let centisec = first("keepalived-v3-ipv4-centisec.pcap");
    let advert = v3::parse(&centisec.meta, &centisec.message).unwrap().advert;
    assert_eq!(advert.interval.advert(), Duration::from_millis(250));
    assert_eq!(texts(advert.addresses), ["10.99.0.154"]);

    let ipv6 = first("keepalived-v3-ipv6.pcap");
    let advert = v3::parse(&ipv6.meta, &ipv6.message).unwrap().advert;
    assert_eq!(texts(advert.addresses), ["fe80::5555", "2001:db8:99::55"]);
}

#[test]
fn keepalived_and_frr_sum_a_pseudo_header_over_ipv4() {
    for name in ["keepalived-v3-ipv4-centisec.pcap", "frr-v3-ipv4-ipv6-stop.pcap"] {
        for Captured { frame, meta, message, .. } in adverts(name) {
            let parsed = v3::parse(&meta, &message).unwrap();
            let expected = Checksum::Fits(ChecksumForm::PseudoHeader);
            assert_eq!(parsed.checksum, expected, "{name} frame {frame}");
        }
    }
}

#[test]
fn frr_lists_no_link_local_address_and_is_heard_with_a_note() {
    let expected = expects(70, Version::V3 { trailer: false });
    let (mut with_note, mut without) = (0, 0);
    for Captured { meta, message, .. } in adverts("frr-v3-ipv4-ipv6-stop.pcap") {
        let valid = validate(&meta, &message, &expected).unwrap();
        assert_eq!(valid.lacks_link_local(), meta.source.is_ipv6());
        if valid.lacks_link_local() { with_note += 1 } else { without += 1 }
    }
    assert_eq!((with_note, without), (5, 6));
    let keepalived = adverts("keepalived-v3-ipv6.pcap");
    let expected = expects(55, Version::V3 { trailer: false });
    for Captured { meta, message, .. } in keepalived {
        assert!(!validate(&meta, &message, &expected).unwrap().lacks_link_local());
    }
}

#[test]
fn adverts_in_an_authentication_header_are_shown_and_not_believed() {
    let version = Version::V2 { interval: Seconds::DEFAULT, authentication: Authentication::None };
    let mut sequences = Vec::new();
    for frame in pcap::read("keepalived-v2-auth-ah.pcap") {
        let Some(carried) = ip_header::find_message(&frame.bytes[14..], false) else { continue };
        let header = carried.authentication.unwrap();
        assert_eq!((header.next_header, header.icv.len()), (112, 12));
        assert_eq!(IpAddr::from(header.spi.to_be_bytes()), carried.meta.source);
        sequences.push(header.sequence);

        let parsed = v2::parse(carried.payload).unwrap();
        assert!(parsed.checksum_ok);
        assert_eq!(parsed.advert.auth_type, v2::AuthType::Header);
        assert_eq!(texts(parsed.advert.addresses), ["10.99.0.153"]);
        let outcome = validate(&carried.meta, carried.payload, &expects(53, version));
        assert_eq!(outcome.unwrap_err().label(), "bad-authentication");
        assert!(ip_header::strip_ipv4(&frame.bytes[14..]).is_err(), "no router reads it");
    }
    assert_eq!(sequences.len(), 25);
    assert_eq!(sequences[..3], [1, 2, 3]);
}

/// The list that a captured advert has, as one of ours.
fn resent(addresses: Addresses<'_>) -> Option<AddressList> {
    let list: Vec<_> = addresses.iter().map(|ip| VirtualAddress::new(ip, None).unwrap()).collect();
    AddressList::new(&list).ok()
}

#[test]
fn captured_adverts_are_written_again_byte_for_byte() {
    let mut written = [0, 0];
    for (name, _) in CAPTURES {
        for Captured { frame, meta, authenticated, message } in adverts(name) {
            let mut buffer = vec![0xa5; 5];
            match classify(&message) {
                Kind::Vrrp2 if !authenticated => {
                    let advert = v2::parse(&message).unwrap().advert;
                    let Some(AddressList::Ipv4(list)) = resent(advert.addresses) else { panic!() };
                    let password = Password::new(b"s3cr3t").unwrap();
                    let authentication = match advert.auth_type {
                        v2::AuthType::Password => Authentication::Password(&password),
                        _ => Authentication::None,
                    };
                    let advert = v2::Outgoing {
                        id: id(advert.vrid),
                        priority: advert.priority,
                        interval: advert.interval,
                        addresses: &list,
                        authentication,
                    };
                    v2::emit(&advert, &mut buffer);
                    written[0] += 1;
                }
                Kind::Vrrp3 if name != "ucarp-injection.pcap" => {
                    let advert = v3::parse(&meta, &message).unwrap().advert;
                    // FRR's IPv6 list, without a link-local address, is not one that we send.
                    let Some(list) = resent(advert.addresses) else { continue };
                    let form = ChecksumForm::PseudoHeader;
                    let carrier = Carrier::new(&list, meta.source, meta.destination, form).unwrap();
                    let (priority, interval) = (advert.priority, advert.interval);
                    let id = id(advert.vrid);
                    v3::emit(&v3::Outgoing { id, priority, interval, carrier }, &mut buffer);
                    written[1] += 1;
                }
                Kind::Vrrp2 | Kind::Vrrp3 | Kind::Carp | Kind::Unknown => continue,
            }
            assert_eq!(buffer[5..], message, "{name} frame {frame}");
        }
    }
    assert_eq!(written, [21 + 12 + 2 + 3, 31 + 14 + 6]);
}

#[test]
fn read_as_vrrp_a_carp_advert_would_resign() {
    // Why the shape has to be looked at before anything else: advskew 0 is where the priority is.
    let carp = &adverts("ucarp-default.pcap")[0].message;
    assert_eq!((carp[2], carp[3]), (0, 7));
    for version in [
        Version::V2 { interval: Seconds::DEFAULT, authentication: Authentication::None },
        Version::V3 { trailer: false },
    ] {
        let meta = RxMeta { source: ip(1), destination: ip_header::GROUP_IPV4.into(), ttl: 255 };
        let outcome = validate(&meta, carp, &expects(42, version));
        assert_eq!(outcome.unwrap_err().label(), "foreign-protocol");
    }
}

#[test]
fn neighbour_announcements_of_real_peers_read_and_are_written_again() {
    let mut found = Vec::new();
    let mut probes = Vec::new();
    for name in ["keepalived-v3-ipv6.pcap", "frr-v3-ipv4-ipv6-stop.pcap"] {
        for frame in pcap::read(name) {
            match ndp::parse(&frame.bytes[14..]) {
                Ok(ndp::Message::Announcement(announcement)) => {
                    let mut written = Vec::new();
                    ndp::emit_frame(announcement, &mut written);
                    // But for the class and the flow label, and FRR's source, which is the address.
                    assert_eq!(written[18..], frame.bytes[18..], "{name} frame {}", frame.number);
                    found.push(announcement);
                }
                Ok(ndp::Message::Answer { address }) => panic!("an answer of {address}"),
                Ok(ndp::Message::Probe { target }) => probes.push(target.to_string()),
                Err(_) => {}
            }
        }
    }
    assert_eq!(found.len(), 41);
    let frr = Announcement {
        mac: MacAddr([0, 0, 0x5e, 0, 2, 0x46]),
        address: "2001:db8:99::70".parse().unwrap(),
        router: true,
        overrides: true,
    };
    assert_eq!(found[40], frr);
    let addresses: [Ipv6Addr; 2] =
        ["fe80::5555".parse().unwrap(), "2001:db8:99::55".parse().unwrap()];
    for announcement in &found[..40] {
        assert!(addresses.contains(&announcement.address));
        assert!(announcement.overrides && !announcement.router);
    }
    // Linux asks with a nonce (RFC 7527), an option that we step over.
    let asked = [
        "2001:db8:99:0:2810:eaff:fef9:27e4",
        "2001:db8:99::ff:fe00:c",
        "2001:db8:99::ff:fe00:b",
        "2001:db8:99:0:200:5eff:fe00:146",
    ];
    assert_eq!(probes, asked);
}

/// The two signatures of keepalived's own vectors: key 00..1f, id 51, priority 200.
#[test]
fn signatures_agree_with_keepalived() {
    let bytes: Vec<u8> = (0..32).collect();
    let sequence = 0x6800_0000_8000_0000;
    let clock = Duration::from_millis((sequence >> 32) * 1000 + 500);
    assert_eq!(Sequence::at(clock).get(), sequence);
    let vectors = [
        ("198.51.100.10", "224.0.0.18", "192.0.2.100", "1b84bc4e8e43892dc6d98448f8ee2265"),
        ("fe80::10", "ff02::12", "fe80::100", "c8c56146ebfd66ee10ec4d8186461b78"),
    ];
    for (source, destination, address, tag) in vectors {
        let key = HmacKey::new(1, &bytes).unwrap();
        let new = || {
            let keys = vec![key.clone()];
            HmacAuthenticator::new(keys, 1, HmacMode::Enforce, AntiReplay::Monotonic).unwrap()
        };
        let list = AddressList::new(&support::addresses(&[address])).unwrap();
        let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
        let form = ChecksumForm::PseudoHeader;
        let advert = v3::Outgoing {
            id: id(51),
            priority: Priority::from_wire(200),
            interval: Centiseconds::DEFAULT,
            carrier: Carrier::new(&list, source, destination, form).unwrap(),
        };
        let trailer = new().sign(clock, &advert).unwrap();
        assert_eq!(trailer.sequence.get(), sequence);
        let found: String = trailer.tag.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, tag, "{source}");

        let mut message = Vec::new();
        v3::emit_signed(&advert, &trailer, &mut message);
        let meta = RxMeta { source, destination, ttl: 255 };
        let expected = expects(51, Version::V3 { trailer: true });
        let valid = validate(&meta, &message, &expected).unwrap();
        let mut receiver = new();
        assert_eq!(receiver.verify(clock, source, valid.signed()), Verdict::Verified);
        assert_eq!(receiver.verify(clock, source, valid.signed()), Verdict::Repeated);
    }
}
