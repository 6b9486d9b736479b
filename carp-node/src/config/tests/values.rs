//! What is written is read, and what is not has its default.

use std::path::{Path, PathBuf};
use std::time::Duration;

use carp_proto::election::{AnnouncePlan, Dialect};
use carp_proto::{CarpInterval, Protocol};

use super::super::*;
use super::{LEAST, TestHost, config, parse, vrrp, with};
use crate::addresses::Lease;
use crate::hooks::HookSpec;
use crate::node::Hold;

/// The keys of a CARP router.
fn carp(router: &RouterSpec) -> &CarpSpec {
    let ProtocolSpec::Carp(carp) = &router.speech else { panic!("{router:?}") };
    carp
}

#[test]
fn the_least_that_a_router_needs_gets_every_default() {
    let config = config(LEAST);
    assert_eq!(config.node.name, "testhost");
    assert_eq!(config.node.state_dir, Path::new("/var/lib/carp"));
    let [router] = &config.routers[..] else { panic!("{config:?}") };
    assert_eq!(router.name, "web");
    assert_eq!(router.protocol(), Protocol::Carp);
    assert_eq!(router.interface, "eth0");
    assert_eq!(router.id.get(), 1);
    assert_eq!(router.addresses[0].to_string(), "192.168.130.100");
    assert_eq!(carp(router).key.path, Path::new("/etc/carp/web.key"));
    assert_eq!(carp(router).interval, CarpInterval { advbase: 1, advskew: 0 });
    assert_eq!(carp(router).dialect, Dialect::Native);
    assert!(!router.preempt);
    assert_eq!(router.announce, AnnouncePlan::default());
    assert_eq!((router.handover, router.gateway), (None, None));
    assert_eq!((router.peers.len(), router.accept_from.len(), router.min_ttl), (0, 0, 255));
    assert_eq!((router.mac, router.home()), (Mac::Interface, "eth0"));
    assert_eq!(router.preempt_delay, Duration::ZERO);
    assert_eq!(router.advert_mac, AdvertMac::Interface);
    assert_eq!(router.hooks, HookSpec::default());
    assert_eq!(router.hold, Hold::default());
    let secs = Duration::from_secs;
    assert_eq!(router.lease, LeaseSpec::Auto);
    let lease = Lease::new(secs(2)).ok();
    let timers = Timers { interval: secs(1), active_down: secs(3), handover: secs(2), lease };
    assert_eq!(router.timers, timers);
    assert!(router.settings().iter().filter(|setting| !setting.is_default).count() == 5);
}

