//! One program: started, watched, stopped, reaped.

use std::collections::VecDeque;
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::work::group_lives;
use super::{Job, JobReport, OUTPUT_LIMIT, Outcome, PATH, StopSignal, sys, wire};

/// How long the output is drained after the program has ended: what it wrote is in the pipe by
/// then, and what a child of it still writes is not waited for.
const DRAIN_LIMIT: Duration = Duration::from_millis(100);

/// How long SIGKILL may take. It takes longer only while the program hangs inside the kernel.
const KILL_LIMIT: Duration = Duration::from_secs(2);

/// The longest limit that is told from none.
const LONGEST_LIMIT: Duration = Duration::from_secs(366 * 24 * 3600);

/// A program that runs, or has run. It is not reaped as long as signals may be sent to its group, so
/// that the group's id stays its own.
pub(super) struct Program {
    child: Child,
    group: Pid,
    /// Becomes readable when the program has ended.
    exit: OwnedFd,
    exited: bool,
    /// `None` once everybody has closed it.
    output: Option<PipeReader>,
    /// Whether somebody else reads the output.
    streamed: bool,
    tail: Tail,
    started: Instant,
}

/// What ends a program before its time: each is closed by somebody else.
pub(super) struct Ends<'a> {
    /// Closed when the daemon is gone.
    pub(super) daemon: &'a PipeReader,
    /// Closed when the daemon wants this one stopped.
    pub(super) stop: &'a PipeReader,
}

/// Why watching ended.
enum Woken {
    Done,
    Deadline,
    Stop,
    DaemonGone,
}

impl Program {
    /// Starts it; the error says what to do about it.
    pub(super) fn start(job: &Job, streams: Option<[OwnedFd; 2]>) -> Result<Self, String> {
        let Some(name) = job.argv.first() else {
            return Err("the command is empty".into());
        };
        let started = Instant::now();
        let streamed = streams.is_some();
        let (output, streams) = match streams {
            Some(streams) => (None, streams),
            None => {
                let (output, streams) = kept().map_err(|error| format!("no pipe: {error}"))?;
                (Some(output), streams)
            }
        };
        let mut child =
            command(job, name, streams).spawn().map_err(|error| explain(name, &error))?;
        match watchable(&child) {
            Ok((group, exit)) => Ok(Self {
                child,
                group,
                exit,
                exited: false,
                output,
                streamed,
                tail: Tail::default(),
                started,
            }),
            Err(error) => {
                // Not yet reaped, so the id is still this child's.
                let killed = child.kill().and_then(|()| child.wait());
                Err(format!("{name}: cannot be watched: {error} (killed: {})", killed.is_ok()))
            }
        }
    }

