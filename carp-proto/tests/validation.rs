//! The order in which VRRP adverts are checked: of two mistakes in one packet the first of the table
//! gives the label.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use std::net::IpAddr;

use carp_proto::auth::Password;
use carp_proto::wire::vrrp::{
    Authentication, ChecksumForm, Expectations, Senders, Version, validate,
};
use carp_proto::{Reject, RxMeta, Seconds};
use support::vrrp::{self, VrrpSetup};
use support::wire::{
    expects, expects_v2, expects_v3, meta_ipv4, meta_ipv6, sum_v2, sum_v3, v2_message, v3_message,
};
use support::{Rig, id, ip};

/// What can be wrong with an advert, in the order in which it is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Mistake {
    TwoFamilies,
    Carp,
    Short,
    Version,
    Type,
    Length,
    Id,
    Ttl,
    Destination,
    Checksum,
    OwnSource,
    Interval,
    NoAddress,
    Password,
}

use Mistake::{
    Carp, Checksum, Destination, Id, Interval, Length, NoAddress, OwnSource, Short, Ttl,
    TwoFamilies, Type,
};

const MISTAKES: [Mistake; 14] = [
    TwoFamilies,
    Carp,
    Short,
    Mistake::Version,
    Type,
    Length,
    Id,
    Ttl,
    Destination,
    Checksum,
    OwnSource,
    Interval,
    NoAddress,
    Mistake::Password,
];

impl Mistake {
    fn label(self) -> &'static str {
        match self {
            TwoFamilies => "malformed-ip",
            Carp => "foreign-protocol",
            Short => "too-short",
            Self::Version => "bad-version",
            Type => "bad-type",
            Length => "bad-length",
            Id => "unknown-id",
            Ttl => "bad-ttl",
            Destination => "unknown-peer",
            Checksum => "bad-checksum",
            OwnSource => "own-loop",
            Interval => "bad-interval",
            NoAddress => "bad-address-list",
            Self::Password => "bad-authentication",
        }
    }

    /// Whether one packet can have both: CARP has one shape only, and version 2.
    fn goes_with(self, other: Self) -> bool {
        let shape = |mistake| [Short, Self::Version, Length, NoAddress].contains(&mistake);
        !(self == Carp && shape(other) || other == Carp && shape(self))
    }
}

/// What the mistakes are made in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Base {
    V2,
    V3Ipv4,
    V3Ipv6,
}

impl Base {
    fn good(self) -> (RxMeta, Vec<u8>) {
        let password = Password::new(b"s3cr3t").unwrap();
        let form = ChecksumForm::PseudoHeader;
        match self {
            Self::V2 => (meta_ipv4(), v2_message(&["10.0.0.1"], Some(&password))),
            Self::V3Ipv4 => (meta_ipv4(), v3_message(&["10.0.0.1"], form)),
            Self::V3Ipv6 => (meta_ipv6(), v3_message(&["fe80::42"], form)),
        }
    }

    fn own_source(self) -> IpAddr {
        match self {
            Self::V2 | Self::V3Ipv4 => ip(5),
            Self::V3Ipv6 => "fe80::5".parse().unwrap(),
        }
    }

