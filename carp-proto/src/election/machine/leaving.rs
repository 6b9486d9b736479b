//! Handing over: resigned or outranked, and serving until a successor does.

use core::net::IpAddr;
use core::time::Duration;

use super::active::{Reacquiring, Serving};
use super::announce::AnnounceTimer;
use super::backup::{ActivePeer, Waiting};
use super::{HOLD, Machine, Stage};
use crate::election::input::Fault;
use crate::election::output::{Advertisement, Cause, Evidence, Output};
use crate::election::rank::{Claim, Rank};
use crate::time::Instant;

/// After this the resignation is said once more, in case the first was lost.
const RESIGN_AGAIN: Duration = Duration::from_millis(10);

/// A successor that advertises has its addresses soon after: no longer than this.
const SUCCESSOR_SETTLES: Duration = Duration::from_millis(200);

/// One that goes on advertising this long after its first advert has its addresses: taking them takes
/// milliseconds. At short intervals, a second advert alone does not say that.
const SUCCESSOR_GOES_ON: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) goal: Goal,
    pub(super) resign_again_at: Option<Instant>,
    /// When it is over. `None` if it is, and nobody took over, and the router waits for its group.
    pub(super) release_at: Option<Instant>,
    /// When it is over if no successor shows itself.
    pub(super) window_ends: Instant,
    pub(super) successor: Option<Successor>,
}

/// The best of those that advertise since the resignation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Successor {
    source: IpAddr,
    rank: Rank,
    heard_at: Instant,
}

#[cfg(feature = "sim")]
impl Successor {
    pub(super) const fn parts(self) -> (IpAddr, Rank, Instant) {
        (self.source, self.rank, self.heard_at)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Stop,
    Yield,
    /// Others keep removing the addresses: they are for another host.
    Contest,
    /// To be a backup together with its group.
    Group,
    /// To be the backup of a better router.
    Follow,
}

impl Machine {
    /// Resigns and serves on until a successor does.
    pub(super) fn leave(&mut self, now: Instant, goal: Goal) {
        self.push(Output::Advertise(Advertisement::Resign));
        let window_ends = now + self.handover_window(goal);
        self.stage = Stage::Leaving(Leaving {
            goal,
            resign_again_at: Some(now + RESIGN_AGAIN),
            release_at: Some(window_ends),
            window_ends,
            successor: None,
        });
    }

    /// How long a router that resigns waits for a successor.
    ///
    /// A group takes over on another host when all of its routers there are willing, and one of them may
    /// have to wait for the silence of one here that could not resign.
    fn handover_window(&self, goal: Goal) -> Duration {
        match goal {
            Goal::Stop | Goal::Yield | Goal::Contest | Goal::Follow => self.config.handover,
            Goal::Group => self.active_down() + self.config.handover,
        }
    }

    /// Leaves for another reason than before, and not later than for that one.
    pub(super) fn turn(&mut self, now: Instant, leaving: Leaving, goal: Goal) {
        let latest = now + self.handover_window(goal);
        let leaving = Leaving {
            goal,
            release_at: leaving.release_at.map(|at| at.min(latest)),
            window_ends: leaving.window_ends.min(latest),
            ..leaving
        };
        self.stage = Stage::Leaving(leaving);
        if goal == Goal::Stop && leaving.release_at.is_none() {
            self.handed_over(now, leaving);
        }
    }

    /// Says nothing more and serves on until the better router that has just advertised does: it may
    /// still be about to take the addresses.
    pub(super) fn give_way(&mut self, now: Instant, claim: Claim) {
        let Claim { source, rank, .. } = claim;
        self.active_peer = Some(ActivePeer::new(now, &claim));
        let window_ends = now + SUCCESSOR_SETTLES.min(self.config.handover);
        self.stage = Stage::Leaving(Leaving {
            goal: Goal::Follow,
            resign_again_at: None,
            release_at: Some(window_ends),
            window_ends,
            successor: Some(Successor { source, rank, heard_at: now }),
        });
    }

