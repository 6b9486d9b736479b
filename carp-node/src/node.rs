//! The protocol task: one loop that owns every router of the process.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use carp_proto::election::{Cause, Fault, Input, LinkState, State};
use carp_proto::wire::ip::strip_ipv4;
use carp_proto::{
    Instant, MacAddr, Protocol, Reject, RouterConfig, VirtualAddress, VirtualId, VirtualRouter,
};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};

use crate::addresses::{AddressKeeper, AddressThread, MARK, Record, Report, Task};
use crate::backend::{Backend, Clock, Interface, LinkChange, LinkWatch, PacketIo, Port, Received};
use crate::control::proto::{RouterIdentity, RouterStatus};
use crate::control::units::WallTime;
use crate::demotion::Contributions;
use crate::driver::{Driver, Member, Tickets};
use crate::event::{EventKind, EventSource};

/// Datagrams that are handled before timers get their turn. Received adverts come first, so that a
/// node that was stalled does not take over from a router that is alive; but not without end.
const BATCH: u32 = 64;

/// Requests that may wait for the protocol task.
const COMMANDS: usize = 64;

/// The longest datagram that is read; an advert has 56 bytes.
const BUFFER: usize = 2048;

/// When to try again to open an interface.
const REOPEN: Duration = Duration::from_secs(1);

/// A reject of one kind is told at most this often.
const REJECTS_TOLD: Duration = Duration::from_secs(60);

/// A router to run.
#[derive(Clone, Debug)]
pub struct RouterSetup {
    /// Its name in messages.
    pub name: String,
    /// The interface on which it advertises and has its addresses.
    pub interface: String,
    /// Everything that the election needs.
    pub config: RouterConfig,
    /// The source of its adverts, if it is not the interface's own link-layer address.
    pub advert_mac: Option<MacAddr>,
    /// Where the addresses live, if not on `interface`.
    pub address_interface: Option<String>,
    /// The virtual link-layer address of the device that has the addresses, if they have one of their
    /// own.
    pub virtual_mac: Option<MacAddr>,
    /// The sync group that the router is in: an index into the node's groups.
    pub group: Option<usize>,
}

/// Starts what must come before a takeover: called with the number of the router in the list that the
/// node was made with, and a ticket for [`Handle::prepared`]. Must not block.
pub type Prepare = Box<dyn Fn(usize, u64) + Send>;

/// What a node does beside elections.
pub struct Extras {
    /// Where events go.
    pub events: EventSource,
    /// Where a kernel that does not mark addresses is helped to remember them.
    pub record: Record,
    /// Called where a router was configured with [`RouterConfig::with_prepare`].
    pub prepare: Option<Prepare>,
}

impl fmt::Debug for Extras {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Extras").field("record", &self.record).finish_non_exhaustive()
    }
}

/// Owns the routers of a process and runs them.
pub struct Node<B: Backend> {
    backend: B,
    clock: B::Clock,
    links: B::Links,
    addresses: AddressThread,
    ports: Vec<PortState<B::Packets>>,
    members: Vec<Member>,
    rejects: BTreeMap<(usize, usize), RejectTold>,
    commands: mpsc::Receiver<Command>,
    events: EventSource,
    prepare: Option<Prepare>,
    buffer: Box<[u8]>,
    scratch: BytesMut,
    batch: u32,
    stopping: bool,
    /// Whether every [`Handle`] is gone.
    abandoned: bool,
}

impl<B: Backend> fmt::Debug for Node<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("members", &self.members).finish_non_exhaustive()
    }
}

/// An interface, and the sockets on it while it is there.
struct PortState<P> {
    name: String,
    ids: Vec<VirtualId>,
    interface: Option<Interface>,
    packets: Option<P>,
    reopen_at: Option<Instant>,
}

/// When a kind of reject was last told, and how many came since.
struct RejectTold {
    at: Instant,
    untold: u64,
}

/// What woke the loop.
enum Wake {
    Received { port: usize, received: io::Result<Received> },
    Report(Report),
    Link(LinkChange),
    Command(Option<Command>),
    Timer,
}

