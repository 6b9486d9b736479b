//! Two servers, and those who watch them from outside.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use carp_node::lab::{AddressWatch, Host, Prober, Process, Tap, mac, wait_until};
use libtest_mimic::Failed;

use crate::support::{LIMIT, Rack, Tested, claims, ensure, resigns, serves};

/// The client asks this often.
const TICK: Duration = Duration::from_millis(5);

/// On a busy machine one watch is told so much later than the other that what came after seems to overlap.
const TOLD_APART: Duration = Duration::from_millis(20);

/// The rack's servers, a client that asks the address all the time, and what each of them was seen to do.
///
/// To be made before daemons are started: addresses that are there already are not watched.
pub(crate) struct Scene<'a> {
    pub(crate) rack: &'a Rack,
    pub(crate) primary: Watched,
    pub(crate) secondary: Watched,
    pub(crate) client: Host,
    prober: Prober,
}

/// A server, from outside.
pub(crate) struct Watched {
    /// What comes to its addresses and leaves them.
    pub(crate) addresses: AddressWatch,
    /// What it sends.
    pub(crate) sent: Tap,
    /// Whether it had the address when the watch began.
    had: bool,
    _echo: Process,
}

impl Watched {
    pub(crate) fn new(host: &Host) -> Result<Self, Failed> {
        Ok(Self {
            addresses: host.watch_addresses()?,
            sent: host.tap_sent()?,
            had: host.holds(vip())?,
            _echo: host.serve_echo(vip())?,
        })
    }

    /// When it sent adverts that claim the address, since then.
    pub(crate) fn adverts(&self, since: Instant) -> Vec<Instant> {
        let frames = self.sent.frames();
        let claims = frames.iter().filter(|frame| frame.at >= since && claims(frame));
        claims.map(|frame| frame.at).collect()
    }

    /// How many resignations it has sent since then.
    pub(crate) fn resignations(&self, since: Instant) -> usize {
        let resigned = |frame: &&carp_node::lab::Frame| resigns(frame) == Some(true);
        self.sent.frames().iter().filter(|frame| frame.at >= since).filter(resigned).count()
    }

    /// When it announced the address by gratuitous ARP, since then.
    pub(crate) fn announcements(&self, since: Instant) -> Vec<Instant> {
        let frames = self.sent.frames();
        let announces = |frame: &&carp_node::lab::Frame| {
            frame.announcement().is_some_and(|(said, _)| IpAddr::from(said.address) == vip())
        };
        let recent = frames.iter().filter(|frame| frame.at >= since);
        recent.filter(announces).map(|frame| frame.at).collect()
    }

    /// For how long it and another server had the address at once, since then.
    pub(crate) fn held_with(&self, other: &Self, since: Instant) -> Duration {
        let now = Instant::now();
        let mut sum = Duration::ZERO;
        for one in self.addresses.holdings(vip()) {
            for other in other.addresses.holdings(vip()) {
                let from = one.from.max(other.from).max(since);
                let to = one.to.unwrap_or(now).min(other.to.unwrap_or(now));
                sum += to.saturating_duration_since(from);
            }
        }
        sum
    }

    /// Whether the watch has been told that the address is there: what it knows may be a moment old, so who
    /// asks for times waits for this.
    pub(crate) fn has_it(&self) -> bool {
        self.addresses.has(vip()).unwrap_or(self.had)
    }

    /// When the address first came to it since then.
    pub(crate) fn came(&self, since: Instant) -> Option<Instant> {
        self.addresses.came(vip(), since)
    }

    /// When the address first left it since then.
    pub(crate) fn left(&self, since: Instant) -> Option<Instant> {
        self.addresses.left(vip(), since)
    }
}

impl<'a> Scene<'a> {
    pub(crate) fn new(rack: &'a Rack) -> Result<Self, Failed> {
        let client = rack.switch.host("client", mac(0x99), &["192.168.130.99/24"])?;
        Ok(Self {
            rack,
            primary: Watched::new(&rack.primary)?,
            secondary: Watched::new(&rack.secondary)?,
            prober: Prober::start(&client, vip(), TICK)?,
            client,
        })
    }

    /// Waits until a server has the address, the other has not, and the client is answered by the one.
    pub(crate) fn wait_until_served_by(&self, owner: &Host) -> Tested {
        let other = self.other(owner);
        let since = Instant::now();
        let what = format!("{} serves, and {} does not", owner.name(), other.name());
        let is_answered = || self.prober.first_answer(since, owner.name()).is_some();
        let is_so = || serves(owner) && !serves(other) && self.is_told_of(owner) && is_answered();
        Ok(wait_until(LIMIT, &what, is_so)?)
    }

    /// The server that is not this one.
    pub(crate) fn other(&self, host: &Host) -> &'a Host {
        let rack = self.rack;
        if std::ptr::eq(host, &rack.primary) { &rack.secondary } else { &rack.primary }
    }

    /// Whether the watches have been told that the address is at this server, and not at the other.
    pub(crate) fn is_told_of(&self, owner: &Host) -> bool {
        let is_primary = std::ptr::eq(owner, &self.rack.primary);
        self.primary.has_it() == is_primary && self.secondary.has_it() != is_primary
    }

    /// For how long both servers had the address at once, since then.
    pub(crate) fn both_held(&self, since: Instant) -> Duration {
        self.primary.held_with(&self.secondary, since)
    }

    /// Fails if both servers had the address at once, since then. In CARP a successor takes over in the very
    /// moment in which it hears a resignation.
    pub(crate) fn never_both(&self, since: Instant) -> Tested {
        let both = self.both_held(since);
        ensure(both < TOLD_APART, format!("both had the address for {both:?}"))
    }

    /// The longest time without an answer to the client, since then: from the last question that was
    /// answered to the next one that was.
    pub(crate) fn unserved(&self, since: Instant) -> Duration {
        let now = Instant::now();
        let answered = self.prober.probes(since).into_iter().filter(|probe| probe.answer.is_some());
        let times: Vec<_> =
            std::iter::once(since).chain(answered.map(|probe| probe.sent)).chain([now]).collect();
        times
            .windows(2)
            .map(|pair| pair[1].saturating_duration_since(pair[0]))
            .max()
            .unwrap_or_default()
    }

    /// The longest time without an answer to the client, among those that began since `since` and ended
    /// until `until`.
    pub(crate) fn unserved_between(&self, since: Instant, until: Instant) -> Duration {
        let probes = self.prober.probes(since).into_iter();
        let answered = probes.filter(|probe| probe.answer.is_some() && probe.sent <= until);
        let times: Vec<_> =
            std::iter::once(since).chain(answered.map(|probe| probe.sent)).chain([until]).collect();
        let pauses = times.windows(2).map(|pair| pair[1].saturating_duration_since(pair[0]));
        pauses.max().unwrap_or_default()
    }

    /// When a server first answered the client since then.
    pub(crate) fn first_answer(&self, since: Instant, by: &Host) -> Option<Instant> {
        self.prober.first_answer(since, by.name())
    }
}

/// The virtual address.
pub(crate) fn vip() -> IpAddr {
    IpAddr::from([192, 168, 130, 100])
}
