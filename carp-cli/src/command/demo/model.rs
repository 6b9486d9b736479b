//! What was seen of the demo, and when: all that the terminal and the plot draw from.
//!
//! Times are durations since the beginning of the play. Nothing in here reads a clock.

use std::time::Duration;

use super::stage::{PRIMARY, SECONDARY};
use crate::args::DemoProtocol;

/// A time without an answer is told from this length on; shorter ones are no outage to anybody.
pub(super) const NOTABLE: Duration = Duration::from_millis(50);

/// One of the two servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Primary,
    Secondary,
}

impl Who {
    pub(super) const ALL: [Self; 2] = [Self::Primary, Self::Secondary];

    /// The name of the host, with which it also answers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }

    pub(super) const fn address(self) -> &'static str {
        match self {
            Self::Primary => PRIMARY,
            Self::Secondary => SECONDARY,
        }
    }

    /// The other one.
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Primary => Self::Secondary,
            Self::Secondary => Self::Primary,
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|who| who.name() == name)
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Primary => 0,
            Self::Secondary => 1,
        }
    }
}

/// What a server is: as its daemon says, and beyond that whether there is a daemon and a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The machine is off.
    Dead,
    /// The machine runs, the daemon does not.
    Down,
    Init,
    Backup,
    Active,
    /// Active, resigned, and serving until the successor does.
    Leaving,
}

impl State {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Down => "stopped",
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Active => "active",
            Self::Leaving => "leaving",
        }
    }
}

/// The acts of the play, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Steady,
    Crash,
    Failback,
    PlannedStop,
}

impl Act {
    pub(super) const ALL: [Self; 4] =
        [Self::Steady, Self::Crash, Self::Failback, Self::PlannedStop];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Steady => "steady",
            Self::Crash => "crash",
            Self::Failback => "failback",
            Self::PlannedStop => "planned stop",
        }
    }

    /// Who has the address at the end of it.
    pub(super) const fn winner(self) -> Who {
        match self {
            Self::Steady | Self::Failback => Who::Primary,
            Self::Crash | Self::PlannedStop => Who::Secondary,
        }
    }

    /// How long it takes if all goes as the timers say.
    pub(super) fn expected(self, setting: &Setting) -> Duration {
        setting.expected.get(self.number() - 1).copied().unwrap_or_default()
    }

    /// 1 to 4.
    pub(super) fn number(self) -> usize {
        Self::ALL.iter().take_while(|act| **act != self).count() + 1
    }
}

/// From one moment to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) from: Duration,
    pub(super) to: Duration,
}

impl Span {
    pub(super) fn length(self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    /// Whether the two have more than a moment in common.
    pub(super) fn overlaps(self, other: Self) -> bool {
        self.from < other.to && other.from < self.to
    }
}

/// An answer that the client got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) at: Duration,
    pub(super) by: Who,
}

/// A time without an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) span: Span,
    /// Whether it lasts still.
    pub(super) open: bool,
}

/// The result of an act: the address went from one server to the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Switch {
    pub(super) act: Act,
    /// The largest gap between two answers.
    pub(super) outage: Span,
    /// What the timers make unavoidable: from the death on. Nothing in a planned change.
    pub(super) theory: Option<Span>,
}

/// Something that happened, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) at: Duration,
    pub(super) text: String,
}

/// The client's requests that have come to an end, and those that were begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) sent: usize,
    pub(super) answered: usize,
    pub(super) failed: usize,
}

/// What the play is about: known before it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    /// What the servers elect by.
    pub(super) protocol: DemoProtocol,
    /// The primary's advert interval.
    pub(super) interval: Duration,
    /// How often the client asks.
    pub(super) asks_every: Duration,
    /// How long each act takes if all goes as the timers say, in the order of [`Act::ALL`].
    pub(super) expected: [Duration; 4],
}

/// What was seen.
#[derive(Clone, Debug)]
pub(super) struct Model {
    pub(super) setting: Setting,
    /// In the order of time, and so are all lists here.
    states: [Vec<(Duration, State)>; 2],
    pub(super) answers: Vec<Answer>,
    pub(super) counts: Counts,
    pub(super) acts: Vec<(Duration, Act)>,
    /// What is happening, in words that a stranger understands.
    pub(super) doing: String,
    pub(super) switches: Vec<Switch>,
    pub(super) told: Vec<Told>,
    /// When the play was over.
    pub(super) end: Option<Duration>,
}

impl Model {
    pub(super) fn new(setting: Setting) -> Self {
        let states = [vec![(Duration::ZERO, State::Down)], vec![(Duration::ZERO, State::Down)]];
        Self {
            setting,
            states,
            answers: Vec::new(),
            counts: Counts::default(),
            acts: vec![(Duration::ZERO, Act::Steady)],
            doing: String::new(),
            switches: Vec::new(),
            told: Vec::new(),
            end: None,
        }
    }

