//! A line for people.

use carp_node::dissect::{Layer, Message};
use carp_proto::wire::WireError;
use carp_proto::wire::carp::Parsed;
use carp_proto::wire::ip::TTL;
use carp_proto::{Protocol, Reject};

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
    if let Some(meta) = found.meta {
        fields.push(format!("{:<27}", format!("{} > {}", meta.source, meta.destination)));
    }
    fields.push(says(&found.message, found.length));
    if let Some(meta) = found.meta {
        fields.push(format!("ttl {}", meta.ttl));
    }
    if found.authentication_header {
        fields.push("in AH".to_owned());
    }
    if let Message::Carp(_) = found.message {
        fields.push(format!("authentication {}", authentication.name()));
    }
    if let Some(layer) = record.layer {
        fields.push(format!("(read as {})", named(layer)));
    }
    let (red, end) = if color { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    let unusual = unusual(record, authentication);
    fields.extend(unusual.iter().map(|unusual| format!("{red}! {unusual}{end}")));
    fields.join("  ") + "\n"
}

/// What a message of this length says.
fn says(message: &Message, length: usize) -> String {
    match message {
        Message::Carp(Parsed { advert, .. }) => {
            let rank = if advert.interval.is_resignation() {
                "resigns".to_owned()
            } else {
                advert.interval.to_string()
            };
            let (vhid, demotion, counter) = (advert.vhid, advert.demotion, advert.counter);
            format!("CARP vhid {vhid}  {rank:<11}  demotion {demotion}  counter {counter:016x}")
        }
        Message::Vrrp2 | Message::Vrrp3 | Message::Unreadable { .. } => {
            format!("{}, {length} bytes", title(message.protocol()))
        }
    }
}

const fn title(protocol: Option<Protocol>) -> &'static str {
    match protocol {
        Some(Protocol::Carp) => "CARP",
        Some(Protocol::Vrrp2) => "VRRPv2",
        Some(Protocol::Vrrp3) => "VRRPv3",
        None => "unknown",
    }
}

/// What should not be so.
fn unusual(record: &Record<'_>, authentication: Authentication) -> Vec<String> {
    let found = &record.found;
    let mut unusual = Vec::new();
    match &found.message {
        Message::Carp(parsed) if !parsed.checksum_ok => unusual.push("checksum bad".to_owned()),
        Message::Unreadable { error: WireError::Truncated { found: there, needed }, .. }
            if found.bytes.len() < found.length =>
        {
            unusual.push(format!("too-short: {there} of {needed} bytes were captured"));
        }
        Message::Unreadable { error, .. } => {
            unusual.push(format!("{}: {error}", Reject::from(*error).label()));
        }
        Message::Carp(_) | Message::Vrrp2 | Message::Vrrp3 => {}
    }
    if found.meta.is_some_and(|meta| meta.ttl != TTL) {
        unusual.push(format!("ttl not {TTL}: it crossed a router"));
    }
    if authentication == Authentication::Bad {
        unusual.push("authentication failed: another key, or other addresses".to_owned());
    }
    unusual
}

const fn named(layer: Layer) -> &'static str {
    match layer {
        Layer::Link(_) => "an Ethernet frame",
        Layer::Ip => "an IP packet",
        Layer::Message => "a message",
    }
}
