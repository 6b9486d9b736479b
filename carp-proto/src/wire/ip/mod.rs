//! The IP headers around an advert: stripped on the way in, written where we send whole frames.
//!
//! | function | takes | and refuses |
//! |---|---|---|
//! | [`strip_ipv4`] | IPv4, with options | IP authentication, fragments |
//! | [`strip_ipv6`] | IPv6, with hop-by-hop and destination options | IP authentication, fragments |
//! | [`strip_any`] | both, also inside an IP authentication header | fragments |
//!
//! The first two are for routers: what they return has no header that somebody would have to verify.
//! The last is for those who only look.

mod ipv4;
mod ipv6;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use ipv4::{HEADER_LEN, TOS_LOW_DELAY, emit_ipv4, strip_ipv4};
pub use ipv6::{IPV6_HEADER_LEN, strip_ipv6};
pub(super) use ipv6::{emit_ipv6, open as open_ipv6};

use super::{WireError, ah};
use crate::id::Protocol;

/// Where adverts over IPv4 go, in CARP as in VRRP (RFC 9568 section 5.1.1.2).
pub const GROUP_IPV4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// Where adverts over IPv6 go, in CARP as in VRRP (RFC 9568 section 5.1.2.2).
pub const GROUP_IPV6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// The TTL or hop limit of every advert: a datagram that arrives with less has crossed a router
/// (RFC 9568 sections 5.1.1.3 and 5.1.2.3).
pub const TTL: u8 = 255;

/// What is known of a datagram beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxMeta {
    /// The sender.
    pub source: IpAddr,
    /// Where it was sent to.
    pub destination: IpAddr,
    /// The TTL, or in IPv6 the hop limit, with which it arrived.
    pub ttl: u8,
}

/// A packet without its IP headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripped<'a> {
    /// What the IP header says.
    pub meta: RxMeta,
    /// The IP authentication header, **not verified**, if there is one.
    pub authentication: Option<ah::Header<'a>>,
    /// What follows: a message of IP protocol 112.
    pub payload: &'a [u8],
}

/// Takes the headers off a packet of either version that carries IP protocol 112, also inside an IP
/// authentication header (RFC 4302), as RFC 2338 section 5.3.6.3 puts adverts.
///
/// Nothing here verifies that header: this is for looking at packets, not for acting on them.
///
/// # Errors
/// As [`strip_ipv4`] and [`strip_ipv6`], and those of [`ah::parse`]; [`WireError::Ip`] if the packet is
/// of neither version.
pub fn strip_any(packet: &[u8]) -> Result<Stripped<'_>, WireError> {
    let opened = match packet.first().map(|byte| byte >> 4) {
        Some(6) => ipv6::open(packet)?,
        Some(4) | None => ipv4::open(packet)?,
        Some(_) => return Err(WireError::Ip("neither version 4 nor version 6")),
    };
    if opened.protocol != ah::IP_PROTOCOL {
        let (meta, payload) = opened.advert()?;
        return Ok(Stripped { meta, authentication: None, payload });
    }
    let (header, rest) = ah::parse(opened.payload)?;
    let (protocol, payload) = match opened.meta.source {
        IpAddr::V4(_) => (header.next_header, rest),
        IpAddr::V6(_) => ipv6::skip_options(header.next_header, rest)?,
    };
    let (meta, payload) = Opened { meta: opened.meta, protocol, payload }.advert()?;
    Ok(Stripped { meta, authentication: Some(header), payload })
}

/// A packet without its IP header, whatever it carries.
pub(super) struct Opened<'a> {
    pub(super) meta: RxMeta,
    pub(super) protocol: u8,
    pub(super) payload: &'a [u8],
}

impl<'a> Opened<'a> {
    fn advert(self) -> Result<(RxMeta, &'a [u8]), WireError> {
        match self.protocol {
            Protocol::IP_PROTOCOL => Ok((self.meta, self.payload)),
            ah::IP_PROTOCOL => Err(WireError::Ip("inside an authentication header, not verified")),
            _ => Err(WireError::Ip("not IP protocol 112")),
        }
    }
}
