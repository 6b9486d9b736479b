//! What a router has said and asked for, kept by somebody who watches it: does each of its actions fit the
//! ones before? The simulator and the exploration keep such books of each router, and so may whoever drives a
//! [`VirtualRouter`](crate::VirtualRouter) otherwise.

use core::time::Duration;

use super::oracle::{Invariant, Violation};
use super::trace::Mixer;
use crate::election::{Advertisement, Cause, Event, Input, Phase, State};
use crate::router::Action;
use crate::time::Instant;

/// More actions than any one input has reason to cause.
const MOST_ACTIONS: u32 = 16;

/// More timeouts than can be due at one instant.
const MOST_TIMEOUTS: u32 = 4;

/// A resignation is said twice: at once, and 10 ms later in case the first was lost. What follows it, whatever that
/// is, is silence or a claim; a router that is told to leave while it leaves does not begin anew.
const MOST_RESIGNATIONS: u32 = 2;

/// The books of one router, for the invariants that one router can violate by itself: *order*, *goodbye*, *timeliness*,
/// *listens first* and *bounded*, as `docs/invariants.md` says them.
///
/// Each thing that goes into the router is told first ([`told`](Self::told), [`heard`](Self::heard),
/// [`timeout`](Self::timeout)), then each action that comes out ([`acts`](Self::acts)), and when there are no more, that
/// they are [settled](Self::settled).
#[derive(Clone, Debug)]
pub struct Ledger {
    /// Whether it claims to be active: from the first advert until it gives the addresses back.
    claims: bool,
    /// Whether the addresses were asked for and not given back.
    pub(super) wants: bool,
    /// Whether they were there since they were asked for.
    acquired: bool,
    /// The state that the last event told of.
    reported: State,
    /// At how many moments it has resigned since the last claim, and when last. It may have several destinations, and
    /// says everything to each of them.
    resignations: u32,
    resigned_at: Option<Instant>,
    /// Whether it was told to leave while it was active, and has to say so.
    owes_goodbye: bool,
    /// Whether it has just given its addresses back without a resignation.
    left_in_silence: bool,
    /// When the last advert was sent, and the interval that it promised.
    advertised: Option<(Instant, Duration)>,
    /// No claim is allowed before.
    quiet_until: Instant,
    /// Jobs and notices that are under way.
    pub(super) pending: u32,
    actions: u32,
    /// The latest timeout, and how many there were at that instant.
    timeouts: (Instant, u32),
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            claims: false,
            wants: false,
            acquired: false,
            reported: State::Init,
            resignations: 0,
            resigned_at: None,
            owes_goodbye: false,
            left_in_silence: false,
            advertised: None,
            quiet_until: Instant::ZERO,
            pending: 0,
            actions: 0,
            timeouts: (Instant::ZERO, 0),
        }
    }
}

type Checked = Result<(), Violation>;

fn check(holds: bool, invariant: Invariant, text: &'static str) -> Checked {
    if holds { Ok(()) } else { Err(Violation::local(invariant, text)) }
}

impl Ledger {
    /// Mixes in what the checks from `now` on depend on, for an exploration: no adverts are late there, nobody is made to
    /// listen, and what counts for one input only is over. The patterns name all fields, so that none is forgotten.
    pub(super) fn mix_relative(&self, now: Instant, mixer: &mut Mixer) {
        let Self {
            claims,
            wants,
            acquired,
            reported,
            resignations,
            resigned_at,
            owes_goodbye: _,
            left_in_silence: _,
            advertised: _,
            quiet_until: _,
            pending,
            actions: _,
            timeouts: (woken_at, wakes),
        } = self;
        let resigned_now = *resigned_at == Some(now);
        let flags = [claims, wants, acquired, &resigned_now];
        flags.into_iter().for_each(|flag| mixer.word(u64::from(*flag)));
        mixer.bytes(reported.name().as_bytes());
        mixer.word((*resignations).into());
        mixer.word((*pending).into());
        mixer.word(if *woken_at == now { (*wakes).into() } else { 0 });
    }

    /// The router is about to hear a datagram.
    pub fn heard(&mut self) {
        self.actions = 0;
        self.owes_goodbye = false;
        self.left_in_silence = false;
    }

    /// It is about to be told something while it is at this.
    pub fn told(&mut self, input: Input, phase: Option<Phase>) {
        self.heard();
        self.acquired |= self.wants && input == Input::Acquired;
        let leaves = matches!(input, Input::Stop | Input::Yield | Input::StepDown);
        self.owes_goodbye = leaves && matches!(phase, Some(Phase::TakingOver | Phase::Serving));
    }

    /// Its deadline is about to be [told](Self::told) to it.
    ///
    /// # Errors
    /// *Bounded*: the deadline does not move, however often it is told.
    pub fn timeout(&mut self, now: Instant) -> Checked {
        let (at, count) = &mut self.timeouts;
        if *at == now {
            *count += 1;
        } else {
            self.timeouts = (now, 1);
        }
        let few = self.timeouts.1 <= MOST_TIMEOUTS;
        check(few, Invariant::Bounded, "its deadline does not move: it would be woken for ever")
    }

    /// It goes on after it did not run for longer than it takes to be declared dead: until then it may not claim.
    pub fn must_listen_until(&mut self, until: Instant) {
        self.quiet_until = until;
    }

