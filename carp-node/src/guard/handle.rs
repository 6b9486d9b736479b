//! The daemon's care for its guard: another one when it dies, and a farewell at the end.

use std::io;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::task;
use tokio::time::timeout;

use super::Guard;
use super::post::Post;
use crate::backend::linux::register_for_reading;
use crate::event::{EventKind, EventSource};

/// The first and the longest pause between two attempts to start another guard.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// A guard that lived this long is replaced at once.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// How long a guard that is not needed any more may take to leave.
const FAREWELL: Duration = Duration::from_secs(5);

/// What status says about the guard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuardStatus {
    /// Its process id; `None` while there is none.
    pub pid: Option<u32>,
    /// Whether its memory is locked. Without the privilege for that (`CAP_IPC_LOCK`), or a limit on
    /// locked memory that is high enough, it is not.
    pub locked: bool,
    /// How often another one was started.
    pub restarts: u64,
    /// Why there is none, or why the last one was replaced.
    pub fault: Option<String>,
}

/// Sees to it that there is a guard. Clones share it.
#[derive(Clone, Debug)]
pub struct GuardHandle {
    status: Arc<Mutex<GuardStatus>>,
    /// Says that the guard is not needed any more, and closes when that is done.
    dismiss: watch::Sender<bool>,
}

impl GuardHandle {
    /// A handle without a guard, for this reason.
    #[must_use]
    pub fn absent(reason: &str) -> Self {
        let status = GuardStatus { fault: Some(reason.to_owned()), ..GuardStatus::default() };
        Self { status: Arc::new(Mutex::new(status)), dismiss: watch::channel(false).0 }
    }

    /// What status says about it.
    #[must_use]
    pub fn status(&self) -> GuardStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Lets the guard leave, and waits until it has. To be called when no address is held any more.
    pub async fn dismiss(&self) {
        self.dismiss.send_replace(true);
        self.dismiss.closed().await;
    }
}

/// Starts the care on the present tokio runtime.
pub(super) fn start(guard: Guard, events: EventSource) -> io::Result<GuardHandle> {
    let Guard { child, socket, post } = guard;
    let link = Link::new(child, socket)?;
    let status = Arc::new(Mutex::new(status_of(&link, &post)));
    let (dismiss, dismissed) = watch::channel(false);
    let care = Care { post, events, status: Arc::clone(&status) };
    task::spawn(care.work(link, dismissed));
    Ok(GuardHandle { status, dismiss })
}

/// The process and the socket of one guard.
struct Link {
    child: Child,
    socket: AsyncFd<OwnedFd>,
    since: Instant,
}

impl Link {
    fn new(child: Child, socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { child, socket: register_for_reading(socket)?, since: Instant::now() })
    }

    /// Waits for the end of the guard: it says nothing after its hello.
    async fn ended(&self) {
        // An error of the runtime means that the daemon ends.
        let _ = self.socket.readable().await;
    }

    /// Buries the process, which has closed its socket or been told to leave; kills it if it stays.
    async fn bury(mut self) {
        let wait = move || {
            let limit = Instant::now() + FAREWELL;
            while let (Ok(None), true) = (self.child.try_wait(), Instant::now() < limit) {
                std::thread::sleep(Duration::from_millis(1));
            }
            // An error means that it has ended.
            let _ = self.child.kill();
            let _ = self.child.wait();
        };
        // A panic there would leave a process listed until the daemon ends: no harm.
        let _ = task::spawn_blocking(wait).await;
    }
}

struct Care {
    post: Post,
    events: EventSource,
    status: Arc<Mutex<GuardStatus>>,
}

