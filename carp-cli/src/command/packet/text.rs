//! A line for people.

use std::net::IpAddr;

use carp_node::dissect::{Dissected, Layer, Message, Vrrp3};
use carp_proto::wire::WireError;
use carp_proto::wire::carp::{Advert, Parsed};
use carp_proto::wire::ip::TTL;
use carp_proto::wire::vrrp::trailer::EXTENSION_SHA256;
use carp_proto::wire::vrrp::v2::{self, AuthType};
use carp_proto::wire::vrrp::v3::Checksum;
use carp_proto::wire::vrrp::{Addresses, ChecksumForm};
use carp_proto::{Priority, Protocol, Reject};

use super::{Authentication, Record};

/// Number, time of day, sender and receiver, what it says; then what is unusual.
pub(super) fn line(record: &Record<'_>, authentication: Authentication, color: bool) -> String {
    let found = &record.found;
    let mut fields = vec![format!("{:>4}", record.frame)];
    match record.time.map(|time| time.to_string()) {
        Some(time) => {
            fields.push(time.split_once('T').map_or(&*time, |(_, of_day)| of_day).to_owned());
        }
        // Hex never has a time, a capture almost always.
        None if record.layer.is_none() => fields.push("-".to_owned()),
        None => {}
    }
    fields.extend(found.link.vlan.map(|vlan| format!("vlan {vlan}")));
    if let Some(meta) = found.meta {
        fields.push(format!("{:<27}", format!("{} > {}", meta.source, meta.destination)));
    }
    fields.push(says(&found.message, found.length));
    fields.extend(found.meta.map(|meta| format!("ttl {}", meta.ttl)));
    if let Some(header) = found.authentication {
        fields.push(format!("in AH spi {:#010x} sequence {}", header.spi, header.sequence));
    }
    fields.extend(proof(&found.message, authentication));
    fields.extend(checksum_form(&found.message));
    if let Some(layer) = record.layer {
        fields.push(format!("(read as {})", named(layer)));
    }
    let (red, end) = if color { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let unusual = unusual(found, authentication);
    fields.extend(unusual.iter().map(|unusual| format!("{red}! {unusual}{end}")));
    fields.join("  ") + "\n"
}

/// What a message of this length says.
fn says(message: &Message<'_>, length: usize) -> String {
    match message {
        Message::Carp(Parsed { advert, .. }) => carp(advert),
        Message::Vrrp2(v2::Parsed { advert, .. }) => {
            let (vrid, priority, interval) = (advert.vrid, advert.priority, advert.interval);
            vrrp("VRRPv2", vrid, priority, &interval.to_string(), advert.addresses)
        }
        Message::Vrrp3(Vrrp3 { advert, .. }) => {
            let (vrid, priority, interval) = (advert.vrid, advert.priority, advert.interval);
            vrrp("VRRPv3", vrid, priority, &interval.to_string(), advert.addresses)
        }
        Message::Unreadable { protocol, .. } => format!("{}, {length} bytes", title(*protocol)),
    }
}

fn carp(advert: &Advert) -> String {
    let rank = if advert.interval.is_resignation() {
        "resigns".to_owned()
    } else {
        advert.interval.to_string()
    };
    let Advert { vhid, demotion, counter, .. } = advert;
    format!("CARP vhid {vhid}  {rank:<11}  demotion {demotion}  counter {counter:016x}")
}

fn vrrp(
    title: &str,
    vrid: u8,
    priority: Priority,
    interval: &str,
    addresses: Addresses<'_>,
) -> String {
    let list: Vec<String> = addresses.iter().map(|address| address.to_string()).collect();
    let list = if list.is_empty() { "no addresses".to_owned() } else { list.join(", ") };
    format!("{title} vrid {vrid}  {:<12}  every {interval}  {list}", rank(priority))
}

fn rank(priority: Priority) -> String {
    if priority.is_resignation() {
        format!("priority {priority} (resigns)")
    } else if priority.is_owner() {
        format!("priority {priority} (owner)")
    } else {
        format!("priority {priority}")
    }
}

pub(super) const fn title(protocol: Option<Protocol>) -> &'static str {
    match protocol {
        Some(Protocol::Carp) => "CARP",
        Some(Protocol::Vrrp2) => "VRRPv2",
        Some(Protocol::Vrrp3) => "VRRPv3",
        None => "unknown",
    }
}

