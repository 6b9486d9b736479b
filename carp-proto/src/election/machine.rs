//! The election itself.

use alloc::collections::VecDeque;
use core::cmp::Ordering;
use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;

use super::config::{AnnouncePlan, ElectionConfig};
use super::input::{Fault, Input, LinkState};
use super::output::{Advertisement, Cause, Deadline, Event, Evidence, Output, Phase, State, Wait};
use super::policy::{DemotionEffect, Farewell, Preemption, WorseWhileActive};
use super::rank::{Claim, Rank};
use crate::id::Demotion;
use crate::interval::CarpInterval;
use crate::time::Instant;

/// After this the resignation is said once more, in case the first was lost.
const RESIGN_AGAIN: Duration = Duration::from_millis(10);

/// A successor that advertises has its addresses soon after: no longer than this.
const SUCCESSOR_SETTLES: Duration = Duration::from_millis(200);

/// After yielding, and after a failed takeover, a router does not preempt for this long.
const HOLD: Duration = Duration::from_secs(60);

/// Addresses that are removed more often than [`LOSSES`] times in this period are given up.
const LOSS_PERIOD: Duration = Duration::from_secs(60);
const LOSSES: usize = 3;

/// The state machine of one virtual router: claims and inputs in, outputs and a deadline out.
///
/// - **Inputs**: [`handle`](Machine::handle), [`handle_claim`](Machine::handle_claim). Time must not
///   go back from call to call.
/// - **Outputs**: [`poll_output`](Machine::poll_output) until it is empty, and then
///   [`poll_timeout`](Machine::poll_timeout), which only an input changes.
/// - **Getters**: everything else; they change nothing.
///
/// [`VirtualRouter`](crate::VirtualRouter) drives one together with the packets.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    config: ElectionConfig,
    running: bool,
    link: LinkState,
    demotion: Demotion,
    stage: Stage,
    /// The state that the last event told of.
    reported: State,
    since: Instant,
    cause: Cause,
    transitions: u64,
    /// The active router, as we know it while we are not it.
    active_peer: Option<ActivePeer>,
    /// Until when this router does not preempt.
    hold_until: Option<Instant>,
    /// When another active router was last heard while we were active.
    rival: Option<(IpAddr, Instant)>,
    losses: [Option<Instant>; LOSSES],
    fault: Option<Fault>,
    outputs: VecDeque<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ActivePeer {
    source: IpAddr,
    interval: Duration,
    heard_at: Instant,
}

/// Where a router is. Deadlines live in the stage that needs them and go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Init,
    Backup { down_at: Instant },
    TakingOver(TakingOver),
    Serving { advert_at: Instant, announce: AnnounceTimer },
    Leaving(Leaving),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct TakingOver {
    advert_at: Instant,
    step: Step,
    limit_at: Instant,
    cause: Cause,
    evidence: Evidence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Preparing,
    Acquiring,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaving {
    goal: Goal,
    resign_again_at: Option<Instant>,
    release_at: Instant,
    successor: Option<IpAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    Stop,
    Yield,
}

/// When the addresses are announced again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct AnnounceTimer {
    /// What the repetitions count from.
    reason_at: Instant,
    /// Which repetition is next.
    next: usize,
    last_at: Instant,
}

impl AnnounceTimer {
    const fn new(now: Instant) -> Self {
        Self { reason_at: now, next: 0, last_at: now }
    }

    fn due_at(&self, plan: &AnnouncePlan) -> Option<Instant> {
        let repeat = plan.repeat.get(self.next).copied().flatten();
        let repeat_at = repeat.map(|after| self.reason_at + after);
        let refresh_at = plan.refresh.map(|every| self.last_at + every);
        [repeat_at, refresh_at].into_iter().flatten().min()
    }

    /// Notes an announcement at `now`, which stands for every repetition that is due.
    fn announced(&mut self, now: Instant, plan: &AnnouncePlan) {
        self.last_at = now;
        while let Some(&Some(after)) = plan.repeat.get(self.next) {
            if self.reason_at + after > now {
                return;
            }
            self.next = self.next.saturating_add(1);
        }
    }
}

