//! Datagrams that were received together: one system call takes many out of a socket's queue.

use std::io;
use std::net::Ipv6Addr;
use std::os::fd::{AsFd, OwnedFd};
use std::task::{Context, Poll, ready};

use carp_proto::RxMeta;
use tokio::io::unix::AsyncFd;

use super::sieve::Sieve;
use super::sys;

/// At most this many in one system call.
pub(super) const SLOTS: usize = 32;

/// Room for one: more than the longest advert with its header. What is longer is cut.
const SLOT_LEN: usize = 4608;

/// What came with a datagram, as far as the socket was asked to tell it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Slot {
    pub(super) len: usize,
    pub(super) ttl: Option<u8>,
    /// The sender, on IPv6 sockets.
    pub(super) source: Option<Ipv6Addr>,
    pub(super) destination: Option<Ipv6Addr>,
}

impl Slot {
    /// What the headers of an IPv6 packet said.
    ///
    /// # Errors
    /// If the kernel did not tell all of it.
    pub(super) fn meta_ipv6(self) -> io::Result<RxMeta> {
        let (Some(source), Some(destination), Some(ttl)) =
            (self.source, self.destination, self.ttl)
        else {
            return Err(io::Error::other("the kernel did not say what an IPv6 header said"));
        };
        Ok(RxMeta { source: source.into(), destination: destination.into(), ttl })
    }
}

/// Room for datagrams that have been received and not been handled yet. Pages of it are used only while
/// more than one arrives at a time.
#[derive(Debug)]
pub(super) struct Batch {
    bytes: Box<[u8]>,
    slots: [Slot; SLOTS],
    /// Those that are left.
    next: usize,
    end: usize,
    sieve: Sieve,
}

impl Batch {
    /// For a socket with the usual filter of the sieve.
    pub(super) fn new(sieve: Sieve) -> Self {
        Self {
            bytes: vec![0; SLOTS * SLOT_LEN].into(),
            slots: [Slot::default(); SLOTS],
            next: 0,
            end: 0,
            sieve,
        }
    }

    /// The next datagram, copied to a buffer, and what came with it. Its length is that of what was
    /// copied.
    pub(super) fn poll_next(
        &mut self,
        socket: &AsyncFd<OwnedFd>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Slot>> {
        if self.next == self.end {
            ready!(self.poll_fill(socket, cx))?;
        }
        let mut slot = self.slots[self.next];
        let bytes = &self.bytes[self.next * SLOT_LEN..];
        slot.len = slot.len.min(buffer.len());
        buffer[..slot.len].copy_from_slice(&bytes[..slot.len]);
        self.next += 1;
        Poll::Ready(Ok(slot))
    }

    /// Takes what is there, at least one.
    fn poll_fill(
        &mut self,
        socket: &AsyncFd<OwnedFd>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.sieve.review(socket.get_ref());
        loop {
            let mut guard = ready!(socket.poll_read_ready(cx))?;
            let filled = guard.try_io(|socket| {
                sys::receive_many(socket.as_fd(), &mut self.bytes, SLOT_LEN, &mut self.slots)
            });
            let Ok(filled) = filled else { continue };
            (self.next, self.end) = (0, filled?);
            // The queue was empty for a moment. What came since then has made the socket ready anew, and
            // that is not cleared: one call is saved an advert.
            if self.end < SLOTS {
                guard.clear_ready();
            } else {
                self.sieve.note_long_queue(socket.get_ref());
            }
            if self.end > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
