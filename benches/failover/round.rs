//! One round with one daemon: the primary crashes, comes back, and is stopped as planned.

use std::time::{Duration, Instant};

use carp_benches::Result;
use carp_benches::stats::millis;
use carp_node::lab::{Frame, Lab, Prober, Signal, Tap};

use crate::contender::{ACTIVE_DOWN, Candidate, Contender, Role};
use crate::rack::{Rack, VIP, wait_for};

/// How often the client asks. Between two answers there is at least this.
pub(crate) const ASKS_EVERY: Duration = Duration::from_micros(500);

/// Answers that come this late do not count any more.
pub(crate) const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// For how long a server has to answer everything before the next thing happens to it: a client that is
/// still cut off by the last fault would make the next outage look small.
const STEADY: Duration = Duration::from_secs(1);

/// The largest gap of a steady second: more is not steady, on a machine that others use too.
const STEADY_GAP: Duration = Duration::from_millis(20);

/// What belongs to a switch-over: this much before and after the first answer of the new server.
const BEFORE: Duration = Duration::from_millis(100);
const AFTER: Duration = Duration::from_millis(200);

/// What one round has shown.
#[derive(Clone, Debug)]
pub(crate) struct Round {
    pub(crate) contender: Contender,
    pub(crate) number: usize,
    /// The largest gap of a time as long as a switch-over, when nothing happens: what the machine does.
    pub(crate) steady: Duration,
    pub(crate) crash: Crash,
    pub(crate) failback: SwitchOver,
    pub(crate) stop: SwitchOver,
}

/// The primary's machine dies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crash {
    /// The largest gap between two answers.
    pub(crate) outage: Duration,
    /// What the timers make unavoidable: from the death to the expiry.
    pub(crate) theory: Duration,
    /// When the secondary did something for the first time, in milliseconds after the expiry of its
    /// active-down timer: the last advert of the dead primary on the wire, and the interval after it.
    pub(crate) advert: f64,
    pub(crate) announcement: f64,
    pub(crate) answer: f64,
}

/// The address moves while both machines are well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SwitchOver {
    /// The largest gap between two answers.
    pub(crate) gap: Duration,
    /// Questions that nobody answered.
    pub(crate) lost: usize,
}

/// Plays one round on a rack of its own.
pub(crate) fn play(lab: &Lab, candidate: &Candidate, number: usize) -> Result<Round> {
    let name = format!("{}-{number}", candidate.contender.name());
    let mut rack = Rack::new(lab, candidate, &name)?;
    rack.start()?;
    // All frames that the secondary hears and sends, in one order.
    let tap = rack.secondary.host.tap()?;
    let prober = Prober::start(&rack.client, VIP, ASKS_EVERY)?;
    let steady = settle(&prober, Role::Primary)?;
    // Deaths are spread evenly over the interval.
    let phase = (number as f64 * 0.618_034).fract();
    std::thread::sleep(Duration::from_secs_f64(phase));
    let crash = crash(&mut rack, &prober, &tap)?;
    settle(&prober, Role::Secondary)?;
    let failback = failback(&mut rack, &prober)?;
    settle(&prober, Role::Primary)?;
    let stop = planned_stop(&rack, &prober)?;
    Ok(Round { contender: candidate.contender, number, steady, crash, failback, stop })
}

fn crash(rack: &mut Rack<'_>, prober: &Prober, tap: &Tap) -> Result<Crash> {
    let death = rack.primary.host.power_off()?;
    let back = first_answer(prober, Role::Secondary, death)?;
    std::thread::sleep(LAST_ANSWERS);
    let outage = largest_gap(prober, death, back)?;
    let frames = tap.frames();
    let advert_of = |frame: &Frame, role: Role| frame.advert_source() == Some(role.address());
    let last = frames.iter().rfind(|f| f.at <= death && advert_of(f, Role::Primary));
    let expiry = last.ok_or("the primary has never advertised")?.at + ACTIVE_DOWN;
    let mac = rack.secondary.host.mac();
    let announces = |frame: &Frame| {
        frame.announcement().is_some_and(|(said, _)| said.mac == mac && said.address == VIP)
    };
    let first = |what: &str, is: &dyn Fn(&Frame) -> bool| -> Result<f64> {
        let found = frames.iter().find(|frame| frame.at > death && is(frame));
        Ok(beyond(expiry, found.ok_or_else(|| format!("no {what} by the secondary"))?.at))
    };
    Ok(Crash {
        outage,
        theory: expiry.saturating_duration_since(death),
        advert: first("advert", &|frame| advert_of(frame, Role::Secondary))?,
        announcement: first("gratuitous ARP", &announces)?,
        answer: beyond(expiry, back),
    })
}

