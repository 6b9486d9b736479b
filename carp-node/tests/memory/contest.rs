//! Addresses that others remove, where the kernel names them.

use std::io;
use std::net::Ipv4Addr;

use carp_node::addresses::Record;
use carp_node::backend::memory::{Lan, MemoryClock, MemoryHost};
use carp_node::backend::{Backend, Port, Program, Removal, Removals, Remover};
use carp_node::event::{self, EventInbox, EventKind};
use carp_node::node::{Extras, Handle, Node, RouterSetup};
use futures_util::FutureExt;
use tokio::sync::mpsc;

use super::{
    SECONDS, VIP, in_virtual_time, pass, run, settle, setup, start, state, two_hosts, without_lease,
};

/// A host whose kernel names who removes addresses, when the test says so.
struct Naming {
    host: MemoryHost,
    removals: Option<Removals>,
}

impl Backend for Naming {
    type Packets = MemoryHost;
    type Addresses = MemoryHost;
    type Announcer = MemoryHost;
    type Links = MemoryHost;
    type Clock = MemoryClock;

    fn open(&mut self, port: &Port) -> io::Result<MemoryHost> {
        self.host.open(port)
    }

    fn addresses(&mut self) -> io::Result<MemoryHost> {
        self.host.addresses()
    }

    fn announcer(&mut self) -> io::Result<MemoryHost> {
        self.host.announcer()
    }

    fn watch(&mut self, interfaces: &[String]) -> io::Result<MemoryHost> {
        self.host.watch(interfaces)
    }

    fn clock(&mut self) -> io::Result<MemoryClock> {
        self.host.clock()
    }

    fn removals(&mut self) -> io::Result<Removals> {
        Ok(self.removals.take().unwrap_or_else(Removals::none))
    }
}

/// A router that serves alone, what it tells, and what names to it who removes addresses.
async fn serving(lan: &Lan, host: &MemoryHost) -> (Handle, EventInbox, mpsc::Sender<Removal>) {
    let (sender, receiver) = mpsc::channel(16);
    let removals = Some(Removals::new(receiver, ()));
    let (events, inbox) = event::channel();
    let extras = Extras { events, record: Record::in_memory(), prepare: None };
    let backend = Naming { host: host.clone(), removals };
    let (node, handle) = Node::new(backend, vec![setup(0, true)], extras).unwrap();
    run(node, &handle);
    pass(lan, SECONDS * 5).await;
    assert_eq!(state(&handle).await, "active");
    (handle, inbox, sender)
}

fn by_ip() -> Removal {
    let program = Some(Program { pid: 4711, name: "ip".into() });
    Removal { index: 2, ip: VIP.into(), prefix_len: 32, by: Remover { port: 4711, program } }
}

/// How often the loss of an address was told.
fn losses(inbox: &mut EventInbox) -> usize {
    let told = std::iter::from_fn(|| inbox.recv().now_or_never().flatten());
    told.filter(|happening| matches!(happening.kind, EventKind::AddressLost { .. })).count()
}

#[test]
fn a_deletion_that_was_found_before_it_was_told_counts_once() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let (only, mut inbox, removals) = serving(&lan, &a).await;
        for _ in 0..2 {
            a.remove_foreign(VIP);
            settle().await;
            assert!(a.has(VIP), "it was found, and taken again");
            removals.try_send(by_ip()).unwrap();
            settle().await;
            assert_eq!(losses(&mut inbox), 1);
            pass(&lan, SECONDS * 2).await;
        }
        let status = only.status().await.unwrap();
        assert_eq!(status[0].phase.as_deref(), Some("serving"), "there were two");
        let last = status[0].last_removal.as_ref().unwrap();
        assert_eq!(last.by.as_deref(), Some("ip (process 4711)"));
    });
}

#[test]
fn a_deletion_that_was_told_before_it_was_found_counts_once() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let (only, mut inbox, removals) = serving(&lan, &a).await;
        for _ in 0..2 {
            removals.try_send(by_ip()).unwrap();
            a.remove_foreign(VIP);
            settle().await;
            assert!(a.has(VIP));
            assert_eq!(losses(&mut inbox), 1);
            pass(&lan, SECONDS * 2).await;
        }
        assert_eq!(only.status().await.unwrap()[0].phase.as_deref(), Some("serving"));
    });
}

#[test]
fn a_second_deletion_at_once_is_repaired_and_counts_too() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let (only, mut inbox, removals) = serving(&lan, &a).await;
        a.remove_foreign(VIP);
        settle().await;
        for round in 0..2 {
            assert!(a.has(VIP));
            // Told are both, and seen is neither: the link event is on its way.
            a.remove_silently(VIP);
            removals.try_send(by_ip()).unwrap();
            removals.try_send(by_ip()).unwrap();
            settle().await;
            assert_eq!(losses(&mut inbox), if round == 0 { 2 } else { 1 });
        }
        assert!(a.has(VIP));
        let status = only.status().await.unwrap();
        assert_eq!(status[0].phase.as_deref(), Some("leaving"), "the third one in a minute");
    });
}

#[test]
fn an_old_kernel_s_router_knows_its_own_addresses_when_it_is_backup() {
    in_virtual_time(async |lan| {
        // The label `INTERFACE:carp` does not fit here, and in IPv6 there is none.
        let long = "a-long-name";
        let host = |last| lan.host(long, Ipv4Addr::new(192, 168, 130, last));
        let (a, b) = (host(50), host(10));
        a.forget_marks();
        let config = setup(0, true).config.with_preempt(true);
        let named = |config| without_lease(RouterSetup::new("web", long, config));
        let (events, mut inbox) = event::channel();
        let extras = Extras { events, record: Record::in_memory(), prepare: None };
        let (node, first) = Node::new(a.clone(), vec![named(config)], extras).unwrap();
        run(node, &first);
        let _second = start(b.clone(), named(setup(100, false).config));
        for _ in 0..2 {
            pass(&lan, SECONDS * 5).await;
            assert!(a.has(VIP) && state(&first).await == "active");
            assert!(first.yield_router("web").await.is_ok());
            settle().await;
            assert!(!a.has(VIP) && state(&first).await == "backup");
            pass(&lan, SECONDS * 60).await;
        }
        let told = std::iter::from_fn(|| inbox.recv().now_or_never().flatten());
        let faults = told.filter(|happening| matches!(happening.kind, EventKind::Fault { .. }));
        let faults: Vec<_> = faults.map(|happening| happening.kind.to_string()).collect();
        assert!(faults.is_empty(), "{faults:?}");
        // What is not its own, it still finds.
        first.yield_all().await;
        settle().await;
        a.add_foreign(VIP, 32);
        settle().await;
        let fault = first.status().await.unwrap()[0].fault.clone().unwrap_or_default();
        assert!(fault.contains("carp has not added it"), "{fault}");
    });
}
