//! What many runs had in common: how long takeovers took, times without a holder and with two, and takeovers that nobody
//! needed.

use std::time::Duration;

use carp_proto::sim::{
    Chance, Claim, Fault, Lan, Record, Scenario, ScenarioError, Span, Verdict, View, Violation,
};
use carp_proto::{Demotion, Protocol};

use super::calm::calm;
use super::shown::end;
use super::takeover::takeovers;

/// One run.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) number: u64,
    pub(super) scenario: Scenario,
    pub(super) verdict: Verdict,
    /// From what was done until another host had the addresses.
    pub(super) takeovers: Vec<Duration>,
    /// The times without a holder, after there was one.
    pub(super) gaps: Vec<Duration>,
    /// The time for which two hosts or more had the addresses.
    pub(super) two: Duration,
    /// Takeovers from a router that lived and could be heard.
    pub(super) false_takeovers: u64,
    /// How often an active router could advertise while all was well.
    pub(super) intervals: u64,
}

impl Run {
    pub(super) fn new(number: u64, scenario: Scenario, verdict: Verdict, lan: &Lan) -> Self {
        let end = end(&scenario, None, lan);
        let mut run = Self {
            number,
            scenario,
            verdict,
            takeovers: Vec::new(),
            gaps: Vec::new(),
            two: Duration::ZERO,
            false_takeovers: 0,
            intervals: 0,
        };
        for link in 0..lan.links() {
            run.takeovers.extend(takeovers(lan, link, end));
            let record = lan.record();
            let since = since_held(record, link, end);
            let gaps = record.times(link, since, |hosts| hosts == 0);
            run.gaps.extend(gaps.into_iter().map(Span::length));
            let two = record.times(link, since, |hosts| hosts.count_ones() > 1);
            run.two += two.into_iter().map(Span::length).sum::<Duration>();
        }
        run.count_false_takeovers(lan, end);
        run
    }

    /// On the first link, in [calm times](calm): takeovers from a router that is not worse, although it was active and
    /// could be heard.
    fn count_false_takeovers(&mut self, lan: &Lan, end: Duration) {
        let calm = calm(lan, end);
        for host in 0..lan.hosts() {
            let views = lan.record().views(host, 0, end);
            let serving = views.iter().filter(|(_, view)| *view == View::Serving);
            let within = |span: Span| calm.iter().filter_map(move |calm| span.within(*calm));
            let interval = lan.router(host, 0).config().standing().interval();
            for span in serving.flat_map(|(span, _)| within(*span)) {
                let whole = span.length().as_nanos() / interval.as_nanos().max(1);
                self.intervals += u64::try_from(whole).unwrap_or(0);
            }
        }
        let is_calm = |at: Duration| calm.iter().any(|span| span.from <= at && at < span.to);
        let claims = lan.record().claims.iter();
        let is_false = |it: &&Claim| it.link == 0 && it.unbeaten != 0 && is_calm(it.at);
        self.false_takeovers = claims.filter(is_false).count() as u64;
    }

    pub(super) fn without(&self) -> Duration {
        self.gaps.iter().sum()
    }
}

/// What is looked at of a link: from when somebody had the addresses for the first time.
pub(super) fn since_held(record: &Record, link: usize, end: Duration) -> Span {
    let held = record.times(link, Span { from: Duration::ZERO, to: end }, |hosts| hosts != 0);
    Span { from: held.first().map_or(end, |span| span.from), to: end }
}

/// What the theory of losses says of takeovers that nobody needs, for two hosts: docs/simulation.md.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theory {
    /// Adverts that have to be lost one after the other.
    pub(super) adverts: u32,
    /// Takeovers in a million advert intervals.
    pub(super) per_million: f64,
}

