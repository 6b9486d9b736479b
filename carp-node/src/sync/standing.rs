//! Whether a node's copy is good enough: to preempt, to take over, to be waited for.

use std::time::Duration;

use carp_proto::Instant;
use serde::{Deserialize, Serialize};

use super::decide::{Decision, Me};
use super::lineage::{Epoch, Stamp};
use super::policy::{Policy, StaleTakeover};
use super::record::{Memory, Peer, RECORD_FRESH, Role, ShareRecord};

/// A peer that said so long ago that it serves keeps this node from taking over, and no longer.
pub const VETO_FRESH: Duration = Duration::from_secs(2);

/// How a share stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The copy is good enough to take over without losing more than a few seconds.
    pub in_sync: bool,
    /// A handover to this node may be asked for: it is in sync, or the operator said that its tree counts.
    pub ready: bool,
    /// Why the router must not preempt; `None` if it may.
    pub held: Option<Held>,
    /// Whether it may take over when nobody serves.
    pub takeover: Takeover,
}

/// Why a router does not preempt, whatever its rank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Held {
    /// The copy is not in sync.
    NotInSync,
    /// A decision holds the share.
    OnHold,
    /// It is in sync, and takes over by a handover only.
    AwaitsHandover,
    /// It serves an old copy, because nobody better was there: whoever is in sync may take over at once.
    ServesStale,
}

/// Whether a node may become active although nobody hands over to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takeover {
    /// At once. `stale`: with an old copy, which the memory has to say
    /// ([`Memory::after_promotion`]).
    Now {
        /// The copy is older than `max_lag`.
        stale: bool,
    },
    /// Not before this, unless something changes.
    NotBefore(Instant, Delay),
    /// Not without the operator.
    Never,
}

/// Why a takeover waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delay {
    /// The peer lives and says that it serves: the path of the adverts is broken.
    PeerServes,
    /// The peer lives, and what it has is newer.
    PeerIsAhead,
    /// After a start, the peer's word is awaited: it may have what is newer.
    ColdStart,
    /// The copy is old: perhaps the better one comes back.
    StaleCopy,
}

/// The moments that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moments {
    /// When this process started to take part.
    pub started: Instant,
    /// When an active router was last heard, or the start if none was.
    pub heard: Instant,
}

/// How a share stands now. `decision` is what [`decide`](super::decide::decide) says; `rhythm` is how old a copy gets
/// between two passes: that keeps none from being in sync before it is older than `max_lag`.
#[must_use]
pub fn standing(
    me: &Me<'_>,
    peer: Option<&Peer>,
    decision: &Decision,
    rhythm: Duration,
    policy: &Policy,
    moments: Moments,
    now: Instant,
) -> Standing {
    let in_sync = in_sync(me, peer, decision, rhythm, policy);
    Standing {
        in_sync,
        ready: matches!(decision, Decision::Keep)
            || matches!(decision, Decision::Pull(_)) && in_sync,
        held: held(me, decision, in_sync, policy),
        takeover: takeover(me, peer, policy, moments, now),
    }
}

/// Whether the copy is complete for the epoch that is served, and young.
fn in_sync(
    me: &Me<'_>,
    peer: Option<&Peer>,
    decision: &Decision,
    rhythm: Duration,
    policy: &Policy,
) -> bool {
    let tip = match decision {
        Decision::Serve(_) => return true,
        Decision::Pull(pull) => &pull.tip,
        Decision::Scan | Decision::Keep | Decision::Hold(_) | Decision::Wait(_) => return false,
    };
    let complete = me.memory.as_of.as_ref().filter(|as_of| as_of.tip == *tip);
    let most = policy.in_sync_lag.max(rhythm.min(policy.max_lag));
    peer.is_some() && complete.is_some_and(|as_of| age(as_of.local, me.clock) <= most)
}

/// How old a copy is. A clock that was set back says nothing: then it is as old as can be.
fn age(local: Stamp, clock: Stamp) -> Duration {
    if clock < local { Duration::MAX } else { clock.since(local) }
}

fn held(me: &Me<'_>, decision: &Decision, in_sync: bool, policy: &Policy) -> Option<Held> {
    if !policy.require {
        return None;
    }
    match decision {
        Decision::Serve(_) => me.memory.stale.then_some(Held::ServesStale),
        Decision::Hold(_) => Some(Held::OnHold),
        Decision::Keep => Some(Held::AwaitsHandover),
        Decision::Pull(_) if in_sync => Some(Held::AwaitsHandover),
        Decision::Pull(_) | Decision::Scan | Decision::Wait(_) => Some(Held::NotInSync),
    }
}