/// What others ask of the loop.
enum Command {
    Status { reply: oneshot::Sender<Vec<RouterStatus>> },
    Yield { router: String, reply: oneshot::Sender<Result<Yielded, YieldError>> },
    YieldAll,
    Prepared { router: usize, ticket: u64, ok: bool },
    Stop,
}

/// A planned handover that worked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Yielded {
    /// Who took over, if it advertised before it announced.
    pub to: Option<IpAddr>,
}

/// Why a router did not yield.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
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

/// Speaks to a running [`Node`]. Clones speak to the same.
#[derive(Clone, Debug)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Command")
    }
}

impl Handle {
    /// The routers as they are, in the order in which they were set up; `None` if the node has ended.
    pub async fn status(&self) -> Option<Vec<RouterStatus>> {
        let (reply, answer) = oneshot::channel();
        self.commands.send(Command::Status { reply }).await.ok()?;
        answer.await.ok()
    }

    /// Makes a router yield, and waits until another one has taken over.
    ///
    /// # Errors
    /// [`YieldError`] says why nothing, or something else, happened.
    pub async fn yield_router(&self, router: &str) -> Result<Yielded, YieldError> {
        let (reply, answer) = oneshot::channel();
        let command = Command::Yield { router: router.to_owned(), reply };
        self.commands.send(command).await.map_err(|_| YieldError::Stopped)?;
        answer.await.unwrap_or(Err(YieldError::Stopped))
    }

    /// Makes every active router yield, without waiting.
    pub async fn yield_all(&self) {
        // A node that has ended has nothing to yield.
        let _ = self.commands.send(Command::YieldAll).await;
    }

    /// Answers [`Prepare`]. Never blocks.
    pub fn prepared(&self, router: usize, ticket: u64, ok: bool) {
        // If the loop is that busy, the takeover runs out of time and is refused.
        let _ = self.commands.try_send(Command::Prepared { router, ticket, ok });
    }

    /// Makes every router hand over and stop; then [`Node::run`] returns.
    pub async fn stop(&self) {
        // A node that has ended has stopped.
        let _ = self.commands.send(Command::Stop).await;
    }
}

/// Making and running.
impl<B: Backend> Node<B> {
    /// A node that runs these routers. Must be called inside the tokio runtime that will run it.
    ///
    /// Addresses of these routers that a dead daemon left behind are removed first. Whoever calls this
    /// holds the [lock](crate::lock::RouterLock) of each router.
    ///
    /// # Errors
    /// What the operating system says to new sockets and threads.
    pub fn new(
        mut backend: B,
        setups: Vec<RouterSetup>,
        extras: Extras,
    ) -> io::Result<(Self, Handle)> {
        let clock = backend.clock()?;
        let keeper = AddressKeeper::new(backend.addresses()?, backend.announcer()?, extras.record);
        let ports = ports(&setups);
        let names: Vec<String> = ports.iter().map(|port| port.name.clone()).collect();
        let links = backend.watch(&names)?;
        let addresses = AddressThread::start(keeper)?;
        let members = setups.into_iter().map(|setup| member(setup, &names)).collect();
        let (sender, commands) = mpsc::channel(COMMANDS);
        let node = Self {
            backend,
            clock,
            links,
            addresses,
            ports,
            members,
            rejects: BTreeMap::new(),
            commands,
            events: extras.events,
            prepare: extras.prepare,
            buffer: vec![0; BUFFER].into(),
            scratch: BytesMut::with_capacity(64),
            batch: 0,
            stopping: false,
            abandoned: false,
        };
        Ok((node, Handle { commands: sender }))
    }

    /// Runs the routers until [`Handle::stop`] and the handover that follows are done.
    ///
    /// When it returns, every address that is ours has been given back, or an event says why not.
    pub async fn run(mut self) {
        self.remove_orphans();
        self.input_to_all(Input::Start);
        while !(self.stopping && self.is_idle()) {
            let wake = std::future::poll_fn(|cx| self.poll_wake(cx)).await;
            self.handle_wake(wake);
        }
        self.finish().await;
    }

