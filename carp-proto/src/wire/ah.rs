//! The IP authentication header (RFC 4302), in which RFC 2338 lets VRRP version 2 travel.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------+---------------+-------------------------------+
//! |  next header  | length/4 - 2  |           reserved            |
//! +---------------+---------------+-------------------------------+
//! |               security parameters index (SPI)                 |
//! +---------------------------------------------------------------+
//! |                        sequence number                        |
//! +---------------------------------------------------------------+
//! |             integrity check value (ICV), n × 4 bytes          |
//! :                                                               :
//! +---------------------------------------------------------------+
//! ```
//!
//! It is read, to show it and to find what follows. It is **not verified** and never written: RFC 3768
//! removed it from VRRP in 2004, and keepalived's form of it covers another TTL than the RFC says.

use nom::Parser;
use nom::number::complete::{be_u8, be_u16, be_u32};

use super::WireError;

/// The IP protocol number (IPv6 next header) of the header.
pub const IP_PROTOCOL: u8 = 51;

/// The length of what comes before the integrity check value.
pub const FIXED_LEN: usize = 12;

/// The fields of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    /// The IP protocol of what follows.
    pub next_header: u8,
    /// Which agreement between the two ends this belongs to. keepalived puts the sender's IPv4
    /// address here.
    pub spi: u32,
    /// Counts the packets of that agreement.
    pub sequence: u32,
    /// The integrity check value; keepalived's is the first 12 bytes of an HMAC-MD5.
    pub icv: &'a [u8],
}

/// Reads a header, and returns what follows it.
///
/// # Errors
/// [`WireError::Truncated`] if the bytes end inside its fixed part; [`WireError::Ip`] if its length
/// ends there too, or beyond the bytes.
pub fn parse(bytes: &[u8]) -> Result<(Header<'_>, &[u8]), WireError> {
    let mut fixed = (be_u8, be_u8, be_u16, be_u32, be_u32);
    let truncated = |_: nom::Err<nom::error::Error<&[u8]>>| WireError::Truncated {
        found: bytes.len(),
        needed: FIXED_LEN,
    };
    let (rest, (next_header, words, _reserved, spi, sequence)) =
        fixed.parse(bytes).map_err(truncated)?;
    let icv_len = (4 * (usize::from(words) + 2))
        .checked_sub(FIXED_LEN)
        .ok_or(WireError::Ip("the authentication header is shorter than its fixed part"))?;
    let (icv, payload) = rest
        .split_at_checked(icv_len)
        .ok_or(WireError::Ip("the packet ends inside the authentication header"))?;
    Ok((Header { next_header, spi, sequence, icv }, payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 18] =
        [112, 2, 0, 0, 10, 99, 0, 1, 0, 0, 0, 9, 0xa1, 0xa2, 0xa3, 0xa4, 0x21, 0x33];

    #[test]
    fn a_header_is_as_long_as_it_says() {
        let (header, rest) = parse(&BYTES).unwrap();
        let icv = &[0xa1, 0xa2, 0xa3, 0xa4];
        assert_eq!(header, Header { next_header: 112, spi: 0x0a63_0001, sequence: 9, icv });
        assert_eq!(rest, [0x21, 0x33]);
    }

    #[test]
    fn a_header_has_at_least_its_fixed_part() {
        for len in 0..FIXED_LEN {
            let error = parse(&BYTES[..len]);
            assert_eq!(error, Err(WireError::Truncated { found: len, needed: FIXED_LEN }));
        }
        assert!(matches!(parse(&BYTES[..15]), Err(WireError::Ip(_))), "ends inside the ICV");
        let mut short = BYTES;
        short[1] = 0;
        assert!(matches!(parse(&short), Err(WireError::Ip(_))), "eight bytes");
        short[1] = 1;
        assert!(parse(&short).unwrap().0.icv.is_empty());
    }
}
