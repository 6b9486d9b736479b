//! Hosts with a group of routers each, in virtual time: every router of the group has its own link.

use std::time::Duration;

use carp_proto::election::{Cause, Event, Evidence, Input, LinkState, Posture, State};
use carp_proto::{Group, Instant};

use super::lan::{Lan, Weather};
use super::{Setup, secs};

pub(crate) struct Site {
    pub(crate) now: Instant,
    /// The links, one for each member of the group.
    pub(crate) lans: Vec<Lan>,
    /// One for each node.
    groups: Vec<Group>,
}

impl Site {
    /// For each member of the group the routers of all nodes; all started and linked.
    pub(crate) fn new(members: &[Vec<Setup>], weather: Weather, seed: u64) -> Self {
        let lan = |(setups, number): (&Vec<Setup>, u64)| {
            Lan::unstarted(setups, weather, seed.wrapping_mul(31).wrapping_add(number))
        };
        let lans: Vec<Lan> = members.iter().zip(1..).map(lan).collect();
        let nodes = members[0].len();
        let groups = vec![Group::new(members.len()); nodes];
        let mut site = Self { now: lans[0].now, lans, groups };
        (0..nodes).for_each(|node| site.start(node));
        site
    }

    pub(crate) fn nodes(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn members(&self) -> usize {
        self.lans.len()
    }

    /// What happens to one router.
    pub(crate) fn input(&mut self, node: usize, member: usize, input: Input) {
        self.lans[member].input(node, input);
        self.settle(node);
    }

    /// What happens to all routers of a node at once.
    pub(crate) fn input_all(&mut self, node: usize, input: Input) {
        self.lans.iter_mut().for_each(|lan| lan.input(node, input));
        self.settle(node);
    }

    pub(crate) fn unplug(&mut self, node: usize, member: usize) {
        self.input(node, member, Input::Link(LinkState::Down));
    }

    pub(crate) fn plug_in(&mut self, node: usize, member: usize) {
        self.lans[member].plug_in(node);
        self.settle(node);
    }

    /// The machine is gone.
    pub(crate) fn kill(&mut self, node: usize) {
        self.lans.iter_mut().for_each(|lan| lan.kill(node));
    }

    /// The machine is back.
    pub(crate) fn restart(&mut self, node: usize) {
        self.lans.iter_mut().for_each(|lan| lan.revive(node));
        self.groups[node] = Group::new(self.members());
        self.start(node);
    }

    fn start(&mut self, node: usize) {
        self.settle(node);
        self.input_all(node, Input::Start);
        (0..self.members()).for_each(|member| self.plug_in(node, member));
    }

    /// Nothing of a member passes between the nodes, or what `from` sends does not arrive at `to`.
    pub(crate) fn cut(&mut self, member: usize, from: usize, to: usize) {
        self.lans[member].cuts.push((from, to));
    }

    pub(crate) fn heal(&mut self) {
        self.lans.iter_mut().for_each(|lan| lan.cuts.clear());
    }

    pub(crate) fn is_alive(&self, node: usize) -> bool {
        self.lans[0].nodes[node].alive
    }

    pub(crate) fn run(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            let next = |lan: &Lan| lan.next_at().filter(|at| *at <= end);
            let due = (0..self.members()).filter_map(|lan| Some((next(&self.lans[lan])?, lan)));
            let Some((at, first)) = due.min() else { break };
            self.set_now(at);
            self.lans[first].step();
            (0..self.nodes()).for_each(|node| self.settle(node));
        }
        self.set_now(end);
    }

    fn set_now(&mut self, now: Instant) {
        self.now = now;
        self.lans.iter_mut().for_each(|lan| lan.now = now);
    }

    /// Tells a group what has become of its routers, and them what it wants of them.
    fn settle(&mut self, node: usize) {
        if !self.is_alive(node) {
            return;
        }
        for member in 0..self.members() {
            self.note(node, member);
        }
        let mut inputs = 0;
        while let Some((member, input)) = self.groups[node].poll_input() {
            self.lans[member].input(node, input);
            self.note(node, member);
            inputs += 1;
        }
        assert!(inputs <= 2 * self.members(), "{inputs} inputs for one event");
        let postures = self.postures(node);
        let active = postures.iter().filter(|posture| **posture == Posture::Active).count();
        assert!(active == 0 || active == postures.len(), "a half of a group: {postures:?}");
    }

    fn note(&mut self, node: usize, member: usize) {
        let posture = self.posture(node, member);
        self.groups[node].note(member, posture);
    }

    pub(crate) fn posture(&self, node: usize, member: usize) -> Posture {
        self.lans[member].nodes[node].router.posture()
    }

    pub(crate) fn postures(&self, node: usize) -> Vec<Posture> {
        (0..self.members()).map(|member| self.posture(node, member)).collect()
    }

    /// The living nodes whose group is active.
    pub(crate) fn active(&self) -> Vec<usize> {
        let is_active =
            |node: &usize| self.is_alive(*node) && self.posture(*node, 0) == Posture::Active;
        (0..self.nodes()).filter(is_active).collect()
    }

    /// The node that alone has all of the addresses.
    pub(crate) fn holder(&self) -> Option<usize> {
        let &[node] = self.active().as_slice() else { return None };
        let has_it = |lan: &Lan| lan.nodes[node].holds && lan.holding() == 1;
        self.lans.iter().all(has_it).then_some(node)
    }

    /// The longest time since `from` for which one of the addresses was on no host.
    pub(crate) fn longest_gap(&self, from: Instant) -> Duration {
        let gap = |lan: &Lan| lan.longest_outside(from, |holders| holders > 0);
        self.lans.iter().map(gap).max().unwrap_or(secs(0))
    }

    pub(crate) fn transitions(&self) -> usize {
        self.lans.iter().map(|lan| lan.transitions.len()).sum()
    }

    /// The latest change of state that a router told.
    pub(crate) fn last_change(
        &self,
        node: usize,
        member: usize,
    ) -> (State, State, Cause, Evidence) {
        let change = |(_, teller, event): &(Instant, usize, Event)| match *event {
            Event::State { from, to, cause, evidence } if *teller == node => {
                Some((from, to, cause, evidence))
            }
            Event::State { .. }
            | Event::Rival { .. }
            | Event::AddressLost
            | Event::AddressExpired
            | Event::YieldUnanswered => None,
        };
        self.lans[member].events.iter().rev().find_map(change).expect("a change of state")
    }

    pub(crate) fn last_cause(&self, node: usize, member: usize) -> Cause {
        self.last_change(node, member).2
    }
}
