//! Adverts cost no allocation once a router runs.

#[path = "support/counting.rs"]
mod counting;
mod support;

use bytes::BytesMut;
use carp_proto::VirtualRouter;
use carp_proto::auth::{
    AntiReplay, HmacAuthenticator, HmacKey, HmacMode, Password, Verdict, Window,
};
use carp_proto::election::{Input, State};
use carp_proto::wire::vrrp::{Authentication, ChecksumForm, Version, v3, validate};
use counting::{Counting, allocations_so_far};
use support::vrrp::{Version as VrrpVersion, VrrpSetup};
use support::wire::{
    expects, expects_v2, expects_v3, list, meta_ipv4, meta_ipv6, outgoing, v2_message, v3_message,
};
use support::{Rig, Rigged as _, Setup, advert, ip, meta};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = allocations_so_far();
    work();
    allocations_so_far() - before
}

fn drain(router: &mut VirtualRouter, scratch: &mut BytesMut) {
    while router.poll_action(scratch).is_some() {}
}

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1_u64)))), 1);
}

#[test]
fn the_adverts_of_an_active_router_allocate_nothing() {
    let mut rig = Setup::new().rig().serving();
    let mut scratch = BytesMut::with_capacity(64);
    let (router, mut now) = (&mut rig.router, rig.now);
    let adverts_before = router.snapshot(now).counters.adverts_sent;
    let count = allocations(|| {
        for _ in 0..1000 {
            now = router.poll_timeout().unwrap().at;
            router.handle(now, Input::Timeout);
            drain(router, &mut scratch);
        }
    });
    assert_eq!(count, 0);
    assert!(router.snapshot(now).counters.adverts_sent > adverts_before + 900);
}

#[test]
fn received_adverts_allocate_nothing_good_or_bad() {
    let good: Vec<_> = (0..100).map(|counter| advert(1, 0, 0, counter)).collect();
    let mut bad = good.clone();
    bad.iter_mut().for_each(|message| message[20] ^= 1);
    let mut rig = Setup::new().rig().backup();
    let mut scratch = BytesMut::with_capacity(64);
    let (router, now) = (&mut rig.router, rig.now);
    let count = allocations(|| {
        for (message, source) in good.iter().zip(10..) {
            assert!(router.handle_datagram(now, &meta(ip(source)), message).is_ok());
            drain(router, &mut scratch);
        }
        for message in &bad {
            assert!(router.handle_datagram(now, &meta(ip(9)), message).is_err());
            drain(router, &mut scratch);
        }
    });
    assert_eq!(count, 0);
    assert_eq!(router.state(), State::Backup);
}

#[test]
fn vrrp_adverts_allocate_nothing_good_or_bad() {
    let password = Password::new(b"s3cr3t").unwrap();
    let v2 = v2_message(&["10.0.0.1", "10.0.0.2"], Some(&password));
    let v3 = v3_message(&["10.0.0.1", "10.0.0.2"], ChecksumForm::Message);
    let v3_ipv6 = v3_message(&["fe80::1", "2001:db8::1"], ChecksumForm::PseudoHeader);
    let adverts = [
        (meta_ipv4(), v2, expects_v2(Authentication::Password(&password))),
        (meta_ipv4(), v3, expects_v3()),
        (meta_ipv6(), v3_ipv6, expects_v3()),
    ];
    for (meta, mut message, expected) in adverts {
        let count = allocations(|| {
            let valid = validate(&meta, &message, &expected).unwrap();
            assert_eq!(valid.addresses().iter().count(), 2);
            message[8] ^= 1;
            assert!(validate(&meta, &message, &expected).is_err());
        });
        assert_eq!(count, 0);
    }
}

