//! Waiting for the active router to fall silent.

use core::net::IpAddr;
use core::time::Duration;

use super::{Machine, Stage};
use crate::election::config::Handicap;
use crate::election::input::{Bar, Fault};
use crate::election::output::{Cause, Evidence, State};
use crate::election::policy::{DemotionEffect, Preemption, Resignation};
use crate::election::rank::{Claim, Rank};
use crate::id::Family;
use crate::time::Instant;

/// A datagram is overtaken by one that was sent after it by no more than this, or half an interval.
pub(super) const OVERTAKEN: Duration = Duration::from_millis(100);

/// A backup's deadline, and what it means when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// `None` when it has come, or did not have to, and the router waits for its group.
    pub(super) down_at: Option<Instant>,
    pub(super) grounds: Grounds,
    /// Since when every advert that was heard came from a router that this one may replace.
    pub(super) worse_since: Option<Instant>,
    /// Whether another host has an address, so that the deadline is to be put off when it comes.
    pub(super) in_use: bool,
    /// Whether its deadline has come, but it may not take over.
    pub(super) barred: bool,
}

/// Why a backup takes over at its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grounds {
    /// Nobody was heard.
    Silence,
    /// This router has resigned.
    Resigned(IpAddr),
    /// Nobody was heard but this router, which is worse.
    Worse(IpAddr),
    /// It has just come, and the addresses are its own.
    Owner(Cause),
}

impl Waiting {
    /// Has its grounds, and may not act on them. It looks again at the deadline.
    pub(super) const fn barred(grounds: Grounds, down_at: Instant) -> Self {
        Self { barred: true, ..Self::on(grounds, Some(down_at)) }
    }

    /// Waits for silence.
    pub(super) const fn until(down_at: Instant) -> Self {
        Self::on(Grounds::Silence, Some(down_at))
    }

