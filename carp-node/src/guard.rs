//! The second process: it takes the addresses down when the first one dies or hangs.
//!
//! A daemon that is killed leaves its addresses on a host that lives, and its successor learns of its
//! death by silence. So `carp run` starts a *guard*: a process of its own that does nothing but
//! watch. When the daemon dies, the guard removes the addresses and sends the resignations that the
//! daemon has kept ready. When the daemon's protocol task hangs, the guard kills the daemon first, so
//! that nothing of it wakes later.
//!
//! ```text
//!  daemon                                                   guard (own session)
//!  protocol task   heartbeat, resignations ──► shared  ──►  reads when its timer says so
//!  address thread  orders to remove        ──► memory
//!                  pidfd of the daemon,    ────────────►  wake it
//!                  end of the line
//! ```
//!
//! # What it does when
//! | happens | the guard |
//! |---|---|
//! | the daemon ends, with no address held | leaves |
//! | the daemon ends, with addresses held | removes them, resigns, resigns again after 10 ms, leaves |
//! | no heartbeat for the limit, with addresses held | kills the daemon, then the same |
//! | it was itself late, by its own clock | waits for one more limit before it judges |
//! | TERM, INT, HUP and others that mean the daemon | ignores them |
//!
//! The limit is three advert intervals of the quickest router whose addresses are held, at least 50 ms
//! and at most 1 s. A daemon that holds nothing is not judged, and neither side has a timer then.
//!
//! # What it touches
//! Addresses that this daemon has added, and no others: not foreign ones, not an owner's. It resigns
//! for a router only if it takes down an address of that router: where the addresses stay, so does the
//! service, and a successor would be a second one.
//!
//! # What it is
//! The program itself, executed once more before the daemon has threads. It keeps two capabilities
//! (`CAP_NET_ADMIN`, `CAP_NET_RAW`), its sockets, the shared memory, the pidfd, and standard error for
//! one line when it has acted. It locks its pages in memory where that is allowed, which
//! [`GuardStatus::locked`] says, and allocates nothing once it watches. When it dies, or does
//! not look for 3 s although addresses are held, the daemon starts another one.
//!
//! # For programs that embed this crate
//! `main` begins with [`init`]. Without it there is no guard, and status says so.
//!
//! ```no_run
//! # fn setups() -> Vec<carp_node::node::RouterSetup> { Vec::new() }
//! fn main() -> std::io::Result<()> {
//!     carp_node::guard::init();
//!     let guard = carp_node::guard::Guard::spawn(&setups())?; // before threads, before privileges drop
//!     let backend = guard.around(carp_node::backend::linux::Linux); // for Node::new
//! #   drop(backend);
//!     Ok(())
//! }
//! ```
//!
//! A program that is stopped (SIGSTOP, Ctrl-Z, a debugger) while it holds addresses is one that hangs:
//! it is killed.

mod act;
mod board;
mod handle;
mod judge;
mod post;
mod request;
mod serve;
mod sys;
mod table;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

pub use self::handle::{GuardHandle, GuardStatus};
pub use self::post::Post;
pub use self::table::GuardedTable;
use crate::backend::around::{Around, Layer};
use crate::backend::{Backend, Port};
use crate::clock::boot_time;
use crate::event::EventSource;
use crate::helper::{Helper, Output};
use crate::node::RouterSetup;

/// What a guard says when it watches.
const HELLO: &[u8] = b"carp-guard 1";

static HELPER: Helper = Helper::new("guard");

/// Serves and exits if this process was started as the guard; otherwise returns at once.
///
/// To be called first in `main`, before anything is opened, printed or started.
pub fn init() {
    HELPER.init(serve::serve);
}

/// A guard that watches.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    socket: OwnedFd,
    post: Post,
}

impl Guard {
    /// Starts a guard for these routers and waits for its hello. Blocks for a few milliseconds.
    ///
    /// Call it before threads are started and before privileges are dropped: locking memory may need
    /// one more than addresses do. The guard gives up what it does not need.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if [`init`] was not called in this process: the child would run
    /// the host's `main` instead, so nothing is started. [`io::ErrorKind::TimedOut`] or
    /// [`io::ErrorKind::UnexpectedEof`] if the child did not say hello; it has been killed. Otherwise
    /// what the system said.
    pub fn spawn(setups: &[RouterSetup]) -> io::Result<Self> {
        Self::start(Post::new(setups)?)
    }

    fn start(post: Post) -> io::Result<Self> {
        let greet = |socket: &OwnedFd| hand_over(socket, &post).and_then(|()| greet(socket));
        let (child, socket) = HELPER.start(Output::Socket, greet)?;
        post.hold_line(&socket);
        post.begin_watch(boot_time());
        Ok(Self { child, socket, post })
    }

    /// The process id of the guard.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A backend whose node is guarded. The node must run the routers that the guard was started for,
    /// in the same order, and the backend's clock must be [`boot_time`](crate::clock::boot_time).
    pub fn around<B: Backend>(&self, backend: B) -> Guarded<B> {
        Around::with(backend, self.post.clone())
    }

    /// Starts another guard whenever one dies, and tells an event of it, on the tokio runtime that this
    /// is called on.
    ///
    /// # Errors
    /// What the system said about registering the socket.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub fn into_handle(self, events: EventSource) -> io::Result<GuardHandle> {
        handle::start(self, events)
    }
}

/// Gives the guard the shared memory, the pidfd of this process, and what wakes it.
fn hand_over(socket: &OwnedFd, post: &Post) -> io::Result<()> {
    let daemon = pidfd_open(getpid(), PidfdFlags::empty())?;
    let files = [post.file().as_fd(), daemon.as_fd(), post.wake_file().as_fd()];
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&files));
    let bytes = [io::IoSlice::new(b"begin")];
    rustix::net::sendmsg(socket, &bytes, &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn greet(socket: &OwnedFd) -> io::Result<()> {
    HELPER.await_hello(socket)?;
    let mut said = [0; HELLO.len() + 1];
    let (len, _) = rustix::net::recv(socket, &mut said, RecvFlags::empty())?;
    if said.get(..len) == Some(HELLO) { Ok(()) } else { Err(HELPER.ended()) }
}

/// A backend whose node is guarded.
pub type Guarded<B> = Around<B, Post>;

impl<B: Backend> Layer<B> for Post {
    type Packets = B::Packets;
    type Addresses = GuardedTable<B::Addresses>;

    fn open(&mut self, inner: &mut B, port: &Port) -> io::Result<Self::Packets> {
        inner.open(port)
    }

    fn addresses(&mut self, inner: &mut B) -> io::Result<Self::Addresses> {
        GuardedTable::new(inner.addresses()?, self.clone())
    }

    fn guard(&mut self, _: &mut B) -> Option<Post> {
        Some(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_init_nothing_is_started() {
        // No test in this program may call init: the child would be the tests once more.
        assert_eq!(Guard::spawn(&[]).unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}
