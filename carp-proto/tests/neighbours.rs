//! IPv6 and its extension headers, IP authentication, and neighbour discovery.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use std::net::Ipv6Addr;

use carp_proto::wire::ip::{self, GROUP_IPV6, IPV6_HEADER_LEN};
use carp_proto::wire::ndp::{self, Announcement, Message};
use carp_proto::wire::vrrp::ChecksumForm;
use carp_proto::wire::{WireError, ethernet};
use carp_proto::{MacAddr, Reject};
use proptest::prelude::*;
use support::wire::{PEER_IPV4, PEER_IPV6, flipped, meta_ipv6, v3_message};

const VRRP: u8 = 112;
const HOP_BY_HOP: u8 = 0;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// An extension header of `8 * eighths` bytes.
fn extension(next: u8, eighths: u8) -> Vec<u8> {
    let mut header = vec![0; usize::from(eighths) * 8];
    [header[0], header[1]] = [next, eighths - 1];
    header
}

/// An IPv6 packet of the peer to the group.
fn packet(next: u8, parts: &[&[u8]]) -> Vec<u8> {
    let payload = parts.concat();
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, next, 255];
    packet[4..6].copy_from_slice(&u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend(PEER_IPV6.octets());
    packet.extend(GROUP_IPV6.octets());
    packet.extend(payload);
    packet
}

fn advert() -> Vec<u8> {
    v3_message(&["fe80::42"], ChecksumForm::PseudoHeader)
}

fn label(error: WireError) -> &'static str {
    Reject::from(error).label()
}

#[test]
fn the_ipv6_header_is_stripped_and_padding_with_it() {
    let mut padded = packet(VRRP, &[&advert()]);
    padded.extend([0xff; 18]);
    assert_eq!(ip::strip_ipv6(&padded), Ok((meta_ipv6(), &advert()[..])));
}

#[test]
fn options_are_stepped_over_up_to_a_bound() {
    let advert = advert();
    for eighths in [1, 2, 200] {
        let options = extension(VRRP, eighths);
        for first in [HOP_BY_HOP, DESTINATION_OPTIONS] {
            let packet = packet(first, &[&options, &advert]);
            assert_eq!(ip::strip_ipv6(&packet).unwrap().1, advert);
        }
    }
    let mut options = vec![];
    for count in 1..10 {
        options.insert(0, extension(if count == 1 { VRRP } else { DESTINATION_OPTIONS }, 1));
        let packet = packet(DESTINATION_OPTIONS, &[&options.concat(), &advert]);
        assert_eq!(ip::strip_ipv6(&packet).is_ok(), count <= 4, "{count} headers");
    }
}

#[test]
fn an_ipv6_header_that_contradicts_itself_is_malformed() {
    let good = packet(HOP_BY_HOP, &[&extension(VRRP, 1), &advert()]);
    for len in 0..good.len() {
        let expected = if len < IPV6_HEADER_LEN { "too-short" } else { "malformed-ip" };
        assert_eq!(label(ip::strip_ipv6(&good[..len]).unwrap_err()), expected, "{len} bytes");
    }
    let with = |byte: usize, value: u8| {
        let mut packet = good.clone();
        packet[byte] = value;
        label(ip::strip_ipv6(&packet).unwrap_err())
    };
    assert_eq!(with(0, 0x40), "malformed-ip", "version 4");
    assert_eq!(with(4, 1), "malformed-ip", "a payload longer than the packet");
    assert_eq!(with(5, 1), "malformed-ip", "a payload that ends inside the options");
    assert_eq!(with(6, 17), "malformed-ip", "UDP");
    assert_eq!(with(41, 255), "malformed-ip", "options longer than the packet");
}

