//! The tables of faults, of floods and of the guard.

use carp_benches::stats::Spread;
use serde_json::{Value, json};

use super::{Outcome, cell, markdown};
use crate::contender::{Candidate, Contender};
use crate::fault::{FaultRound, Loss, WATCHED};
use crate::flood::{FloodRound, Kind, RATE, TIME};
use crate::guard::GuardCost;

/// A figure of a round; `None` is what has not come in the time that was watched.
struct Figure {
    label: &'static str,
    of: fn(&FaultRound) -> Option<f64>,
    /// How that is told, before the seconds.
    otherwise: &'static str,
}

/// Something that may not happen.
const fn event(
    label: &'static str,
    otherwise: &'static str,
    of: fn(&FaultRound) -> Option<f64>,
) -> Figure {
    Figure { label, of, otherwise }
}

/// Something that there always is.
const fn figure(label: &'static str, of: fn(&FaultRound) -> Option<f64>) -> Figure {
    event(label, "–", of)
}

const STAYS: &str = "still there after";
const MORE: &str = ">";

/// In milliseconds but for the unanswered questions.
const FIGURES: [Figure; 16] = [
    event("SIGKILL of the process that advertises: address gone after", STAYS, |it| it.killed.gone),
    event("… client served by the other after", MORE, |it| it.killed.served),
    figure("… longest time unanswered", |it| Some(it.killed.unserved)),
    figure("… both servers had the address", |it| Some(it.killed.both)),
    event("SIGSTOP of it: address gone after", STAYS, |it| it.stopped.gone),
    event("… client served by the other after", MORE, |it| it.stopped.served),
    figure("… longest time unanswered", |it| Some(it.stopped.unserved)),
    figure("… both servers had the address", |it| Some(it.stopped.both)),
    event("SIGKILL of all its processes at once: address gone after", STAYS, |it| {
        it.all_killed.gone
    }),
    event("… client served by the other after", MORE, |it| it.all_killed.served),
    figure("… longest time unanswered", |it| Some(it.all_killed.unserved)),
    figure("… both servers had the address", |it| Some(it.all_killed.both)),
    figure("heal of a partition: longest time unanswered", |it| Some(it.heal.unserved)),
    figure("… unanswered questions", |it| Some(it.heal.lost as f64)),
    figure("… both servers had the address", |it| Some(it.heal.both)),
    event("address deleted by somebody: back after", MORE, |it| it.deleted),
];

/// What the faults have shown, daemon by daemon; then what our daemon alone was put to, and what its guard
/// costs, as far as that was measured.
pub(super) fn fault_table(outcome: &Outcome) -> String {
    let candidates = &outcome.equals;
    let of =
        |contender: Contender| outcome.faults.iter().filter(move |it| it.contender == contender);
    let count = candidates.first().map_or(0, |candidate| of(candidate.contender).count());
    let corner = format!("faults, {count} rounds: median (min–max), ms");
    let titles = candidates.iter().map(Candidate::title);
    let mut rows = vec![std::iter::once(corner).chain(titles).collect::<Vec<_>>()];
    for Figure { label, of: figure, otherwise } in &FIGURES {
        let cells = candidates.iter().map(|candidate| {
            limited(&of(candidate.contender).map(figure).collect::<Vec<_>>(), otherwise)
        });
        rows.push(std::iter::once((*label).to_owned()).chain(cells).collect());
    }
    for Own { label, cell, peers } in own(outcome) {
        let cells = candidates.iter().map(|candidate| match candidate.contender {
            Contender::Carp => cell.clone(),
            Contender::Keepalived | Contender::Ucarp => peers.to_owned(),
        });
        rows.push(std::iter::once(label).chain(cells).collect());
    }
    markdown(&rows)
}

/// A row about our daemon alone.
struct Own {
    label: String,
    cell: String,
    /// What stands there for the others.
    peers: &'static str,
}

fn own(outcome: &Outcome) -> Vec<Own> {
    let mut rows = Vec::new();
    let floods: Vec<_> = outcome.floods.iter().filter(|it| it.kind != Kind::Nothing).collect();
    if !floods.is_empty() {
        let late = floods.iter().flat_map(|it| it.lateness.iter().copied());
        let latest = Spread::of(late).map_or_else(|| "–".to_owned(), |it| format!("{:.2}", it.max));
        let moves: usize = floods.iter().map(|it| it.moves).sum();
        let (rate, seconds) = (RATE, TIME.as_secs());
        let label =
            format!("{rate} rejected packets a second for {seconds} s: latest advert late by");
        rows.push(Own { label, cell: latest, peers: "not run" });
        let label = "… times that the address came or left".to_owned();
        rows.push(Own { label, cell: moves.to_string(), peers: "not run" });
    }
    if !outcome.guards.is_empty() {
        let each = |of: fn(&GuardCost) -> String| {
            let cells = outcome.guards.iter().map(|it| format!("{} {}", it.role.state(), of(it)));
            cells.collect::<Vec<_>>().join(", ")
        };
        let label = "the guard: PSS, KiB".to_owned();
        let cell = each(|it| (it.private + it.shared).to_string());
        rows.push(Own { label, cell, peers: "no guard" });
        let label = "… wake-ups a second".to_owned();
        let cell = each(|it| format!("{:.2}", it.wakeups as f64 / it.seconds));
        rows.push(Own { label, cell, peers: "no guard" });
    }
    rows
}

