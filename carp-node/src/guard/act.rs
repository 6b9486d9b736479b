//! What the guard does when it acts. Nothing here allocates.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::board::{Board, Kind, ORDER_BYTES, Order, PACKET_BYTES, Router};
use crate::backend::linux::{link_address, set_option};

/// `SO_BINDTOIFINDEX`: the interface that packets leave by.
const SO_BINDTOIFINDEX: i32 = 62;

/// `NLMSG_ERROR`: the kernel's answer to a request, also to one that worked.
const ANSWER: u16 = 2;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) done: u32,
    pub(super) failed: u32,
    /// The last error.
    pub(super) error: Option<i32>,
}

impl Tally {
    fn count(&mut self, outcome: Result<(), i32>) {
        match outcome {
            Ok(()) => self.done = self.done.saturating_add(1),
            Err(error) => {
                self.failed = self.failed.saturating_add(1);
                self.error = Some(error);
            }
        }
    }
}

/// The sockets that it takes. They receive nothing, and belong to no interface, so that one that is
/// deleted and made again changes nothing.
#[derive(Debug)]
pub(super) struct Hands {
    netlink: OwnedFd,
    frames: Socket,
    ipv4: Socket,
    /// `None` where the kernel has no IPv6.
    ipv6: Option<Socket>,
}

impl Hands {
    pub(super) fn open() -> io::Result<Self> {
        // Protocol 0 of this family is NETLINK_ROUTE.
        let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
        let netlink = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        rustix::net::connect(&netlink, &SocketAddrNetlink::new(0, 0))?;
        // Protocol IPPROTO_RAW: whole packets are sent, and nothing is received.
        let raw =
            |domain| Socket::new_raw(domain, Type::RAW, Some(Protocol::from(libc::IPPROTO_RAW)));
        let ipv4 = raw(Domain::IPV4)?;
        ipv4.set_multicast_loop_v4(false)?;
        let ipv6 = raw(Domain::IPV6).ok();
        if let Some(socket) = &ipv6 {
            socket.set_multicast_loop_v6(false)?;
        }
        let frames = Socket::new_raw(Domain::PACKET, Type::RAW, None)?;
        for socket in [Some(&frames), Some(&ipv4), ipv6.as_ref()].into_iter().flatten() {
            socket.set_nonblocking(true)?;
        }
        Ok(Self { netlink, frames, ipv4, ipv6 })
    }

    /// Removes every address that we have added, and switches off the devices that we have made for
    /// them.
    pub(super) fn take_down(&self, board: Board<'_>) -> Tally {
        let mut tally = Tally::default();
        for router in board.routers() {
            for address in router.addresses().filter(|address| address.is_given()) {
                tally.count(self.request(address));
            }
        }
        // Of a device that stays on, nobody notices anything once its addresses are gone.
        for device in board.routers().filter_map(Router::device) {
            let _ = self.request(device);
        }
        tally
    }

    /// Sends the resignation of every router whose addresses we had: on every path, once.
    pub(super) fn resign(&self, board: Board<'_>) -> Tally {
        let (mut tally, mut buffer) = (Tally::default(), [0; PACKET_BYTES]);
        for router in board.routers().filter(|router| router.holds()) {
            let mut packets = router.resignation();
            while let Some((kind, interface, packet)) = packets.next(&mut buffer) {
                let code = |error: io::Error| error.raw_os_error().unwrap_or(0);
                tally.count(self.send(kind, interface, packet).map_err(code));
            }
        }
        tally
    }

    /// Sends a request and takes the answers. What is gone already is no error.
    fn request(&self, order: Order<'_>) -> Result<(), i32> {
        let mut buffer = [0; ORDER_BYTES];
        let Some(request) = order.read(&mut buffer) else { return Ok(()) };
        let sent = rustix::net::send(&self.netlink, request, SendFlags::empty());
        sent.map_err(Errno::raw_os_error)?;
        // The kernel has done what it was asked for, and answered, when `send` returns.
        let mut outcome = Ok(());
        while let Ok((len, _)) = rustix::net::recv(&self.netlink, &mut buffer, RecvFlags::DONTWAIT)
        {
            match buffer.get(..len).and_then(error_in) {
                None | Some(0 | libc::EADDRNOTAVAIL | libc::ENODEV) => {}
                Some(error) => outcome = Err(error),
            }
        }
        outcome
    }

    fn send(&self, kind: Kind, interface: u32, packet: &[u8]) -> io::Result<()> {
        match kind {
            Kind::Frame => self.frames.send_to(packet, &link_address(interface, 0)?).map(drop),
            Kind::Packet => {
                let unreadable = io::ErrorKind::InvalidData;
                let destination = destination(packet, interface).ok_or(unreadable)?;
                let socket = match destination {
                    SocketAddr::V4(_) => Some(&self.ipv4),
                    SocketAddr::V6(_) => self.ipv6.as_ref(),
                };
                let socket = socket.ok_or(io::ErrorKind::Unsupported)?;
                let interface = i32::try_from(interface).map_err(|_| unreadable)?;
                set_option(socket.as_fd(), libc::SOL_SOCKET, SO_BINDTOIFINDEX, interface)?;
                socket.send_to(packet, &SockAddr::from(destination)).map(drop)
            }
        }
    }
}

/// The error number in an answer of the kernel.
fn error_in(answer: &[u8]) -> Option<i32> {
    let kind = u16::from_ne_bytes(*answer.get(4..)?.first_chunk()?);
    let code = i32::from_ne_bytes(*answer.get(16..)?.first_chunk()?);
    (kind == ANSWER).then(|| code.wrapping_neg())
}

/// Where an IP packet goes.
fn destination(packet: &[u8], interface: u32) -> Option<SocketAddr> {
    match packet.first()? >> 4 {
        4 => {
            let octets: [u8; 4] = *packet.get(16..)?.first_chunk()?;
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(octets)), 0))
        }
        6 => {
            let octets: [u8; 16] = *packet.get(24..)?.first_chunk()?;
            Some(SocketAddrV6::new(Ipv6Addr::from(octets), 0, 0, interface).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_destination_is_read_from_the_header() {
        let mut packet = [0; 60];
        packet[0] = 0x45;
        packet[16..20].copy_from_slice(&[224, 0, 0, 18]);
        assert_eq!(destination(&packet, 3), Some("224.0.0.18:0".parse().unwrap()));
        packet[0] = 0x60;
        packet[24..40].copy_from_slice(&Ipv6Addr::LOCALHOST.octets());
        let expected = SocketAddrV6::new(Ipv6Addr::LOCALHOST, 0, 0, 3);
        assert_eq!(destination(&packet, 3), Some(expected.into()));
        assert_eq!((destination(&packet[..30], 3), destination(&[], 3)), (None, None));
        assert_eq!(destination(&[0; 60], 3), None);
    }

    #[test]
    fn an_answer_is_an_error_number_or_none() {
        let mut answer = [0; 36];
        answer[4] = 2;
        assert_eq!(error_in(&answer), Some(0));
        answer[16..20].copy_from_slice(&(-libc::EPERM).to_ne_bytes());
        assert_eq!(error_in(&answer), Some(libc::EPERM));
        assert_eq!(error_in(&answer[..18]), None);
        answer[4] = 20;
        assert_eq!(error_in(&answer), None);
    }
}
