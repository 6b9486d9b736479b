//! Planned changes of the active node: what is asked of the peer, and what it asks.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use carp_proto::Instant;

use super::peer::wall_stamp;
use super::{Engine, now};
use crate::event::EventKind;
use crate::sync::decide::Decision;
use crate::sync::handover::{
    RequesterInput, RequesterOutput, ServerInput, ServerOutput, Unquiesce,
};
use crate::sync::policy::Failback;
use crate::sync::record::{Role, Want};
use crate::sync::standing::Held;

impl Engine {
    /// Both sides of a handover, once.
    pub(super) fn hand_over(&mut self, number: usize, now: Instant) {
        self.request_handover(number, now);
        self.serve_handover(number, now);
        self.see_to_leaving(number, now);
        self.pull_for_leaving_peer(number);
    }

    pub(super) fn mine(&self, router: usize) -> Vec<usize> {
        (0..self.shares.len()).filter(|share| self.shares[*share].router == router).collect()
    }

    /// Those of a router's shares that have to be in sync for a handover, and are pulled once more: the required ones.
    /// Where none is, all.
    fn counted(&self, router: usize) -> Vec<usize> {
        let mine = self.mine(router);
        let required = |share: &usize| self.shares[*share].spec.policy.require;
        if mine.iter().any(required) { mine.into_iter().filter(required).collect() } else { mine }
    }

    pub(super) fn fresh_want() -> Want {
        // The wall clock in nanoseconds: not used before, unless it was set back.
        Want(wall_stamp().0)
    }
}

/// The side that wants to serve.
impl Engine {
    fn request_handover(&mut self, number: usize, now: Instant) {
        if self.routers[number].promoting.is_some() {
            // The election has moved, and the peer's writers go on as soon as it has heard that.
            return;
        }
        let (mine, counted) = (self.mine(number), self.counted(number));
        let inputs = {
            let router = &self.routers[number];
            let ready = router.role == Role::Backup
                && router.heard.is_some()
                && router.preempts
                && router.is_better()
                && counted.iter().all(|share| self.is_ready(*share));
            let auto =
                mine.iter().all(|share| self.shares[*share].spec.policy.failback == Failback::Auto);
            // While it waits for the peer's answer it has to stay as good as it was.
            let fit = router.role != Role::Init
                && counted
                    .iter()
                    .all(|share| self.is_ready(*share) || self.shares[*share].pass.is_some());
            let mut inputs = Vec::new();
            if ready && auto {
                inputs.push(RequesterInput::Ready { fresh: Self::fresh_want() });
            }
            if !fit && router.role == Role::Backup {
                inputs.push(RequesterInput::Unready);
            }
            if let Some(want) = router.requester.want() {
                let quiesced = |share: &usize| self.peer_quiesced(*share) == Some(want);
                let answer = counted.iter().all(quiesced).then_some(want);
                inputs.push(RequesterInput::PeerQuiesced(answer));
            }
            inputs.push(RequesterInput::Tick);
            inputs
        };
        for input in inputs {
            let output = self.routers[number].requester.handle(now, input);
            self.requester_says(number, output);
        }
    }

    pub(super) fn is_ready(&self, share: usize) -> bool {
        let standing = self.shares[share].standing.as_ref();
        standing.is_some_and(|standing| {
            standing.ready && matches!(standing.held, None | Some(Held::AwaitsHandover))
        })
    }

    fn peer_quiesced(&self, share: usize) -> Option<Want> {
        let share = &self.shares[share];
        let peer = self.peers[share.peer].fresh(now())?;
        peer.share(&share.spec.name)?.quiesced
    }

    pub(super) fn requester_says(&mut self, number: usize, output: Option<RequesterOutput>) {
        match output {
            Some(RequesterOutput::PullNow) => {
                let pulls =
                    |share: &usize| !matches!(self.shares[*share].decision, Some(Decision::Keep));
                let pulled: Vec<usize> = self.counted(number).into_iter().filter(pulls).collect();
                for &share in &pulled {
                    // What runs has begun too early to count.
                    self.shares[share].stop_pass();
                    self.shares[share].wanted = true;
                }
                if pulled.is_empty() {
                    // The trees here count, as the operator said.
                    let done = RequesterInput::PullComplete;
                    let output = self.routers[number].requester.handle(now(), done);
                    self.requester_says(number, output);
                }
            }
            Some(RequesterOutput::Done { freeze }) => {
                let router = &mut self.routers[number];
                router.freeze = Some(freeze);
                if let Some(asked) = &mut router.asked {
                    asked.freeze = Some(freeze);
                }
                let text = format!(
                    "handover: writers stood still for {} ms before this node was active",
                    freeze.as_millis()
                );
                self.tell(number, EventKind::Log { text });
            }
            Some(RequesterOutput::GivenUp(why)) => {
                let text = format!("handover: {}", why.message());
                self.tell(number, EventKind::Fault { text });
                self.failback_given_up(number, why);
            }
            // A takeover is told to the election at the end of this turn.
            Some(RequesterOutput::TakeOver) | None => {}
        }
    }

