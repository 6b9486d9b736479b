//! What those who only look see of a packet that no router would act on.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use carp_proto::Protocol;
use carp_proto::wire::ip::{self, GROUP_IPV4, GROUP_IPV6};
use carp_proto::wire::{Kind, WireError};
use support::wire::{PEER_IPV4, PEER_IPV6};

const VRRP: u8 = 112;
const UDP: u8 = 17;
const AUTHENTICATION: u8 = 51;
const MESSAGE: [u8; 8] = [0x31, 1, 100, 0, 0, 100, 0, 0];

/// An IPv4 packet with this protocol and these flags and offset.
fn ipv4(protocol: u8, flags_offset: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    ip::emit_ipv4(PEER_IPV4, GROUP_IPV4, payload.len(), &mut packet);
    packet[6..8].copy_from_slice(&flags_offset.to_be_bytes());
    packet[9] = protocol;
    [&packet[..], payload].concat()
}

fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::new();
    let len = u16::try_from(payload.len()).unwrap();
    ip::emit_ipv6(PEER_IPV6, GROUP_IPV6, next, len, &mut packet);
    [&packet[..], payload].concat()
}

/// A fragment header before the message, or before what `next` says.
fn fragment(next: u8, offset_more: u16) -> Vec<u8> {
    let [high, low] = offset_more.to_be_bytes();
    ipv6(44, &[&[next, 0, high, low, 0, 0, 0, 9], &MESSAGE[..]].concat())
}

fn problem(packet: &[u8], cut: bool) -> Option<WireError> {
    let seen = ip::find_message(packet, cut).expect("a message");
    assert_eq!(&MESSAGE[..seen.payload.len()], seen.payload);
    seen.problem
}

#[test]
fn an_ipv4_packet_may_be_padded_and_not_be_short() {
    let whole = ipv4(VRRP, 0, &MESSAGE);
    assert_eq!(problem(&whole, false), None);
    assert_eq!(problem(&[&whole[..], &[0; 18]].concat(), false), None);
    let short = &whole[..whole.len() - 1];
    let error = Some(WireError::Ip("the total length is more than was received"));
    assert_eq!((problem(short, false), problem(short, true)), (error, None));
    let mut inside = whole;
    inside[2..4].copy_from_slice(&19_u16.to_be_bytes());
    let error = WireError::Ip("the total length ends inside the header");
    assert_eq!(problem(&inside, false), Some(error));
    assert_eq!(ip::strip_ipv4(&inside).unwrap_err(), error);
    inside[3] = 20;
    assert_eq!(ip::strip_ipv4(&inside).map(|(_, payload)| payload.len()), Ok(0));
}

#[test]
fn the_first_fragment_is_read_and_so_is_a_later_one_that_says_what_it_is_part_of() {
    let error = Some(WireError::Ip("a fragment"));
    for flags_offset in [0x2000, 0x2001, 0x1fff] {
        assert_eq!(problem(&ipv4(VRRP, flags_offset, &MESSAGE), false), error, "{flags_offset:#x}");
    }
    for offset_more in [0x0001, 0x0008, 0x0009, 0xfff8] {
        assert_eq!(problem(&fragment(VRRP, offset_more), false), error, "{offset_more:#x}");
    }
    // A whole datagram in a fragment header, with bits that mean nothing.
    for offset_more in [0x0000, 0x0002, 0x0006] {
        assert_eq!(problem(&fragment(VRRP, offset_more), false), None, "{offset_more:#x}");
    }
}

#[test]
fn what_a_later_fragment_begins_with_is_no_header() {
    let options = [&[VRRP, 0, 0, 0, 0, 0, 0, 0], &MESSAGE[..]].concat();
    let packet = |offset_more: u16| {
        let [high, low] = offset_more.to_be_bytes();
        ipv6(44, &[&[60, 0, high, low, 0, 0, 0, 9], &options[..]].concat())
    };
    assert_eq!(problem(&packet(1), false), Some(WireError::Ip("a fragment")));
    assert_eq!(problem(&packet(6), false), None);
    assert_eq!(ip::find_message(&packet(8), false), None);
    let header = [&[VRRP, 4, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1][..], &[0xcc; 12], &MESSAGE].concat();
    assert_eq!(problem(&ipv4(AUTHENTICATION, 0, &header), false), None);
    assert_eq!(ip::find_message(&ipv4(AUTHENTICATION, 1, &header), false), None);
    // Two fragment headers: what the first one says stays said.
    let twice = [&[44, 0, 0, 1, 0, 0, 0, 9, VRRP, 0, 0, 0, 0, 0, 0, 9], &MESSAGE[..]].concat();
    assert_eq!(problem(&ipv6(44, &twice), false), Some(WireError::Ip("a fragment")));
    let late = [&[44, 0, 0, 8, 0, 0, 0, 9, VRRP, 0, 0, 0, 0, 0, 0, 9], &MESSAGE[..]].concat();
    assert_eq!(ip::find_message(&ipv6(44, &late), false), None);
}

#[test]
fn a_header_that_is_longer_than_the_packet_is_a_problem_only_before_a_message() {
    let long = |next| ipv6(60, &[next, 9, 0, 0, 0, 0, 0, 0]);
    let packet = long(VRRP);
    let seen = ip::find_message(&packet, false).unwrap();
    let error = WireError::Ip("a header before the message is longer than the packet");
    assert_eq!(seen.problem, Some(error));
    assert_eq!(ip::find_message(&long(UDP), false), None);
    assert_eq!(ip::find_message(&long(60), false), None);
}

#[test]
fn ipv4_has_no_extension_headers() {
    let header = [&[VRRP, 0, 0, 0, 0, 0, 0, 0], &MESSAGE[..]].concat();
    for protocol in [0, 43, 44, 60] {
        assert!(ip::find_message(&ipv6(protocol, &header), false).is_some(), "{protocol}");
        assert_eq!(ip::find_message(&ipv4(protocol, 0, &header), false), None, "{protocol}");
    }
}

#[test]
fn an_authentication_header_that_is_none_is_told_of_where_the_packet_is_whole() {
    // Its length says eight bytes, and it has twelve at least.
    let header = [&[VRRP, 0, 0, 0, 0, 0, 0, 9], &MESSAGE[..]].concat();
    let packet = ipv6(AUTHENTICATION, &header);
    assert!(problem(&packet, false).is_some());
    assert_eq!(problem(&packet[..packet.len() - 1], true), None);
}

#[test]
fn routers_say_why_they_do_not_look_into_an_authentication_header() {
    let error = WireError::Ip("inside an authentication header, not verified");
    assert_eq!(ip::strip_ipv4(&ipv4(AUTHENTICATION, 0, &MESSAGE)).unwrap_err(), error);
    let other = WireError::Ip("not IP protocol 112");
    assert_eq!(ip::strip_ipv4(&ipv4(UDP, 0, &MESSAGE)).unwrap_err(), other);
}

#[test]
fn a_kind_of_message_is_of_a_protocol() {
    assert_eq!(Kind::Carp.protocol(), Some(Protocol::Carp));
    assert_eq!(Kind::Vrrp2.protocol(), Some(Protocol::Vrrp2));
    assert_eq!(Kind::Vrrp3.protocol(), Some(Protocol::Vrrp3));
    assert_eq!(Kind::Unknown.protocol(), None);
}
