//! Hosts on one link or several, in virtual time: seeded, and exactly repeatable.

mod act;
mod carry;
mod effect;
mod queue;
mod receive;

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::BytesMut;

use self::queue::{Post, Queue};
use super::bug::Bug;
use super::fault::{Fault, Weather};
use super::host::{Host, HostPlan, Power, View};
use super::oracle::{Invariant, Violation};
use super::random::{Chance, Random};
use super::record::{Change, Claim, Holders, Record};
use super::trace::{Entry, Trace, What};
use crate::election::{DemotionEffect, Posture, Rank};
use crate::id::Demotion;
use crate::router::VirtualRouter;
use crate::time::Instant;

pub(super) use self::queue::Happening as Waiting;

/// When a run begins. It is not 0, so that nothing rests on that.
const BEGINNING: Instant = Instant::from_nanos(1_000_000_000);

/// The most hosts and links that there can be.
const MOST: usize = 32;

/// Hosts with a router each on a link, or with a group of routers on several links.
///
/// Time is virtual: it jumps from one thing that happens to the next. Chance comes from a seed. So a run
/// can be repeated exactly, on any machine, and a day of an election passes in a blink.
///
/// Each host is modelled as carp-node works: deadlines are met a little late; the addresses are taken, given
/// back and announced by a thread that does one job after the other; what came while the host did not run
/// is read before silence is believed; addresses have a lease that the kernel ends, and a guard. So it is
/// known at every moment who *has* the addresses, and not only who believes to be active.
///
/// What a single router says and asks for is checked while it runs: see [`violation`](Self::violation). What
/// a whole run has to fulfil is [`judge`](super::judge)'s to say.
///
/// ```
/// use core::time::Duration;
/// use carp_proto::sim::{Fault, HostModel, HostPlan, Lan, View, Weather};
/// use carp_proto::{Key, RouterConfig, VirtualId};
///
/// let key = Key::new(b"secret")?;
/// let mut plans = Vec::new();
/// for number in 0..2 {
///     let addresses = vec!["192.168.130.100".parse()?];
///     let config = RouterConfig::carp(VirtualId::new(1)?, &key, addresses, number.into())?;
///     plans.push(HostPlan::numbered(number, HostModel::DEFAULT, vec![config]));
/// }
/// let mut lan = Lan::new(&plans, Weather::FAIR, 7);
/// lan.boot_all();
/// lan.run(Duration::from_secs(10));
/// let active = lan.active(0).next().expect("somebody is active");
/// lan.apply(Fault::Crash { host: active });
/// lan.run(Duration::from_secs(10));
/// assert_eq!(lan.view(1 - active, 0), View::Serving);
/// assert_eq!(lan.violation(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Lan {
    began: Instant,
    now: Instant,
    hosts: Vec<Host>,
    links: Vec<Link>,
    weather: Weather,
    /// Hosts of different sides do not hear each other.
    sides: u32,
    queue: Queue,
    post: Post,
    random: Random,
    noise: Noise,
    trace: Trace,
    record: Record,
    violation: Option<Violation>,
    scratch: BytesMut,
    /// Whether the routers of a host are a group.
    grouped: bool,
}

/// What happens next: a deadline of a router, or else the first of the queue.
#[derive(Clone, Copy, Debug)]
struct Next {
    at: Instant,
    wakes: Option<(usize, usize)>,
}

/// A link.
#[derive(Clone, Debug)]
struct Link {
    /// For each sender, who does not hear it: bit n is the host n.
    deaf: Vec<u32>,
    /// Who has its addresses.
    holders: u32,
}

/// Damaged datagrams, which change nothing: their chance has a source of its own.
#[derive(Clone, Debug)]
struct Noise {
    chance: Chance,
    random: Random,
    bytes: Vec<u8>,
}

/// Making one.
impl Lan {
    /// These hosts, all of them off, and their links. The number of links is that of the routers of the
    /// first host.
    ///
    /// # Panics
    /// If a host has another number of routers than the first one, or there are more than 32 of either.
    #[must_use]
    pub fn new(plans: &[HostPlan], weather: Weather, seed: u64) -> Self {
        let links = plans.first().map_or(0, |plan| plan.routers.len());
        assert!(plans.len() <= MOST && links <= MOST, "at most {MOST} hosts and links");
        let same = plans.iter().all(|plan| plan.routers.len() == links);
        assert!(same, "every host has a router on every link");
        let link = Link { deaf: vec![0; plans.len()], holders: 0 };
        Self {
            began: BEGINNING,
            now: BEGINNING,
            hosts: plans.iter().map(|plan| Host::new(plan.clone(), BEGINNING)).collect(),
            links: vec![link; links],
            weather,
            sides: 0,
            queue: Queue::default(),
            post: Post::default(),
            random: Random::new(seed),
            noise: Noise { chance: Chance::NEVER, random: Random::new(!seed), bytes: Vec::new() },
            trace: Trace::new(),
            record: Record::default(),
            violation: None,
            scratch: BytesMut::new(),
            grouped: links > 1,
        }
    }

