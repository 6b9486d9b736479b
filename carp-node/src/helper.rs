//! Processes of our own: this program, executed once more under another name.
//!
//! Such a *helper* is started before the daemon has threads and before it gives its privileges away. Its
//! standard input is one end of a socket pair, over which it says hello when it is ready. `main` must
//! begin with the helper's `init`, which serves there instead of returning.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::{self, Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

/// How long a new helper may take to say hello.
const HELLO_LIMIT: Duration = Duration::from_secs(5);

/// Signals that mean the daemon, or the terminal's foreground group, and no helper.
pub(crate) const NOT_FOR_HELPERS: [libc::c_int; 8] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGPIPE,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTSTP,
];

/// A kind of helper.
#[derive(Debug)]
pub(crate) struct Helper {
    /// What people call it, and the module that has its `init`. The process is called `carp-TITLE`.
    title: &'static str,
    /// Whether `init` has been called, so that a child that executes this program again will too.
    initialised: AtomicBool,
}

/// Where the standard output of a helper goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Output {
    /// Nowhere.
    Null,
    /// Where its standard input is, so that it has no other file.
    Socket,
}

impl Helper {
    pub(crate) const fn new(title: &'static str) -> Self {
        Self { title, initialised: AtomicBool::new(false) }
    }

    /// Serves and exits if this process was started as this helper; otherwise returns at once.
    pub(crate) fn init(&self, serve: fn() -> i32) {
        self.initialised.store(true, Ordering::Relaxed);
        let is_socket = || rustix::net::sockopt::socket_type(io::stdin());
        if self.has_its_name() && is_socket() == Ok(SocketType::SEQPACKET) {
            process::exit(serve());
        }
    }

    /// Starts one, and has it greeted: `greet` is given our end of the socket. Returns the process and
    /// that end.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if [`init`](Self::init) was not called in this process: the child
    /// would run the host's `main` instead, so nothing is started. Otherwise what the system said about
    /// starting `/proc/self/exe`, or what `greet` said; the child has been killed then.
    pub(crate) fn start(
        &self,
        output: Output,
        greet: impl FnOnce(&OwnedFd) -> io::Result<()>,
    ) -> io::Result<(Child, OwnedFd)> {
        if !self.initialised.load(Ordering::Relaxed) || self.has_its_name() {
            let title = self.title;
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                format!(
                    "the {title} cannot be started: carp_node::{title}::init() was not called first \
                     in main"
                ),
            ));
        }
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let (ours, theirs) = socketpair(family, kind, SocketFlags::CLOEXEC, None)?;
        let mut child = self.execute(theirs, output)?;
        match greet(&ours) {
            Ok(()) => Ok((child, ours)),
            Err(error) => {
                child.kill()?;
                child.wait()?;
                Err(error)
            }
        }
    }

    fn execute(&self, socket: OwnedFd, output: Output) -> io::Result<Child> {
        let output = match output {
            Output::Null => Stdio::null(),
            Output::Socket => Stdio::from(socket.try_clone()?),
        };
        Command::new("/proc/self/exe")
            .arg0(self.name())
            .stdin(Stdio::from(socket))
            .stdout(output)
            .spawn()
            .map_err(|error| {
                io::Error::new(error.kind(), format!("cannot start the {}: {error}", self.title))
            })
    }

    /// Waits until the helper has said something, or has ended.
    ///
    /// # Errors
    /// [`io::ErrorKind::TimedOut`] after 5 s.
    pub(crate) fn await_hello(&self, socket: &OwnedFd) -> io::Result<()> {
        let deadline = Instant::now() + HELLO_LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Err(self.no_hello(io::ErrorKind::TimedOut, "did not say hello")),
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The error that it has ended, or said something else than hello.
    pub(crate) fn ended(&self) -> io::Error {
        let what = "ended before it said hello, perhaps with a reason on standard error";
        self.no_hello(io::ErrorKind::UnexpectedEof, what)
    }

    fn no_hello(&self, kind: io::ErrorKind, what: &str) -> io::Error {
        let title = self.title;
        let hint = format!("is carp_node::{title}::init() the first call in main?");
        io::Error::new(kind, format!("the {title} {what}: {hint}"))
    }

    fn name(&self) -> String {
        format!("carp-{}", self.title)
    }

    fn has_its_name(&self) -> bool {
        std::env::args_os().next().is_some_and(|name| *name == *self.name())
    }
}