    fn remove_orphans(&mut self) {
        for (router, member) in self.members.iter().enumerate() {
            let job = member.job(router, Task::Release, 0);
            // The queue is empty at the start.
            let _ = self.addresses.jobs.try_send(job);
        }
    }

    fn is_idle(&self) -> bool {
        self.members.iter().all(|member| member.router.state() == State::Init)
    }

    /// Waits until the address thread has done what it was asked for.
    async fn finish(mut self) {
        drop(self.addresses.jobs);
        while let Some(report) = self.addresses.reports.recv().await {
            if let (Err(fault), Some(member)) = (&report.outcome, self.members.get(report.router)) {
                self.events.tell(Some(&member.name), EventKind::Fault { text: fault.to_string() });
            }
        }
    }
}

/// Waking.
impl<B: Backend> Node<B> {
    fn poll_wake(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        if self.batch >= BATCH {
            self.batch = 0;
            if self.deadline().is_some_and(|at| at <= self.clock.now()) {
                return Poll::Ready(Wake::Timer);
            }
        }
        for (port, state) in self.ports.iter_mut().enumerate() {
            let Some(packets) = &mut state.packets else { continue };
            if let Poll::Ready(received) = packets.poll_receive(cx, &mut self.buffer) {
                self.batch += 1;
                return Poll::Ready(Wake::Received { port, received });
            }
        }
        self.batch = 0;
        if let Poll::Ready(Some(report)) = self.addresses.reports.poll_recv(cx) {
            return Poll::Ready(Wake::Report(report));
        }
        if let Poll::Ready(change) = self.links.poll_change(cx) {
            return Poll::Ready(Wake::Link(change));
        }
        if !self.abandoned
            && let Poll::Ready(command) = self.commands.poll_recv(cx)
        {
            self.abandoned = command.is_none();
            return Poll::Ready(Wake::Command(command));
        }
        let deadline = self.deadline();
        self.clock.poll_deadline(cx, deadline).map(|()| Wake::Timer)
    }

    fn deadline(&self) -> Option<Instant> {
        let routers = self.members.iter().filter_map(|member| member.router.poll_timeout());
        let ports = self.ports.iter().filter_map(|port| port.reopen_at);
        routers.map(|deadline| deadline.at).chain(ports).min()
    }

    fn handle_wake(&mut self, wake: Wake) {
        match wake {
            Wake::Received { port, received } => self.received(port, &received),
            Wake::Report(report) => self.reported(report),
            Wake::Link(change) => self.link_changed(change),
            Wake::Command(command) => self.command(command.unwrap_or(Command::Stop)),
            Wake::Timer => self.timeout(),
        }
    }

    fn timeout(&mut self) {
        let now = self.clock.now();
        for index in 0..self.members.len() {
            let deadline = self.members[index].router.poll_timeout();
            if deadline.is_some_and(|deadline| deadline.at <= now) {
                self.input(index, Input::Timeout);
            }
        }
        for port in 0..self.ports.len() {
            if self.ports[port].reopen_at.is_some_and(|at| at <= now) {
                self.refresh_port(port);
            }
        }
    }

    fn input_to_all(&mut self, input: Input) {
        for index in 0..self.members.len() {
            self.input(index, input);
        }
    }

    fn input(&mut self, index: usize, input: Input) {
        let now = self.clock.now();
        self.members[index].router.handle(now, input);
        self.carry_out(index, now);
    }

    fn carry_out(&mut self, index: usize, now: Instant) {
        let member = &mut self.members[index];
        let port = &mut self.ports[member.port];
        let mut driver = Driver {
            packets: port.packets.as_mut(),
            interface: port.interface.as_ref(),
            jobs: &self.addresses.jobs,
            events: &self.events,
            prepare: self.prepare.as_ref(),
            scratch: &mut self.scratch,
        };
        driver.carry_out(index, member, now);
    }
}

