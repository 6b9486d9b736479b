//! IPv4 on an interface: adverts, and what neighbours announce by ARP.

use std::io;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use carp_proto::Protocol;
use carp_proto::wire::ip::{GROUP_IPV4, TOS_LOW_DELAY, TTL};
use carp_proto::wire::{arp, ethernet};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use socket2::{Domain, InterfaceIndexOrAddress, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::batch::Batch;
use super::packets::{drain, poll_socket, set_receive_buffer};
use super::sieve::Sieve;
use super::{filter, sieve, sys};
use crate::backend::{Port, Received};

/// What IPv4 needs on one interface.
#[derive(Debug)]
pub(super) struct Ipv4Sockets {
    index: u32,
    /// IP protocol 112, bound to the interface, member of the group.
    adverts: AsyncFd<OwnedFd>,
    batch: Batch,
    /// Receives gratuitous ARP.
    announcements: AsyncFd<OwnedFd>,
}

impl Ipv4Sockets {
    pub(super) fn open(port: &Port) -> io::Result<Self> {
        Ok(Self {
            index: port.index,
            adverts: sys::register_for_reading(advert_socket(port)?.into())?,
            batch: Batch::new(Sieve::new(
                filter::advert_ids_ipv4(&port.ids),
                sieve::wanted_ipv4(&port.wanted),
            )),
            announcements: sys::register_for_reading(arp_socket(port.index)?.into())?,
        })
    }

    pub(super) fn poll_advert(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        let slot = ready!(self.batch.poll_next(&self.adverts, cx, buffer))?;
        Poll::Ready(Ok(Received::Ipv4 { len: slot.len, ttl: slot.ttl }))
    }

    pub(super) fn poll_announcement(&self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        poll_socket(&self.announcements, cx, |socket| {
            let mut frame = [0; arp::FRAME_LEN];
            let len = rustix::net::recv(socket, &mut frame, rustix::net::RecvFlags::empty())?.0;
            let packet = frame[..len].get(ethernet::HEADER_LEN..).unwrap_or(&[]);
            let Ok((said, _)) = arp::parse(packet) else { return Ok(None) };
            // Our own, which some loop of the link has sent back, says nothing of a successor. A virtual
            // link-layer address is not our own: the successor has the same.
            let own = sys::bound_mac(socket.as_fd())? == Some(said.mac);
            Ok((!own).then(|| Received::Announcement(said.address.into())))
        })
    }

    /// Sends an advert; returns how many bytes of it were sent.
    pub(super) fn send(&self, source: Ipv4Addr, to: Ipv4Addr, advert: &[u8]) -> io::Result<usize> {
        sys::send_from_ipv4(self.adverts.get_ref().as_fd(), self.index, source, to, advert)
    }

    pub(super) fn kernel_dropped(&self) -> u64 {
        sys::dropped(self.adverts.get_ref().as_fd()).unwrap_or(0)
    }
}

fn advert_socket(port: &Port) -> io::Result<Socket> {
    let protocol = i32::from(Protocol::IP_PROTOCOL).into();
    let socket = Socket::new_raw(Domain::IPV4, Type::RAW, Some(protocol))?;
    // From here until it is bound, the socket would receive from every interface.
    socket.attach_filter(&filter::nothing())?;
    socket.set_nonblocking(true)?;
    socket.bind_device(Some(port.interface.as_bytes()))?;
    socket.set_multicast_all_v4(false)?;
    socket.set_multicast_loop_v4(false)?;
    socket.set_multicast_ttl_v4(TTL.into())?;
    socket.set_ttl_v4(TTL.into())?;
    socket.set_tos_v4(TOS_LOW_DELAY.into())?;
    set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::DO)?;
    sys::set_option(socket.as_fd(), libc::IPPROTO_IP, libc::IP_RECVTTL, 1)?;
    set_receive_buffer(&socket)?;
    socket.join_multicast_v4_n(&GROUP_IPV4, &InterfaceIndexOrAddress::Index(port.index))?;
    drain(&socket);
    socket.attach_filter(&filter::advert_ids_ipv4(&port.ids))?;
    Ok(socket)
}

fn arp_socket(index: u32) -> io::Result<Socket> {
    let socket = Socket::new_raw(Domain::PACKET, Type::RAW, None)?;
    socket.attach_filter(&filter::arp_announcements())?;
    socket.set_nonblocking(true)?;
    // Our own announcements are no news. Kernels before 4.20 cannot leave them out; they do no harm.
    let _ = sys::set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1);
    socket.bind(&sys::link_address(index, ethernet::TYPE_ARP)?)?;
    Ok(socket)
}
