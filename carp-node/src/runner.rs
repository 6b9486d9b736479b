//! The third process: programs that are not ours run there.
//!
//! Hooks, checks and copies are other people's programs. They hang, they flood, they leave children
//! behind. The daemon never starts one itself: it asks the *runner*, a process of its own that has no
//! sockets, no addresses and nothing to lose, and that was started before the daemon gave its
//! privileges away.
//!
//! ```text
//!  daemon                                  runner (own session)
//!  RunnerHandle::run(Job) ── seqpacket ──► one thread a program ──► its own process group
//!                         ◄── JobReport ──
//! ```
//!
//! # What a program gets
//! Its own process group, `/` as working directory, umask 022, `/dev/null` as input, default signal
//! dispositions, no descriptor but the three, and exactly the environment of its [`Job`] with
//! [`PATH`] added. Its output goes into a pipe that is always drained and of which the last
//! [`OUTPUT_LIMIT`] bytes are kept. A program that leaves something running in the background must
//! give that an output of its own: the pipe is closed when the program itself has ended.
//!
//! A [streamed](RunnerHandle::stream) program gets two pipes whose reading ends the daemon has: it is never
//! further ahead than they are long, and its report comes only when nobody of its group lives.
//!
//! # When something dies
//! - A program that outlives its limit: SIGTERM, or what its job says ([`StopSignal`]), to its group, after its
//!   grace SIGKILL to the group.
//! - The daemon: the runner sees the end of the socket, stops every group in the same way, and exits.
//! - The runner: its programs get SIGKILL from the kernel, the daemon kills what is left of their
//!   groups, the jobs end as [`Outcome::Lost`], and a new runner is started at once, later with a
//!   growing pause (see [`RunnerHandle`]). A daemon that has dropped its privileges can only start a
//!   runner as poor as itself: programs that need more will fail then, and
//!   [`RunnerStatus::restarts`] tells why. Restarting the daemon restores the first state.
//!
//! # For programs that embed this crate
//! The runner is the program itself, executed once more, so `main` begins with [`init`]:
//!
//! ```no_run
//! fn main() -> std::io::Result<()> {
//!     carp_node::runner::init();
//!     let runner = carp_node::runner::Runner::spawn()?; // before threads, before privileges drop
//!     println!("the runner is process {}", runner.pid());
//!     Ok(())
//! }
//! ```

mod handle;
mod program;
mod serve;
mod sys;
mod wire;
mod work;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use handle::{RunnerHandle, RunnerStatus, Stream, Streamed};
pub use work::Work;
pub(crate) use work::group_lives;

use crate::helper::{Helper, Output};

/// Where programs without a slash in their name are looked for: the `PATH` of every program.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How many bytes of a program's output are kept: the last ones.
pub const OUTPUT_LIMIT: usize = 4096;

/// How long a program has between its [`StopSignal`] and SIGKILL, unless its job says something else.
pub const GRACE: Duration = Duration::from_secs(2);

static HELPER: Helper = Helper::new("runner");

/// Serves and exits if this process was started as the runner; otherwise returns at once.
///
/// To be called first in `main`, before anything is opened, printed or started.
pub fn init() {
    HELPER.init(serve::serve);
}

/// A runner that was started and is idle. [`Runner::into_handle`] puts it to work.
#[derive(Debug)]
pub struct Runner {
    child: Child,
    socket: OwnedFd,
}

impl Runner {
    /// Starts the runner and waits for its hello. Blocks for a few milliseconds.
    ///
    /// Call it before threads are started and before privileges are dropped: the runner keeps what
    /// the process has at this moment.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] if [`init`] was not called in this process: the child would run
    /// the host's `main` instead, so nothing is started. [`io::ErrorKind::TimedOut`] or
    /// [`io::ErrorKind::UnexpectedEof`] if the child did not say hello; it has been killed. Otherwise
    /// what the system said about starting `/proc/self/exe`.
    pub fn spawn() -> io::Result<Self> {
        let (child, socket) = HELPER.start(Output::Null, greet)?;
        Ok(Self { child, socket })
    }

    /// The process id of the runner.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Puts the runner to work for the tokio runtime that this is called on.
    ///
    /// # Errors
    /// What the system said about registering the socket.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time enabled.
    pub fn into_handle(self) -> io::Result<RunnerHandle> {
        handle::start(self)
    }
}

