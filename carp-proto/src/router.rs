//! The sans-I/O facade: datagrams and inputs in, actions and a deadline out.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use bytes::BytesMut;
use thiserror::Error;

use crate::address::VirtualAddress;
use crate::auth::{Authenticator, Key};
use crate::election::{
    Advertisement, AnnouncePlan, Claim, CounterRule, Deadline, DemotionEffect, Dialect,
    ElectionConfig, Event, Input, LinkState, Machine, Output, Policy, Rank, State,
};
use crate::id::{Demotion, VirtualId};
use crate::interval::{AdvBase, AdvSkew, CarpInterval, IntervalError};
use crate::reject::Reject;
use crate::snapshot::{Counters, LastReject, MAX_PEERS, Peer, Snapshot};
use crate::time::Instant;
use crate::wire::carp::{self, Advert};
use crate::wire::ip::{GROUP_IPV4, RxMeta, TTL};

/// How long taking the addresses may last before the router gives the takeover up.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);

/// What the handover window adds to the advert interval.
const HANDOVER_MARGIN: Duration = Duration::from_secs(1);

/// The configuration of a CARP virtual router. It is valid by construction.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    id: VirtualId,
    addresses: Vec<VirtualAddress>,
    authenticator: Authenticator,
    dialect: Dialect,
    interval: CarpInterval,
    preempt: bool,
    announce: AnnouncePlan,
    handover: Option<Duration>,
    prepare_limit: Option<Duration>,
    counter_seed: u64,
}

impl RouterConfig {
    /// A router with the given id, secret and addresses: advbase 1, advskew 0, dialect native, no
    /// preemption.
    ///
    /// `counter_seed` should be random: it is the first CARP counter.
    ///
    /// # Errors
    /// [`ConfigError::NoAddress`] without an address.
    pub fn carp(
        id: VirtualId,
        key: &Key,
        addresses: Vec<VirtualAddress>,
        counter_seed: u64,
    ) -> Result<Self, ConfigError> {
        if addresses.is_empty() {
            return Err(ConfigError::NoAddress);
        }
        Ok(Self {
            id,
            authenticator: Authenticator::new(key, id, &addresses),
            addresses,
            dialect: Dialect::Native,
            interval: CarpInterval { advbase: 1, advskew: 0 },
            preempt: false,
            announce: AnnouncePlan::default(),
            handover: None,
            prepare_limit: None,
            counter_seed,
        })
    }

    /// Sets dialect and advert interval, which belong together: an advbase of 0 means something in two of
    /// them.
    ///
    /// # Errors
    /// [`ConfigError::Interval`] if the dialect has no meaning for the interval.
    pub fn with_interval(
        mut self,
        dialect: Dialect,
        advbase: AdvBase,
        advskew: AdvSkew,
    ) -> Result<Self, ConfigError> {
        let interval = CarpInterval::new(advbase, advskew);
        if interval.advbase == 0 && !dialect.policy().zero_base {
            return Err(ConfigError::Interval(IntervalError::Zero));
        }
        self.dialect = dialect;
        self.interval = interval;
        Ok(self)
    }

    /// Sets whether the router takes over from a healthy active router of worse rank.
    #[must_use]
    pub fn with_preempt(mut self, preempt: bool) -> Self {
        self.preempt = preempt;
        self
    }

    /// Sets when the addresses are announced.
    #[must_use]
    pub fn with_announce(mut self, plan: AnnouncePlan) -> Self {
        self.announce = plan;
        self
    }

    /// Sets the handover window: how long a router that resigned serves on at the most. Unset, it is
    /// the advert interval and one second.
    #[must_use]
    pub fn with_handover(mut self, window: Duration) -> Self {
        self.handover = Some(window);
        self
    }

    /// Registers that something must come before the addresses are taken, and how long it may last.
    #[must_use]
    pub fn with_prepare(mut self, limit: Duration) -> Self {
        self.prepare_limit = Some(limit);
        self
    }

    /// The id.
    #[must_use]
    pub const fn id(&self) -> VirtualId {
        self.id
    }

    /// The virtual addresses, as configured.
    #[must_use]
    pub fn addresses(&self) -> &[VirtualAddress] {
        &self.addresses
    }

