//! A planned change of the active node that loses nothing: both sides, as pure state machines.
//!
//! ```text
//! requester (backup, in sync)              server (active)
//! want = 17                     ── reads ─►  quiesce hook runs
//!            ◄── reads ──                    quiesced = 17
//! last pull
//! promotes itself, takes over    ─ adverts ► steps down, unquiesces, pulls
//! ```
//!
//! Each side only reads the other's record, and every step may be repeated. Two deadlines end it: the
//! requester gives up [`MARGIN`] before the time for which writers may stand still is over, counted from
//! its request; the server undoes the quiesce when that time is over, counted from the hook's start,
//! which is later. So the requester never takes over from a server whose writers go on, as long as both
//! steady clocks run alike.

use std::time::Duration;

use carp_proto::Instant;

use super::record::Want;

/// How much earlier the requester gives up than the server.
pub const MARGIN: Duration = Duration::from_secs(2);

/// How long a requester waits before it asks again: this, and twice as long each time, at most
/// [`RETRY_MOST`].
pub const RETRY_FIRST: Duration = Duration::from_secs(10);

/// See [`RETRY_FIRST`].
pub const RETRY_MOST: Duration = Duration::from_secs(600);

/// The side that wants to serve.
#[derive(Clone, Debug)]
pub struct Requester {
    timeout: Duration,
    state: Requesting,
    failures: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Requesting {
    Idle,
    /// Not before this, of its own accord.
    Pausing(Instant),
    Wanting {
        want: Want,
        since: Instant,
    },
    /// The last pull runs, or is about to.
    Pulling {
        want: Want,
        since: Instant,
        quiet_since: Instant,
    },
    TakingOver {
        want: Want,
        since: Instant,
        quiet_since: Instant,
    },
}

/// What a requester is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequesterInput {
    /// It is in sync, may preempt, and fails back of its own accord; `fresh` was not used before.
    Ready {
        /// The number of the request, if it becomes one.
        fresh: Want,
    },
    /// Somebody asked for a handover to this node.
    Commanded {
        /// The number of the request.
        fresh: Want,
    },
    /// It is not ready any more: out of sync, held, or the peer is gone.
    Unready,
    /// The peer's record was read.
    PeerQuiesced(Option<Want>),
    /// A pass that had begun after [`RequesterOutput::PullNow`] is complete, and recorded.
    PullComplete,
    /// A pass failed.
    PullFailed,
    /// It is active.
    Active,
    /// Time has passed.
    Tick,
}

/// What a requester wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequesterOutput {
    /// Begin a pass now; one that runs does not count.
    PullNow,
    /// Take over from the peer: the router is no longer held. Whoever stores the epoch asks
    /// [`Requester::may_take_over`] once more, after whatever took time.
    TakeOver,
    /// It is done: this is how long writers stood still, as seen from here.
    Done {
        /// From the sight of the peer's `quiesced` until this node was active.
        freeze: Duration,
    },
    /// It did not work out; writers go on by themselves.
    GivenUp(GivenUp),
}

/// Why a handover did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// Not in time.
    TimedOut,
    /// Everything was ready in time, and the election did not move.
    NotElected,
    /// The last pull failed.
    PullFailed,
    /// The server undid the quiesce.
    Undone,
    /// This node is no longer in sync.
    Unready,
}

impl GivenUp {
    /// The reason in one line.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::TimedOut => {
                "the handover was not done in time: look at the quiesce hook's duration on the active node"
            }
            Self::NotElected => {
                "the copy was complete and the writers stood still, but the election did not move: for 60 s after \
                 a yield or a failure, and longer after a step down with its group, a router does not preempt, and not before preempt_delay is over"
            }
            Self::PullFailed => "the last pull of the handover failed: `carp sync status` says why",
            Self::Undone => {
                "the active node let its writers go on before the handover was done: its log says why"
            }
            Self::Unready => "this node is no longer in sync: `carp sync status` says why",
        }
    }
}

