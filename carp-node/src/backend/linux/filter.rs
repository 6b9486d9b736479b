//! What the kernel drops before we see it: classic BPF.

use std::net::Ipv4Addr;

use carp_proto::VirtualId;
use carp_proto::wire::arp;
use socket2::SockFilter;

use crate::backend::Listening;
use crate::bpf::{
    ALL, COPY_TO_INDEX, JUMP_ANY_BIT, JUMP_AT_LEAST, JUMP_EQUAL, JUMP_EQUAL_INDEX, JUMP_GREATER,
    LOAD_BYTE_ABSOLUTE, LOAD_BYTE_INDEXED, LOAD_HALF_ABSOLUTE, LOAD_HEADER_LENGTH,
    LOAD_WORD_ABSOLUTE, RETURN,
};

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

/// The longest program that a kernel takes (`BPF_MAXINSNS`).
pub(super) const LONGEST: usize = 4096;

/// So many addresses fit into a program twice, with two instructions each.
const ADDRESSES_MAX: usize = 1000;

/// How addresses of our routers are told from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Telling {
    /// Each by itself.
    Exactly,
    /// Whatever is between the lowest and the highest of them: for more than a program, or the memory of a
    /// socket for it, has room for.
    Roughly,
}

/// For a packet socket that receives ARP: what announces its own sender, and what else is listened for. The
/// addresses are those of our routers; of very many of them, others between them are heard too.
pub(super) fn arp(addresses: &[Ipv4Addr], listening: Listening) -> Vec<SockFilter> {
    let fits = addresses.len() <= ADDRESSES_MAX;
    arp_telling(addresses, listening, if fits { Telling::Exactly } else { Telling::Roughly })
}

/// The same, short and coarse. A kernel may have no room for the other one (`net.core.optmem_max`).
pub(super) fn arp_roughly(addresses: &[Ipv4Addr], listening: Listening) -> Vec<SockFilter> {
    arp_telling(addresses, listening, Telling::Roughly)
}

fn arp_telling(addresses: &[Ipv4Addr], listening: Listening, telling: Telling) -> Vec<SockFilter> {
    const OPERATION: u32 = 20;
    const SENDER: u32 = 28;
    const TARGET: u32 = 38;
    const REPLY: u32 = 2;
    let keep = || SockFilter::new(RETURN, 0, 0, arp::FRAME_LEN as u32);
    let one_of = |addresses: &[Ipv4Addr]| -> Vec<_> {
        let each = |ip: &Ipv4Addr| [SockFilter::new(JUMP_EQUAL, 0, 1, ip.to_bits()), keep()];
        addresses.iter().flat_map(each).collect()
    };
    let ours = || match (telling, addresses.iter().min(), addresses.iter().max()) {
        (Telling::Roughly, Some(lowest), Some(highest)) => vec![
            SockFilter::new(JUMP_AT_LEAST, 0, 2, lowest.to_bits()),
            SockFilter::new(JUMP_GREATER, 1, 0, highest.to_bits()),
            keep(),
        ],
        (Telling::Exactly | Telling::Roughly, ..) => one_of(addresses),
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
        program.extend(ours());
    }
    if listening.for_answers {
        program.extend([
            SockFilter::new(LOAD_HALF_ABSOLUTE, 0, 0, OPERATION),
            SockFilter::new(JUMP_EQUAL, 1, 0, REPLY),
            SockFilter::new(RETURN, 0, 0, 0),
            SockFilter::new(LOAD_WORD_ABSOLUTE, 0, 0, TARGET),
        ]);
        program.extend(one_of(&[Ipv4Addr::UNSPECIFIED]));
        program.extend(ours());
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use socket2::SockRef;

    use super::*;

    const EVERYTHING: Listening = Listening { for_answers: true, for_use: true };

    /// Whether a kernel takes a program. It judges one for any socket, and says so if it is no good, or that
    /// it has no room for it.
    fn is_valid(program: &[SockFilter]) -> bool {
        let (socket, _other) = UnixDatagram::pair().unwrap();
        let code = SockRef::from(&socket).attach_filter(program).err();
        matches!(code.map(|error| error.raw_os_error()), None | Some(Some(libc::ENOMEM)))
    }

    #[test]
    fn a_kernel_judges() {
        assert!(is_valid(&nothing()));
        let long = |len| {
            let mut program = nothing();
            program.resize_with(len, || SockFilter::new(RETURN, 0, 0, 0));
            program
        };
        assert!(is_valid(&long(LONGEST)) && !is_valid(&long(LONGEST + 1)));
        let astray = [SockFilter::new(JUMP_EQUAL, 9, 0, 0), SockFilter::new(RETURN, 0, 0, 0)];
        assert!(!is_valid(&astray));
    }

    fn addresses(count: u32) -> Vec<Ipv4Addr> {
        (0..count).map(|number| Ipv4Addr::from_bits(0x0a00_0000 + number)).collect()
    }

    #[test]
    fn however_many_addresses_there_are_the_program_is_valid() {
        for count in [0, 1, 255, 999, 1000, 1001, 5_000, 70_000] {
            let (exact, rough) =
                (arp(&addresses(count), EVERYTHING), arp_roughly(&addresses(count), EVERYTHING));
            assert!(is_valid(&exact) && is_valid(&rough), "{count}: {}", exact.len());
            assert!(rough.len() < 30);
        }
    }

    #[test]
    fn all_ids_have_room() {
        let ids: Vec<_> = (1..=255).map(|id| VirtualId::new(id).unwrap()).collect();
        assert!(is_valid(&advert_ids_ipv4(&ids)) && is_valid(&advert_ids_ipv6(&ids)));
    }
}
