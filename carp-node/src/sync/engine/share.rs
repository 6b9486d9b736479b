//! One share: what is remembered, decided and going on.

use std::rc::Rc;
use std::time::Duration;

use carp_proto::Instant;
use tokio::sync::Notify;

use super::alarm::{Alarm, Rescues};
use super::call::Shown;
use super::changes::Watching;
use super::figures::Figures;
use super::pass::End;
use super::wall::ClockSet;
use crate::config::SyncSpec;
use crate::runner::group_lives;
use crate::state::StateFile;
use crate::sync::decide::Decision;
use crate::sync::hold::{Hold, HoldReason};
use crate::sync::lineage::Epoch;
use crate::sync::pace::Pace;
use crate::sync::record::Memory;
use crate::sync::rsync::exit::Outcome;
use crate::sync::standing::Standing;

/// A share of this node.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) spec: SyncSpec,
    pub(super) memory: Memory,
    pub(super) file: StateFile,
    /// Which of the peers it has.
    pub(super) peer: usize,
    /// Which of the routers it follows.
    pub(super) router: usize,
    pub(super) pace: Pace,
    pub(super) pass: Option<Running>,
    pub(super) decision: Option<Decision>,
    pub(super) standing: Option<Standing>,
    /// Whether the last pass was complete and moved nothing.
    pub(super) idle: bool,
    /// Counts what changes, while this node serves it.
    pub(super) watching: Option<Watching>,
    /// Whether the marker was in the root when this node looked last: each time that it decides to serve.
    pub(super) marked: bool,
    /// Whether the tree is being walked through.
    pub(super) walking: bool,
    /// Not before this it is walked through again: the last time it could not be.
    pub(super) walk_at: Option<Instant>,
    /// Whether rescue sets of the last process are looked through: nothing is pulled meanwhile.
    pub(super) tidying: bool,
    /// Whether what cut-off passes have left is being removed: nothing is pulled meanwhile.
    pub(super) purging: bool,
    /// What the guards of the last pass said, or of the last walk.
    pub(super) guard: Option<Hold>,
    /// What the decision's word was when the peer was last heard, if that held the share.
    pub(super) held_before: Option<Hold>,
    /// Whether the operator let one pass delete as much as it will.
    pub(super) approved: bool,
    /// Whether somebody wants a pass at once.
    pub(super) wanted: bool,
    /// Whether cut-off passes may have left something.
    pub(super) untidy: bool,
    pub(super) last: Option<Last>,
    /// When a pass has ended last that may have changed something.
    pub(super) ended: Instant,
    /// What keeps passes from being complete, if it was told and is no trouble with the connection or a hold.
    pub(super) failing: Option<Outcome>,
    /// The process group of the last pass, if a process of it could not be killed: what it still writes cannot be
    /// known.
    pub(super) lingers: Option<i32>,
    /// That this node's clock was set, until a complete pass has begun after that.
    pub(super) clock_set: Option<ClockSet>,
    /// Why what is remembered could not be written down: until it can be, no pass counts and no epoch begins.
    pub(super) unwritten: Option<Unwritten>,
    /// What could not be done with the root and its marker, in words.
    pub(super) own_fault: Option<String>,
    /// What was told of it last, so that it is told once.
    pub(super) told: Option<String>,
    pub(super) alarm: Alarm,
    pub(super) rescues: Rescues,
}

/// A memory that could not be written.
#[derive(Clone, Debug)]
pub(super) struct Unwritten {
    /// What the system said, and what to do.
    pub(super) why: String,
    /// When it is tried again.
    pub(super) again_at: Instant,
}

/// How long a memory that could not be written is left alone.
pub(super) const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// A pass that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) tip: Epoch,
    pub(super) given_up: bool,
    pub(super) stop: Rc<Notify>,
    pub(super) shown: Shown,
    pub(super) began: Instant,
    /// Whether it is the last one before a handover.
    pub(super) last: bool,
    /// Who wants to know what it found, of a dry run.
    pub(super) dry: Option<tokio::sync::oneshot::Sender<End>>,
    pub(super) stopping: bool,
    /// The peer's clock and this node's, when the record was read that it rests on.
    pub(super) clocks: (crate::sync::lineage::Stamp, crate::sync::lineage::Stamp),
    pub(super) source: crate::sync::record::ShareRecord,
}

