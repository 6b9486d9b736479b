//! The status: the schema `carp.status/1`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use carp_proto::election::{LinkState, Standing};
use carp_proto::wire::vrrp::ChecksumForm;
use carp_proto::{CarpInterval, Instant, RejectCounters, Snapshot};
use serde::{Deserialize, Serialize};

use crate::control::units::{Millis, WallTime};
use crate::guard::GuardStatus;
use crate::hooks::HookReport;
use crate::node::LatenessReport;
use crate::runner::RunnerStatus;
use crate::sync::engine::ShareStatus;

/// The schema of a status.
pub const STATUS_SCHEMA: &str = "carp.status/1";

/// `carp status --json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusReport {
    /// [`STATUS_SCHEMA`].
    pub schema: Cow<'static, str>,
    /// The name of this node.
    pub node: String,
    /// The version of the daemon.
    pub version: String,
    /// Its process id.
    #[serde(default)]
    pub pid: u32,
    /// The routers, in the order of their names.
    pub routers: Vec<RouterStatus>,
    /// The shares that are kept in step.
    pub sync: Vec<ShareStatus>,
    /// The process that runs hooks.
    #[serde(default)]
    pub runner: RunnerStatus,
    /// The process that takes the addresses down when the daemon dies or hangs.
    #[serde(default)]
    pub guard: GuardStatus,
    /// How late the protocol task was.
    #[serde(default)]
    pub lateness: LatenessReport,
}

impl StatusReport {
    /// The status of this process.
    #[must_use]
    pub fn new(node: &str, routers: Vec<RouterStatus>, runner: RunnerStatus) -> Self {
        Self {
            schema: STATUS_SCHEMA.into(),
            node: node.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            routers,
            sync: Vec::new(),
            runner,
            guard: GuardStatus::default(),
            lateness: LatenessReport::default(),
        }
    }
}

/// A gateway that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayStatus {
    /// Which one.
    pub address: IpAddr,
    /// Whether it answers.
    pub answers: bool,
}

/// One router in a status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouterStatus {
    /// Its name.
    pub name: String,
    /// `carp`, `vrrp2` or `vrrp3`.
    pub protocol: Cow<'static, str>,
    /// The VHID or VRID.
    pub id: u8,
    /// The interface that it is elected on.
    pub interface: String,
    /// Where its adverts come from, as far as there is an address for them.
    #[serde(default)]
    pub sources: Vec<IpAddr>,
    /// `init`, `backup` or `active`.
    pub state: Cow<'static, str>,
    /// While active: `taking-over`, `serving` or `leaving`.
    pub phase: Option<Cow<'static, str>>,
    /// Since when it has been in this state.
    pub since: WallTime,
    /// The label of the cause.
    pub cause: Cow<'static, str>,
    /// The addresses, as configured.
    pub addresses: Vec<String>,
    /// What it advertises at present, demotion included.
    pub rank: RankStatus,
    /// How far faults push it back.
    pub demotion: u8,
    /// The routers that it has heard, the latest first.
    pub peers: Vec<PeerStatus>,
    /// Whether it is active and has heard no other router since its start.
    pub alone: bool,
    /// Whether another router is active at the same time, or another host has one of the addresses.
    pub conflict: bool,
    /// The other host that has one of the addresses, if one was heard to within the last minute.
    #[serde(default)]
    pub duplicate: Option<DuplicateStatus>,
    /// While it is active: who answers to what comes from its addresses.
    #[serde(default)]
    pub confirmation: Option<ConfirmationStatus>,
    /// The other router of the conflict.
    #[serde(default)]
    pub conflict_with: Option<IpAddr>,
    /// Whether the operator took it out of service.
    pub drained: bool,
    /// Whether it does not preempt at present.
    pub held: bool,
    /// What does not work.
    pub fault: Option<String>,
    /// The gateway that is watched, if one is.
    #[serde(default)]
    pub gateway: Option<GatewayStatus>,
    /// Whether it is active, and nobody who should answers to what comes from its addresses:
    /// [`RouterStatus::confirmation`] says more.
    pub unconfirmed: bool,
    /// The timers in force.
    pub timers: TimerStatus,
    /// Numbers since the start.
    pub counters: CounterStatus,
    /// State changes since the start.
    pub transitions: u64,
    /// The link-layer address that answers for the addresses.
    #[serde(default)]
    pub mac: Option<String>,
    /// The interface that the addresses are on while it is active.
    #[serde(default)]
    pub address_interface: Option<String>,
    /// How long the kernel keeps the addresses when nobody renews them; `None` for ever.
    #[serde(default)]
    pub lease_ms: Option<Millis>,
    /// VRRP version 3: what the checksum of its adverts covers, `message` or `pseudo-header`.
    #[serde(default)]
    pub checksum: Option<Cow<'static, str>>,
    /// Where adverts are signed: what the latest signature was worth, in words.
    #[serde(default)]
    pub signature: Option<String>,
    /// The latest datagram that was not acted on.
    #[serde(default)]
    pub last_reject: Option<RejectStatus>,
    /// The address that somebody removed last while the router was active.
    #[serde(default)]
    pub last_removal: Option<RemovalStatus>,
    /// The last run of each configured hook.
    #[serde(default)]
    pub hooks: Vec<HookReport>,
}

