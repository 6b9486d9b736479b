//! Interop with real peers: every variant of the protocols, with every peer that speaks it, each way
//! round, through elections, deaths, stops, returns, ties and cuts.
//!
//! Every cell has a switch, two servers and a client of its own. What happened is judged from outside:
//! the kernel of each server says who holds the address, a client asks who answers for it, and a tap at
//! each server's port hears who advertises.
//!
//! The heart of the matrix runs with all tests. `--include-ignored` runs the whole of it, and with
//! `INTEROP_REPORT=FILE` writes the report: `make interop` does both.

mod cell;
mod fact;
mod report;
mod scenario;
mod speaker;
mod stage;
#[path = "../support/mod.rs"]
#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;
mod variant;

use std::path::PathBuf;
use std::process::ExitCode;

use carp_node::lab::{self, Entered, Lab};
use libtest_mimic::{Arguments, Trial};

use cell::Cell;
use fact::Record;

/// How many cells run side by side, unless the command line says it. They wait most of the time.
const SIDE_BY_SIDE: usize = 6;

fn main() -> ExitCode {
    lab::init();
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
    match lab::enter() {
        Ok(Entered::Inside(lab)) => run(Box::leak(Box::new(lab)), &arguments),
        Ok(Entered::Ended(status)) => status,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(7)
        }
    }
}

fn run(lab: &'static Lab, arguments: &Arguments) -> ExitCode {
    let record: &'static Record = match Record::create(arguments.list) {
        Ok(record) => Box::leak(Box::new(record)),
        Err(error) => {
            eprintln!("the facts cannot be recorded: {error}");
            return ExitCode::FAILURE;
        }
    };
    let trial = |cell: Cell| {
        let play = move || record.keep(cell, &scenario::play(lab, cell));
        Trial::test(cell.name(), play).with_ignored_flag(!cell.is_heart())
    };
    let conclusion = libtest_mimic::run(arguments, cell::matrix().map(trial).collect());
    let Some(path) = std::env::var_os("INTEROP_REPORT").map(PathBuf::from) else {
        return conclusion.exit_code();
    };
    if conclusion.num_filtered_out + conclusion.num_ignored > 0 {
        eprintln!(
            "a report needs the whole matrix: run with --include-ignored and without a filter"
        );
        return ExitCode::FAILURE;
    }
    if let Err(error) = report::write(&path, &record.facts()) {
        eprintln!("{} cannot be written: {error}", path.display());
        return ExitCode::FAILURE;
    }
    conclusion.exit_code()
}
