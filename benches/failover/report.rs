//! The result as tables and as JSON.

mod faults;

use std::fmt::Write;

use carp_benches::stats::{Spread, millis};
use serde_json::{Value, json};

use crate::contender::{Candidate, Contender};
use crate::cost::Cost;
use crate::fault::FaultRound;
use crate::flood::FloodRound;
use crate::guard::GuardCost;
use crate::round::{ASKS_EVERY, Round};

/// All that one run of this program has measured.
pub(crate) struct Outcome {
    pub(crate) machine: String,
    pub(crate) contenders: Vec<Candidate>,
    pub(crate) rounds: Vec<Round>,
    pub(crate) costs: Vec<Cost>,
    /// Those of the faults, in which all that can speak VRRPv3 do.
    pub(crate) equals: Vec<Candidate>,
    pub(crate) faults: Vec<FaultRound>,
    pub(crate) floods: Vec<FloodRound>,
    pub(crate) guards: Vec<GuardCost>,
}

/// A figure of a round.
pub(crate) struct Figure {
    pub(crate) label: &'static str,
    /// Whether the picture has it, too. An outage depends on when in an interval the machine died, and
    /// numbers of questions are no times.
    pub(crate) drawn: bool,
    pub(crate) of: fn(&Round) -> f64,
}

/// A figure that is drawn.
const fn drawn(label: &'static str, of: fn(&Round) -> f64) -> Figure {
    Figure { label, drawn: true, of }
}

/// A figure that is in the tables only.
const fn told(label: &'static str, of: fn(&Round) -> f64) -> Figure {
    Figure { label, drawn: false, of }
}

/// What the rounds have shown, in milliseconds but for the last two.
pub(crate) const FIGURES: [Figure; 9] = [
    told("crash: outage", |round| millis(round.crash.outage)),
    told("crash: from death to expiry (theory)", |round| millis(round.crash.theory)),
    drawn("crash: first advert after expiry", |round| round.crash.advert),
    drawn("crash: first gratuitous ARP after expiry", |round| round.crash.announcement),
    drawn("crash: first answer after expiry", |round| round.crash.answer),
    drawn("planned stop: largest gap", |round| millis(round.stop.gap)),
    drawn("failback: largest gap", |round| millis(round.failback.gap)),
    told("planned stop: unanswered questions", |round| round.stop.lost as f64),
    told("failback: unanswered questions", |round| round.failback.lost as f64),
];

/// What the machine itself does.
pub(crate) const NOTHING: Figure =
    drawn("nothing happens: largest gap", |round| millis(round.steady));

impl Outcome {
    /// The figures of one daemon.
    pub(crate) fn figures(&self, contender: Contender, of: fn(&Round) -> f64) -> Vec<f64> {
        let rounds = self.rounds.iter().filter(|round| round.contender == contender);
        rounds.map(of).collect()
    }

    /// Markdown, for a terminal as well as for the documentation.
    pub(crate) fn tables(&self) -> String {
        let names: Vec<_> = self.contenders.iter().map(Candidate::title).collect();
        let asks = millis(ASKS_EVERY);
        let mut text = format!("{}; the client asks every {asks} ms\n\n", self.machine);
        let mut tables = Vec::new();
        if !self.rounds.is_empty() {
            tables.push(self.round_table(&names));
        }
        if !self.costs.is_empty() {
            tables.push(markdown(&self.cost_rows()));
        }
        if !self.faults.is_empty() {
            tables.push(faults::fault_table(self));
        }
        if !self.floods.is_empty() {
            let ours = names.first().map_or("carp", String::as_str);
            tables.push(faults::flood_table(&self.floods, ours));
        }
        if !self.guards.is_empty() {
            tables.push(faults::guard_table(&self.guards));
        }
        text.push_str(&tables.join("\n"));
        text
    }

    fn round_table(&self, names: &[String]) -> String {
        let rounds = self.rounds.len() / self.contenders.len().max(1);
        let mut rows = vec![[&[format!("{rounds} rounds: median (min–max), ms")], names].concat()];
        for Figure { label, of, .. } in FIGURES.iter().chain([&NOTHING]) {
            let cells = self.contenders.iter().map(|candidate| {
                let spread = Spread::of(self.figures(candidate.contender, *of));
                spread.map_or_else(|| "–".to_owned(), cell)
            });
            rows.push(std::iter::once((*label).to_owned()).chain(cells).collect());
        }
        markdown(&rows)
    }

