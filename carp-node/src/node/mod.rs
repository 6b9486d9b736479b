//! The protocol task: one loop that owns every router of the process.

pub(crate) mod contest;
mod daytime;
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
mod setup;
mod status;
mod suspects;
mod turn;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use carp_proto::auth::Verdict;
use carp_proto::election::{Fault, Input, State, Wait};
use carp_proto::wire::classify;
use carp_proto::wire::ip::strip_ipv4;
use carp_proto::{Family, Instant, Reject, RxMeta, VirtualAddress, VirtualRouter};
use tokio::sync::{mpsc, oneshot};

use self::daytime::DayTime;
use self::group::SyncGroup;
use self::handle::Command;
pub use self::handle::{Handle, YieldError, Yielded};
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
use crate::control::proto::is_called;
use crate::demotion::Contributions;
use crate::driver::{Driver, GuardSeat, Member, Tickets};
use crate::event::{EventKind, EventSource};
use crate::guard::Post;

/// Requests that may wait for the protocol task.
const COMMANDS: usize = 64;

/// The longest datagram that is read. The longest advert, VRRP version 3 with 255 IPv6 addresses and a
/// signature, has 4116 bytes; the longest IPv4 header 60.
const BUFFER: usize = 4608;

/// A reject of one kind is told at most this often.
const REJECTS_TOLD: Duration = Duration::from_secs(60);

/// Starts what must come before a takeover: called with the number of the router in the list that the
/// node was made with, and a ticket for [`Handle::prepared`]. Must not block.
pub type Prepare = Box<dyn Fn(usize, u64) + Send>;

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

/// When a kind of reject was last told, and how many came since.
struct RejectTold {
    at: Instant,
    untold: u64,
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
        let links = backend.watch(&port::watched(&setups))?;
        let addresses = AddressThread::start(keeper)?;
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
            guard,
            buffer: vec![0; BUFFER].into(),
            scratch: BytesMut::with_capacity(64),
            turns: Turns::default(),
            hearing: Hearing::default(),
            lateness: Lateness::default(),
            day: DayTime::default(),
            settling: VecDeque::new(),
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
                self.hearing.reads();
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
            || (self.hearing.has_its_turn(self.ports.len())
                && is_due(self.deadline(Hearing::is_about_silence)))
    }

    /// What is neither received nor due.
    fn poll_others(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        if let Poll::Ready(Some(report)) = self.addresses.reports.poll_recv(cx) {
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
        let others = ports.chain(beat).chain(renewals).chain(probes);
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
            return self.hearing.may_judge(empty, self.ports.len());
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
            self.note_strangers(index);
        }
        self.note_in_group(index);
        self.follow_with_probe(index, now);
    }
}

/// What arrives.
impl<B: Backend> Node<B> {
    fn received(&mut self, port: usize, received: &io::Result<Received>) {
        match received {
            Ok(Received::Ipv4 { len, ttl }) => self.ipv4_packet(port, *len, *ttl),
            Ok(Received::Ipv6 { len, meta }) => self.datagram(port, meta, 0..*len),
            Ok(Received::Neighbour(said)) => self.neighbour_said(port, *said),
            // An error of the link, such as "network is down", which link events tell better.
            Err(_) => {}
        }
    }

    fn ipv4_packet(&mut self, port: usize, len: usize, ttl: Option<u8>) {
        let packet = &self.buffer[..len];
        match strip_ipv4(packet) {
            Ok((mut meta, payload)) => {
                meta.ttl = ttl.unwrap_or(meta.ttl);
                // Beyond the end of the datagram there may be padding.
                let start = payload.as_ptr().addr() - packet.as_ptr().addr();
                let range = start..start + payload.len();
                self.datagram(port, &meta, range);
            }
            Err(_) => {
                let speaks = |member: &Member| member.port == port && member.speaks(Family::Ipv4);
                let Some(index) = self.members.iter().position(speaks) else { return };
                let now = self.clock.now();
                self.members[index].router.note_reject(now, None, Reject::MalformedIp);
                self.tell_reject(now, index, None, Reject::MalformedIp);
            }
        }
    }

    /// Hands a datagram, of which this part of the buffer is the message, to the router that it is for.
    fn datagram(&mut self, port: usize, meta: &RxMeta, message: Range<usize>) {
        let found = addressee(&self.members, port, meta, &self.buffer[message.clone()]);
        let Some(index) = found else { return };
        let now = self.clock.now();
        self.tell_time_of_day(index, now);
        let router = &mut self.members[index].router;
        match router.handle_datagram(now, meta, &self.buffer[message]) {
            Ok(()) => {
                self.tell_remark(now, index);
                self.carry_out(index, now);
            }
            Err(reject) => {
                let verdict = router.last_verdict();
                if reject == Reject::BadAuthentication
                    && matches!(verdict, Some(Verdict::Stale { .. }))
                {
                    self.day.doubt();
                }
                self.tell_reject(now, index, Some(meta.source), reject);
            }
        }
    }

