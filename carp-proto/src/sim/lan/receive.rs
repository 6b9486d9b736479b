//! What comes to a host: datagrams, deadlines, and word of its addresses.

use core::ops::Range;
use core::time::Duration;

use super::queue::{Happening, Job};
use super::{Bug, Invariant, Lan, Power, What};
use crate::election::{
    Advertisement, Fault as ElectionFault, Input, LinkState, Phase, Standing, State,
};
use crate::id::Priority;
use crate::sim::host::LeaseModel;
use crate::wire::ip::RxMeta;

/// What a socket buffer holds: so many datagrams of those that come while nobody reads.
const INBOX: usize = 256;

/// `EPERM`, what a kernel that refuses addresses says.
const REFUSED: i32 = 1;

/// How long a router has been active while [`Bug::IgnoresBetterAfterAMinute`] is at work: a hold of 60 s ends meanwhile,
/// and the better router has preempted before it is over.
const A_MINUTE: Range<Duration> = Duration::from_secs(55)..Duration::from_secs(66);

impl Lan {
    pub(super) fn happen(&mut self, host: usize, happening: Happening) {
        match happening {
            Happening::Expire { link, freeze, last } => self.expire(host, link, freeze, last),
            Happening::Guard { freeze } => self.guard(host, freeze),
            Happening::ResignAgain { link, life, slot } => {
                self.resign_again(host, link, life, slot);
            }
            Happening::GoOn { freeze } => self.go_on(host, freeze),
            Happening::Revive { freeze } => self.revive(host, freeze),
            Happening::Advert { .. }
            | Happening::Announcement { .. }
            | Happening::Done { .. }
            | Happening::Notice { .. } => match self.hosts[host].power {
                Power::Running => self.take_in(host, happening),
                Power::Frozen | Power::Paused if self.hosts[host].inbox.len() < INBOX => {
                    self.hosts[host].inbox.push(happening);
                }
                Power::Off | Power::Down | Power::Frozen | Power::Paused => self.forget(happening),
            },
        }
    }

    /// It does not come to anybody.
    pub(super) fn forget(&mut self, happening: Happening) {
        match happening {
            Happening::Advert { slot, .. } | Happening::ResignAgain { slot, .. } => {
                self.post.drop(slot);
            }
            Happening::Announcement { .. }
            | Happening::Done { .. }
            | Happening::Notice { .. }
            | Happening::Expire { .. }
            | Happening::Guard { .. }
            | Happening::GoOn { .. }
            | Happening::Revive { .. } => {}
        }
    }

    /// A daemon that runs takes it in.
    pub(super) fn take_in(&mut self, host: usize, happening: Happening) {
        match happening {
            Happening::Advert { link, from, slot } => self.hear(host, link, from, slot),
            Happening::Announcement { link, from } => {
                if self.reaches(link, from, host) {
                    self.put(host, link, Input::AnnouncementHeard);
                }
            }
            Happening::Done { link, life, job } if life == self.hosts[host].life => {
                self.done(host, link, job);
            }
            Happening::Notice { link, life, expired } if life == self.hosts[host].life => {
                self.hosts[host].ports[link].ledger.pending -= 1;
                let input = if expired { Input::AddressExpired } else { Input::AddressLost };
                if self.hosts[host].ports[link].ledger.wants {
                    self.put(host, link, input);
                } else if self.hosts[host].stopping {
                    // It was the last thing that its end waited for.
                    self.end_stop(host);
                }
            }
            Happening::Done { .. }
            | Happening::Notice { .. }
            | Happening::Expire { .. }
            | Happening::Guard { .. }
            | Happening::ResignAgain { .. }
            | Happening::GoOn { .. }
            | Happening::Revive { .. } => {}
        }
    }

    fn hear(&mut self, host: usize, link: usize, from: usize, slot: usize) {
        if !self.reaches(link, from, host) {
            return self.post.drop(slot);
        }
        if self.noise.random.happens(self.noise.chance) {
            self.hear_noise(host, link, slot);
        }
        if self.hosts[host].bug.is_some() && self.mishears(host, link, from, slot) {
            return self.post.drop(slot);
        }
        let now = self.clock(host);
        let (meta, bytes) = self.post.read(slot);
        let port = &mut self.hosts[host].ports[link];
        port.ledger.heard();
        let heard = port.router.handle_datagram(now, meta, bytes);
        self.post.drop(slot);
        match heard {
            Ok(()) => {
                self.note(host, link, What::Heard { from });
                self.drain(host, link);
                self.settle(host, link);
                self.resign_once_more(host, link);
                self.rejoin(host, link);
            }
            Err(reject) => self.note(host, link, What::Rejected(reject)),
        }
    }