    fn cost_rows(&self) -> Vec<Vec<String>> {
        let header = ["steady cost of one router", "CPU s/min", "PSS MiB", "processes"];
        let more = ["wake-ups an advert", "system calls an advert"];
        let mut rows = vec![header.into_iter().chain(more).map(str::to_owned).collect::<Vec<_>>()];
        for cost in &self.costs {
            let candidate = self.contenders.iter().find(|c| c.contender == cost.contender);
            let title = candidate.map_or_else(String::new, Candidate::title);
            rows.push(vec![
                format!("{title}, {}", cost.role.state()),
                format!("{:.4}", cost.cpu),
                format!("{:.1}", cost.pss),
                cost.processes.to_string(),
                format!("{:.1}", cost.wakeups),
                cost.calls.map_or_else(|| "–".to_owned(), |calls| format!("{calls:.1}")),
            ]);
        }
        rows
    }

    /// Every single figure.
    pub(crate) fn json(&self) -> Value {
        let round = |round: &Round| {
            let mut object = json!({ "daemon": round.contender.name(), "round": round.number });
            for Figure { label, of, .. } in FIGURES.iter().chain([&NOTHING]) {
                object[*label] = of(round).into();
            }
            object
        };
        let cost = |cost: &Cost| {
            json!({
                "daemon": cost.contender.name(),
                "server": cost.role.name(),
                "processes": cost.processes,
                "cpu_seconds_a_minute": cost.cpu,
                "pss_mebibytes": cost.pss,
                "wakeups_an_advert": cost.wakeups,
                "system_calls_an_advert": cost.calls,
            })
        };
        let versions = self
            .contenders
            .iter()
            .map(|c| (c.contender.name().to_owned(), c.version.clone().into()));
        json!({
            "machine": self.machine,
            "versions": Value::Object(versions.collect()),
            "rounds": self.rounds.iter().map(round).collect::<Vec<_>>(),
            "costs": self.costs.iter().map(cost).collect::<Vec<_>>(),
            "faults": self.faults.iter().map(faults::fault_json).collect::<Vec<_>>(),
            "floods": self.floods.iter().map(faults::flood_json).collect::<Vec<_>>(),
            "guards": self.guards.iter().map(faults::guard_json).collect::<Vec<_>>(),
        })
    }
}

impl Candidate {
    /// What it is called in a table.
    pub(crate) fn title(&self) -> String {
        // A distribution may add when it was packaged; that is in the JSON.
        let version = self.version.split(['+', '-']).next().unwrap_or_default();
        format!("{} {version} ({})", self.contender.name(), self.protocol())
    }
}

/// One line about a round, while it goes on.
pub(crate) fn progress(number: usize, of: usize, candidate: &Candidate, round: &Round) -> String {
    format!(
        "{number:3}/{of} {:10}  crash {:7.1} ms, answer {:+8.2} ms after expiry; stop {:7.2} ms, \
         {} lost; failback {:7.2} ms, {} lost; steady {:.2} ms",
        candidate.contender.name(),
        millis(round.crash.outage),
        round.crash.answer,
        millis(round.stop.gap),
        round.stop.lost,
        millis(round.failback.gap),
        round.failback.lost,
        millis(round.steady),
    )
}

/// A spread as text, without its unit. Of large figures, no fractions.
pub(crate) fn cell(Spread { median, min, max, .. }: Spread) -> String {
    let digits = if min >= 100.0 || max == max.trunc() { 0 } else { 2 };
    format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
}

fn markdown(rows: &[Vec<String>]) -> String {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        // Writing to a string does not fail.
        let _ = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
        if number == 0 {
            let rules = widths.iter().map(|width| "-".repeat(*width));
            let _ = writeln!(text, "|-{}-|", rules.collect::<Vec<_>>().join("-|-"));
        }
    }
    text
}
