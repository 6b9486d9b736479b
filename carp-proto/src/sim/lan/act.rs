//! What is done to hosts and links.

use alloc::vec::Vec;
use core::time::Duration;

use super::queue::Happening;
use super::{Bug, Chance, Fault, Lan, Power, Weather, What};
use crate::election::{Input, LinkState, State};
use crate::group::Group;
use crate::id::Demotion;
use crate::router::RouterConfig;
use crate::sim::host::HostModel;
use crate::sim::scenario::Step;
use crate::wire::ip::{RxMeta, TTL};

/// The time of day at the beginning, for signatures.
const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// The guard believes that a daemon hangs after three intervals, but not sooner and not later than these.
const LEAST_LIMIT: Duration = Duration::from_millis(50);
const MOST_LIMIT: Duration = Duration::from_secs(1);

/// A guard that sees its daemon die acts this much later at the most.
const GUARD_WAKES: Duration = Duration::from_millis(2);

/// After this the guard resigns once more.
const RESIGN_AGAIN: Duration = Duration::from_millis(10);

/// What is done from outside.
impl Lan {
    /// Turns every host on.
    pub fn boot_all(&mut self) {
        (0..self.hosts.len()).for_each(|host| self.boot(host));
    }

    /// Does this, now.
    pub fn apply(&mut self, fault: Fault) {
        let (hosts, links) = (self.hosts.len(), self.links.len());
        let is_missing = |number: Option<usize>, count| number.is_some_and(|it| it >= count);
        let nobody_is_deaf = matches!(fault, Fault::Cut { to, .. } if to >= hosts);
        if nobody_is_deaf || is_missing(fault.link(), links) || is_missing(fault.host(), hosts) {
            return;
        }
        self.note(fault.host().unwrap_or(0), 0, What::Fault(fault));
        if self.has_effect(&fault) {
            self.record.steps.push(Step { at: self.elapsed(), fault });
        }
        match fault {
            Fault::Weather(weather) => self.weather = weather,
            Fault::Cut { link, from, to } => self.links[link].deaf[from] |= 1 << to,
            Fault::Split { sides } => self.sides = sides,
            Fault::Heal => {
                self.sides = 0;
                self.links.iter_mut().for_each(|link| link.deaf.fill(0));
            }
            Fault::Unplug { host, link } => self.plug(host, link, false),
            Fault::PlugIn { host, link } => self.plug(host, link, true),
            Fault::Freeze { host, time } => self.freeze(host, time, Power::Frozen),
            Fault::Pause { host, time } => self.freeze(host, time, Power::Paused),
            Fault::Crash { host } => self.crash(host),
            Fault::Boot { host } => self.boot(host),
            Fault::Kill { host } => self.kill(host),
            Fault::Stop { host } => self.stop(host, false),
            Fault::Start { host } => self.start(host),
            Fault::Restart { host } => self.stop(host, true),
            Fault::Yield { host } => self.tell_all(host, Input::Yield),
            Fault::Demote { host, points } => {
                let demotion = Demotion::clamped(points.into());
                self.tell_all(host, Input::Demotion(demotion));
            }
            Fault::Rerank { host, worse } => {
                self.hosts[host].revised.worse = Some(worse);
                self.stop(host, true);
            }
            Fault::Retime { host, interval } => {
                self.hosts[host].revised.interval = Some(interval);
                self.stop(host, true);
            }
            Fault::Prefer { host, preempts } => {
                self.hosts[host].revised.preempts = Some(preempts);
                self.stop(host, true);
            }
            Fault::Remove { host, link } => self.remove(host, link),
            Fault::Refuse { host, refuses } => self.hosts[host].refuses = refuses,
            Fault::InUse { host, link } => self.tell(host, link, Input::AddressInUse),
        }
    }

    /// Makes everything well: what arrives late still does, and nothing else is wrong any more. Hosts that do
    /// not run go on or start, and what they are told to be worth stays.
    pub fn make_well(&mut self) {
        let weather = Weather { loss: Chance::NEVER, ..self.weather };
        self.apply(Fault::Weather(weather));
        self.apply(Fault::Heal);
        for host in 0..self.hosts.len() {
            let freeze = self.hosts[host].freeze;
            self.go_on(host, freeze);
            self.apply(Fault::Refuse { host, refuses: false });
            for link in 0..self.links.len() {
                self.apply(Fault::PlugIn { host, link });
            }
            self.apply(Fault::Boot { host });
            self.apply(Fault::Start { host });
        }
    }

