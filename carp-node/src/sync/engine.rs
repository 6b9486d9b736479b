//! What drives the decisions: one thread that reads the peer's word, pulls, remembers, and tells the
//! election.
//!
//! It is no part of the protocol task, and nothing of it waits for that one: the election is told whether
//! its router is held or barred, and asks before it takes the addresses. What touches the disk for
//! long, and every program, runs beside the loop.

mod exchange;
mod handover;
mod orders;
mod pass;
mod peer;
mod router;
mod share;
mod show;

use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use carp_proto::Instant;
use carp_proto::election::Bar;
use rustix::rand::{GetRandomFlags, getrandom};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::{LocalSet, spawn_blocking, spawn_local};

pub use self::orders::Order;
use self::pass::{End, Plan};
use self::peer::{Heard, PeerState, Trouble, now, wall_stamp};
use self::router::{Promoting, RouterState};
use self::share::{Last, Running, Share};
pub use self::show::ShareStatus;
use crate::clock::wall_time;
use crate::config::SyncSpec;
use crate::control::proto::{ControlError, RankStatus, is_called};
use crate::control::units::WallTime;
use crate::event::{EventKind, EventSource, Followed, Subscription};
use crate::node::Handle;
use crate::runner::{JobReport, RunnerHandle};
use crate::sync::decide::{Decision, Me, decide};
use crate::sync::guards::marker;
use crate::sync::handover::{Requester, Server};
use crate::sync::lineage::NodeId;
use crate::sync::pace::Pace;
use crate::sync::pattern::Patterns;
use crate::sync::record::{CompletePass, Memory, Role, Walk};
use crate::sync::rsync::exit::Next;
use crate::sync::rsync::version::{ARGUMENTS, Rsync};
use crate::sync::standing::{Delay, Moments, Takeover, standing};
use crate::sync::tree;

/// How often the loop looks around when nothing happens.
const LOOK_ROUND: Duration = Duration::from_millis(250);

/// How often a peer is read, and how often while a change of the active node is under way.
const READ_EVERY: Duration = Duration::from_secs(1);
const READ_OFTEN: Duration = Duration::from_millis(250);

/// How long `rsync -VV` may take.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// How long the address thread may take to remove addresses.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

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
enum Request {
    Prepare { seat: usize, reply: oneshot::Sender<Verdict> },
    Leave { router: Option<String>, reply: oneshot::Sender<()> },
    Stay { router: String },
    Status { reply: oneshot::Sender<Vec<ShareStatus>> },
    Order { share: Option<String>, order: Order, reply: Answer },
    ShutDown { done: oneshot::Sender<()> },
}

/// Where the answer to an order goes.
type Answer = oneshot::Sender<Result<serde_json::Value, ControlError>>;

/// What has come of something that ran beside the loop.
enum Done {
    Version(Result<Rsync, String>),
    Peer { peer: usize, heard: Result<Heard, Trouble> },
    Pass { share: usize, end: Box<End> },
    Walked { share: usize, walk: io::Result<Walk> },
    Hook { router: usize, share: usize, report: JobReport },
}

