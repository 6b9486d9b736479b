//! keepalived's signature of VRRP version 3: what it covers, when it is accepted, and what it costs a
//! forger.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use std::net::IpAddr;
use std::time::Duration;

use carp_proto::auth::{
    AntiReplay, HmacAuthenticator, HmacError, HmacKey, HmacMode, Verdict, Window,
};
use carp_proto::testing::strategy::any_trailer;
use carp_proto::wire::vrrp::{
    AddressList, ChecksumForm, Expectations, Version, trailer, v3, validate,
};
use carp_proto::{Reject, RxMeta};
use proptest::prelude::*;
use support::wire::{expects, expects_v3, flipped, list, meta_ipv4, meta_ipv6, outgoing};
use support::{ip, ms, secs};

const NOW: Duration = Duration::from_millis(1_800_000_000_250);

/// How many bytes there are before the trailer of [`ipv4_list`]'s adverts.
const BARE_LEN: usize = 12;

fn key(id: u8, byte: u8) -> HmacKey {
    HmacKey::new(id, &[byte; 32]).unwrap()
}

fn five_seconds() -> AntiReplay {
    AntiReplay::Time(Window::new(5).unwrap())
}

fn member(mode: HmacMode) -> HmacAuthenticator {
    HmacAuthenticator::new(vec![key(1, 7)], 1, mode, five_seconds()).unwrap()
}

fn ipv4_list() -> AddressList {
    list(&["10.99.0.100"])
}

fn expected() -> Expectations<'static> {
    expects(Version::V3 { trailer: true })
}

/// A signed advert of the peer, sent at a time.
fn signed(sender: &mut HmacAuthenticator, at: Duration, list: &AddressList) -> Vec<u8> {
    let advert = outgoing(list, ChecksumForm::PseudoHeader);
    let trailer = sender.sign(at, &advert).unwrap();
    let mut message = Vec::new();
    v3::emit_signed(&advert, &trailer, &mut message);
    message
}

fn verdict(
    receiver: &mut HmacAuthenticator,
    at: Duration,
    meta: &RxMeta,
    message: &[u8],
) -> Result<Verdict, Reject> {
    let parsed = v3::parse(meta, message)?;
    Ok(receiver.verify(at, meta.source, parsed.signed.as_ref()))
}

#[test]
fn a_signed_advert_is_verified_once_by_every_receiver() {
    for (meta, list) in [(meta_ipv4(), ipv4_list()), (meta_ipv6(), list(&["fe80::42"]))] {
        let message = signed(&mut member(HmacMode::Permissive), NOW, &list);
        let valid = validate(&meta, &message, &expected()).unwrap();
        assert!(valid.signed().is_some());
        for mut receiver in [member(HmacMode::Enforce), member(HmacMode::Receive)] {
            let first = receiver.verify(NOW, meta.source, valid.signed());
            let second = receiver.verify(NOW, meta.source, valid.signed());
            assert_eq!((first, second), (Verdict::Verified, Verdict::Repeated));
        }
    }
}

#[test]
fn where_no_trailer_is_expected_a_signed_advert_is_too_long() {
    let message = signed(&mut member(HmacMode::Enforce), NOW, &ipv4_list());
    let reject = validate(&meta_ipv4(), &message, &expects_v3()).unwrap_err();
    assert_eq!(reject, Reject::BadLength { found: BARE_LEN + trailer::LEN, expected: BARE_LEN });
}

#[test]
fn every_flipped_bit_but_the_checksum_s_is_noticed_by_the_signature() {
    let meta = meta_ipv4();
    let message = signed(&mut member(HmacMode::Enforce), NOW, &ipv4_list());
    for bit in 0..8 * BARE_LEN {
        let bad = flipped(&message, bit);
        let found = verdict(&mut member(HmacMode::Enforce), NOW, &meta, &bad);
        match bit {
            0..4 => assert!(matches!(found, Err(Reject::BadVersion { .. })), "bit {bit}"),
            4..8 => assert!(matches!(found, Err(Reject::BadType { .. })), "bit {bit}"),
            24..32 => assert!(matches!(found, Err(Reject::BadLength { .. })), "bit {bit}"),
            48..64 => {
                assert_eq!(found, Ok(Verdict::Verified), "bit {bit}");
                let reject = validate(&meta, &bad, &expected()).unwrap_err();
                assert_eq!(reject, Reject::BadChecksum, "it notices itself");
            }
            _ => assert_eq!(found, Ok(Verdict::Forged), "bit {bit}"),
        }
    }
}

