//! What can go wrong in the lab.

use std::io;
use std::time::Duration;

/// Why the lab could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// The kernel refused something.
    #[error("the lab cannot {doing}: {source}")]
    System {
        /// What was tried: it completes "the lab cannot …".
        doing: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A condition did not come true in time.
    #[error("waited {} ms in vain for {what}", limit.as_millis())]
    TimedOut {
        /// The condition: it completes "waited for …".
        what: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// A process ended before it did what was waited for.
    #[error("{process} ended ({status}) before {what}; it said:\n{said}")]
    Ended {
        /// Which process.
        process: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What was waited for.
        what: String,
        /// All that it printed.
        said: String,
    },
    /// A host is switched off, so that nothing can be done on it.
    #[error("{host} is switched off: boot it first")]
    Off {
        /// Its name.
        host: String,
    },
    /// An address is not written as `ADDRESS/PREFIX`.
    #[error("`{found}` is not an address with a prefix length, as 192.0.2.1/24 is")]
    Address {
        /// What was written.
        found: String,
    },
    /// `nft`, which drops frames for the lab, is not installed or refused a rule.
    #[error("nft cannot drop frames: {said}; install nftables to use this fault")]
    Nft {
        /// What nft, or the kernel about nft, said.
        said: String,
    },
}

/// Says what was being done when a call failed.
pub(super) trait Doing<T> {
    /// Wraps the error; `what` completes "the lab cannot …".
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, LabError>;
}

impl<T, E: Into<io::Error>> Doing<T> for Result<T, E> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, LabError> {
        self.map_err(|error| LabError::System { doing: what(), source: error.into() })
    }
}
