//! What the kernel hands to a sniffer: classic BPF over whole Ethernet frames.

use carp_proto::Protocol;
use carp_proto::wire::ah;
use carp_proto::wire::ethernet::{TYPE_ARP, TYPE_IPV4, TYPE_IPV6};
use socket2::SockFilter;

use crate::bpf::{ALL, JUMP_EQUAL, LOAD_BYTE_ABSOLUTE, LOAD_HALF_ABSOLUTE, RETURN};

/// 802.1Q, 802.1ad, and what switches used for outer tags before 802.1ad.
const TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// What can stand before the message: IP authentication, and IPv6's extension headers.
const IPV4_PROTOCOLS: [u8; 2] = [Protocol::IP_PROTOCOL, ah::IP_PROTOCOL];
const IPV6_HEADERS: [u8; 6] = [Protocol::IP_PROTOCOL, ah::IP_PROTOCOL, 0, 43, 44, 60];

/// Lets through IP packets that may carry protocol 112, and ARP, with up to two VLAN tags. The kernel
/// takes the outermost tag off before this runs, mostly.
///
/// It is generous with IPv6's extension headers: where they end, a program without loops cannot tell.
pub(super) fn adverts() -> Vec<SockFilter> {
    let mut program = Vec::new();
    for tags in 0..=2 {
        program.extend(behind(tags));
    }
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program
}

/// The decision about a frame with so many tags; falls through if there is one more.
fn behind(tags: u32) -> Vec<SockFilter> {
    let start = 12 + 4 * tags;
    let mut program = vec![SockFilter::new(LOAD_HALF_ABSOLUTE, 0, 0, start)];
    // Each answer is followed by what happens if the type is this one, and jumped over if it is not.
    program.extend(when(TYPE_ARP, vec![keep()]));
    program.extend(when(TYPE_IPV4, one_of(start + 2 + 9, &IPV4_PROTOCOLS)));
    program.extend(when(TYPE_IPV6, one_of(start + 2 + 6, &IPV6_HEADERS)));
    let [first, second, third] = TAGS.map(u32::from);
    program.extend([
        SockFilter::new(JUMP_EQUAL, 3, 0, first),
        SockFilter::new(JUMP_EQUAL, 2, 0, second),
        SockFilter::new(JUMP_EQUAL, 1, 0, third),
        drop(),
    ]);
    program
}

/// Runs `then`, which has to end in an answer, if the half-word that was loaded is `value`.
fn when(value: u16, then: Vec<SockFilter>) -> Vec<SockFilter> {
    let over = u8::try_from(then.len()).unwrap_or(u8::MAX);
    let jump = SockFilter::new(JUMP_EQUAL, 0, over, value.into());
    std::iter::once(jump).chain(then).collect()
}

/// Keeps the frame if the byte at `offset` is one of these, and drops it if not.
fn one_of(offset: u32, values: &[u8]) -> Vec<SockFilter> {
    let mut program = vec![SockFilter::new(LOAD_BYTE_ABSOLUTE, 0, 0, offset)];
    for &value in values {
        program.extend([SockFilter::new(JUMP_EQUAL, 0, 1, value.into()), keep()]);
    }
    program.push(drop());
    program
}

fn keep() -> SockFilter {
    SockFilter::new(RETURN, 0, 0, ALL)
}

fn drop() -> SockFilter {
    SockFilter::new(RETURN, 0, 0, 0)
}
