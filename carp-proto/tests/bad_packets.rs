//! More than ten thousand bad packets, each with a name and the label that it has to get. They are made from good
//! ones, which are the adverts of real peers in `vectors/` and those of our own routers: every bit flipped, as it is
//! and under a checksum that fits again; every other id; every other TTL; every other length; no address; no interval
//! in version 3; no signature; and other ends of the path, to and from where the router hears nobody.
//!
//! What label each gets is told by the tables here, which know the formats and not the code. All labels are among
//! them. `malformed-ip` is here for the ends of a path that are of two families, or of another one than the router's:
//! an IP header that cannot be read is one step before a message, and `bad_input.rs` has those. CARP's own cookie,
//! which is an `own-loop` too, is there as well.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use carp_proto::election::{Input, LinkState};
use carp_proto::testing::{Extra, OWN_HOST, Peers, Said, Setup, Version};
use carp_proto::wire::vrrp::{trailer, v2, v3};
use carp_proto::wire::{Kind, carp, classify, ip};
use carp_proto::{
    Instant, Key, Priority, Reject, RouterConfig, RxMeta, VirtualAddress, VirtualRouter, Vrrp2,
    Vrrp3,
};
use support::wire::{flipped, sum_v2, sum_v3};
use support::{id, pcap};

/// A good packet, and a backup that accepts it.
struct Base {
    name: String,
    router: VirtualRouter,
    meta: RxMeta,
    message: Vec<u8>,
    format: Format,
    /// Whether it hears some hosts only.
    selective: bool,
    /// Whether it has addresses of both families, and so hears peers over both.
    both_families: bool,
}

/// What the tables have to know of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Carp,
    /// Version 2, perhaps with a password.
    V2 {
        password: bool,
    },
    V3(Form),
}

/// What protects a message of version 3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// The checksum that RFC 9568 has: it covers the ends of the path, too.
    PseudoHeader,
    /// One that covers the message alone.
    Message,
    /// A signature, which the checksum does not cover.
    SignedIpv4,
    /// A signature, which the checksum covers.
    SignedIpv6,
}

impl Format {
    fn is_signed(self) -> bool {
        [Self::V3(Form::SignedIpv4), Self::V3(Form::SignedIpv6)].contains(&self)
    }

    /// Whether a byte of a message that is so long is one of its signature.
    fn signs_in(self, byte: usize, len: usize) -> bool {
        self.is_signed() && byte + trailer::LEN >= len
    }
}

/// A bad one.
struct Bad {
    name: String,
    meta: RxMeta,
    message: Vec<u8>,
    label: &'static str,
}

