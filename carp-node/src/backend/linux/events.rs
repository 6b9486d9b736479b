//! What the kernel tells of addresses and links without being asked: which of it wakes us.
//!
//! Every renewal of a lease is told to all who listen, and it is no news to any of us. The kernel drops it
//! before it wakes a thread: a filter of classic BPF sees each event as it is sent, one a datagram. It drops
//! only what is certain. A kernel before 5.18 does not say whose an address is, and there every renewal is
//! read and found to be none.

use std::io;
use std::mem::offset_of;

use netlink_sys::Socket;
use socket2::{SockFilter, SockRef};

use crate::addresses::MARK;
use crate::bpf::{
    ALL, COPY_TO_INDEX, JUMP_ANY_BIT, JUMP_EQUAL, JUMP_EQUAL_INDEX, LOAD_BYTE_INDEXED,
    LOAD_HALF_ABSOLUTE, LOAD_INDEX_MEMORY, LOAD_NUMBER, LOAD_NUMBER_TO_INDEX, LOAD_WORD_ABSOLUTE,
    LOAD_WORD_INDEXED, RETURN, STORE,
};

/// `RTMGRP_LINK`.
pub(super) const LINKS: u32 = 0x1;

/// `RTMGRP_IPV4_IFADDR`.
pub(super) const ADDRESSES_IPV4: u32 = 0x10;

/// `RTMGRP_IPV6_IFADDR`.
pub(super) const ADDRESSES_IPV6: u32 = 0x100;

/// Where the type of a message is.
const TYPE: u32 = offset_of!(libc::nlmsghdr, nlmsg_type) as u32;

/// Where the attributes of a message about an address begin: behind its header and an `ifaddrmsg`.
const ATTRIBUTES: u32 = size_of::<libc::nlmsghdr>() as u32 + 8;

/// What an attribute has before its value.
const ATTRIBUTE_HEADER: u32 = 4;

/// Has a socket hear everything but renewals of addresses with our mark.
pub(super) fn hear_no_renewals(socket: &Socket) -> io::Result<()> {
    SockRef::from(socket).attach_filter(&no_renewals())
}

/// Has a socket hear of nothing but addresses that are gone.
pub(super) fn hear_removals(socket: &Socket) -> io::Result<()> {
    SockRef::from(socket).attach_filter(&removals())
}

/// Everything but an `RTM_NEWADDR` of an address that has our mark, is in use, and was there before: it was
/// created earlier than it was updated, by a hundredth of a second at least.
fn no_renewals() -> Vec<SockFilter> {
    const CREATED: u32 = ATTRIBUTE_HEADER + 8;
    const UPDATED: u32 = ATTRIBUTE_HEADER + 12;
    const IN_DOUBT: u32 = libc::IFA_F_TENTATIVE | libc::IFA_F_DADFAILED;
    const IFA_PROTO: u32 = 11;
    let pass = || SockFilter::new(RETURN, 0, 0, ALL);
    let mut program = vec![
        SockFilter::new(LOAD_HALF_ABSOLUTE, 0, 0, TYPE),
        SockFilter::new(JUMP_EQUAL, 1, 0, half(libc::RTM_NEWADDR)),
        pass(),
    ];
    program.extend(find(IFA_PROTO));
    program.extend([
        SockFilter::new(LOAD_BYTE_INDEXED, 0, 0, ATTRIBUTE_HEADER),
        SockFilter::new(JUMP_EQUAL, 1, 0, MARK.into()),
        pass(),
    ]);
    program.extend(find(libc::IFA_FLAGS.into()));
    program.extend([
        SockFilter::new(LOAD_WORD_INDEXED, 0, 0, ATTRIBUTE_HEADER),
        SockFilter::new(JUMP_ANY_BIT, 0, 1, word(IN_DOUBT)),
        pass(),
    ]);
    program.extend(find(libc::IFA_CACHEINFO.into()));
    program.extend([
        SockFilter::new(LOAD_WORD_INDEXED, 0, 0, CREATED),
        SockFilter::new(STORE, 0, 0, 0),
        SockFilter::new(LOAD_WORD_INDEXED, 0, 0, UPDATED),
        SockFilter::new(LOAD_INDEX_MEMORY, 0, 0, 0),
        SockFilter::new(JUMP_EQUAL_INDEX, 0, 1, 0),
        pass(),
        SockFilter::new(RETURN, 0, 0, 0),
    ]);
    program
}

