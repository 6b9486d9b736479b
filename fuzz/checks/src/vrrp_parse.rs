//! Reading a VRRP message is total, agrees with its classification, and what can be sent is emitted as
//! it came. Nobody guesses a signature, and one that was mended is verified.
//!
//! The input is a byte for the family (0: IPv4), sixteen for the source (IPv4 takes the first four),
//! and the message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use carp_proto::auth::{AntiReplay, HmacAuthenticator, HmacKey, HmacMode, Password, Verdict};
use carp_proto::testing::{Extra, HMAC_KEY, Peers, Setup, Version as Member};
use carp_proto::wire::ip::{GROUP_IPV4, GROUP_IPV6};
use carp_proto::wire::vrrp::v3::{Carrier, ChecksumForm};
use carp_proto::wire::vrrp::{
    AddressList, Addresses, Authentication, Expectations, Ipv4List, Ipv6List, Senders, Version, v2,
    v3, validate,
};
use carp_proto::wire::{Kind, carp, classify};
use carp_proto::{RxMeta, VirtualId};

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    let Some((&family, rest)) = input.split_first() else { return };
    let Some((source, message)) = rest.split_first_chunk::<16>() else { return };
    let meta = match family {
        0 => {
            let [a, b, c, d, ..] = *source;
            let source = IpAddr::from([a, b, c, d]);
            RxMeta { source, destination: GROUP_IPV4.into(), ttl: 255 }
        }
        _ => RxMeta { source: (*source).into(), destination: GROUP_IPV6.into(), ttl: 255 },
    };
    as_it_came(&meta, message);

    let (setup, mut mended) = (setup(&meta, message), message.to_vec());
    Peers::new(setup).mend(&meta, &mut mended);
    as_it_came(&meta, &mended);
    if v2::parse(message).is_ok() {
        assert!(v2::parse(&mended).is_ok_and(|parsed| parsed.checksum_ok));
    }
    if v3::parse(&meta, message).is_ok() {
        assert!(v3::parse(&meta, &mended).is_ok_and(|parsed| parsed.checksum.is_ok()));
        signature(&meta, &mended, setup);
    }
}

/// Those whose messages look like this one.
fn setup(meta: &RxMeta, message: &[u8]) -> Setup {
    let signed = v3::parse(meta, message).is_ok_and(|parsed| parsed.signed.is_some());
    let v2 = message.first().is_some_and(|first| first >> 4 == v2::VERSION);
    let (version, extra) = match (v2, meta.source) {
        (true, _) => (Member::V2, Extra::Password),
        (false, IpAddr::V4(_)) => (Member::V3, Extra::Signatures),
        (false, IpAddr::V6(_)) => (Member::V3Ipv6, Extra::Signatures),
    };
    let extra = if v2 || signed { extra } else { Extra::Nothing };
    Setup { vrrp: Some(version), extra, ..Setup::new() }
}

/// A signature that was mended is verified, if the trailer names our key and is of the present version.
fn signature(meta: &RxMeta, message: &[u8], setup: Setup) {
    let (Some(hmac), Ok(parsed)) = (setup.hmac(), v3::parse(meta, message)) else { return };
    let key = HmacKey::new(HMAC_KEY.0, &HMAC_KEY.1).expect("32 bytes");
    let mut member =
        HmacAuthenticator::new(vec![key], HMAC_KEY.0, hmac.mode(), AntiReplay::Monotonic)
            .expect("one key");
    let verdict = member.verify(Duration::ZERO, meta.source, parsed.signed.as_ref());
    match verdict {
        Verdict::Verified => {
            let again = member.verify(Duration::ZERO, meta.source, parsed.signed.as_ref());
            assert_eq!(again, Verdict::Repeated);
        }
        Verdict::UnknownKey { found } => assert_ne!(found, HMAC_KEY.0),
        Verdict::Unsigned | Verdict::Malformed => {}
        Verdict::Stale { .. } | Verdict::Forged | Verdict::Repeated | _ => panic!("{verdict}"),
    }
}

fn as_it_came(meta: &RxMeta, message: &[u8]) {
    let kind = classify(message);
    assert!(carp::parse(message).is_err() || kind == Kind::Carp);
    if let Ok(parsed) = v2::parse(message) {
        assert_eq!(kind, Kind::Vrrp2);
        version_2(&parsed, message);
    }
    if let Ok(parsed) = v3::parse(meta, message) {
        assert_eq!(kind, Kind::Vrrp3);
        version_3(meta, &parsed, message);
    }
    validation(meta, message);
}

