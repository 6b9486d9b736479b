//! `carp cleanup`: removes what a dead daemon left.

use std::path::Path;

use carp_node::addresses::Record;
use carp_node::backend::linux::Linux;
use carp_node::lock::{LockError, RouterLock};
use carp_node::node::clean_up;

use super::run::load;
use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::privilege;

/// Removes the addresses of every configured router that carry our mark. Addresses of others stay.
pub(crate) fn run(file: &Path, output: &Output) -> Result<(), Failure> {
    let config = load(file, output)?;
    privilege::check()?;
    if let Some(trouble) = Record::open(&config.node.state_dir).trouble() {
        eprintln!("carp: warning: {trouble}");
    }
    for router in &config.routers {
        let _lock =
            RouterLock::take(&router.interface, router.protocol(), router.id).map_err(|error| {
                match error {
                    LockError::Taken { .. } => Failure::new(
                        Exit::Refused,
                        format!("{}: its daemon is running, and has the addresses", router.name),
                    )
                    .with_help("stop the daemon first: it hands over and cleans up itself"),
                    _ => Failure::failed(error.to_string()),
                }
            })?;
        for election in router.elections() {
            let (place, record) = (election.place(), Record::open(&config.node.state_dir));
            let removed = clean_up(&mut Linux, record, &place, &election.addresses())
                .map_err(|error| Failure::failed(format!("{}: {error}", router.name)))?;
            for address in removed {
                println!("{}: removed {address} from {}", router.name, place.interface);
            }
        }
    }
    Ok(())
}