fn failback(rack: &mut Rack<'_>, prober: &Prober) -> Result<SwitchOver> {
    rack.primary.host.boot()?;
    let start = Instant::now();
    rack.primary.start()?;
    let back = first_answer(prober, Role::Primary, start)?;
    switch_over(prober, back - BEFORE, back + AFTER)
}

fn planned_stop(rack: &Rack<'_>, prober: &Prober) -> Result<SwitchOver> {
    let start = Instant::now();
    rack.primary.daemon()?.signal(Signal::TERM)?;
    let taken = first_answer(prober, Role::Secondary, start)?;
    switch_over(prober, start, taken + AFTER)
}

fn switch_over(prober: &Prober, from: Instant, to: Instant) -> Result<SwitchOver> {
    std::thread::sleep(AFTER + LAST_ANSWERS);
    let asked = prober.probes(from);
    let lost = asked.iter().filter(|probe| probe.sent < to && probe.answer.is_none()).count();
    Ok(SwitchOver { gap: largest_gap(prober, from, to)?, lost })
}

/// Waits until a server has answered everything for a while: the largest gap at the end of that time.
pub(crate) fn settle(prober: &Prober, role: Role) -> Result<Duration> {
    let what = format!("a steady second of the {}", role.name());
    wait_for(&what, steady(prober, role))
}

/// Finds the end of a steady second: the largest gap there.
pub(crate) fn steady(prober: &Prober, role: Role) -> impl FnMut() -> Result<Option<Duration>> {
    let begin = Instant::now();
    move || {
        let since = Instant::now() - STEADY;
        let probes = prober.probes(since);
        let by_role = |probe: &carp_node::lab::Probe| {
            probe.answer.as_ref().is_some_and(|answer| &*answer.by == role.name())
        };
        // The newest are still under way.
        let settled = probes.len().saturating_sub(10);
        if begin.elapsed() < STEADY || settled == 0 || !probes[..settled].iter().all(by_role) {
            return Ok(None);
        }
        let now = Instant::now();
        let steady = largest_gap(prober, since, now)? <= STEADY_GAP;
        if steady { largest_gap(prober, now - BEFORE - AFTER, now).map(Some) } else { Ok(None) }
    }
}

fn first_answer(prober: &Prober, role: Role, since: Instant) -> Result<Instant> {
    let what = format!("an answer by the {}", role.name());
    wait_for(&what, || Ok(prober.first_answer(since, role.name())))
}

/// The largest gap between two answers that begins before `to` and ends after `from`. One that has not ended
/// yet counts as far as `to`.
pub(crate) fn largest_gap(prober: &Prober, from: Instant, to: Instant) -> Result<Duration> {
    // The answer before the gap may be much older than the gap's window.
    let probes = prober.probes(from.checked_sub(Duration::from_secs(2)).unwrap_or(from));
    let mut answers: Vec<_> =
        probes.iter().filter_map(|probe| Some(probe.answer.as_ref()?.at)).collect();
    answers.sort_unstable();
    if answers.last().is_some_and(|last| *last < to) {
        answers.push(to);
    }
    let gaps = answers.windows(2).filter(|pair| pair[0] < to && pair[1] > from);
    gaps.map(|pair| pair[1] - pair[0]).max().ok_or_else(|| "no answers at all".into())
}

/// How much later something was, in milliseconds; less than zero if it was earlier.
fn beyond(expiry: Instant, at: Instant) -> f64 {
    millis(at.saturating_duration_since(expiry)) - millis(expiry.saturating_duration_since(at))
}
