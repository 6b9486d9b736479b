//! Every protocol and family through the same node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use carp_node::addresses::Place;
use carp_node::backend::memory::{Lan, MemoryHost};
use carp_node::node::{Handle, RouterSetup};
use carp_proto::auth::{AntiReplay, HmacAuthenticator, HmacKey, HmacMode, Window};
use carp_proto::{
    AdvBase, AdvSkew, Centiseconds, Key, MacAddr, Priority, RouterConfig, VirtualAddress,
    VirtualId, Vrrp2, Vrrp3,
};

use super::{
    SECONDS, VIP, in_virtual_time, pass, start, start_all, state, two_hosts, without_lease,
};

const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x100);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0x200, 0x5eff, 0xfe00, 0x201);

fn addresses(ips: &[IpAddr]) -> Vec<VirtualAddress> {
    ips.iter().map(|ip| VirtualAddress::new(*ip, None).unwrap()).collect()
}

fn id(number: u8) -> VirtualId {
    VirtualId::new(number).unwrap()
}

fn vrrp2(priority: i64) -> RouterConfig {
    let settings = Vrrp2 { priority: Priority::try_from(priority).unwrap(), ..Vrrp2::default() };
    RouterConfig::vrrp2(id(1), addresses(&[VIP.into()]), settings).unwrap()
}

fn vrrp3(priority: i64, ips: &[IpAddr]) -> RouterConfig {
    let settings = Vrrp3 { priority: Priority::try_from(priority).unwrap(), ..Vrrp3::default() };
    RouterConfig::vrrp3(id(1), addresses(ips), settings).unwrap()
}

fn carp(advskew: i64, ips: &[IpAddr]) -> RouterConfig {
    let key = Key::new(b"secret").unwrap();
    let (base, skew) = (AdvBase::new(1).unwrap(), AdvSkew::new(advskew).unwrap());
    RouterConfig::carp(id(1), &key, addresses(ips), 7)
        .and_then(|config| config.with_interval(Default::default(), base, skew))
        .unwrap()
}

fn web(config: RouterConfig) -> RouterSetup {
    without_lease(RouterSetup::new("web", "eth0", config))
}

/// Two hosts with a link-local address each.
fn two_dual_hosts(lan: &Lan) -> (MemoryHost, MemoryHost) {
    let (a, b) = two_hosts(lan);
    for (host, last) in [(&a, 0x50), (&b, 0x10)] {
        host.add_foreign(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, last), 64);
        host.add_foreign(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last), 64);
    }
    (a, b)
}

async fn states(first: &Handle, second: &Handle) -> [String; 2] {
    [state(first).await, state(second).await]
}

/// The better router is active; it falls silent, and the other has the addresses; it comes back.
async fn failover(lan: &Lan, hosts: (MemoryHost, MemoryHost), setups: [RouterSetup; 2]) {
    let (a, b) = hosts;
    let ips: Vec<IpAddr> =
        setups[0].config.addresses().iter().map(|address| address.ip()).collect();
    let has = |host: &MemoryHost| ips.iter().all(|ip| host.has(*ip));
    let has_none = |host: &MemoryHost| ips.iter().all(|ip| !host.has(*ip));
    let [first, second] = setups;
    let (first, second) = (start(a.clone(), first), start(b.clone(), second));
    pass(lan, SECONDS * 5).await;
    assert_eq!(states(&first, &second).await, ["active", "backup"]);
    assert!(has(&a) && has_none(&b));
    a.set_cut(true);
    pass(lan, SECONDS * 4).await;
    assert_eq!(state(&second).await, "active");
    assert!(has(&b));
    a.set_cut(false);
    pass(lan, SECONDS * 4).await;
    assert_eq!(states(&first, &second).await, ["active", "backup"]);
    assert!(has(&a) && has_none(&b));
    first.stop().await;
    pass(lan, SECONDS).await;
    assert_eq!(state(&second).await, "active");
    assert!(has_none(&a) && has(&b));
}

#[test]
fn vrrp_version_2_moves_an_address() {
    in_virtual_time(async |lan| {
        let setups = [vrrp2(200), vrrp2(100)].map(web);
        failover(&lan, two_hosts(&lan), setups).await;
    });
}

#[test]
fn vrrp_version_3_moves_addresses_of_either_family() {
    for ips in
        [[VIP.into(), IpAddr::V4([192, 168, 130, 101].into())], [LINK_LOCAL.into(), VIP6.into()]]
    {
        in_virtual_time(async |lan| {
            let setups = [200, 100].map(|priority| web(vrrp3(priority, &ips)));
            failover(&lan, two_dual_hosts(&lan), setups).await;
        });
    }
}

