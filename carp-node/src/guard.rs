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
use std::os::unix::process::CommandExt;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType,
};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

pub use self::handle::{GuardHandle, GuardStatus};
pub use self::post::Post;
pub use self::table::GuardedTable;
use crate::backend::{Backend, Port, Removals};
use crate::clock::boot_time;
use crate::event::EventSource;
use crate::node::RouterSetup;

/// The name under which a process is the guard.
const NAME: &str = "carp-guard";

/// What a guard says when it watches.
const HELLO: &[u8] = b"carp-guard 1";

/// How long a new guard may take to say hello.
const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// Whether [`init`] has been called, so that a child that executes this program again will too.
static INITIALISED: AtomicBool = AtomicBool::new(false);

/// Serves and exits if this process was started as the guard; otherwise returns at once.
///
/// To be called first in `main`, before anything is opened, printed or started.
pub fn init() {
    INITIALISED.store(true, Ordering::Relaxed);
    if is_guard() {
        process::exit(serve::serve());
    }
}

fn is_guard() -> bool {
    has_guards_name() && rustix::net::sockopt::socket_type(io::stdin()) == Ok(SocketType::SEQPACKET)
}

fn has_guards_name() -> bool {
    std::env::args_os().next().is_some_and(|name| name == NAME)
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
        if !INITIALISED.load(Ordering::Relaxed) || has_guards_name() {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "the guard is off: carp_node::guard::init() was not called first in main",
            ));
        }
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (socket, theirs) = rustix::net::socketpair(family, kind, SocketFlags::CLOEXEC, None)?;
        let mut child = execute(theirs)?;
        match hand_over(&socket, &post).and_then(|()| greet(&socket)) {
            Ok(()) => {
                post.hold_line(&socket);
                post.begin_watch(boot_time());
                Ok(Self { child, socket, post })
            }
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    /// The process id of the guard.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A backend whose node is guarded. The node must run the routers that the guard was started for,
    /// in the same order, and the backend's clock must be [`boot_time`](crate::clock::boot_time).
    pub fn around<B: Backend>(&self, backend: B) -> Guarded<B> {
        Guarded { inner: backend, post: self.post.clone() }
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

/// Executes this program once more, as the guard. Its files are the socket and standard error.
fn execute(socket: OwnedFd) -> io::Result<Child> {
    Command::new("/proc/self/exe")
        .arg0(NAME)
        .stdout(Stdio::from(socket.try_clone()?))
        .stdin(Stdio::from(socket))
        .spawn()
        .map_err(|error| io::Error::new(error.kind(), format!("cannot start the guard: {error}")))
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
    let limit = Timespec::try_from(HELLO_LIMIT).map_err(io::Error::other)?;
    if poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&limit))? == 0 {
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the guard did not say hello: is carp_node::guard::init() the first call in main?",
        ));
    }
    let mut said = [0; HELLO.len() + 1];
    let (len, _) = rustix::net::recv(socket, &mut said, RecvFlags::empty())?;
    if said.get(..len) == Some(HELLO) {
        return Ok(());
    }
    Err(io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "the guard ended before it said hello: it has said why on standard error, or \
         carp_node::guard::init() is not the first call in main",
    ))
}

/// A backend whose node is guarded.
#[derive(Clone, Debug)]
pub struct Guarded<B> {
    inner: B,
    post: Post,
}

impl<B: Backend> Backend for Guarded<B> {
    type Packets = B::Packets;
    type Addresses = GuardedTable<B::Addresses>;
    type Announcer = B::Announcer;
    type Links = B::Links;
    type Clock = B::Clock;

    fn open(&mut self, port: &Port) -> io::Result<Self::Packets> {
        self.inner.open(port)
    }

    fn addresses(&mut self) -> io::Result<Self::Addresses> {
        GuardedTable::new(self.inner.addresses()?, self.post.clone())
    }

    fn announcer(&mut self) -> io::Result<Self::Announcer> {
        self.inner.announcer()
    }

    fn watch(&mut self, interfaces: &[String]) -> io::Result<Self::Links> {
        self.inner.watch(interfaces)
    }

    fn clock(&mut self) -> io::Result<Self::Clock> {
        self.inner.clock()
    }

    fn removals(&mut self) -> io::Result<Removals> {
        self.inner.removals()
    }

    fn programs(&self) -> Option<fn() -> Vec<String>> {
        self.inner.programs()
    }

    fn guard(&mut self) -> Option<Post> {
        Some(self.post.clone())
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