#[test]
fn everything_that_is_written_is_read() {
    let text = "\
[node]
name = \"www1\"
state_dir = \"/srv/carp\"
[router.web]
protocol = \"carp\"
interface = \"eth0\"
id = 255
addresses = [\"192.168.130.101\", \"192.168.130.100\"]
key_file = \"/keys/web.key\"
advbase = 3
advskew = 128
dialect = \"openbsd\"
preempt = true
preempt_delay = \"30s\"
accept_from = [\"192.168.130.10\"]
min_ttl = 255
mac = \"interface\"
advert_mac = \"ucarp\"
address_interface = \"lo\"
accept = true
announce = { burst = 2, repeat = [\"500ms\", \"2m\"], refresh = \"off\" }
handover = \"0s\"
lease = \"7s\"
hold = { boot = \"1m\", link_up = \"10s\" }
[router.web.on]
active = [\"/bin/true\", \"an argument\"]
timeout = \"5s\"
[router.dns]
protocol = \"carp\"
interface = \"eth1\"
id = 255
addresses = [\"192.168.130.100\"]
key_file = \"web.key\"
";
    let config = config(text);
    assert_eq!(config.node.name, "www1");
    assert_eq!(config.node.state_dir, Path::new("/srv/carp"));
    let [web, dns] = &config.routers[..] else { panic!("{config:?}") };
    assert_eq!(dns.name, "dns");
    assert_eq!(
        web.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.168.130.101", "192.168.130.100"]
    );
    assert_eq!(carp(web).key.path, Path::new("/keys/web.key"));
    assert_eq!(web.timers.interval, Duration::from_millis(3500));
    assert_eq!(carp(web).dialect, Dialect::OpenBsd);
    assert!(web.preempt);
    assert_eq!(web.advert_mac, AdvertMac::Ucarp);
    let plan = AnnouncePlan {
        burst: 2,
        repeat: [Some(Duration::from_millis(500)), Some(Duration::from_secs(120)), None, None],
        refresh: None,
    };
    assert_eq!(web.announce, plan);
    assert_eq!(web.handover, Some(Duration::ZERO));
    let lease = Lease::new(Duration::from_secs(7)).unwrap();
    assert_eq!((web.lease, web.timers.lease), (LeaseSpec::Of(lease), Some(lease)));
    assert_eq!(web.hold, Hold { boot: Duration::from_secs(60), link_up: Duration::from_secs(10) });
    assert_eq!(web.hooks.active.as_deref().unwrap(), ["/bin/true", "an argument"]);
    assert_eq!(web.hooks.backup, None);
    assert_eq!(web.hooks.timeout, Duration::from_secs(5));
    assert_eq!(web.places.table.to_string(), "/etc/carp/carp.toml:4:1");
    assert_eq!(web.places.interface.to_string(), "/etc/carp/carp.toml:6:13");
    assert_eq!(web.places.id.to_string(), "/etc/carp/carp.toml:7:6");
    let places: Vec<_> = web.places.addresses.iter().map(Location::column).collect();
    assert_eq!(places, [14, 33]);
}

#[test]
fn a_partial_announce_plan_keeps_the_other_defaults() {
    let config = config(&with("announce = { burst = 1 }"));
    let announce = config.routers[0].announce;
    assert_eq!(announce, AnnouncePlan { burst: 1, ..AnnouncePlan::default() });
    let settings = config.routers[0].settings();
    let is_default = |key| settings.iter().find(|setting| setting.key == key).unwrap().is_default;
    assert!(!is_default("announce.burst") && is_default("announce.refresh"));
}

#[test]
fn the_lease_follows_from_the_detection_time_unless_it_is_written() {
    let seconds =
        |text: &str| config(text).routers[0].timers.lease.map(|lease| lease.time().as_secs());
    assert_eq!(seconds(LEAST), Some(2), "the detection time is 3 s");
    assert_eq!(seconds(&with("advbase = 20")), Some(59));
    assert_eq!(
        seconds(&with("advbase = 0\nadvskew = 20")),
        Some(1),
        "it is 0.2 s, and 1 s the least"
    );
    assert_eq!(seconds(&with("lease = \"auto\"")), Some(2));
    assert_eq!(seconds(&with("lease = \"1s\"")), Some(1));
    assert_eq!(seconds(&with("lease = \"off\"")), None);
    assert_eq!(seconds(&vrrp("vrrp2", "priority = 255")), None, "an owner's addresses stay");
    let places = config(&vrrp("vrrp3", "lease = \"1s\"")).routers[0].elections()[0].place();
    assert_eq!(places.lease.map(Lease::time), Some(Duration::from_secs(1)));
}

#[test]
fn an_advbase_of_zero_is_for_dialects_that_know_it() {
    for dialect in Dialect::ALL {
        for advskew in [0, 20] {
            let lines = format!("advbase = 0\nadvskew = {advskew}\ndialect = \"{dialect}\"");
            assert_eq!(parse(with(&lines)).is_ok(), dialect.policy().zero_base, "{lines}");
        }
    }
}

#[test]
fn a_relative_key_file_lies_beside_the_configuration() {
    for (file, expected) in [
        ("/etc/carp/carp.toml", "/etc/carp/web.key"),
        ("carp.toml", "web.key"),
        ("../a/carp.toml", "../a/web.key"),
    ] {
        let loaded = Config::parse(file, LEAST.as_bytes(), &TestHost).unwrap();
        assert_eq!(carp(&loaded.config.routers[0]).key.path, PathBuf::from(expected));
    }
}

#[test]
fn a_gateway_is_watched_if_one_is_named() {
    let gateway = |text: &str| config(&with(text)).routers[0].gateway;
    let named = gateway("track = { gateway = \"192.168.130.1\" }");
    assert_eq!(named, Some("192.168.130.1".parse().unwrap()));
    assert_eq!(gateway("track = { gateway = \"\" }"), None);
}