#[test]
fn carp_moves_addresses_of_both_families_in_one_election() {
    in_virtual_time(async |lan| {
        let ips = [VIP.into(), VIP6.into()];
        let setups = [carp(0, &ips).with_preempt(true), carp(100, &ips)].map(web);
        failover(&lan, two_dual_hosts(&lan), setups).await;
    });
}

#[test]
fn carp_without_an_ipv4_address_of_its_own_speaks_ipv6() {
    in_virtual_time(async |lan| {
        let setups =
            [carp(0, &[VIP6.into()]).with_preempt(true), carp(100, &[VIP6.into()])].map(web);
        failover(&lan, two_dual_hosts(&lan), setups).await;
    });
}

#[test]
fn unicast_peers_move_an_address_and_a_third_host_is_not_heard() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let peer = |last: u8| vec![IpAddr::from([192, 168, 130, last])];
        let third = lan.host("eth0", Ipv4Addr::new(192, 168, 130, 30));
        // The best of all, but nobody has it as a peer.
        let loud = start(third.clone(), web(vrrp2(250)));
        let setups = [
            web(vrrp2(200).with_peers(peer(10)).unwrap()),
            web(vrrp2(100).with_peers(peer(50)).unwrap()),
        ];
        failover(&lan, (a, b), setups).await;
        assert_eq!(state(&loud).await, "active", "it hears nobody either");
    });
}

#[test]
fn signed_adverts_move_an_address_and_unsigned_ones_do_not() {
    let signed = |priority: i64, mode| {
        let key = HmacKey::new(1, &[7; 32]).unwrap();
        let settings = Vrrp3 {
            priority: Priority::try_from(priority).unwrap(),
            hmac: Some(
                HmacAuthenticator::new(
                    vec![key],
                    1,
                    mode,
                    AntiReplay::Time(Window::for_interval(SECONDS)),
                )
                .unwrap(),
            ),
            ..Vrrp3::default()
        };
        web(RouterConfig::vrrp3(id(1), addresses(&[VIP.into()]), settings).unwrap())
    };
    in_virtual_time(async |lan| {
        let setups = [200, 100].map(|priority| signed(priority, HmacMode::Enforce));
        failover(&lan, two_hosts(&lan), setups).await;
    });
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let unsigned = start(a, web(vrrp3(200, &[VIP.into()])));
        let signed = start(b, signed(100, HmacMode::Enforce));
        pass(&lan, SECONDS * 8).await;
        assert_eq!(states(&unsigned, &signed).await, ["active", "active"]);
        let status = signed.status().await.unwrap();
        assert!(status[0].counters.rejected["bad-authentication"] > 0);
    });
}

#[test]
fn three_protocols_share_an_interface_and_an_id() {
    in_virtual_time(async |lan| {
        let (a, b) = two_dual_hosts(&lan);
        let other = |last: u8| IpAddr::from([192, 168, 130, last]);
        let routers = |first: bool| {
            let named = |name, config| without_lease(RouterSetup::new(name, "eth0", config));
            let priority = if first { 200 } else { 100 };
            let settings =
                Vrrp2 { priority: Priority::try_from(priority).unwrap(), ..Vrrp2::default() };
            vec![
                named("carp", carp(if first { 0 } else { 100 }, &[VIP.into()])),
                named(
                    "v2",
                    RouterConfig::vrrp2(id(1), addresses(&[other(101)]), settings).unwrap(),
                ),
                named("v3", vrrp3(priority, &[other(102)])),
                named("v6", vrrp3(priority, &[LINK_LOCAL.into(), VIP6.into()])),
            ]
        };
        let first = start_all(a.clone(), routers(true));
        let second = start_all(b.clone(), routers(false));
        pass(&lan, SECONDS * 8).await;
        for (handle, state) in [(&first, "active"), (&second, "backup")] {
            for router in handle.status().await.unwrap() {
                assert_eq!(router.state, state, "{}", router.name);
                let rejected: u64 = router.counters.rejected.values().sum();
                assert_eq!(rejected, 0, "{}: {:?}", router.name, router.counters);
            }
        }
    });
}

