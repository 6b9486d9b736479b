//! VRRP version 2: IPv4 only, whole seconds, and eight bytes of authentication data.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! |version| type  |     vrid      |   priority    |     count     |
//! +-------+-------+---------------+---------------+---------------+
//! |   auth type   | interval (s)  |           checksum            |
//! +---------------+---------------+-------------------------------+
//! |                     count × IPv4 address                      |
//! :                                                               :
//! +---------------------------------------------------------------+
//! |                                                               |
//! +                     authentication data                       +
//! |                                                               |
//! +---------------------------------------------------------------+
//! ```
//!
//! The layout is that of RFC 3768 section 5.1. The authentication data is always there; what it means
//! is in RFC 2338 section 5.3.6, and RFC 3768 knows type 0 only. The checksum covers the whole message,
//! the authentication data too, without a pseudo-header.

use core::fmt;

use bytes::BufMut;

use super::{Addresses, Authentication, HEADER_LEN, Ipv4List, TYPE_ADVERTISEMENT, header, offset};
use crate::id::{Family, Priority, VirtualId};
use crate::interval::Seconds;
use crate::wire::checksum::{Sum, checksum};
use crate::wire::{Kind, WireError, classify};

/// The version that this is.
pub const VERSION: u8 = 2;

/// The length of the authentication data.
pub const AUTH_DATA_LEN: usize = 8;

/// The length of a message with `count` addresses.
#[must_use]
pub fn message_len(count: u8) -> usize {
    HEADER_LEN + 4 * usize::from(count) + AUTH_DATA_LEN
}

/// How an advert is authenticated (RFC 2338 section 5.3.6; RFC 3768 section 5.3.6 keeps the first).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthType {
    /// 0: not at all.
    None,
    /// 1: by a password in the authentication data, for everybody to read.
    Password,
    /// 2: by an [IP authentication header](crate::wire::ah) around the message.
    Header,
    /// Anything else.
    Unknown(u8),
}

impl AuthType {
    const fn from_wire(byte: u8) -> Self {
        match byte {
            0 => Self::None,
            1 => Self::Password,
            2 => Self::Header,
            other => Self::Unknown(other),
        }
    }

    /// The byte as it stands on the wire.
    #[must_use]
    pub const fn get(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Password => 1,
            Self::Header => 2,
            Self::Unknown(other) => other,
        }
    }
}

/// Authentication data. It may be a password that is in use, so `Debug` does not show it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuthData(pub [u8; AUTH_DATA_LEN]);

impl fmt::Debug for AuthData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthData(..)")
    }
}

/// The fields of an advert that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advert<'a> {
    /// The virtual router id; 0 does not name a router but can appear on the wire.
    pub vrid: u8,
    /// The sender's priority; 0 resigns.
    pub priority: Priority,
    /// The sender's advert interval; 0 means nothing but can appear on the wire.
    pub interval: Seconds,
    /// The virtual addresses, perhaps none.
    pub addresses: Addresses<'a>,
    /// How the advert is authenticated.
    pub auth_type: AuthType,
    /// The authentication data, which is zero unless the type is [`AuthType::Password`].
    pub auth_data: AuthData,
}

/// An advert, and whether its checksum fits its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The fields.
    pub advert: Advert<'a>,
    /// Whether the checksum is right. Of a message where it is not, no field can be trusted.
    pub checksum_ok: bool,
}

/// Reads a message: a datagram's payload, trimmed to the length that its IP header says.
///
/// # Errors
/// [`WireError::Carp`] for what [`classify`] takes for CARP. Otherwise, in this order:
/// [`WireError::Truncated`] under eight bytes, [`WireError::Version`], [`WireError::Type`],
/// [`WireError::Length`] if the count of addresses does not fit the length.
pub fn parse(message: &[u8]) -> Result<Parsed<'_>, WireError> {
    if classify(message) == Kind::Carp {
        return Err(WireError::Carp);
    }
    let (rest, header) = header(message, VERSION)?;
    let expected = message_len(header.count);
    let wrong_length = WireError::Length { found: message.len(), expected };
    let (addresses, auth_data) = rest.split_last_chunk().ok_or(wrong_length)?;
    if message.len() != expected {
        return Err(wrong_length);
    }
    let [auth_type, seconds] = header.how.to_be_bytes();
    let advert = Advert {
        vrid: header.vrid,
        priority: Priority::from_wire(header.priority),
        interval: Seconds::from_wire(seconds),
        addresses: Addresses::from_wire(Family::Ipv4, addresses),
        auth_type: AuthType::from_wire(auth_type),
        auth_data: AuthData(*auth_data),
    };
    Ok(Parsed { advert, checksum_ok: checksum(message) == 0 })
}

/// An advert to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The virtual router.
    pub id: VirtualId,
    /// The priority to claim.
    pub priority: Priority,
    /// When the next advert will come.
    pub interval: Seconds,
    /// The virtual addresses.
    pub addresses: &'a Ipv4List,
    /// How to authenticate it.
    pub authentication: Authentication<'a>,
}

/// Appends the message, its checksum computed.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for it.
pub fn emit(advert: &Outgoing<'_>, buffer: &mut impl BufMut) {
    let (auth_type, auth_data) = match advert.authentication {
        Authentication::None => (AuthType::None, [0; AUTH_DATA_LEN]),
        Authentication::Password(password) => (AuthType::Password, *password.as_wire()),
    };
    let mut header = [
        VERSION << 4 | TYPE_ADVERTISEMENT,
        advert.id.get(),
        advert.priority.get(),
        advert.addresses.count(),
        auth_type.get(),
        advert.interval.get(),
        0,
        0,
    ];
    let addresses = advert.addresses.addresses().as_bytes();
    let sum = Sum::default().add(&header).add(addresses).add(&auth_data).checksum();
    header[offset::CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    buffer.put_slice(&header);
    buffer.put_slice(addresses);
    buffer.put_slice(&auth_data);
}
