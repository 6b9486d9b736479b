//! What a machine tells: outputs, the next deadline, and everything that changes nothing.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use super::active::{Serving, TakingOver};
use super::backup::Waiting;
use super::leaving::Leaving;
use super::{Machine, Stage};
use crate::election::input::{Fault, LinkState};
use crate::election::output::{
    Cause, Deadline, LearnedInterval, Output, Phase, Posture, State, Wait,
};
use crate::election::rank::Rank;
use crate::election::standing::Standing;
use crate::id::Demotion;
use crate::time::Instant;

/// Outputs and getters.
impl Machine {
    /// The next effect to carry out.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timeout`] is due next; `None` while nothing is.
    #[must_use]
    pub(crate) fn poll_timeout(&self) -> Option<Deadline> {
        let deadline = |at, why| Some(Deadline { at, why });
        match self.stage {
            Stage::Init => None,
            Stage::Backup(Waiting { down_at, .. }) => {
                down_at.map(|at| Deadline { at, why: Wait::ActiveDown })
            }
            Stage::TakingOver(TakingOver { advert_at, limit_at, .. }) => {
                earliest([deadline(advert_at, Wait::Advert), deadline(limit_at, Wait::Takeover)])
            }
            Stage::Serving(Serving { advert_at, announce, reacquiring }) => earliest([
                deadline(advert_at, Wait::Advert),
                announce
                    .due_at(&self.config.announce, self.config.seed)
                    .map(|at| Deadline { at, why: Wait::Announce }),
                reacquiring.map(|pending| Deadline { at: pending.limit_at, why: Wait::Takeover }),
            ]),
            Stage::Leaving(leaving) => earliest([
                leaving.resign_again_at.map(|at| Deadline { at, why: Wait::Resignation }),
                leaving.release_at.map(|at| Deadline { at, why: Wait::Handover }),
            ]),
        }
    }

    /// The state.
    #[must_use]
    pub(crate) const fn state(&self) -> State {
        match self.stage {
            Stage::Init => State::Init,
            Stage::Backup(_) => State::Backup,
            Stage::TakingOver(_) | Stage::Serving(_) | Stage::Leaving(_) => State::Active,
        }
    }

    /// What the router is at; `None` unless it is active.
    #[must_use]
    pub(crate) const fn phase(&self) -> Option<Phase> {
        match self.stage {
            Stage::Init | Stage::Backup(_) => None,
            Stage::TakingOver(_) => Some(Phase::TakingOver),
            Stage::Serving(_) => Some(Phase::Serving),
            Stage::Leaving(_) => Some(Phase::Leaving),
        }
    }

    /// Where the router stands with its group.
    #[must_use]
    pub(crate) const fn posture(&self) -> Posture {
        match self.stage {
            Stage::Init => Posture::Init,
            Stage::Backup(Waiting { down_at: Some(_), .. }) => Posture::Backup,
            Stage::Backup(Waiting { down_at: None, .. }) => Posture::Willing,
            Stage::TakingOver(_) | Stage::Serving(_) => Posture::Active,
            Stage::Leaving(Leaving { release_at: Some(_), .. }) => Posture::Leaving,
            Stage::Leaving(Leaving { release_at: None, .. }) => Posture::Unanswered,
        }
    }

    /// When the state was entered.
    #[must_use]
    pub(crate) const fn since(&self) -> Instant {
        self.since
    }

    /// Why the state was entered.
    #[must_use]
    pub(crate) const fn cause(&self) -> Cause {
        self.cause
    }

    /// How often the state has changed.
    #[must_use]
    pub(crate) const fn transitions(&self) -> u64 {
        self.transitions
    }

    /// The demotion.
    #[must_use]
    pub(crate) const fn demotion(&self) -> Demotion {
        self.handicap.demotion
    }

    /// What failed last and has not succeeded since.
    #[must_use]
    pub(crate) const fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// The link.
    #[must_use]
    pub(crate) const fn link(&self) -> LinkState {
        self.link
    }

    /// Another active router of worse rank, if one was heard within the last active-down interval. The
    /// last advert of the one that was taken over from does not count: it comes at once.
    #[must_use]
    pub(crate) fn rival(&self, now: Instant) -> Option<IpAddr> {
        let (source, at) = self.rival?;
        let recent = now.saturating_since(at) <= self.active_down();
        let lasting = at.saturating_since(self.since) > self.advert_interval();
        (recent && lasting && self.state() == State::Active).then_some(source)
    }

    /// Whether the router does not preempt at present, because it yielded or failed, or because its data
    /// are behind.
    #[must_use]
    pub(crate) fn held(&self, now: Instant) -> bool {
        self.held_by_data() || self.held_for_a_time(now)
    }

    /// Whether its data are behind, or may be, or are complete only after a handover.
    #[must_use]
    pub(crate) const fn held_by_data(&self) -> bool {
        self.handicap.held || self.awaits_handover
    }

    /// Whether the router does not preempt for a while, because it yielded or failed.
    #[must_use]
    pub(super) fn held_for_a_time(&self, now: Instant) -> bool {
        self.hold_until.is_some_and(|until| now < until)
    }

    /// What the adverts say, demotion included.
    #[must_use]
    pub(crate) fn advertised(&self) -> Standing {
        self.config.advertised(self.handicap)
    }

    /// The demotion byte of the adverts.
    #[must_use]
    pub(crate) fn demotion_byte(&self) -> Demotion {
        self.config.demotion_byte(self.handicap)
    }

    /// The time between two own adverts.
    #[must_use]
    pub(crate) fn advert_interval(&self) -> Duration {
        self.advertised().interval()
    }

    /// How long this router waits for an advert as a backup.
    #[must_use]
    pub(crate) fn active_down(&self) -> Duration {
        self.config.active_down(self.handicap, self.reckoned())
    }

    /// The active router's interval, as its adverts say and as this router reckons with it, where the
    /// protocol has backups learn it.
    #[must_use]
    pub(crate) fn learned(&self) -> Option<LearnedInterval> {
        let peer = self.active_peer.filter(|_| self.config.policy.learns_interval)?;
        let reckoned = self.config.learned(peer.interval);
        Some(LearnedInterval { advertised: peer.interval, reckoned })
    }

    /// The interval that the active-down interval rests on: learned, or else the own one.
    pub(super) fn reckoned(&self) -> Duration {
        self.learned().map_or(self.config.standing.interval(), |learned| learned.reckoned)
    }

    /// The own rank.
    #[must_use]
    pub(crate) fn rank(&self) -> Rank {
        self.config.rank(self.handicap)
    }

    /// The address that adverts come from; unspecified while there is none.
    #[must_use]
    pub(crate) const fn source(&self) -> IpAddr {
        match self.link {
            LinkState::Up { source } => source,
            LinkState::Down | LinkState::NoAddress => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }
}

fn earliest<const N: usize>(deadlines: [Option<Deadline>; N]) -> Option<Deadline> {
    deadlines.into_iter().flatten().min_by_key(|deadline| deadline.at)
}