/// Speaks to the engine. Clones speak to the same.
#[derive(Clone, Debug)]
pub struct SyncHandle {
    requests: mpsc::UnboundedSender<Request>,
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
            Err(ControlError::new(crate::control::proto::ErrorCode::Failed, message))
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

/// Starts the thread.
///
/// # Errors
/// What the system says to a new thread, or to the directory for memories.
pub fn start(
    setup: Setup,
    runner: RunnerHandle,
    node: Handle,
    events: EventSource,
    log: Subscription,
) -> io::Result<(SyncHandle, JoinHandle<()>)> {
    let (requests, inbox) = mpsc::unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (sender, done) = mpsc::unbounded_channel();
    let engine = Engine::begin(setup, runner, node, events, sender)?;
    let thread = std::thread::Builder::new().name("carp-sync".into()).spawn(move || {
        LocalSet::new().block_on(&runtime, engine.build().run(inbox, done, log));
    })?;
    Ok((SyncHandle { requests }, thread))
}

/// What can cross to the thread.
struct Parts {
    node_id: NodeId,
    process: u64,
    directory: PathBuf,
    runner: RunnerHandle,
    node: Handle,
    events: EventSource,
    peers: Vec<PeerState>,
    routers: Vec<RouterState>,
    shares: Vec<SyncSpec>,
    places: Vec<(usize, usize)>,
    state_dir: PathBuf,
    done: mpsc::UnboundedSender<Done>,
}

struct Engine {
    node_id: NodeId,
    process: u64,
    beat: u64,
    directory: PathBuf,
    runner: RunnerHandle,
    node: Handle,
    events: EventSource,
    rsync: Option<Result<Rsync, String>>,
    asking_version: bool,
    peers: Vec<PeerState>,
    routers: Vec<RouterState>,
    shares: Vec<Share>,
    done: mpsc::UnboundedSender<Done>,
    started: Instant,
    exported: exchange::Exported,
    shutting_down: Option<oneshot::Sender<()>>,
}

impl Engine {
    fn begin(
        setup: Setup,
        runner: RunnerHandle,
        node: Handle,
        events: EventSource,
        done: mpsc::UnboundedSender<Done>,
    ) -> io::Result<Parts> {
        let directory = setup.state_dir.join("sync");
        exchange::make_directories(&directory)?;
        let mut peers: Vec<PeerState> = Vec::new();
        let mut known: Vec<(&crate::sync::rsync::ssh::Destination, &Option<Vec<String>>)> =
            Vec::new();
        let mut routers: Vec<RouterState> = Vec::new();
        let mut places = Vec::new();
        for share in &setup.shares {
            let key = (&share.peer, &share.rsh);
            let peer = match known.iter().position(|known| *known == key) {
                Some(peer) => peer,
                None => {
                    known.push(key);
                    peers.push(PeerState::new(share, peers.len(), &directory)?);
                    peers.len() - 1
                }
            };
            let router = match routers.iter().position(|router| router.name == share.router) {
                Some(router) => router,
                None => {
                    routers.push(router_state(share, &setup.seats));
                    routers.len() - 1
                }
            };
            places.push((peer, router));
        }
        exchange::write_rsyncd_conf(&directory, &setup.shares)?;
        let node_id = NodeId::try_from(setup.node).map_err(io::Error::other)?;
        Ok(Parts {
            node_id,
            process: random()?,
            directory,
            runner,
            node,
            events,
            peers,
            routers,
            shares: setup.shares,
            places,
            state_dir: setup.state_dir,
            done,
        })
    }
}

impl Parts {
    fn build(self) -> Engine {
        let share = |(spec, (peer, router)): (SyncSpec, (usize, usize))| {
            let file = Memory::file(&self.state_dir, &spec.name);
            Share {
                memory: Memory::load(&file),
                file,
                peer,
                router,
                pace: Pace::new(spec.every),
                pass: None,
                decision: None,
                standing: None,
                idle: false,
                walking: false,
                guard: None,
                approved: false,
                wanted: false,
                untidy: true,
                last: None,
                fault: None,
                told: None,
                spec,
            }
        };
        Engine {
            node_id: self.node_id,
            process: self.process,
            beat: 0,
            directory: self.directory,
            runner: self.runner,
            node: self.node,
            events: self.events,
            rsync: None,
            asking_version: false,
            peers: self.peers,
            routers: self.routers,
            shares: self.shares.into_iter().zip(self.places).map(share).collect(),
            done: self.done,
            started: now(),
            exported: exchange::Exported::default(),
            shutting_down: None,
        }
    }
}

fn router_state(share: &SyncSpec, seats: &[Seat]) -> RouterState {
    let mine = seats.iter().enumerate().filter(|(_, seat)| is_called(&seat.name, &share.router));
    let mine: Vec<_> = mine.collect();
    let first = mine.first().map(|(_, seat)| (*seat).clone());
    RouterState {
        name: share.router.clone(),
        seats: mine.iter().map(|(number, _)| *number).collect(),
        preempts: first.as_ref().is_some_and(|seat| seat.preempts),
        rank: first.map_or(RankStatus::Vrrp { priority: 0 }, |seat| seat.rank),
        role: Role::Init,
        speaks_from: Vec::new(),
        heard: None,
        heard_rank: None,
        heard_at: now(),
        promoting: None,
        leaving: None,
        requester: Requester::new(share.policy.handover_timeout),
        server: Server::new(share.policy.handover_timeout),
        hooks: None,
        told: None,
        freeze: None,
        answered: None,
    }
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom(&mut bytes, GetRandomFlags::empty())?;
    Ok(u64::from_ne_bytes(bytes))
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
        let Some(status) = self.node.status().await else { return self.end_turn() };
        let left = |router: &RouterState| router.role == Role::Active && !router.is_active(&status);
        if self.routers.iter().any(left) {
            // It counts as active until its addresses are down.
            let _ = tokio::time::timeout(SETTLE_LIMIT, self.node.settled()).await;
        }
        let now = now();
        for router in 0..self.routers.len() {
            self.note_role(router, &status, now);
        }
        self.ask_version();
        self.read_peers(now);
        for share in 0..self.shares.len() {
            self.decide(share, now);
        }
        for router in 0..self.routers.len() {
            self.promote_if_ready(router);
            self.hand_over(router, now);
            self.tell_election(router).await;
        }
        self.export(now);
        self.shutting_down.is_none() || self.end_turn()
    }

