//! `carp run`: the daemon, in the foreground.

use std::path::Path;

use carp_node::config::{Config, Loaded};
use carp_node::daemon::{Daemon, StartError};
use carp_node::lock::LockError;
use carp_node::node::Handle;
use carp_node::notify::{Manager, Reporter};
use tokio::signal::unix::{SignalKind, signal};

use crate::exit::{Exit, Failure};
use crate::output::Output;
use crate::privilege;

/// Runs until a signal stops it and its addresses are handed over.
pub(crate) fn run(file: &Path, socket: &Path, output: &Output) -> Result<(), Failure> {
    let config = load(file, output)?;
    privilege::check()?;
    let shares = !config.shares.is_empty();
    let daemon =
        Daemon::prepare(config, socket.to_owned()).map_err(|error| start_failure(error, output))?;
    privilege::keep_needed_only(shares)?;
    let reporter = Reporter::new(service_manager());
    let news = reporter.clone();
    let show = move |event: &carp_node::event::EventRecord| {
        eprintln!("carp: {event}");
        news.note();
    };
    let task = |handle: Handle| async move {
        tokio::join!(reporter.run(&handle), follow_signals(&handle, &reporter));
    };
    daemon.run(show, task).map_err(|error| start_failure(error, output))
}

/// The service manager that started this process. One that cannot be told is no reason not to serve.
fn service_manager() -> Option<Manager> {
    Manager::from_env().unwrap_or_else(|error| {
        eprintln!("carp: warning: {error}; the service manager is told nothing");
        None
    })
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
        StartError::Lock(LockError::Taken { .. }) => Failure::new(Exit::Refused, error.to_string()),
        _ => Failure::failed(error.to_string()),
    }
}

/// TERM and INT hand over and stop, HUP will reload, USR1 shows the status, USR2 yields.
async fn follow_signals(handle: &Handle, reporter: &Reporter) {
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
        return stop(handle, reporter).await;
    };
    loop {
        tokio::select! {
            _ = term.recv() => stop(handle, reporter).await,
            _ = int.recv() => stop(handle, reporter).await,
            _ = hup.recv() => eprintln!("carp: reload is not supported yet: restart to apply changes"),
            _ = usr1.recv() => show_status(handle).await,
            _ = usr2.recv() => handle.yield_all().await,
        }
    }
}

async fn stop(handle: &Handle, reporter: &Reporter) {
    reporter.stopping();
    handle.stop().await;
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
