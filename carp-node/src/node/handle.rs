//! Speaking to a running node.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use carp_proto::election::{Bar, Cause, State};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use super::lateness::LatenessReport;
use crate::control::proto::RouterStatus;
use crate::sync::engine::SyncHandle;

/// What others ask of the loop.
pub(super) enum Command {
    Status { reply: oneshot::Sender<Vec<RouterStatus>> },
    Lateness { reply: oneshot::Sender<LatenessReport> },
    Settle { reply: oneshot::Sender<()> },
    Yield { router: String, reply: oneshot::Sender<Result<Yielded, YieldError>> },
    YieldAll,
    HoldBack { seat: usize, restraint: Restraint },
    Prepared { router: usize, ticket: u64, ok: bool },
    Stop,
}

/// How its data hold a router back. It is free unless something is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restraint {
    /// Its data are behind, or may be: [`Input::Held`](carp_proto::election::Input::Held).
    pub behind: bool,
    /// Its data are complete only after a handover:
    /// [`Input::AwaitsHandover`](carp_proto::election::Input::AwaitsHandover).
    pub awaits_handover: bool,
    /// What it may not do at present: [`Input::Bar`](carp_proto::election::Input::Bar).
    pub bar: Bar,
}

/// A planned handover that worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Yielded {
    /// Who took over, if it advertised before it announced.
    pub to: Option<IpAddr>,
}

/// Why a router did not yield.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum YieldError {
    /// There is no router of that name.
    #[error("there is no router of that name")]
    Unknown,
    /// The router is not active.
    #[error("it is {state} here, not active: there is nothing to yield")]
    NotActive {
        /// What it is.
        state: State,
    },
    /// No other router took over.
    #[error("no other router took over: it stays active here")]
    Unanswered,
    /// Something else ended it.
    #[error("it stepped down for another reason meanwhile: {cause}")]
    Overtaken {
        /// What.
        cause: Cause,
    },
    /// The node has ended.
    #[error("the node has stopped")]
    Stopped,
}

/// Speaks to a running [`Node`](super::Node). Clones speak to the same.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) commands: mpsc::Sender<Command>,
    /// What is to be done before a router leaves as planned.
    pub(super) sync: Arc<OnceLock<SyncHandle>>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Command")
    }
}

impl Handle {
    /// Before a router leaves as planned, the data that follow it are brought into step from now on. Only
    /// the first call counts.
    pub(crate) fn leave_with(&self, sync: SyncHandle) {
        let _ = self.sync.set(sync);
    }

    async fn before_leaving(&self, router: Option<&str>) {
        if let Some(sync) = self.sync.get() {
            sync.leave(router).await;
        }
    }

    /// The routers as they are, in the order in which they were set up; `None` if the node has ended.
    pub async fn status(&self) -> Option<Vec<RouterStatus>> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Status { reply }).await.ok()?;
        answer.await.ok()
    }

    /// How late the loop was; `None` if the node has ended.
    pub async fn lateness(&self) -> Option<LatenessReport> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Lateness { reply }).await.ok()?;
        answer.await.ok()
    }

    /// Waits until the address thread has done everything that it was asked for before, and the routers
    /// know of it; `None` if the node has ended, or that thread has too much to do. Whoever turns a virtual clock must wait for that thread,
    /// which works in real time.
    pub async fn settled(&self) -> Option<()> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Settle { reply }).await.ok()?;
        answer.await.ok()
    }

    /// Makes a router yield, and waits until another one has taken over.
    ///
    /// # Errors
    /// [`YieldError`] says why nothing, or something else, happened.
    pub async fn yield_router(&self, router: &str) -> Result<Yielded, YieldError> {
        self.before_leaving(Some(router)).await;
        let (reply, answer) = oneshot::channel();
        let command = Command::Yield { router: router.to_owned(), reply };
        self.commands.send(command).await.map_err(|_| YieldError::Stopped)?;
        let yielded = answer.await.unwrap_or(Err(YieldError::Stopped));
        if let (Err(_), Some(sync)) = (&yielded, self.sync.get()) {
            sync.stay(router);
        }
        yielded
    }

    /// Makes every active router yield, without waiting.
    pub async fn yield_all(&self) {
        self.before_leaving(None).await;
        // A node that has ended has nothing to yield.
        let _ = self.commands.send(Command::YieldAll).await;
    }

    /// Tells a router, by its number in the list that the node was made with, how its data hold it back.
    pub async fn hold_back(&self, seat: usize, restraint: Restraint) {
        // A node that has ended holds nothing.
        let _ = self.commands.send(Command::HoldBack { seat, restraint }).await;
    }

    /// Answers [`Prepare`](super::Prepare). Never blocks.
    pub fn prepared(&self, router: usize, ticket: u64, ok: bool) {
        // If the loop is that busy, the takeover runs out of time and is refused.
        let _ = self.commands.try_send(Command::Prepared { router, ticket, ok });
    }

    /// Makes every router hand over and stop; then [`Node::run`](super::Node::run) returns.
    pub async fn stop(&self) {
        self.before_leaving(None).await;
        // A node that has ended has stopped.
        let _ = self.commands.send(Command::Stop).await;
    }
}
