//! A state, what can happen next, and what it leads to.

mod converge;

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use bytes::BytesMut;

use super::Model;
use crate::election::{Advertisement, Input, LinkState, Phase, Standing, State};
use crate::id::Demotion;
use crate::router::{Action, RouterConfig, VirtualRouter};
use crate::sim::bug::Bug;
use crate::sim::ledger::Ledger;
use crate::sim::oracle::{Invariant, Violation};
use crate::sim::trace::{Mixer, TraceHash};
use crate::time::Instant;
use crate::wire::ip::{RxMeta, TTL};

/// Deadlines that lie closer together than this may be met in any order, up to this late.
const LATENESS: Duration = Duration::from_millis(10);

/// Adverts are never late in this sense: lateness is a choice of the exploration.
const ANY_LATENESS: Duration = Duration::from_secs(3_600);

/// Taking the addresses is given up after this.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);

/// How much may go wrong on one path. What arrives, and in which order, is always free.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Budget {
    /// Datagrams that are lost.
    pub losses: u8,
    /// Deadlines that are met while something is still on its way.
    pub slow: u8,
    /// Hosts that die. Each may come back.
    pub crashes: u8,
    /// One-way cuts, each between two hosts. They are healed all at once, as a choice.
    pub cuts: u8,
    /// Orders to stop or to yield. A router that stopped may be started again.
    pub orders: u8,
}

impl Budget {
    /// Nothing goes wrong.
    pub const NONE: Self = Self { losses: 0, slow: 0, crashes: 0, cuts: 0, orders: 0 };
}

/// A choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Move {
    /// The datagram or announcement with this place in the queue arrives.
    Deliver(usize),
    /// It is lost.
    Lose(usize),
    /// The host has its addresses.
    Acquired(usize),
    /// The host's deadline comes.
    Wake(usize),
    /// The host dies.
    Crash(usize),
    /// It comes back.
    Boot(usize),
    /// The second host hears the first one no more.
    Cut(usize, usize),
    /// All hear each other again.
    Heal,
    /// The router is told to stop.
    Stop(usize),
    /// It is told to start again.
    Start(usize),
    /// It is told to yield.
    Yield(usize),
}

#[derive(Clone, Debug)]
struct Node {
    router: VirtualRouter,
    alive: bool,
    stopped: bool,
    holds: bool,
    acquiring: bool,
    ledger: Ledger,
    bug: Option<Bug>,
}

/// What is on its way from one host to another.
#[derive(Clone, Debug)]
struct Message {
    from: usize,
    to: usize,
    /// `None` is an announcement.
    advert: Option<Advert>,
}

/// What an advert says, and its bytes.
type Advert = (Advertisement, Standing, Demotion, Vec<u8>);

/// A state of the whole model.
#[derive(Clone, Debug)]
pub(super) struct World {
    now: Instant,
    nodes: Vec<Node>,
    flight: Vec<Message>,
    /// For each sender, who does not hear it: bit n is the host n.
    deaf: Vec<u32>,
    budget: Budget,
    /// Since when two routers were both active and heard everything of each other: index is
    /// `one * nodes + other`, with the lower one first.
    dual_since: Vec<Option<Instant>>,
    violation: Option<Violation>,
}

impl World {
    /// All hosts have just been started.
    pub(super) fn new(model: &Model) -> Self {
        let node = |config: &RouterConfig| Node {
            router: VirtualRouter::new(config.clone()),
            alive: false,
            stopped: false,
            holds: false,
            acquiring: false,
            ledger: Ledger::default(),
            bug: None,
        };
        let mut nodes: Vec<Node> = model.routers.iter().map(node).collect();
        for &(number, bug) in &model.bugs {
            nodes[number].bug = Some(bug);
        }
        let count = nodes.len();
        let mut world = Self {
            now: Instant::from_nanos(1_000_000_000),
            nodes,
            flight: Vec::new(),
            deaf: vec![0; count],
            budget: model.budget,
            dual_since: vec![None; count * count],
            violation: None,
        };
        (0..count).for_each(|node| world.boot(node));
        if model.settled {
            world.budget = Budget::NONE;
            world.run_until(world.now + world.settling());
            world.budget = model.budget;
            world.violation = world.violation.take().or_else(|| world.unconverged());
        }
        world
    }

