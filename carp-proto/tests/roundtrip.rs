//! Bytes: what is written reads back, and what is damaged is rejected under the right label.
//!
//! CARP authenticates version, type, id, addresses and counter. Everything else is covered by the
//! checksum alone, which anybody can compute: `what_the_digest_does_not_cover_*` says what that means.

mod support;

use std::net::Ipv4Addr;

use carp_proto::election::Dialect;
use carp_proto::testing::strategy::any_carp_advert;
use carp_proto::wire::checksum::checksum;
use carp_proto::wire::{Kind, WireError, arp, carp, classify, ethernet, ip};
use carp_proto::{MacAddr, Reject, RxMeta};
use proptest::prelude::*;
use support::{Rigged as _, Setup, advert, meta};

const PEER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 9);

/// What a router that waits for the tests' adverts says to this message.
fn label(message: &[u8]) -> Option<&'static str> {
    label_of(&meta(PEER.into()), message)
}

fn label_of(meta: &RxMeta, message: &[u8]) -> Option<&'static str> {
    let mut rig = Setup { dialect: Dialect::Ucarp, ..Setup::new() }.rig().backup();
    rig.hears_bytes(meta, message).err().map(Reject::label)
}

/// The same message with a checksum that fits it.
fn summed(mut message: Vec<u8>) -> Vec<u8> {
    message[6..8].fill(0);
    let sum = checksum(&message);
    message[6..8].copy_from_slice(&sum.to_be_bytes());
    message
}

fn flipped(message: &[u8], bit: usize) -> Vec<u8> {
    let mut message = message.to_vec();
    message[bit / 8] ^= 0x80 >> (bit % 8);
    message
}

/// A packet as a raw socket delivers it.
fn packet(message: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    ip::emit_ipv4(PEER, ip::GROUP_IPV4, message.len(), &mut packet);
    packet.extend(message);
    packet
}

proptest! {
    #[test]
    fn an_advert_reads_back_whatever_was_in_the_buffer(
        advert in any_carp_advert(),
        dirt in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let mut buffer = dirt.clone();
        carp::emit(&advert, &mut buffer);
        prop_assert_eq!(&buffer[..dirt.len()], &dirt[..]);
        let parsed = carp::parse(&buffer[dirt.len()..]);
        prop_assert_eq!(parsed, Ok(carp::Parsed { advert, checksum_ok: true }));

        let mut fixed = [0xa5; carp::HEADER_LEN];
        carp::emit(&advert, &mut &mut fixed[..]);
        prop_assert_eq!(&fixed[..], &buffer[dirt.len()..]);
    }

    #[test]
    fn an_ip_header_reads_back(
        source: [u8; 4],
        destination: [u8; 4],
        payload in prop::collection::vec(any::<u8>(), 0..100),
        padding in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let (source, destination) = (Ipv4Addr::from(source), Ipv4Addr::from(destination));
        let mut packet = vec![];
        ip::emit_ipv4(source, destination, payload.len(), &mut packet);
        prop_assert_eq!(checksum(&packet), 0);
        packet.extend(&payload);
        packet.extend(&padding);
        let (meta, found) = ip::strip_ipv4(&packet).unwrap();
        prop_assert_eq!(meta.source, source);
        prop_assert_eq!(meta.destination, destination);
        prop_assert_eq!((meta.ttl, found), (255, &payload[..]));
    }

    #[test]
    fn an_announcement_reads_back(mac: [u8; 6], address: [u8; 4], reply: bool) {
        let announcement = arp::Announcement { mac: MacAddr(mac), address: address.into() };
        let form = if reply { arp::Form::Reply } else { arp::Form::Request };
        let mut frame = Vec::new();
        arp::emit_frame(announcement, form, &mut frame);
        prop_assert_eq!(frame.len(), arp::FRAME_LEN);
        let packet = &frame[ethernet::HEADER_LEN..];
        prop_assert_eq!(arp::parse(packet), Ok((announcement, form)));
        for len in 0..packet.len() {
            let found = arp::parse(&packet[..len]);
            prop_assert_eq!(found, Err(WireError::Truncated { found: len, needed: 28 }));
        }
    }

    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let carp = carp::parse(&bytes);
        let _ = arp::parse(&bytes);
        if let Ok((meta, message)) = ip::strip_ipv4(&bytes) {
            prop_assert!(message.len() + ip::HEADER_LEN <= bytes.len());
            let _ = label_of(&meta, message);
        }
        // What is read is what was written: no two messages mean the same.
        if let Ok(carp::Parsed { advert, checksum_ok: true }) = carp {
            let mut written = Vec::new();
            carp::emit(&advert, &mut written);
            prop_assert_eq!(written, bytes);
        }
    }

    #[test]
    fn no_message_is_both_carp_and_vrrp(
        first in prop_oneof![Just(0x21_u8), Just(0x31), any::<u8>()],
        rest in prop::collection::vec(any::<u8>(), 0..80),
        count in 0..16_u8,
    ) {
        let mut message = vec![first];
        message.extend(rest);
        if let Some(byte) = message.get_mut(3) {
            *byte = count;
        }
        let (version, len) = (first >> 4, message.len());
        let vrrp2 = version == 2 && len == 16 + 4 * usize::from(count) && len >= 4;
        let vrrp3 = version == 3;
        let carp = version == 2 && len == 36 && count == 7;
        let kind = match (carp, vrrp2, vrrp3) {
            (true, false, false) => Kind::Carp,
            (false, true, false) => Kind::Vrrp2,
            (false, false, true) => Kind::Vrrp3,
            (false, false, false) => Kind::Unknown,
            _ => return Err(TestCaseError::fail("more than one of the three")),
        };
        prop_assert_eq!(classify(&message), kind);
        let parsed = carp::parse(&message);
        prop_assert_eq!(parsed.is_ok(), carp && first == 0x21);
        prop_assert_eq!(parsed == Err(WireError::Vrrp), vrrp2 || vrrp3);
    }
}

