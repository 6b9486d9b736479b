//! The order in which a CARP router checks adverts: of two mistakes in one packet the first of the table
//! in `docs/wire.md` gives the label.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use carp_proto::election::Dialect;
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::checksum::checksum;
use carp_proto::{CarpInterval, Instant, Reject};
use support::peers::{Datagram, Extra, Peers, Said};
use support::{Rigged as _, Setup, secs};

/// What can be wrong with an advert, in the order in which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mistake {
    TwoFamilies,
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
    AuthLen, Checksum, Destination, Digest, Id, Interval, Long, OwnSource, Short, Ttl, TwoFamilies,
    Type, Version, Vrrp,
};

const MISTAKES: [(Mistake, &str); 14] = [
    (TwoFamilies, "malformed-ip"),
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

/// What the mistakes are made in: adverts to the group of either family, and to a peer.
const EXTRAS: [Extra; 3] = [Extra::Nothing, Extra::Ipv6, Extra::Peers];

fn setup(extra: Extra) -> Setup {
    // A dialect that rejects 0/0.
    Setup { dialect: Dialect::FreeBsd, extra, ..Setup::new() }
}

fn mistakes(extra: Extra) -> impl Iterator<Item = (Mistake, &'static str)> + Clone {
    // Nobody is a peer of his own.
    MISTAKES.into_iter().filter(move |(mistake, _)| *mistake != OwnSource || extra != Extra::Peers)
}

/// An advert with all of these mistakes and no other.
fn with(mistakes: &[Mistake], extra: Extra) -> Datagram {
    let has = |mistake| mistakes.contains(&mistake);
    let said = Said { advbase: 1, advskew: 0, demotion: 0 };
    let setup = setup(extra);
    let (mut meta, message) = Peers::new(setup).advert(Instant::ZERO, 9, said);
    let good = carp::parse(&message).unwrap().advert;
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
    if has(OwnSource) {
        meta.source = setup.host(5);
    }
    if has(Destination) {
        let group = setup.family().meta(meta.source).destination;
        meta.destination = if extra == Extra::Peers { group } else { setup.host(5) };
    }
    if has(TwoFamilies) {
        let other = if extra == Extra::Ipv6 { Extra::Nothing } else { Extra::Ipv6 };
        meta.source = self::setup(other).host(9);
    }
    if has(Ttl) {
        meta.ttl = 254;
    }
    (meta, message)
}

/// The label that a router gives. If it rejects the advert, no timer moves.
fn label(mistakes: &[Mistake], extra: Extra) -> Option<&'static str> {
    let mut rig = setup(extra).member().backup();
    rig.passes(secs(1));
    let wait = rig.wait();
    let (meta, message) = with(mistakes, extra);
    let reject = rig.hears_bytes(&meta, &message).err();
    assert!(reject.is_none() || rig.wait() == wait, "{mistakes:?}");
    reject.map(Reject::label)
}

#[test]
fn every_mistake_has_its_label() {
    for extra in EXTRAS {
        assert_eq!(label(&[], extra), None);
        for (mistake, expected) in mistakes(extra) {
            assert_eq!(label(&[mistake], extra), Some(expected), "{extra:?}: {mistake:?}");
        }
    }
}

#[test]
fn of_two_mistakes_the_first_of_the_table_gives_the_label() {
    let mut pairs = 0;
    for extra in EXTRAS {
        for (first, expected) in mistakes(extra) {
            for (second, _) in mistakes(extra).filter(|(second, _)| first < *second) {
                if go_together(first, second) {
                    let found = label(&[first, second], extra);
                    assert_eq!(found, Some(expected), "{extra:?}: {first:?} and {second:?}");
                    pairs += 1;
                }
            }
        }
    }
    // All pairs of 14, twice, and of 13, but for four with VRRP each.
    assert_eq!(pairs, 91 + 91 + 78 - 3 * 4);
}
