//! Handing over: resigned, and serving until a successor does.

use core::net::IpAddr;
use core::time::Duration;

use super::active::{Reacquiring, Serving};
use super::announce::AnnounceTimer;
use super::backup::ActivePeer;
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

    pub(super) fn leaving_hears(&mut self, now: Instant, mut leaving: Leaving, claim: Claim) {
        if claim.resigning {
            return;
        }
        self.active_peer =
            Some(ActivePeer { source: claim.source, interval: claim.interval, heard_at: now });
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
            (Goal::Yield, None) => self.serve_on(now),
            (Goal::Stop, _) | (Goal::Yield, Some(_)) => self.handed_over(now, leaving),
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
        }
    }

    /// Nobody answered the resignation: it is taken back.
    fn serve_on(&mut self, now: Instant) {
        let advert_at = now + self.advert_interval();
        self.stage = Stage::Serving(Serving {
            advert_at,
            announce: AnnounceTimer::new(now),
            reacquiring: Some(Reacquiring::until(now + self.config.acquire_limit)),
        });
        self.push(Output::Advertise(Advertisement::Claim));
        // An address may have been lost meanwhile; taking it includes announcing it.
        self.push(Output::Acquire);
        self.push(Output::Event(Event::YieldUnanswered));
    }
}
