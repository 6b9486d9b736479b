//! One speaker, as its adverts show it.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use carp_proto::wire::vrrp::trailer::EXTENSION_SHA256;
use carp_proto::wire::vrrp::v2::AuthType;
use carp_proto::wire::vrrp::v3::Checksum;
use carp_proto::wire::vrrp::{Addresses, ChecksumForm};
use carp_proto::{CarpInterval, MacAddr, Priority, Protocol, VirtualId};

use super::dialect::{self, Guess};
use crate::capture::Timestamp;
use crate::dissect::{Dissected, Message, Service, Verifier};

/// What tells speakers apart. One host that speaks for two ids is two speakers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    vlan: Option<u16>,
    id: u8,
    protocol: Protocol,
    source: IpAddr,
}

/// Somebody who says to be active for an id.
#[derive(Clone, Debug)]
pub struct Speaker {
    /// The VLAN whose tag the adverts have, if they have one.
    pub vlan: Option<u16>,
    /// The protocol.
    pub protocol: Protocol,
    /// The VHID or VRID; 0 names no router and can be heard all the same.
    pub id: u8,
    /// Its address.
    pub source: IpAddr,
    /// The link-layer address of its last advert.
    pub mac: Option<MacAddr>,
    /// Where its last advert was sent to.
    pub destination: IpAddr,
    /// The least TTL or hop limit of its adverts.
    pub ttl: u8,
    /// What it claims.
    pub rank: Rank,
    /// Whether its last advert was a resignation.
    pub resigned: bool,
    /// The time between two adverts, as it says; of CARP without its demotion byte.
    pub interval: Duration,
    /// The virtual addresses: those that VRRP lists, or those that were announced from CARP's virtual
    /// MAC.
    pub addresses: Vec<IpAddr>,
    /// How its last advert is authenticated.
    pub proof: Proof,
    /// How many adverts were heard.
    pub adverts: u64,
    /// Which implementation it may be.
    pub guesses: Vec<Guess>,
    pub(super) traces: Traces,
}

/// What a speaker claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rank {
    /// CARP: the smaller interval is the better.
    Carp {
        /// advbase and advskew.
        interval: CarpInterval,
        /// OpenBSD's demotion.
        demotion: u8,
    },
    /// VRRP: the higher is the better.
    Vrrp(Priority),
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Carp { interval, demotion: 0 } => interval.fmt(f),
            Self::Carp { interval, demotion } => write!(f, "{interval} demoted {demotion}"),
            Self::Vrrp(priority) if priority.is_owner() => write!(f, "priority {priority} (owner)"),
            Self::Vrrp(priority) => write!(f, "priority {priority}"),
        }
    }
}

/// How an advert is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Proof {
    /// VRRP without authentication.
    None,
    /// CARP's digest, which fits the key and the addresses that were given.
    DigestOk,
    /// CARP's digest, which does not fit them.
    DigestBad,
    /// CARP's digest, and nothing to check it with.
    DigestUnchecked,
    /// VRRP version 2 with a password that everybody can read.
    Password,
    /// VRRP version 2 inside an IP authentication header, not checked.
    Header,
    /// VRRP version 3 with keepalived's signature, not checked.
    Hmac {
        /// Which key it says to be made with.
        key: u8,
    },
    /// A type that is not known.
    Unknown,
}

impl Proof {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::DigestOk => "ok",
            Self::DigestBad => "bad",
            Self::DigestUnchecked => "unchecked",
            Self::Password => "password",
            Self::Header => "ah",
            Self::Hmac { .. } => "hmac",
            Self::Unknown => "unknown",
        }
    }

    /// The key that a signature says to be made with.
    #[must_use]
    pub const fn key_id(self) -> Option<u8> {
        match self {
            Self::Hmac { key } => Some(key),
            Self::None
            | Self::DigestOk
            | Self::DigestBad
            | Self::DigestUnchecked
            | Self::Password
            | Self::Header
            | Self::Unknown => None,
        }
    }
}

/// What the adverts show beside their fields: implementations differ in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traces {
    pub(super) service: Option<Service>,
    pub(super) form: Option<ChecksumForm>,
    pub(super) lacks_link_local: bool,
    counter: u64,
    /// Whether the counter of CARP was the same in all adverts.
    pub(super) constant_counter: bool,
    /// Numbers of adverts of the link: the first since it was silent for as long as a backup would wait,
    /// the one before its last, and its last.
    first: u64,
    last_but_one: Option<u64>,
    last: u64,
    last_at: Duration,
}

/// One advert, without the differences between the protocols.
#[derive(Debug)]
pub(super) struct Advert<'a> {
    found: &'a Dissected<'a>,
    name: Name,
    destination: IpAddr,
    ttl: u8,
    rank: Rank,
    interval: Duration,
    addresses: Option<Addresses<'a>>,
    proof: Proof,
    counter: u64,
    form: Option<ChecksumForm>,
}

