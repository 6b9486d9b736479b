//! `[router.NAME]`, one at a time.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::time::Duration;

use carp_proto::election::{AnnouncePlan, Dialect};
use carp_proto::{
    AdvBase, AdvSkew, CarpInterval, Family, IntervalError, Key, Protocol, VirtualAddress, VirtualId,
};
use toml::Spanned;
use toml::de::DeValue;

use super::known;
use super::read::{Reader, Section, header_of};
use super::{AdvertMac, Places, RouterSpec};
use crate::hooks::HookSpec;

const MAX_HANDOVER: Duration = Duration::from_secs(60);
const MAX_BURST: u8 = 20;
const MILLISECOND: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
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
    pub(super) header: Range<usize>,
    pub(super) interface: Option<Spanned<&'a str>>,
    pub(super) id: Option<Spanned<VirtualId>>,
    pub(super) addresses: Vec<Spanned<VirtualAddress>>,
    key_file: Option<Spanned<PathBuf>>,
    key: Option<Key>,
    interval: Option<CarpInterval>,
    dialect: Dialect,
    preempt: bool,
    announce: AnnouncePlan,
    handover: Option<Duration>,
    advert_mac: AdvertMac,
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
        check_name(reader, name);
        let header = header_of(name, value);
        let title = format!("[router.{}]", name.get_ref());
        let section = Section::open(reader, table, header.clone(), title, &known::ROUTER);
        let speaks_carp = protocol(&section);
        mac(&section);
        let dialect = dialect(&section);
        let key_file = if speaks_carp { key_file(&section) } else { None };
        Some(Self {
            name: name.get_ref(),
            header,
            interface: interface(&section),
            id: id(&section),
            addresses: addresses(&section),
            key: key_file.as_ref().and_then(|path| key(&section, path)),
            key_file,
            interval: interval(&section, dialect),
            dialect,
            preempt: section.flag("preempt").unwrap_or(false),
            announce: announce(&section),
            handover: handover(&section),
            advert_mac: advert_mac(&section),
            hooks: hooks(&section, name.get_ref()),
            section,
        })
    }

    /// The router, if nothing that it needs is missing.
    pub(super) fn finish(self) -> Option<RouterSpec> {
        let reader = self.section.reader();
        let (interface, id, key_file) = (self.interface?, self.id?, self.key_file?);
        let interval = self.interval?;
        let places = Places {
            table: reader.locate(self.header),
            interface: reader.locate(interface.span()),
            id: reader.locate(id.span()),
            key_file: reader.locate(key_file.span()),
            addresses: self.addresses.iter().map(|address| reader.locate(address.span())).collect(),
        };
        Some(RouterSpec {
            name: self.name.to_owned(),
            protocol: Protocol::Carp,
            interface: interface.into_inner().to_owned(),
            id: id.into_inner(),
            addresses: self.addresses.into_iter().map(Spanned::into_inner).collect(),
            key_file: key_file.into_inner(),
            key: self.key?,
            interval,
            dialect: self.dialect,
            preempt: self.preempt,
            announce: self.announce,
            handover: self.handover.unwrap_or_else(|| interval.advert() + SECOND),
            advert_mac: self.advert_mac,
            hooks: self.hooks,
            places,
            written: written(&self.section),
        })
    }
}

/// The keys that are there, those of inner tables as `announce.burst` and `on.timeout`.
fn written(section: &Section<'_>) -> super::settings::Written {
    let mut written = section.written();
    for inner in ["announce", "on"] {
        let table = section.value(inner).and_then(|value| value.get_ref().as_table());
        let keys = table.into_iter().flat_map(|table| table.keys());
        written.extend(keys.map(|key| format!("{inner}.{}", key.get_ref())));
    }
    written
}

