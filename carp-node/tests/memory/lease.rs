//! Addresses that go by themselves when nobody renews them.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use carp_node::addresses::lease::{Renewal, Unleased};
use carp_node::addresses::{AddressKeeper, Lease, Place, Presence, Record};
use carp_node::backend::AddressTable;
use carp_node::backend::memory::{Lan, MemoryHost};
use carp_node::event::{self, EventInbox, EventKind};
use carp_node::node::{Extras, Handle, Node, RouterSetup};
use carp_proto::{Key, RouterConfig, VirtualAddress, VirtualId};
use futures_util::FutureExt;
use tokio::task::JoinHandle;

use super::{SECONDS, VIP, in_virtual_time, pass, run, settle, setup, state, two_hosts};

/// The address thread may be late, but not by as much as this.
const LIMIT: Duration = Duration::from_secs(30);

/// Of the routers here: their active-down interval is 3 s.
const LEASE: Duration = Duration::from_secs(2);

fn lease() -> Option<Lease> {
    Lease::new(LEASE).ok()
}

fn leased() -> Place {
    Place { lease: lease(), ..Place::on("eth0") }
}

fn vip() -> [VirtualAddress; 1] {
    [VirtualAddress::new(VIP.into(), None).unwrap()]
}

fn keeper(host: &MemoryHost) -> AddressKeeper<MemoryHost, MemoryHost> {
    AddressKeeper::new(host.clone(), host.clone(), Record::in_memory())
}

fn lets_pass(lan: &Lan, time: Duration) {
    lan.advance_to(lan.now() + time);
}

// The keeper.

#[test]
fn an_address_stays_for_its_lease_and_for_another_one_when_it_is_renewed() {
    let lan = Lan::default();
    let (a, _) = two_hosts(&lan);
    let mut keeper = keeper(&a);
    keeper.acquire(&leased(), &vip(), Presence::Absent, 1).unwrap();
    for _ in 0..5 {
        lets_pass(&lan, LEASE - Duration::from_millis(1));
        assert_eq!(keeper.renew(&leased(), &vip()).unwrap(), Renewal::default());
    }
    lets_pass(&lan, LEASE - Duration::from_millis(1));
    assert!(a.has(VIP));
    lets_pass(&lan, Duration::from_millis(1));
    assert!(!a.has(VIP));
}

#[test]
fn a_renewal_tells_what_is_missing_and_does_not_add_it() {
    let (a, _) = two_hosts(&Lan::default());
    let mut keeper = keeper(&a);
    keeper.acquire(&leased(), &vip(), Presence::Absent, 1).unwrap();
    a.remove_foreign(VIP);
    assert!(keeper.renew(&leased(), &vip()).unwrap().missing);
    assert!(!a.has(VIP));
}

#[test]
fn what_has_not_changed_is_renewed_without_being_listed() {
    let lan = Lan::default();
    let (a, _) = two_hosts(&lan);
    let mut keeper = keeper(&a);
    keeper.acquire(&leased(), &vip(), Presence::Absent, 1).unwrap();
    keeper.renew(&leased(), &vip()).unwrap();
    let lists = a.lists();
    for _ in 0..5 {
        lets_pass(&lan, SECONDS);
        assert_eq!(keeper.renew(&leased(), &vip()).unwrap(), Renewal::default());
        assert_eq!(a.expires_at(VIP), Some(lan.now() + LEASE));
    }
    assert_eq!(a.lists(), lists);
    a.add_foreign(Ipv4Addr::new(10, 7, 0, 77), 24);
    for _ in 0..2 {
        keeper.renew(&leased(), &vip()).unwrap();
        assert_eq!(a.lists(), lists + 1, "once, after something has changed");
    }
}

#[test]
fn what_was_released_or_has_another_lease_is_listed_anew() {
    let (a, _) = two_hosts(&Lan::default());
    let mut keeper = keeper(&a);
    let longer = Place { lease: Lease::new(LEASE * 2).ok(), ..leased() };
    keeper.acquire(&leased(), &vip(), Presence::Absent, 1).unwrap();
    for place in [leased(), longer] {
        let lists = a.lists();
        keeper.renew(&place, &vip()).unwrap();
        assert_eq!(a.lists(), lists + 1);
    }
    keeper.release(&leased(), &vip()).unwrap();
    assert!(keeper.renew(&leased(), &vip()).unwrap().missing);
    assert!(!a.has(VIP));
}

