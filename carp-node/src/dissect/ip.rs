//! IPv4 and IPv6 headers, and the headers between them and the message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carp_proto::wire::WireError;
use carp_proto::wire::ip::HEADER_LEN as IPV4_HEADER_LEN;
use carp_proto::{Protocol, RxMeta};

const IPV6_HEADER_LEN: usize = 40;

/// The numbers of protocols and IPv6 extension headers that can stand before the message.
mod header {
    pub(super) const HOP_BY_HOP: u8 = 0;
    pub(super) const ROUTING: u8 = 43;
    pub(super) const FRAGMENT: u8 = 44;
    pub(super) const AUTHENTICATION: u8 = 51;
    pub(super) const DESTINATION_OPTIONS: u8 = 60;
}

/// What an IP packet carries: its bytes, as many as are there, and how many there should be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) len: usize,
}

impl<'a> Body<'a> {
    /// The part of a packet from `start` to `end`, as far as it is there.
    fn of(packet: &'a [u8], start: usize, end: usize) -> Self {
        let there = packet.get(..end).unwrap_or(packet);
        Self { bytes: there.get(start..).unwrap_or(&[]), len: end.saturating_sub(start) }
    }

    fn skip(self, len: usize) -> Option<Self> {
        let rest = self.len.checked_sub(len)?;
        Some(Self { bytes: self.bytes.get(len..).unwrap_or(&[]), len: rest })
    }
}

/// A message of IP protocol 112 in an IP packet.
#[derive(Debug)]
pub(super) struct Carried<'a> {
    pub(super) meta: RxMeta,
    pub(super) authentication_header: bool,
    pub(super) body: Body<'a>,
    /// Why the body is no message.
    pub(super) problem: Option<WireError>,
}

/// Takes the headers off a packet that carries IP protocol 112.
pub(super) fn strip(packet: &[u8], cut: bool) -> Option<Carried<'_>> {
    match packet.first()? >> 4 {
        4 => ipv4(packet, cut),
        6 => ipv6(packet, cut),
        _ => None,
    }
}

fn ipv4(packet: &[u8], cut: bool) -> Option<Carried<'_>> {
    const MORE_FRAGMENTS: u16 = 0x2000;
    const FRAGMENT_OFFSET: u16 = 0x1fff;
    let &[
        version_ihl,
        _,
        t0,
        t1,
        _,
        _,
        f0,
        f1,
        ttl,
        protocol,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        d0,
        d1,
        d2,
        d3,
    ] = packet.first_chunk::<IPV4_HEADER_LEN>()?;
    if ![Protocol::IP_PROTOCOL, header::AUTHENTICATION].contains(&protocol) {
        return None;
    }
    let meta = RxMeta {
        source: IpAddr::V4(Ipv4Addr::new(s0, s1, s2, s3)),
        destination: IpAddr::V4(Ipv4Addr::new(d0, d1, d2, d3)),
        ttl,
    };
    let header_len = usize::from(version_ihl & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes([t0, t1]));
    let flags_offset = u16::from_be_bytes([f0, f1]);
    let problem = if header_len < IPV4_HEADER_LEN {
        Some("the header length is under 20 bytes")
    } else if total_len < header_len {
        Some("the total length ends inside the header")
    } else if total_len > packet.len() && !cut {
        Some("the total length is more than was received")
    } else {
        None
    };
    let walk = Walk {
        next: protocol,
        body: Body::of(packet, header_len.max(IPV4_HEADER_LEN), total_len),
        authentication_header: false,
        fragment: flags_offset & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0,
        headerless: flags_offset & FRAGMENT_OFFSET != 0,
    };
    walk.arrive(false)?.carried(meta, problem)
}

fn ipv6(packet: &[u8], cut: bool) -> Option<Carried<'_>> {
    let (fixed, _) = packet.split_first_chunk::<IPV6_HEADER_LEN>()?;
    let [_, _, _, _, len0, len1, next, hop_limit, addresses @ ..] = fixed;
    let (source, destination) = addresses.split_first_chunk::<16>()?;
    let meta = RxMeta {
        source: IpAddr::V6(Ipv6Addr::from(*source)),
        destination: IpAddr::V6(Ipv6Addr::from(*destination.first_chunk::<16>()?)),
        ttl: *hop_limit,
    };
    let end = IPV6_HEADER_LEN + usize::from(u16::from_be_bytes([*len0, *len1]));
    let problem =
        (end > packet.len() && !cut).then_some("the payload length is more than was received");
    let walk = Walk {
        next: *next,
        body: Body::of(packet, IPV6_HEADER_LEN, end),
        authentication_header: false,
        fragment: false,
        headerless: false,
    };
    walk.arrive(true)?.carried(meta, problem)
}

/// A way through the headers between IP and the message.
struct Walk<'a> {
    /// What the bytes are.
    next: u8,
    body: Body<'a>,
    authentication_header: bool,
    /// Part of a datagram.
    fragment: bool,
    /// A part that is not the first: what `next` names began in another packet.
    headerless: bool,
}

/// Where a [`Walk`] ended: at the message, or at a header that cannot be followed by one.
struct Arrival<'a> {
    walk: Walk<'a>,
    problem: Option<&'static str>,
}

impl<'a> Walk<'a> {
    /// Goes on until the message is reached; `None` if there is none, or too little to tell.
    fn arrive(mut self, is_ipv6: bool) -> Option<Arrival<'a>> {
        while self.next != Protocol::IP_PROTOCOL {
            if self.headerless {
                return None;
            }
            let &[next, len, ..] = self.body.bytes else { return None };
            let header_len = match self.next {
                header::AUTHENTICATION => (usize::from(len) + 2) * 4,
                header::FRAGMENT if is_ipv6 => {
                    self.enter_fragment();
                    8
                }
                header::HOP_BY_HOP | header::ROUTING | header::DESTINATION_OPTIONS if is_ipv6 => {
                    (usize::from(len) + 1) * 8
                }
                _ => return None,
            };
            self.authentication_header |= self.next == header::AUTHENTICATION;
            self.next = next;
            match self.body.skip(header_len) {
                Some(rest) => self.body = rest,
                None if next == Protocol::IP_PROTOCOL => {
                    let problem = Some("a header before the message is longer than the packet");
                    return Some(Arrival { walk: self, problem });
                }
                None => return None,
            }
        }
        let problem = self.fragment.then_some("a fragment");
        Some(Arrival { walk: self, problem })
    }

    /// Takes note of a fragment header (RFC 8200 section 4.5). One of a whole datagram says nothing.
    fn enter_fragment(&mut self) {
        if let &[_, _, high, low, ..] = self.body.bytes {
            let offset_more = u16::from_be_bytes([high, low]);
            self.fragment |= offset_more & 0xfff9 != 0;
            self.headerless |= offset_more & 0xfff8 != 0;
        }
    }
}

impl<'a> Arrival<'a> {
    fn carried(self, meta: RxMeta, problem: Option<&'static str>) -> Option<Carried<'a>> {
        Some(Carried {
            meta,
            authentication_header: self.walk.authentication_header,
            body: self.walk.body,
            problem: problem.or(self.problem).map(WireError::Ip),
        })
    }
}
