//! How fast an address moves, and what it costs to keep it: our daemon beside its peers, in one run.
//!
//! Two servers, a client and a switch, as `carp-node`'s lab builds them, in private network namespaces.
//! Every round crashes the primary, lets it come back and stops it as planned, with each daemon in
//! turn, so that whatever else the machine does strikes all of them alike. What is measured, and how,
//! is told in `docs/performance.md`.

mod contender;
mod cost;
mod machine;
mod picture;
mod rack;
mod report;
mod round;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use carp_node::lab::{self, Entered, Lab};
use clap::Parser;

use crate::contender::Contender;

/// What may go wrong is told, and ends the program.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

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
    /// For how long the steady cost is measured, in seconds; 0 leaves it out
    #[arg(long, default_value_t = 60)]
    steady: u64,
    /// The `carp` to measure; without, the one that was built beside this program
    #[arg(long, value_name = "PROGRAM")]
    carp: Option<PathBuf>,
    /// Also draw the result
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// Also write every single figure
    #[arg(long, value_name = "FILE.json")]
    json: Option<PathBuf>,
}

fn main() -> ExitCode {
    lab::init();
    let arguments = Arguments::parse();
    match lab::enter() {
        Ok(Entered::Inside(lab)) => match measure(&lab, &arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("failover: {error}");
                ExitCode::FAILURE
            }
        },
        Ok(Entered::Ended(status)) => status,
        Err(error) => {
            eprintln!("failover: {error}");
            ExitCode::from(7)
        }
    }
}

fn measure(lab: &Lab, arguments: &Arguments) -> Result<()> {
    let carp = contender::find_carp(arguments.carp.as_deref())?;
    let contenders: Vec<_> = contender::installed(&carp, &arguments.only)?;
    let mut rounds = Vec::new();
    for number in 1..=arguments.runs {
        for candidate in &contenders {
            let round = round::play(lab, candidate, number)?;
            eprintln!("{}", report::progress(number, arguments.runs, candidate, &round));
            rounds.push(round);
        }
    }
    let costs = if arguments.steady == 0 {
        Vec::new()
    } else {
        cost::measure(lab, &contenders, Duration::from_secs(arguments.steady))?
    };
    let outcome = report::Outcome { machine: machine::describe(), contenders, rounds, costs };
    println!("{}", outcome.tables());
    if let Some(path) = &arguments.json {
        write(path, &format!("{:#}\n", outcome.json()))?;
    }
    if let Some(path) = &arguments.svg {
        write(path, &picture::draw(&outcome))?;
    }
    Ok(())
}

fn write(path: &std::path::Path, text: &str) -> Result<()> {
    std::fs::write(path, text)
        .map_err(|error| format!("cannot write {}: {error}", path.display()).into())
}
