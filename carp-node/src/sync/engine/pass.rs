//! One pass: the guards before it, rsync, and what makes it count.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;

use super::peer::{self, Trouble, job, now};
use crate::clock::wall_time;
use crate::control::units::WallTime;
use crate::runner::RunnerHandle;
use crate::sync::decide::Pull;
use crate::sync::guards::{self, database, marker, place};
use crate::sync::hold::{Hold, HoldReason};
use crate::sync::lineage::{Epoch, Stamp};
use crate::sync::pattern::Patterns;
use crate::sync::record::{NodeRecord, ShareRecord};
use crate::sync::rescue::{self, Report};
use crate::sync::rsync::command::{Care, Pass, Remote};
use crate::sync::rsync::exit::{self, Next, Outcome, Status};
use crate::sync::rsync::output::{Change, Line, Progress, Reader, Stat};
use crate::sync::rsync::version::Rsync;
use crate::sync::rsync::watchdog::Watchdog;
use crate::sync::tree::purge_partial;

/// How much of rsync's errors is kept.
const ERRORS: usize = 4096;

/// No pass takes longer than this: the watchdog ends it sooner.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a pass has between SIGTERM and SIGKILL: a takeover waits for it.
const GRACE: Duration = Duration::from_secs(1);

/// How many differences are listed.
const LISTED: usize = 1000;

/// What a pass is to do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) runner: RunnerHandle,
    pub(super) rsync: Rsync,
    pub(super) remote: Remote,
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) exclude: Vec<String>,
    pub(super) attributes: bool,
    pub(super) bandwidth: Option<u32>,
    pub(super) compress: bool,
    /// What was decided.
    pub(super) pull: Pull,
    /// What the marker says, as far as is known.
    pub(super) share_id: Option<String>,
    pub(super) from: Option<Epoch>,
    /// How many files may be deleted.
    pub(super) max_delete: u64,
    /// Whether a dry run comes first: much may go.
    pub(super) probes: bool,
    /// Whether cut-off passes may have left something.
    pub(super) purges: bool,
    /// Whether nothing is changed.
    pub(super) dry: bool,
    /// The peer's record when it was decided, its clock then, and this node's.
    pub(super) source: ShareRecord,
    pub(super) source_clock: Stamp,
    pub(super) local_clock: Stamp,
    /// Where small files of this pass go.
    pub(super) scratch: PathBuf,
}

/// What came of a pass.
#[derive(Debug, Default)]
pub(super) struct End {
    /// What rsync's end means; `None` if it did not come to that.
    pub(super) outcome: Option<Outcome>,
    /// What holds the share now.
    pub(super) hold: Option<Hold>,
    /// What is wrong, in words.
    pub(super) trouble: Option<String>,
    /// What was kept.
    pub(super) report: Option<Report>,
    /// What it did, or would do.
    pub(super) figures: Figures,
    /// The peer's record, read after the end of a complete pass.
    pub(super) after: Option<NodeRecord>,
    /// A process of it could not be killed.
    pub(super) lingers: bool,
}

/// The figures of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    /// Files in the share.
    pub(super) files: u64,
    /// Files and other entries that were changed or made.
    pub(super) changed: u64,
    pub(super) deleted: u64,
    /// Bytes of the files that were received.
    pub(super) bytes: u64,
    /// Bytes that crossed the network.
    pub(super) received: u64,
    /// The first differences, in words.
    pub(super) listed: Vec<String>,
}

impl Figures {
    fn note(&mut self, line: &Line) {
        match line {
            Line::Item(item) => {
                let mark = match item.change {
                    Change::Received { new: true } | Change::Created | Change::Linked => "+",
                    Change::Received { new: false } => "~",
                    Change::Attributes => "=",
                    Change::Deleted => "-",
                    Change::Message => return,
                };
                match item.change {
                    Change::Deleted => self.deleted += 1,
                    Change::Received { .. } => {
                        self.changed += 1;
                        self.bytes = self.bytes.saturating_add(item.len);
                    }
                    Change::Created | Change::Linked | Change::Attributes => self.changed += 1,
                    Change::Message => {}
                }
                if self.listed.len() < LISTED {
                    self.listed.push(format!("{mark} {}", String::from_utf8_lossy(&item.path)));
                }
            }
            Line::Stat(Stat::Files, files) => self.files = *files,
            Line::Stat(Stat::Received, bytes) => {
                self.received = self.received.saturating_add(*bytes);
            }
            Line::Stat(..) | Line::Progress(_) | Line::Other(_) => {}
        }
    }

    /// Whether it moved nothing.
    pub(super) fn is_idle(&self) -> bool {
        self.changed == 0 && self.deleted == 0
    }
}

/// Where others look how far a pass is.
pub(super) type Shown = Rc<RefCell<Option<Progress>>>;

/// Why a pass does not go on.
enum Stop {
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

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Trouble(error.to_string())
    }
}

