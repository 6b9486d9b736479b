//! Nodes on a LAN in memory, in virtual time: what takes seconds on a network takes none here.

#![expect(clippy::unwrap_used, reason = "a test fails where something is missing")]

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carp_node::addresses::{AddressKeeper, MARK, Presence, Record};
use carp_node::backend::memory::{Lan, MemoryHost};
use carp_node::backend::wrap::{Capture, Direction, Loss, Trace, Wrapped};
use carp_node::backend::{Announcer, Backend};
use carp_node::event;
use carp_node::node::{Extras, Handle, Node, RouterSetup};
use carp_proto::election::Dialect;
use carp_proto::{AdvBase, AdvSkew, Key, RouterConfig, VirtualAddress, VirtualId};

const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 130, 100);

fn setup(advskew: i64, preempt: bool) -> RouterSetup {
    let key = Key::new(b"secret").unwrap();
    let addresses = vec![VirtualAddress::new(VIP.into(), None).unwrap()];
    let (base, skew) = (AdvBase::new(1).unwrap(), AdvSkew::new(advskew).unwrap());
    let config = RouterConfig::carp(VirtualId::new(1).unwrap(), &key, addresses, 7)
        .and_then(|config| config.with_interval(Dialect::Native, base, skew))
        .unwrap()
        .with_preempt(preempt);
    RouterSetup {
        name: "web".into(),
        interface: "eth0".into(),
        config,
        advert_mac: None,
        address_interface: None,
        virtual_mac: None,
        group: None,
    }
}

fn start<B: Backend + 'static>(backend: B, setup: RouterSetup) -> Handle {
    let (events, _inbox) = event::channel();
    let extras = Extras { events, record: Record::in_memory(), prepare: None };
    let (node, handle) = Node::new(backend, vec![setup], extras).unwrap();
    tokio::task::spawn_local(node.run());
    handle
}

/// Lets the nodes do all that they can do now: the address thread answers in real time.
async fn settle() {
    for _ in 0..5 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Lets virtual time pass, deadline by deadline.
async fn pass(lan: &Lan, time: Duration) {
    let end = lan.now() + time;
    settle().await;
    while let Some(at) = lan.next_deadline().filter(|at| *at <= end) {
        lan.advance_to(at);
        settle().await;
    }
    lan.advance_to(end);
    settle().await;
}

async fn state(handle: &Handle) -> String {
    handle.status().await.map(|routers| routers[0].state.to_string()).unwrap_or_default()
}

fn in_virtual_time(test: impl AsyncFnOnce(Lan)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test(Lan::default()));
}

fn two_hosts(lan: &Lan) -> (MemoryHost, MemoryHost) {
    let host = |last| lan.host("eth0", Ipv4Addr::new(192, 168, 130, last));
    (host(50), host(10))
}

const SECONDS: Duration = Duration::from_secs(1);

#[test]
fn the_secondary_takes_over_and_the_primary_takes_back() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let first = start(a.clone(), setup(0, true));
        let second = start(b.clone(), setup(100, false));
        pass(&lan, SECONDS * 4).await;
        assert_eq!((state(&first).await, state(&second).await), ("active".into(), "backup".into()));
        assert!(a.has(VIP) && !b.has(VIP));
        a.set_cut(true);
        pass(&lan, SECONDS * 4).await;
        assert_eq!(state(&second).await, "active");
        assert!(b.has(VIP));
        a.set_cut(false);
        pass(&lan, SECONDS * 2).await;
        assert_eq!((state(&first).await, state(&second).await), ("active".into(), "backup".into()));
        assert!(a.has(VIP) && !b.has(VIP));
        assert!(a.announced().len() > 5, "it announced again after it heard the other");
    });
}

#[test]
fn a_router_whose_address_cannot_be_taken_is_not_active() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        a.refuse_addresses(Some(1));
        let first = start(a.clone(), setup(0, true));
        let second = start(b.clone(), setup(100, false));
        pass(&lan, SECONDS * 10).await;
        assert_eq!((state(&first).await, state(&second).await), ("backup".into(), "active".into()));
        assert!(!a.has(VIP) && b.has(VIP));
        let status = first.status().await.unwrap();
        assert!(status[0].fault.as_deref().unwrap().contains("cannot add 192.168.130.100"));
    });
}

