//! What a message of IP protocol 112 is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carp_proto::election::Standing;
use carp_proto::wire::vrrp::v3::Checksum;
use carp_proto::wire::vrrp::{ChecksumForm, Signed, v2, v3};
use carp_proto::wire::{Kind, WireError, carp, classify_start};
use carp_proto::{Protocol, RxMeta};

/// A message of IP protocol 112.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// A CARP advert.
    Carp(carp::Parsed),
    /// A VRRP advert of version 2.
    Vrrp2(v2::Parsed<'a>),
    /// A VRRP advert of version 3.
    Vrrp3(Vrrp3<'a>),
    /// One that cannot be read.
    Unreadable {
        /// What it has the shape of, if of anything.
        protocol: Option<Protocol>,
        /// Why it cannot be read. [`Reject`](carp_proto::Reject) has a label for it.
        error: WireError,
    },
}

/// A VRRP advert of version 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vrrp3<'a> {
    /// The fields.
    pub advert: v3::Advert<'a>,
    /// What its checksum is worth; `None` if nobody can tell, because it may cover the addresses of an
    /// IP header that is not there.
    pub checksum: Option<Checksum>,
    /// The message with keepalived's trailer, **not verified**, if there is one.
    pub signed: Option<Signed<'a>>,
}

impl<'a> Message<'a> {
    /// Reads a message of `len` bytes, of which these are there, under this IP header.
    #[must_use]
    pub(super) fn read(meta: Option<&RxMeta>, bytes: &'a [u8], len: usize) -> Self {
        let kind = classify_start(bytes, len);
        let unreadable = |error| Self::Unreadable { protocol: kind.protocol(), error };
        if bytes.len() < len {
            return unreadable(WireError::Truncated { found: bytes.len(), needed: len });
        }
        match kind {
            Kind::Carp | Kind::Unknown => carp::parse(bytes).map_or_else(unreadable, Self::Carp),
            Kind::Vrrp2 => v2::parse(bytes).map_or_else(unreadable, Self::Vrrp2),
            Kind::Vrrp3 => Vrrp3::read(meta, bytes).map_or_else(unreadable, Self::Vrrp3),
        }
    }

    /// The protocol that it is, or whose shape it has.
    #[must_use]
    pub const fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Carp(_) => Some(Protocol::Carp),
            Self::Vrrp2(_) => Some(Protocol::Vrrp2),
            Self::Vrrp3(_) => Some(Protocol::Vrrp3),
            Self::Unreadable { protocol, .. } => *protocol,
        }
    }

    /// What it says of its sender: how good it is, or that it resigns. `None` if it cannot be read.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        Some(match self {
            Self::Carp(parsed) => Standing::Carp(parsed.advert.interval),
            Self::Vrrp2(parsed) => Standing::Vrrp {
                priority: parsed.advert.priority,
                interval: parsed.advert.interval.advert(),
            },
            Self::Vrrp3(vrrp) => Standing::Vrrp {
                priority: vrrp.advert.priority,
                interval: vrrp.advert.interval.advert(),
            },
            Self::Unreadable { .. } => return None,
        })
    }

    /// Whether its checksum is wrong, so that no field can be trusted.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        match self {
            Self::Carp(parsed) => !parsed.checksum_ok,
            Self::Vrrp2(parsed) => !parsed.checksum_ok,
            Self::Vrrp3(parsed) => parsed.checksum == Some(Checksum::Bad),
            Self::Unreadable { .. } => false,
        }
    }
}

impl<'a> Vrrp3<'a> {
    fn read(meta: Option<&RxMeta>, message: &'a [u8]) -> Result<Self, WireError> {
        let Some(meta) = meta else { return Self::read_bare(message) };
        let v3::Parsed { advert, checksum, signed } = v3::parse(meta, message)?;
        Ok(Self { advert, checksum: Some(checksum), signed })
    }

    /// Reads a message of which nobody says what carried it. With at least one address in it, no
    /// length fits both families. Its checksum can only be found to be that of the message alone.
    fn read_bare(message: &'a [u8]) -> Result<Self, WireError> {
        let from = |source: IpAddr| RxMeta { source, destination: source, ttl: 0 };
        let in_ipv4 = v3::parse(&from(Ipv4Addr::UNSPECIFIED.into()), message);
        let v3::Parsed { advert, checksum, signed } = match in_ipv4 {
            Err(WireError::Length { .. }) => {
                v3::parse(&from(Ipv6Addr::UNSPECIFIED.into()), message).or(in_ipv4)?
            }
            result => result?,
        };
        let checksum = match checksum {
            Checksum::Fits(ChecksumForm::Message) => Some(checksum),
            Checksum::Bad | Checksum::Fits(ChecksumForm::PseudoHeader) | Checksum::FitsBoth => None,
        };
        Ok(Self { advert, checksum, signed })
    }
}
