//! Nodes on a LAN in memory, in virtual time: what takes seconds on a network takes none here.

#![expect(clippy::unwrap_used, reason = "a test fails where something is missing")]

mod contest;
mod duplicates;
mod floods;
mod groups;
mod keeper;
mod lease;
mod links;
mod pauses;
mod protocols;

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carp_node::addresses::{Place, Record};
use carp_node::backend::Backend;
use carp_node::backend::memory::{Lan, MemoryHost};
use carp_node::backend::wrap::{Capture, Direction, Loss, Trace, Wrapped};
use carp_node::event;
use carp_node::node::{Extras, Handle, Node, RouterSetup};
use carp_proto::election::Dialect;
use carp_proto::{AdvBase, AdvSkew, Key, RouterConfig, VirtualAddress, VirtualId};
use tokio::task::JoinHandle;

const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 130, 100);

fn setup(advskew: i64, preempt: bool) -> RouterSetup {
    let key = Key::new(b"secret").unwrap();
    let addresses = vec![VirtualAddress::new(VIP.into(), None).unwrap()];
    let (base, skew) = (AdvBase::new(1).unwrap(), AdvSkew::new(advskew).unwrap());
    let config = RouterConfig::carp(VirtualId::new(1).unwrap(), &key, addresses, 7)
        .and_then(|config| config.with_interval(Dialect::Native, base, skew))
        .unwrap()
        .with_preempt(preempt);
    without_lease(RouterSetup::new("web", "eth0", config))
}

/// The address thread answers in real time, and on a busy machine virtual time runs away from it: a lease
/// would end. What leases do is tested on their own.
fn without_lease(setup: RouterSetup) -> RouterSetup {
    let place = Place { lease: None, ..setup.place.clone() };
    RouterSetup { place, ..setup }
}

fn start<B: Backend + 'static>(backend: B, setup: RouterSetup) -> Handle {
    start_all(backend, vec![setup])
}

fn start_all<B: Backend + 'static>(backend: B, setups: Vec<RouterSetup>) -> Handle {
    let (events, _inbox) = event::channel();
    let extras = Extras { events, record: Record::in_memory(), prepare: None };
    let (node, handle) = Node::new(backend, setups, extras).unwrap();
    run(node, &handle);
    handle
}

/// Runs a node, for which virtual time waits from now on.
fn run<B: Backend + 'static>(node: Node<B>, handle: &Handle) -> JoinHandle<()> {
    NODES.with_borrow_mut(|nodes| nodes.push(handle.clone()));
    tokio::task::spawn_local(node.run())
}

thread_local! {
    /// The nodes of the test that runs on this thread.
    static NODES: RefCell<Vec<Handle>> = const { RefCell::new(Vec::new()) };
}

/// Lets the nodes do all that they can do now. Their address threads work in real time, and virtual time
/// waits for them. What one of them does may give another one something to do, and so on: not often.
async fn settle() {
    for _ in 0..4 {
        for node in NODES.with_borrow(Clone::clone) {
            // One that has ended has nothing to do.
            let _ = node.settled().await;
        }
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
    NODES.take();
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
fn whatever_the_kernel_refuses_for_good_makes_no_active_router_and_is_tried_again() {
    for errno in [libc::EPERM, libc::ENODEV, libc::ENOBUFS, libc::EINTR, libc::EAGAIN] {
        in_virtual_time(async |lan| {
            let (a, _) = two_hosts(&lan);
            a.refuse_addresses(Some(errno));
            let only = start(a.clone(), setup(0, true));
            pass(&lan, SECONDS * 4).await;
            assert_eq!(state(&only).await, "backup", "{errno}");
            let status = only.status().await.unwrap();
            assert!(status[0].fault.as_deref().unwrap().contains("cannot add"), "{status:?}");
            a.refuse_addresses(None);
            pass(&lan, SECONDS * 4).await;
            assert_eq!(state(&only).await, "active", "{errno}");
            assert!(a.has(VIP));
            assert_eq!(only.status().await.unwrap()[0].fault, None);
        });
    }
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
fn three_adverts_that_cannot_be_sent_demote_and_three_that_can_end_it() {
    for errno in [libc::EPERM, libc::ENOBUFS, libc::ENETUNREACH] {
        in_virtual_time(async |lan| {
            let (a, _) = two_hosts(&lan);
            let forbidden = Arc::new(AtomicBool::new(true));
            let forbids = Arc::clone(&forbidden);
            let lossy = Loss(move |direction, _: &[u8]| match direction {
                Direction::Out if forbids.load(Ordering::Relaxed) => {
                    Err(std::io::Error::from_raw_os_error(errno))
                }
                Direction::Out | Direction::In => Ok(()),
            });
            let only = start(Wrapped::new(a.clone(), lossy), setup(0, true));
            pass(&lan, SECONDS * 7).await;
            let status = only.status().await.unwrap().remove(0);
            assert_eq!((status.demotion, status.state.as_ref()), (240, "active"));
            let words = std::io::Error::from_raw_os_error(errno).to_string();
            assert!(status.fault.unwrap().contains(&words), "{words}");
            assert!(a.has(VIP), "alone, it serves on");
            forbidden.store(false, Ordering::Relaxed);
            // An advert every 1 + 240/256 s.
            pass(&lan, SECONDS * 7).await;
            let status = only.status().await.unwrap().remove(0);
            assert_eq!((status.demotion, status.fault), (0, None));
        });
    }
}

#[test]
fn an_address_that_others_put_on_a_backup_is_a_fault_until_it_goes() {
    in_virtual_time(async |lan| {
        let (a, b) = two_hosts(&lan);
        let _first = start(a.clone(), setup(0, true));
        let second = start(b.clone(), setup(100, false));
        pass(&lan, SECONDS * 4).await;
        b.add_foreign(VIP, 24);
        pass(&lan, SECONDS).await;
        let fault = async || second.status().await.unwrap().remove(0).fault;
        let told = fault().await.unwrap();
        assert!(told.ends_with("ip address del 192.168.130.100/24 dev eth0"), "{told}");
        assert!(b.has(VIP) && b.announced().is_empty());
        b.remove_foreign(VIP);
        pass(&lan, SECONDS).await;
        assert_eq!(fault().await, None);
    });
}

#[test]
fn an_address_that_is_missing_is_taken_again_and_status_tells_of_it() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let only = start(a.clone(), setup(0, true));
        pass(&lan, SECONDS * 4).await;
        a.remove_foreign(VIP);
        settle().await;
        assert!(a.has(VIP));
        let removal = only.status().await.unwrap().remove(0).last_removal.unwrap();
        assert_eq!((removal.address, removal.by), (None, None), "nobody said who it was");
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
