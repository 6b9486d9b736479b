//! Listening on a link: every packet of IP protocol 112 that an interface receives or sends.
//!
//! A [`Sniffer`] is a packet socket. The kernel filters for it, stamps the time, and lets in what the
//! network card would pass over otherwise:
//!
//! - *promiscuous mode*, for adverts by unicast between others;
//! - the multicast addresses 01:00:5e:00:00:12 (224.0.0.18) and 33:33:00:00:00:12 (`ff02::12`), because
//!   some cards and hypervisors refuse the first and follow the second.
//!
//! It sends nothing, neither adverts nor IGMP or MLD reports. Switches forward 224.0.0.18 to every port
//! all the same (RFC 4541 section 2.1.2). One that listens to MLD can withhold `ff02::12` from a port
//! where no member is.
//!
//! ```no_run
//! use carp_node::dissect::{Layer, dissect};
//! use carp_node::sniff::{Seen, Sniffer};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let mut sniffer = Sniffer::open("eth0")?; // inside a tokio runtime
//! while let Seen::Frame(frame) = sniffer.next().await? {
//!     if let Some(found) = dissect(frame.bytes, Layer::Link(Sniffer::LINK), frame.cut()) {
//!         println!("{:?}", found.message);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod filter;
mod sys;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use carp_proto::MacAddr;
use rustix::net::netdevice::name_to_index;
use socket2::{Domain, Socket, Type};
use thiserror::Error;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use self::sys::Membership;
use crate::backend::linux::{
    bound_address, dropped, interfaces, link_address, register_for_reading_and_errors, set_option,
};
use crate::capture::Timestamp;
use crate::dissect::LinkType;

/// The longest frame that is read whole: the longest IP packet.
const MAX_FRAME: usize = 65_536;

/// The length of a VLAN tag.
const TAG_LEN: usize = 4;

/// Where a VLAN tag stands in a frame.
const TAG_OFFSET: usize = 12;

/// Room for the packets that arrive while we are busy; the kernel doubles it.
const RECEIVE_BUFFER: usize = 1 << 20;

/// How often to look whether an interface that is down still exists.
const GLANCE: Duration = Duration::from_millis(500);

/// Hears what passes an interface.
#[derive(Debug)]
pub struct Sniffer {
    socket: AsyncFd<OwnedFd>,
    interface: String,
    is_down: bool,
    /// Room for a tag, and a frame.
    buffer: Vec<u8>,
}

/// What a sniffer has seen.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Seen<'a> {
    /// A frame that may carry IP protocol 112, or ARP.
    Frame(LiveFrame<'a>),
    /// The interface went down. Frames follow when it is up again.
    Down,
}

/// A frame from a link, whole with its VLAN tags.
#[derive(Clone, Copy, Debug)]
pub struct LiveFrame<'a> {
    /// When the kernel saw it, to the nanosecond.
    pub time: Option<Timestamp>,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// How many it had.
    pub len: usize,
}

impl LiveFrame<'_> {
    /// Whether it was longer than what was kept.
    #[must_use]
    pub const fn cut(&self) -> bool {
        self.bytes.len() < self.len
    }
}

/// Why nothing can be heard, or nothing any more.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SniffError {
    /// There is no such interface.
    #[error("there is no interface {name}")]
    NoInterface {
        /// The name that was given.
        name: String,
        /// Those that exist.
        present: Vec<String>,
    },
    /// An interface whose frames have no Ethernet header, such as a tunnel.
    #[error("{name} is no Ethernet link (its hardware type is {hardware})")]
    NotEthernet {
        /// The interface.
        name: String,
        /// The kernel's number for its kind, `ARPHRD_…`.
        hardware: u16,
    },
    /// The interface was removed.
    #[error("{name} has gone")]
    Gone {
        /// The interface.
        name: String,
    },
    /// `CAP_NET_RAW` is missing.
    #[error("no packet socket can be opened: {0}")]
    Denied(io::Error),
    /// The operating system refused.
    #[error("cannot listen on {name}: {source}")]
    Io {
        /// The interface.
        name: String,
        /// What it said.
        source: io::Error,
    },
}

impl Sniffer {
    /// The link layer of what is seen.
    pub const LINK: LinkType = LinkType::Ethernet;

