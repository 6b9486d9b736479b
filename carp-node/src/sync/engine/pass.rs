//! One pass: the guards before it, rsync, and what makes it count.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::call::{Shown, Stop, rsync};
use super::disk::on_disk;
use super::figures::Figures;
use super::peer::{self, Heard, Trouble, now};
use crate::clock::wall_time;
use crate::control::units::WallTime;
use crate::remedy::Told;
use crate::runner::RunnerHandle;
use crate::sync::decide::Pull;
use crate::sync::guards::{self, database, marker, place};
use crate::sync::hold::Hold;
use crate::sync::lineage::{Epoch, Stamp};
use crate::sync::pattern::Patterns;
use crate::sync::record::ShareRecord;
use crate::sync::rescue::{self, Summary};
use crate::sync::rsync::command::{Care, Remote};
use crate::sync::rsync::exit::{Next, Outcome};
use crate::sync::rsync::version::Rsync;
use crate::sync::tree::purge_partial;

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
    /// Whether the operator said that the peer's tree counts: then what is here may have lost its marker.
    pub(super) accepted: bool,
    /// Whether the peer said a moment ago that the marker is in its root.
    pub(super) marked: bool,
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
    /// What rsync said on standard error in its last call: the end of that, for people.
    pub(super) errors: String,
    /// Why there is no report of what was kept.
    pub(super) unreported: Option<String>,
    /// What was kept.
    pub(super) report: Option<Summary>,
    /// What it did, or would do.
    pub(super) figures: Figures,
    /// How long it took until the copy was in its place and on the disk.
    pub(super) copied: Option<Duration>,
    /// The peer's record, read after the end of a complete pass.
    pub(super) after: Option<Heard>,
    /// Its process group, if a process of that could not be killed.
    pub(super) lingers: Option<i32>,
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
    let began = now();
    let patterns = Patterns::of(&plan.exclude);
    let root = guard(plan, &patterns, stop).await?;
    let rescued = plan.pull.rescue.is_some();
    let counts_first = rescued || plan.probes;
    let deletes_last = !plan.dry && !counts_first && plan.max_delete != u64::MAX;
    if !(deletes_last && plan.marked) {
        source_marker(plan, stop).await?;
    }
    if plan.dry {
        return rsync(plan, &root, Care::DryRun, u64::MAX, stop, shown, end).await;
    }
    if counts_first {
        let would = dry_run(plan, &root, stop, shown, end).await?;
        if rescued {
            let space = place::rescue_space(&root, would.bytes);
            let space = space.map_err(|error| Stop::own(root.display(), &error))?;
            space.map_or(Ok(()), |hold| Err(Stop::Held(hold)))?;
        }
    }
    let set = match plan.pull.rescue {
        Some(rescue) => Some(begin_set(plan, &root, &patterns, rescue).await?),
        None => None,
    };
    let care = set.as_ref().map_or(Care::Replace, |set| Care::Rescue(set.files()));
    let passed = if deletes_last {
        delete_last(plan, &root, stop, shown, end).await
    } else {
        rsync(plan, &root, care, plan.max_delete, stop, shown, end).await
    };
    let complete = passed.is_ok();
    // What was kept is told even if the pass was cut off; but where something hangs inside the kernel, whoever looks
    // there may hang as well.
    if let Some(set) = set.filter(|_| end.lingers.is_none()) {
        let path = set.path().display().to_string();
        match on_disk(move || set.finish(complete, WallTime(wall_time()))).await {
            Ok(report) => end.report = report,
            Err(error) => {
                end.unreported = Some(format!(
                    "what the pass replaced is kept in {path}, without a report, which the next start of the daemon \
                     writes: {}",
                    Told(&error)
                ));
            }
        }
    }
    passed?;
    // A pass that moved nothing after one that counted leaves nothing that is not on the disk yet; what is shared with
    // other programs would have to be written for it.
    if plan.purges || !end.figures.is_idle() {
        let failed = |error| {
            Stop::own(format_args!("the copy in {} cannot be made to last", root.display()), &error)
        };
        if plan.purges {
            let purged = root.clone();
            on_disk(move || purge_partial(&purged)).await.map_err(failed)?;
        }
        // One call makes the whole pass last. A takeover does not wait for a disk that hangs: then the pass counts for
        // nothing.
        let synced = root.clone();
        let synced =
            on_disk(move || rustix::fs::syncfs(File::open(&synced)?).map_err(io::Error::from));
        unless_stopped(stop, synced).await?.map_err(failed)?;
    }
    end.copied = Some(now().saturating_since(began));
    let to = plan.scratch.join(format!("{}.after", plan.name));
    // The peer may have died since, and a takeover does not wait for its word.
    end.after = Some(unless_stopped(stop, peer::read(&plan.runner, &plan.remote, to)).await??);
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
    // What was read of it a moment ago is not good enough for this.
    source_marker(plan, stop).await?;
    // Directories that were not empty are not in the count, and the source goes on.
    let bound = left.saturating_add(plan.max_delete);
    rsync(plan, root, Care::Replace, bound, stop, shown, end).await
}