impl Theory {
    /// For two hosts on one link, if losses are the same all the time, the backup takes the adverts in, and the better
    /// host serves in calm times, whatever is done.
    fn of(scenario: &Scenario) -> Result<Option<Self>, ScenarioError> {
        let loss = scenario.weather.loss;
        let changes = scenario.steps.iter().any(|step| matches!(step.fault, Fault::Weather(_)));
        if scenario.hosts.len() != 2 || scenario.links() != 1 || loss == Chance::NEVER || changes {
            return Ok(None);
        }
        let lan = scenario.lan()?;
        let [one, other] = [0, 1].map(|host| lan.router(host, 0).config());
        let better = one.standing().rank(Demotion::NONE) >= other.standing().rank(Demotion::NONE);
        let (active, backup) = if better { (one, other) } else { (other, one) };
        let returns = active.preempts() && active.preempt_delay().is_zero();
        if scenario.steps.iter().any(|step| !returns || unsettles(&step.fault)) {
            return Ok(None);
        }
        let interval = active.standing().interval();
        if backup.protocol() == Protocol::Vrrp2 && backup.standing().interval() != interval {
            return Ok(None);
        }
        let wait = backup.active_down_behind(interval);
        // Those that fall into the wait; one at its very end comes too late.
        let adverts = wait.as_nanos().div_ceil(interval.as_nanos().max(1)).saturating_sub(1);
        let adverts = u32::try_from(adverts).unwrap_or(u32::MAX);
        let p = f64::from(loss.parts()) / f64::from(Chance::ALWAYS.parts());
        let per_million = 1e6 * (1.0 - p) * p.powi(i32::try_from(adverts).unwrap_or(i32::MAX));
        Ok(Some(Self { adverts, per_million }))
    }
}

/// Whether another router than the better one may serve in calm times after it, or with another interval.
const fn unsettles(fault: &Fault) -> bool {
    matches!(
        fault,
        Fault::Demote { .. }
            | Fault::Rerank { .. }
            | Fault::Retime { .. }
            | Fault::Prefer { .. }
            | Fault::Yield { .. }
            | Fault::Remove { .. }
            | Fault::Refuse { .. }
            | Fault::InUse { .. }
    )
}

/// All runs.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) runs: u64,
    pub(super) theory: Option<Theory>,
    /// How long all takeovers took.
    pub(super) takeovers: Vec<Duration>,
    /// The lengths of all gaps.
    pub(super) gaps: Vec<Duration>,
    /// The time without a holder, a run.
    pub(super) without: Vec<Duration>,
    /// The time with two holders, a run.
    pub(super) two: Vec<Duration>,
    pub(super) false_takeovers: u64,
    pub(super) intervals: u64,
    violations: Vec<(u64, Violation)>,
    worst: Option<Run>,
}

impl Tally {
    pub(super) fn new(scenario: &Scenario) -> Result<Self, ScenarioError> {
        Ok(Self {
            runs: 0,
            theory: Theory::of(scenario)?,
            takeovers: Vec::new(),
            gaps: Vec::new(),
            without: Vec::new(),
            two: Vec::new(),
            false_takeovers: 0,
            intervals: 0,
            violations: Vec::new(),
            worst: None,
        })
    }

    pub(super) fn add(&mut self, run: Run) {
        self.runs += 1;
        self.takeovers.extend(&run.takeovers);
        self.gaps.extend(&run.gaps);
        self.without.push(run.without());
        self.two.push(run.two);
        self.false_takeovers += run.false_takeovers;
        self.intervals += run.intervals;
        if let Some(violation) = &run.verdict.violation {
            self.violations.push((run.number, violation.clone()));
        }
        let badness = |run: &Run| (run.verdict.violation.is_some(), run.without(), run.two);
        if self.worst.as_ref().is_none_or(|worst| badness(&run) > badness(worst)) {
            self.worst = Some(run);
        }
    }

    /// The run with a violation, or else the one with the longest time without a holder.
    ///
    /// # Panics
    /// Without any run.
    pub(super) fn worst(&self) -> &Run {
        self.worst.as_ref().expect("there is at least one run")
    }

    pub(super) fn violations(&self) -> &[(u64, Violation)] {
        &self.violations
    }
}

/// How long something took, over many times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spread {
    pub(super) median: Duration,
    pub(super) p90: Duration,
    pub(super) p99: Duration,
    pub(super) longest: Duration,
}

impl Spread {
    /// Of these times; `None` of none.
    pub(super) fn of(times: &[Duration]) -> Option<Self> {
        let mut sorted = times.to_vec();
        sorted.sort_unstable();
        let longest = *sorted.last()?;
        // The least value that so many percent do not exceed.
        let percent = |part: usize| sorted[(sorted.len() * part).div_ceil(100).max(1) - 1];
        Some(Self { median: percent(50), p90: percent(90), p99: percent(99), longest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_made_of_times_that_occurred() {
        let times: Vec<_> = (1..=200).rev().map(Duration::from_millis).collect();
        let spread = Spread::of(&times).unwrap();
        let of = [spread.median, spread.p90, spread.p99, spread.longest].map(|it| it.as_millis());
        assert_eq!(of, [100, 180, 198, 200]);
        assert!(Spread::of(&[]).is_none());
    }
}