fn check_name(reader: &Reader<'_>, name: &Spanned<Cow<'_, str>>) {
    let text: &str = name.get_ref();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    let fits = (1..=32).contains(&text.len()) && text.chars().all(allowed);
    // Names are arguments on the command line and parts of file names.
    if !fits || text.starts_with(['-', '.']) {
        let message = format!("{text:?} cannot be the name of a router");
        let help = "it is 1 to 32 of A-Z a-z 0-9 . _ - and does not begin with . or -";
        reader.mistake(name.span(), message, help);
    }
}

/// Whether the router speaks CARP, as far as can be told.
fn protocol(section: &Section<'_>) -> bool {
    if section.require("protocol", "protocol = \"carp\"").is_none() {
        return true;
    }
    let names = [Protocol::Carp, Protocol::Vrrp2, Protocol::Vrrp3].map(|it| (it.name(), it));
    match section.word("protocol", &names) {
        Some(Protocol::Carp) | None => true,
        Some(later @ (Protocol::Vrrp2 | Protocol::Vrrp3)) => {
            not_yet(section, "protocol", &format!("protocol \"{later}\""), "protocol = \"carp\"");
            false
        }
    }
}

fn mac(section: &Section<'_>) {
    if section.word("mac", &[("interface", false), ("virtual", true)]) == Some(true) {
        not_yet(section, "mac", "mac \"virtual\"", "mac = \"interface\"");
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

fn interface<'a>(section: &Section<'a>) -> Option<Spanned<&'a str>> {
    const EXAMPLE: &str = "interface = \"eth0\"";
    section.require("interface", EXAMPLE)?;
    let name = section.text("interface", EXAMPLE)?;
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

fn addresses(section: &Section<'_>) -> Vec<Spanned<VirtualAddress>> {
    const EXAMPLE: &str = "addresses = [\"192.168.130.100\"]";
    if section.require("addresses", EXAMPLE).is_none() {
        return Vec::new();
    }
    let Some(texts) = section.texts("addresses", EXAMPLE) else { return Vec::new() };
    let empty = section.value("addresses").and_then(|value| value.get_ref().as_array());
    if empty.is_some_and(|array| array.is_empty()) {
        let message = "a router needs at least one address";
        section.reader().mistake(texts.span(), message, format!("write it like {EXAMPLE}"));
    }
    let texts = texts.into_inner();
    texts.iter().filter_map(|text| address(section.reader(), text)).collect()
}

fn address(reader: &Reader<'_>, text: &Spanned<&str>) -> Option<Spanned<VirtualAddress>> {
    let address: VirtualAddress = match text.get_ref().parse() {
        Ok(address) => address,
        Err(error) => {
            reader.error(text.span(), format!("address {:?}: {error}", text.get_ref()));
            return None;
        }
    };
    if address.family() == Family::Ipv6 {
        let help = "this version of carp has IPv4 addresses";
        reader.mistake(text.span(), "IPv6 addresses are not supported yet", help);
        return None;
    }
    if let Some(role) = reserved(address) {
        let message = format!("{address} is the {role} address of its network, not one of a host");
        let help = "take another address of the network, or leave out the prefix length";
        reader.mistake(text.span(), message, help);
        return None;
    }
    if !address.is_host() {
        let message = format!(
            "{address} is wider than a host prefix: outgoing traffic may come from it, and it is \
             not installed while the interface has no other address of that network"
        );
        let help = format!(
            "write \"{}\"; or keep another address of the network on the interface, with the \
             sysctl promote_secondaries=1",
            address.ip()
        );
        reader.warning(text.span(), message, help);
    }
    Some(Spanned::new(text.span(), address))
}

/// Whether an address is the first or the last of its network. Networks of one or two addresses
/// have neither (RFC 3021).
fn reserved(address: VirtualAddress) -> Option<&'static str> {
    let IpAddr::V4(ip) = address.ip() else { return None };
    let host_bits = u32::MAX.checked_shr(address.prefix_len().into()).filter(|&bits| bits > 1)?;
    match Ipv4Addr::to_bits(ip) & host_bits {
        0 => Some("network"),
        last if last == host_bits => Some("broadcast"),
        _ => None,
    }
}

