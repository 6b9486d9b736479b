//! The words of scenarios: what a router is, what happens to it, and what it does.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use carp_proto::auth::Password;
use carp_proto::election::{AnnouncePlan, Dialect, Event, Fault, Input, LinkState};
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::ip::{GROUP_IPV4, GROUP_IPV6};
use carp_proto::wire::vrrp::v3::{self, Carrier};
use carp_proto::wire::vrrp::{AddressList, Authentication, ChecksumForm, v2};
use carp_proto::wire::{Kind, classify};
use carp_proto::{
    AdvBase, AdvSkew, Authenticator, CarpInterval, Centiseconds, Demotion, Key, Priority, Protocol,
    RouterConfig, RxMeta, Seconds, Transmit, VirtualAddress, VirtualId, Vrrp2, Vrrp3,
};

use crate::read::{shown, time};
use crate::support::Effect;

/// Something that happens to a router.
pub(crate) enum Happening {
    Input(Input),
    LinkUp,
    Datagram(RxMeta, Vec<u8>),
}

/// What a line may say of an advert that is sent, read as its receivers do.
#[derive(Debug)]
pub(crate) struct Sent {
    from: IpAddr,
    to: IpAddr,
    id: u8,
    /// What only VRRP has in words of its own: CARP's interval is its rank, and its addresses are in the digest.
    vrrp: Option<(Duration, Vec<IpAddr>)>,
}

impl Sent {
    pub(crate) fn read(transmit: &Transmit<'_>) -> Self {
        let Transmit { source: from, destination: to, payload, .. } = *transmit;
        let (id, vrrp) = match classify(payload) {
            Kind::Carp => (carp::parse(payload).unwrap().advert.vhid, None),
            Kind::Vrrp2 => {
                let v2::Advert { vrid, interval, addresses, .. } =
                    v2::parse(payload).unwrap().advert;
                (vrid, Some((interval.advert(), addresses.iter().collect())))
            }
            Kind::Vrrp3 => {
                let meta = RxMeta { source: from, destination: to, ttl: 255 };
                let v3::Advert { vrid, interval, addresses, .. } =
                    v3::parse(&meta, payload).unwrap().advert;
                (vrid, Some((interval.advert(), addresses.iter().collect())))
            }
            Kind::Unknown => panic!("{payload:?} is no advert"),
        };
        Self { from, to, id, vrrp }
    }

    /// One of the words, as a line has it; `None` if this advert has none of that name.
    fn word(&self, key: &str) -> Option<String> {
        match (key, &self.vrrp) {
            ("from", _) => Some(self.from.to_string()),
            ("to", _) => Some(self.to.to_string()),
            ("id", _) => Some(self.id.to_string()),
            ("interval", Some((interval, _))) => Some(shown(*interval)),
            ("addresses", Some((_, addresses))) => {
                Some(addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(","))
            }
            _ => None,
        }
    }
}

/// The keys that a line of output asks for, if it is of an advert: those after its rank and CARP's demotion.
pub(crate) fn asked(words: &str) -> Option<Vec<String>> {
    let words: Vec<_> = words.split_whitespace().collect();
    let pairs = match words[..] {
        ["advert", _, "demotion", _, ref pairs @ ..]
        | ["advert", _, ref pairs @ ..]
        | ["resign", ref pairs @ ..] => pairs,
        _ => return None,
    };
    Some(pairs.iter().step_by(2).map(|key| (*key).to_owned()).collect())
}

/// A router as the line `router` tells of it: `NAME PROTOCOL KEY VALUE KEY VALUE …`.
pub(crate) struct Member {
    protocol: Protocol,
    words: BTreeMap<String, String>,
    pub(crate) host: IpAddr,
}

impl Member {
    pub(crate) fn read(words: &[String]) -> Self {
        let [_, protocol, pairs @ ..] = words else { panic!("{words:?} is no router") };
        let words = pairs_of(pairs.iter().map(String::as_str));
        let host = words["host"].parse().unwrap();
        Self { protocol: protocol.parse().unwrap(), words, host }
    }

    fn word(&self, key: &str) -> Option<&str> {
        self.words.get(key).map(String::as_str)
    }

    fn number(&self, key: &str, default: u8) -> u8 {
        self.word(key).map_or(default, |text| text.parse().unwrap())
    }

    fn interval(&self) -> Duration {
        self.word("interval").map_or(Duration::from_secs(1), time)
    }