    /// The node has ended, or the daemon is about to: everything stops.
    fn end_turn(&mut self) -> bool {
        for share in &mut self.shares {
            share.stop_pass();
        }
        if self.shares.iter().any(|share| share.pass.is_some()) {
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
            Done::Version(rsync) => {
                if let Err(text) = &rsync {
                    let text = format!("data is not kept in step: {text}");
                    self.events.tell(None, EventKind::Fault { text });
                }
                self.rsync = Some(rsync);
            }
            Done::Peer { peer, heard } => self.peer_read(peer, heard),
            Done::Pass { share, end } => self.pass_ended(share, *end),
            Done::Walked { share, walk } => self.walked(share, walk),
            Done::Hook { router, share, report } => self.hook_ended(router, share, &report),
        }
    }

    fn ask_version(&mut self) {
        if self.asking_version || self.rsync.is_some() {
            return;
        }
        self.asking_version = true;
        let mut argv = vec!["rsync".into()];
        argv.extend(ARGUMENTS.map(Into::into));
        let (runner, done) = (self.runner.clone(), self.done.clone());
        spawn_local(async move {
            let asked = ask_version(&runner, argv).await;
            let _ = done.send(Done::Version(asked));
        });
    }
}

async fn ask_version(
    runner: &RunnerHandle,
    argv: Vec<std::ffi::OsString>,
) -> Result<Rsync, String> {
    use tokio::io::AsyncReadExt;
    let job = peer::job(argv, VERSION_LIMIT)?;
    let mut stream = runner.stream(job).await.map_err(|error| error.to_string())?;
    let mut output = Vec::new();
    let read = (&mut stream.stdout).take(1 << 20).read_to_end(&mut output).await;
    let report = stream.finished().await;
    match report.outcome {
        crate::runner::Outcome::CouldNotStart(text) => {
            return Err(format!("{text}; install the package rsync"));
        }
        crate::runner::Outcome::Exited(_)
        | crate::runner::Outcome::Signaled(_)
        | crate::runner::Outcome::TimedOut { .. }
        | crate::runner::Outcome::Stopped { .. }
        | crate::runner::Outcome::Lost(_) => {}
    }
    read.map_err(|error| error.to_string())?;
    Rsync::parse(&output).map_err(|error| error.to_string())
}

/// Roles and decisions.
impl Engine {
    fn note_role(
        &mut self,
        number: usize,
        status: &[crate::control::proto::RouterStatus],
        now: Instant,
    ) {
        let router = &mut self.routers[number];
        let before = router.role;
        router.note(status, now);
        let role = router.role;
        if before == role {
            return;
        }
        if before == Role::Active {
            self.stepped_down(number, now);
        }
        if role == Role::Active {
            self.became_active(number, now);
        }
        for share in self.shares.iter_mut().filter(|share| share.router == number) {
            share.pace.reset();
            share.guard = None;
            if role == Role::Active {
                share.stop_pass();
            }
        }
        self.close_connections();
    }

