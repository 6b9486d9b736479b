//! A host: how quick it is, what protects its addresses, and what is on it.

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

use super::bug::Bug;
use super::ledger::Ledger;
use crate::election::{Deadline, Phase, Posture, State};
use crate::group::Group;
use crate::id::Family;
use crate::router::{RouterConfig, VirtualRouter};
use crate::time::Instant;

/// How a host works. Times are the longest ones: each is drawn anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostModel {
    /// Deadlines are met up to this late.
    pub lateness: Duration,
    /// Taking the addresses and announcing them lasts up to this long.
    pub acquire: Duration,
    /// Giving them back lasts up to this long.
    pub release: Duration,
    /// After up to this long, a daemon learns that others have changed its addresses.
    pub notice: Duration,
    /// What the kernel does with addresses that nobody renews.
    pub lease: LeaseModel,
    /// Whether a guard takes the addresses down when the daemon dies or hangs.
    pub guard: bool,
    /// After how long a supervisor starts a daemon that died; `None` for never.
    pub restart: Option<Duration>,
}

impl HostModel {
    /// A quiet Linux host as carp-node is by default, run by a service manager with its unit.
    pub const DEFAULT: Self = Self {
        lateness: Duration::from_millis(1),
        acquire: Duration::from_millis(5),
        release: Duration::from_millis(1),
        notice: Duration::from_millis(20),
        lease: LeaseModel::Auto,
        guard: true,
        restart: Some(Duration::from_secs(1)),
    };
}

impl Default for HostModel {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The lifetime that addresses have in the kernel, as carp-node's `lease`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseModel {
    /// None: they stay.
    Off,
    /// The whole seconds of the active-down interval less one, and at least 1 s.
    Auto,
    /// This long.
    Of(Duration),
}

impl LeaseModel {
    /// By how much the kernel may be late: it looks about once a second.
    pub const LATE: Duration = Duration::from_secs(1);

    /// The lease of a router with this active-down interval.
    #[must_use]
    pub fn time(self, active_down: Duration) -> Option<Duration> {
        match self {
            Self::Off => None,
            Self::Auto => Some(Duration::from_secs(active_down.as_secs().saturating_sub(1).max(1))),
            Self::Of(time) => Some(time),
        }
    }
}

/// A host of a [`Lan`](super::Lan), before it runs.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// How it works.
    pub model: HostModel,
    /// Its routers, one for each link. Several are a [`Group`].
    pub routers: Vec<RouterConfig>,
    /// Its own address on every link in each family, which ties are decided by.
    pub sources: (Ipv4Addr, Ipv6Addr),
}

impl HostPlan {
    /// The host number `number`, from 0 on: it has the addresses 10.99.0.1 and `fe80::1`, and so on.
    #[must_use]
    pub fn numbered(number: u8, model: HostModel, routers: Vec<RouterConfig>) -> Self {
        let last = number.saturating_add(1);
        let sources = (
            Ipv4Addr::new(10, 99, 0, last),
            Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(last)),
        );
        Self { model, routers, sources }
    }

    /// The own address in a family.
    #[must_use]
    pub const fn source(&self, family: Family) -> IpAddr {
        match family {
            Family::Ipv4 => IpAddr::V4(self.sources.0),
            Family::Ipv6 => IpAddr::V6(self.sources.1),
        }
    }
}

/// What a host is, and what the router on one of its links is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// The machine is off.
    Off,
    /// The machine runs, the daemon does not.
    Down,
    /// The daemon does not get to run.
    Frozen,
    /// The whole machine does not get to run.
    Paused,
    /// The router takes no part.
    Init,
    /// It waits.
    Backup,
    /// It is active, and takes the addresses.
    TakingOver,
    /// It is active, with the addresses.
    Serving,
    /// It is active, and serves until a successor does.
    Leaving,
}

impl View {
    /// The name in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Down => "down",
            Self::Frozen => "frozen",
            Self::Paused => "paused",
            Self::Init => "init",
            Self::Backup => "backup",
            Self::TakingOver => "taking-over",
            Self::Serving => "serving",
            Self::Leaving => "leaving",
        }
    }

    /// Whether it says of itself that it is active, and means to stay so.
    #[must_use]
    pub const fn claims(self) -> bool {
        match self {
            Self::TakingOver | Self::Serving => true,
            Self::Off
            | Self::Down
            | Self::Frozen
            | Self::Paused
            | Self::Init
            | Self::Backup
            | Self::Leaving => false,
        }
    }
}

/// What of a host runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Power {
    Off,
    Down,
    Running,
    Frozen,
    Paused,
}

/// What differs from the plan in a configuration that was changed; the daemon has it from its next start on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Revised {
    /// How worse it is than the best.
    pub(super) worse: Option<u8>,
    /// The advert interval.
    pub(super) interval: Option<Duration>,
    /// Whether it preempts.
    pub(super) preempts: Option<bool>,
}

impl Revised {
    /// Whether anything was changed.
    pub(super) const fn differs(&self) -> bool {
        self.worse.is_some() || self.interval.is_some() || self.preempts.is_some()
    }

    /// The configuration as it is now.
    pub(super) fn of(self, mut config: RouterConfig) -> RouterConfig {
        if let Some(worse) = self.worse {
            config = config.reranked(worse);
        }
        if let Some(interval) = self.interval {
            config = config.retimed(interval);
        }
        match self.preempts {
            Some(preempts) => config.with_preempt(preempts),
            None => config,
        }
    }
}

