//! The configuration of a virtual router, valid by construction.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::time::Duration;

use thiserror::Error;

use super::speech::{Carp, Speech};
use crate::address::VirtualAddress;
use crate::auth::{Authenticator, HmacAuthenticator, Key, Password};
use crate::election::{AnnouncePlan, Dialect, ElectionConfig, Handicap, Policy, Standing};
use crate::id::{Family, Priority, PriorityError, Protocol, VirtualId};
use crate::interval::{AdvBase, AdvSkew, CarpInterval, Centiseconds, IntervalError, Seconds};
use crate::wire::ip::{GROUP_IPV4, GROUP_IPV6, TTL};
use crate::wire::vrrp::{AddressList, Authentication, ChecksumForm, ListError, Senders};

/// How long taking the addresses may last before the router gives the takeover up.
const ACQUIRE_LIMIT: Duration = Duration::from_secs(1);

/// The longest interval of VRRP version 3.
#[cfg(feature = "sim")]
const MOST_CENTISECONDS: u16 = 0x0fff;

/// What the handover window adds to the advert interval.
const HANDOVER_MARGIN: Duration = Duration::from_secs(1);

/// The configuration of a virtual router. It is valid by construction.
///
/// - **Protocols**: [`carp`](Self::carp), [`vrrp2`](Self::vrrp2), [`vrrp3`](Self::vrrp3).
/// - **All protocols**: the methods `with_…`, but for [`with_interval`](Self::with_interval) and
///   [`with_previous`](Self::with_previous), which are CARP's.
#[derive(Clone, Debug)]
pub struct RouterConfig {
    pub(super) id: VirtualId,
    pub(super) addresses: Vec<VirtualAddress>,
    pub(super) speech: Speech,
    pub(super) announce: AnnouncePlan,
    /// What the jitter of refreshes is drawn from.
    seed: u64,
    pub(super) min_ttl: u8,
    /// Where adverts go: the groups of the router's families, or its peers.
    pub(super) destinations: Vec<IpAddr>,
    /// Whether the destinations are peers.
    unicast: bool,
    accept_from: Vec<IpAddr>,
    preempt: bool,
    preempt_delay: Duration,
    handover: Option<Duration>,
    prepare_limit: Option<Duration>,
}

/// What VRRP version 2 needs beside the id and the addresses.
#[derive(Clone, Debug)]
pub struct Vrrp2 {
    /// 1 to 254, or 255 for the owner of the addresses.
    pub priority: Priority,
    /// The time between two adverts, the same on all routers: adverts with another one are rejected.
    pub interval: Seconds,
    /// RFC 2338's password, if adverts carry one: then others are rejected.
    pub password: Option<Password>,
}

impl Default for Vrrp2 {
    /// Priority 100, an advert every second, no password.
    fn default() -> Self {
        Self { priority: Priority::DEFAULT, interval: Seconds::DEFAULT, password: None }
    }
}

impl Vrrp2 {
    pub(super) fn authentication(&self) -> Authentication<'_> {
        self.password.as_ref().map_or(Authentication::None, Authentication::Password)
    }
}

/// What VRRP version 3 needs beside the id and the addresses.
#[derive(Clone, Debug)]
pub struct Vrrp3 {
    /// 1 to 254, or 255 for the owner of the addresses.
    pub priority: Priority,
    /// The time between two adverts. A backup goes by that of the active router.
    pub interval: Centiseconds,
    /// Over IPv4, what the checksum of adverts covers.
    pub checksum: ChecksumMode,
    /// keepalived's signatures, if adverts carry them. They need the time of day: see
    /// [`VirtualRouter::set_time_of_day`](crate::VirtualRouter::set_time_of_day).
    pub hmac: Option<HmacAuthenticator>,
}

impl Default for Vrrp3 {
    /// Priority 100, an advert every second, the checksum that is heard, no signatures.
    fn default() -> Self {
        Self {
            priority: Priority::DEFAULT,
            interval: Centiseconds::DEFAULT,
            checksum: ChecksumMode::Auto,
            hmac: None,
        }
    }
}

