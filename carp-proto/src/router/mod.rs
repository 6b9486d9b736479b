//! The sans-I/O facade: datagrams and inputs in, actions and a deadline out.

mod action;
mod config;
mod length;
mod receive;
mod send;
mod speech;

use core::net::IpAddr;
use core::time::Duration;

use bytes::BytesMut;

pub use self::action::{Action, Announce, Transmit};
pub use self::config::{ChecksumMode, ConfigError, RouterConfig, Vrrp2, Vrrp3};
use self::receive::Heard;
use self::send::Sending;
use self::speech::Speech;
use crate::auth::{HmacAuthenticator, Verdict};
use crate::election::{
    CounterRule, Deadline, Fault, Input, LearnedInterval, LinkState, Machine, Output, Phase,
    Posture, Standing, State,
};
use crate::id::Family;
use crate::reject::Reject;
use crate::snapshot::{Counters, LastReject, MAX_PEERS, Peer, Snapshot};
use crate::time::Instant;
use crate::wire::ip::RxMeta;
use crate::wire::vrrp::ChecksumForm;

/// One virtual router: it reads adverts, elects, and says what is to be done.
///
/// It does no I/O and reads no clock. Whoever drives it
///
/// - **puts in** datagrams ([`handle_datagram`](Self::handle_datagram)) and everything else
///   ([`handle`](Self::handle)), with the present time, which must not go back;
/// - then **takes out** actions ([`poll_action`](Self::poll_action)) until there are none, and
///   carries them out in that order;
/// - then asks for the next deadline ([`poll_timeout`](Self::poll_timeout)) and puts in
///   [`Input::Timeout`] when it has come.
///
/// Two kinds of router need to know more: one that signs adverts the
/// [time of day](Self::set_time_of_day), and one with addresses of both families its
/// [source in the other one](Self::set_other_source).
///
/// A datagram that is rejected changes counters and nothing else.
#[derive(Clone, Debug)]
pub struct VirtualRouter {
    config: RouterConfig,
    machine: Machine,
    /// When something was last acted on.
    now: Instant,
    /// When the first input came.
    began_at: Option<Instant>,
    /// The source of adverts in the family that the link's source is not of.
    other_source: Option<IpAddr>,
    sending: Option<Sending>,
    /// CARP's counter.
    counter: u64,
    /// The form of the checksum that was last heard over IPv4 in VRRP version 3.
    heard_checksum: Option<ChecksumForm>,
    /// Signs and verifies in VRRP version 3.
    hmac: Option<HmacAuthenticator>,
    last_verdict: Option<Verdict>,
    time_of_day: TimeOfDay,
    peers: [Option<Peer>; MAX_PEERS],
    last_reject: Option<LastReject>,
    /// When an advert for our id was last refused for its digest: perhaps a second active router.
    last_bad_authentication: Option<LastReject>,
    counters: Counters,
}

/// What time of day it was at some instant.
#[derive(Clone, Copy, Debug, Default)]
struct TimeOfDay {
    at: Instant,
    since_epoch: Duration,
}

impl TimeOfDay {
    /// The time since the Unix epoch at an instant that is not before the one that is known.
    fn at(self, now: Instant) -> Duration {
        self.since_epoch.saturating_add(now.saturating_since(self.at))
    }
}

/// Inputs.
impl VirtualRouter {
    /// A router in [`State::Init`]: it takes no part before [`Input::Start`] and [`Input::Link`].
    #[must_use]
    pub fn new(config: RouterConfig) -> Self {
        let (counter, hmac) = match &config.speech {
            Speech::Carp(carp) => (carp.counter_seed, None),
            Speech::Vrrp2 { .. } => (0, None),
            Speech::Vrrp3 { settings, .. } => (0, settings.hmac.clone()),
        };
        Self {
            machine: Machine::new(config.election()),
            config,
            now: Instant::ZERO,
            began_at: None,
            other_source: None,
            sending: None,
            counter,
            heard_checksum: None,
            hmac,
            last_verdict: None,
            time_of_day: TimeOfDay::default(),
            peers: [None; MAX_PEERS],
            last_reject: None,
            last_bad_authentication: None,
            counters: Counters::default(),
        }
    }