impl Requester {
    /// A requester. `timeout` is for how long writers may stand still
    /// ([`Policy::handover_timeout`](super::policy::Policy)); at least twice the margin is used.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout: timeout.max(MARGIN * 2), state: Requesting::Idle, failures: 0 }
    }

    /// What the record says.
    #[must_use]
    pub const fn want(&self) -> Option<Want> {
        match self.state {
            Requesting::Idle | Requesting::Pausing(_) => None,
            Requesting::Wanting { want, .. }
            | Requesting::Pulling { want, .. }
            | Requesting::TakingOver { want, .. } => Some(want),
        }
    }

    /// Whether the router may preempt now, because the peer's writers stand still and its data is here.
    #[must_use]
    pub const fn may_take_over(&self) -> bool {
        matches!(self.state, Requesting::TakingOver { .. })
    }

    /// When to tick.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            Requesting::Idle => None,
            Requesting::Pausing(until) => Some(until),
            Requesting::Wanting { since, .. }
            | Requesting::Pulling { since, .. }
            | Requesting::TakingOver { since, .. } => Some(since + (self.timeout - MARGIN)),
        }
    }

    /// Takes an input; says what to do. What is early, late or repeated changes nothing.
    pub fn handle(&mut self, now: Instant, input: RequesterInput) -> Option<RequesterOutput> {
        if input == RequesterInput::Active {
            return self.became_active(now);
        }
        if let Some(output) = self.expire(now) {
            return Some(output);
        }
        match input {
            RequesterInput::Ready { fresh } if self.state == Requesting::Idle => {
                self.ask(now, fresh);
                None
            }
            RequesterInput::Commanded { fresh } if self.want().is_none() => {
                self.ask(now, fresh);
                None
            }
            RequesterInput::Unready => self.want().map(|_| self.give_up(now, GivenUp::Unready)),
            RequesterInput::PeerQuiesced(answer) => self.heard(now, answer),
            RequesterInput::PullComplete => self.pulled(),
            RequesterInput::PullFailed if matches!(self.state, Requesting::Pulling { .. }) => {
                Some(self.give_up(now, GivenUp::PullFailed))
            }
            RequesterInput::Ready { .. }
            | RequesterInput::Commanded { .. }
            | RequesterInput::PullFailed
            | RequesterInput::Active
            | RequesterInput::Tick => None,
        }
    }

    const fn ask(&mut self, now: Instant, want: Want) {
        self.state = Requesting::Wanting { want, since: now };
    }

    fn heard(&mut self, now: Instant, answer: Option<Want>) -> Option<RequesterOutput> {
        match self.state {
            Requesting::Wanting { want, since } if answer == Some(want) => {
                self.state = Requesting::Pulling { want, since, quiet_since: now };
                Some(RequesterOutput::PullNow)
            }
            Requesting::Pulling { want, .. } | Requesting::TakingOver { want, .. }
                if answer != Some(want) =>
            {
                Some(self.give_up(now, GivenUp::Undone))
            }
            Requesting::Idle
            | Requesting::Pausing(_)
            | Requesting::Wanting { .. }
            | Requesting::Pulling { .. }
            | Requesting::TakingOver { .. } => None,
        }
    }

    const fn pulled(&mut self) -> Option<RequesterOutput> {
        match self.state {
            Requesting::Pulling { want, since, quiet_since } => {
                self.state = Requesting::TakingOver { want, since, quiet_since };
                Some(RequesterOutput::TakeOver)
            }
            Requesting::Idle
            | Requesting::Pausing(_)
            | Requesting::Wanting { .. }
            | Requesting::TakingOver { .. } => None,
        }
    }

    fn expire(&mut self, now: Instant) -> Option<RequesterOutput> {
        match self.state {
            Requesting::Pausing(until) if now >= until => {
                self.state = Requesting::Idle;
                None
            }
            Requesting::Idle | Requesting::Pausing(_) => None,
            Requesting::Wanting { .. } | Requesting::Pulling { .. } => {
                self.is_over(now).then(|| self.give_up(now, GivenUp::TimedOut))
            }
            Requesting::TakingOver { .. } => {
                self.is_over(now).then(|| self.give_up(now, GivenUp::NotElected))
            }
        }
    }

    fn is_over(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }

    fn became_active(&mut self, now: Instant) -> Option<RequesterOutput> {
        let state = std::mem::replace(&mut self.state, Requesting::Idle);
        self.failures = 0;
        match state {
            Requesting::TakingOver { quiet_since, .. } => {
                Some(RequesterOutput::Done { freeze: now.saturating_since(quiet_since) })
            }
            Requesting::Idle
            | Requesting::Pausing(_)
            | Requesting::Wanting { .. }
            | Requesting::Pulling { .. } => None,
        }
    }

    fn give_up(&mut self, now: Instant, why: GivenUp) -> RequesterOutput {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        self.state = Requesting::Pausing(now + RETRY_FIRST.saturating_mul(factor).min(RETRY_MOST));
        RequesterOutput::GivenUp(why)
    }
}

