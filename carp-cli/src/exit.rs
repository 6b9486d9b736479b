//! How a command ends: every exit code, and the error that leads to it.

use thiserror::Error;

/// The exit codes of the contract. Usage errors are clap's and have its code, 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What was asked for failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// The configuration is invalid.
    Configuration = 3,
    /// The configuration is valid, with warnings, and `--strict` was given.
    Warnings = 4,
    /// No daemon at the socket.
    NoDaemon = 5,
    /// Refused by policy.
    Refused = 6,
    /// A privilege, a program or a feature of the kernel is missing.
    Missing = 7,
}

impl Exit {
    /// The number.
    pub(crate) const fn code(self) -> u8 {
        self as u8
    }
}

/// Why a command did not do what was asked.
#[derive(Debug, Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What is wrong; empty if it has been said already.
    pub(crate) message: String,
    /// What to do.
    pub(crate) help: Option<String>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), help: None }
    }

    /// What was asked for failed.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// Something is missing that the host must give.
    pub(crate) fn missing(message: impl Into<String>) -> Self {
        Self::new(Exit::Missing, message)
    }

    /// Everything has been said already.
    pub(crate) fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// A command or an option of a later version.
    pub(crate) fn not_supported(what: &str) -> Self {
        Self::failed(format!("\"{what}\" is not supported yet"))
    }

    /// Adds what to do.
    pub(crate) fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_of_the_contract() {
        let codes = [
            (Exit::Failed, 1),
            (Exit::Usage, 2),
            (Exit::Configuration, 3),
            (Exit::Warnings, 4),
            (Exit::NoDaemon, 5),
            (Exit::Refused, 6),
            (Exit::Missing, 7),
        ];
        for (exit, code) in codes {
            assert_eq!(exit.code(), code);
        }
    }
}