/// Which [`ChecksumForm`] the adverts of VRRP version 3 have over IPv4. Both are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChecksumMode {
    /// The form last heard from a valid peer; before that, with a pseudo-header.
    #[default]
    Auto,
    /// Always this one.
    Always(ChecksumForm),
}

/// Constructors.
impl RouterConfig {
    /// A CARP router with the given id, secret and addresses: advbase 1, advskew 0, dialect native, no
    /// preemption. With addresses of both families it sends its adverts over both; it is one election.
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
        let carp = Carp {
            authenticator: Authenticator::new(key, id, &addresses),
            previous: Vec::new(),
            dialect: Dialect::Native,
            interval: CarpInterval { advbase: 1, advskew: 0 },
            counter_seed,
        };
        Ok(Self::new(id, addresses, Speech::Carp(carp)))
    }

    /// A router of VRRP version 2, which preempts.
    ///
    /// # Errors
    /// [`ConfigError`] if there is no address, one is not IPv4, or there are more than 255; for priority
    /// 0, which resigns, and for an interval of 0.
    pub fn vrrp2(
        id: VirtualId,
        addresses: Vec<VirtualAddress>,
        settings: Vrrp2,
    ) -> Result<Self, ConfigError> {
        claimable(settings.priority)?;
        Seconds::try_from(settings.interval.advert())?;
        match list(&addresses)? {
            AddressList::Ipv4(list) => {
                Ok(Self::new(id, addresses, Speech::Vrrp2 { list, settings }))
            }
            AddressList::Ipv6(_) => Err(ConfigError::Ipv6InVersion2),
        }
    }

    /// A router of VRRP version 3, which preempts. The addresses are of one family; a list of IPv6
    /// addresses begins with a link-local one.
    ///
    /// # Errors
    /// [`ConfigError`] if the addresses do not make such a list; for priority 0, which resigns, and for
    /// an interval of 0.
    pub fn vrrp3(
        id: VirtualId,
        addresses: Vec<VirtualAddress>,
        settings: Vrrp3,
    ) -> Result<Self, ConfigError> {
        claimable(settings.priority)?;
        Centiseconds::try_from(settings.interval.advert())?;
        let list = list(&addresses)?;
        Ok(Self::new(id, addresses, Speech::Vrrp3 { list, settings }))
    }

    fn new(id: VirtualId, addresses: Vec<VirtualAddress>, speech: Speech) -> Self {
        let seed = match &speech {
            Speech::Carp(carp) => carp.counter_seed,
            Speech::Vrrp2 { .. } | Speech::Vrrp3 { .. } => id.get().into(),
        };
        let group = |family| match family {
            Family::Ipv4 => IpAddr::V4(GROUP_IPV4),
            Family::Ipv6 => IpAddr::V6(GROUP_IPV6),
        };
        let spoken = |family: &Family| addresses.iter().any(|ip| ip.family() == *family);
        let families = [Family::Ipv4, Family::Ipv6].into_iter();
        Self {
            id,
            destinations: families.filter(spoken).map(group).collect(),
            addresses,
            preempt: speech.protocol() != Protocol::Carp,
            speech,
            announce: AnnouncePlan::default(),
            seed,
            min_ttl: TTL,
            unicast: false,
            accept_from: Vec::new(),
            preempt_delay: Duration::ZERO,
            handover: None,
            prepare_limit: None,
        }
    }
}

fn claimable(priority: Priority) -> Result<(), PriorityError> {
    Priority::try_from(i64::from(priority.get())).map(drop)
}

fn list(addresses: &[VirtualAddress]) -> Result<AddressList, ConfigError> {
    AddressList::new(addresses).map_err(|error| match error {
        ListError::Empty => ConfigError::NoAddress,
        ListError::TooMany { .. } | ListError::Mixed | ListError::NotLinkLocal { .. } => {
            ConfigError::List(error)
        }
    })
}

