//! What a configuration means: values that fit together.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use carp_proto::auth::{HmacKey, HmacMode, Password};
use carp_proto::election::{AnnouncePlan, Dialect};
use carp_proto::{
    CarpInterval, Centiseconds, ChecksumMode, Key, Priority, Protocol, Seconds, VirtualAddress,
    VirtualId,
};

use super::settings::Written;
use super::{Election, Location};
use crate::addresses::Lease;
use crate::hooks::HookSpec;
use crate::node::{Duplicate, Hold};

/// `[node]`: what holds for the whole daemon.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeSpec {
    /// `name`: what the node calls itself in status, events and pages. By default the hostname.
    pub name: String,
    /// `state_dir`: where things are kept over restarts. Absolute; by default `/var/lib/carp`.
    pub state_dir: PathBuf,
    pub(crate) written: Written,
}

/// `[router.NAME]`: one virtual router.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouterSpec {
    /// The NAME of the table: 1 to 32 of `A-Z a-z 0-9 . _ -`, unique in the configuration.
    pub name: String,
    /// `protocol`, and the keys that it alone has.
    pub speech: ProtocolSpec,
    /// `interface`: where adverts are sent and heard. A name that Linux takes for an interface;
    /// whether there is one is not known here.
    pub interface: String,
    /// `id`: the VHID or VRID. Unique in the configuration together with interface and protocol; in
    /// VRRP version 3, for each family.
    pub id: VirtualId,
    /// `addresses`, in the order in which they are written. Never empty, no duplicates.
    pub addresses: Vec<VirtualAddress>,
    /// The link-local address that the IPv6 list of VRRP version 3 begins with, if none is written.
    pub derived_address: Option<VirtualAddress>,
    /// `preempt`: whether the router takes over from a worse one that is active.
    pub preempt: bool,
    /// `preempt_delay`: how long a worse one has to be heard before that. 0 to 1 h.
    pub preempt_delay: Duration,
    /// `peers`: adverts go to these instead of the group, and only they are heard. Empty for the
    /// group.
    pub peers: Vec<IpAddr>,
    /// `accept_from`: of those who send to the group, only these are heard. Empty for all.
    pub accept_from: Vec<IpAddr>,
    /// `min_ttl`: adverts with a lower TTL or hop limit are rejected.
    pub min_ttl: u8,
    /// `mac`: the link-layer address that the addresses are at.
    pub mac: Mac,
    /// `advert_mac`: the source link-layer address of the adverts.
    pub advert_mac: AdvertMac,
    /// `address_interface`: where the addresses live, if not on `interface`.
    pub address_interface: Option<String>,
    /// `announce`.
    pub announce: AnnouncePlan,
    /// `duplicate`: what to do if another host has one of the addresses.
    pub duplicate: Duplicate,
    /// `handover`: the longest time for which two routers have the addresses on a planned stop. 0 to
    /// 60 s; `None` for `auto`.
    pub handover: Option<Duration>,
    /// `lease`: how long the kernel keeps the addresses when nobody renews them. What that is in the end
    /// is among the [`timers`](Self::timers).
    pub lease: LeaseSpec,
    /// `hold`: how long the router waits before it takes part. Each 0 to 1 h.
    pub hold: Hold,
    /// `track.gateway`: a host that has to answer; `None` for none.
    pub gateway: Option<IpAddr>,
    /// `[router.NAME.on]`: programs that run when the state changes. Each is a list of arguments, run
    /// without a shell, that begins with the absolute path of the program.
    pub hooks: HookSpec,
    /// What follows from all that.
    pub timers: Timers,
    /// Where the parts of the router are written.
    pub places: Places,
    pub(crate) written: Written,
}

impl RouterSpec {
    /// The protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        match self.speech {
            ProtocolSpec::Carp(_) => Protocol::Carp,
            ProtocolSpec::Vrrp2(_) => Protocol::Vrrp2,
            ProtocolSpec::Vrrp3(_) => Protocol::Vrrp3,
        }
    }

    /// VRRP's priority.
    #[must_use]
    pub const fn priority(&self) -> Option<Priority> {
        match &self.speech {
            ProtocolSpec::Carp(_) => None,
            ProtocolSpec::Vrrp2(vrrp) => Some(vrrp.priority),
            ProtocolSpec::Vrrp3(vrrp) => Some(vrrp.priority),
        }
    }

    /// Whether the addresses are the interface's own, never added and never removed.
    #[must_use]
    pub fn is_owner(&self) -> bool {
        self.priority().is_some_and(Priority::is_owner)
    }

    /// How long this router waits for adverts of an active one on another node before it takes over. In VRRP
    /// version 3 it goes by the interval of the active one.
    #[must_use]
    pub fn patience_with(&self, active: &Self) -> Duration {
        let (own, heard) = (self.timers.interval, active.timers.interval);
        let learns = self.protocol() == Protocol::Vrrp3;
        let scaled = self.timers.active_down.as_nanos().saturating_mul(heard.as_nanos());
        match scaled.checked_div(own.as_nanos()).map(u64::try_from) {
            Some(Ok(nanos)) if learns => Duration::from_nanos(nanos),
            _ => self.timers.active_down,
        }
    }

    /// The interface on which the addresses live.
    #[must_use]
    pub fn home(&self) -> &str {
        self.address_interface.as_deref().unwrap_or(&self.interface)
    }

    /// The elections that the router takes part in: one. In VRRP version 3 with addresses of both
    /// families it is one for each, IPv4 first.
    #[must_use]
    pub fn elections(&self) -> Vec<Election<'_>> {
        Election::of(self)
    }

    /// Every address that the router may have: the derived one too.
    #[must_use]
    pub fn all_addresses(&self) -> Vec<VirtualAddress> {
        self.elections().iter().flat_map(Election::addresses).collect()
    }

    /// Where the value of a key is written; if it is not, the header of the table.
    pub(crate) fn place(&self, key: &str) -> &Location {
        self.written.get(key).unwrap_or(&self.places.table)
    }
}