    /// A pass has ended while a handover waits for one.
    pub(super) fn pass_in_handover(
        &mut self,
        share: usize,
        complete: bool,
        last: bool,
        now: Instant,
    ) {
        let number = self.shares[share].router;
        let counted = self.counted(number);
        if !last || !counted.contains(&share) {
            return;
        }
        let others = counted
            .into_iter()
            .any(|share| self.shares[share].wanted || self.shares[share].pass.is_some());
        let input = match (complete, others) {
            (false, _) => RequesterInput::PullFailed,
            (true, true) => return,
            (true, false) => RequesterInput::PullComplete,
        };
        let output = self.routers[number].requester.handle(now, input);
        self.requester_says(number, output);
    }

    pub(super) fn became_active(&mut self, number: usize, now: Instant) {
        let output = self.routers[number].requester.handle(now, RequesterInput::Active);
        self.requester_says(number, output);
    }

    /// A node that is about to leave says that its writers stand still, although nobody asked.
    fn pull_for_leaving_peer(&mut self, number: usize) {
        let router = &self.routers[number];
        if router.role != Role::Backup || router.requester.want().is_some() {
            return;
        }
        let mine = self.mine(number);
        let asked = mine.iter().find_map(|share| self.peer_quiesced(*share));
        if asked.is_none() || asked == self.routers[number].answered {
            return;
        }
        self.routers[number].answered = asked;
        for share in mine {
            self.shares[share].stop_pass();
            self.shares[share].wanted = true;
        }
    }
}

/// The side that serves.
impl Engine {
    fn serve_handover(&mut self, number: usize, now: Instant) {
        if self.routers[number].role != Role::Active {
            return;
        }
        let wants: Vec<_> =
            self.mine(number).into_iter().map(|share| self.peer_wants(share)).collect();
        let first = wants.first().copied().flatten();
        let want = first.filter(|_| wants.iter().all(|want| *want == first));
        for input in [ServerInput::PeerWants(want), ServerInput::Tick] {
            let output = self.routers[number].server.handle(now, input);
            self.server_says(number, output);
        }
    }

    fn peer_wants(&self, share: usize) -> Option<Want> {
        let share = &self.shares[share];
        let peer = self.peers[share.peer].fresh(now())?;
        let theirs = peer.share(&share.spec.name)?;
        match theirs.role {
            // It has what it wanted, and this node is about to step down.
            Role::Active => self.routers[share.router].server.quiesced(),
            Role::Backup | Role::Init => theirs.want,
        }
    }

    pub(super) fn server_says(&mut self, number: usize, output: Option<ServerOutput>) {
        match output {
            Some(ServerOutput::Quiesce) => self.run_hooks(number, true),
            Some(ServerOutput::Unquiesce(why)) => {
                let kind = match why {
                    Unquiesce::HandedOver { freeze } => self.froze(number, "handover", freeze),
                    Unquiesce::Withdrawn => EventKind::Log {
                        text: "handover: the peer took its request back; writers go on".into(),
                    },
                    Unquiesce::TimedOut => EventKind::Fault {
                        text: "handover: nobody took over in time; writers go on".into(),
                    },
                    Unquiesce::HookFailed => {
                        EventKind::Fault { text: "handover: quiesce failed; writers go on".into() }
                    }
                };
                self.tell(number, kind);
                self.run_hooks(number, false);
            }
            None => {}
        }
    }

    pub(super) fn stepped_down(&mut self, number: usize, now: Instant) {
        let output = self.routers[number].server.handle(now, ServerInput::SteppedDown);
        self.server_says(number, output);
        self.has_left(number, now);
    }

    /// Notes for how long writers stood still, from the start of the hooks until this router was active no more.
    pub(super) fn froze(&mut self, number: usize, by: &str, freeze: Duration) -> EventKind {
        self.routers[number].freeze = Some(freeze);
        let text = format!("{by}: done; writers stood still for {} ms here", freeze.as_millis());
        EventKind::Log { text }
    }

    pub(super) fn tell(&self, number: usize, kind: EventKind) {
        let router: Arc<str> = self.routers[number].name.as_str().into();
        self.events.tell(Some(&router), kind);
    }

    /// Tells what is wrong with a share, as an event of its router.
    pub(super) fn tell_fault(&self, share: usize, what: impl Display) {
        self.tell(self.shares[share].router, EventKind::Fault { text: self.about(share, what) });
    }

    /// Tells what was done about a share, as an event of its router.
    pub(super) fn tell_log(&self, share: usize, what: impl Display) {
        self.tell(self.shares[share].router, EventKind::Log { text: self.about(share, what) });
    }

    fn about(&self, share: usize, what: impl Display) -> String {
        format!("share {}: {what}", self.shares[share].spec.name)
    }
}
