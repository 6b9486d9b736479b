//! `carp`: keeps a service's address alive on two or more Linux servers.
//!
//! This file maps results to exit codes. What was typed is in `args`, what each verb does in a file of
//! its own under `command`.

mod args;
mod command;
mod exit;
mod output;
mod privilege;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::command::{
    check, cleanup, decode, demo, events, keygen, replay, run, scan, simulate, sniff, status, sync,
    r#yield,
};
use crate::exit::Failure;
use crate::output::Output;

fn main() -> ExitCode {
    // This program is also its own helper processes, and the processes of the demo's machines.
    carp_node::guard::init();
    carp_node::runner::init();
    carp_node::lab::init();
    demo::init();
    let Cli { color, command } = Cli::parse();
    let output = Output::new(color);
    match dispatch(command, &output) {
        Ok(code) => code,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.exit.code())
        }
    }
}

fn dispatch(command: Command, output: &Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Demo { json, plot, protocol, interval } => {
            return demo::run(json, plot.as_deref(), protocol, interval, output);
        }
        Command::Run { config, socket } => run::run(&config, &socket.path, output)?,
        Command::Check(arguments) => return check::run(&arguments, output).map(ExitCode::from),
        Command::Status { name, json, exit_state, socket } => {
            let code = status::run(&socket.path, name.as_deref(), json, exit_state)?;
            return Ok(ExitCode::from(code));
        }
        Command::Events { follow, json, socket } => events::run(&socket.path, follow, json)?,
        Command::Yield { name, socket } => r#yield::run(&socket.path, &name)?,
        Command::Cleanup { config } => cleanup::run(&config, output)?,
        Command::Keygen { file } => keygen::run(file.as_deref())?,
        Command::Decode(arguments) => decode::run(&arguments, output)?,
        Command::Sniff(arguments) => sniff::run(&arguments, output)?,
        Command::Scan(arguments) => scan::run(&arguments, output)?,
        Command::Simulate(arguments) => return simulate::run(&arguments, output),
        Command::Replay { recording, plot } => return replay::run(&recording, plot.as_deref()),
        Command::Sync(arguments) => return sync::run(arguments).map(ExitCode::from),
        Command::Later(later) => return Err(Failure::not_supported(later.name())),
    }
    Ok(ExitCode::SUCCESS)
}
