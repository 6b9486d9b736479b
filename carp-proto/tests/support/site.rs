//! Hosts with a group of routers each, in the crate's simulator: every router of the group has its own link.

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::Family;
use carp_proto::election::{Cause, Event, Evidence, Input, Posture, State};
use carp_proto::sim::{self, Fault, Span, What};

use super::Setup;
use super::lan::{self, Weather};

pub(crate) struct Site {
    pub(crate) sim: sim::Lan,
}

impl Site {
    /// For each member of the group the routers of all nodes; all started and linked.
    pub(crate) fn new(members: &[Vec<Setup>], weather: Weather, seed: u64) -> Self {
        let links: Vec<&[Setup]> = members.iter().map(Vec::as_slice).collect();
        let mut sim = lan::off(&links, weather, seed, true);
        sim.keep_entries();
        sim.boot_all();
        Self { sim }
    }

    pub(crate) fn nodes(&self) -> usize {
        self.sim.hosts()
    }

    pub(crate) fn members(&self) -> usize {
        self.sim.links()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.sim.elapsed()
    }

    /// The address of a node on the link of a member.
    pub(crate) fn source(&self, node: usize, member: usize) -> IpAddr {
        let first = self.sim.router(node, member).config().addresses()[0];
        self.sim.plan(node).source(Family::of(first.ip()))
    }

    /// What happens to one router.
    pub(crate) fn input(&mut self, node: usize, member: usize, input: Input) {
        self.sim.tell(node, member, input);
    }

    /// What happens to all routers of a node at once.
    pub(crate) fn input_all(&mut self, node: usize, input: Input) {
        self.sim.tell_all(node, input);
    }

    pub(crate) fn unplug(&mut self, node: usize, member: usize) {
        self.sim.apply(Fault::Unplug { host: node, link: member });
    }

    pub(crate) fn plug_in(&mut self, node: usize, member: usize) {
        self.sim.apply(Fault::PlugIn { host: node, link: member });
    }

    /// The machine is gone.
    pub(crate) fn kill(&mut self, node: usize) {
        self.sim.apply(Fault::Crash { host: node });
    }

    /// The machine is back, and on all of its links.
    pub(crate) fn restart(&mut self, node: usize) {
        self.sim.apply(Fault::Boot { host: node });
        (0..self.members()).for_each(|member| self.plug_in(node, member));
    }

    /// What `from` sends as a member does not arrive at `to`.
    pub(crate) fn cut(&mut self, member: usize, from: usize, to: usize) {
        self.sim.apply(Fault::Cut { link: member, from, to });
    }

    pub(crate) fn heal(&mut self) {
        self.sim.apply(Fault::Heal);
    }

    pub(crate) fn is_alive(&self, node: usize) -> bool {
        self.sim.is_running(node)
    }

    /// That no half of a group is ever active, and that no event causes more than two inputs for each
    /// router, is seen to by the simulator.
    pub(crate) fn run(&mut self, time: Duration) {
        self.sim.run(time);
        assert_eq!(self.sim.violation(), None);
    }

    pub(crate) fn posture(&self, node: usize, member: usize) -> Posture {
        self.sim.posture(node, member)
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
        let has_it = |member| self.sim.holds(node, member) && self.sim.holding(member) == 1;
        (0..self.members()).all(has_it).then_some(node)
    }

    /// The longest time since `from` for which nobody had the address of a member.
    pub(crate) fn gap(&self, member: usize, from: Duration) -> Duration {
        let during = Span { from, to: self.elapsed() };
        self.sim.record().longest(member, during, |hosts| hosts == 0)
    }

    /// The same for any member.
    pub(crate) fn longest_gap(&self, from: Duration) -> Duration {
        (0..self.members()).map(|member| self.gap(member, from)).max().unwrap_or_default()
    }

    /// What the routers of a member told: who, and what.
    pub(crate) fn events(&self, member: usize) -> Vec<(usize, Event)> {
        let entries = self.sim.trace().entries().iter().filter(|entry| entry.link == member);
        let events = entries.filter_map(|entry| match entry.what {
            What::Event(event) => Some((entry.host, event)),
            _ => None,
        });
        events.collect()
    }

    /// How often a router told that its state changed.
    pub(crate) fn transitions(&self) -> usize {
        let events = (0..self.members()).flat_map(|member| self.events(member));
        let changed = |(_, event): &(usize, Event)| match event {
            Event::State { from, to, .. } => from != to,
            Event::Rival { .. }
            | Event::AddressLost
            | Event::AddressExpired
            | Event::YieldUnanswered => false,
        };
        events.filter(changed).count()
    }

    /// The latest change of state that a router told.
    pub(crate) fn last_change(
        &self,
        node: usize,
        member: usize,
    ) -> (State, State, Cause, Evidence) {
        let change = |(teller, event): &(usize, Event)| match *event {
            Event::State { from, to, cause, evidence } if *teller == node => {
                Some((from, to, cause, evidence))
            }
            Event::State { .. }
            | Event::Rival { .. }
            | Event::AddressLost
            | Event::AddressExpired
            | Event::YieldUnanswered => None,
        };
        self.events(member).iter().rev().find_map(change).expect("a change of state")
    }

    pub(crate) fn last_cause(&self, node: usize, member: usize) -> Cause {
        self.last_change(node, member).2
    }
}
