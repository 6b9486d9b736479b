//! Reading an ARP packet is total, and an announcement that is emitted again reads as the same one.

use carp_proto::wire::{arp, ethernet};

/// Panics if these bytes show that something is wrong.
pub fn check(packet: &[u8]) {
    let Ok((announcement, form)) = arp::parse(packet) else { return };
    assert!(packet.len() >= arp::PACKET_LEN);

    let mut frame = Vec::new();
    arp::emit_frame(announcement, form, &mut frame);
    assert_eq!(frame.len(), arp::FRAME_LEN);

    let emitted = &frame[ethernet::HEADER_LEN..];
    assert_eq!(arp::parse(emitted), Ok((announcement, form)));
    // All but the target MAC, which nobody reads.
    assert_eq!(emitted[..18], packet[..18]);
    assert_eq!(emitted[24..], packet[24..arp::PACKET_LEN]);
}