/// Carries a pass out. `stop` ends it, and then nothing of it runs any more when this returns.
pub(super) async fn run(plan: Plan, stop: Rc<Notify>, shown: Shown) -> End {
    let mut end = End::default();
    if let Err(stopped) = carry_out(&plan, &stop, &shown, &mut end).await {
        match stopped {
            Stop::Held(hold) => {
                // What went well before was not the pass.
                end.outcome = end.outcome.filter(|outcome| *outcome != Outcome::Complete);
                end.hold = Some(hold);
            }
            Stop::Failed(outcome, text) => {
                end.outcome = Some(outcome);
                end.trouble = Some(text);
                if let Next::Hold(reason) = outcome.next() {
                    end.hold = Some(Hold::new(reason, outcome.message()));
                }
            }
            Stop::Trouble(text) => end.trouble = Some(text),
            // Whoever lets rsync count deals with the count.
            Stop::Deletions(_) => end.outcome = Some(Outcome::MassDelete),
        }
    }
    shown.borrow_mut().take();
    end
}

async fn carry_out(plan: &Plan, stop: &Notify, shown: &Shown, end: &mut End) -> Result<(), Stop> {
    let patterns = Patterns::new(plan.exclude.iter().map(|text| text.clone().into_bytes()));
    let root = guard(plan, &patterns, stop).await?;
    if plan.dry {
        return rsync(plan, &root, Care::DryRun, u64::MAX, stop, shown, end).await;
    }
    let rescued = plan.pull.rescue.is_some();
    let counts_first = rescued || plan.probes;
    if counts_first {
        let would = dry_run(plan, &root, stop, shown, end).await?;
        if rescued && let Some(hold) = place::rescue_space(&root, would.bytes)? {
            return Err(hold.into());
        }
    }
    let set = match plan.pull.rescue {
        Some(rescue) => Some(begin_set(plan, &root, &patterns, rescue).await?),
        None => None,
    };
    let care = set.as_ref().map_or(Care::Replace, |set| Care::Rescue(set.files()));
    let passed = if counts_first || plan.max_delete == u64::MAX {
        rsync(plan, &root, care, plan.max_delete, stop, shown, end).await
    } else {
        delete_last(plan, &root, stop, shown, end).await
    };
    let complete = passed.is_ok();
    if let Some(set) = set {
        // What was kept is told even if the pass was cut off.
        let finished = spawn_blocking(move || set.finish(complete, WallTime(wall_time()))).await;
        match finished.map_err(io::Error::other).flatten() {
            Ok(report) => end.report = report,
            Err(error) => end.trouble = Some(format!("the report of what was kept: {error}")),
        }
    }
    passed?;
    let purges = plan.purges;
    let synced = spawn_blocking(move || {
        if purges {
            purge_partial(&root)?;
        }
        // One call makes the whole pass last.
        rustix::fs::syncfs(File::open(&root)?).map_err(io::Error::from)
    });
    synced.await.map_err(io::Error::other).flatten()?;
    let to = plan.scratch.join(format!("{}.after", plan.name));
    end.after = Some(peer::read(&plan.runner, &plan.remote, to).await?.record);
    Ok(())
}

/// Counts what a pass would do, and holds if it would delete too much.
async fn dry_run(
    plan: &Plan,
    root: &Path,
    stop: &Notify,
    shown: &Shown,
    end: &mut End,
) -> Result<Figures, Stop> {
    rsync(plan, root, Care::DryRun, u64::MAX, stop, shown, end).await?;
    let would = std::mem::take(&mut end.figures);
    match guards::mass_delete(would.deleted, plan.max_delete) {
        Some(hold) => Err(hold.into()),
        None => Ok(would),
    }
}

/// A pass that deletes nothing until it is known how much that would be. With a limit of none, rsync does
/// everything else, and says how many files it left: so a pass with nothing to delete costs no more than
/// before, and one that deletes goes through the tree twice.
async fn delete_last(
    plan: &Plan,
    root: &Path,
    stop: &Notify,
    shown: &Shown,
    end: &mut End,
) -> Result<(), Stop> {
    let left = match rsync(plan, root, Care::Replace, 0, stop, shown, end).await {
        Err(Stop::Deletions(Some(left))) => left,
        Err(Stop::Deletions(None)) => dry_run(plan, root, stop, shown, end).await?.deleted,
        other => return other,
    };
    if let Some(hold) = guards::mass_delete(left, plan.max_delete) {
        return Err(hold.into());
    }
    // Directories that were not empty are not in the count, and the source goes on.
    let bound = left.saturating_add(plan.max_delete);
    rsync(plan, root, Care::Replace, bound, stop, shown, end).await
}

