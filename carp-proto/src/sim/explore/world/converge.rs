//! What becomes of a state once all is well.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use super::{ACQUIRE_LIMIT, Budget, LATENESS, Move, Node, World};
use crate::Snapshot;
use crate::election::{Input, Phase, State};
use crate::router::RouterConfig;
use crate::sim::oracle::{HOLD, Invariant, Violation};
use crate::time::Instant;

impl World {
    /// Makes all well, and lets what comes come in the usual order: what is violated by it.
    pub(in crate::sim::explore) fn converge(mut self) -> Option<Violation> {
        self.settle().err()
    }

    fn settle(&mut self) -> Result<(), Violation> {
        self.budget = Budget::NONE;
        self.deaf.fill(0);
        for node in 0..self.nodes.len() {
            if !self.nodes[node].alive {
                self.boot(node);
            }
            if core::mem::take(&mut self.nodes[node].stopped) {
                self.input(node, Input::Start);
            }
        }
        let settling = self.settling();
        self.run_on(settling)?;
        // What is wrong with one router by itself is told as that, and not as what comes of it.
        self.check();
        self.violation.take().map_or(Ok(()), Err)?;
        self.unconverged().map_or(Ok(()), Err)?;
        if self.nodes.iter().any(|node| node.router.snapshot(self.now).held) {
            // Who is held may preempt when that is over.
            self.run_on(HOLD + settling)?;
        }
        let before = self.transitions();
        let (patience, ..) = self.times();
        self.run_on(patience * 3)?;
        let text = match self.unsettled() {
            None if self.transitions() == before => return Ok(()),
            None => "something changes although all is well".into(),
            Some(text) => text,
        };
        Err(Violation::of_run(Invariant::Stability, Duration::ZERO, text))
    }

    /// Lets this time pass.
    fn run_on(&mut self, time: Duration) -> Result<(), Violation> {
        self.run_until(self.now + time);
        self.violation.take().map_or(Ok(()), Err)
    }

    /// How long it may take until one serves and all others wait, once all is well.
    pub(super) fn settling(&self) -> Duration {
        let (patience, interval, handover) = self.times();
        handover + ACQUIRE_LIMIT + patience + interval + LATENESS * 4
    }

    /// [`Invariant::Convergence`], unless one serves and all others wait.
    pub(super) fn unconverged(&self) -> Option<Violation> {
        let violated = |text| Violation::of_run(Invariant::Convergence, Duration::ZERO, text);
        self.unsettled().map(violated)
    }

    fn transitions(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.router.snapshot(self.now).transitions).collect()
    }

    /// The longest patience, interval and handover window.
    pub(super) fn times(&self) -> (Duration, Duration, Duration) {
        let longest = |time: fn(&Snapshot, &RouterConfig) -> Duration| {
            let times = self
                .nodes
                .iter()
                .map(|node| time(&node.router.snapshot(self.now), node.router.config()));
            times.max().unwrap_or_default()
        };
        let interval = longest(|snapshot, _| snapshot.interval);
        let patience = longest(|snapshot, _| snapshot.active_down).max(interval * 3);
        (patience, interval, longest(|_, config| config.handover()))
    }

    /// What is wrong, if not exactly one router serves and has the addresses and all others wait.
    fn unsettled(&self) -> Option<String> {
        let serves = |node: &&Node| node.router.phase() == Some(Phase::Serving) && node.holds;
        let waits = |node: &&Node| node.router.state() == State::Backup && !node.holds;
        let serving = self.nodes.iter().filter(serves).count();
        let waiting = self.nodes.iter().filter(waits).count();
        let settled = serving == 1 && serving + waiting == self.nodes.len();
        (!settled).then(|| {
            let states: Vec<_> = self.nodes.iter().map(|node| node.router.state()).collect();
            format!("{serving} serve although all is well: {states:?}")
        })
    }

    pub(super) fn run_until(&mut self, end: Instant) {
        loop {
            if !self.flight.is_empty() {
                self.make(Move::Deliver(0));
            } else if let Some(node) = self.nodes.iter().position(|node| node.acquiring) {
                self.make(Move::Acquired(node));
            } else {
                let due = (0..self.nodes.len()).filter_map(|it| Some((self.deadline(it)?, it)));
                match due.min() {
                    Some((at, node)) if at <= end => self.make(Move::Wake(node)),
                    Some(_) | None => break,
                }
            }
            if self.violation.is_some() {
                return;
            }
        }
        self.now = self.now.max(end);
    }
}
