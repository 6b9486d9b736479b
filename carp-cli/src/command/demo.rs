//! `carp demo`.
use std::path::PathBuf;
use std::time::Duration;

use crate::args::DemoProtocol;
use crate::exit::Failure;

/// Shows the system.
pub(crate) fn run(
    _json: bool,
    _plot: Option<PathBuf>,
    _protocol: DemoProtocol,
    _interval: Duration,
) -> Result<u8, Failure> {
    Err(Failure::not_supported("carp demo"))
}
