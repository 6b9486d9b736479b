//! Which rsync this node has. One that cannot be used is asked again, so that installing another one is enough.

use std::ffi::OsString;
use std::time::Duration;

use carp_proto::Instant;
use tokio::io::AsyncReadExt;
use tokio::task::spawn_local;

use super::call::LAST_WORDS;
use super::{Done, Engine, now, peer};
use crate::event::EventKind;
use crate::runner::{Outcome, RunnerHandle};
use crate::sync::hold::Hold;
use crate::sync::pace::Backoff;
use crate::sync::rsync::version::{ARGUMENTS, Rsync, VersionError};

/// How long `rsync --version --version` may take.
const VERSION_LIMIT: Duration = Duration::from_secs(10);

/// What is known of this node's rsync.
#[derive(Debug, Default)]
pub(super) struct Program {
    /// What it said last, or why it cannot be used; `None` before it has answered for the first time.
    answer: Option<Result<Rsync, Hold>>,
    asking: bool,
    /// When to ask again; `None` if there is no reason to.
    again: Option<Instant>,
    backoff: Backoff,
}

impl Program {
    /// The program, if it can be used.
    pub(super) fn usable(&self) -> Option<Rsync> {
        self.answer.as_ref()?.as_ref().ok().copied()
    }

    /// Why it cannot be used, if it has answered.
    pub(super) fn hold(&self) -> Option<&Hold> {
        self.answer.as_ref()?.as_ref().err()
    }

    /// A call did not work as if it were another program than before: it is asked once more.
    pub(super) fn doubt(&mut self) {
        self.again.get_or_insert(Instant::ZERO);
    }

    fn is_due(&self, now: Instant) -> bool {
        !self.asking && (self.answer.is_none() || self.again.is_some_and(|at| at <= now))
    }
}

impl Engine {
    pub(super) fn ask_version(&mut self, now: Instant) {
        if !self.rsync.is_due(now) {
            return;
        }
        self.rsync.asking = true;
        let mut argv = vec!["rsync".into()];
        argv.extend(ARGUMENTS.map(Into::into));
        let (runner, done) = (self.runner.clone(), self.done.clone());
        spawn_local(async move {
            let asked = ask_version(&runner, argv).await;
            let _ = done.send(Done::Version(asked));
        });
    }

    pub(super) fn version_told(&mut self, told: Result<Rsync, VersionError>) {
        let told = told.map_err(|error| error.hold());
        let program = &mut self.rsync;
        program.asking = false;
        program.again = match &told {
            Ok(_) => {
                program.backoff = Backoff::default();
                None
            }
            Err(_) => Some(now() + program.backoff.fail()),
        };
        let before = program.answer.replace(told.clone());
        match (before, told) {
            (Some(Err(before)), Err(hold)) if before == hold => {}
            (_, Err(hold)) => {
                let text = format!("data is not kept in step: {}", hold.message);
                self.events.tell(None, EventKind::Fault { text });
            }
            (Some(Err(_)), Ok(rsync)) => {
                let text = format!("rsync {} is here now: data is kept in step", rsync.version);
                self.events.tell(None, EventKind::Log { text });
            }
            (Some(Ok(_)) | None, Ok(_)) => {}
        }
    }
}

async fn ask_version(runner: &RunnerHandle, argv: Vec<OsString>) -> Result<Rsync, VersionError> {
    let job = peer::job(argv, VERSION_LIMIT).map_err(VersionError::Missing)?;
    let stream = runner.stream(job).await;
    let mut stream = stream.map_err(|error| VersionError::Missing(error.to_string()))?;
    let mut output = Vec::new();
    let (mut report, mut said) = (None, (&mut stream.stdout).take(1 << 20));
    let read = tokio::select! {
        biased;
        read = said.read_to_end(&mut output) => read.map(|_| ()),
        // One that hangs inside the kernel keeps its output open.
        () = async {
            report = Some(stream.program.finished().await);
            tokio::time::sleep(LAST_WORDS).await;
        } => Ok(()),
    };
    let report = match report {
        Some(report) => report,
        None => stream.program.finished().await,
    };
    match report.outcome {
        Outcome::CouldNotStart(text) => {
            // Its name is not to be corrected, as that of a hook would be.
            let text = text.strip_suffix(": write the full path").unwrap_or(&text);
            return Err(VersionError::Missing(text.to_owned()));
        }
        Outcome::Lost(text) => return Err(VersionError::Missing(text)),
        Outcome::Exited(_)
        | Outcome::Signaled(_)
        | Outcome::TimedOut { .. }
        | Outcome::Stopped { .. } => {}
    }
    read.map_err(|error| VersionError::Missing(error.to_string()))?;
    Rsync::parse(&output)
}
