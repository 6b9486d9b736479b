//! CARP over IPv6 and over both families, and changes of key and addresses.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use std::net::IpAddr;

use carp_proto::election::{Cause, Dialect, Event, Input, State};
use carp_proto::wire::carp::{self, Advert};
use carp_proto::wire::ip::{GROUP_IPV4, GROUP_IPV6};
use carp_proto::{
    AdvBase, AdvSkew, Authenticator, CarpInterval, ConfigError, Key, Reject, RouterConfig, RxMeta,
};
use support::vrrp::sent_by;
use support::{Effect, Rig, addresses, id, ip, ms, secs};

const IPV6: [&str; 2] = ["fe80::100", "2001:db8::100"];
const BOTH: [&str; 3] = ["10.99.0.100", "fe80::100", "2001:db8::100"];

fn ip6(host: u16) -> IpAddr {
    IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, host])
}

fn key(secret: &[u8]) -> Key {
    Key::new(secret).unwrap()
}

fn config(texts: &[&str]) -> RouterConfig {
    let skew = AdvSkew::new(100).unwrap();
    RouterConfig::carp(id(42), &key(b"love"), addresses(texts), 7)
        .unwrap()
        .with_interval(Dialect::Native, AdvBase::new(1).unwrap(), skew)
        .unwrap()
}

/// A router with addresses of both families at host 5.
fn dual() -> Rig {
    let mut rig = Rig::of(config(&BOTH), ip(5));
    rig.router.set_other_source(Some(ip6(5)));
    rig
}

fn meta(source: IpAddr) -> RxMeta {
    let destination = if source.is_ipv4() { GROUP_IPV4.into() } else { GROUP_IPV6.into() };
    RxMeta { source, destination, ttl: 255 }
}

fn advert(secret: &[u8], texts: &[&str], advskew: u8) -> Vec<u8> {
    signed(secret, texts, CarpInterval { advbase: 1, advskew })
}

fn signed(secret: &[u8], texts: &[&str], interval: CarpInterval) -> Vec<u8> {
    let signer = Authenticator::new(&key(secret), id(42), &addresses(texts));
    let digest = signer.digest(99);
    let mut message = Vec::new();
    carp::emit(&Advert { vhid: 42, interval, demotion: 0, counter: 99, digest }, &mut message);
    message
}

fn resignation() -> Vec<u8> {
    signed(b"love", &BOTH, CarpInterval::RESIGN)
}

fn hears(rig: &mut Rig, source: IpAddr, message: &[u8]) -> Option<&'static str> {
    rig.hears_bytes(&meta(source), message).err().map(Reject::label)
}

#[test]
fn a_router_with_ipv6_addresses_elects_over_ipv6() {
    let mut rig = Rig::of(config(&IPV6), ip6(5)).backup();
    let sent = rig.advertises();
    assert_eq!(sent.iter().map(|(meta, _)| *meta).collect::<Vec<_>>(), [meta(ip6(5))]);
    let digest = carp::parse(&sent[0].1).unwrap();
    assert!(digest.checksum_ok);
    let members = Authenticator::new(&key(b"love"), id(42), &addresses(&IPV6));
    assert!(members.verify(digest.advert.counter, &digest.advert.digest));

    let mut rig = Rig::of(config(&IPV6), ip6(5)).backup();
    let good = advert(b"love", &IPV6, 0);
    assert_eq!(hears(&mut rig, ip6(9), &good), None);
    assert_eq!(hears(&mut rig, ip(9), &good), Some("unknown-peer"), "it has no IPv4 address");
    assert_eq!(hears(&mut rig, ip6(5), &good), Some("own-loop"));
}

/// It resigns in both families, and what it said before comes late in either. Which IPv4 and which IPv6 address are one
/// router's cannot be told.
#[test]
fn an_advert_of_either_family_that_a_resignation_has_overtaken_is_not_believed() {
    for (first, late) in [(ip(9), ip6(9)), (ip6(9), ip(9)), (ip(9), ip(9))] {
        for (after, state) in [(ms(99), State::Active), (ms(100), State::Backup)] {
            let mut rig = dual().backup();
            assert_eq!(hears(&mut rig, first, &advert(b"love", &BOTH, 0)), None);
            assert_eq!(hears(&mut rig, first, &resignation()), None);
            rig.input(Input::Acquired);
            assert_eq!(rig.state(), State::Active);
            rig.passes(after);
            assert_eq!(hears(&mut rig, late, &advert(b"love", &BOTH, 0)), None);
            rig.input(Input::AnnouncementHeard);
            assert_eq!(rig.state(), state, "{first}, {late}, {after:?}");
        }
    }
}

