//! The bytes of real peers, and digests computed by another implementation.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use std::net::IpAddr;

use carp_proto::election::{Dialect, Input, LinkState, State};
use carp_proto::wire::arp::{self, Announcement, Form};
use carp_proto::wire::carp::{self, Advert};
use carp_proto::{Authenticator, Key, MacAddr, RouterConfig, VirtualRouter};
use support::{Effect, Rigged as _, Setup, addresses, id, ip, pcap};

struct Capture {
    name: &'static str,
    id: u8,
    key: &'static str,
    /// How many CARP adverts are in it.
    adverts: usize,
}

const INJECTION: &str = "ucarp-injection.pcap";
const COLLISION: &str = "collision-ucarp-vhid42-keepalived-col2.pcap";
const BOW_OUT: &str = "ucarp-honours-bowout-255.pcap";

/// The captures in which every CARP packet is a good one.
const GOOD: [Capture; 6] = [
    Capture { name: "ucarp-default.pcap", id: 42, key: "love", adverts: 11 },
    Capture { name: "ucarp-two-elect-sigterm.pcap", id: 42, key: "love", adverts: 23 },
    Capture { name: "ucarp-tie-endianness.pcap", id: 7, key: "tie", adverts: 11 },
    Capture { name: "ucarp-linkdown.pcap", id: 42, key: "love", adverts: 6 },
    Capture { name: BOW_OUT, id: 42, key: "love", adverts: 10 },
    Capture { name: COLLISION, id: 42, key: "love", adverts: 12 },
];

fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    let digits: Vec<u8> =
        hex.chars().map(|digit| digit.to_digit(16).unwrap().try_into().unwrap()).collect();
    let bytes: Vec<u8> = digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect();
    bytes.try_into().unwrap()
}

/// Key, VHID, addresses, counter, digest.
type Vector<'a> = (&'a [u8], u8, &'a [&'a str], u64, &'a str);

#[test]
fn digests_agree_with_other_implementations() {
    let goat: &[u8] = b"mekmitasdigoat";
    let random = bytes::<18>("704024242077c3b672643b22605c7c233139");
    let vectors: [Vector<'_>; 6] = [
        (
            b"love",
            42,
            &["10.99.0.100"],
            0x5932_ce13_0361_ff37,
            "e5ca595ed8c1579627823d1cab476f1408e5b375",
        ),
        (
            &random,
            201,
            &["10.99.0.77"],
            0x805f_834c_f39a_061e,
            "580c5d6f1932c23bc139027fc15f4559c374df23",
        ),
        (goat, 1, &["192.168.1.10"], 1, "69ef23583d258db24ad566094eccf5e8095d166d"),
        (
            goat,
            1,
            &["192.168.1.10", "10.0.0.1", "172.16.0.200"],
            1,
            "d08e9aacd844161f06aa2312ea14765b010251a5",
        ),
        (
            goat,
            1,
            &["192.168.1.10", "2001:db8::10", "fd00::1"],
            1,
            "f99fd1fc76b6175bc7cba8e2230642aa5e113e5c",
        ),
        (
            goat,
            1,
            &["192.168.1.10", "2001:db8::10", "fe80::200:5eff:fe00:101"],
            1,
            "9f9c7d866eaa5342bdabbbf31e475f66428c3d32",
        ),
    ];
    for (key, vhid, list, counter, expected) in vectors {
        let key = Key::new(key).unwrap();
        let mut list = addresses(list);
        for _ in 0..list.len() {
            list.rotate_left(1);
            let authenticator = Authenticator::new(&key, id(vhid), &list);
            assert_eq!(authenticator.digest(counter), bytes::<20>(expected), "{list:?}");
            assert!(authenticator.verify(counter, &bytes(expected)));
            assert!(!authenticator.verify(counter.wrapping_add(1), &bytes(expected)));
        }
    }
}

