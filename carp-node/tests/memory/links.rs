//! Links that come and go, partitions that last, and interfaces that change.

use std::time::Duration;

use carp_node::node::{Handle, Hold, RouterSetup};
use carp_proto::election::Dialect;
use carp_proto::{AdvBase, AdvSkew, MacAddr, RouterConfig, VirtualAddress, VirtualId, Vrrp2};

use super::{SECONDS, VIP, in_virtual_time, pass, settle, setup, start, state, two_hosts};

/// A router that preempts, and waits.
fn holding(hold: Hold) -> RouterSetup {
    RouterSetup { hold, ..setup(0, true) }
}

async fn fault(handle: &Handle) -> String {
    let routers = handle.status().await.unwrap_or_default();
    routers.first().and_then(|router| router.fault.clone()).unwrap_or_default()
}

async fn transitions(handle: &Handle) -> u64 {
    handle.status().await.map(|routers| routers[0].transitions).unwrap_or_default()
}

#[test]
fn a_router_takes_no_part_until_the_machine_has_been_up_for_long_enough() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        lan.advance_to(lan.now() + SECONDS * 20);
        let router = start(a.clone(), holding(Hold { boot: SECONDS * 60, ..Hold::default() }));
        pass(&lan, SECONDS * 39).await;
        assert_eq!(state(&router).await, "init");
        let text = fault(&router).await;
        assert!(text.contains("another 1s") && text.contains("hold.boot"), "{text}");
        pass(&lan, SECONDS).await;
        assert_eq!((state(&router).await, fault(&router).await), ("backup".into(), String::new()));
        pass(&lan, SECONDS * 3).await;
        assert!(a.has(VIP));
    });
}

#[test]
fn a_machine_that_has_been_up_for_long_does_not_wait() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        lan.advance_to(lan.now() + SECONDS * 60);
        let hold = Hold { boot: SECONDS * 60, link_up: SECONDS * 60 };
        let router = start(a.clone(), holding(hold));
        pass(&lan, SECONDS * 3).await;
        assert_eq!(state(&router).await, "active");
    });
}

#[test]
fn a_link_counts_as_up_when_it_has_been_up_without_a_break() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        lan.advance_to(lan.now() + SECONDS * 20);
        let first = start(a.clone(), holding(Hold { link_up: SECONDS * 10, ..Hold::default() }));
        let second = start(b.clone(), setup(100, false));
        pass(&lan, SECONDS * 4).await;
        assert_eq!(state(&first).await, "active", "a link that was up at the start is up");
        let before = transitions(&first).await;
        for _ in 0..30 {
            a.set_running(false);
            pass(&lan, Duration::from_millis(300)).await;
            a.set_running(true);
            pass(&lan, Duration::from_millis(300)).await;
        }
        assert_eq!(transitions(&first).await, before + 1, "it went down once");
        assert_eq!((a.has(VIP), b.has(VIP)), (false, true));
        let text = fault(&first).await;
        assert!(text.contains("10s after the link came up (hold.link_up)"), "{text}");
        pass(&lan, SECONDS * 9).await;
        assert_eq!(state(&first).await, "init");
        pass(&lan, SECONDS * 4).await;
        assert_eq!((state(&first).await, state(&second).await), ("active".into(), "backup".into()));
        assert_eq!(transitions(&first).await, before + 3, "backup, and active");
    });
}

/// A router of CARP with an advert every 20 s.
fn slow(advskew: i64) -> RouterSetup {
    let setup = setup(advskew, true);
    let (base, skew) = (AdvBase::new(20).unwrap(), AdvSkew::new(advskew).unwrap());
    let config = setup.config.with_interval(Dialect::Native, base, skew).unwrap();
    RouterSetup { config, ..setup }
}

#[test]
fn a_partition_of_an_hour_heals_within_an_advert() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let (first, second) = (start(a.clone(), slow(0)), start(b.clone(), slow(100)));
        pass(&lan, SECONDS * 70).await;
        a.set_cut(true);
        pass(&lan, SECONDS * 3600).await;
        assert!(a.has(VIP) && b.has(VIP), "each is alone");
        a.set_cut(false);
        let healed = lan.now();
        while b.has(VIP) {
            lan.advance_to(lan.next_deadline().unwrap());
            settle().await;
        }
        // The next advert of one of them comes within its interval; the loser serves for 200 ms after it.
        let took = lan.now().saturating_since(healed);
        assert!(took <= SECONDS * 20 + Duration::from_millis(391 + 200), "{took:?}");
        assert!(a.has(VIP));
        assert_eq!((state(&first).await, state(&second).await), ("active".into(), "backup".into()));
        let before = a.announced().len();
        pass(&lan, SECONDS * 6).await;
        assert_eq!(a.announced().len(), before + 10, "after 1 s and after 5 s");
    });
}

#[test]
fn a_new_link_layer_address_is_announced_by_the_active_router_alone() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let (_first, _second) =
            (start(a.clone(), setup(0, true)), start(b.clone(), setup(100, false)));
        pass(&lan, SECONDS * 10).await;
        let before = (a.announced().len(), b.announced().len());
        for host in [&a, &b] {
            host.set_mac(MacAddr([2, 0, 0, 0, 0, 0x77]));
        }
        pass(&lan, Duration::from_millis(10)).await;
        assert_eq!((a.announced().len(), b.announced().len()), (before.0 + 5, before.1));
    });
}

#[test]
fn a_router_whose_adverts_do_not_fit_takes_no_part() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let many = (100..=199).map(|last| format!("192.168.130.{last}").parse().unwrap());
        let many: Vec<VirtualAddress> = many.collect();
        let config = RouterConfig::vrrp2(VirtualId::new(1).unwrap(), many, Vrrp2::default());
        let router = start(a.clone(), RouterSetup::new("web", "eth0", config.unwrap()));
        // 20 bytes of IP, 8 before the list, 400 of it, 8 behind.
        a.set_mtu(436);
        pass(&lan, SECONDS * 5).await;
        assert_eq!(state(&router).await, "active");
        a.set_mtu(435);
        pass(&lan, Duration::from_millis(10)).await;
        assert_eq!(state(&router).await, "init");
        let text = fault(&router).await;
        assert!(text.contains("have 436 bytes, and eth0 sends 435 at most"), "{text}");
        assert!(!a.has(VIP));
    });
}
