//! Holding a received VRRP message against what a router expects, in one fixed order.
//!
//! The first check that fails decides, so that a packet that is wrong in two ways always gets the
//! same label. The order is that of CARP: what the message is, whose it is, where it comes from,
//! whether it is intact, what it says, who signed it.
//!
//! | # | check | label |
//! |---|---|---|
//! | 1 | source and destination of one family, which in version 2 is IPv4 | `malformed-ip` |
//! | 2 | not the shape of CARP | `foreign-protocol` |
//! | 3 | at least 8 bytes | `too-short` |
//! | 4 | the expected version | `bad-version` |
//! | 5 | type 1 | `bad-type` |
//! | 6 | as long as the count of addresses makes it; a trailer only where it is expected | `bad-length` |
//! | 7 | the expected id | `unknown-id` |
//! | 8 | TTL or hop limit | `bad-ttl` |
//! | 9 | sent to the group, or from a configured peer | `unknown-peer` |
//! | 10 | checksum | `bad-checksum` |
//! | 11 | not our own source | `own-loop` |
//! | 12 | an interval that is not 0, and in version 2 ours | `bad-interval` |
//! | 13 | at least one address | `bad-address-list` |
//! | 14 | version 2: the expected authentication type, and the password | `bad-authentication` |
//!
//! A router of version 3 also rejects the other family than that of its addresses, by the first label: the
//! same id is another virtual router there.
//!
//! Four rules of the RFCs are told rather than enforced, or left to the caller:
//!
//! - An IPv6 list that does not begin with a link-local address (RFC 9568 section 5.2.9, and erratum
//!   8300) is accepted with a [note](Valid::lacks_link_local): FRR sends such lists, and keepalived the
//!   order of its configuration.
//! - Which addresses are listed is not compared with ours. Both RFCs only say MAY, and RFC 3768 then wants
//!   the packet dropped.
//! - In version 3 another interval than ours is accepted, as RFC 9568 section 7.1 says.
//! - The trailer of version 3 is handed over, because its verification needs time and memory; see
//!   [`crate::auth`].

use core::net::IpAddr;
use core::time::Duration;

use super::{Addresses, ChecksumForm, Signed, v2, v3};
use crate::auth::Password;
use crate::id::{Priority, VirtualId};
use crate::interval::Seconds;
use crate::reject::Reject;
use crate::wire::ip::{GROUP_IPV4, GROUP_IPV6, RxMeta};
use crate::wire::vrrp::v2::AuthType;

/// What a router expects of the adverts that it acts on.
#[derive(Clone, Copy, Debug)]
pub struct Expectations<'a> {
    /// The virtual router.
    pub id: VirtualId,
    /// The version, and what only it knows.
    pub version: Version<'a>,
    /// The least TTL or hop limit. It is 255 by both RFCs: less has crossed a router.
    pub min_ttl: u8,
    /// Who may send.
    pub senders: Senders<'a>,
    /// Our own source address, if it is known: what comes from there has come back.
    pub own_source: Option<IpAddr>,
}

/// The version of VRRP.
#[derive(Clone, Copy, Debug)]
pub enum Version<'a> {
    /// Version 2.
    V2 {
        /// Our interval: adverts with another one are discarded (RFC 3768 section 7.1).
        interval: Seconds,
        /// Our authentication: adverts with another one are discarded.
        authentication: Authentication<'a>,
    },
    /// Version 3.
    V3 {
        /// Whether adverts may have keepalived's trailer. The caller has to verify it then. Where it
        /// is not expected, such an advert is too long, as RFC 9568 section 7.1 has it.
        trailer: bool,
    },
}

/// How the adverts of version 2 are authenticated.
#[derive(Clone, Copy, Debug)]
pub enum Authentication<'a> {
    /// Not at all (RFC 3768): the authentication data is not looked at.
    None,
    /// By RFC 2338's simple password, which everybody on the link can read.
    Password(&'a Password),
}

/// Who may send.
#[derive(Clone, Copy, Debug)]
pub enum Senders<'a> {
    /// Whoever sends to the group; if `only` is not empty, only these.
    Group {
        /// The sources to be heard.
        only: &'a [IpAddr],
    },
    /// These peers, by unicast: not to a group.
    Peers(&'a [IpAddr]),
}

impl Senders<'_> {
    pub(crate) fn include(self, meta: &RxMeta) -> bool {
        let to_group = [IpAddr::V4(GROUP_IPV4), IpAddr::V6(GROUP_IPV6)].contains(&meta.destination);
        match self {
            Self::Group { only } => to_group && (only.is_empty() || only.contains(&meta.source)),
            Self::Peers(peers) => !meta.destination.is_multicast() && peers.contains(&meta.source),
        }
    }
}

/// An advert that passed every check of the [table](self). Nothing else makes one.
///
/// Where a [trailer](Version::V3) is expected, one check is left: act on the advert only if
/// [`HmacMode::decide`](crate::auth::HmacMode::decide) agrees, also if it has no trailer.
#[derive(Clone, Copy, Debug)]
pub struct Valid<'a> {
    priority: Priority,
    interval: Duration,
    addresses: Addresses<'a>,
    checksum_form: Option<ChecksumForm>,
    signed: Option<Signed<'a>>,
}

