//! The result in words and as JSON.

use std::fmt::Write;
use std::time::Duration;

use carp_node::config::format_duration;
use carp_proto::sim::{HostSpec, SpecSpeech, Violation};
use serde_json::{Value, json};

use super::file::Plan;
use super::shown::Shown;
use super::tally::{Spread, Tally};
use crate::args::Simulate;
use crate::exit::Failure;
use crate::output::Table;

pub(super) fn text(plan: &Plan, tally: &Tally, shown: &Shown, arguments: &Simulate) -> String {
    let lasts = format_duration(plan.scenario.until);
    let runs = if tally.runs == 1 { "1 run".into() } else { format!("{} runs", tally.runs) };
    let mut text = format!("{runs} of {lasts}, seed {}\n", arguments.seed);
    for host in &plan.scenario.hosts {
        let _ = writeln!(text, "  {}: {}", host.name, described(host));
    }
    let mut table = Table::new(&["", "COUNT", "MEDIAN", "90 %", "99 %", "LONGEST"]);
    row(&mut table, "takeover, each time", &tally.takeovers);
    row(&mut table, "without a holder, each time", &tally.gaps);
    row(&mut table, "without a holder, a run", &tally.without);
    row(&mut table, "with two holders, a run", &tally.two);
    let _ = write!(text, "\n{}", table.render());
    let _ = write!(text, "\nfalse takeovers: {}", tally.false_takeovers);
    let _ = write!(text, " in {} advert intervals", tally.intervals);
    if let Some(theory) = tally.theory {
        let expected = theory.per_million * tally.intervals as f64 / 1e6;
        let _ = write!(
            text,
            "; theory: {expected:.1}, as {} adverts have to be lost in a row",
            theory.adverts
        );
    }
    text += "\n";
    for (number, violation) in tally.violations().iter().take(10) {
        let _ = writeln!(text, "run {number}: {violation}");
    }
    let held = if tally.violations().is_empty() { "none" } else { "see above" };
    let _ = writeln!(text, "invariants violated: {held}");
    if let Some(violation) = &shown.violation {
        let _ = writeln!(text, "\n{}", small(violation, shown, arguments));
    }
    text
}

/// The small run that violates an invariant, and how to look at it.
fn small(violation: &Violation, shown: &Shown, arguments: &Simulate) -> String {
    let hosts = shown.scenario.hosts.len();
    let mut text = format!("made small, to {hosts} nodes: {violation}\n");
    for host in &shown.scenario.hosts {
        let _ = writeln!(text, "  {}: {}", host.name, described(host));
    }
    for step in shown.steps() {
        let _ = writeln!(text, "  {step}");
    }
    text += &match &arguments.save {
        Some(path) => format!("`carp replay {}` shows all of it", path.display()),
        None => "`--save FILE` saves it, and `carp replay FILE` shows all of it".to_owned(),
    };
    text
}

fn row(table: &mut Table, what: &str, times: &[Duration]) {
    let mut cells = vec![what.to_owned(), times.len().to_string()];
    match Spread::of(times) {
        None => cells.extend(["-"; 4].map(str::to_owned)),
        Some(Spread { median, p90, p99, longest }) => {
            cells.extend([median, p90, p99, longest].map(seconds));
        }
    }
    table.row(cells);
}

/// Seconds to the millisecond.
fn seconds(time: Duration) -> String {
    let millis = (time.as_micros() + 500) / 1000;
    format!("{}.{:03} s", millis / 1000, millis % 1000)
}

/// The routers of a host.
fn described(host: &HostSpec) -> String {
    let routers = host.routers.iter().map(|spec| {
        let speech = match spec.speech {
            SpecSpeech::Carp { dialect, advbase, advskew } => {
                format!("CARP {dialect} {}+{}/256 s", advbase.get(), advskew.get())
            }
            SpecSpeech::Vrrp2 { priority, interval } => {
                format!("VRRP version 2, priority {priority}, every {interval}")
            }
            SpecSpeech::Vrrp3 { priority, interval, .. } => {
                format!("VRRP version 3, priority {priority}, every {interval}")
            }
        };
        let preempts = if spec.preempt { ", preempts" } else { "" };
        format!("{speech}{preempts}")
    });
    routers.collect::<Vec<_>>().join("; ")
}

pub(super) fn json(
    plan: &Plan,
    tally: &Tally,
    shown: &Shown,
    arguments: &Simulate,
) -> Result<String, Failure> {
    let violations = tally.violations().iter().map(|(number, violation)| {
        json!({
            "run": number,
            "invariant": violation.invariant.name(),
            "at_ms": millis(violation.at),
            "text": violation.text,
        })
    });
    let worst = tally.worst();
    let smallest = shown.violation.as_ref().map(|violation| {
        json!({
            "invariant": violation.invariant.name(),
            "nodes": shown.scenario.names(),
            "steps": shown.steps(),
            "hash": shown.hash.to_string(),
        })
    });
    let object = json!({
        "schema": "carp.simulate/1",
        "seed": arguments.seed,
        "runs": tally.runs,
        "run_ms": millis(plan.scenario.until),
        "nodes": plan.scenario.hosts.iter().map(|host| &host.name).collect::<Vec<_>>(),
        "takeover": spread(&tally.takeovers),
        "no_holder": spread(&tally.gaps),
        "no_holder_a_run": spread(&tally.without),
        "two_holders_a_run": spread(&tally.two),
        "false_takeovers": {
            "count": tally.false_takeovers,
            "intervals": tally.intervals,
            "theory_per_million": tally.theory.map(|theory| theory.per_million),
            "adverts_lost_in_a_row": tally.theory.map(|theory| theory.adverts),
        },
        "violations": violations.collect::<Vec<_>>(),
        "worst": {
            "run": worst.number,
            "no_holder_ms": millis(worst.without()),
            "hash": worst.verdict.hash.to_string(),
        },
        "smallest": smallest,
    });
    let text = serde_json::to_string(&object);
    let text = text.map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
    Ok(text + "\n")
}

fn spread(times: &[Duration]) -> Value {
    let Some(Spread { median, p90, p99, longest }) = Spread::of(times) else {
        return json!({ "count": 0 });
    };
    json!({
        "count": times.len(),
        "median_ms": millis(median),
        "p90_ms": millis(p90),
        "p99_ms": millis(p99),
        "longest_ms": millis(longest),
    })
}

/// Decimal milliseconds, to the microsecond.
fn millis(time: Duration) -> f64 {
    (time.as_nanos() as f64 / 1e3).round() / 1e3
}
