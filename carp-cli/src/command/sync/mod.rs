//! `carp sync`: data that follow the active router. A file a verb.

mod approve;
mod check;
mod diff;
mod failback;
mod hold;
mod now;
mod pair;
mod rescue;
mod resolve;
mod shares;
mod status;

use std::path::Path;

use carp_node::control::DEFAULT_SOCKET;
use carp_node::sync::engine::{Order, ShareStatus};
use serde_json::Value;

pub(crate) use self::rescue::report_of;
pub(crate) use self::status::too_old;
use super::client;
use crate::args::{Sync, SyncVerb};
use crate::exit::{Exit, Failure};
use crate::output::print;

/// Does what was asked for; returns the exit code.
pub(crate) fn run(arguments: Sync) -> Result<u8, Failure> {
    let Sync { verb, socket } = arguments;
    if socket.is_some() && matches!(verb, SyncVerb::Check(_) | SyncVerb::Pair(_)) {
        return Err(Failure::new(
            Exit::Usage,
            "--socket is for the verbs that ask the daemon: check and pair read the configuration (--config)",
        ));
    }
    let socket = socket.as_deref().unwrap_or(Path::new(DEFAULT_SOCKET));
    match verb {
        SyncVerb::Status { name, json, watch } => {
            return status::run(socket, name.as_deref(), json, watch);
        }
        SyncVerb::Now { name } => now::run(socket, name),
        SyncVerb::Failback { name, json } => failback::run(socket, name, json),
        SyncVerb::Hold { name, reason, release } => hold::run(socket, name, reason, release),
        SyncVerb::Diff { name, json } => diff::run(socket, name, json),
        SyncVerb::Resolve { name, keep } => resolve::run(socket, name, keep),
        SyncVerb::Approve { name } => approve::run(socket, name),
        SyncVerb::Rescue { verb } => rescue::run(socket, verb),
        SyncVerb::Check(arguments) => return check::run(&arguments),
        SyncVerb::Pair(arguments) => pair::run(&arguments),
    }?;
    Ok(0)
}

/// The shares of the daemon, or the one of this name.
///
/// # Errors
/// That there is none.
fn shares(socket: &Path, name: Option<&str>) -> Result<Vec<ShareStatus>, Failure> {
    let report = client::connect(socket)?.status(None).map_err(|error| client::failure(&error))?;
    let known: Vec<String> = report.sync.iter().map(|share| share.name.clone()).collect();
    let shares: Vec<ShareStatus> =
        report.sync.into_iter().filter(|it| name.is_none_or(|name| it.name == name)).collect();
    if !shares.is_empty() {
        return Ok(shares);
    }
    Err(Failure::failed(match (name, known.as_slice()) {
        (Some(name), [_, ..]) => format!("no share {name:?}: this daemon has {}", known.join(", ")),
        (_, _) => "no share is configured: add a table like [sync.www]".to_owned(),
    }))
}

/// Has the daemon do something with a share.
fn order(socket: &Path, share: Option<String>, order: Order) -> Result<Value, Failure> {
    client::connect(socket)?.sync(share, order).map_err(|error| client::failure(&error))
}

/// The same, and prints what came of it in words.
fn say(socket: &Path, share: Option<String>, what: Order) -> Result<(), Failure> {
    let answer = order(socket, share, what)?;
    print(&format!("{}\n", answer["text"].as_str().unwrap_or("done")))
}

/// Prints an answer as JSON.
fn print_json(answer: &Value) -> Result<(), Failure> {
    print(&format!("{answer}\n"))
}
