//! `carp decode --json`: the keys of the contract.

use std::io;
use std::net::IpAddr;

use carp_node::dissect::Message;
use carp_proto::Reject;
use serde::Serialize;

use super::{Authentication, Record};

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
    Carp(Carp),
    Vrrp {},
    Unreadable { error: &'static str },
}

#[derive(Serialize)]
struct Carp {
    vhid: u8,
    advskew: u8,
    advbase: u8,
    demotion: u8,
    counter: String,
    checksum: &'static str,
    authentication: &'static str,
}

impl Object {
    fn of(record: &Record<'_>, authentication: Authentication) -> Self {
        let found = &record.found;
        Self {
            frame: record.frame,
            time: record.time.map(|time| time.to_string()),
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
    fn of(message: &Message, authentication: Authentication) -> Self {
        match message {
            Message::Carp(parsed) => Self::Carp(Carp {
                vhid: parsed.advert.vhid,
                advskew: parsed.advert.interval.advskew,
                advbase: parsed.advert.interval.advbase,
                demotion: parsed.advert.demotion,
                counter: format!("{:016x}", parsed.advert.counter),
                checksum: if parsed.checksum_ok { "ok" } else { "bad" },
                authentication: authentication.name(),
            }),
            Message::Vrrp2 | Message::Vrrp3 => Self::Vrrp {},
            Message::Unreadable { error, .. } => {
                Self::Unreadable { error: Reject::from(*error).label() }
            }
        }
    }
}