    fn label(self, meta: &RxMeta, message: &[u8]) -> Option<&'static str> {
        let password = Password::new(b"s3cr3t").unwrap();
        let expected = match self {
            Self::V2 => expects_v2(Authentication::Password(&password)),
            Self::V3Ipv4 | Self::V3Ipv6 => expects_v3(),
        };
        let expected = Expectations { own_source: Some(self.own_source()), ..expected };
        let label = validate(meta, message, &expected).err().map(Reject::label);
        assert_eq!(self.router_s_label(password, meta, message), label, "a router agrees");
        label
    }

    /// What a whole router says of the same datagram. If it rejects it, no timer moves.
    fn router_s_label(
        self,
        password: Password,
        meta: &RxMeta,
        message: &[u8],
    ) -> Option<&'static str> {
        let version = match self {
            Self::V2 => vrrp::Version::V2,
            Self::V3Ipv4 => vrrp::Version::V3,
            Self::V3Ipv6 => vrrp::Version::V3Ipv6,
        };
        let password = (self == Self::V2).then_some(password);
        let setup = VrrpSetup { password, ..VrrpSetup::new(version) };
        let mut rig = Rig::of(setup.config(), self.own_source()).backup();
        rig.passes(support::secs(1));
        let wait = rig.wait();
        let reject = rig.hears_bytes(meta, message).err();
        assert!(reject.is_none() || rig.wait() == wait, "{reject:?}");
        reject.map(Reject::label)
    }

    /// An advert with all of these mistakes and no other.
    fn with(self, mistakes: &[Mistake]) -> (RxMeta, Vec<u8>) {
        let (mut meta, mut message) = self.good();
        let has = |mistake| mistakes.contains(&mistake);
        if has(OwnSource) {
            meta.source = self.own_source();
        }
        if has(Destination) {
            meta.destination = match self {
                Self::V2 | Self::V3Ipv4 => ip(6),
                Self::V3Ipv6 => "fe80::6".parse().unwrap(),
            };
        }
        if has(Ttl) {
            meta.ttl = 254;
        }
        if has(NoAddress) {
            let size = if self == Self::V3Ipv6 { 16 } else { 4 };
            message.drain(8..8 + size);
            message[3] = 0;
        }
        if has(Id) {
            message[1] = 43;
        }
        if has(Interval) {
            message[if self == Self::V2 { 5..6 } else { 4..6 }].fill(0);
        }
        if has(Mistake::Password) {
            message[12] ^= 1;
        }
        if has(Type) {
            message[0] = message[0] & 0xf0 | 2;
        }
        if has(Mistake::Version) {
            message[0] = 0x10 | message[0] & 0x0f;
        }
        if has(Length) {
            message.extend([0; 3]);
        }
        if has(Carp) {
            message[0] = 0x20 | message[0] & 0x0f;
            message[3] = 7;
            message.resize(36, 0);
        }
        match self {
            Self::V2 => sum_v2(&mut message),
            Self::V3Ipv4 | Self::V3Ipv6 => sum_v3(&meta, &mut message),
        }
        if has(Checksum) {
            message[7] ^= 1;
        }
        if has(Short) {
            message.truncate(7);
        }
        if has(TwoFamilies) {
            let other = if self == Self::V3Ipv6 { meta_ipv4() } else { meta_ipv6() };
            meta.destination = other.destination;
        }
        (meta, message)
    }

    fn mistakes(self) -> impl Iterator<Item = Mistake> + Clone {
        MISTAKES
            .into_iter()
            .filter(move |mistake| *mistake != Mistake::Password || self == Self::V2)
    }
}

const BASES: [Base; 3] = [Base::V2, Base::V3Ipv4, Base::V3Ipv6];

#[test]
fn without_a_mistake_an_advert_is_accepted() {
    for base in BASES {
        let (meta, message) = base.with(&[]);
        assert_eq!((meta, &message), (base.good().0, &base.good().1));
        assert_eq!(base.label(&meta, &message), None, "{base:?}");
    }
}

#[test]
fn every_mistake_has_its_label() {
    for base in BASES {
        for mistake in base.mistakes() {
            let (meta, message) = base.with(&[mistake]);
            let label = base.label(&meta, &message);
            assert_eq!(label, Some(mistake.label()), "{base:?}: {mistake:?}");
        }
    }
}

#[test]
fn of_two_mistakes_the_first_of_the_table_gives_the_label() {
    let mut pairs = 0;
    for base in BASES {
        for first in base.mistakes() {
            for second in base.mistakes().filter(|second| first < *second) {
                if !first.goes_with(second) {
                    continue;
                }
                let (meta, message) = base.with(&[first, second]);
                let label = base.label(&meta, &message);
                assert_eq!(label, Some(first.label()), "{base:?}: {first:?} and {second:?}");
                pairs += 1;
            }
        }
    }
    // All pairs of 14 and twice of 13, but for four with CARP each.
    assert_eq!(pairs, 91 + 78 + 78 - 3 * 4);
}

#[test]
fn all_mistakes_at_once_are_the_first_one() {
    for base in BASES {
        let all: Vec<_> = base.mistakes().filter(|mistake| *mistake != Carp).collect();
        let (meta, message) = base.with(&all);
        assert_eq!(base.label(&meta, &message), Some("malformed-ip"));
        let (meta, message) = base.with(&all[1..]);
        assert_eq!(base.label(&meta, &message), Some("too-short"));
    }
}

fn rejected(meta: &RxMeta, message: &[u8], expected: &Expectations<'_>) -> Option<Reject> {
    validate(meta, message, expected).err()
}

#[test]
fn each_version_rejects_the_other_by_its_version() {
    let meta = meta_ipv4();
    let v2 = v2_message(&["10.0.0.1"], None);
    let v3 = v3_message(&["10.0.0.1"], ChecksumForm::PseudoHeader);
    let error = rejected(&meta, &v2, &expects_v3());
    assert_eq!(error, Some(Reject::BadVersion { found: 2, expected: 3 }));
    let error = rejected(&meta, &v3, &expects_v2(Authentication::None));
    assert_eq!(error, Some(Reject::BadVersion { found: 3, expected: 2 }));
}

#[test]
fn version_2_has_no_ipv6() {
    let message = v2_message(&["10.0.0.1"], None);
    let error = rejected(&meta_ipv6(), &message, &expects_v2(Authentication::None));
    assert_eq!(error, Some(Reject::MalformedIp));
}

