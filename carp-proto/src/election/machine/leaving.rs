//! Handing over: resigned or outranked, and serving until a successor does.

use core::net::IpAddr;
use core::time::Duration;

use super::active::{Reacquiring, Serving};
use super::announce::AnnounceTimer;
use super::backup::{ActivePeer, Waiting};
use super::{HOLD, Machine, Stage};
use crate::election::output::{Advertisement, Cause, Event, Evidence, Output};
use crate::election::rank::{Claim, Rank};
use crate::time::Instant;

/// After this the resignation is said once more, in case the first was lost.
const RESIGN_AGAIN: Duration = Duration::from_millis(10);

/// A successor that advertises has its addresses soon after: no longer than this.
const SUCCESSOR_SETTLES: Duration = Duration::from_millis(200);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) goal: Goal,
    pub(super) resign_again_at: Option<Instant>,
    pub(super) release_at: Instant,
    pub(super) successor: Option<Successor>,
}

/// The best of those that advertise since the resignation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Successor {
    source: IpAddr,
    rank: Rank,
    heard_at: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Stop,
    Yield,
    /// To be the backup of a better router.
    Follow,
}

impl Machine {
    /// Resigns and serves on until a successor does.
    pub(super) fn leave(&mut self, now: Instant, goal: Goal) {
        self.push(Output::Advertise(Advertisement::Resign));
        self.stage = Stage::Leaving(Leaving {
            goal,
            resign_again_at: Some(now + RESIGN_AGAIN),
            release_at: now + self.config.handover,
            successor: None,
        });
    }

    /// Says nothing more and serves on until the better router that has just advertised does: it may
    /// still be about to take the addresses.
    pub(super) fn give_way(&mut self, now: Instant, claim: Claim) {
        let Claim { source, rank, .. } = claim;
        self.active_peer = Some(ActivePeer::new(now, &claim));
        self.stage = Stage::Leaving(Leaving {
            goal: Goal::Follow,
            resign_again_at: None,
            release_at: now + SUCCESSOR_SETTLES.min(self.config.handover),
            successor: Some(Successor { source, rank, heard_at: now }),
        });
    }

    pub(super) fn leaving_hears(&mut self, now: Instant, mut leaving: Leaving, claim: Claim) {
        if claim.resigning {
            let gone = leaving.successor.is_some_and(|known| known.source == claim.source);
            if gone && leaving.goal == Goal::Follow {
                self.serve_on(now);
            }
            return;
        }
        self.active_peer = Some(ActivePeer::new(now, &claim));
        match leaving.successor {
            Some(successor) if successor.source == claim.source => {
                // Sooner, it is a farewell or a changed rank, and says nothing of the addresses.
                if now.saturating_since(successor.heard_at) >= claim.interval / 2 {
                    self.handed_over(now, leaving);
                }
            }
            // Of several backups that rise at once the best stays.
            Some(successor) if successor.rank >= claim.rank => {}
            Some(_) | None => {
                let Claim { source, rank, .. } = claim;
                leaving.successor = Some(Successor { source, rank, heard_at: now });
                leaving.release_at = leaving.release_at.min(now + SUCCESSOR_SETTLES);
                self.stage = Stage::Leaving(leaving);
            }
        }
    }

    pub(super) fn leaving_timeout(&mut self, now: Instant, mut leaving: Leaving) {
        if leaving.resign_again_at.is_some_and(|at| now >= at) {
            leaving.resign_again_at = None;
            self.stage = Stage::Leaving(leaving);
            self.push(Output::Advertise(Advertisement::Resign));
        }
        if now < leaving.release_at {
            return;
        }
        match (leaving.goal, leaving.successor) {
            (Goal::Yield, None) => {
                self.serve_on(now);
                self.push(Output::Event(Event::YieldUnanswered));
            }
            (Goal::Stop | Goal::Follow, _) | (Goal::Yield, Some(_)) => {
                self.handed_over(now, leaving);
            }
        }
    }

    pub(super) fn handed_over(&mut self, now: Instant, leaving: Leaving) {
        self.depart(now, leaving.goal, leaving.successor.map(|successor| successor.source));
    }

    /// Resigns without a handover: the addresses are not served yet.
    pub(super) fn withdraw(&mut self, now: Instant, goal: Goal) {
        self.push(Output::Advertise(Advertisement::Resign));
        self.depart(now, goal, None);
    }

    fn depart(&mut self, now: Instant, goal: Goal, peer: Option<IpAddr>) {
        self.push(Output::Release);
        match goal {
            Goal::Stop => {
                self.running = false;
                self.enter_init(now, Cause::Stop);
            }
            Goal::Yield => {
                self.hold_until = Some(now + HOLD);
                self.enter_backup(now, Cause::Yield, Evidence { peer, ..Evidence::default() });
            }
            Goal::Follow => {
                let evidence = Evidence { peer, ..Evidence::default() };
                self.enter_backup(now, Cause::BetterPeer, evidence);
                let heard_at = self.active_peer.map_or(now, |peer| peer.heard_at);
                self.stage = Stage::Backup(Waiting::until(heard_at + self.patience(now)));
            }
        }
    }

    /// Nobody else serves: what was given up is taken back.
    fn serve_on(&mut self, now: Instant) {
        self.active_peer = None;
        let advert_at = now + self.advert_interval();
        self.stage = Stage::Serving(Serving {
            advert_at,
            announce: AnnounceTimer::new(now),
            reacquiring: Some(Reacquiring::until(now + self.config.acquire_limit)),
        });
        self.push(Output::Advertise(Advertisement::Claim));
        // An address may have been lost meanwhile; taking it includes announcing it.
        self.push(Output::Acquire);
    }
}
