//! The runner and the hooks with real processes.
//!
//! This program is also the runner that its tests start (see `init` in `main`), and with `--daemon`,
//! `--once` and `--spawn` a daemon for them to kill, or to start in an untidy place.

#![expect(
    clippy::unwrap_used,
    reason = "clippy does not take a test without the usual harness for one"
)]

mod hooks;
mod programs;
mod support;

use std::path::Path;
use std::process::ExitCode;
use std::thread;

use carp_node::runner::Runner;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::support::{FORGETFUL, LONG, on_runtime, run_one, shell, stubborn};

fn main() -> ExitCode {
    let is_child = std::env::args().next().as_deref() == Some("carp-runner");
    match std::env::var(FORGETFUL).as_deref() {
        Ok("exit") if is_child => return ExitCode::SUCCESS,
        Ok("hang") if is_child => thread::sleep(LONG * 10),
        Ok(_) | Err(_) => {}
    }
    carp_node::runner::init();
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.as_slice() {
        [_, word, directory] if word == "--daemon" => return daemon(Path::new(directory)),
        [_, word] if word == "--spawn" => return spawn(),
        [_, word, script] if word == "--once" => return run_once(script),
        _ => {}
    }
    let tests = programs::TESTS.iter().chain(hooks::TESTS);
    let tests = tests.map(|(name, test)| Trial::test(*name, move || run(*test))).collect();
    libtest_mimic::run(&Arguments::from_args(), tests).exit_code()
}

fn run(test: fn()) -> Result<(), Failed> {
    test();
    Ok(())
}

/// What `--daemon` does: it runs a hook that notes its id and that of a child, and waits to be killed.
fn daemon(directory: &Path) -> ExitCode {
    let script = stubborn(directory);
    on_runtime(async {
        let runner = Runner::spawn().unwrap().into_handle().unwrap();
        runner.run(shell(&script, LONG)).await;
    });
    ExitCode::FAILURE
}

/// What `--spawn` does: it prints why there is no runner.
fn spawn() -> ExitCode {
    println!("{}", Runner::spawn().unwrap_err());
    ExitCode::SUCCESS
}

/// What `--once` does: it prints what a script prints.
fn run_once(script: &str) -> ExitCode {
    print!("{}", run_one(shell(script, LONG)).output);
    ExitCode::SUCCESS
}