    /// Sets whether the routers of each host are a [`Group`](crate::Group), which they are if there are
    /// several. To be said before the first one boots.
    #[must_use]
    pub const fn with_groups(mut self, grouped: bool) -> Self {
        self.grouped = grouped;
        self
    }

    /// Lets all of these begin later, as if the clock had another origin. Nothing else may change by it.
    #[must_use]
    pub fn with_origin(mut self, later: Duration) -> Self {
        self.began += later;
        self.now = self.began;
        for host in &mut self.hosts {
            *host = Host::new(host.plan.clone(), self.now);
        }
        self
    }

    /// Adds datagrams that every router rejects: with each advert that arrives, by this chance, some that are
    /// like it but for one mistake. They must change nothing, not even chance.
    #[must_use]
    pub fn with_noise(mut self, chance: Chance) -> Self {
        self.noise.chance = chance;
        self
    }

    /// Plants a bug on a host.
    pub fn plant(&mut self, host: usize, bug: Bug) {
        self.hosts[host].bug = Some(bug);
    }

    /// Keeps what happens from now on in the trace, to be read later.
    pub fn keep_entries(&mut self) {
        self.trace.keep_entries();
    }
}

/// Time.
impl Lan {
    /// Lets this much time pass.
    pub fn run(&mut self, time: Duration) {
        self.run_until(self.elapsed() + time);
    }

    /// Lets time pass until this long after the beginning.
    pub fn run_until(&mut self, elapsed: Duration) {
        let end = self.began + elapsed;
        while let Some(next) = self.next().filter(|next| next.at <= end) {
            self.perform(next);
        }
        self.now = self.now.max(end);
    }

    /// When something happens next, as the time since the beginning.
    #[must_use]
    pub fn next_in(&self) -> Option<Duration> {
        self.next().map(|next| next.at.saturating_since(self.began))
    }

    /// Lets the next thing happen.
    pub fn step(&mut self) {
        if let Some(next) = self.next() {
            self.perform(next);
        }
    }

    fn perform(&mut self, next: Next) {
        self.now = self.now.max(next.at);
        match next.wakes {
            Some((host, link)) => self.wake(host, link),
            None => {
                if let Some((host, happening)) = self.queue.pop() {
                    self.happen(host, happening);
                }
            }
        }
    }

    /// What happens next. What has arrived is heard before silence is believed.
    fn next(&self) -> Option<Next> {
        let arrival = self.queue.next_at().map(|at| Next { at, wakes: None });
        let wake = self.next_wake().map(|(at, host, link)| Next { at, wakes: Some((host, link)) });
        match (arrival, wake) {
            (Some(arrival), Some(wake)) if wake.at < arrival.at => Some(wake),
            (Some(arrival), _) => Some(arrival),
            (None, wake) => wake,
        }
    }

    fn next_wake(&self) -> Option<(Instant, usize, usize)> {
        let mut next: Option<(Instant, usize, usize)> = None;
        for (number, host) in self.hosts.iter().enumerate() {
            for (link, port) in host.ports.iter().enumerate() {
                if let Some(at) = port.wakes_at
                    && next.is_none_or(|(first, ..)| at < first)
                {
                    next = Some((at, number, link));
                }
            }
        }
        next
    }

    /// The time since the beginning.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.now.saturating_since(self.began)
    }
}

/// Getters.
impl Lan {
    /// The present instant, as the routers know it.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// How many hosts there are.
    #[must_use]
    pub const fn hosts(&self) -> usize {
        self.hosts.len()
    }

    /// How many links there are.
    #[must_use]
    pub const fn links(&self) -> usize {
        self.links.len()
    }

    /// The router of a host on a link.
    #[must_use]
    pub fn router(&self, host: usize, link: usize) -> &VirtualRouter {
        &self.hosts[host].ports[link].router
    }

    /// How a host was planned.
    #[must_use]
    pub fn plan(&self, host: usize) -> &HostPlan {
        &self.hosts[host].plan
    }

    /// What a host, and its router on a link, is at.
    #[must_use]
    pub fn view(&self, host: usize, link: usize) -> View {
        self.hosts[host].view(link)
    }

    /// Where the router of a host on a link stands with its group.
    #[must_use]
    pub fn posture(&self, host: usize, link: usize) -> Posture {
        self.hosts[host].ports[link].posture()
    }

    /// The rank that the router of a host on a link has at present, demotion included.
    pub(super) fn rank(&self, host: usize, link: usize) -> Rank {
        let router = self.router(host, link);
        let snapshot = router.snapshot(self.now);
        let demotion = match router.config().policy().demotion {
            DemotionEffect::Byte => snapshot.demotion,
            DemotionEffect::Skew | DemotionEffect::Priority => Demotion::NONE,
        };
        snapshot.advertised.rank(demotion)
    }