    /// A server's state changes. What is reported late, with a time before the last change, counts as
    /// having come right after that.
    pub(super) fn enter(&mut self, who: Who, at: Duration, state: State) {
        let states = &mut self.states[who.index()];
        let at = states.last().map_or(at, |(last, _)| at.max(*last));
        if states.last().is_some_and(|(_, last)| *last == state) {
            return;
        }
        states.push((at, state));
    }

    /// A server that was active leaves. That may be reported after its end.
    pub(super) fn leave(&mut self, who: Who, at: Duration) {
        if self.state_at(who, at) == State::Active {
            let states = &mut self.states[who.index()];
            let after = states.partition_point(|(since, _)| *since <= at);
            states.insert(after, (at, State::Leaving));
        }
    }

    /// A server's machine dies. What it seemed to be after that moment does not count.
    pub(super) fn die(&mut self, who: Who, at: Duration) {
        self.states[who.index()].retain(|(since, _)| *since < at);
        self.states[who.index()].push((at, State::Dead));
    }

    /// A server's state at a moment.
    pub(super) fn state_at(&self, who: Who, at: Duration) -> State {
        let states = &self.states[who.index()];
        let after = states.partition_point(|(since, _)| *since <= at);
        after.checked_sub(1).and_then(|index| states.get(index)).map_or(State::Down, |(_, s)| *s)
    }

    /// A server's states until `now`, each with its time.
    pub(super) fn states(&self, who: Who, now: Duration) -> Vec<(Span, State)> {
        let states = &self.states[who.index()];
        let ends = states.iter().skip(1).map(|(at, _)| *at).chain([now]);
        let spans = states.iter().zip(ends);
        let spans = spans.map(|(&(from, state), to)| (Span { from, to: to.min(now) }, state));
        spans.filter(|(span, _)| span.length() > Duration::ZERO).collect()
    }

    /// The answers that came within a span.
    pub(super) fn answers_in(&self, span: Span) -> &[Answer] {
        let from = self.answers.partition_point(|answer| answer.at < span.from);
        let to = self.answers.partition_point(|answer| answer.at < span.to);
        self.answers.get(from..to).unwrap_or_default()
    }

    /// The gaps worth telling, and at the end the one that lasts still.
    pub(super) fn gaps(&self, now: Duration) -> Vec<Gap> {
        let closed = self.answers.windows(2).filter_map(|pair| match pair {
            [before, after] => Some(Span { from: before.at, to: after.at }),
            _ => None,
        });
        let closed = closed.map(|span| Gap { span, open: false });
        let still = self.answers.last().filter(|_| self.end.is_none());
        let open = still.map(|last| Gap { span: Span { from: last.at, to: now }, open: true });
        closed.chain(open).filter(|gap| gap.span.length() >= NOTABLE).collect()
    }

    /// The act that is played, and since when.
    pub(super) fn act(&self) -> (Duration, Act) {
        self.acts.last().copied().unwrap_or((Duration::ZERO, Act::Steady))
    }

    /// From the last answer before to the first answer by the server that has the address at the end of
    /// an act.
    pub(super) fn turn(&self, act: Act) -> Option<Span> {
        let (begin, _) = self.acts.iter().find(|(_, begun)| *begun == act)?;
        let from = self.answers.partition_point(|answer| answer.at < *begin);
        let new = self.answers.iter().skip(from).position(|answer| answer.by == act.winner())?;
        let to = self.answers.get(from + new)?.at;
        let before = (from + new).checked_sub(1).and_then(|index| self.answers.get(index));
        Some(Span { from: before.map_or(to, |answer| answer.at), to })
    }

    /// All times without an answer that have a meaning: those of the acts, and others worth telling.
    pub(super) fn outages(&self, now: Duration) -> Vec<Gap> {
        let of_acts = self.switches.iter().map(|switch| Gap { span: switch.outage, open: false });
        let mut outages: Vec<_> = of_acts.collect();
        for gap in self.gaps(now) {
            if !outages.iter().any(|outage| outage.span.overlaps(gap.span)) {
                outages.push(gap);
            }
        }
        outages.sort_by_key(|outage| outage.span.from);
        outages
    }

    /// The length of the whole play: as expected, until it proves to be longer.
    pub(super) fn whole(&self, now: Duration) -> Duration {
        self.end.unwrap_or_else(|| self.setting.expected.iter().sum::<Duration>().max(now))
    }
}

/// Milliseconds with a tenth, as `3389.5 ms`: what the JSON says to the microsecond, rounded again.
pub(super) fn millis(duration: Duration) -> String {
    let micros = (duration.as_nanos() + 500) / 1000;
    let tenths = (micros + 50) / 100;
    format!("{}.{} ms", tenths / 10, tenths % 10)
}

/// Seconds with a tenth, as `3.4 s`.
pub(super) fn seconds(duration: Duration) -> String {
    let tenths = (duration.as_millis() + 50) / 100;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

#[cfg(test)]
pub(super) mod tests;