    fn decide(&mut self, number: usize, now: Instant) {
        let share = &self.shares[number];
        let router = &self.routers[share.router];
        let peer = self.peers[share.peer].peer();
        let me = Me {
            node: &self.node_id,
            share: &share.spec.name,
            role: if router.promoting.is_some() { Role::Active } else { router.role },
            memory: &share.memory,
            clock: wall_stamp(),
        };
        // Adverts of the other family say nothing about who sends those of this one.
        let theirs = peer.and_then(|peer| peer.share(&share.spec.name));
        let heard = router.heard.filter(|heard| {
            let same = |theirs: &std::net::IpAddr| theirs.is_ipv4() == heard.is_ipv4();
            theirs.is_some_and(|share| share.speaks_from.iter().any(same))
        });
        let policy = &share.spec.policy;
        let decision = decide(&me, peer, heard, policy, now);
        let moments = Moments { started: self.started, heard: router.heard_at };
        let mut standing = standing(&me, peer, &decision, share.idle, policy, moments, now);
        if share.guard.is_some() && standing.held.is_some() && matches!(decision, Decision::Pull(_))
        {
            standing.in_sync = false;
            standing.held = Some(crate::sync::standing::Held::OnHold);
        }
        self.act(number, &decision, now);
        let share = &mut self.shares[number];
        share.decision = Some(decision);
        share.standing = Some(standing);
        self.tell_hold(number);
    }

    /// Does what was decided.
    fn act(&mut self, number: usize, decision: &Decision, now: Instant) {
        match decision {
            Decision::Serve(renewal) => {
                self.shares[number].stop_pass();
                if self.routers[self.shares[number].router].promoting.is_some() {
                    return;
                }
                if let Some(renewal) = renewal {
                    let Ok(nonce) = random() else { return };
                    let memory = &self.shares[number].memory;
                    let memory = memory.after_renewal(&self.node_id, wall_stamp(), nonce, renewal);
                    self.remember(number, memory);
                }
                self.mark(number);
            }
            Decision::Pull(pull) => {
                let share = &self.shares[number];
                if let Some(pass) = &share.pass {
                    if pass.tip != pull.tip || pass.given_up != pull.given_up {
                        self.shares[number].stop_pass();
                    }
                    return;
                }
                let changes = self.changes(number);
                let due = share.pace.next(changes).is_some_and(|at| at <= now);
                if due || share.wanted || share.approved {
                    self.start_pass(number, pull.clone(), None, now);
                }
            }
            Decision::Scan => {
                self.shares[number].stop_pass();
                self.walk(number);
            }
            Decision::Keep | Decision::Hold(_) | Decision::Wait(_) => {
                if self.shares[number].is_pulling() {
                    self.shares[number].stop_pass();
                }
            }
        }
    }

    fn changes(&self, number: usize) -> u64 {
        let share = &self.shares[number];
        let peer = self.peers[share.peer].peer();
        peer.and_then(|peer| peer.share(&share.spec.name)).map_or(0, |theirs| theirs.changes)
    }

    /// Makes what is remembered last. What cannot be remembered does not hold.
    fn remember(&mut self, number: usize, memory: Memory) -> bool {
        let share = &mut self.shares[number];
        if share.memory == memory {
            return true;
        }
        match memory.store(&share.file) {
            Ok(()) => {
                share.memory = memory;
                share.fault = None;
                true
            }
            Err(error) => {
                share.fault = Some(error.to_string());
                false
            }
        }
    }

    /// Sees to the marker in the root of a share that is served.
    fn mark(&mut self, number: usize) {
        let share = &self.shares[number];
        let root = match crate::sync::guards::place::real_root(&share.spec.path) {
            Ok(root) => root,
            Err(hold) => {
                self.shares[number].fault = Some(hold.message);
                return;
            }
        };
        let found = marker::read(&root);
        let id = match (found, &share.memory.share_id) {
            (Ok(Some(found)), None) => found,
            (Ok(None), None) => {
                let mut bytes = [0; 16];
                if getrandom(&mut bytes, GetRandomFlags::empty()).is_err() {
                    return;
                }
                let id = marker::ShareId::from_random(bytes);
                if let Err(error) = marker::create(&root, &id) {
                    let text =
                        format!("cannot make {} in {}: {error}", marker::MARKER, root.display());
                    self.shares[number].fault = Some(text);
                    return;
                }
                id
            }
            (Ok(found), Some(known)) => {
                let hold = marker::check_own(Some(known), found.as_ref(), &root);
                self.shares[number].fault = hold.map(|hold| hold.message);
                return;
            }
            (Err(error), _) => {
                self.shares[number].fault = Some(format!("{}: {error}", root.display()));
                return;
            }
        };
        let memory = &self.shares[number].memory;
        let memory = Memory { share_id: Some(id.to_string()), ..memory.clone() };
        self.remember(number, memory);
    }

