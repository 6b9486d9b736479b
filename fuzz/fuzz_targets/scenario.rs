//! What the fuzzer makes up: a configuration and what happens to its router, as plain numbers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use arbitrary::Arbitrary;
use bytes::BytesMut;
use carp_proto::election::{AnnouncePlan, Bar, Dialect, Fault, Input, LinkState};
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::ip::{GROUP_IPV4, GROUP_IPV6, TTL};
use carp_proto::wire::vrrp::v3::{self, Carrier};
use carp_proto::wire::vrrp::{AddressList, Authentication, ChecksumForm, v2};
use carp_proto::{
    AdvBase, AdvSkew, Authenticator, CarpInterval, Centiseconds, Demotion, Key, Priority,
    RouterConfig, RxMeta, Seconds, VirtualAddress, VirtualId, Vrrp2, Vrrp3,
};

const KEY: &[u8] = b"secret";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100);
const GLOBAL: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);

/// A configuration, and what happens to its router.
#[derive(Arbitrary, Debug)]
pub struct Scenario {
    pub setup: Setup,
    pub steps: Vec<Step>,
}

/// A configuration. Times are in milliseconds.
#[derive(Arbitrary, Debug)]
pub struct Setup {
    protocol: Speaks,
    priority: u8,
    interval: u16,
    preempt_delay: Option<u16>,
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

/// The protocol, and for VRRP version 3 the family.
#[derive(Arbitrary, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    Carp,
    Vrrp2,
    Vrrp3,
    Vrrp3Ipv6,
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
    /// An advert that a router of the same protocol sends comes from a host.
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
    Permit(bool),
    StepDown,
    Demotion(u8),
    Held(bool),
    Bar(u8),
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
    AddressExpired,
    AddressInUse,
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
        let (id, addresses) = (id()?, self.protocol.addresses()?);
        let priority = Priority::from_wire(self.priority);
        let config = match self.protocol {
            Speaks::Carp => {
                RouterConfig::carp(id, &key()?, addresses, self.counter_seed).and_then(|config| {
                    let advbase = AdvBase::new(self.advbase.into())?;
                    let advskew = AdvSkew::new(self.advskew.into())?;
                    config.with_interval(dialect, advbase, advskew)
                })
            }
            Speaks::Vrrp2 => {
                let interval = Seconds::from_wire(self.advbase);
                RouterConfig::vrrp2(id, addresses, Vrrp2 { priority, interval, password: None })
            }
            Speaks::Vrrp3 | Speaks::Vrrp3Ipv6 => {
                let interval = Centiseconds::from_wire(self.interval);
                let settings = Vrrp3 { priority, interval, ..Vrrp3::default() };
                RouterConfig::vrrp3(id, addresses, settings)
            }
        };
        let mut config = config
            .ok()?
            .with_preempt(self.preempt)
            .with_preempt_delay(self.preempt_delay.map_or(Duration::ZERO, millis))
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

    /// Who signs and writes as every member of the router does.
    pub fn member(&self) -> Option<Member> {
        let list = match self.protocol {
            Speaks::Carp => None,
            Speaks::Vrrp2 | Speaks::Vrrp3 | Speaks::Vrrp3Ipv6 => {
                Some(AddressList::new(&self.protocol.addresses()?).ok()?)
            }
        };
        let authenticator = Authenticator::new(&key()?, id()?, &Speaks::Carp.addresses()?);
        let seconds = Seconds::from_wire(self.advbase);
        Some(Member { protocol: self.protocol, authenticator, list, seconds, id: id()? })
    }
}

impl Speaks {
    fn addresses(self) -> Option<Vec<VirtualAddress>> {
        let ips: &[IpAddr] = match self {
            Self::Carp | Self::Vrrp2 | Self::Vrrp3 => &[IpAddr::V4(ADDRESS)],
            Self::Vrrp3Ipv6 => &[IpAddr::V6(LINK_LOCAL), IpAddr::V6(GLOBAL)],
        };
        ips.iter().map(|ip| VirtualAddress::new(*ip, None).ok()).collect()
    }
}

