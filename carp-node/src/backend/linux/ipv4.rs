//! IPv4 on an interface: adverts, and what neighbours say by ARP.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use carp_proto::Protocol;
use carp_proto::wire::arp::{self, Form};
use carp_proto::wire::ethernet;
use carp_proto::wire::ip::{GROUP_IPV4, TOS_LOW_DELAY, TTL};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use socket2::{Domain, InterfaceIndexOrAddress, SockRef, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::batch::Batch;
use super::packets::{drain, poll_socket, set_receive_buffer};
use super::sieve::Sieve;
use super::{filter, sieve, sys};
use crate::backend::{Listening, Neighbour, Port, Received, Saying};

/// What IPv4 needs on one interface.
#[derive(Debug)]
pub(super) struct Ipv4Sockets {
    index: u32,
    /// IP protocol 112, bound to the interface, member of the group.
    adverts: AsyncFd<OwnedFd>,
    batch: Batch,
    /// Receives gratuitous ARP, and what else is listened for.
    neighbours: AsyncFd<OwnedFd>,
    /// The addresses of our routers.
    addresses: Vec<Ipv4Addr>,
}

impl Ipv4Sockets {
    pub(super) fn open(port: &Port) -> io::Result<Self> {
        let ipv4 = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => Some(*ip),
            IpAddr::V6(_) => None,
        };
        Ok(Self {
            index: port.index,
            adverts: sys::register_for_reading(advert_socket(port)?.into())?,
            batch: Batch::new(Sieve::new(
                filter::advert_ids_ipv4(&port.ids),
                sieve::wanted_ipv4(&port.wanted),
            )),
            neighbours: sys::register_for_reading(arp_socket(port.index)?.into())?,
            addresses: port.addresses.iter().filter_map(ipv4).collect(),
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

    pub(super) fn listen(&self, listening: Listening) -> io::Result<()> {
        let socket = SockRef::from(self.neighbours.get_ref());
        socket.attach_filter(&filter::arp(&self.addresses, listening)).or_else(|_| {
            // A kernel may have no room for so long a program.
            socket.attach_filter(&filter::arp_roughly(&self.addresses, listening))
        })
    }

    pub(super) fn poll_neighbour(&self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        poll_socket(&self.neighbours, cx, |socket| {
            let mut frame = [0; arp::FRAME_LEN];
            let len = rustix::net::recv(socket, &mut frame, rustix::net::RecvFlags::empty())?.0;
            let packet = frame[..len].get(ethernet::HEADER_LEN..).unwrap_or(&[]);
            Ok(arp::read(packet).ok().map(|packet| Received::Neighbour(said(packet))))
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

/// What an ARP packet says of its sender.
fn said(packet: arp::Packet) -> Neighbour {
    let arp::Packet { form, sender_mac, sender, target } = packet;
    let saying = match form {
        Form::Request | Form::Reply if sender == target => Saying::Announced,
        Form::Request => Saying::Asking,
        Form::Reply => Saying::Answered(target.into()),
    };
    Neighbour { address: sender.into(), mac: Some(sender_mac), saying }
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
    socket.attach_filter(&filter::arp(&[], Listening::default()))?;
    socket.set_nonblocking(true)?;
    // Our own announcements are no news. Kernels before 4.20 cannot leave them out; they do no harm.
    let _ = sys::set_option(socket.as_fd(), libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1);
    socket.bind(&sys::link_address(index, ethernet::TYPE_ARP)?)?;
    Ok(socket)
}