    /// Takes in the payload of an IP datagram that arrived at `now`.
    ///
    /// # Errors
    /// [`Reject`] says why it was not acted on; it has been counted then, and nothing else has
    /// changed. CARP's checks come in this order: source and destination of one family; length,
    /// version, type; id; TTL; destination; checksum; own echo; interval; digest. VRRP's are those of
    /// [`validate`](crate::wire::vrrp::validation), and then the signature.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        meta: &RxMeta,
        payload: &[u8],
    ) -> Result<(), Reject> {
        match self.validate(now, meta, payload) {
            Ok(heard) => {
                self.now = now;
                self.counters.adverts_received = self.counters.adverts_received.saturating_add(1);
                self.remember(now, meta.source, &heard);
                self.machine.handle_claim(now, heard.claim);
                Ok(())
            }
            Err(reject) => {
                self.note_reject(now, Some(meta.source), reject);
                Err(reject)
            }
        }
    }

    /// Counts a datagram that was rejected before it could be told whose it is, or that the caller
    /// refuses on grounds of its own.
    pub fn note_reject(&mut self, now: Instant, source: Option<IpAddr>, reject: Reject) {
        self.counters.rejected.count(reject);
        let last = Some(LastReject { reject, source, at: now });
        self.last_reject = last;
        if reject == Reject::BadAuthentication {
            self.last_bad_authentication = last;
        }
    }

    /// Takes in anything else that happened at `now`.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.now = now;
        self.began_at.get_or_insert(now);
        self.machine.handle(now, input);
    }

    /// Tells what time of day it is at `now`, as the time since the Unix epoch (UTC). Signatures need
    /// it, and nothing else does. It goes on from there with the instants that are passed in, so it is
    /// to be told once, and again when somebody has set the clock. Until it is told, the origin of the
    /// instants counts as the epoch.
    pub fn set_time_of_day(&mut self, now: Instant, since_epoch: Duration) {
        self.time_of_day = TimeOfDay { at: now, since_epoch };
    }

    /// Tells the interface's address in the family that the source of
    /// [`LinkState::Up`](crate::election::LinkState::Up) is not of. A CARP router with addresses of both
    /// families sends its adverts from both; without this it is silent in one of them. Ties are decided
    /// by the link's source, so all routers should have that of the same family there.
    pub fn set_other_source(&mut self, source: Option<IpAddr>) {
        self.other_source = source;
    }

    fn remember(&mut self, now: Instant, source: IpAddr, heard: &Heard) {
        if let (CounterRule::Shared, Some(counter)) = (self.config.policy().counter, heard.counter)
        {
            self.counter = counter;
        }
        self.heard_checksum = heard.checksum.or(self.heard_checksum);
        let is_source = |peer: &Option<Peer>| peer.is_some_and(|peer| peer.source == source);
        let place = self.peers.iter().position(is_source).unwrap_or(MAX_PEERS - 1);
        self.peers[..=place].rotate_right(1);
        let &Heard { standing: advertised, remarks, checksum, .. } = heard;
        self.peers[0] = Some(Peer { source, heard_at: now, advertised, checksum, remarks });
    }
}

/// Outputs.
impl VirtualRouter {
    /// The next action, until there are none. `scratch` is where an advert is written: it is cleared
    /// first, and needs no allocation once it has held one.
    pub fn poll_action<'a>(&'a mut self, scratch: &'a mut BytesMut) -> Option<Action<'a>> {
        loop {
            if let Some((advertisement, source, destination)) = self.write_next(scratch) {
                let payload = scratch;
                let advert = Transmit { source, destination, payload, advertisement };
                return Some(Action::Send(advert));
            }
            return Some(match self.machine.poll_output()? {
                Output::Advertise(advertisement) => {
                    self.begin_advert(advertisement);
                    continue;
                }
                Output::Prepare => Action::Prepare,
                Output::Acquire => Action::Acquire(self.announcement()),
                Output::Announce => Action::Announce(self.announcement()),
                Output::Release => Action::Release(&self.config.addresses),
                Output::Event(event) => Action::Event(event),
            });
        }
    }

