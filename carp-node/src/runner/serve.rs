//! The runner's main loop.

use std::collections::HashMap;
use std::fs;
use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::Mode;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};

use super::wire::{self, FromRunner, ToRunner};
use super::{GRACE, Job, JobReport, Outcome, program, work};

/// How many programs may run at a time.
const MAX_PROGRAMS: usize = 256;

/// How long the runner sleeps at most. The socket's end and the parent's wake it; this is for a kernel
/// that tells of neither.
const LOOK_ROUND: Duration = Duration::from_secs(3600);

/// How long the last programs may take when the daemon is gone: their signal, grace, KILL, and some air.
const LAST_LIMIT: Duration = Duration::from_secs(6);

/// Serves the socket on standard input until the daemon is gone; the exit code of the process.
pub(super) fn serve() -> i32 {
    let parent = rustix::process::getppid();
    match settle().and_then(|socket| serve_on(&socket, parent)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("carp-runner: {error}");
            1
        }
    }
}

/// Cuts what ties this process to its origin, and everything that programs must not inherit.
///
/// Standard input stays the socket: every program gets another one.
fn settle() -> io::Result<OwnedFd> {
    super::sys::settle_signals();
    rustix::process::setsid()?;
    // Only a wake-up: whether the parent is gone is looked at, because the kernel also sends this
    // when merely the thread ends that started us.
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
    super::sys::close_inherited_on_exec()?;
    give_up_oom_protection();
    rustix::thread::set_name(c"carp-runner")?;
    rustix::process::umask(Mode::from_raw_mode(0o022));
    std::env::set_current_dir("/")?;
    io::stdin().as_fd().try_clone_to_owned()
}

/// A daemon may be protected when memory is short (`OOMScoreAdjust=`). Programs that are not ours are not:
/// one that takes all memory is the one to choose.
fn give_up_oom_protection() {
    const FILE: &str = "/proc/self/oom_score_adj";
    let score = fs::read_to_string(FILE).ok().and_then(|text| text.trim().parse::<i32>().ok());
    if score.is_some_and(|score| score < 0) {
        // Giving it up needs no privilege.
        let _ = fs::write(FILE, "0");
    }
}

fn serve_on(socket: &OwnedFd, parent: Option<Pid>) -> io::Result<()> {
    let hello = FromRunner::Hello { version: wire::VERSION, pid: std::process::id() };
    wire::send(socket, &wire::encode(&hello)?)?;
    let (closing, open) = io::pipe()?;
    let (running, ended) = mpsc::channel();
    let mut desk = Desk {
        replies: Arc::new(Mutex::new(socket.try_clone()?)),
        closing: Arc::new(closing),
        running,
        threads: Vec::new(),
        stops: HashMap::new(),
        groups: Arc::default(),
    };
    let result = take_orders(socket, parent, &mut desk);
    drop(open);
    drop(desk);
    await_the_last(&ended);
    result
}