/// The side that serves.
#[derive(Clone, Debug)]
pub struct Server {
    timeout: Duration,
    state: Serving,
    /// The request that was answered last: not again.
    answered: Option<Want>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serving {
    Idle,
    Quiescing { want: Want, since: Instant },
    Quiesced { want: Want, since: Instant },
}

/// What a server is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerInput {
    /// The peer's record was read: its request, `None` also if it is no longer in sync.
    PeerWants(Option<Want>),
    /// The quiesce hook has ended well. Without a hook: at once.
    HookDone,
    /// The quiesce hook failed, or was not done in time.
    HookFailed,
    /// This node is not active any more.
    SteppedDown,
    /// Time has passed.
    Tick,
}

/// What a server wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerOutput {
    /// Run the quiesce hook.
    Quiesce,
    /// Run the unquiesce hook: writers go on, or nothing is to be written here any more.
    Unquiesce(Unquiesce),
}

/// Why the quiesce is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unquiesce {
    /// The peer serves; this is how long writers stood still.
    HandedOver {
        /// From the start of the hook until this node stepped down.
        freeze: Duration,
    },
    /// The peer took its request back, or vanished from its own record.
    Withdrawn,
    /// Nobody took over in time.
    TimedOut,
    /// The hook failed: writers that it stopped go on.
    HookFailed,
}

impl Server {
    /// A server that lets writers stand still for at most `timeout`.
    #[must_use]
    pub fn new(timeout: Duration) -> Self {
        Self { timeout: timeout.max(MARGIN * 2), state: Serving::Idle, answered: None }
    }

    /// What the record says.
    #[must_use]
    pub const fn quiesced(&self) -> Option<Want> {
        match self.state {
            Serving::Quiesced { want, .. } => Some(want),
            Serving::Idle | Serving::Quiescing { .. } => None,
        }
    }

    /// When to tick.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self.state {
            Serving::Idle => None,
            Serving::Quiescing { since, .. } | Serving::Quiesced { since, .. } => {
                Some(since + self.timeout)
            }
        }
    }

    /// Takes an input; says what to do. What is early, late or repeated changes nothing.
    pub fn handle(&mut self, now: Instant, input: ServerInput) -> Option<ServerOutput> {
        let over = self.deadline().is_some_and(|deadline| now >= deadline);
        if over && input != ServerInput::SteppedDown {
            return Some(self.undo(Unquiesce::TimedOut));
        }
        match (self.state, input) {
            (Serving::Idle, ServerInput::PeerWants(wanted)) => self.asked(now, wanted),
            (
                Serving::Quiescing { want, .. } | Serving::Quiesced { want, .. },
                ServerInput::PeerWants(wanted),
            ) => (wanted != Some(want)).then(|| self.undo(Unquiesce::Withdrawn)),
            (Serving::Quiescing { want, since }, ServerInput::HookDone) => {
                self.state = Serving::Quiesced { want, since };
                None
            }
            (Serving::Quiescing { .. }, ServerInput::HookFailed) => {
                Some(self.undo(Unquiesce::HookFailed))
            }
            (
                Serving::Quiescing { since, .. } | Serving::Quiesced { since, .. },
                ServerInput::SteppedDown,
            ) => Some(self.undo(Unquiesce::HandedOver { freeze: now.saturating_since(since) })),
            (Serving::Idle, ServerInput::SteppedDown)
            | (
                Serving::Idle | Serving::Quiesced { .. },
                ServerInput::HookDone | ServerInput::HookFailed,
            )
            | (
                Serving::Idle | Serving::Quiescing { .. } | Serving::Quiesced { .. },
                ServerInput::Tick,
            ) => None,
        }
    }

    fn asked(&mut self, now: Instant, wanted: Option<Want>) -> Option<ServerOutput> {
        let want = wanted.filter(|_| wanted != self.answered)?;
        self.answered = wanted;
        self.state = Serving::Quiescing { want, since: now };
        Some(ServerOutput::Quiesce)
    }

    fn undo(&mut self, why: Unquiesce) -> ServerOutput {
        self.state = Serving::Idle;
        ServerOutput::Unquiesce(why)
    }
}

#[cfg(test)]
mod tests;