    pub(crate) fn config(&self) -> RouterConfig {
        let id = VirtualId::new(self.number("id", 1)).unwrap();
        let addresses = addresses(&self.words["addresses"]);
        let priority = Priority::from_wire(self.number("priority", 100));
        let config = match self.protocol {
            Protocol::Carp => {
                let dialect: Dialect = self.word("dialect").unwrap_or("native").parse().unwrap();
                let base = AdvBase::new(self.number("advbase", 1).into()).unwrap();
                let skew = AdvSkew::new(self.number("advskew", 0).into()).unwrap();
                // Routers with one cookie would take each other's adverts for their own.
                let seed = match self.host {
                    IpAddr::V4(ip) => u64::from(ip.to_bits()),
                    IpAddr::V6(ip) => ip.to_bits().try_into().unwrap_or(u64::from(ip.octets()[15])),
                };
                let config = RouterConfig::carp(id, &self.key(), addresses, seed).unwrap();
                config.with_interval(dialect, base, skew).unwrap()
            }
            Protocol::Vrrp2 => {
                let interval = Seconds::try_from(self.interval()).unwrap();
                let password = self.password();
                let settings = Vrrp2 { priority, interval, password };
                RouterConfig::vrrp2(id, addresses, settings).unwrap()
            }
            Protocol::Vrrp3 => {
                let interval = Centiseconds::try_from(self.interval()).unwrap();
                let settings = Vrrp3 { priority, interval, ..Vrrp3::default() };
                RouterConfig::vrrp3(id, addresses, settings).unwrap()
            }
        };
        self.settings(config)
    }

    fn settings(&self, mut config: RouterConfig) -> RouterConfig {
        // What is announced without a reason would hide what happens.
        config = config.with_announce(AnnouncePlan { burst: 1, repeat: [None; 4], refresh: None });
        if let Some(preempt) = self.word("preempt") {
            config = config.with_preempt(preempt == "yes");
        }
        if let Some(delay) = self.word("preempt-delay") {
            config = config.with_preempt_delay(time(delay));
        }
        if let Some(limit) = self.word("prepare") {
            config = config.with_prepare(time(limit));
        }
        if let Some(peers) = self.word("peers") {
            let peers = peers.split(',').map(|ip| ip.parse().unwrap()).collect();
            config = config.with_peers(peers).unwrap();
        }
        config
    }

    fn key(&self) -> Key {
        Key::new(self.word("key").unwrap_or("secret").as_bytes()).unwrap()
    }

    fn password(&self) -> Option<Password> {
        self.word("password").map(|text| Password::new(text.as_bytes()).unwrap())
    }

    /// What happens, from its words.
    pub(crate) fn happening(&self, words: &str) -> Happening {
        Happening::Input(match words.split_whitespace().collect::<Vec<_>>()[..] {
            ["start"] => Input::Start,
            ["stop"] => Input::Stop,
            ["yield"] => Input::Yield,
            ["step", "down"] => Input::StepDown,
            ["permitted"] => Input::Permit(true),
            ["not", "permitted"] => Input::Permit(false),
            ["demotion", points] => Input::Demotion(Demotion::clamped(points.parse().unwrap())),
            ["link", "up"] => return Happening::LinkUp,
            ["link", "down"] => Input::Link(LinkState::Down),
            ["no", "address"] => Input::Link(LinkState::NoAddress),
            ["prepared"] => Input::Prepared,
            ["refused"] => Input::Refused,
            ["acquired"] => Input::Acquired,
            ["acquire", "fails"] => Input::Fault(Fault::Acquire { code: 1 }),
            ["address", "lost"] => Input::AddressLost,
            ["address", "expired"] => Input::AddressExpired,
            ["announcement"] => Input::AnnouncementHeard,
            ["address", "in", "use"] => Input::AddressInUse,
            ["advert", rank, ref pairs @ ..] => {
                return self.advert(rank, &pairs_of(pairs.iter().copied()));
            }
            ["bytes", hex, ref pairs @ ..] => {
                let meta = self.meta(&pairs_of(pairs.iter().copied()));
                return Happening::Datagram(meta, bytes_of(hex));
            }
            _ => panic!("nobody knows what {words:?} is"),
        })
    }

