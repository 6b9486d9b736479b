//! Parameters of one router, as plain values.

use alloc::vec::Vec;
use core::net::IpAddr;
use core::ops::RangeInclusive;
use core::time::Duration;

use super::peers::authenticator;
use crate::auth::{HmacAuthenticator, HmacMode, Key, Password};
use crate::election::{AnnouncePlan, Dialect};
use crate::id::{Priority, VirtualId};
use crate::interval::{AdvBase, AdvSkew, Centiseconds, Seconds};
use crate::router::{ChecksumMode, RouterConfig, VirtualRouter, Vrrp2, Vrrp3};
use crate::time::Instant;
use crate::wire::ip::{GROUP_IPV4, GROUP_IPV6, RxMeta, TTL};

/// The id of the made-up virtual router.
pub const ID: u8 = 42;

/// CARP's key.
pub const KEY: &[u8] = b"love";

/// RFC 2338's password, where there is one.
pub const PASSWORD: &[u8] = b"s3cr3t";

/// The key of signatures and its id, where there are signatures.
pub const HMAC_KEY: (u8, [u8; 32]) = (1, [7; 32]);

/// The key that a router signs with which has [two](Setup::second_key).
pub const SECOND_HMAC_KEY: (u8, [u8; 32]) = (2, [9; 32]);

/// The last octet of the router's own address.
pub const OWN_HOST: u8 = 5;

/// The hosts that are heard where not all are.
pub const HEARD: RangeInclusive<u8> = 6..=11;

/// What time of day it is at [`Instant::ZERO`], since the Unix epoch.
pub const EPOCH: Duration = Duration::from_secs(1_800_000_000);

/// The protocols of VRRP: version and family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Version 2, over IPv4.
    V2,
    /// Version 3 over IPv4.
    V3,
    /// Version 3 over IPv6.
    V3Ipv6,
}

impl Version {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::V2, Self::V3, Self::V3Ipv6];

    /// The two of RFC 9568.
    pub const THREES: [Self; 2] = [Self::V3, Self::V3Ipv6];

    /// The virtual addresses.
    #[must_use]
    pub const fn texts(self) -> &'static [&'static str] {
        match self {
            Self::V2 | Self::V3 => &["10.99.0.100"],
            Self::V3Ipv6 => &["fe80::100", "2001:db8::100"],
        }
    }

    /// The address of a host, by its last octet.
    #[must_use]
    pub fn host(self, last: u8) -> IpAddr {
        match self {
            Self::V2 | Self::V3 => ipv4_host(last),
            Self::V3Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, u16::from(last)]),
        }
    }

    /// What comes with an advert of a source to the group, when all is well.
    #[must_use]
    pub fn meta(self, source: IpAddr) -> RxMeta {
        let destination = match self {
            Self::V2 | Self::V3 => GROUP_IPV4.into(),
            Self::V3Ipv6 => GROUP_IPV6.into(),
        };
        RxMeta { source, destination, ttl: TTL }
    }
}

/// The IPv4 address of a host.
#[must_use]
pub fn ipv4_host(last: u8) -> IpAddr {
    IpAddr::from([10, 99, 0, last])
}

/// What a router may have beyond the plain form of its protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extra {
    /// Nothing.
    Nothing,
    /// Adverts go by unicast to the [hosts that are heard](HEARD), and only those are.
    Peers,
    /// Of those who send to the group, only the [hosts that are heard](HEARD) are.
    Chosen,
    /// CARP: IPv6 addresses alone.
    Ipv6,
    /// CARP: addresses of both families.
    BothFamilies,
    /// Version 2: a password.
    Password,
    /// Version 3: signatures. The peers sign, with the [first key](HMAC_KEY); what the router does with signatures is
    /// its [mode](Setup::hmac_mode).
    Signatures,
    /// Version 3 over IPv4: the peers' checksum covers the message alone.
    MessageChecksum,
}