    /// The id of its process group.
    pub(super) fn group(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Sees it through to its end, or to the end of its limit, or of the daemon.
    pub(super) fn supervise(
        &mut self,
        job: &Job,
        ends: &Ends<'_>,
        last_grace: Duration,
    ) -> JobReport {
        let deadline = self.started + job.limit.min(LONGEST_LIMIT);
        let outcome = match self.watch(deadline, Some(ends), |program| program.exited) {
            Woken::Done => {
                self.drain();
                None
            }
            Woken::Deadline => Some(Outcome::TimedOut { killed: self.stop(job.stop, job.grace) }),
            Woken::Stop => Some(Outcome::Stopped { killed: self.stop(job.stop, job.grace) }),
            Woken::DaemonGone => {
                self.stop(job.stop, job.grace.min(last_grace));
                Some(Outcome::Lost("the daemon ended".into()))
            }
        };
        // The pipe closes here: whatever the program left behind can no longer fill it.
        self.output = None;
        let lingers = (self.streamed && !self.end_group()).then(|| self.group());
        JobReport {
            outcome: outcome.unwrap_or_else(|| self.outcome()),
            duration: self.started.elapsed(),
            output: self.tail.text(),
            lingers,
        }
    }

    /// Kills whoever is left of the group, and waits until nobody lives. Whether that was so in time.
    fn end_group(&self) -> bool {
        self.signal(Signal::KILL);
        let deadline = Instant::now() + KILL_LIMIT;
        loop {
            if !group_lives(self.group()) {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end of a program that could not be killed in time, and lets go of its id.
    pub(super) fn reap(mut self) {
        if let Err(error) = self.child.wait() {
            eprintln!("carp-runner: process {} cannot be reaped: {error}", self.child.id());
        }
    }

    fn outcome(&mut self) -> Outcome {
        match self.child.wait() {
            Ok(status) => outcome_of(status),
            Err(error) => Outcome::Lost(format!("the exit status cannot be read: {error}")),
        }
    }

    /// Reads the output until `done`, the deadline, or the end of the daemon.
    fn watch(
        &mut self,
        deadline: Instant,
        ends: Option<&Ends<'_>>,
        done: impl Fn(&Self) -> bool,
    ) -> Woken {
        loop {
            if done(self) {
                return Woken::Done;
            }
            if Instant::now() >= deadline {
                return Woken::Deadline;
            }
            let exit = (!self.exited).then(|| self.exit.as_fd());
            let output = self.output.as_ref().map(AsFd::as_fd);
            let [daemon, stop] = [ends.map(|it| it.daemon.as_fd()), ends.map(|it| it.stop.as_fd())];
            match wire::poll([exit, output, daemon, stop], deadline) {
                Ok([exited, output, daemon_gone, stop]) => {
                    self.exited |= exited;
                    if output {
                        self.read();
                    }
                    if daemon_gone {
                        return Woken::DaemonGone;
                    }
                    if stop {
                        return Woken::Stop;
                    }
                }
                Err(Errno::INTR) => {}
                // The kernel is out of memory: try again when it may have some.
                Err(_) => thread::sleep(Duration::from_millis(10)),
            }
        }
    }

    /// One read of what is there, after poll has said that something is.
    fn read(&mut self) {
        let mut chunk = [0; 16 * 1024];
        let Some(output) = &mut self.output else { return };
        match output.read(&mut chunk) {
            Ok(0) => self.output = None,
            Ok(length) => self.tail.push(&chunk[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.output = None,
        }
    }

    /// Reads what the program wrote before it ended, without waiting for more.
    fn drain(&mut self) {
        let deadline = Instant::now() + DRAIN_LIMIT;
        while let Some(output) = &self.output {
            match wire::poll([Some(output.as_fd())], Instant::now()) {
                Ok([true]) if Instant::now() < deadline => self.read(),
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Stops the whole group: its signal, and KILL when the grace is over. Whether the grace was needed
    /// to its end.
    ///
    /// The group counts as gone when its leader has ended and nobody holds the output open any
    /// more. It gets its KILL in any case, while the leader's id is still kept.
    fn stop(&mut self, signal: StopSignal, grace: Duration) -> bool {
        self.signal(match signal {
            StopSignal::Term => Signal::TERM,
            StopSignal::Usr1 => Signal::USR1,
        });
        // A stopped process would not see it.
        self.signal(Signal::CONT);
        let deadline = Instant::now() + grace.min(LONGEST_LIMIT);
        let woken =
            self.watch(deadline, None, |program| program.exited && program.output.is_none());
        self.signal(Signal::KILL);
        self.watch(Instant::now() + KILL_LIMIT, None, |program| program.exited);
        self.drain();
        matches!(woken, Woken::Deadline)
    }

    /// Sends to the group. It can only fail when nobody is left in it.
    fn signal(&self, signal: Signal) {
        match rustix::process::kill_process_group(self.group, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => eprintln!("carp-runner: group {}: {error}", self.group()),
        }
    }
}

/// A pipe for both outputs, of which the end is kept.
fn kept() -> io::Result<(PipeReader, [OwnedFd; 2])> {
    let (output, writer) = io::pipe()?;
    Ok((output, [writer.try_clone()?.into(), writer.into()]))
}

fn command(job: &Job, name: &str, [stdout, stderr]: [OwnedFd; 2]) -> Command {
    let mut command = Command::new(name);
    command
        .args(job.argv.iter().skip(1))
        .env_clear()
        .env("PATH", PATH)
        .envs(&job.env)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        .process_group(0);
    if let Some(account) = job.account {
        command.gid(account.gid).uid(account.uid);
    }
    sys::die_with_runner(&mut command);
    command
}

fn watchable(child: &Child) -> io::Result<(Pid, OwnedFd)> {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    Ok((group, rustix::process::pidfd_open(group, PidfdFlags::empty())?))
}

/// The system says "no such file" also for a script whose interpreter is missing.
fn explain(name: &str, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if name.contains('/') && Path::new(name).exists() => {
            format!("{name}: the interpreter that its first line names does not exist")
        }
        io::ErrorKind::NotFound if !name.contains('/') => {
            format!("{name}: not found in {PATH}: write the full path")
        }
        io::ErrorKind::PermissionDenied => format!("{name}: {error}: is it executable?"),
        _ => format!("{name}: {error}"),
    }
}

fn outcome_of(status: ExitStatus) -> Outcome {
    match (status.code(), status.signal()) {
        (Some(code), _) => Outcome::Exited(code),
        (None, Some(signal)) => Outcome::Signaled(signal),
        (None, None) => Outcome::Lost(format!("an exit status without a meaning: {status}")),
    }
}

/// The last bytes of an endless text.
#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
    cut: bool,
}

impl Tail {
    fn push(&mut self, chunk: &[u8]) {
        self.bytes.extend(chunk);
        let excess = self.bytes.len().saturating_sub(OUTPUT_LIMIT);
        self.cut |= excess > 0;
        self.bytes.drain(..excess);
    }

    /// The text, without the half of a character that the cut may have left.
    fn text(&self) -> String {
        let is_continuation = |byte: &u8| self.cut && byte & 0xc0 == 0x80;
        let bytes: Vec<u8> = self.bytes.iter().copied().skip_while(is_continuation).collect();
        let text = String::from_utf8_lossy(&bytes);
        if self.cut { format!("…{text}") } else { text.into_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_keeps_the_end_and_whole_characters() {
        let mut tail = Tail::default();
        tail.push(b"short");
        assert_eq!(tail.text(), "short");
        tail.push("é".repeat(OUTPUT_LIMIT).as_bytes());
        tail.push(b"!");
        let text = tail.text();
        assert!(text.starts_with("…é") && text.ends_with("é!"), "{text}");
        assert!(text.len() <= OUTPUT_LIMIT + "…".len());
    }
}
