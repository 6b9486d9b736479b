//! The link layers around IP.

use std::fmt;

use carp_proto::MacAddr;
use carp_proto::wire::ethernet::{TYPE_IPV4, TYPE_IPV6};

use super::LinkInfo;

/// A link layer, by the numbers that capture files use for it (tcpdump.org's `LINKTYPE_` list).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LinkType {
    /// `NULL`, 0: the BSDs' loopback, with an address family in the byte order of the host.
    Null,
    /// `ETHERNET`, 1, with any number of VLAN tags.
    Ethernet,
    /// `RAW`, 101: IPv4 or IPv6.
    Raw,
    /// `LOOP`, 108: OpenBSD's loopback, with an address family in network byte order.
    Loop,
    /// `LINUX_SLL`, 113: "cooked", what `tcpdump -i any` wrote before 4.99.
    LinuxSll,
    /// `IPV4`, 228.
    Ipv4,
    /// `IPV6`, 229.
    Ipv6,
    /// `LINUX_SLL2`, 276: what `tcpdump -i any` writes.
    LinuxSll2,
    /// Another one, in which nothing is found.
    Other(u32),
}

impl LinkType {
    /// The link types that [`dissect`](super::dissect()) understands.
    pub const KNOWN: [Self; 8] = [
        Self::Null,
        Self::Ethernet,
        Self::Raw,
        Self::Loop,
        Self::LinuxSll,
        Self::Ipv4,
        Self::Ipv6,
        Self::LinuxSll2,
    ];

    /// The link type with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Self {
        Self::KNOWN.into_iter().find(|link| link.number() == number).unwrap_or(Self::Other(number))
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::Null => 0,
            Self::Ethernet => 1,
            Self::Raw => 101,
            Self::Loop => 108,
            Self::LinuxSll => 113,
            Self::Ipv4 => 228,
            Self::Ipv6 => 229,
            Self::LinuxSll2 => 276,
            Self::Other(number) => number,
        }
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Null => "NULL",
            Self::Ethernet => "ETHERNET",
            Self::Raw => "RAW",
            Self::Loop => "LOOP",
            Self::LinuxSll => "LINUX_SLL",
            Self::Ipv4 => "IPV4",
            Self::Ipv6 => "IPV6",
            Self::LinuxSll2 => "LINUX_SLL2",
            Self::Other(number) => return number.fmt(f),
        };
        write!(f, "{} ({name})", self.number())
    }
}

/// What a link layer carries.
pub(super) struct Payload<'a> {
    pub(super) info: LinkInfo,
    pub(super) ethertype: u16,
    pub(super) bytes: &'a [u8],
}

/// Takes the link layer's header off a frame; `None` if it cannot be read.
pub(super) fn open(link: LinkType, frame: &[u8]) -> Option<Payload<'_>> {
    match link {
        LinkType::Ethernet => {
            let (addresses, rest) = frame.split_at_checked(12)?;
            Some(tagged(rest)?.from(addresses.last_chunk()))
        }
        LinkType::Raw | LinkType::Ipv4 | LinkType::Ipv6 => by_version(frame),
        LinkType::Null | LinkType::Loop => family(frame),
        LinkType::LinuxSll => {
            let (header, rest) = frame.split_at_checked(14)?;
            let is_mac = header[4..6] == [0, 6];
            Some(tagged(rest)?.from(header[6..].first_chunk().filter(|_| is_mac)))
        }
        LinkType::LinuxSll2 => {
            let (header, rest) = frame.split_at_checked(20)?;
            let ethertype = be_u16(header)?;
            let payload =
                if is_tag(ethertype) { behind_tag(rest)? } else { Payload::new(ethertype, rest) };
            Some(payload.from(header[12..].first_chunk().filter(|_| header[11] == 6)))
        }
        LinkType::Other(_) => None,
    }
}

impl<'a> Payload<'a> {
    fn new(ethertype: u16, bytes: &'a [u8]) -> Self {
        Self { info: LinkInfo::default(), ethertype, bytes }
    }

    fn from(self, sender: Option<&[u8; 6]>) -> Self {
        let sender = sender.copied().map(MacAddr);
        Self { info: LinkInfo { sender, ..self.info }, ..self }
    }

    /// The IP packet, if it is one.
    pub(super) fn ip(&self) -> Option<&'a [u8]> {
        let version = self.bytes.first()? >> 4;
        matches!((self.ethertype, version), (TYPE_IPV4, 4) | (TYPE_IPV6, 6)).then_some(self.bytes)
    }
}

/// An `EtherType` and what follows it, after any number of VLAN tags (IEEE 802.1Q).
fn tagged(bytes: &[u8]) -> Option<Payload<'_>> {
    let (ethertype, rest) = (be_u16(bytes)?, bytes.get(2..)?);
    if is_tag(ethertype) { behind_tag(rest) } else { Some(Payload::new(ethertype, rest)) }
}

/// What follows a tag, of which the first two bytes were taken. Of several tags the outermost counts.
fn behind_tag(bytes: &[u8]) -> Option<Payload<'_>> {
    const ID: u16 = 0x0fff;
    let outermost = be_u16(bytes)? & ID;
    let mut rest = bytes.get(2..)?;
    while is_tag(be_u16(rest)?) {
        rest = rest.get(4..)?;
    }
    let payload = Payload::new(be_u16(rest)?, rest.get(2..)?);
    Some(Payload { info: LinkInfo { vlan: Some(outermost), ..payload.info }, ..payload })
}

/// 802.1Q, 802.1ad, and the number that switches used for outer tags before 802.1ad.
const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100)
}

/// IP without anything around it.
fn by_version(packet: &[u8]) -> Option<Payload<'_>> {
    match packet.first()? >> 4 {
        4 => Some(Payload::new(TYPE_IPV4, packet)),
        6 => Some(Payload::new(TYPE_IPV6, packet)),
        _ => None,
    }
}

/// Four bytes of address family. IPv4 is 2 everywhere; the number of IPv6 differs between systems.
fn family(frame: &[u8]) -> Option<Payload<'_>> {
    let (&header, packet) = frame.split_first_chunk::<4>()?;
    let is_ip = |family| matches!(family, 2 | 10 | 24 | 28 | 30);
    let known = is_ip(u32::from_be_bytes(header)) || is_ip(u32::from_le_bytes(header));
    known.then(|| by_version(packet)).flatten()
}

fn be_u16(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|&two| u16::from_be_bytes(two))
}