#[test]
fn every_flipped_bit_of_a_trailer_is_noticed_and_leaves_no_mark() {
    let meta = meta_ipv4();
    let message = signed(&mut member(HmacMode::Enforce), NOW, &ipv4_list());
    for bit in 0..8 * trailer::LEN {
        let bad = flipped(&message, 8 * BARE_LEN + bit);
        let mut receiver = member(HmacMode::Enforce);
        let found = verdict(&mut receiver, NOW, &meta, &bad).unwrap();
        match bit {
            0..8 | 16..32 => assert_eq!(found, Verdict::Malformed, "bit {bit}"),
            8..16 => assert!(matches!(found, Verdict::UnknownKey { .. }), "bit {bit}"),
            // The three lowest bits of the seconds stay inside of the window.
            32..61 => assert!(matches!(found, Verdict::Stale { .. }), "bit {bit}"),
            _ => assert_eq!(found, Verdict::Forged, "bit {bit}"),
        }
        let real = verdict(&mut receiver, NOW, &meta, &message);
        assert_eq!(real, Ok(Verdict::Verified), "bit {bit}");
    }
}

#[test]
fn of_two_mistakes_in_a_signature_the_first_gives_the_verdict() {
    let meta = meta_ipv4();
    // Extension, key id, seconds, tag; and last, that it was heard before.
    let changes: [(&[usize], Verdict); 4] = [
        (&[0, 1, 7, 27], Verdict::Malformed),
        (&[1, 7, 27], Verdict::UnknownKey { found: 1 ^ 0x40 }),
        (&[7, 27], Verdict::Stale { seconds: 64 }),
        (&[27], Verdict::Forged),
    ];
    for (bytes, expected) in changes {
        for heard_before in [false, true] {
            for second in bytes[1..].iter().chain(&[27]) {
                let mut message = signed(&mut member(HmacMode::Enforce), NOW, &ipv4_list());
                let mut receiver = member(HmacMode::Enforce);
                if heard_before {
                    let first = verdict(&mut receiver, NOW, &meta, &message);
                    assert_eq!(first, Ok(Verdict::Verified));
                }
                let mut wrong = vec![bytes[0], *second];
                wrong.dedup();
                wrong.iter().for_each(|byte| message[BARE_LEN + byte] ^= 0x40);
                let found = verdict(&mut receiver, NOW, &meta, &message);
                assert_eq!(found, Ok(expected), "bytes {wrong:?}");
            }
        }
    }
}

#[test]
fn over_ipv6_the_checksum_covers_the_trailer_and_over_ipv4_it_does_not() {
    for (meta, list, covered) in
        [(meta_ipv4(), ipv4_list(), false), (meta_ipv6(), list(&["fe80::42"]), true)]
    {
        let mut message = signed(&mut member(HmacMode::Enforce), NOW, &list);
        *message.last_mut().unwrap() ^= 1;
        let parsed = v3::parse(&meta, &message).unwrap();
        assert_eq!(parsed.checksum.is_ok(), !covered);
    }
}

#[test]
fn a_signature_belongs_to_its_sender_and_its_router() {
    let meta = meta_ipv4();
    let message = signed(&mut member(HmacMode::Enforce), NOW, &ipv4_list());
    let elsewhere = RxMeta { source: ip(8), ..meta };
    let found = verdict(&mut member(HmacMode::Enforce), NOW, &elsewhere, &message);
    assert_eq!(found, Ok(Verdict::Forged));
    let other_key = HmacAuthenticator::new(vec![key(1, 8)], 1, HmacMode::Enforce, five_seconds());
    assert_eq!(verdict(&mut other_key.unwrap(), NOW, &meta, &message), Ok(Verdict::Forged));
    let other_id = HmacAuthenticator::new(vec![key(2, 7)], 2, HmacMode::Enforce, five_seconds());
    let found = verdict(&mut other_id.unwrap(), NOW, &meta, &message);
    assert_eq!(found, Ok(Verdict::UnknownKey { found: 1 }));
}

