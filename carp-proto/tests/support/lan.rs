//! Several routers on one link, in virtual time: seeded, and exactly repeatable.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::IpAddr;
use std::time::Duration;

use bytes::BytesMut;
use carp_proto::election::{Advertisement, Event, Input, LinkState, State};
use carp_proto::{Action, Instant, VirtualRouter};

use super::{Setup, ms};

/// What the link and the hosts do to time and packets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    /// Adverts and announcements arrive after up to this long.
    pub(crate) delay: Duration,
    /// Adverts lost, in percent.
    pub(crate) loss: u64,
    /// Deadlines are met up to this late.
    pub(crate) lateness: Duration,
    /// How long taking the addresses lasts.
    pub(crate) acquiring: Duration,
}

impl Weather {
    pub(crate) const FAIR: Self =
        Self { delay: ms_const(2), loss: 0, lateness: ms_const(1), acquiring: ms_const(5) };
}

const fn ms_const(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What is on its way.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Arrival {
    Advert { from: usize, to: usize, message: Vec<u8> },
    Announcement { from: usize, to: usize },
    Acquired { node: usize, attempt: u64 },
    Wake { node: usize },
}

pub(crate) struct Node {
    pub(crate) router: VirtualRouter,
    pub(crate) alive: bool,
    /// Whether the addresses are on this host.
    pub(crate) holds: bool,
    /// Which Acquire is under way; a Release makes its end a stale one.
    attempt: u64,
    /// When the router is woken next.
    wakes_at: Option<Instant>,
}

impl Node {
    fn new(setup: Setup) -> Self {
        Self { router: setup.router(), alive: true, holds: false, attempt: 0, wakes_at: None }
    }
}

/// A change of who holds the addresses: when, and how many do since.
pub(crate) type Holders = (Instant, usize);

pub(crate) struct Lan {
    pub(crate) now: Instant,
    pub(crate) nodes: Vec<Node>,
    pub(crate) weather: Weather,
    /// Nodes on different sides do not hear each other.
    pub(crate) sides: Vec<u8>,
    /// From whom nothing arrives at whom, although the other way is open.
    pub(crate) cuts: Vec<(usize, usize)>,
    pub(crate) holders: Vec<Holders>,
    /// State changes, all nodes together.
    pub(crate) transitions: Vec<(Instant, usize, State)>,
    /// Everything that was told.
    pub(crate) events: Vec<(Instant, usize, Event)>,
    /// One for each node, of the same protocol.
    setups: Vec<Setup>,
    queue: BinaryHeap<Reverse<(Instant, u64, Arrival)>>,
    sequence: u64,
    random: u64,
}

impl Lan {
    /// Routers with the addresses 10.99.0.1 and up, or `fe80::1` and up, all started and linked.
    pub(crate) fn new(setups: &[Setup], weather: Weather, seed: u64) -> Self {
        let mut lan = Self::unstarted(setups, weather, seed);
        for node in 0..setups.len() {
            lan.input(node, Input::Start);
            lan.plug_in(node);
        }
        lan
    }

    /// The same, before anything has happened.
    pub(crate) fn unstarted(setups: &[Setup], weather: Weather, seed: u64) -> Self {
        // Equal seeds would be equal cookies, and their adverts each other's echoes.
        let numbered = |(setup, number): (&Setup, u64)| Setup { seed: number << 32, ..*setup };
        let setups: Vec<Setup> = setups.iter().zip(1..).map(numbered).collect();
        let now = Instant::from_nanos(1_000_000_000);
        Self {
            now,
            nodes: setups.iter().map(|setup| Node::new(*setup)).collect(),
            weather,
            sides: vec![0; setups.len()],
            cuts: Vec::new(),
            holders: vec![(now, 0)],
            transitions: Vec::new(),
            events: Vec::new(),
            setups,
            queue: BinaryHeap::new(),
            sequence: 0,
            random: seed,
        }
    }

    pub(crate) fn plug_in(&mut self, node: usize) {
        let source = self.source(node);
        self.input(node, Input::Link(LinkState::Up { source }));
    }

    /// The address of a node.
    pub(crate) fn source(&self, node: usize) -> IpAddr {
        self.setups[node].host(u8::try_from(node + 1).expect("a small LAN"))
    }

    pub(crate) fn input(&mut self, node: usize, input: Input) {
        if self.nodes[node].alive {
            self.nodes[node].router.handle(self.now, input);
            self.settle(node);
        }
    }

    /// The machine is gone, and its addresses with it.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].alive = false;
        self.set_holds(node, false);
    }

    /// The machine is back, with a new router that is not started yet.
    pub(crate) fn revive(&mut self, node: usize) {
        // What was under way when it went is a stale one.
        let attempt = self.nodes[node].attempt + 1;
        self.nodes[node] = Node { attempt, ..Node::new(self.setups[node]) };
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// When something happens next.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, ..))| *at)
    }

    /// Lets the next thing happen.
    pub(crate) fn step(&mut self) {
        if let Some(Reverse((at, _, arrival))) = self.queue.pop() {
            self.now = at;
            self.arrive(arrival);
        }
    }

    pub(crate) fn active(&self) -> Vec<usize> {
        let is_active = |node: &Node| node.alive && node.router.state() == State::Active;
        (0..self.nodes.len()).filter(|node| is_active(&self.nodes[*node])).collect()
    }

    pub(crate) fn holding(&self) -> usize {
        self.nodes.iter().filter(|node| node.holds).count()
    }

    /// The longest time since `from` for which the number of holders was not in `wanted`.
    pub(crate) fn longest_outside(
        &self,
        from: Instant,
        wanted: impl Fn(usize) -> bool,
    ) -> Duration {
        let mut longest = Duration::ZERO;
        let ends = self.holders.iter().skip(1).map(|(at, _)| *at).chain([self.now]);
        let mut began: Option<Instant> = None;
        for ((at, holders), end) in self.holders.iter().zip(ends) {
            if wanted(*holders) {
                began = None;
                continue;
            }
            let start = *began.get_or_insert((*at).max(from));
            longest = longest.max(end.saturating_since(start.max(from)));
        }
        longest
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Advert { from, to, message } => {
                if self.nodes[to].alive && self.reaches(from, to) {
                    let meta = self.setups[to].meta(self.source(from));
                    let router = &mut self.nodes[to].router;
                    let outcome = router.handle_datagram(self.now, &meta, &message);
                    assert_eq!(outcome, Ok(()), "an advert of a router is valid");
                    self.settle(to);
                }
            }
            Arrival::Announcement { from, to } => {
                if self.reaches(from, to) {
                    self.input(to, Input::AnnouncementHeard);
                }
            }
            Arrival::Acquired { node, attempt } => {
                if self.nodes[node].alive && self.nodes[node].attempt == attempt {
                    self.set_holds(node, true);
                    self.announce(node);
                    self.input(node, Input::Acquired);
                }
            }
            Arrival::Wake { node } => {
                if self.nodes[node].wakes_at == Some(self.now) {
                    self.nodes[node].wakes_at = None;
                    self.input(node, Input::Timeout);
                }
            }
        }
    }

    /// Carries out what a router wants, and sets its alarm.
    fn settle(&mut self, node: usize) {
        let mut scratch = BytesMut::new();
        let mut before = None;
        loop {
            let sent = match self.nodes[node].router.poll_action(&mut scratch) {
                None => break,
                Some(Action::Send(transmit)) => {
                    Some((transmit.payload.to_vec(), transmit.advertisement))
                }
                Some(Action::Prepare) => unreachable!("nothing is registered"),
                Some(Action::Acquire(_)) => {
                    self.nodes[node].attempt += 1;
                    let attempt = self.nodes[node].attempt;
                    self.push(self.weather.acquiring, Arrival::Acquired { node, attempt });
                    None
                }
                Some(Action::Announce(_)) => {
                    assert!(self.nodes[node].holds, "only a holder announces");
                    self.announce(node);
                    None
                }
                Some(Action::Release(_)) => {
                    self.nodes[node].attempt += 1;
                    self.set_holds(node, false);
                    None
                }
                Some(Action::Event(event @ Event::State { from, to, .. })) => {
                    self.events.push((self.now, node, event));
                    assert!(before.is_none_or(|before| before == from), "events follow each other");
                    before = Some(to);
                    if from != to {
                        self.transitions.push((self.now, node, to));
                    }
                    None
                }
                Some(Action::Event(
                    event @ (Event::Rival { .. }
                    | Event::AddressLost
                    | Event::AddressExpired
                    | Event::YieldUnanswered),
                )) => {
                    self.events.push((self.now, node, event));
                    None
                }
            };
            if let Some((message, advertisement)) = sent {
                self.send(node, &message, advertisement);
            }
        }
        self.set_alarm(node);
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        self.sides[from] == self.sides[to] && !self.cuts.contains(&(from, to))
    }

    fn send(&mut self, from: usize, message: &[u8], advertisement: Advertisement) {
        for to in 0..self.nodes.len() {
            // A resignation is said twice so that one may be lost: here none is.
            let lost = advertisement == Advertisement::Claim && self.below(100) < self.weather.loss;
            if to != from && !lost {
                let delay = self.up_to(self.weather.delay);
                self.push(delay, Arrival::Advert { from, to, message: message.to_vec() });
            }
        }
    }

    fn announce(&mut self, from: usize) {
        for to in 0..self.nodes.len() {
            if to != from {
                let delay = self.up_to(self.weather.delay);
                self.push(delay, Arrival::Announcement { from, to });
            }
        }
    }

    fn set_alarm(&mut self, node: usize) {
        let deadline = self.nodes[node].router.poll_timeout();
        let lateness = self.up_to(self.weather.lateness);
        let wakes_at = deadline.map(|deadline| self.now.max(deadline.at) + lateness);
        self.nodes[node].wakes_at = wakes_at;
        if let Some(at) = wakes_at {
            self.push(at.saturating_since(self.now), Arrival::Wake { node });
        }
    }

    fn set_holds(&mut self, node: usize, holds: bool) {
        if self.nodes[node].holds != holds {
            self.nodes[node].holds = holds;
            self.holders.push((self.now, self.holding()));
        }
    }

    fn push(&mut self, after: Duration, arrival: Arrival) {
        self.sequence += 1;
        self.queue.push(Reverse((self.now + after, self.sequence, arrival)));
    }

    fn up_to(&mut self, time: Duration) -> Duration {
        let micros = u64::try_from(time.as_micros()).expect("a short time");
        Duration::from_micros(self.below(micros + 1))
    }

    /// `SplitMix64`: small, seeded, and good enough for a simulation.
    fn below(&mut self, limit: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}

/// The longest active-down interval and the longest advert interval of the routers that live.
pub(crate) fn slowest(lan: &Lan) -> (Duration, Duration) {
    let snapshots =
        || lan.nodes.iter().filter(|node| node.alive).map(|n| n.router.snapshot(lan.now));
    let down = snapshots().map(|snapshot| snapshot.active_down).max();
    let interval = snapshots().map(|snapshot| snapshot.interval).max();
    (down.unwrap_or(ms(0)), interval.unwrap_or(ms(0)))
}