/// What arrives.
impl<B: Backend> Node<B> {
    fn received(&mut self, port: usize, received: &io::Result<Received>) {
        match received {
            Ok(Received::Ipv4 { len, ttl }) => self.datagram(port, *len, *ttl),
            Ok(Received::Announcement(announcement)) => {
                let address = IpAddr::V4(announcement.address);
                for index in 0..self.members.len() {
                    let member = &self.members[index];
                    let ours = member.addresses.iter().any(|ours| ours.ip() == address);
                    if member.port == port && ours {
                        self.input(index, Input::AnnouncementHeard);
                    }
                }
            }
            // An error of the link, such as "network is down", which link events tell better.
            Err(_) => {}
        }
    }

    fn datagram(&mut self, port: usize, len: usize, ttl: Option<u8>) {
        let now = self.clock.now();
        let packet = &self.buffer[..len];
        let on_port = |id: Option<u8>| {
            let mut members = self.members.iter();
            members.position(|member| {
                member.port == port && id.is_none_or(|id| member.router.config().id().get() == id)
            })
        };
        let (index, source, result) = match strip_ipv4(packet) {
            Ok((mut meta, payload)) => {
                meta.ttl = ttl.unwrap_or(meta.ttl);
                // Of another id, or without one: counted where the interface's rejects are counted.
                let Some(index) = on_port(payload.get(1).copied()).or_else(|| on_port(None)) else {
                    return;
                };
                let result = self.members[index].router.handle_datagram(now, &meta, payload);
                (index, Some(meta.source), result)
            }
            Err(_) => {
                let Some(index) = on_port(None) else { return };
                self.members[index].router.note_reject(now, None, Reject::MalformedIp);
                (index, None, Err(Reject::MalformedIp))
            }
        };
        match result {
            Ok(()) => self.carry_out(index, now),
            Err(reject) => self.tell_reject(now, index, source, reject),
        }
    }

    /// Tells the first reject of a kind, and then sums.
    fn tell_reject(&mut self, now: Instant, index: usize, source: Option<IpAddr>, reject: Reject) {
        let count = match self.rejects.get_mut(&(index, reject.index())) {
            None => 1,
            Some(told) if now.saturating_since(told.at) < REJECTS_TOLD => {
                told.untold = told.untold.saturating_add(1);
                return;
            }
            Some(told) => told.untold.saturating_add(1),
        };
        self.rejects.insert((index, reject.index()), RejectTold { at: now, untold: 0 });
        let (label, text) = (reject.label().into(), reject.to_string());
        let kind = EventKind::Reject { label, source, text, count };
        self.events.tell(Some(&self.members[index].name), kind);
    }

    fn reported(&mut self, report: Report) {
        let Some(member) = self.members.get_mut(report.router) else { return };
        let waited_for = report.ticket == member.tickets.acquire;
        let text = report.outcome.as_ref().err().map(ToString::to_string);
        let input = match (report.task, report.outcome) {
            (Task::Acquire { .. }, Ok(_)) if waited_for => {
                member.fault_text = None;
                Some(Input::Acquired)
            }
            (Task::Acquire { .. }, Err(fault)) if waited_for => {
                Some(Input::Fault(Fault::Acquire { code: fault.code() }))
            }
            (Task::Release, Err(fault)) => {
                Some(Input::Fault(Fault::Release { code: fault.code() }))
            }
            (Task::Verify, Ok(true)) => Some(Input::AddressLost),
            (Task::Acquire { .. } | Task::Release | Task::Verify, _)
            | (Task::Prepare | Task::Announce { .. }, _) => None,
        };
        if let Some(text) = text {
            member.fault_text = Some(text.clone());
            self.events.tell(Some(&member.name), EventKind::Fault { text });
        }
        if let Some(input) = input {
            self.input(report.router, input);
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Status { reply } => {
                // Whoever asked may have gone.
                let _ = reply.send(self.status());
            }
            Command::Yield { router, reply } => self.yield_router(&router, reply),
            Command::YieldAll => self.input_to_all(Input::Yield),
            Command::Prepared { router, ticket, ok } => {
                if self.members.get(router).is_some_and(|m| m.tickets.prepare == ticket) {
                    self.input(router, if ok { Input::Prepared } else { Input::Refused });
                }
            }
            Command::Stop => {
                self.stopping = true;
                self.input_to_all(Input::Stop);
            }
        }
    }

