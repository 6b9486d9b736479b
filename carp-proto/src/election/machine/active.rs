//! Taking the addresses, serving them, and losing them.

use core::cmp::Ordering;
use core::net::IpAddr;

use super::announce::AnnounceTimer;
use super::{HOLD, LOSS_PERIOD, LOSSES, Machine, Stage};
use crate::election::input::Fault;
use crate::election::output::{Advertisement, Cause, Event, Evidence, Output, State};
use crate::election::policy::{Farewell, WorseWhileActive};
use crate::election::rank::Claim;
use crate::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TakingOver {
    pub(super) advert_at: Instant,
    pub(super) step: Step,
    pub(super) limit_at: Instant,
    pub(super) cause: Cause,
    pub(super) evidence: Evidence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Preparing,
    Acquiring,
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
            | Stage::Backup { .. }
            | Stage::Serving { .. }
            | Stage::Leaving(_) => {}
        }
    }

    pub(super) fn acquired(&mut self, now: Instant) {
        match &mut self.stage {
            Stage::TakingOver(TakingOver {
                step: Step::Acquiring,
                advert_at,
                cause,
                evidence,
                ..
            }) => {
                let (advert_at, cause, evidence) = (*advert_at, *cause, *evidence);
                self.fault = None;
                self.stage = Stage::Serving { advert_at, announce: AnnounceTimer::new(now) };
                self.report(State::Active, cause, evidence);
            }
            // The addresses are back after a loss, and announced with it.
            Stage::Serving { announce, .. } => *announce = AnnounceTimer::new(now),
            Stage::TakingOver(TakingOver { step: Step::Preparing, .. })
            | Stage::Init
            | Stage::Backup { .. }
            | Stage::Leaving(_) => {}
        }
    }

    pub(super) fn takeover_failed(&mut self, now: Instant, at: Step, fault: Fault) {
        match self.stage {
            Stage::TakingOver(TakingOver { step, .. }) if step == at => self.give_up(now, fault),
            Stage::TakingOver(_)
            | Stage::Init
            | Stage::Backup { .. }
            | Stage::Serving { .. }
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
        if claim.resigning {
            return;
        }
        let yields = match claim.rank.cmp(&self.rank()) {
            Ordering::Greater => true,
            Ordering::Equal => self.config.policy.tie.yields(self.source(), claim.source),
            Ordering::Less => false,
        };
        if yields { self.step_down(now, claim) } else { self.reassert(now, claim.source) }
    }

    fn step_down(&mut self, now: Instant, claim: Claim) {
        let strictly_better = claim.rank > self.rank();
        if strictly_better && self.config.policy.farewell == Farewell::Advert {
            self.push(Output::Advertise(Advertisement::Claim));
        }
        self.push(Output::Release);
        let evidence = Evidence { peer: Some(claim.source), ..Evidence::default() };
        self.enter_backup(now, Cause::BetterPeer, evidence);
        self.follow(now, claim);
    }

    /// Another active router of worse rank is out there: clients may have learnt its address.
    fn reassert(&mut self, now: Instant, source: IpAddr) {
        let known = self.rival.is_some_and(|(rival, at)| {
            rival == source && now.saturating_since(at) <= self.active_down()
        });
        self.rival = Some((source, now));
        if !known {
            self.push(Output::Event(Event::Rival { source }));
        }
        let interval = self.advert_interval();
        let Stage::Serving { advert_at, announce } = &mut self.stage else { return };
        let due = !known || now.saturating_since(announce.last_at) >= interval;
        announce.reason_at = now;
        announce.next = 0;
        if !due {
            return;
        }
        announce.last_at = now;
        if self.config.policy.worse_while_active == WorseWhileActive::AdvertiseAndAnnounce {
            *advert_at = now + interval;
            self.push(Output::Advertise(Advertisement::Claim));
        }
        self.push(Output::Announce);
    }

    pub(super) fn serving_timeout(
        &mut self,
        now: Instant,
        mut advert_at: Instant,
        mut announce: AnnounceTimer,
    ) {
        let advertise = now >= advert_at;
        if advertise {
            advert_at = self.next_advert(now, advert_at);
        }
        let announces = announce.due_at(&self.config.announce).is_some_and(|at| now >= at);
        if announces {
            announce.announced(now, &self.config.announce);
        }
        self.stage = Stage::Serving { advert_at, announce };
        if advertise {
            self.push(Output::Advertise(Advertisement::Claim));
        }
        if announces {
            self.push(Output::Announce);
        }
    }

    /// Adverts keep their rhythm when one was late, and do not come in pairs when it was very late.
    fn next_advert(&self, now: Instant, due: Instant) -> Instant {
        let interval = self.advert_interval();
        let next = due + interval;
        if next > now { next } else { now + interval }
    }

    pub(super) fn address_lost(&mut self, now: Instant) {
        match self.stage {
            Stage::Serving { .. } | Stage::TakingOver(TakingOver { step: Step::Acquiring, .. }) => {
                self.losses.rotate_right(1);
                let oldest = self.losses[0].replace(now);
                if oldest.is_some_and(|at| now.saturating_since(at) < LOSS_PERIOD) {
                    self.losses = [None; LOSSES];
                    return self.give_up(now, Fault::AddressLost);
                }
                self.push(Output::Event(Event::AddressLost));
                self.push(Output::Acquire);
            }
            Stage::TakingOver(TakingOver { step: Step::Preparing, .. })
            | Stage::Init
            | Stage::Backup { .. }
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