fn removals() -> Vec<SockFilter> {
    vec![
        SockFilter::new(LOAD_HALF_ABSOLUTE, 0, 0, TYPE),
        SockFilter::new(JUMP_EQUAL, 0, 1, half(libc::RTM_DELADDR)),
        SockFilter::new(RETURN, 0, 0, ALL),
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// Points the index at an attribute. A message without it passes.
fn find(attribute: u32) -> [SockFilter; 6] {
    const NLATTR: u32 = (libc::SKF_AD_OFF + libc::SKF_AD_NLATTR).cast_unsigned();
    [
        SockFilter::new(LOAD_NUMBER_TO_INDEX, 0, 0, attribute),
        SockFilter::new(LOAD_NUMBER, 0, 0, ATTRIBUTES),
        SockFilter::new(LOAD_WORD_ABSOLUTE, 0, 0, NLATTR),
        SockFilter::new(JUMP_EQUAL, 0, 1, 0),
        SockFilter::new(RETURN, 0, 0, ALL),
        SockFilter::new(COPY_TO_INDEX, 0, 0, 0),
    ]
}

/// What a filter loads where there is this number: it takes everything for big-endian.
const fn half(value: u16) -> u32 {
    value.to_be() as u32
}

/// The same for a word.
const fn word(value: u32) -> u32 {
    value.to_be()
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use netlink_packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
    use netlink_packet_route::address::{
        AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo,
    };
    use netlink_packet_route::link::LinkMessage;
    use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

    use super::*;

    /// What a kernel says of an address of ours that it has renewed.
    fn renewal() -> AddressMessage {
        let mut message = AddressMessage::default();
        (message.header.family, message.header.prefix_len) = (AddressFamily::Inet, 32);
        let mut times = CacheInfo::default();
        (times.cstamp, times.tstamp) = (7_700, 7_701);
        message.attributes = vec![
            AddressAttribute::Address([192, 0, 2, 1].into()),
            AddressAttribute::Local([192, 0, 2, 1].into()),
            AddressAttribute::Protocol(AddressProtocol::from(MARK)),
            AddressAttribute::Flags(AddressFlags::Deprecated),
            AddressAttribute::CacheInfo(times),
        ];
        message
    }

    /// Whether a message passes a filter: the kernel runs it on a socket of another kind.
    fn passes(filter: &[SockFilter], message: RouteNetlinkMessage) -> bool {
        let mut message =
            NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        let (sender, receiver) = UnixDatagram::pair().unwrap();
        SockRef::from(&receiver).attach_filter(filter).unwrap();
        // A filter that drops it lets the sender believe that it has arrived, or refuses it.
        let _ = sender.send(&bytes);
        receiver.set_nonblocking(true).unwrap();
        receiver.recv(&mut bytes).is_ok()
    }

    fn is_news(address: AddressMessage) -> bool {
        passes(&no_renewals(), RouteNetlinkMessage::NewAddress(address))
    }

    #[test]
    fn renewals_of_our_addresses_are_dropped_in_whatever_order_they_are_described() {
        let mut backwards = renewal();
        backwards.attributes.reverse();
        for address in [renewal(), backwards] {
            assert!(!is_news(address));
        }
    }

    #[test]
    fn what_may_be_no_renewal_of_ours_passes() {
        for (place, instead) in [
            (2, Some(AddressAttribute::Protocol(AddressProtocol::from(MARK + 1)))),
            (2, None),
            (3, Some(AddressAttribute::Flags(AddressFlags::Tentative))),
            (3, Some(AddressAttribute::Flags(AddressFlags::Dadfailed | AddressFlags::Deprecated))),
            (3, None),
            (4, Some(AddressAttribute::CacheInfo(CacheInfo::default()))),
            (4, None),
        ] {
            let mut address = renewal();
            address.attributes.splice(place..=place, instead.clone());
            assert!(is_news(address), "{place} {instead:?}");
        }
    }

    #[test]
    fn removals_and_links_pass() {
        let removal = RouteNetlinkMessage::DelAddress(renewal());
        assert!(passes(&no_renewals(), removal.clone()));
        assert!(passes(&no_renewals(), RouteNetlinkMessage::NewLink(LinkMessage::default())));
        assert!(passes(&removals(), removal));
        assert!(!passes(&removals(), RouteNetlinkMessage::NewAddress(renewal())));
    }
}