impl<'a> Advert<'a> {
    /// `None` for what cannot be read.
    pub(super) fn read(found: &'a Dissected<'a>, verifier: Option<&mut Verifier>) -> Option<Self> {
        let meta = found.meta?;
        let named =
            |id, protocol| Name { vlan: found.link.vlan, id, protocol, source: meta.source };
        let advert = |name, rank, interval, proof| Self {
            found,
            name,
            destination: meta.destination,
            ttl: meta.ttl,
            rank,
            interval,
            addresses: None,
            proof,
            counter: 0,
            form: None,
        };
        match &found.message {
            Message::Carp(parsed) => {
                let carp = &parsed.advert;
                let proof = match verifier.map(|verifier| verifier.verify(carp)) {
                    Some(true) => Proof::DigestOk,
                    Some(false) => Proof::DigestBad,
                    None => Proof::DigestUnchecked,
                };
                let rank = Rank::Carp { interval: carp.interval, demotion: carp.demotion };
                let name = named(carp.vhid, Protocol::Carp);
                let advert = advert(name, rank, carp.interval.advert(), proof);
                Some(Self { counter: carp.counter, ..advert })
            }
            Message::Vrrp2(parsed) => {
                let vrrp = &parsed.advert;
                let proof = match vrrp.auth_type {
                    AuthType::None => Proof::None,
                    AuthType::Password => Proof::Password,
                    AuthType::Header => Proof::Header,
                    AuthType::Unknown(_) => Proof::Unknown,
                };
                let (name, rank) = (named(vrrp.vrid, Protocol::Vrrp2), Rank::Vrrp(vrrp.priority));
                let advert = advert(name, rank, vrrp.interval.advert(), proof);
                Some(Self { addresses: Some(vrrp.addresses), ..advert })
            }
            Message::Vrrp3(vrrp) => {
                let proof = match vrrp.signed.map(|signed| signed.trailer) {
                    None => Proof::None,
                    Some(trailer) if trailer.extension == EXTENSION_SHA256 => {
                        Proof::Hmac { key: trailer.key_id }
                    }
                    Some(_) => Proof::Unknown,
                };
                let form = vrrp.checksum.and_then(Checksum::form);
                let vrrp = &vrrp.advert;
                let (name, rank) = (named(vrrp.vrid, Protocol::Vrrp3), Rank::Vrrp(vrrp.priority));
                let advert = advert(name, rank, vrrp.interval.advert(), proof);
                Some(Self { addresses: Some(vrrp.addresses), form, ..advert })
            }
            Message::Unreadable { .. } => None,
        }
    }

    pub(super) const fn name(&self) -> Name {
        self.name
    }

    fn resigns(&self) -> bool {
        match self.rank {
            Rank::Carp { interval, .. } => interval.is_resignation(),
            Rank::Vrrp(priority) => priority.is_resignation(),
        }
    }

    fn lacks_link_local(&self) -> bool {
        match self.addresses.and_then(Addresses::first) {
            Some(IpAddr::V6(first)) => !first.is_unicast_link_local(),
            Some(IpAddr::V4(_)) | None => false,
        }
    }
}

impl Speaker {
    pub(super) fn new(advert: &Advert<'_>, time: Option<Timestamp>, number: u64) -> Self {
        let Name { vlan, id, protocol, source } = advert.name;
        let traces = Traces {
            service: None,
            form: None,
            lacks_link_local: false,
            counter: advert.counter,
            constant_counter: true,
            first: number,
            last_but_one: None,
            last: number,
            last_at: Duration::ZERO,
        };
        let mut speaker = Self {
            vlan,
            protocol,
            id,
            source,
            mac: None,
            destination: advert.destination,
            ttl: advert.ttl,
            rank: advert.rank,
            resigned: false,
            interval: advert.interval,
            addresses: Vec::new(),
            proof: advert.proof,
            adverts: 0,
            guesses: Vec::new(),
            traces,
        };
        speaker.hear(advert, time, number);
        speaker
    }

    /// Takes in one more advert.
    pub(super) fn hear(&mut self, advert: &Advert<'_>, time: Option<Timestamp>, number: u64) {
        let was_resigned = self.resigned;
        self.resigned = advert.resigns();
        let at = time.map_or(Duration::ZERO, Timestamp::since_epoch);
        let was_silent = at.saturating_sub(self.traces.last_at) >= self.interval * 3;
        // The rank that it had says more than that it resigned.
        if !self.resigned || self.adverts == 0 {
            (self.rank, self.interval) = (advert.rank, advert.interval);
        }
        self.mac = advert.found.link.sender;
        self.destination = advert.destination;
        self.ttl = self.ttl.min(advert.ttl);
        self.proof = advert.proof;
        if let Some(addresses) = advert.addresses {
            self.addresses.clear();
            self.addresses.extend(addresses);
        }
        let traces = &mut self.traces;
        traces.service = advert.found.service;
        traces.form = advert.form;
        traces.lacks_link_local = advert.lacks_link_local();
        traces.constant_counter &= advert.counter == traces.counter;
        if was_resigned || was_silent {
            (traces.first, traces.last_but_one) = (number, None);
        } else if self.adverts > 0 {
            traces.last_but_one = Some(traces.last);
        }
        (traces.last, traces.last_at) = (number, at);
        self.adverts += 1;
    }

    /// With what can be said of it only at the end.
    pub(super) fn told(&self, announced: &BTreeSet<(Option<u16>, VirtualId, Ipv4Addr)>) -> Self {
        let mut told = self.clone();
        told.guesses = dialect::guesses(self);
        if self.protocol == Protocol::Carp {
            let ours = |(vlan, id, _): &&(Option<u16>, VirtualId, Ipv4Addr)| {
                (*vlan, id.get()) == (self.vlan, self.id)
            };
            let addresses = announced.iter().filter(ours);
            told.addresses = addresses.map(|(_, _, address)| (*address).into()).collect();
        }
        told
    }

    /// Whether both were active at the same time when they were last heard: each was heard twice since
    /// the other began, and neither has been silent for as long as a backup would wait. In a takeover
    /// the loser may speak once more; and after a death the successor waits for three intervals.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let twice_since = |one: &Self, other: &Self| {
            one.traces.last_but_one.is_some_and(|number| number > other.traces.first)
        };
        let silent = |one: &Self, other: &Self| {
            other.traces.last_at.saturating_sub(one.traces.last_at) >= one.interval * 3
        };
        self.source != other.source
            && !self.resigned
            && !other.resigned
            && twice_since(self, other)
            && twice_since(other, self)
            && !silent(self, other)
            && !silent(other, self)
    }
}
