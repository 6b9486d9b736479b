//! Which rsync this node has.

use std::ffi::OsString;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::task::spawn_local;

use super::{Done, Engine, peer};
use crate::runner::{Outcome, RunnerHandle};
use crate::sync::rsync::version::{ARGUMENTS, Rsync};

/// How long `rsync -VV` may take.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

impl Engine {
    pub(super) fn ask_version(&mut self) {
        if self.asking_version || self.rsync.is_some() {
            return;
        }
        self.asking_version = true;
        let mut argv = vec!["rsync".into()];
        argv.extend(ARGUMENTS.map(Into::into));
        let (runner, done) = (self.runner.clone(), self.done.clone());
        spawn_local(async move {
            let asked = ask_version(&runner, argv).await;
            let _ = done.send(Done::Version(asked));
        });
    }
}

async fn ask_version(runner: &RunnerHandle, argv: Vec<OsString>) -> Result<Rsync, String> {
    let job = peer::job(argv, VERSION_LIMIT)?;
    let mut stream = runner.stream(job).await.map_err(|error| error.to_string())?;
    let mut output = Vec::new();
    let read = (&mut stream.stdout).take(1 << 20).read_to_end(&mut output).await;
    let report = stream.finished().await;
    match report.outcome {
        Outcome::CouldNotStart(text) => {
            return Err(format!("{text}; install the package rsync"));
        }
        Outcome::Exited(_)
        | Outcome::Signaled(_)
        | Outcome::TimedOut { .. }
        | Outcome::Stopped { .. }
        | Outcome::Lost(_) => {}
    }
    read.map_err(|error| error.to_string())?;
    Rsync::parse(&output).map_err(|error| error.to_string())
}