/// Settings.
impl RouterConfig {
    /// Sets CARP's dialect and advert interval, which belong together: an advbase of 0 means something in
    /// two of them.
    ///
    /// # Errors
    /// [`ConfigError::Interval`] if the dialect has no meaning for the interval;
    /// [`ConfigError::NotCarp`] for a VRRP router.
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
        let Speech::Carp(carp) = &mut self.speech else { return Err(ConfigError::NotCarp) };
        carp.dialect = dialect;
        carp.interval = interval;
        Ok(self)
    }

    /// Also accepts the CARP adverts that this authenticator verifies, for this long from the router's
    /// first input on: those with the key or the addresses of before a change.
    ///
    /// So both can change without an outage: first on the backups, one after the other, then on the active
    /// router. Our own adverts have the new key and addresses at once.
    ///
    /// # Errors
    /// [`ConfigError::NotCarp`] for a VRRP router. Version 3 has several
    /// [keys](HmacAuthenticator::new), and no VRRP router compares addresses.
    pub fn with_previous(
        mut self,
        authenticator: Authenticator,
        accepted_for: Duration,
    ) -> Result<Self, ConfigError> {
        let Speech::Carp(carp) = &mut self.speech else { return Err(ConfigError::NotCarp) };
        carp.previous.push((authenticator, accepted_for));
        Ok(self)
    }

    /// Sets whether the router takes over from a healthy active router of worse rank. Unset, CARP does
    /// not and VRRP does. An address owner does in any case.
    #[must_use]
    pub fn with_preempt(mut self, preempt: bool) -> Self {
        self.preempt = preempt;
        self
    }

    /// Sets how long a worse active router has to be heard before it is preempted. Until then it is
    /// followed. It does not delay the start of an address owner, which is active at once.
    #[must_use]
    pub fn with_preempt_delay(mut self, delay: Duration) -> Self {
        self.preempt_delay = delay;
        self
    }

    /// Sends adverts to these peers instead of the group, and hears only them.
    ///
    /// # Errors
    /// [`ConfigError::NoPeer`] for an empty list, [`ConfigError::Peer`] for an address that cannot be a
    /// peer's: it is no host's, or of a family in which the router has no address.
    /// [`ConfigError::PeersAndSenders`] after [`with_accept_from`](Self::with_accept_from).
    pub fn with_peers(mut self, peers: Vec<IpAddr>) -> Result<Self, ConfigError> {
        self.check_senders(&peers)?;
        if !self.accept_from.is_empty() {
            return Err(ConfigError::PeersAndSenders);
        }
        self.destinations = peers;
        self.unicast = true;
        Ok(self)
    }

    /// Of those who send to the group, hears only these.
    ///
    /// # Errors
    /// As [`with_peers`](Self::with_peers), which excludes it.
    pub fn with_accept_from(mut self, sources: Vec<IpAddr>) -> Result<Self, ConfigError> {
        self.check_senders(&sources)?;
        if self.unicast {
            return Err(ConfigError::PeersAndSenders);
        }
        self.accept_from = sources;
        Ok(self)
    }

    fn check_senders(&self, senders: &[IpAddr]) -> Result<(), ConfigError> {
        if senders.is_empty() {
            return Err(ConfigError::NoPeer);
        }
        for &ip in senders {
            let speaks = self.addresses.iter().any(|own| own.family() == Family::of(ip));
            if VirtualAddress::new(ip, None).is_err() || !speaks {
                return Err(ConfigError::Peer { ip });
            }
        }
        Ok(())
    }

    /// Accepts adverts that have crossed routers, down to this TTL or hop limit.
    ///
    /// # Errors
    /// [`ConfigError::MinTtl`] for 0, and for anything under 255 unless the router has
    /// [peers](Self::with_peers) and nobody without a key can speak for them: in CARP, or with enforced
    /// signatures. What crosses routers can come from anywhere.
    pub fn with_min_ttl(mut self, ttl: u8) -> Result<Self, ConfigError> {
        let allowed = ttl == TTL || (ttl > 0 && self.unicast && self.speech.is_authenticated());
        if !allowed {
            return Err(ConfigError::MinTtl { found: ttl });
        }
        self.min_ttl = ttl;
        Ok(self)
    }

    /// When the addresses are announced.
    #[must_use]
    pub const fn announce_plan(&self) -> &AnnouncePlan {
        &self.announce
    }

    /// Sets when the addresses are announced.
    #[must_use]
    pub fn with_announce(mut self, plan: AnnouncePlan) -> Self {
        self.announce = plan;
        self
    }

    /// Sets what the jitter of refreshing announcements is drawn from, which should be random. Unset, it
    /// is CARP's counter seed, and the id of a VRRP router.
    #[must_use]
    pub fn with_seed(mut self, seed: u64) -> Self {
        self.seed = seed;
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
}

