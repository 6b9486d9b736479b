//! `carp keygen`.
use std::path::Path;

use crate::exit::Failure;

/// Makes a key.
pub(crate) fn run(_file: Option<&Path>) -> Result<(), Failure> {
    Err(Failure::not_supported("carp keygen"))
}