impl Extra {
    /// Those that a protocol can have; `None` is CARP.
    #[must_use]
    pub const fn of(vrrp: Option<Version>) -> &'static [Self] {
        match vrrp {
            None => &[Self::Nothing, Self::Peers, Self::Chosen, Self::Ipv6, Self::BothFamilies],
            Some(Version::V2) => &[Self::Nothing, Self::Peers, Self::Chosen, Self::Password],
            Some(Version::V3) => {
                &[Self::Nothing, Self::Peers, Self::Chosen, Self::Signatures, Self::MessageChecksum]
            }
            Some(Version::V3Ipv6) => &[Self::Nothing, Self::Peers, Self::Chosen, Self::Signatures],
        }
    }

    /// Whether only the [hosts that are heard](HEARD) are.
    #[must_use]
    pub fn is_selective(self) -> bool {
        [Self::Peers, Self::Chosen].contains(&self)
    }
}

/// The parameters of one router of the made-up virtual router: id 42, and the address 10.99.0.100, or
/// `fe80::100` and `2001:db8::100`.
///
/// A router of VRRP has the priority 255 - `advskew`, and `advbase` seconds for its interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// `None` is CARP.
    pub vrrp: Option<Version>,
    /// One of those of its protocol.
    pub extra: Extra,
    /// CARP's dialect.
    pub dialect: Dialect,
    /// The advert interval in seconds: 1 to 40 in VRRP; in CARP up to 254, and 0 where the dialect has a meaning for
    /// it.
    pub advbase: u8,
    /// The smaller, the better: 0 to 254.
    pub advskew: u8,
    /// Whether it takes over from a worse router.
    pub preempt: bool,
    /// For how long it first follows such a router.
    pub preempt_delay: Duration,
    /// Whether something comes before the addresses are taken, and how long it may last.
    pub prepare: Option<Duration>,
    /// When it announces the addresses.
    pub announce: AnnouncePlan,
    /// How long it serves on after a resignation; `None` is the default.
    pub handover: Option<Duration>,
    /// Its own address, if it is of IPv4: see [`host`](Self::host).
    pub source: IpAddr,
    /// CARP's first counter.
    pub seed: u64,
    /// Where there are signatures: whether the router signs, and whether it hears those who do not.
    pub hmac_mode: HmacMode,
    /// Where there are signatures: whether the router knows a [second key](SECOND_HMAC_KEY) and signs with that one,
    /// as the first member does when a key is replaced.
    pub second_key: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self::new()
    }
}

impl Setup {
    /// A router of CARP at the [own host](OWN_HOST): advbase 1, advskew 100, no preemption. Signatures, where there are
    /// such, are of one key and required.
    #[must_use]
    pub fn new() -> Self {
        Self {
            vrrp: None,
            extra: Extra::Nothing,
            dialect: Dialect::Native,
            advbase: 1,
            advskew: 100,
            preempt: false,
            preempt_delay: Duration::ZERO,
            prepare: None,
            announce: AnnouncePlan::default(),
            handover: None,
            source: ipv4_host(OWN_HOST),
            seed: 7,
            hmac_mode: HmacMode::Enforce,
            second_key: false,
        }
    }

    /// Every kind of router: each protocol with each of its extras, and CARP's other dialects.
    #[must_use]
    pub fn every() -> Vec<Self> {
        let protocols = [None].into_iter().chain(Version::ALL.map(Some));
        let with_extras =
            |vrrp| Extra::of(vrrp).iter().map(move |&extra| Self { vrrp, extra, ..Self::new() });
        let others = Dialect::ALL.into_iter().filter(|dialect| *dialect != Dialect::Native);
        let dialects = others.map(|dialect| Self { dialect, ..Self::new() });
        protocols.flat_map(with_extras).chain(dialects).collect()
    }

    /// The same, with advbase and advskew in the range that its protocol and dialect have.
    #[must_use]
    pub fn valid(self) -> Self {
        // The dialects without a meaning for advbase 0 refuse it. VRRP's longest interval is 40.95 s.
        let zero = self.vrrp.is_none() && self.dialect.policy().zero_base;
        let longest = if self.vrrp.is_none() { 254 } else { 40 };
        let advbase = self.advbase.clamp(u8::from(!zero), longest);
        Self { advbase, advskew: self.advskew.min(254), ..self }
    }

