//! The shares of a configuration, for the verbs that need no daemon.

use std::path::Path;

use carp_node::config::{Config, SyncSpec};

use crate::exit::{Exit, Failure};

/// Reads a configuration.
pub(super) fn load(path: &Path) -> Result<Config, Failure> {
    let loaded = Config::load(path).map_err(|error| {
        let message = error.to_string();
        Failure::new(Exit::Configuration, message.trim_end())
            .with_help(format!("see `carp check {}`", path.display()))
    })?;
    Ok(loaded.config)
}

/// The share of this name, or all of them. There is at least one.
pub(super) fn chosen<'a>(
    config: &'a Config,
    name: Option<&str>,
) -> Result<Vec<&'a SyncSpec>, Failure> {
    let is_chosen = |share: &&SyncSpec| name.is_none_or(|name| share.name == name);
    let shares: Vec<&SyncSpec> = config.shares.iter().filter(is_chosen).collect();
    if !shares.is_empty() {
        return Ok(shares);
    }
    let known: Vec<&str> = config.shares.iter().map(|share| share.name.as_str()).collect();
    Err(Failure::failed(match (name, known.as_slice()) {
        (Some(name), [_, ..]) => {
            format!("no share {name:?}: this configuration has {}", known.join(", "))
        }
        (_, _) => "no share is configured: add a table like [sync.www]".to_owned(),
    }))
}
