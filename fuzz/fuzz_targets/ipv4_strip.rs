//! Stripping an IPv4 header is total, the payload lies inside the packet, and what follows the packet,
//! as the padding of a short Ethernet frame does, changes nothing.

#![no_main]

use carp_proto::wire::ip::{self, HEADER_LEN};
use libfuzzer_sys::fuzz_target;

const PADDING: [u8; 18] = [0xa5; 18];

fuzz_target!(|packet: &[u8]| {
    let Ok((meta, payload)) = ip::strip_ipv4(packet) else { return };

    let inside = packet.as_ptr_range();
    let found = payload.as_ptr_range();
    assert!(inside.start <= found.start && found.end <= inside.end);
    assert!(payload.len() + HEADER_LEN <= packet.len());

    let padded = [packet, &PADDING].concat();
    assert_eq!(ip::strip_ipv4(&padded), Ok((meta, payload)));

    let total_len = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    assert_eq!(ip::strip_ipv4(&packet[..total_len]), Ok((meta, payload)));
});
