//! A program that measures in the lab.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use carp_node::lab::{self, Entered, Lab};
use clap::{Args, Parser};

use crate::Result;

/// Which `carp` is measured.
#[derive(Clone, Debug, Args)]
pub struct Measured {
    /// The `carp` to measure; without, the one that was built beside this program
    #[arg(long, value_name = "PROGRAM")]
    carp: Option<PathBuf>,
}

impl Measured {
    /// Where it is.
    ///
    /// # Errors
    /// It is not there.
    pub fn carp(&self) -> Result<PathBuf> {
        let path = match &self.carp {
            Some(path) => path.clone(),
            None => std::env::current_exe()?.with_file_name("carp"),
        };
        fs::canonicalize(&path).map_err(|error| {
            let path = path.display();
            format!(
                "no carp at {path} ({error}): build it with `cargo build --release -p carp-cli`"
            )
            .into()
        })
    }
}

/// Reads the arguments, enters the lab, and measures there. What went wrong is printed; the exit code is 7
/// if there can be no lab on this machine.
pub fn run<A: Parser>(measure: impl FnOnce(&Lab, &A) -> Result<()>) -> ExitCode {
    lab::init();
    let arguments = A::parse();
    let tell = |error: &dyn std::error::Error| eprintln!("{}: {error}", A::command().get_name());
    match lab::enter() {
        Ok(Entered::Inside(lab)) => match measure(&lab, &arguments) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tell(&*error);
                ExitCode::FAILURE
            }
        },
        Ok(Entered::Ended(status)) => status,
        Err(error) => {
            tell(&error);
            ExitCode::from(7)
        }
    }
}