#[test]
fn ten_thousand_bad_packets_have_names_and_get_their_labels() {
    let bases = bases();
    assert!(bases.len() >= 50, "{}", bases.len());
    let (mut names, mut labels) = (BTreeSet::new(), BTreeMap::<_, usize>::new());
    let mut labels_of_v3 = BTreeSet::new();
    let mut wrong = Vec::new();
    for base in &bases {
        let accepted = verdict(base, &base.meta, &base.message);
        assert_eq!(accepted, None, "{} is good", base.name);
        for Bad { name, meta, message, label } in bad(base) {
            let found = verdict(base, &meta, &message);
            if found != Some(label) {
                wrong.push(format!("{name}: {found:?} instead of {label}"));
            }
            *labels.entry(label).or_default() += 1;
            if matches!(base.format, Format::V3(_)) {
                labels_of_v3.insert(label);
            }
            assert!(names.insert(name.clone()), "{name} twice");
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(names.len() >= 10_000, "{}", names.len());
    let labels_met: BTreeSet<_> = labels.keys().copied().collect();
    assert_eq!(labels_met, Reject::LABELS.into(), "{labels:?}");
    for label in ["bad-authentication", "bad-interval"] {
        assert!(labels_of_v3.contains(label), "{label} in version 3");
    }
    println!("{} packets from {} good ones: {labels:?}", names.len(), bases.len());
}

fn verdict(base: &Base, meta: &RxMeta, message: &[u8]) -> Option<&'static str> {
    let mut router = base.router.clone();
    router.handle_datagram(Instant::ZERO, meta, message).err().map(Reject::label)
}

fn bad(base: &Base) -> Vec<Bad> {
    let good = &base.message;
    let named = |what: String, message: Vec<u8>, label| Bad {
        name: format!("{}: {what}", base.name),
        meta: base.meta,
        message,
        label,
    };
    let mut all = Vec::new();
    for bit in 0..8 * good.len() {
        let (byte, of) = (bit / 8, field(base.format, bit / 8, good.len()));
        let message = flipped(good, bit);
        let label = if_flipped(base.format, &message, byte);
        let what = format!("bit {} of byte {byte} ({of}) flipped", 7 - bit % 8);
        all.push(named(what.clone(), message.clone(), label));
        if let Some(label) = if_mended(base.format, &message, byte) {
            let message = mended(base.format, &base.meta, message);
            all.push(named(format!("{what}, the checksum fits"), message, label));
        }
    }
    for other in (0..=255).filter(|other| *other != good[1]) {
        let mut message = good.clone();
        message[1] = other;
        let message = mended(base.format, &base.meta, message);
        all.push(named(format!("id {other}"), message, "unknown-id"));
    }
    for ttl in 0..255 {
        let bad = named(format!("ttl {ttl}"), good.clone(), "bad-ttl");
        all.push(Bad { meta: RxMeta { ttl, ..bad.meta }, ..bad });
    }
    for len in (0..good.len()).chain(good.len() + 1..good.len() + 27) {
        let mut message = good.clone();
        message.resize(len, 0);
        let label = if_of_length(base.format, len, good.len());
        all.push(named(format!("{len} bytes"), message, label));
    }
    if let Format::V3(_) = base.format {
        let mut message = good.clone();
        message[4..6].fill(0);
        let message = mended(base.format, &base.meta, message);
        all.push(named("no interval".to_owned(), message, "bad-interval"));
    }
    if base.format.is_signed() {
        let unsigned = good[..good.len() - trailer::LEN].to_vec();
        let message = mended(Format::V3(Form::PseudoHeader), &base.meta, unsigned);
        all.push(named("no signature".to_owned(), message, "bad-authentication"));
    }
    if let Some(message) = without_addresses(base) {
        all.push(named("no address".to_owned(), message, "bad-address-list"));
    }
    for (what, meta, label) in other_paths(base) {
        let message = mended(base.format, &meta, good.clone());
        all.push(Bad { meta, ..named(what, message, label) });
    }
    all
}

/// A good message of VRRP, but for the addresses, which are not there.
fn without_addresses(base: &Base) -> Option<Vec<u8>> {
    let mut message = base.message.clone();
    let behind = match base.format {
        Format::Carp => return None,
        Format::V2 { .. } => 8,
        Format::V3(_) if base.format.is_signed() => trailer::LEN,
        Format::V3(_) => 0,
    };
    message[3] = 0;
    message.drain(8..message.len() - behind);
    Some(mended(base.format, &base.meta, message))
}

/// The same message on other paths, with the label of each.
fn other_paths(base: &Base) -> Vec<(String, RxMeta, &'static str)> {
    let good = base.meta;
    let (own, other_own) = (own_address(good.source), own_address(of_other_family(good.source)));
    let to = |destination: &str| RxMeta { destination: destination.parse().unwrap(), ..good };
    let other_family = RxMeta {
        source: of_other_family(good.source),
        destination: of_other_family(good.destination),
        ..good
    };
    let (group, neighbour, host) = if good.source.is_ipv4() {
        ("224.0.0.18", "224.0.0.19", "10.99.0.7")
    } else {
        ("ff02::12", "ff02::13", "fe80::7")
    };
    // A router with peers hears what is sent to a host, and one without them the group.
    let unheard = if base.router.config().is_unicast() { group } else { host };
    let mut all: Vec<_> = [neighbour, unheard]
        .map(|destination| (format!("to {destination}"), to(destination), "unknown-peer"))
        .into();
    let loops = RxMeta { source: own, ..good };
    let label = if base.selective { "unknown-peer" } else { "own-loop" };
    all.push(("from ourselves".to_owned(), loops, label));
    for last in (12..=255).filter(|_| base.selective) {
        let source = with_last(good.source, last);
        let stranger = RxMeta { source, ..good };
        all.push((format!("from {source}"), stranger, "unknown-peer"));
    }
    let two_families = RxMeta { source: other_own, ..good };
    all.push(("from the other family".to_owned(), two_families, "malformed-ip"));
    let two_families = RxMeta { destination: other_family.destination, ..good };
    all.push(("to the other family".to_owned(), two_families, "malformed-ip"));
    if base.both_families {
        let loops = RxMeta { source: other_own, ..other_family };
        all.push(("from ourselves over the other family".to_owned(), loops, "own-loop"));
        // What comes from a peer over the other family is as good.
        return all;
    }
    // Over the other family the same id of CARP is the same router, to which nobody speaks there.
    let label = if base.format == Format::Carp { "unknown-peer" } else { "malformed-ip" };
    all.push(("over the other family".to_owned(), other_family, label));
    all
}

/// The name of the field that a byte is in.
fn field(format: Format, byte: usize, len: usize) -> &'static str {
    match (format, byte) {
        (_, 0) => "version and type",
        (_, 1) => "id",
        (Format::Carp, 2) => "advskew",
        (Format::Carp, 3) => "authlen",
        (Format::Carp, 4) => "demotion",
        (Format::Carp, 5) => "advbase",
        (_, 6 | 7) => "checksum",
        (Format::Carp, 8..16) => "counter",
        (Format::Carp, _) => "digest",
        (_, 2) => "priority",
        (_, 3) => "count of addresses",
        (Format::V2 { .. }, 4) => "authentication type",
        (Format::V2 { .. }, 5) | (Format::V3(_), 4 | 5) => "interval",
        (Format::V2 { .. }, byte) if byte + 8 >= len => "authentication data",
        (Format::V3(_), byte) if format.signs_in(byte, len) => "signature",
        _ => "addresses",
    }
}

