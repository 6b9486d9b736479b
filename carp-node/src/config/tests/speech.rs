//! The keys of each protocol, and those that say who is heard and where addresses live.

use std::time::Duration;

use carp_proto::auth::HmacMode;
use carp_proto::wire::vrrp::ChecksumForm;
use carp_proto::{ChecksumMode, Family, Priority, Protocol};

use super::super::*;
use super::{config, found, instead, signed, vrrp, with, with_addresses};
use crate::addresses::Lease;

fn texts(list: &[impl ToString]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn the_least_of_vrrp_gets_the_defaults_of_its_standard() {
    for (protocol, active_down) in [
        ("vrrp2", Duration::from_nanos(3_609_375_000)),
        ("vrrp3", Duration::from_nanos(3_609_375_000)),
    ] {
        let router = &config(&vrrp(protocol, "")).routers[0];
        assert_eq!(router.protocol().name(), protocol);
        assert_eq!(router.priority(), Some(Priority::DEFAULT));
        assert!(router.preempt);
        let secs = Duration::from_secs;
        let lease = Some(Lease::auto(active_down));
        let timers = Timers { interval: secs(1), active_down, handover: secs(2), lease };
        assert_eq!(router.timers, timers, "{protocol}");
    }
}

#[test]
fn the_detection_time_is_that_of_the_protocol() {
    for (protocol, lines, nanos) in [
        ("vrrp2", "priority = 200\ninterval = \"2s\"", 6_218_750_000),
        ("vrrp3", "priority = 200\ninterval = \"2s\"", 6_437_500_000),
        ("vrrp3", "priority = 255\ninterval = \"10ms\"", 30_039_062),
    ] {
        let router = &config(&vrrp(protocol, lines)).routers[0];
        assert_eq!(router.timers.active_down, Duration::from_nanos(nanos), "{protocol} {lines}");
    }
}

#[test]
fn everything_of_vrrp2_is_read() {
    let text = vrrp(
        "vrrp2",
        "priority = 255\ninterval = \"255s\"\nauth = \"password\"\nkey_file = \"web.key\"",
    );
    let router = &config(&text).routers[0];
    let ProtocolSpec::Vrrp2(vrrp) = &router.speech else { panic!("{router:?}") };
    assert_eq!((vrrp.priority, vrrp.interval.get()), (Priority::OWNER, 255));
    let password = vrrp.password.as_ref().unwrap();
    assert!(password.key.matches(b"hunter2\0"));
    assert_eq!(password.place.to_string(), "/etc/carp/carp.toml:9:12");
    assert!(router.is_owner());
}

#[test]
fn everything_of_vrrp3_is_read() {
    let text = signed(
        "auth_mode = \"permissive\"\nreceive_keys = [{ id = 255, key_file = \"new.key\" }]\n\
         priority = 1\ninterval = \"40950ms\"\nchecksum = \"message\"\npreempt = false\n\
         peers = [\"192.168.130.10\", \"192.168.130.11\"]",
    );
    let router = &config(&text).routers[0];
    let ProtocolSpec::Vrrp3(vrrp) = &router.speech else { panic!("{router:?}") };
    assert_eq!((vrrp.priority.get(), vrrp.interval.get()), (1, 4095));
    assert_eq!(vrrp.checksum, ChecksumMode::Always(ChecksumForm::Message));
    let hmac = vrrp.hmac.as_ref().unwrap();
    assert_eq!((hmac.mode, hmac.signing.key.id()), (HmacMode::Permissive, 1));
    assert_eq!(hmac.receiving.iter().map(|key| key.key.id()).collect::<Vec<_>>(), [255]);
    assert_eq!(texts(&router.peers), ["192.168.130.10", "192.168.130.11"]);
    assert!(!router.preempt);
    let enforced = &config(&signed("peers = [\"192.168.130.10\"]\nmin_ttl = 1")).routers[0];
    assert_eq!(enforced.min_ttl, 1);
}

#[test]
fn carp_accepts_what_was_before_for_a_while() {
    let table = "[router.web.previous]\nkey_file = \"other.key\"\n";
    let previous = |lines: &str| {
        let router = config(&with(&format!("{table}{lines}"))).routers.remove(0);
        let ProtocolSpec::Carp(CarpSpec { previous: Some(previous), .. }) = router.speech else {
            panic!("{router:?}")
        };
        previous
    };
    let least = previous("");
    assert_eq!(least.accept_for, Duration::from_secs(3600));
    assert!(least.key.is_some() && least.addresses.is_none());
    let all = previous("addresses = [\"10.0.0.1\", \"2001:db8::1\"]\naccept_for = \"7d\"");
    assert_eq!(all.accept_for, Duration::from_secs(7 * 24 * 3600));
    assert_eq!(texts(&all.addresses.unwrap()), ["10.0.0.1", "2001:db8::1"]);
}

#[test]
fn carp_has_both_families_in_one_election() {
    let both = instead("addresses", "addresses = [\"2001:db8::1\", \"10.0.0.1\"]");
    let router = &config(&both).routers[0];
    assert_eq!(router.derived_address, None);
    let [election] = &router.elections()[..] else { panic!("{router:?}") };
    assert_eq!((election.name(), election.family()), ("web".into(), None));
    assert_eq!(texts(&election.addresses()), ["2001:db8::1", "10.0.0.1"]);
}

#[test]
fn vrrp3_has_an_election_for_each_family() {
    let both = with_addresses("vrrp3", "[\"2001:db8::1\", \"10.0.0.1\"]", "");
    let config = config(&both);
    assert_eq!(config.sync_groups(), [Some(0)]);
    let router = &config.routers[0];
    let [ipv4, ipv6] = &router.elections()[..] else { panic!("{router:?}") };
    assert_eq!((ipv4.name(), ipv4.family()), ("web/ipv4".into(), Some(Family::Ipv4)));
    assert_eq!((ipv6.name(), ipv6.family()), ("web/ipv6".into(), Some(Family::Ipv6)));
    assert_eq!(texts(&ipv4.addresses()), ["10.0.0.1"]);
    assert_eq!(texts(&ipv6.addresses()), ["fe80::200:5eff:fe00:22a", "2001:db8::1"]);
    assert_eq!(ipv6.config(7).unwrap().protocol(), Protocol::Vrrp3);
}

#[test]
fn a_link_local_address_is_derived_only_where_none_is_written() {
    let derived = |protocol, addresses| {
        config(&with_addresses(protocol, addresses, "")).routers[0].derived_address
    };
    assert_eq!(derived("vrrp3", "[\"fe80::7\", \"2001:db8::1\"]"), None);
    assert_eq!(derived("vrrp3", "[\"10.0.0.1\"]"), None);
    let address = derived("vrrp3", "[\"2001:db8::1\"]").unwrap();
    assert_eq!(address.to_string(), "fe80::200:5eff:fe00:22a");
    let single = &config(&with_addresses("vrrp3", "[\"2001:db8::1\"]", "")).routers[0];
    assert_eq!(single.elections()[0].name(), "web");
}

#[test]
fn each_election_hears_the_peers_of_its_family() {
    let text = with_addresses(
        "vrrp3",
        "[\"2001:db8::1\", \"10.0.0.1\"]",
        "accept_from = [\"fe80::10\", \"10.0.0.10\", \"10.0.0.11\"]",
    );
    let router = &config(&text).routers[0];
    let own: Vec<_> =
        router.elections().iter().map(|it| texts(&it.own(&router.accept_from))).collect();
    assert_eq!(own, [vec!["10.0.0.10", "10.0.0.11"], vec!["fe80::10"]]);
}

#[test]
fn adverts_come_from_the_virtual_mac_unless_it_is_said_otherwise() {
    for (lines, advert_mac) in [
        ("mac = \"virtual\"", AdvertMac::Virtual),
        ("mac = \"virtual\"\nadvert_mac = \"interface\"", AdvertMac::Interface),
        ("mac = \"virtual\"\npeers = [\"192.168.130.10\"]", AdvertMac::Interface),
        ("mac = \"virtual\"\npeers = []", AdvertMac::Virtual),
        ("advert_mac = \"virtual\"", AdvertMac::Virtual),
        ("advert_mac = \"interface\"\npeers = [\"192.168.130.10\"]", AdvertMac::Interface),
    ] {
        assert_eq!(config(&with(lines)).routers[0].advert_mac, advert_mac, "{lines}");
        assert_eq!(config(&vrrp("vrrp2", lines)).routers[0].advert_mac, advert_mac, "{lines}");
    }
}

#[test]
fn an_address_interface_that_is_the_interface_is_nothing_new() {
    assert_eq!(config(&with("address_interface = \"eth0\"")).routers[0].address_interface, None);
    let home = config(&with("address_interface = \"lo\""));
    assert_eq!((home.routers[0].home(), &*home.routers[0].interface), ("lo", "eth0"));
}

#[test]
fn a_key_of_another_protocol_is_refused_with_what_there_is_instead() {
    for (text, expected) in [
        (
            vrrp("vrrp3", "advskew = 1"),
            "6:1: error: \"advskew\" is a key of carp: vrrp3 has none // vrrp3 has priority instead",
        ),
        (
            vrrp("vrrp2", "advbase = 1"),
            "6:1: error: \"advbase\" is a key of carp: vrrp2 has none // vrrp2 has interval instead",
        ),
        (
            vrrp("vrrp2", "dialect = \"native\""),
            "6:1: error: \"dialect\" is a key of carp: vrrp2 has none // remove it, or take another \
             protocol",
        ),
        (
            vrrp("vrrp3", "[router.web.previous]\nkey_file = \"other.key\""),
            "6:13: error: \"previous\" is a key of carp: vrrp3 has none // vrrp3 has receive_keys \
             instead",
        ),
        (
            vrrp("vrrp2", "checksum = \"auto\""),
            "6:1: error: \"checksum\" is a key of vrrp3: vrrp2 has none // remove it, or take \
             another protocol",
        ),
        (
            vrrp("vrrp2", "key_id = 1"),
            "6:1: error: \"key_id\" is a key of vrrp3: vrrp2 has none // remove it, or take another \
             protocol",
        ),
        (
            with("priority = 100"),
            "7:1: error: \"priority\" is a key of vrrp2 and vrrp3: carp has none // carp has advskew \
             instead",
        ),
        (
            with("interval = \"1s\""),
            "7:1: error: \"interval\" is a key of vrrp2 and vrrp3: carp has none // carp has advbase \
             instead",
        ),
        (
            with("auth = \"none\""),
            "7:1: error: \"auth\" is a key of vrrp2 and vrrp3: carp has none // carp has key_file \
             instead",
        ),
        (
            with("receive_keys = []"),
            "7:1: error: \"receive_keys\" is a key of vrrp3: carp has none // carp has previous \
             instead",
        ),
    ] {
        assert_eq!(found(&text), [expected], "{text}");
    }
}

#[test]
fn a_protocol_that_is_misspelt_is_not_asked_for_the_keys_of_another() {
    let unknown = "2:12: error: unknown protocol \"vrrp\"; did you mean \"vrrp2\"? // it is one of \
                   carp, vrrp2, vrrp3";
    assert_eq!(found(vrrp("vrrp", "priority = 200\nadvskew = 0")), [unknown]);
}
