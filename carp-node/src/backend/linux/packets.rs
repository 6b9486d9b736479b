//! Adverts on an interface: a raw IP socket a family, and packet sockets beside them.

use std::fmt::Display;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll};

use bytes::BytesMut;
use carp_proto::wire::ethernet;
use carp_proto::wire::ip::{self, GROUP_IPV4, GROUP_IPV6};
use carp_proto::{Family, MacAddr, Transmit};
use socket2::{Domain, Socket, Type};
use tokio::io::unix::AsyncFd;

use super::ipv4::Ipv4Sockets;
use super::ipv6::Ipv6Sockets;
use super::sys;
use crate::backend::{Listening, PacketIo, Port, Received};

/// Room for what arrives while we are busy or wait for a processor; the kernel doubles it. It counts what
/// a packet takes of its memory, 832 bytes for an advert: 2521 adverts, 50 ms of 50 000 a second.
const RECEIVE_BUFFER: usize = 1 << 20;

/// Adverts after which announcements have a turn.
const ADVERTS: u32 = 64;

/// The sockets of one interface, for the families that are spoken on it.
#[derive(Debug)]
pub struct LinuxPackets {
    ipv4: Option<Ipv4Sockets>,
    ipv6: Option<Ipv6Sockets>,
    /// Sends whole frames, where the source address is not the interface's.
    frames: Socket,
    frame: BytesMut,
    /// Whose turn it is to be asked first, so that a flood in one family does not silence the other.
    turn: Family,
    /// Adverts since announcements were asked for.
    adverts: u32,
}

impl LinuxPackets {
    /// Opens an interface.
    ///
    /// # Errors
    /// What the kernel says: [`io::ErrorKind::PermissionDenied`] without `CAP_NET_RAW`, "no such
    /// device" if the interface is gone.
    pub fn open(port: &Port) -> io::Result<Self> {
        Ok(Self {
            ipv4: port.families.ipv4.then(|| Ipv4Sockets::open(port)).transpose()?,
            ipv6: port.families.ipv6.then(|| Ipv6Sockets::open(port)).transpose()?,
            frames: sending_socket(port.index)?,
            frame: BytesMut::with_capacity(128),
            turn: Family::Ipv4,
            adverts: 0,
        })
    }

    fn poll_advert(
        &mut self,
        family: Family,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        match (family, &mut self.ipv4, &mut self.ipv6) {
            (Family::Ipv4, Some(ipv4), _) => ipv4.poll_advert(cx, buffer),
            (Family::Ipv6, _, Some(ipv6)) => ipv6.poll_advert(cx, buffer),
            (Family::Ipv4, None, _) | (Family::Ipv6, _, None) => Poll::Pending,
        }
    }

    /// What a neighbour says. A link that returns our own frames is none, and says nothing of use.
    fn poll_neighbour(
        &mut self,
        family: Family,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<Received>> {
        let polled = match (family, &self.ipv4, &self.ipv6) {
            (Family::Ipv4, Some(ipv4), _) => ipv4.poll_neighbour(cx),
            (Family::Ipv6, _, Some(ipv6)) => ipv6.poll_neighbour(cx),
            (Family::Ipv4, None, _) | (Family::Ipv6, _, None) => Poll::Pending,
        };
        match polled {
            Poll::Ready(Ok(Received::Neighbour(said)))
                if said.mac.is_some() && said.mac == sys::bound_mac(self.frames.as_fd())? =>
            {
                Poll::Ready(Ok(Received::Useless))
            }
            polled => polled,
        }
    }

    /// Begins a frame to a group.
    fn begin_frame(&mut self, group: MacAddr, source: MacAddr, ethertype: u16) -> &mut BytesMut {
        self.frame.clear();
        ethernet::emit(&mut self.frame, group, source, ethertype);
        &mut self.frame
    }

    /// Sends the frame with this payload; returns how many bytes of it were sent.
    fn send_frame(&mut self, payload: &[u8]) -> io::Result<usize> {
        let headers = self.frame.len();
        self.frame.extend_from_slice(payload);
        Ok(self.frames.send(&self.frame)?.saturating_sub(headers))
    }
}

impl PacketIo for LinuxPackets {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        let order = match self.turn {
            Family::Ipv4 => [Family::Ipv4, Family::Ipv6],
            Family::Ipv6 => [Family::Ipv6, Family::Ipv4],
        };
        self.turn = order[1];
        // Adverts first: what a neighbour says is to be seen in the light of what it advertised. But
        // there may be no end of them.
        if self.adverts < ADVERTS {
            for family in order {
                if let Poll::Ready(received) = self.poll_advert(family, cx, buffer) {
                    self.adverts += 1;
                    return Poll::Ready(received);
                }
            }
        }
        let had_enough = std::mem::take(&mut self.adverts) >= ADVERTS;
        for family in order {
            if let Poll::Ready(received) = self.poll_neighbour(family, cx) {
                return Poll::Ready(received);
            }
        }
        if had_enough { self.poll_receive(cx, buffer) } else { Poll::Pending }
    }

