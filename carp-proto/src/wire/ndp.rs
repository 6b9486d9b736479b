//! Unsolicited neighbour advertisements: how a host tells its link that an IPv6 address is now behind
//! its link-layer address. And the question that asks whether anybody has an address already.
//!
//! An announcement is a neighbour advertisement that nobody asked for (RFC 4861 sections 4.4 and 7.2.6):
//!
//! ```text
//!  0       1       2               4
//! +-------+-------+---------------+---------------------------------+
//! |  136  |   0   |   checksum    |R S O     reserved (29 bits)     |
//! +-------+-------+---------------+---------------------------------+
//!  8                                       24      25      26      32
//! +---------------------------------------+-------+-------+---------+
//! |            target (16 bytes)          |   2   |   1   |   MAC   |
//! +---------------------------------------+-------+-------+---------+
//! ```
//!
//! R says that the sender is a router, S that it answers a question, O that what is known of the
//! address is to be overridden. From the announced address to all nodes, `ff02::1`, with hop limit 255.
//!
//! A probe is the neighbour solicitation of duplicate address detection (RFC 4862 section 5.4.2): type
//! 135, no flags, no option, from the unspecified address to the target's solicited-node group. Who has the
//! address answers all nodes, as if it had not been asked. A question from an address of one's own carries the
//! link-layer address of that (option 1), and is answered to it, with S.

use core::net::{IpAddr, Ipv6Addr};

use bytes::BufMut;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16, be_u32, be_u128};
use nom::{IResult, Parser};

use super::WireError;
use super::checksum::pseudo_header;
use super::ethernet::{self, TYPE_IPV6};
use super::ip::{IPV6_HEADER_LEN, TTL, emit_ipv6, open_ipv6};
use crate::id::MacAddr;

/// The length of an announcement's ICMPv6 message.
const ANNOUNCEMENT_LEN: u16 = 32;

/// The length of a probe's ICMPv6 message.
const PROBE_LEN: u16 = 24;

/// The length of the Ethernet frame of an announcement.
pub const FRAME_LEN: usize = ethernet::HEADER_LEN + IPV6_HEADER_LEN + 32;

/// The length of a question's ICMPv6 message.
const QUESTION_LEN: u16 = 32;

/// The length of the Ethernet frame of a probe.
pub const PROBE_FRAME_LEN: usize = ethernet::HEADER_LEN + IPV6_HEADER_LEN + 24;

/// All nodes of the link.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

const IP_PROTOCOL_ICMPV6: u8 = 58;
const TYPE_SOLICITATION: u8 = 135;
const TYPE_ADVERTISEMENT: u8 = 136;
const OPTION_SOURCE: u8 = 1;
const OPTION_TARGET: u8 = 2;

/// Offsets in an ICMPv6 message.
mod offset {
    pub(super) const CHECKSUM: core::ops::Range<usize> = 2..4;
}

/// Bits of the first byte after the checksum.
mod flag {
    pub(super) const ROUTER: u8 = 0x80;
    pub(super) const SOLICITED: u8 = 0x40;
    pub(super) const OVERRIDE: u8 = 0x20;
}

/// "This address is at this link-layer address."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Where the address is.
    pub mac: MacAddr,
    /// The address.
    pub address: Ipv6Addr,
    /// R: the sender forwards packets. RFC 9568 section 6.4.2 sets it always; a host that sets it and
    /// does not forward is taken for a router by its neighbours.
    pub router: bool,
    /// O: neighbours that know another link-layer address are to forget it. Without it an
    /// announcement after a takeover does not reach those that matter.
    pub overrides: bool,
}

/// What a packet of neighbour discovery says, as far as it concerns us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// An unsolicited neighbour advertisement.
    Announcement(Announcement),
    /// A neighbour advertisement that answers a question.
    Answer {
        /// The address that the sender has.
        address: Ipv6Addr,
    },
    /// A question of duplicate address detection: somebody wants this address.
    Probe {
        /// The address.
        target: Ipv6Addr,
    },
}