/// How it is authenticated.
fn proof(message: &Message<'_>, authentication: Authentication) -> Option<String> {
    let name = match message {
        Message::Carp(_) => authentication.name().to_owned(),
        Message::Vrrp2(parsed) => match parsed.advert.auth_type {
            AuthType::None => "none".to_owned(),
            AuthType::Password => "password".to_owned(),
            AuthType::Header => "AH".to_owned(),
            AuthType::Unknown(number) => format!("type {number}"),
        },
        Message::Vrrp3(Vrrp3 { signed: None, .. }) => "none".to_owned(),
        Message::Vrrp3(Vrrp3 { signed: Some(signed), .. }) => {
            let (kind, key) = (signed.trailer.extension, signed.trailer.key_id);
            match kind {
                EXTENSION_SHA256 => format!("hmac (key {key}, unchecked)"),
                other => format!("trailer of extension {other}"),
            }
        }
        Message::Unreadable { .. } => return None,
    };
    Some(format!("authentication {name}"))
}

/// What the checksum covers, where there are two ways.
fn checksum_form(message: &Message<'_>) -> Option<String> {
    let Message::Vrrp3(Vrrp3 { advert, checksum, .. }) = message else { return None };
    let name = match (checksum, advert.addresses.first()) {
        (_, Some(IpAddr::V6(_))) | (Some(Checksum::Bad), _) => return None,
        (None, _) => "unchecked",
        (Some(Checksum::FitsBoth), _) => "of either form",
        (Some(Checksum::Fits(ChecksumForm::Message)), _) => "of the message",
        (Some(Checksum::Fits(ChecksumForm::PseudoHeader)), _) => "with pseudo-header",
    };
    Some(format!("checksum {name}"))
}

/// What should not be so.
fn unusual(found: &Dissected<'_>, authentication: Authentication) -> Vec<String> {
    let mut unusual = Vec::new();
    if found.message.is_damaged() {
        unusual.push("checksum bad".to_owned());
    }
    match &found.message {
        Message::Carp(Parsed { advert, .. }) => unusual_id("vhid", advert.vhid, &mut unusual),
        Message::Vrrp2(v2::Parsed { advert, .. }) => {
            unusual_vrrp(advert.vrid, advert.interval.get() == 0, advert.addresses, &mut unusual);
            unusual_carrier(found, advert.auth_type, &mut unusual);
        }
        Message::Vrrp3(Vrrp3 { advert, .. }) => {
            unusual_vrrp(advert.vrid, advert.interval.get() == 0, advert.addresses, &mut unusual);
        }
        Message::Unreadable { error: WireError::Truncated { found: there, needed }, .. }
            if found.bytes.len() < found.length =>
        {
            unusual.push(format!("too-short: {there} of {needed} bytes were captured"));
        }
        Message::Unreadable { error, .. } => {
            unusual.push(format!("{}: {error}", Reject::from(*error).label()));
        }
    }
    if found.meta.is_some_and(|meta| meta.ttl != TTL) {
        unusual.push(format!("ttl not {TTL}: it crossed a router"));
    }
    if authentication == Authentication::Bad {
        unusual.push("authentication failed: another key, or other addresses".to_owned());
    }
    unusual
}

fn unusual_id(name: &str, id: u8, unusual: &mut Vec<String>) {
    if id == 0 {
        unusual.push(format!("{name} 0 names no router"));
    }
}

fn unusual_vrrp(vrid: u8, no_interval: bool, addresses: Addresses<'_>, unusual: &mut Vec<String>) {
    unusual_id("vrid", vrid, unusual);
    if no_interval {
        unusual.push("an interval of 0".to_owned());
    }
    match addresses.first() {
        None => unusual.push("no addresses".to_owned()),
        Some(IpAddr::V6(first)) if !first.is_unicast_link_local() => {
            unusual.push(
                "the first address is not link-local, as FRR and keepalived may send it".to_owned(),
            );
        }
        Some(_) => {}
    }
}

/// Version 2 is for IPv4, and its type of authentication says whether AH is around it.
fn unusual_carrier(found: &Dissected<'_>, auth_type: AuthType, unusual: &mut Vec<String>) {
    let Some(meta) = found.meta else { return };
    if meta.source.is_ipv6() {
        unusual.push("version 2 over IPv6".to_owned());
    }
    match (auth_type, found.authentication) {
        (AuthType::Header, None) => unusual.push("not inside AH".to_owned()),
        (AuthType::None | AuthType::Password | AuthType::Unknown(_), Some(_)) => {
            unusual.push("inside AH, and does not say so".to_owned());
        }
        (AuthType::Unknown(number), None) => {
            unusual.push(format!("authentication type {number} is none"));
        }
        (AuthType::Header, Some(_)) | (AuthType::None | AuthType::Password, None) => {}
    }
}

const fn named(layer: Layer) -> &'static str {
    match layer {
        Layer::Link(_) => "an Ethernet frame",
        Layer::Ip => "an IP packet",
        Layer::Message => "a message",
    }
}
