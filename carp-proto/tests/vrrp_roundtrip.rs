//! VRRP's bytes: what is written reads back, and what is damaged is rejected under the right label.
//!
//! The checksum is VRRP's only protection against damage, and none against forgery.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use std::net::IpAddr;

use carp_proto::auth::Password;
use carp_proto::testing::strategy::{
    any_checksum_form, any_id, any_ipv4_list, any_ipv6_list, any_priority,
};
use carp_proto::wire::vrrp::v3::{self, Carrier, Checksum};
use carp_proto::wire::vrrp::{
    AddressList, Authentication, ChecksumForm, Expectations, Ipv4List, Ipv6List, v2, validate,
};
use carp_proto::wire::{Kind, classify, ip};
use carp_proto::{Centiseconds, Priority, Reject, RxMeta, Seconds, VirtualId};
use proptest::prelude::*;
use support::wire::{
    expects_v2, expects_v3, flipped, list, meta_ipv4, meta_ipv6, v2_message, v3_message,
};

/// An id, a priority, an interval and what is in the buffer before.
fn any_rest() -> impl Strategy<Value = (VirtualId, Priority, u16, Vec<u8>)> {
    let dirt = prop::collection::vec(any::<u8>(), 0..64);
    (any_id(), any_priority(), any::<u16>(), dirt)
}

/// What was appended behind the dirt, which is still there.
fn appended<'a>(buffer: &'a [u8], dirt: &[u8]) -> &'a [u8] {
    let (before, after) = buffer.split_at(dirt.len());
    assert_eq!(before, dirt);
    after
}

proptest! {
    #[test]
    fn version_2_reads_back_whatever_was_in_the_buffer(
        addresses in any_ipv4_list(),
        (id, priority, interval, dirt) in any_rest(),
        secret in prop::option::of(prop::collection::vec(1..=255_u8, 1..=8)),
    ) {
        let list = Ipv4List::new(addresses.iter().copied()).unwrap();
        let password = secret.map(|secret| Password::new(&secret).unwrap());
        let authentication = password.as_ref().map_or(Authentication::None, Authentication::Password);
        let interval = Seconds::from_wire(interval.to_be_bytes()[0]);
        let outgoing = v2::Outgoing { id, priority, interval, addresses: &list, authentication };
        let mut buffer = dirt.clone();
        v2::emit(&outgoing, &mut buffer);
        let message = appended(&buffer, &dirt);
        prop_assert_eq!(classify(message), Kind::Vrrp2);

        let v2::Parsed { advert, checksum_ok } = v2::parse(message).unwrap();
        prop_assert!(checksum_ok);
        prop_assert_eq!((advert.vrid, advert.priority), (id.get(), priority));
        prop_assert_eq!(advert.interval, interval);
        let read: Vec<_> = advert.addresses.iter().collect();
        prop_assert_eq!(read, addresses.into_iter().map(IpAddr::V4).collect::<Vec<_>>());
        match &password {
            Some(password) => {
                prop_assert_eq!(advert.auth_type, v2::AuthType::Password);
                prop_assert!(password.matches(&advert.auth_data.0));
            }
            None => prop_assert_eq!(advert.auth_data, v2::AuthData([0; 8])),
        }
        let mut fixed = vec![0xa5; message.len()];
        v2::emit(&outgoing, &mut &mut fixed[..]);
        prop_assert_eq!(fixed, message);
    }

    #[test]
    fn version_3_over_ipv4_reads_back_in_both_forms(
        addresses in any_ipv4_list(),
        (id, priority, interval, dirt) in any_rest(),
        source: [u8; 4],
        destination: [u8; 4],
        form in any_checksum_form(),
    ) {
        let list = AddressList::Ipv4(Ipv4List::new(addresses.iter().copied()).unwrap());
        let meta = RxMeta { source: source.into(), destination: destination.into(), ttl: 255 };
        let interval = Centiseconds::from_wire(interval);
        let carrier = Carrier::new(&list, meta.source, meta.destination, form).unwrap();
        let mut buffer = dirt.clone();
        v3::emit(&v3::Outgoing { id, priority, interval, carrier }, &mut buffer);
        let message = appended(&buffer, &dirt);
        prop_assert_eq!(message[4] >> 4, 0, "the reserved bits");
        prop_assert_eq!(classify(message), Kind::Vrrp3);

        let v3::Parsed { advert, checksum, signed } = v3::parse(&meta, message).unwrap();
        prop_assert!(signed.is_none());
        prop_assert!([Checksum::Fits(form), Checksum::FitsBoth].contains(&checksum));
        prop_assert_eq!((advert.vrid, advert.priority), (id.get(), priority));
        prop_assert_eq!(advert.interval, interval);
        let read: Vec<_> = advert.addresses.iter().collect();
        prop_assert_eq!(read, addresses.into_iter().map(IpAddr::V4).collect::<Vec<_>>());
    }

    #[test]
    fn version_3_over_ipv6_reads_back(
        addresses in any_ipv6_list(),
        (id, priority, interval, dirt) in any_rest(),
        source: [u8; 16],
        destination: [u8; 16],
    ) {
        let list = AddressList::Ipv6(Ipv6List::new(addresses.iter().copied()).unwrap());
        let meta = RxMeta { source: source.into(), destination: destination.into(), ttl: 255 };
        let interval = Centiseconds::from_wire(interval);
        // The form is IPv4's.
        let form = ChecksumForm::Message;
        let carrier = Carrier::new(&list, meta.source, meta.destination, form).unwrap();
        let mut buffer = dirt.clone();
        v3::emit(&v3::Outgoing { id, priority, interval, carrier }, &mut buffer);
        let message = appended(&buffer, &dirt);

        let v3::Parsed { advert, checksum, .. } = v3::parse(&meta, message).unwrap();
        prop_assert_eq!(checksum, Checksum::Fits(ChecksumForm::PseudoHeader));
        prop_assert_eq!((advert.vrid, advert.priority), (id.get(), priority));
        prop_assert_eq!(advert.interval, interval);
        let read: Vec<_> = advert.addresses.iter().collect();
        prop_assert_eq!(read, addresses.into_iter().map(IpAddr::V6).collect::<Vec<_>>());
    }

    #[test]
    fn no_bytes_make_a_parser_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..120),
        first in prop_oneof![Just(0x21_u8), Just(0x31), any::<u8>()],
        count in 0..12_u8,
        with_count: bool,
    ) {
        if let [byte_0, _, _, byte_3, ..] = &mut bytes[..] {
            *byte_0 = first;
            if with_count {
                *byte_3 = count;
            }
        }
        if let Ok(parsed) = v2::parse(&bytes) {
            prop_assert_eq!(classify(&bytes), Kind::Vrrp2);
            prop_assert_eq!(parsed.advert.addresses.len(), usize::from(bytes[3]));
        }
        for meta in [meta_ipv4(), meta_ipv6()] {
            if let Ok(parsed) = v3::parse(&meta, &bytes) {
                prop_assert_eq!(classify(&bytes), Kind::Vrrp3);
                prop_assert_eq!(parsed.advert.addresses.iter().count(), usize::from(bytes[3]));
            }
            for expected in [expects_v2(Authentication::None), expects_v3()] {
                let _ = validate(&meta, &bytes, &expected);
            }
        }
        let _ = ip::find_message(&bytes, false);
    }
}