#[test]
fn a_peer_may_hash_link_local_addresses_or_not() {
    let key = Key::new(b"mekmitasdigoat").unwrap();
    let with = addresses(&["192.168.1.10", "2001:db8::10", "fe80::200:5eff:fe00:101"]);
    let without = addresses(&["192.168.1.10", "2001:db8::10"]);
    let ours = Authenticator::new(&key, id(1), &with);
    let openbsd = Authenticator::new(&key, id(1), &without);
    assert!(ours.verify(1, &openbsd.digest(1)));
    assert!(ours.verify(1, &ours.digest(1)));
    assert!(!openbsd.verify(1, &ours.digest(1)));
}

#[test]
fn duplicate_addresses_and_prefix_lengths_are_not_hashed() {
    let key = Key::new(b"mekmitasdigoat").unwrap();
    let plain = Authenticator::new(&key, id(1), &addresses(&["192.168.1.10"]));
    let odd = addresses(&["192.168.1.10/24", "192.168.1.10", "192.168.1.10/16"]);
    assert_eq!(plain.digest(1), Authenticator::new(&key, id(1), &odd).digest(1));
}

/// A router with the parameters of a capture, in Backup, at an address that is nobody's there.
fn listener(id_number: u8, key: &str) -> VirtualRouter {
    let key = Key::new(key.as_bytes()).unwrap();
    let list = addresses(&["10.99.0.100"]);
    let mut router = VirtualRouter::new(RouterConfig::carp(id(id_number), &key, list, 0).unwrap());
    let now = carp_proto::Instant::ZERO;
    router.handle(now, Input::Start);
    router.handle(now, Input::Link(LinkState::Up { source: ip(77) }));
    router
}

#[test]
fn adverts_of_real_peers_are_accepted_and_written_again_byte_for_byte() {
    for capture in GOOD {
        let mut router = listener(capture.id, capture.key);
        let mut adverts = 0;
        for (number, meta, message) in pcap::adverts(capture.name) {
            let Ok(parsed) = carp::parse(&message) else { continue };
            let accepted = router.handle_datagram(carp_proto::Instant::ZERO, &meta, &message);
            assert_eq!(accepted, Ok(()), "{} frame {number}", capture.name);
            assert!(parsed.checksum_ok);

            let key = Key::new(capture.key.as_bytes()).unwrap();
            let list = addresses(&["10.99.0.100"]);
            let digest =
                Authenticator::new(&key, id(capture.id), &list).digest(parsed.advert.counter);
            let mut written = vec![0xa5; 5];
            carp::emit(&Advert { digest, ..parsed.advert }, &mut written);
            assert_eq!(written[5..], message, "{} frame {number}", capture.name);
            adverts += 1;
        }
        assert_eq!(adverts, capture.adverts, "{}", capture.name);
    }
}

/// The hand-made packets of [`INJECTION`]: frame, what is wrong with it, and the label it gets; none
/// for what a CARP router has to accept.
const INJECTED: [(usize, &str, Option<&str>); 18] = [
    (6, "a TTL of 254", Some("bad-ttl")),
    (10, "version 3: the shape of a VRRPv3 advert with seven addresses", Some("foreign-protocol")),
    (13, "another VHID, signed", Some("unknown-id")),
    (15, "sent to 224.0.0.19", Some("unknown-peer")),
    (19, "a wrong checksum", Some("bad-checksum")),
    (21, "another password", Some("bad-authentication")),
    (24, "another virtual address", Some("bad-authentication")),
    (27, "type 0, authlen 9 and padding 1; ucarp takes it", Some("bad-type")),
    (32, "a worse rank and a low counter", None),
    (35, "the same counter again", None),
    (40, "four bytes more; ucarp takes it", Some("bad-length")),
    (45, "IP options", None),
    (48, "our own source", Some("own-loop")),
    (52, "unicast", Some("unknown-peer")),
    (57, "an Ethernet broadcast", None),
    (64, "a captured counter and digest with advskew 0", None),
    (4, "ucarp itself, as its peers see it", Some("own-loop")),
    (65, "the last of ucarp itself", Some("own-loop")),
];