/// Getters.
impl RouterConfig {
    /// The id.
    #[must_use]
    pub const fn id(&self) -> VirtualId {
        self.id
    }

    /// The protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.speech.protocol()
    }

    /// The virtual addresses, as configured.
    #[must_use]
    pub fn addresses(&self) -> &[VirtualAddress] {
        &self.addresses
    }

    /// Where adverts go: the group of each family that the router has an address of, or its peers.
    #[must_use]
    pub fn destinations(&self) -> &[IpAddr] {
        &self.destinations
    }

    /// Whether adverts go to [peers](Self::with_peers) instead of the group.
    #[must_use]
    pub const fn is_unicast(&self) -> bool {
        self.unicast
    }

    /// Whether adverts are signed, so that the router has to know the
    /// [time of day](crate::VirtualRouter::set_time_of_day).
    #[must_use]
    pub const fn is_signed(&self) -> bool {
        self.speech.is_signed()
    }

    /// What the adverts say of the router, without demotion.
    #[must_use]
    pub fn standing(&self) -> Standing {
        self.speech.standing()
    }

    /// How the router elects.
    #[must_use]
    pub const fn policy(&self) -> &'static Policy {
        self.speech.policy()
    }

    /// Whether the router takes over from a healthy active router of worse rank.
    #[must_use]
    pub fn preempts(&self) -> bool {
        self.preempt || self.standing().is_owner()
    }

    /// How long a worse active router has to be heard before it is preempted.
    #[must_use]
    pub const fn preempt_delay(&self) -> Duration {
        self.preempt_delay
    }

    /// The handover window.
    #[must_use]
    pub fn handover(&self) -> Duration {
        self.handover.unwrap_or_else(|| self.standing().interval() + HANDOVER_MARGIN)
    }

    /// How long a backup that has not yet heard of another interval waits for an advert before it takes
    /// over, without demotion: the detection time.
    #[must_use]
    pub fn active_down(&self) -> Duration {
        self.election().active_down(Handicap::NONE, self.standing().interval())
    }

    /// How long a backup waits, without demotion, behind an active router that advertises with this interval. Version 3
    /// of VRRP learns it (RFC 9568, 6.1), up to a limit; elsewhere the own interval counts. Version 2 takes in no
    /// advert with another interval than its own (RFC 3768, 7.1).
    #[must_use]
    pub fn active_down_behind(&self, interval: Duration) -> Duration {
        let election = self.election();
        election.active_down(Handicap::NONE, election.learned(interval))
    }

    /// The only sources that are heard, peers or others; empty if everybody is.
    #[must_use]
    pub fn heard(&self) -> &[IpAddr] {
        match self.senders() {
            Senders::Group { only } | Senders::Peers(only) => only,
        }
    }

    /// The least TTL or hop limit that is accepted.
    #[must_use]
    pub const fn min_ttl(&self) -> u8 {
        self.min_ttl
    }

    /// The same with another rank: CARP's advskew becomes this, VRRP's priority 255 less this. An owner stays
    /// one.
    #[cfg(feature = "sim")]
    pub(crate) fn reranked(mut self, worse: u8) -> Self {
        let lowered = Priority::from_wire(u8::MAX.saturating_sub(worse).clamp(1, 254));
        match &mut self.speech {
            Speech::Carp(carp) => carp.interval.advskew = worse.min(254),
            Speech::Vrrp2 { settings: Vrrp2 { priority, .. }, .. }
            | Speech::Vrrp3 { settings: Vrrp3 { priority, .. }, .. } => {
                if !priority.is_owner() {
                    *priority = lowered;
                }
            }
        }
        self
    }

    /// The same with another advert interval: of CARP and VRRP version 2 the whole seconds count, and the least one that
    /// there is is the least that it becomes.
    #[cfg(feature = "sim")]
    pub(crate) fn retimed(mut self, time: Duration) -> Self {
        let seconds = u8::try_from(time.as_secs().clamp(1, 254)).unwrap_or(1);
        match &mut self.speech {
            Speech::Carp(carp) => carp.interval.advbase = seconds,
            Speech::Vrrp2 { settings: Vrrp2 { interval, .. }, .. } => {
                *interval = Seconds::from_wire(seconds);
            }
            Speech::Vrrp3 { settings: Vrrp3 { interval, .. }, .. } => {
                let hundredths = (time.as_millis() / 10).clamp(1, u128::from(MOST_CENTISECONDS));
                *interval = Centiseconds::from_wire(u16::try_from(hundredths).unwrap_or(1));
            }
        }
        self
    }

    pub(super) fn senders(&self) -> Senders<'_> {
        if self.unicast {
            Senders::Peers(&self.destinations)
        } else {
            Senders::Group { only: &self.accept_from }
        }
    }

    pub(crate) fn election(&self) -> ElectionConfig {
        ElectionConfig {
            policy: self.policy(),
            standing: self.standing(),
            preempt: self.preempt,
            preempt_delay: self.preempt_delay,
            handover: self.handover(),
            prepare_limit: self.prepare_limit,
            acquire_limit: ACQUIRE_LIMIT,
            announce: self.announce,
            seed: self.seed,
        }
    }
}

