//! Addresses that somebody else has, and addresses from which nobody is reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use carp_node::addresses::Record;
use carp_node::backend::memory::{Lan, MemoryHost};
use carp_node::backend::wrap::{Direction, Loss, Wrapped};
use carp_node::control::proto::RouterStatus;
use carp_node::event::{self, EventKind};
use carp_node::node::{Duplicate, Extras, Handle, Node, RouterSetup};
use carp_proto::election::Dialect;
use carp_proto::{AdvBase, AdvSkew, Key, MacAddr, RouterConfig, VirtualAddress, VirtualId};

use super::{
    SECONDS, VIP, in_virtual_time, pass, run, settle, setup, start, two_hosts, without_lease,
};

const PRIMARY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 130, 50));
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 168, 130, 1);

fn veto(advskew: i64) -> RouterSetup {
    RouterSetup { duplicate: Duplicate::Veto, ..setup(advskew, false) }
}

/// A host that is no router and has the address.
fn third(lan: &Lan) -> MemoryHost {
    let host = lan.host("eth0", Ipv4Addr::new(192, 168, 130, 77));
    host.add_foreign(VIP, 24);
    host
}

async fn status(handle: &Handle) -> RouterStatus {
    handle.status().await.unwrap().remove(0)
}

#[test]
fn a_third_host_is_told_of_before_the_takeover_that_comes_all_the_same() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let third = third(&lan);
        let only = start(a.clone(), setup(0, false));
        pass(&lan, SECONDS * 2).await;
        let before = status(&only).await;
        assert_eq!((before.state.as_ref(), before.conflict), ("backup", false));
        let duplicate = before.duplicate.unwrap();
        assert_eq!((duplicate.address, duplicate.mac), (VIP.into(), third.mac().to_string()));
        assert_eq!(duplicate.peer, None);
        pass(&lan, SECONDS).await;
        let after = status(&only).await;
        assert_eq!((after.state.as_ref(), after.conflict), ("active", true));
        assert!(a.has(VIP));
    });
}

#[test]
fn with_a_veto_it_keeps_the_address_as_long_as_it_answers() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let third = third(&lan);
        let only = start(a.clone(), veto(0));
        pass(&lan, SECONDS * 20).await;
        let vetoed = status(&only).await;
        assert_eq!((vetoed.state.as_ref(), a.has(VIP)), ("backup", false));
        let fault = vetoed.fault.unwrap();
        assert!(fault.contains(&third.mac().to_string()), "{fault}");
        third.remove_foreign(VIP);
        pass(&lan, SECONDS * 6).await;
        let after = status(&only).await;
        assert_eq!((after.state.as_ref(), after.fault), ("active", None));
        assert!(a.has(VIP));
    });
}

#[test]
fn a_router_whose_adverts_are_lost_vetoes_nothing_and_is_named() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let deaf = Arc::new(AtomicBool::new(false));
        let lost = Arc::clone(&deaf);
        let loss = Loss(move |direction, _: &[u8]| match direction {
            Direction::In if lost.load(Ordering::Relaxed) => Err(std::io::Error::other("lost")),
            Direction::In | Direction::Out => Ok(()),
        });
        let _first = start(a.clone(), setup(0, false));
        let second = start(Wrapped::new(b.clone(), loss), veto(100));
        pass(&lan, SECONDS * 5).await;
        let asked = b.questions();
        pass(&lan, SECONDS * 20).await;
        assert_eq!(b.questions(), asked, "a router that is well is not asked");
        deaf.store(true, Ordering::Relaxed);
        pass(&lan, SECONDS * 2).await;
        let backup = status(&second).await;
        let duplicate = backup.duplicate.unwrap();
        assert_eq!((duplicate.peer, duplicate.mac), (Some(PRIMARY), a.mac().to_string()));
        assert_eq!((backup.state.as_ref(), backup.fault), ("backup", None));
        pass(&lan, SECONDS * 2).await;
        assert_eq!(status(&second).await.state, "active");
        deaf.store(false, Ordering::Relaxed);
        pass(&lan, SECONDS * 3).await;
        let healed = status(&second).await;
        assert_eq!((healed.state.as_ref(), healed.duplicate), ("backup", None));
    });
}

#[test]
fn a_host_that_comes_while_we_serve_is_told_of_and_answered_once() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let only = start(a.clone(), setup(0, false));
        pass(&lan, SECONDS * 12).await;
        let before = a.announced().len();
        b.add_foreign(VIP, 24);
        for _ in 0..50 {
            b.claim(VIP, b.mac());
            settle().await;
        }
        let found = status(&only).await;
        assert_eq!(found.duplicate.unwrap().mac, b.mac().to_string());
        assert!(found.conflict);
        assert_eq!(a.announced().len(), before + 2, "once in either form");
        // It is asked whether it is still there.
        pass(&lan, SECONDS * 70).await;
        assert!(status(&only).await.conflict);
        b.remove_foreign(VIP);
        pass(&lan, SECONDS * 40).await;
        let alone = status(&only).await;
        assert_eq!((alone.duplicate, alone.conflict), (None, false));
    });
}