    /// The handover window.
    #[must_use]
    pub fn handover(&self) -> Duration {
        self.handover.unwrap_or_else(|| self.interval.advert() + HANDOVER_MARGIN)
    }

    const fn policy(&self) -> &'static Policy {
        self.dialect.policy()
    }

    fn election(&self) -> ElectionConfig {
        ElectionConfig {
            policy: self.policy(),
            interval: self.interval,
            preempt: self.preempt,
            handover: self.handover(),
            prepare_limit: self.prepare_limit,
            acquire_limit: ACQUIRE_LIMIT,
            announce: self.announce,
        }
    }
}

/// Why a configuration is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// A router without an address has nothing to move.
    #[error("a virtual router needs at least one address")]
    NoAddress,
    /// The interval is not valid in the dialect.
    #[error(transparent)]
    Interval(#[from] IntervalError),
}

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
/// A datagram that is rejected changes counters and nothing else.
#[derive(Clone, Debug)]
pub struct VirtualRouter {
    config: RouterConfig,
    machine: Machine,
    counter: u64,
    peers: [Option<Peer>; MAX_PEERS],
    last_reject: Option<LastReject>,
    /// When an advert for our id was last refused for its digest: perhaps a second active router.
    last_bad_authentication: Option<LastReject>,
    counters: Counters,
}

