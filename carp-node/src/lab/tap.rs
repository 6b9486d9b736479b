//! Listening on the wire, with the kernel's time stamps.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use std::{fmt, io};

use carp_proto::wire::arp::{self, Announcement, Form};
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::ip::RxMeta;
use carp_proto::wire::{ethernet, ip};
use carp_proto::{MacAddr, Protocol};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::OwnedFd;
use socket2::{Domain, SockFilter, Socket, Type};

use super::clock::instant;
use super::error::Doing;
use super::net::NetNs;
use super::process::lock;
use super::{LabError, sys};
use crate::backend::linux::link_address;
use crate::bpf::{ALL, JUMP_EQUAL, LOAD_BYTE_ABSOLUTE, LOAD_HALF_ABSOLUTE, RETURN};

/// Larger than every frame of the lab.
const FRAME_MAX: usize = 2048;

/// Room in the socket for bursts, in bytes.
const RECEIVE_BUFFER: usize = 4 << 20;

/// A listener on a switch or on a port: it keeps every advert (IP protocol 112), every ARP packet and
/// every neighbour advertisement.
#[derive(Debug)]
pub struct Tap {
    frames: Arc<Mutex<Vec<Frame>>>,
    end: Arc<OwnedFd>,
    listener: Option<JoinHandle<()>>,
}

/// A frame, and when the kernel received it.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame {
    /// When it was on the wire.
    pub at: Instant,
    /// The whole Ethernet frame.
    pub bytes: Vec<u8>,
}

impl Tap {
    /// Listens to both directions of a link.
    pub(super) fn open(namespace: &NetNs, index: u32) -> Result<Self, LabError> {
        Self::open_filtered(namespace, index, &FILTER)
    }

    /// Listens to what a link receives, and not to what is sent out on it.
    pub(super) fn open_received(namespace: &NetNs, index: u32) -> Result<Self, LabError> {
        let filter: Vec<_> = RECEIVED.into_iter().chain(FILTER).collect();
        Self::open_filtered(namespace, index, &filter)
    }

    fn open_filtered(
        namespace: &NetNs,
        index: u32,
        filter: &[SockFilter],
    ) -> Result<Self, LabError> {
        let open = || -> io::Result<Self> {
            let socket = namespace.run(|| socket(index, filter))??;
            let end = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
            let frames = Arc::<Mutex<Vec<Frame>>>::default();
            let (sink, ending) = (Arc::clone(&frames), Arc::clone(&end));
            let listen = move || while listen_once(&socket, &ending, &sink).is_ok() {};
            let listener = thread::Builder::new().name("lab-tap".into()).spawn(listen)?;
            Ok(Self { frames, end, listener: Some(listener) })
        };
        open().doing(|| "listen on the wire".into())
    }

    /// All frames so far, in the order in which the kernel received them.
    #[must_use]
    pub fn frames(&self) -> Vec<Frame> {
        lock(&self.frames).clone()
    }

