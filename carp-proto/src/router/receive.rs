//! From a datagram to a claim: validation, protocol by protocol.

use core::net::IpAddr;

use super::VirtualRouter;
use super::speech::{Carp, Speech};
use crate::auth::Authenticator;
use crate::election::{Claim, CounterRule, DemotionEffect, LinkState, Standing};
use crate::id::{Demotion, Family};
use crate::reject::Reject;
use crate::snapshot::Remarks;
use crate::time::Instant;
use crate::wire::carp::{self, Advert};
use crate::wire::ip::RxMeta;
use crate::wire::vrrp::{Addresses, ChecksumForm, Expectations, Valid, Version, validate};

/// What validation found; nothing else makes one.
pub(super) struct Heard {
    pub(super) claim: Claim,
    pub(super) standing: Standing,
    pub(super) remarks: Remarks,
    /// CARP's counter.
    pub(super) counter: Option<u64>,
    /// The form of the checksum in VRRP version 3, if the advert shows it.
    pub(super) checksum: Option<ChecksumForm>,
}

impl VirtualRouter {
    pub(super) fn validate(
        &mut self,
        now: Instant,
        meta: &RxMeta,
        payload: &[u8],
    ) -> Result<Heard, Reject> {
        match &self.config.speech {
            Speech::Carp(carp) => self.validate_carp(carp, now, meta, payload),
            Speech::Vrrp2 { list, settings } => {
                let (interval, authentication) = (settings.interval, settings.authentication());
                let version = Version::V2 { interval, authentication };
                let valid = validate(meta, payload, &self.expectations(version))?;
                Ok(heard(meta, &valid, list.addresses()))
            }
            Speech::Vrrp3 { list, .. } => {
                if list.addresses().family() != Family::of(meta.destination) {
                    return Err(Reject::MalformedIp);
                }
                let version = Version::V3 { trailer: self.hmac.is_some() };
                let valid = validate(meta, payload, &self.expectations(version))?;
                let since_epoch = self.time_of_day.at(now);
                if let Some(hmac) = &mut self.hmac {
                    let verdict = hmac.verify(since_epoch, meta.source, valid.signed());
                    self.last_verdict = Some(verdict);
                    hmac.mode().decide(verdict)?;
                }
                Ok(heard(meta, &valid, list.addresses()))
            }
        }
    }

    fn expectations<'a>(&'a self, version: Version<'a>) -> Expectations<'a> {
        Expectations {
            id: self.config.id,
            version,
            min_ttl: self.config.min_ttl,
            senders: self.config.senders(),
            own_source: match self.machine.link() {
                LinkState::Up { source } => Some(source),
                LinkState::Down | LinkState::NoAddress => None,
            },
        }
    }

    fn validate_carp(
        &self,
        carp: &Carp,
        now: Instant,
        meta: &RxMeta,
        payload: &[u8],
    ) -> Result<Heard, Reject> {
        if Family::of(meta.source) != Family::of(meta.destination) {
            return Err(Reject::MalformedIp);
        }
        let parsed = carp::parse(payload)?;
        let advert = parsed.advert;
        if advert.vhid != self.config.id.get() {
            return Err(Reject::UnknownId { found: advert.vhid });
        }
        if meta.ttl < self.config.min_ttl {
            return Err(Reject::BadTtl { found: meta.ttl, expected: self.config.min_ttl });
        }
        let spoken = |to: &IpAddr| Family::of(*to) == Family::of(meta.destination);
        if !self.config.senders().include(meta) || !self.config.destinations.iter().any(spoken) {
            return Err(Reject::UnknownPeer { from: meta.source });
        }
        if !parsed.checksum_ok {
            return Err(Reject::BadChecksum);
        }
        let policy = carp.dialect.policy();
        let own_cookie = policy.counter == CounterRule::Cookie && advert.counter == self.counter;
        let own_source = self.machine.link() == (LinkState::Up { source: meta.source })
            || self.other_source == Some(meta.source);
        if own_source || own_cookie {
            return Err(Reject::OwnLoop);
        }
        if advert.interval.is_zero() && !policy.zero_base {
            return Err(Reject::BadInterval);
        }
        if !self.verifies(carp, now, &advert) {
            return Err(Reject::BadAuthentication);
        }
        let demotion = match policy.demotion {
            DemotionEffect::Byte => Demotion::clamped(advert.demotion.into()),
            DemotionEffect::Skew | DemotionEffect::Priority => Demotion::NONE,
        };
        let standing = Standing::Carp(advert.interval);
        Ok(Heard {
            claim: claim(meta.source, standing, demotion),
            standing,
            remarks: Remarks::default(),
            counter: Some(advert.counter),
            checksum: None,
        })
    }

    fn verifies(&self, carp: &Carp, now: Instant, advert: &Advert) -> bool {
        let fits =
            |authenticator: &Authenticator| authenticator.verify(advert.counter, &advert.digest);
        let age = now.saturating_since(self.began_at.unwrap_or(now));
        fits(&carp.authenticator)
            || carp.previous.iter().any(|(previous, limit)| age < *limit && fits(previous))
    }
}

fn heard(meta: &RxMeta, valid: &Valid<'_>, ours: Addresses<'_>) -> Heard {
    let standing = Standing::Vrrp { priority: valid.priority(), interval: valid.interval() };
    Heard {
        claim: claim(meta.source, standing, Demotion::NONE),
        standing,
        remarks: Remarks {
            lacks_link_local: valid.lacks_link_local(),
            other_addresses: !same_addresses(ours, valid.addresses()),
        },
        counter: None,
        checksum: valid.checksum_form(),
    }
}

fn claim(source: IpAddr, standing: Standing, demotion: Demotion) -> Claim {
    Claim {
        rank: standing.rank(demotion),
        demotion,
        interval: standing.interval(),
        source,
        resigning: standing.is_resignation(),
    }
}

/// Whether two lists have the same addresses, in whatever order. Link-local ones are not compared: some
/// peers leave them out, and others have one of their own.
fn same_addresses(ours: Addresses<'_>, theirs: Addresses<'_>) -> bool {
    let routable = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let includes = |list: Addresses<'_>, ip: IpAddr| list.iter().any(|other| other == ip);
    ours.as_bytes() == theirs.as_bytes()
        || (ours.iter().filter(routable).all(|ip| includes(theirs, ip))
            && theirs.iter().filter(routable).all(|ip| includes(ours, ip)))
}
