//! The task of one router: one hook after the other.

use std::collections::VecDeque;
use std::sync::PoisonError;

use tokio::sync::{mpsc, oneshot};

use super::report::{Reports, count_dropped};
use super::{HookEvent, HookOn, HookReport, HookRouter, OnResult, Reply, Request};
use crate::runner::{GRACE, Job, RunnerHandle, StopSignal};

/// How many events of one router may wait for their hooks.
pub const WAITING: usize = 64;

/// One router's task.
pub(super) struct Queue {
    pub(super) router: HookRouter,
    pub(super) runner: RunnerHandle,
    pub(super) reports: Reports,
    pub(super) on_result: OnResult,
    pub(super) urgent: Option<(HookEvent, Reply)>,
    pub(super) waiting: VecDeque<HookEvent>,
    /// Who wants to know when nothing is left to do.
    pub(super) idle: Vec<oneshot::Sender<()>>,
}

impl Queue {
    /// Works until nobody can ask any more.
    pub(super) async fn work(mut self, mut requests: mpsc::Receiver<Request>) {
        loop {
            while let Ok(request) = requests.try_recv() {
                self.take(request);
            }
            let (event, reply) = match self.next() {
                Some(next) => next,
                None => {
                    self.tell_idle();
                    match requests.recv().await {
                        Some(request) => self.take(request),
                        None => return,
                    }
                    continue;
                }
            };
            let Some(ok) = self.run(&event, &mut requests).await else { return };
            if let Some(reply) = reply {
                reply(ok);
            }
        }
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Run(event) => {
                if self.waiting.len() == WAITING
                    && let Some(oldest) = self.waiting.pop_front()
                {
                    count_dropped(&self.reports, oldest.on);
                }
                self.waiting.push_back(event);
            }
            Request::Prepare(event, reply) => {
                if let Some((older, refuse)) = self.urgent.replace((event, reply)) {
                    count_dropped(&self.reports, older.on);
                    refuse(false);
                }
            }
            Request::Idle(sender) => self.idle.push(sender),
        }
    }

    fn next(&mut self) -> Option<(HookEvent, Option<Reply>)> {
        match self.urgent.take() {
            Some((event, reply)) => Some((event, Some(reply))),
            None => self.waiting.pop_front().map(|event| (event, None)),
        }
    }

    /// Runs one hook to its end, taking requests meanwhile. Whether it exited with 0; `None` when
    /// nobody can ask any more, which ends the program's usefulness but not the program.
    async fn run(
        &mut self,
        event: &HookEvent,
        requests: &mut mpsc::Receiver<Request>,
    ) -> Option<bool> {
        self.note(event.on, |report| report.running = true);
        let run = self.runner.run(self.job(event));
        tokio::pin!(run);
        let report = loop {
            tokio::select! {
                report = &mut run => break report,
                request = requests.recv() => self.take(request?),
            }
        };
        let ok = report.outcome.is_success();
        let noted = self.note(event.on, |noted| noted.finish(report));
        if let Some(noted) = noted {
            (self.on_result)(&self.router.name, &noted);
        }
        Some(ok)
    }

    fn job(&self, event: &HookEvent) -> Job {
        let spec = &self.router.spec;
        let variables = [
            ("CARP_ROUTER", self.router.name.clone()),
            ("CARP_STATE", event.on.carp_state().to_string()),
            ("CARP_PREVIOUS", event.previous.to_string()),
            ("CARP_CAUSE", event.cause.clone()),
            ("CARP_INTERFACE", self.router.interface.clone()),
            ("CARP_ADDRESSES", self.router.addresses.join(" ")),
            ("CARP_SEQ", event.seq.to_string()),
        ];
        Job {
            argv: spec.argv(event.on).cloned().unwrap_or_default(),
            env: variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            limit: spec.timeout,
            stop: StopSignal::Term,
            grace: GRACE,
            account: spec.account,
        }
    }

    /// Changes a hook's report, and gives a copy of it.
    fn note(&self, on: HookOn, change: impl FnOnce(&mut HookReport)) -> Option<HookReport> {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        let report = reports.get_mut(&on)?;
        change(report);
        Some(report.clone())
    }

    fn tell_idle(&mut self) {
        for idle in self.idle.drain(..) {
            // Whoever asked may have stopped waiting.
            idle.send(()).ok();
        }
    }
}
