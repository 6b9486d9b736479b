//! Why a datagram was not acted on.

use core::fmt;
use core::net::IpAddr;

use thiserror::Error;

/// Why a datagram was not acted on. One variant is one counter is one [label](Reject::label).
///
/// A rejected datagram changes nothing but its counter: no state, no timer, nothing that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Reject {
    /// Shorter than a header.
    #[error("{found} bytes are fewer than the {needed} of a header")]
    TooShort {
        /// Bytes there.
        found: usize,
        /// Bytes needed.
        needed: usize,
    },
    /// A length, or a length field, that does not fit the message.
    #[error("a length of {found} where {expected} was expected")]
    BadLength {
        /// What was found: bytes, or CARP's authlen in 32-bit words.
        found: usize,
        /// What was expected, in the same unit.
        expected: usize,
    },
    /// Not a version of the protocol.
    #[error("version {found}, expected {expected}")]
    BadVersion {
        /// The version found.
        found: u8,
        /// The version expected.
        expected: u8,
    },
    /// Not an advertisement.
    #[error("type {found}, expected 1 (advertisement)")]
    BadType {
        /// The type found.
        found: u8,
    },
    /// A TTL or hop limit that shows that the datagram was forwarded.
    #[error("TTL {found}, expected {expected}: the datagram crossed a router")]
    BadTtl {
        /// The TTL found.
        found: u8,
        /// The least TTL that is accepted.
        expected: u8,
    },
    /// The checksum does not fit the message.
    #[error("the checksum is wrong")]
    BadChecksum,
    /// CARP's digest does not fit: another key, or another list of addresses. In VRRP another
    /// authentication type or password, or an HMAC that is missing, wrong, stale or repeated.
    #[error("authentication failed: the key (in CARP: or the list of addresses) differs from ours")]
    BadAuthentication,
    /// An interval without a meaning, or in VRRP version 2 one that is not ours.
    #[error("an advert interval of zero, or in VRRP version 2 another one than ours")]
    BadInterval,
    /// The list of addresses is empty, or not ours.
    #[error("the list of addresses is empty or differs from ours")]
    BadAddressList,
    /// Another virtual router.
    #[error("id {found} is not ours")]
    UnknownId {
        /// The id found.
        found: u8,
    },
    /// Our own datagram, come back.
    #[error("our own advert came back: a loop in the network, or a second host with our address")]
    OwnLoop,
    /// Another protocol with the same IP protocol number.
    #[error("another protocol that shares IP protocol 112")]
    ForeignProtocol,
    /// A sender that is not one of the configured peers: an advert that was not sent to the group is
    /// only taken from those.
    #[error("{from} is not one of the configured peers")]
    UnknownPeer {
        /// The sender.
        from: IpAddr,
    },
    /// An IP header that cannot be read.
    #[error("the IP header cannot be read")]
    MalformedIp,
}

impl Reject {
    /// All labels, in the order of [`Reject::index`].
    pub const LABELS: [&'static str; 14] = [
        "too-short",
        "bad-length",
        "bad-version",
        "bad-type",
        "bad-ttl",
        "bad-checksum",
        "bad-authentication",
        "bad-interval",
        "bad-address-list",
        "unknown-id",
        "own-loop",
        "foreign-protocol",
        "unknown-peer",
        "malformed-ip",
    ];

    /// The position of this kind among [`Reject::LABELS`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::TooShort { .. } => 0,
            Self::BadLength { .. } => 1,
            Self::BadVersion { .. } => 2,
            Self::BadType { .. } => 3,
            Self::BadTtl { .. } => 4,
            Self::BadChecksum => 5,
            Self::BadAuthentication => 6,
            Self::BadInterval => 7,
            Self::BadAddressList => 8,
            Self::UnknownId { .. } => 9,
            Self::OwnLoop => 10,
            Self::ForeignProtocol => 11,
            Self::UnknownPeer { .. } => 12,
            Self::MalformedIp => 13,
        }
    }

    /// The stable name of the kind, as counters, logs and JSON show it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        Self::LABELS[self.index()]
    }
}

/// How often each kind of [`Reject`] was met.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct RejectCounters([u64; Reject::LABELS.len()]);

impl RejectCounters {
    /// Counts one.
    pub fn count(&mut self, reject: Reject) {
        let counter = &mut self.0[reject.index()];
        *counter = counter.saturating_add(1);
    }

    /// The number for a label; `None` for what is not one.
    #[must_use]
    pub fn get(&self, label: &str) -> Option<u64> {
        self.iter().find(|(name, _)| *name == label).map(|(_, count)| count)
    }

    /// Every label with its number, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Reject::LABELS.into_iter().zip(self.0)
    }

    /// The sum over all labels.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }
}

impl fmt::Debug for RejectCounters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter().filter(|(_, count)| *count > 0)).finish()
    }
}
