//! The protocol task: one loop that owns every router of the process.

mod arrival;
pub(crate) mod contest;
mod daytime;
pub(crate) mod gateway;
mod group;
mod handle;
mod hearing;
mod hold;
mod lateness;
pub(crate) mod lease;
mod neighbours;
mod port;
pub(crate) mod probe;
pub(crate) mod remark;
mod request;
mod setup;
mod status;
mod suspects;
mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use carp_proto::election::{Bar, Input, State, Wait};
use carp_proto::{Instant, VirtualAddress, VirtualRouter};
use tokio::sync::{mpsc, oneshot};

use self::arrival::RejectTold;
use self::daytime::DayTime;
use self::gateway::Gateway;
use self::group::SyncGroup;
use self::handle::Command;
pub use self::handle::{Handle, Restraint, YieldError, Yielded};
use self::hearing::Hearing;
pub use self::hold::Hold;
use self::lateness::Lateness;
pub use self::lateness::{Bucket, LatenessReport};
use self::lease::Renewals;
use self::port::PortState;
pub use self::probe::Duplicate;
use self::probe::Probe;
pub use self::setup::RouterSetup;
use self::turn::Turns;
use crate::addresses::{AddressFault, AddressKeeper, AddressThread, Place, Record, Report, Task};
use crate::backend::{
    AddressTable, Backend, Clock, Interface, LinkChange, LinkWatch, PacketIo, Received, Removal,
    Removals,
};
use crate::demotion::Contributions;
use crate::driver::{Driver, GuardSeat, Member, Tickets};
use crate::event::{EventKind, EventSource};
use crate::guard::Post;

/// Requests that may wait for the protocol task.
const COMMANDS: usize = 64;

/// The longest datagram that is read. The longest advert, VRRP version 3 with 255 IPv6 addresses and a
/// signature, has 4116 bytes; the longest IPv4 header 60.
const BUFFER: usize = 4608;

/// Starts what must come before a takeover: called with the number of the router in the list that the
/// node was made with, and a ticket for [`Handle::prepared`]. Must not block.
pub type Prepare = Box<dyn Fn(usize, u64) + Send>;

/// Makes a router give way, by its number in the list that the node was made with: as
/// [`Handle::yield_router`] does. Must not block.
pub type GiveWay = Box<dyn Fn(usize) + Send>;

/// What a node does beside elections.
pub struct Extras {
    /// Where events go.
    pub events: EventSource,
    /// Where a kernel that does not mark addresses is helped to remember them.
    pub record: Record,
    /// Called where a router was configured with [`RouterConfig::with_prepare`](carp_proto::RouterConfig::with_prepare).
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
    removals: Removals,
    /// What removals by the address thread have as their port.
    own_port: Option<u32>,
    addresses: AddressThread,
    ports: Vec<PortState<B::Packets>>,
    /// The interfaces that are there, of those that matter.
    interfaces: BTreeMap<String, Interface>,
    members: Vec<Member>,
    groups: Vec<SyncGroup>,
    rejects: BTreeMap<(usize, usize), RejectTold>,
    commands: mpsc::Receiver<Command>,
    events: EventSource,
    prepare: Option<Prepare>,
    give_way: Option<GiveWay>,
    guard: Option<Post>,
    buffer: Box<[u8]>,
    scratch: BytesMut,
    turns: Turns,
    hearing: Hearing,
    lateness: Lateness,
    day: DayTime,
    /// Who waits until the address thread has done what it was asked for.
    settling: VecDeque<oneshot::Sender<()>>,
    stopping: bool,
    /// Whether every [`Handle`] is gone.
    abandoned: bool,
}

impl<B: Backend> fmt::Debug for Node<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("members", &self.members).finish_non_exhaustive()
    }
}

