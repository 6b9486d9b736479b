//! `carp run`: the daemon, in the foreground.

use std::path::Path;

use carp_node::config::{Config, Loaded};
use carp_node::daemon::{Daemon, StartError};
use carp_node::node::Handle;
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::privilege;

/// Runs until a signal stops it and its addresses are handed over.
pub(crate) fn run(file: &Path, socket: &Path, output: &Output) -> Result<(), Failure> {
    let config = load(file, output)?;
    privilege::check()?;
    let daemon =
        Daemon::prepare(config, socket.to_owned()).map_err(|error| start_failure(error, output))?;
    privilege::keep_needed_only()?;
    let show = |event: &carp_node::event::EventRecord| eprintln!("carp: {event}");
    daemon.run(show, follow_signals).map_err(|error| start_failure(error, output))
}

/// Loads a configuration, and shows what is wrong or doubtful about it.
pub(crate) fn load(file: &Path, output: &Output) -> Result<Config, Failure> {
    match Config::load(file) {
        Ok(Loaded { config, warnings, .. }) => {
            output.diagnostics(&warnings);
            Ok(config)
        }
        Err(error) => {
            output.diagnostics(error.diagnostics());
            Err(Failure::silent(Exit::Configuration))
        }
    }
}

fn start_failure(error: StartError, output: &Output) -> Failure {
    match error {
        StartError::Host(diagnostics) => {
            output.diagnostics(&diagnostics);
            Failure::silent(Exit::Configuration)
        }
        StartError::System { source, .. }
            if source.kind() == std::io::ErrorKind::PermissionDenied =>
        {
            Failure::missing(source.to_string())
        }
        StartError::Lock(_) | StartError::Control(_) | StartError::System { .. } => {
            Failure::failed(error.to_string())
        }
    }
}

/// TERM and INT hand over and stop, HUP will reload, USR1 shows the status, USR2 yields.
async fn follow_signals(handle: Handle) {
    let listen = |kind| signal(kind).ok();
    let (Some(mut term), Some(mut int), Some(mut hup), Some(mut usr1), Some(mut usr2)) = (
        listen(SignalKind::terminate()),
        listen(SignalKind::interrupt()),
        listen(SignalKind::hangup()),
        listen(SignalKind::user_defined1()),
        listen(SignalKind::user_defined2()),
    ) else {
        // Without them nobody could stop the daemon in an orderly way.
        eprintln!("carp: error: cannot listen for signals; stopping");
        return handle.stop().await;
    };
    loop {
        tokio::select! {
            _ = term.recv() => handle.stop().await,
            _ = int.recv() => handle.stop().await,
            _ = hup.recv() => eprintln!("carp: reload is not supported yet: restart to apply changes"),
            _ = usr1.recv() => show_status(&handle).await,
            _ = usr2.recv() => handle.yield_all().await,
        }
    }
}

async fn show_status(handle: &Handle) {
    for router in handle.status().await.unwrap_or_default() {
        let phase = router.phase.as_deref().map(|phase| format!(" ({phase})")).unwrap_or_default();
        eprintln!(
            "carp: {}: {}{phase} on {} id {} since {}, cause {}",
            router.name, router.state, router.interface, router.id, router.since, router.cause
        );
    }
}
