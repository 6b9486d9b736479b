//! `carp check`.
use crate::args::Check;
use crate::exit::Failure;
use crate::output::Output;

/// Checks a configuration.
pub(crate) fn run(arguments: &Check, output: &Output) -> Result<u8, Failure> {
    super::run::load(&arguments.file, output)?;
    Ok(0)
}
