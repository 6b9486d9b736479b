//! Two machines with a disk each, a link that is cut and healed, and clients that write: a model in virtual
//! time, in which everything that decides is the real code.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use carp_node::sync::decide::{Decision, Me, Pull};
use carp_node::sync::handover::{Requester, Server};
use carp_node::sync::lineage::{NodeId, Stamp};
use carp_node::sync::policy::Policy;
use carp_node::sync::record::{Keep, Memory, NodeRecord, Peer, Role, ShareRecord, Walk};
use carp_node::sync::standing::{Moments, Standing, standing};
use carp_proto::Instant;

use crate::brain::Brain;

/// The name of the share.
pub(crate) const SHARE: &str = "www";

/// How many paths there are.
pub(crate) const PATHS: u8 = 6;

/// No machine is back sooner after it crashed.
const BOOT: Duration = Duration::from_secs(5);

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
pub(crate) struct Running {
    pub(crate) pull: Pull,
    pub(crate) source: ShareRecord,
    pub(crate) source_clock: Stamp,
    pub(crate) local_clock: Stamp,
    pub(crate) left: Vec<u8>,
    pub(crate) moved: bool,
    /// It is the last one of a handover.
    pub(crate) last: bool,
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) name: NodeId,
    pub(crate) address: IpAddr,
    pub(crate) disk: Disk,
    pub(crate) snapshot: Option<Disk>,
    /// The machine runs: its files can be read.
    pub(crate) machine: bool,
    /// Not before this it runs again.
    pub(crate) boots: Instant,
    /// The daemon runs.
    pub(crate) up: bool,
    pub(crate) role: Role,
    pub(crate) rank: u8,
    /// How far its clock is ahead of virtual time, in nanoseconds.
    pub(crate) ahead: u64,
    pub(crate) frozen: bool,
    pub(crate) process: u64,
    pub(crate) beat: u64,
    pub(crate) peer: Option<Peer>,
    pub(crate) running: Option<Running>,
    pub(crate) moments: Moments,
    pub(crate) idle_pass: bool,
    pub(crate) requester: Requester,
    pub(crate) server: Server,
    pub(crate) commanded: bool,
    pub(crate) decision: Option<Decision>,
}

#[derive(Debug)]
pub(crate) struct World<'a> {
    pub(crate) nodes: [Node; 2],
    pub(crate) policy: Policy,
    pub(crate) linked: bool,
    pub(crate) adverts: bool,
    /// Hooks stop the writers while a handover lasts. Without them, clients write until the other one serves.
    pub(crate) stops_writers: bool,
    /// Somebody's clock was set: moments can no longer be compared.
    pub(crate) clocks_set: bool,
    pub(crate) required: BTreeSet<Value>,
    /// Values that were on both nodes at some time.
    pub(crate) on_both: BTreeSet<Value>,
    pub(crate) tenures: Vec<Tenure>,
    pub(crate) now: Instant,
    pub(crate) numbers: u64,
    pub(crate) values: Value,
    /// Something in a tree was replaced since it was last checked that nothing is lost.
    pub(crate) replaced: bool,
    pub(crate) brain: &'a dyn Brain,
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
    /// Writes to a node while it hands over.
    pub(crate) late: u32,
}

