//! The IP headers around an advert: stripped on the way in, written where we send whole frames.
//!
//! | function | takes | and refuses |
//! |---|---|---|
//! | [`strip_ipv4`] | IPv4, with options | IP authentication, fragments |
//! | [`strip_ipv6`] | IPv6, with hop-by-hop and destination options | IP authentication, fragments |
//! | [`find_message`] | both, with any extension header, also inside IP authentication | nothing: it says what is wrong |
//!
//! The first two are for routers: what they return has no header that somebody would have to verify.
//! The last is for those who only look, at live packets and at captures that were cut.

mod carried;
mod ipv4;
mod ipv6;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub use carried::{Carried, find_message};
pub use ipv4::{HEADER_LEN, TOS_LOW_DELAY, emit_ipv4, strip_ipv4};
pub(super) use ipv6::open as open_ipv6;
pub use ipv6::{IPV6_HEADER_LEN, emit_ipv6, emit_ipv6_advert, strip_ipv6};

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
