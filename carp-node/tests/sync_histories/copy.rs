//! What a driver does with decisions, in the model.

use std::time::Duration;

use carp_node::sync::decide::{Decision, Pull};
use carp_node::sync::handover::{RequesterInput, RequesterOutput, ServerInput, ServerOutput};
use carp_node::sync::policy::Failback;
use carp_node::sync::record::{CompletePass, Role, Want};

use crate::world::{Cell, PATHS, Running, SHARE, Truth, Violation, World};

/// How many paths a pass gets done in a second.
const PATHS_A_SECOND: usize = 4;

impl World<'_> {
    pub(crate) fn copy(&mut self, n: usize) -> Result<(), Violation> {
        if !self.nodes[n].up {
            return Ok(());
        }
        self.serve_requests(n);
        let decision = self.decide(n);
        self.nodes[n].decision = Some(decision.clone());
        match &decision {
            Decision::Pull(pull) => self.pull(n, pull)?,
            Decision::Scan => {
                self.nodes[n].running = None;
                let walk = self.walk(n);
                let memory = &mut self.nodes[n].disk.memory;
                *memory = memory.after_scan(walk);
            }
            Decision::Serve(renewal) => {
                self.nodes[n].running = None;
                if let Some(renewal) = renewal {
                    self.seen.superseded += u32::from(renewal.supersedes.is_some());
                    let (nonce, clock) = (self.number(), self.clock(n));
                    let node = &mut self.nodes[n];
                    node.disk.memory =
                        node.disk.memory.after_renewal(&node.name, clock, nonce, renewal);
                    self.begin_tenure(n)?;
                }
            }
            Decision::Hold(_) => {
                self.seen.holds += 1;
                self.abandon(n);
            }
            Decision::Keep | Decision::Wait(_) => self.abandon(n),
        }
        self.request(n, &decision);
        Ok(())
    }

    pub(crate) fn pull(&mut self, n: usize, pull: &Pull) -> Result<(), Violation> {
        if self.nodes[n].role == Role::Active {
            return Err(format!("{} pulls while it is active", self.nodes[n].name));
        }
        let same = self.nodes[n].running.as_ref().is_some_and(|running| {
            running.pull.tip == pull.tip && running.pull.given_up == pull.given_up
        });
        if !same {
            self.abandon(n);
            // What is off cannot be copied, whatever it said a second ago.
            if !self.reaches(n) {
                return Ok(());
            }
            self.begin_pull(n, pull, false)?;
        }
        for _ in 0..PATHS_A_SECOND {
            if !self.reaches(n) {
                self.abandon(n);
                return Ok(());
            }
            self.copy_one(n)?;
        }
        if self.nodes[n].running.as_ref().is_some_and(|running| running.left.is_empty()) {
            self.finish_pull(n);
        }
        Ok(())
    }

    pub(crate) fn begin_pull(
        &mut self,
        n: usize,
        pull: &Pull,
        last: bool,
    ) -> Result<(), Violation> {
        self.check_may_be_replaced(n)?;
        let (clock, now) = (self.clock(n), self.now);
        let node = &mut self.nodes[n];
        let Some(peer) = &node.peer else { return Err("a pull from nobody".into()) };
        node.running = Some(Running {
            pull: pull.clone(),
            source: peer.share(SHARE).cloned().unwrap(),
            source_clock: peer.record.now,
            local_clock: clock.before(now.saturating_since(peer.moved)),
            left: (0..PATHS).rev().collect(),
            moved: false,
            last,
        });
        Ok(())
    }

    /// One path, as rsync would: what differs is replaced, what is not at the source is deleted.
    pub(crate) fn copy_one(&mut self, n: usize) -> Result<(), Violation> {
        let changed = self.clock(n);
        let Some(running) = &mut self.nodes[n].running else { return Ok(()) };
        let Some(path) = running.left.pop() else { return Ok(()) };
        let rescue = running.pull.rescue;
        let theirs = self.nodes[1 - n].disk.tree.get(&path).copied();
        let mine = self.nodes[n].disk.tree.get(&path).copied();
        if theirs.map(|cell| cell.value) == mine.map(|cell| cell.value) {
            return Ok(());
        }
        if let Some(running) = &mut self.nodes[n].running {
            running.moved = true;
        }
        match theirs {
            Some(cell) => {
                self.on_both.insert(cell.value);
                self.nodes[n].disk.tree.insert(path, Cell { value: cell.value, changed });
            }
            None => {
                self.nodes[n].disk.tree.remove(&path);
            }
        }
        self.nodes[n].disk.root_changed = changed;
        self.replaced = true;
        let (Some(mine), Some(rescue)) = (mine, rescue) else { return Ok(()) };
        self.seen.rescued += 1;
        self.nodes[n].disk.rescue.push(mine.value);
        let orphan = rescue.orphans_since.is_none_or(|since| mine.changed >= since);
        self.check_called_by_its_name(n, mine, orphan)
    }

    pub(crate) fn finish_pull(&mut self, n: usize) {
        let Some(running) = self.nodes[n].running.take() else { return };
        let node = &mut self.nodes[n];
        let source = node.peer.as_ref().and_then(|peer| peer.share(SHARE));
        let still = source.is_some_and(|share| {
            share.role == Role::Active && share.history.tip() == Some(&running.pull.tip)
        });
        if !still {
            return self.fail_pull(n, running.last);
        }
        let pass = CompletePass {
            source: &running.source,
            source_clock: running.source_clock,
            local_clock: running.local_clock,
            given_up: running.pull.given_up,
            files: 0,
        };
        let Ok(memory) = node.disk.memory.after_pass(&pass) else {
            return self.fail_pull(n, running.last);
        };
        node.disk.memory = memory;
        node.idle_pass = !running.moved;
        self.seen.passes += 1;
        let tenures = self.nodes[1 - n].disk.truth.tenures.clone();
        self.nodes[1 - n].disk.truth.counts = false;
        let highest = self.nodes[n].disk.truth.highest;
        self.nodes[n].disk.truth =
            Truth { tenures, wrote: None, highest, given_up: false, counts: false };
        if running.last {
            self.nodes[n].requester.handle(self.now, RequesterInput::PullComplete);
        }
    }

    pub(crate) fn abandon(&mut self, n: usize) {
        self.nodes[n].idle_pass = false;
        if let Some(running) = self.nodes[n].running.take() {
            self.fail_pull(n, running.last);
        }
    }

    pub(crate) fn fail_pull(&mut self, n: usize, last: bool) {
        self.nodes[n].idle_pass = false;
        if last {
            self.nodes[n].requester.handle(self.now, RequesterInput::PullFailed);
        }
    }

    /// The side of a handover that serves.
    pub(crate) fn serve_requests(&mut self, n: usize) {
        let now = self.now;
        let node = &mut self.nodes[n];
        if node.role != Role::Active {
            return;
        }
        let fresh = node.peer.as_ref().filter(|peer| peer.is_fresh(now, Duration::from_secs(10)));
        let want = fresh.and_then(|peer| peer.share(SHARE)).and_then(|share| share.want);
        for input in [ServerInput::Tick, ServerInput::PeerWants(want)] {
            match node.server.handle(now, input) {
                Some(ServerOutput::Quiesce) => {
                    node.frozen = self.stops_writers;
                    node.server.handle(now, ServerInput::HookDone);
                }
                Some(ServerOutput::Unquiesce(_)) => node.frozen = false,
                None => {}
            }
        }
    }

    /// The side of a handover that asks.
    pub(crate) fn request(&mut self, n: usize, decision: &Decision) {
        let Some(standing) = self.standing(n) else { return };
        let fresh = Want(self.number());
        let better = self.nodes[n].rank > self.nodes[1 - n].rank;
        let ready = standing.ready;
        let auto = self.policy.failback == Failback::Auto && better;
        let now = self.now;
        let node = &mut self.nodes[n];
        let quiesced =
            node.peer.as_ref().and_then(|peer| peer.share(SHARE)).and_then(|s| s.quiesced);
        let go = match (ready, node.commanded, auto) {
            (false, _, _) => RequesterInput::Unready,
            (true, true, _) => RequesterInput::Commanded { fresh },
            (true, false, true) => RequesterInput::Ready { fresh },
            (true, false, false) => RequesterInput::Tick,
        };
        for input in [go, RequesterInput::PeerQuiesced(quiesced)] {
            if self.nodes[n].requester.handle(now, input) != Some(RequesterOutput::PullNow) {
                continue;
            }
            match decision {
                Decision::Keep => {
                    self.nodes[n].requester.handle(now, RequesterInput::PullComplete);
                }
                Decision::Pull(pull) => {
                    self.nodes[n].running = None;
                    // The decision was checked when the pass before this one began.
                    if self.begin_pull(n, &pull.clone(), true).is_err() {
                        self.fail_pull(n, true);
                    }
                }
                Decision::Serve(_) | Decision::Scan | Decision::Hold(_) | Decision::Wait(_) => {}
            }
        }
    }
}