impl<'a> World<'a> {
    pub(crate) fn new(policy: Policy, stops_writers: bool, brain: &'a dyn Brain) -> Self {
        let now = Instant::from_nanos(1_000_000_000_000);
        let node = |name: &str, last: u8, rank, ahead| Node {
            name: NodeId::try_from(name.to_owned()).unwrap(),
            address: Ipv4Addr::new(192, 0, 2, last).into(),
            disk: Disk::default(),
            snapshot: None,
            machine: true,
            boots: now,
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
            stops_writers,
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

    /// A file that was there before carp came. Nobody has ever copied it.
    pub(crate) fn found(&mut self, n: usize, path: u8) {
        self.values += 1;
        let (value, changed) = (self.values, self.clock(n));
        self.required.insert(value);
        let old = self.nodes[n].disk.tree.insert(path, Cell { value, changed });
        self.nodes[n].disk.root_changed = changed;
        self.give_up(old);
    }

    // What clients do.

    /// Writes through the address: to whoever has it, to `prefer` if both do.
    pub(crate) fn write(&mut self, prefer: usize, path: u8) {
        let Some(n) = self.server(prefer) else { return };
        self.values += 1;
        let (value, changed) = (self.values, self.touch(n));
        self.seen.late += u32::from(self.nodes[n].server.quiesced().is_some());
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

    pub(crate) fn server(&self, prefer: usize) -> Option<usize> {
        [prefer, 1 - prefer].into_iter().find(|&n| {
            let node = &self.nodes[n];
            node.up && node.role == Role::Active && !node.frozen
        })
    }

    pub(crate) fn touch(&mut self, n: usize) -> Stamp {
        self.now += Duration::from_millis(1);
        let changed = self.clock(n);
        let disk = &mut self.nodes[n].disk;
        disk.root_changed = changed;
        disk.truth.wrote = Some(self.now);
        changed
    }

    /// Whoever writes over a value, or deletes it, gave it up.
    pub(crate) fn give_up(&mut self, old: Option<Cell>) {
        if let Some(old) = old {
            self.required.remove(&old.value);
        }
    }

    // What fate does.

    /// The machine stops at once. `lossy`: what was written in the last seconds was not on the disk.
    pub(crate) fn crash(&mut self, n: usize, lossy: bool) {
        self.kill_daemon(n);
        let horizon = self.clock(n).before(Duration::from_secs(5));
        let boots = self.now + BOOT;
        let node = &mut self.nodes[n];
        node.machine = false;
        node.boots = boots;
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

    pub(crate) fn start(&mut self, n: usize) -> Result<(), Violation> {
        while !self.nodes[n].machine && self.now < self.nodes[n].boots {
            self.tick(1)?;
        }
        if self.nodes[n].up {
            return Ok(());
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
        Ok(())
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

    pub(crate) fn excuse(&mut self) {
        let exists = self.existing();
        self.required.retain(|value| exists.contains(value));
    }

    // What operators do.

    pub(crate) fn command_handover(&mut self, n: usize) {
        self.nodes[n].commanded = true;
    }

    pub(crate) fn resolve(&mut self, n: usize, keep: Keep) {
        // Whoever serves is told to yield first.
        if keep == Keep::Peer && self.nodes[n].role == Role::Active {
            return;
        }
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

    pub(crate) fn decide(&self, n: usize) -> Decision {
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
            if node.idle_pass { self.policy.max_lag } else { Duration::ZERO },
            &self.policy,
            node.moments,
            self.now,
        ))
    }

    pub(crate) fn me(&self, n: usize) -> Me<'_> {
        let node = &self.nodes[n];
        Me {
            node: &node.name,
            share: SHARE,
            role: node.role,
            memory: &node.disk.memory,
            clock: self.clock(n),
        }
    }

    pub(crate) fn walk(&self, n: usize) -> Walk {
        let disk = &self.nodes[n].disk;
        let newest = disk.tree.values().map(|cell| cell.changed).max().unwrap_or_default();
        Walk { empty: disk.tree.is_empty(), newest: newest.max(disk.root_changed) }
    }

    pub(crate) fn clock(&self, n: usize) -> Stamp {
        Stamp(self.now.as_nanos() + self.nodes[n].ahead)
    }

    pub(crate) fn hears(&self, n: usize) -> bool {
        let other = &self.nodes[1 - n];
        self.linked && self.adverts && other.up && other.role == Role::Active
    }

    /// Whether the files of the other machine can be read.
    pub(crate) fn reaches(&self, n: usize) -> bool {
        self.linked && self.nodes[1 - n].machine
    }

    pub(crate) fn number(&mut self) -> u64 {
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