fn takeover(
    me: &Me<'_>,
    peer: Option<&Peer>,
    policy: &Policy,
    moments: Moments,
    now: Instant,
) -> Takeover {
    if me.role == Role::Active {
        return Takeover::Now { stale: me.memory.stale };
    }
    let share = peer.and_then(|peer| Some((peer, peer.share(me.share)?)));
    if let Some(veto) = share.and_then(|(peer, share)| veto(peer, share, policy, now)) {
        return veto;
    }
    if !policy.require {
        return Takeover::Now { stale: false };
    }
    if counts(me.memory, share.map(|(_, share)| share)) {
        return Takeover::Now { stale: false };
    }
    if let Some(wait) = cold_start(me, share, policy, moments, now) {
        return wait;
    }
    if !is_stale(me, share.map(|(_, share)| share), policy) {
        return Takeover::Now { stale: false };
    }
    match policy.stale_takeover {
        // Nobody knew what the peer has. What it has counts again when it says so.
        _ if me.memory.may_serve_old && share.is_none_or(|(_, it)| it.history.tip().is_none()) => {
            Takeover::Now { stale: true }
        }
        StaleTakeover::Allow => Takeover::Now { stale: true },
        StaleTakeover::Never => Takeover::Never,
        StaleTakeover::After(wait) => {
            until(moments.heard + wait, now, Delay::StaleCopy, Takeover::Now { stale: true })
        }
    }
}

/// Whether somebody has looked at this tree and at what the peer has, and said that this one counts.
fn counts(memory: &Memory, peer: Option<&ShareRecord>) -> bool {
    let theirs = peer.and_then(|peer| peer.history.tip());
    memory.keeps.as_ref().is_some_and(|keeps| theirs.is_none_or(|tip| tip == keeps))
}

/// A live peer's own word: it serves, only its adverts do not arrive.
fn veto(peer: &Peer, share: &ShareRecord, policy: &Policy, now: Instant) -> Option<Takeover> {
    let serves = share.role == Role::Active && peer.is_fresh(now, VETO_FRESH);
    (policy.peer_alive_veto && serves)
        .then(|| Takeover::NotBefore(peer.moved + VETO_FRESH, Delay::PeerServes))
}

/// After a start, the peer is awaited by a node that may be the one with the older data and cannot know.
fn cold_start(
    me: &Me<'_>,
    share: Option<(&Peer, &ShareRecord)>,
    policy: &Policy,
    moments: Moments,
    now: Instant,
) -> Option<Takeover> {
    if let Some((peer, share)) = share.filter(|(peer, _)| peer.is_fresh(now, RECORD_FRESH)) {
        // It is alive, and is not kept from serving: the order of tips is total.
        return (share.role != Role::Init && is_ahead(share, me.memory))
            .then(|| Takeover::NotBefore(peer.moved + RECORD_FRESH, Delay::PeerIsAhead));
    }
    let memory = me.memory;
    let unsure = memory.dirty || memory.damage.is_some() || memory.history.tip().is_none();
    // Since its last complete pass nothing can have happened that it would have to be told.
    let end = moments.started + policy.cold_start_wait;
    (unsure && now < end).then_some(Takeover::NotBefore(end, Delay::ColdStart))
}

/// Whether the peer's data is of a newer epoch.
#[must_use]
pub fn is_ahead(peer: &ShareRecord, memory: &Memory) -> bool {
    let (theirs, mine): (Option<&Epoch>, _) = (peer.history.tip(), memory.history.tip());
    match (theirs, mine) {
        (Some(theirs), Some(mine)) => theirs > mine,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

fn is_stale(me: &Me<'_>, peer: Option<&ShareRecord>, policy: &Policy) -> bool {
    if me.memory.damage.is_some() {
        return true;
    }
    let Some(tip) = me.memory.history.tip() else {
        // It never had anything. It may begin, unless the peer is known to have something.
        return peer.is_some_and(|peer| peer.history.tip().is_some());
    };
    if tip.node == *me.node {
        return peer.is_some_and(|peer| is_ahead(peer, me.memory));
    }
    me.memory.as_of.as_ref().is_none_or(|as_of| age(as_of.local, me.clock) > policy.max_lag)
}

fn until(at: Instant, now: Instant, why: Delay, then: Takeover) -> Takeover {
    if now < at { Takeover::NotBefore(at, why) } else { then }
}

#[cfg(test)]
mod tests;
