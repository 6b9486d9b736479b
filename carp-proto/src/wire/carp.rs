//! The CARP header, version 2: always 36 bytes, the same over IPv4 and IPv6.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! |version| type  |     vhid      |    advskew    |    authlen    |
//! +-------+-------+---------------+---------------+---------------+
//! |   demotion    |    advbase    |           checksum            |
//! +---------------+---------------+-------------------------------+
//! |                                                               |
//! +                            counter                            +
//! |                                                               |
//! +---------------------------------------------------------------+
//! |                                                               |
//! +                                                               +
//! |                    digest (HMAC-SHA1, 20 bytes)               |
//! :                                                               :
//! +---------------------------------------------------------------+
//! ```
//!
//! There is no RFC; the layout is that of OpenBSD's `ip_carp.h`, and the bytes that ucarp sends. The
//! checksum covers these 36 bytes alone, without a pseudo-header, in both families.

use bytes::BufMut;
use nom::bytes::complete::take;
use nom::number::complete::{be_u8, be_u16, be_u64};
use nom::{IResult, Parser};

use super::checksum::checksum;
use super::{Kind, WireError, classify};
use crate::interval::CarpInterval;

/// The length of the header, which is the whole message.
pub const HEADER_LEN: usize = 36;

/// The version that this is.
pub const VERSION: u8 = 2;

/// The only type.
pub const TYPE_ADVERTISEMENT: u8 = 1;

/// The length of counter and digest in 32-bit words.
pub const AUTH_LEN: u8 = 7;

/// The length of the digest.
pub const DIGEST_LEN: usize = 20;

/// Offsets of the fields in bytes.
mod offset {
    pub(super) const CHECKSUM: core::ops::Range<usize> = 6..8;
}

/// The fields of a CARP header that are not constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert {
    /// The virtual host id; 0 does not name a router but can appear on the wire.
    pub vhid: u8,
    /// advbase and advskew: the smaller, the better. 255/255 resigns.
    pub interval: CarpInterval,
    /// OpenBSD's demotion count; 0 and ignored elsewhere, where the byte is called padding.
    pub demotion: u8,
    /// What the digest covers beside the constants: a counter or a cookie, as the sender likes.
    pub counter: u64,
    /// The HMAC-SHA1.
    pub digest: [u8; DIGEST_LEN],
}

/// An advert, and whether its checksum fits its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// The fields.
    pub advert: Advert,
    /// Whether the checksum is right. Of a message where it is not, no field can be trusted.
    pub checksum_ok: bool,
}

/// Reads a CARP message: a datagram's payload, trimmed to the length that its IP header says.
///
/// # Errors
/// [`WireError::Vrrp`] for what [`classify`] takes for VRRP, which shares the IP protocol number and,
/// in version 2, the first byte. Otherwise, in this order: [`WireError::Truncated`],
/// [`WireError::Version`], [`WireError::Type`], [`WireError::AuthLength`], [`WireError::Length`].
pub fn parse(message: &[u8]) -> Result<Parsed, WireError> {
    if matches!(classify(message), Kind::Vrrp2 | Kind::Vrrp3) {
        return Err(WireError::Vrrp);
    }
    let truncated = WireError::Truncated { found: message.len(), needed: HEADER_LEN };
    let (rest, fields) = fields(message).map_err(|_| truncated)?;
    let (version, kind) = (fields.version_type >> 4, fields.version_type & 0x0f);
    if version != VERSION {
        return Err(WireError::Version { found: version, expected: VERSION });
    }
    if kind != TYPE_ADVERTISEMENT {
        return Err(WireError::Type { found: kind });
    }
    if fields.auth_len != AUTH_LEN {
        return Err(WireError::AuthLength { found: fields.auth_len, expected: AUTH_LEN });
    }
    if !rest.is_empty() {
        return Err(WireError::Length { found: message.len(), expected: HEADER_LEN });
    }
    Ok(Parsed { advert: fields.advert, checksum_ok: checksum(message) == 0 })
}

struct Fields {
    version_type: u8,
    auth_len: u8,
    advert: Advert,
}

fn fields(input: &[u8]) -> IResult<&[u8], Fields> {
    let (rest, (version_type, vhid, advskew, auth_len, demotion, advbase, _checksum, counter)) =
        (be_u8, be_u8, be_u8, be_u8, be_u8, be_u8, be_u16, be_u64).parse(input)?;
    let (rest, digest_bytes) = take(DIGEST_LEN).parse(rest)?;
    let mut digest = [0; DIGEST_LEN];
    digest.copy_from_slice(digest_bytes);
    let interval = CarpInterval { advbase, advskew };
    let advert = Advert { vhid, interval, demotion, counter, digest };
    Ok((rest, Fields { version_type, auth_len, advert }))
}

/// Appends the 36 bytes of an advert, its checksum computed.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for them.
pub fn emit(advert: &Advert, buffer: &mut impl BufMut) {
    let mut bytes = [0; HEADER_LEN];
    let mut cursor = &mut bytes[..];
    cursor.put_u8(VERSION << 4 | TYPE_ADVERTISEMENT);
    cursor.put_u8(advert.vhid);
    cursor.put_u8(advert.interval.advskew);
    cursor.put_u8(AUTH_LEN);
    cursor.put_u8(advert.demotion);
    cursor.put_u8(advert.interval.advbase);
    cursor.put_u16(0);
    cursor.put_u64(advert.counter);
    cursor.put_slice(&advert.digest);
    let sum = checksum(&bytes);
    bytes[offset::CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    buffer.put_slice(&bytes);
}