    /// The first frame for which `pick` gives something, among those received from `since` on.
    pub fn find<T>(&self, since: Instant, pick: impl FnMut(&Frame) -> Option<T>) -> Option<T> {
        lock(&self.frames).iter().filter(|frame| frame.at >= since).find_map(pick)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        // A failure could only mean that the listener has ended.
        let _ = rustix::io::write(&self.end, &1_u64.to_ne_bytes());
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

impl Frame {
    /// The CARP advert in it, and who sent that.
    #[must_use]
    pub fn carp(&self) -> Option<(IpAddr, Advert)> {
        let (meta, message) = ip::strip_ipv4(self.payload(ethernet::TYPE_IPV4)?).ok()?;
        Some((meta.source, carp::parse(message).ok()?.advert))
    }

    /// Who sent the advert in it, whatever it is: CARP or VRRP, over IPv4 or IPv6.
    #[must_use]
    pub fn advert_source(&self) -> Option<IpAddr> {
        Some(self.advert()?.0.source)
    }

    /// The advert in it, whatever it is: what its IP header says, and its bytes.
    #[must_use]
    pub fn advert(&self) -> Option<(RxMeta, &[u8])> {
        let ipv4 = || ip::strip_ipv4(self.payload(ethernet::TYPE_IPV4)?).ok();
        let ipv6 = || ip::strip_ipv6(self.payload(ethernet::TYPE_IPV6)?).ok();
        ipv4().or_else(ipv6)
    }

    /// The link-layer address that it comes from.
    #[must_use]
    pub fn source(&self) -> Option<MacAddr> {
        self.mac_at(6)
    }

    /// The link-layer address that it goes to.
    #[must_use]
    pub fn destination(&self) -> Option<MacAddr> {
        self.mac_at(0)
    }

    fn mac_at(&self, offset: usize) -> Option<MacAddr> {
        Some(MacAddr(*self.bytes.get(offset..)?.first_chunk()?))
    }

    /// The address that its sender says to have: the answer of ARP (RFC 826) or of neighbour discovery
    /// (RFC 4861 section 4.4), asked for or not.
    #[must_use]
    pub fn answer(&self) -> Option<IpAddr> {
        const ARP_REPLY: &[u8] = &[0, 2];
        let arp = || {
            let packet = self.payload(ethernet::TYPE_ARP)?;
            let sender: [u8; 4] = *packet.get(14..)?.first_chunk()?;
            (packet.get(6..8)? == ARP_REPLY).then(|| sender.into())
        };
        let ndp = || {
            let packet = self.payload(ethernet::TYPE_IPV6)?;
            let (kind, target) = (packet.get(ip::IPV6_HEADER_LEN)?, packet.get(48..)?);
            let target: [u8; 16] = *target.first_chunk()?;
            (*kind == NEIGHBOUR_ADVERTISEMENT).then(|| target.into())
        };
        arp().or_else(ndp)
    }

    /// The gratuitous ARP in it.
    #[must_use]
    pub fn announcement(&self) -> Option<(Announcement, Form)> {
        arp::parse(self.payload(ethernet::TYPE_ARP)?).ok()
    }

    /// What is in a frame of the given type.
    fn payload(&self, ethertype: u16) -> Option<&[u8]> {
        let (header, payload) = self.bytes.split_at_checked(ethernet::HEADER_LEN)?;
        header.ends_with(&ethertype.to_be_bytes()).then_some(payload)
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:?}, ", self.at)?;
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

fn socket(index: u32, filter: &[SockFilter]) -> io::Result<Socket> {
    // Protocol 0 hears nothing: the filter is in place before the first frame comes.
    let socket = Socket::new(Domain::PACKET, Type::RAW, None)?;
    socket.attach_filter(filter)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    sys::enable_timestamps(&socket)?;
    socket.bind(&link_address(index, libc::ETH_P_ALL as u16)?)?;
    Ok(socket)
}

/// Waits for a frame and keeps it; an error when the tap is to end.
fn listen_once(socket: &Socket, end: &OwnedFd, frames: &Mutex<Vec<Frame>>) -> io::Result<()> {
    let mut ready = [PollFd::new(socket, PollFlags::IN), PollFd::new(end, PollFlags::IN)];
    poll(&mut ready, None)?;
    if !ready[1].revents().is_empty() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let mut buffer = [0; FRAME_MAX];
    let (length, stamp) = match sys::receive_stamped(socket.as_fd(), &mut buffer) {
        // The link went down: that is told once, and what comes after is received again.
        Err(error) if error.raw_os_error() == Some(libc::ENETDOWN) => return Ok(()),
        // There was nothing after all.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
        result => result?,
    };
    lock(frames).push(Frame { at: instant(stamp), bytes: buffer[..length].to_vec() });
    Ok(())
}

/// The type of ICMPv6 with which a host says which address it has (RFC 4861 section 4.4).
const NEIGHBOUR_ADVERTISEMENT: u8 = 136;

const JUMP: u16 = (libc::BPF_JMP | libc::BPF_JA) as u16;

const fn op(code: u16, k: u32, jt: u8, jf: u8) -> SockFilter {
    SockFilter::new(code, jt, jf, k)
}

/// Goes in front of [`FILTER`]: drops what is sent out on the link.
const RECEIVED: [SockFilter; 3] = [
    op(LOAD_BYTE_ABSOLUTE, (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32, 0, 0),
    op(JUMP_EQUAL, libc::PACKET_OUTGOING as u32, 0, 1),
    op(RETURN, 0, 0, 0),
];

/// Lets through ARP, IP protocol 112 in both families, and neighbour advertisements.
const FILTER: [SockFilter; 13] = [
    op(LOAD_HALF_ABSOLUTE, 12, 0, 0),                 // 0: the type
    op(JUMP_EQUAL, ethernet::TYPE_ARP as u32, 9, 0),  // 1: to 11
    op(JUMP_EQUAL, ethernet::TYPE_IPV4 as u32, 0, 2), // 2: or to 5
    op(LOAD_BYTE_ABSOLUTE, ethernet::HEADER_LEN as u32 + 9, 0, 0), // 3: the protocol
    op(JUMP, 5, 0, 0),                                // 4: to 10
    op(JUMP_EQUAL, ethernet::TYPE_IPV6 as u32, 0, 6), // 5: or to 12
    op(LOAD_BYTE_ABSOLUTE, ethernet::HEADER_LEN as u32 + 6, 0, 0), // 6: the next header
    op(JUMP_EQUAL, libc::IPPROTO_ICMPV6 as u32, 0, 2), // 7: or to 10
    op(LOAD_BYTE_ABSOLUTE, 54, 0, 0),                 // 8: the type of ICMPv6
    op(JUMP_EQUAL, NEIGHBOUR_ADVERTISEMENT as u32, 1, 2), // 9: to 11, or to 12
    op(JUMP_EQUAL, Protocol::IP_PROTOCOL as u32, 0, 1), // 10: or to 12
    op(RETURN, ALL, 0, 0),                            // 11: keep it
    op(RETURN, 0, 0, 0),                              // 12: drop it
];

#[cfg(test)]
mod tests {
    use carp_proto::wire::ndp;

    use super::*;
    use crate::lab::mac;

    #[test]
    fn a_frame_is_read_as_what_it_is() {
        let said = Announcement { mac: mac(1), address: [192, 0, 2, 1].into() };
        let mut frame = Frame { at: Instant::now(), bytes: Vec::new() };
        assert_eq!((frame.announcement(), frame.carp()), (None, None));
        arp::emit_frame(said, Form::Reply, &mut frame.bytes);
        assert_eq!((frame.announcement(), frame.carp()), (Some((said, Form::Reply)), None));
        assert_eq!((frame.source(), frame.destination()), (Some(mac(1)), Some(MacAddr([0xff; 6]))));
    }

    #[test]
    fn an_answer_is_read_in_both_families() {
        let mut frame = Frame { at: Instant::now(), bytes: Vec::new() };
        assert_eq!((frame.answer(), frame.source()), (None, None));
        let ipv4 = Announcement { mac: mac(1), address: [192, 0, 2, 1].into() };
        arp::emit_frame(ipv4, Form::Request, &mut frame.bytes);
        assert_eq!(frame.answer(), None, "a question");
        frame.bytes.clear();
        arp::emit_frame(ipv4, Form::Reply, &mut frame.bytes);
        assert_eq!(frame.answer(), Some(ipv4.address.into()));
        frame.bytes.clear();
        let address = "2001:db8::1".parse().unwrap();
        let ipv6 = ndp::Announcement { mac: mac(1), address, router: false, overrides: true };
        ndp::emit_frame(ipv6, &mut frame.bytes);
        assert_eq!(frame.answer(), Some(address.into()));
    }
}
