//! Taking the addresses, serving them, and losing them.

use core::cmp::Ordering;
use core::net::IpAddr;
use core::time::Duration;

use super::announce::AnnounceTimer;
use super::leaving::Goal;
use super::{HOLD, Machine, Stage};
use crate::election::input::Fault;
use crate::election::output::{Advertisement, Cause, Event, Evidence, Output, State};
use crate::election::policy::{Farewell, OwnerRule, ResignedWhileActive, WorseWhileActive};
use crate::election::rank::Claim;
use crate::time::Instant;

/// Addresses that are removed once more than this within [`LOSS_PERIOD`] are offered to others: whoever
/// removes them here may leave another host alone.
const LOSSES_BORNE: usize = 2;
const LOSS_PERIOD: Duration = Duration::from_secs(60);

/// So much sooner than an interval after a late advert the next one may come, but not more than a tenth of
/// the interval.
const CATCH_UP: Duration = Duration::from_millis(10);
/// When addresses were last lost, the latest first.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Losses([Option<Instant>; LOSSES_BORNE]);

impl Losses {
    #[cfg(feature = "sim")]
    pub(super) const fn times(self) -> [Option<Instant>; LOSSES_BORNE] {
        self.0
    }

    /// Counts one, and tells whether it is one too many. Then it counts anew.
    fn count(&mut self, now: Instant) -> bool {
        self.0.rotate_right(1);
        let oldest = self.0[0].replace(now);
        let too_many = oldest.is_some_and(|at| now.saturating_since(at) < LOSS_PERIOD);
        if too_many {
            *self = Self::default();
        }
        too_many
    }
}

/// Advertising, and on the way to the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TakingOver {
    pub(super) advert_at: Instant,
    pub(super) step: Step,
    pub(super) limit_at: Instant,
    /// An address went since Acquire was asked for: it is asked for again.
    pub(super) lost: bool,
    pub(super) cause: Cause,
    pub(super) evidence: Evidence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Preparing,
    Acquiring,
}

/// Advertising, with the addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Serving {
    pub(super) advert_at: Instant,
    pub(super) announce: AnnounceTimer,
    /// The addresses are being taken again.
    pub(super) reacquiring: Option<Reacquiring>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reacquiring {
    /// An active router without its addresses does not stay active for longer.
    pub(super) limit_at: Instant,
    /// As in [`TakingOver`].
    pub(super) lost: bool,
    /// Then they are offered to another router.
    pub(super) offers: bool,
}

impl Reacquiring {
    pub(super) const fn until(limit_at: Instant) -> Self {
        Self { limit_at, lost: false, offers: false }
    }
}

/// Becoming active.
impl Machine {
    pub(super) fn take_over(&mut self, now: Instant, cause: Cause, evidence: Evidence) {
        self.hold_until = None;
        self.active_peer = None;
        self.since = now;
        self.cause = cause;
        self.push(Output::Advertise(Advertisement::Claim));
        let (step, limit, output) = match self.config.prepare_limit {
            Some(limit) => (Step::Preparing, limit, Output::Prepare),
            None => (Step::Acquiring, self.config.acquire_limit, Output::Acquire),
        };
        self.push(output);
        self.stage = Stage::TakingOver(TakingOver {
            advert_at: now + self.advert_interval(),
            step,
            limit_at: now + limit,
            lost: false,
            cause,
            evidence,
        });
    }

    pub(super) fn prepared(&mut self, now: Instant) {
        let limit = self.config.acquire_limit;
        match &mut self.stage {
            Stage::TakingOver(takeover) if takeover.step == Step::Preparing => {
                takeover.step = Step::Acquiring;
                takeover.limit_at = now + limit;
                self.push(Output::Acquire);
            }
            Stage::TakingOver(_)
            | Stage::Init
            | Stage::Backup(_)
            | Stage::Serving(_)
            | Stage::Leaving(_) => {}
        }
    }