    fn walk(&mut self, number: usize) {
        let share = &mut self.shares[number];
        if share.walking {
            return;
        }
        share.walking = true;
        let patterns = share.spec.exclude.iter().map(|text| text.clone().into_bytes());
        let (path, patterns) = (share.spec.path.clone(), Patterns::new(patterns));
        let done = self.done.clone();
        spawn_local(async move {
            let walk = spawn_blocking(move || {
                let root = crate::sync::guards::place::real_root(&path)
                    .map_err(|hold| io::Error::other(hold.message))?;
                tree::scan(&root, &patterns)
            });
            let walk = walk.await.map_err(io::Error::other).flatten();
            let _ = done.send(Done::Walked { share: number, walk });
        });
    }

    fn walked(&mut self, number: usize, walk: io::Result<Walk>) {
        self.shares[number].walking = false;
        match walk {
            Ok(walk) => {
                let memory = self.shares[number].memory.after_scan(walk);
                self.remember(number, memory);
            }
            Err(error) => self.shares[number].fault = Some(error.to_string()),
        }
    }

    /// A hold is told once, and so is its end.
    fn tell_hold(&mut self, number: usize) {
        let share = &mut self.shares[number];
        let hold = share.hold().map(|hold| hold.message.clone());
        let news = hold.or_else(|| share.fault.clone());
        if share.told == news {
            return;
        }
        let name = &share.spec.name;
        let kind = match &news {
            Some(text) => EventKind::Fault { text: format!("share {name}: {text}") },
            None => EventKind::Log { text: format!("share {name}: no longer held") },
        };
        let router: Arc<str> = share.spec.router.as_str().into();
        share.told = news;
        self.events.tell(Some(&router), kind);
    }
}

/// Passes.
impl Engine {
    fn start_pass(
        &mut self,
        number: usize,
        pull: crate::sync::decide::Pull,
        dry: Option<oneshot::Sender<End>>,
        now: Instant,
    ) {
        let Some(Ok(rsync)) = &self.rsync else { return };
        let share = &self.shares[number];
        let peer = &self.peers[share.peer];
        let Some(said) = &peer.said else { return };
        let Some(source) = said.peer.share(&share.spec.name) else { return };
        let limit = share
            .spec
            .max_delete
            .unwrap_or_else(|| crate::sync::guards::mass_delete_limit(share.memory.files));
        let plan = Plan {
            runner: self.runner.clone(),
            rsync: *rsync,
            remote: peer.remote.clone(),
            name: share.spec.name.clone(),
            path: share.spec.path.clone(),
            exclude: share.spec.exclude.clone(),
            attributes: share.spec.attributes,
            bandwidth: share.spec.bandwidth,
            compress: share.spec.compress,
            share_id: share.memory.share_id.clone(),
            from: share.memory.history.tip().cloned(),
            max_delete: if share.approved { u64::MAX } else { limit },
            probes: share.probes() && !share.approved,
            purges: share.untidy,
            dry: dry.is_some(),
            source: source.clone(),
            source_clock: said.peer.record.now,
            local_clock: said.local_clock,
            scratch: self.directory.join("tmp"),
            pull: pull.clone(),
        };
        // One that began before the peer's writers stood still is not the last one.
        let last = share.wanted && self.routers[share.router].requester.want().is_some();
        let changes = source.changes;
        let running = Running {
            tip: pull.tip,
            given_up: pull.given_up,
            stop: Rc::new(Notify::new()),
            shown: pass::Shown::default(),
            began: now,
            last,
            stopping: false,
            clocks: (plan.source_clock, plan.local_clock),
            source: source.clone(),
            dry,
        };
        let (stop, shown, done) = (running.stop.clone(), running.shown.clone(), self.done.clone());
        let share = &mut self.shares[number];
        if running.dry.is_none() {
            share.pace.begin(now, changes);
            share.wanted = false;
        }
        share.pass = Some(running);
        spawn_local(async move {
            let end = Box::new(pass::run(plan, stop, shown).await);
            let _ = done.send(Done::Pass { share: number, end });
        });
    }