/// The label if a bit of this byte has changed on the way. The message is the changed one.
fn if_flipped(format: Format, message: &[u8], byte: usize) -> &'static str {
    let version = message[0] >> 4;
    match (format, byte) {
        // Version 3 is VRRP's; anything else is nobody's.
        (Format::Carp, 0) if version == 3 => "foreign-protocol",
        (Format::Carp | Format::V2 { .. }, 0) if version != 2 => "bad-version",
        (Format::V3(_), 0) if version != 3 => "bad-version",
        (_, 0) => "bad-type",
        (_, 1) => "unknown-id",
        // Five addresses of VRRP version 2 have the length of CARP.
        (Format::Carp, 3) if message[3] == 5 => "foreign-protocol",
        (_, 3) => "bad-length",
        (Format::V3(Form::SignedIpv4), byte) if format.signs_in(byte, message.len()) => {
            "bad-authentication"
        }
        _ => "bad-checksum",
    }
}

/// The label if somebody has changed it who knows how to compute a checksum; `None` if it is not a bad packet
/// then, or the one without the checksum is the same.
fn if_mended(format: Format, message: &[u8], byte: usize) -> Option<&'static str> {
    match (format, byte) {
        // It makes no difference to these; and CARP's digest does not cover how good a router is.
        (_, 0 | 1 | 3 | 6 | 7) | (Format::Carp, 2 | 4 | 5) => None,
        (Format::Carp, _) | (Format::V2 { .. }, 4) => Some("bad-authentication"),
        (Format::V2 { .. }, 5) => Some("bad-interval"),
        (Format::V2 { password: true }, byte) if byte + 8 >= message.len() => {
            Some("bad-authentication")
        }
        (Format::V3(Form::SignedIpv4), byte) if format.signs_in(byte, message.len()) => None,
        (Format::V3(Form::SignedIpv4 | Form::SignedIpv6), _) => Some("bad-authentication"),
        // Nothing else protects VRRP, but a priority and a list of addresses are always some.
        (Format::V2 { .. } | Format::V3(Form::PseudoHeader | Form::Message), _) => None,
    }
}