/// The last pass that ended.
#[derive(Clone, Debug)]
pub(super) struct Last {
    pub(super) ended: crate::control::units::WallTime,
    pub(super) took: Duration,
    pub(super) copied: Option<Duration>,
    pub(super) outcome: Option<Outcome>,
    pub(super) text: String,
    /// The end of what rsync said on standard error.
    pub(super) errors: String,
    pub(super) figures: Figures,
}

impl Share {
    /// What holds it, if anything does: the decision's word first.
    pub(super) fn hold(&self) -> Option<&Hold> {
        match &self.decision {
            Some(Decision::Hold(hold)) => Some(hold),
            Some(Decision::Pull(_) | Decision::Scan) => self.guard.as_ref(),
            // A peer that is silent lifts nothing.
            Some(Decision::Wait(_)) => self.guard.as_ref().or(self.held_before.as_ref()),
            Some(Decision::Serve(_) | Decision::Keep) | None => None,
        }
    }

    /// What is wrong beside holds, in words: a takeover or a pass has to wait for what hangs.
    pub(super) fn fault(&self) -> Option<String> {
        let lingers = self.lingers.map(|group| {
            format!(
                "a process of the last pass hangs inside the kernel and cannot be killed (process group {group}): \
                 until it is gone nothing is copied and the address is not taken over here; look at the disks and \
                 network file systems that it uses"
            )
        });
        let unwritten = self.unwritten.as_ref().map(|it| {
            format!(
                "{}: until that can be done no copy counts here, and the address is not taken over",
                it.why
            )
        });
        lingers
            .or(unwritten)
            .or_else(|| self.own_fault.clone())
            .or_else(|| self.forgotten())
            .or_else(|| self.clock_set.as_ref().map(|set| set.text.clone()))
    }

    /// That it is served although nobody knows where it comes from.
    fn forgotten(&self) -> Option<String> {
        let served = matches!(self.decision, Some(Decision::Serve(_)));
        let damage =
            self.memory.damage.as_ref().filter(|_| served && self.memory.keeps.is_none())?;
        Some(format!(
            "it is served although what was known of it could not be believed ({damage}): whether the peer has newer \
             data is not known; once it can be reached, look at both trees (`carp sync diff`), and say with `carp sync \
             resolve --keep local` that this one counts, or serve the other one"
        ))
    }

    /// Whether something has to be mended before the share can be served here.
    pub(super) const fn bars_takeover(&self) -> bool {
        self.lingers.is_some() || self.unwritten.is_some()
    }

    /// Tries again to write down what is remembered, if that failed.
    pub(super) fn write_again(&mut self, now: Instant) {
        if self.unwritten.as_ref().is_some_and(|it| it.again_at <= now) {
            self.write_anew(now);
        }
    }

    /// Writes down what is remembered, although it is the same.
    pub(super) fn write_anew(&mut self, now: Instant) {
        let outcome = self.memory.store(&self.file);
        self.note_written(outcome.map_err(|error| error.to_string()), now);
    }

    /// Takes notice of whether the memory could be written.
    pub(super) fn note_written(&mut self, outcome: Result<(), String>, now: Instant) {
        let again_at = now + WRITE_AGAIN;
        self.unwritten = outcome.err().map(|why| Unwritten { why, again_at });
    }

    /// Looks whether what could not be killed is gone.
    pub(super) fn look_at_lingering(&mut self) {
        self.lingers = self.lingers.filter(|group| group_lives(*group));
    }

    /// Whether a pass may delete much, so that a dry run has to come first.
    pub(super) fn probes(&self) -> bool {
        self.guard.as_ref().is_some_and(|hold| hold.reason == HoldReason::MassDelete)
    }

    /// Whether a pass runs that changes something here.
    pub(super) fn is_pulling(&self) -> bool {
        self.pass.as_ref().is_some_and(|pass| pass.dry.is_none())
    }

    /// Ends a pass that changes something here. A comparison that somebody asked for goes on.
    pub(super) fn stop_pulling(&mut self) {
        if self.is_pulling() {
            self.stop_pass();
        }
    }

    /// Ends the pass that runs, if one does. It is over when its end is told.
    pub(super) fn stop_pass(&mut self) {
        if let Some(pass) = &mut self.pass
            && !pass.stopping
        {
            pass.stopping = true;
            pass.stop.notify_one();
        }
    }
}
