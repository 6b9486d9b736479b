//! Adverts on an interface: a raw IP socket, and packet sockets beside it.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};

use bytes::BytesMut;
use carp_proto::wire::ip::{GROUP_IPV4, TOS_LOW_DELAY, TTL};
use carp_proto::wire::{arp, ethernet, ip};
use carp_proto::{MacAddr, Protocol, Transmit};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};
use socket2::{Domain, InterfaceIndexOrAddress, SockAddr, SockRef, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::{filter, sys};
use crate::backend::{PacketIo, Port, Received};

/// Room for the adverts that arrive while we are busy; the kernel doubles it.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// The sockets of one interface.
#[derive(Debug)]
pub struct LinuxPackets {
    index: u32,
    /// IP protocol 112, bound to the interface, member of the group.
    raw: AsyncFd<OwnedFd>,
    /// Receives gratuitous ARP.
    arp: AsyncFd<OwnedFd>,
    /// Sends whole frames, where the source address is not the interface's.
    frames: Socket,
    group: SockAddr,
    source: Option<Ipv4Addr>,
    frame: BytesMut,
}

impl LinuxPackets {
    /// Opens an interface.
    ///
    /// # Errors
    /// What the kernel says: [`io::ErrorKind::PermissionDenied`] without `CAP_NET_RAW`, "no such
    /// device" if the interface is gone.
    pub fn open(port: &Port) -> io::Result<Self> {
        Ok(Self {
            index: port.index,
            raw: sys::register_for_reading(raw_socket(port)?.into())?,
            arp: sys::register_for_reading(arp_socket(port.index)?.into())?,
            frames: sending_socket(port.index)?,
            group: SockAddr::from(std::net::SocketAddrV4::new(GROUP_IPV4, 0)),
            source: None,
            frame: BytesMut::with_capacity(128),
        })
    }

    fn set_source(&mut self, source: Ipv4Addr) -> io::Result<()> {
        if self.source != Some(source) {
            sys::set_multicast_source(self.raw.get_ref().as_fd(), self.index, source)?;
            self.source = Some(source);
        }
        Ok(())
    }

    fn poll_advert(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        poll_socket(&self.raw, cx, |socket| {
            let (len, ttl) = sys::receive_with_ttl(socket.as_fd(), buffer)?;
            Ok(Some(Received::Ipv4 { len, ttl }))
        })
    }

    fn poll_announcement(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Received>> {
        poll_socket(&self.arp, cx, |socket| {
            let mut frame = [0; arp::FRAME_LEN];
            let len = rustix::net::recv(socket, &mut frame, rustix::net::RecvFlags::empty())?.0;
            let packet = frame[..len].get(ethernet::HEADER_LEN..).unwrap_or(&[]);
            Ok(arp::parse(packet)
                .ok()
                .map(|(announcement, _)| Received::Announcement(announcement.address.into())))
        })
    }
}

impl PacketIo for LinuxPackets {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        // Adverts first: what a neighbour announces is to be seen in the light of what it advertised.
        match self.poll_advert(cx, buffer) {
            Poll::Ready(received) => Poll::Ready(received),
            Poll::Pending => self.poll_announcement(cx),
        }
    }

    fn send(&mut self, advert: &Transmit<'_>, source_mac: Option<MacAddr>) -> io::Result<()> {
        let IpAddr::V4(source) = advert.source else {
            return Err(io::Error::other("an IPv6 source address on an IPv4 socket"));
        };
        let sent = match source_mac {
            None => {
                self.set_source(source)?;
                SockRef::from(self.raw.get_ref()).send_to(advert.payload, &self.group)?
            }
            Some(mac) => {
                self.frame.clear();
                let group = MacAddr::ADVERTISEMENT_IPV4;
                ethernet::emit(&mut self.frame, group, mac, ethernet::TYPE_IPV4);
                ip::emit_ipv4(source, GROUP_IPV4, advert.payload.len(), &mut self.frame);
                self.frame.extend_from_slice(advert.payload);
                let expected = self.frame.len() - advert.payload.len();
                self.frames.send(&self.frame)?.saturating_sub(expected)
            }
        };
        if sent == advert.payload.len() {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::WriteZero, "the advert was cut short"))
        }
    }

    fn kernel_dropped(&self) -> u64 {
        sys::dropped(self.raw.get_ref().as_fd()).unwrap_or(0)
    }
}

/// Receives until there is something to tell or nothing left.
fn poll_socket(
    socket: &AsyncFd<OwnedFd>,
    cx: &mut Context<'_>,
    mut receive: impl FnMut(&OwnedFd) -> io::Result<Option<Received>>,
) -> Poll<io::Result<Received>> {
    loop {
        let mut guard = std::task::ready!(socket.poll_read_ready(cx))?;
        match guard.try_io(|socket| receive(socket.get_ref())) {
            Ok(Ok(Some(received))) => return Poll::Ready(Ok(received)),
            Ok(Ok(None)) | Err(_) => {}
            Ok(Err(error)) => return Poll::Ready(Err(error)),
        }
    }
}

fn raw_socket(port: &Port) -> io::Result<Socket> {
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
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.join_multicast_v4_n(&GROUP_IPV4, &InterfaceIndexOrAddress::Index(port.index))?;
    drain(&socket);
    socket.attach_filter(&filter::advert_ids(&port.ids))?;
    Ok(socket)
}

/// Takes out what came before the socket was bound.
fn drain(socket: &Socket) {
    let mut byte = [0];
    while rustix::net::recv(socket, &mut byte, rustix::net::RecvFlags::DONTWAIT).is_ok() {}
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

/// A packet socket that sends whole frames on an interface and receives nothing.
pub(super) fn sending_socket(index: u32) -> io::Result<Socket> {
    let socket = Socket::new_raw(Domain::PACKET, Type::RAW, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&sys::link_address(index, 0)?)?;
    Ok(socket)
}