    pub(super) fn acquired(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::TakingOver(TakingOver { step: Step::Acquiring, lost, .. })
            | Stage::Serving(Serving { reacquiring: Some(Reacquiring { lost, .. }), .. })
                if *lost =>
            {
                *lost = false;
                self.push(Output::Acquire);
            }
            &mut Stage::TakingOver(TakingOver {
                step: Step::Acquiring,
                advert_at,
                cause,
                evidence,
                ..
            }) => {
                self.fault = None;
                let announce = AnnounceTimer::new(now);
                self.stage = Stage::Serving(Serving { advert_at, announce, reacquiring: None });
                self.report(State::Active, cause, evidence);
            }
            // The addresses are back after a loss, and announced with it.
            Stage::Serving(serving) => {
                let offers = serving.reacquiring.is_some_and(|pending| pending.offers);
                serving.announce = AnnounceTimer::new(now);
                serving.reacquiring = None;
                self.fault = None;
                if offers {
                    self.fault = Some(Fault::AddressLost);
                    self.leave(now, Goal::Contest);
                }
            }
            Stage::TakingOver(TakingOver { step: Step::Preparing, .. })
            | Stage::Init
            | Stage::Backup(_)
            | Stage::Leaving(_) => {}
        }
    }

    pub(super) fn takeover_failed(&mut self, now: Instant, at: Step, fault: Fault) {
        match self.stage {
            Stage::TakingOver(TakingOver { step, .. }) if step == at => self.give_up(now, fault),
            Stage::TakingOver(_)
            | Stage::Init
            | Stage::Backup(_)
            | Stage::Serving(_)
            | Stage::Leaving(_) => {}
        }
    }

    pub(super) fn takeover_timeout(&mut self, now: Instant, mut takeover: TakingOver) {
        if now >= takeover.limit_at {
            let fault = match takeover.step {
                Step::Preparing => Fault::PrepareTimeout,
                Step::Acquiring => Fault::AcquireTimeout,
            };
            return self.give_up(now, fault);
        }
        if now >= takeover.advert_at {
            takeover.advert_at = self.next_advert(now, takeover.advert_at);
            self.stage = Stage::TakingOver(takeover);
            self.push(Output::Advertise(Advertisement::Claim));
        }
    }
}

/// Being active.
impl Machine {
    pub(super) fn active_hears(&mut self, now: Instant, claim: Claim) {
        let policy = self.config.policy;
        let stays = self.config.standing.is_owner() && policy.owner == OwnerRule::Stays;
        if claim.resigning {
            self.note_resignation(now, claim.source);
            if !stays && policy.resigned_while_active == ResignedWhileActive::Advertise {
                self.answer(now);
            }
            return;
        }
        if self.is_overtaken(now, &claim) {
            return;
        }
        let yields = match claim.rank.cmp(&self.rank()) {
            Ordering::Greater => true,
            Ordering::Equal => match policy.tie.yields(self.source(), claim.source) {
                Some(yields) => yields,
                // The other has said the same from its address of our family, and that one decides.
                None => return,
            },
            Ordering::Less => false,
        };
        if yields && !stays { self.step_down(now, claim) } else { self.reassert(now, claim.source) }
    }

    /// What was sent before it may still be on its way. Once a sender: who repeats somebody's resignation for ever shall
    /// not keep us from believing the adverts that follow.
    fn note_resignation(&mut self, now: Instant, source: IpAddr) {
        let is_known = |(from, at): (IpAddr, Instant)| from == source && at >= self.since;
        if !self.resigned.is_some_and(is_known) {
            self.resigned = Some((source, now));
        }
    }

    /// Advertises out of turn. Whatever is heard, and from however many, this is done once an interval.
    fn answer(&mut self, now: Instant) {
        let interval = self.advert_interval();
        if self.answered_at.is_none_or(|at| now.saturating_since(at) >= interval) {
            self.answered_at = Some(now);
            self.advertise_now(now);
        }
    }

    fn step_down(&mut self, now: Instant, claim: Claim) {
        let strictly_better = claim.rank > self.rank();
        if strictly_better && self.config.policy.farewell == Farewell::Advert {
            self.push(Output::Advertise(Advertisement::Claim));
        }
        match self.stage {
            // Clients are to have an answer at every moment, from the one or the other.
            Stage::Serving(_) if strictly_better => return self.give_way(now, claim),
            // An equal router was active all the time, as we were: it has the addresses.
            Stage::Serving(_) | Stage::TakingOver(_) => {}
            Stage::Init | Stage::Backup(_) | Stage::Leaving(_) => return,
        }
        self.push(Output::Release);
        let evidence = Evidence { peer: Some(claim.source), ..Evidence::default() };
        self.enter_backup(now, Cause::BetterPeer, evidence);
        self.stage = Stage::Backup(self.follow(now, claim));
    }

