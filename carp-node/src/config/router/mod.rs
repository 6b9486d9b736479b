//! `[router.NAME]`, one at a time.

mod addresses;
mod announce;
mod carp;
mod duplicate;
mod hold;
mod hooks;
pub(super) mod lease;
mod link;
mod secret;
mod senders;
mod track;
pub(super) mod vrrp;

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use carp_proto::election::AnnouncePlan;
use carp_proto::{Priority, Protocol, VirtualId};
use toml::Spanned;
use toml::de::DeValue;

use self::addresses::Addresses;
pub(super) use self::hooks::argv;
use self::link::Link;
use self::senders::Senders;
use super::election::timers;
use super::known::{self, nearest};
use super::read::{Reader, Section, header_of};
use super::spec::{LeaseSpec, Places, ProtocolSpec, RouterSpec, Timers};
use crate::hooks::HookSpec;
use crate::node::{Duplicate, Hold};

const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads every `[router.NAME]`, in the order of the file.
pub(super) fn read_all<'a>(root: &Section<'a>) -> Vec<Draft<'a>> {
    let reader = root.reader();
    let Some(value) = root.value("router") else {
        reader.whole_file("no router is configured", "add a table like [router.web]");
        return Vec::new();
    };
    let DeValue::Table(table) = value.get_ref() else {
        reader.wrong_type(value, "a table for each router", "[router.web]");
        return Vec::new();
    };
    let mut routers: Vec<_> = table.iter().collect();
    routers.sort_by_key(|(name, _)| name.span().start);
    if routers.is_empty() {
        reader.mistake(value.span(), "no router is configured", "add a table like [router.web]");
    }
    routers.into_iter().filter_map(|(name, value)| Draft::read(reader, name, value)).collect()
}

/// What is known of a router while there may be errors: `None` where there is one.
pub(super) struct Draft<'a> {
    pub(super) name: &'a str,
    interface: Option<Spanned<&'a str>>,
    id: Option<Spanned<VirtualId>>,
    speech: Option<ProtocolSpec>,
    addresses: Addresses,
    preempt: bool,
    preempt_delay: Duration,
    senders: Senders,
    link: Link,
    announce: AnnouncePlan,
    duplicate: Duplicate,
    handover: Option<Duration>,
    lease: LeaseSpec,
    hold: Hold,
    gateway: Option<IpAddr>,
    hooks: HookSpec,
    section: Section<'a>,
}

