//! What a run has to fulfil, and the times within which. `docs/invariants.md` has the reasons.

use alloc::string::String;
use core::fmt;
use core::time::Duration;

use super::host::HostModel;
use super::lan::Lan;

/// A statement that holds for every run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Invariant {
    /// Some time after all is well, exactly one host is active and has the addresses.
    Convergence,
    /// And then nothing changes any more.
    Stability,
    /// Two active routers that hear each other are one soon.
    BoundedDual,
    /// After a death or a planned change, somebody has the addresses soon.
    BoundedGap,
    /// The addresses are where a router serves, and nowhere else.
    Agreement,
    /// Addresses that nobody renews are gone when their lease is over.
    Lease,
    /// What is rejected changes nothing.
    NonInterference,
    /// What a router says, asks for and reports comes in its order.
    Order,
    /// An active router advertises in time.
    Timeliness,
    /// One input causes few actions, and deadlines move.
    Bounded,
    /// An active router that leaves resigns, and does so at two moments at the most.
    Goodbye,
    /// A router that did not run for long listens before it claims anything.
    ListensFirst,
    /// The routers of a group are active together.
    WholeGroup,
    /// With preemption, the best router is the active one.
    BestServes,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Convergence,
        Self::Stability,
        Self::BoundedDual,
        Self::BoundedGap,
        Self::Agreement,
        Self::Lease,
        Self::NonInterference,
        Self::Order,
        Self::Timeliness,
        Self::Bounded,
        Self::Goodbye,
        Self::ListensFirst,
        Self::WholeGroup,
        Self::BestServes,
    ];

    /// The name in texts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Convergence => "convergence",
            Self::Stability => "stability",
            Self::BoundedDual => "bounded-dual",
            Self::BoundedGap => "bounded-gap",
            Self::Agreement => "agreement",
            Self::Lease => "lease",
            Self::NonInterference => "non-interference",
            Self::Order => "order",
            Self::Timeliness => "timeliness",
            Self::Bounded => "bounded",
            Self::Goodbye => "goodbye",
            Self::ListensFirst => "listens-first",
            Self::WholeGroup => "whole-group",
            Self::BestServes => "best-serves",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A run that did not fulfil an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Which one.
    pub invariant: Invariant,
    /// The time since the beginning.
    pub at: Duration,
    /// The host that it is about, and the link, if it is about one.
    pub place: Option<(usize, usize)>,
    /// What was seen.
    pub text: String,
}

impl Violation {
    /// One that a router commits by itself; [`by`](Self::by) adds which and when.
    pub(super) fn local(invariant: Invariant, text: &'static str) -> Self {
        Self { invariant, at: Duration::ZERO, place: None, text: text.into() }
    }

    pub(super) fn by(self, at: Duration, host: usize, link: usize) -> Self {
        Self { at, place: Some((host, link)), ..self }
    }

    pub(super) const fn of_run(invariant: Invariant, at: Duration, text: String) -> Self {
        Self { invariant, at, place: None, text }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} violated after {:?}: ", self.invariant, self.at)?;
        if let Some((host, link)) = self.place {
            write!(f, "host {host}, link {link}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// The times of a LAN from which the bounds are made, in the words of `docs/invariants.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bounds {
    /// A: the longest advert interval of a router.
    pub interval: Duration,
    /// D: the longest patience of a backup: three intervals and a skew, its own or those of a slower active
    /// router that it follows.
    pub patience: Duration,
    /// The longest handover window of a router.
    pub handover: Duration,
    /// δ: the longest time that a datagram is on its way.
    pub delay: Duration,
    /// σ: the most that a deadline is met late.
    pub lateness: Duration,
    /// τ: the longest time that taking or giving back addresses lasts.
    pub addresses: Duration,
    /// Whether routers are in groups.
    pub groups: bool,
}

/// How long a router that fell behind may be held from preempting; with its group, [longer](Bounds::hold).
pub const HOLD: Duration = Duration::from_secs(60);

/// A successor that advertises has its addresses no later than this, or is not waited for.
pub const SUCCESSOR_SETTLES: Duration = Duration::from_millis(200);

/// An advert of a router is not believed until this long after its resignation, or half an interval.
const OVERTAKEN: Duration = Duration::from_millis(100);

/// Taking the addresses is given up after this.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);

impl Bounds {
    /// The times of a LAN as it is now.
    #[must_use]
    pub fn of(lan: &Lan) -> Self {
        let mut bounds = Self {
            interval: Duration::ZERO,
            patience: Duration::ZERO,
            handover: Duration::ZERO,
            delay: lan.weather().longest(),
            lateness: Duration::ZERO,
            addresses: Duration::ZERO,
            groups: lan.links() > 1,
        };
        let links = u32::try_from(lan.links()).unwrap_or(u32::MAX);
        for host in 0..lan.hosts() {
            let HostModel { lateness, acquire, release, .. } = lan.plan(host).model;
            bounds.lateness = bounds.lateness.max(lateness);
            // One job after the other, and a release before an acquire.
            bounds.addresses = bounds.addresses.max((acquire + release) * links);
            for link in 0..lan.links() {
                let router = lan.router(host, link);
                let snapshot = router.snapshot(lan.now());
                bounds.interval = bounds.interval.max(snapshot.interval);
                bounds.patience = bounds.patience.max(snapshot.active_down);
                bounds.handover = bounds.handover.max(router.config().handover());
                // A restart that is under way may bring longer times.
                if let Some(config) = lan.revised(host, link) {
                    bounds.interval = bounds.interval.max(config.standing().interval());
                    bounds.patience = bounds.patience.max(config.active_down());
                    bounds.handover = bounds.handover.max(config.handover());
                }
            }
        }
        bounds.patience = bounds.patience.max(bounds.interval * 3);
        bounds
    }

    /// What one step of an election may take beyond its timers.
    #[must_use]
    pub fn slack(&self) -> Duration {
        (self.delay + self.lateness) * 4 + self.addresses * 2
    }

    /// How long a router may be held from preempting.
    #[must_use]
    pub fn hold(&self) -> Duration {
        // Those of a group end one after the other.
        let spread = if self.groups { (HOLD / 2).max(self.interval * 8) } else { Duration::ZERO };
        HOLD + spread
    }

    /// I1: how long after all is well exactly one router is active and has the addresses.
    #[must_use]
    pub fn convergence(&self) -> Duration {
        let unfinished = self.handover + ACQUIRE_LIMIT;
        let silence = self.patience + self.interval;
        let once = unfinished + silence + self.slack();
        if !self.groups {
            return once;
        }
        // A group that steps down hands over for longer, and two that are each better in one router try
        // one after the other.
        once + self.patience + (self.patience + self.interval * 2) * 2 + self.slack()
    }

    /// I3: how long two routers that hear each other may both claim to be active.
    #[must_use]
    pub fn dual(&self) -> Duration {
        let overtaken = OVERTAKEN.min(self.interval / 2);
        self.interval + overtaken + self.delay + self.lateness
    }

    /// The same for who has the addresses: a router that leaves serves until a successor does, and one that
    /// leaves with its group for an active-down interval longer.
    #[must_use]
    pub fn dual_holders(&self) -> Duration {
        let group = if self.groups { self.patience } else { Duration::ZERO };
        let serves_on = SUCCESSOR_SETTLES.max(self.handover + group);
        self.dual() + serves_on + self.addresses + self.slack()
    }
}