/// Another host that has one of the addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DuplicateStatus {
    /// The address.
    pub address: IpAddr,
    /// The link-layer address of the host.
    pub mac: String,
    /// Its own address, if it is a router that we know: then its adverts do not arrive.
    pub peer: Option<IpAddr>,
    /// How long ago it was heard.
    pub age_ms: Millis,
}

/// Who answers to what comes from the addresses.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfirmationStatus {
    /// `asking`, `confirmed`, `unconfirmed`, `nobody-to-ask`, or `off`.
    pub state: Cow<'static, str>,
    /// Who answered.
    pub by: Option<IpAddr>,
    /// The same in words, with what to do or why not.
    pub text: String,
}

/// What a router is named by, and what its snapshot does not know.
#[derive(Clone, Debug, PartialEq)]
pub struct RouterIdentity {
    /// [`RouterStatus::name`]
    pub name: String,
    /// [`RouterStatus::protocol`]
    pub protocol: carp_proto::Protocol,
    /// [`RouterStatus::id`]
    pub id: carp_proto::VirtualId,
    /// [`RouterStatus::interface`]
    pub interface: String,
    /// [`RouterStatus::addresses`]
    pub addresses: Vec<String>,
}

impl RouterStatus {
    /// Whether somebody who says `name` means this router. A router with addresses of both families that
    /// elects for each of them is two, `NAME/ipv4` and `NAME/ipv6`; its name means both.
    #[must_use]
    pub fn is_called(&self, name: &str) -> bool {
        is_called(&self.name, name)
    }

    /// The status of a router from its snapshot, taken at `now`, which was `wall` for people.
    ///
    /// What the election does not know is empty or false: `drained`, `unconfirmed`, `confirmation`,
    /// `duplicate`, `mac`, `address_interface`, `lease_ms`, `hooks`, and the counter `kernel_dropped`.
    #[must_use]
    pub fn new(of: RouterIdentity, snapshot: &Snapshot, now: Instant, wall: WallTime) -> Self {
        let age = |then: Instant| now.saturating_since(then);
        Self {
            name: of.name,
            protocol: of.protocol.name().into(),
            id: of.id.get(),
            interface: of.interface,
            sources: match snapshot.link {
                LinkState::Up { source } => vec![source],
                LinkState::Down | LinkState::NoAddress => Vec::new(),
            },
            state: snapshot.state.name().into(),
            phase: snapshot.phase.map(|phase| phase.name().into()),
            since: wall.earlier(age(snapshot.since)),
            cause: snapshot.cause.name().into(),
            addresses: of.addresses,
            rank: snapshot.advertised.into(),
            demotion: snapshot.demotion.get(),
            peers: snapshot.peers.iter().flatten().map(|peer| PeerStatus::new(peer, now)).collect(),
            alone: snapshot.alone,
            conflict: snapshot.conflict.is_some(),
            conflict_with: snapshot.conflict,
            duplicate: None,
            confirmation: None,
            drained: false,
            held: snapshot.held,
            fault: snapshot.fault.map(|fault| fault.to_string()),
            gateway: None,
            unconfirmed: false,
            timers: TimerStatus {
                interval_ms: snapshot.interval.into(),
                active_down_ms: snapshot.active_down.into(),
                learned_ms: snapshot.learned.map(|learned| learned.advertised.into()),
                reckoned_ms: snapshot.learned.map(|learned| learned.reckoned.into()),
            },
            counters: CounterStatus {
                adverts_sent: snapshot.counters.adverts_sent,
                adverts_received: snapshot.counters.adverts_received,
                rejected: by_label(&snapshot.counters.rejected),
                kernel_dropped: 0,
            },
            transitions: snapshot.transitions,
            mac: None,
            address_interface: None,
            lease_ms: None,
            checksum: snapshot.checksum.map(form_name),
            signature: snapshot.last_verdict.map(|verdict| verdict.to_string()),
            last_reject: snapshot.last_reject.map(|last| RejectStatus {
                label: last.reject.label().into(),
                source: last.source,
                age_ms: age(last.at).into(),
                text: last.reject.to_string(),
            }),
            last_removal: None,
            hooks: Vec::new(),
        }
    }
}