/// Why a configuration is not valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A router without an address has nothing to move.
    #[error("a virtual router needs at least one address")]
    NoAddress,
    /// The interval is not valid in the protocol or the dialect.
    #[error(transparent)]
    Interval(#[from] IntervalError),
    /// The priority is not one that can be claimed.
    #[error(transparent)]
    Priority(#[from] PriorityError),
    /// The addresses cannot be sent as one list.
    #[error(transparent)]
    List(ListError),
    /// An IPv6 address in VRRP version 2.
    #[error("VRRP version 2 has IPv4 addresses only: use version 3 for IPv6")]
    Ipv6InVersion2,
    /// A setting of CARP for a VRRP router.
    #[error("advbase, advskew, dialect and previous keys are CARP's: VRRP has none of them")]
    NotCarp,
    /// An empty list of peers or senders.
    #[error("a list of peers has at least one address: leave it out to hear everybody")]
    NoPeer,
    /// An address that cannot be a peer's.
    #[error(
        "{ip} cannot be a peer: it is no host's address, or of another family than the router's"
    )]
    Peer {
        /// The address.
        ip: IpAddr,
    },
    /// Peers by unicast, and a list of those to be heard on the group.
    #[error("peers are the only ones that are heard: leave out the list of senders, or the peers")]
    PeersAndSenders,
    /// A TTL that lets strangers in.
    #[error(
        "a minimum TTL of {found} is not allowed: under 255 it needs unicast peers and a key \
         (CARP, or VRRP version 3 with enforced signatures), and it is at least 1"
    )]
    MinTtl {
        /// The TTL that was given.
        found: u8,
    },
}

#[cfg(feature = "sim")]
#[cfg(test)]
mod tests {
    use super::*;

    fn router(priority: u8) -> RouterConfig {
        let settings = Vrrp3 { priority: Priority::from_wire(priority), ..Vrrp3::default() };
        let address = "192.0.2.100/24".parse().unwrap();
        RouterConfig::vrrp3(VirtualId::new(7).unwrap(), alloc::vec![address], settings).unwrap()
    }

    #[test]
    fn another_rank_is_that_many_points_under_the_best_and_an_owner_keeps_his() {
        let standing = |priority, worse| router(priority).reranked(worse).standing();
        assert_eq!(standing(100, 155), router(100).standing());
        assert_eq!(standing(100, 5), router(250).standing());
        assert_eq!(standing(255, 5), router(255).standing());
    }

    #[test]
    fn another_interval_counts_by_the_hundredth() {
        let interval = |time| router(100).retimed(time).standing().interval();
        assert_eq!(interval(Duration::from_millis(1509)), Duration::from_millis(1500));
    }
}
