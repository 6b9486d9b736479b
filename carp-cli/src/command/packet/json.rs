//! `carp decode --json`: the keys of the contract.

use std::io;
use std::net::IpAddr;

use carp_node::control::Millis;
use carp_node::dissect::{Message, Vrrp3};
use carp_proto::Reject;
use carp_proto::wire::carp;
use carp_proto::wire::vrrp::trailer::EXTENSION_SHA256;
use carp_proto::wire::vrrp::v3::Checksum;
use carp_proto::wire::vrrp::{Addresses, ChecksumForm, v2};
use serde::Serialize;

use super::{Authentication, Record, auth_type_name};

/// One object, and the end of its line.
pub(super) fn line(record: &Record<'_>, authentication: Authentication) -> io::Result<String> {
    let mut line = serde_json::to_string(&Object::of(record, authentication))?;
    line.push('\n');
    Ok(line)
}

/// What every packet has. What is unknown is `null`: hex has no time, and a bare message no sender.
#[derive(Serialize)]
struct Object {
    frame: u64,
    time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    vlan: Option<u16>,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    ttl: Option<u8>,
    protocol: &'static str,
    length: usize,
    #[serde(flatten)]
    content: Content,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Content {
    Carp(CarpKeys),
    Vrrp2(Vrrp2Keys),
    Vrrp3(Vrrp3Keys),
    Unreadable { error: &'static str },
}

#[derive(Serialize)]
struct CarpKeys {
    vhid: u8,
    advskew: u8,
    advbase: u8,
    demotion: u8,
    counter: String,
    checksum: &'static str,
    authentication: &'static str,
}

#[derive(Serialize)]
struct Vrrp2Keys {
    vrid: u8,
    priority: u8,
    interval_ms: Millis,
    addresses: Vec<IpAddr>,
    auth_type: &'static str,
    checksum: &'static str,
}

#[derive(Serialize)]
struct Vrrp3Keys {
    vrid: u8,
    priority: u8,
    interval_ms: Millis,
    addresses: Vec<IpAddr>,
    checksum: Option<&'static str>,
    checksum_form: Option<&'static str>,
    auth: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_id: Option<u8>,
}

impl Object {
    fn of(record: &Record<'_>, authentication: Authentication) -> Self {
        let found = &record.found;
        Self {
            frame: record.frame,
            time: record.time.map(|time| time.to_string()),
            vlan: found.link.vlan,
            source: found.meta.map(|meta| meta.source),
            destination: found.meta.map(|meta| meta.destination),
            ttl: found.meta.map(|meta| meta.ttl),
            protocol: found.message.protocol().map_or("unknown", |protocol| protocol.name()),
            length: found.length,
            content: Content::of(&found.message, authentication),
        }
    }
}

impl Content {
    fn of(message: &Message<'_>, authentication: Authentication) -> Self {
        match message {
            Message::Carp(parsed) => Self::Carp(CarpKeys::of(parsed, authentication)),
            Message::Vrrp2(parsed) => Self::Vrrp2(Vrrp2Keys::of(parsed)),
            Message::Vrrp3(advert) => Self::Vrrp3(Vrrp3Keys::of(advert)),
            Message::Unreadable { error, .. } => {
                Self::Unreadable { error: Reject::from(*error).label() }
            }
        }
    }
}

impl CarpKeys {
    fn of(carp::Parsed { advert, checksum_ok }: &carp::Parsed, checked: Authentication) -> Self {
        Self {
            vhid: advert.vhid,
            advskew: advert.interval.advskew,
            advbase: advert.interval.advbase,
            demotion: advert.demotion,
            counter: format!("{:016x}", advert.counter),
            checksum: ok_or_bad(*checksum_ok),
            authentication: checked.name(),
        }
    }
}

impl Vrrp2Keys {
    fn of(v2::Parsed { advert, checksum_ok }: &v2::Parsed<'_>) -> Self {
        Self {
            vrid: advert.vrid,
            priority: advert.priority.get(),
            interval_ms: advert.interval.advert().into(),
            addresses: list(advert.addresses),
            auth_type: auth_type_name(advert.auth_type),
            checksum: ok_or_bad(*checksum_ok),
        }
    }
}

impl Vrrp3Keys {
    fn of(Vrrp3 { advert, checksum, signed }: &Vrrp3<'_>) -> Self {
        let trailer = signed.map(|signed| signed.trailer);
        Self {
            vrid: advert.vrid,
            priority: advert.priority.get(),
            interval_ms: advert.interval.advert().into(),
            addresses: list(advert.addresses),
            checksum: checksum.map(|checksum| ok_or_bad(checksum.is_ok())),
            checksum_form: checksum.and_then(Checksum::form).map(|form| match form {
                ChecksumForm::Message => "message",
                ChecksumForm::PseudoHeader => "pseudo-header",
            }),
            auth: match trailer {
                None => "none",
                Some(trailer) if trailer.extension == EXTENSION_SHA256 => "hmac",
                Some(_) => "unknown",
            },
            key_id: trailer.map(|trailer| trailer.key_id),
        }
    }
}

fn list(addresses: Addresses<'_>) -> Vec<IpAddr> {
    addresses.iter().collect()
}

const fn ok_or_bad(ok: bool) -> &'static str {
    if ok { "ok" } else { "bad" }
}
