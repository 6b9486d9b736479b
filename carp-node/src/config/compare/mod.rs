//! Two nodes side by side: do their routers hear each other, and who is active when?

mod carp;
mod group;
mod lease;
mod senders;
mod sync;
mod vrrp;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::IpAddr;

use super::spec::ProtocolSpec;
use super::{Config, Diagnostic, Location, RouterSpec, Severity, SyncSpec};

pub(super) fn compare(ours: &Config, theirs: &Config) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut matched = BTreeMap::new();
    for (index, router) in ours.routers.iter().enumerate() {
        match counterpart(router, &theirs.routers) {
            Some(other) => {
                matched.insert(index, other);
                Pair { ours: router, theirs: &theirs.routers[other], found: &mut found }.compare();
            }
            None => found.push(alone(router, "the other node")),
        }
    }
    let seen: BTreeSet<_> = matched.values().collect();
    let unseen = theirs.routers.iter().enumerate().filter(|(index, _)| !seen.contains(index));
    found.extend(unseen.map(|(_, router)| alone(router, "this node")));
    group::compare(ours, theirs, &matched, &mut found);
    sync::compare(ours, theirs, &mut found);
    found
}

/// The routers of the other node, in the order of ours.
pub(super) fn counterparts<'a>(ours: &Config, theirs: &'a Config) -> Vec<Option<&'a RouterSpec>> {
    let of = |router| theirs.routers.get(counterpart(router, &theirs.routers)?);
    ours.routers.iter().map(of).collect()
}

/// The router of the same name; else the one of the same protocol and id.
fn counterpart(router: &RouterSpec, others: &[RouterSpec]) -> Option<usize> {
    let by_name = others.iter().position(|other| other.name == router.name);
    by_name.or_else(|| {
        let key = |router: &RouterSpec| (router.protocol(), router.id);
        others.iter().position(|other| key(other) == key(router))
    })
}

fn alone(router: &RouterSpec, node: &str) -> Diagnostic {
    let message = format!("router {:?} is missing on {node}", router.name);
    router.places.table.warning(message).with_help("a router alone does not fail over")
}

/// A table as it is on two nodes: a router, or a share.
struct Pair<'a, T = RouterSpec> {
    ours: &'a T,
    theirs: &'a T,
    found: &'a mut Vec<Diagnostic>,
}

/// A table that knows where its values are written.
trait Table {
    fn place(&self, key: &str) -> &Location;
}

impl Table for RouterSpec {
    fn place(&self, key: &str) -> &Location {
        self.place(key)
    }
}

impl Table for SyncSpec {
    fn place(&self, key: &str) -> &Location {
        self.place(key)
    }
}

impl Pair<'_> {
    fn compare(&mut self) {
        let before = self.found.len();
        let (ours, theirs) = (self.ours, self.theirs);
        if ours.id != theirs.id {
            self.differs("id", ours.id, theirs.id, "the members of a router have the same id");
        }
        senders::compare(self);
        match (&ours.speech, &theirs.speech) {
            (ProtocolSpec::Carp(here), ProtocolSpec::Carp(there)) => {
                carp::compare(self, here, there);
            }
            (ProtocolSpec::Vrrp2(here), ProtocolSpec::Vrrp2(there)) => {
                vrrp::compare_2(self, here, there);
            }
            (ProtocolSpec::Vrrp3(here), ProtocolSpec::Vrrp3(there)) => {
                vrrp::compare_3(self, here, there);
            }
            (ProtocolSpec::Carp(_) | ProtocolSpec::Vrrp2(_) | ProtocolSpec::Vrrp3(_), _) => {
                let help = "the members of a router speak one protocol";
                return self.differs("protocol", ours.protocol(), theirs.protocol(), help);
            }
        }
        self.preemption();
        let differences = self.found.get(before..).unwrap_or_default();
        if differences.iter().all(|it| it.severity() == Severity::Warning) {
            lease::compare(self);
        }
    }

    /// Of a worse router that preempts and a better one that does not, the first one's setting does
    /// nothing while both are well.
    fn preemption(&mut self) {
        let (better, worse) = match rank(self.ours, self.theirs) {
            Ordering::Greater => (self.ours, self.theirs),
            Ordering::Less => (self.theirs, self.ours),
            Ordering::Equal => return,
        };
        if worse.preempt && !better.preempt && !better.is_owner() {
            let help = "the better router does not take over, and the worse one has nobody to take \
                        over from: give both the same preempt";
            self.doubtful("preempt", self.ours.preempt, self.theirs.preempt, help);
        }
    }
}

impl<T: Table> Pair<'_, T> {
    /// An error: the values of a key have to be the same.
    fn differs(&mut self, key: &str, here: impl Display, there: impl Display, help: &str) {
        let message = self.difference(key, here, there);
        self.error(self.ours.place(key), message, help);
    }

    /// A warning: the values of a key are seldom wanted to be different.
    fn doubtful(&mut self, key: &str, here: impl Display, there: impl Display, help: &str) {
        let message = self.difference(key, here, there);
        self.warning(self.ours.place(key), message, help);
    }

    fn difference(&self, key: &str, here: impl Display, there: impl Display) -> String {
        format!("{key} is {here} here and {there} at {}", self.theirs.place(key))
    }

    fn error(&mut self, place: &Location, message: String, help: &str) {
        self.found.push(place.error(message).with_help(help));
    }

    fn warning(&mut self, place: &Location, message: String, help: &str) {
        self.found.push(place.warning(message).with_help(help));
    }
}

/// Which of two routers is better: greater, if it is the first. Ranks of CARP and VRRP do not compare.
fn rank(ours: &RouterSpec, theirs: &RouterSpec) -> Ordering {
    match (&ours.speech, &theirs.speech) {
        (ProtocolSpec::Carp(here), ProtocolSpec::Carp(there)) => there.interval.cmp(&here.interval),
        (ProtocolSpec::Carp(_) | ProtocolSpec::Vrrp2(_) | ProtocolSpec::Vrrp3(_), _) => {
            let priorities = ours.priority().zip(theirs.priority());
            priorities.map_or(Ordering::Equal, |(here, there)| here.cmp(&there))
        }
    }
}

fn ips(router: &RouterSpec) -> BTreeSet<IpAddr> {
    router.all_addresses().iter().map(|address| address.ip()).collect()
}

fn address_difference(ours: &RouterSpec, theirs: &RouterSpec) -> String {
    let (here, there) = (ips(ours), ips(theirs));
    let list = |ips: Vec<String>| if ips.is_empty() { "none".to_owned() } else { ips.join(", ") };
    let only_here = list(here.difference(&there).map(ToString::to_string).collect());
    let only_there = list(there.difference(&here).map(ToString::to_string).collect());
    let place = theirs.place("addresses");
    format!("the addresses differ: only here {only_here}, only at {place} {only_there}")
}