    /// Everything that can happen next.
    pub(super) fn moves(&self) -> Vec<Move> {
        let mut moves = Vec::new();
        let hosts = 0..self.nodes.len();
        for number in 0..self.flight.len() {
            // Equal ones that are on the same way make no difference.
            let message = &self.flight[number];
            let same = |other: &Message| other.from == message.from && other.to == message.to;
            if self.flight[..number].iter().any(|it| same(it) && it.is_like(message)) {
                continue;
            }
            moves.push(Move::Deliver(number));
            if self.budget.losses > 0 {
                moves.push(Move::Lose(number));
            }
        }
        moves.extend(hosts.clone().filter(|it| self.nodes[*it].acquiring).map(Move::Acquired));
        let quiet = self.flight.is_empty() && !self.nodes.iter().any(|node| node.acquiring);
        if (quiet || self.budget.slow > 0)
            && let Some(first) = hosts.clone().filter_map(|it| self.deadline(it)).min()
        {
            let latest = first.max(self.now) + LATENESS;
            let due = |it: &usize| self.deadline(*it).is_some_and(|at| at <= latest);
            moves.extend(hosts.clone().filter(due).map(Move::Wake));
        }
        let alive = |it: &usize| self.nodes[*it].alive;
        if self.budget.crashes > 0 {
            moves.extend(hosts.clone().filter(alive).map(Move::Crash));
        }
        moves.extend(hosts.clone().filter(|it| !alive(it)).map(Move::Boot));
        if self.budget.orders > 0 {
            let running = |it: &usize| alive(it) && !self.nodes[*it].stopped;
            moves.extend(hosts.clone().filter(running).map(Move::Stop));
            let active = |it: &usize| self.nodes[*it].router.state() == State::Active;
            moves.extend(hosts.clone().filter(|it| running(it) && active(it)).map(Move::Yield));
        }
        let stopped = |it: &usize| alive(it) && self.nodes[*it].stopped;
        moves.extend(hosts.clone().filter(stopped).map(Move::Start));
        if self.budget.cuts > 0 {
            let pairs = hosts.clone().flat_map(|from| hosts.clone().map(move |to| (from, to)));
            let whole = |(from, to): &(usize, usize)| from != to && self.reaches(*from, *to);
            moves.extend(pairs.filter(whole).map(|(from, to)| Move::Cut(from, to)));
        }
        if self.deaf.iter().any(|deaf| *deaf != 0) {
            moves.push(Move::Heal);
        }
        moves
    }

    /// Lets something happen.
    pub(super) fn make(&mut self, step: Move) {
        match step {
            Move::Deliver(number) => {
                let message = self.flight.remove(number);
                self.deliver(&message);
            }
            Move::Lose(number) => {
                let message = self.flight.remove(number);
                self.budget.losses -= 1;
                self.excuse(message.from, message.to);
            }
            Move::Acquired(node) => self.acquired(node),
            Move::Wake(node) => self.wake(node),
            Move::Crash(node) => {
                self.budget.crashes -= 1;
                let dead = &mut self.nodes[node];
                (dead.alive, dead.holds, dead.acquiring) = (false, false, false);
                self.flight.retain(|message| message.to != node);
            }
            Move::Boot(node) => self.boot(node),
            Move::Cut(from, to) => {
                self.budget.cuts -= 1;
                self.deaf[from] |= 1 << to;
                self.flight.retain(|message| (message.from, message.to) != (from, to));
                self.excuse(from, to);
            }
            Move::Heal => self.deaf.fill(0),
            Move::Stop(node) => {
                self.budget.orders -= 1;
                self.nodes[node].stopped = true;
                self.input(node, Input::Stop);
            }
            Move::Start(node) => {
                self.nodes[node].stopped = false;
                self.input(node, Input::Start);
            }
            Move::Yield(node) => {
                self.budget.orders -= 1;
                self.input(node, Input::Yield);
            }
        }
        self.watch_duals();
    }

