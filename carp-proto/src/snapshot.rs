//! What status and metrics show of a router.

use core::net::IpAddr;
use core::time::Duration;

use crate::election::{Cause, Fault, LinkState, Phase, State};
use crate::id::Demotion;
use crate::interval::CarpInterval;
use crate::reject::{Reject, RejectCounters};
use crate::time::Instant;

/// How many peers a router remembers. The longest silent one makes room.
pub const MAX_PEERS: usize = 8;

/// A router at one instant: values only, nothing that changes afterwards.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state.
    pub state: State,
    /// What an active router is at.
    pub phase: Option<Phase>,
    /// When the state was entered.
    pub since: Instant,
    /// Why the state was entered.
    pub cause: Cause,
    /// State changes so far.
    pub transitions: u64,
    /// The link.
    pub link: LinkState,
    /// Base and skew of the own adverts, demotion included.
    pub advertised: CarpInterval,
    /// Present demotion.
    pub demotion: Demotion,
    /// The time between two own adverts.
    pub interval: Duration,
    /// How long silence must last to count as death.
    pub active_down: Duration,
    /// Whether the router was active and heard no other router since it started.
    pub alone: bool,
    /// Another router that is active at the same time as this one, by its own word.
    pub conflict: Option<IpAddr>,
    /// Whether the router does not preempt at present.
    pub held: bool,
    /// What failed last and has not succeeded since.
    pub fault: Option<Fault>,
    /// The routers from which valid adverts came, the latest first.
    pub peers: [Option<Peer>; MAX_PEERS],
    /// The latest datagram that was rejected.
    pub last_reject: Option<LastReject>,
    /// Numbers since the start.
    pub counters: Counters,
}

/// A router from which a valid advert came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Its source address.
    pub source: IpAddr,
    /// When its last advert came.
    pub heard_at: Instant,
    /// Base and skew of that advert.
    pub advertised: CarpInterval,
}

/// A datagram that was not acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastReject {
    /// Why.
    pub reject: Reject,
    /// Its source address, if its IP header could be read.
    pub source: Option<IpAddr>,
    /// When it came.
    pub at: Instant,
}

/// Numbers that only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Adverts handed out for sending.
    pub adverts_sent: u64,
    /// Valid adverts that came.
    pub adverts_received: u64,
    /// Datagrams that were not acted on, by label.
    pub rejected: RejectCounters,
}
