//! What drives the decisions: one thread that reads the peer's word, pulls, remembers, and tells the
//! election.
//!
//! It is no part of the protocol task, and nothing of it waits for that one: the election is told whether
//! its router is held or barred, and asks before it takes the addresses. What touches the disk for
//! long, and every program, runs beside the loop.

mod alarm;
mod build;
mod call;
mod changes;
mod decision;
mod disk;
mod exchange;
mod failback;
mod figures;
mod handle;
mod handover;
mod hooks;
mod leaving;
mod orders;
mod pass;
mod passes;
mod peer;
mod roots;
mod router;
mod share;
mod show;
mod takeover;
mod tidy;
mod version;
mod wall;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use carp_proto::Instant;
use tokio::sync::{mpsc, oneshot};

pub use self::build::start;
use self::handle::{Answer, Request};
pub use self::handle::{Seat, Setup, SyncHandle, Verdict};
pub use self::orders::Order;
use self::pass::End;
use self::peer::{Heard, PeerState, Trouble, now, wall_stamp};
use self::roots::Unwalked;
use self::router::RouterState;
use self::share::Share;
pub use self::show::ShareStatus;
use crate::event::{EventSource, Followed, Subscription};
use crate::node::Handle;
use crate::runner::{JobReport, RunnerHandle};
use crate::sync::lineage::NodeId;
use crate::sync::record::{Role, Walk};
use crate::sync::rescue::Awaited;
use crate::sync::rsync::version::{Rsync, VersionError};

/// How often the loop looks around when nothing happens.
const LOOK_ROUND: Duration = Duration::from_millis(250);

/// How often a peer is read, and how often while a change of the active node is under way.
const READ_EVERY: Duration = Duration::from_secs(1);
const READ_OFTEN: Duration = Duration::from_millis(250);

/// How long the address thread may take to remove addresses.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

/// What has come of something that ran beside the loop.
enum Done {
    Version(Result<Rsync, VersionError>),
    Peer {
        peer: usize,
        heard: Result<Heard, Trouble>,
    },
    Pass {
        share: usize,
        end: Box<End>,
    },
    Walked {
        share: usize,
        walk: Result<Walk, Unwalked>,
    },
    Purged {
        share: usize,
        purged: io::Result<u64>,
    },
    Tidied {
        share: usize,
        tidied: io::Result<tidy::Tidied>,
    },
    Hook {
        router: usize,
        share: usize,
        report: JobReport,
    },
    /// What waits for somebody, if it could be counted.
    Rescues {
        share: usize,
        awaited: Option<Awaited>,
    },
}

struct Engine {
    node_id: NodeId,
    process: u64,
    beat: u64,
    directory: PathBuf,
    runner: RunnerHandle,
    node: Handle,
    events: EventSource,
    rsync: version::Program,
    peers: Vec<PeerState>,
    routers: Vec<RouterState>,
    shares: Vec<Share>,
    done: mpsc::UnboundedSender<Done>,
    started: Instant,
    wall: wall::WallClock,
    /// When rescue sets were looked through that may have grown too old.
    tidied: Instant,
    exported: exchange::Exported,
    shutting_down: Option<oneshot::Sender<()>>,
}

/// The loop.
impl Engine {
    async fn run(
        mut self,
        mut requests: mpsc::UnboundedReceiver<Request>,
        mut done: mpsc::UnboundedReceiver<Done>,
        mut log: Subscription,
    ) {
        let mut follows = true;
        self.let_go_on();
        self.tidy_at_start();
        loop {
            if !self.turn().await {
                return;
            }
            tokio::select! {
                request = requests.recv() => match request {
                    Some(request) => self.request(request),
                    None => return,
                },
                Some(done) = done.recv() => self.done(done),
                event = log.next(), if follows => match event {
                    // Whatever it is, the next turn looks at how things are.
                    Some(Followed::Event(_) | Followed::Missed(_)) => {}
                    None => follows = false,
                },
                () = tokio::time::sleep(LOOK_ROUND) => {}
            }
        }
    }

    /// Looks at everything once. `false` when it is over.
    async fn turn(&mut self) -> bool {
        let Some(status) = self.node.status().await else {
            self.node_ended();
            return self.end_turn();
        };
        let left = |router: &RouterState| router.role == Role::Active && !router.is_active(&status);
        if self.routers.iter().any(left) {
            // It counts as active until its addresses are down.
            let _ = tokio::time::timeout(SETTLE_LIMIT, self.node.settled()).await;
        }
        let now = now();
        for router in 0..self.routers.len() {
            self.note_role(router, &status, now);
        }
        self.look_at_clock();
        self.ask_version(now);
        self.read_peers(now);
        for share in 0..self.shares.len() {
            self.shares[share].look_at_lingering();
            self.shares[share].write_again(now);
            self.watch(share);
            self.decide(share, now);
            self.watch_lag(share, now);
            self.count_rescues(share, now);
        }
        for router in 0..self.routers.len() {
            self.promote_if_ready(router);
            self.hand_over(router, now);
            self.answer_failback(router, &status, now);
            self.tell_election(router).await;
        }
        self.tidy_daily(now);
        self.export(now);
        self.shutting_down.is_none() || self.end_turn()
    }

    /// No router serves any more, and the addresses are down: writers that stood still for that go on.
    fn node_ended(&mut self) {
        for router in 0..self.routers.len() {
            if std::mem::replace(&mut self.routers[router].role, Role::Init) == Role::Active {
                self.stepped_down(router, now());
            }
        }
    }

    /// The node has ended, or the daemon is about to: everything stops, but for the hooks.
    fn end_turn(&mut self) -> bool {
        for share in &mut self.shares {
            share.stop_pass();
        }
        let passes = self.shares.iter().any(|share| share.pass.is_some());
        if passes || self.routers.iter().any(|router| router.hooks.is_some()) {
            return true;
        }
        let Some(done) = self.shutting_down.take() else { return true };
        for router in &mut self.routers {
            router.role = Role::Init;
        }
        self.export_now(now());
        // Whoever asked may have gone.
        let _ = done.send(());
        false
    }

    fn request(&mut self, request: Request) {
        match request {
            Request::Prepare { seat, reply } => self.prepare(seat, reply),
            Request::Leave { router, reply } => self.leave(router.as_deref(), reply),
            Request::Stay { router } => self.stay(&router),
            Request::Status { reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.status());
            }
            Request::Order { share, order, reply } => self.order(share.as_deref(), order, reply),
            Request::ShutDown { done } => self.shutting_down = Some(done),
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Version(told) => self.version_told(told),
            Done::Peer { peer, heard } => self.peer_read(peer, heard),
            Done::Pass { share, end } => self.pass_ended(share, *end),
            Done::Walked { share, walk } => self.walked(share, walk, now()),
            Done::Purged { share, purged } => self.purged(share, purged),
            Done::Tidied { share, tidied } => self.tidied(share, tidied),
            Done::Hook { router, share, report } => self.hook_ended(router, share, &report),
            Done::Rescues { share, awaited } => self.rescues_counted(share, awaited),
        }
    }
}