    /// Has its grounds, and waits until then, or for nothing but its group.
    pub(super) const fn on(grounds: Grounds, down_at: Option<Instant>) -> Self {
        Self { down_at, grounds, worse_since: None, in_use: false, barred: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ActivePeer {
    pub(super) source: IpAddr,
    pub(super) rank: Rank,
    /// As its adverts say.
    pub(super) interval: Duration,
    pub(super) heard_at: Instant,
}

impl ActivePeer {
    pub(super) const fn new(now: Instant, claim: &Claim) -> Self {
        let &Claim { source, rank, interval, .. } = claim;
        Self { source, rank, interval, heard_at: now }
    }
}

impl Machine {
    pub(super) fn backup_hears(&mut self, now: Instant, waiting: Waiting, claim: Claim) {
        if claim.resigning {
            return self.backup_hears_resignation(now, waiting, claim.source);
        }
        if self.is_overtaken(now, &claim) {
            return;
        }
        if self.knows_better_than(now, &claim) {
            return;
        }
        let held = self.held(now);
        let grounds = Grounds::Worse(claim.source);
        if self.outranks(now, &claim) {
            return self.be_willing(now, Waiting { grounds, ..waiting }, Some(&claim));
        }
        let may_preempt = self.config.preempts() && self.rank() > claim.rank;
        let worse_since = may_preempt.then(|| waiting.worse_since.unwrap_or(now));
        let preempts = !held && self.has_waited(now, worse_since);
        match (preempts, self.config.policy.preemption) {
            (true, Preemption::AtOnce) => {
                self.be_willing(now, Waiting { grounds, worse_since, ..waiting }, Some(&claim));
            }
            (true, Preemption::BySilence) => {
                let grounds = match waiting.grounds {
                    Grounds::Silence | Grounds::Worse(_) => grounds,
                    first @ (Grounds::Resigned(_) | Grounds::Owner(_)) => first,
                };
                let waiting = Waiting { grounds, worse_since, barred: false, ..waiting };
                match waiting.down_at {
                    Some(_) => self.stage = Stage::Backup(waiting),
                    None => self.be_willing(now, waiting, Some(&claim)),
                }
            }
            (false, Preemption::AtOnce | Preemption::BySilence) => {
                let waiting = self.follow(now, claim);
                self.stage = Stage::Backup(Waiting { worse_since, ..waiting });
            }
        }
    }

    fn backup_hears_resignation(&mut self, now: Instant, waiting: Waiting, source: IpAddr) {
        // Only the active router can resign; of two that fought, the loser's goodbye changes nothing.
        let was_active = self.active_peer.is_none_or(|peer| peer.source == source)
            || waiting.grounds == Grounds::Worse(source);
        if !was_active {
            return;
        }
        self.resigned = Some((source, now));
        let grounds = Grounds::Resigned(source);
        let skew_time = match self.config.policy.resignation {
            Resignation::AtOnce => None,
            Resignation::AfterSkew => Some(self.config.skew_time(self.handicap, self.reckoned())),
        };
        // It may have resigned to somebody else, whose advert is on its way.
        let successor_heard = self.is_held_for_its_group(now).then(|| self.overtaken_window());
        match skew_time.max(successor_heard) {
            None => self.be_willing(now, Waiting { grounds, ..waiting }, None),
            // It has said so before: repetitions do not put the takeover off.
            Some(_) if waiting.grounds == grounds => {}
            Some(delay) => {
                let down_at = waiting.down_at.map(|_| now + delay);
                let waiting = Waiting { down_at, grounds, barred: false, ..waiting };
                self.stage = Stage::Backup(waiting);
            }
        }
    }

    /// Whether an advert is one that the sender's resignation has overtaken on its way. To believe it would
    /// give the addresses to a router that has just left.
    ///
    /// Who speaks both families resigns in both, and who sends an advert of the other one cannot be told: it may be the
    /// same router. Another one says it in this family as well.
    pub(super) fn is_overtaken(&self, now: Instant, claim: &Claim) -> bool {
        let window = self.overtaken_window();
        self.resigned.is_some_and(|(source, at)| {
            let may_be_its =
                source == claim.source || Family::of(source) != Family::of(claim.source);
            may_be_its && now.saturating_since(at) < window
        })
    }

    /// For how long a datagram that was sent before another one may arrive after it.
    fn overtaken_window(&self) -> Duration {
        OVERTAKEN.min(self.advert_interval() / 2)
    }

    /// Whether the sender is the loser of two active routers, and says so for the last time: the winner,
    /// which was heard a moment ago, sees to it. To preempt now would make this router the next loser.
    /// Who preempts by silence has no such haste.
    fn knows_better_than(&self, now: Instant, claim: &Claim) -> bool {
        let at_once = self.config.policy.preemption == Preemption::AtOnce;
        self.active_peer.filter(|_| at_once).is_some_and(|peer| {
            let lives = now.saturating_since(peer.heard_at) <= peer.interval;
            let better = peer.rank >= self.rank() && self.rank() > claim.rank;
            lives && better && peer.source != claim.source
        })
    }

    /// Whether a backup takes over from this active router even where it does not preempt. One that is
    /// as good as dead is taken over from even by a router whose data are behind.
    fn outranks(&self, now: Instant, claim: &Claim) -> bool {
        if self.held_for_a_time(now) {
            return false;
        }
        let policy = self.config.policy;
        // A worse router would have to give the addresses back at the slow one's next advert.
        let too_slow = policy.takes_over_slow
            && self.active_down() < claim.interval
            && self.rank() > claim.rank;
        let demoted = policy.demotion == DemotionEffect::Byte
            && !self.held_by_data()
            && claim.demotion > self.demotion();
        too_slow || demoted
    }

    /// Takes the sender for the active router: how long to wait for its next advert.
    pub(super) fn follow(&mut self, now: Instant, claim: Claim) -> Waiting {
        if matches!(self.fault, Some(Fault::AddressInUse | Fault::Barred)) {
            // There is no takeover any more that it could stand in the way of.
            self.fault = None;
        }
        self.active_peer = Some(ActivePeer::new(now, &claim));
        Waiting::until(now + self.patience(now))
    }

    /// How long to wait for the next advert.
    ///
    /// A peer that a held or a worse router may not replace is not dead between two adverts, however
    /// much shorter the own active-down interval is. One whose interval was learned needs no more.
    pub(super) fn patience(&self, now: Instant) -> Duration {
        let policy = self.config.policy;
        let own = self.active_down() + self.reluctance(now);
        match self.active_peer.filter(|_| !policy.learns_interval) {
            Some(peer) if self.held(now) || peer.interval >= own => {
                own.max(peer.interval * policy.dead_factor)
            }
            Some(_) | None => own,
        }
    }

    pub(super) fn backup_timeout(&mut self, now: Instant, waiting: Waiting) {
        let Some(down_at) = waiting.down_at.filter(|at| now >= *at) else { return };
        let late_by = now.saturating_since(down_at);
        if late_by > self.advert_interval() {
            // We slept: the silence may be ours. One interval, awake, tells.
            let theirs = match self.learned() {
                Some(learned) => learned.reckoned,
                None => self.active_peer.map_or(Duration::ZERO, |peer| peer.interval),
            };
            let down_at = Some(now + self.advert_interval().max(theirs));
            self.stage = Stage::Backup(Waiting { down_at, ..waiting });
            return;
        }
        if waiting.in_use {
            return self.put_off(now);
        }
        self.be_willing(now, waiting, None);
    }

    /// Its data are behind from now on, or are not. What it is stays as it is; but a backup that was about
    /// to preempt, or waits for its group to, is an ordinary one again.
    pub(super) fn hold_back(&mut self, now: Instant, held: bool) {
        let before = self.held_by_data();
        self.handicap(now, Handicap { held, ..self.handicap });
        self.give_preemption_up(now, before);
    }

    /// It waits for a handover from now on; or it does not, because that is ready: then writers stand still
    /// until somebody takes over, and the active router's next advert says nothing new.
    pub(super) fn await_handover(&mut self, now: Instant, awaits: bool) {
        let (before, awaited) = (self.held_by_data(), self.awaits_handover);
        self.awaits_handover = awaits;
        self.give_preemption_up(now, before);
        if awaited && !awaits {
            self.preempt_the_known(now);
        }
    }

    /// Preempts the active router that it follows, if it may, without waiting for that one's next advert; also
    /// where preemption comes by silence.
    fn preempt_the_known(&mut self, now: Instant) {
        let (Stage::Backup(waiting), Some(peer)) = (self.stage, self.active_peer) else { return };
        let worse = self.config.preempts() && self.rank() > peer.rank && !self.held(now);
        if worse && self.has_waited(now, waiting.worse_since) {
            let grounds = Grounds::Worse(peer.source);
            self.be_willing(now, Waiting { grounds, ..waiting }, None);
        }
    }

    /// Whether it has heard nobody but worse routers for as long as it waits before it preempts one.
    fn has_waited(&self, now: Instant, worse_since: Option<Instant>) -> bool {
        worse_since.is_some_and(|since| now.saturating_since(since) >= self.config.preempt_delay)
    }

    fn give_preemption_up(&mut self, now: Instant, held_before: bool) {
        if held_before || !self.held_by_data() {
            return;
        }
        if let Stage::Backup(Waiting { grounds: Grounds::Worse(_) | Grounds::Owner(_), .. }) =
            self.stage
        {
            self.stage = Stage::Backup(Waiting::until(now + self.patience(now)));
        }
    }

    /// Another host has an address. What that means shows when the deadline comes; until then an advert
    /// may make it meaningless.
    pub(super) fn address_in_use(&mut self, now: Instant) {
        if self.config.standing.is_owner() {
            return;
        }
        match self.stage {
            Stage::Backup(Waiting { down_at: None, .. }) => self.put_off(now),
            Stage::Backup(waiting) => {
                self.stage = Stage::Backup(Waiting { in_use: true, ..waiting });
            }
            Stage::Init | Stage::TakingOver(_) | Stage::Serving(_) | Stage::Leaving(_) => {}
        }
    }

    /// Waits once more for as long as for a silent router. That is told the first time.
    fn put_off(&mut self, now: Instant) {
        self.put_off_for(Fault::AddressInUse, Waiting::until(now + self.patience(now)));
    }

    fn put_off_for(&mut self, fault: Fault, waiting: Waiting) {
        let fault = Some(fault);
        let known = core::mem::replace(&mut self.fault, fault) == fault;
        self.stage = Stage::Backup(waiting);
        if !known {
            let evidence = Evidence { fault, ..Evidence::default() };
            self.report(State::Backup, Cause::Fault, evidence);
        }
    }

    /// Something outside of the election forbids a takeover from now on, or allows it.
    pub(super) fn bar(&mut self, now: Instant, bar: Bar) {
        self.bar = bar;
        let Stage::Backup(waiting) = self.stage else { return };
        match (waiting.barred, self.is_barred(waiting.grounds)) {
            (true, false) => {
                if self.fault == Some(Fault::Barred) {
                    self.fault = None;
                }
                let waiting = Waiting { barred: false, ..waiting };
                if waiting.in_use { self.put_off(now) } else { self.be_willing(now, waiting, None) }
            }
            // It waits for its group, and will have to wait for this as well.
            (false, true) if waiting.down_at.is_none() => self.be_willing(now, waiting, None),
            (false | true, _) => {}
        }
    }

    /// Whether a takeover on these grounds is forbidden. Where adverts arrive, silence is none of them.
    fn is_barred(&self, grounds: Grounds) -> bool {
        match (self.bar, grounds) {
            (Bar::Takeover, _) | (Bar::Silence, Grounds::Silence) => true,
            (Bar::Nothing, _)
            | (Bar::Silence, Grounds::Resigned(_) | Grounds::Worse(_) | Grounds::Owner(_)) => false,
        }
    }

    /// Takes over if it may, or else waits for its group. What `claim` of a worse router says is kept
    /// meanwhile, so that the event of the takeover tells how long that one was silent.
    fn be_willing(&mut self, now: Instant, waiting: Waiting, claim: Option<&Claim>) {
        if let Some(until) = self.listens_until.filter(|until| now < *until) {
            // What it has just heard may have waited in a socket, and the answer to it may be behind it. Its
            // group is not to count on it meanwhile.
            self.stage = Stage::Backup(Waiting::on(waiting.grounds, Some(until)));
            return;
        }
        if self.is_barred(waiting.grounds) {
            if let Some(claim) = claim {
                self.active_peer = Some(ActivePeer::new(now, claim));
            }
            // It is asked again in any case, should nobody say that it is allowed.
            let down_at = Some(now + self.patience(now));
            let waiting = Waiting { down_at, barred: true, in_use: false, ..waiting };
            return self.put_off_for(Fault::Barred, waiting);
        }
        if self.permitted {
            return self.take_over_on(now, waiting.grounds);
        }
        if let Some(claim) = claim {
            self.active_peer = Some(ActivePeer::new(now, claim));
        }
        self.stage = Stage::Backup(Waiting { down_at: None, ..waiting });
    }

    pub(super) fn take_over_on(&mut self, now: Instant, grounds: Grounds) {
        let (cause, evidence) = match grounds {
            Grounds::Silence => (Cause::ActiveDown, self.silence(now)),
            Grounds::Resigned(source) => (Cause::Resigned, self.peer_evidence(now, source)),
            Grounds::Worse(source) => (Cause::WorsePeer, self.peer_evidence(now, source)),
            Grounds::Owner(cause) => (cause, Evidence::default()),
        };
        self.take_over(now, cause, evidence);
    }

    fn silence(&self, now: Instant) -> Evidence {
        let peer = self.active_peer;
        Evidence {
            peer: peer.map(|peer| peer.source),
            silent_for: Some(now.saturating_since(peer.map_or(self.since, |peer| peer.heard_at))),
            ..Evidence::default()
        }
    }

    fn peer_evidence(&self, now: Instant, source: IpAddr) -> Evidence {
        let known = self.active_peer.filter(|peer| peer.source == source);
        Evidence {
            peer: Some(source),
            silent_for: known.map(|peer| now.saturating_since(peer.heard_at)),
            ..Evidence::default()
        }
    }
}