    /// `advert 1/0 from 10.0.0.9` for CARP, `advert 100 from 10.0.0.9` for VRRP, and what differs from a good one.
    fn advert(&self, rank: &str, words: &BTreeMap<String, String>) -> Happening {
        let (own, meta) = (self, self.meta(words));
        let word = |key: &str| words.get(key).map(String::as_str).or_else(|| own.word(key));
        let id = VirtualId::new(word("id").map_or(1, |id| id.parse().unwrap())).unwrap();
        let list = addresses(word("addresses").unwrap());
        let interval = word("interval").map_or(Duration::from_secs(1), time);
        let mut message = Vec::new();
        if self.protocol == Protocol::Carp {
            let (advbase, advskew) = rank.split_once('/').unwrap();
            let (advbase, advskew) = (advbase.parse().unwrap(), advskew.parse().unwrap());
            let key = Key::new(word("key").unwrap_or("secret").as_bytes()).unwrap();
            let counter = words.get("counter").map_or(1, |counter| counter.parse().unwrap());
            let digest = Authenticator::new(&key, id, &list).digest(counter);
            let demotion = words.get("demotion").map_or(0, |points| points.parse().unwrap());
            let (vhid, interval) = (id.get(), CarpInterval { advbase, advskew });
            carp::emit(&Advert { vhid, interval, demotion, counter, digest }, &mut message);
        } else {
            let priority = Priority::from_wire(rank.parse().unwrap());
            let list = AddressList::new(&list).unwrap();
            match (self.protocol, &list) {
                (Protocol::Vrrp2, AddressList::Ipv4(addresses)) => {
                    let interval = Seconds::try_from(interval).unwrap();
                    let password =
                        word("password").map(|text| Password::new(text.as_bytes()).unwrap());
                    let authentication =
                        password.as_ref().map_or(Authentication::None, Authentication::Password);
                    let advert = v2::Outgoing { id, priority, interval, addresses, authentication };
                    v2::emit(&advert, &mut message);
                }
                (_, list) => {
                    let interval = Centiseconds::try_from(interval).unwrap();
                    let form = ChecksumForm::PseudoHeader;
                    let carrier = Carrier::new(list, meta.source, meta.destination, form).unwrap();
                    v3::emit(&v3::Outgoing { id, priority, interval, carrier }, &mut message);
                }
            }
        }
        Happening::Datagram(meta, message)
    }

    /// `from IP`, and if it differs `to IP` and `ttl NUMBER`.
    fn meta(&self, words: &BTreeMap<String, String>) -> RxMeta {
        let source: IpAddr = words["from"].parse().unwrap();
        let group = if source.is_ipv4() { GROUP_IPV4.into() } else { GROUP_IPV6.into() };
        let to = if self.word("peers").is_some() { self.host } else { group };
        let destination = words.get("to").map_or(to, |to| to.parse().unwrap());
        let ttl = words.get("ttl").map_or(255, |ttl| ttl.parse().unwrap());
        RxMeta { source, destination, ttl }
    }

    /// What a line says of an advert beyond its rank: what it asks for. Where there are peers it has to say to whom
    /// the advert goes.
    pub(crate) fn of_advert(&self, sent: &Sent, asked: &[String]) -> String {
        let to = "to".to_owned();
        let forgotten = self.word("peers").is_some() && !asked.contains(&to);
        let keys = forgotten.then_some(&to).into_iter().chain(asked);
        let known = keys.filter_map(|key| sent.word(key).map(|value| format!(" {key} {value}")));
        known.collect()
    }

    /// What it does, in words.
    pub(crate) fn effect(&self, effect: &Effect) -> String {
        match effect {
            Effect::Claim(base, skew, 0) => format!("advert {base}/{skew}"),
            Effect::Claim(base, skew, demotion) => {
                format!("advert {base}/{skew} demotion {demotion}")
            }
            Effect::Priority(priority) => format!("advert {priority}"),
            Effect::Resign => "resign".to_owned(),
            Effect::Prepare => "prepare".to_owned(),
            Effect::Acquire => "acquire".to_owned(),
            Effect::Announce => "announce".to_owned(),
            Effect::Release => "release".to_owned(),
            Effect::State(from, to, cause) => format!("event {from} to {to}: {cause}"),
            Effect::Event(Event::Rival { source }) => format!("event rival {source}"),
            Effect::Event(Event::AddressLost) => "event address lost".to_owned(),
            Effect::Event(Event::AddressExpired) => "event address expired".to_owned(),
            Effect::Event(Event::YieldUnanswered) => "event yield unanswered".to_owned(),
            Effect::Event(event) => panic!("{event:?} has no words"),
        }
    }
}

fn pairs_of<'a>(words: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let words: Vec<_> = words.map(str::to_owned).collect();
    let (pairs, rest) = words.as_chunks::<2>();
    assert!(rest.is_empty(), "{words:?} are not pairs of a key and a value");
    pairs.iter().map(|[key, value]| (key.clone(), value.clone())).collect()
}

fn addresses(list: &str) -> Vec<VirtualAddress> {
    list.split(',').map(|text| text.parse().unwrap()).collect()
}

/// Hexadecimal, with repetitions as in `00*8`.
fn bytes_of(text: &str) -> Vec<u8> {
    let part = |part: &str| {
        let (digits, times) = part.split_once('*').unwrap_or((part, "1"));
        let bytes: Vec<u8> = (0..digits.len() / 2)
            .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
            .collect();
        bytes.repeat(times.parse().unwrap())
    };
    text.split('.').flat_map(part).collect()
}

/// So that times are written in one way only.
#[test]
fn times_read_back() {
    for text in ["0s", "3.1s", "3.609375s", "60s"] {
        assert_eq!(shown(time(text)), text);
    }
}