/// Whether `name` means a router that is named `router`, or that is a part of what is named so.
pub(crate) fn is_called(router: &str, name: &str) -> bool {
    router.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn by_label(rejected: &RejectCounters) -> BTreeMap<Cow<'static, str>, u64> {
    rejected.iter().map(|(label, count)| (label.into(), count)).collect()
}

/// What a router advertises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum RankStatus {
    /// CARP: the smaller, the better.
    Carp {
        /// Seconds.
        advbase: u8,
        /// 1/256 s.
        advskew: u8,
    },
    /// VRRP: the greater, the better.
    Vrrp {
        /// 1 to 255.
        priority: u8,
    },
}

impl From<Standing> for RankStatus {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Carp(CarpInterval { advbase, advskew }) => Self::Carp { advbase, advskew },
            Standing::Vrrp { priority, .. } => Self::Vrrp { priority: priority.get() },
        }
    }
}

/// A router from which valid adverts came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStatus {
    /// Its source address.
    pub address: IpAddr,
    /// How long ago its last advert came.
    pub last_advert_age_ms: Millis,
    /// What that said.
    #[serde(flatten)]
    pub rank: RankStatus,
    /// VRRP version 3: what its checksum covers, if the advert shows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<Cow<'static, str>>,
    /// Whether it lists other addresses than ours, link-local ones aside.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub other_addresses: bool,
    /// Whether its list of IPv6 addresses begins with another than a link-local one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lacks_link_local: bool,
}

impl PeerStatus {
    fn new(peer: &carp_proto::Peer, now: Instant) -> Self {
        Self {
            address: peer.source,
            last_advert_age_ms: now.saturating_since(peer.heard_at).into(),
            rank: peer.advertised.into(),
            checksum: peer.checksum.map(form_name),
            other_addresses: peer.remarks.other_addresses,
            lacks_link_local: peer.remarks.lacks_link_local,
        }
    }
}

const fn form_name(form: ChecksumForm) -> Cow<'static, str> {
    Cow::Borrowed(match form {
        ChecksumForm::Message => "message",
        ChecksumForm::PseudoHeader => "pseudo-header",
    })
}

/// The timers in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimerStatus {
    /// The time between two own adverts.
    pub interval_ms: Millis,
    /// How long silence must last to count as death.
    pub active_down_ms: Millis,
    /// The active router's interval, where a backup learns it (VRRP version 3) and one was heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learned_ms: Option<Millis>,
    /// The interval that the backup reckons with. It is less than `learned_ms` if that is absurd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reckoned_ms: Option<Millis>,
}

/// Numbers that only grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CounterStatus {
    /// Adverts sent.
    pub adverts_sent: u64,
    /// Valid adverts received.
    pub adverts_received: u64,
    /// Datagrams not acted on, by label; every label is there.
    pub rejected: BTreeMap<Cow<'static, str>, u64>,
    /// Datagrams that the kernel dropped because they were not read in time.
    pub kernel_dropped: u64,
}

/// The latest datagram that was not acted on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectStatus {
    /// The label.
    pub label: Cow<'static, str>,
    /// Who sent it.
    pub source: Option<IpAddr>,
    /// How long ago it came.
    pub age_ms: Millis,
    /// Why, in words.
    pub text: String,
}

/// An address that somebody removed while the router was active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovalStatus {
    /// When.
    pub time: WallTime,
    /// The address, if the kernel named it.
    pub address: Option<IpAddr>,
    /// Who did it, if the kernel said so.
    pub by: Option<String>,
    /// What to do, if that is known.
    pub hint: Option<String>,
}