    /// Signatures need the time of day.
    fn tell_time_of_day(&mut self, index: usize, now: Instant) {
        let router = &mut self.members[index].router;
        if router.config().is_signed() {
            router.set_time_of_day(now, self.day.at(now, self.clock.time_of_day()));
        }
    }

    /// Tells what is odd about the advert that was just heard.
    fn tell_remark(&mut self, now: Instant, index: usize) {
        let Member { router, remarked, name, .. } = &mut self.members[index];
        let Some(peer) = router.last_heard() else { return };
        if let Some(text) = remarked.news(now, router.config(), peer, router.learned()) {
            self.events.tell(Some(name), EventKind::Remark { source: peer.source, text });
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
        if let Task::Renew { asked_at } = report.task {
            return self.lease_renewed(report.router, asked_at, &report);
        }
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
            (Task::Verify, Ok(true)) => return self.missed(report.router),
            (Task::Clear, Ok(true)) => {
                let text =
                    "an address was left here by carp, and removed: this router is not active";
                self.events.tell(Some(&member.name), EventKind::Log { text: text.into() });
                None
            }
            (Task::Settle, _) => {
                // Whoever asked may have gone.
                let _ = self.settling.pop_front().map(|waiting| waiting.send(()));
                None
            }
            (Task::Confirm { family, .. }, Ok(gateway)) => {
                member.probe.asked(family, gateway);
                None
            }
            (Task::Acquire { .. } | Task::Release | Task::Verify | Task::Clear, _)
            | (Task::Dismantle | Task::Prepare | Task::Announce { .. } | Task::Renew { .. }, _)
            | (Task::Probe { .. } | Task::Confirm { .. }, _) => None,
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
            Command::Lateness { reply } => {
                // As above.
                let _ = reply.send(self.lateness.report());
            }
            Command::Settle { reply } => self.settle(reply),
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

    /// Answers when the address thread has done what it was asked for: it works in order. Where it has no
    /// work, or too much, the answer is nothing.
    fn settle(&mut self, reply: oneshot::Sender<()>) {
        let Some(member) = self.members.first() else { return };
        if self.addresses.jobs.try_send(member.job(0, Task::Settle, 0)).is_ok() {
            self.settling.push_back(reply);
        }
    }

    /// Makes the active routers of this name yield. The first one tells what became of it: the others go
    /// the same way.
    fn yield_router(&mut self, name: &str, reply: oneshot::Sender<Result<Yielded, YieldError>>) {
        let members = self.members.iter().enumerate();
        let called = members.filter(|(_, member)| is_called(&member.name, name));
        let states: Vec<_> = called.map(|(index, it)| (index, it.router.state())).collect();
        let mut active = states.iter().filter(|(_, state)| *state == State::Active);
        let refused = match (active.next(), states.first()) {
            (Some(&(first, _)), _) => {
                self.members[first].yielding.push(reply);
                for (index, _) in states {
                    self.input(index, Input::Yield);
                }
                return;
            }
            (None, Some(&(_, state))) => YieldError::NotActive { state },
            (None, None) => YieldError::Unknown,
        };
        // Whoever asked may have gone.
        let _ = reply.send(Err(refused));
    }
}

/// What a router's deadline is for, if it has come.
fn due(member: &Member, now: Instant) -> Option<Wait> {
    member.router.poll_timeout().filter(|deadline| deadline.at <= now).map(|deadline| deadline.why)
}

/// The router that a message is for: the one of its protocol and id. What is for none is counted where
/// its id is, or else where the rejects of its interface are.
fn addressee(members: &[Member], port: usize, meta: &RxMeta, message: &[u8]) -> Option<usize> {
    let protocol = classify(message).protocol();
    let id = message.get(1).copied();
    let family = Family::of(meta.destination);
    let here = || {
        let members = members.iter().enumerate();
        members.filter(|(_, member)| member.port == port && member.speaks(family))
    };
    let of_id = |member: &Member| Some(member.router.config().id().get()) == id;
    let of_protocol = |member: &Member| Some(member.router.config().protocol()) == protocol;
    let found = here()
        .find(|(_, member)| of_id(member) && of_protocol(member))
        .or_else(|| here().find(|(_, member)| of_id(member)))
        .or_else(|| here().next());
    found.map(|(index, _)| index)
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
