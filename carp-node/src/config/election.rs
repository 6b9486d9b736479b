//! What a router elects: the bridge from the words of a configuration to `carp-proto`.

use std::net::IpAddr;

use carp_proto::auth::{AntiReplay, HmacAuthenticator, HmacError, Window};
use carp_proto::{
    AdvBase, AdvSkew, Authenticator, Family, IntervalError, MacAddr, Protocol, RouterConfig,
    VirtualAddress, Vrrp2, Vrrp3,
};
use thiserror::Error;

use super::router::lease;
use super::spec::{
    AdvertMac, CarpSpec, HmacSpec, Mac, ProtocolSpec, RouterSpec, Timers, Vrrp2Spec, Vrrp3Spec,
};
use crate::addresses::Place;

/// One election that a router takes part in.
///
/// A router has one, over all of its addresses; only in VRRP version 3 an advert lists addresses of
/// one family, so that a router with both takes part in two.
#[derive(Clone, Copy, Debug)]
pub struct Election<'a> {
    router: &'a RouterSpec,
    /// The family of its addresses; `None` for all.
    family: Option<Family>,
    /// Whether it is the only one of its router.
    alone: bool,
}

impl<'a> Election<'a> {
    pub(super) fn of(router: &'a RouterSpec) -> Vec<Self> {
        match router.protocol() {
            Protocol::Carp | Protocol::Vrrp2 => vec![Self { router, family: None, alone: true }],
            Protocol::Vrrp3 => {
                let spoken = |family: &Family| {
                    router.addresses.iter().any(|address| address.family() == *family)
                };
                let families: Vec<_> =
                    [Family::Ipv4, Family::Ipv6].into_iter().filter(spoken).collect();
                let alone = families.len() == 1;
                let of = |family| Self { router, family: Some(family), alone };
                families.into_iter().map(of).collect()
            }
        }
    }

    /// The router's name; of two elections `NAME/ipv4` and `NAME/ipv6`.
    #[must_use]
    pub fn name(&self) -> String {
        let name = &self.router.name;
        match self.family.filter(|_| !self.alone) {
            None => name.clone(),
            Some(Family::Ipv4) => format!("{name}/ipv4"),
            Some(Family::Ipv6) => format!("{name}/ipv6"),
        }
    }

    /// In VRRP version 3, the family of the addresses.
    #[must_use]
    pub const fn family(&self) -> Option<Family> {
        self.family
    }

    /// The addresses, as adverts list them: a derived one first.
    #[must_use]
    pub fn addresses(&self) -> Vec<VirtualAddress> {
        let addresses = self.router.derived_address.iter().chain(&self.router.addresses);
        addresses.copied().filter(|address| self.concerns(address.family())).collect()
    }

    /// The virtual link-layer address of the router in this election.
    #[must_use]
    pub fn router_mac(&self) -> MacAddr {
        match self.family {
            Some(Family::Ipv6) => MacAddr::virtual_router_ipv6(self.router.id),
            Some(Family::Ipv4) | None => MacAddr::virtual_router(self.router.id),
        }
    }

    /// The source of adverts, if it is not the interface's own link-layer address.
    #[must_use]
    pub fn advert_mac(&self) -> Option<MacAddr> {
        match self.router.advert_mac {
            AdvertMac::Interface => None,
            AdvertMac::Virtual => Some(self.router_mac()),
            AdvertMac::Ucarp => Some(MacAddr::ucarp(self.router.id)),
        }
    }

    /// Where the addresses are while the router is active.
    #[must_use]
    pub fn place(&self) -> Place {
        let router = self.router;
        let place = match router.mac {
            Mac::Interface => Place::on(router.home()),
            Mac::Virtual => Place::virtual_on(&router.interface, self.router_mac()),
        };
        Place { owned: router.is_owner(), lease: router.timers.lease, ..place }
    }

    /// The configuration of the virtual router. `counter_seed` should be random: it is the first CARP
    /// counter, and what jitter is drawn from.
    ///
    /// # Errors
    /// None for a router of a [`Config`](super::Config), which was checked so; [`Unfit`] for one that
    /// was changed since.
    pub fn config(&self, counter_seed: u64) -> Result<RouterConfig, Unfit> {
        let router = self.router;
        let config = match &router.speech {
            ProtocolSpec::Carp(carp) => self.carp(carp, counter_seed)?,
            ProtocolSpec::Vrrp2(vrrp) => {
                RouterConfig::vrrp2(router.id, self.addresses(), version_2(vrrp))?
            }
            ProtocolSpec::Vrrp3(vrrp) => {
                RouterConfig::vrrp3(router.id, self.addresses(), version_3(vrrp)?)?
            }
        };
        let config = config
            .with_preempt(router.preempt)
            .with_preempt_delay(router.preempt_delay)
            .with_announce(router.announce)
            .with_seed(counter_seed);
        let config = match router.handover {
            Some(window) => config.with_handover(window),
            None => config,
        };
        self.with_senders(config)
    }

