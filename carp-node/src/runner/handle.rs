//! The daemon's side of the runner: one task that owns the socket, and handles that ask it.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Child;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{mpsc, oneshot};
use tokio::task;

use crate::backend::linux::register;

use super::wire::{self, FromRunner, ToRunner};
use super::{Job, JobReport, Outcome, Runner, Work};

/// How many jobs may wait for the task; more wait in their callers.
const WAITING: usize = 64;

/// The first and the longest pause between two attempts to start a new runner.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// How long it may take to look what a program has done.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// A runner that lived this long may be replaced at once.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// Runs programs in the runner. Clones share it; when the last one is dropped, the runner stops what
/// still runs and exits.
///
/// When the runner dies, what ran ends as [`Outcome::Lost`] and a new runner is started: at once the
/// first time, later after a pause that doubles from 1 s to 60 s. Jobs that come while it starts wait
/// for it, jobs that come during the pause are lost at once.
#[derive(Clone, Debug)]
pub struct RunnerHandle {
    orders: mpsc::Sender<Order>,
    status: Arc<Mutex<RunnerStatus>>,
    /// The number of the next job.
    next: Arc<AtomicU64>,
}

/// What status says about the runner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerStatus {
    /// Its process id; `None` while there is none.
    pub pid: Option<u32>,
    /// How often it was started again. A runner that a daemon without privileges started has none
    /// either.
    pub restarts: u64,
    /// Why there is none, or why the last one died.
    pub fault: Option<String>,
}

/// What a handle asks of the task.
#[derive(Debug)]
enum Order {
    Run { id: u64, job: Job, streams: Option<[OwnedFd; 2]>, answer: oneshot::Sender<JobReport> },
    Stop { id: u64 },
    Look { id: u64, answer: oneshot::Sender<Option<Work>> },
    ShutDown { done: oneshot::Sender<()> },
}

impl RunnerHandle {
    /// A handle without a runner: every job is lost, for this reason.
    #[must_use]
    pub fn absent(reason: &str) -> Self {
        let (orders, _) = mpsc::channel(1);
        let status = RunnerStatus { fault: Some(reason.to_owned()), ..RunnerStatus::default() };
        Self { orders, status: Arc::new(Mutex::new(status)), next: Arc::default() }
    }

    /// Runs a program to its end. Dropping the future does not stop the program: its time limit does.
    pub fn run(&self, job: Job) -> impl Future<Output = JobReport> + Send + 'static {
        let handle = self.clone();
        async move {
            let (_, report) = handle.order(job, None).await;
            handle.await_report(report).await
        }
    }

    /// Runs a program whose output is read here, piece by piece, while it runs. It waits when nobody
    /// reads. Standard input is `/dev/null`, as for every program.
    ///
    /// # Errors
    /// What the system says to two new pipes.
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O enabled.
    pub async fn stream(&self, job: Job) -> io::Result<Stream> {
        let (stdout, out) = io::pipe()?;
        let (stderr, err) = io::pipe()?;
        let [stdout, stderr] =
            [OwnedFd::from(stdout), OwnedFd::from(stderr)].map(pipe::Receiver::from_owned_fd);
        let (stdout, stderr) = (stdout?, stderr?);
        let (id, report) = self.order(job, Some([out.into(), err.into()])).await;
        Ok(Stream { stdout, stderr, program: Streamed { id, report, handle: self.clone() } })
    }

    async fn order(
        &self,
        job: Job,
        streams: Option<[OwnedFd; 2]>,
    ) -> (u64, oneshot::Receiver<JobReport>) {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (answer, report) = oneshot::channel();
        // If nobody takes it, the report says so.
        let _ = self.orders.send(Order::Run { id, job, streams, answer }).await;
        (id, report)
    }

    async fn await_report(&self, report: oneshot::Receiver<JobReport>) -> JobReport {
        match report.await {
            Ok(report) => report,
            Err(oneshot::error::RecvError { .. }) => self.lost(),
        }
    }

    /// What status says about it.
    #[must_use]
    pub fn status(&self) -> RunnerStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops what still runs, for all clones, and waits until the runner has exited, which takes a
    /// few seconds at most.
    pub async fn shut_down(&self) {
        let (done, exited) = oneshot::channel();
        if self.orders.send(Order::ShutDown { done }).await.is_ok() {
            // An error means that the task ended for another reason: the runner is gone as well.
            exited.await.ok();
        }
    }

    fn lost(&self) -> JobReport {
        let reason = self.status().fault.unwrap_or_else(|| "the runner was shut down".into());
        JobReport::without_run(Outcome::Lost(reason))
    }
}