impl<'a> Draft<'a> {
    fn read(
        reader: &'a Reader<'a>,
        name: &'a Spanned<Cow<'a, str>>,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Option<Self> {
        let DeValue::Table(table) = value.get_ref() else {
            reader.wrong_type(value, "a table for each router", "[router.web]");
            return None;
        };
        check_name(reader, name, "router");
        let title = format!("[router.{}]", name.get_ref());
        let section = Section::unchecked(reader, table, header_of(name, value), title);
        let protocol = protocol(&section);
        section.check_keys(&known::ROUTER, protocol);

        let id = id(&section);
        let speech = protocol.and_then(|protocol| speech(&section, protocol));
        let owner = speech.as_ref().is_some_and(is_owner);
        let addresses =
            Addresses::read(&section, protocol, id.as_ref().map(|id| *id.get_ref()), owner);
        if protocol == Some(Protocol::Vrrp3) {
            vrrp::check_checksum(&section, &addresses);
        }
        let senders = Senders::read(&section, protocol, &addresses, speech.as_ref());
        accept(&section);
        let link = Link::read(&section, protocol, owner);
        let gateway = track::gateway(&section, &addresses, &link);
        Some(Self {
            name: name.get_ref(),
            interface: interface(&section, "interface"),
            id,
            addresses,
            preempt: preempt(&section, protocol, owner),
            preempt_delay: preempt_delay(&section, protocol),
            senders,
            link,
            announce: announce::announce(&section),
            duplicate: duplicate::duplicate(&section, owner),
            handover: announce::handover(&section),
            lease: lease::read(&section, owner),
            hold: hold::hold(&section),
            gateway,
            hooks: hooks::hooks(&section, name.get_ref()),
            speech,
            section,
        })
    }

    /// The router, if nothing that it needs is missing.
    pub(super) fn finish(self) -> Option<RouterSpec> {
        let (interface, id) = (self.interface.as_ref()?, self.id.as_ref()?);
        let places = self.places(interface, id);
        let interface = (*interface.get_ref()).to_owned();
        let mut router = RouterSpec {
            name: self.name.to_owned(),
            id: *id.get_ref(),
            derived_address: self.addresses.derived,
            addresses: values(self.addresses.list),
            speech: self.speech?,
            preempt: self.preempt,
            preempt_delay: self.preempt_delay,
            peers: values(self.senders.peers),
            accept_from: values(self.senders.accept_from),
            min_ttl: self.senders.min_ttl,
            mac: self.link.mac,
            advert_mac: self.link.advert_mac,
            address_interface: self.link.address_interface.filter(|home| *home != interface),
            interface,
            announce: self.announce,
            duplicate: self.duplicate,
            handover: self.handover,
            lease: self.lease,
            hold: self.hold,
            gateway: self.gateway,
            hooks: self.hooks,
            timers: Timers::default(),
            places,
            written: written(&self.section),
        };
        if router.addresses.is_empty() {
            return None;
        }
        let reader = self.section.reader();
        match timers(&router) {
            Ok(timers) => router.timers = timers,
            // Most often it has been told already, in the words of the configuration.
            Err(_) if reader.has_errors() => {}
            Err(error) => reader.error(self.section.header(), error.to_string()),
        }
        carp::check_previous(reader, &router);
        lease::check(reader, &router);
        Some(router)
    }

    fn places(&self, interface: &Spanned<&str>, id: &Spanned<VirtualId>) -> Places {
        let reader = self.section.reader();
        let home = self.section.value("address_interface");
        Places {
            table: reader.locate(self.section.header()),
            interface: reader.locate(interface.span()),
            id: reader.locate(id.span()),
            addresses: self.addresses.list.iter().map(|it| reader.locate(it.span())).collect(),
            peers: self.senders.peers.iter().map(|it| reader.locate(it.span())).collect(),
            address_interface: home.map(|home| reader.locate(home.span())),
        }
    }
}

fn values<T>(spanned: Vec<Spanned<T>>) -> Vec<T> {
    spanned.into_iter().map(Spanned::into_inner).collect()
}

/// The keys that are there, those of inner tables as `announce.burst` and `on.timeout`.
fn written(section: &Section<'_>) -> super::settings::Written {
    let reader = section.reader();
    let mut written = section.written();
    for inner in ["announce", "hold", "on", "previous", "track"] {
        let table = section.value(inner).and_then(|value| value.get_ref().as_table());
        for (key, value) in table.into_iter().flatten() {
            written.insert(format!("{inner}.{}", key.get_ref()), reader.locate(value.span()));
        }
    }
    written
}

/// Names are arguments on the command line and parts of file names.
pub(super) fn check_name(reader: &Reader<'_>, name: &Spanned<Cow<'_, str>>, of: &str) {
    let text: &str = name.get_ref();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fits = (1..=32).contains(&text.len()) && text.chars().all(allowed);
    if !fits || text.starts_with(['-', '.']) {
        let message = format!("{text:?} cannot be the name of a {of}");
        let help = "it is 1 to 32 of A-Z a-z 0-9 . _ - and does not begin with . or -";
        reader.mistake(name.span(), message, help);
    }
}

/// The protocol, as far as can be told.
fn protocol(section: &Section<'_>) -> Option<Protocol> {
    section.require("protocol", "protocol = \"carp\"")?;
    let names = [Protocol::Carp, Protocol::Vrrp2, Protocol::Vrrp3].map(|it| (it.name(), it));
    let guess = || {
        let written = section.value("protocol")?.get_ref().as_str()?;
        let meant = nearest(written, ["carp", "vrrp2", "vrrp3"].into_iter())?;
        // Which VRRP was meant cannot be told.
        (meant == "carp").then_some(Protocol::Carp)
    };
    section.word("protocol", &names).or_else(guess)
}

fn speech(section: &Section<'_>, protocol: Protocol) -> Option<ProtocolSpec> {
    match protocol {
        Protocol::Carp => carp::read(section).map(ProtocolSpec::Carp),
        Protocol::Vrrp2 => vrrp::read_2(section).map(ProtocolSpec::Vrrp2),
        Protocol::Vrrp3 => vrrp::read_3(section).map(ProtocolSpec::Vrrp3),
    }
}

fn is_owner(speech: &ProtocolSpec) -> bool {
    match speech {
        ProtocolSpec::Carp(_) => false,
        ProtocolSpec::Vrrp2(vrrp) => vrrp.priority == Priority::OWNER,
        ProtocolSpec::Vrrp3(vrrp) => vrrp.priority == Priority::OWNER,
    }
}

/// An error at a value that later versions bring.
fn not_yet(section: &Section<'_>, key: &str, what: &str, instead: &str) {
    let span = section.value(key).map(Spanned::span).unwrap_or_default();
    section.reader().mistake(
        span,
        format!("{what} is not supported yet"),
        format!("this version of carp has {instead}"),
    );
}

fn accept(section: &Section<'_>) {
    if section.flag("accept") == Some(false) {
        not_yet(section, "accept", "accept = false", "accept = true");
    }
}

/// Unset, CARP does not preempt and VRRP does.
fn preempt(section: &Section<'_>, protocol: Option<Protocol>, owner: bool) -> bool {
    let written = section.flag("preempt");
    if let (Some(false), true, Some(value)) = (written, owner, section.value("preempt")) {
        let message = "preempt = false has no effect: an owner always takes its addresses";
        let help = "remove it, or take a priority of 1 to 254";
        section.reader().warning(value.span(), message, help);
    }
    written.unwrap_or_else(|| protocol.is_some_and(|protocol| protocol != Protocol::Carp))
}

fn preempt_delay(section: &Section<'_>, protocol: Option<Protocol>) -> Duration {
    let delay = section.duration("preempt_delay", Duration::ZERO..=HOUR).unwrap_or_default();
    let preempts = match section.value("preempt") {
        Some(value) => value.get_ref().as_bool() != Some(false),
        None => protocol != Some(Protocol::Carp),
    };
    if let (false, false, Some(value)) = (preempts, delay.is_zero(), section.value("preempt_delay"))
    {
        let message = "preempt_delay has no effect without preempt";
        section.reader().warning(value.span(), message, "add preempt = true, or remove it");
    }
    delay
}

fn interface<'a>(section: &Section<'a>, key: &str) -> Option<Spanned<&'a str>> {
    let example = format!("{key} = \"eth0\"");
    section.require(key, &example)?;
    let name = section.text(key, &example)?;
    if !is_interface_name(name.get_ref()) {
        let message = format!("{:?} cannot be the name of an interface", name.get_ref());
        let help = "it is 1 to 15 bytes without spaces, / and :, as `ip link` shows it";
        section.reader().mistake(name.span(), message, help);
        return None;
    }
    Some(name)
}

/// What Linux takes (`dev_valid_name`), less what no terminal shows.
fn is_interface_name(name: &str) -> bool {
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !['/', ':'].contains(&c);
    (1..=15).contains(&name.len()) && ![".", ".."].contains(&name) && name.chars().all(allowed)
}

fn id(section: &Section<'_>) -> Option<Spanned<VirtualId>> {
    section.require("id", "id = 1")?;
    let number = section.integer("id")?;
    match VirtualId::try_from(*number.get_ref()) {
        Ok(id) => Some(Spanned::new(number.span(), id)),
        Err(error) => {
            section.reader().error(number.span(), error.to_string());
            None
        }
    }
}