impl Care {
    async fn work(self, mut link: Link, mut dismissed: watch::Receiver<bool>) {
        let mut pause = PAUSES.0;
        loop {
            let mut died = "died";
            let unwanted = tokio::select! {
                biased;
                changed = dismissed.wait_for(|dismissed| *dismissed) => changed.is_ok(),
                () = link.ended() => false,
                () = self.post.guard_hangs() => {
                    died = "did not watch and was killed";
                    // An error means that it has just ended by itself.
                    let _ = link.child.kill();
                    false
                }
            };
            if unwanted {
                return self.farewell(link).await;
            }
            if dismissed.has_changed().is_err() {
                // The service has ended before the node did: this guard stays with the daemon.
                return;
            }
            let (pid, lived) = (link.child.id(), link.since.elapsed());
            link.bury().await;
            let died = format!("the guard (process {pid}) {died}");
            self.note(|status| (status.pid, status.locked) = (None, false));
            // The very first replacement is immediate even if the guard died young.
            if lived < LONG_LIFE && self.note(|status| status.restarts) > 0 {
                self.tell(&format!("{died}: another one in {} s", pause.as_secs()));
                if !is_wanted_after(pause, &mut dismissed).await {
                    return;
                }
                pause = (pause * 2).min(PAUSES.1);
            } else {
                pause = PAUSES.0;
            }
            let Some(next) = self.replace(&died, pause, &mut dismissed).await else { return };
            link = next;
        }
    }

    /// Starts guards until one lives; `None` if none is needed any more before that.
    async fn replace(
        &self,
        died: &str,
        mut pause: Duration,
        dismissed: &mut watch::Receiver<bool>,
    ) -> Option<Link> {
        loop {
            let post = self.post.clone();
            let started = task::spawn_blocking(|| Guard::start(post)).await;
            let started = started.map_err(io::Error::other).flatten();
            match started.and_then(|guard| Link::new(guard.child, guard.socket)) {
                Ok(link) => {
                    let present = status_of(&link, &self.post);
                    self.note(|status| {
                        (status.pid, status.locked) = (present.pid, present.locked);
                        status.restarts += 1;
                    });
                    self.tell(&format!("{died}: process {} guards now", link.child.id()));
                    return Some(link);
                }
                Err(error) => self.tell(&format!(
                    "{died}, and there is no other one: {error}; trying again in {} s",
                    pause.as_secs()
                )),
            }
            if !is_wanted_after(pause, dismissed).await {
                return None;
            }
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    async fn farewell(&self, link: Link) {
        if let Some(board) = self.post.board() {
            board.set_dismissed(true);
        }
        self.post.wake();
        link.bury().await;
    }

    fn tell(&self, text: &str) {
        self.note(|status| status.fault = Some(text.to_owned()));
        self.events.tell(None, EventKind::Fault { text: text.to_owned() });
    }

    fn note<T>(&self, change: impl FnOnce(&mut GuardStatus) -> T) -> T {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Waits; true if a guard is still needed then. A daemon that stops does not wait for one.
async fn is_wanted_after(pause: Duration, dismissed: &mut watch::Receiver<bool>) -> bool {
    timeout(pause, dismissed.wait_for(|dismissed| *dismissed)).await.is_err()
}

fn status_of(link: &Link, post: &Post) -> GuardStatus {
    let locked = post.board().is_some_and(super::board::Board::is_locked);
    GuardStatus { pid: Some(link.child.id()), locked, ..GuardStatus::default() }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[test]
    fn a_daemon_that_stops_does_not_wait_for_a_guard_that_cannot_be_started() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
            let (socket, theirs) = socketpair(family, kind, SocketFlags::CLOEXEC, None).unwrap();
            let child = Command::new("true").spawn().unwrap();
            let (events, mut inbox) = crate::event::channel();
            let guard = Guard { child, socket, post: Post::new(&[]).unwrap() };
            let handle = start(guard, events).unwrap();
            drop(theirs);
            // Nobody has called init here, and nobody ever will.
            let told = timeout(LIMIT, inbox.recv()).await.unwrap().unwrap().kind.to_string();
            assert!(told.contains("there is no other one"), "{told}");
            timeout(LIMIT, handle.dismiss()).await.unwrap();
        });
    }
}