    /// Tells a router something, if its daemon runs.
    pub fn tell(&mut self, host: usize, link: usize, input: Input) {
        if self.is_running(host) {
            self.note(host, link, What::Told(input));
            self.put(host, link, input);
        }
    }

    /// Tells all routers of a host something at once, before their group has its say.
    pub fn tell_all(&mut self, host: usize, input: Input) {
        if !self.is_running(host) {
            return;
        }
        for link in 0..self.links.len() {
            self.note(host, link, What::Told(input));
            self.handle(host, link, input);
        }
        self.settle_all(host);
    }

    /// Lets a router hear a datagram that came from nowhere: what its router says to it.
    ///
    /// # Errors
    /// [`Reject`](crate::Reject) says why the router did not act on it.
    pub fn hear_from_outside(
        &mut self,
        host: usize,
        link: usize,
        meta: &RxMeta,
        payload: &[u8],
    ) -> Result<(), crate::Reject> {
        let now = self.now;
        self.hosts[host].ports[link].router.handle_datagram(now, meta, payload)?;
        self.drain(host, link);
        self.settle(host, link);
        Ok(())
    }
}

/// Lives of a daemon and of its machine.
impl Lan {
    fn boot(&mut self, host: usize) {
        if self.hosts[host].power == Power::Off {
            self.begin_life(host);
        }
    }

    fn start(&mut self, host: usize) {
        match self.hosts[host].power {
            Power::Down => self.begin_life(host),
            Power::Running if self.hosts[host].stopping => self.hosts[host].restarts = true,
            Power::Off | Power::Running | Power::Frozen | Power::Paused => {}
        }
    }

    /// A new daemon: it removes what a dead one has left, and takes part.
    fn begin_life(&mut self, host: usize) {
        let links = self.links.len();
        self.end_life(host, Power::Running);
        let since_epoch = EPOCH + self.elapsed();
        for link in 0..links {
            self.drop_addresses(host, link, What::Released);
            let mut config = self.configured(host, link);
            if link == 0 {
                self.hosts[host].is_to_preempt = config.preempts();
            }
            if self.hosts[host].has(Bug::NeverPreempts) {
                config = config.with_preempt(false);
            }
            let now = self.now;
            let newborn = &mut self.hosts[host];
            let premature = newborn.has(Bug::TakesAddressesAtOnce);
            let port = &mut newborn.ports[link];
            port.renew(config);
            port.router.set_time_of_day(now, since_epoch);
            port.router.set_other_source(port.other);
            port.holds = premature;
        }
        self.hosts[host].group = self.grouped.then(|| Group::new(links));
        if self.grouped {
            // They are told to wait for each other before they start.
            self.settle_group(host);
        }
        for link in 0..links {
            self.handle(host, link, Input::Start);
        }
        self.settle_all(host);
        for link in 0..links {
            let port = &self.hosts[host].ports[link];
            if port.plugged {
                let source = port.source;
                self.put(host, link, Input::Link(LinkState::Up { source }));
            }
        }
        (0..links).for_each(|link| self.note_view(host, link));
    }

    /// What the daemon of a host reads when it starts.
    fn configured(&self, host: usize, link: usize) -> RouterConfig {
        let owner = &self.hosts[host];
        owner.revised.of(owner.plan.routers[link].clone())
    }

    /// The same, if it is not as planned.
    pub(in crate::sim) fn revised(&self, host: usize, link: usize) -> Option<RouterConfig> {
        self.hosts[host].revised.differs().then(|| self.configured(host, link))
    }

    /// Whether the daemon of a host has read that it is to preempt, whatever it does.
    pub(in crate::sim) fn is_to_preempt(&self, host: usize) -> bool {
        self.hosts[host].is_to_preempt
    }

    /// The daemon is no more, and what it had begun neither.
    fn end_life(&mut self, host: usize, power: Power) {
        let dead = &mut self.hosts[host];
        dead.power = power;
        dead.life += 1;
        dead.freeze += 1;
        dead.busy_until = self.now;
        dead.stopping = false;
        dead.restarts = false;
        dead.behind = Duration::ZERO;
        dead.ports.iter_mut().for_each(super::super::host::Port::sleep);
        let lost = core::mem::take(&mut dead.inbox);
        lost.into_iter().for_each(|happening| self.forget(happening));
    }

    fn crash(&mut self, host: usize) {
        self.end_life(host, Power::Off);
        for link in 0..self.links.len() {
            self.hosts[host].ports[link].holds = false;
            self.note_view(host, link);
        }
    }