/// The group in which whoever has the address listens for questions about it (RFC 4291 section 2.7.1).
#[must_use]
pub const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | high & 0x00ff, low)
}

/// Appends a whole Ethernet frame that announces an address to all nodes.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for [`FRAME_LEN`] bytes.
pub fn emit_frame(announcement: Announcement, buffer: &mut impl BufMut) {
    let Announcement { mac, address, router, overrides } = announcement;
    let mut flags = 0;
    if router {
        flags |= flag::ROUTER;
    }
    if overrides {
        flags |= flag::OVERRIDE;
    }
    let mut message = [0; 32];
    let mut cursor = &mut message[..];
    cursor.put_slice(&[TYPE_ADVERTISEMENT, 0, 0, 0, flags, 0, 0, 0]);
    cursor.put_slice(&address.octets());
    cursor.put_slice(&[OPTION_TARGET, 1]);
    cursor.put_slice(&mac.0);
    emit_packet(mac, address, ALL_NODES, ANNOUNCEMENT_LEN, &mut message, buffer);
}

/// Appends a whole Ethernet frame that asks whether anybody has `target`.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for [`PROBE_FRAME_LEN`] bytes.
pub fn emit_probe_frame(mac: MacAddr, target: Ipv6Addr, buffer: &mut impl BufMut) {
    let mut message = [0; 24];
    let mut cursor = &mut message[..];
    cursor.put_slice(&[TYPE_SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
    cursor.put_slice(&target.octets());
    let group = solicited_node(target);
    emit_packet(mac, Ipv6Addr::UNSPECIFIED, group, PROBE_LEN, &mut message, buffer);
}

/// Appends a whole Ethernet frame that asks for `target` from an address of one's own, which neighbours
/// learn from it.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for [`FRAME_LEN`] bytes.
pub fn emit_question_frame(
    mac: MacAddr,
    from: Ipv6Addr,
    target: Ipv6Addr,
    buffer: &mut impl BufMut,
) {
    let mut message = [0; 32];
    let mut cursor = &mut message[..];
    cursor.put_slice(&[TYPE_SOLICITATION, 0, 0, 0, 0, 0, 0, 0]);
    cursor.put_slice(&target.octets());
    cursor.put_slice(&[OPTION_SOURCE, 1]);
    cursor.put_slice(&mac.0);
    emit_packet(mac, from, solicited_node(target), QUESTION_LEN, &mut message, buffer);
}

/// Appends the headers and the message of `len` bytes, after filling in its checksum.
fn emit_packet(
    mac: MacAddr,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    len: u16,
    message: &mut [u8],
    buffer: &mut impl BufMut,
) {
    let ends = (source.octets(), destination.octets());
    let sum = pseudo_header(&ends.0, &ends.1, usize::from(len), IP_PROTOCOL_ICMPV6).add(message);
    message[offset::CHECKSUM].copy_from_slice(&sum.checksum().to_be_bytes());
    ethernet::emit(buffer, MacAddr::multicast_ipv6(destination), mac, TYPE_IPV6);
    emit_ipv6(source, destination, IP_PROTOCOL_ICMPV6, len, buffer);
    buffer.put_slice(message);
}

/// Reads an IPv6 packet, without its Ethernet header, as an announcement, an answer or a probe, with the
/// checks of RFC 4861 sections 7.1.1 and 7.1.2.
///
/// # Errors
/// Those of [`strip_ipv6`](super::ip::strip_ipv6) for the headers; [`WireError::Ndp`] if the packet is
/// none of them, says what the RFC forbids, or has a wrong checksum.
pub fn parse(packet: &[u8]) -> Result<Message, WireError> {
    let opened = open_ipv6(packet)?;
    let (IpAddr::V6(source), IpAddr::V6(destination)) =
        (opened.meta.source, opened.meta.destination)
    else {
        return Err(WireError::Ndp("not IPv6"));
    };
    if opened.protocol != IP_PROTOCOL_ICMPV6 {
        return Err(WireError::Ndp("not ICMPv6"));
    }
    if opened.meta.ttl != TTL {
        return Err(WireError::Ndp("the hop limit is not 255: the packet crossed a router"));
    }
    let message = opened.payload;
    let ends = (source.octets(), destination.octets());
    let sum = pseudo_header(&ends.0, &ends.1, message.len(), IP_PROTOCOL_ICMPV6);
    if sum.add(message).checksum() != 0 {
        return Err(WireError::Ndp("the checksum is wrong"));
    }
    let (options, fields) =
        fields(message).map_err(|_| WireError::Ndp("the message is shorter than 24 bytes"))?;
    if fields.code != 0 {
        return Err(WireError::Ndp("the code is not 0"));
    }
    if fields.target.is_multicast() {
        return Err(WireError::Ndp("the target is a multicast address"));
    }
    match fields.kind {
        TYPE_ADVERTISEMENT => advertisement(destination, &fields, options),
        TYPE_SOLICITATION => probe(source, destination, &fields, options),
        _ => Err(WireError::Ndp("another type than 135 and 136")),
    }
}

fn advertisement(
    destination: Ipv6Addr,
    fields: &Fields,
    options: &[u8],
) -> Result<Message, WireError> {
    let mac = link_layer_address(OPTION_TARGET, options)?;
    if fields.flags & flag::SOLICITED != 0 {
        if destination.is_multicast() {
            return Err(WireError::Ndp("an answer to a question of nobody"));
        }
        return Ok(Message::Answer { address: fields.target });
    }
    let mac = mac.ok_or(WireError::Ndp("no target link-layer address"))?;
    Ok(Message::Announcement(Announcement {
        mac,
        address: fields.target,
        router: fields.flags & flag::ROUTER != 0,
        overrides: fields.flags & flag::OVERRIDE != 0,
    }))
}

fn probe(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    fields: &Fields,
    options: &[u8],
) -> Result<Message, WireError> {
    if !source.is_unspecified() {
        return Err(WireError::Ndp("a question of somebody who has an address"));
    }
    if destination != solicited_node(fields.target) {
        return Err(WireError::Ndp("a probe that was not sent to its target's group"));
    }
    if link_layer_address(OPTION_SOURCE, options)?.is_some() {
        return Err(WireError::Ndp("a probe with a source link-layer address"));
    }
    Ok(Message::Probe { target: fields.target })
}

struct Fields {
    kind: u8,
    code: u8,
    flags: u8,
    target: Ipv6Addr,
}

fn fields(input: &[u8]) -> IResult<&[u8], Fields> {
    let (rest, (kind, code, _checksum, flags_reserved, target)) =
        (be_u8, be_u8, be_u16, be_u32, be_u128).parse(input)?;
    let [flags, ..] = flags_reserved.to_be_bytes();
    Ok((rest, Fields { kind, code, flags, target: Ipv6Addr::from(target) }))
}

/// The first option of a kind that holds an Ethernet address. All options are walked, because one
/// with a length of zero makes the packet invalid wherever it stands (RFC 4861 section 4.6).
fn link_layer_address(kind: u8, mut options: &[u8]) -> Result<Option<MacAddr>, WireError> {
    let mut found = None;
    while !options.is_empty() {
        let (rest, (option, value)) = option(options)
            .map_err(|_| WireError::Ndp("an option has no length, or ends early"))?;
        if option == kind && found.is_none() {
            found = <[u8; 6]>::try_from(value).ok().map(MacAddr);
        }
        options = rest;
    }
    Ok(found)
}

fn option(input: &[u8]) -> IResult<&[u8], (u8, &[u8])> {
    let (rest, (kind, eighths)) = (be_u8, be_u8).parse(input)?;
    let value_len = (8 * usize::from(eighths)).checked_sub(2);
    let too_short = nom::Err::Error(nom::error::Error::new(input, nom::error::ErrorKind::Verify));
    let (rest, value) = take(value_len.ok_or(too_short)?).parse(rest)?;
    Ok((rest, (kind, value)))
}