    pub(super) fn leaving_hears(&mut self, now: Instant, mut leaving: Leaving, claim: Claim) {
        if claim.resigning {
            if leaving.successor.is_some_and(|known| known.source == claim.source) {
                self.successor_resigns(now, leaving);
            }
            return;
        }
        self.active_peer = Some(ActivePeer::new(now, &claim));
        match leaving.successor {
            Some(successor) if successor.source == claim.source => {
                // Sooner, it is a farewell or a changed rank, and says nothing of the addresses.
                let later_advert = (claim.interval / 2).max(SUCCESSOR_GOES_ON);
                if now.saturating_since(successor.heard_at) >= later_advert {
                    self.handed_over(now, leaving);
                }
            }
            // Of several backups that rise at once the best stays.
            Some(successor) if successor.rank >= claim.rank => {}
            Some(_) | None => {
                let Claim { source, rank, .. } = claim;
                leaving.successor = Some(Successor { source, rank, heard_at: now });
                let settled_at = now + SUCCESSOR_SETTLES;
                let release_at = leaving.release_at.map_or(settled_at, |at| at.min(settled_at));
                leaving.release_at = Some(release_at);
                self.stage = Stage::Leaving(leaving);
            }
        }
    }

    /// Who was about to take over cannot: another one may, and until then this router serves.
    fn successor_resigns(&mut self, now: Instant, leaving: Leaving) {
        match leaving.goal {
            Goal::Follow => self.be_unanswered(now, leaving),
            Goal::Stop | Goal::Yield | Goal::Contest | Goal::Group => {
                let release_at = leaving.release_at.map(|_| leaving.window_ends);
                self.stage = Stage::Leaving(Leaving { successor: None, release_at, ..leaving });
            }
        }
    }

    pub(super) fn leaving_timeout(&mut self, now: Instant, mut leaving: Leaving) {
        if leaving.resign_again_at.is_some_and(|at| now >= at) {
            leaving.resign_again_at = None;
            self.stage = Stage::Leaving(leaving);
            self.push(Output::Advertise(Advertisement::Resign));
        }
        if leaving.release_at.is_none_or(|at| now < at) {
            return;
        }
        match (leaving.goal, leaving.successor) {
            (Goal::Yield | Goal::Contest | Goal::Group, None) => self.be_unanswered(now, leaving),
            (Goal::Stop | Goal::Follow, _)
            | (Goal::Yield | Goal::Contest | Goal::Group, Some(_)) => {
                self.handed_over(now, leaving);
            }
        }
    }

    pub(super) fn handed_over(&mut self, now: Instant, leaving: Leaving) {
        self.depart(now, leaving.goal, leaving.successor);
    }

    /// Resigns without a handover: the addresses are not served yet.
    pub(super) fn withdraw(&mut self, now: Instant, goal: Goal) {
        self.push(Output::Advertise(Advertisement::Resign));
        self.depart(now, goal, None);
    }

    fn depart(&mut self, now: Instant, goal: Goal, successor: Option<Successor>) {
        self.push(Output::Release);
        let peer = successor.map(|successor| successor.source);
        let evidence = Evidence { peer, ..Evidence::default() };
        match goal {
            Goal::Stop => {
                self.running = false;
                self.enter_init(now, Cause::Stop);
            }
            Goal::Yield => {
                self.hold_until = Some(now + HOLD);
                self.enter_backup(now, Cause::Yield, evidence);
            }
            Goal::Contest => {
                self.hold_until = Some(now + HOLD);
                let evidence = Evidence { fault: Some(Fault::AddressLost), ..evidence };
                self.enter_backup(now, Cause::Fault, evidence);
            }
            Goal::Group => {
                // From a better router it would not take back anyway, and need not wait the longer for it.
                let better = successor.is_some_and(|successor| successor.rank > self.rank());
                self.hold_until = (!better).then(|| now + self.group_hold());
                self.enter_backup(now, Cause::Group, evidence);
            }
            Goal::Follow => {
                self.enter_backup(now, Cause::BetterPeer, evidence);
                let heard_at = self.active_peer.map_or(now, |peer| peer.heard_at);
                self.stage = Stage::Backup(Waiting::until(heard_at + self.patience(now)));
            }
        }
    }

    /// Nobody else serves: what was given up is taken back.
    pub(super) fn serve_on(&mut self, now: Instant) {
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
