//! The IPv4 header around an advert: stripped on the way in, written where we send whole frames.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+-------------------------------+
//! |version|  IHL  |      TOS      |         total length          |
//! +-------+-------+---------------+-----+-------------------------+
//! |        identification         |flags|     fragment offset     |
//! +---------------+---------------+-----+-------------------------+
//! |      TTL      |   protocol    |        header checksum        |
//! +---------------+---------------+-------------------------------+
//! |                            source                             |
//! +---------------------------------------------------------------+
//! |                          destination                          |
//! +---------------------------------------------------------------+
//! |                      options, if IHL > 5                      |
//! ```

use core::net::Ipv4Addr;

use bytes::BufMut;
use nom::number::complete::{be_u8, be_u16, be_u32};
use nom::{IResult, Parser};

use super::{Opened, RxMeta, TTL};
use crate::id::Protocol;
use crate::wire::WireError;
use crate::wire::checksum::checksum;

/// The type of service of CARP adverts, "low delay", as OpenBSD and ucarp set it.
pub const TOS_LOW_DELAY: u8 = 0x10;

/// The length of a header without options.
pub const HEADER_LEN: usize = 20;

/// Offsets of the fields in bytes.
mod offset {
    pub(super) const CHECKSUM: core::ops::Range<usize> = 10..12;
}

const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const FRAGMENT_OFFSET: u16 = 0x1fff;

/// Takes the IPv4 header off a packet that carries IP protocol 112.
///
/// The payload ends where the total length says, so that the padding of short Ethernet frames is no
/// part of it, and begins after the options, if there are any. The header's checksum is left to the
/// kernel, which has looked at it before a raw socket sees the packet.
///
/// # Errors
/// [`WireError::Truncated`] if the packet ends inside the header; [`WireError::Ip`] if it is not
/// IPv4, is a fragment, carries another protocol, or if its lengths contradict each other.
pub fn strip_ipv4(packet: &[u8]) -> Result<(RxMeta, &[u8]), WireError> {
    open(packet)?.advert()
}

/// Takes the header off a packet that may carry anything.
fn open(packet: &[u8]) -> Result<Opened<'_>, WireError> {
    let truncated = WireError::Truncated { found: packet.len(), needed: HEADER_LEN };
    let (_, fields) = fields(packet).map_err(|_| truncated)?;
    if fields.version_ihl >> 4 != 4 {
        return Err(WireError::Ip("not version 4"));
    }
    let header_len = fields.header_len();
    let total_len = usize::from(fields.total_len);
    if header_len < HEADER_LEN {
        return Err(WireError::Ip("the header length is under 20 bytes"));
    }
    if total_len < header_len {
        return Err(WireError::Ip("the total length ends inside the header"));
    }
    if fields.is_fragment() {
        return Err(WireError::Ip("a fragment"));
    }
    let payload = packet
        .get(header_len..total_len)
        .ok_or(WireError::Ip("the total length is more than was received"))?;
    Ok(Opened { meta: fields.meta(), protocol: fields.protocol, payload })
}

/// The fields of a header, as they stand there.
pub(super) struct Fields {
    pub(super) version_ihl: u8,
    pub(super) tos: u8,
    pub(super) total_len: u16,
    flags_offset: u16,
    ttl: u8,
    pub(super) protocol: u8,
    source: u32,
    destination: u32,
}

impl Fields {
    pub(super) fn header_len(&self) -> usize {
        usize::from(self.version_ihl & 0x0f) * 4
    }

    pub(super) const fn is_fragment(&self) -> bool {
        self.flags_offset & (MORE_FRAGMENTS | FRAGMENT_OFFSET) != 0
    }

    /// Whether it is a fragment and not the first: what its payload is, its start says.
    pub(super) const fn is_later_fragment(&self) -> bool {
        self.flags_offset & FRAGMENT_OFFSET != 0
    }

    pub(super) const fn dont_fragment(&self) -> bool {
        self.flags_offset & DONT_FRAGMENT != 0
    }

    pub(super) fn meta(&self) -> RxMeta {
        RxMeta {
            source: Ipv4Addr::from(self.source).into(),
            destination: Ipv4Addr::from(self.destination).into(),
            ttl: self.ttl,
        }
    }
}

pub(super) fn fields(input: &[u8]) -> IResult<&[u8], Fields> {
    let (rest, (version_ihl, tos, total_len, _identification, flags_offset)) =
        (be_u8, be_u8, be_u16, be_u16, be_u16).parse(input)?;
    let (rest, (ttl, protocol, _checksum, source, destination)) =
        (be_u8, be_u8, be_u16, be_u32, be_u32).parse(rest)?;
    let fields =
        Fields { version_ihl, tos, total_len, flags_offset, ttl, protocol, source, destination };
    Ok((rest, fields))
}

/// Appends the 20-byte header of an advert: TTL 255, protocol 112, never fragmented.
///
/// The identification is 0, as RFC 6864 section 4.1 allows for a datagram that is not fragmented.
/// A `payload_len` over 65 515 does not fit an IPv4 datagram and is cut to that.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for [`HEADER_LEN`] bytes.
pub fn emit_ipv4(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    payload_len: usize,
    buffer: &mut impl BufMut,
) {
    let total_len = u16::try_from(HEADER_LEN.saturating_add(payload_len)).unwrap_or(u16::MAX);
    let mut bytes = [0; HEADER_LEN];
    let mut cursor = &mut bytes[..];
    cursor.put_u8(0x45);
    cursor.put_u8(TOS_LOW_DELAY);
    cursor.put_u16(total_len);
    cursor.put_u16(0);
    cursor.put_u16(DONT_FRAGMENT);
    cursor.put_u8(TTL);
    cursor.put_u8(Protocol::IP_PROTOCOL);
    cursor.put_u16(0);
    cursor.put_slice(&source.octets());
    cursor.put_slice(&destination.octets());
    let sum = checksum(&bytes);
    bytes[offset::CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    buffer.put_slice(&bytes);
}
