//! What the fuzzer makes up: a configuration and what happens to its router, as plain numbers.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::BytesMut;
use carp_proto::election::{AnnouncePlan, Dialect, Fault, Input, LinkState};
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::ip::{GROUP_IPV4, TTL};
use carp_proto::{
    AdvBase, AdvSkew, Authenticator, CarpInterval, Demotion, Key, RouterConfig, RxMeta,
    VirtualAddress, VirtualId,
};

const KEY: &[u8] = b"secret";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

/// A configuration, and what happens to its router.
#[derive(Arbitrary, Debug)]
pub struct Scenario {
    pub setup: Setup,
    pub steps: Vec<Step>,
}

/// A configuration. Times are in milliseconds.
#[derive(Arbitrary, Debug)]
pub struct Setup {
    dialect: Implementation,
    advbase: u8,
    advskew: u8,
    preempt: bool,
    burst: u8,
    repeat: [Option<u16>; 4],
    refresh: Option<u16>,
    handover: Option<u16>,
    prepare: Option<u16>,
    counter_seed: u64,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Implementation {
    Native,
    OpenBsd,
    FreeBsd,
    Ucarp,
}

/// Something that happens.
#[derive(Arbitrary, Debug)]
pub enum Step {
    /// An advert with the router's key comes from a host.
    Signed { host: Host, claim: Claim },
    /// Such an advert comes after one of its bits has changed.
    Damaged { host: Host, claim: Claim, byte: u8, bit: u8 },
    /// Any bytes come.
    Raw { host: Host, to_group: bool, ttl: u8, payload: Vec<u8> },
    /// Anything else.
    Input(Happening),
    /// Milliseconds pass, and nobody looks at the deadline.
    Wait(u16),
    /// Milliseconds pass, many of them.
    Sleep(u32),
    /// The deadline comes, and the router is told.
    Deadline,
}

/// A host on the link. There are few, so that the same one comes again, and some are the router itself.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Host(u8);

/// What an advert says.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub struct Claim {
    advbase: u8,
    advskew: u8,
    demotion: u8,
    counter: u64,
}

/// [`Input`], made up.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Happening {
    Start,
    Stop,
    Timeout,
    Yield,
    Demotion(u8),
    LinkUp(Host),
    LinkDown,
    NoAddress,
    Prepared,
    Refused,
    Acquired,
    AddressLost,
    AnnouncementHeard,
    AcquireFault(i32),
    AcquireTimeout,
    ReleaseFault(i32),
    AddressLostFault,
    RefusedFault,
    PrepareTimeout,
}

impl Setup {
    /// The configuration; `None` if it is not valid.
    pub fn config(&self) -> Option<RouterConfig> {
        let dialect = match self.dialect {
            Implementation::Native => Dialect::Native,
            Implementation::OpenBsd => Dialect::OpenBsd,
            Implementation::FreeBsd => Dialect::FreeBsd,
            Implementation::Ucarp => Dialect::Ucarp,
        };
        let millis = |millis: u16| Duration::from_millis(millis.into());
        let mut config = RouterConfig::carp(id()?, &key()?, vec![address()?], self.counter_seed)
            .and_then(|config| {
                let advbase = AdvBase::new(self.advbase.into())?;
                let advskew = AdvSkew::new(self.advskew.into())?;
                config.with_interval(dialect, advbase, advskew)
            })
            .ok()?
            .with_preempt(self.preempt)
            .with_announce(AnnouncePlan {
                burst: self.burst,
                repeat: self.repeat.map(|after| after.map(millis)),
                refresh: self.refresh.map(millis),
            });
        if let Some(window) = self.handover {
            config = config.with_handover(millis(window));
        }
        if let Some(limit) = self.prepare {
            config = config.with_prepare(millis(limit));
        }
        Some(config)
    }
}

/// The state that signs as every member of the router does.
pub fn authenticator() -> Option<Authenticator> {
    Some(Authenticator::new(&key()?, id()?, &[address()?]))
}

fn id() -> Option<VirtualId> {
    VirtualId::new(42).ok()
}

fn key() -> Option<Key> {
    Key::new(KEY).ok()
}

fn address() -> Option<VirtualAddress> {
    VirtualAddress::new(ADDRESS.into(), None).ok()
}

impl Claim {
    /// The bytes of the advert, signed.
    pub fn sign(self, authenticator: &Authenticator) -> BytesMut {
        let advert = Advert {
            vhid: 42,
            interval: CarpInterval { advbase: self.advbase, advskew: self.advskew },
            demotion: self.demotion,
            counter: self.counter,
            digest: authenticator.digest(self.counter),
        };
        let mut payload = BytesMut::new();
        carp::emit(&advert, &mut payload);
        payload
    }
}

impl Host {
    /// Its address.
    pub fn address(self) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, self.0 % 8).into()
    }

    /// What comes with an advert of this host.
    pub fn advertises(self) -> RxMeta {
        RxMeta { source: self.address(), destination: GROUP_IPV4.into(), ttl: TTL }
    }
}

impl Happening {
    /// The input.
    pub fn input(self) -> Input {
        match self {
            Self::Start => Input::Start,
            Self::Stop => Input::Stop,
            Self::Timeout => Input::Timeout,
            Self::Yield => Input::Yield,
            Self::Demotion(points) => Input::Demotion(Demotion::clamped(points.into())),
            Self::LinkUp(host) => Input::Link(LinkState::Up { source: host.address() }),
            Self::LinkDown => Input::Link(LinkState::Down),
            Self::NoAddress => Input::Link(LinkState::NoAddress),
            Self::Prepared => Input::Prepared,
            Self::Refused => Input::Refused,
            Self::Acquired => Input::Acquired,
            Self::AddressLost => Input::AddressLost,
            Self::AnnouncementHeard => Input::AnnouncementHeard,
            Self::AcquireFault(code) => Input::Fault(Fault::Acquire { code }),
            Self::AcquireTimeout => Input::Fault(Fault::AcquireTimeout),
            Self::ReleaseFault(code) => Input::Fault(Fault::Release { code }),
            Self::AddressLostFault => Input::Fault(Fault::AddressLost),
            Self::RefusedFault => Input::Fault(Fault::Refused),
            Self::PrepareTimeout => Input::Fault(Fault::PrepareTimeout),
        }
    }
}
