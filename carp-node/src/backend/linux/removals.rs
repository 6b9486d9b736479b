//! Who removes addresses: the events of the kernel that name who asked for it.
//!
//! They come on a socket and a thread of their own, beside [watching](super::watch), which asks anew what
//! is there: what is known at once can be repaired at once, and a short-lived program is still there to be
//! asked for its name.
//!
//! In IPv4 such an event carries the netlink port of who asked, which for most programs is their process
//! id. It carries none where the kernel did it by itself (a lifetime has ended, the interface goes), where
//! the old `ioctl` was used, and in IPv6. All that is left to watching.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::io::Errno;
use tokio::sync::mpsc;

use super::events::{ADDRESSES_IPV4, hear_removals};
use super::netlink::installed;
use super::programs::program;
use super::requests::messages;
use crate::backend::{Removal, Removals, Remover};

/// Removals that may wait for the protocol task. Those beyond are found by watching.
const QUEUE: usize = 256;

/// Starts to tell removals in the network namespace of the calling thread.
pub(super) fn start() -> io::Result<Removals> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    hear_removals(&socket)?;
    socket.bind(&SocketAddr::new(0, ADDRESSES_IPV4))?;
    socket.set_non_blocking(true)?;
    let end = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
    let (sender, receiver) = mpsc::channel(QUEUE);
    let ending = Arc::clone(&end);
    let listen = move || while wait(&socket, &ending).is_ok_and(|()| tell(&socket, &sender)) {};
    std::thread::Builder::new().name("carp-removals".into()).spawn(listen)?;
    Ok(Removals::new(receiver, End(end)))
}

/// Ends the thread when nobody listens any more.
#[derive(Debug)]
struct End(Arc<OwnedFd>);

impl Drop for End {
    fn drop(&mut self) {
        // A failure could only mean that the thread has ended.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }
}

/// Waits for events. An error is the end.
fn wait(socket: &Socket, end: &OwnedFd) -> io::Result<()> {
    let mut ready =
        [PollFd::new(socket, PollFlags::IN), PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)];
    match poll(&mut ready, None) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    if ready[1].revents().is_empty() { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
}

/// Reads one datagram and tells what it says; false if nobody listens. An overrun loses events, which
/// watching finds.
fn tell(socket: &Socket, sender: &mpsc::Sender<Removal>) -> bool {
    let Ok((bytes, from)) = socket.recv_from_full() else { return !sender.is_closed() };
    // Only the kernel has port 0; any process with the privilege may send to ours.
    if from.port_number() != 0 {
        return true;
    }
    let is_told =
        |removal| !matches!(sender.try_send(removal), Err(mpsc::error::TrySendError::Closed(_)));
    messages(&bytes).flatten().filter_map(removal).all(is_told)
}

/// The removal that an event tells of, if it says who asked for it.
fn removal(message: NetlinkMessage<RouteNetlinkMessage>) -> Option<Removal> {
    let port = message.header.port_number;
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(address)) = message.payload
    else {
        return None;
    };
    if port == 0 {
        return None;
    }
    let removed = installed(&address)?;
    Some(Removal {
        index: address.header.index,
        ip: removed.ip,
        prefix_len: removed.prefix_len,
        by: Remover { port, program: program(port) },
    })
}