fn key_file(section: &Section<'_>) -> Option<Spanned<PathBuf>> {
    const EXAMPLE: &str = "key_file = \"/etc/carp/web.key\"";
    if section.value("key_credential").is_none() {
        section.require("key_file", EXAMPLE)?;
    }
    let path = section.text("key_file", EXAMPLE)?;
    if path.get_ref().is_empty() || path.get_ref().contains('\0') {
        section.reader().mistake(
            path.span(),
            "this is not a path",
            format!("write it like {EXAMPLE}"),
        );
        return None;
    }
    Some(Spanned::new(path.span(), section.reader().resolve(path.get_ref())))
}

fn key(section: &Section<'_>, path: &Spanned<PathBuf>) -> Option<Key> {
    let reader = section.reader();
    let shown = path.get_ref().display();
    match reader.host().key(path.get_ref()) {
        Ok(file) => {
            if file.ends_with_space {
                let message =
                    format!("the key in {shown} ends with white space, which is part of it");
                let help = "one newline at the end is taken off, more than that is not";
                reader.warning(path.span(), message, help);
            }
            Some(file.key)
        }
        Err(error) => {
            let help = error.remedy(path.get_ref());
            reader.mistake(path.span(), format!("key file {shown}: {error}"), help);
            None
        }
    }
}

fn dialect(section: &Section<'_>) -> Dialect {
    let names = Dialect::ALL.map(|dialect| (dialect.name(), dialect));
    section.word("dialect", &names).unwrap_or_default()
}

fn interval(section: &Section<'_>, dialect: Dialect) -> Option<CarpInterval> {
    let part = |key, default| match section.value(key) {
        Some(_) => section.integer(key),
        None => Some(Spanned::new(0..0, default)),
    };
    let in_range = |span, error: IntervalError| section.reader().error(span, error.to_string());
    let (base, skew) = (part("advbase", 1), part("advskew", 0));
    let advbase = base.as_ref().and_then(|base| {
        AdvBase::new(*base.get_ref()).map_err(|error| in_range(base.span(), error)).ok()
    });
    let advskew = skew.and_then(|skew| {
        AdvSkew::new(*skew.get_ref()).map_err(|error| in_range(skew.span(), error)).ok()
    });
    let interval = CarpInterval::new(advbase?, advskew?);
    if interval.advbase == 0 && !dialect.policy().zero_base {
        let message = IntervalError::Zero.to_string();
        let help = "take advbase = 1 or one of these dialects";
        section.reader().mistake(base?.span(), message, help);
        return None;
    }
    Some(interval)
}

fn advert_mac(section: &Section<'_>) -> AdvertMac {
    let names = AdvertMac::ALL.map(|mac| (mac.name(), mac));
    section.word("advert_mac", &names).unwrap_or_default()
}

/// `None` for `"auto"`.
fn handover(section: &Section<'_>) -> Option<Duration> {
    let text = section.text("handover", "handover = \"2s\"")?;
    if *text.get_ref() == "auto" {
        return None;
    }
    section.reader().duration(&text, Duration::ZERO..=MAX_HANDOVER)
}

fn announce(section: &Section<'_>) -> AnnouncePlan {
    let plan = AnnouncePlan::default();
    let example = "announce = { burst = 5, repeat = [\"1s\", \"5s\"], refresh = \"60s\" }";
    let inner = section.section("announce", "announce", example, &known::ANNOUNCE);
    let Some(inner) = inner else { return plan };
    AnnouncePlan {
        burst: burst(&inner).unwrap_or(plan.burst),
        repeat: repeat(&inner).unwrap_or(plan.repeat),
        refresh: refresh(&inner).unwrap_or(plan.refresh),
    }
}