/// A host at work.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) plan: HostPlan,
    pub(super) power: Power,
    pub(super) ports: Vec<Port>,
    pub(super) group: Option<Group>,
    /// Which life of the daemon this is: what was begun in another one is void.
    pub(super) life: u64,
    /// Which freeze or pause this is.
    pub(super) freeze: u64,
    /// Until when the address thread has something to do.
    pub(super) busy_until: Instant,
    /// What came while it did not run.
    pub(super) inbox: Vec<super::lan::Waiting>,
    /// Whether its kernel refuses addresses.
    pub(super) refuses: bool,
    /// What has become of its configuration.
    pub(super) revised: Revised,
    /// Whether the daemon was configured to preempt on the first link when it started.
    pub(super) is_to_preempt: bool,
    /// Whether the daemon is told to stop, and is not done.
    pub(super) stopping: bool,
    /// Whether it starts again when it has stopped.
    pub(super) restarts: bool,
    /// How long its clock stood still so far, where that is planted.
    pub(super) behind: Duration,
    pub(super) bug: Option<Bug>,
}

impl Host {
    pub(super) fn new(plan: HostPlan, now: Instant) -> Self {
        let port = |config: &RouterConfig| Port::new(config.clone(), &plan, now);
        Self {
            ports: plan.routers.iter().map(port).collect(),
            plan,
            power: Power::Off,
            group: None,
            life: 0,
            freeze: 0,
            busy_until: now,
            inbox: Vec::new(),
            refuses: false,
            revised: Revised::default(),
            is_to_preempt: false,
            stopping: false,
            restarts: false,
            behind: Duration::ZERO,
            bug: None,
        }
    }

    pub(super) fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// Whether somebody who asks for an address that is there gets an answer.
    pub(super) const fn answers(&self) -> bool {
        match self.power {
            Power::Off | Power::Paused => false,
            Power::Down | Power::Running | Power::Frozen => true,
        }
    }

    pub(super) fn view(&self, link: usize) -> View {
        match self.power {
            Power::Off => View::Off,
            Power::Down => View::Down,
            Power::Frozen => View::Frozen,
            Power::Paused => View::Paused,
            Power::Running => self.ports[link].view(),
        }
    }
}

/// A router on its link, and its addresses.
#[derive(Clone, Debug)]
pub(super) struct Port {
    pub(super) router: VirtualRouter,
    /// The address that ties are decided by.
    pub(super) source: IpAddr,
    /// The address in the other family, where the router speaks both.
    pub(super) other: Option<IpAddr>,
    pub(super) plugged: bool,
    /// Whether the kernel has the addresses.
    pub(super) holds: bool,
    /// Which Acquire was asked for last.
    pub(super) ticket: u64,
    /// When the lease was renewed last.
    pub(super) renewed_at: Instant,
    /// The deadline that it is to be woken for, and when that will be.
    pub(super) deadline: Option<Deadline>,
    pub(super) wakes_at: Option<Instant>,
    /// What it was last seen at.
    pub(super) view: View,
    pub(super) ledger: Ledger,
}

impl Port {
    fn new(config: RouterConfig, plan: &HostPlan, now: Instant) -> Self {
        let has = |family| config.addresses().iter().any(|address| address.family() == family);
        let (family, other) = match (has(Family::Ipv4), has(Family::Ipv6)) {
            (true, true) => (Family::Ipv4, Some(plan.source(Family::Ipv6))),
            (false, true) => (Family::Ipv6, None),
            (true | false, false) => (Family::Ipv4, None),
        };
        Self {
            router: VirtualRouter::new(config),
            source: plan.source(family),
            other,
            plugged: true,
            holds: false,
            ticket: 0,
            renewed_at: now,
            deadline: None,
            wakes_at: None,
            view: View::Off,
            ledger: Ledger::default(),
        }
    }

    /// A new life: what the kernel has stays.
    pub(super) fn renew(&mut self, config: RouterConfig) {
        self.router = VirtualRouter::new(config);
        self.ticket += 1;
        self.ledger = Ledger::default();
        self.sleep();
    }

    /// Nothing wakes it any more.
    pub(super) fn sleep(&mut self) {
        self.deadline = None;
        self.wakes_at = None;
    }

    /// The lease of its addresses; an owner's have none.
    pub(super) fn lease(&self, model: LeaseModel) -> Option<Duration> {
        let config = self.router.config();
        if config.standing().is_owner() { None } else { model.time(config.active_down()) }
    }

    /// When a lease that is renewed as carp-node does it was renewed last before `now`, and when it will be next
    /// if no advert comes: with the adverts that [`Port::renewed_at`] knows of, and without from a half on.
    pub(super) fn renewals_around(&self, lease: Duration, now: Instant) -> (Instant, Instant) {
        let mut at = self.renewed_at;
        let mut next = at + lease / 2;
        while next <= now {
            at = next;
            next = at + lease / 3;
        }
        (at, next)
    }

    fn view(&self) -> View {
        match (self.router.state(), self.router.phase()) {
            (State::Init, _) => View::Init,
            (State::Backup, _) => View::Backup,
            (State::Active, Some(Phase::TakingOver)) => View::TakingOver,
            (State::Active, Some(Phase::Leaving)) => View::Leaving,
            (State::Active, Some(Phase::Serving) | None) => View::Serving,
        }
    }

    pub(super) fn posture(&self) -> Posture {
        self.router.posture()
    }
}