    /// Begins to listen, in the network namespace of the calling thread. Must be called inside a tokio
    /// runtime, and not from an asynchronous function.
    ///
    /// # Errors
    /// [`SniffError`].
    pub fn open(interface: &str) -> Result<Self, SniffError> {
        let io = |source| SniffError::Io { name: interface.to_owned(), source };
        let socket =
            Socket::new_raw(Domain::PACKET, Type::RAW, None).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::PermissionDenied => SniffError::Denied(error),
                    _ => io(error),
                }
            })?;
        let index =
            name_to_index(&socket, interface).map_err(|error| missing(interface, error.into()))?;
        prepare(&socket, index).map_err(io)?;
        let hardware = bound_address(socket.as_fd()).map_err(io)?.sll_hatype;
        if ![libc::ARPHRD_ETHER, libc::ARPHRD_LOOPBACK].contains(&hardware) {
            return Err(SniffError::NotEthernet { name: interface.to_owned(), hardware });
        }
        let_more_in(&socket, index, hardware).map_err(io)?;
        let socket = register_for_reading_and_errors(socket.into()).map_err(io)?;
        let buffer = vec![0; TAG_LEN + MAX_FRAME];
        Ok(Self { socket, interface: interface.to_owned(), is_down: false, buffer })
    }

    /// Waits for the next frame. May be cancelled. Needs the timers of the runtime.
    ///
    /// # Errors
    /// [`SniffError::Gone`] if the interface was removed, [`SniffError::Io`] for what else the kernel
    /// says.
    pub async fn next(&mut self) -> Result<Seen<'_>, SniffError> {
        let Self { socket, interface, is_down, buffer } = self;
        let failed = |source| SniffError::Io { name: interface.clone(), source };
        loop {
            let ready = socket.ready(Interest::READABLE | Interest::ERROR);
            let limit = if *is_down { GLANCE } else { Duration::MAX };
            let Ok(ready) = timeout(limit, ready).await else {
                still_there(socket, interface)?;
                continue;
            };
            let mut guard = ready.map_err(failed)?;
            let receive =
                |socket: &AsyncFd<OwnedFd>| sys::receive(socket.as_fd(), &mut buffer[TAG_LEN..]);
            match guard.try_io(receive) {
                Ok(Ok(received)) => {
                    *is_down = false;
                    return Ok(Seen::Frame(frame(buffer, received)));
                }
                Ok(Err(error)) if error.raw_os_error() == Some(libc::ENETDOWN) => {
                    *is_down = true;
                    return still_there(socket, interface).map(|()| Seen::Down);
                }
                Ok(Err(error)) => return Err(failed(error)),
                Err(_) => {}
            }
        }
    }

    /// How many packets the kernel dropped because they were not taken fast enough.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        dropped(self.socket.as_fd()).unwrap_or(0)
    }
}

/// An interface that is removed goes down first, and only that wakes a socket.
fn still_there(socket: &AsyncFd<OwnedFd>, interface: &str) -> Result<(), SniffError> {
    let name = interface.to_owned();
    match bound_address(socket.as_fd()) {
        // One that has gone is index -1.
        Ok(address) if address.sll_ifindex > 0 => Ok(()),
        Ok(_) => Err(SniffError::Gone { name }),
        Err(source) => Err(SniffError::Io { name, source }),
    }
}

fn missing(interface: &str, error: io::Error) -> SniffError {
    match error.raw_os_error() {
        Some(libc::ENODEV) => SniffError::NoInterface {
            name: interface.to_owned(),
            present: interfaces().unwrap_or_default(),
        },
        _ => SniffError::Io { name: interface.to_owned(), source: error },
    }
}

/// Has the socket hear an interface. It hears nothing before the filter is in place: without a protocol
/// a packet socket receives nothing.
fn prepare(socket: &Socket, index: u32) -> io::Result<()> {
    socket.attach_filter(&filter::adverts())?;
    socket.set_nonblocking(true)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
    let fd = socket.as_fd();
    set_option(fd, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS, 1)?;
    set_option(fd, libc::SOL_PACKET, libc::PACKET_AUXDATA, 1)?;
    socket.bind(&link_address(index, libc::ETH_P_ALL as u16)?)
}

/// Has the network card pass on what is not for this host.
fn let_more_in(socket: &Socket, index: u32, hardware: u16) -> io::Result<()> {
    let fd = socket.as_fd();
    if hardware == libc::ARPHRD_LOOPBACK {
        // There, everything that is sent is received as well. Kernels before 4.20 show it twice.
        let _ = set_option(fd, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1);
        return Ok(());
    }
    sys::join(fd, index, Membership::Promiscuous)?;
    for group in [MacAddr::ADVERTISEMENT_IPV4, MacAddr::ADVERTISEMENT_IPV6] {
        sys::join(fd, index, Membership::Multicast(group))?;
    }
    Ok(())
}

/// The frame that was received behind the room for a tag, with the tag that the kernel took off.
fn frame(buffer: &mut [u8], received: sys::Received) -> LiveFrame<'_> {
    let sys::Received { len, time, tag } = received;
    let end = TAG_LEN + len.min(MAX_FRAME);
    let time = time.and_then(|(seconds, nanos)| {
        let (seconds, nanos) = (u32::try_from(seconds).ok()?, u32::try_from(nanos).ok()?);
        Timestamp::of_parts(seconds, nanos, 9)
    });
    match tag {
        Some((ethertype, control)) if len >= TAG_OFFSET => {
            buffer.copy_within(TAG_LEN..TAG_LEN + TAG_OFFSET, 0);
            buffer[TAG_OFFSET..][..2].copy_from_slice(&ethertype.to_be_bytes());
            buffer[TAG_OFFSET + 2..][..2].copy_from_slice(&control.to_be_bytes());
            LiveFrame { time, bytes: &buffer[..end], len: len + TAG_LEN }
        }
        Some(_) | None => LiveFrame { time, bytes: &buffer[TAG_LEN..end], len },
    }
}

#[cfg(test)]
mod tests;