/// Looks at everything that must be right before a pass.
async fn guard(plan: &Plan, patterns: &Patterns, stop: &Notify) -> Result<PathBuf, Stop> {
    let root = place::real_root(&plan.path)?;
    if let Some(hold) = place::read_only(&root) {
        return Err(hold.into());
    }
    let own = marker::read(&root)?;
    if let Some(hold) = marker::check_own(plan.share_id.as_deref(), own.as_ref(), &root) {
        // What the operator let be replaced may have lost its marker, or never had one.
        if !plan.pull.given_up {
            return Err(hold.into());
        }
    }
    if plan.pull.rescue.is_some() {
        place::rescue_directory(&root, &plan.name)?;
        let (searched, patterns) = (root.clone(), patterns.clone());
        let found = spawn_blocking(move || database::find(&searched, &patterns)).await;
        if let Some(database) = found.map_err(io::Error::other).flatten()? {
            return Err(database::hold(&database).into());
        }
    }
    let to = plan.scratch.join(format!("{}.marker", plan.name));
    let fetching = peer::fetch(&plan.runner, &plan.remote, &plan.name, marker::MARKER, &to);
    let fetched = tokio::select! {
        fetched = fetching => fetched,
        () = stop.notified() => {
            return Err(Stop::Failed(Outcome::Stopped, Outcome::Stopped.message().into()));
        }
    };
    let found = match fetched {
        Ok(bytes) => marker::ShareId::parse(&bytes),
        // rsync says so of a file that is not there.
        Err(Trouble { outcome: Some(Outcome::Partial), .. }) => None,
        Err(trouble) => return Err(trouble.into()),
    };
    let expected = plan.source.share_id.as_deref();
    match marker::check_source(expected, found.as_ref(), &plan.remote.host) {
        Some(hold) => Err(hold.into()),
        None => Ok(root),
    }
}

async fn begin_set(
    plan: &Plan,
    root: &Path,
    patterns: &Patterns,
    rescue: crate::sync::decide::Rescue,
) -> Result<rescue::RescueSet, Stop> {
    let directory = place::rescue_directory(root, &plan.name)?;
    let pull = rescue::Pull {
        share: plan.name.clone(),
        began: WallTime(wall_time()),
        from: plan.from.clone(),
        to: plan.pull.tip.clone(),
    };
    let (root, patterns) = (root.to_owned(), patterns.clone());
    let begun =
        spawn_blocking(move || rescue::begin(&directory, &root, &patterns, &pull, rescue)).await;
    Ok(begun.map_err(io::Error::other).flatten()?)
}

/// Runs rsync once.
async fn rsync(
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
    job.grace = GRACE;
    let mut stream = plan.runner.stream(job).await?;
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
        end.figures.note(&line);
    };
    while out_open || err_open {
        let patience = watchdog.deadline().saturating_since(now());
        tokio::select! {
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
                    let excess = errors.len().saturating_sub(ERRORS);
                    errors.drain(..excess);
                }
            },
            () = stop.notified(), if why.is_none() => {
                why = Some(Status::Stopped);
                stream.stop().await;
            }
            () = tokio::time::sleep(patience), if why.is_none() => {
                why = Some(Status::Stuck);
                stream.stop().await;
            }
        }
    }
    let report = loop {
        tokio::select! {
            report = stream.finished() => break report,
            () = stop.notified(), if why.is_none() => {
                why = Some(Status::Stopped);
                stream.stop().await;
            }
        }
    };
    reader.finish(&mut note);
    end.lingers |= report.lingers;
    let status = match (why, report.outcome) {
        (Some(status), _) => status,
        (None, crate::runner::Outcome::Exited(code)) => Status::Code(code),
        (None, crate::runner::Outcome::Signaled(signal)) => Status::Signal(signal),
        (None, crate::runner::Outcome::TimedOut { .. }) => Status::Stuck,
        (None, crate::runner::Outcome::Stopped { .. }) => Status::Stopped,
        (None, crate::runner::Outcome::CouldNotStart(_)) => Status::Code(127),
        (None, crate::runner::Outcome::Lost(reason)) => return Err(Stop::Trouble(reason)),
    };
    let outcome = Outcome::of(status, &errors);
    end.outcome = Some(outcome);
    if outcome == Outcome::Complete {
        return Ok(());
    }
    if max_delete == 0 && (outcome == Outcome::MassDelete || exit::left(&errors).is_some()) {
        return Err(Stop::Deletions(exit::left(&errors)));
    }
    if outcome == Outcome::DiskFull {
        // What it had received is what fills the disk.
        let root = root.to_owned();
        let purged = spawn_blocking(move || purge_partial(&root)).await;
        purged.map_err(io::Error::other).flatten()?;
    }
    let said = exit::telling_line(&errors).map(|line| format!(": {line}")).unwrap_or_default();
    if outcome == Outcome::MassDelete {
        let what = format_args!("the pass would delete more than {max_delete} files");
        return Err(Hold::new(HoldReason::MassDelete, what).into());
    }
    Err(Stop::Failed(outcome, format!("{}{said}", outcome.message())))
}
