//! `addresses`: what can be one, and what a protocol makes of the list.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carp_proto::{Family, Protocol, VirtualAddress, VirtualId};
use toml::Spanned;

use crate::config::read::{Reader, Section};

const EXAMPLE: &str = "addresses = [\"192.168.130.100\"]";

/// An advert of VRRP counts its addresses in one byte.
const MAX_LISTED: usize = 255;

/// The addresses of a router.
pub(super) struct Addresses {
    pub(super) list: Vec<Spanned<VirtualAddress>>,
    /// What the IPv6 list of VRRP version 3 begins with, if nothing fitting is written.
    pub(super) derived: Option<VirtualAddress>,
}

impl Addresses {
    pub(super) fn read(
        section: &Section<'_>,
        protocol: Option<Protocol>,
        id: Option<VirtualId>,
        owner: bool,
    ) -> Self {
        let mut list = list(section);
        list.retain(|address| is_a_hosts(section.reader(), address));
        let derived = match protocol {
            Some(Protocol::Vrrp2) => {
                refuse_ipv6(section.reader(), &list);
                None
            }
            Some(Protocol::Vrrp3) => link_local(section, &list, id, owner),
            Some(Protocol::Carp) | None => None,
        };
        if matches!(protocol, Some(Protocol::Vrrp2 | Protocol::Vrrp3)) {
            check_length(section, &list, derived);
        }
        Self { list, derived }
    }

    pub(super) fn has(&self, family: Family) -> bool {
        self.list.iter().any(|address| address.get_ref().family() == family)
    }

    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        let written = self.list.iter().map(Spanned::get_ref);
        written.chain(&self.derived).any(|address| address.ip() == ip)
    }
}

/// The elements of `addresses` that can be read.
pub(super) fn list(section: &Section<'_>) -> Vec<Spanned<VirtualAddress>> {
    if section.require("addresses", EXAMPLE).is_none() {
        return Vec::new();
    }
    let Some(texts) = section.texts("addresses", EXAMPLE) else { return Vec::new() };
    let array = section.value("addresses").and_then(|value| value.get_ref().as_array());
    if array.is_some_and(|array| array.is_empty()) {
        let message = "a router needs at least one address";
        section.reader().mistake(texts.span(), message, format!("write it like {EXAMPLE}"));
    }
    let texts = texts.into_inner();
    texts.iter().filter_map(|text| address(section.reader(), text)).collect()
}

fn address(reader: &Reader<'_>, text: &Spanned<&str>) -> Option<Spanned<VirtualAddress>> {
    match text.get_ref().parse() {
        Ok(address) => Some(Spanned::new(text.span(), address)),
        Err(error) => {
            reader.error(text.span(), format!("address {:?}: {error}", text.get_ref()));
            None
        }
    }
}

/// Whether a host can have the address. Of a prefix that is wider than it has to be, a warning.
fn is_a_hosts(reader: &Reader<'_>, address: &Spanned<VirtualAddress>) -> bool {
    let (span, address) = (address.span(), *address.get_ref());
    if let Some(role) = reserved(address) {
        let message = format!("{address} is the {role} address of its network, not one of a host");
        let help = "take another address of the network, or leave out the prefix length";
        reader.mistake(span, message, help);
        return false;
    }
    if let Some(ip) = mapped(address.ip()) {
        let message = format!("{address} is an IPv4 address written as one of IPv6");
        reader.mistake(span, message, format!("write \"{ip}\""));
        return false;
    }
    if !address.is_host() {
        let message = format!(
            "{address} is wider than a host prefix: outgoing traffic may come from it, and it is \
             not installed while the interface has no other address of that network"
        );
        let sysctl = match address.family() {
            Family::Ipv4 => ", with the sysctl promote_secondaries=1",
            Family::Ipv6 => "",
        };
        let help = format!(
            "write \"{}\"; or keep another address of the network on the interface{sysctl}",
            address.ip()
        );
        reader.warning(span, message, help);
    }
    true
}

