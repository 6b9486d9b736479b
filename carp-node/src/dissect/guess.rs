//! Where bytes begin of which nobody says it, such as those of a hex dump.

use carp_proto::wire::carp::{AUTH_LEN, HEADER_LEN};
use carp_proto::wire::ethernet::{HEADER_LEN as ETHERNET_HEADER_LEN, TYPE_ARP};
use carp_proto::wire::ip::find_message;

use super::{Layer, LinkType, Message, link};

/// Guesses at which layer bytes begin, by their structure: an IP packet whose lengths agree, a frame
/// with such a packet in it, or a message; failing that, what begins like one of these. The rest is
/// taken for frames of something else, if it is long enough for one.
#[must_use]
pub fn guess(bytes: &[u8]) -> Layer {
    let ethernet = Layer::Link(LinkType::Ethernet);
    let in_frame = link::open(LinkType::Ethernet, bytes).and_then(|payload| payload.ip());
    if is_whole_packet(bytes) {
        Layer::Ip
    } else if in_frame.is_some_and(is_whole_packet) {
        ethernet
    } else if is_message(bytes) {
        Layer::Message
    } else if in_frame.is_some() || is_arp(bytes) {
        ethernet
    } else if find_message(bytes, true).is_some() {
        Layer::Ip
    } else if begins_like_message(bytes) || bytes.len() < ETHERNET_HEADER_LEN {
        Layer::Message
    } else {
        ethernet
    }
}

/// Whether the lengths of an IP header agree with each other and with the bytes.
fn is_whole_packet(bytes: &[u8]) -> bool {
    let &[first, _, t0, t1, p0, p1, ..] = bytes else { return false };
    let header_len = usize::from(first & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes([t0, t1]));
    let payload_len = usize::from(u16::from_be_bytes([p0, p1]));
    match first >> 4 {
        4 => header_len >= 20 && total_len >= header_len && total_len <= bytes.len(),
        6 => bytes.len() >= 40 + payload_len,
        _ => false,
    }
}

fn is_message(bytes: &[u8]) -> bool {
    match Message::read(None, bytes, bytes.len()) {
        Message::Carp(_) | Message::Vrrp2(_) | Message::Vrrp3(_) => true,
        Message::Unreadable { .. } => false,
    }
}

/// Version 2 or 3 of something, or CARP's length and authlen with another version.
fn begins_like_message(bytes: &[u8]) -> bool {
    let carp = bytes.len() == HEADER_LEN && bytes.get(3) == Some(&AUTH_LEN);
    carp || bytes.first().is_some_and(|first| matches!(first >> 4, 2 | 3))
}

fn is_arp(frame: &[u8]) -> bool {
    frame.get(12..14) == Some(&TYPE_ARP.to_be_bytes())
}