/// Something to carry out. A new kind breaks every executor's build, and should.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<'a> {
    /// Send an advert to the group.
    Send(Transmit<'a>),
    /// Do what must come before the addresses are taken; answer [`Input::Prepared`] or
    /// [`Input::Refused`].
    Prepare,
    /// Take the addresses and announce each `burst` times, as one unit; answer [`Input::Acquired`]
    /// or [`Input::Fault`].
    Acquire(Announce<'a>),
    /// Announce each address `burst` times.
    Announce(Announce<'a>),
    /// Give the addresses back.
    Release(&'a [VirtualAddress]),
    /// Tell whoever wants to know.
    Event(Event),
}

/// An advert to send, to the multicast group of the protocol, with a TTL of 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// The source address that ties are decided by, and that peers expect.
    pub source: IpAddr,
    /// The message: what follows the IP header.
    pub payload: &'a [u8],
    /// What it says.
    pub advertisement: Advertisement,
}

/// Addresses to announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announce<'a> {
    /// The addresses.
    pub addresses: &'a [VirtualAddress],
    /// How many announcements of each.
    pub burst: u8,
}

/// Inputs.
impl VirtualRouter {
    /// A router in [`State::Init`]: it takes no part before [`Input::Start`] and [`Input::Link`].
    #[must_use]
    pub fn new(config: RouterConfig) -> Self {
        Self {
            machine: Machine::new(config.election()),
            counter: config.counter_seed,
            config,
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
    /// changed. Checks come in this order: length, version, type; id; TTL; destination;
    /// checksum; own echo; interval; digest.
    pub fn handle_datagram(
        &mut self,
        now: Instant,
        meta: &RxMeta,
        payload: &[u8],
    ) -> Result<(), Reject> {
        match self.validate(meta, payload) {
            Ok(Valid { advert, claim }) => {
                self.counters.adverts_received = self.counters.adverts_received.saturating_add(1);
                self.remember_peer(now, meta.source, advert.interval);
                if self.config.policy().counter == CounterRule::Shared {
                    self.counter = advert.counter;
                }
                self.machine.handle_claim(now, claim);
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
        self.machine.handle(now, input);
    }

    fn validate(&self, meta: &RxMeta, payload: &[u8]) -> Result<Valid, Reject> {
        let parsed = carp::parse(payload)?;
        let advert = parsed.advert;
        if advert.vhid != self.config.id.get() {
            return Err(Reject::UnknownId { found: advert.vhid });
        }
        if meta.ttl != TTL {
            return Err(Reject::BadTtl { found: meta.ttl, expected: TTL });
        }
        if meta.destination != IpAddr::V4(GROUP_IPV4) {
            return Err(Reject::UnknownPeer { from: meta.source });
        }
        if !parsed.checksum_ok {
            return Err(Reject::BadChecksum);
        }
        let policy = self.config.policy();
        let own_cookie = policy.counter == CounterRule::Cookie && advert.counter == self.counter;
        if self.machine.link() == (LinkState::Up { source: meta.source }) || own_cookie {
            return Err(Reject::OwnLoop);
        }
        if advert.interval.is_zero() && !policy.zero_base {
            return Err(Reject::BadInterval);
        }
        if !self.config.authenticator.verify(advert.counter, &advert.digest) {
            return Err(Reject::BadAuthentication);
        }
        Ok(Valid { advert, claim: self.claim(meta.source, &advert) })
    }

    fn claim(&self, source: IpAddr, advert: &Advert) -> Claim {
        let demotion = match self.config.policy().demotion {
            DemotionEffect::Byte => Demotion::clamped(advert.demotion.into()),
            DemotionEffect::Skew => Demotion::NONE,
        };
        Claim {
            rank: Rank::carp(demotion, advert.interval),
            demotion,
            interval: advert.interval.advert(),
            source,
            resigning: advert.interval.is_resignation(),
        }
    }

    fn remember_peer(&mut self, now: Instant, source: IpAddr, advertised: CarpInterval) {
        let is_source = |peer: &Option<Peer>| peer.is_some_and(|peer| peer.source == source);
        let place = self.peers.iter().position(is_source).unwrap_or(MAX_PEERS - 1);
        self.peers[..=place].rotate_right(1);
        self.peers[0] = Some(Peer { source, heard_at: now, advertised });
    }
}

/// What validation found; nothing else makes one.
struct Valid {
    advert: Advert,
    claim: Claim,
}

/// Outputs.
impl VirtualRouter {
    /// The next action, until there are none. `scratch` is where an advert is written: it is cleared
    /// first, and needs no allocation once it has held one.
    pub fn poll_action<'a>(&'a mut self, scratch: &'a mut BytesMut) -> Option<Action<'a>> {
        Some(match self.machine.poll_output()? {
            Output::Advertise(advertisement) => Action::Send(self.transmit(advertisement, scratch)),
            Output::Prepare => Action::Prepare,
            Output::Acquire => Action::Acquire(self.announcement()),
            Output::Announce => Action::Announce(self.announcement()),
            Output::Release => Action::Release(&self.config.addresses),
            Output::Event(event) => Action::Event(event),
        })
    }

    /// When [`Input::Timeout`] is due next, and what for; `None` while nothing is. Only inputs change
    /// it.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Deadline> {
        self.machine.poll_timeout()
    }

    fn transmit<'a>(
        &mut self,
        advertisement: Advertisement,
        scratch: &'a mut BytesMut,
    ) -> Transmit<'a> {
        if self.config.policy().counter == CounterRule::Shared {
            self.counter = self.counter.wrapping_add(1);
        }
        let interval = match advertisement {
            Advertisement::Claim => self.machine.advertised(),
            Advertisement::Resign => CarpInterval::RESIGN,
        };
        let advert = Advert {
            vhid: self.config.id.get(),
            interval,
            demotion: self.machine.demotion_byte().get(),
            counter: self.counter,
            digest: self.config.authenticator.digest(self.counter),
        };
        scratch.clear();
        carp::emit(&advert, scratch);
        self.counters.adverts_sent = self.counters.adverts_sent.saturating_add(1);
        Transmit { source: self.machine.source(), payload: scratch, advertisement }
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

    /// Everything that status and metrics show.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let machine = &self.machine;
        let active = machine.state() == State::Active;
        Snapshot {
            state: machine.state(),
            phase: machine.phase(),
            since: machine.since(),
            cause: machine.cause(),
            transitions: machine.transitions(),
            link: machine.link(),
            advertised: machine.advertised(),
            demotion: machine.demotion(),
            interval: machine.advert_interval(),
            active_down: machine.active_down(),
            alone: active && self.peers[0].is_none(),
            conflict: machine.rival(now).or_else(|| self.unauthenticated_rival(now)),
            held: machine.held(now),
            fault: machine.fault(),
            peers: self.peers,
            last_reject: self.last_reject,
            counters: self.counters,
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