    /// Whether the daemon of a host runs at present.
    #[must_use]
    pub fn is_running(&self, host: usize) -> bool {
        self.hosts[host].power == Power::Running
    }

    /// Whether the kernel of a host refuses addresses.
    #[must_use]
    pub fn refuses(&self, host: usize) -> bool {
        self.hosts[host].refuses
    }

    /// Whether the kernel of a host has the addresses of a link.
    #[must_use]
    pub fn holds(&self, host: usize, link: usize) -> bool {
        self.links[link].holders >> host & 1 == 1
    }

    /// How many hosts have the addresses of a link, of those who answer.
    #[must_use]
    pub fn holding(&self, link: usize) -> u32 {
        self.links[link].holders.count_ones()
    }

    /// The hosts whose router on a link is active: takes over, serves or leaves.
    pub fn active(&self, link: usize) -> impl Iterator<Item = usize> + '_ {
        let is_active = move |host: &usize| {
            let view = self.view(*host, link);
            view.claims() || view == View::Leaving
        };
        (0..self.hosts.len()).filter(is_active)
    }

    /// What the links do to datagrams.
    #[must_use]
    pub const fn weather(&self) -> &Weather {
        &self.weather
    }

    /// What happened.
    #[must_use]
    pub const fn trace(&self) -> &Trace {
        &self.trace
    }

    /// What changed.
    #[must_use]
    pub const fn record(&self) -> &Record {
        &self.record
    }

    /// The first thing that a router, its executor or its host did which it must not do.
    #[must_use]
    pub const fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Whether host `to` hears what host `from` sends on a link.
    #[must_use]
    pub fn reaches(&self, link: usize, from: usize, to: usize) -> bool {
        let plugged = |host: usize| self.hosts[host].ports[link].plugged;
        !self.is_cut(link, from, to) && plugged(from) && plugged(to)
    }

    /// Whether the link does not carry what host `from` sends to host `to`, wherever they are plugged in.
    pub(in crate::sim) fn is_cut(&self, link: usize, from: usize, to: usize) -> bool {
        let apart = (self.sides >> from ^ self.sides >> to) & 1 == 1;
        apart || self.links[link].deaf[from] >> to & 1 == 1
    }
}

/// Notes.
impl Lan {
    fn note(&mut self, host: usize, link: usize, what: What) {
        let at = self.elapsed();
        self.trace.note(Entry { at, host, link, what });
    }

    /// The first violation stays.
    fn report(&mut self, host: usize, link: usize, outcome: Result<(), Violation>) {
        if let (Err(violation), None) = (outcome, &self.violation) {
            self.violation = Some(violation.by(self.elapsed(), host, link));
        }
    }

    fn breach(&mut self, host: usize, link: usize, invariant: Invariant, text: &'static str) {
        self.report(host, link, Err(Violation::local(invariant, text)));
    }

    fn note_view(&mut self, host: usize, link: usize) {
        let view = self.hosts[host].view(link);
        if core::mem::replace(&mut self.hosts[host].ports[link].view, view) != view {
            self.record.changes.push(Change { at: self.elapsed(), host, link, view });
            if view == View::TakingOver {
                self.note_claim(host, link);
            }
        }
        self.note_holders(host, link);
    }

    fn note_claim(&mut self, host: usize, link: usize) {
        let others = (0..self.hosts.len()).filter(|other| *other != host);
        let heard = others
            .filter(|other| self.view(*other, link).claims() && self.reaches(link, *other, host));
        let own = (self.router(host, link).config().preempts(), self.rank(host, link));
        let (mut all, mut unbeaten) = (0, 0);
        for other in heard {
            all |= 1 << other;
            let beaten = own.0 && own.1 > self.rank(other, link);
            unbeaten |= u32::from(!beaten) << other;
        }
        let at = self.elapsed();
        self.record.claims.push(Claim { at, host, link, heard: all, unbeaten });
    }

    fn note_holders(&mut self, host: usize, link: usize) {
        let holds = self.hosts[host].ports[link].holds && self.hosts[host].answers();
        let known = &mut self.links[link].holders;
        let hosts = *known & !(1 << host) | u32::from(holds) << host;
        if core::mem::replace(known, hosts) != hosts {
            let at = self.elapsed();
            self.record.holders.push(Holders { at, link, hosts });
        }
    }

    /// Looks whether the addresses of a host are where its routers believe that they are.
    fn audit(&mut self, host: usize, link: usize) {
        if self.hosts[host].power == Power::Running {
            let port = &self.hosts[host].ports[link];
            let outcome = port.ledger.agrees(port.holds, port.router.state(), port.router.phase());
            self.report(host, link, outcome);
        }
    }
}
