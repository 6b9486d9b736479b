//! The task that keeps a service manager informed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use super::Manager;
use super::line::line;
use crate::control::proto::RouterStatus;
use crate::node::Handle;

/// The least time between two lines of status.
const STATUS_PAUSE: Duration = Duration::from_secs(1);

/// How soon a message is repeated that could not be sent.
const RETRY: Duration = Duration::from_millis(100);

/// For how long the manager is asked to wait on for the end of a handover, and how often.
const EXTENSION: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// Keeps a service manager informed. Clones speak for the same daemon.
#[derive(Clone, Debug)]
pub struct Reporter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    manager: Option<Manager>,
    /// Something may have changed.
    news: Notify,
    stopping: AtomicBool,
}

/// What the manager has been told.
#[derive(Debug, Default)]
struct Told {
    ready: bool,
    status: String,
    /// The last message could not be sent.
    failed: bool,
}

impl Reporter {
    /// A reporter to this manager; without one it does nothing.
    #[must_use]
    pub fn new(manager: Option<Manager>) -> Self {
        let (news, stopping) = (Notify::new(), AtomicBool::new(false));
        Self { shared: Arc::new(Shared { manager, news, stopping }) }
    }

    /// Says that something may have changed. To be called on every event; never blocks.
    pub fn note(&self) {
        self.shared.news.notify_one();
    }

    /// Says that the daemon begins to hand over and stop. Never blocks.
    pub fn stopping(&self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
        if let Some(manager) = &self.shared.manager {
            // Should it get lost, the next message says at least to wait.
            let _ = manager.tell(&format!("STOPPING=1\n{}STATUS=handing over", extension()));
        }
        self.note();
    }

    /// Reports until it is dropped, or returns at once if there is nobody to report to. It goes on after
    /// the node has stopped, for as long as hooks run.
    ///
    /// # Panics
    /// Outside a tokio runtime with time enabled.
    pub async fn run(&self, handle: &Handle) {
        let Some(manager) = &self.shared.manager else { return };
        let mut told = Told::default();
        loop {
            // This waits for the protocol task. While that hangs, the manager hears nothing.
            let routers = handle.status().await;
            self.tell(manager, routers.as_deref(), &mut told);
            let beat = self.beat(manager, &told);
            let pause = beat.map_or(STATUS_PAUSE, |beat| beat.min(STATUS_PAUSE));
            sleep(pause).await;
            tokio::select! {
                () = self.shared.news.notified() => {}
                () = elapsed(beat.map(|beat| beat.saturating_sub(pause))) => {}
            }
        }
    }

    /// Tells what is new. There are no routers any more once the node has stopped.
    fn tell(&self, manager: &Manager, routers: Option<&[RouterStatus]>, told: &mut Told) {
        let stopping = self.shared.stopping.load(Ordering::Relaxed);
        let status = routers.map_or_else(|| "handed over; programs still run".into(), line);
        let mut message = String::new();
        if !told.ready && !stopping && routers.is_some() {
            message.push_str("READY=1\n");
        }
        if manager.watchdog.is_some() {
            message.push_str("WATCHDOG=1\n");
        }
        if stopping {
            message.push_str(&extension());
        }
        if status != told.status {
            message.push_str(&format!("STATUS={status}\n"));
        }
        if message.is_empty() {
            return;
        }
        // An error is told by the manager itself, which goes without.
        told.failed = manager.tell(&message).is_err();
        if !told.failed {
            (told.ready, told.status) = (told.ready || routers.is_some(), status);
        }
    }

    /// After which time the manager is to be told something, also when nothing happens.
    fn beat(&self, manager: &Manager, told: &Told) -> Option<Duration> {
        let stopping = self.shared.stopping.load(Ordering::Relaxed);
        let beats = [
            manager.watchdog.map(|limit| limit / 2),
            stopping.then_some(EXTENSION.1),
            told.failed.then_some(RETRY),
        ];
        beats.into_iter().flatten().min()
    }
}

/// Asks the manager to wait on.
fn extension() -> String {
    format!("EXTEND_TIMEOUT_USEC={}\n", EXTENSION.0.as_micros())
}

/// That a time has gone by; never without one.
async fn elapsed(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
    }
}
