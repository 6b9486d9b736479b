//! VRRP version 3: IPv4 or IPv6, centiseconds, no authentication of its own.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-------+-------+---------------+---------------+---------------+
//! |version| type  |     vrid      |   priority    |     count     |
//! +-------+-------+---------------+---------------+---------------+
//! |  rsvd |    interval (cs)      |           checksum            |
//! +-------+-----------------------+-------------------------------+
//! |                 count × IPv4 or IPv6 address                  |
//! :                                                               :
//! +---------------------------------------------------------------+
//! |        keepalived's trailer, 28 bytes, if it is signed        |
//! :                                                               :
//! ```
//!
//! The layout is that of RFC 9568 section 5.1. The family of the addresses is that of the IP header;
//! the reserved bits are not looked at.
//!
//! # Two checksums over IPv4
//!
//! Over IPv6 the checksum covers a pseudo-header and everything after the IPv6 header. Over IPv4 there
//! are two forms: RFC 9568 section 5.2.8 sums the message alone; RFC 5798 was read as asking for the
//! pseudo-header, and keepalived, FRR and FreeBSD send that. [`ChecksumForm`] names them, and
//! [`parse`] says which of them fits.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::BufMut;

use super::addresses::address_len;
use super::{
    AddressList, Addresses, HEADER_LEN, Ipv4List, Ipv6List, Signed, TYPE_ADVERTISEMENT, Trailer,
    header, offset, trailer,
};
use crate::id::{Family, Priority, Protocol, VirtualId};
use crate::interval::Centiseconds;
use crate::wire::checksum::{Sum, pseudo_header};
use crate::wire::ip::RxMeta;
use crate::wire::{Kind, WireError, classify};

/// The version that this is.
pub const VERSION: u8 = 3;

/// The length of a message with `count` addresses of a family, without a trailer.
#[must_use]
pub fn message_len(family: Family, count: u8) -> usize {
    HEADER_LEN + address_len(family) * usize::from(count)
}

/// What the checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChecksumForm {
    /// The message alone (RFC 9568 section 5.2.8 for IPv4). Over IPv6 nobody sends it.
    Message,
    /// The pseudo-header and the message: everybody over IPv6, and what keepalived, FRR and FreeBSD
    /// send over IPv4 by default.
    PseudoHeader,
}

/// What the checksum of a received message is worth.
///
/// Over IPv4 a message fits both forms if the pseudo-header adds nothing, that is if its words sum to
/// a multiple of 0xffff. This depends on the sender's address, the destination and the length alone,
/// and is so for one address in 65 535: for example, all adverts of 10.0.21.113 to the group with one
/// address in them fit both. Such a sender says nothing about the form that it uses.
///
/// To accept two forms has a price. If the words of the pseudo-header sum to a power of two, or to
/// the complement of one, then a flipped bit can turn the one form into the other and stay unnoticed.
/// That is so for 32 of 65 535 addresses; for all others a flipped bit is always noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// It is wrong: no field of the message can be trusted.
    Bad,
    /// It is right in this form.
    Fits(ChecksumForm),
    /// It is right in both forms.
    FitsBoth,
}

impl Checksum {
    /// Whether it is right in one of the forms.
    #[must_use]
    pub const fn is_ok(self) -> bool {
        match self {
            Self::Bad => false,
            Self::Fits(_) | Self::FitsBoth => true,
        }
    }

    /// The form, if the message fits exactly one.
    #[must_use]
    pub const fn form(self) -> Option<ChecksumForm> {
        match self {
            Self::Fits(form) => Some(form),
            Self::Bad | Self::FitsBoth => None,
        }
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
    pub interval: Centiseconds,
    /// The virtual addresses, perhaps none.
    pub addresses: Addresses<'a>,
}

/// An advert, what its checksum is worth, and its trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The fields.
    pub advert: Advert<'a>,
    /// Whether the checksum is right, and in which form.
    pub checksum: Checksum,
    /// The message with keepalived's trailer, if there is one. Nobody has verified it yet.
    pub signed: Option<Signed<'a>>,
}

