//! The order in which a CARP router checks adverts: of two mistakes in one packet the first of the table
//! in `docs/wire.md` gives the label.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use carp_proto::election::Dialect;
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::checksum::checksum;
use carp_proto::{CarpInterval, Reject, RxMeta};
use support::{Setup, advert, ip, meta, secs};

/// What can be wrong with an advert, in the order in which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mistake {
    Vrrp,
    Short,
    Version,
    Type,
    AuthLen,
    Long,
    Id,
    Ttl,
    Destination,
    Checksum,
    OwnSource,
    Interval,
    Digest,
}

use Mistake::{
    AuthLen, Checksum, Destination, Digest, Id, Interval, Long, OwnSource, Short, Ttl, Type,
    Version, Vrrp,
};

const MISTAKES: [(Mistake, &str); 13] = [
    (Vrrp, "foreign-protocol"),
    (Short, "too-short"),
    (Version, "bad-version"),
    (Type, "bad-type"),
    (AuthLen, "bad-length"),
    (Long, "bad-length"),
    (Id, "unknown-id"),
    (Ttl, "bad-ttl"),
    (Destination, "unknown-peer"),
    (Checksum, "bad-checksum"),
    (OwnSource, "own-loop"),
    (Interval, "bad-interval"),
    (Digest, "bad-authentication"),
];

/// Whether one packet can have both: VRRP has a version and a length of its own.
fn go_together(first: Mistake, second: Mistake) -> bool {
    first != Vrrp || ![Short, Version, AuthLen, Long].contains(&second)
}

/// An advert with all of these mistakes and no other.
fn with(mistakes: &[Mistake]) -> (RxMeta, Vec<u8>) {
    let has = |mistake| mistakes.contains(&mistake);
    let good = carp::parse(&advert(1, 0, 0, 9)).unwrap().advert;
    let mut digest = good.digest;
    digest[0] ^= u8::from(has(Digest));
    let interval = CarpInterval { advbase: u8::from(!has(Interval)), advskew: 0 };
    let vhid = if has(Id) { 43 } else { 42 };
    let mut message = Vec::new();
    carp::emit(&Advert { vhid, interval, digest, ..good }, &mut message);
    if has(Vrrp) {
        message[0] = 0x31;
    }
    if has(Version) {
        message[0] = 0x11;
    }
    if has(Type) {
        message[0] = message[0] & 0xf0 | 2;
    }
    if has(AuthLen) {
        message[3] = 9;
    }
    if has(Long) {
        message.extend([0; 4]);
    }
    message[6..8].fill(0);
    let sum = checksum(&message) ^ u16::from(has(Checksum));
    message[6..8].copy_from_slice(&sum.to_be_bytes());
    if has(Short) {
        message.truncate(35);
    }
    let mut meta = meta(ip(if has(OwnSource) { 5 } else { 9 }));
    if has(Destination) {
        meta.destination = ip(5);
    }
    if has(Ttl) {
        meta.ttl = 254;
    }
    (meta, message)
}

/// The label that a router gives. If it rejects the advert, no timer moves.
fn label(mistakes: &[Mistake]) -> Option<&'static str> {
    // A dialect that rejects 0/0.
    let mut rig = Setup { dialect: Dialect::FreeBsd, ..Setup::new() }.rig().backup();
    rig.passes(secs(1));
    let wait = rig.wait();
    let (meta, message) = with(mistakes);
    let reject = rig.hears_bytes(&meta, &message).err();
    assert!(reject.is_none() || rig.wait() == wait, "{mistakes:?}");
    reject.map(Reject::label)
}

#[test]
fn every_mistake_has_its_label() {
    assert_eq!(label(&[]), None);
    for (mistake, expected) in MISTAKES {
        assert_eq!(label(&[mistake]), Some(expected), "{mistake:?}");
    }
}

#[test]
fn of_two_mistakes_the_first_of_the_table_gives_the_label() {
    let mut pairs = 0;
    for (first, expected) in MISTAKES {
        for (second, _) in MISTAKES.into_iter().filter(|(second, _)| first < *second) {
            if go_together(first, second) {
                assert_eq!(label(&[first, second]), Some(expected), "{first:?} and {second:?}");
                pairs += 1;
            }
        }
    }
    assert_eq!(pairs, 78 - 4, "all pairs of 13, but for four with VRRP");
}