/// Whether an address is the first or the last of its network. Networks of one or two addresses
/// have neither (RFC 3021, RFC 6164); of IPv6, only the first is reserved (RFC 4291 section 2.6.1).
fn reserved(address: VirtualAddress) -> Option<&'static str> {
    match address.ip() {
        IpAddr::V4(ip) => {
            let host_bits =
                u32::MAX.checked_shr(address.prefix_len().into()).filter(|&bits| bits > 1)?;
            match Ipv4Addr::to_bits(ip) & host_bits {
                0 => Some("network"),
                last if last == host_bits => Some("broadcast"),
                _ => None,
            }
        }
        IpAddr::V6(ip) => {
            let host_bits =
                u128::MAX.checked_shr(address.prefix_len().into()).filter(|&bits| bits > 1)?;
            (Ipv6Addr::to_bits(ip) & host_bits == 0).then_some("subnet-router anycast")
        }
    }
}

fn mapped(ip: IpAddr) -> Option<Ipv4Addr> {
    match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => ip.to_ipv4_mapped(),
    }
}

fn refuse_ipv6(reader: &Reader<'_>, list: &[Spanned<VirtualAddress>]) {
    for address in list.iter().filter(|address| address.get_ref().family() == Family::Ipv6) {
        let message = format!("{} is an IPv6 address: vrrp2 has IPv4 only", address.get_ref());
        reader.mistake(address.span(), message, "take protocol = \"vrrp3\" for IPv6");
    }
}

/// The link-local address that the IPv6 list has to begin with (RFC 9568 section 5.2.9), if none is
/// written. One that is not the first is an error: which of several is meant, we do not guess.
fn link_local(
    section: &Section<'_>,
    list: &[Spanned<VirtualAddress>],
    id: Option<VirtualId>,
    owner: bool,
) -> Option<VirtualAddress> {
    let reader = section.reader();
    let mut ipv6 = list.iter().filter(|address| address.get_ref().family() == Family::Ipv6);
    let first = ipv6.next()?;
    if is_link_local(first.get_ref()) {
        return None;
    }
    if let Some(later) = ipv6.find(|address| is_link_local(address.get_ref())) {
        let message = format!("{} is link-local, but not the first IPv6 address", later.get_ref());
        let help = "write it before the other IPv6 addresses: adverts of vrrp3 begin with it";
        reader.mistake(later.span(), message, help);
        return None;
    }
    if owner {
        let message = "an owner's IPv6 addresses begin with a link-local one";
        let help = "write the interface's own fe80:: address before the others: it cannot be \
                    derived, because an owner's addresses are never added";
        reader.mistake(first.span(), message, help);
        return None;
    }
    derived(id?)
}

fn is_link_local(address: &VirtualAddress) -> bool {
    match address.ip() {
        IpAddr::V4(_) => false,
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The modified EUI-64 of 00:00:5e:00:02:ID (RFC 2464 section 4): it depends on the id alone, so that
/// all nodes derive the same.
fn derived(id: VirtualId) -> Option<VirtualAddress> {
    let ip = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x0200, 0x5eff, 0xfe00, 0x0200 | u16::from(id.get()));
    VirtualAddress::new(ip.into(), None).ok()
}

fn check_length(
    section: &Section<'_>,
    list: &[Spanned<VirtualAddress>],
    derived: Option<VirtualAddress>,
) {
    for (family, name) in [(Family::Ipv4, "IPv4"), (Family::Ipv6, "IPv6")] {
        let written = list.iter().filter(|address| address.get_ref().family() == family).count();
        let derived = derived.iter().filter(|address| address.family() == family).count();
        let found = written + derived;
        if let (true, Some(value)) = (found > MAX_LISTED, section.value("addresses")) {
            let message =
                format!("{found} {name} addresses are more than the {MAX_LISTED} of an advert");
            let help = "make two routers of it, with ids of their own";
            section.reader().mistake(value.span(), message, help);
        }
    }
}