/// Looks at everything on this node that must be right before a pass.
async fn guard(plan: &Plan, patterns: &Patterns, stop: &Notify) -> Result<PathBuf, Stop> {
    let root = place::real_root(&plan.path)?;
    if let Some(hold) = place::read_only(&root) {
        return Err(hold.into());
    }
    let own = marker::read(&root)
        .map_err(|error| Stop::own(root.join(marker::MARKER).display(), &error))?;
    if let Some(hold) = marker::check_own(plan.share_id.as_deref(), own.as_ref(), &root) {
        // What the operator let be replaced may have lost its marker, or never had one.
        if !plan.pull.given_up && !plan.accepted {
            return Err(hold.into());
        }
    }
    if plan.pull.rescue.is_some() {
        place::rescue_directory(&root, &plan.name)?;
        let (searched, patterns) = (root.clone(), patterns.clone());
        let looking = on_disk(move || database::find(&searched, &patterns));
        let found = unless_stopped(stop, looking).await?;
        let found = found.map_err(|error| {
            Stop::own(
                "nobody can say that there is no database in the tree, so nothing is copied",
                &error,
            )
        })?;
        if let Some(database) = found {
            return Err(Hold::of_database(&database).into());
        }
    }
    Ok(root)
}

/// Waits for something that changes nothing in the tree, unless the pass is to end before.
async fn unless_stopped<T>(stop: &Notify, waited: impl Future<Output = T>) -> Result<T, Stop> {
    tokio::select! {
        done = waited => Ok(done),
        () = stop.notified() => {
            Err(Stop::Failed(Outcome::Stopped, Outcome::Stopped.message().into()))
        }
    }
}

/// Looks whether the marker is in the root of the source.
///
/// That is another connection, which costs more than a pass over a small tree. So a pass that can delete nothing yet
/// does with what the source's record said a moment ago.
async fn source_marker(plan: &Plan, stop: &Notify) -> Result<(), Stop> {
    let to = plan.scratch.join(format!("{}.marker", plan.name));
    let fetching = peer::fetch(&plan.runner, &plan.remote, &plan.name, marker::MARKER, &to);
    let found = match unless_stopped(stop, fetching).await? {
        Ok(bytes) => marker::ShareId::parse(&bytes),
        // rsync says so of a file that is not there, and of a folder.
        Err(Trouble { outcome: Some(Outcome::Partial | Outcome::SourceMissing), .. }) => None,
        Err(trouble) => return Err(trouble.into()),
    };
    let expected = plan.source.share_id.as_deref();
    match marker::check_source(expected, found.as_ref(), &plan.remote.host) {
        Some(hold) => Err(hold.into()),
        None => Ok(()),
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
    let begun = on_disk(move || rescue::begin(&directory, &root, &patterns, &pull, rescue)).await;
    begun.map_err(|error| {
        Stop::own("nothing is copied, because what it replaces cannot be kept", &error)
    })
}
