//! Carrying out what a router wants, as carp-node's driver does.

use core::net::IpAddr;
use core::time::Duration;

use super::queue::{Happening, Job};
use super::{Lan, Power, What};
use crate::election::{Advertisement, Event, Input, Posture};
use crate::id::Family;
use crate::router::Action;
use crate::sim::bug::Bug;
use crate::sim::fault::Weather;
use crate::sim::oracle::Invariant;
use crate::wire::ip::{RxMeta, TTL};

/// What [`Bug::TakesAddressesLate`] adds: more than an election takes, and less than a router waits for its addresses.
const LATE: Duration = Duration::from_millis(600);

/// An [`Action`] without its bytes, which are in the scratch buffer.
#[derive(Clone, Copy)]
enum Effect {
    Send { meta: RxMeta, advertisement: Advertisement },
    Prepare,
    Acquire,
    Announce,
    Release,
    Event(Event),
}

impl Effect {
    fn of(action: &Action<'_>) -> Self {
        match action {
            Action::Send(transmit) => Self::Send {
                meta: RxMeta {
                    source: transmit.source,
                    destination: transmit.destination,
                    ttl: TTL,
                },
                advertisement: transmit.advertisement,
            },
            Action::Prepare => Self::Prepare,
            Action::Acquire(_) => Self::Acquire,
            Action::Announce(_) => Self::Announce,
            Action::Release(_) => Self::Release,
            Action::Event(event) => Self::Event(*event),
        }
    }
}

impl Lan {
    /// Puts an input into a router, and sees to what comes of it on the whole host.
    pub(super) fn put(&mut self, host: usize, link: usize, input: Input) {
        self.handle(host, link, input);
        self.settle(host, link);
    }

    /// Puts an input into a router, and carries out what comes of it.
    pub(super) fn handle(&mut self, host: usize, link: usize, input: Input) {
        let now = self.clock(host);
        let port = &mut self.hosts[host].ports[link];
        port.ledger.told(input, port.router.phase());
        port.router.handle(now, input);
        self.drain(host, link);
    }

    /// The present time, as the host's clock has it.
    pub(super) fn clock(&self, host: usize) -> crate::time::Instant {
        self.now - self.hosts[host].behind
    }

    /// After something happened to a router: its group has its say, and alarms are set.
    pub(super) fn settle(&mut self, host: usize, link: usize) {
        if self.hosts[host].group.is_none() {
            self.set_alarm(host, link);
        } else {
            self.settle_group(host);
        }
        if self.hosts[host].stopping {
            self.end_stop(host);
        }
    }

    pub(super) fn settle_group(&mut self, host: usize) {
        let links = self.links.len();
        for link in 0..links {
            self.note_posture(host, link);
        }
        let mut inputs = 0;
        while let Some((link, input)) =
            self.hosts[host].group.as_mut().and_then(crate::Group::poll_input)
        {
            self.note(host, link, What::Told(input));
            if link != 1 || !self.hosts[host].has(Bug::HalfAGroup) {
                self.handle(host, link, input);
            }
            self.note_posture(host, link);
            inputs += 1;
        }
        if inputs > 2 * links {
            let text = "a group tells its routers more than two things each";
            self.breach(host, 0, Invariant::Bounded, text);
        }
        let active = |link: &usize| self.posture(host, *link) == Posture::Active;
        let active = (0..links).filter(active).count();
        if active != 0 && active != links {
            self.breach(host, 0, Invariant::WholeGroup, "a half of its group is active");
        }
        for link in 0..links {
            self.set_alarm(host, link);
        }
    }

    fn note_posture(&mut self, host: usize, link: usize) {
        let posture = self.posture(host, link);
        if let Some(group) = &mut self.hosts[host].group {
            group.note(link, posture);
        }
    }

    /// Carries out what a router wants, in its order.
    pub(super) fn drain(&mut self, host: usize, link: usize) {
        let mut scratch = core::mem::take(&mut self.scratch);
        loop {
            let router = &mut self.hosts[host].ports[link].router;
            let Some(effect) = router.poll_action(&mut scratch).map(|action| Effect::of(&action))
            else {
                break;
            };
            match effect {
                Effect::Send { meta, advertisement } => {
                    self.transmit(host, link, meta, advertisement, &scratch);
                }
                Effect::Prepare => {
                    // Nothing is registered in a model: it is ready at once.
                    let port = &mut self.hosts[host].ports[link];
                    port.router.handle(self.now, Input::Prepared);
                }
                Effect::Acquire => self.acquire(host, link),
                Effect::Announce => self.announce_again(host, link),
                Effect::Release => self.release(host, link),
                Effect::Event(event) => {
                    self.note(host, link, What::Event(event));
                    let outcome = self.hosts[host].ports[link].ledger.reports(&event);
                    self.report(host, link, outcome);
                }
            }
        }
        self.scratch = scratch;
        let port = &mut self.hosts[host].ports[link];
        let outcome = port.ledger.settled(port.router.state(), port.router.phase());
        self.report(host, link, outcome);
        self.note_view(host, link);
        self.audit(host, link);
    }