/// Inputs.
impl Machine {
    /// A machine in [`State::Init`] that takes no part before [`Input::Start`] and [`Input::Link`].
    #[must_use]
    pub(crate) fn new(config: ElectionConfig) -> Self {
        Self {
            config,
            running: false,
            link: LinkState::Down,
            demotion: Demotion::NONE,
            stage: Stage::Init,
            reported: State::Init,
            since: Instant::ZERO,
            cause: Cause::Start,
            transitions: 0,
            active_peer: None,
            hold_until: None,
            rival: None,
            losses: [None; LOSSES],
            fault: None,
            outputs: VecDeque::with_capacity(8),
        }
    }

    /// Takes in what happened at `now`.
    pub(crate) fn handle(&mut self, now: Instant, input: Input) {
        self.notice_pause(now);
        match input {
            Input::Start => self.start(now),
            Input::Stop => self.stop(now),
            Input::Timeout => self.timeout(now),
            Input::Yield => self.yield_now(now),
            Input::Demotion(demotion) => self.demote(now, demotion),
            Input::Link(LinkState::Up { source }) => self.link_up(now, source),
            Input::Link(link @ (LinkState::Down | LinkState::NoAddress)) => {
                self.link_down(now, link);
            }
            Input::Prepared => self.prepared(now),
            Input::Refused => self.takeover_failed(now, Step::Preparing, Fault::Refused),
            Input::Acquired => self.acquired(now),
            Input::AddressLost => self.address_lost(now),
            Input::AnnouncementHeard => self.announcement_heard(now),
            Input::Fault(fault) => self.effect_failed(now, fault),
        }
    }

    /// Takes in a valid advert that arrived at `now`.
    pub(crate) fn handle_claim(&mut self, now: Instant, claim: Claim) {
        self.notice_pause(now);
        match self.stage {
            Stage::Init => {}
            Stage::Backup { .. } => self.backup_hears(now, claim),
            Stage::TakingOver(_) | Stage::Serving { .. } => self.active_hears(now, claim),
            Stage::Leaving(leaving) => self.leaving_hears(now, leaving, claim),
        }
    }

    fn start(&mut self, now: Instant) {
        if self.running {
            return;
        }
        self.running = true;
        if let LinkState::Up { .. } = self.link {
            self.enter_backup(now, Cause::Start, Evidence::default());
        }
    }

    fn stop(&mut self, now: Instant) {
        match self.stage {
            Stage::Init => self.running = false,
            Stage::Backup { .. } => {
                self.running = false;
                self.enter_init(now, Cause::Stop);
            }
            Stage::TakingOver(_) => self.withdraw(now, Goal::Stop),
            Stage::Serving { .. } => self.leave(now, Goal::Stop),
            Stage::Leaving(ref mut leaving) => leaving.goal = Goal::Stop,
        }
    }

    fn yield_now(&mut self, now: Instant) {
        match self.stage {
            Stage::TakingOver(_) => self.withdraw(now, Goal::Yield),
            Stage::Serving { .. } => self.leave(now, Goal::Yield),
            Stage::Init | Stage::Backup { .. } | Stage::Leaving(_) => {}
        }
    }

    fn demote(&mut self, now: Instant, demotion: Demotion) {
        let before = self.config.rank(self.demotion);
        self.demotion = demotion;
        if before == self.config.rank(demotion) {
            return;
        }
        // The others learn it at once, as the BSDs do it; a backup's rank is told to nobody.
        let next = now + self.advert_interval();
        match &mut self.stage {
            Stage::TakingOver(TakingOver { advert_at, .. }) | Stage::Serving { advert_at, .. } => {
                *advert_at = next;
                self.push(Output::Advertise(Advertisement::Claim));
            }
            Stage::Init | Stage::Backup { .. } | Stage::Leaving(_) => {}
        }
    }

    fn link_up(&mut self, now: Instant, source: IpAddr) {
        self.link = LinkState::Up { source };
        if self.running && self.stage == Stage::Init {
            let cause = if self.transitions == 0 { Cause::Start } else { Cause::Link };
            self.enter_backup(now, cause, Evidence::default());
        }
    }