    /// The configuration.
    ///
    /// # Panics
    /// If a field is out of its range: see [`valid`](Self::valid).
    #[must_use]
    pub fn config(self) -> RouterConfig {
        let mut config = self
            .plain_config()
            .with_preempt(self.preempt)
            .with_preempt_delay(self.preempt_delay)
            .with_announce(self.announce);
        if let Some(hosts) = self.only() {
            let unicast = self.extra == Extra::Peers;
            let with_hosts =
                if unicast { RouterConfig::with_peers } else { RouterConfig::with_accept_from };
            config = with_hosts(config, hosts).expect("hosts of the router's family");
        }
        if let Some(window) = self.handover {
            config = config.with_handover(window);
        }
        if let Some(limit) = self.prepare {
            config = config.with_prepare(limit);
        }
        config
    }

    fn plain_config(self) -> RouterConfig {
        let id = VirtualId::new(ID).expect("an id");
        let addresses = super::peers::addresses(self.texts());
        let priority = Priority::from_wire(255 - self.advskew);
        let interval = Duration::from_secs(self.advbase.into());
        let config = match self.vrrp {
            None => {
                let base = AdvBase::new(self.advbase.into()).expect("an advbase");
                let skew = AdvSkew::new(self.advskew.into()).expect("an advskew");
                let key = Key::new(KEY).expect("a key");
                RouterConfig::carp(id, &key, addresses, self.seed)
                    .and_then(|config| config.with_interval(self.dialect, base, skew))
            }
            Some(Version::V2) => {
                let interval = Seconds::try_from(interval).expect("an interval");
                let password = self.password();
                RouterConfig::vrrp2(id, addresses, Vrrp2 { priority, interval, password })
            }
            Some(Version::V3 | Version::V3Ipv6) => {
                let interval = Centiseconds::try_from(interval).expect("an interval");
                let (checksum, hmac) = (ChecksumMode::Auto, self.hmac());
                let settings = Vrrp3 { priority, interval, checksum, hmac };
                RouterConfig::vrrp3(id, addresses, settings)
            }
        };
        config.expect("a router that can be")
    }

    /// The router, which knows all that its configuration does not tell it.
    ///
    /// # Panics
    /// As [`config`](Self::config).
    #[must_use]
    pub fn router(self) -> VirtualRouter {
        let mut router = VirtualRouter::new(self.config());
        self.equip(&mut router);
        router
    }

    /// Tells a router what its configuration does not: the time of day, and its source in the other family.
    pub fn equip(self, router: &mut VirtualRouter) {
        if self.extra == Extra::BothFamilies {
            router.set_other_source(Some(Version::V3Ipv6.host(OWN_HOST)));
        }
        router.set_time_of_day(Instant::ZERO, EPOCH);
    }

    /// The virtual addresses.
    #[must_use]
    pub fn texts(self) -> &'static [&'static str] {
        const BOTH: [&str; 3] = ["10.99.0.100", "fe80::100", "2001:db8::100"];
        if self.extra == Extra::BothFamilies { &BOTH } else { self.family().texts() }
    }

    /// The version of VRRP whose hosts and groups this router has.
    #[must_use]
    pub fn family(self) -> Version {
        let carp = if self.extra == Extra::Ipv6 { Version::V3Ipv6 } else { Version::V3 };
        self.vrrp.unwrap_or(carp)
    }

    /// The address of a host.
    #[must_use]
    pub fn host(self, last: u8) -> IpAddr {
        self.family().host(last)
    }

    /// What comes with an advert of a source, when all is well.
    #[must_use]
    pub fn meta(self, source: IpAddr) -> RxMeta {
        let meta = self.family().meta(source);
        let unicast = self.extra == Extra::Peers;
        let destination = if unicast { self.host(OWN_HOST) } else { meta.destination };
        RxMeta { destination, ..meta }
    }

    /// The only hosts that are heard, if there are such.
    #[must_use]
    pub fn only(self) -> Option<Vec<IpAddr>> {
        self.extra.is_selective().then(|| HEARD.map(|host| self.host(host)).collect())
    }

    /// The password, if it has one.
    #[must_use]
    pub fn password(self) -> Option<Password> {
        (self.extra == Extra::Password).then(|| Password::new(PASSWORD).expect("a password"))
    }

    /// How the router signs and verifies, if it does.
    #[must_use]
    pub fn hmac(self) -> Option<HmacAuthenticator> {
        let keys: &[_] = if self.second_key { &[HMAC_KEY, SECOND_HMAC_KEY] } else { &[HMAC_KEY] };
        (self.extra == Extra::Signatures).then(|| authenticator(keys, self.hmac_mode))
    }
}
