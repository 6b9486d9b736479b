//! Why bytes could not be read.

use thiserror::Error;

use crate::reject::Reject;

/// Why bytes could not be read as a message: what was found, and what was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// Fewer bytes than a header has.
    #[error("{found} bytes are fewer than the {needed} of a header")]
    Truncated {
        /// Bytes there.
        found: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// More or fewer bytes than the message has.
    #[error("{found} bytes where the message has {expected}")]
    Length {
        /// Bytes there.
        found: usize,
        /// Bytes of the message.
        expected: usize,
    },
    /// CARP's authlen, the length of counter and digest in 32-bit words.
    #[error("authlen {found}, expected {expected}")]
    AuthLength {
        /// The value found.
        found: u8,
        /// The only value.
        expected: u8,
    },
    /// Not this version of the protocol.
    #[error("version {found}, expected {expected}")]
    Version {
        /// The version found.
        found: u8,
        /// The version expected.
        expected: u8,
    },
    /// Not an advertisement.
    #[error("type {found}, expected 1 (advertisement)")]
    Type {
        /// The type found.
        found: u8,
    },
    /// A VRRP advert, by its shape.
    #[error("a VRRP advert")]
    Vrrp,
    /// A CARP advert, by its shape.
    #[error("a CARP advert")]
    Carp,
    /// An IP header whose fields contradict each other or the bytes.
    #[error("the IP header cannot be read: {0}")]
    Ip(&'static str),
    /// An Ethernet or ARP field that is not what an announcement has.
    #[error("not an ARP announcement: {0}")]
    Arp(&'static str),
    /// An IPv6, ICMPv6 or neighbour discovery field that is not what an announcement or a probe has.
    #[error("neither a neighbour announcement nor a probe: {0}")]
    Ndp(&'static str),
}

impl From<WireError> for Reject {
    fn from(error: WireError) -> Self {
        match error {
            WireError::Truncated { found, needed } => Self::TooShort { found, needed },
            WireError::Length { found, expected } => Self::BadLength { found, expected },
            WireError::AuthLength { found, expected } => {
                Self::BadLength { found: found.into(), expected: expected.into() }
            }
            WireError::Version { found, expected } => Self::BadVersion { found, expected },
            WireError::Type { found } => Self::BadType { found },
            WireError::Vrrp | WireError::Carp => Self::ForeignProtocol,
            WireError::Ip(_) | WireError::Arp(_) | WireError::Ndp(_) => Self::MalformedIp,
        }
    }
}
