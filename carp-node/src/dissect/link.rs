//! The link layers around IP.

use std::fmt;

/// A link layer, by the numbers that capture files use for it (tcpdump.org's `LINKTYPE_` list).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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

/// The IP packet in a frame, if there is one.
pub(super) fn strip(link: LinkType, frame: &[u8]) -> Option<&[u8]> {
    match link {
        LinkType::Ethernet => tagged(frame.get(12..)?),
        LinkType::Raw | LinkType::Ipv4 | LinkType::Ipv6 => Some(frame),
        LinkType::Null | LinkType::Loop => family(frame),
        LinkType::LinuxSll => tagged(frame.get(14..)?),
        LinkType::LinuxSll2 => {
            let (header, rest) = frame.split_at_checked(20)?;
            if is_tag(be_u16(header)?) { tagged(rest.get(2..)?) } else { ip(be_u16(header)?, rest) }
        }
        LinkType::Other(_) => None,
    }
}

/// What follows an `EtherType`, after any number of VLAN tags (IEEE 802.1Q).
fn tagged(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let ethertype = be_u16(bytes)?;
        if !is_tag(ethertype) {
            return ip(ethertype, bytes.get(2..)?);
        }
        bytes = bytes.get(4..)?;
    }
}

/// 802.1Q, 802.1ad, and the number that switches used for outer tags before 802.1ad.
const fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, 0x8100 | 0x88a8 | 0x9100)
}

fn ip(ethertype: u16, packet: &[u8]) -> Option<&[u8]> {
    let version = packet.first()? >> 4;
    matches!((ethertype, version), (0x0800, 4) | (0x86dd, 6)).then_some(packet)
}

/// Four bytes of address family. IPv4 is 2 everywhere; the number of IPv6 differs between systems.
fn family(frame: &[u8]) -> Option<&[u8]> {
    let (&header, packet) = frame.split_first_chunk::<4>()?;
    let is_ip = |family| matches!(family, 2 | 10 | 24 | 28 | 30);
    (is_ip(u32::from_be_bytes(header)) || is_ip(u32::from_le_bytes(header))).then_some(packet)
}

fn be_u16(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().map(|&two| u16::from_be_bytes(two))
}
