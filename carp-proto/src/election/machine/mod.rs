//! The election itself.

mod active;
mod announce;
mod backup;
mod getters;
mod group;
mod leaving;
#[cfg(feature = "sim")]
mod relative;

use alloc::collections::VecDeque;
use core::net::IpAddr;
use core::time::Duration;

use self::active::{Losses, Serving, Step, TakingOver};
use self::backup::{ActivePeer, Grounds, Waiting};
use self::leaving::{Goal, Leaving};
use super::config::{ElectionConfig, Handicap};
use super::input::{Bar, Fault, Input, LinkState};
use super::output::{Advertisement, Cause, Event, Evidence, Output, State};
use super::rank::Claim;
use crate::time::Instant;

/// After yielding, and after a failed takeover, a router does not preempt for this long.
const HOLD: Duration = Duration::from_secs(60);

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
    handicap: Handicap,
    /// Whether this router may become active: one of a group does so with the others.
    permitted: bool,
    /// Whether it waits to be handed over to.
    awaits_handover: bool,
    bar: Bar,
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
    /// Until when this router listens and does nothing else, because it did not run for a while: what it
    /// reads first is what came meanwhile, and may be long over.
    listens_until: Option<Instant>,
    /// Who resigned last, and when that was heard.
    resigned: Option<(IpAddr, Instant)>,
    /// When another active router was last heard while we were active.
    rival: Option<(IpAddr, Instant)>,
    /// When an advert of another router was last answered with one of our own, out of turn.
    answered_at: Option<Instant>,
    losses: Losses,
    fault: Option<Fault>,
    outputs: VecDeque<Output>,
}

