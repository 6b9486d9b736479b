//! From captured bytes to messages of IP protocol 112: link layer, IP, authentication header, message.
//!
//! This is pure: bytes in, a [`Dissected`] out, for packets of a file as for packets of a live link.
//! What a message is, CARP or VRRP, is decided by its structure and never by configuration; see
//! `docs/wire.md`. Nothing is rejected here for what a router would not like, such as a TTL or a
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
mod ip;
mod link;
mod message;
mod verify;

pub use guess::guess;
pub use link::LinkType;
pub use message::Message;
pub use verify::Verifier;

use carp_proto::RxMeta;

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
    /// Sender, destination and TTL; `None` if the bytes began at the message.
    pub meta: Option<RxMeta>,
    /// Whether it came inside an IP authentication header (RFC 4302, protocol 51).
    pub authentication_header: bool,
    /// The length of the message, as the IP header says it.
    pub length: usize,
    /// The bytes of it that are there: fewer than `length` if the capture cut the packet.
    pub bytes: &'a [u8],
    /// What it says.
    pub message: Message,
}

/// Finds the message of IP protocol 112 in a packet. `cut` says that the packet was longer than the
/// bytes that were kept of it.
///
/// `None` if the packet carries something else, or if too little is there to tell.
#[must_use]
pub fn dissect(bytes: &[u8], layer: Layer, cut: bool) -> Option<Dissected<'_>> {
    let packet = match layer {
        Layer::Link(link) => link::strip(link, bytes)?,
        Layer::Ip => bytes,
        Layer::Message => {
            return Some(Dissected {
                meta: None,
                authentication_header: false,
                length: bytes.len(),
                bytes,
                message: Message::classify(bytes, bytes.len()),
            });
        }
    };
    let carried = ip::strip(packet, cut)?;
    let message = match carried.problem {
        Some(error) => Message::Unreadable { protocol: None, error },
        None => Message::classify(carried.body.bytes, carried.body.len),
    };
    Some(Dissected {
        meta: Some(carried.meta),
        authentication_header: carried.authentication_header,
        length: carried.body.len,
        bytes: carried.body.bytes,
        message,
    })
}

#[cfg(test)]
mod tests;
