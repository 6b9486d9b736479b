//! Speaking to the engine.

use std::path::PathBuf;

use tokio::sync::{mpsc, oneshot};

use super::orders::Order;
use super::show::ShareStatus;
use crate::config::SyncSpec;
use crate::control::proto::{ControlError, ErrorCode, RankStatus};

/// What the engine works with.
#[derive(Debug)]
pub struct Setup {
    /// The name of the node.
    pub node: String,
    /// Where memories are kept: `sync` in the node's state directory is made.
    pub state_dir: PathBuf,
    /// The shares.
    pub shares: Vec<SyncSpec>,
    /// The elections of the node, in its order.
    pub seats: Vec<Seat>,
}

/// An election, as the engine has to know it.
#[derive(Clone, Debug)]
pub struct Seat {
    /// Its name in status.
    pub name: String,
    /// Whether it preempts.
    pub preempts: bool,
    /// What it says of itself when nothing is wrong.
    pub rank: RankStatus,
}

/// May the takeover go on? The text says why not.
pub type Verdict = Result<(), String>;

/// What is asked of the engine.
pub(super) enum Request {
    Prepare { seat: usize, reply: oneshot::Sender<Verdict> },
    Leave { router: Option<String>, reply: oneshot::Sender<()> },
    Stay { router: String },
    Status { reply: oneshot::Sender<Vec<ShareStatus>> },
    Order { share: Option<String>, order: Order, reply: Answer },
    ShutDown { done: oneshot::Sender<()> },
}

/// Where the answer to an order goes.
pub(super) type Answer = oneshot::Sender<Result<serde_json::Value, ControlError>>;

/// Speaks to the engine. Clones speak to the same.
#[derive(Clone, Debug)]
pub struct SyncHandle {
    pub(super) requests: mpsc::UnboundedSender<Request>,
}

impl std::fmt::Debug for Request {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Request")
    }
}

impl SyncHandle {
    /// Makes ready for a takeover of an election: nothing is pulled any more, and the epoch is on the
    /// disk. Says no if that could not be done, or if the data are not to be served.
    pub async fn prepare(&self, seat: usize) -> Verdict {
        let (reply, verdict) = oneshot::channel();
        let gone = || Err("the thread that keeps data in step has ended".to_owned());
        if self.requests.send(Request::Prepare { seat, reply }).is_err() {
            return gone();
        }
        verdict.await.unwrap_or_else(|_| gone())
    }

    /// Lets writers stand still and waits until the peer has everything, before a router leaves as planned; of
    /// all routers if none is named. It takes no longer than `handover_timeout`.
    pub async fn leave(&self, router: Option<&str>) {
        let (reply, ready) = oneshot::channel();
        let router = router.map(str::to_owned);
        if self.requests.send(Request::Leave { router, reply }).is_ok() {
            // Without an engine there is nothing to wait for.
            let _ = ready.await;
        }
    }

    /// A router that was about to leave did not.
    pub fn stay(&self, router: &str) {
        // Without an engine nothing stands still.
        let _ = self.requests.send(Request::Stay { router: router.to_owned() });
    }

    /// The shares as they are.
    pub async fn status(&self) -> Vec<ShareStatus> {
        let (reply, status) = oneshot::channel();
        if self.requests.send(Request::Status { reply }).is_err() {
            return Vec::new();
        }
        status.await.unwrap_or_default()
    }

    /// Carries out what the operator wants with a share, or with the only one.
    ///
    /// # Errors
    /// [`ControlError`] says why not, and what to do.
    pub async fn order(
        &self,
        share: Option<String>,
        order: Order,
    ) -> Result<serde_json::Value, ControlError> {
        let (reply, answer) = oneshot::channel();
        let gone = || {
            let message = "the thread that keeps data in step has ended";
            Err(ControlError::new(ErrorCode::Failed, message))
        };
        if self.requests.send(Request::Order { share, order, reply }).is_err() {
            return gone();
        }
        answer.await.unwrap_or_else(|_| gone())
    }

    /// Stops everything, and waits until nothing is pulled any more.
    pub async fn shut_down(&self) {
        let (done, ended) = oneshot::channel();
        if self.requests.send(Request::ShutDown { done }).is_ok() {
            // An engine that has ended runs nothing.
            let _ = ended.await;
        }
    }
}
