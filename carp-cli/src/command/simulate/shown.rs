//! The run to look at: of those that violate an invariant a small one, or else the worst.

use std::time::Duration;

use carp_proto::sim::{Invariant, Lan, Scenario, TraceHash, Violation, judge, minimise};

use super::tally::Tally;

/// A run that is saved and drawn.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) scenario: Scenario,
    pub(super) hash: TraceHash,
    /// What is violated in it.
    pub(super) violation: Option<Violation>,
}

impl Shown {
    /// Leaves out of a run that violates an invariant what is not needed for it.
    pub(super) fn of(tally: &Tally) -> Self {
        let worst = tally.worst();
        let found = worst.verdict.violation.as_ref().map(|violation| violation.invariant);
        let small = found.map(|invariant| {
            minimise(&worst.scenario, |scenario| violated(scenario) == Some(invariant))
        });
        let scenario = small.unwrap_or_else(|| worst.scenario.clone());
        match judge(&scenario) {
            Ok(verdict) => Self { scenario, hash: verdict.hash, violation: verdict.violation },
            // What was just played can be played again, but there is no need to rest on that.
            Err(_) => Self {
                scenario: worst.scenario.clone(),
                hash: worst.verdict.hash,
                violation: worst.verdict.violation.clone(),
            },
        }
    }

    /// Its steps in words.
    pub(super) fn steps(&self) -> Vec<String> {
        let names = self.scenario.names();
        let step = |step: &carp_proto::sim::Step| {
            let at = carp_node::config::format_duration(step.at);
            format!("at {at} {}", step.fault.described(&names))
        };
        self.scenario.steps.iter().map(step).collect()
    }
}

fn violated(scenario: &Scenario) -> Option<Invariant> {
    judge(scenario).ok()?.violation.map(|violation| violation.invariant)
}

/// When that is over which is looked at: what the user has asked for, or what has violated an invariant. What comes
/// behind it, when all is made well, is there to be checked.
pub(super) fn end(scenario: &Scenario, violation: Option<&Violation>, lan: &Lan) -> Duration {
    let last = scenario.steps.last().map_or(Duration::ZERO, |step| step.at);
    let asked = scenario.until.max(last);
    violation.map_or(asked, |violation| violation.at.max(asked)).min(lan.elapsed())
}