#[test]
fn fragments_are_refused() {
    let header = [VRRP, 0, 0, 1, 0, 0, 0, 9];
    let first = packet(FRAGMENT, &[&header, &advert()]);
    let second = packet(HOP_BY_HOP, &[&extension(FRAGMENT, 1), &header, &advert()]);
    for packet in [first, second] {
        assert_eq!(ip::strip_ipv6(&packet), Err(WireError::Ip("a fragment")));
        let seen = ip::find_message(&packet, false).unwrap();
        assert_eq!(
            (seen.problem, seen.payload),
            (Some(WireError::Ip("a fragment")), &advert()[..])
        );
    }
}

#[test]
fn an_authentication_header_is_skipped_by_those_who_only_look() {
    let advert = advert();
    let header = |next| [&[next, 4, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1][..], &[0xcc; 12]].concat();
    let ipv6 = packet(AUTHENTICATION, &[&header(VRRP), &advert]);
    let after = extension(VRRP, 1);
    let before = extension(AUTHENTICATION, 1);
    let with_options =
        packet(HOP_BY_HOP, &[&before, &header(DESTINATION_OPTIONS), &after, &advert]);
    for packet in [&ipv6, &with_options] {
        let carried = ip::find_message(packet, false).unwrap();
        assert_eq!((carried.meta, carried.payload), (meta_ipv6(), &advert[..]));
        assert_eq!((carried.len, carried.problem), (advert.len(), None));
        let found = carried.authentication.unwrap();
        assert_eq!((found.spi, found.sequence, found.icv), (9, 1, &[0xcc; 12][..]));
        assert_eq!(
            label(ip::strip_ipv6(packet).unwrap_err()),
            "malformed-ip",
            "no router reads it"
        );
    }
    for len in IPV6_HEADER_LEN..ipv6.len() {
        let seen = ip::find_message(&ipv6[..len], true);
        assert_eq!(seen.is_some(), len >= IPV6_HEADER_LEN + 2, "{len} bytes");
        let Some(seen) = seen else { continue };
        assert_eq!((seen.len, seen.problem), (advert.len(), None), "{len} bytes");
        assert_eq!(seen.payload.len(), len.saturating_sub(IPV6_HEADER_LEN + 24), "{len} bytes");
        assert_eq!(seen.authentication.is_some(), len >= IPV6_HEADER_LEN + 24, "{len} bytes");
    }
}

#[test]
fn what_an_ip_header_says_beside_the_addresses_is_told() {
    let mut ipv4 = Vec::new();
    ip::emit_ipv4(PEER_IPV4, ip::GROUP_IPV4, 0, &mut ipv4);
    let seen = ip::find_message(&ipv4, false).unwrap();
    assert_eq!((seen.traffic_class, seen.dont_fragment), (ip::TOS_LOW_DELAY, Some(true)));
    assert_eq!((seen.payload, seen.problem), (&[][..], None));
    ipv4[6] = 0;
    assert_eq!(ip::find_message(&ipv4, false).unwrap().dont_fragment, Some(false));
    ipv4[0] = 0x55;
    assert_eq!(ip::find_message(&ipv4, false), None, "another version");
    assert_eq!(ip::find_message(&[], false), None);

    let mut ipv6 = packet(VRRP, &[&advert()]);
    [ipv6[0], ipv6[1]] = [0x6c, 0x05];
    let seen = ip::find_message(&ipv6, false).unwrap();
    assert_eq!((seen.traffic_class, seen.dont_fragment), (0xc0, None));
}

fn announcement() -> Announcement {
    Announcement {
        mac: MacAddr([2, 0, 0, 0, 0, 0x0a]),
        address: "2001:db8:99::55".parse().unwrap(),
        router: false,
        overrides: true,
    }
}

/// The packet of an announcement, and the same with its message changed and summed again.
fn announced() -> Vec<u8> {
    let mut frame = Vec::new();
    ndp::emit_frame(announcement(), &mut frame);
    frame.split_off(ethernet::HEADER_LEN)
}