    /// When [`Input::Timeout`] is due next, and what for; `None` while nothing is. Only inputs change
    /// it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.machine.poll_timeout()
    }

    fn announcement(&self) -> Announce<'_> {
        Announce { addresses: &self.config.addresses, burst: self.config.announce.burst.max(1) }
    }
}

/// Getters.
impl VirtualRouter {
    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &RouterConfig {
        &self.config
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.machine.state()
    }

    /// The link.
    #[must_use]
    pub const fn link(&self) -> LinkState {
        self.machine.link()
    }

    /// What the own adverts say, demotion included.
    #[must_use]
    pub fn advertised(&self) -> Standing {
        self.machine.advertised()
    }

    /// What failed last and has not succeeded since.
    #[must_use]
    pub const fn fault(&self) -> Option<Fault> {
        self.machine.fault()
    }

    /// What the router is at; `None` unless it is active.
    #[must_use]
    pub const fn phase(&self) -> Option<Phase> {
        self.machine.phase()
    }

    /// Where the router stands with the others of its [`Group`](crate::Group).
    #[must_use]
    pub const fn posture(&self) -> Posture {
        self.machine.posture()
    }

    /// The router from which the latest valid advert came. Whoever drives the router can look at it after
    /// each datagram, which costs nothing, and tell what is odd about it.
    #[must_use]
    pub const fn last_heard(&self) -> Option<&Peer> {
        self.peers[0].as_ref()
    }

    /// What was found out about the signature of the latest advert that came as far as that, where adverts
    /// are signed.
    #[must_use]
    pub const fn last_verdict(&self) -> Option<Verdict> {
        self.last_verdict
    }

    /// The active router's interval, where backups learn it (VRRP version 3) and one was heard.
    #[must_use]
    pub fn learned(&self) -> Option<LearnedInterval> {
        self.machine.learned()
    }

    /// Everything that status and metrics show.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let machine = &self.machine;
        let active = machine.state() == State::Active;
        Snapshot {
            state: machine.state(),
            phase: machine.phase(),
            posture: machine.posture(),
            since: machine.since(),
            cause: machine.cause(),
            transitions: machine.transitions(),
            link: machine.link(),
            advertised: machine.advertised(),
            learned: machine.learned(),
            demotion: machine.demotion(),
            interval: machine.advert_interval(),
            active_down: machine.active_down(),
            alone: active && self.peers[0].is_none(),
            conflict: machine.rival(now).or_else(|| self.unauthenticated_rival(now)),
            held: machine.held(now),
            held_by_data: machine.held_by_data(),
            fault: machine.fault(),
            checksum: self.sent_checksum(),
            last_verdict: self.last_verdict,
            peers: self.peers,
            last_reject: self.last_reject,
            counters: self.counters,
        }
    }

    /// See [`Machine::mix_relative`]. Of the rest of a router, nothing changes who becomes active: CARP's
    /// counter is not compared, both forms of a checksum are accepted, and peers and counters are for show.
    /// Routers with signatures are not explored.
    #[cfg(feature = "sim")]
    pub(crate) fn mix_relative(&self, now: Instant, mixer: &mut crate::sim::Mixer) {
        self.machine.mix_relative(now, mixer);
    }

    /// The form of the checksum of our adverts, where there are two.
    fn sent_checksum(&self) -> Option<ChecksumForm> {
        match &self.config.speech {
            Speech::Carp(_) | Speech::Vrrp2 { .. } => None,
            Speech::Vrrp3 { list, settings } => match list.addresses().family() {
                Family::Ipv4 => Some(self.checksum_form(settings.checksum)),
                Family::Ipv6 => Some(ChecksumForm::PseudoHeader),
            },
        }
    }

    /// Who advertises our id with another key or other addresses while we are active. The packet
    /// proves nothing, so this is shown and never acted on.
    fn unauthenticated_rival(&self, now: Instant) -> Option<IpAddr> {
        let last = self.last_bad_authentication?;
        let recent = now.saturating_since(last.at) <= self.machine.active_down();
        last.source.filter(|_| recent && self.machine.state() == State::Active)
    }
}
