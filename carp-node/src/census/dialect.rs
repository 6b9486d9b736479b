//! Which implementation a speaker may be, by what implementations do differently.
//!
//! | what | who |
//! |---|---|
//! | CARP from 00:00:5e:00:00:ID | ucarp |
//! | CARP from 00:00:5e:00:01:ID | OpenBSD (type of service 0x10), FreeBSD (0xe0) |
//! | CARP to the group from the interface's own MAC | this project |
//! | CARP whose counter never changes, or with a demotion | OpenBSD |
//! | VRRP inside AH, or signed | keepalived |
//! | VRRP over IPv4 with type of service 0xc0 | FRR (don't fragment, virtual MAC), keepalived |
//! | VRRP version 3 over IPv4 with the checksum of the message alone | RFC 9568, among others Cisco, Juniper, Arista |
//!
//! All of them can be configured otherwise or imitated. That is why each guess has its reason.

use carp_proto::wire::ip::TOS_LOW_DELAY;
use carp_proto::wire::vrrp::ChecksumForm;
use carp_proto::{MacAddr, Protocol, VirtualId};

use super::speaker::{Proof, Rank, Speaker};

/// FreeBSD's default, `net.inet.carp.dscp` = 56.
const TOS_FREEBSD: u8 = 0xe0;

/// "Internetwork control", what keepalived and FRR set.
const TOS_CONTROL: u8 = 0xc0;

/// How virtual MACs begin, of whatever protocol and id (RFC 9542 section 2.1).
const IANA: [u8; 3] = [0x00, 0x00, 0x5e];

/// So many adverts with one counter are no coincidence: a sender can repeat itself once.
const ADVERTS_FOR_CONSTANT: u64 = 3;

/// An implementation that a speaker may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// Its name: `native`, `openbsd`, `freebsd`, `ucarp`, `keepalived`, `frr`, `rfc9568`.
    pub dialect: &'static str,
    /// What speaks for it.
    pub reason: String,
}

fn guess(dialect: &'static str, reason: impl Into<String>) -> Guess {
    Guess { dialect, reason: reason.into() }
}

/// The guesses about a speaker, the surest first.
pub(super) fn guesses(speaker: &Speaker) -> Vec<Guess> {
    let Ok(id) = VirtualId::new(speaker.id) else { return Vec::new() };
    match speaker.protocol {
        Protocol::Carp => carp(speaker, id),
        Protocol::Vrrp2 | Protocol::Vrrp3 => vrrp(speaker, id),
    }
}

fn carp(speaker: &Speaker, id: VirtualId) -> Vec<Guess> {
    let mut guesses = Vec::new();
    if let Rank::Carp { demotion: 1.., .. } = speaker.rank {
        guesses.push(guess("openbsd", "it has a demotion, which others do not send"));
    }
    if speaker.traces.constant_counter && speaker.adverts >= ADVERTS_FOR_CONSTANT {
        guesses.push(guess("openbsd", "the counter is always the same"));
    }
    let tos = speaker.traces.service.map(|service| service.traffic_class);
    match speaker.mac {
        Some(mac) if mac == MacAddr::ucarp(id) => guesses.push(guess("ucarp", from(mac))),
        Some(mac) if mac == MacAddr::virtual_router(id) => match tos {
            Some(TOS_FREEBSD) => {
                guesses.push(guess("freebsd", from(mac) + " with type of service 0xe0"));
            }
            Some(TOS_LOW_DELAY) => {
                guesses.push(guess("openbsd", from(mac) + " with type of service 0x10"));
            }
            Some(_) | None => {
                guesses.extend([guess("openbsd", from(mac)), guess("freebsd", from(mac))]);
            }
        },
        Some(mac) if speaker.destination.is_multicast() && !mac.0.starts_with(&IANA) => {
            guesses.push(guess("native", format!("{}, which is no virtual MAC", from(mac))));
        }
        Some(_) | None => {}
    }
    guesses
}

fn vrrp(speaker: &Speaker, id: VirtualId) -> Vec<Guess> {
    let mut guesses = Vec::new();
    match speaker.proof {
        Proof::Header => guesses.push(guess("keepalived", "its adverts are inside AH")),
        Proof::Hmac { .. } => {
            guesses.push(guess("keepalived", "its adverts are signed, as since release 2.4.2"));
        }
        Proof::None
        | Proof::DigestOk
        | Proof::DigestBad
        | Proof::DigestUnchecked
        | Proof::Password
        | Proof::Unknown => {}
    }
    if speaker.source.is_ipv4() && speaker.traces.form == Some(ChecksumForm::Message) {
        guesses.push(guess("rfc9568", "the checksum covers the message alone"));
    }
    let virtual_macs = [MacAddr::virtual_router(id), MacAddr::virtual_router_ipv6(id)];
    let is_virtual = speaker.mac.is_some_and(|mac| virtual_macs.contains(&mac));
    let service = speaker.traces.service.filter(|service| service.traffic_class == TOS_CONTROL);
    match service.map(|service| service.dont_fragment) {
        Some(Some(true)) if is_virtual => {
            guesses
                .push(guess("frr", "type of service 0xc0, don't fragment, from the virtual MAC"));
        }
        Some(Some(false)) => {
            guesses.push(guess("keepalived", "type of service 0xc0, may be fragmented"));
        }
        Some(None) if is_virtual && speaker.traces.lacks_link_local => {
            guesses.push(guess("frr", "no link-local address, from the virtual MAC"));
        }
        Some(_) | None => {}
    }
    guesses
}

fn from(mac: MacAddr) -> String {
    format!("from {mac}")
}