/// Reads a message: a datagram's payload, trimmed to the length that its IP header says. `meta` has
/// the family and the addresses of the pseudo-header.
///
/// # Errors
/// In this order: [`WireError::Ip`] if source and destination are of two families, [`WireError::Carp`]
/// for what [`classify`] takes for CARP, [`WireError::Truncated`] under eight bytes,
/// [`WireError::Version`], [`WireError::Type`], [`WireError::Length`] if the message is neither as long
/// as its count of addresses makes it nor longer by a trailer.
pub fn parse<'a>(meta: &RxMeta, message: &'a [u8]) -> Result<Parsed<'a>, WireError> {
    let family = match (meta.source, meta.destination) {
        (IpAddr::V4(_), IpAddr::V4(_)) => Family::Ipv4,
        (IpAddr::V6(_), IpAddr::V6(_)) => Family::Ipv6,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
            return Err(WireError::Ip("source and destination are of two families"));
        }
    };
    if classify(message) == Kind::Carp {
        return Err(WireError::Carp);
    }
    let (_, header) = header(message, VERSION)?;
    let expected = message_len(family, header.count);
    let wrong_length = WireError::Length { found: message.len(), expected };
    let (bare, rest) = message.split_at_checked(expected).ok_or(wrong_length)?;
    let signed = match Trailer::parse(rest) {
        Some(trailer) => Some(Signed { message: bare, trailer }),
        None if rest.is_empty() => None,
        None => return Err(wrong_length),
    };
    // The trailer is covered over IPv6, where kernels sum whatever follows the header, and not over
    // IPv4.
    let covered = match family {
        Family::Ipv4 => bare,
        Family::Ipv6 => message,
    };
    let advert = Advert {
        vrid: header.vrid,
        priority: Priority::from_wire(header.priority),
        interval: Centiseconds::from_wire(header.how),
        addresses: Addresses::from_wire(family, &bare[HEADER_LEN..]),
    };
    Ok(Parsed { advert, checksum: verdict(meta, covered), signed })
}

fn verdict(meta: &RxMeta, covered: &[u8]) -> Checksum {
    let sum = Sum::default().add(covered);
    let message = meta.source.is_ipv4() && sum.checksum() == 0;
    let path = path_sum(meta.source, meta.destination, covered.len());
    let pseudo = path.join(sum).checksum() == 0;
    match (message, pseudo) {
        (true, true) => Checksum::FitsBoth,
        (true, false) => Checksum::Fits(ChecksumForm::Message),
        (false, true) => Checksum::Fits(ChecksumForm::PseudoHeader),
        (false, false) => Checksum::Bad,
    }
}

/// The sum of the pseudo-header, with VRRP's protocol number.
fn path_sum(source: IpAddr, destination: IpAddr, len: usize) -> Sum {
    let sum = |source: &[u8]| match destination {
        IpAddr::V4(ip) => pseudo_header(source, &ip.octets(), len, Protocol::IP_PROTOCOL),
        IpAddr::V6(ip) => pseudo_header(source, &ip.octets(), len, Protocol::IP_PROTOCOL),
    };
    match source {
        IpAddr::V4(ip) => sum(&ip.octets()),
        IpAddr::V6(ip) => sum(&ip.octets()),
    }
}

/// What carries an advert to be sent: the ends of its path, and addresses of the same family.
#[derive(Clone, Copy, Debug)]
pub enum Carrier<'a> {
    /// IPv4.
    Ipv4 {
        /// The sender.
        source: Ipv4Addr,
        /// The group, or one peer.
        destination: Ipv4Addr,
        /// The virtual addresses.
        addresses: &'a Ipv4List,
        /// What the checksum is to cover.
        checksum: ChecksumForm,
    },
    /// IPv6, where the checksum always covers the pseudo-header.
    Ipv6 {
        /// The sender, a link-local address (RFC 9568 section 5.1.2.1).
        source: Ipv6Addr,
        /// The group, or one peer.
        destination: Ipv6Addr,
        /// The virtual addresses.
        addresses: &'a Ipv6List,
    },
}