#[test]
fn an_address_that_is_removed_in_the_moment_of_its_renewal_is_missing() {
    let (a, _) = two_hosts(&Lan::default());
    let mut keeper = keeper(&a);
    keeper.acquire(&leased(), &vip(), Presence::Absent, 1).unwrap();
    // With a list before it, and then without.
    for renewals in [0, 2] {
        for _ in 0..renewals {
            assert!(!keeper.renew(&leased(), &vip()).unwrap().missing);
        }
        a.lose_at_renewal(VIP);
        assert!(keeper.renew(&leased(), &vip()).unwrap().missing, "after {renewals}");
        assert!(a.has(VIP), "the kernel has added it, and nobody was told");
        assert!(!keeper.renew(&leased(), &vip()).unwrap().missing, "it is told once");
    }
}

#[test]
fn one_that_fails_is_followed_by_a_list() {
    let (a, _) = two_hosts(&Lan::default());
    let mut keeper = keeper(&a);
    keeper.acquire(&leased(), &vip(), Presence::Absent, 1).unwrap();
    keeper.renew(&leased(), &vip()).unwrap();
    let lists = a.lists();
    a.refuse_addresses(Some(libc::EPERM));
    for failed in 1..3 {
        keeper.renew(&leased(), &vip()).unwrap_err();
        assert_eq!(a.lists(), lists + failed);
    }
    a.refuse_addresses(None);
    assert_eq!(keeper.renew(&leased(), &vip()).unwrap(), Renewal::default());
}

#[test]
fn a_foreign_address_in_the_place_of_ours_is_left_alone() {
    let (a, _) = two_hosts(&Lan::default());
    let mut keeper = keeper(&a);
    keeper.acquire(&leased(), &vip(), Presence::Absent, 1).unwrap();
    keeper.renew(&leased(), &vip()).unwrap();
    a.remove_foreign(VIP);
    a.add_foreign(VIP, 32);
    assert_eq!(keeper.renew(&leased(), &vip()).unwrap(), Renewal::default());
    assert_eq!(a.expires_at(VIP), None);
}

#[test]
fn a_foreign_address_and_that_of_an_owner_never_get_a_lifetime() {
    let (a, _) = two_hosts(&Lan::default());
    let mut keeper = keeper(&a);
    a.add_foreign(VIP, 32);
    for place in [leased(), Place { owned: true, ..leased() }] {
        keeper.acquire(&place, &vip(), Presence::Unknown, 1).unwrap();
        assert_eq!(keeper.renew(&place, &vip()).unwrap(), Renewal::default());
        assert_eq!(a.expires_at(VIP), None);
    }
}

#[test]
fn without_a_lease_an_address_stays() {
    let (a, _) = two_hosts(&Lan::default());
    let mut keeper = keeper(&a);
    keeper.acquire(&Place::on("eth0"), &vip(), Presence::Absent, 1).unwrap();
    assert_eq!(a.expires_at(VIP), None);
    assert_eq!(keeper.renew(&Place::on("eth0"), &vip()).unwrap(), Renewal::default());
    assert_eq!(a.expires_at(VIP), None);
}

#[test]
fn an_old_kernel_s_addresses_are_renewed_by_the_record() {
    let lan = Lan::default();
    let (a, _) = two_hosts(&lan);
    a.forget_marks();
    let mut keeper = keeper(&a);
    keeper.acquire(&leased(), &vip(), Presence::Unknown, 1).unwrap();
    for _ in 0..3 {
        let (before, lists) = (a.expires_at(VIP).unwrap(), a.lists());
        lets_pass(&lan, SECONDS);
        keeper.renew(&leased(), &vip()).unwrap();
        assert_eq!(a.expires_at(VIP), Some(before + SECONDS));
        assert_eq!(a.lists(), lists + 1, "its renewals look like changes");
    }
    let installed = a.installed();
    let found = installed.iter().find(|found| found.ip == VIP).unwrap();
    assert_eq!((found.protocol, found.label.as_deref()), (None, Some("eth0:carp")));
}

