//! When passes begin, and what is made of their ends.

use std::rc::Rc;
use std::time::Duration;

use carp_proto::Instant;
use tokio::sync::{Notify, oneshot};
use tokio::task::spawn_local;

use super::call::Shown;
use super::pass::{self, End, Plan};
use super::peer::now;
use super::share::{Last, Running};
use super::{Done, Engine, Role};
use crate::clock::wall_time;
use crate::control::units::WallTime;
use crate::sync::decide::Pull;
use crate::sync::guards;
use crate::sync::hold::{Hold, HoldReason};
use crate::sync::record::{CompletePass, NodeRecord};
use crate::sync::rsync::exit::{Next, Outcome};

/// The source's word that its marker is in its place is good for so long: records are read each second.
const MARKED_FRESH: Duration = Duration::from_secs(3);

impl Engine {
    pub(super) fn start_pass(
        &mut self,
        number: usize,
        pull: Pull,
        dry: Option<oneshot::Sender<End>>,
        now: Instant,
    ) {
        let Some(rsync) = self.rsync.usable() else { return };
        let share = &self.shares[number];
        let peer = &self.peers[share.peer];
        let Some(said) = &peer.said else { return };
        let Some(source) = said.peer.share(&share.spec.name) else { return };
        let limit =
            share.spec.max_delete.unwrap_or_else(|| guards::mass_delete_limit(share.memory.files));
        let plan = Plan {
            runner: self.runner.clone(),
            rsync,
            remote: peer.remote.clone(),
            name: share.spec.name.clone(),
            path: share.spec.path.clone(),
            exclude: share.spec.exclude.clone(),
            attributes: share.spec.attributes,
            bandwidth: share.spec.bandwidth,
            compress: share.spec.compress,
            share_id: share.memory.share_id.clone(),
            from: share.memory.history.tip().cloned(),
            max_delete: if share.approved { u64::MAX } else { limit },
            probes: share.probes() && !share.approved,
            purges: share.untidy,
            dry: dry.is_some(),
            accepted: share.memory.accepts_tree_of(source),
            marked: source.marked && said.peer.is_fresh(now, MARKED_FRESH),
            source: source.clone(),
            source_clock: said.peer.record.now,
            local_clock: said.local_clock,
            scratch: self.directory.join("tmp"),
            pull: pull.clone(),
        };
        // One that began before the peer's writers stood still is not the last one.
        let last = share.wanted && self.routers[share.router].requester.want().is_some();
        let changes = source.changes;
        let running = Running {
            tip: pull.tip,
            given_up: pull.given_up,
            stop: Rc::new(Notify::new()),
            shown: Shown::default(),
            began: now,
            last,
            stopping: false,
            clocks: (plan.source_clock, plan.local_clock),
            source: source.clone(),
            dry,
        };
        let (stop, shown, done) = (running.stop.clone(), running.shown.clone(), self.done.clone());
        let share = &mut self.shares[number];
        if running.dry.is_none() {
            share.pace.begin(now, changes);
            share.wanted = false;
        }
        share.pass = Some(running);
        spawn_local(async move {
            let end = Box::new(pass::run(plan, stop, shown).await);
            let _ = done.send(Done::Pass { share: number, end });
        });
    }