    fn pass_ended(&mut self, number: usize, mut end: End) {
        let Some(running) = self.shares[number].pass.take() else { return };
        if let Some(reply) = running.dry {
            // Whoever asked may have gone.
            let _ = reply.send(end);
            return;
        }
        let now = now();
        let took = now.saturating_since(running.began);
        let recorded = match end.after.take() {
            Some(after) => self.record_pass(number, &running, &end, &after),
            None => false,
        };
        let share = &mut self.shares[number];
        share.guard = end.hold.take();
        share.approved = false;
        share.idle = recorded && end.figures.is_idle();
        share.untidy = !recorded;
        match end.outcome.map(crate::sync::rsync::exit::Outcome::next) {
            _ if recorded => share.pace.complete(now),
            Some(Next::Nothing) => share.pace.reset(),
            Some(Next::Again) => share.pace.again(now),
            Some(Next::Pace | Next::BackOff | Next::Hold(_)) | None => share.pace.fail(now),
        }
        let text = match (&share.guard, &end.trouble, recorded) {
            (Some(hold), _, _) => hold.message.clone(),
            (None, Some(trouble), _) => trouble.clone(),
            (None, None, true) => "the pass is complete".to_owned(),
            (None, None, false) => {
                "the pass does not count: the peer's epoch has changed".to_owned()
            }
        };
        let ended = WallTime(wall_time());
        let (outcome, figures) = (end.outcome, end.figures);
        share.last = Some(Last { ended, took, outcome, text, figures });
        if let Some(report) = &end.report {
            let text = format!(
                "share {}: {} entries that only this node had and {} that the other one replaced are kept: \
                 `carp sync rescue list`",
                share.spec.name, report.orphans, report.superseded
            );
            let router: Arc<str> = share.spec.router.as_str().into();
            self.events.tell(Some(&router), EventKind::Log { text });
        }
        if end.lingers {
            let text = format!(
                "share {}: a process of a pass cannot be killed: it hangs in the kernel; look at the disk",
                self.shares[number].spec.name
            );
            self.shares[number].fault = Some(text);
        }
        if outcome.is_some_and(crate::sync::rsync::exit::Outcome::closes_connections) {
            self.close_connections();
        }
        self.pass_in_handover(number, recorded, running.last, now);
    }

    /// A complete pass counts if the peer's epoch is still that of the decision.
    fn record_pass(
        &mut self,
        number: usize,
        running: &Running,
        end: &End,
        after: &crate::sync::record::NodeRecord,
    ) -> bool {
        let name = self.shares[number].spec.name.clone();
        let tip = after.shares.get(&name).and_then(|share| share.history.tip());
        let router = &self.routers[self.shares[number].router];
        if tip != Some(&running.tip) || router.role != Role::Backup || router.promoting.is_some() {
            return false;
        }
        let pass = CompletePass {
            source: &running.source,
            source_clock: running.clocks.0,
            local_clock: running.clocks.1,
            given_up: running.given_up,
            files: end.figures.files,
        };
        match self.shares[number].memory.after_pass(&pass) {
            Ok(memory) => self.remember(number, memory),
            Err(_) => false,
        }
    }
}

/// Takeovers.
impl Engine {
    fn prepare(&mut self, seat: usize, reply: oneshot::Sender<Verdict>) {
        let router = self.routers.iter().position(|router| router.seats.contains(&seat));
        let Some(number) = router else {
            // No share follows it.
            let _ = reply.send(Ok(()));
            return;
        };
        if let Some(older) = self.routers[number].promoting.replace(Promoting { reply }) {
            // Of two elections of one router, both wait for the same.
            let newer = self.routers[number].promoting.take();
            let (one, two) = (older.reply, newer.map(|it| it.reply));
            let (both, verdict) = oneshot::channel::<Verdict>();
            spawn_local(async move {
                let verdict = verdict.await.unwrap_or_else(|_| Err("it was given up".into()));
                let _ = one.send(verdict.clone());
                let _ = two.map(|two| two.send(verdict));
            });
            self.routers[number].promoting = Some(Promoting { reply: both });
        }
        for share in self.shares.iter_mut().filter(|share| share.router == number) {
            share.stop_pass();
        }
        self.promote_if_ready(number);
    }