fn changed(mut packet: Vec<u8>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    change(&mut packet);
    let payload = packet.len() - IPV6_HEADER_LEN;
    packet[4..6].copy_from_slice(&u16::try_from(payload).unwrap().to_be_bytes());
    packet[42..44].fill(0);
    let mut summed = packet[8..40].to_vec();
    summed.extend(u32::try_from(payload).unwrap().to_be_bytes());
    summed.extend([0, 0, 0, 58]);
    summed.extend(&packet[IPV6_HEADER_LEN..]);
    let sum = carp_proto::wire::checksum::checksum(&summed);
    packet[42..44].copy_from_slice(&sum.to_be_bytes());
    packet
}

#[test]
fn an_announcement_goes_from_the_address_to_all_nodes() {
    let mut frame = vec![0xa5; 3];
    ndp::emit_frame(announcement(), &mut frame);
    assert_eq!(frame.len(), 3 + ndp::FRAME_LEN);
    let frame = &frame[3..];
    assert_eq!(frame[..6], [0x33, 0x33, 0, 0, 0, 1]);
    assert_eq!(frame[12..14], [0x86, 0xdd]);
    assert_eq!(frame[21], 255, "hop limit");
    assert_eq!(frame[22..38], announcement().address.octets());
    assert_eq!(frame[38..54], ndp::ALL_NODES.octets());
    assert_eq!(frame[58], 0x20, "O, and neither R nor S");
}

