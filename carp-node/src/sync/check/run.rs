//! Programs that are run to their end. Each ends by itself: connecting takes 3 s at the most, and silence 20 s.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::sync::rsync::command::{ENVIRONMENT, Fetch, Remote};
use crate::sync::rsync::exit::{Outcome, Status};
use crate::sync::rsync::version::{ARGUMENTS, Rsync, VersionError};

/// Which rsync is here.
pub(super) fn version() -> Result<Rsync, VersionError> {
    let mut command = Command::new("rsync");
    let run = command.args(ARGUMENTS).envs(ENVIRONMENT).stdin(Stdio::null()).output();
    let output = run.map_err(|error| VersionError::Missing(error.to_string()))?;
    Rsync::parse(&output.stdout)
}

/// Fetches one small file.
pub(super) fn fetch(
    remote: &Remote,
    module: &str,
    file: &str,
    to: &Path,
) -> Result<Vec<u8>, String> {
    // One that stays from before would be taken for what was fetched.
    let _ = fs::remove_file(to);
    let fetch = Fetch {
        remote: remote.clone(),
        module: module.to_owned(),
        file: file.to_owned(),
        to: to.to_owned(),
    };
    judged(&output(fetch.argv())?)?;
    fs::read(to).map_err(|error| format!("{}: {error}", to.display()))
}

/// Runs a program, and gives what it printed.
pub(super) fn output(argv: Vec<OsString>) -> Result<Output, String> {
    let mut words = argv.into_iter();
    let program = words.next().unwrap_or_default();
    let run = Command::new(&program).args(words).envs(ENVIRONMENT).stdin(Stdio::null()).output();
    run.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            format!("{} is not installed; install the package of this name", program.display())
        }
        _ => format!("{} cannot be started: {error}", program.display()),
    })
}

/// Fails, in words, unless rsync did all that it was to do.
pub(super) fn judged(output: &Output) -> Result<(), String> {
    let status = match (output.status.code(), output.status.signal()) {
        (Some(code), _) => Status::Code(code),
        (None, signal) => Status::Signal(signal.unwrap_or_default()),
    };
    let outcome = Outcome::of(status, &output.stderr);
    if matches!(outcome, Outcome::Complete | Outcome::Vanished) {
        return Ok(());
    }
    Err(outcome.told(&output.stderr))
}