#[test]
fn every_injected_packet_gets_its_label() {
    let adverts = pcap::adverts(INJECTION);
    for (number, what, label) in INJECTED {
        let (_, meta, message) = adverts.iter().find(|(frame, ..)| *frame == number).unwrap();
        let mut router = listener(42, "love");
        let now = carp_proto::Instant::ZERO;
        // As host A, whose peer the injecting host is.
        router.handle(now, Input::Link(LinkState::Up { source: ip(1) }));
        let outcome = router.handle_datagram(now, meta, message);
        assert_eq!(outcome.err().map(carp_proto::Reject::label), label, "frame {number}: {what}");
        let counted = label.map(|label| router.snapshot(now).counters.rejected.get(label).unwrap());
        assert_eq!(counted, label.map(|_| 1), "frame {number}: {what}");
    }
    let from_c = adverts.iter().filter(|(_, meta, _)| meta.source != ip(1)).count();
    let listed = INJECTED.iter().filter(|(frame, ..)| ![4, 48, 65].contains(frame)).count();
    assert_eq!(from_c, listed, "every packet of host C is in the table");
}

#[test]
fn vrrp_on_the_same_group_and_id_is_a_foreign_protocol() {
    let mut router = listener(42, "love");
    let mut foreign = 0;
    for (number, meta, message) in pcap::adverts(COLLISION) {
        if meta.source != ip(2) {
            continue;
        }
        let outcome = router.handle_datagram(carp_proto::Instant::ZERO, &meta, &message);
        assert_eq!(outcome, Err(carp_proto::Reject::ForeignProtocol), "frame {number}");
        foreign += 1;
    }
    assert_eq!(foreign, 2, "the advert of keepalived and its priority 0");
}

#[test]
fn a_resignation_made_for_ucarp_is_honoured_at_once() {
    let mut rig = Setup { advskew: 200, source: ip(77), ..Setup::new() }.rig().backup();
    for (number, meta, message) in pcap::adverts(BOW_OUT) {
        if number <= 8 {
            assert_eq!(rig.hears_bytes(&meta, &message), Ok(()));
            assert_eq!(rig.state(), State::Backup, "frame {number}");
        } else if number == 9 {
            assert_eq!(rig.hears_bytes(&meta, &message), Ok(()));
            let effects = support::drain(&mut rig.router);
            assert_eq!(effects, [Effect::Claim(1, 200, 0), Effect::Acquire]);
        }
    }
    assert_eq!(rig.state(), State::Active);
}

#[test]
fn the_tie_of_the_capture_ends_as_ucarp_ended_it() {
    // 10.99.1.2 stayed and 10.99.0.9 yielded; the documented order, ours, is the other way round.
    let low = IpAddr::from([10, 99, 0, 9]);
    let high = IpAddr::from([10, 99, 1, 2]);
    for (dialect, own, other, stays) in [
        (Dialect::Ucarp, low, high, false),
        (Dialect::Ucarp, high, low, true),
        (Dialect::Native, low, high, true),
        (Dialect::Native, high, low, false),
    ] {
        let mut rig = Setup { dialect, advskew: 0, source: own, ..Setup::new() }.rig().serving();
        rig.hears(other, 1, 0);
        assert_eq!(rig.state() == State::Active, stays, "{dialect}: {own} hears {other}");
    }
}

#[test]
fn gratuitous_arp_of_real_peers_reads_and_is_written_again() {
    let address = std::net::Ipv4Addr::new(10, 99, 0, 100);
    let mut announcements = 0;
    for (number, packet) in pcap::arp(INJECTION) {
        match arp::parse(&packet) {
            Ok((found, form)) => {
                let mac = MacAddr([2, 0, 0, 0, 0, 0x0a]);
                assert_eq!((found, form), (Announcement { mac, address }, Form::Request));
                let mut frame = Vec::new();
                arp::emit_frame(found, form, &mut frame);
                assert_eq!(frame[14..], packet, "frame {number}");
                announcements += 1;
            }
            // Frames 53 and 54 are a question of A and its answer.
            Err(_) => assert!([53, 54].contains(&number), "frame {number}"),
        }
    }
    assert!(announcements > 10);
}