#[test]
fn however_many_hosts_are_made_up_little_is_told() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let (events, mut inbox) = event::channel();
        let extras = Extras { events, record: Record::in_memory(), prepare: None };
        let (node, handle) = Node::new(a.clone(), vec![setup(0, false)], extras).unwrap();
        run(node, &handle);
        pass(&lan, SECONDS * 12).await;
        let announced = a.announced().len();
        for number in 0..200 {
            b.claim(VIP, MacAddr([2, 7, 0, 0, 0, number]));
            pass(&lan, SECONDS / 100).await;
        }
        assert_eq!(status(&handle).await.state, "active");
        handle.stop().await;
        pass(&lan, SECONDS * 3).await;
        let mut told = 0;
        while let Some(happening) = inbox.recv().await {
            told += usize::from(matches!(happening.kind, EventKind::Duplicate { .. }));
        }
        assert!((1..=2).contains(&told), "in 2 s it was told {told} times");
        assert_eq!(a.announced().len(), announced + 2);
    });
}

#[test]
fn an_address_from_which_nobody_is_reached_is_unconfirmed_until_somebody_is() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let _gateway = lan.host("eth0", GATEWAY);
        a.set_gateway(GATEWAY);
        a.set_mute(true);
        let only = start(a.clone(), setup(0, false));
        pass(&lan, SECONDS * 3).await;
        pass(&lan, SECONDS / 4).await;
        let early = status(&only).await;
        assert_eq!(
            (early.state.as_ref(), early.unconfirmed),
            ("active", false),
            "it may answer yet"
        );
        assert_eq!(early.confirmation.unwrap().state, "asking");
        pass(&lan, SECONDS / 2).await;
        let late = status(&only).await;
        assert!(late.unconfirmed);
        assert!(late.confirmation.unwrap().text.contains("192.168.130.100"));
        a.set_mute(false);
        pass(&lan, SECONDS * 6).await;
        let reached = status(&only).await;
        assert!(!reached.unconfirmed);
        assert_eq!(reached.confirmation.unwrap().by, Some(GATEWAY.into()));
        let asked = a.questions().len();
        pass(&lan, SECONDS * 60).await;
        assert_eq!(a.questions().len(), asked, "it is known");
    });
}

#[test]
fn who_has_nobody_to_ask_is_not_unconfirmed() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let first = start(a.clone(), setup(0, false));
        let second = start(b.clone(), setup(100, false));
        pass(&lan, SECONDS * 6).await;
        assert_eq!(status(&first).await.confirmation.unwrap().state, "nobody-to-ask");
        a.set_cut(true);
        pass(&lan, SECONDS * 6).await;
        let taken = status(&second).await;
        assert_eq!((taken.state.as_ref(), taken.unconfirmed), ("active", false));
        assert_eq!(
            taken.confirmation.unwrap().state,
            "nobody-to-ask",
            "a dead router says nothing"
        );
    });
}

#[test]
fn a_router_that_hands_over_confirms_its_successor() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let first = start(a.clone(), setup(0, false));
        let second = start(b.clone(), setup(100, false));
        pass(&lan, SECONDS * 4).await;
        let asked = b.questions().len();
        first.stop().await;
        pass(&lan, SECONDS).await;
        let confirmation = status(&second).await.confirmation.unwrap();
        assert_eq!((confirmation.state.as_ref(), confirmation.by), ("confirmed", Some(PRIMARY)));
        assert!(
            b.questions()[asked..].iter().all(|(_, from)| from.is_some()),
            "nobody is in doubt"
        );
    });
}

#[test]
fn a_router_of_both_families_is_confirmed_by_neighbours_that_have_one() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        a.add_foreign("fe80::50".parse::<Ipv6Addr>().unwrap(), 64);
        // The other router has addresses of IPv4 only, and the gateway of IPv6 answers nobody.
        a.set_gateway("fe80::1".parse::<Ipv6Addr>().unwrap());
        let both = |advskew| {
            let key = Key::new(b"secret").unwrap();
            let ips = [IpAddr::from(VIP), "2001:db8::100".parse().unwrap()];
            let addresses = ips.map(|ip| VirtualAddress::new(ip, None).unwrap());
            let (base, skew) = (AdvBase::new(1).unwrap(), AdvSkew::new(advskew).unwrap());
            let config = RouterConfig::carp(VirtualId::new(1).unwrap(), &key, addresses.into(), 7)
                .and_then(|config| config.with_interval(Dialect::Native, base, skew))
                .unwrap();
            without_lease(RouterSetup::new("web", "eth0", config.with_preempt(true)))
        };
        let _second = start(b.clone(), both(100));
        pass(&lan, SECONDS * 5).await;
        let first = start(a.clone(), both(0));
        pass(&lan, SECONDS * 8).await;
        let taken = status(&first).await;
        assert_eq!((taken.state.as_ref(), taken.unconfirmed), ("active", false));
        assert_eq!(taken.confirmation.unwrap().state, "confirmed");
        let asked = a.questions().len();
        pass(&lan, SECONDS * 60).await;
        assert_eq!(a.questions().len(), asked, "it is known");
    });
}