/// Good messages of every kind, and what to expect of them.
fn good() -> Vec<(&'static str, RxMeta, Vec<u8>, Expectations<'static>)> {
    let five = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"];
    let seven = [&five[..], &["10.0.0.6", "10.0.0.7"]].concat();
    let none = expects_v2(Authentication::None);
    let mut good = vec![
        ("v2, one address", meta_ipv4(), v2_message(&five[..1], None), none),
        ("v2, five addresses", meta_ipv4(), v2_message(&five, None), none),
        ("v2, seven addresses", meta_ipv4(), v2_message(&seven, None), none),
    ];
    let ipv6 = ["fe80::42", "2001:db8::42"];
    for form in [ChecksumForm::Message, ChecksumForm::PseudoHeader] {
        good.push(("v3, one address", meta_ipv4(), v3_message(&five[..1], form), expects_v3()));
        good.push(("v3, seven addresses", meta_ipv4(), v3_message(&seven, form), expects_v3()));
        good.push(("v3 over IPv6", meta_ipv6(), v3_message(&ipv6, form), expects_v3()));
    }
    good
}

fn label(meta: &RxMeta, message: &[u8], expected: &Expectations<'_>) -> Option<&'static str> {
    validate(meta, message, expected).err().map(Reject::label)
}

#[test]
fn every_flipped_bit_is_rejected_with_its_label() {
    for (what, meta, message, expected) in good() {
        assert_eq!(label(&meta, &message, &expected), None, "{what}");
        for bit in 0..message.len() * 8 {
            let bad = flipped(&message, bit);
            let reason = match bit {
                // Version 2, a count of seven, and 36 bytes: that is CARP.
                3 if what == "v3, seven addresses" => "foreign-protocol",
                30 if what == "v2, five addresses" => "foreign-protocol",
                0..4 => "bad-version",
                4..8 => "bad-type",
                8..16 => "unknown-id",
                24..32 => "bad-length",
                _ => "bad-checksum",
            };
            assert_eq!(label(&meta, &bad, &expected), Some(reason), "{what}: bit {bit}");
        }
    }
}

#[test]
fn every_truncation_is_too_short_or_has_a_bad_length() {
    for (what, meta, message, expected) in good() {
        for len in 0..message.len() {
            let reason = match len {
                0..8 => "too-short",
                // The first 36 bytes of a list of seven have the shape of CARP.
                36 if what == "v2, seven addresses" => "foreign-protocol",
                _ => "bad-length",
            };
            assert_eq!(label(&meta, &message[..len], &expected), Some(reason), "{what}: {len}");
        }
    }
}

#[test]
fn a_message_that_goes_on_has_a_bad_length() {
    for (what, meta, message, expected) in good() {
        for extra in 1..=40 {
            let mut long = message.clone();
            long.resize(message.len() + extra, 0);
            assert_eq!(label(&meta, &long, &expected), Some("bad-length"), "{what}: {extra} more");
        }
    }
}

#[test]
fn the_reserved_bits_of_version_3_are_not_looked_at() {
    let meta = meta_ipv4();
    let mut message = v3_message(&["10.0.0.1"], ChecksumForm::PseudoHeader);
    message[4] |= 0xf0;
    support::wire::sum_v3(&meta, &mut message);
    let valid = validate(&meta, &message, &expects_v3()).unwrap();
    assert_eq!(valid.interval(), Centiseconds::DEFAULT.advert());
}

#[test]
fn zero_may_be_written_as_all_ones_in_the_checksum() {
    let meta = meta_ipv4();
    for last in 0..=255 {
        let mut message = v2_message(&[&format!("10.0.{last}.1")], None);
        for end in 0..=255 {
            message[11] = end;
            support::wire::sum_v2(&mut message);
            if message[6..8] == [0, 0] {
                let expected = expects_v2(Authentication::None);
                assert_eq!(label(&meta, &message, &expected), None);
                message[6..8].fill(0xff);
                assert_eq!(label(&meta, &message, &expected), None);
                return;
            }
        }
    }
    panic!("one of 65536 addresses leads to a checksum of zero");
}

fn from(source: [u8; 4], form: ChecksumForm) -> (RxMeta, Vec<u8>) {
    let meta = RxMeta { source: source.into(), ..meta_ipv4() };
    let list = list(&["10.0.0.1"]);
    let advert = v3::Outgoing {
        carrier: Carrier::new(&list, meta.source, meta.destination, form).unwrap(),
        ..support::wire::outgoing(&list, form)
    };
    let mut message = Vec::new();
    v3::emit(&advert, &mut message);
    (meta, message)
}

#[test]
fn the_adverts_of_a_few_senders_fit_both_forms() {
    let forms = [ChecksumForm::Message, ChecksumForm::PseudoHeader];
    // The words of source, group, protocol and length sum to 0xffff.
    let source = [10, 0, 21, 113];
    let messages = forms.map(|form| from(source, form));
    assert_eq!(messages[0], messages[1], "there is nothing to choose");
    for (meta, message) in messages {
        assert_eq!(v3::parse(&meta, &message).unwrap().checksum, Checksum::FitsBoth);
        let valid = validate(&meta, &message, &expects_v3()).unwrap();
        assert_eq!(valid.checksum_form(), None, "nothing is learnt from it");
    }
    for form in forms {
        let (meta, message) = from([10, 0, 21, 112], form);
        assert_eq!(v3::parse(&meta, &message).unwrap().checksum, Checksum::Fits(form));
        let valid = validate(&meta, &message, &expects_v3()).unwrap();
        assert_eq!(valid.checksum_form(), Some(form));
    }
}

#[test]
fn a_flipped_bit_may_turn_one_form_into_the_other_for_a_few_senders() {
    // The words of the pseudo-header sum to 1, which a flipped bit can make up for.
    let (meta, message) = from([10, 0, 21, 114], ChecksumForm::PseudoHeader);
    let taken: Vec<_> = (0..message.len() * 8)
        .filter(|&bit| {
            let bad = flipped(&message, bit);
            let parsed = v3::parse(&meta, &bad);
            parsed.is_ok_and(|parsed| parsed.checksum == Checksum::Fits(ChecksumForm::Message))
        })
        .collect();
    assert!(!taken.is_empty(), "this is the price of accepting two forms");
    assert!(taken.iter().all(|bit| bit % 16 == 15), "the lowest bit of a word: {taken:?}");
}

#[test]
fn a_list_of_one_family_has_a_carrier_of_that_family() {
    let (v4, v6) = (list(&["10.0.0.1"]), list(&["fe80::1"]));
    let (meta_4, meta_6) = (meta_ipv4(), meta_ipv6());
    let form = ChecksumForm::PseudoHeader;
    let carrier = |list, source, destination| Carrier::new(list, source, destination, form);
    assert!(carrier(&v4, meta_4.source, meta_4.destination).is_some());
    assert!(carrier(&v6, meta_6.source, meta_6.destination).is_some());
    assert!(carrier(&v4, meta_6.source, meta_6.destination).is_none());
    assert!(carrier(&v6, meta_4.source, meta_4.destination).is_none());
    assert!(carrier(&v4, meta_4.source, meta_6.destination).is_none());
    assert!(carrier(&v6, meta_4.source, meta_6.destination).is_none());
}