    /// Everything that the future depends on.
    pub(super) fn key(&self) -> TraceHash {
        let mut mixer = Mixer::new();
        for node in &self.nodes {
            let Node { router, alive, stopped, holds, acquiring, ledger, bug: _ } = node;
            mixer.word(
                u64::from(*alive)
                    | u64::from(*stopped) << 1
                    | u64::from(*holds) << 2
                    | u64::from(*acquiring) << 3,
            );
            if *alive {
                router.mix_relative(self.now, &mut mixer);
                ledger.mix_relative(self.now, &mut mixer);
            }
        }
        // The order of what is on its way makes no difference: any of it may arrive next.
        let mut flight: Vec<u128> = self.flight.iter().map(Message::key).collect();
        flight.sort_unstable();
        mixer.number(flight.len());
        for message in flight {
            mixer.bytes(&message.to_le_bytes());
        }
        self.deaf.iter().for_each(|deaf| mixer.word((*deaf).into()));
        let Budget { losses, slow, crashes, cuts, orders } = self.budget;
        mixer.bytes(&[losses, slow, crashes, cuts, orders]);
        for since in &self.dual_since {
            mixer.word(u64::from(since.is_some()));
            mixer.time(since.map_or(Duration::ZERO, |since| self.now.saturating_since(since)));
        }
        mixer.finish()
    }

    pub(super) fn take_violation(&mut self) -> Option<Violation> {
        self.violation.take()
    }

    /// Looks at the state itself.
    pub(super) fn check(&mut self) {
        for number in 0..self.nodes.len() {
            let node = &self.nodes[number];
            if node.alive && !node.acquiring {
                let outcome =
                    node.ledger.agrees(node.holds, node.router.state(), node.router.phase());
                self.report(number, outcome);
            }
        }
    }
}

/// What happens to one host.
impl World {
    fn boot(&mut self, node: usize) {
        let config = self.nodes[node].router.config().clone();
        let early = self.nodes[node].bug == Some(Bug::TakesAddressesAtOnce);
        let newborn = &mut self.nodes[node];
        newborn.router = VirtualRouter::new(config);
        newborn.ledger = Ledger::default();
        (newborn.alive, newborn.stopped, newborn.holds) = (true, false, early);
        newborn.acquiring = false;
        self.input(node, Input::Start);
        self.input(node, Input::Link(LinkState::Up { source: source(node) }));
    }

    fn input(&mut self, node: usize, input: Input) {
        let now = self.now;
        let target = &mut self.nodes[node];
        if target.alive {
            target.ledger.told(input, target.router.phase());
            target.router.handle(now, input);
            self.drain(node);
        }
    }

    fn wake(&mut self, node: usize) {
        let Some(at) = self.deadline(node) else { return };
        let quiet = self.flight.is_empty() && !self.nodes.iter().any(|node| node.acquiring);
        if !quiet {
            self.budget.slow = self.budget.slow.saturating_sub(1);
            self.dual_since.fill(None);
        }
        self.now = self.now.max(at);
        let now = self.now;
        let outcome = self.nodes[node].ledger.timeout(now);
        self.report(node, outcome);
        self.input(node, Input::Timeout);
    }

    fn acquired(&mut self, node: usize) {
        let target = &mut self.nodes[node];
        target.acquiring = false;
        target.holds = true;
        self.announce(node);
        if self.nodes[node].bug != Some(Bug::ForgetsToReport) {
            self.input(node, Input::Acquired);
        }
    }

    fn deliver(&mut self, message: &Message) {
        let Message { from, to, advert } = message;
        if !self.nodes[*to].alive {
            return;
        }
        let Some((_, standing, _, bytes)) = advert else {
            return self.input(*to, Input::AnnouncementHeard);
        };
        let (now, bug) = (self.now, self.nodes[*to].bug);
        let own = self.nodes[*to].router.advertised();
        let better = standing.rank(Demotion::NONE) > own.rank(Demotion::NONE);
        if bug == Some(Bug::IgnoresBetter) && better && !standing.is_resignation() {
            return;
        }
        let group = crate::wire::ip::GROUP_IPV4.into();
        let meta = RxMeta { source: source(*from), destination: group, ttl: TTL };
        let target = &mut self.nodes[*to];
        target.ledger.heard();
        let heard = target.router.handle_datagram(now, &meta, bytes);
        if heard.is_err() {
            let text = "an advert of a router is rejected";
            self.report(*to, Err(Violation::local(Invariant::NonInterference, text)));
        }
        self.drain(*to);
    }

