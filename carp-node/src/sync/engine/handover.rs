//! Planned changes of the active node: what is asked of the peer, what it asks, and the hooks.

use std::sync::Arc;

use carp_proto::Instant;
use tokio::task::spawn_local;

use super::peer::wall_stamp;
use super::router::Hooks;
use super::{Done, Engine, now};
use crate::event::EventKind;
use crate::runner::{Job, JobReport};
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

    pub(super) fn fresh_want() -> Want {
        // The wall clock in nanoseconds: not used before, unless it was set back.
        Want(wall_stamp().0)
    }
}

/// The side that wants to serve.
impl Engine {
    fn request_handover(&mut self, number: usize, now: Instant) {
        let mine = self.mine(number);
        let inputs = {
            let router = &self.routers[number];
            let ready = router.role == Role::Backup
                && router.heard.is_some()
                && router.preempts
                && router.is_better()
                && mine.iter().all(|share| self.is_ready(*share));
            let auto =
                mine.iter().all(|share| self.shares[*share].spec.policy.failback == Failback::Auto);
            // While it waits for the peer's answer it has to stay as good as it was.
            let fit = router.role != Role::Init
                && mine
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
                let answer = mine.iter().all(quiesced).then_some(want);
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
                let mine = self.mine(number);
                let pulls =
                    |share: &usize| !matches!(self.shares[*share].decision, Some(Decision::Keep));
                let pulled: Vec<usize> = mine.into_iter().filter(pulls).collect();
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
        if !last {
            return;
        }
        let others = self
            .mine(number)
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

    fn server_says(&mut self, number: usize, output: Option<ServerOutput>) {
        match output {
            Some(ServerOutput::Quiesce) => self.run_hooks(number, true),
            Some(ServerOutput::Unquiesce(why)) => {
                let kind = match why {
                    Unquiesce::HandedOver { freeze } => {
                        self.routers[number].freeze = Some(freeze);
                        let text = format!(
                            "handover: done; writers stood still for {} ms here",
                            freeze.as_millis()
                        );
                        EventKind::Log { text }
                    }
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
        if let Some(leaving) = self.routers[number].leaving.take() {
            for reply in leaving.replies {
                // Whoever asked may have gone.
                let _ = reply.send(());
            }
            if !leaving.asks {
                self.run_hooks(number, false);
            }
        }
    }

    /// Runs the hooks of a router's shares, one after the other: those that stop writers, or those that
    /// let them go on. What runs already comes to its end; its successor is of the new kind.
    pub(super) fn run_hooks(&mut self, number: usize, quiesces: bool) {
        let runs = self.routers[number].hooks.replace(Hooks { quiesces, next: 0 }).is_some();
        if !runs {
            self.next_hook(number);
        }
    }

    fn next_hook(&mut self, number: usize) {
        let Some(hooks) = self.routers[number].hooks else { return };
        let hook = |share: usize| {
            let spec = &self.shares[share].spec;
            let argv = if hooks.quiesces { &spec.quiesce } else { &spec.unquiesce };
            argv.clone().map(|argv| (share, argv, spec.quiesce_timeout))
        };
        let mine = self.mine(number).into_iter().filter(|share| *share >= hooks.next);
        let Some((share, argv, limit)) = mine.filter_map(hook).next() else {
            self.routers[number].hooks = None;
            if hooks.quiesces {
                self.hooks_done(number);
            }
            return;
        };
        self.routers[number].hooks = Some(Hooks { next: share + 1, ..hooks });
        let mut job = Job::new(argv, limit);
        let variables = [
            ("CARP_SHARE", self.shares[share].spec.name.clone()),
            ("CARP_ROUTER", self.routers[number].name.clone()),
            ("CARP_HOOK", if hooks.quiesces { "quiesce" } else { "unquiesce" }.to_owned()),
        ];
        job.env = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (run, done) = (self.runner.run(job), self.done.clone());
        spawn_local(async move {
            let report = run.await;
            let _ = done.send(Done::Hook { router: number, share, report });
        });
    }

    pub(super) fn hook_ended(&mut self, number: usize, share: usize, report: &JobReport) {
        let Some(hooks) = self.routers[number].hooks else { return };
        let ok = report.outcome.is_success();
        if !ok {
            let name = &self.shares[share].spec.name;
            let output = report.output.trim_end();
            let text =
                format!("share {name}: a hook of the handover: {}: {output}", report.outcome);
            self.tell(number, EventKind::Fault { text });
        }
        if hooks.quiesces && !ok && hooks.next == share + 1 {
            self.routers[number].hooks = None;
            let output = self.routers[number].server.handle(now(), ServerInput::HookFailed);
            self.server_says(number, output);
            // Who leaves, leaves; what was written meanwhile is kept by the other's rescue.
            if let Some(leaving) = &mut self.routers[number].leaving {
                leaving.quiet_since = Some(wall_stamp());
            }
            return;
        }
        self.next_hook(number);
    }

    fn hooks_done(&mut self, number: usize) {
        let output = self.routers[number].server.handle(now(), ServerInput::HookDone);
        self.server_says(number, output);
        if let Some(leaving) = &mut self.routers[number].leaving {
            leaving.quiet_since.get_or_insert(wall_stamp());
        }
    }

    pub(super) fn tell(&self, number: usize, kind: EventKind) {
        let router: Arc<str> = self.routers[number].name.as_str().into();
        self.events.tell(Some(&router), kind);
    }
}
