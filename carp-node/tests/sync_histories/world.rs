//! Two machines with a disk each, a link that is cut and healed, and clients that write: a model in virtual
//! time, in which everything that decides is the real code.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use carp_node::sync::decide::{Decision, Me, Pull, untouched};
use carp_node::sync::handover::{
    Requester, RequesterInput, RequesterOutput, Server, ServerInput, ServerOutput,
};
use carp_node::sync::lineage::{NodeId, Stamp};
use carp_node::sync::policy::{Failback, Policy};
use carp_node::sync::record::{
    CompletePass, Keep, Memory, NodeRecord, Peer, Role, ShareRecord, Walk, Want,
};
use carp_node::sync::standing::{Held, Moments, Standing, Takeover, standing};
use carp_proto::Instant;

use crate::brain::Brain;

/// The name of the share.
pub(crate) const SHARE: &str = "www";

/// How many paths there are.
pub(crate) const PATHS: u8 = 6;

/// Silence that makes a backup want to take over.
const ACTIVE_DOWN: Duration = Duration::from_secs(3);

/// How many paths a pass gets done in a second.
const PATHS_A_SECOND: usize = 4;

/// What a file has in it. Each write makes a value of its own.
pub(crate) type Value = u32;

/// What went wrong: a sentence.
pub(crate) type Violation = String;

/// A file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) value: Value,
    pub(crate) changed: Stamp,
}

/// What outlasts a crash, and what a snapshot restores.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    pub(crate) tree: BTreeMap<u8, Cell>,
    pub(crate) root_changed: Stamp,
    pub(crate) memory: Memory,
    pub(crate) rescue: Vec<Value>,
    /// What the record file says, which can be read while the daemon is dead.
    pub(crate) exported: Option<NodeRecord>,
    pub(crate) truth: Truth,
}

/// What is so, and what the code is not told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    /// The tenures that the tree descends from.
    pub(crate) tenures: Vec<usize>,
    /// When a client last wrote here in the last of them.
    pub(crate) wrote: Option<Instant>,
    /// The highest number of an epoch that this node served with or was told of.
    pub(crate) highest: u64,
    /// The operator said that this node's tree is to be given up.
    pub(crate) given_up: bool,
    /// The operator said that this node's tree counts.
    pub(crate) counts: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Tenure {
    pub(crate) node: usize,
    pub(crate) began: Instant,
}

#[derive(Debug)]
struct Running {
    pull: Pull,
    source: ShareRecord,
    source_clock: Stamp,
    local_clock: Stamp,
    left: Vec<u8>,
    moved: bool,
    /// It is the last one of a handover.
    last: bool,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: NodeId,
    pub(crate) address: IpAddr,
    pub(crate) disk: Disk,
    pub(crate) snapshot: Option<Disk>,
    /// The machine runs: its files can be read.
    pub(crate) machine: bool,
    /// The daemon runs.
    pub(crate) up: bool,
    pub(crate) role: Role,
    pub(crate) rank: u8,
    /// How far its clock is ahead of virtual time, in nanoseconds.
    pub(crate) ahead: u64,
    pub(crate) frozen: bool,
    process: u64,
    beat: u64,
    peer: Option<Peer>,
    running: Option<Running>,
    moments: Moments,
    idle_pass: bool,
    requester: Requester,
    server: Server,
    commanded: bool,
    decision: Option<Decision>,
}

#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) nodes: [Node; 2],
    pub(crate) policy: Policy,
    pub(crate) linked: bool,
    pub(crate) adverts: bool,
    /// Somebody's clock was set: moments can no longer be compared.
    pub(crate) clocks_set: bool,
    pub(crate) required: BTreeSet<Value>,
    /// Values that were on both nodes at some time.
    on_both: BTreeSet<Value>,
    tenures: Vec<Tenure>,
    now: Instant,
    numbers: u64,
    values: Value,
    /// Something in a tree was replaced since it was last checked that nothing is lost.
    replaced: bool,
    brain: &'a dyn Brain,
    pub(crate) seen: Seen,
}

