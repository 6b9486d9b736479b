//! Finding the message in a packet, for those who only look.
//!
//! A router refuses a packet at the first thing that is wrong with it. Whoever looks at a packet wants
//! to see as much of it as there is: who sent it, although it is a fragment; its message, although the
//! capture was cut behind it.

use super::ipv6::next_header;
use super::{HEADER_LEN, IPV6_HEADER_LEN, RxMeta, ipv4, ipv6};
use crate::id::Protocol;
use crate::wire::{WireError, ah};

/// A message of IP protocol 112, and the headers that carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried<'a> {
    /// What the IP header says.
    pub meta: RxMeta,
    /// The type of service, in IPv6 the traffic class.
    pub traffic_class: u8,
    /// IPv4's flag of that name; `None` in IPv6, where no router fragments.
    pub dont_fragment: Option<bool>,
    /// The IP authentication header, **not verified**, if there is a whole one.
    pub authentication: Option<ah::Header<'a>>,
    /// The bytes of the message that are there.
    pub payload: &'a [u8],
    /// How many bytes the headers say that it has: more than are there if the packet was cut.
    pub len: usize,
    /// Why the payload is no message, or not a whole one.
    pub problem: Option<WireError>,
}

/// Finds the message in a packet of either version that carries IP protocol 112, also behind IPv6
/// extension headers and inside an IP authentication header (RFC 4302), as RFC 2338 section 5.3.6.3 puts
/// adverts. `cut` says that the packet was longer than the bytes that are there of it.
///
/// `None` if the packet carries something else, or if too little is there to tell. Nothing here verifies
/// an authentication header: this is for looking at packets, not for acting on them.
#[must_use]
pub fn find_message(packet: &[u8], cut: bool) -> Option<Carried<'_>> {
    match packet.first()? >> 4 {
        4 => in_ipv4(packet, cut),
        6 => in_ipv6(packet, cut),
        _ => None,
    }
}

fn in_ipv4(packet: &[u8], cut: bool) -> Option<Carried<'_>> {
    let (_, fields) = ipv4::fields(packet).ok()?;
    let (header_len, total_len) = (fields.header_len(), usize::from(fields.total_len));
    let problem = if header_len < HEADER_LEN {
        Some("the header length is under 20 bytes")
    } else if total_len < header_len {
        Some("the total length ends inside the header")
    } else if total_len > packet.len() && !cut {
        Some("the total length is more than was received")
    } else {
        None
    };
    let walk = Walk {
        next: fields.protocol,
        is_ipv6: false,
        body: Body::of(packet, header_len.max(HEADER_LEN), total_len),
        authentication: None,
        is_fragment: fields.is_fragment(),
        is_later_fragment: fields.is_later_fragment(),
        problem: problem.map(WireError::Ip),
    };
    Some(walk.arrive()?.carried(fields.meta(), fields.tos, Some(fields.dont_fragment())))
}

fn in_ipv6(packet: &[u8], cut: bool) -> Option<Carried<'_>> {
    let (_, fields) = ipv6::fields(packet).ok()?;
    let end = IPV6_HEADER_LEN + usize::from(fields.payload_len);
    let too_long = end > packet.len() && !cut;
    let walk = Walk {
        next: fields.next_header,
        is_ipv6: true,
        body: Body::of(packet, IPV6_HEADER_LEN, end),
        authentication: None,
        is_fragment: false,
        is_later_fragment: false,
        problem: too_long.then_some(WireError::Ip("the payload length is more than was received")),
    };
    Some(walk.arrive()?.carried(fields.meta(), fields.traffic_class(), None))
}

/// What follows a header: its bytes, as many as are there, and how many there should be.
#[derive(Clone, Copy)]
struct Body<'a> {
    bytes: &'a [u8],
    len: usize,
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

    const fn is_whole(self) -> bool {
        self.bytes.len() == self.len
    }
}

/// A way through the headers between IP and the message.
struct Walk<'a> {
    /// What the body is.
    next: u8,
    is_ipv6: bool,
    body: Body<'a>,
    authentication: Option<ah::Header<'a>>,
    is_fragment: bool,
    /// What `next` names began in another packet.
    is_later_fragment: bool,
    /// The first thing that is wrong.
    problem: Option<WireError>,
}

impl<'a> Walk<'a> {
    /// Goes on until the message is reached; `None` if there is none, or too little to tell. Every
    /// header is at least eight bytes long, so that this ends.
    fn arrive(mut self) -> Option<Self> {
        while self.next != Protocol::IP_PROTOCOL {
            if self.is_later_fragment {
                return None;
            }
            let &[next, len, ..] = self.body.bytes else { return None };
            let header_len = self.enter(usize::from(len))?;
            self.next = next;
            match self.body.skip(header_len) {
                Some(rest) => self.body = rest,
                None if next == Protocol::IP_PROTOCOL => {
                    self.note(WireError::Ip(
                        "a header before the message is longer than the packet",
                    ));
                }
                None => return None,
            }
        }
        if self.is_fragment {
            self.note(WireError::Ip("a fragment"));
        }
        Some(self)
    }

    /// Takes note of a header whose second byte is `len`, and returns its length.
    fn enter(&mut self, len: usize) -> Option<usize> {
        match self.next {
            ah::IP_PROTOCOL => {
                self.enter_authentication();
                Some((len + 2) * 4)
            }
            next_header::FRAGMENT if self.is_ipv6 => {
                self.enter_fragment();
                Some(8)
            }
            next_header::HOP_BY_HOP | next_header::ROUTING | next_header::DESTINATION_OPTIONS
                if self.is_ipv6 =>
            {
                Some((len + 1) * 8)
            }
            _ => None,
        }
    }

    fn enter_authentication(&mut self) {
        match ah::parse(self.body.bytes) {
            Ok((header, _)) => self.authentication = Some(header),
            Err(error) if self.body.is_whole() => self.note(error),
            Err(_) => {}
        }
    }

    /// A fragment header (RFC 8200 section 4.5). One of a whole datagram says nothing.
    fn enter_fragment(&mut self) {
        if let &[_, _, high, low, ..] = self.body.bytes {
            let offset_more = u16::from_be_bytes([high, low]);
            self.is_fragment |= offset_more & 0xfff9 != 0;
            self.is_later_fragment |= offset_more & 0xfff8 != 0;
        }
    }

    fn note(&mut self, problem: WireError) {
        self.problem.get_or_insert(problem);
    }

    fn carried(self, meta: RxMeta, traffic_class: u8, dont_fragment: Option<bool>) -> Carried<'a> {
        let Self { authentication, body, problem, .. } = self;
        let (payload, len) = (body.bytes, body.len);
        Carried { meta, traffic_class, dont_fragment, authentication, payload, len, problem }
    }
}
