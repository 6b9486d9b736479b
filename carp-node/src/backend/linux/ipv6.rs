//! IPv6 on an interface: adverts, and what neighbours say by neighbour advertisements.

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use carp_proto::wire::ip::{GROUP_IPV6, IPV6_HEADER_LEN, TOS_LOW_DELAY, TTL, emit_ipv6};
use carp_proto::wire::ndp;
use carp_proto::{Protocol, RxMeta};
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::batch::Batch;
use super::packets::{drain, poll_socket, set_receive_buffer};
use super::sieve::Sieve;
use super::{filter, sieve, sys};
use crate::backend::{Listening, Neighbour, Port, Received, Saying};

/// Room for a neighbour advertisement with more options than anybody sends.
const MESSAGE_MAX: usize = 256;

const ICMPV6: u8 = libc::IPPROTO_ICMPV6 as u8;

/// The type of such a message in `ICMPv6` (RFC 4861 section 4.4).
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

/// What IPv6 needs on one interface.
#[derive(Debug)]
pub(super) struct Ipv6Sockets {
    index: u32,
    /// Next header 112, bound to the interface, member of the group.
    adverts: AsyncFd<OwnedFd>,
    batch: Batch,
    /// Receives unsolicited neighbour advertisements, and what else is listened for.
    neighbours: AsyncFd<OwnedFd>,
}

impl Ipv6Sockets {
    pub(super) fn open(port: &Port) -> io::Result<Self> {
        Ok(Self {
            index: port.index,
            adverts: sys::register_for_reading(advert_socket(port)?.into())?,
            batch: Batch::new(Sieve::new(
                filter::advert_ids_ipv6(&port.ids),
                sieve::wanted_ipv6(&port.wanted),
            )),
            neighbours: sys::register_for_reading(neighbour_socket(port)?.into())?,
        })
    }

    pub(super) fn poll_advert(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        let slot = ready!(self.batch.poll_next(&self.adverts, cx, buffer))?;
        Poll::Ready(slot.meta_ipv6().map(|meta| Received::Ipv6 { len: slot.len, meta }))
    }

    pub(super) fn listen(&self, listening: Listening) -> io::Result<()> {
        let filter = filter::advertisements(listening);
        SockRef::from(self.neighbours.get_ref()).attach_filter(&filter)
    }

    pub(super) fn poll_neighbour(&self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        poll_socket(&self.neighbours, cx, |socket| {
            let mut message = [0; MESSAGE_MAX];
            let (len, meta) = sys::receive_ipv6(socket.as_fd(), &mut message)?;
            Ok(said(&meta, &message[..len]).map(Received::Neighbour))
        })
    }

    /// Sends an advert; returns how many bytes of it were sent.
    pub(super) fn send(&self, source: Ipv6Addr, to: Ipv6Addr, advert: &[u8]) -> io::Result<usize> {
        sys::send_from_ipv6(self.adverts.get_ref().as_fd(), self.index, source, to, advert)
    }

    pub(super) fn kernel_dropped(&self) -> u64 {
        sys::dropped(self.adverts.get_ref().as_fd()).unwrap_or(0)
    }
}

/// What an `ICMPv6` message says of its sender. The kernel has kept the header, which is a part of what has to
/// be checked: it is written anew.
fn said(meta: &RxMeta, message: &[u8]) -> Option<Neighbour> {
    let (IpAddr::V6(source), IpAddr::V6(destination)) = (meta.source, meta.destination) else {
        return None;
    };
    // The header that is written has this hop limit; another one has crossed a router.
    if meta.ttl != TTL {
        return None;
    }
    let mut packet = [0; IPV6_HEADER_LEN + MESSAGE_MAX];
    let (mut header, body) = packet.split_at_mut(IPV6_HEADER_LEN);
    let len = u16::try_from(message.len()).ok()?;
    emit_ipv6(source, destination, ICMPV6, len, &mut header);
    body.get_mut(..message.len())?.copy_from_slice(message);
    match ndp::parse(&packet[..IPV6_HEADER_LEN + message.len()]) {
        Ok(ndp::Message::Announcement(ndp::Announcement { mac, address, .. })) => {
            Some(Neighbour { address: address.into(), mac: Some(mac), saying: Saying::Announced })
        }
        Ok(ndp::Message::Answer { address }) => Some(Neighbour {
            address: address.into(),
            mac: None,
            saying: Saying::Answered(destination.into()),
        }),
        Ok(ndp::Message::Probe { .. }) | Err(_) => None,
    }
}

/// The kernel is not asked to fill in checksums (`IPV6_CHECKSUM`): what CARP's covers, it does not know.
fn advert_socket(port: &Port) -> io::Result<Socket> {
    let socket = raw_socket(port, Protocol::IP_PROTOCOL)?;
    // Kernels before 4.20 cannot leave out what others have joined: that is dropped by its id.
    let _ = socket.set_multicast_all_v6(false);
    socket.set_multicast_loop_v6(false)?;
    socket.set_multicast_hops_v6(TTL.into())?;
    socket.set_unicast_hops_v6(TTL.into())?;
    socket.set_tclass_v6(TOS_LOW_DELAY.into())?;
    let whole = libc::IPV6_PMTUDISC_DO;
    sys::set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, whole)?;
    set_receive_buffer(&socket)?;
    socket.join_multicast_v6(&GROUP_IPV6, port.index)?;
    drain(&socket);
    socket.attach_filter(&filter::advert_ids_ipv6(&port.ids))?;
    Ok(socket)
}

/// Hears what the host hears: to the group of all nodes every host belongs.
fn neighbour_socket(port: &Port) -> io::Result<Socket> {
    let socket = raw_socket(port, ICMPV6)?;
    sys::receive_icmpv6_type(socket.as_fd(), NEIGHBOUR_ADVERTISEMENT)?;
    drain(&socket);
    socket.attach_filter(&filter::advertisements(Listening::default()))?;
    Ok(socket)
}

/// A raw socket on an interface that tells what the headers said, and receives nothing yet.
fn raw_socket(port: &Port, next_header: u8) -> io::Result<Socket> {
    let socket = Socket::new_raw(Domain::IPV6, Type::RAW, Some(i32::from(next_header).into()))?;
    // From here until it is bound, the socket would receive from every interface.
    socket.attach_filter(&filter::nothing())?;
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(port.interface.as_bytes()))?;
    socket.set_recv_hoplimit_v6(true)?;
    sys::set_option(socket.as_fd(), libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
    Ok(socket)
}
