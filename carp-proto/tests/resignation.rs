//! Resignations that are written in advance, for somebody who sends them when the router cannot.

#![expect(clippy::unwrap_used, reason = "a helper that fails has to fail its test")]

mod support;

use std::net::IpAddr;

use bytes::BytesMut;
use carp_proto::auth::{AntiReplay, HmacAuthenticator, HmacKey, HmacMode, Window};
use carp_proto::election::{Cause, Dialect, Input, State};
use carp_proto::wire::carp;
use carp_proto::{Key, RouterConfig, RxMeta};
use support::vrrp::{Version, VrrpSetup, sent_by};
use support::{Rig, Setup, addresses, id, ip, secs, written};

/// A serving router of host 5, and its backup, host 9, that hears it.
fn pair([first, second]: [RouterConfig; 2], hosts: [IpAddr; 2]) -> (Rig, Rig) {
    let mut serving = Rig::of(first, hosts[0]).serving();
    serving.router.set_time_of_day(serving.now, secs(1_000_000));
    let mut backup = Rig::of(second, hosts[1]).backup();
    backup.now = serving.now;
    backup.router.set_time_of_day(backup.now, secs(1_000_000));
    hear(&mut backup, &next_advert(&mut serving));
    (serving, backup)
}

/// The next advert: other deadlines, such as that of an announcement, may come first.
fn next_advert(rig: &mut Rig) -> Vec<(RxMeta, Vec<u8>)> {
    let sent = (0..10).map(|_| rig.advertises()).find(|sent| !sent.is_empty());
    sent.expect("an advert")
}

fn hear(rig: &mut Rig, sent: &[(RxMeta, Vec<u8>)]) {
    assert!(!sent.is_empty());
    for (meta, message) in sent {
        assert_eq!(rig.hears_bytes(meta, message), Ok(()));
    }
}

/// Lets the backup hear what was written, and returns why it took over.
fn takeover(mut backup: Rig, resignation: &[(RxMeta, Vec<u8>)]) -> Cause {
    let silence = backup.wait();
    hear(&mut backup, resignation);
    if backup.state() == State::Backup {
        assert!(backup.wait() < silence, "it waits for its skew time only");
        backup.times_out();
    }
    assert_eq!(backup.state(), State::Active);
    backup.router.snapshot(backup.now).cause
}

#[test]
fn a_backup_takes_over_on_it_in_every_protocol() {
    for dialect in [Dialect::Native, Dialect::OpenBsd, Dialect::FreeBsd, Dialect::Ucarp] {
        let config = |seed| Setup { dialect, seed, ..Setup::new() }.config();
        // Two hosts have two seeds: OpenBSD takes its own counter for an echo.
        let (serving, backup) = pair([config(7), config(8)], [ip(5), ip(9)]);
        let cause = takeover(backup, &written(&serving.router));
        assert_eq!(cause, Cause::Resigned, "{dialect:?}");
    }
    for version in Version::ALL {
        let config = || VrrpSetup::new(version).config();
        let (serving, backup) = pair([config(), config()], [version.host(5), version.host(9)]);
        assert_eq!(takeover(backup, &written(&serving.router)), Cause::Resigned, "{version:?}");
    }
}

#[test]
fn writing_it_changes_nothing() {
    let mut one = Rig::new(Setup::new()).serving();
    let mut other = Rig::new(Setup::new()).serving();
    for _ in 0..3 {
        assert_eq!(written(&one.router), written(&one.router));
        assert_eq!(next_advert(&mut one), next_advert(&mut other));
    }
    let counters = |rig: &Rig| rig.router.snapshot(rig.now).counters.adverts_sent;
    assert_eq!(counters(&one), counters(&other));
}