#[test]
fn every_flipped_bit_of_an_announcement_that_matters_is_noticed() {
    let packet = announced();
    for bit in 0..packet.len() * 8 {
        let found = ndp::parse(&flipped(&packet, bit));
        // The traffic class and the flow label are covered by nothing.
        let unnoticed = (4..32).contains(&bit);
        assert_eq!(found.is_ok(), unnoticed, "bit {bit}");
    }
    for len in 0..packet.len() {
        assert!(ndp::parse(&packet[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn what_rfc_4861_forbids_is_refused() {
    let refused = |why: &str, packet: Vec<u8>| match ndp::parse(&packet) {
        Err(WireError::Ndp(found)) => assert!(found.contains(why), "{why}: {found}"),
        other => panic!("{why}: {other:?}"),
    };
    let good = announced();
    assert_eq!(ndp::parse(&good), Ok(Message::Announcement(announcement())));
    refused("hop limit", changed(good.clone(), |packet| packet[7] = 254));
    refused("not ICMPv6", changed(good.clone(), |packet| packet[6] = 17));
    refused("code", changed(good.clone(), |packet| packet[41] = 1));
    refused("type", changed(good.clone(), |packet| packet[40] = 134));
    refused("answer", changed(good.clone(), |packet| packet[44] |= 0x40));
    let answered = changed(good.clone(), |packet| {
        packet[44] |= 0x40;
        packet[24..40].copy_from_slice(&announcement().address.octets());
    });
    assert_eq!(ndp::parse(&answered), Ok(Message::Answer { address: announcement().address }));
    refused("multicast", changed(good.clone(), |packet| packet[48] = 0xff));
    refused("no length", changed(good.clone(), |packet| packet[65] = 0));
    refused("ends early", changed(good.clone(), |packet| packet[65] = 2));
    refused("no target link-layer", changed(good.clone(), |packet| packet[64] = 1));
    refused("no target link-layer", changed(good.clone(), |packet| packet.truncate(64)));
    refused("shorter than 24", changed(good.clone(), |packet| packet.truncate(63)));
    refused("no length", changed(good.clone(), |packet| packet.extend([14, 0])));
    // Unknown options are stepped over.
    let with_nonce = changed(good, |packet| packet.extend([14, 1, 0, 0, 0, 0, 0, 0]));
    assert_eq!(ndp::parse(&with_nonce), Ok(Message::Announcement(announcement())));
}

#[test]
fn a_probe_asks_the_group_of_its_target_from_nowhere() {
    let target: Ipv6Addr = "2001:db8::12:3456".parse().unwrap();
    let mut frame = vec![0xa5; 3];
    ndp::emit_probe_frame(announcement().mac, target, &mut frame);
    assert_eq!(frame.len(), 3 + ndp::PROBE_FRAME_LEN);
    let frame = &frame[3..];
    assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    assert_eq!(ndp::solicited_node(target), "ff02::1:ff12:3456".parse::<Ipv6Addr>().unwrap());
    let packet = &frame[14..];
    assert_eq!(ndp::parse(packet), Ok(Message::Probe { target }));

    let refused = |packet: Vec<u8>| assert!(matches!(ndp::parse(&packet), Err(WireError::Ndp(_))));
    refused(changed(packet.to_vec(), |packet| packet[23] = 1));
    refused(changed(packet.to_vec(), |packet| packet[39] ^= 1));
    refused(changed(packet.to_vec(), |packet| packet.extend([1, 1, 2, 0, 0, 0, 0, 0x0a])));
    for len in 0..packet.len() {
        assert!(ndp::parse(&packet[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn a_question_from_an_address_says_where_that_is() {
    let (from, target) = (announcement().address, "2001:db8::12:3456".parse().unwrap());
    let mut frame = Vec::new();
    ndp::emit_question_frame(announcement().mac, from, target, &mut frame);
    assert_eq!(frame[..6], [0x33, 0x33, 0xff, 0x12, 0x34, 0x56]);
    let packet = &frame[14..];
    assert_eq!((packet[40], &packet[48..64]), (135, &target.octets()[..]));
    assert_eq!(packet[64..], [1, 1, 2, 0, 0, 0, 0, 0x0a]);
    assert_eq!(packet[8..24], from.octets());
    assert_eq!(changed(packet.to_vec(), |_| ()), packet, "the checksum");
    let refused = ndp::parse(packet);
    assert_eq!(refused, Err(WireError::Ndp("a question of somebody who has an address")));
}

proptest! {
    #[test]
    fn an_announcement_reads_back(mac: [u8; 6], address: [u8; 16], router: bool, overrides: bool) {
        let address = Ipv6Addr::from(address);
        prop_assume!(!address.is_multicast());
        let announcement = Announcement { mac: MacAddr(mac), address, router, overrides };
        let mut frame = Vec::new();
        ndp::emit_frame(announcement, &mut frame);
        prop_assert_eq!(ndp::parse(&frame[14..]), Ok(Message::Announcement(announcement)));
    }

    #[test]
    fn a_probe_reads_back(mac: [u8; 6], target: [u8; 16]) {
        let target = Ipv6Addr::from(target);
        prop_assume!(!target.is_multicast());
        let mut frame = Vec::new();
        ndp::emit_probe_frame(MacAddr(mac), target, &mut frame);
        prop_assert_eq!(ndp::parse(&frame[14..]), Ok(Message::Probe { target }));
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..150),
        next in prop_oneof![
            Just(HOP_BY_HOP), Just(FRAGMENT), Just(AUTHENTICATION), Just(58), Just(VRRP), any::<u8>(),
        ],
    ) {
        let payload = bytes.len().saturating_sub(IPV6_HEADER_LEN);
        if bytes.len() >= IPV6_HEADER_LEN {
            bytes[0] = 0x60;
            bytes[4..7].copy_from_slice(&[0, u8::try_from(payload).unwrap(), next]);
        }
        let _ = ndp::parse(&bytes);
        let changed = (bytes.len() >= IPV6_HEADER_LEN + 8).then(|| changed(bytes.clone(), |_| ()));
        let _ = changed.map(|bytes| ndp::parse(&bytes));
        if let Ok((_, message)) = ip::strip_ipv6(&bytes) {
            prop_assert!(message.len() <= payload);
        }
        let _ = ip::find_message(&bytes, false);
    }
}