/// A program that runs, and whose output is read here.
///
/// Dropping it does not stop the program, but what it writes then has no reader.
#[derive(Debug)]
pub struct Stream {
    /// What it writes to standard output.
    pub stdout: pipe::Receiver,
    /// What it writes to standard error.
    pub stderr: pipe::Receiver,
    /// The program itself. A process of it that hangs inside the kernel keeps both outputs open, so whoever reads
    /// them waits for this as well.
    pub program: Streamed,
}

/// What runs behind a [`Stream`].
#[derive(Debug)]
pub struct Streamed {
    id: u64,
    report: oneshot::Receiver<JobReport>,
    handle: RunnerHandle,
}

impl Streamed {
    /// Stops the whole group, its [`StopSignal`](super::StopSignal) first. [`finished`](Self::finished) comes
    /// when nobody lives.
    pub async fn stop(&self) {
        // A runner that is gone has stopped everything.
        let _ = self.handle.orders.send(Order::Stop { id: self.id }).await;
    }

    /// What its group has done so far; `None` if it does not run, or nobody answers in time.
    pub async fn work(&self) -> Option<Work> {
        let (answer, work) = oneshot::channel();
        self.handle.orders.send(Order::Look { id: self.id, answer }).await.ok()?;
        tokio::time::timeout(LOOK_LIMIT, work).await.ok()?.ok()?
    }

    /// Waits for its end: then no process of its group lives, unless the report says that one
    /// [lingers](JobReport::lingers). May be called again when it was cancelled, and not after it has
    /// returned.
    pub async fn finished(&mut self) -> JobReport {
        match (&mut self.report).await {
            Ok(report) => report,
            Err(oneshot::error::RecvError { .. }) => self.handle.lost(),
        }
    }
}

/// Starts the task on the present tokio runtime.
pub(super) fn start(runner: Runner) -> io::Result<RunnerHandle> {
    let (orders, inbox) = mpsc::channel(WAITING);
    let link = Link::new(runner)?;
    let status = RunnerStatus { pid: Some(link.child.id()), ..RunnerStatus::default() };
    let status = Arc::new(Mutex::new(status));
    let desk =
        Desk { inbox, status: Arc::clone(&status), running: HashMap::new(), looks: HashMap::new() };
    task::spawn(desk.work(link));
    Ok(RunnerHandle { orders, status, next: Arc::default() })
}

/// The task.
struct Desk {
    inbox: mpsc::Receiver<Order>,
    status: Arc<Mutex<RunnerStatus>>,
    running: HashMap<u64, Running>,
    looks: HashMap<u64, oneshot::Sender<Option<Work>>>,
}

/// A job that the runner has.
struct Running {
    answer: oneshot::Sender<JobReport>,
    /// The process group, once it is known.
    group: Option<i32>,
}

/// Why a runner is done with.
enum Ended {
    /// Nobody needs it any more; somebody may want to know when it is gone.
    Unwanted(Option<oneshot::Sender<()>>),
    /// It died.
    Lost(String),
}

