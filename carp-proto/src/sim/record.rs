//! What changed in a run, and what follows from it: gaps, overlaps, takeovers.

use alloc::vec::Vec;
use core::time::Duration;

use super::host::View;
use super::scenario::Step;

/// A change of who has the addresses of a link, in the sense that somebody who asks gets an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holders {
    /// The time since the beginning.
    pub at: Duration,
    /// The link.
    pub link: usize,
    /// Bit n is the host n.
    pub hosts: u32,
}

impl Holders {
    /// How many they are.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.hosts.count_ones()
    }
}

/// A change of what a router is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The time since the beginning.
    pub at: Duration,
    /// The host.
    pub host: usize,
    /// The link.
    pub link: usize,
    /// What it is at from then on.
    pub view: View,
}

/// A router that begins to take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The time since the beginning.
    pub at: Duration,
    /// The host.
    pub host: usize,
    /// The link.
    pub link: usize,
    /// The other routers that say that they are active, and that it can hear: bit n is the host n.
    pub heard: u32,
    /// Those of them that it is not to preempt: they are not worse, or it does not preempt at all.
    pub unbeaten: u32,
}

/// From one time to another, both since the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The one.
    pub from: Duration,
    /// The other.
    pub to: Duration,
}

impl Span {
    /// How long it is.
    #[must_use]
    pub const fn length(self) -> Duration {
        self.to.saturating_sub(self.from)
    }

    /// The part of it that lies in another one.
    #[must_use]
    pub fn within(self, other: Self) -> Option<Self> {
        let (from, to) = (self.from.max(other.from), self.to.min(other.to));
        (from < to).then_some(Self { from, to })
    }
}

/// What changed in a run. It grows with every change, and not with time.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Who has the addresses.
    pub holders: Vec<Holders>,
    /// What the routers are at.
    pub changes: Vec<Change>,
    /// Who began to take over.
    pub claims: Vec<Claim>,
    /// What was done from outside, but for what changed nothing: a boot of a host that runs, and the like.
    pub steps: Vec<Step>,
}

impl Record {
    /// The times within `during` for which the holders of a link were as wanted, in their order. Two that
    /// follow each other are one.
    #[must_use]
    pub fn times(&self, link: usize, during: Span, wanted: impl Fn(u32) -> bool) -> Vec<Span> {
        let mut times: Vec<Span> = Vec::new();
        let (mut since, mut hosts) = (Duration::ZERO, 0);
        let mut add = |from, to, hosts| {
            let Some(span) = Span { from, to }.within(during).filter(|_| wanted(hosts)) else {
                return;
            };
            match times.last_mut() {
                Some(last) if last.to == span.from => last.to = span.to,
                Some(_) | None => times.push(span),
            }
        };
        for change in self.holders.iter().filter(|change| change.link == link) {
            add(since, change.at, hosts);
            (since, hosts) = (change.at, change.hosts);
        }
        add(since, during.to, hosts);
        times
    }

    /// The longest time within `during` for which the holders of a link were as wanted.
    #[must_use]
    pub fn longest(&self, link: usize, during: Span, wanted: impl Fn(u32) -> bool) -> Duration {
        let times = self.times(link, during, wanted);
        times.into_iter().map(Span::length).max().unwrap_or_default()
    }

    /// What a router was at, from when to when, until `end`.
    #[must_use]
    pub fn views(&self, host: usize, link: usize, end: Duration) -> Vec<(Span, View)> {
        let of = |change: &&Change| change.host == host && change.link == link;
        let mut views = Vec::new();
        let mut last = (Duration::ZERO, View::Off);
        for change in self.changes.iter().filter(of) {
            views.push((Span { from: last.0, to: change.at.min(end) }, last.1));
            last = (change.at, change.view);
        }
        views.push((Span { from: last.0, to: end }, last.1));
        views.retain(|(span, _)| span.from < span.to);
        views
    }

    /// The longest time within `during` for which two hosts both claimed to be active on a link.
    #[must_use]
    pub fn longest_dual(&self, hosts: (usize, usize), link: usize, during: Span) -> Duration {
        let claims = |host| {
            let mut spans: Vec<Span> = Vec::new();
            for (span, view) in self.views(host, link, during.to) {
                match spans.last_mut() {
                    _ if !view.claims() => {}
                    Some(last) if last.to == span.from => last.to = span.to,
                    Some(_) | None => spans.push(span),
                }
            }
            spans
        };
        let (one, other) = (claims(hosts.0), claims(hosts.1));
        let both = one.iter().flat_map(|one| other.iter().filter_map(|it| one.within(*it)));
        both.filter_map(|span| span.within(during)).map(Span::length).max().unwrap_or_default()
    }
}