#[test]
fn it_carries_the_counter_of_the_next_advert() {
    let mut rig = Rig::new(Setup { dialect: Dialect::FreeBsd, ..Setup::new() }).serving();
    let counter = |message: &[u8]| carp::parse(message).unwrap().advert.counter;
    let last = counter(&next_advert(&mut rig)[0].1);
    let ready = counter(&written(&rig.router)[0].1);
    assert_eq!(ready, last + 1);
    assert_eq!(counter(&next_advert(&mut rig)[0].1), ready);

    let mut rig = Rig::new(Setup { dialect: Dialect::OpenBsd, ..Setup::new() }).serving();
    let last = counter(&next_advert(&mut rig)[0].1);
    assert_eq!(counter(&written(&rig.router)[0].1), last, "a cookie stays");
}

fn signed() -> RouterConfig {
    let keys = vec![HmacKey::new(1, &[7; 32]).unwrap()];
    let window = AntiReplay::Time(Window::new(5).unwrap());
    let hmac = HmacAuthenticator::new(keys, 1, HmacMode::Enforce, window).unwrap();
    VrrpSetup { hmac: Some(hmac), ..VrrpSetup::new(Version::V3) }.config()
}

#[test]
fn a_signed_one_is_good_until_the_next_advert() {
    let (mut serving, backup) = pair([signed(), signed()], [ip(5), ip(9)]);
    let ready = written(&serving.router);
    assert_eq!(takeover(backup, &ready), Cause::Resigned);

    let (_, mut backup) = pair([signed(), signed()], [ip(5), ip(9)]);
    hear(&mut backup, &next_advert(&mut serving));
    let (meta, message) = &ready[0];
    assert!(backup.hears_bytes(meta, message).is_err(), "it is older than what was heard");
    assert_eq!(takeover(backup, &written(&serving.router)), Cause::Resigned);
}

#[test]
fn a_signed_one_grows_old_unless_the_time_is_told() {
    let (mut serving, mut backup) = pair([signed(), signed()], [ip(5), ip(9)]);
    let ready = written(&serving.router);
    for rig in [&mut serving, &mut backup] {
        rig.passes(secs(6));
        rig.router.set_time_of_day(rig.now, secs(1_000_010));
    }
    let (meta, message) = &ready[0];
    assert!(backup.hears_bytes(meta, message).is_err(), "it is out of the window");
    let (meta, message) = &written(&serving.router)[0];
    assert_eq!(backup.hears_bytes(meta, message), Ok(()));
}

#[test]
fn there_is_one_for_each_destination_that_can_be_reached() {
    let key = Key::new(b"love").unwrap();
    let both = addresses(&["10.99.0.100", "2001:db8::100"]);
    let mut rig = Rig::of(RouterConfig::carp(id(42), &key, both, 7).unwrap(), ip(5));
    assert_eq!(written(&rig.router), [], "without a link nothing can be sent");
    rig.input(Input::Start);
    rig.link_up();
    assert_eq!(written(&rig.router).len(), 1, "nobody has told a source for IPv6");
    rig.router.set_other_source(Some("fe80::5".parse().unwrap()));
    let destinations: Vec<_> =
        written(&rig.router).into_iter().map(|(meta, _)| meta.destination).collect();
    assert_eq!(destinations, rig.router.config().destinations());
    assert!(rig.router.write_resignation(2, &mut BytesMut::new()).is_none());
    assert_eq!(sent_by(&mut rig), []);
}

#[test]
fn the_longest_packet_is_as_long_as_the_configuration_says() {
    let key = Key::new(b"love").unwrap();
    let both = addresses(&["10.99.0.100", "2001:db8::100"]);
    let carp = RouterConfig::carp(id(42), &key, both, 7).unwrap();
    let vrrp = Version::ALL.map(|version| (VrrpSetup::new(version).config(), version.host(5)));
    for (config, host) in [(carp, ip(5)), (signed(), ip(5))].into_iter().chain(vrrp) {
        let mut router = Rig::of(config, host).serving().router;
        router.set_other_source(Some("fe80::5".parse().unwrap()));
        let header = |meta: &RxMeta| if meta.destination.is_ipv4() { 20 } else { 40 };
        let sent = written(&router);
        let longest = sent.iter().map(|(meta, message)| header(meta) + message.len()).max();
        let said = usize::try_from(router.config().packet_len()).unwrap();
        assert_eq!(longest, Some(said), "{:?}", router.config());
    }
}