fn greet(socket: &OwnedFd) -> io::Result<()> {
    HELPER.await_hello(socket)?;
    match wire::receive(socket)? {
        Some(wire::FromRunner::Hello { version: wire::VERSION, .. }) => Ok(()),
        Some(wire::FromRunner::Hello { version, .. }) => Err(io::Error::other(format!(
            "the runner speaks version {version}, this daemon {}: another program was started",
            wire::VERSION
        ))),
        Some(
            wire::FromRunner::Started { .. }
            | wire::FromRunner::Finished { .. }
            | wire::FromRunner::Looked { .. },
        ) => Err(io::Error::other("the runner did not begin with a hello")),
        None => Err(HELPER.ended()),
    }
}

/// A program to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The program and its arguments. A name without a slash is looked for in [`PATH`].
    pub argv: Vec<String>,
    /// The complete environment, but for `PATH`, which is [`PATH`] unless it is named here.
    pub env: BTreeMap<String, String>,
    /// How long it may run.
    pub limit: Duration,
    /// What it is told to end with, once the limit is over or somebody [stops](Streamed::stop) it.
    #[serde(default)]
    pub stop: StopSignal,
    /// How long it has between that and SIGKILL.
    pub grace: Duration,
    /// Whom it runs as; `None` for whoever started the daemon.
    pub account: Option<Account>,
}

impl Job {
    /// A job with an empty environment, SIGTERM, the usual [`GRACE`], and the daemon's account.
    #[must_use]
    pub fn new(argv: Vec<String>, limit: Duration) -> Self {
        Self {
            argv,
            env: BTreeMap::new(),
            limit,
            stop: StopSignal::Term,
            grace: GRACE,
            account: None,
        }
    }
}

/// What tells a program to end, before it is killed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StopSignal {
    /// SIGTERM.
    #[default]
    Term,
    /// SIGUSR1. It kills programs that do not know it.
    Usr1,
}

/// A user to run a program as. Supplementary groups are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

/// How a program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReport {
    /// What became of it.
    pub outcome: Outcome,
    /// How long it ran.
    pub duration: Duration,
    /// The end of what it wrote to standard output and standard error, at most [`OUTPUT_LIMIT`]
    /// bytes of it, with `…` in front if something was cut off. Empty if it was
    /// [streamed](RunnerHandle::stream).
    pub output: String,
    /// The process group of a streamed program of which a process outlived its SIGKILL: it hangs inside the
    /// kernel, and what it still does cannot be known. Of other programs nobody looks.
    #[serde(default)]
    pub lingers: Option<i32>,
}

impl JobReport {
    /// A report about a program that did not run.
    fn without_run(outcome: Outcome) -> Self {
        Self { outcome, duration: Duration::ZERO, output: String::new(), lingers: None }
    }
}

/// What became of a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It exited with this code.
    Exited(i32),
    /// A signal ended it before its time limit did.
    Signaled(i32),
    /// It outlived its time limit, and was stopped.
    TimedOut {
        /// Whether its [`StopSignal`] was not enough.
        killed: bool,
    },
    /// It was [stopped](Streamed::stop).
    Stopped {
        /// Whether its [`StopSignal`] was not enough.
        killed: bool,
    },
    /// It never ran, for this reason.
    CouldNotStart(String),
    /// Nobody knows: the runner died, or was not there.
    Lost(String),
}

impl Outcome {
    /// Whether it exited with 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        *self == Self::Exited(0)
    }

    /// The exit code, if it exited.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::Exited(code) => Some(*code),
            Self::Signaled(_)
            | Self::TimedOut { .. }
            | Self::Stopped { .. }
            | Self::CouldNotStart(_)
            | Self::Lost(_) => None,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited(code) => write!(f, "exit {code}"),
            Self::Signaled(signal) => write!(f, "killed by signal {signal}"),
            Self::TimedOut { killed: false } => f.write_str("timed out, stopped"),
            Self::TimedOut { killed: true } => f.write_str("timed out, stopped by SIGKILL"),
            Self::Stopped { killed: false } => f.write_str("stopped"),
            Self::Stopped { killed: true } => f.write_str("stopped by SIGKILL"),
            Self::CouldNotStart(reason) => write!(f, "could not start: {reason}"),
            Self::Lost(reason) => write!(f, "lost: {reason}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_init_nothing_is_started() {
        // No test in this program may call init: the child would be the tests once more.
        assert_eq!(Runner::spawn().unwrap_err().kind(), io::ErrorKind::Unsupported);
    }
}