fn burst(announce: &Section<'_>) -> Option<u8> {
    let number = announce.integer("burst")?;
    let burst =
        u8::try_from(*number.get_ref()).ok().filter(|burst| (1..=MAX_BURST).contains(burst));
    if burst.is_none() {
        let message = format!("burst {} is out of range: it is 1 to {MAX_BURST}", number.get_ref());
        announce.reader().error(number.span(), message);
    }
    burst
}

fn repeat(announce: &Section<'_>) -> Option<[Option<Duration>; 4]> {
    let reader = announce.reader();
    let list = announce.texts("repeat", "repeat = [\"1s\", \"5s\"]")?;
    let mut plan = [None; 4];
    if list.get_ref().len() > plan.len() {
        let found = list.get_ref().len();
        reader.error(list.span(), format!("repeat has {found} times: at most {} fit", plan.len()));
        return None;
    }
    let mut last = None;
    for (slot, text) in plan.iter_mut().zip(list.get_ref()) {
        let time = reader.duration(text, MILLISECOND..=DAY)?;
        if last.is_some_and(|last| time <= last) {
            let message = "the times of repeat are not ascending";
            let help =
                "they count from the takeover: \"1s\", \"5s\" is once after 1 s and once after 5 s";
            reader.mistake(text.span(), message, help);
            return None;
        }
        *slot = Some(time);
        last = Some(time);
    }
    Some(plan)
}

/// `Some(None)` for `"off"`.
fn refresh(announce: &Section<'_>) -> Option<Option<Duration>> {
    let text = announce.text("refresh", "refresh = \"60s\"")?;
    if *text.get_ref() == "off" {
        return Some(None);
    }
    announce.reader().duration(&text, SECOND..=DAY).map(Some)
}

fn hooks(section: &Section<'_>, name: &str) -> HookSpec {
    let hooks = HookSpec::default();
    let title = format!("[router.{name}.on]");
    let Some(on) = section.section("on", &title, &title, &known::ON) else { return hooks };
    HookSpec {
        active: argv(&on, "active"),
        backup: argv(&on, "backup"),
        init: argv(&on, "init"),
        before_active: argv(&on, "before_active"),
        timeout: timeout(&on).unwrap_or(hooks.timeout),
        account: None,
    }
}

fn timeout(on: &Section<'_>) -> Option<Duration> {
    const LIMITS: RangeInclusive<Duration> = MILLISECOND..=DAY;
    on.duration("timeout", LIMITS)
}

fn argv(on: &Section<'_>, key: &str) -> Option<Vec<String>> {
    let reader = on.reader();
    let example = format!("{key} = [\"/usr/local/bin/notify\", \"web\"]");
    let list = on.texts(key, &example)?;
    let nul = list.get_ref().iter().find(|argument| argument.get_ref().contains('\0'));
    if let Some(nul) = nul {
        reader.mistake(nul.span(), "an argument cannot contain a NUL character", "remove it");
        return None;
    }
    match list.get_ref().first() {
        None => {
            let message = format!("{key} names no program");
            let help = format!("write it like {example}, or leave {key} out");
            reader.mistake(list.span(), message, help);
        }
        Some(program) if !program.get_ref().starts_with('/') => {
            let message = format!("{:?} is not an absolute path", program.get_ref());
            let help = "there is no shell and no search path: begin the program with /";
            reader.mistake(program.span(), message, help);
        }
        Some(program) => check_program(reader, program),
    }
    Some(list.into_inner().into_iter().map(|argument| argument.into_inner().to_owned()).collect())
}

fn check_program(reader: &Reader<'_>, program: &Spanned<&str>) {
    if let Err(error) = reader.host().program(Path::new(program.get_ref())) {
        let message = format!("program {:?} {error}", program.get_ref());
        reader.warning(
            program.span(),
            message,
            "install it and make it executable before it is needed",
        );
    }
}