    fn link_down(&mut self, now: Instant, link: LinkState) {
        self.link = link;
        match self.stage {
            Stage::Init => return,
            Stage::Backup { .. } => {}
            Stage::TakingOver(_) | Stage::Serving { .. } => self.push(Output::Release),
            Stage::Leaving(leaving) => {
                self.push(Output::Release);
                if leaving.goal == Goal::Stop {
                    self.running = false;
                    return self.enter_init(now, Cause::Stop);
                }
            }
        }
        self.enter_init(now, Cause::Link);
    }

    fn prepared(&mut self, now: Instant) {
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

    fn acquired(&mut self, now: Instant) {
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

    fn address_lost(&mut self, now: Instant) {
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

    fn announcement_heard(&mut self, now: Instant) {
        match self.stage {
            Stage::Leaving(leaving) => self.handed_over(now, leaving),
            // While we serve, an announcement alone decides nothing: adverts do.
            Stage::Init | Stage::Backup { .. } | Stage::TakingOver(_) | Stage::Serving { .. } => {}
        }
    }

    fn effect_failed(&mut self, now: Instant, fault: Fault) {
        match fault {
            Fault::Acquire { .. } | Fault::AcquireTimeout => match self.stage {
                Stage::Serving { .. } => self.give_up(now, fault),
                Stage::TakingOver(_) => self.takeover_failed(now, Step::Acquiring, fault),
                Stage::Init | Stage::Backup { .. } | Stage::Leaving(_) => {}
            },
            Fault::Refused | Fault::PrepareTimeout => {
                self.takeover_failed(now, Step::Preparing, fault);
            }
            Fault::AddressLost => self.address_lost(now),
            Fault::Release { .. } => self.fault = Some(fault),
        }
    }

    fn takeover_failed(&mut self, now: Instant, at: Step, fault: Fault) {
        match self.stage {
            Stage::TakingOver(TakingOver { step, .. }) if step == at => self.give_up(now, fault),
            Stage::TakingOver(_)
            | Stage::Init
            | Stage::Backup { .. }
            | Stage::Serving { .. }
            | Stage::Leaving(_) => {}
        }
    }
}

/// Adverts of others.
impl Machine {
    fn backup_hears(&mut self, now: Instant, claim: Claim) {
        if claim.resigning {
            // Only the active router can resign; of two that fought, the loser's goodbye changes nothing.
            if self.active_peer.is_none_or(|peer| peer.source == claim.source) {
                self.take_over(now, Cause::Resigned, self.peer_evidence(now, claim.source));
            }
            return;
        }
        let held = self.held(now);
        if !held && self.outranks(&claim) {
            return self.take_over(now, Cause::WorsePeer, self.peer_evidence(now, claim.source));
        }
        let preempts = !held && self.config.preempt && self.rank() > claim.rank;
        match (preempts, self.config.policy.preemption) {
            (true, Preemption::AtOnce) => {
                self.take_over(now, Cause::WorsePeer, self.peer_evidence(now, claim.source));
            }
            (true, Preemption::BySilence) => {}
            (false, Preemption::AtOnce | Preemption::BySilence) => self.follow(now, claim),
        }
    }

    /// Whether a backup takes over from this active router even where it does not preempt.
    fn outranks(&self, claim: &Claim) -> bool {
        let policy = self.config.policy;
        let too_slow = policy.takes_over_slow && self.active_down() < claim.interval;
        let demoted = policy.demotion == DemotionEffect::Byte && claim.demotion > self.demotion;
        too_slow || demoted
    }

    fn follow(&mut self, now: Instant, claim: Claim) {
        self.active_peer =
            Some(ActivePeer { source: claim.source, interval: claim.interval, heard_at: now });
        let mut wait = self.active_down();
        if self.held(now) {
            // Its silence between two adverts is not its death, however impatient we are.
            wait = wait.max(claim.interval * self.config.policy.dead_factor);
        }
        self.stage = Stage::Backup { down_at: now + wait };
    }

    fn active_hears(&mut self, now: Instant, claim: Claim) {
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

    fn leaving_hears(&mut self, now: Instant, mut leaving: Leaving, claim: Claim) {
        if claim.resigning {
            return;
        }
        self.active_peer =
            Some(ActivePeer { source: claim.source, interval: claim.interval, heard_at: now });
        if leaving.successor.is_some() {
            return self.handed_over(now, leaving);
        }
        leaving.successor = Some(claim.source);
        leaving.release_at = leaving.release_at.min(now + SUCCESSOR_SETTLES);
        self.stage = Stage::Leaving(leaving);
    }
}

/// Time.
impl Machine {
    fn timeout(&mut self, now: Instant) {
        match self.stage {
            Stage::Init => {}
            Stage::Backup { down_at } => self.backup_timeout(now, down_at),
            Stage::TakingOver(takeover) => self.takeover_timeout(now, takeover),
            Stage::Serving { advert_at, announce } => {
                self.serving_timeout(now, advert_at, announce);
            }
            Stage::Leaving(leaving) => self.leaving_timeout(now, leaving),
        }
    }

    fn backup_timeout(&mut self, now: Instant, down_at: Instant) {
        if now < down_at {
            return;
        }
        let late_by = now.saturating_since(down_at);
        if late_by > self.advert_interval() {
            // We slept: the silence may be ours. One interval, awake, tells.
            let theirs = self.active_peer.map_or(Duration::ZERO, |peer| peer.interval);
            self.stage = Stage::Backup { down_at: now + self.advert_interval().max(theirs) };
            return;
        }
        let peer = self.active_peer;
        let evidence = Evidence {
            peer: peer.map(|peer| peer.source),
            silent_for: Some(now.saturating_since(peer.map_or(self.since, |peer| peer.heard_at))),
            ..Evidence::default()
        };
        self.take_over(now, Cause::ActiveDown, evidence);
    }

    fn takeover_timeout(&mut self, now: Instant, mut takeover: TakingOver) {
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

    fn serving_timeout(
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

    fn leaving_timeout(&mut self, now: Instant, mut leaving: Leaving) {
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

    /// Adverts keep their rhythm when one was late, and do not come in pairs when it was very late.
    fn next_advert(&self, now: Instant, due: Instant) -> Instant {
        let interval = self.advert_interval();
        let next = due + interval;
        if next > now { next } else { now + interval }
    }

    /// An active router that did not run for longer than it takes to be declared dead must not go on
    /// as if nothing had happened: it gives the addresses up and listens.
    fn notice_pause(&mut self, now: Instant) {
        let (Stage::TakingOver(TakingOver { advert_at, .. }) | Stage::Serving { advert_at, .. }) =
            self.stage
        else {
            return;
        };
        let late_by = now.saturating_since(advert_at);
        if late_by <= self.active_down() {
            return;
        }
        self.active_peer = None;
        self.push(Output::Release);
        let evidence = Evidence { late_by: Some(late_by), ..Evidence::default() };
        self.enter_backup(now, Cause::Paused, evidence);
    }
}

/// Transitions.
impl Machine {
    fn take_over(&mut self, now: Instant, cause: Cause, evidence: Evidence) {
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

    /// Resigns and serves on until a successor does.
    fn leave(&mut self, now: Instant, goal: Goal) {
        self.push(Output::Advertise(Advertisement::Resign));
        self.stage = Stage::Leaving(Leaving {
            goal,
            resign_again_at: Some(now + RESIGN_AGAIN),
            release_at: now + self.config.handover,
            successor: None,
        });
    }

    fn handed_over(&mut self, now: Instant, leaving: Leaving) {
        self.depart(now, leaving.goal, leaving.successor);
    }

    /// Resigns without a handover: the addresses are not served yet.
    fn withdraw(&mut self, now: Instant, goal: Goal) {
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
        self.stage = Stage::Serving { advert_at, announce: AnnounceTimer::new(now) };
        self.push(Output::Advertise(Advertisement::Claim));
        // An address may have been lost meanwhile; taking it includes announcing it.
        self.push(Output::Acquire);
        self.push(Output::Event(Event::YieldUnanswered));
    }

    /// Cannot serve: says so, and leaves the addresses to others.
    fn give_up(&mut self, now: Instant, fault: Fault) {
        self.fault = Some(fault);
        self.hold_until = Some(now + HOLD);
        self.push(Output::Advertise(Advertisement::Resign));
        self.push(Output::Release);
        let evidence = Evidence { fault: Some(fault), ..Evidence::default() };
        self.enter_backup(now, Cause::Fault, evidence);
    }

    fn enter_backup(&mut self, now: Instant, cause: Cause, evidence: Evidence) {
        self.since = now;
        self.cause = cause;
        self.stage = Stage::Backup { down_at: now + self.active_down() };
        self.report(State::Backup, cause, evidence);
    }

    fn enter_init(&mut self, now: Instant, cause: Cause) {
        self.since = now;
        self.cause = cause;
        self.active_peer = None;
        self.hold_until = None;
        self.stage = Stage::Init;
        self.report(State::Init, cause, Evidence::default());
    }

    fn report(&mut self, to: State, cause: Cause, evidence: Evidence) {
        let from = core::mem::replace(&mut self.reported, to);
        if from != to {
            self.transitions = self.transitions.saturating_add(1);
        }
        self.push(Output::Event(Event::State { from, to, cause, evidence }));
    }

    fn push(&mut self, output: Output) {
        self.outputs.push_back(output);
    }
}

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
            Stage::Backup { down_at } => deadline(down_at, Wait::ActiveDown),
            Stage::TakingOver(TakingOver { advert_at, limit_at, .. }) => {
                earliest([deadline(advert_at, Wait::Advert), deadline(limit_at, Wait::Takeover)])
            }
            Stage::Serving { advert_at, announce } => earliest([
                deadline(advert_at, Wait::Advert),
                announce
                    .due_at(&self.config.announce)
                    .map(|at| Deadline { at, why: Wait::Announce }),
            ]),
            Stage::Leaving(leaving) => earliest([
                leaving.resign_again_at.map(|at| Deadline { at, why: Wait::Resignation }),
                deadline(leaving.release_at, Wait::Handover),
            ]),
        }
    }

    /// The state.
    #[must_use]
    pub(crate) const fn state(&self) -> State {
        match self.stage {
            Stage::Init => State::Init,
            Stage::Backup { .. } => State::Backup,
            Stage::TakingOver(_) | Stage::Serving { .. } | Stage::Leaving(_) => State::Active,
        }
    }

    /// What the router is at; `None` unless it is active.
    #[must_use]
    pub(crate) const fn phase(&self) -> Option<Phase> {
        match self.stage {
            Stage::Init | Stage::Backup { .. } => None,
            Stage::TakingOver(_) => Some(Phase::TakingOver),
            Stage::Serving { .. } => Some(Phase::Serving),
            Stage::Leaving(_) => Some(Phase::Leaving),
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
        self.demotion
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

    /// Another active router of worse rank, if one was heard within the last active-down interval.
    #[must_use]
    pub(crate) fn rival(&self, now: Instant) -> Option<IpAddr> {
        let (source, at) = self.rival?;
        let recent = now.saturating_since(at) <= self.active_down();
        (recent && self.state() == State::Active).then_some(source)
    }

    /// Whether the router does not preempt at present, because it yielded or failed.
    #[must_use]
    pub(crate) fn held(&self, now: Instant) -> bool {
        self.hold_until.is_some_and(|until| now < until)
    }

    /// What the adverts say of the interval, demotion included.
    #[must_use]
    pub(crate) fn advertised(&self) -> CarpInterval {
        self.config.advertised(self.demotion)
    }

    /// The demotion byte of the adverts.
    #[must_use]
    pub(crate) fn demotion_byte(&self) -> Demotion {
        self.config.demotion_byte(self.demotion)
    }

    /// The time between two own adverts.
    #[must_use]
    pub(crate) fn advert_interval(&self) -> Duration {
        self.advertised().advert()
    }

    /// How long this router waits for an advert as a backup.
    #[must_use]
    pub(crate) fn active_down(&self) -> Duration {
        self.config.active_down()
    }

    /// The own rank.
    #[must_use]
    pub(crate) fn rank(&self) -> Rank {
        self.config.rank(self.demotion)
    }

    /// The address that adverts come from; unspecified while there is none.
    #[must_use]
    pub(crate) const fn source(&self) -> IpAddr {
        match self.link {
            LinkState::Up { source } => source,
            LinkState::Down | LinkState::NoAddress => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
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

fn earliest(deadlines: [Option<Deadline>; 2]) -> Option<Deadline> {
    deadlines.into_iter().flatten().min_by_key(|deadline| deadline.at)
}
