//! Where bytes begin of which nobody says it, such as those of a hex dump.

use super::{Layer, LinkType, Message, ip, link};

/// Guesses at which layer bytes begin, by their structure: an IP packet whose lengths agree, a frame
/// with such a packet in it, or a message. Of what has no structure, the first byte decides.
#[must_use]
pub fn guess(bytes: &[u8]) -> Layer {
    let ethernet = Layer::Link(LinkType::Ethernet);
    let in_frame = link::strip(LinkType::Ethernet, bytes);
    if is_whole_packet(bytes) {
        Layer::Ip
    } else if in_frame.is_some_and(is_whole_packet) {
        ethernet
    } else if is_message(bytes) {
        Layer::Message
    } else if in_frame.is_some() {
        ethernet
    } else if ip::strip(bytes, true).is_some() {
        Layer::Ip
    } else {
        Layer::Message
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
    match Message::classify(bytes, bytes.len()) {
        Message::Carp(_) | Message::Vrrp2 | Message::Vrrp3 => true,
        Message::Unreadable { .. } => false,
    }
}