#[test]
fn a_key_is_replaced_without_an_advert_lost() {
    let meta = meta_ipv4();
    let with = |keys, active| {
        HmacAuthenticator::new(keys, active, HmacMode::Enforce, five_seconds()).unwrap()
    };
    let (old, new) = (key(1, 7), key(2, 8));
    let rounds = [
        with(vec![old.clone()], 1),
        with(vec![old.clone(), new.clone()], 1),
        with(vec![old, new.clone()], 2),
        with(vec![new], 2),
    ];
    for pair in rounds.windows(2) {
        for (sender, receiver) in [(0, 1), (1, 0), (1, 1)] {
            let message = signed(&mut pair[sender].clone(), NOW, &ipv4_list());
            let found = verdict(&mut pair[receiver].clone(), NOW, &meta, &message);
            assert_eq!(found, Ok(Verdict::Verified));
        }
    }
}

#[test]
fn keys_have_different_numbers_and_one_of_them_signs() {
    let new = |keys, active| {
        HmacAuthenticator::new(keys, active, HmacMode::Enforce, five_seconds()).unwrap_err()
    };
    assert_eq!(new(vec![], 1), HmacError::NoActive { id: 1 });
    assert_eq!(new(vec![key(1, 7)], 2), HmacError::NoActive { id: 2 });
    let twice = vec![key(3, 7), key(1, 7), key(3, 8)];
    assert_eq!(new(twice, 1), HmacError::Duplicate { id: 3 });
}

#[test]
fn an_old_advert_is_stale_or_a_repetition() {
    let meta = meta_ipv4();
    let mut sender = member(HmacMode::Enforce);
    let old = signed(&mut sender, NOW, &ipv4_list());
    let new = signed(&mut sender, NOW + secs(1), &ipv4_list());
    let mut receiver = member(HmacMode::Enforce);
    let mut hears = |at, message: &[u8]| verdict(&mut receiver, at, &meta, message).unwrap();
    assert_eq!(hears(NOW + secs(1), &new), Verdict::Verified);
    assert_eq!(hears(NOW + secs(5), &old), Verdict::Repeated);
    assert_eq!(hears(NOW + secs(6), &old), Verdict::Stale { seconds: 6 });
    assert_eq!(hears(NOW - secs(60), &new), Verdict::Stale { seconds: 61 });
}

#[test]
fn without_a_window_growth_is_all_that_counts() {
    let meta = meta_ipv4();
    let new = || {
        let keys = vec![key(1, 7)];
        HmacAuthenticator::new(keys, 1, HmacMode::Enforce, AntiReplay::Monotonic).unwrap()
    };
    let (mut sender, mut receiver) = (new(), new());
    let first = signed(&mut sender, NOW, &ipv4_list());
    let mut hears = |message: &[u8]| verdict(&mut receiver, secs(0), &meta, message).unwrap();
    assert_eq!(hears(&first), Verdict::Verified, "its clock is of no interest");
    let after_the_clock_went_back = signed(&mut sender, NOW - secs(3600), &ipv4_list());
    assert_eq!(hears(&after_the_clock_went_back), Verdict::Verified);
    assert_eq!(hears(&first), Verdict::Repeated);
    let restarted = signed(&mut new(), NOW - secs(1), &ipv4_list());
    assert_eq!(hears(&restarted), Verdict::Repeated, "not heard until it has caught up");
}

#[test]
fn many_adverts_of_one_moment_are_all_new() {
    let meta = meta_ipv4();
    let (mut sender, mut receiver) = (member(HmacMode::Enforce), member(HmacMode::Enforce));
    for _ in 0..1000 {
        let message = signed(&mut sender, NOW, &ipv4_list());
        assert_eq!(verdict(&mut receiver, NOW, &meta, &message), Ok(Verdict::Verified));
    }
}

