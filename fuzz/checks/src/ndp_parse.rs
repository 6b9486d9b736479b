//! Reading a packet of neighbour discovery is total; an announcement or a probe that is emitted again
//! reads as the same one. An input counts as it came, and with its checksum mended.

use carp_proto::MacAddr;
use carp_proto::wire::checksum::checksum;
use carp_proto::wire::ndp::{self, Message};
use carp_proto::wire::{ethernet, ip};

const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0x0a]);

/// ICMPv6, and where its checksum is.
const ICMPV6: u8 = 58;
const CHECKSUM: core::ops::Range<usize> = 2..4;

/// Panics if these bytes show that something is wrong.
pub fn check(packet: &[u8]) {
    as_it_came(packet);
    if let Some(mended) = mended(packet) {
        as_it_came(&mended);
    }
}

fn as_it_came(packet: &[u8]) {
    let Ok(message) = ndp::parse(packet) else { return };
    let mut frame = Vec::new();
    match message {
        Message::Announcement(announcement) => {
            ndp::emit_frame(announcement, &mut frame);
            assert_eq!(frame.len(), ndp::FRAME_LEN);
        }
        // Answers are not emitted: kernels answer.
        Message::Answer { .. } => return,
        Message::Probe { target } => {
            ndp::emit_probe_frame(MAC, target, &mut frame);
            assert_eq!(frame.len(), ndp::PROBE_FRAME_LEN);
        }
    }
    assert_eq!(ndp::parse(&frame[ethernet::HEADER_LEN..]), Ok(message));
}

/// The packet with a checksum that fits, if it is one without options.
fn mended(packet: &[u8]) -> Option<Vec<u8>> {
    let (header, rest) = packet.split_at_checked(ip::IPV6_HEADER_LEN)?;
    let len = u16::from_be_bytes([header[4], header[5]]);
    let message = rest.get(..usize::from(len))?;
    if header[6] != ICMPV6 || message.len() < CHECKSUM.end {
        return None;
    }
    let mut message = message.to_vec();
    message[CHECKSUM].fill(0);
    let [high, low] = len.to_be_bytes();
    let summed = [&header[8..40], &[0, 0, high, low, 0, 0, 0, ICMPV6], &message].concat();
    message[CHECKSUM].copy_from_slice(&checksum(&summed).to_be_bytes());
    Some([header, &message].concat())
}