#[test]
fn the_untouched_advert_is_accepted() {
    assert_eq!(label(&advert(1, 0, 0, 5)), None);
}

#[test]
fn every_flipped_bit_of_an_advert_is_rejected_with_its_label() {
    let good = advert(1, 0, 0, 5);
    for bit in 0..good.len() * 8 {
        let expected = match bit {
            // Version 3 and a 7 in the fourth byte: a VRRPv3 advert with seven IPv4 addresses.
            // authlen 5 instead of 7: a VRRPv2 advert with five.
            3 | 30 => "foreign-protocol",
            0..4 => "bad-version",
            4..8 => "bad-type",
            8..16 => "unknown-id",
            24..32 => "bad-length",
            _ => "bad-checksum",
        };
        assert_eq!(label(&flipped(&good, bit)), Some(expected), "bit {bit}");
    }
}

#[test]
fn what_the_digest_does_not_cover_passes_with_a_new_checksum() {
    let good = advert(1, 3, 0, 5);
    for bit in 64..good.len() * 8 {
        let forged = summed(flipped(&good, bit));
        assert_eq!(label(&forged), Some("bad-authentication"), "bit {bit}: counter and digest");
    }
    // advskew, demotion and advbase: anybody who hears one advert can send it with another rank.
    for bit in (16..24).chain(32..48) {
        assert_eq!(label(&summed(flipped(&good, bit))), None, "bit {bit}");
    }
}

#[test]
fn what_the_digest_does_not_cover_still_has_to_make_sense() {
    let mut forged = advert(1, 0, 0, 5);
    forged[5] = 0;
    assert_eq!(label(&summed(forged)), Some("bad-interval"), "0/0 in the ucarp dialect");
}

#[test]
fn every_truncation_of_an_advert_is_too_short() {
    let good = advert(1, 0, 0, 5);
    for len in 0..good.len() {
        assert_eq!(label(&good[..len]), Some("too-short"), "{len} bytes");
    }
}

#[test]
fn a_message_that_goes_on_has_a_bad_length() {
    for extra in [1, 4, 100] {
        let mut long = advert(1, 0, 0, 5);
        long.resize(36 + extra, 0);
        // 36 + 8 bytes and authlen 7 would be VRRPv2 with seven addresses.
        assert_eq!(label(&long), Some("bad-length"), "{extra} more");
    }
    let mut vrrp = advert(1, 0, 0, 5);
    vrrp.resize(44, 0);
    assert_eq!(label(&vrrp), Some("foreign-protocol"));
}

#[test]
fn the_reject_says_what_was_found_and_what_was_expected() {
    let mut rig = Setup::new().rig().backup();
    let mut bad = advert(1, 0, 0, 5);
    let far = RxMeta { ttl: 64, ..meta(PEER.into()) };
    assert_eq!(rig.hears_bytes(&far, &bad), Err(Reject::BadTtl { found: 64, expected: 255 }));
    bad[1] = 9;
    assert_eq!(rig.hears_bytes(&far, &bad), Err(Reject::UnknownId { found: 9 }), "id before TTL");
    bad[0] = 0x11;
    let version = Reject::BadVersion { found: 1, expected: 2 };
    assert_eq!(rig.hears_bytes(&far, &bad), Err(version), "version before id");
    bad.truncate(20);
    let short = Reject::TooShort { found: 20, needed: 36 };
    assert_eq!(rig.hears_bytes(&far, &bad), Err(short), "length before version");
}

