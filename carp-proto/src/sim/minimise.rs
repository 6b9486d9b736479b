//! From a scenario that fails to a small one that fails too.

use alloc::vec::Vec;
use core::time::Duration;

use super::fault::{Fault, Weather};
use super::host::HostModel;
use super::random::Chance;
use super::scenario::{Scenario, Step};

/// The smallest scenario that can be found by leaving things out, for which `fails` says yes; the scenario
/// itself if that is none.
///
/// Left out are steps, hosts, links and bad weather; times become rounder. `fails` is asked some hundreds of
/// times, and should ask for the same invariant each time.
#[must_use]
pub fn minimise(scenario: &Scenario, fails: impl Fn(&Scenario) -> bool) -> Scenario {
    let mut smallest = Scenario { hash: None, ..scenario.clone() };
    loop {
        let before = smallest.clone();
        drop_steps(&mut smallest, &fails);
        drop_hosts(&mut smallest, &fails);
        drop_links(&mut smallest, &fails);
        calm_down(&mut smallest, &fails);
        shorten(&mut smallest, &fails);
        if smallest == before {
            return smallest;
        }
    }
}

/// Takes the change over if the scenario fails with it.
fn attempt(
    scenario: &mut Scenario,
    fails: &impl Fn(&Scenario) -> bool,
    change: impl FnOnce(&mut Scenario),
) -> bool {
    let mut changed = scenario.clone();
    change(&mut changed);
    let smaller = changed != *scenario && fails(&changed);
    if smaller {
        *scenario = changed;
    }
    smaller
}

/// Leaves out steps: halves first, then ever smaller parts.
fn drop_steps(scenario: &mut Scenario, fails: &impl Fn(&Scenario) -> bool) {
    let mut size = scenario.steps.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < scenario.steps.len() {
            let part = from..(from + size).min(scenario.steps.len());
            if !attempt(scenario, fails, |it| drop(it.steps.drain(part))) {
                from += size;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
}

fn drop_hosts(scenario: &mut Scenario, fails: &impl Fn(&Scenario) -> bool) {
    let mut host = scenario.hosts.len();
    while host > 0 && scenario.hosts.len() > 1 {
        host -= 1;
        attempt(scenario, fails, |it| {
            it.hosts.remove(host);
            it.bugs =
                it.bugs.iter().filter_map(|(at, bug)| Some((less(*at, host)?, *bug))).collect();
            let steps = it
                .steps
                .iter()
                .filter_map(|step| Some(Step { fault: without_host(step.fault, host)?, ..*step }));
            it.steps = steps.collect();
        });
    }
}

/// The number of a host or link after another one was left out.
const fn less(number: usize, gone: usize) -> Option<usize> {
    if number == gone {
        None
    } else if number > gone {
        Some(number - 1)
    } else {
        Some(number)
    }
}

fn without_host(fault: Fault, gone: usize) -> Option<Fault> {
    let less = |host| less(host, gone);
    Some(match fault {
        Fault::Weather(_) | Fault::Heal => fault,
        Fault::Split { sides } => {
            let low = (1 << gone) - 1;
            Fault::Split { sides: sides & low | sides >> 1 & !low }
        }
        Fault::Cut { link, from, to } => Fault::Cut { link, from: less(from)?, to: less(to)? },
        Fault::Unplug { host, link } => Fault::Unplug { host: less(host)?, link },
        Fault::PlugIn { host, link } => Fault::PlugIn { host: less(host)?, link },
        Fault::Freeze { host, time } => Fault::Freeze { host: less(host)?, time },
        Fault::Pause { host, time } => Fault::Pause { host: less(host)?, time },
        Fault::Crash { host } => Fault::Crash { host: less(host)? },
        Fault::Boot { host } => Fault::Boot { host: less(host)? },
        Fault::Kill { host } => Fault::Kill { host: less(host)? },
        Fault::Stop { host } => Fault::Stop { host: less(host)? },
        Fault::Start { host } => Fault::Start { host: less(host)? },
        Fault::Restart { host } => Fault::Restart { host: less(host)? },
        Fault::Yield { host } => Fault::Yield { host: less(host)? },
        Fault::Demote { host, points } => Fault::Demote { host: less(host)?, points },
        Fault::Rerank { host, worse } => Fault::Rerank { host: less(host)?, worse },
        Fault::Retime { host, interval } => Fault::Retime { host: less(host)?, interval },
        Fault::Prefer { host, preempts } => Fault::Prefer { host: less(host)?, preempts },
        Fault::Remove { host, link } => Fault::Remove { host: less(host)?, link },
        Fault::Refuse { host, refuses } => Fault::Refuse { host: less(host)?, refuses },
        Fault::InUse { host, link } => Fault::InUse { host: less(host)?, link },
    })
}

fn drop_links(scenario: &mut Scenario, fails: &impl Fn(&Scenario) -> bool) {
    while scenario.links() > 1 {
        let last = scenario.links() - 1;
        let smaller = attempt(scenario, fails, |it| {
            it.hosts.iter_mut().for_each(|host| host.routers.truncate(last));
            it.steps.retain(|step| step.fault.link().is_none_or(|link| link < last));
        });
        if !smaller {
            return;
        }
    }
}

/// Makes weather and hosts better.
fn calm_down(scenario: &mut Scenario, fails: &impl Fn(&Scenario) -> bool) {
    for milder in [
        |weather: &mut Weather| weather.loss = Chance::NEVER,
        |weather: &mut Weather| weather.duplicate = Chance::NEVER,
        |weather: &mut Weather| weather.reorder = Chance::NEVER,
        |weather: &mut Weather| weather.delay = Duration::ZERO,
        |weather: &mut Weather| weather.jitter = Duration::ZERO,
    ] {
        attempt(scenario, fails, |it| milder(&mut it.weather));
    }
    attempt(scenario, fails, |it| it.noise = Chance::NEVER);
    for host in 0..scenario.hosts.len() {
        for quicker in [
            |model: &mut HostModel| model.lateness = Duration::ZERO,
            |model: &mut HostModel| model.acquire = Duration::ZERO,
            |model: &mut HostModel| model.release = Duration::ZERO,
            |model: &mut HostModel| model.notice = Duration::ZERO,
        ] {
            attempt(scenario, fails, |it| quicker(&mut it.hosts[host].model));
        }
    }
}

/// Makes times rounder, and the end come sooner.
fn shorten(scenario: &mut Scenario, fails: &impl Fn(&Scenario) -> bool) {
    let last = scenario.steps.last().map_or(Duration::ZERO, |step| step.at);
    attempt(scenario, fails, |it| it.until = last);
    for unit in [1_000_000_000, 100_000_000, 1_000_000, 1_000] {
        let round = |time: Duration| {
            let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
            Duration::from_nanos(nanos - nanos % unit)
        };
        for step in 0..scenario.steps.len() {
            attempt(scenario, fails, |it| {
                let earliest = if step == 0 { Duration::ZERO } else { it.steps[step - 1].at };
                let steps: &mut Vec<Step> = &mut it.steps;
                steps[step].at = round(steps[step].at).max(earliest);
            });
        }
    }
}