    fn transmit(
        &mut self,
        host: usize,
        link: usize,
        meta: RxMeta,
        advertisement: Advertisement,
        payload: &[u8],
    ) {
        let sender = &mut self.hosts[host];
        let lateness = sender.plan.model.lateness;
        let port = &mut sender.ports[link];
        let snapshot = port.router.advertised();
        if advertisement == Advertisement::Resign && sender.bug == Some(Bug::LeavesInSilence) {
            return;
        }
        let interval = snapshot.interval();
        if advertisement == Advertisement::Claim {
            self.renew_lease(host, link, interval);
        }
        let port = &mut self.hosts[host].ports[link];
        let outcome = port.ledger.sent(self.now, advertisement, interval, lateness);
        self.report(host, link, outcome);
        self.note(host, link, What::Sent(advertisement, snapshot));
        self.trace.bytes(payload);
        self.broadcast(host, link, meta, payload);
    }

    fn renew_lease(&mut self, host: usize, link: usize, interval: Duration) {
        let model = self.hosts[host].plan.model.lease;
        let now = self.now;
        let port = &mut self.hosts[host].ports[link];
        if !port.ledger.wants {
            return;
        }
        if let Some(lease) = port.lease(model) {
            let (last, latest) = port.renewals_around(lease, now);
            let due = now.saturating_since(last) >= lease / 3 || now + interval > latest;
            port.renewed_at = if due { now } else { last };
        }
    }

    /// Sends a datagram to everybody who is to have it.
    pub(super) fn broadcast(&mut self, from: usize, link: usize, meta: RxMeta, payload: &[u8]) {
        let slot = self.post.keep(meta, payload);
        self.post.share(slot);
        let everybody = meta.destination.is_multicast();
        for to in 0..self.hosts.len() {
            let addressed = everybody || self.has_address(to, meta.destination);
            if to == from || !addressed {
                continue;
            }
            if self.random.happens(self.weather.loss) {
                self.note(from, link, What::Lost { to });
                continue;
            }
            let copies = if self.random.happens(self.weather.duplicate) { 2 } else { 1 };
            for _ in 0..copies {
                let at = self.now + self.travel();
                self.post.share(slot);
                self.queue.push(at, to, Happening::Advert { link, from, slot });
            }
        }
        self.post.drop(slot);
    }

    fn has_address(&self, host: usize, ip: IpAddr) -> bool {
        self.hosts[host].plan.source(Family::of(ip)) == ip
    }

    /// How long a datagram is on its way.
    fn travel(&mut self) -> Duration {
        let Weather { delay, jitter, reorder, .. } = self.weather;
        let usual = delay + self.random.up_to(jitter);
        if self.random.happens(reorder) {
            usual + self.random.up_to(Weather::OVERTAKEN)
        } else {
            usual
        }
    }

    pub(super) fn announce(&mut self, from: usize, link: usize) {
        for to in 0..self.hosts.len() {
            if to != from && !self.random.happens(self.weather.loss) {
                let at = self.now + self.travel();
                self.queue.push(at, to, Happening::Announcement { link, from });
            }
        }
    }

    fn acquire(&mut self, host: usize, link: usize) {
        let now = self.now;
        let time = self.hosts[host].plan.model.acquire;
        let port = &mut self.hosts[host].ports[link];
        port.ticket += 1;
        port.renewed_at = now;
        let ticket = port.ticket;
        let outcome = port.ledger.asks_to_acquire();
        self.report(host, link, outcome);
        self.queue_job(host, link, time, Job::Acquire { ticket });
    }

    fn release(&mut self, host: usize, link: usize) {
        let time = self.hosts[host].plan.model.release;
        let port = &mut self.hosts[host].ports[link];
        port.ticket += 1;
        let outcome = port.ledger.asks_to_release();
        self.report(host, link, outcome);
        self.queue_job(host, link, time, Job::Release);
    }

    /// One job after the other.
    fn queue_job(&mut self, host: usize, link: usize, time: Duration, job: Job) {
        let mut time = self.random.up_to(time);
        let worker = &mut self.hosts[host];
        if matches!(job, Job::Acquire { .. }) && worker.has(Bug::TakesAddressesLate) {
            time += LATE;
        }
        let done_at = worker.busy_until.max(self.now) + time;
        worker.busy_until = done_at;
        worker.ports[link].ledger.pending += 1;
        let life = worker.life;
        self.queue.push(done_at, host, Happening::Done { link, life, job });
    }

    fn announce_again(&mut self, host: usize, link: usize) {
        let outcome = self.hosts[host].ports[link].ledger.announces();
        self.report(host, link, outcome);
        if self.hosts[host].ports[link].holds {
            self.note(host, link, What::Announced);
            self.announce(host, link);
        }
    }

    pub(super) fn set_alarm(&mut self, host: usize, link: usize) {
        let lateness = self.hosts[host].plan.model.lateness;
        let runs = self.hosts[host].power == Power::Running;
        let behind = self.hosts[host].behind;
        let port = &mut self.hosts[host].ports[link];
        let deadline = port.router.poll_timeout().filter(|_| runs);
        if deadline == port.deadline {
            return;
        }
        port.deadline = deadline;
        // One that has passed already is no later for that.
        port.wakes_at =
            deadline.map(|it| self.now.max(it.at + behind + self.random.up_to(lateness)));
    }
}