impl Desk {
    async fn work(mut self, mut link: Link) {
        loop {
            let started = Instant::now();
            match self.serve(&mut link).await {
                Ended::Unwanted(done) => return link.bury(done),
                Ended::Lost(reason) => {
                    self.note(|status| {
                        status.pid = None;
                        status.fault = Some(reason.clone());
                    });
                    link.kill();
                    link.bury(None);
                    self.give_up_all(&reason);
                }
            }
            match self.replace(started.elapsed() < LONG_LIFE).await {
                Some(replacement) => link = replacement,
                None => return,
            }
        }
    }

    /// Serves until the runner dies or is unwanted.
    async fn serve(&mut self, link: &mut Link) -> Ended {
        loop {
            let step = tokio::select! {
                message = link.receive() => match message {
                    Ok(Some(message)) => self.note_message(message),
                    Ok(None) => Err(Ended::Lost("the runner died".into())),
                    Err(error) => Err(Ended::Lost(format!("the runner is confused: {error}"))),
                },
                order = self.inbox.recv() => match order {
                    Some(Order::Run { id, job, streams, answer }) => {
                        self.pass_on(id, job, streams, answer, link).await
                    }
                    Some(Order::Stop { id }) => self.pass_on_stop(id, link).await,
                    Some(Order::Look { id, answer }) => {
                        self.looks.insert(id, answer);
                        self.pass_on_short(&ToRunner::Look { id }, link).await
                    }
                    Some(Order::ShutDown { done }) => Err(Ended::Unwanted(Some(done))),
                    None => Err(Ended::Unwanted(None)),
                },
            };
            if let Err(ended) = step {
                return ended;
            }
        }
    }

    fn note_message(&mut self, message: FromRunner) -> Result<(), Ended> {
        match message {
            FromRunner::Started { id, group } => {
                if let Some(running) = self.running.get_mut(&id) {
                    running.group = Some(group);
                }
                Ok(())
            }
            FromRunner::Finished { id, report } => {
                if let Some(running) = self.running.remove(&id) {
                    // Whoever asked may have lost interest.
                    running.answer.send(report).ok();
                }
                Ok(())
            }
            FromRunner::Looked { id, work } => {
                if let Some(answer) = self.looks.remove(&id) {
                    // Whoever asked may have lost patience.
                    answer.send(work).ok();
                }
                Ok(())
            }
            FromRunner::Hello { .. } => Err(Ended::Lost("the runner said hello twice".into())),
        }
    }

    async fn pass_on(
        &mut self,
        id: u64,
        job: Job,
        streams: Option<[OwnedFd; 2]>,
        answer: oneshot::Sender<JobReport>,
        link: &mut Link,
    ) -> Result<(), Ended> {
        let streamed = streams.is_some();
        let files: Vec<_> = streams.iter().flatten().map(AsFd::as_fd).collect();
        match wire::encode(&ToRunner::Run { id, job, streamed }) {
            Err(error) => {
                finish(answer, Outcome::CouldNotStart(error.to_string()));
                Ok(())
            }
            Ok(packet) => {
                self.running.insert(id, Running { answer, group: None });
                link.send(&packet, &files)
                    .await
                    .map_err(|error| Ended::Lost(format!("the runner died: {error}")))
            }
        }
    }

    async fn pass_on_stop(&self, id: u64, link: &mut Link) -> Result<(), Ended> {
        if !self.running.contains_key(&id) {
            return Ok(());
        }
        self.pass_on_short(&ToRunner::Stop { id }, link).await
    }

    async fn pass_on_short(&self, message: &ToRunner, link: &mut Link) -> Result<(), Ended> {
        let packet = wire::encode(message);
        let lost = |error: io::Error| Ended::Lost(format!("the runner died: {error}"));
        link.send(&packet.map_err(lost)?, &[]).await.map_err(lost)
    }

    /// Ends every job, and kills what the runner's own death has left of their groups.
    fn give_up_all(&mut self, reason: &str) {
        self.looks.clear();
        for (_, running) in self.running.drain() {
            if let Some(group) = running.group.and_then(Pid::from_raw) {
                // An error means that nobody is left, or that it runs as somebody else.
                rustix::process::kill_process_group(group, Signal::KILL).ok();
            }
            finish(running.answer, Outcome::Lost(format!("{reason} while the program ran")));
        }
    }

