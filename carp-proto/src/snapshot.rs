//! What status and metrics show of a router.

use core::net::IpAddr;
use core::time::Duration;

use crate::auth::Verdict;
use crate::election::{Cause, Fault, LearnedInterval, LinkState, Phase, Posture, Standing, State};
use crate::id::Demotion;
use crate::reject::{Reject, RejectCounters};
use crate::time::Instant;
use crate::wire::vrrp::ChecksumForm;

/// How many peers a router remembers. The longest silent one makes room.
pub const MAX_PEERS: usize = 8;

/// A router at one instant: values only, nothing that changes afterwards.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The state.
    pub state: State,
    /// What an active router is at.
    pub phase: Option<Phase>,
    /// Where it stands with its group. [`Willing`](Posture::Willing) and
    /// [`Unanswered`](Posture::Unanswered) say that it waits for the others.
    pub posture: Posture,
    /// When the state was entered.
    pub since: Instant,
    /// Why the state was entered.
    pub cause: Cause,
    /// State changes so far.
    pub transitions: u64,
    /// The link.
    pub link: LinkState,
    /// What the own adverts say, demotion included: CARP's advbase and advskew, VRRP's priority and
    /// interval.
    pub advertised: Standing,
    /// The active router's interval, where backups learn it (VRRP version 3) and one was heard. One that
    /// [is absurd](LearnedInterval::is_absurd) deserves a warning.
    pub learned: Option<LearnedInterval>,
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
    /// Whether the router does not preempt at present, for whatever reason.
    pub held: bool,
    /// Whether it was told that its data are behind, or that it waits for a handover: see
    /// [`Input::Held`](crate::election::Input::Held) and
    /// [`Input::AwaitsHandover`](crate::election::Input::AwaitsHandover).
    pub held_by_data: bool,
    /// What failed last and has not succeeded since.
    pub fault: Option<Fault>,
    /// The form of the checksum of the own adverts, in VRRP version 3.
    pub checksum: Option<ChecksumForm>,
    /// What the latest signature was worth, where signatures are configured.
    pub last_verdict: Option<Verdict>,
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
    /// What that advert said.
    pub advertised: Standing,
    /// The form of its checksum, in VRRP version 3, unless it fits both.
    pub checksum: Option<ChecksumForm>,
    /// What is odd about it.
    pub remarks: Remarks,
}

/// What is odd about a valid advert of VRRP. Nothing of it is a reason to reject it, by the RFCs or by
/// what real peers send, and all of it is worth a look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Remarks {
    /// A list of IPv6 addresses begins with another than a link-local one, as RFC 9568 section 5.2.9
    /// does not allow.
    pub lacks_link_local: bool,
    /// It lists other addresses than ours, link-local ones aside: a mistake in one of the
    /// configurations, or another cluster with the same id.
    pub other_addresses: bool,
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