/// A router of the same protocol and with the same key and addresses.
pub struct Member {
    pub protocol: Speaks,
    authenticator: Authenticator,
    list: Option<AddressList>,
    seconds: Seconds,
    id: VirtualId,
}

impl Member {
    /// The bytes of an advert that comes as `meta` says.
    pub fn write(&self, meta: &RxMeta, claim: Claim) -> BytesMut {
        let mut payload = BytesMut::new();
        let (id, priority) = (self.id, Priority::from_wire(claim.advskew));
        match (&self.list, self.protocol) {
            (Some(AddressList::Ipv4(addresses)), Speaks::Vrrp2) => {
                let (interval, authentication) = (self.seconds, Authentication::None);
                let advert = v2::Outgoing { id, priority, interval, addresses, authentication };
                v2::emit(&advert, &mut payload);
            }
            (Some(list), _) => {
                let form = ChecksumForm::PseudoHeader;
                let interval = Centiseconds::from_wire(u16::from(claim.advbase) * 16 + 1);
                if let Some(carrier) = Carrier::new(list, meta.source, meta.destination, form) {
                    let advert = v3::Outgoing { id, priority, interval, carrier };
                    v3::emit(&advert, &mut payload);
                }
            }
            (None, _) => carp::emit(&claim.sign(&self.authenticator), &mut payload),
        }
        payload
    }

    /// The address of a host.
    pub fn address(&self, host: Host) -> IpAddr {
        match self.protocol {
            Speaks::Carp | Speaks::Vrrp2 | Speaks::Vrrp3 => host.address(),
            Speaks::Vrrp3Ipv6 => {
                Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(host.0 % 8)).into()
            }
        }
    }

    /// The group of the router's family.
    pub fn group(&self) -> IpAddr {
        match self.protocol {
            Speaks::Carp | Speaks::Vrrp2 | Speaks::Vrrp3 => GROUP_IPV4.into(),
            Speaks::Vrrp3Ipv6 => GROUP_IPV6.into(),
        }
    }

    /// What comes with an advert of a host.
    pub fn advertises(&self, host: Host) -> RxMeta {
        RxMeta { source: self.address(host), destination: self.group(), ttl: TTL }
    }
}

fn id() -> Option<VirtualId> {
    VirtualId::new(42).ok()
}

fn key() -> Option<Key> {
    Key::new(KEY).ok()
}

impl Claim {
    fn sign(self, authenticator: &Authenticator) -> Advert {
        Advert {
            vhid: 42,
            interval: CarpInterval { advbase: self.advbase, advskew: self.advskew },
            demotion: self.demotion,
            counter: self.counter,
            digest: authenticator.digest(self.counter),
        }
    }
}

impl Host {
    fn address(self) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, self.0 % 8).into()
    }
}

impl Happening {
    /// The input, for a router as this member.
    pub fn input(self, member: &Member) -> Input {
        match self {
            Self::Start => Input::Start,
            Self::Stop => Input::Stop,
            Self::Timeout => Input::Timeout,
            Self::Yield => Input::Yield,
            Self::Permit(permitted) => Input::Permit(permitted),
            Self::StepDown => Input::StepDown,
            Self::Demotion(points) => Input::Demotion(Demotion::clamped(points.into())),
            Self::Held(held) => Input::Held(held),
            Self::Bar(bar) => Input::Bar(match bar % 3 {
                0 => Bar::Nothing,
                1 => Bar::Silence,
                _ => Bar::Takeover,
            }),
            Self::LinkUp(host) => Input::Link(LinkState::Up { source: member.address(host) }),
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
            Self::AddressExpired => Input::AddressExpired,
            Self::AddressInUse => Input::AddressInUse,
        }
    }
}