/// Where a router is. Deadlines live in the stage that needs them and go with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Init,
    Backup(Waiting),
    TakingOver(TakingOver),
    Serving(Serving),
    Leaving(Leaving),
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
            handicap: Handicap::NONE,
            permitted: true,
            awaits_handover: false,
            bar: Bar::Nothing,
            stage: Stage::Init,
            reported: State::Init,
            since: Instant::ZERO,
            cause: Cause::Start,
            transitions: 0,
            active_peer: None,
            hold_until: None,
            listens_until: None,
            resigned: None,
            rival: None,
            answered_at: None,
            losses: Losses::default(),
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
            Input::Permit(permitted) => self.permit(now, permitted),
            Input::StepDown => self.step_down_with_group(now),
            Input::Demotion(demotion) => {
                self.handicap(now, Handicap { demotion, ..self.handicap });
            }
            Input::Held(held) => self.hold_back(now, held),
            Input::AwaitsHandover(awaits) => self.await_handover(now, awaits),
            Input::Bar(bar) => self.bar(now, bar),
            Input::Link(LinkState::Up { source }) => self.link_up(now, source),
            Input::Link(link @ (LinkState::Down | LinkState::NoAddress)) => {
                self.link_down(now, link);
            }
            Input::Prepared => self.prepared(now),
            Input::Refused => self.takeover_failed(now, Step::Preparing, Fault::Refused),
            Input::Acquired => self.acquired(now),
            Input::AddressLost => self.address_lost(now),
            Input::AddressExpired => self.address_expired(now),
            Input::AnnouncementHeard => self.announcement_heard(now),
            Input::AddressInUse => self.address_in_use(now),
            Input::Fault(fault) => self.effect_failed(now, fault),
        }
    }

    /// Takes in a valid advert that arrived at `now`.
    pub(crate) fn handle_claim(&mut self, now: Instant, claim: Claim) {
        self.notice_pause(now);
        match self.stage {
            Stage::Init => {}
            Stage::Backup(waiting) => self.backup_hears(now, waiting, claim),
            Stage::TakingOver(_) | Stage::Serving(_) => self.active_hears(now, claim),
            Stage::Leaving(leaving) => self.leaving_hears(now, leaving, claim),
        }
    }

    fn start(&mut self, now: Instant) {
        if let Stage::Leaving(leaving @ Leaving { goal: Goal::Stop, .. }) = &mut self.stage {
            // The stop is taken back; the handover, of which the others know, is not.
            leaving.goal = Goal::Yield;
        }
        if self.running {
            return;
        }
        self.running = true;
        if let LinkState::Up { .. } = self.link {
            self.join(now, Cause::Start);
        }
    }

    fn stop(&mut self, now: Instant) {
        match self.stage {
            Stage::Init => self.running = false,
            Stage::Backup(_) => {
                self.running = false;
                self.enter_init(now, Cause::Stop);
            }
            Stage::TakingOver(_) => self.withdraw(now, Goal::Stop),
            Stage::Serving(_) => self.leave(now, Goal::Stop),
            Stage::Leaving(leaving) => self.turn(now, leaving, Goal::Stop),
        }
    }

    fn yield_now(&mut self, now: Instant) {
        match self.stage {
            Stage::TakingOver(_) => self.withdraw(now, Goal::Yield),
            Stage::Serving(_) => self.leave(now, Goal::Yield),
            Stage::Leaving(
                leaving @ Leaving { goal: Goal::Follow | Goal::Contest | Goal::Group, .. },
            ) => {
                self.turn(now, leaving, Goal::Yield);
            }
            Stage::Init
            | Stage::Backup(_)
            | Stage::Leaving(Leaving { goal: Goal::Stop | Goal::Yield, .. }) => {}
        }
    }

    fn handicap(&mut self, now: Instant, handicap: Handicap) {
        let before = self.config.rank(self.handicap);
        self.handicap = handicap;
        if before == self.config.rank(handicap) {
            return;
        }
        // The others learn it at once, as the BSDs do it; a backup's rank is told to nobody.
        self.advertise_now(now);
    }

    /// Sends an advert out of turn, if the router sends any, and the next one an interval later.
    fn advertise_now(&mut self, now: Instant) {
        let next = now + self.advert_interval();
        match &mut self.stage {
            Stage::TakingOver(TakingOver { advert_at, .. })
            | Stage::Serving(Serving { advert_at, .. }) => {
                *advert_at = next;
                self.push(Output::Advertise(Advertisement::Claim));
            }
            Stage::Init | Stage::Backup(_) | Stage::Leaving(_) => {}
        }
    }

    fn link_up(&mut self, now: Instant, source: IpAddr) {
        self.link = LinkState::Up { source };
        if self.running && self.stage == Stage::Init {
            let cause = if self.transitions == 0 { Cause::Start } else { Cause::Link };
            self.join(now, cause);
        }
    }

    fn link_down(&mut self, now: Instant, link: LinkState) {
        self.link = link;
        match self.stage {
            Stage::Init => return,
            Stage::Backup(_) => {}
            Stage::TakingOver(_) | Stage::Serving(_) => self.push(Output::Release),
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

    fn announcement_heard(&mut self, now: Instant) {
        match self.stage {
            Stage::Leaving(leaving) => self.handed_over(now, leaving),
            // While we serve, an announcement alone decides nothing: adverts do.
            Stage::Init | Stage::Backup(_) | Stage::TakingOver(_) | Stage::Serving(_) => {}
        }
    }

    fn effect_failed(&mut self, now: Instant, fault: Fault) {
        match fault {
            Fault::Acquire { .. } | Fault::AcquireTimeout => match self.stage {
                Stage::Serving(_) => self.give_up(now, fault),
                Stage::TakingOver(_) => self.takeover_failed(now, Step::Acquiring, fault),
                Stage::Init | Stage::Backup(_) | Stage::Leaving(_) => {}
            },
            Fault::Refused | Fault::PrepareTimeout => {
                self.takeover_failed(now, Step::Preparing, fault);
            }
            Fault::AddressLost => self.address_lost(now),
            Fault::AddressInUse => self.address_in_use(now),
            // It is no effect that could fail.
            Fault::Barred => {}
            Fault::Release { .. } => self.fault = Some(fault),
        }
    }

    fn timeout(&mut self, now: Instant) {
        match self.stage {
            Stage::Init => {}
            Stage::Backup(waiting) => self.backup_timeout(now, waiting),
            Stage::TakingOver(takeover) => self.takeover_timeout(now, takeover),
            Stage::Serving(serving) => self.serving_timeout(now, serving),
            Stage::Leaving(leaving) => self.leaving_timeout(now, leaving),
        }
    }

    /// A router that did not run for longer than it takes to be declared dead must not go on as if nothing
    /// had happened: one that is active gives the addresses up, and all of them listen first.
    fn notice_pause(&mut self, now: Instant) {
        let due_at = match self.stage {
            // Where nothing is due, another one of the group is about to leave, and this holds for it.
            Stage::Init
            | Stage::Backup(Waiting { down_at: None, .. })
            | Stage::Leaving(Leaving { release_at: None, .. }) => return,
            Stage::Backup(Waiting { down_at: Some(at), .. }) => {
                if now.saturating_since(at) > self.advert_interval() {
                    self.listen(now);
                }
                return;
            }
            Stage::TakingOver(TakingOver { advert_at, .. })
            | Stage::Serving(Serving { advert_at, .. }) => advert_at,
            Stage::Leaving(Leaving { release_at: Some(at), resign_again_at, .. }) => {
                resign_again_at.map_or(at, |again| again.min(at))
            }
        };
        let late_by = now.saturating_since(due_at);
        if late_by <= self.active_down() {
            return;
        }
        self.listen(now);
        if let Stage::Leaving(leaving) = self.stage {
            // It slept through its own handover, and has left.
            return self.handed_over(now, leaving);
        }
        self.active_peer = None;
        self.push(Output::Release);
        let evidence = Evidence { late_by: Some(late_by), ..Evidence::default() };
        self.enter_backup(now, Cause::Paused, evidence);
    }

    /// Whatever is heard from now on, nothing is taken over for a while. It is a quarter of the interval:
    /// what waits in the sockets is read by then, and the best of several backups is still the first.
    fn listen(&mut self, now: Instant) {
        self.listens_until = Some(now + self.advert_interval() / 4);
    }
}

/// Transitions.
impl Machine {
    /// Leaves `Init`. An owner of the addresses is active at once (RFC 9568 section 6.4.1), unless it
    /// has just given them away, or has to wait for its group.
    fn join(&mut self, now: Instant, cause: Cause) {
        let owner = self.config.standing.is_owner() && !self.held(now);
        let listens_until = self.listens_until.filter(|until| now < *until);
        let allowed = self.permitted && self.bar != Bar::Takeover;
        if owner && allowed && listens_until.is_none() {
            return self.take_over(now, cause, Evidence::default());
        }
        self.enter_backup(now, cause, Evidence::default());
        if owner && self.bar == Bar::Takeover {
            self.stage =
                Stage::Backup(Waiting::barred(Grounds::Owner(cause), now + self.patience(now)));
        } else if owner {
            self.stage = Stage::Backup(Waiting::on(Grounds::Owner(cause), listens_until));
        }
    }

    fn enter_backup(&mut self, now: Instant, cause: Cause, evidence: Evidence) {
        self.since = now;
        self.cause = cause;
        self.stage = Stage::Backup(Waiting::until(now + self.patience(now)));
        self.report(State::Backup, cause, evidence);
    }

    fn enter_init(&mut self, now: Instant, cause: Cause) {
        // A yield is the operator's word and outlasts a replugged cable. A fault may have been the
        // cable, which is why it does not.
        if cause == Cause::Stop || self.cause == Cause::Fault {
            self.hold_until = None;
        }
        self.since = now;
        self.cause = cause;
        self.active_peer = None;
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