#[test]
fn the_modes_lead_from_unsigned_to_signed_without_an_advert_lost() {
    let modes = [HmacMode::Receive, HmacMode::Permissive, HmacMode::Enforce];
    let heard = |sender: HmacMode, receiver: HmacMode| {
        let verdict = if sender.signs() { Verdict::Verified } else { Verdict::Unsigned };
        receiver.decide(verdict).is_ok()
    };
    for step in modes.windows(2) {
        for sender in step {
            for receiver in step {
                assert!(heard(*sender, *receiver), "{sender:?} to {receiver:?}");
            }
        }
    }
    assert!(!heard(HmacMode::Receive, HmacMode::Enforce));
}

#[test]
fn in_no_mode_is_a_bad_signature_accepted() {
    let bad = [
        Verdict::Malformed,
        Verdict::UnknownKey { found: 9 },
        Verdict::Stale { seconds: 9 },
        Verdict::Forged,
        Verdict::Repeated,
    ];
    for mode in [HmacMode::Receive, HmacMode::Permissive, HmacMode::Enforce] {
        for verdict in bad {
            assert_eq!(mode.decide(verdict), Err(Reject::BadAuthentication), "{mode:?} {verdict}");
        }
        assert_eq!(mode.decide(Verdict::Verified), Ok(()));
    }
}

#[test]
fn who_only_receives_does_not_sign() {
    let list = ipv4_list();
    let advert = outgoing(&list, ChecksumForm::PseudoHeader);
    assert_eq!(member(HmacMode::Receive).sign(NOW, &advert), None);
}

#[test]
fn debug_shows_no_key() {
    let shown = format!("{:?}", member(HmacMode::Enforce));
    assert!(shown.contains("HmacKey(1, ..)") && shown.len() < 200, "{shown}");
}

proptest! {
    #[test]
    fn a_trailer_reads_back_and_proves_nothing(trailer in any_trailer(), v6: bool) {
        let (meta, list) =
            if v6 { (meta_ipv6(), list(&["fe80::42"])) } else { (meta_ipv4(), ipv4_list()) };
        let mut message = vec![0xa5; 5];
        v3::emit_signed(&outgoing(&list, ChecksumForm::Message), &trailer, &mut message);
        let parsed = v3::parse(&meta, &message[5..]).unwrap();
        prop_assert!(parsed.checksum.is_ok());
        prop_assert_eq!(parsed.signed.unwrap().trailer, trailer);
        let mut receiver = member(HmacMode::Enforce);
        let verdict = receiver.verify(NOW, meta.source, parsed.signed.as_ref());
        prop_assert!(receiver.mode().decide(verdict).is_err());
    }

    #[test]
    fn what_is_signed_is_verified(
        bytes in prop::collection::vec(any::<u8>(), 32..=64),
        id in 1..=255_u8,
        lag in -4_000..4_000_i64,
        source: [u8; 4],
    ) {
        let key = HmacKey::new(id, &bytes).unwrap();
        let new = || {
            let keys = vec![key.clone()];
            HmacAuthenticator::new(keys, id, HmacMode::Enforce, five_seconds()).unwrap()
        };
        let meta = RxMeta { source: IpAddr::from(source), ..meta_ipv4() };
        let list = ipv4_list();
        let form = ChecksumForm::Message;
        let carrier = v3::Carrier::new(&list, meta.source, meta.destination, form).unwrap();
        let advert = v3::Outgoing { carrier, ..outgoing(&list, form) };
        let trailer = new().sign(NOW, &advert).unwrap();
        let mut message = Vec::new();
        v3::emit_signed(&advert, &trailer, &mut message);
        let at = if lag < 0 { NOW - ms(lag.unsigned_abs()) } else { NOW + ms(lag.unsigned_abs()) };
        prop_assert_eq!(verdict(&mut new(), at, &meta, &message), Ok(Verdict::Verified));
    }
}