/// A cell for figures of which some have not come.
fn limited(figures: &[Option<f64>], otherwise: &str) -> String {
    let missing = figures.iter().filter(|figure| figure.is_none()).count();
    let not = format!("{otherwise} {} s", WATCHED.as_secs());
    match Spread::of(figures.iter().flatten().copied()) {
        None if missing == 0 => "–".to_owned(),
        None => not,
        Some(spread) if missing == 0 => cell(spread),
        Some(spread) => format!("{}; {missing} of {}: {not}", cell(spread), figures.len()),
    }
}

/// What the floods have shown.
pub(super) fn flood_table(rounds: &[FloodRound], daemon: &str) -> String {
    let header = [
        &format!("{daemon}: adverts under rejected packets"),
        "packets a second",
        "adverts",
        "late: p50, ms",
        "p99",
        "max",
        "a bare timer: max",
        "address moved",
        "CPU, active",
        "CPU, backup",
    ];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for kind in Kind::ALL {
        let of_kind = || rounds.iter().filter(move |round| round.kind == kind);
        let mut late: Vec<_> = of_kind().flat_map(|round| round.lateness.iter().copied()).collect();
        late.sort_by(f64::total_cmp);
        let quantile = |part: f64| {
            let last = late.len().saturating_sub(1);
            let place = (part * last as f64).ceil() as usize;
            // A little less than zero is zero.
            let shown = |value: &f64| format!("{:.2}", (value * 100.0).round() / 100.0 + 0.0);
            late.get(place).map_or_else(|| "–".to_owned(), shown)
        };
        let median = |of: fn(&FloodRound) -> f64, unit: &str| {
            let spread = Spread::of(of_kind().map(of));
            spread.map_or_else(|| "–".to_owned(), |it| format!("{:.0}{unit}", it.median))
        };
        let bare = Spread::of(of_kind().flat_map(|round| round.bare.iter().copied()));
        rows.push(vec![
            kind.label().to_owned(),
            median(|round| round.rate, ""),
            late.len().to_string(),
            quantile(0.5),
            quantile(0.99),
            quantile(1.0),
            bare.map_or_else(|| "–".to_owned(), |it| format!("{:.2}", it.max)),
            of_kind().map(|round| round.moves).sum::<usize>().to_string(),
            median(|round| round.active_cpu, " %"),
            median(|round| round.backup_cpu, " %"),
        ]);
    }
    markdown(&rows)
}

/// What the guard costs.
pub(super) fn guard_table(costs: &[GuardCost]) -> String {
    let header =
        ["the guard", "PSS private KiB", "PSS shared KiB", "RSS KiB", "wake-ups", "in seconds"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for cost in costs {
        let numbers = [cost.private, cost.shared, cost.rss, cost.wakeups];
        let numbers = numbers.iter().map(ToString::to_string);
        let cells = std::iter::once(cost.role.state().to_owned()).chain(numbers);
        rows.push(cells.chain([format!("{:.0}", cost.seconds)]).collect());
    }
    markdown(&rows)
}

/// Every single figure of a round.
pub(super) fn fault_json(round: &FaultRound) -> Value {
    let loss = |it: &Loss| {
        json!({
            "gone_ms": it.gone,
            "served_by_the_other_ms": it.served,
            "unserved_ms": it.unserved,
            "both_ms": it.both,
        })
    };
    json!({
        "daemon": round.contender.name(),
        "round": round.number,
        "watched_ms": WATCHED.as_secs() * 1000,
        "killed": loss(&round.killed),
        "stopped": loss(&round.stopped),
        "all_killed": loss(&round.all_killed),
        "heal": {
            "unserved_ms": round.heal.unserved,
            "unanswered": round.heal.lost,
            "both_ms": round.heal.both,
        },
        "deleted": { "back_ms": round.deleted },
    })
}

pub(super) fn flood_json(round: &FloodRound) -> Value {
    json!({
        "kind": round.kind.label(),
        "round": round.number,
        "packets_a_second": round.rate,
        "late_ms": round.lateness,
        "bare_timer_late_ms": round.bare,
        "moves": round.moves,
        "active_cpu_percent": round.active_cpu,
        "backup_cpu_percent": round.backup_cpu,
    })
}

pub(super) fn guard_json(cost: &GuardCost) -> Value {
    json!({
        "server": cost.role.name(),
        "private_kibibytes": cost.private,
        "shared_kibibytes": cost.shared,
        "rss_kibibytes": cost.rss,
        "wakeups": cost.wakeups,
        "seconds": cost.seconds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_came_is_told_so() {
        assert_eq!(limited(&[], MORE), "–");
        assert_eq!(limited(&[None, None], MORE), "> 8 s");
        assert_eq!(limited(&[None], STAYS), "still there after 8 s");
        assert_eq!(limited(&[Some(2.0), Some(2.0)], MORE), "2 (2–2)");
        assert_eq!(limited(&[Some(2.0), None], MORE), "2 (2–2); 1 of 2: > 8 s");
    }
}