impl<'a> Valid<'a> {
    /// The sender's priority; 0 resigns.
    #[must_use]
    pub const fn priority(&self) -> Priority {
        self.priority
    }

    /// The sender's advert interval, which is not zero.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// The addresses that the sender lists: at least one.
    #[must_use]
    pub const fn addresses(&self) -> Addresses<'a> {
        self.addresses
    }

    /// The form of the sender's checksum, if the advert shows it: it is of version 3 and does not fit
    /// both forms. Over IPv6 it is always the pseudo-header.
    #[must_use]
    pub const fn checksum_form(&self) -> Option<ChecksumForm> {
        self.checksum_form
    }

    /// The message with its trailer, **not verified**, if it has one.
    #[must_use]
    pub const fn signed(&self) -> Option<&Signed<'a>> {
        self.signed.as_ref()
    }

    /// Whether the list is one of IPv6 addresses that begins with another than a link-local one, as
    /// RFC 9568 section 5.2.9 does not allow and some peers do.
    #[must_use]
    pub fn lacks_link_local(&self) -> bool {
        match self.addresses.first() {
            Some(IpAddr::V6(first)) => !first.is_unicast_link_local(),
            Some(IpAddr::V4(_)) | None => false,
        }
    }
}

/// Checks a message in the order of the [table](self).
///
/// # Errors
/// The [`Reject`] of the first check that fails.
pub fn validate<'a>(
    meta: &RxMeta,
    message: &'a [u8],
    expected: &Expectations<'_>,
) -> Result<Valid<'a>, Reject> {
    let read = read(meta, message, expected.version)?;
    if read.vrid != expected.id.get() {
        return Err(Reject::UnknownId { found: read.vrid });
    }
    if meta.ttl < expected.min_ttl {
        return Err(Reject::BadTtl { found: meta.ttl, expected: expected.min_ttl });
    }
    if !expected.senders.include(meta) {
        return Err(Reject::UnknownPeer { from: meta.source });
    }
    if !read.checksum_ok {
        return Err(Reject::BadChecksum);
    }
    if expected.own_source == Some(meta.source) {
        return Err(Reject::OwnLoop);
    }
    if read.valid.interval.is_zero() || !read.interval_agrees {
        return Err(Reject::BadInterval);
    }
    if read.valid.addresses.is_empty() {
        return Err(Reject::BadAddressList);
    }
    if !read.authentic {
        return Err(Reject::BadAuthentication);
    }
    Ok(read.valid)
}

/// A message that was read: what it will be if it is valid, and what is still to be checked.
struct Read<'a> {
    vrid: u8,
    checksum_ok: bool,
    interval_agrees: bool,
    authentic: bool,
    valid: Valid<'a>,
}

fn read<'a>(meta: &RxMeta, message: &'a [u8], version: Version<'_>) -> Result<Read<'a>, Reject> {
    match version {
        Version::V2 { interval, authentication } => {
            read_v2(meta, message, interval, authentication)
        }
        Version::V3 { trailer } => read_v3(meta, message, trailer),
    }
}

fn read_v2<'a>(
    meta: &RxMeta,
    message: &'a [u8],
    interval: Seconds,
    authentication: Authentication<'_>,
) -> Result<Read<'a>, Reject> {
    if !(meta.source.is_ipv4() && meta.destination.is_ipv4()) {
        return Err(Reject::MalformedIp);
    }
    let v2::Parsed { advert, checksum_ok } = v2::parse(message)?;
    let valid = Valid {
        priority: advert.priority,
        interval: advert.interval.advert(),
        addresses: advert.addresses,
        checksum_form: None,
        signed: None,
    };
    let authentic = match (authentication, advert.auth_type) {
        (Authentication::None, AuthType::None) => true,
        (Authentication::Password(password), AuthType::Password) => {
            password.matches(&advert.auth_data.0)
        }
        (Authentication::None, AuthType::Password | AuthType::Header | AuthType::Unknown(_))
        | (Authentication::Password(_), AuthType::None | AuthType::Header | AuthType::Unknown(_)) => {
            false
        }
    };
    let interval_agrees = advert.interval == interval;
    Ok(Read { vrid: advert.vrid, checksum_ok, interval_agrees, authentic, valid })
}

fn read_v3<'a>(meta: &RxMeta, message: &'a [u8], trailer: bool) -> Result<Read<'a>, Reject> {
    let v3::Parsed { advert, checksum, signed } = v3::parse(meta, message)?;
    if let Some(Signed { message: bare, .. }) = signed.filter(|_| !trailer) {
        return Err(Reject::BadLength { found: message.len(), expected: bare.len() });
    }
    let valid = Valid {
        priority: advert.priority,
        interval: advert.interval.advert(),
        addresses: advert.addresses,
        checksum_form: checksum.form(),
        signed,
    };
    let (vrid, checksum_ok) = (advert.vrid, checksum.is_ok());
    Ok(Read { vrid, checksum_ok, interval_agrees: true, authentic: true, valid })
}
