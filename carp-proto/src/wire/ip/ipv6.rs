//! The IPv6 header, and the extension headers that may stand between it and an advert.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+---------------+---------------------------------------+
//! |version| traffic class |              flow label               |
//! +-------+---------------+-------+---------------+---------------+
//! |        payload length         |  next header  |   hop limit   |
//! +-------------------------------+---------------+---------------+
//! |                                                               |
//! +                      source (16 bytes)                        +
//! :                                                               :
//! +---------------------------------------------------------------+
//! |                                                               |
//! +                    destination (16 bytes)                     +
//! :                                                               :
//! +---------------------------------------------------------------+
//! ```
//!
//! Hop-by-hop and destination options (RFC 8200 sections 4.3 and 4.6):
//!
//! ```text
//! +---------------+---------------+-------------------------------+
//! |  next header  |  length / 8 - 1  |  options                   :
//! +---------------+---------------+-------------------------------+
//! ```

use core::net::Ipv6Addr;

use bytes::BufMut;
use nom::number::complete::{be_u8, be_u16, be_u32, be_u128};
use nom::{IResult, Parser};

use super::{Opened, RxMeta, TOS_LOW_DELAY, TTL};
use crate::id::Protocol;
use crate::wire::WireError;

/// The length of a header without extension headers.
pub const IPV6_HEADER_LEN: usize = 40;

/// The most extension headers that are skipped. RFC 8200 section 4.1 has hop-by-hop options once and
/// destination options twice.
const MAX_EXTENSIONS: usize = 4;

/// Next headers (RFC 8200 section 4).
pub(super) mod next_header {
    pub(in crate::wire::ip) const HOP_BY_HOP: u8 = 0;
    pub(in crate::wire::ip) const ROUTING: u8 = 43;
    pub(in crate::wire::ip) const FRAGMENT: u8 = 44;
    pub(in crate::wire::ip) const DESTINATION_OPTIONS: u8 = 60;
}

/// Takes the IPv6 header, and the options after it, off a packet that carries next header 112.
///
/// The payload ends where the payload length says. Options are not looked at.
///
/// # Errors
/// [`WireError::Truncated`] if the packet ends inside the header; [`WireError::Ip`] if it is not IPv6,
/// is a fragment, carries another protocol, has more options than make sense, or if its lengths
/// contradict each other.
pub fn strip_ipv6(packet: &[u8]) -> Result<(RxMeta, &[u8]), WireError> {
    open(packet)?.advert()
}

/// Takes the headers off a packet that may carry anything.
pub(in crate::wire) fn open(packet: &[u8]) -> Result<Opened<'_>, WireError> {
    let truncated = WireError::Truncated { found: packet.len(), needed: IPV6_HEADER_LEN };
    let (rest, fields) = fields(packet).map_err(|_| truncated)?;
    if fields.version_class_flow >> 28 != 6 {
        return Err(WireError::Ip("not version 6"));
    }
    let rest = rest
        .get(..usize::from(fields.payload_len))
        .ok_or(WireError::Ip("the payload length is more than was received"))?;
    let (protocol, payload) = skip_options(fields.next_header, rest)?;
    Ok(Opened { meta: fields.meta(), protocol, payload })
}

/// Skips hop-by-hop and destination options: what follows them, and where.
fn skip_options(next: u8, payload: &[u8]) -> Result<(u8, &[u8]), WireError> {
    let (mut next, mut rest) = (next, payload);
    for _ in 0..=MAX_EXTENSIONS {
        match next {
            next_header::HOP_BY_HOP | next_header::DESTINATION_OPTIONS => {
                let [following, eighths, ..] = *rest else {
                    return Err(WireError::Ip("the packet ends before an option header"));
                };
                next = following;
                rest = rest
                    .get(8 * (usize::from(eighths) + 1)..)
                    .ok_or(WireError::Ip("the packet ends inside an option header"))?;
            }
            next_header::FRAGMENT => return Err(WireError::Ip("a fragment")),
            _ => return Ok((next, rest)),
        }
    }
    Err(WireError::Ip("too many extension headers"))
}

/// The fields of a header, as they stand there.
pub(super) struct Fields {
    version_class_flow: u32,
    pub(super) payload_len: u16,
    pub(super) next_header: u8,
    hop_limit: u8,
    source: u128,
    destination: u128,
}

impl Fields {
    pub(super) const fn traffic_class(&self) -> u8 {
        let [first, second, ..] = self.version_class_flow.to_be_bytes();
        first << 4 | second >> 4
    }

    pub(super) fn meta(&self) -> RxMeta {
        RxMeta {
            source: Ipv6Addr::from(self.source).into(),
            destination: Ipv6Addr::from(self.destination).into(),
            ttl: self.hop_limit,
        }
    }
}

pub(super) fn fields(input: &[u8]) -> IResult<&[u8], Fields> {
    let (rest, (version_class_flow, payload_len, next_header, hop_limit, source, destination)) =
        (be_u32, be_u16, be_u8, be_u8, be_u128, be_u128).parse(input)?;
    let fields =
        Fields { version_class_flow, payload_len, next_header, hop_limit, source, destination };
    Ok((rest, fields))
}

/// Appends the header of an advert: hop limit 255, next header 112, the traffic class that IPv4 adverts
/// have.
///
/// A `payload_len` over 65 535 does not fit an IPv6 packet and is cut to that.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for [`IPV6_HEADER_LEN`] bytes.
pub fn emit_ipv6_advert(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    payload_len: usize,
    buffer: &mut impl BufMut,
) {
    let payload_len = u16::try_from(payload_len).unwrap_or(u16::MAX);
    let ends = (source, destination);
    emit(TOS_LOW_DELAY, ends, Protocol::IP_PROTOCOL, payload_len, buffer);
}

/// Appends the header of a packet whose payload has `payload_len` bytes, with a hop limit of 255.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for [`IPV6_HEADER_LEN`] bytes.
pub fn emit_ipv6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    payload_len: u16,
    buffer: &mut impl BufMut,
) {
    emit(0, (source, destination), next_header, payload_len, buffer);
}

fn emit(
    traffic_class: u8,
    (source, destination): (Ipv6Addr, Ipv6Addr),
    next_header: u8,
    payload_len: u16,
    buffer: &mut impl BufMut,
) {
    buffer.put_u32(6 << 28 | u32::from(traffic_class) << 20);
    buffer.put_u16(payload_len);
    buffer.put_u8(next_header);
    buffer.put_u8(TTL);
    buffer.put_slice(&source.octets());
    buffer.put_slice(&destination.octets());
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::wire::ip::{GROUP_IPV6, find_message};

    #[test]
    fn the_header_of_an_advert_reads_back() {
        let ends = ("fe80::1".parse().unwrap(), GROUP_IPV6);
        let mut packet = Vec::new();
        emit_ipv6_advert(ends.0, ends.1, 3, &mut packet);
        packet.extend([1, 2, 3]);
        let meta = RxMeta { source: ends.0.into(), destination: ends.1.into(), ttl: TTL };
        assert_eq!(strip_ipv6(&packet), Ok((meta, &[1, 2, 3][..])));
        assert_eq!(find_message(&packet, false).unwrap().traffic_class, TOS_LOW_DELAY);
    }
}