    /// Damaged copies of a datagram: each has one mistake.
    fn hear_noise(&mut self, host: usize, link: usize, slot: usize) {
        let now = self.clock(host);
        let (&meta, bytes) = self.post.read(slot);
        let noise = &mut self.noise;
        noise.bytes.clear();
        noise.bytes.extend_from_slice(bytes);
        let bit = noise.random.below(u64::try_from(bytes.len() * 8).unwrap_or(u64::MAX));
        let (byte, bit) = (usize::try_from(bit / 8).unwrap_or(0), bit % 8);
        let distant = RxMeta { ttl: meta.ttl - 1, ..meta };
        let port = &mut self.hosts[host].ports[link];
        let before = (port.router.poll_timeout(), port.router.state());
        let far = port.router.handle_datagram(now, &distant, &noise.bytes);
        if let Some(byte) = noise.bytes.get_mut(byte) {
            *byte ^= 1 << bit;
        }
        let damaged = port.router.handle_datagram(now, &meta, &noise.bytes);
        let rejected = far.is_err() && damaged.is_err();
        if self.hosts[host].has(Bug::BelievesEverything) {
            self.hosts[host].ports[link].router.handle(now, Input::Yield);
        }
        let port = &self.hosts[host].ports[link];
        let after = (port.router.poll_timeout(), port.router.state());
        if !rejected || before != after {
            let text = "a damaged datagram changes something";
            self.breach(host, link, Invariant::NonInterference, text);
        }
    }

    /// What a host with a planted bug does with an advert; whether its router does not hear it.
    fn mishears(&mut self, host: usize, link: usize, from: usize, slot: usize) -> bool {
        let theirs = self.hosts[from].ports[link].router.advertised();
        let ours = self.hosts[host].ports[link].router.advertised();
        if self.hosts[host].has(Bug::IgnoresBetter) {
            return is_better(theirs, ours);
        }
        if self.hosts[host].has(Bug::IgnoresBetterAfterAMinute) {
            let snapshot = self.hosts[host].ports[link].router.snapshot(self.now);
            let is_active_for = self.now.saturating_since(snapshot.since);
            let is_at_it = snapshot.state == State::Active && A_MINUTE.contains(&is_active_for);
            return is_at_it && is_better(theirs, ours);
        }
        if self.hosts[host].has(Bug::IgnoresResignations) {
            return resigns(self.post.read(slot).1);
        }
        let router = &self.hosts[host].ports[link].router;
        if self.hosts[host].has(Bug::SpeaksAsBackup) && router.state() == State::Backup {
            let (now, meta) = (self.now, *self.post.read(slot).0);
            let port = &mut self.hosts[host].ports[link];
            let claim = Advertisement::Claim;
            let outcome = port.ledger.sent(now, claim, ours.interval(), Duration::ZERO);
            let state = port.router.state();
            let outcome = outcome.and_then(|()| port.ledger.settled(state, None));
            let bytes = self.post.read(slot).1.to_vec();
            let meta = RxMeta { source: self.hosts[host].ports[link].source, ..meta };
            self.broadcast(host, link, meta, &bytes);
            self.report(host, link, outcome);
        }
        false
    }

    pub(super) fn wake(&mut self, host: usize, link: usize) {
        let now = self.now;
        let port = &mut self.hosts[host].ports[link];
        port.sleep();
        let outcome = port.ledger.timeout(now);
        self.report(host, link, outcome);
        if self.hosts[host].has(Bug::NeverWakes) {
            return;
        }
        let spins = self.hosts[host].has(Bug::SpinsOnDeadlines);
        let port = &mut self.hosts[host].ports[link];
        if spins && port.ledger.is_bounded(now) {
            port.wakes_at = Some(now);
            return;
        }
        let serving = self.hosts[host].view(link).claims();
        if serving && self.hosts[host].has(Bug::SkipsAdverts) {
            // As if it were told only at every second deadline.
            let interval = self.hosts[host].ports[link].router.advertised().interval();
            self.hosts[host].ports[link].router.handle(self.now, Input::Timeout);
            self.drain(host, link);
            self.set_alarm(host, link);
            let port = &mut self.hosts[host].ports[link];
            port.wakes_at = port.wakes_at.map(|at| at + interval);
            return;
        }
        self.put(host, link, Input::Timeout);
        self.resign_once_more(host, link);
    }

    /// What [`Bug::NeverStopsResigning`] does.
    fn resign_once_more(&mut self, host: usize, link: usize) {
        let never_stops = self.hosts[host].has(Bug::NeverStopsResigning);
        let port = &mut self.hosts[host].ports[link];
        if never_stops && port.router.phase() == Some(Phase::Leaving) {
            let interval = port.router.advertised().interval();
            let outcome =
                port.ledger.sent(self.now, Advertisement::Resign, interval, Duration::ZERO);
            self.report(host, link, outcome);
            self.resign_for(host, link);
        }
    }

