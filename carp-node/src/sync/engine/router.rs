//! A router that shares follow, as the engine sees it.

use std::net::IpAddr;

use carp_proto::Instant;
use tokio::sync::oneshot;

use super::Verdict;
use super::failback::Asked;
use crate::control::proto::{RankStatus, RouterStatus};
use crate::node::Restraint;
use crate::sync::handover::{Requester, Server};
use crate::sync::lineage::Stamp;
use crate::sync::record::{Role, Want};

/// A router with shares.
#[derive(Debug)]
pub(super) struct RouterState {
    /// The name in the configuration.
    pub(super) name: String,
    /// Its elections, by their numbers in the node.
    pub(super) seats: Vec<usize>,
    /// Whether it preempts, and what it says of itself when it is not held.
    pub(super) preempts: bool,
    pub(super) rank: RankStatus,
    pub(super) role: Role,
    /// The addresses that its own adverts come from.
    pub(super) speaks_from: Vec<IpAddr>,
    /// Who was heard last, and is heard at present.
    pub(super) heard: Option<IpAddr>,
    pub(super) heard_rank: Option<RankStatus>,
    /// When an active router was heard, or this one was active.
    pub(super) heard_at: Instant,
    pub(super) promoting: Option<Promoting>,
    pub(super) leaving: Option<Leaving>,
    pub(super) requester: Requester,
    /// Who had it ask, and waits for the end.
    pub(super) asked: Option<Asked>,
    pub(super) server: Server,
    /// The hooks of a quiesce that run: which is next.
    pub(super) hooks: Option<Hooks>,
    /// What the election was told last.
    pub(super) told: Option<Restraint>,
    /// How long writers stood still at the last handover.
    pub(super) freeze: Option<std::time::Duration>,
    /// A request of another that was pulled for although this node did not ask.
    pub(super) answered: Option<Want>,
}

/// A takeover that waits until nothing is pulled any more.
#[derive(Debug)]
pub(super) struct Promoting {
    pub(super) reply: oneshot::Sender<Verdict>,
}

/// A planned departure that waits until the peer has everything.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) want: Want,
    pub(super) since: Instant,
    pub(super) until: Instant,
    /// When the hooks that stop writers began. Before, what the peer says since then is not known yet: only that tells
    /// whether there is anybody to wait for.
    pub(super) stops_since: Option<Instant>,
    /// The shares that somebody copies: those are waited for.
    pub(super) followed: Vec<usize>,
    /// When the writers stood still, by the own wall clock.
    pub(super) quiet_since: Option<Stamp>,
    pub(super) replies: Vec<oneshot::Sender<()>>,
    /// It has been let go, and unquiesce comes when it is not active any more.
    pub(super) gone: bool,
}

/// Hooks of the shares of a router, one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hooks {
    /// Whether they stop writers, or let them go on.
    pub(super) quiesces: bool,
    /// Those that are left, counted over all shares.
    pub(super) next: usize,
    /// Whether one of them has failed.
    pub(super) failed: bool,
}

impl RouterState {
    /// Takes in what the node says of it, at this time.
    pub(super) fn note(&mut self, status: &[RouterStatus], now: Instant) {
        let mine = || self.seats.iter().filter_map(|seat| status.get(*seat));
        let is = |state: &str| mine().any(|router| router.state == state);
        let takes_over = |router: &RouterStatus| router.phase.as_deref() == Some("taking-over");
        let role = match (is("active"), is("backup")) {
            // The engine is asked before addresses are taken: until it has allowed that, nothing is served.
            (true, _) if mine().all(|it| it.state != "active" || takes_over(it)) => self.role,
            (true, _) => Role::Active,
            (false, true) => Role::Backup,
            (false, false) => Role::Init,
        };
        let sources = mine().flat_map(|router| router.sources.iter().copied()).collect();
        let peers = mine().flat_map(|router| {
            let limit = router.timers.active_down_ms.0;
            router.peers.iter().filter(move |peer| peer.last_advert_age_ms.0 <= limit)
        });
        let latest = peers.min_by_key(|peer| peer.last_advert_age_ms.0);
        let heard_rank = latest.map(|peer| peer.rank);
        let heard = latest.map(|peer| peer.address);
        let age = latest.map(|peer| peer.last_advert_age_ms.0);
        self.speaks_from = sources;
        self.heard = heard.filter(|_| role == Role::Backup);
        self.heard_rank = heard_rank;
        if role == Role::Active {
            self.heard_at = now;
        } else if let Some(age) = age {
            let since = Instant::ZERO + now.saturating_since(Instant::ZERO).saturating_sub(age);
            self.heard_at = self.heard_at.max(since);
        }
        self.role = role;
    }

    /// Whether the node says that it is active, and that all its addresses are there.
    pub(super) fn serves(&self, status: &[RouterStatus]) -> bool {
        let mut active = self
            .seats
            .iter()
            .filter_map(|seat| status.get(*seat))
            .filter(|router| router.state == "active")
            .peekable();
        active.peek().is_some() && active.all(|router| router.phase.as_deref() == Some("serving"))
    }

    /// Whether the node says that it is active.
    pub(super) fn is_active(&self, status: &[RouterStatus]) -> bool {
        let mut mine = self.seats.iter().filter_map(|seat| status.get(*seat));
        mine.any(|router| router.state == "active")
    }

    /// Whether its rank, not held, is better than that of the router it hears.
    pub(super) fn is_better(&self) -> bool {
        match (self.rank, self.heard_rank) {
            (
                RankStatus::Carp { advbase, advskew },
                Some(RankStatus::Carp { advbase: their_base, advskew: their_skew }),
            ) => (advbase, advskew) < (their_base, their_skew),
            (RankStatus::Vrrp { priority }, Some(RankStatus::Vrrp { priority: theirs })) => {
                priority > theirs
            }
            (RankStatus::Carp { .. } | RankStatus::Vrrp { .. }, _) => false,
        }
    }
}
