//! `carp yield`: resign now.

use std::path::Path;

use super::client;
use crate::exit::Failure;

/// Makes a router yield, and waits until another one has taken over.
pub(crate) fn run(socket: &Path, name: &str) -> Result<(), Failure> {
    client::connect(socket)?.yield_router(name).map_err(|error| client::failure(&error))?;
    println!("{name}: another router has taken over; this one does not preempt for 60 s");
    Ok(())
}
