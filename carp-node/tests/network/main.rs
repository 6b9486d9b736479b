//! The backend of Linux against real kernels: what it sends, hears, installs and leaves behind.
//!
//! Two or three hosts of the lab, and no node: the traits of the backend are called as a node calls them.

#![expect(clippy::unwrap_used, reason = "a test fails where something is missing")]

mod addresses;
mod announcements;
mod devices;
mod floods;
mod leases;
mod links;
mod packets;
mod questions;
mod support;

use std::process::ExitCode;

use carp_node::lab::{self, Entered, Lab};
use libtest_mimic::{Arguments, Failed, Trial};
use support::Test;

fn main() -> ExitCode {
    lab::init();
    match lab::enter() {
        Ok(Entered::Inside(lab)) => run_tests(Box::leak(Box::new(lab))),
        Ok(Entered::Ended(status)) => status,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run_tests(lab: &'static Lab) -> ExitCode {
    let tests = [
        packets::TESTS,
        floods::TESTS,
        announcements::TESTS,
        questions::TESTS,
        addresses::TESTS,
        devices::TESTS,
        leases::TESTS,
        links::TESTS,
    ];
    let trial = |&(name, test): &(&str, Test)| {
        Trial::test(name, move || test(lab).map_err(|error| Failed::from(error.to_string())))
    };
    let trials = tests.iter().copied().flatten().map(trial).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