/// The label of a good message that was cut, or that zeros follow.
fn if_of_length(format: Format, len: usize, good: usize) -> &'static str {
    let unsigned = format.is_signed() && len + trailer::LEN == good;
    match (format, len) {
        (_, 0..8) | (Format::Carp, 8..36) => "too-short",
        // The header, seven addresses as authlen says, and eight bytes of authentication: VRRP version 2.
        (Format::Carp, 44) => "foreign-protocol",
        // A whole message, of which the signature alone is missing.
        (Format::V3(Form::SignedIpv4), _) if unsigned => "bad-authentication",
        (Format::V3(Form::SignedIpv6), _) if unsigned => "bad-checksum",
        _ => "bad-length",
    }
}

/// The message with a checksum that fits it and its path, in the form of the good one.
fn mended(format: Format, meta: &RxMeta, mut message: Vec<u8>) -> Vec<u8> {
    match format {
        Format::Carp | Format::V2 { .. } | Format::V3(Form::Message) => sum_v2(&mut message),
        Format::V3(Form::PseudoHeader | Form::SignedIpv6) => sum_v3(meta, &mut message),
        Format::V3(Form::SignedIpv4) => {
            let bare = message.len() - trailer::LEN;
            sum_v3(meta, &mut message[..bare]);
        }
    }
    message
}

/// The address of the routers here, in the family of this one.
fn own_address(like: IpAddr) -> IpAddr {
    with_last(if like.is_ipv4() { "10.99.0.0" } else { "fe80::" }.parse().unwrap(), 5)
}

fn with_last(ip: IpAddr, last: u8) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            IpAddr::from([a, b, c, last])
        }
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !0xff | u128::from(last)).into(),
    }
}

/// A host for a host and a group for a group, in the other family.
fn of_other_family(ip: IpAddr) -> IpAddr {
    let text = match (ip.is_ipv4(), ip.is_multicast()) {
        (true, true) => "ff02::12",
        (true, false) => "fe80::9",
        (false, true) => "224.0.0.18",
        (false, false) => "10.99.0.9",
    };
    text.parse().unwrap()
}

fn bases() -> Vec<Base> {
    let mut bases = Vec::new();
    for (file, key) in [
        ("ucarp-default.pcap", "love"),
        ("ucarp-tie-endianness.pcap", "tie"),
        ("ucarp-linkdown.pcap", "love"),
        ("ucarp-honours-bowout-255.pcap", "love"),
        ("collision-ucarp-vhid42-keepalived-col2.pcap", "love"),
        ("keepalived-v2-noauth-elect-stop.pcap", ""),
        ("keepalived-v2-auth-pass.pcap", "s3cr3t"),
        ("keepalived-v3-ipv4-centisec.pcap", ""),
        ("keepalived-v3-ipv6.pcap", ""),
        ("frr-v3-ipv4-ipv6-stop.pcap", ""),
        ("frr-sigterm.pcap", ""),
    ] {
        bases.extend(captured(file, key));
    }
    bases.extend(own());
    bases
}

/// The adverts of a capture that differ.
fn captured(file: &str, secret: &str) -> Vec<Base> {
    let mut seen = BTreeSet::new();
    let mut bases = Vec::new();
    for frame in pcap::read(file) {
        let packet = &frame.bytes[14..];
        let Ok((meta, message)) = ip::strip_ipv4(packet).or_else(|_| ip::strip_ipv6(packet)) else {
            continue;
        };
        if !seen.insert((meta.source, message.to_vec())) {
            continue;
        }
        let Some((config, format)) = receiver(&meta, message, secret) else { continue };
        let router = backup(VirtualRouter::new(config), own_address(meta.source));
        let name = format!("{file}, frame {}", frame.number);
        let (message, selective, both_families) = (message.to_vec(), false, false);
        bases.push(Base { name, router, meta, message, format, selective, both_families });
    }
    assert!(!bases.is_empty(), "{file}");
    bases
}

