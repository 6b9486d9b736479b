//! What an election wants done, and what it reports.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;

use super::input::Fault;
use crate::time::Instant;

/// An effect to carry out, in the order in which they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// Send one advert.
    Advertise(Advertisement),
    /// Do what must come before the addresses are taken, and answer
    /// [`Input::Prepared`](super::Input::Prepared) or [`Input::Refused`](super::Input::Refused).
    Prepare,
    /// Take the addresses and announce them as one unit, and answer
    /// [`Input::Acquired`](super::Input::Acquired) or [`Input::Fault`](super::Input::Fault).
    Acquire,
    /// Announce the addresses.
    Announce,
    /// Give the addresses back.
    Release,
    /// Report.
    Event(Event),
}

/// What an advert says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Advertisement {
    /// "I am active", with the own rank.
    Claim,
    /// "I resign": CARP's 255/255, VRRP's priority 0.
    Resign,
}

/// The state of a virtual router (RFC 9568 section 6.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Takes no part: not started, stopped, or without a usable link.
    Init,
    /// Waits for the active router to fall silent.
    Backup,
    /// Holds the addresses, or is about to take or hand over.
    #[doc(alias = "master")]
    Active,
}

impl State {
    /// The name in JSON, logs and hooks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Active => "active",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What an active router is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It advertises, and takes the addresses.
    TakingOver,
    /// It advertises and has the addresses.
    Serving,
    /// It has resigned, and serves until a successor does.
    Leaving,
}

impl Phase {
    /// The name in JSON and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TakingOver => "taking-over",
            Self::Serving => "serving",
            Self::Leaving => "leaving",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where a router stands with the others of its [`Group`](crate::Group).
///
/// It is the state, and of a backup and of a router that leaves whether it waits for a
/// [permission](super::Input::Permit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Posture {
    /// Takes no part: not started, stopped, or without a usable link.
    Init,
    /// A backup that has no reason to take over.
    Backup,
    /// A backup that would be active if it were permitted. It has no deadline.
    Willing,
    /// Active, and not about to leave.
    Active,
    /// Serves until a successor does.
    Leaving,
    /// Has left, but nobody took over: it serves on, in silence, and would be active again if it were
    /// permitted. It has no deadline; an advert or an announcement of another router ends it.
    Unanswered,
}

impl Posture {
    /// The name in JSON and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Willing => "willing",
            Self::Active => "active",
            Self::Leaving => "leaving",
            Self::Unanswered => "unanswered",
        }
    }
}

impl fmt::Display for Posture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a router changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// It was started.
    Start,
    /// It was told to stop.
    Stop,
    /// No advert came for the active-down interval.
    ActiveDown,
    /// The active router resigned.
    Resigned,
    /// It was active and heard a better router.
    BetterPeer,
    /// It was backup, heard a worse active router, and preempts.
    WorsePeer,
    /// The operator told it to yield.
    Yield,
    /// The link came or went.
    Link,
    /// An effect failed.
    Fault,
    /// Another router of its group is no longer active.
    Group,
    /// It had not run for longer than its own active-down interval, so that another router may have
    /// taken over meanwhile.
    Paused,
}

impl Cause {
    /// The name in JSON, logs and hooks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::ActiveDown => "active-down",
            Self::Resigned => "resigned",
            Self::BetterPeer => "better-peer",
            Self::WorsePeer => "worse-peer",
            Self::Yield => "yield",
            Self::Link => "link",
            Self::Fault => "fault",
            Self::Group => "group",
            Self::Paused => "paused",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a transition rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The other router that the cause is about.
    pub peer: Option<IpAddr>,
    /// How long no advert of it was heard.
    pub silent_for: Option<Duration>,
    /// What failed.
    pub fault: Option<Fault>,
    /// How late the router itself ran.
    pub late_by: Option<Duration>,
}

/// Something worth telling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The state changed. To [`State::Active`] this comes when the addresses are there; from
    /// [`State::Backup`] to itself when a takeover ended before they were.
    State {
        /// The state before.
        from: State,
        /// The state now.
        to: State,
        /// Why.
        cause: Cause,
        /// On what grounds.
        evidence: Evidence,
    },
    /// While active, another active router of worse rank was heard: clients may have learnt its
    /// link-layer address.
    Rival {
        /// The other router.
        source: IpAddr,
    },
    /// Another program removed an address; it is being taken again.
    AddressLost,
    /// An address has gone because its lifetime was not renewed in time; it is being taken again.
    AddressExpired,
    /// Nobody took over after [`Input::Yield`](super::Input::Yield) within the handover window: the
    /// router serves on.
    YieldUnanswered,
}

/// When a router wants to be woken, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadline {
    /// When. Call [`Input::Timeout`](super::Input::Timeout) at this instant or later.
    pub at: Instant,
    /// What for.
    pub why: Wait,
}

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wait {
    /// The active router's next advert is due, if it lives.
    ActiveDown,
    /// The own next advert is due.
    Advert,
    /// Prepare or Acquire is out of time.
    Takeover,
    /// The addresses are to be announced again.
    Announce,
    /// The resignation is to be repeated.
    Resignation,
    /// The handover ends.
    Handover,
}

/// The active router's interval, as a backup of VRRP version 3 learns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnedInterval {
    /// What its adverts say.
    pub advertised: Duration,
    /// What the backup reckons with: the same, unless that is out of all proportion to its own.
    pub reckoned: Duration,
}

impl LearnedInterval {
    /// Whether the interval is so long that the backup does not believe it. Somebody should look at
    /// the two configurations, or at who sends such adverts.
    #[must_use]
    pub fn is_absurd(self) -> bool {
        self.reckoned < self.advertised
    }
}
