//! Playing a scenario, and saying whether all invariants held.

use alloc::format;
use alloc::string::String;
use core::time::Duration;

use super::fault::Fault;
use super::host::View;
use super::lan::Lan;
use super::oracle::{Bounds, HOLD, Invariant, Violation};
use super::random::Chance;
use super::record::Span;
use super::scenario::{Scenario, ScenarioError};
use super::trace::TraceHash;
use crate::election::TieBreak;
use crate::id::Protocol;

/// The longest time after which a guard takes an address down from a daemon that hangs.
const GUARD_LIMIT: Duration = Duration::from_secs(1);

/// What came of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verdict {
    /// The fingerprint of the run.
    pub hash: TraceHash,
    /// The first invariant that did not hold.
    pub violation: Option<Violation>,
    /// How long it lasted, in virtual time.
    pub lasted: Duration,
}

/// Plays a scenario, and says whether all invariants held.
///
/// # Errors
/// [`ScenarioError`] if the scenario cannot be played.
pub fn judge(scenario: &Scenario) -> Result<Verdict, ScenarioError> {
    let mut lan = scenario.lan()?;
    Ok(judge_on(scenario, &mut lan))
}

/// Plays a scenario on its LAN, on which nothing has happened yet; so its trace can be read afterwards, and
/// it may have more noise or another origin.
pub fn judge_on(scenario: &Scenario, lan: &mut Lan) -> Verdict {
    let mut court = Court { lan, found: None, vetoed: false };
    court.play(scenario);
    if scenario.settles && court.found.is_none() {
        court.settle();
    }
    let found = court.found;
    let violation = lan.violation().cloned().or(found);
    Verdict { hash: lan.trace().hash(), violation, lasted: lan.elapsed() }
}

/// A run that is watched.
struct Court<'a> {
    lan: &'a mut Lan,
    found: Option<Violation>,
    /// Whether a router was told that somebody else has its addresses: it may let them have these.
    vetoed: bool,
}

impl Court<'_> {
    fn play(&mut self, scenario: &Scenario) {
        self.lan.boot_all();
        let ends = scenario.steps.iter().skip(1).map(|step| step.at).chain([scenario.until]);
        for (step, end) in scenario.steps.iter().zip(ends) {
            self.lan.run_until(step.at);
            let bounds = Bounds::of(self.lan);
            let gap = self.allowed_gap(&bounds, &step.fault);
            let during = Span { from: self.lan.elapsed(), to: end };
            self.lan.apply(step.fault);
            self.vetoed |= matches!(step.fault, Fault::InUse { .. });
            if let Some(allowed) = gap {
                self.lan.run_until(end);
                self.check_gap(during, allowed, &format!("after {:?}", step.fault));
            }
            if self.has_found() {
                return;
            }
        }
        self.lan.run_until(scenario.until);
    }

    fn has_found(&self) -> bool {
        self.found.is_some() || self.lan.violation().is_some()
    }

    fn find(&mut self, invariant: Invariant, text: String) {
        let at = self.lan.elapsed();
        self.found.get_or_insert_with(|| Violation::of_run(invariant, at, text));
    }
}