impl<'a> Carrier<'a> {
    /// A carrier of a list; `None` if not all three are of one family. `checksum` is for IPv4.
    #[must_use]
    pub const fn new(
        addresses: &'a AddressList,
        source: IpAddr,
        destination: IpAddr,
        checksum: ChecksumForm,
    ) -> Option<Self> {
        match (addresses, source, destination) {
            (AddressList::Ipv4(addresses), IpAddr::V4(source), IpAddr::V4(destination)) => {
                Some(Self::Ipv4 { source, destination, addresses, checksum })
            }
            (AddressList::Ipv6(addresses), IpAddr::V6(source), IpAddr::V6(destination)) => {
                Some(Self::Ipv6 { source, destination, addresses })
            }
            (
                AddressList::Ipv4(_) | AddressList::Ipv6(_),
                IpAddr::V4(_) | IpAddr::V6(_),
                IpAddr::V4(_) | IpAddr::V6(_),
            ) => None,
        }
    }

    /// The sender.
    #[must_use]
    pub const fn source(&self) -> IpAddr {
        match self {
            Self::Ipv4 { source, .. } => IpAddr::V4(*source),
            Self::Ipv6 { source, .. } => IpAddr::V6(*source),
        }
    }

    /// The virtual addresses.
    #[must_use]
    pub fn addresses(&self) -> Addresses<'a> {
        match self {
            Self::Ipv4 { addresses, .. } => addresses.addresses(),
            Self::Ipv6 { addresses, .. } => addresses.addresses(),
        }
    }

    const fn count(&self) -> u8 {
        match self {
            Self::Ipv4 { addresses, .. } => addresses.count(),
            Self::Ipv6 { addresses, .. } => addresses.count(),
        }
    }
}

/// An advert to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The virtual router.
    pub id: VirtualId,
    /// The priority to claim.
    pub priority: Priority,
    /// When the next advert will come.
    pub interval: Centiseconds,
    /// The addresses, of the virtual router and of the datagram.
    pub carrier: Carrier<'a>,
}

impl Outgoing<'_> {
    /// The header with a checksum of zero, which is also how it is signed.
    pub(crate) fn header(&self) -> [u8; HEADER_LEN] {
        let [high, low] = self.interval.get().to_be_bytes();
        [
            VERSION << 4 | TYPE_ADVERTISEMENT,
            self.id.get(),
            self.priority.get(),
            self.carrier.count(),
            high,
            low,
            0,
            0,
        ]
    }

    /// The sum over all that the checksum covers, with the field as zero.
    fn sum(&self, header: &[u8], trailer: &[u8]) -> Sum {
        let addresses = self.carrier.addresses().as_bytes();
        let len = header.len() + addresses.len();
        let start = match self.carrier {
            Carrier::Ipv4 { checksum: ChecksumForm::Message, .. } => Sum::default(),
            Carrier::Ipv4 { source, destination, checksum: ChecksumForm::PseudoHeader, .. } => {
                path_sum(source.into(), destination.into(), len)
            }
            Carrier::Ipv6 { source, destination, .. } => {
                path_sum(source.into(), destination.into(), len + trailer.len()).add(trailer)
            }
        };
        start.add(header).add(addresses)
    }
}

/// Appends the message, its checksum computed.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for it.
pub fn emit(advert: &Outgoing<'_>, buffer: &mut impl BufMut) {
    emit_parts(advert, &[], buffer);
}

/// Appends the message and its [trailer](Trailer), the checksum computed.
///
/// # Panics
/// If the buffer is one that cannot grow and has no room for it.
pub fn emit_signed(advert: &Outgoing<'_>, trailer: &Trailer, buffer: &mut impl BufMut) {
    let trailer: [u8; trailer::LEN] = trailer.to_wire();
    emit_parts(advert, &trailer, buffer);
}

fn emit_parts(advert: &Outgoing<'_>, trailer: &[u8], buffer: &mut impl BufMut) {
    let mut header = advert.header();
    let sum = advert.sum(&header, trailer).checksum();
    header[offset::CHECKSUM].copy_from_slice(&sum.to_be_bytes());
    buffer.put_slice(&header);
    buffer.put_slice(advert.carrier.addresses().as_bytes());
    buffer.put_slice(trailer);
}
