//! One call of rsync: what it prints is read, and it is ended when it hangs or is no longer wanted.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt::Display;
use std::io;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use carp_proto::Instant;
use tokio::io::AsyncReadExt;
use tokio::sync::Notify;

use super::disk::on_disk;
use super::pass::{End, Plan};
use super::peer::{Trouble, job, now};
use crate::remedy::Told;
use crate::runner::{JobReport, StopSignal, Streamed};
use crate::sync::hold::{Hold, HoldReason};
use crate::sync::rsync::command::{Care, Pass};
use crate::sync::rsync::exit::{self, ERRORS, Outcome, Status};
use crate::sync::rsync::output::{Line, Progress, Reader};
use crate::sync::rsync::watchdog::Watchdog;
use crate::sync::tree::purge_partial;

/// No pass takes longer than this: the watchdog ends it sooner.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a pass has between its signal and SIGKILL: a takeover waits for it.
const GRACE: Duration = Duration::from_secs(1);

/// How long the outputs of a program that has ended may stay open: what it wrote is there already.
pub(super) const LAST_WORDS: Duration = Duration::from_millis(100);

/// Where others look how far a pass is.
pub(super) type Shown = Rc<RefCell<Option<Progress>>>;

/// Why a pass does not go on.
pub(super) enum Stop {
    Held(Hold),
    Failed(Outcome, String),
    Trouble(String),
    /// Everything else is done, and so many files are still to be deleted, if rsync said how many.
    Deletions(Option<u64>),
}

impl From<Hold> for Stop {
    fn from(hold: Hold) -> Self {
        Self::Held(hold)
    }
}

impl From<Trouble> for Stop {
    fn from(trouble: Trouble) -> Self {
        match trouble.outcome {
            Some(outcome) => Self::Failed(outcome, trouble.text),
            None => Self::Trouble(trouble.text),
        }
    }
}

impl Stop {
    /// What this node could not do with its own files, and what to do about it.
    pub(super) fn own(what: impl Display, error: &io::Error) -> Self {
        let outcome = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Outcome::DiskFull,
            _ => Outcome::Disk,
        };
        Self::Failed(outcome, format!("{what}: {}", Told(error)))
    }
}

/// Runs rsync once.
pub(super) async fn rsync(
    plan: &Plan,
    root: &Path,
    care: Care,
    max_delete: u64,
    stop: &Notify,
    shown: &Shown,
    end: &mut End,
) -> Result<(), Stop> {
    let pass = Pass {
        remote: plan.remote.clone(),
        module: plan.name.clone(),
        path: root.to_owned(),
        care,
        max_delete: max_delete.min(u64::from(u32::MAX >> 1)),
        attributes: plan.attributes,
        bandwidth: plan.bandwidth,
        compress: plan.compress,
        exclude: plan.exclude.iter().map(OsString::from).collect(),
    };
    let mut job = job(pass.argv(&plan.rsync), LONGEST).map_err(Stop::Trouble)?;
    // rsync ends in order with both; but with SIGTERM it sleeps for 400 ms first, for a terminal that it has not.
    (job.stop, job.grace) = (StopSignal::Usr1, GRACE);
    let stream = plan.runner.stream(job).await;
    let mut stream = stream.map_err(|error| {
        let text =
            format!("no pipe to rsync: {error}; raise the limit of open files (LimitNOFILE=)");
        Stop::Failed(Outcome::Other, text)
    })?;
    let mut watchdog = Watchdog::new(now());
    let mut why = None;
    let mut reader = Reader::default();
    let mut errors: Vec<u8> = Vec::new();
    let (mut out, mut err) = ([0; 16 * 1024], [0; 4096]);
    let (mut out_open, mut err_open) = (true, true);
    let mut note = |line: Line| {
        if let Line::Progress(progress) = line {
            // In the middle of a file, nothing is said of the others.
            let before = shown.borrow().unwrap_or_default();
            let files = progress.files.or(before.files);
            let to_check = progress.to_check.or(before.to_check);
            *shown.borrow_mut() = Some(Progress { files, to_check, ..progress });
        }
        end.figures.note(&line, plan.dry);
    };
    let mut ended: Option<JobReport> = None;
    let mut last_words = Instant::ZERO;
    let report = loop {
        if !(out_open || err_open)
            && let Some(report) = ended.take()
        {
            break report;
        }
        let runs = ended.is_none();
        let until = if runs { watchdog.deadline() } else { last_words };
        let patience = until.saturating_since(now());
        tokio::select! {
            // What was written is read before anything is made of its end or of its silence.
            biased;
            () = stop.notified(), if runs && why.is_none() => {
                why = Some(Status::Stopped);
                stream.program.stop().await;
            }
            read = stream.stdout.read(&mut out), if out_open => match read {
                Ok(0) | Err(_) => out_open = false,
                Ok(length) => {
                    watchdog.progressed(now());
                    reader.push(&out[..length], &mut note);
                }
            },
            read = stream.stderr.read(&mut err), if err_open => match read {
                Ok(0) | Err(_) => err_open = false,
                Ok(length) => {
                    errors.extend_from_slice(&err[..length]);
                    // More than is shown, so that its first line is whole.
                    let excess = errors.len().saturating_sub(2 * ERRORS);
                    errors.drain(..excess);
                }
            },
            report = stream.program.finished(), if runs => {
                ended = Some(report);
                last_words = now() + LAST_WORDS;
            }
            () = tokio::time::sleep(patience), if runs && why.is_none() => {
                why = look(&stream.program, &mut watchdog, stop).await;
                if why.is_some() {
                    stream.program.stop().await;
                }
            }
            // Whoever has its outputs open still says nothing of the pass, as what hangs inside the kernel.
            () = tokio::time::sleep(patience), if !runs => (out_open, err_open) = (false, false),
        }
    };
    reader.finish(&mut note);
    end.lingers = end.lingers.or(report.lingers);
    let status = match why {
        Some(status) => status,
        None => Status::of(report.outcome).map_err(Stop::Trouble)?,
    };
    let outcome = Outcome::of(status, &errors);
    end.outcome = Some(outcome);
    end.errors = exit::readable(&errors);
    if outcome == Outcome::Complete {
        return Ok(());
    }
    if max_delete == 0 && (outcome == Outcome::MassDelete || exit::left(&errors).is_some()) {
        return Err(Stop::Deletions(exit::left(&errors)));
    }
    if outcome == Outcome::DiskFull {
        // What it had received is what fills the disk.
        let root = root.to_owned();
        if let Err(error) = on_disk(move || purge_partial(&root)).await {
            let text = format!(
                "{}; and what the pass had received cannot be removed: {}",
                outcome.told(&errors),
                Told(&error)
            );
            return Err(Stop::Failed(outcome, text));
        }
    }
    if outcome == Outcome::MassDelete {
        let what = format_args!("the pass would delete more than {max_delete} files");
        return Err(Hold::new(HoldReason::MassDelete, what).into());
    }
    Err(Stop::Failed(outcome, outcome.told(&errors)))
}

/// Looks what a silent pass does: why it has to end, if it has to.
async fn look(program: &Streamed, watchdog: &mut Watchdog, stop: &Notify) -> Option<Status> {
    let work = tokio::select! {
        work = program.work() => work,
        () = stop.notified() => return Some(Status::Stopped),
    };
    watchdog.look(now(), work).then_some(Status::Stuck)
}
