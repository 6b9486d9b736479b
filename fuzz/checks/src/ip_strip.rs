//! Stripping an IP header of either version is total, the payload lies inside the packet, and what follows the
//! packet, as the padding of a short Ethernet frame does, changes nothing. What is stripped is also found by the
//! reader that looks at everything.

use carp_proto::RxMeta;
use carp_proto::wire::WireError;
use carp_proto::wire::ip::{self, HEADER_LEN, IPV6_HEADER_LEN};

const PADDING: [u8; 18] = [0xa5; 18];

/// Panics if these bytes show that something is wrong.
pub fn check(packet: &[u8]) {
    found(packet);
    let length = |at: usize| usize::from(u16::from_be_bytes([packet[at], packet[at + 1]]));
    if stripped(packet, HEADER_LEN, ip::strip_ipv4) {
        assert_eq!(ip::strip_ipv4(&packet[..length(2)]), ip::strip_ipv4(packet));
    }
    if stripped(packet, IPV6_HEADER_LEN, ip::strip_ipv6) {
        let whole = IPV6_HEADER_LEN + length(4);
        assert_eq!(ip::strip_ipv6(&packet[..whole]), ip::strip_ipv6(packet));
    }
}

fn found(packet: &[u8]) {
    let Some(carried) = ip::find_message(packet, false) else { return };
    if carried.problem.is_none() {
        assert_eq!(carried.payload.len(), carried.len);
        let padded = [packet, &PADDING].concat();
        assert_eq!(ip::find_message(&padded, false), Some(carried));
    }
}

type Strip = for<'a> fn(&'a [u8]) -> Result<(RxMeta, &'a [u8]), WireError>;

/// Whether a packet can be stripped.
fn stripped(packet: &[u8], header: usize, strip: Strip) -> bool {
    let Ok((meta, payload)) = strip(packet) else { return false };
    let (inside, bytes) = (packet.as_ptr_range(), payload.as_ptr_range());
    assert!(inside.start <= bytes.start && bytes.end <= inside.end);
    assert!(payload.len() + header <= packet.len());
    let padded = [packet, &PADDING].concat();
    assert_eq!(strip(&padded), Ok((meta, payload)));
    let carried = ip::find_message(packet, false).expect("it carries an advert");
    assert_eq!(carried.payload, payload);
    true
}