    /// It was not able to advertise for a while: its next advert may be late.
    pub fn excuse_lateness(&mut self) {
        self.advertised = None;
    }

    /// It wants something. `interval` is the one that it advertises, and deadlines are met up to `lateness` late.
    ///
    /// # Errors
    /// The invariant that the action violates.
    pub fn acts(
        &mut self,
        now: Instant,
        action: &Action<'_>,
        interval: Duration,
        lateness: Duration,
    ) -> Checked {
        match action {
            Action::Send(transmit) => self.sent(now, transmit.advertisement, interval, lateness),
            Action::Prepare => Ok(()),
            Action::Acquire(_) => self.asks_to_acquire(),
            Action::Announce(_) => self.announces(),
            Action::Release(_) => self.asks_to_release(),
            Action::Event(event) => self.reports(event),
        }
    }

    pub(super) fn sent(
        &mut self,
        now: Instant,
        advertisement: Advertisement,
        interval: Duration,
        lateness: Duration,
    ) -> Checked {
        match advertisement {
            Advertisement::Claim => {
                let listens = now >= self.quiet_until;
                check(listens, Invariant::ListensFirst, "it claims before it has listened")?;
                // Copies of one advert have one time, for each destination one.
                if let Some((at, promised)) = self.advertised.filter(|_| self.claims) {
                    let in_time = now <= at + promised.max(interval) + lateness;
                    check(in_time, Invariant::Timeliness, "its advert is late")?;
                }
                self.advertised = Some((now, interval));
                self.claims = true;
                (self.resignations, self.resigned_at) = (0, None);
            }
            Advertisement::Resign => {
                let again = self.resigned_at.replace(now) == Some(now);
                self.resignations += u32::from(!again);
                self.advertised = None;
                check(self.claims, Invariant::Order, "it resigns without having claimed")?;
                let few = self.resignations <= MOST_RESIGNATIONS;
                check(few, Invariant::Goodbye, "it resigns again and again")?;
            }
        }
        Ok(())
    }

    pub(super) fn asks_to_acquire(&mut self) -> Checked {
        self.action()?;
        self.wants = true;
        self.acquired = false;
        check(self.claims, Invariant::Order, "it takes the addresses before it has claimed them")
    }

    pub(super) fn announces(&mut self) -> Checked {
        self.action()?;
        let may = self.claims && self.wants;
        check(may, Invariant::Order, "it announces addresses that it does not want")
    }

    pub(super) fn asks_to_release(&mut self) -> Checked {
        self.action()?;
        let claimed = self.claims;
        self.left_in_silence = claimed && self.resignations == 0;
        (self.claims, self.wants, self.acquired) = (false, false, false);
        self.advertised = None;
        check(claimed, Invariant::Order, "it gives back what it never claimed")
    }

    pub(super) fn reports(&mut self, event: &Event) -> Checked {
        self.action()?;
        let &Event::State { from, to, cause, .. } = event else {
            // The others tell of addresses and rivals, and an event of an equal state of a failure.
            return Ok(());
        };
        let follows = from == self.reported;
        self.reported = to;
        check(follows, Invariant::Order, "its events do not follow each other")?;
        let active = to == State::Active;
        check(active == self.claims, Invariant::Order, "it reports another state than it claims")?;
        check(!active || self.acquired, Invariant::Order, "it is active without its addresses")?;
        if cause == Cause::Paused {
            // It has not run for so long that others serve: there is nothing to hand over.
            self.owes_goodbye = false;
        }
        let says = cause != Cause::Fault || !self.left_in_silence;
        check(says, Invariant::Goodbye, "it fails without saying that others have to serve")
    }

    /// It wants nothing more for now, and this is what it has become.
    ///
    /// # Errors
    /// The invariant that this violates.
    pub fn settled(&mut self, state: State, phase: Option<Phase>) -> Checked {
        if phase == Some(Phase::Leaving) {
            // It says nothing more; if nobody takes over, it speaks again.
            self.advertised = None;
        }
        let fits = self.claims == (state == State::Active);
        check(fits, Invariant::Order, "what it is does not fit what it has said")?;
        let owes = core::mem::take(&mut self.owes_goodbye) && self.resignations == 0;
        check(!owes, Invariant::Goodbye, "it is told to leave, and does not resign")
    }

    /// Whether it was woken too often at this instant to be woken once more.
    pub(super) fn is_bounded(&self, now: Instant) -> bool {
        self.timeouts.0 != now || self.timeouts.1 <= MOST_TIMEOUTS
    }

    /// Whether the addresses are where they should be, while nothing is under way.
    pub(super) fn agrees(&self, holds: bool, state: State, phase: Option<Phase>) -> Checked {
        if self.pending > 0 {
            return Ok(());
        }
        let active = state == State::Active;
        check(!holds || active, Invariant::Agreement, "it has the addresses and is not active")?;
        // What is removed from a router that is leaving is not taken again.
        let serves = holds || !self.acquired || phase == Some(Phase::Leaving);
        check(serves, Invariant::Agreement, "it serves without its addresses")
    }

    fn action(&mut self) -> Checked {
        self.actions += 1;
        let few = self.actions <= MOST_ACTIONS;
        check(few, Invariant::Bounded, "one input causes more actions than it has reason to")
    }
}