    fn carp(&self, spec: &CarpSpec, counter_seed: u64) -> Result<RouterConfig, Unfit> {
        let addresses = self.addresses();
        let advbase = AdvBase::new(spec.interval.advbase.into())?;
        let advskew = AdvSkew::new(spec.interval.advskew.into())?;
        let previous = spec.previous.as_ref();
        let previous =
            previous.map(|it| (previous_authenticator(self.router, spec), it.accept_for));
        let config = RouterConfig::carp(self.router.id, &spec.key.key, addresses, counter_seed)?
            .with_interval(spec.dialect, advbase, advskew)?;
        Ok(match previous {
            Some((authenticator, accept_for)) => config.with_previous(authenticator, accept_for)?,
            None => config,
        })
    }

    fn with_senders(&self, config: RouterConfig) -> Result<RouterConfig, Unfit> {
        let RouterSpec { peers, accept_from, min_ttl, .. } = self.router;
        let config = if peers.is_empty() { config } else { config.with_peers(self.own(peers))? };
        let config = if accept_from.is_empty() {
            config
        } else {
            config.with_accept_from(self.own(accept_from))?
        };
        Ok(config.with_min_ttl(*min_ttl)?)
    }

    /// Those of the senders that concern this election.
    pub(super) fn own(&self, senders: &[IpAddr]) -> Vec<IpAddr> {
        senders.iter().copied().filter(|ip| self.concerns(Family::of(*ip))).collect()
    }

    fn concerns(&self, family: Family) -> bool {
        self.family.is_none_or(|own| own == family)
    }
}

/// What follows from the settings; `Err` says why they do not fit together.
pub(super) fn timers(router: &RouterSpec) -> Result<Timers, Unfit> {
    let mut timers = Timers::default();
    for election in router.elections() {
        let config = election.config(0)?;
        timers = Timers {
            interval: config.standing().interval(),
            active_down: config.active_down(),
            handover: config.handover(),
            lease: lease::in_force(router, config.active_down()),
        };
    }
    Ok(timers)
}

/// What signs and verifies now.
pub(super) fn authenticator(router: &RouterSpec, carp: &CarpSpec) -> Authenticator {
    Authenticator::new(&carp.key.key, router.id, &router.addresses)
}

/// What was before a change: where only one half has changed, the other is the present one.
pub(super) fn previous_authenticator(router: &RouterSpec, carp: &CarpSpec) -> Authenticator {
    let previous = carp.previous.as_ref();
    let key = previous.and_then(|it| it.key.as_ref()).unwrap_or(&carp.key);
    let addresses = previous.and_then(|it| it.addresses.as_ref()).unwrap_or(&router.addresses);
    Authenticator::new(&key.key, router.id, addresses)
}

fn version_2(spec: &Vrrp2Spec) -> Vrrp2 {
    Vrrp2 {
        priority: spec.priority,
        interval: spec.interval,
        password: spec.password.as_ref().map(|password| password.key.clone()),
    }
}

fn version_3(spec: &Vrrp3Spec) -> Result<Vrrp3, HmacError> {
    Ok(Vrrp3 {
        priority: spec.priority,
        interval: spec.interval,
        checksum: spec.checksum,
        hmac: spec.hmac.as_ref().map(|hmac| signer(spec, hmac)).transpose()?,
    })
}

/// The window is keepalived's default.
fn signer(spec: &Vrrp3Spec, hmac: &HmacSpec) -> Result<HmacAuthenticator, HmacError> {
    let keys = hmac.keys().map(|key| key.key.clone()).collect();
    let window = Window::for_interval(spec.interval.advert());
    HmacAuthenticator::new(keys, hmac.signing.key.id(), hmac.mode, AntiReplay::Time(window))
}

/// Why settings do not make a virtual router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Unfit {
    /// The router's settings.
    #[error(transparent)]
    Router(#[from] carp_proto::ConfigError),
    /// Its interval.
    #[error(transparent)]
    Interval(#[from] IntervalError),
    /// Its keys.
    #[error(transparent)]
    Keys(#[from] HmacError),
}
