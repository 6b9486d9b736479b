//! `peers`, `accept_from` and `min_ttl`: whose adverts are heard.

use std::net::IpAddr;

use carp_proto::auth::HmacMode;
use carp_proto::{Family, Protocol, VirtualAddress};
use toml::Spanned;

use super::addresses::Addresses;
use crate::config::read::Section;
use crate::config::spec::ProtocolSpec;

/// The TTL that no router has lowered.
const FULL_TTL: u8 = 255;

/// Whose adverts are heard.
pub(super) struct Senders {
    pub(super) peers: Vec<Spanned<IpAddr>>,
    pub(super) accept_from: Vec<Spanned<IpAddr>>,
    pub(super) min_ttl: u8,
}

impl Senders {
    pub(super) fn read(
        section: &Section<'_>,
        protocol: Option<Protocol>,
        addresses: &Addresses,
        speech: Option<&ProtocolSpec>,
    ) -> Self {
        let accept_from = list(section, "accept_from", protocol, addresses);
        if let (true, [_, ..]) = (has_peers(section), &accept_from[..]) {
            let message = "accept_from does not go with peers: only they are heard";
            let span = section.value("accept_from").map(Spanned::span).unwrap_or_default();
            section.reader().mistake(span, message, "remove accept_from, or remove peers");
        }
        Self {
            peers: list(section, "peers", protocol, addresses),
            accept_from,
            min_ttl: min_ttl(section, speech).unwrap_or(FULL_TTL),
        }
    }
}

/// Whether `peers` is written and not empty, whatever is in it.
pub(super) fn has_peers(section: &Section<'_>) -> bool {
    let peers = section.value("peers").and_then(|value| value.get_ref().as_array());
    peers.is_some_and(|peers| !peers.is_empty())
}

fn list(
    section: &Section<'_>,
    key: &str,
    protocol: Option<Protocol>,
    addresses: &Addresses,
) -> Vec<Spanned<IpAddr>> {
    let example = format!("{key} = [\"192.168.130.10\"]");
    let Some(texts) = section.texts(key, &example) else { return Vec::new() };
    let mut list: Vec<Spanned<IpAddr>> = Vec::new();
    for text in texts.get_ref() {
        match sender(text.get_ref(), addresses, &list) {
            Ok(ip) => list.push(Spanned::new(text.span(), ip)),
            Err((problem, help)) => {
                section.reader().mistake(text.span(), format!("{key}: {problem}"), help);
            }
        }
    }
    // Nothing is missing in a list of which a part could not be read.
    if protocol == Some(Protocol::Vrrp3) && list.len() == texts.get_ref().len() {
        check_families(section, key, addresses, &list);
    }
    list
}

/// What stands there, or what is wrong with it and what to do.
fn sender(
    text: &str,
    addresses: &Addresses,
    before: &[Spanned<IpAddr>],
) -> Result<IpAddr, (String, &'static str)> {
    let Ok(ip) = text.parse::<IpAddr>() else {
        return Err((format!("{text:?} is not an IP address"), "write it like 192.168.130.10"));
    };
    let others = "name the addresses that the other servers always have";
    if let Err(error) = VirtualAddress::new(ip, None) {
        return Err((error.to_string(), others));
    }
    if addresses.contains(ip) {
        return Err((format!("{ip} is an address of this router, which moves"), others));
    }
    let family = Family::of(ip);
    // Without a valid address there is no telling.
    if !addresses.list.is_empty() && !addresses.has(family) {
        let problem = format!("{ip} is an {} address, and the router has none", name(family));
        return Err((problem, "adverts are sent in the families of the addresses"));
    }
    if before.iter().any(|other| *other.get_ref() == ip) {
        return Err((format!("{ip} is written twice"), "remove one of them"));
    }
    Ok(ip)
}

/// In VRRP version 3 the families elect on their own, so each needs somebody to hear.
fn check_families(
    section: &Section<'_>,
    key: &str,
    addresses: &Addresses,
    list: &[Spanned<IpAddr>],
) {
    if list.is_empty() {
        return;
    }
    for family in [Family::Ipv4, Family::Ipv6] {
        let named = list.iter().any(|ip| Family::of(*ip.get_ref()) == family);
        if let (true, false, Some(value)) = (addresses.has(family), named, section.value(key)) {
            let name = name(family);
            let message =
                format!("{key} has no {name} address: the router would hear nobody over {name}");
            let help = format!("add the {name} address of the other server");
            section.reader().mistake(value.span(), message, help);
        }
    }
}

const fn name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

fn min_ttl(section: &Section<'_>, speech: Option<&ProtocolSpec>) -> Option<u8> {
    let number = section.integer("min_ttl")?;
    let reader = section.reader();
    let Some(ttl) = u8::try_from(*number.get_ref()).ok().filter(|ttl| *ttl > 0) else {
        let message = format!("min_ttl {} is out of range: it is 1 to 255", number.get_ref());
        reader.error(number.span(), message);
        return None;
    };
    if ttl < FULL_TTL && !has_peers(section) {
        let message = format!("min_ttl {ttl} needs peers");
        let help = "what crosses routers can come from anywhere: name the peers, or remove min_ttl";
        reader.mistake(number.span(), message, help);
    }
    let help = speech.filter(|_| ttl < FULL_TTL).and_then(lacks_authentication);
    if let Some(help) = help {
        let message = format!("min_ttl {ttl} needs authentication");
        reader.mistake(number.span(), message, help);
    }
    Some(ttl)
}

/// What to do where strangers are heard; `None` where only the holders of a key are.
fn lacks_authentication(speech: &ProtocolSpec) -> Option<&'static str> {
    match speech {
        ProtocolSpec::Carp(_) => None,
        ProtocolSpec::Vrrp2(_) => Some(
            "everybody who hears an advert of vrrp2 knows its password: take vrrp3 with auth = \
             \"hmac\", or carp",
        ),
        ProtocolSpec::Vrrp3(vrrp) => match vrrp.hmac.as_ref().map(|hmac| hmac.mode) {
            Some(HmacMode::Enforce) => None,
            Some(HmacMode::Receive | HmacMode::Permissive) => {
                Some("unsigned adverts are accepted: set auth_mode = \"enforce\"")
            }
            None => Some("set auth = \"hmac\""),
        },
    }
}
