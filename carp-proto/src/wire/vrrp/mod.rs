//! VRRP adverts: version 2 (RFC 3768) and version 3 (RFC 9568).
//!
//! Both versions share their first four bytes and the place of the checksum:
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! |version| type  |     vrid      |   priority    |     count     |
//! +-------+-------+---------------+---------------+---------------+
//! |    how and how often (v2, v3) |           checksum            |
//! +-------------------------------+-------------------------------+
//! |                   addresses, 4 or 16 bytes each               |
//! :                                                               :
//! ```
//!
//! [`v2`] and [`v3`] read and write them. [`validate`] holds an advert against what a router expects, in
//! one [documented order](validation). [`trailer`] is keepalived's extension, which signs an
//! advert of version 3.

mod addresses;
pub mod trailer;
pub mod v2;
pub mod v3;
pub mod validation;

use nom::number::complete::{be_u8, be_u16};
use nom::{IResult, Parser};

pub use addresses::{AddressList, Addresses, Ipv4List, Ipv6List, Iter, ListError};
pub use trailer::{Sequence, Signed, Trailer};
pub use v3::ChecksumForm;
pub use validation::{Authentication, Expectations, Senders, Valid, Version, validate};

use super::WireError;

/// The only type (RFC 9568 section 5.2.2).
pub const TYPE_ADVERTISEMENT: u8 = 1;

/// The length of what comes before the addresses, in both versions.
pub const HEADER_LEN: usize = 8;

/// Offsets of the fields in bytes.
mod offset {
    pub(super) const CHECKSUM: core::ops::Range<usize> = 6..8;
}

/// What both versions have in their first eight bytes.
struct Header {
    version: u8,
    kind: u8,
    vrid: u8,
    priority: u8,
    count: u8,
    /// Version 2: authentication type and seconds. Version 3: four reserved bits and centiseconds.
    how: u16,
}

/// Reads the header and checks version and type, in this order.
fn header(message: &[u8], version: u8) -> Result<(&[u8], Header), WireError> {
    let truncated = WireError::Truncated { found: message.len(), needed: HEADER_LEN };
    let (rest, header) = fields(message).map_err(|_| truncated)?;
    if header.version != version {
        return Err(WireError::Version { found: header.version, expected: version });
    }
    if header.kind != TYPE_ADVERTISEMENT {
        return Err(WireError::Type { found: header.kind });
    }
    Ok((rest, header))
}

fn fields(input: &[u8]) -> IResult<&[u8], Header> {
    let (rest, (version_type, vrid, priority, count, how, _checksum)) =
        (be_u8, be_u8, be_u8, be_u8, be_u16, be_u16).parse(input)?;
    let (version, kind) = (version_type >> 4, version_type & 0x0f);
    Ok((rest, Header { version, kind, vrid, priority, count, how }))
}
