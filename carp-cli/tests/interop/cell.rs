//! The matrix: which cells there are.

use crate::speaker::Kind;
use crate::variant::{Rank, Variant};

/// One thing to try, with one pair of speakers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) variant: Variant,
    /// Who runs on the first server, and is better unless ranks are equal.
    pub(crate) first: Kind,
    /// Who runs on the second.
    pub(crate) second: Kind,
    pub(crate) scenario: Scenario,
}

/// What happens to the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// Both start.
    Election,
    /// The machine of the active one dies.
    Kill,
    /// The active one is stopped as planned.
    Resign,
    /// The machine of the better one dies and comes back.
    Preempt,
    /// The same, but it is told not to preempt.
    NoPreempt,
    /// Both have the same rank; they are cut off from each other and joined again.
    Tie,
    /// They are cut off from each other and joined again.
    Heal,
}

impl Scenario {
    pub(crate) const ALL: [Self; 7] = [
        Self::Election,
        Self::Kill,
        Self::Resign,
        Self::Preempt,
        Self::NoPreempt,
        Self::Tie,
        Self::Heal,
    ];

    /// Its name in the names of tests.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Election => "election",
            Self::Kill => "kill",
            Self::Resign => "resign",
            Self::Preempt => "preempt",
            Self::NoPreempt => "no-preempt",
            Self::Tie => "tie",
            Self::Heal => "heal",
        }
    }

    /// What is done and what has to be seen, for the report.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Election => {
                "Both start at once. The better one becomes active. The time is from the start of its \
                 process to its first advert."
            }
            Self::Kill => {
                "The machine of the active one dies: its cable first, then all its processes. The other \
                 takes over. The time is from the death to the other's first advert."
            }
            Self::Resign => {
                "The active one gets SIGTERM. The other takes over before its active-down interval \
                 could have expired, where the active one says goodbye. The time is from the signal to \
                 the other's first advert."
            }
            Self::Preempt => {
                "The machine of the better one dies, boots and starts its daemon, which takes over \
                 again. The time is from the start of its process to its first advert."
            }
            Self::NoPreempt => {
                "The same with preemption off: the one that came back listens and says nothing for \
                 longer than its active-down interval, and the other stays active."
            }
            Self::Tie => {
                "Equal ranks. One becomes active; the two are cut off from each other until both are; \
                 they are joined again, and one stays: in VRRP the first, whose address is higher, in \
                 CARP, as ucarp and our own dialect have it, the second. The time is from the joining to \
                 the last advert of the one that gave way; 0 ms if it sent none any more."
            }
            Self::Heal => {
                "The two are cut off from each other until both are active, and joined again. The better \
                 one stays. The time is from the joining to the last advert of the other; 0 ms if it sent \
                 none any more. Ours sends one last advert of its own when it gives way, so that the \
                 better one announces the address again."
            }
        }
    }

    /// The ranks of the first and the second.
    pub(crate) const fn ranks(self) -> [Rank; 2] {
        match self {
            Self::Tie => [Rank::Equal, Rank::Equal],
            Self::Election
            | Self::Kill
            | Self::Resign
            | Self::Preempt
            | Self::NoPreempt
            | Self::Heal => [Rank::Better, Rank::Worse],
        }
    }
}

impl Cell {
    pub(crate) fn name(self) -> String {
        let (variant, scenario) = (self.variant.name(), self.scenario.name());
        format!("{variant}/{}-before-{}/{scenario}", self.first.name(), self.second.name())
    }

    /// Whether it runs with all tests: elections, deaths and stops of every variant with every peer,
    /// each way round.
    pub(crate) fn is_heart(self) -> bool {
        let with_peer = (self.first == Kind::Ours) != (self.second == Kind::Ours);
        match self.scenario {
            Scenario::Election | Scenario::Kill | Scenario::Resign => with_peer,
            Scenario::Preempt | Scenario::NoPreempt | Scenario::Tie | Scenario::Heal => false,
        }
    }
}

/// The pairs of a variant: each of its speakers with each, itself included.
pub(crate) fn pairs(variant: Variant) -> impl Iterator<Item = (Kind, Kind)> {
    let speakers = variant.speakers();
    speakers.iter().flat_map(move |&first| speakers.iter().map(move |&second| (first, second)))
}

/// All cells.
pub(crate) fn matrix() -> impl Iterator<Item = Cell> {
    let with_pair = |variant| pairs(variant).map(move |pair| (variant, pair));
    Variant::ALL.into_iter().flat_map(with_pair).flat_map(|(variant, (first, second))| {
        let cell = move |scenario| Cell { variant, first, second, scenario };
        Scenario::ALL.into_iter().map(cell)
    })
}