#[test]
fn where_lifetimes_are_refused_there_are_none_and_that_is_told() {
    let (a, _) = two_hosts(&Lan::default());
    a.refuse_lifetimes();
    let mut keeper = keeper(&a);
    keeper.acquire(&leased(), &vip(), Presence::Absent, 1).unwrap();
    assert!(a.has(VIP) && a.expires_at(VIP).is_none());
    let refused = Renewal { missing: false, unleased: Some(Unleased::Refused) };
    assert_eq!(keeper.renew(&leased(), &vip()).unwrap(), refused);
}

#[test]
fn a_kernel_that_refuses_renewals_keeps_the_address() {
    let lan = Lan::default();
    let (a, _) = two_hosts(&lan);
    let mut keeper = keeper(&a);
    keeper.acquire(&leased(), &vip(), Presence::Absent, 1).unwrap();
    a.refuse_lifetimes();
    assert_eq!(keeper.renew(&leased(), &vip()).unwrap().unleased, Some(Unleased::Refused));
    lets_pass(&lan, LEASE * 2);
    assert!(a.has(VIP));
}

#[test]
fn an_address_that_others_hang_on_has_no_lifetime() {
    let lan = Lan::default();
    let (a, _) = two_hosts(&lan);
    let own = Ipv4Addr::new(10, 7, 0, 9);
    let wide = [VirtualAddress::new(Ipv4Addr::new(10, 7, 0, 1).into(), Some(24)).unwrap()];
    a.add_foreign(own, 24);
    let mut keeper = keeper(&a);
    keeper.acquire(&leased(), &wide, Presence::Unknown, 1).unwrap();
    assert!(a.expires_at(wide[0].ip()).is_some());
    // The host's address is removed and added again: it hangs on ours now.
    let mut table = a.clone();
    table.set_promote_secondaries("eth0", true).unwrap();
    a.remove_foreign(own);
    table.set_promote_secondaries("eth0", false).unwrap();
    a.add_foreign(own, 24);
    let renewed = keeper.renew(&leased(), &wide).unwrap();
    assert_eq!(renewed.unleased, Some(Unleased::CarriesOthers));
    lets_pass(&lan, LEASE * 2);
    assert!(a.has(own) && a.has(wide[0].ip()));
}

// A node.

struct Running {
    handle: Handle,
    inbox: EventInbox,
    task: JoinHandle<()>,
}

fn start(host: &MemoryHost) -> Running {
    start_with(host, RouterSetup { place: leased(), ..setup(0, true) })
}

fn start_with(host: &MemoryHost, setup: RouterSetup) -> Running {
    let (events, inbox) = event::channel();
    let extras = Extras { events, record: Record::in_memory(), prepare: None };
    let (node, handle) = Node::new(host.clone(), vec![setup], extras).unwrap();
    let task = run(node, &handle);
    Running { handle, inbox, task }
}

impl Running {
    /// What was told, and is no change of state, nor about lateness.
    fn told(&mut self) -> Vec<EventKind> {
        let mut told = Vec::new();
        while let Some(Some(happening)) = self.inbox.recv().now_or_never() {
            told.push(happening.kind);
        }
        let kept = |kind: &EventKind| !matches!(kind, EventKind::Late { .. });
        told.retain(|kind| kind.transition().is_none() && kept(kind));
        told
    }
}

/// Waits, in real time, until the address thread has come so far.
async fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Lets virtual time pass as a node does that is never late: no deadline comes before the address thread
/// has done what the last one asked for.
async fn pass_in_time(lan: &Lan, host: &MemoryHost, time: Duration) {
    let end = lan.now() + time;
    while lan.now() < end {
        settle().await;
        let next = lan.next_deadline().map_or(end, |at| at.min(end));
        lan.advance_to(next);
        // It is renewed with every advert: one a second.
        let too_soon = lan.now() + (LEASE - SECONDS);
        wait_until("the lease is renewed", || host.expires_at(VIP) > Some(too_soon)).await;
    }
}

async fn serving(lan: &Lan, host: &MemoryHost) -> Running {
    let running = start(host);
    pass(lan, SECONDS * 3).await;
    wait_until("the address is there", || host.has(VIP)).await;
    pass_in_time(lan, host, SECONDS).await;
    assert_eq!(state(&running.handle).await, "active");
    running
}

