//! From captured bytes to messages of IP protocol 112: link layer, IP, authentication header, message.
//!
//! This is pure: bytes in, a [`Dissected`] out, for packets of a file as for packets of a live link.
//! What a message is, CARP or VRRP, is decided by its structure and never by configuration; see
//! [`classify`](carp_proto::wire::classify). Nothing is rejected here for what a router would not like, such as a TTL or a
//! digest: that is for whoever looks at the result.
//!
//! ```
//! use carp_node::dissect::{Layer, LinkType, Message, dissect};
//!
//! # let frame: Vec<u8> = [
//! #     &[1, 0, 0x5e, 0, 0, 0x12, 2, 0, 0, 0, 0, 0x0a, 8, 0][..],
//! #     &[0x45, 0x10, 0, 56, 0, 0, 0x40, 0, 255, 112, 0, 0, 10, 99, 0, 1, 224, 0, 0, 18],
//! #     &[0x21, 42, 0, 7, 0, 1, 0, 0], &[0; 28],
//! # ].concat();
//! let found = dissect(&frame, Layer::Link(LinkType::Ethernet), false).expect("protocol 112");
//! let Message::Carp(parsed) = found.message else { panic!("CARP") };
//! assert_eq!(parsed.advert.vhid, 42);
//! ```

mod guess;
mod link;
mod message;
mod verify;

pub use guess::guess;
pub use link::LinkType;
pub use message::{Message, Vrrp3};
pub use verify::Verifier;

use carp_proto::wire::ah;
use carp_proto::wire::arp::{self, Announcement};
use carp_proto::wire::ethernet::TYPE_ARP;
use carp_proto::wire::ip::{Carried, find_message};
use carp_proto::{MacAddr, RxMeta};

/// Where bytes begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layer {
    /// At a link-layer header.
    Link(LinkType),
    /// At an IPv4 or IPv6 header.
    Ip,
    /// At a message of IP protocol 112.
    Message,
}

/// A message of IP protocol 112, and what carried it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dissected<'a> {
    /// What the link layer says.
    pub link: LinkInfo,
    /// Sender, destination and TTL; `None` if the bytes began at the message.
    pub meta: Option<RxMeta>,
    /// The type of service, or traffic class, and IPv4's "don't fragment".
    pub service: Option<Service>,
    /// The IP authentication header that it came in (RFC 4302, protocol 51), **not verified**.
    pub authentication: Option<ah::Header<'a>>,
    /// The length of the message, as the IP header says it.
    pub length: usize,
    /// The bytes of it that are there: fewer than `length` if the capture cut the packet.
    pub bytes: &'a [u8],
    /// What it says.
    pub message: Message<'a>,
}

/// What a link layer says of a packet. Nothing, if there was none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkInfo {
    /// The sender's link-layer address.
    pub sender: Option<MacAddr>,
    /// The id of the outermost VLAN tag.
    pub vlan: Option<u16>,
}

/// What an IP header says beside addresses and TTL: implementations differ in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// The type of service, in IPv6 the traffic class.
    pub traffic_class: u8,
    /// IPv4's flag.
    pub dont_fragment: Option<bool>,
}

/// Finds the message of IP protocol 112 in a packet. `cut` says that the packet was longer than the
/// bytes that were kept of it.
///
/// `None` if the packet carries something else, or if too little is there to tell.
#[must_use]
pub fn dissect(bytes: &[u8], layer: Layer, cut: bool) -> Option<Dissected<'_>> {
    match layer {
        Layer::Link(link) => {
            let payload = link::open(link, bytes)?;
            Some(in_packet(payload.ip()?, cut)?.on(payload.info))
        }
        Layer::Ip => in_packet(bytes, cut),
        Layer::Message => Some(Dissected {
            link: LinkInfo::default(),
            meta: None,
            service: None,
            authentication: None,
            length: bytes.len(),
            bytes,
            message: Message::read(None, bytes, bytes.len()),
        }),
    }
}

/// The gratuitous ARP in a frame, and what the link layer says of it.
#[must_use]
pub fn announcement(frame: &[u8], link: LinkType) -> Option<(LinkInfo, Announcement)> {
    let payload = link::open(link, frame).filter(|payload| payload.ethertype == TYPE_ARP)?;
    let (announcement, _) = arp::parse(payload.bytes).ok()?;
    Some((payload.info, announcement))
}

fn in_packet(packet: &[u8], cut: bool) -> Option<Dissected<'_>> {
    let Carried { meta, traffic_class, dont_fragment, authentication, payload, len, problem } =
        find_message(packet, cut)?;
    let message = match problem {
        Some(error) => Message::Unreadable { protocol: None, error },
        None => Message::read(Some(&meta), payload, len),
    };
    Some(Dissected {
        link: LinkInfo::default(),
        meta: Some(meta),
        service: Some(Service { traffic_class, dont_fragment }),
        authentication,
        length: len,
        bytes: payload,
        message,
    })
}

impl Dissected<'_> {
    const fn on(self, link: LinkInfo) -> Self {
        Self { link, ..self }
    }
}

#[cfg(test)]
mod tests;