/// What a history went through: a test that sees nothing shows nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) promotions: u32,
    pub(crate) passes: u32,
    pub(crate) rescued: u32,
    pub(crate) holds: u32,
    pub(crate) handovers: u32,
    pub(crate) superseded: u32,
    pub(crate) vetoes: u32,
}

impl<'a> World<'a> {
    pub(crate) fn new(policy: Policy, brain: &'a dyn Brain) -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        let node = |name: &str, last: u8, rank, ahead| Node {
            name: NodeId::try_from(name.to_owned()).unwrap(),
            address: Ipv4Addr::new(192, 0, 2, last).into(),
            disk: Disk::default(),
            snapshot: None,
            machine: true,
            up: true,
            role: Role::Backup,
            rank,
            ahead,
            frozen: false,
            process: 0,
            beat: 0,
            peer: None,
            running: None,
            moments: Moments { started: now, heard: now },
            idle_pass: false,
            requester: Requester::new(policy.handover_timeout),
            server: Server::new(policy.handover_timeout),
            commanded: false,
            decision: None,
        };
        Self {
            // Clocks that are months apart: who compares them is found out.
            nodes: [node("a", 50, 2, 0), node("b", 10, 1, 10_000_000_000_000_000)],
            policy,
            linked: true,
            adverts: true,
            clocks_set: false,
            required: BTreeSet::new(),
            on_both: BTreeSet::new(),
            tenures: Vec::new(),
            now,
            numbers: 0,
            values: 0,
            replaced: false,
            brain,
            seen: Seen::default(),
        }
    }

    pub(crate) fn active(&self) -> Vec<usize> {
        [0, 1]
            .into_iter()
            .filter(|&n| self.nodes[n].up && self.nodes[n].role == Role::Active)
            .collect()
    }

    /// One serves, and the other one has the same and may go on pulling.
    pub(crate) fn is_settled(&self) -> bool {
        let [active] = self.active()[..] else { return false };
        let values = |n: usize| -> Vec<_> {
            self.nodes[n].disk.tree.iter().map(|(path, cell)| (*path, cell.value)).collect()
        };
        let pulls = matches!(
            self.decision(1 - active),
            Some(Decision::Pull(pull)) if pull.rescue.is_none()
        );
        pulls && values(0) == values(1)
    }

    pub(crate) fn decision(&self, n: usize) -> Option<&Decision> {
        self.nodes[n].decision.as_ref()
    }

    // What clients do.

    /// Writes through the address: to whoever has it, to `prefer` if both do.
    pub(crate) fn write(&mut self, prefer: usize, path: u8) {
        let Some(n) = self.server(prefer) else { return };
        self.values += 1;
        let (value, changed) = (self.values, self.touch(n));
        self.required.insert(value);
        let old = self.nodes[n].disk.tree.insert(path, Cell { value, changed });
        self.give_up(old);
    }

    pub(crate) fn delete(&mut self, prefer: usize, path: u8) {
        let Some(n) = self.server(prefer) else { return };
        if let Some(old) = self.nodes[n].disk.tree.remove(&path) {
            self.touch(n);
            self.give_up(Some(old));
        }
    }

    pub(crate) fn rename(&mut self, prefer: usize, from: u8, to: u8) {
        let Some(n) = self.server(prefer).filter(|_| from != to) else { return };
        if let Some(cell) = self.nodes[n].disk.tree.remove(&from) {
            let changed = self.touch(n);
            let old = self.nodes[n].disk.tree.insert(to, Cell { changed, ..cell });
            self.give_up(old);
        }
    }

    fn server(&self, prefer: usize) -> Option<usize> {
        [prefer, 1 - prefer].into_iter().find(|&n| {
            let node = &self.nodes[n];
            node.up && node.role == Role::Active && !node.frozen
        })
    }

    fn touch(&mut self, n: usize) -> Stamp {
        self.now += Duration::from_millis(1);
        let changed = self.clock(n);
        let disk = &mut self.nodes[n].disk;
        disk.root_changed = changed;
        disk.truth.wrote = Some(self.now);
        changed
    }

    /// Whoever writes over a value, or deletes it, gave it up.
    fn give_up(&mut self, old: Option<Cell>) {
        if let Some(old) = old {
            self.required.remove(&old.value);
        }
    }

    // What fate does.

    /// The machine stops at once. `lossy`: what was written in the last seconds was not on the disk.
    pub(crate) fn crash(&mut self, n: usize, lossy: bool) {
        self.kill_daemon(n);
        let horizon = self.clock(n).before(Duration::from_secs(5));
        let node = &mut self.nodes[n];
        node.machine = false;
        if lossy {
            node.disk.tree.retain(|_, cell| cell.changed < horizon);
            self.excuse();
        }
    }

    pub(crate) fn kill_daemon(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.up = false;
        node.role = Role::Init;
        node.frozen = false;
        node.running = None;
        node.peer = None;
        node.decision = None;
        node.idle_pass = false;
        node.requester = Requester::new(self.policy.handover_timeout);
        node.server = Server::new(self.policy.handover_timeout);
        node.commanded = false;
    }

    pub(crate) fn start(&mut self, n: usize) {
        if self.nodes[n].up {
            return;
        }
        let process = self.number();
        let now = self.now;
        let node = &mut self.nodes[n];
        node.machine = true;
        node.up = true;
        node.role = Role::Backup;
        node.process = process;
        node.beat = 0;
        node.moments = Moments { started: now, heard: now };
    }

    pub(crate) fn snapshot(&mut self, n: usize) {
        self.nodes[n].snapshot = Some(self.nodes[n].disk.clone());
    }

    /// Restores the disk of a machine that is off. What was only there is lost, and that is nobody's fault.
    pub(crate) fn roll_back(&mut self, n: usize) {
        if self.nodes[n].machine {
            return;
        }
        if let Some(disk) = self.nodes[n].snapshot.clone() {
            self.nodes[n].disk = disk;
            self.excuse();
        }
    }

    /// The memory of a node whose daemon is down becomes unreadable.
    pub(crate) fn damage(&mut self, n: usize) {
        if !self.nodes[n].up {
            let disk = &mut self.nodes[n].disk;
            disk.memory = Memory { damage: Some("a test".into()), ..Memory::default() };
            disk.truth.highest = 0;
        }
    }

    pub(crate) fn set_clock(&mut self, n: usize, by: i64) {
        self.nodes[n].ahead = self.nodes[n].ahead.saturating_add_signed(by);
        self.clocks_set = true;
    }

    fn excuse(&mut self) {
        let exists = self.existing();
        self.required.retain(|value| exists.contains(value));
    }

    // What operators do.

    pub(crate) fn command_handover(&mut self, n: usize) {
        self.nodes[n].commanded = true;
    }

    pub(crate) fn resolve(&mut self, n: usize, keep: Keep) {
        let tip = self.nodes[n]
            .peer
            .as_ref()
            .and_then(|peer| peer.share(SHARE))
            .and_then(|share| share.history.tip().cloned());
        let Some(tip) = tip.filter(|_| self.nodes[n].up) else { return };
        let memory = &mut self.nodes[n].disk.memory;
        *memory = memory.after_resolve(keep, tip);
        let truth = &mut self.nodes[n].disk.truth;
        truth.given_up = keep == Keep::Peer;
        truth.counts = keep == Keep::Local;
        self.nodes[n].commanded |= keep == Keep::Local;
    }

    // What time does.

    pub(crate) fn tick(&mut self, seconds: u32) -> Result<(), Violation> {
        for _ in 0..seconds {
            self.second()?;
            if std::mem::take(&mut self.replaced) {
                self.check_nothing_lost()?;
            }
        }
        Ok(())
    }

    fn second(&mut self) -> Result<(), Violation> {
        self.now += Duration::from_secs(1);
        for n in [0, 1] {
            self.publish(n);
        }
        for n in [0, 1] {
            self.read_peer(n);
        }
        for n in [0, 1] {
            self.copy(n)?;
        }
        let first = usize::from(self.nodes[1].rank > self.nodes[0].rank);
        for n in [first, 1 - first] {
            self.elect(n)?;
        }
        Ok(())
    }

    fn publish(&mut self, n: usize) {
        let now = self.clock(n);
        let in_sync = self.standing(n).is_some_and(|standing| standing.in_sync);
        let node = &mut self.nodes[n];
        if !node.up {
            return;
        }
        node.beat += 1;
        let memory = &node.disk.memory;
        let share = ShareRecord {
            role: node.role,
            speaks_from: vec![node.address],
            share_id: memory.share_id.clone(),
            history: memory.history.clone(),
            as_of: memory.as_of.clone(),
            dirty: memory.dirty,
            supersedes: memory.supersedes.clone(),
            accepts: memory.accepts.clone(),
            untouched: untouched(&node.name, memory),
            in_sync,
            want: node.requester.want(),
            quiesced: node.server.quiesced(),
            changes: 0,
        };
        node.disk.exported = Some(NodeRecord {
            node: node.name.clone(),
            beat: node.beat,
            process: node.process,
            now,
            shares: [(SHARE.to_owned(), share)].into(),
        });
    }

    fn read_peer(&mut self, n: usize) {
        let other = 1 - n;
        if !self.nodes[n].up || !self.reaches(n) {
            return;
        }
        let Some(record) = self.nodes[other].disk.exported.clone() else { return };
        let now = self.now;
        let node = &mut self.nodes[n];
        match &mut node.peer {
            Some(peer) => peer.update(record, now),
            None => node.peer = Some(Peer::new(record, now)),
        }
        let share = node.peer.as_ref().and_then(|peer| peer.share(SHARE)).unwrap();
        node.disk.memory = node.disk.memory.after_seeing(share);
        let told = share.history.tip().map_or(0, |tip| tip.number);
        node.disk.truth.highest = node.disk.truth.highest.max(told);
    }

    fn elect(&mut self, n: usize) -> Result<(), Violation> {
        let node = &self.nodes[n];
        if !node.up {
            return Ok(());
        }
        let heard = self.hears(n);
        if heard {
            self.nodes[n].moments.heard = self.now;
        }
        match self.nodes[n].role {
            Role::Active if heard && self.effective_rank(n) < self.effective_rank(1 - n) => {
                self.step_down(n);
            }
            Role::Backup if self.nodes[n].requester.may_take_over() => {
                self.seen.handovers += 1;
                self.promote(n, false)?;
                if self.hears(n) {
                    self.step_down(1 - n);
                }
            }
            Role::Backup if !heard => self.succeed(n)?,
            Role::Active | Role::Backup | Role::Init => {}
        }
        Ok(())
    }

    fn succeed(&mut self, n: usize) -> Result<(), Violation> {
        if self.now.saturating_since(self.nodes[n].moments.heard) < ACTIVE_DOWN {
            return Ok(());
        }
        match self.standing(n).map(|standing| standing.takeover) {
            Some(Takeover::Now { stale }) => self.promote(n, stale),
            Some(Takeover::NotBefore(..)) => {
                self.seen.vetoes += 1;
                Ok(())
            }
            Some(Takeover::Never) | None => Ok(()),
        }
    }

    fn effective_rank(&self, n: usize) -> (bool, u8, usize) {
        let stale = self.standing(n).is_some_and(|s| s.held == Some(Held::ServesStale));
        (!stale, self.nodes[n].rank, 1 - n)
    }

    fn promote(&mut self, n: usize, stale: bool) -> Result<(), Violation> {
        let (nonce, clock) = (self.number(), self.clock(n));
        let brain = self.brain;
        let node = &mut self.nodes[n];
        node.running = None;
        node.disk.memory = brain.promoted(&node.disk.memory, &node.name, clock, nonce, stale);
        node.disk.memory.share_id.get_or_insert_with(|| format!("share-{nonce}"));
        node.role = Role::Active;
        node.commanded = false;
        node.requester.handle(self.now, RequesterInput::Active);
        self.seen.promotions += 1;
        self.begin_tenure(n)
    }

    fn begin_tenure(&mut self, n: usize) -> Result<(), Violation> {
        self.tenures.push(Tenure { node: n, began: self.now });
        let node = &mut self.nodes[n];
        let number = node.disk.memory.history.tip().map_or(0, |tip| tip.number);
        let truth = &mut node.disk.truth;
        truth.tenures.push(self.tenures.len() - 1);
        truth.wrote = None;
        truth.given_up = false;
        if number <= truth.highest {
            return Err(format!(
                "{} serves with epoch {number} after it had seen {}",
                node.name, truth.highest
            ));
        }
        truth.highest = number;
        Ok(())
    }

    fn step_down(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.role = Role::Backup;
        node.moments.heard = self.now;
        if let Some(ServerOutput::Unquiesce(_)) =
            node.server.handle(self.now, ServerInput::SteppedDown)
        {
            node.frozen = false;
        }
    }

    // What the sync does.

    fn copy(&mut self, n: usize) -> Result<(), Violation> {
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

    fn pull(&mut self, n: usize, pull: &Pull) -> Result<(), Violation> {
        if self.nodes[n].role == Role::Active {
            return Err(format!("{} pulls while it is active", self.nodes[n].name));
        }
        let same = self.nodes[n].running.as_ref().is_some_and(|running| running.pull == *pull);
        if !same {
            self.abandon(n);
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

    fn begin_pull(&mut self, n: usize, pull: &Pull, last: bool) -> Result<(), Violation> {
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
    fn copy_one(&mut self, n: usize) -> Result<(), Violation> {
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

    fn finish_pull(&mut self, n: usize) {
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

    fn abandon(&mut self, n: usize) {
        self.nodes[n].idle_pass = false;
        if let Some(running) = self.nodes[n].running.take() {
            self.fail_pull(n, running.last);
        }
    }

    fn fail_pull(&mut self, n: usize, last: bool) {
        self.nodes[n].idle_pass = false;
        if last {
            self.nodes[n].requester.handle(self.now, RequesterInput::PullFailed);
        }
    }

    /// The side of a handover that serves.
    fn serve_requests(&mut self, n: usize) {
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
                    node.frozen = true;
                    node.server.handle(now, ServerInput::HookDone);
                }
                Some(ServerOutput::Unquiesce(_)) => node.frozen = false,
                None => {}
            }
        }
    }

    /// The side of a handover that asks.
    fn request(&mut self, n: usize, decision: &Decision) {
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

    fn decide(&self, n: usize) -> Decision {
        let node = &self.nodes[n];
        let heard = self.hears(n).then(|| self.nodes[1 - n].address);
        self.brain.decide(&self.me(n), node.peer.as_ref(), heard, &self.policy, self.now)
    }

    pub(crate) fn standing(&self, n: usize) -> Option<Standing> {
        let node = &self.nodes[n];
        let decision = node.decision.as_ref().filter(|_| node.up)?;
        Some(standing(
            &self.me(n),
            node.peer.as_ref(),
            decision,
            node.idle_pass,
            &self.policy,
            node.moments,
            self.now,
        ))
    }

    fn me(&self, n: usize) -> Me<'_> {
        let node = &self.nodes[n];
        Me {
            node: &node.name,
            share: SHARE,
            role: node.role,
            memory: &node.disk.memory,
            clock: self.clock(n),
        }
    }

    fn walk(&self, n: usize) -> Walk {
        let disk = &self.nodes[n].disk;
        let newest = disk.tree.values().map(|cell| cell.changed).max().unwrap_or_default();
        Walk { empty: disk.tree.is_empty(), newest: newest.max(disk.root_changed) }
    }

    fn clock(&self, n: usize) -> Stamp {
        Stamp(self.now.as_nanos() + self.nodes[n].ahead)
    }

    fn hears(&self, n: usize) -> bool {
        let other = &self.nodes[1 - n];
        self.linked && self.adverts && other.up && other.role == Role::Active
    }

    /// Whether the files of the other machine can be read.
    fn reaches(&self, n: usize) -> bool {
        self.linked && self.nodes[1 - n].machine
    }

    fn number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    pub(crate) fn existing(&self) -> BTreeSet<Value> {
        let trees = self.nodes.iter().flat_map(|node| node.disk.tree.values());
        let rescued = self.nodes.iter().flat_map(|node| node.disk.rescue.iter().copied());
        trees.map(|cell| cell.value).chain(rescued).collect()
    }

    pub(crate) fn tenure(&self, number: usize) -> Tenure {
        self.tenures[number]
    }

    pub(crate) fn was_on_both(&self, value: Value) -> bool {
        self.on_both.contains(&value)
    }
}