    /// Starts runners until one lives; `None` when it is unwanted by then.
    async fn replace(&mut self, wait_first: bool) -> Option<Link> {
        let (mut pause, longest) = PAUSES;
        // The very first replacement is immediate even if the runner died young.
        if wait_first && self.note(|status| status.restarts) > 0 {
            self.refuse_for(pause).await?;
        }
        loop {
            match task::spawn_blocking(Runner::spawn).await.map_err(io::Error::other).flatten() {
                Ok(runner) => match Link::new(runner) {
                    Ok(link) => {
                        self.note(|status| {
                            status.pid = Some(link.child.id());
                            status.restarts += 1;
                        });
                        return Some(link);
                    }
                    Err(error) => self.note(|status| status.fault = Some(error.to_string())),
                },
                Err(error) => self.note(|status| status.fault = Some(error.to_string())),
            }
            self.refuse_for(pause).await?;
            pause = (pause * 2).min(longest);
        }
    }

    /// Loses every job that comes in this time; `None` when the runner is unwanted.
    async fn refuse_for(&mut self, pause: Duration) -> Option<()> {
        let over = tokio::time::sleep(pause);
        tokio::pin!(over);
        loop {
            tokio::select! {
                () = &mut over => return Some(()),
                order = self.inbox.recv() => match order? {
                    Order::Run { answer, .. } => {
                        let reason = self.note(|status| status.fault.clone());
                        finish(answer, Outcome::Lost(reason.unwrap_or_default()));
                    }
                    // Nothing runs.
                    Order::Stop { .. } | Order::Look { .. } => {}
                    Order::ShutDown { done } => {
                        // The receiver may have gone; there is nothing more to tell it.
                        done.send(()).ok();
                        return None;
                    }
                },
            }
        }
    }

    fn note<T>(&self, change: impl FnOnce(&mut RunnerStatus) -> T) -> T {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Answers; whoever asked may have lost interest, which is no error.
fn finish(answer: oneshot::Sender<JobReport>, outcome: Outcome) {
    answer.send(JobReport::without_run(outcome)).ok();
}

/// The socket and the process of one runner.
struct Link {
    child: Child,
    socket: AsyncFd<OwnedFd>,
}

impl Link {
    fn new(runner: Runner) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&runner.socket, true)?;
        Ok(Self { child: runner.child, socket: register(runner.socket)? })
    }

    /// Cancelling this loses nothing.
    async fn receive(&self) -> io::Result<Option<FromRunner>> {
        loop {
            let mut ready = self.socket.readable().await?;
            match ready.try_io(|socket| wire::receive(socket.get_ref())) {
                Ok(message) => return message,
                Err(_would_block) => {}
            }
        }
    }

    async fn send(&self, packet: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
        loop {
            let mut ready = self.socket.writable().await?;
            match ready.try_io(|socket| wire::send_with(socket.get_ref(), packet, files)) {
                Ok(sent) => return sent,
                Err(_would_block) => {}
            }
        }
    }

    /// Ends the process at once. An error means that it has ended.
    fn kill(&mut self) {
        self.child.kill().ok();
    }

    /// Closes the socket, which lets a living runner exit, and waits for it on a thread that nobody
    /// waits for. Without that thread the process stays listed until the daemon ends: no harm.
    fn bury(self, done: Option<oneshot::Sender<()>>) {
        let Self { mut child, socket } = self;
        drop(socket);
        let wait = move || {
            let exited = child.wait();
            if let (Ok(_), Some(done)) = (exited, done) {
                // The receiver may have gone.
                done.send(()).ok();
            }
        };
        thread::Builder::new().name("runner-exit".into()).spawn(wait).ok();
    }
}
