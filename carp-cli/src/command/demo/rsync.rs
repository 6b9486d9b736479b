//! Whether there is an rsync that can be shown.

use std::io;
use std::process::Command;

use carp_node::sync::rsync::version::{ARGUMENTS, Rsync};

use crate::exit::Failure;

/// Debian's package of it.
const PACKAGE: &str = "rsync";

/// Fails if there is none, or an old one.
pub(super) fn expect() -> Result<(), Failure> {
    let help = format!("install the package `{PACKAGE}`, as with `apt-get install {PACKAGE}`");
    let output = match Command::new("rsync").args(ARGUMENTS).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let message = "the demo keeps pages of two servers in step, and there is no rsync here";
            return Err(Failure::missing(message).with_help(help));
        }
        Err(error) => {
            let message = format!("rsync cannot be started: {error}");
            return Err(Failure::missing(message).with_help(help));
        }
    };
    match Rsync::parse(&output.stdout) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::missing(error.to_string()).with_help(help)),
    }
}
