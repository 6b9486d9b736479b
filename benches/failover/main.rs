//! How fast an address moves, and what it costs to keep it: our daemon beside its peers, in one run.
//!
//! Two servers, a client and a switch, as `carp-node`'s lab builds them, in private network namespaces.
//! Every round crashes the primary, lets it come back and stops it as planned, with each daemon in
//! turn, so that whatever else the machine does strikes all of them alike. Then come the steady cost, the
//! faults that a daemon may have while its machine lives, and, with our daemon alone, floods of rejected
//! packets. What is measured, and how, is told in `docs/performance.md`.

mod contender;
mod cost;
mod fault;
mod flood;
mod guard;
mod picture;
mod rack;
mod report;
mod round;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use carp_benches::program::{self, Measured};
use carp_benches::{Result, machine};
use carp_node::lab::Lab;
use clap::{Parser, ValueEnum};

use crate::contender::{Candidate, Contender, Manner};
use crate::report::Outcome;

/// A part of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Chapter {
    /// Crash, failback and planned stop
    Failover,
    /// What it costs when nothing happens, our guard apart
    Cost,
    /// Daemons that are killed, stopped or cut off, and addresses that are deleted
    Faults,
    /// Rejected packets at our daemon
    Floods,
}

/// Measures failover and steady cost of `carp`, and of keepalived and ucarp where they are installed.
#[derive(Debug, Parser)]
#[command(name = "failover")]
struct Arguments {
    /// How often each daemon crashes, comes back and is stopped
    #[arg(long, default_value_t = 20)]
    runs: usize,
    /// Only these daemons
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Contender>,
    /// How often each daemon goes through the faults, and ours through the floods; never more often than
    /// `--runs`
    #[arg(long, default_value_t = 5)]
    fault_runs: usize,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    chapters: Vec<Chapter>,
    /// For how long the steady cost is measured, in seconds; 0 leaves it out
    #[arg(long, default_value_t = 60)]
    steady: u64,
    #[command(flatten)]
    measured: Measured,
    /// Also draw the result
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// Also write every single figure
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    program::run(measure)
}

fn measure(lab: &Lab, arguments: &Arguments) -> Result<()> {
    let carp = arguments.measured.carp()?;
    let contenders: Vec<_> = contender::installed(&carp, &arguments.only)?;
    let equals = contenders.iter().map(|candidate| candidate.with(Manner::Vrrp3)).collect();
    let mut outcome = Outcome {
        machine: machine::describe(),
        contenders,
        rounds: Vec::new(),
        costs: Vec::new(),
        equals,
        faults: Vec::new(),
        floods: Vec::new(),
        guards: Vec::new(),
    };
    for (chapter, measure) in CHAPTERS {
        if arguments.chapters.is_empty() || arguments.chapters.contains(&chapter) {
            measure(lab, arguments, &mut outcome)?;
        }
    }
    println!("{}", outcome.tables());
    if let Some(path) = &arguments.json {
        write(path, &format!("{:#}\n", outcome.json()))?;
    }
    if let Some(path) = &arguments.svg {
        write(path, &picture::draw(&outcome))?;
    }
    Ok(())
}

/// Measures a part.
type Measure = fn(&Lab, &Arguments, &mut Outcome) -> Result<()>;

const CHAPTERS: [(Chapter, Measure); 4] = [
    (Chapter::Failover, failover),
    (Chapter::Cost, costs),
    (Chapter::Faults, faults),
    (Chapter::Floods, floods),
];

fn failover(lab: &Lab, arguments: &Arguments, outcome: &mut Outcome) -> Result<()> {
    for number in 1..=arguments.runs {
        for candidate in &outcome.contenders {
            let round = round::play(lab, candidate, number)?;
            eprintln!("{}", report::progress(number, arguments.runs, candidate, &round));
            outcome.rounds.push(round);
        }
    }
    Ok(())
}

fn costs(lab: &Lab, arguments: &Arguments, outcome: &mut Outcome) -> Result<()> {
    if arguments.steady == 0 {
        return Ok(());
    }
    let time = Duration::from_secs(arguments.steady);
    outcome.costs = cost::measure(lab, &outcome.contenders, time)?;
    if let Some(ours) = ours(&outcome.contenders) {
        outcome.guards = guard::measure(lab, ours, time)?;
    }
    Ok(())
}

fn faults(lab: &Lab, arguments: &Arguments, outcome: &mut Outcome) -> Result<()> {
    let runs = arguments.fault_runs.min(arguments.runs);
    for number in 1..=runs {
        for candidate in &outcome.equals {
            let round = fault::play(lab, candidate, number)?;
            eprintln!("{number:3}/{runs} faults, {}", candidate.title());
            outcome.faults.push(round);
        }
    }
    Ok(())
}

fn floods(lab: &Lab, arguments: &Arguments, outcome: &mut Outcome) -> Result<()> {
    let Some(ours) = ours(&outcome.contenders) else { return Ok(()) };
    let runs = arguments.fault_runs.min(arguments.runs);
    for number in 1..=runs {
        eprintln!("{number:3}/{runs} floods");
        outcome.floods.extend(flood::play(lab, ours, number)?);
    }
    Ok(())
}

/// Our daemon, if it is measured.
fn ours(contenders: &[Candidate]) -> Option<&Candidate> {
    contenders.iter().find(|candidate| candidate.contender == Contender::Carp)
}

fn write(path: &std::path::Path, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