    fn drain(&mut self, node: usize) {
        let mut scratch = BytesMut::new();
        loop {
            let target = &mut self.nodes[node];
            let standing = target.router.advertised();
            let demotion = Demotion::NONE;
            let Some(action) = target.router.poll_action(&mut scratch) else { break };
            let silent = target.bug == Some(Bug::LeavesInSilence)
                && matches!(&action, Action::Send(it) if it.advertisement == Advertisement::Resign);
            if silent {
                continue;
            }
            let outcome = target.ledger.acts(self.now, &action, standing.interval(), ANY_LATENESS);
            match action {
                Action::Send(transmit) => {
                    let (says, bytes) = (transmit.advertisement, transmit.payload.to_vec());
                    self.send(node, Some(&(says, standing, demotion, bytes)));
                }
                Action::Prepare => target.router.handle(self.now, Input::Prepared),
                Action::Acquire(_) => target.acquiring = true,
                Action::Announce(_) => self.announce(node),
                Action::Release(_) => {
                    target.acquiring = false;
                    target.holds &= target.bug == Some(Bug::KeepsAddresses);
                }
                Action::Event(_) => {}
            }
            self.report(node, outcome);
        }
        let target = &mut self.nodes[node];
        let outcome = target.ledger.settled(target.router.state(), target.router.phase());
        self.report(node, outcome);
    }

    fn send(&mut self, from: usize, advert: Option<&Advert>) {
        for to in 0..self.nodes.len() {
            if to != from && self.nodes[to].alive && self.reaches(from, to) {
                self.flight.push(Message { from, to, advert: advert.cloned() });
            }
        }
    }

    fn announce(&mut self, from: usize) {
        self.send(from, None);
    }

    fn deadline(&self, node: usize) -> Option<Instant> {
        let node = &self.nodes[node];
        let wakes = node.alive && node.bug != Some(Bug::NeverWakes);
        node.router.poll_timeout().filter(|_| wakes).map(|deadline| deadline.at)
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        self.deaf[from] >> to & 1 == 0
    }

    fn report(&mut self, node: usize, outcome: Result<(), Violation>) {
        if let (Err(violation), None) = (outcome, &self.violation) {
            self.violation = Some(violation.by(Duration::ZERO, node, 0));
        }
    }
}

/// Two active routers that hear each other.
impl World {
    /// One of the two has not heard everything.
    fn excuse(&mut self, one: usize, other: usize) {
        let place = self.pair(one, other);
        self.dual_since[place] = None;
    }

    fn pair(&self, one: usize, other: usize) -> usize {
        one.min(other) * self.nodes.len() + one.max(other)
    }

    fn watch_duals(&mut self) {
        let (_, interval, _) = self.times();
        for one in 0..self.nodes.len() {
            for other in 0..one {
                let claims = |node: &Node| {
                    let leaves = node.router.phase() == Some(Phase::Leaving);
                    node.alive && node.router.state() == State::Active && !leaves
                };
                let dual = claims(&self.nodes[one])
                    && claims(&self.nodes[other])
                    && self.reaches(one, other)
                    && self.reaches(other, one);
                let place = self.pair(one, other);
                let since = self.dual_since[place].filter(|_| dual);
                self.dual_since[place] = dual.then(|| since.unwrap_or(self.now));
                let lasts = since.map_or(Duration::ZERO, |at| self.now.saturating_since(at));
                if lasts > interval + LATENESS * 2 {
                    let text = "it and another router that it hears are both active for too long";
                    self.report(one, Err(Violation::local(Invariant::BoundedDual, text)));
                }
            }
        }
    }
}

impl Message {
    fn key(&self) -> u128 {
        let mut mixer = Mixer::new();
        mixer.number(self.from);
        mixer.number(self.to);
        if let Some((advertisement, standing, ..)) = &self.advert {
            mixer.bytes(format!("{advertisement:?} {standing}").as_bytes());
        }
        mixer.finish().number()
    }

    /// Whether it says the same.
    fn is_like(&self, other: &Self) -> bool {
        let said =
            |message: &Self| message.advert.as_ref().map(|(says, standing, ..)| (*says, *standing));
        said(self) == said(other)
    }
}

fn source(node: usize) -> IpAddr {
    let last = u8::try_from(node + 1).unwrap_or(u8::MAX);
    Ipv4Addr::new(10, 99, 0, last).into()
}