#[test]
fn openbsd_leaves_link_local_addresses_out_of_the_digest_and_freebsd_does_not() {
    for texts in [&BOTH[..], &["10.99.0.100", "2001:db8::100"]] {
        let mut rig = dual().backup();
        assert_eq!(hears(&mut rig, ip(9), &advert(b"love", texts, 0)), None, "{texts:?}");
    }
    let mut rig = dual().backup();
    let other = advert(b"love", &["10.99.0.100"], 0);
    assert_eq!(hears(&mut rig, ip(9), &other), Some("bad-authentication"));
}

#[test]
fn both_families_carry_the_same_advert() {
    let mut rig = dual().backup();
    let sent = rig.advertises();
    let paths: Vec<_> = sent.iter().map(|(meta, _)| *meta).collect();
    assert_eq!(paths, [meta(ip(5)), meta(ip6(5))]);
    assert_eq!(sent[0].1, sent[1].1, "one counter, and one digest over both lists");
    let next = rig.advertises();
    let counter = |message: &[u8]| carp::parse(message).unwrap().advert.counter;
    assert_eq!(counter(&next[0].1), counter(&sent[0].1) + 1);
}

#[test]
fn without_a_source_in_one_family_the_other_is_enough() {
    let mut rig = Rig::of(config(&BOTH), ip(5)).backup();
    assert_eq!(rig.advertises().len(), 1);
    rig.router.set_other_source(Some(ip6(5)));
    assert_eq!(rig.advertises().len(), 2);
    rig.router.set_other_source(None);
    assert_eq!(rig.advertises().len(), 1);
}

#[test]
fn adverts_of_either_family_keep_a_backup_waiting() {
    let mut rig = dual().backup();
    for source in [ip(9), ip6(9), ip6(9), ip(9)] {
        rig.passes(secs(3));
        assert_eq!(hears(&mut rig, source, &advert(b"love", &BOTH, 0)), None);
        assert!(rig.wait() > secs(3));
    }
    for own in [ip(5), ip6(5)] {
        assert_eq!(hears(&mut rig, own, &advert(b"love", &BOTH, 0)), Some("own-loop"));
    }
}

#[test]
fn a_resignation_over_both_families_is_honoured() {
    let mut rig = dual().backup();
    let resignation = {
        let signer = Authenticator::new(&key(b"love"), id(42), &addresses(&BOTH));
        let (interval, digest) = (CarpInterval::RESIGN, signer.digest(5));
        let mut message = Vec::new();
        carp::emit(&Advert { vhid: 42, interval, demotion: 0, counter: 5, digest }, &mut message);
        message
    };
    for source in [ip(9), ip6(9)] {
        hears(&mut rig, source, &advert(b"love", &BOTH, 0));
    }
    for source in [ip(9), ip6(9)] {
        hears(&mut rig, source, &resignation);
    }
    assert_eq!(rig.state(), State::Active);
}

#[test]
fn of_equal_ranks_the_addresses_of_one_family_decide() {
    // Host 9 is higher than we in IPv4, so we stay; in IPv6 it is host 1, which would stay.
    let mut rig = dual().serving();
    rig.runs(secs(10));
    assert_eq!(hears(&mut rig, ip6(1), &advert(b"love", &BOTH, 100)), None);
    assert_eq!(support::drain(&mut rig.router), [], "the IPv6 addresses decide nothing");
    hears(&mut rig, ip(9), &advert(b"love", &BOTH, 100));
    let rival = Effect::Event(Event::Rival { source: ip(9) });
    assert_eq!(support::drain(&mut rig.router), [rival, Effect::Announce]);
    hears(&mut rig, ip(4), &advert(b"love", &BOTH, 100));
    let yields = Effect::State(State::Active, State::Backup, Cause::BetterPeer);
    assert_eq!(support::drain(&mut rig.router), [Effect::Release, yields]);
}

#[test]
fn peers_can_be_of_both_families() {
    let peers = vec![ip(9), ip6(9)];
    let mut rig = Rig::of(config(&BOTH).with_peers(peers.clone()).unwrap(), ip(5));
    rig.router.set_other_source(Some(ip6(5)));
    let mut rig = rig.backup();
    let good = advert(b"love", &BOTH, 0);
    let unicast = |source, destination| RxMeta { source, destination, ttl: 255 };
    assert_eq!(rig.hears_bytes(&unicast(ip(9), ip(5)), &good), Ok(()));
    assert_eq!(rig.hears_bytes(&unicast(ip6(9), ip6(5)), &good), Ok(()));
    let stranger = rig.hears_bytes(&unicast(ip(8), ip(5)), &good);
    assert_eq!(stranger, Err(Reject::UnknownPeer { from: ip(8) }));
    let to: Vec<_> = rig.advertises().iter().map(|(meta, _)| meta.destination).collect();
    assert_eq!(to, peers);
}