/// A router that accepts this advert.
fn receiver(meta: &RxMeta, message: &[u8], secret: &str) -> Option<(RouterConfig, Format)> {
    let addresses = |list: carp_proto::wire::vrrp::Addresses<'_>| {
        list.iter().map(|ip| VirtualAddress::new(ip, None).unwrap()).collect::<Vec<_>>()
    };
    match classify(message) {
        Kind::Carp => {
            let advert = carp::parse(message).unwrap().advert;
            let key = Key::new(secret.as_bytes()).unwrap();
            let addresses = vec!["10.99.0.100".parse().unwrap()];
            let config = RouterConfig::carp(id(advert.vhid), &key, addresses, 7).unwrap();
            Some((config, Format::Carp))
        }
        Kind::Vrrp2 => {
            let advert = v2::parse(message).unwrap().advert;
            let password = advert.auth_type == v2::AuthType::Password;
            let secret =
                password.then(|| carp_proto::auth::Password::new(secret.as_bytes()).unwrap());
            let settings =
                Vrrp2 { priority: Priority::DEFAULT, interval: advert.interval, password: secret };
            let (id, addresses) = (id(advert.vrid), addresses(advert.addresses));
            let config = RouterConfig::vrrp2(id, addresses, settings).unwrap();
            Some((config, Format::V2 { password }))
        }
        Kind::Vrrp3 => {
            let advert = v3::parse(meta, message).unwrap().advert;
            let mut list = addresses(advert.addresses);
            // FRR lists no link-local address, and is heard nevertheless.
            if meta.source.is_ipv6() {
                list.insert(0, "fe80::1".parse().unwrap());
            }
            let config = RouterConfig::vrrp3(id(advert.vrid), list, Vrrp3::default()).unwrap();
            Some((config, Format::V3(Form::PseudoHeader)))
        }
        Kind::Unknown => None,
    }
}

/// The adverts of our own routers, of every kind.
fn own() -> Vec<Base> {
    Setup::every().into_iter().flat_map(of_setup).collect()
}

/// An advert of the peers of such a router, in each family that it has.
fn of_setup(setup: Setup) -> Vec<Base> {
    let said = Said { advbase: 1, advskew: 50, demotion: 0 };
    let format = match (setup.vrrp, setup.extra) {
        (None, _) => Format::Carp,
        (Some(Version::V2), extra) => Format::V2 { password: extra == Extra::Password },
        (Some(Version::V3), Extra::Signatures) => Format::V3(Form::SignedIpv4),
        (Some(Version::V3Ipv6), Extra::Signatures) => Format::V3(Form::SignedIpv6),
        (Some(_), Extra::MessageChecksum) => Format::V3(Form::Message),
        (Some(_), _) => Format::V3(Form::PseudoHeader),
    };
    let (selective, both_families) =
        (setup.extra.is_selective(), setup.extra == Extra::BothFamilies);
    let router = backup(setup.router(), setup.host(OWN_HOST));
    let mut peers = Peers::new(setup);
    let base = |_| {
        let (meta, message) = peers.advert(Instant::ZERO, 9, said);
        let (Setup { vrrp, extra, dialect, .. }, router) = (setup, router.clone());
        let name = format!("ours, {vrrp:?} {extra:?} {dialect}, from {}", meta.source);
        Base { name, router, meta, message, format, selective, both_families }
    };
    (0..if both_families { 2 } else { 1 }).map(base).collect()
}

/// A running router that has another address than the sender.
fn backup(mut router: VirtualRouter, source: IpAddr) -> VirtualRouter {
    router.handle(Instant::ZERO, Input::Start);
    router.handle(Instant::ZERO, Input::Link(LinkState::Up { source }));
    router
}