/// A protocol, and the keys that it alone has.
#[derive(Clone, Debug)]
pub enum ProtocolSpec {
    /// CARP.
    Carp(CarpSpec),
    /// VRRP version 2.
    Vrrp2(Vrrp2Spec),
    /// VRRP version 3.
    Vrrp3(Vrrp3Spec),
}

/// The keys of `protocol = "carp"`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CarpSpec {
    /// `key_file`.
    pub key: FromFile<Key>,
    /// `advbase` and `advskew`.
    pub interval: CarpInterval,
    /// `dialect`.
    pub dialect: Dialect,
    /// `[router.NAME.previous]`.
    pub previous: Option<PreviousSpec>,
}

/// `[router.NAME.previous]`: what was before a change, and is accepted for a while.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PreviousSpec {
    /// `key_file`; `None` if the key has not changed.
    pub key: Option<FromFile<Key>>,
    /// `addresses`; `None` if they have not changed.
    pub addresses: Option<Vec<VirtualAddress>>,
    /// `accept_for`: for how long after the start. 1 s to 7 days.
    pub accept_for: Duration,
}

/// The keys of `protocol = "vrrp2"`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Vrrp2Spec {
    /// `priority`: 1 to 254, or 255 for the owner of the addresses.
    pub priority: Priority,
    /// `interval`.
    pub interval: Seconds,
    /// The password of `auth = "password"`.
    pub password: Option<FromFile<Password>>,
}

/// The keys of `protocol = "vrrp3"`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Vrrp3Spec {
    /// `priority`: 1 to 254, or 255 for the owner of the addresses.
    pub priority: Priority,
    /// `interval`.
    pub interval: Centiseconds,
    /// `checksum`: over IPv4, what the checksum of adverts covers.
    pub checksum: ChecksumMode,
    /// The keys of `auth = "hmac"`.
    pub hmac: Option<HmacSpec>,
}

/// `auth = "hmac"`: signatures as keepalived has them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HmacSpec {
    /// `auth_mode`.
    pub mode: HmacMode,
    /// `key_file` and `key_id`: the key that signs.
    pub signing: FromFile<HmacKey>,
    /// `receive_keys`: further keys that are verified. No two keys have the same number.
    pub receiving: Vec<FromFile<HmacKey>>,
}

impl HmacSpec {
    /// Every key, that which signs first.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &FromFile<HmacKey>> {
        std::iter::once(&self.signing).chain(&self.receiving)
    }
}

/// A secret, and where it is from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FromFile<K> {
    /// What the file held.
    pub key: K,
    /// The file, with a relative path completed by the directory of the configuration file.
    pub path: PathBuf,
    /// Where the path is written.
    pub place: Location,
}

/// The link-layer address that the addresses are at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mac {
    /// That of the interface: it differs from node to node, and neighbours are told at a takeover.
    #[default]
    Interface,
    /// `00:00:5e:00:01:ID`, or `:02:` for VRRP version 3 over IPv6, on a macvlan: it moves with the
    /// addresses.
    Virtual,
}

impl Mac {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Interface, Self::Virtual];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Virtual => "virtual",
        }
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The source link-layer address of adverts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdvertMac {
    /// The one of the interface.
    #[default]
    Interface,
    /// `00:00:5e:00:01:ID`, as the BSDs' CARP and VRRP have it; `:02:` for VRRP version 3 over IPv6.
    Virtual,
    /// `00:00:5e:00:00:ID`, as ucarp has it.
    Ucarp,
}

impl AdvertMac {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Interface, Self::Virtual, Self::Ucarp];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Virtual => "virtual",
            Self::Ucarp => "ucarp",
        }
    }
}

impl fmt::Display for AdvertMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The times that follow from a router's settings, as the protocol has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timers {
    /// Between two adverts.
    pub interval: Duration,
    /// How long a backup with this rank waits for an advert before it takes over: the detection time.
    pub active_down: Duration,
    /// How long two routers have the addresses on a planned stop at the most.
    pub handover: Duration,
    /// How long the kernel keeps the addresses when nobody renews them; `None` for ever.
    pub lease: Option<Lease>,
}

/// What is written as `lease`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LeaseSpec {
    /// As long as it may be without an overlap: see [`Lease::auto`].
    #[default]
    Auto,
    /// None: the addresses stay until somebody removes them.
    Off,
    /// This long.
    Of(Lease),
}

/// Where the parts of a router are written, for messages about what turns out later.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Places {
    /// The header `[router.NAME]`.
    pub table: Location,
    /// The value of `interface`.
    pub interface: Location,
    /// The value of `id`.
    pub id: Location,
    /// Each element of `addresses`, in the same order as [`RouterSpec::addresses`].
    pub addresses: Vec<Location>,
    /// Each element of `peers`, in the same order as [`RouterSpec::peers`].
    pub peers: Vec<Location>,
    /// The value of `address_interface`.
    pub address_interface: Option<Location>,
}

/// `[group.NAME]`: routers that become active and step down together.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GroupSpec {
    /// The NAME of the table: as that of a router, unique among the groups.
    pub name: String,
    /// `routers`: the names of its members, each in no other group.
    pub routers: Vec<String>,
    /// The header `[group.NAME]`.
    pub place: Location,
    pub(crate) written: Written,
}