/// A single fault where all is well.
impl Court<'_> {
    /// How long nobody may have the addresses because of this, if all is well and it is about the active
    /// router, or about one that comes to take part beside it.
    fn allowed_gap(&self, bounds: &Bounds, fault: &Fault) -> Option<Duration> {
        let host = fault.host()?;
        if self.vetoed || self.may_yield_to_each_other() {
            return None;
        }
        if matches!(fault, Fault::Boot { .. } | Fault::Start { .. } | Fault::PlugIn { .. }) {
            let comes = !bounds.groups && self.is_calm_but_for(bounds, Some(host));
            return comes.then(|| bounds.slack());
        }
        if !self.is_calm_but_for(bounds, None) || self.lan.active(0).next() != Some(host) {
            return None;
        }
        let slack = bounds.slack();
        let alone = self.lan.hosts() < 2;
        let skew = match self.lan.router(host, 0).config().protocol() {
            Protocol::Carp => Duration::ZERO,
            Protocol::Vrrp2 | Protocol::Vrrp3 => bounds.interval.max(Duration::from_secs(1)),
        };
        let model = self.lan.plan(host).model;
        let window = self.lan.router(host, 0).config().handover();
        match *fault {
            _ if alone || bounds.groups => None,
            Fault::Crash { .. } | Fault::Unplug { .. } => Some(bounds.patience + slack),
            // It gives the addresses away before a successor can have them.
            Fault::Stop { .. }
            | Fault::Yield { .. }
            | Fault::Restart { .. }
            | Fault::Rerank { .. }
            | Fault::Prefer { .. }
                if window < skew + slack =>
            {
                Some(skew + slack)
            }
            // With more than two hosts several rise, and all but the best go again.
            Fault::Stop { .. } | Fault::Yield { .. } if self.lan.hosts() == 2 => {
                Some(Duration::ZERO)
            }
            // One that comes back may take over again.
            Fault::Stop { .. }
            | Fault::Yield { .. }
            | Fault::Restart { .. }
            | Fault::Rerank { .. }
            | Fault::Prefer { .. } => Some(slack),
            Fault::Kill { .. } if model.guard => Some(skew + slack),
            Fault::Freeze { .. } if model.guard => Some(GUARD_LIMIT + skew + slack),
            Fault::Remove { .. } => Some(model.notice + slack),
            Fault::Kill { .. }
            | Fault::Freeze { .. }
            | Fault::Weather(_)
            | Fault::Cut { .. }
            | Fault::Split { .. }
            | Fault::Heal
            | Fault::PlugIn { .. }
            | Fault::Pause { .. }
            | Fault::Boot { .. }
            | Fault::Start { .. }
            | Fault::Demote { .. }
            | Fault::Retime { .. }
            | Fault::Refuse { .. }
            | Fault::InUse { .. } => None,
        }
    }

    /// Whether two routers have equal ranks, and one of them a rule by which whoever hears the other yields: both can.
    fn may_yield_to_each_other(&self) -> bool {
        let ranks = |host: usize| self.lan.rank(host, 0);
        let yields =
            |host: usize| self.lan.router(host, 0).config().policy().tie == TieBreak::HearerYields;
        (0..self.lan.hosts())
            .any(|one| (0..one).any(|it| ranks(one) == ranks(it) && (yields(one) || yields(it))))
    }

    /// Whether one host serves, all others wait, and everybody hears everybody; and nothing has changed for as
    /// long as a backup waits for an advert. One that is absent takes no part, and nothing is cut that it would
    /// hear.
    fn is_calm_but_for(&self, bounds: &Bounds, absent: Option<usize>) -> bool {
        let lan = &self.lan;
        let hosts = 0..lan.hosts();
        let is_absent = |host: usize| absent == Some(host);
        let waiting = lan.hosts() - 1 - usize::from(absent.is_some());
        let takes_no_part = |view| matches!(view, View::Off | View::Down | View::Init);
        let changed_at = lan.record().changes.last().map_or(Duration::ZERO, |change| change.at);
        lan.weather().loss == Chance::NEVER
            && lan.elapsed() >= changed_at + bounds.patience
            && (0..lan.links()).all(|link| {
                let count = |view| hosts.clone().filter(|it| lan.view(*it, link) == view).count();
                let hears = |from: usize, to: usize| {
                    let part = is_absent(from) || is_absent(to);
                    let hears = lan.reaches(link, from, to);
                    from == to || hears || part && !lan.is_cut(link, from, to)
                };
                let all_hear = hosts.clone().all(|from| hosts.clone().all(|to| hears(from, to)));
                let gone = absent.is_none_or(|it| takes_no_part(lan.view(it, link)));
                let one = count(View::Serving) == 1 && count(View::Backup) == waiting && gone;
                let fit = hosts.clone().all(|host| !lan.refuses(host));
                one && all_hear && fit && lan.holding(link) == 1
            })
    }

    fn check_gap(&mut self, during: Span, allowed: Duration, why: &str) {
        for link in 0..self.lan.links() {
            let gap = self.lan.record().longest(link, during, |hosts| hosts == 0);
            if gap > allowed {
                let text = format!(
                    "nobody has the addresses for {gap:?} {why}, which is more than {allowed:?}"
                );
                self.find(Invariant::BoundedGap, text);
            }
        }
    }
}

