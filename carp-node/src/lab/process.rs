//! Processes on hosts: what they print, how they end.

use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::error::Doing;
use super::machine::Machine;
use super::{LabError, wait_until};

/// How long to wait for what a process has printed before it ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// A process on a host. It is killed when this is dropped, or when its host loses power.
///
/// Its process group is its own. What it prints is kept, line by line.
#[derive(Debug)]
pub struct Process {
    shared: Arc<Shared>,
}

/// What a host keeps of its processes: it has to wait for them when it loses power.
#[derive(Debug)]
pub(super) struct Shared {
    name: String,
    id: u32,
    pidfd: OwnedFd,
    child: Mutex<Child>,
    lines: Arc<Mutex<Vec<Line>>>,
    readers: Vec<JoinHandle<()>>,
}

/// A line that a process has printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was read.
    pub at: Instant,
    /// Where it was printed.
    pub stream: Stream,
    /// The line, without its end.
    pub text: String,
}

/// One of the two streams on which a process prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Process {
    /// Starts `command` on a machine. `host` is for messages.
    pub(super) fn start(
        machine: &Machine,
        host: &str,
        mut command: Command,
    ) -> Result<Self, LabError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let name = format!("{program} on {host}");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut start = || -> io::Result<Self> {
            let mut child = machine.spawn(&mut command)?;
            let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty())?;
            let lines = Arc::default();
            let readers = vec![
                collect(child.stdout.take(), Stream::Stdout, &lines)?,
                collect(child.stderr.take(), Stream::Stderr, &lines)?,
            ];
            let (name, id, child) = (name.clone(), child.id(), Mutex::new(child));
            Ok(Self { shared: Arc::new(Shared { name, id, pidfd, child, lines, readers }) })
        };
        start().doing(|| format!("start {name}"))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Its process id, as the program that started it sees it.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.shared.id
    }

    /// Sends it a signal. One to a process that has ended goes nowhere.
    ///
    /// # Errors
    /// [`LabError::System`] if the kernel refuses.
    pub fn signal(&self, signal: Signal) -> Result<(), LabError> {
        match pidfd_send_signal(&self.shared.pidfd, signal) {
            Err(rustix::io::Errno::SRCH) => Ok(()),
            result => result.doing(|| format!("send {signal:?} to {}", self.shared.name)),
        }
    }

    /// Stops it where it stands (SIGSTOP), alone: [`Host::pause`](super::Host::pause) stops a machine.
    ///
    /// # Errors
    /// [`LabError::System`] if the kernel refuses.
    pub fn pause(&self) -> Result<(), LabError> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    ///
    /// # Errors
    /// [`LabError::System`] if the kernel refuses.
    pub fn resume(&self) -> Result<(), LabError> {
        self.signal(Signal::CONT)
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// [`LabError::System`] if the kernel does not tell.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>, LabError> {
        lock(&self.shared.child).try_wait().doing(|| format!("wait for {}", self.shared.name))
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// [`LabError::TimedOut`] if it has not within `limit`.
    pub fn wait(&self, limit: Duration) -> Result<ExitStatus, LabError> {
        let waiting = || format!("wait for {}", self.shared.name);
        let limit_spec = Timespec::try_from(limit).map_err(io::Error::other).doing(waiting)?;
        let mut ended = [PollFd::new(&self.shared.pidfd, PollFlags::IN)];
        match poll(&mut ended, Some(&limit_spec)).doing(waiting)? {
            0 => Err(LabError::TimedOut { what: format!("{} to end", self.shared.name), limit }),
            _ => self.shared.bury().doing(waiting),
        }
    }

    /// All that it has printed so far.
    #[must_use]
    pub fn lines(&self) -> Vec<Line> {
        lock(&self.shared.lines).clone()
    }

    /// All that it has printed so far, as one text.
    #[must_use]
    pub fn said(&self) -> String {
        lock(&self.shared.lines).iter().map(|line| format!("{}\n", line.text)).collect()
    }

    /// All that it has printed, as one text, once it has ended: what it said last may still be on its way then.
    /// Should a process of its own hold its streams, what was read within a second has to do.
    #[must_use]
    pub fn last_words(&self) -> String {
        // The limit is there for that.
        let _ = wait_until(LAST_WORDS, "its last words", || self.shared.is_silent());
        self.said()
    }

    /// Waits until it has printed a line that contains `text`: that line.
    ///
    /// # Errors
    /// [`LabError::TimedOut`] if it has not within `limit`; [`LabError::Ended`] if it ended instead.
    pub fn wait_for_line(&self, limit: Duration, text: &str) -> Result<Line, LabError> {
        let what = format!("{} to say `{text}`", self.shared.name);
        let mut found = None;
        let mut status = None;
        wait_until(limit, &what, || {
            // In this order: what a process said before it ended is not to be missed.
            let silent = self.shared.is_silent();
            found = lock(&self.shared.lines).iter().find(|line| line.text.contains(text)).cloned();
            status = self.exit_status().ok().flatten();
            found.is_some() || (silent && status.is_some())
        })?;
        found.ok_or_else(|| self.ended_before(&what, status.unwrap_or_default()))
    }

    /// Fails if it has ended; `what` completes "ended before …".
    ///
    /// # Errors
    /// [`LabError::Ended`] if it has, with all that it said.
    pub fn expect_running(&self, what: &str) -> Result<(), LabError> {
        match self.exit_status()? {
            None => Ok(()),
            Some(status) => Err(self.ended_before(what, status)),
        }
    }

    fn ended_before(&self, what: &str, status: ExitStatus) -> LabError {
        let process = self.shared.name.clone();
        LabError::Ended { process, status, what: what.to_owned(), said: self.last_words() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Nothing can be done about a failure here, and the lab's end kills everything anyway.
        let _ = pidfd_send_signal(&self.shared.pidfd, Signal::KILL);
        let _ = self.shared.bury();
    }
}

impl Shared {
    /// Whether nobody can print on its streams any more, and all that was printed has been read.
    fn is_silent(&self) -> bool {
        self.readers.iter().all(JoinHandle::is_finished)
    }

    /// Waits until the process has ended, for ever if need be.
    pub(super) fn bury(&self) -> io::Result<ExitStatus> {
        lock(&self.child).wait()
    }
}

/// Reads a stream to its end on a thread of its own.
fn collect(
    stream: Option<impl Read + Send + 'static>,
    kind: Stream,
    lines: &Arc<Mutex<Vec<Line>>>,
) -> io::Result<JoinHandle<()>> {
    let stream = stream.ok_or(io::ErrorKind::NotFound)?;
    let lines = Arc::clone(lines);
    let read = move || {
        for text in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            let text = String::from_utf8_lossy(&text).into_owned();
            lock(&lines).push(Line { at: Instant::now(), stream: kind, text });
        }
    };
    thread::Builder::new().name("lab-lines".into()).spawn(read)
}

/// Locks, also after a panic elsewhere: a test that fails must still clean up.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
