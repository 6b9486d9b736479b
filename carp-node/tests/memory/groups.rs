//! Sync groups through the node.

use std::net::{IpAddr, Ipv4Addr};

use carp_node::backend::memory::{Lan, MemoryHost};
use carp_node::node::{Handle, RouterSetup};
use carp_proto::{Priority, RouterConfig, VirtualAddress, VirtualId, Vrrp3};

use super::{SECONDS, in_virtual_time, pass, start_all, two_hosts, without_lease};

const VIPS: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 130, 100), Ipv4Addr::new(192, 168, 130, 101)];

/// Two routers in a group, with these priorities.
fn site(priorities: [i64; 2]) -> Vec<RouterSetup> {
    let router = |number: u8| {
        let place = usize::from(number);
        let address = VirtualAddress::new(VIPS[place].into(), None).unwrap();
        let priority = Priority::try_from(priorities[place]).unwrap();
        let settings = Vrrp3 { priority, ..Vrrp3::default() };
        let id = VirtualId::new(number + 1).unwrap();
        let config = RouterConfig::vrrp3(id, vec![address], settings).unwrap();
        RouterSetup {
            group: Some(7),
            ..without_lease(RouterSetup::new(["web", "db"][place], "eth0", config))
        }
    };
    vec![router(0), router(1)]
}

async fn states(node: &Handle) -> Vec<String> {
    let routers = node.status().await.unwrap_or_default();
    routers.iter().map(|router| router.state.to_string()).collect()
}

fn holds(host: &MemoryHost) -> [bool; 2] {
    VIPS.map(|ip| host.has(IpAddr::V4(ip)))
}

fn two_sites(lan: &Lan) -> (MemoryHost, MemoryHost, Handle, Handle) {
    let (a, b) = two_hosts(lan);
    let first = start_all(a.clone(), site([200, 200]));
    let second = start_all(b.clone(), site([100, 100]));
    (a, b, first, second)
}

#[test]
fn a_group_moves_as_one() {
    in_virtual_time(async |lan| {
        let (a, b, first, second) = two_sites(&lan);
        pass(&lan, SECONDS * 5).await;
        assert_eq!(states(&first).await, ["active", "active"]);
        assert_eq!(states(&second).await, ["backup", "backup"]);
        a.set_cut(true);
        pass(&lan, SECONDS * 5).await;
        assert_eq!(states(&second).await, ["active", "active"]);
        a.set_cut(false);
        pass(&lan, SECONDS * 5).await;
        assert_eq!((holds(&a), holds(&b)), ([true; 2], [false; 2]));
        first.stop().await;
        pass(&lan, SECONDS * 2).await;
        assert_eq!((holds(&a), holds(&b)), ([false; 2], [true; 2]));
    });
}

#[test]
fn an_address_that_cannot_be_taken_takes_the_other_one_along() {
    in_virtual_time(async |lan| {
        let (a, b, first, second) = two_sites(&lan);
        pass(&lan, SECONDS * 5).await;
        a.refuse_addresses(Some(1));
        a.remove_foreign(VIPS[0]);
        pass(&lan, SECONDS * 5).await;
        assert_eq!(states(&first).await, ["backup", "backup"]);
        assert_eq!(states(&second).await, ["active", "active"]);
        assert_eq!((holds(&a), holds(&b)), ([false; 2], [true; 2]));
        let status = first.status().await.unwrap();
        assert_eq!(status[1].cause, "group");
    });
}

#[test]
fn to_yield_one_router_is_to_yield_its_group() {
    in_virtual_time(async |lan| {
        let (a, b, first, second) = two_sites(&lan);
        pass(&lan, SECONDS * 5).await;
        let asked = tokio::task::spawn_local(async move { first.yield_router("db").await });
        pass(&lan, SECONDS * 2).await;
        assert!(asked.await.unwrap().is_ok());
        assert_eq!((holds(&a), holds(&b)), ([false; 2], [true; 2]));
        drop(second);
    });
}

#[test]
fn contradictory_ranks_do_not_tear_a_group_apart() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let _first = start_all(a.clone(), site([200, 100]));
        let _second = start_all(b.clone(), site([100, 200]));
        for _ in 0..60 {
            pass(&lan, SECONDS).await;
            for held in [holds(&a), holds(&b)] {
                assert!(held == [true; 2] || held == [false; 2], "{held:?}");
            }
        }
        assert!(holds(&a) != holds(&b));
    });
}