    pub(super) fn pass_ended(&mut self, number: usize, mut end: End) {
        let share = &mut self.shares[number];
        let Some(running) = share.pass.take() else { return };
        if let Some(reply) = running.dry {
            // Whoever asked may have gone.
            let _ = reply.send(end);
            return;
        }
        share.lingers = end.lingers;
        let now = now();
        self.shares[number].ended = now;
        let took = now.saturating_since(running.began);
        let recorded = match end.after.take() {
            Some(after) => {
                let recorded = self.record_pass(number, &running, &end, &after.record);
                let peer = self.shares[number].peer;
                self.peers[peer].note_beside(after, now);
                recorded
            }
            None => false,
        };
        if recorded && let Some(said) = &mut self.peers[self.shares[number].peer].said {
            // What it was set back to has been copied, and what that replaced is kept.
            said.peer.rewound = false;
        }
        let share = &mut self.shares[number];
        // What the source has to lift is not lifted by a pass that did not get to it.
        let reached =
            !end.outcome.is_none_or(|it| it.closes_connections() || it == Outcome::Stopped);
        let stays = |hold: &Hold| {
            hold.reason == HoldReason::MassDelete || hold.reason.is_of_source() && !reached
        };
        let before = share.guard.take().filter(|hold| !recorded && stays(hold));
        let held = end.hold.take();
        share.guard = held.clone().or(before);
        // The operator's word is about one pass that comes to its end.
        share.approved &= !recorded;
        share.clock_set = share.clock_set.take().filter(|set| !recorded || running.began < set.at);
        share.idle = recorded && end.figures.is_idle();
        share.untidy = !recorded;
        match end.outcome.map(Outcome::next) {
            _ if recorded => share.pace.complete(now, !share.idle),
            Some(Next::Nothing) => share.pace.reset(),
            Some(Next::Again) => share.pace.again(now),
            Some(Next::Pace | Next::BackOff | Next::Hold(_)) | None => share.pace.fail(now),
        }
        let text = match (&held, &end.trouble, recorded) {
            (Some(hold), _, _) => hold.message.clone(),
            (None, Some(trouble), _) => trouble.clone(),
            (None, None, true) => "the pass is complete".to_owned(),
            (None, None, false) if share.unwritten.is_some() => {
                "the pass does not count: what it came to cannot be written down".to_owned()
            }
            (None, None, false) => {
                "the pass does not count: the peer's epoch has changed".to_owned()
            }
        };
        let ended = WallTime(wall_time());
        let (outcome, figures) = (end.outcome, end.figures);
        let errors = std::mem::take(&mut end.errors);
        share.last = Some(Last { ended, took, copied: end.copied, outcome, text, errors, figures });
        share.rescues.changed |= end.report.is_some();
        self.tell_failing(number, recorded);
        if let Some(unreported) = &end.unreported {
            self.tell_fault(number, unreported);
        }
        if let Some(report) = &end.report {
            let what = format_args!(
                "what the pass replaced is kept: {} that only this node had (orphans), {} that the other one had \
                 replaced: `carp sync rescue list`",
                report.orphans, report.superseded
            );
            self.tell_log(number, what);
        }
        if outcome.is_some_and(Outcome::closes_connections) {
            self.close_connections();
        }
        if matches!(outcome, Some(Outcome::Program | Outcome::Setup)) {
            self.rsync.doubt();
        }
        self.pass_in_handover(number, recorded, running.last, now);
    }

    /// Passes that fail are told once, and so is their end.
    fn tell_failing(&mut self, number: usize, recorded: bool) {
        let share = &mut self.shares[number];
        let Some(last) = &share.last else { return };
        let failing = match last.outcome {
            _ if recorded => None,
            Some(
                Outcome::Partial
                | Outcome::DiskFull
                | Outcome::Disk
                | Outcome::Stuck
                | Outcome::Other,
            ) => last.outcome,
            // A hold is told as one, trouble with the connection where the peer's record is read, and what we stopped
            // ourselves says nothing.
            Some(_) | None => share.failing,
        };
        let text = last.text.clone();
        if failing == std::mem::replace(&mut share.failing, failing) {
            return;
        }
        match failing {
            Some(_) => self.tell_fault(number, text),
            None => self.tell_log(number, "a pass is complete again"),
        }
    }

    /// A complete pass counts if the peer's epoch is still that of the decision.
    fn record_pass(
        &mut self,
        number: usize,
        running: &Running,
        end: &End,
        after: &NodeRecord,
    ) -> bool {
        let name = self.shares[number].spec.name.clone();
        let tip = after.shares.get(&name).and_then(|share| share.history.tip());
        let router = &self.routers[self.shares[number].router];
        if tip != Some(&running.tip) || router.role != Role::Backup || router.promoting.is_some() {
            return false;
        }
        let pass = CompletePass {
            source: &running.source,
            source_clock: running.clocks.0,
            local_clock: running.clocks.1,
            given_up: running.given_up,
            files: end.figures.files,
        };
        match self.shares[number].memory.after_pass(&pass) {
            Ok(memory) => self.remember(number, memory),
            Err(_) => false,
        }
    }
}