fn version_2(parsed: &v2::Parsed<'_>, message: &[u8]) {
    let advert = parsed.advert;
    assert_eq!(advert.addresses.iter().count(), usize::from(message[3]));
    let (Ok(id), Some(AddressList::Ipv4(list))) =
        (VirtualId::new(advert.vrid), sendable(advert.addresses))
    else {
        return;
    };
    let (priority, interval, secret) = (advert.priority, advert.interval, advert.auth_data.0);
    let len = secret.iter().position(|byte| *byte == 0).unwrap_or(secret.len());
    let password = Password::new(&secret[..len]).ok().filter(|password| password.matches(&secret));
    let authentication = match (advert.auth_type, &password) {
        (v2::AuthType::None, None) if secret == [0; 8] => Authentication::None,
        (v2::AuthType::Password, Some(password)) => Authentication::Password(password),
        _ => return,
    };
    let mut emitted = Vec::new();
    let outgoing = v2::Outgoing { id, priority, interval, addresses: &list, authentication };
    v2::emit(&outgoing, &mut emitted);
    assert_same(&emitted, message, parsed.checksum_ok);
}

fn version_3(meta: &RxMeta, parsed: &v3::Parsed<'_>, message: &[u8]) {
    let advert = parsed.advert;
    assert_eq!(advert.addresses.iter().count(), usize::from(message[3]));
    let (Ok(id), Some(list)) = (VirtualId::new(advert.vrid), sendable(advert.addresses)) else {
        return;
    };
    // The reserved bits are not looked at, and zero when they are sent.
    if message[4] & 0xf0 != 0 {
        return;
    }
    let form = parsed.checksum.form().unwrap_or(ChecksumForm::PseudoHeader);
    let carrier = Carrier::new(&list, meta.source, meta.destination, form).expect("one family");
    let (priority, interval) = (advert.priority, advert.interval);
    let outgoing = v3::Outgoing { id, priority, interval, carrier };
    let mut emitted = Vec::new();
    match parsed.signed {
        Some(signed) => v3::emit_signed(&outgoing, &signed.trailer, &mut emitted),
        None => v3::emit(&outgoing, &mut emitted),
    }
    assert_same(&emitted, message, parsed.checksum.is_ok());
}

fn validation(meta: &RxMeta, message: &[u8]) {
    let [_, vrid, _, _, _, interval, ..] = *message else { return };
    let Ok(id) = VirtualId::new(vrid) else { return };
    let interval = carp_proto::Seconds::from_wire(interval);
    for version in [
        Version::V2 { interval, authentication: Authentication::None },
        Version::V3 { trailer: true },
    ] {
        let senders = Senders::Group { only: &[] };
        let expected = Expectations { id, version, min_ttl: 255, senders, own_source: None };
        let Ok(valid) = validate(meta, message, &expected) else { continue };
        assert!(!valid.interval().is_zero() && !valid.addresses().is_empty());
        let key = HmacKey::new(1, &[0x5a; 32]).expect("32 bytes");
        let mut receiver =
            HmacAuthenticator::new(vec![key], 1, HmacMode::Enforce, AntiReplay::Monotonic)
                .expect("one key");
        let verdict = receiver.verify(Duration::ZERO, meta.source, valid.signed());
        assert_ne!(verdict, Verdict::Verified);
        assert!(receiver.mode().decide(verdict).is_err());
    }
}

/// The list, if it is one that may be sent.
fn sendable(addresses: Addresses<'_>) -> Option<AddressList> {
    let v4 = addresses.iter().filter_map(|ip| match ip {
        IpAddr::V4(ip) => Some::<Ipv4Addr>(ip),
        IpAddr::V6(_) => None,
    });
    let v6 = addresses.iter().filter_map(|ip| match ip {
        IpAddr::V4(_) => None,
        IpAddr::V6(ip) => Some::<Ipv6Addr>(ip),
    });
    let v4 = Ipv4List::new(v4).map(AddressList::Ipv4);
    v4.or_else(|_| Ipv6List::new(v6).map(AddressList::Ipv6)).ok()
}

/// All but the checksum is the same, and that too if it is right. Of zero there are two spellings.
fn assert_same(emitted: &[u8], message: &[u8], checksum_ok: bool) {
    let checksum = |message: &[u8]| match [message[6], message[7]] {
        [0xff, 0xff] => [0, 0],
        checksum => checksum,
    };
    assert_eq!(emitted[..6], message[..6]);
    assert_eq!(emitted[8..], message[8..]);
    assert_eq!(checksum(emitted) == checksum(message), checksum_ok, "{message:02x?}");
}