#[test]
fn peers_may_be_some_hops_away_because_carp_has_a_key() {
    let config = || config(&["10.99.0.100"]);
    assert_eq!(config().with_min_ttl(64).err(), Some(ConfigError::MinTtl { found: 64 }));
    let config = config().with_peers(vec![ip(9)]).unwrap().with_min_ttl(64).unwrap();
    let mut rig = Rig::of(config, ip(5)).backup();
    let good = advert(b"love", &["10.99.0.100"], 0);
    for (ttl, expected) in [(64, None), (63, Some("bad-ttl"))] {
        let meta = RxMeta { source: ip(9), destination: ip(5), ttl };
        assert_eq!(rig.hears_bytes(&meta, &good).err().map(Reject::label), expected);
    }
}

#[test]
fn carp_can_delay_its_preemption() {
    let config = config(&["10.99.0.100"]).with_preempt(true).with_preempt_delay(secs(5));
    let mut rig = Rig::of(config, ip(5)).backup();
    for _ in 0..5 {
        rig.passes(ms(990));
        assert_eq!(rig.hears(ip(9), 1, 200), []);
    }
    assert_eq!(rig.passes(ms(60)).hears(ip(9), 1, 200), [], "4.02 s since the first");
    let effects = rig.passes(secs(1)).hears(ip(9), 1, 200);
    assert_eq!(effects, [Effect::Claim(1, 100, 0), Effect::Acquire]);
}

#[test]
fn an_advert_may_come_from_nowhere() {
    // FreeBSD's, if its interface has no address.
    for nowhere in ["0.0.0.0", "::"] {
        let nowhere = nowhere.parse().unwrap();
        let mut rig = dual().backup();
        rig.passes(secs(2));
        assert_eq!(hears(&mut rig, nowhere, &advert(b"love", &BOTH, 0)), None);
        assert!(rig.wait() > secs(3), "it is followed");
    }
}

// Changes of key and addresses.

#[test]
fn what_was_before_a_change_is_accepted_for_a_while() {
    let before = ["10.99.0.100"];
    let changes: [(&[u8], &[&str]); 3] = [(b"old", &BOTH), (b"love", &before), (b"old", &before)];
    for (secret, texts) in changes {
        let previous = Authenticator::new(&key(secret), id(42), &addresses(texts));
        let config = config(&BOTH).with_previous(previous, secs(60)).unwrap();
        let mut rig = Rig::of(config, ip(5)).backup();
        let (old, new) = (advert(secret, texts, 0), advert(b"love", &BOTH, 0));
        assert_eq!(hears(&mut rig, ip(9), &old), None);
        assert_eq!(hears(&mut rig, ip(9), &new), None);
        let other = advert(b"other", texts, 0);
        assert_eq!(hears(&mut rig, ip(9), &other), Some("bad-authentication"));
        rig.passes(secs(59));
        assert_eq!(hears(&mut rig, ip(9), &old), None);
        rig.passes(secs(1));
        assert_eq!(hears(&mut rig, ip(9), &old), Some("bad-authentication"), "too late");
        assert_eq!(hears(&mut rig, ip(9), &new), None);
    }
}

#[test]
fn a_key_changes_on_backup_and_active_without_an_outage() {
    let texts = ["10.99.0.100"];
    let old = config(&texts);
    let new = |secret: &[u8]| {
        let previous = Authenticator::new(&key(b"love"), id(42), &addresses(&texts));
        RouterConfig::carp(id(42), &key(secret), addresses(&texts), 9)
            .unwrap()
            .with_previous(previous, secs(600))
            .unwrap()
    };
    // The backup has changed, and the active router has not.
    let mut active = Rig::of(old, ip(9)).serving();
    let mut backup = Rig::of(new(b"fresh"), ip(5)).backup();
    for _ in 0..5 {
        let sent = active.advertises();
        backup.passes(active.now.saturating_since(backup.now));
        for (meta, message) in sent {
            assert_eq!(backup.hears_bytes(&meta, &message), Ok(()));
        }
        assert_eq!(backup.state(), State::Backup);
    }
    // The active one hands over, changes and comes back; the other serves.
    active.router.handle(active.now, Input::Stop);
    for (meta, message) in sent_by(&mut active) {
        backup.hears_bytes(&meta, &message).unwrap();
    }
    let sent = sent_by(&mut backup);
    assert_eq!(backup.state(), State::Active);
    let mut changed = Rig::of(new(b"fresh"), ip(9)).backup();
    assert_eq!(changed.hears_bytes(&sent[0].0, &sent[0].1), Ok(()));
    assert_eq!(changed.state(), State::Backup);
}