/// What woke the loop.
enum Wake {
    Received {
        port: usize,
        received: io::Result<Received>,
    },
    Report(Report),
    Link(LinkChange),
    Removed(Removal),
    Command(Option<Command>),
    /// A deadline has come. `empty`: and there was nothing left to read.
    Timer {
        empty: bool,
    },
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
        let table = backend.addresses()?;
        let (own_port, removals) = (table.port(), backend.removals()?);
        let keeper = AddressKeeper::new(table, backend.announcer()?, extras.record);
        let ports: Vec<PortState<_>> = port::ports(&setups);
        let hearing = Hearing::new(ports.len());
        let links = backend.watch(&port::watched(&setups))?;
        let addresses = AddressThread::start(keeper, setups.len())?;
        let groups = group::groups(&setups);
        let members = setups.into_iter().map(|setup| member(setup, &ports)).collect();
        let (sender, commands) = mpsc::channel(COMMANDS);
        let guard = backend.guard();
        let node = Self {
            backend,
            clock,
            links,
            removals,
            own_port,
            addresses,
            ports,
            interfaces: BTreeMap::new(),
            members,
            groups,
            rejects: BTreeMap::new(),
            commands,
            events: extras.events,
            prepare: extras.prepare,
            give_way: None,
            guard,
            buffer: vec![0; BUFFER].into(),
            scratch: BytesMut::with_capacity(64),
            turns: Turns::default(),
            hearing,
            lateness: Lateness::default(),
            day: DayTime::default(),
            settling: VecDeque::new(),
            stopping: false,
            abandoned: false,
        };
        Ok((node, Handle { commands: sender, sync: Arc::default() }))
    }

    /// A router that has lost its gateway, and is active, calls this to give way; without it, it yields at once. To be
    /// called before [`run`](Self::run).
    pub fn give_way_with(&mut self, give_way: GiveWay) {
        self.give_way = Some(give_way);
    }

    /// Lets these routers begin held and barred from every takeover, until
    /// [`Handle::hold_back`] says otherwise. To be called before [`run`](Self::run).
    pub fn begin_held(&mut self, seats: &[usize]) {
        let all = Restraint { behind: true, awaits_handover: false, bar: Bar::Takeover };
        seats.iter().for_each(|seat| self.hold_back(*seat, all));
    }

    /// Runs the routers until [`Handle::stop`] and the handover that follows are done.
    ///
    /// When it returns, every address that is ours has been given back, or an event says why not.
    pub async fn run(mut self) {
        self.remove_orphans();
        self.settle_groups();
        self.input_to_all(Input::Start);
        while !(self.stopping && self.is_idle()) {
            let wake = std::future::poll_fn(|cx| self.poll_wake(cx)).await;
            self.handle_wake(wake);
            if self.hearing.takes_a_look() {
                tokio::task::yield_now().await;
            }
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

    /// Takes down what was made for the addresses, and waits until the address thread has done what it
    /// was asked for.
    async fn finish(mut self) {
        for (router, member) in self.members.iter().enumerate() {
            // If the thread is that busy, `carp cleanup` and the next start find it.
            let _ = self.addresses.jobs.try_send(member.job(router, Task::Dismantle, 0));
        }
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
        let now = self.clock.now();
        self.note_lateness(now);
        if let Some(guard) = &self.guard {
            guard.beat(now);
        }
        if self.turns.is_over() {
            if self.is_due_after_batch(now) {
                return Poll::Ready(Wake::Timer { empty: false });
            }
            if let Poll::Ready(wake) = self.poll_others(cx) {
                return Poll::Ready(wake);
            }
        }
        for port in self.turns.ports(self.ports.len()) {
            let Some(packets) = &mut self.ports[port].packets else { continue };
            if let Poll::Ready(received) = packets.poll_receive(cx, &mut self.buffer) {
                self.turns.note_received(port);
                self.hearing.reads(port);
                return Poll::Ready(Wake::Received { port, received });
            }
        }
        self.turns.note_empty();
        if let Poll::Ready(wake) = self.poll_others(cx) {
            return Poll::Ready(wake);
        }
        let deadline = self.deadline(|_| true);
        if deadline.is_none_or(|at| at > now) {
            self.hearing.rests();
        }
        self.lateness.awaits(deadline, self.clock.time_asleep());
        self.clock.poll_deadline(cx, deadline).map(|()| Wake::Timer { empty: true })
    }

    /// Whether something is due after a batch of datagrams, although there may be more of them.
    fn is_due_after_batch(&self, now: Instant) -> bool {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        is_due(self.deadline(|why| !Hearing::is_about_silence(why)))
            || (self.hearing.has_its_turn() && is_due(self.deadline(Hearing::is_about_silence)))
    }

    /// What is neither received nor due.
    fn poll_others(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        if let Poll::Ready(report) = self.addresses.poll_report(cx) {
            return Poll::Ready(Wake::Report(report));
        }
        if let Poll::Ready(removal) = self.removals.poll_removal(cx) {
            return Poll::Ready(Wake::Removed(removal));
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
        Poll::Pending
    }

    /// The next deadline, of those of routers only the ones of this kind.
    fn deadline(&self, kind: impl Fn(Wait) -> bool) -> Option<Instant> {
        let routers = self.members.iter().filter_map(|member| member.router.poll_timeout());
        let routers = routers.filter(|deadline| kind(deadline.why));
        let ports = self.ports.iter().filter_map(PortState::wake_at);
        let beat = self.guard.as_ref().and_then(Post::next_beat);
        let renewals = self.members.iter().filter_map(|member| member.renewals.due_at());
        let probes = self.members.iter().filter_map(|it| it.probe.poll_timeout(&it.router));
        let gateways = self.members.iter().filter_map(|it| it.gateway.map(|it| it.poll_timeout()));
        let others = ports.chain(beat).chain(renewals).chain(probes).chain(gateways);
        routers.map(|deadline| deadline.at).chain(others).min()
    }

    fn handle_wake(&mut self, wake: Wake) {
        match wake {
            Wake::Received { port, received } => self.received(port, &received),
            Wake::Report(report) => self.reported(report),
            Wake::Link(change) => self.link_changed(change),
            Wake::Removed(removal) => self.removed(&removal),
            Wake::Command(command) => self.command(command.unwrap_or(Command::Stop)),
            Wake::Timer { empty } => self.timeout(empty),
        }
        self.settle_groups();
        self.listen_to_neighbours();
    }

    fn timeout(&mut self, empty: bool) {
        let now = self.clock.now();
        let may_judge = self.may_judge(now, empty);
        for index in 0..self.members.len() {
            // Who has an address is to be known before the router decides.
            self.probe_timeout(index, now);
            self.gateway_timeout(index, now);
            let due = due(&self.members[index], now);
            if due.is_some_and(|why| may_judge || !Hearing::is_about_silence(why)) {
                self.input(index, Input::Timeout);
            }
        }
        for port in 0..self.ports.len() {
            if self.ports[port].wake_at().is_some_and(|at| at <= now) {
                self.refresh_port(port);
            }
        }
        self.renew_signatures(now);
        self.renew_leases(now);
    }

    /// Whether deadlines that rest on silence can be met, if there are any.
    fn may_judge(&mut self, now: Instant, empty: bool) -> bool {
        let mut due = self.members.iter().filter_map(|member| due(member, now));
        if due.any(Hearing::is_about_silence) {
            return self.hearing.may_judge(empty);
        }
        self.hearing.rests();
        true
    }

    /// Counts how late the loop wakes, and tells it if that was more than an advert interval.
    fn note_lateness(&mut self, now: Instant) {
        let Some(met) = self.lateness.runs(now) else { return };
        let running = self.members.iter().filter(|it| it.router.state() != State::Init);
        let intervals = running.map(|it| it.router.config().standing().interval());
        if intervals.min().is_some_and(|interval| met.late_by > interval) {
            let slept = self.clock.time_asleep().saturating_sub(met.asleep);
            if let Some(kind) = self.lateness.news(now, met.late_by, slept) {
                self.events.tell(None, kind);
            }
        }
    }

    /// Signatures of resignations that are kept ready grow old, even when no advert is due.
    fn renew_signatures(&mut self, now: Instant) {
        for index in 0..self.members.len() {
            if self.guard.is_some() && self.members[index].router.config().is_signed() {
                self.tell_time_of_day(index, now);
                let (member, links) = (&self.members[index], &self.interfaces);
                if let Some(seat) = guard_seat(self.guard.as_ref(), links, &member.interface) {
                    seat.keep(index, member, &mut self.scratch);
                }
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
        self.tell_time_of_day(index, now);
        self.members[index].router.handle(now, input);
        self.carry_out(index, now);
    }

    fn carry_out(&mut self, index: usize, now: Instant) {
        let member = &mut self.members[index];
        let port = &mut self.ports[member.port];
        let mut driver = Driver {
            packets: port.packets.as_mut(),
            home: self.interfaces.get(&member.place.interface),
            jobs: &self.addresses.jobs,
            events: &self.events,
            prepare: self.prepare.as_ref(),
            scratch: &mut self.scratch,
            guard: guard_seat(self.guard.as_ref(), &self.interfaces, &member.interface),
        };
        let before = member.last_state;
        driver.carry_out(index, member, now);
        member.last_state = member.router.state();
        if member.last_state != before {
            self.inspect_backup(index);
        }
        self.note_in_group(index);
        self.follow_with_probe(index, now);
    }
}

/// What a router's deadline is for, if it has come.
fn due(member: &Member, now: Instant) -> Option<Wait> {
    member.router.poll_timeout().filter(|deadline| deadline.at <= now).map(|deadline| deadline.why)
}

/// The guard's seat for a router on this interface, if there is a guard and the interface is there.
fn guard_seat<'a>(
    guard: Option<&'a Post>,
    interfaces: &BTreeMap<String, Interface>,
    interface: &str,
) -> Option<GuardSeat<'a>> {
    let interface = interfaces.get(interface)?.index;
    guard.map(|post| GuardSeat { post, interface })
}

fn member<P>(setup: RouterSetup, ports: &[PortState<P>]) -> Member {
    let renewals = Renewals::new(&setup.place);
    Member {
        probe: Probe::new(&setup),
        gateway: setup.gateway.map(Gateway::new),
        data_bar: Bar::Nothing,
        place: setup.place.into(),
        name: setup.name.into(),
        port: ports.iter().position(|port| port.name == setup.interface).unwrap_or(0),
        interface: setup.interface.into(),
        hold: setup.hold,
        addresses: setup.config.addresses().into(),
        advert_mac: setup.advert_mac.filter(|_| !setup.config.is_unicast()),
        router: VirtualRouter::new(setup.config),
        contributions: Contributions::default(),
        tickets: Tickets::default(),
        yielding: Vec::new(),
        fault_text: None,
        send_fault: None,
        remarked: remark::Told::default(),
        contest: contest::Contest::default(),
        last_state: State::Init,
        renewals,
    }
}

/// Removes addresses that a dead daemon left behind, and what it made for them. The lock of the router
/// must be held.
///
/// Returns which addresses were removed.
///
/// # Errors
/// [`AddressFault`] says what the system refused.
pub fn clean_up<B: Backend>(
    backend: &mut B,
    record: Record,
    place: &Place,
    addresses: &[VirtualAddress],
) -> Result<Vec<VirtualAddress>, AddressFault> {
    let opened = backend.addresses().and_then(|table| Ok((table, backend.announcer()?)));
    let (table, announcer) = opened.map_err(|source| {
        let interface = place.interface.clone();
        AddressFault::Interface { what: "cannot reach", interface, source }
    })?;
    let mut keeper = AddressKeeper::new(table, announcer, record);
    let released = keeper.release(place, addresses)?;
    keeper.dismantle(place)?;
    Ok(released)
}
