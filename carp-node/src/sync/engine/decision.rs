//! Roles and decisions: what each share does now.

use carp_proto::Instant;

use super::build::random;
use super::peer::wall_stamp;
use super::{Engine, Role};
use crate::control::proto::RouterStatus;
use crate::sync::decide::{Decision, Me, decide};
use crate::sync::record::Memory;
use crate::sync::standing::{Held, Moments, standing};

impl Engine {
    pub(super) fn note_role(&mut self, number: usize, status: &[RouterStatus], now: Instant) {
        let router = &mut self.routers[number];
        let before = router.role;
        router.note(status, now);
        if before == router.role {
            return;
        }
        self.role_changed(number, before, now);
        self.close_connections();
    }

    /// What was found out in the role before says nothing about this one.
    pub(super) fn role_changed(&mut self, number: usize, before: Role, now: Instant) {
        let role = self.routers[number].role;
        if before == Role::Active {
            self.stepped_down(number, now);
        }
        if role == Role::Active {
            self.became_active(number, now);
        }
        for share in self.shares.iter_mut().filter(|share| share.router == number) {
            share.pace.reset();
            share.guard = None;
            share.held_before = None;
            share.approved = false;
            // What is served is no copy whose age anybody has to know, and a new copy begins with a clock as it is.
            share.clock_set = None;
            if role == Role::Active {
                share.stop_pass();
            }
        }
    }

    pub(super) fn decide(&mut self, number: usize, now: Instant) {
        let share = &self.shares[number];
        let router = &self.routers[share.router];
        if router.promoting.is_some() {
            // No pass begins, and if nothing comes of the takeover, what was decided before it still holds.
            return;
        }
        let peer = self.peers[share.peer].peer();
        let me = Me {
            node: &self.node_id,
            share: &share.spec.name,
            role: router.role,
            memory: &share.memory,
            clock: wall_stamp(),
        };
        // Adverts of the other family say nothing about who sends those of this one.
        let theirs = peer.and_then(|peer| peer.share(&share.spec.name));
        let heard = router.heard.filter(|heard| {
            let same = |theirs: &std::net::IpAddr| theirs.is_ipv4() == heard.is_ipv4();
            theirs.is_some_and(|share| share.speaks_from.iter().any(same))
        });
        let policy = &share.spec.policy;
        let decision = match (decide(&me, peer, heard, policy, now), self.rsync.hold()) {
            (Decision::Pull(_), Some(hold)) => Decision::Hold(hold.clone()),
            (decision, _) => decision,
        };
        let moments = Moments { started: self.started, heard: router.heard_at };
        // A source in which nothing moves is copied rarely, and the copy is no worse for it.
        let rhythm = if share.idle { policy.max_lag } else { share.pace.rhythm() };
        let mut standing = standing(&me, peer, &decision, rhythm, policy, moments, now);
        let guarded = share.guard.is_some()
            && standing.held.is_some()
            && matches!(decision, Decision::Pull(_));
        if guarded
            || share.lingers.is_some()
            || share.unwritten.is_some() && me.role != Role::Active
        {
            standing.in_sync = false;
            standing.held = Some(Held::OnHold);
        }
        self.act(number, &decision, now);
        let share = &mut self.shares[number];
        match &decision {
            Decision::Hold(hold) => share.held_before = Some(hold.clone()),
            Decision::Wait(wait) => {
                share.held_before = share.held_before.take().filter(|hold| wait.keeps(hold.reason));
            }
            _ => share.held_before = None,
        }
        share.decision = Some(decision);
        share.standing = Some(standing);
        self.tell_hold(number);
    }

    /// Does what was decided.
    fn act(&mut self, number: usize, decision: &Decision, now: Instant) {
        match decision {
            Decision::Serve(renewal) => {
                self.shares[number].stop_pulling();
                if let Some(renewal) = renewal {
                    let Ok(nonce) = random() else { return };
                    let memory = &self.shares[number].memory;
                    let memory = memory.after_renewal(&self.node_id, wall_stamp(), nonce, renewal);
                    self.remember(number, memory);
                }
                self.see_to_root(number);
            }
            Decision::Pull(pull) => {
                let share = &self.shares[number];
                if let Some(pass) = &share.pass {
                    if pass.tip != pull.tip || pass.given_up != pull.given_up {
                        self.shares[number].stop_pulling();
                    }
                    return;
                }
                if share.tidying || share.purging {
                    return;
                }
                let changes = self.changes(number);
                let due = share.pace.next(changes).is_some_and(|at| at <= now);
                if (due || share.wanted) && share.lingers.is_none() {
                    self.start_pass(number, pull.clone(), None, now);
                }
            }
            Decision::Scan => {
                self.shares[number].stop_pulling();
                self.walk(number, now);
            }
            Decision::Keep | Decision::Hold(_) | Decision::Wait(_) => {
                self.shares[number].stop_pulling();
            }
        }
    }

    fn changes(&self, number: usize) -> u64 {
        let share = &self.shares[number];
        let peer = self.peers[share.peer].peer();
        peer.and_then(|peer| peer.share(&share.spec.name)).map_or(0, |theirs| theirs.changes)
    }

    /// Makes what is remembered last. What cannot be remembered does not hold.
    pub(super) fn remember(&mut self, number: usize, memory: Memory) -> bool {
        let share = &mut self.shares[number];
        if share.memory == memory {
            return true;
        }
        let outcome = memory.store(&share.file).map_err(|error| error.to_string());
        let is_written = outcome.is_ok();
        share.note_written(outcome, super::now());
        if is_written {
            share.memory = memory;
            share.own_fault = None;
        }
        is_written
    }

    /// A hold is told once, and so is its end.
    fn tell_hold(&mut self, number: usize) {
        let share = &mut self.shares[number];
        let hold = share.hold().map(|hold| hold.message.clone());
        let news = hold.or_else(|| share.fault());
        if share.told == news {
            return;
        }
        share.told.clone_from(&news);
        match news {
            Some(text) => self.tell_fault(number, text),
            None => self.tell_log(number, "no longer held"),
        }
    }
}