/// All is well from now on.
impl Court<'_> {
    fn settle(&mut self) {
        let was_held = self.is_held() || self.vetoed;
        self.lan.make_well();
        let bounds = Bounds::of(self.lan);
        let from = self.lan.elapsed();
        let was_held = self.run_and_look_for_holds(bounds.convergence()) || was_held;
        self.check_duals(&bounds, from);
        let converged = self.lan.elapsed();
        let delay = self.preempt_delay();
        let waits = was_held || !delay.is_zero() || bounds.groups;
        if self.is_marginal(&bounds) {
            if waits {
                self.let_holds_end(&bounds, delay);
                self.check_while_holds_end(&bounds, from, converged);
            }
            return self.settle_marginal(&bounds);
        }
        if (was_held || !delay.is_zero()) && self.unsettled().is_some() {
            // Who may preempt from now on is at it.
            let extra = bounds.handover + bounds.slack();
            self.lan.run(if bounds.groups { bounds.convergence() } else { extra });
        }
        self.check_settled();
        if self.has_found() {
            return;
        }
        if waits {
            self.let_holds_end(&bounds, delay);
            self.check_while_holds_end(&bounds, from, converged);
            self.check_settled();
        }
        self.check_best();
        if self.has_found() {
            return;
        }
        let before = self.lan.record().changes.len();
        self.lan.run(bounds.patience * 3);
        if self.lan.record().changes.len() != before {
            self.find(Invariant::Stability, "something changes although all is well".into());
        }
        self.check_settled();
    }

    /// Who is held may preempt when that is over. Where the ranks of a group contradict each other, those who try may
    /// find that they must not have the whole group, and are held once more.
    fn let_holds_end(&mut self, bounds: &Bounds, delay: Duration) {
        let hosts = u32::try_from(self.lan.hosts()).unwrap_or(u32::MAX);
        let rounds = if bounds.groups { hosts } else { 1 };
        self.lan.run((bounds.hold() + delay + bounds.convergence()) * rounds);
    }

    /// What preempts while holds and delays end does so where all is well, and so leaves two active and nobody with the
    /// addresses for no longer than anything else.
    fn check_while_holds_end(&mut self, bounds: &Bounds, from: Duration, converged: Duration) {
        self.check_duals(bounds, from);
        if !bounds.groups && !self.vetoed && !self.may_yield_to_each_other() {
            let during = Span { from: converged, to: self.lan.elapsed() };
            self.check_gap(during, bounds.slack(), "although all is well");
        }
    }

    /// Where a late advert is a missed one, the worse router rises again and again, and goes again when it hears the
    /// better one. But somebody has the addresses all the time, and two only for as long as anywhere else.
    fn settle_marginal(&mut self, bounds: &Bounds) {
        let from = self.lan.elapsed();
        self.lan.run(bounds.patience * 3);
        self.check_duals(bounds, from);
        let during = Span { from, to: self.lan.elapsed() };
        for link in 0..self.lan.links() {
            let gap = self.lan.record().longest(link, during, |hosts| hosts == 0);
            let allowed = bounds.slack();
            if gap > allowed {
                let text = format!(
                    "link {link}: nobody has the addresses for {gap:?}, more than {allowed:?}, although all is well"
                );
                self.find(Invariant::Convergence, text);
            }
        }
    }

    /// Lets this time pass, and says whether a router was held meanwhile: often enough to see each hold.
    fn run_and_look_for_holds(&mut self, time: Duration) -> bool {
        let (mut left, mut held) = (time, false);
        while !left.is_zero() {
            let part = left.min(HOLD / 2);
            self.lan.run(part);
            left -= part;
            held |= self.is_held();
        }
        held
    }

    fn check_settled(&mut self) {
        if let Some((invariant, text)) = self.unsettled() {
            self.find(invariant, text);
        }
    }

    /// What is wrong, unless one host is active on all links and has all addresses, and all others wait.
    fn unsettled(&self) -> Option<(Invariant, String)> {
        let mut first = None;
        for link in 0..self.lan.links() {
            let views: alloc::vec::Vec<_> =
                (0..self.lan.hosts()).map(|host| self.lan.view(host, link)).collect();
            let serving = |view: &View| *view == View::Serving;
            let waiting = views.iter().filter(|view| **view == View::Backup).count();
            let one = views.iter().filter(|view| serving(view)).count() == 1;
            let host = views.iter().position(serving);
            let holds = host.is_some_and(|host| self.lan.holds(host, link));
            let alone = self.lan.holding(link) == 1;
            if !(one && holds && alone && waiting + 1 == views.len()) {
                let holders = self.lan.holding(link);
                let text = format!("link {link}: {views:?}, and {holders} have the addresses");
                return Some((Invariant::Convergence, text));
            }
            if *first.get_or_insert(host) != host {
                let text = "the addresses of a group are on different hosts".into();
                return Some((Invariant::WholeGroup, text));
            }
        }
        None
    }

    fn check_duals(&mut self, bounds: &Bounds, from: Duration) {
        let during = Span { from, to: self.lan.elapsed() };
        let allowed = bounds.dual();
        for link in 0..self.lan.links() {
            for one in 0..self.lan.hosts() {
                for other in 0..one {
                    let dual = self.lan.record().longest_dual((one, other), link, during);
                    if dual > allowed {
                        let text = format!(
                            "hosts {other} and {one} are both active for {dual:?} although they hear each \
                             other, which is more than {allowed:?}"
                        );
                        self.find(Invariant::BoundedDual, text);
                    }
                }
            }
            let held = self.lan.record().longest(link, during, |hosts| hosts.count_ones() > 1);
            let allowed = bounds.dual_holders();
            if held > allowed {
                let text = format!("two have the addresses for {held:?}, more than {allowed:?}");
                self.find(Invariant::BoundedDual, text);
            }
        }
    }

    /// Whether a backup's patience ends so closely after the adverts of another router that one that is merely
    /// late on its way is one that is missed. Such intervals cannot be stable.
    fn is_marginal(&self, bounds: &Bounds) -> bool {
        let lan = &self.lan;
        let snapshot = |host: usize, link: usize| lan.router(host, link).snapshot(lan.now());
        let close = |waits: Duration, interval: Duration| {
            waits >= interval && waits <= interval + bounds.delay + bounds.lateness
        };
        let hosts = 0..lan.hosts();
        (0..lan.links()).any(|link| {
            hosts.clone().any(|one| {
                let waits = snapshot(one, link).active_down;
                hosts.clone().any(|it| it != one && close(waits, snapshot(it, link).interval))
            })
        })
    }

    fn is_held(&self) -> bool {
        let (lan, now) = (&self.lan, self.lan.now());
        let held = |host: usize, link: usize| lan.router(host, link).snapshot(now).held;
        (0..lan.hosts()).any(|host| (0..lan.links()).any(|link| held(host, link)))
    }

    fn preempt_delay(&self) -> Duration {
        let lan = &self.lan;
        let delay = |host: usize, link: usize| lan.router(host, link).config().preempt_delay();
        let delays =
            (0..lan.hosts()).flat_map(|host| (0..lan.links()).map(move |link| (host, link)));
        delays.map(|(host, link)| delay(host, link)).max().unwrap_or_default()
    }

    /// Where every router preempts, none is better than the active one.
    fn check_best(&mut self) {
        let lan = &self.lan;
        if lan.links() != 1 {
            return;
        }
        let all_preempt = (0..lan.hosts()).all(|host| lan.is_to_preempt(host));
        let byte = |host: usize| lan.router(host, 0).config().policy().demotion;
        let same = (0..lan.hosts()).all(|host| byte(host) == byte(0));
        let Some(active) = lan.active(0).next().filter(|_| all_preempt && same) else { return };
        let best = (0..lan.hosts()).map(|host| lan.rank(host, 0)).max();
        if best.is_some_and(|best| best > lan.rank(active, 0)) {
            let text = format!("host {active} is active, and another one that preempts is better");
            self.find(Invariant::BestServes, text);
        }
    }
}