    fn yield_router(&mut self, name: &str, reply: oneshot::Sender<Result<Yielded, YieldError>>) {
        let index = self.members.iter().position(|member| &*member.name == name);
        let refused = match index.map(|index| (index, self.members[index].router.state())) {
            Some((index, State::Active)) => {
                self.members[index].yielding.push(reply);
                return self.input(index, Input::Yield);
            }
            Some((_, state @ (State::Init | State::Backup))) => YieldError::NotActive { state },
            None => YieldError::Unknown,
        };
        // Whoever asked may have gone.
        let _ = reply.send(Err(refused));
    }

    fn status(&self) -> Vec<RouterStatus> {
        let (now, wall) = (self.clock.now(), WallTime::now());
        let status = |member: &Member| {
            let config = member.router.config();
            let identity = RouterIdentity {
                name: member.name.to_string(),
                protocol: Protocol::Carp,
                id: config.id(),
                interface: member.interface.to_string(),
                addresses: config.addresses().iter().map(ToString::to_string).collect(),
            };
            let snapshot = member.router.snapshot(now);
            let mut status = RouterStatus::new(identity, &snapshot, now, wall);
            if status.fault.is_some() && member.fault_text.is_some() {
                status.fault.clone_from(&member.fault_text);
            }
            if status.fault.is_none() && snapshot.state == State::Init {
                status.fault = self.link_fault(member, snapshot.link);
            }
            let packets = self.ports[member.port].packets.as_ref();
            status.counters.kernel_dropped = packets.map_or(0, PacketIo::kernel_dropped);
            status.mac = member.advert_mac.map(|mac| mac.to_string());
            status
        };
        self.members.iter().map(status).collect()
    }

    /// Why a router does not take part.
    fn link_fault(&self, member: &Member, link: LinkState) -> Option<String> {
        let interface = &member.interface;
        match link {
            LinkState::Up { .. } => None,
            LinkState::NoAddress => {
                Some(format!("{interface} has no IPv4 address of its own to advertise from"))
            }
            LinkState::Down => Some(match self.ports[member.port].interface {
                None => format!("there is no interface {interface}"),
                Some(Interface { running: false, .. }) => format!("{interface} is down"),
                Some(_) => format!("{interface} could not be opened"),
            }),
        }
    }
}

/// Links.
impl<B: Backend> Node<B> {
    fn link_changed(&mut self, change: LinkChange) {
        let Some(port) = self.ports.iter().position(|port| port.name == change.name) else {
            return;
        };
        let state = &mut self.ports[port];
        let index = |interface: &Option<Interface>| interface.as_ref().map(|found| found.index);
        if index(&state.interface) != index(&change.interface) {
            state.packets = None;
        }
        state.interface = change.interface;
        self.refresh_port(port);
    }

    /// Opens what can be opened, tells the routers of the link, and looks after their addresses.
    fn refresh_port(&mut self, port: usize) {
        self.open_port(port);
        let virtual_addresses: Vec<IpAddr> = self
            .members
            .iter()
            .filter(|member| member.port == port)
            .flat_map(|member| member.addresses.iter().map(|address| address.ip()))
            .collect();
        let state = &self.ports[port];
        let link = match &state.interface {
            Some(interface) if interface.running && state.packets.is_some() => {
                match source_address(interface, &virtual_addresses) {
                    Some(source) => LinkState::Up { source },
                    None => LinkState::NoAddress,
                }
            }
            Some(_) | None => LinkState::Down,
        };
        let present: Vec<IpAddr> = state
            .interface
            .iter()
            .flat_map(|interface| interface.addresses.iter().map(|address| address.ip))
            .collect();
        let now = self.clock.now();
        for index in 0..self.members.len() {
            if self.members[index].port != port {
                continue;
            }
            if self.members[index].router.snapshot(now).link != link {
                self.input(index, Input::Link(link));
            }
            self.verify_addresses(index, &present);
        }
    }