#[test]
fn an_active_router_renews_its_lease() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let mut only = serving(&lan, &a).await;
        pass_in_time(&lan, &a, SECONDS * 20).await;
        assert!(a.has(VIP));
        assert_eq!(only.told(), []);
        let status = only.handle.status().await.unwrap();
        assert_eq!(status[0].lease_ms.map(|lease| lease.0), Some(LEASE));
    });
}

#[test]
fn a_router_that_leaves_goes_on_renewing() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let only = serving(&lan, &a).await;
        only.handle.yield_all().await;
        // Nobody takes over: the window is 2 s.
        pass_in_time(&lan, &a, SECONDS * 6).await;
        assert!(a.has(VIP));
    });
}

#[test]
fn a_node_that_is_gone_loses_its_address() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let only = serving(&lan, &a).await;
        only.task.abort();
        pass(&lan, LEASE).await;
        assert!(!a.has(VIP));
    });
}

#[test]
fn an_address_that_expired_is_taken_and_announced_again_however_often() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let mut only = serving(&lan, &a).await;
        for _ in 0..5 {
            let announced = a.announced().len();
            // Longer than the lease, and shorter than the active-down interval.
            lets_pass(&lan, LEASE + Duration::from_millis(200));
            assert!(!a.has(VIP));
            wait_until("it is back", || a.has(VIP)).await;
            wait_until("it is announced", || a.announced().len() >= announced + 5).await;
            pass_in_time(&lan, &a, SECONDS).await;
            assert_eq!(only.told(), [EventKind::AddressExpired]);
            assert_eq!(state(&only.handle).await, "active");
        }
        assert_eq!(only.handle.status().await.unwrap()[0].transitions, 2);
    });
}

#[test]
fn an_address_that_somebody_removes_is_still_a_loss() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let mut only = serving(&lan, &a).await;
        for _ in 0..2 {
            a.remove_foreign(VIP);
            wait_until("it is back", || a.has(VIP)).await;
            pass_in_time(&lan, &a, SECONDS).await;
            assert_eq!(
                only.told(),
                [EventKind::AddressLost { address: None, by: None, hint: None }]
            );
        }
        a.remove_foreign(VIP);
        wait_until("it is back", || a.has(VIP)).await;
        only.handle.settled().await.unwrap();
        let status = only.handle.status().await.unwrap();
        assert_eq!(status[0].phase.as_deref(), Some("leaving"), "the third one in a minute");
    });
}

#[test]
fn while_one_address_is_taken_again_the_others_are_renewed_in_time() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        let other = Ipv4Addr::new(192, 168, 130, 101);
        let addresses = [VIP, other].map(|ip| VirtualAddress::new(ip.into(), None).unwrap());
        let key = Key::new(b"secret").unwrap();
        let id = VirtualId::new(1).unwrap();
        let config = RouterConfig::carp(id, &key, addresses.into(), 7).unwrap();
        let setup = RouterSetup { place: leased(), ..RouterSetup::new("web", "eth0", config) };
        let mut only = start_with(&a, setup);
        pass(&lan, SECONDS * 3).await;
        wait_until("the addresses are there", || a.has(VIP) && a.has(other)).await;
        // It advertises every second, and each time somebody removes one shortly before.
        for _ in 0..2 {
            lets_pass(&lan, SECONDS - Duration::from_millis(100));
            settle().await;
            a.remove_foreign(other);
            settle().await;
            wait_until("it is back", || a.has(other)).await;
            lets_pass(&lan, Duration::from_millis(100));
            let renewed = lan.now() + LEASE;
            wait_until("the other is renewed", || a.expires_at(VIP) == Some(renewed)).await;
            settle().await;
        }
        let lost = EventKind::AddressLost { address: None, by: None, hint: None };
        assert_eq!(only.told(), [lost.clone(), lost], "nothing has expired");
    });
}

#[test]
fn a_kernel_without_lifetimes_is_told_of_once() {
    in_virtual_time(async |lan| {
        let (a, _) = two_hosts(&lan);
        a.refuse_lifetimes();
        let mut only = start(&a);
        pass(&lan, SECONDS * 8).await;
        assert!(a.has(VIP));
        let told = only.told();
        let [EventKind::Fault { text }] = &told[..] else { panic!("{told:?}") };
        assert!(text.starts_with("eth0: the kernel gives addresses there no lifetime"), "{text}");
        assert_eq!(only.handle.status().await.unwrap()[0].lease_ms, None);
    });
}