/// Takes orders until the daemon is gone.
fn take_orders(socket: &OwnedFd, parent: Option<Pid>, desk: &mut Desk) -> io::Result<()> {
    // The other end of the socket may have been inherited by somebody who outlives the daemon.
    let daemon = parent.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    while rustix::process::getppid() == parent {
        let fds = [Some(socket.as_fd()), daemon.as_ref().map(AsFd::as_fd)];
        match wire::poll(fds, Instant::now() + LOOK_ROUND) {
            Ok([true, _]) => match wire::receive_with(socket)? {
                Some((ToRunner::Run { id, job, streamed }, files)) => {
                    desk.start(id, job, streamed, files);
                }
                Some((ToRunner::Stop { id }, _)) => desk.stop(id),
                Some((ToRunner::Look { id }, _)) => desk.look(id),
                None => return Ok(()),
            },
            Ok([false, true]) => return Ok(()),
            Ok([false, false]) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Every thread holds a sender: the channel ends with the last of them.
fn await_the_last(ended: &mpsc::Receiver<()>) {
    let deadline = Instant::now() + LAST_LIMIT;
    loop {
        match ended.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Where jobs become threads.
struct Desk {
    replies: Arc<Mutex<OwnedFd>>,
    closing: Arc<PipeReader>,
    running: mpsc::Sender<()>,
    threads: Vec<thread::JoinHandle<()>>,
    /// For each program: closed, it says that the program is to be stopped. The reading end goes with
    /// the program.
    stops: HashMap<u64, PipeWriter>,
    groups: Arc<Groups>,
}

/// The group of each program that runs, and the program's name.
type Groups = Mutex<HashMap<u64, (i32, String)>>;

impl Desk {
    /// A thread a program: one that hangs in `execve` on a dead file server holds up nobody else.
    fn start(&mut self, id: u64, job: Job, streamed: bool, files: Vec<OwnedFd>) {
        self.threads.retain(|thread| !thread.is_finished());
        self.forget_ended();
        if self.threads.len() >= MAX_PROGRAMS {
            return self.refuse(id, format!("{MAX_PROGRAMS} programs are running already"));
        }
        let streams = match (streamed, <[OwnedFd; 2]>::try_from(files)) {
            (false, _) => None,
            (true, Ok(files)) => Some(files),
            (true, Err(_)) => return self.refuse(id, "its output did not arrive".into()),
        };
        let stop = match io::pipe() {
            Ok((stop, writer)) => {
                self.stops.insert(id, writer);
                stop
            }
            Err(error) => return self.refuse(id, format!("no pipe: {error}")),
        };
        let replies = Arc::clone(&self.replies);
        let closing = Arc::clone(&self.closing);
        let running = self.running.clone();
        let groups = Arc::clone(&self.groups);
        let started = thread::Builder::new().name("program".into()).spawn(move || {
            let ends = program::Ends { daemon: &closing, stop: &stop };
            carry_out(id, &job, streams, &ends, &replies, &groups);
            drop(running);
        });
        match started {
            Ok(thread) => self.threads.push(thread),
            Err(error) => self.refuse(id, format!("no thread: {error}")),
        }
    }

    /// One that has ended needs no stop.
    fn stop(&mut self, id: u64) {
        self.stops.remove(&id);
    }

    /// It takes as long as it takes to look at all processes, and nobody else waits for that.
    fn look(&self, id: u64) {
        let groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        let group = groups.get(&id).cloned();
        drop(groups);
        let replies = Arc::clone(&self.replies);
        let look = move || {
            let work = group.map(|(group, name)| work::of_group(group, name.as_ref()));
            reply(&replies, &FromRunner::Looked { id, work });
        };
        // Without a thread nobody answers, and whoever asked does not wait for ever.
        let _ = thread::Builder::new().name("look".into()).spawn(look);
    }

    /// A pipe whose reading end is gone belongs to a program that has ended.
    fn forget_ended(&mut self) {
        self.stops.retain(|_, writer| {
            let mut polled = [PollFd::new(writer, PollFlags::empty())];
            let polls = rustix::event::poll(&mut polled, Some(&Timespec::default()));
            polls.is_err() || !polled[0].revents().contains(PollFlags::ERR)
        });
    }

    fn refuse(&self, id: u64, reason: String) {
        let report = JobReport::without_run(Outcome::CouldNotStart(reason));
        reply(&self.replies, &FromRunner::Finished { id, report });
    }
}

fn carry_out(
    id: u64,
    job: &Job,
    streams: Option<[OwnedFd; 2]>,
    ends: &program::Ends<'_>,
    replies: &Mutex<OwnedFd>,
    groups: &Groups,
) {
    let mut program = match program::Program::start(job, streams) {
        Ok(program) => program,
        Err(reason) => {
            let report = JobReport::without_run(Outcome::CouldNotStart(reason));
            return reply(replies, &FromRunner::Finished { id, report });
        }
    };
    let known = || groups.lock().unwrap_or_else(PoisonError::into_inner);
    known().insert(id, (program.group(), job.argv.first().cloned().unwrap_or_default()));
    reply(replies, &FromRunner::Started { id, group: program.group() });
    let report = program.supervise(job, ends, GRACE);
    known().remove(&id);
    reply(replies, &FromRunner::Finished { id, report });
    program.reap();
}

/// Nothing is done about a daemon that is gone: the main loop sees that.
fn reply(replies: &Mutex<OwnedFd>, message: &FromRunner) {
    let socket = replies.lock().unwrap_or_else(PoisonError::into_inner);
    let sent = wire::encode(message).and_then(|packet| wire::send(&*socket, &packet));
    if let Err(error) = sent
        && !matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
    {
        eprintln!("carp-runner: cannot report: {error}");
    }
}