    /// Another active router of worse rank is out there: clients may have learnt its address.
    ///
    /// Sources are not authenticated: however many there are, the answer is one announcement and at
    /// most one event an interval.
    fn reassert(&mut self, now: Instant, source: IpAddr) {
        let answers = match self.config.policy.worse_while_active {
            WorseWhileActive::AdvertiseAndAnnounce => true,
            WorseWhileActive::Announce => false,
        };
        // A router that is still taking over announces when it has the addresses, and the last advert of
        // the one that it takes over from is no news.
        let Stage::Serving(mut serving) = self.stage else {
            if answers {
                self.answer(now);
            }
            return;
        };
        let recent = |at| now.saturating_since(at) <= self.active_down();
        let last = self.rival.filter(|&(_, heard_at)| recent(heard_at));
        let interval = self.advert_interval();
        let due = last.is_none() || now.saturating_since(serving.announce.last_at) >= interval;
        let known = last.is_some_and(|(rival, _)| rival == source);
        if known || due {
            self.rival = Some((source, now));
        }
        if due && !known {
            self.push(Output::Event(Event::Rival { source }));
        }
        serving.announce.reason_at = now;
        serving.announce.next = 0;
        if due {
            serving.announce.last_at = now;
        }
        self.stage = Stage::Serving(serving);
        if answers {
            self.answer(now);
        }
        if due {
            self.push(Output::Announce);
        }
    }

    pub(super) fn serving_timeout(&mut self, now: Instant, mut serving: Serving) {
        if serving.reacquiring.is_some_and(|pending| now >= pending.limit_at) {
            return self.give_up(now, Fault::AcquireTimeout);
        }
        let advertises = now >= serving.advert_at;
        if advertises {
            serving.advert_at = self.next_advert(now, serving.advert_at);
        }
        let plan = &self.config.announce;
        let announces = serving.announce.due_at(plan, self.config.seed).is_some_and(|at| now >= at);
        if announces {
            serving.announce.announced(now, plan);
        }
        self.stage = Stage::Serving(serving);
        if advertises {
            self.push(Output::Advertise(Advertisement::Claim));
        }
        if announces {
            self.push(Output::Announce);
        }
    }

    /// Adverts keep their rhythm when one was a little late. What it was later than that shifts all that
    /// follow: no two adverts come closer together because one was late.
    fn next_advert(&self, now: Instant, due: Instant) -> Instant {
        let interval = self.advert_interval();
        let caught_up = CATCH_UP.min(interval / 10);
        (due + interval).max(now + (interval - caught_up))
    }

    pub(super) fn address_lost(&mut self, now: Instant) {
        self.reacquire(now, Event::AddressLost);
    }

    pub(super) fn address_expired(&mut self, now: Instant) {
        self.reacquire(now, Event::AddressExpired);
    }

    fn reacquire(&mut self, now: Instant, event: Event) {
        match &mut self.stage {
            // Of many addresses that go at once, the first counts; the others come back with it.
            Stage::TakingOver(TakingOver { step: Step::Acquiring, lost, .. })
            | Stage::Serving(Serving { reacquiring: Some(Reacquiring { lost, .. }), .. }) => {
                *lost = true;
            }
            Stage::Serving(Serving { reacquiring: reacquiring @ None, .. }) => {
                // An expiry does not count: nobody is against us, and there is nothing to give way to.
                let offers = event == Event::AddressLost && self.losses.count(now);
                let limit_at = now + self.config.acquire_limit;
                *reacquiring = Some(Reacquiring { offers, ..Reacquiring::until(limit_at) });
                self.push(Output::Event(event));
                self.push(Output::Acquire);
            }
            Stage::TakingOver(TakingOver { step: Step::Preparing, .. })
            | Stage::Init
            | Stage::Backup(_)
            | Stage::Leaving(_) => {}
        }
    }

    /// Cannot serve: says so, and leaves the addresses to others.
    pub(super) fn give_up(&mut self, now: Instant, fault: Fault) {
        self.fault = Some(fault);
        self.hold_until = Some(now + HOLD);
        self.push(Output::Advertise(Advertisement::Resign));
        self.push(Output::Release);
        let evidence = Evidence { fault: Some(fault), ..Evidence::default() };
        self.enter_backup(now, Cause::Fault, evidence);
    }
}
