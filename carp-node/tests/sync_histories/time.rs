//! What a second brings: records are written and read, passes get on, and an election is held.

use std::time::Duration;

use carp_node::sync::decide::{Decision, untouched};
use carp_node::sync::handover::{RequesterInput, ServerInput, ServerOutput};
use carp_node::sync::record::{Databases, NodeRecord, Peer, Role, ShareRecord};
use carp_node::sync::standing::{Held, Takeover};

use crate::world::{SHARE, Tenure, Violation, World};

/// Silence that makes a backup want to take over.
const ACTIVE_DOWN: Duration = Duration::from_secs(3);

impl World<'_> {
    pub(crate) fn tick(&mut self, seconds: u32) -> Result<(), Violation> {
        for _ in 0..seconds {
            self.second()?;
            if std::mem::take(&mut self.replaced) {
                self.check_nothing_lost()?;
            }
        }
        Ok(())
    }

    pub(crate) fn second(&mut self) -> Result<(), Violation> {
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

    pub(crate) fn publish(&mut self, n: usize) {
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
            keeps: memory.keeps.clone(),
            untouched: untouched(&node.name, memory),
            in_sync,
            held: matches!(node.decision, Some(Decision::Hold(_))),
            want: node.requester.want(),
            quiesced: node.server.quiesced(),
            marked: false,
            databases: Databases::Absent,
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

    pub(crate) fn read_peer(&mut self, n: usize) {
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

    pub(crate) fn elect(&mut self, n: usize) -> Result<(), Violation> {
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

    pub(crate) fn succeed(&mut self, n: usize) -> Result<(), Violation> {
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

    pub(crate) fn effective_rank(&self, n: usize) -> (bool, u8, usize) {
        let stale = self.standing(n).is_some_and(|s| s.held == Some(Held::ServesStale));
        (!stale, self.nodes[n].rank, 1 - n)
    }

    pub(crate) fn promote(&mut self, n: usize, stale: bool) -> Result<(), Violation> {
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

    pub(crate) fn begin_tenure(&mut self, n: usize) -> Result<(), Violation> {
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

    pub(crate) fn step_down(&mut self, n: usize) {
        let node = &mut self.nodes[n];
        node.role = Role::Backup;
        node.moments.heard = self.now;
        if let Some(ServerOutput::Unquiesce(_)) =
            node.server.handle(self.now, ServerInput::SteppedDown)
        {
            node.frozen = false;
        }
    }
}