#[test]
fn signed_adverts_allocate_nothing() {
    let key = HmacKey::new(1, &[7; 32]).unwrap();
    let anti_replay = AntiReplay::Time(Window::new(5).unwrap());
    let mut sender = HmacAuthenticator::new(vec![key], 1, HmacMode::Enforce, anti_replay).unwrap();
    let mut receiver = sender.clone();
    let (list, expected) = (list(&["10.0.0.1"]), expects(Version::V3 { trailer: true }));
    let advert = outgoing(&list, ChecksumForm::PseudoHeader);
    let (mut buffer, meta) = (BytesMut::with_capacity(64), meta_ipv4());
    let count = allocations(|| {
        for second in 0..100 {
            let now = support::secs(second);
            let trailer = sender.sign(now, &advert).unwrap();
            buffer.clear();
            v3::emit_signed(&advert, &trailer, &mut buffer);
            let valid = validate(&meta, &buffer, &expected).unwrap();
            assert_eq!(receiver.verify(now, meta.source, valid.signed()), Verdict::Verified);
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn the_adverts_of_an_active_vrrp_router_allocate_nothing() {
    let key = HmacKey::new(1, &[7; 32]).unwrap();
    let anti_replay = AntiReplay::Time(Window::new(5).unwrap());
    let hmac = HmacAuthenticator::new(vec![key], 1, HmacMode::Enforce, anti_replay).unwrap();
    for version in [VrrpVersion::V2, VrrpVersion::V3, VrrpVersion::V3Ipv6] {
        let plain = VrrpSetup::new(version);
        let signed = VrrpSetup { hmac: Some(hmac.clone()), ..plain.clone() };
        let peers = vec![version.host(8), version.host(9)];
        for config in [plain.config(), signed.config().with_peers(peers).unwrap()] {
            let mut rig = Rig::of(config, version.host(5)).serving();
            let mut scratch = BytesMut::with_capacity(128);
            let (router, mut now) = (&mut rig.router, rig.now);
            let before = router.snapshot(now).counters.adverts_sent;
            let count = allocations(|| {
                for _ in 0..100 {
                    now = router.poll_timeout().unwrap().at;
                    router.handle(now, Input::Timeout);
                    drain(router, &mut scratch);
                }
            });
            assert_eq!(count, 0, "{version:?}");
            assert!(router.snapshot(now).counters.adverts_sent > before + 90);
        }
    }
}

#[test]
fn a_vrrp_router_hears_without_allocating() {
    for version in [VrrpVersion::V2, VrrpVersion::V3, VrrpVersion::V3Ipv6] {
        let meta = version.meta(version.host(9));
        let form = ChecksumForm::PseudoHeader;
        let good = support::vrrp::advert(version, &meta, 200, support::secs(1), form);
        let mut bad = good.clone();
        bad[2] ^= 1;
        let mut rig = VrrpSetup::new(version).rig().backup();
        let count = allocations(|| {
            for _ in 0..100 {
                assert!(rig.router.handle_datagram(rig.now, &meta, &good).is_ok());
                assert!(rig.router.handle_datagram(rig.now, &meta, &bad).is_err());
            }
        });
        assert_eq!((count, rig.router.state()), (0, State::Backup));
    }
}

#[test]
fn a_takeover_and_a_handover_allocate_nothing() {
    let mut rig = Setup::new().rig().backup();
    let worse = advert(1, 200, 0, 5);
    let better = advert(1, 0, 0, 6);
    let mut scratch = BytesMut::with_capacity(64);
    let (router, mut now) = (&mut rig.router, rig.now);
    let count = allocations(|| {
        for _ in 0..10 {
            now = router.poll_timeout().unwrap().at;
            for input in [Input::Timeout, Input::Acquired] {
                router.handle(now, input);
                drain(router, &mut scratch);
            }
            assert!(router.handle_datagram(now, &meta(ip(9)), &worse).is_ok());
            drain(router, &mut scratch);
            assert!(router.handle_datagram(now, &meta(ip(9)), &better).is_ok());
            drain(router, &mut scratch);
        }
    });
    assert_eq!(count, 0);
}

#[test]
fn a_simulated_lan_allocates_nothing_while_nothing_changes() {
    let setups = [0, 100, 200].map(|advskew| Setup { advskew, ..Setup::new() });
    let mut lan = support::lan::Lan::new(&setups, support::lan::Weather::FAIR, 1);
    lan.run(support::secs(100));
    let (before, changes) = (lan.sim.trace().hash(), lan.changes());
    assert_eq!(allocations(|| lan.run(support::secs(1000))), 0);
    assert!(lan.changes() == changes && lan.sim.trace().hash() != before);
}