    fn kill(&mut self, host: usize) {
        match self.hosts[host].power {
            Power::Running | Power::Frozen => {}
            Power::Off | Power::Down | Power::Paused => return,
        }
        self.end_life(host, Power::Down);
        self.revive_later(host);
        (0..self.links.len()).for_each(|link| self.note_view(host, link));
        self.let_leases_end(host);
        if self.hosts[host].plan.model.guard {
            let at = self.now + self.random.up_to(GUARD_WAKES);
            let freeze = self.hosts[host].freeze;
            self.queue.push(at, host, Happening::Guard { freeze });
        }
    }

    fn revive_later(&mut self, host: usize) {
        let HostModel { restart, guard, .. } = self.hosts[host].plan.model;
        if let Some(after) = restart {
            // A service manager waits for the end of the guard.
            let guarded = if guard { GUARD_WAKES + RESIGN_AGAIN } else { Duration::ZERO };
            let after = after.max(guarded);
            let freeze = self.hosts[host].freeze;
            self.queue.push(self.now + after, host, Happening::Revive { freeze });
        }
    }

    pub(super) fn revive(&mut self, host: usize, freeze: u64) {
        if self.hosts[host].freeze == freeze {
            self.start(host);
        }
    }

    fn stop(&mut self, host: usize, restarts: bool) {
        if self.hosts[host].power == Power::Down && restarts {
            return self.begin_life(host);
        }
        if !self.is_running(host) {
            return;
        }
        self.hosts[host].stopping = true;
        self.hosts[host].restarts = restarts;
        self.tell_all(host, Input::Stop);
        self.end_stop(host);
    }

    /// A daemon whose routers have all stopped ends, when its addresses are given back.
    pub(super) fn end_stop(&mut self, host: usize) {
        let leaving = &self.hosts[host];
        let stopped = |port: &super::super::host::Port| {
            port.router.state() == State::Init && port.ledger.pending == 0
        };
        if !leaving.stopping || !leaving.ports.iter().all(stopped) {
            return;
        }
        let restarts = leaving.restarts;
        self.end_life(host, Power::Down);
        (0..self.links.len()).for_each(|link| self.note_view(host, link));
        if restarts {
            self.begin_life(host);
        }
    }

    pub(super) fn settle_all(&mut self, host: usize) {
        if self.hosts[host].group.is_some() {
            self.settle_group(host);
        } else {
            (0..self.links.len()).for_each(|link| self.set_alarm(host, link));
        }
        if self.hosts[host].stopping {
            self.end_stop(host);
        }
    }

    fn plug(&mut self, host: usize, link: usize, plugged: bool) {
        if core::mem::replace(&mut self.hosts[host].ports[link].plugged, plugged) == plugged {
            return;
        }
        if self.is_running(host) {
            self.tell_link(host, link);
        }
    }

    fn tell_link(&mut self, host: usize, link: usize) {
        let port = &self.hosts[host].ports[link];
        let state = match port.plugged {
            true => LinkState::Up { source: port.source },
            false => LinkState::Down,
        };
        if port.router.link() != state {
            self.put(host, link, Input::Link(state));
        }
    }

    fn remove(&mut self, host: usize, link: usize) {
        if !self.hosts[host].ports[link].holds || !self.hosts[host].answers() {
            return;
        }
        self.drop_addresses(host, link, What::Released);
        if self.hosts[host].power == Power::Down {
            return;
        }
        let life = self.hosts[host].life;
        self.hosts[host].ports[link].ledger.pending += 1;
        let at = self.now + self.random.up_to(self.hosts[host].plan.model.notice);
        self.queue.push(at, host, Happening::Notice { link, life, expired: false });
    }
}

/// Not running for a while.
impl Lan {
    fn freeze(&mut self, host: usize, time: Duration, power: Power) {
        if !self.is_running(host) {
            return;
        }
        let frozen = &mut self.hosts[host];
        frozen.power = power;
        frozen.freeze += 1;
        let freeze = frozen.freeze;
        // What it was to be woken for is remembered: that tells how late it is.
        frozen.ports.iter_mut().for_each(|port| port.wakes_at = None);
        self.queue.push(self.now + time, host, Happening::GoOn { freeze });
        (0..self.links.len()).for_each(|link| self.note_view(host, link));
        if power == Power::Frozen {
            self.let_leases_end(host);
            self.watch(host, freeze);
        }
    }

