//! What the kernel drops before we see it: classic BPF.

use std::net::Ipv4Addr;

use carp_proto::VirtualId;
use carp_proto::wire::arp;
use socket2::SockFilter;

use crate::backend::Listening;

pub(super) const LOAD_BYTE_ABSOLUTE: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16;
pub(super) const LOAD_HALF_ABSOLUTE: u16 = (libc::BPF_LD | libc::BPF_H | libc::BPF_ABS) as u16;
pub(super) const LOAD_WORD_ABSOLUTE: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
pub(super) const LOAD_BYTE_INDEXED: u16 = (libc::BPF_LD | libc::BPF_B | libc::BPF_IND) as u16;
pub(super) const LOAD_WORD_INDEXED: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_IND) as u16;
pub(super) const LOAD_NUMBER: u16 = (libc::BPF_LD | libc::BPF_IMM) as u16;
pub(super) const LOAD_NUMBER_TO_INDEX: u16 = (libc::BPF_LDX | libc::BPF_IMM) as u16;
pub(super) const LOAD_INDEX_MEMORY: u16 = (libc::BPF_LDX | libc::BPF_MEM) as u16;
pub(super) const STORE: u16 = libc::BPF_ST as u16;
const LOAD_HEADER_LENGTH: u16 = (libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH) as u16;
pub(super) const COPY_TO_INDEX: u16 = (libc::BPF_MISC | libc::BPF_TAX) as u16;
pub(super) const JUMP_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
pub(super) const JUMP_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
pub(super) const JUMP_EQUAL_INDEX: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_X) as u16;
pub(super) const JUMP_ANY_BIT: u16 = (libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K) as u16;
pub(super) const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

pub(super) const ALL: u32 = u32::MAX;

/// For a raw IPv4 socket: whole datagrams whose second byte after the IP header is one of these ids.
/// CARP and VRRP both have their id there.
pub(super) fn advert_ids_ipv4(ids: &[VirtualId]) -> Vec<SockFilter> {
    let mut program = whole_ipv4();
    program.push(SockFilter::new(LOAD_BYTE_INDEXED, 0, 0, 1));
    program.extend(one_of(ids));
    program
}

/// Drops fragments, and leaves the length of the IP header in the index.
pub(super) fn whole_ipv4() -> Vec<SockFilter> {
    const FLAGS_OFFSET: u32 = 6;
    const FRAGMENT: u32 = 0x3fff;
    vec![
        SockFilter::new(LOAD_HALF_ABSOLUTE, 0, 0, FLAGS_OFFSET),
        SockFilter::new(JUMP_ANY_BIT, 0, 1, FRAGMENT),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(LOAD_HEADER_LENGTH, 0, 0, 0),
    ]
}

/// The same for a raw IPv6 socket, which sees what follows the headers.
pub(super) fn advert_ids_ipv6(ids: &[VirtualId]) -> Vec<SockFilter> {
    let mut program = vec![SockFilter::new(LOAD_BYTE_ABSOLUTE, 0, 0, 1)];
    program.extend(one_of(ids));
    program
}

/// Keeps a packet if the byte that was loaded is one of these ids.
fn one_of(ids: &[VirtualId]) -> impl Iterator<Item = SockFilter> + '_ {
    let each = |id: &VirtualId| {
        [SockFilter::new(JUMP_EQUAL, 0, 1, id.get().into()), SockFilter::new(RETURN, 0, 0, ALL)]
    };
    ids.iter().flat_map(each).chain([SockFilter::new(RETURN, 0, 0, 0)])
}

/// So many addresses fit into a program twice, with two instructions each. Of more, only announcements
/// are heard, and answers to questions that came from nowhere.
const ADDRESSES_MAX: usize = 1000;

/// For a packet socket that receives ARP: what announces its own sender, and what else is listened for. The
/// addresses are those of our routers.
pub(super) fn arp(addresses: &[Ipv4Addr], listening: Listening) -> Vec<SockFilter> {
    const OPERATION: u32 = 20;
    const SENDER: u32 = 28;
    const TARGET: u32 = 38;
    const REPLY: u32 = 2;
    let keep = || SockFilter::new(RETURN, 0, 0, arp::FRAME_LEN as u32);
    let addresses = if addresses.len() <= ADDRESSES_MAX { addresses } else { &[] };
    let one_of = |addresses: &[Ipv4Addr]| -> Vec<_> {
        let each = |ip: &Ipv4Addr| [SockFilter::new(JUMP_EQUAL, 0, 1, ip.to_bits()), keep()];
        addresses.iter().flat_map(each).collect()
    };
    let mut program = vec![
        SockFilter::new(LOAD_WORD_ABSOLUTE, 0, 0, SENDER),
        SockFilter::new(COPY_TO_INDEX, 0, 0, 0),
        SockFilter::new(LOAD_WORD_ABSOLUTE, 0, 0, TARGET),
        SockFilter::new(JUMP_EQUAL_INDEX, 0, 1, 0),
        keep(),
    ];
    if listening.for_use {
        program.push(SockFilter::new(LOAD_WORD_ABSOLUTE, 0, 0, SENDER));
        program.extend(one_of(addresses));
    }
    if listening.for_answers {
        program.extend([
            SockFilter::new(LOAD_HALF_ABSOLUTE, 0, 0, OPERATION),
            SockFilter::new(JUMP_EQUAL, 1, 0, REPLY),
            SockFilter::new(RETURN, 0, 0, 0),
            SockFilter::new(LOAD_WORD_ABSOLUTE, 0, 0, TARGET),
        ]);
        program.extend(one_of(&[Ipv4Addr::UNSPECIFIED]));
        program.extend(one_of(addresses));
    }
    program.push(SockFilter::new(RETURN, 0, 0, 0));
    program
}

/// For a raw `ICMPv6` socket that receives neighbour advertisements: those that answer no question, or all
/// if answers are listened for.
pub(super) fn advertisements(listening: Listening) -> Vec<SockFilter> {
    const FLAGS: u32 = 4;
    const SOLICITED: u32 = 0x40;
    if listening.for_answers {
        return vec![SockFilter::new(RETURN, 0, 0, ALL)];
    }
    vec![
        SockFilter::new(LOAD_BYTE_ABSOLUTE, 0, 0, FLAGS),
        SockFilter::new(JUMP_ANY_BIT, 0, 1, SOLICITED),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, ALL),
    ]
}

/// Nothing at all: while a socket is being set up.
pub(super) fn nothing() -> Vec<SockFilter> {
    vec![SockFilter::new(LOAD_BYTE_ABSOLUTE, 0, 0, 0), SockFilter::new(RETURN, 0, 0, 0)]
}
