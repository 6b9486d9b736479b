//! What a message of IP protocol 112 is.

use carp_proto::Protocol;
use carp_proto::wire::WireError;
use carp_proto::wire::carp::{self, AUTH_LEN, HEADER_LEN, TYPE_ADVERTISEMENT};

/// A message of IP protocol 112.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// A CARP advert.
    Carp(carp::Parsed),
    /// A VRRP advert of version 2, by its shape.
    Vrrp2,
    /// A VRRP advert of version 3, by its shape.
    Vrrp3,
    /// One that cannot be read.
    Unreadable {
        /// What it has the shape of, if of anything.
        protocol: Option<Protocol>,
        /// Why it cannot be read. [`Reject`](carp_proto::Reject) has a label for it.
        error: WireError,
    },
}

impl Message {
    /// Reads a message of `len` bytes, of which these are there.
    #[must_use]
    pub(super) fn classify(bytes: &[u8], len: usize) -> Self {
        let protocol = shape(bytes, len);
        let unreadable = |error| Self::Unreadable { protocol, error };
        if bytes.len() < len {
            return unreadable(WireError::Truncated { found: bytes.len(), needed: len });
        }
        match protocol {
            Some(Protocol::Carp) | None => carp::parse(bytes).map_or_else(unreadable, Self::Carp),
            Some(Protocol::Vrrp2) => vrrp(bytes).map_or_else(unreadable, |()| Self::Vrrp2),
            Some(Protocol::Vrrp3) => vrrp(bytes).map_or_else(unreadable, |()| Self::Vrrp3),
        }
    }

    /// The protocol that it is, or whose shape it has.
    #[must_use]
    pub const fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Carp(_) => Some(Protocol::Carp),
            Self::Vrrp2 => Some(Protocol::Vrrp2),
            Self::Vrrp3 => Some(Protocol::Vrrp3),
            Self::Unreadable { protocol, .. } => *protocol,
        }
    }
}

/// The protocol that a message of `len` bytes has the shape of. None has two: read as VRRPv2, the 7
/// in CARP's fourth byte means seven addresses, and those need 44 bytes.
fn shape(bytes: &[u8], len: usize) -> Option<Protocol> {
    let fourth = bytes.get(3).copied();
    match bytes.first()? >> 4 {
        3 => Some(Protocol::Vrrp3),
        2 if len == HEADER_LEN && fourth? == AUTH_LEN => Some(Protocol::Carp),
        2 if len == 16 + 4 * usize::from(fourth?) => Some(Protocol::Vrrp2),
        _ => None,
    }
}

/// Whether this can be a VRRP advert: its fixed part is there, and the type is the only one.
fn vrrp(bytes: &[u8]) -> Result<(), WireError> {
    const FIXED_LEN: usize = 8;
    if bytes.len() < FIXED_LEN {
        return Err(WireError::Truncated { found: bytes.len(), needed: FIXED_LEN });
    }
    match bytes.first().map(|first| first & 0x0f) {
        Some(TYPE_ADVERTISEMENT) => Ok(()),
        found => Err(WireError::Type { found: found.unwrap_or_default() }),
    }
}