    fn open_port(&mut self, port: usize) {
        let state = &mut self.ports[port];
        state.reopen_at = None;
        let (Some(interface), None) = (&state.interface, &state.packets) else { return };
        let request =
            Port { interface: state.name.clone(), index: interface.index, ids: state.ids.clone() };
        match self.backend.open(&request) {
            Ok(packets) => {
                state.packets = Some(packets);
                self.prepare_addresses(port);
            }
            Err(error) => {
                state.reopen_at = Some(self.clock.now() + REOPEN);
                let text = format!("cannot open {}: {error}; trying again", state.name);
                self.events.tell(None, EventKind::Fault { text });
            }
        }
    }

    /// Has the address thread make ready what takeovers on an interface will need.
    fn prepare_addresses(&mut self, port: usize) {
        let mut members = self.members.iter().enumerate();
        if let Some((router, member)) = members.find(|(_, member)| member.port == port) {
            // If the thread is that busy, the first takeover does it.
            let _ = self.addresses.jobs.try_send(member.job(router, Task::Prepare, 0));
        }
    }

    /// An address that seems to be gone is looked for: the event may be older than the address.
    fn verify_addresses(&mut self, router: usize, present: &[IpAddr]) {
        let member = &self.members[router];
        let complete = member.addresses.iter().all(|address| present.contains(&address.ip()));
        if member.router.state() != State::Active || complete {
            return;
        }
        let job = member.job(router, Task::Verify, 0);
        // If the thread is that busy, the next link event asks again.
        let _ = self.addresses.jobs.try_send(job);
    }
}

/// One port an interface, with the ids on it.
fn ports<P>(setups: &[RouterSetup]) -> Vec<PortState<P>> {
    let mut ports: Vec<PortState<P>> = Vec::new();
    for setup in setups {
        let id = setup.config.id();
        match ports.iter_mut().find(|port| port.name == setup.interface) {
            Some(port) => port.ids.push(id),
            None => ports.push(PortState {
                name: setup.interface.clone(),
                ids: vec![id],
                interface: None,
                packets: None,
                reopen_at: None,
            }),
        }
    }
    ports
}

fn member(setup: RouterSetup, ports: &[String]) -> Member {
    Member {
        name: setup.name.into(),
        port: ports.iter().position(|port| *port == setup.interface).unwrap_or(0),
        interface: setup.interface.into(),
        addresses: setup.config.addresses().into(),
        router: VirtualRouter::new(setup.config),
        advert_mac: setup.advert_mac,
        contributions: Contributions::default(),
        tickets: Tickets::default(),
        yielding: Vec::new(),
        fault_text: None,
    }
}

/// The interface's own first address: not a virtual one, whoever put it there.
fn source_address(interface: &Interface, virtual_addresses: &[IpAddr]) -> Option<IpAddr> {
    let own = |address: &&crate::backend::InstalledAddress| {
        address.ip.is_ipv4()
            && address.protocol != Some(MARK)
            && !virtual_addresses.contains(&address.ip)
    };
    let mut candidates = interface.addresses.iter().filter(own);
    let first = candidates.clone().next();
    candidates.find(|address| !address.secondary).or(first).map(|address| address.ip)
}

/// Removes addresses that a dead daemon left behind. The lock of the router must be held.
///
/// Returns what was removed.
///
/// # Errors
/// [`AddressFault`](crate::addresses::AddressFault) says what the system refused.
pub fn clean_up<B: Backend>(
    backend: &mut B,
    record: Record,
    interface: &str,
    addresses: &[VirtualAddress],
) -> Result<Vec<VirtualAddress>, crate::addresses::AddressFault> {
    let opened = backend.addresses().and_then(|table| Ok((table, backend.announcer()?)));
    let (table, announcer) = opened.map_err(|source| {
        let interface = interface.to_owned();
        crate::addresses::AddressFault::Interface { what: "cannot reach", interface, source }
    })?;
    AddressKeeper::new(table, announcer, record).release(interface, addresses)
}