#[test]
fn a_machine_that_slept_does_not_go_on_as_active() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let only = start(a.clone(), setup(0, true));
        pass(&lan, SECONDS * 4).await;
        assert_eq!(state(&only).await, "active");
        lan.advance_to(lan.now() + SECONDS * 60);
        settle().await;
        assert_eq!(state(&only).await, "backup");
        assert!(!a.has(VIP));
        assert_eq!(only.status().await.unwrap()[0].cause, "paused");
    });
}

#[test]
fn a_planned_stop_ends_the_node_without_its_addresses() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let first = start(a.clone(), setup(0, true));
        let second = start(b.clone(), setup(100, false));
        pass(&lan, SECONDS * 4).await;
        first.stop().await;
        pass(&lan, SECONDS).await;
        assert_eq!(state(&second).await, "active");
        assert!(!a.has(VIP) && b.has(VIP));
        assert!(first.status().await.is_none(), "the node has ended");
    });
}

#[test]
fn three_adverts_that_cannot_be_sent_demote() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let lossy = Loss(|direction, _: &[u8]| match direction {
            Direction::Out => Err(std::io::Error::other("lost")),
            Direction::In => Ok(()),
        });
        let only = start(Wrapped::new(a, lossy), setup(0, true));
        pass(&lan, SECONDS * 7).await;
        assert_eq!(only.status().await.unwrap()[0].demotion, 240);
    });
}

#[test]
fn wrappers_see_every_advert() {
    #[derive(Clone, Default)]
    struct File(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for File {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let file = File::default();
        let heard = Arc::new(Mutex::new(0_usize));
        let count = Arc::clone(&heard);
        let trace = Trace(move |direction, interface: &str, packet: &[u8]| {
            assert_eq!((direction, interface, packet.len()), (Direction::In, "eth0", 56));
            *count.lock().unwrap() += 1;
        });
        let _first = start(Wrapped::new(a, Capture::new(file.clone()).unwrap()), setup(0, true));
        let _second = start(Wrapped::new(b, trace), setup(100, false));
        pass(&lan, SECONDS * 5).await;
        let captured = (file.0.lock().unwrap().len() - 24) / (16 + 56);
        assert!(captured >= 2, "adverts at 3 s, 4 s and 5 s");
        assert_eq!(captured, *heard.lock().unwrap());
    });
}

fn keeper(host: &MemoryHost, record: Record) -> AddressKeeper<MemoryHost, MemoryHost> {
    AddressKeeper::new(host.clone(), host.clone(), record)
}

fn vip() -> [VirtualAddress; 1] {
    [VirtualAddress::new(VIP.into(), None).unwrap()]
}

#[test]
fn our_addresses_carry_our_mark_and_foreign_ones_are_left_alone() {
    let (a, _) = two_hosts(&Lan::default());
    let mut keeper = keeper(&a, Record::in_memory());
    keeper.acquire("eth0", &vip(), Presence::Unknown, 1).unwrap();
    let ours = |found: &carp_node::backend::InstalledAddress| found.ip == VIP;
    assert_eq!(a.installed().iter().find(|found| ours(found)).unwrap().protocol, Some(MARK));
    assert_eq!(keeper.release("eth0", &vip()).unwrap(), vip());
    assert_eq!(keeper.release("eth0", &vip()).unwrap(), [], "removing what is gone is a success");
    a.add_foreign(VIP, 24);
    keeper.acquire("eth0", &vip(), Presence::Unknown, 1).unwrap();
    assert_eq!(keeper.release("eth0", &vip()).unwrap(), []);
    assert!(a.has(VIP));
}

#[test]
fn an_old_kernel_is_helped_by_a_label_and_a_record() {
    let directory = tempfile::tempdir().unwrap();
    let (a, _) = two_hosts(&Lan::default());
    a.forget_marks();
    keeper(&a, Record::open(directory.path()))
        .acquire("eth0", &vip(), Presence::Unknown, 1)
        .unwrap();
    let installed = a.installed();
    let found = installed.iter().find(|found| found.ip == VIP).unwrap();
    assert_eq!((found.protocol, found.label.as_deref()), (None, Some("eth0:carp")));
    let record = std::fs::read_to_string(directory.path().join("addresses")).unwrap();
    assert_eq!(record, "eth0 192.168.130.100\n");
    // Another process, after a crash.
    let mut next = keeper(&a, Record::open(directory.path()));
    assert_eq!(next.release("eth0", &vip()).unwrap(), vip());
    assert!(!a.has(VIP));
    assert_eq!(std::fs::read_to_string(directory.path().join("addresses")).unwrap(), "");
}