    /// The guard notices a daemon that hangs, if it has addresses.
    fn watch(&mut self, host: usize, freeze: u64) {
        let watched = &self.hosts[host];
        // As the board says, whatever the kernel has dropped since.
        let held = watched.ports.iter().filter(|port| port.ledger.wants);
        let quickest = held.map(|port| port.router.advertised().interval()).min();
        if let Some(interval) = quickest.filter(|_| watched.plan.model.guard) {
            let limit = (interval * 3).clamp(LEAST_LIMIT, MOST_LIMIT);
            let at = self.now + limit + self.random.up_to(GUARD_WAKES);
            self.queue.push(at, host, Happening::Guard { freeze });
        }
    }

    /// The guard kills what is left of its daemon, takes its addresses down, and resigns for its routers.
    pub(super) fn guard(&mut self, host: usize, freeze: u64) {
        if self.hosts[host].freeze != freeze {
            return;
        }
        match self.hosts[host].power {
            Power::Frozen => {
                self.end_life(host, Power::Down);
                self.revive_later(host);
            }
            Power::Down => {}
            Power::Off | Power::Running | Power::Paused => return,
        }
        for link in 0..self.links.len() {
            let owner = self.hosts[host].ports[link].router.config().standing().is_owner();
            if self.hosts[host].ports[link].ledger.wants && !owner {
                self.drop_addresses(host, link, What::Guarded);
                self.resign_for(host, link);
            }
            self.note_view(host, link);
        }
    }

    pub(super) fn resign_for(&mut self, host: usize, link: usize) {
        if self.hosts[host].has(Bug::LeavesInSilence) {
            return;
        }
        let mut scratch = core::mem::take(&mut self.scratch);
        let router = &self.hosts[host].ports[link].router;
        let mut kept: Vec<usize> = Vec::new();
        for index in 0..router.config().destinations().len() {
            if let Some(sent) = router.write_resignation(index, &mut scratch) {
                let meta = RxMeta { source: sent.source, destination: sent.destination, ttl: TTL };
                kept.push(self.post.keep(meta, sent.payload));
            }
        }
        self.scratch = scratch;
        let life = self.hosts[host].life;
        for slot in kept {
            self.post.share(slot);
            let (&meta, bytes) = self.post.read(slot);
            let bytes = bytes.to_vec();
            self.broadcast(host, link, meta, &bytes);
            let again = Happening::ResignAgain { link, life, slot };
            self.queue.push(self.now + RESIGN_AGAIN, host, again);
        }
    }

    pub(super) fn resign_again(&mut self, host: usize, link: usize, life: u64, slot: usize) {
        if self.hosts[host].life == life && self.hosts[host].power == Power::Down {
            let (&meta, bytes) = self.post.read(slot);
            let bytes = bytes.to_vec();
            self.broadcast(host, link, meta, &bytes);
        }
        self.post.drop(slot);
    }

    /// It runs again: what had come is heard, and then deadlines are looked at.
    pub(super) fn go_on(&mut self, host: usize, freeze: u64) {
        let late = match self.hosts[host].power {
            Power::Frozen | Power::Paused if self.hosts[host].freeze == freeze => true,
            Power::Off | Power::Down | Power::Running | Power::Frozen | Power::Paused => false,
        };
        if !late {
            return;
        }
        self.hosts[host].freeze += 1;
        self.hosts[host].power = Power::Running;
        for link in 0..self.links.len() {
            self.expect_listening(host, link);
        }
        let inbox = core::mem::take(&mut self.hosts[host].inbox);
        inbox.into_iter().for_each(|happening| self.take_in(host, happening));
        for link in 0..self.links.len() {
            if self.is_running(host) {
                self.tell_link(host, link);
                self.hosts[host].ports[link].sleep();
                self.put(host, link, Input::Timeout);
                self.set_alarm(host, link);
                self.note_view(host, link);
            }
        }
    }

    /// A router that was late by more than it takes to be declared dead has to listen first.
    fn expect_listening(&mut self, host: usize, link: usize) {
        let now = self.now;
        let port = &mut self.hosts[host].ports[link];
        port.ledger.excuse_lateness();
        let late_by = port.deadline.map(|deadline| now.saturating_since(deadline.at));
        let late_by = late_by.unwrap_or_default();
        let snapshot = port.router.snapshot(now);
        let limit = match snapshot.state {
            State::Init => return,
            State::Backup => snapshot.interval,
            // Its earliest deadline may be that of an announcement, up to an interval before its advert's.
            State::Active => snapshot.active_down + snapshot.interval,
        };
        if late_by > limit {
            port.ledger.must_listen_until(now + snapshot.interval / 4);
        }
        let stands_still = self.hosts[host].has(Bug::StoppedClock);
        if stands_still {
            let behind = self.hosts[host].behind.max(late_by);
            self.hosts[host].behind = behind;
        }
    }
}