    /// Begins an epoch, once nothing is pulled any more.
    fn promote_if_ready(&mut self, number: usize) {
        if self.routers[number].promoting.is_none() {
            return;
        }
        let mine: Vec<usize> =
            (0..self.shares.len()).filter(|share| self.shares[*share].router == number).collect();
        if mine.iter().any(|share| self.shares[*share].pass.is_some()) {
            return;
        }
        let verdict = mine.iter().try_for_each(|share| self.promote(*share));
        let Some(promoting) = self.routers[number].promoting.take() else { return };
        if verdict.is_ok() {
            self.routers[number].role = Role::Active;
            self.became_active(number, now());
            self.export_now(now());
        }
        // The node may have ended.
        let _ = promoting.reply.send(verdict);
    }

    fn promote(&mut self, number: usize) -> Verdict {
        let share = &self.shares[number];
        let name = share.spec.name.clone();
        if share.fault.as_ref().is_some_and(|fault| fault.contains("cannot be killed")) {
            return Err(format!("share {name}: {}", share.fault.clone().unwrap_or_default()));
        }
        let stale = self.takeover_of(number)?;
        let nonce = random().map_err(|error| format!("share {name}: {error}"))?;
        let memory =
            self.shares[number].memory.after_promotion(&self.node_id, wall_stamp(), nonce, stale);
        if self.remember(number, memory) {
            return Ok(());
        }
        let why = self.shares[number].fault.clone().unwrap_or_default();
        Err(format!("share {name}: the new epoch cannot be written: {why}"))
    }

    /// Whether the share may be served, and whether its copy is an old one.
    fn takeover_of(&self, number: usize) -> Result<bool, String> {
        let share = &self.shares[number];
        let router = &self.routers[share.router];
        let me = Me {
            node: &self.node_id,
            share: &share.spec.name,
            role: Role::Backup,
            memory: &share.memory,
            clock: wall_stamp(),
        };
        // The election has seen to it that silence alone is no reason while the peer serves.
        let policy =
            crate::sync::policy::Policy { peer_alive_veto: false, ..share.spec.policy.clone() };
        let peer = self.peers[share.peer].peer();
        let decision = Decision::Wait(crate::sync::decide::Wait::PeerSilent);
        let moments = Moments { started: self.started, heard: router.heard_at };
        match standing(&me, peer, &decision, false, &policy, moments, now()).takeover {
            Takeover::Now { stale } => Ok(stale),
            Takeover::NotBefore(_, why) => {
                Err(format!("share {}: {}", share.spec.name, delay_words(why)))
            }
            Takeover::Never => Err(format!("share {}: {}", share.spec.name, NEVER)),
        }
    }

    /// Tells the election what the shares of a router mean for it.
    async fn tell_election(&mut self, number: usize) {
        let mine = self.shares.iter().filter(|share| share.router == number);
        let standings: Vec<_> = mine.filter_map(|share| share.standing.as_ref()).collect();
        let router = &mut self.routers[number];
        let held =
            standings.iter().any(|it| it.held.is_some()) && !router.requester.may_take_over();
        let bar = standings.iter().map(|it| bar_of(it.takeover)).max().unwrap_or_default();
        if router.told == Some((held, bar)) {
            return;
        }
        router.told = Some((held, bar));
        for seat in &router.seats {
            self.node.hold_back(*seat, held, bar).await;
        }
    }
}

const NEVER: &str = "its copy is old, and stale_takeover is \"never\": `carp sync resolve --keep local` \
                     lets it be served";

const fn bar_of(takeover: Takeover) -> Bar {
    match takeover {
        Takeover::Now { .. } => Bar::Nothing,
        Takeover::NotBefore(_, Delay::PeerServes) => Bar::Silence,
        Takeover::NotBefore(_, Delay::PeerIsAhead | Delay::ColdStart | Delay::StaleCopy)
        | Takeover::Never => Bar::Takeover,
    }
}

const fn delay_words(why: Delay) -> &'static str {
    match why {
        Delay::PeerServes => "the peer says that it serves: the path of the adverts is broken",
        Delay::PeerIsAhead => "the peer has newer data, and lives: it should serve",
        Delay::ColdStart => "the peer may have newer data, and is waited for (cold_start_wait)",
        Delay::StaleCopy => "the copy is old, and the better one is waited for (stale_takeover)",
    }
}