#[test]
fn an_owner_is_active_at_once_and_its_address_stays() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        a.add_foreign(VIP, 24);
        let settings = Vrrp2 { priority: Priority::OWNER, ..Vrrp2::default() };
        let owner = RouterConfig::vrrp2(id(1), addresses(&[VIP.into()]), settings).unwrap();
        let owner = start(a.clone(), web(owner));
        let backup = start(b.clone(), web(vrrp2(100)));
        pass(&lan, Duration::from_millis(100)).await;
        assert_eq!(states(&owner, &backup).await, ["active", "backup"]);
        owner.stop().await;
        pass(&lan, SECONDS).await;
        assert_eq!(state(&backup).await, "active");
        assert!(a.has(VIP), "it is the host's own");
        assert!(b.has(VIP));
    });
}

#[test]
fn an_owner_without_its_address_is_not_active_and_says_why() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let settings = Vrrp2 { priority: Priority::OWNER, ..Vrrp2::default() };
        let owner = RouterConfig::vrrp2(id(1), addresses(&[VIP.into()]), settings).unwrap();
        let owner = start(a.clone(), web(owner));
        pass(&lan, SECONDS).await;
        let status = owner.status().await.unwrap();
        assert_eq!(status[0].state, "backup");
        assert!(status[0].fault.as_deref().unwrap().contains("eth0 does not have 192.168.130.100"));
        assert!(!a.has(VIP));
    });
}

#[test]
fn addresses_live_where_the_configuration_says() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        for host in [&a, &b] {
            host.add_interface("lo");
        }
        let on_loopback = |priority| RouterSetup { place: Place::on("lo"), ..web(vrrp2(priority)) };
        let first = start(a.clone(), on_loopback(200));
        let second = start(b.clone(), on_loopback(100));
        pass(&lan, SECONDS * 5).await;
        assert_eq!(states(&first, &second).await, ["active", "backup"]);
        assert!(!a.has(VIP));
        assert_eq!(a.installed_on("lo").unwrap()[0].ip, VIP);
        assert!(b.installed_on("lo").unwrap().is_empty());
    });
}

#[test]
fn a_virtual_link_layer_address_has_a_device_that_ends_with_the_node() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let place = Place::virtual_on("eth0", MacAddr::virtual_router(id(1)));
        let setup = |priority| RouterSetup { place: place.clone(), ..web(vrrp2(priority)) };
        let first = start(a.clone(), setup(200));
        let second = start(b.clone(), setup(100));
        pass(&lan, SECONDS * 5).await;
        assert_eq!(states(&first, &second).await, ["active", "backup"]);
        assert_eq!(a.devices(), [("eth0.v4-1".to_owned(), true)]);
        assert_eq!(b.devices(), [("eth0.v4-1".to_owned(), false)]);
        assert_eq!(first.status().await.unwrap()[0].mac.as_deref(), Some("00:00:5e:00:01:01"));
        first.stop().await;
        pass(&lan, SECONDS * 2).await;
        assert_eq!(a.devices(), []);
        assert_eq!(b.devices(), [("eth0.v4-1".to_owned(), true)]);
    });
}

#[test]
fn a_router_needs_an_address_of_its_own_in_its_family() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let only = start(a.clone(), web(vrrp3(100, &[LINK_LOCAL.into(), VIP6.into()])));
        pass(&lan, SECONDS).await;
        let status = only.status().await.unwrap();
        assert_eq!(status[0].state, "init");
        let fault = status[0].fault.as_deref().unwrap();
        assert_eq!(fault, "eth0 has no IPv6 address of its own to advertise from");
        a.add_foreign("fe80::50".parse::<Ipv6Addr>().unwrap(), 64);
        pass(&lan, SECONDS * 4).await;
        assert_eq!(state(&only).await, "active");
    });
}

#[test]
fn adverts_may_come_every_ten_milliseconds() {
    in_virtual_time(async |lan| {
        let settings = |priority: i64| Vrrp3 {
            priority: Priority::try_from(priority).unwrap(),
            interval: Centiseconds::try_from(Duration::from_millis(10)).unwrap(),
            ..Vrrp3::default()
        };
        let config = |priority| {
            RouterConfig::vrrp3(id(1), addresses(&[VIP.into()]), settings(priority)).unwrap()
        };
        let (a, b) = two_hosts(&lan);
        let first = start(a.clone(), web(config(200)));
        let second = start(b.clone(), web(config(100)));
        pass(&lan, Duration::from_millis(100)).await;
        assert_eq!(states(&first, &second).await, ["active", "backup"]);
        a.set_cut(true);
        // Three intervals and 156/256 of one.
        pass(&lan, Duration::from_millis(40)).await;
        assert_eq!(state(&second).await, "active");
    });
}