    /// What [`Bug::Rejoins`] does.
    fn rejoin(&mut self, host: usize, link: usize) {
        let port = &self.hosts[host].ports[link];
        if self.hosts[host].has(Bug::Rejoins) && port.router.state() == State::Backup {
            let source = port.source;
            self.put(host, link, Input::Link(LinkState::Down));
            self.put(host, link, Input::Link(LinkState::Up { source }));
        }
    }

    fn done(&mut self, host: usize, link: usize, job: Job) {
        self.hosts[host].ports[link].ledger.pending -= 1;
        match job {
            Job::Acquire { ticket } => {
                let current = self.hosts[host].ports[link].ticket == ticket;
                if self.hosts[host].refuses {
                    self.note(host, link, What::AcquireFailed);
                    let fault = ElectionFault::Acquire { code: REFUSED };
                    if current {
                        self.put(host, link, Input::Fault(fault));
                    }
                    return;
                }
                self.hosts[host].ports[link].holds = true;
                self.note(host, link, What::Acquired);
                self.note_holders(host, link);
                self.announce(host, link);
                if current && !self.hosts[host].has(Bug::ForgetsToReport) {
                    self.put(host, link, Input::Acquired);
                }
            }
            Job::Release => {
                if !self.hosts[host].has(Bug::KeepsAddresses) {
                    self.drop_addresses(host, link, What::Released);
                }
            }
        }
        self.audit(host, link);
        if self.hosts[host].stopping {
            self.end_stop(host);
        }
    }

    /// The kernel of a host does not have the addresses any more.
    pub(super) fn drop_addresses(&mut self, host: usize, link: usize, what: What) {
        if core::mem::replace(&mut self.hosts[host].ports[link].holds, false) {
            self.note(host, link, what);
            self.note_holders(host, link);
        }
    }

    /// The lease of addresses that nobody renews is over.
    fn expire(&mut self, host: usize, link: usize, freeze: u64, last: bool) {
        let owner = &self.hosts[host];
        let nobody_renews = match owner.power {
            Power::Down | Power::Frozen => true,
            Power::Off | Power::Running | Power::Paused => false,
        };
        if owner.freeze != freeze || !nobody_renews || !owner.ports[link].holds {
            return;
        }
        if last {
            let text = "its addresses are there after the end of their lease";
            return self.breach(host, link, Invariant::Lease, text);
        }
        if owner.has(Bug::EndlessLease) {
            return;
        }
        self.drop_addresses(host, link, What::Expired);
        if self.hosts[host].power == Power::Frozen {
            let life = self.hosts[host].life;
            self.hosts[host].ports[link].ledger.pending += 1;
            self.hosts[host].inbox.push(Happening::Notice { link, life, expired: true });
        }
    }

    /// From now on nobody renews the leases of a host.
    pub(super) fn let_leases_end(&mut self, host: usize) {
        let (model, freeze) = (self.hosts[host].plan.model.lease, self.hosts[host].freeze);
        for link in 0..self.links.len() {
            let port = &self.hosts[host].ports[link];
            let Some(lease) = port.lease(model).filter(|_| port.holds) else { continue };
            let (renewed_at, _) = port.renewals_around(lease, self.now);
            let over_at = renewed_at + lease;
            let late = self.random.up_to(LeaseModel::LATE);
            let expire = |last| Happening::Expire { link, freeze, last };
            self.queue.push(self.now.max(over_at + late), host, expire(false));
            self.queue.push(self.now.max(over_at + LeaseModel::LATE), host, expire(true));
        }
    }
}

/// Whether an advert is a resignation, as far as bugs are concerned.
fn resigns(bytes: &[u8]) -> bool {
    match crate::wire::carp::parse(bytes) {
        Ok(parsed) => parsed.advert.interval.is_resignation(),
        Err(_) => bytes.get(2) == Some(&Priority::RESIGN.get()),
    }
}

/// Whether one standing is better than another, as far as bugs are concerned.
fn is_better(theirs: Standing, ours: Standing) -> bool {
    match (theirs, ours) {
        (Standing::Carp(theirs), Standing::Carp(ours)) => theirs < ours,
        (Standing::Vrrp { priority: theirs, .. }, Standing::Vrrp { priority: ours, .. }) => {
            theirs > ours
        }
        (Standing::Carp(_), Standing::Vrrp { .. }) | (Standing::Vrrp { .. }, Standing::Carp(_)) => {
            false
        }
    }
}