#[test]
fn the_reject_says_what_was_found_and_what_was_expected() {
    let message = v3_message(&["10.0.0.1"], ChecksumForm::PseudoHeader);
    let expected = expects_v3();
    let far = RxMeta { ttl: 64, ..meta_ipv4() };
    let error = rejected(&far, &message, &expected);
    assert_eq!(error, Some(Reject::BadTtl { found: 64, expected: 255 }));
    let error = rejected(&meta_ipv4(), &message[..11], &expected);
    assert_eq!(error, Some(Reject::BadLength { found: 11, expected: 12 }));
    let error = rejected(&meta_ipv4(), &message, &Expectations { id: id(9), ..expected });
    assert_eq!(error, Some(Reject::UnknownId { found: 42 }));
}

#[test]
fn version_2_wants_our_interval_and_version_3_does_not() {
    let interval = Seconds::from_wire(2);
    let expected = expects(Version::V2 { interval, authentication: Authentication::None });
    let error = rejected(&meta_ipv4(), &v2_message(&["10.0.0.1"], None), &expected);
    assert_eq!(error, Some(Reject::BadInterval));
    let message = v3_message(&["10.0.0.1"], ChecksumForm::Message);
    let valid = validate(&meta_ipv4(), &message, &expects_v3()).unwrap();
    assert_eq!(valid.interval(), support::secs(1));
}

#[test]
fn version_2_wants_our_kind_of_authentication() {
    let [ours, other] = [b"s3cr3t", b"secret"].map(|secret| Password::new(secret).unwrap());
    let none = v2_message(&["10.0.0.1"], None);
    let with_ours = v2_message(&["10.0.0.1"], Some(&ours));
    let with_header = {
        let mut message = none.clone();
        message[4] = 2;
        sum_v2(&mut message);
        message
    };
    let label = |message: &[u8], authentication| {
        rejected(&meta_ipv4(), message, &expects_v2(authentication)).map(Reject::label)
    };
    let bad = Some("bad-authentication");
    assert_eq!(label(&with_ours, Authentication::Password(&ours)), None);
    assert_eq!(label(&with_ours, Authentication::Password(&other)), bad);
    assert_eq!(label(&with_ours, Authentication::None), bad);
    assert_eq!(label(&none, Authentication::Password(&ours)), bad);
    assert_eq!(label(&with_header, Authentication::None), bad);
    assert_eq!(label(&with_header, Authentication::Password(&ours)), bad);
}

#[test]
fn without_authentication_the_authentication_data_is_not_looked_at() {
    let mut message = v2_message(&["10.0.0.1"], None);
    message[12..].fill(0x5a);
    sum_v2(&mut message);
    assert_eq!(rejected(&meta_ipv4(), &message, &expects_v2(Authentication::None)), None);
}

#[test]
fn who_may_send_depends_on_the_peers() {
    let message = v3_message(&["10.0.0.1"], ChecksumForm::Message);
    let group = meta_ipv4();
    let unicast = RxMeta { destination: ip(5), ..group };
    let (sender, other) = ([group.source], [ip(8)]);
    let heard = |meta, senders| {
        let expected = Expectations { senders, ..expects_v3() };
        let outcome = rejected(meta, &message, &expected);
        assert!([None, Some(Reject::UnknownPeer { from: group.source })].contains(&outcome));
        outcome.is_none()
    };
    assert!(heard(&group, Senders::Group { only: &[] }));
    assert!(heard(&group, Senders::Group { only: &sender }));
    assert!(!heard(&group, Senders::Group { only: &other }));
    assert!(!heard(&unicast, Senders::Group { only: &sender }));
    assert!(heard(&unicast, Senders::Peers(&sender)));
    assert!(!heard(&unicast, Senders::Peers(&other)));
    assert!(!heard(&unicast, Senders::Peers(&[])));
    assert!(!heard(&group, Senders::Peers(&sender)), "a peer that sends to the group");
}

#[test]
fn peers_may_be_a_few_hops_away_if_that_is_configured() {
    let message = v3_message(&["10.0.0.1"], ChecksumForm::Message);
    for (ttl, accepted) in [(255, true), (250, true), (249, false), (0, false)] {
        let meta = RxMeta { ttl, ..meta_ipv4() };
        let expected = Expectations { min_ttl: 250, ..expects_v3() };
        assert_eq!(rejected(&meta, &message, &expected).is_none(), accepted, "{ttl}");
    }
}

#[test]
fn a_list_that_does_not_begin_with_a_link_local_address_is_accepted_with_a_note() {
    let meta = meta_ipv6();
    let mut message = v3_message(&["fe80::42"], ChecksumForm::PseudoHeader);
    assert!(!validate(&meta, &message, &expects_v3()).unwrap().lacks_link_local());
    message[8..10].copy_from_slice(&[0x20, 0x01]);
    sum_v3(&meta, &mut message);
    assert!(validate(&meta, &message, &expects_v3()).unwrap().lacks_link_local());
}