/// Somebody who removes an address in the very moment in which it is announced.
struct Thief(MemoryHost);

impl Announcer for Thief {
    fn prepare(&mut self, _interface: &str) -> std::io::Result<()> {
        Ok(())
    }

    fn announce(&mut self, _: &str, _: &[std::net::IpAddr], _: u8) -> std::io::Result<()> {
        self.0.remove_foreign(VIP);
        Ok(())
    }
}

#[test]
fn an_address_that_is_stolen_at_once_says_nothing_about_the_kernel() {
    let (a, _) = two_hosts(&Lan::default());
    let mut keeper = AddressKeeper::new(a.clone(), Thief(a.clone()), Record::in_memory());
    keeper.acquire("eth0", &vip(), Presence::Absent, 1).unwrap();
    assert!(!a.has(VIP), "it is for the election to find out");
    assert!(keeper.is_missing("eth0", &vip()).unwrap());
}

#[test]
fn an_address_that_came_meanwhile_is_foreign_and_says_nothing_about_the_kernel() {
    let (a, _) = two_hosts(&Lan::default());
    a.add_foreign(VIP, 32);
    let mut keeper = keeper(&a, Record::in_memory());
    keeper.acquire("eth0", &vip(), Presence::Absent, 1).unwrap();
    assert_eq!(keeper.release("eth0", &vip()).unwrap(), []);
    a.remove_foreign(VIP);
    keeper.acquire("eth0", &vip(), Presence::Absent, 1).unwrap();
    assert_eq!(a.installed().iter().find(|found| found.ip == VIP).unwrap().protocol, Some(MARK));
}

#[test]
fn a_wide_prefix_waits_for_an_address_of_its_subnet() {
    let (a, _) = two_hosts(&Lan::default());
    let wide = [VirtualAddress::new(Ipv4Addr::new(10, 7, 0, 1).into(), Some(24)).unwrap()];
    let mut keeper = keeper(&a, Record::in_memory());
    let refused = keeper.acquire("eth0", &wide, Presence::Unknown, 1).unwrap_err().to_string();
    assert!(refused.contains("no other address of that subnet"), "{refused}");
    a.add_foreign(Ipv4Addr::new(10, 7, 0, 9), 24);
    keeper.acquire("eth0", &wide, Presence::Unknown, 1).unwrap();
}

#[test]
fn a_primary_address_goes_without_its_secondaries() {
    let (a, _) = two_hosts(&Lan::default());
    let own = Ipv4Addr::new(10, 7, 0, 9);
    let wide = [VirtualAddress::new(Ipv4Addr::new(10, 7, 0, 1).into(), Some(24)).unwrap()];
    a.add_foreign(own, 24);
    let mut keeper = keeper(&a, Record::in_memory());
    keeper.acquire("eth0", &wide, Presence::Unknown, 1).unwrap();
    // The host's address is removed and added again: it hangs on ours now.
    let mut table = a.clone();
    carp_node::backend::AddressTable::set_promote_secondaries(&mut table, "eth0", true).unwrap();
    a.remove_foreign(own);
    carp_node::backend::AddressTable::set_promote_secondaries(&mut table, "eth0", false).unwrap();
    a.add_foreign(own, 24);
    assert!(a.installed().iter().any(|found| found.ip == own && found.secondary));
    assert_eq!(keeper.release("eth0", &wide).unwrap(), wide);
    assert!(a.has(own));
}

#[test]
fn what_was_added_before_a_failure_is_removed_again() {
    let (a, _) = two_hosts(&Lan::default());
    a.refuse_addresses(Some(1));
    let mut keeper = keeper(&a, Record::in_memory());
    assert_eq!(keeper.acquire("eth0", &vip(), Presence::Unknown, 1).unwrap_err().code(), 1);
    assert!(!a.has(VIP) && a.announced().is_empty());
}
