//! Counts the instructions of what happens with every advert, and holds them to `instructions.toml`.
//!
//! A count does not depend on how busy a machine is. It comes from callgrind, twice for each case: a run of many
//! repetitions less one of few is what the repetitions cost, without the start of the program.
//!
//! It depends on the compiler and on the library that copies bytes, so that there is a tolerance; and on the kind of
//! processor: the budgets are those of x86-64, where valgrind offers no instructions for SHA, whatever the machine has.

mod case;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use carp_benches::Result;
use clap::{Parser, Subcommand};
use serde::Deserialize;

use self::case::CASES;

/// How often a case is repeated in the two runs.
const FEW: u64 = 100;
const MANY: u64 = 1100;

/// Counts the instructions of what happens with every advert.
#[derive(Parser)]
#[command(name = "instructions")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Compare with the budgets
    Check,
    /// Write what is counted as the budgets
    Write,
    /// Do one case so many times: this is what runs under valgrind
    Run { case: String, times: u64 },
}

/// How many percent less than the budget are worth a word: nobody notices when such a case becomes dear again.
const SPARE_PERCENT: u64 = 10;

/// `instructions.toml`.
#[derive(Debug, Deserialize)]
struct Budgets {
    /// How many percent more are no failure.
    tolerance_percent: u64,
    /// The instructions of one repetition of each case.
    instructions: BTreeMap<String, u64>,
}

fn main() -> ExitCode {
    match Arguments::parse().what {
        What::Check => tell(check()),
        What::Write => tell(write()),
        What::Run { case, times } => tell(run(&case, times)),
    }
}

fn tell(result: Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("instructions.toml")
}

fn budgets() -> Result<Budgets> {
    Ok(toml::from_str(&std::fs::read_to_string(path())?)?)
}

fn check() -> Result<()> {
    let Budgets { tolerance_percent, instructions } = budgets()?;
    let (mut over, mut under) = (Vec::new(), Vec::new());
    println!("{:<44} {:>8} {:>8}", "instructions of", "budget", "counted");
    for (case, _) in CASES {
        let counted = count(case)?;
        let budget = *instructions.get(case).ok_or_else(|| format!("{case} has no budget"))?;
        println!("{case:<44} {budget:>8} {counted:>8}");
        if counted * 100 > budget * (100 + tolerance_percent) {
            over.push(case);
        }
        if counted * 100 <= budget * (100 - SPARE_PERCENT) {
            under.push(case);
        }
    }
    if !under.is_empty() {
        let under = under.join(", ");
        eprintln!(
            "warning: {SPARE_PERCENT} % or more below the budget: {under}. Run `make instructions`, or what is won \
             may be lost again unnoticed"
        );
    }
    if instructions.len() != CASES.len() {
        return Err("a budget has no case: run `instructions write`".into());
    }
    if over.is_empty() {
        return Ok(());
    }
    let over = over.join(", ");
    Err(format!(
        "more than the budget and {tolerance_percent} %: {over}. Make it cheaper, or, if it is worth it, \
         run `make instructions` and say why in the commit"
    )
    .into())
}

fn write() -> Result<()> {
    let Budgets { tolerance_percent, .. } = budgets()?;
    let mut text = format!(
        "# The instructions of one repetition of each case in `instructions/case.rs`, as `make instructions`\n\
         # counted them with callgrind. `.ci/run` fails if one is exceeded by more than the tolerance.\n\
         tolerance_percent = {tolerance_percent}\n\n[instructions]\n"
    );
    for (case, _) in CASES {
        text += &format!("\"{case}\" = {}\n", count(case)?);
    }
    Ok(std::fs::write(path(), text)?)
}

/// The instructions of one repetition.
fn count(case: &str) -> Result<u64> {
    let (few, many) = (collected(case, FEW)?, collected(case, MANY)?);
    Ok(many.saturating_sub(few).div_ceil(MANY - FEW))
}

/// The instructions of a whole run.
fn collected(case: &str, times: u64) -> Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["run", case, &times.to_string()])
        .output()
        .map_err(|error| format!("valgrind cannot be started ({error}): install it"))?;
    let told = String::from_utf8_lossy(&output.stderr);
    let collected = told.lines().find_map(|line| line.split_once("Collected :"));
    match collected.map(|(_, count)| count.trim().parse()) {
        Some(Ok(count)) if output.status.success() => Ok(count),
        Some(_) | None => Err(format!("valgrind said of {case}: {told}").into()),
    }
}

fn run(name: &str, times: u64) -> Result<()> {
    let (_, case) =
        CASES.iter().find(|(case, _)| *case == name).ok_or_else(|| format!("no case {name}"))?;
    case(times)
}