#[test]
fn an_advert_that_was_not_sent_to_the_group_is_refused() {
    for destination in [[10, 99, 0, 5], [224, 0, 0, 19], [255, 255, 255, 255]] {
        let meta = RxMeta { destination: destination.into(), ..meta(PEER.into()) };
        assert_eq!(label_of(&meta, &advert(1, 0, 0, 5)), Some("unknown-peer"));
    }
}

#[test]
fn padding_ends_where_the_total_length_says() {
    let message = advert(1, 0, 0, 5);
    let mut padded = packet(&message);
    padded.extend([0xff; 26]);
    assert_eq!(ip::strip_ipv4(&padded).unwrap().1, message);
}

#[test]
fn options_are_stepped_over() {
    let message = advert(1, 0, 0, 5);
    for words in 1..=10_u8 {
        let mut with_options = packet(&message);
        let options = usize::from(words) * 4;
        with_options.splice(20..20, vec![1; options]);
        with_options[0] = 0x45 + words;
        with_options[3] += words * 4;
        let (meta, found) = ip::strip_ipv4(&with_options).unwrap();
        assert_eq!((meta.source, found), (PEER.into(), &message[..]), "{options} bytes of options");
    }
}

#[test]
fn fragments_are_refused() {
    for (byte, bit) in [(6, 0x20), (6, 0x01), (6, 0x10), (7, 0x01), (7, 0x80)] {
        let mut fragment = packet(&advert(1, 0, 0, 5));
        fragment[byte] |= bit;
        assert_eq!(ip::strip_ipv4(&fragment), Err(WireError::Ip("a fragment")));
    }
}

#[test]
fn an_ip_header_that_contradicts_itself_is_malformed() {
    let good = packet(&advert(1, 0, 0, 5));
    let with = |byte: usize, value: u8| {
        let mut packet = good.clone();
        packet[byte] = value;
        Reject::from(ip::strip_ipv4(&packet).unwrap_err()).label()
    };
    assert_eq!(with(0, 0x65), "malformed-ip", "version 6");
    assert_eq!(with(0, 0x44), "malformed-ip", "a header of 16 bytes");
    assert_eq!(with(0, 0x4f), "malformed-ip", "a header longer than the packet");
    assert_eq!(with(3, 19), "malformed-ip", "a total length inside the header");
    assert_eq!(with(3, 57), "malformed-ip", "a total length beyond the packet");
    assert_eq!(with(9, 51), "malformed-ip", "another protocol");
    for len in 0..good.len() {
        let label = Reject::from(ip::strip_ipv4(&good[..len]).unwrap_err()).label();
        let expected = if len < 20 { "too-short" } else { "malformed-ip" };
        assert_eq!(label, expected, "{len} bytes");
    }
}

#[test]
fn every_flipped_bit_of_the_ip_header_that_matters_is_noticed() {
    let good = packet(&advert(1, 0, 0, 5));
    for bit in 0..20 * 8 {
        let bad = flipped(&good, bit);
        let found = match ip::strip_ipv4(&bad) {
            Ok((meta, message)) => label_of(&meta, message),
            Err(error) => Some(Reject::from(error).label()),
        };
        let expected = match bit {
            // Options that swallow the message, but for four bytes that begin with a 3.
            4 => Some("foreign-protocol"),
            // Options that swallow the message, and total lengths that cut it.
            6 | 26..29 => Some("too-short"),
            // Version and header length, total length, fragments, protocol.
            0..8 | 16..32 | 50..64 | 72..80 => Some("malformed-ip"),
            64..72 => Some("bad-ttl"),
            128..160 => Some("unknown-peer"),
            // Type of service, identification, don't fragment, the header's checksum, which the
            // kernel looks at, and the source, which nothing authenticates.
            _ => None,
        };
        assert_eq!(found, expected, "bit {bit}");
    }
}

#[test]
fn vrrp_shapes_are_a_foreign_protocol() {
    let message = |first: u8, count: u8, len: usize| {
        let mut message = vec![0; len];
        message[0] = first;
        message[1] = 42;
        message[3] = count;
        message
    };
    for count in 1..=255_u8 {
        let addresses = usize::from(count);
        for shape in [
            message(0x21, count, 16 + 4 * addresses),
            message(0x31, count, 8 + 4 * addresses),
            message(0x31, count, 8 + 16 * addresses),
        ] {
            assert_eq!(label(&shape), Some("foreign-protocol"), "{count} addresses");
        }
    }
    assert_eq!(label(&message(0x31, 2, 40)), Some("foreign-protocol"), "two IPv6 addresses");
    assert_eq!(label(&message(0x31, 2, 37)), Some("foreign-protocol"), "nobody else has version 3");
    assert_eq!(label(&message(0x21, 2, 37)), Some("bad-length"), "no shape of VRRP");
}