    fn send(&mut self, advert: &Transmit<'_>, source_mac: Option<MacAddr>) -> io::Result<()> {
        let payload = advert.payload;
        let sent = match (advert.source, advert.destination, source_mac) {
            (IpAddr::V4(source), IpAddr::V4(GROUP_IPV4), Some(mac)) => {
                let frame = self.begin_frame(MacAddr::ADVERTISEMENT_IPV4, mac, ethernet::TYPE_IPV4);
                ip::emit_ipv4(source, GROUP_IPV4, payload.len(), frame);
                self.send_frame(payload)?
            }
            (IpAddr::V6(source), IpAddr::V6(GROUP_IPV6), Some(mac)) => {
                let frame = self.begin_frame(MacAddr::ADVERTISEMENT_IPV6, mac, ethernet::TYPE_IPV6);
                ip::emit_ipv6_advert(source, GROUP_IPV6, payload.len(), frame);
                self.send_frame(payload)?
            }
            (IpAddr::V4(source), IpAddr::V4(to), _) => {
                opened(self.ipv4.as_ref(), to)?.send(source, to, payload)?
            }
            (IpAddr::V6(source), IpAddr::V6(to), _) => {
                opened(self.ipv6.as_ref(), to)?.send(source, to, payload)?
            }
            (source @ IpAddr::V4(_), to @ IpAddr::V6(_), _)
            | (source @ IpAddr::V6(_), to @ IpAddr::V4(_), _) => {
                let text =
                    format!("{to} cannot be reached from {source}: give it one of its family");
                return Err(io::Error::other(text));
            }
        };
        if sent == payload.len() {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::WriteZero, "the advert was cut short"))
        }
    }

    fn listen(&mut self, listening: Listening) -> io::Result<()> {
        if let Some(ipv4) = &self.ipv4 {
            ipv4.listen(listening)?;
        }
        self.ipv6.as_ref().map_or(Ok(()), |ipv6| ipv6.listen(listening))
    }

    fn kernel_dropped(&self) -> u64 {
        let ipv4 = self.ipv4.as_ref().map_or(0, Ipv4Sockets::kernel_dropped);
        ipv4 + self.ipv6.as_ref().map_or(0, Ipv6Sockets::kernel_dropped)
    }
}

/// The sockets for a destination, if its family was asked for.
fn opened<S>(sockets: Option<&S>, to: impl Display) -> io::Result<&S> {
    sockets.ok_or_else(|| io::Error::other(format!("nothing is open for the family of {to}")))
}

/// Receives one thing, if there is one.
pub(super) fn poll_socket(
    socket: &AsyncFd<OwnedFd>,
    cx: &mut Context<'_>,
    mut receive: impl FnMut(&OwnedFd) -> io::Result<Option<Received>>,
) -> Poll<io::Result<Received>> {
    loop {
        let mut guard = std::task::ready!(socket.poll_read_ready(cx))?;
        // Where nothing was there the socket counts as not ready, and is waited for.
        if let Ok(received) = guard.try_io(|socket| receive(socket.get_ref())) {
            return Poll::Ready(received.map(|it| it.unwrap_or(Received::Useless)));
        }
    }
}

/// Gives a socket its room, more of it than others may have (`SO_RCVBUFFORCE`) where that is allowed.
pub(super) fn set_receive_buffer(socket: &Socket) -> io::Result<()> {
    let size = i32::try_from(RECEIVE_BUFFER).map_err(io::Error::other)?;
    let forced = sys::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, size);
    forced.or_else(|_| socket.set_recv_buffer_size(RECEIVE_BUFFER))
}

/// Takes out what came before a socket was bound.
pub(super) fn drain(socket: &Socket) {
    let mut byte = [0];
    while rustix::net::recv(socket, &mut byte, rustix::net::RecvFlags::DONTWAIT).is_ok() {}
}

/// A packet socket that sends whole frames on an interface and receives nothing.
pub(super) fn sending_socket(index: u32) -> io::Result<Socket> {
    let socket = Socket::new_raw(Domain::PACKET, Type::RAW, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&sys::link_address(index, 0)?)?;
    Ok(socket)
}
