//! The rules of taking addresses and giving them back.

use std::net::Ipv4Addr;

use carp_node::addresses::{AddressKeeper, MARK, Place, Presence, Record};
use carp_node::backend::Announcer;
use carp_node::backend::memory::{Lan, MemoryHost, Mishap};
use carp_node::event::EventInbox;
use carp_node::state::StateFile;
use carp_proto::{MacAddr, VirtualAddress, VirtualId};
use futures_util::FutureExt;

use super::{VIP, two_hosts};

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
    keeper.acquire(&Place::on("eth0"), &vip(), Presence::Unknown, 1).unwrap();
    let ours = |found: &carp_node::backend::InstalledAddress| found.ip == VIP;
    assert_eq!(a.installed().iter().find(|found| ours(found)).unwrap().protocol, Some(MARK));
    assert_eq!(keeper.release(&Place::on("eth0"), &vip()).unwrap(), vip());
    assert_eq!(
        keeper.release(&Place::on("eth0"), &vip()).unwrap(),
        [],
        "removing what is gone is a success"
    );
    a.add_foreign(VIP, 24);
    keeper.acquire(&Place::on("eth0"), &vip(), Presence::Unknown, 1).unwrap();
    assert_eq!(keeper.release(&Place::on("eth0"), &vip()).unwrap(), []);
    assert!(a.has(VIP));
}

#[test]
fn an_old_kernel_is_helped_by_a_label_and_a_record() {
    let directory = tempfile::tempdir().unwrap();
    let (a, _) = two_hosts(&Lan::default());
    a.forget_marks();
    keeper(&a, Record::open(directory.path()))
        .acquire(&Place::on("eth0"), &vip(), Presence::Unknown, 1)
        .unwrap();
    let installed = a.installed();
    let found = installed.iter().find(|found| found.ip == VIP).unwrap();
    assert_eq!((found.protocol, found.label.as_deref()), (None, Some("eth0:carp")));
    let record = StateFile::of_this_boot(directory.path(), "addresses");
    assert_eq!(record.read().unwrap().as_deref(), Some("eth0 192.168.130.100\n"));
    // Another process, after a crash.
    let mut next = keeper(&a, Record::open(directory.path()));
    assert_eq!(next.release(&Place::on("eth0"), &vip()).unwrap(), vip());
    assert!(!a.has(VIP));
    assert_eq!(record.read().unwrap().as_deref(), Some(""));
}

#[test]
fn a_record_that_cannot_be_kept_is_told_once_and_stops_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let state_dir = directory.path().join("state");
    std::fs::write(&state_dir, "a file where the directory should be").unwrap();
    let (a, _) = two_hosts(&Lan::default());
    a.forget_marks();
    let (events, mut inbox) = carp_node::event::channel();
    let mut keeper = keeper(&a, Record::open(&state_dir).telling(events));
    for _ in 0..2 {
        keeper.acquire(&Place::on("eth0"), &vip(), Presence::Unknown, 1).unwrap();
        assert!(a.has(VIP));
        assert_eq!(keeper.release(&Place::on("eth0"), &vip()).unwrap(), vip());
    }
    std::fs::remove_file(&state_dir).unwrap();
    keeper.acquire(&Place::on("eth0"), &vip(), Presence::Unknown, 1).unwrap();
    let told = told(&mut inbox);
    let says = |number: usize, text: &str| {
        assert!(
            told[number].contains(text) && told[number].contains("state/addresses"),
            "{told:?}"
        );
    };
    assert_eq!(told.len(), 3, "{told:?}");
    says(0, "cannot read");
    says(1, "cannot write");
    says(2, "is kept again");
}

#[test]
fn a_damaged_record_is_told_and_not_trusted() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("addresses"), "eth0 192.168.130.100\n").unwrap();
    let (events, mut inbox) = carp_node::event::channel();
    let record = Record::open(directory.path()).telling(events);
    assert!(
        told(&mut inbox)[0].contains("addresses is damaged: it does not begin as version 1 does")
    );
    let (a, _) = two_hosts(&Lan::default());
    a.add_foreign(VIP, 32);
    let mut keeper = keeper(&a, record);
    assert_eq!(keeper.release(&Place::on("eth0"), &vip()).unwrap(), []);
    assert!(a.has(VIP), "nobody says that it is ours");
}

/// What was told so far, in words.
fn told(inbox: &mut EventInbox) -> Vec<String> {
    let next = || inbox.recv().now_or_never().flatten();
    std::iter::from_fn(next).map(|happening| happening.kind.to_string()).collect()
}

/// Somebody who removes an address in the very moment in which it is announced.
struct Thief(MemoryHost);

impl Announcer for Thief {
    fn prepare(&mut self, _interface: &str) -> std::io::Result<()> {
        Ok(())
    }

    fn announce(
        &mut self,
        _: &str,
        _: Option<MacAddr>,
        _: &[std::net::IpAddr],
        _: u8,
    ) -> std::io::Result<()> {
        self.0.remove_foreign(VIP);
        Ok(())
    }
}

#[test]
fn an_address_that_is_stolen_at_once_says_nothing_about_the_kernel() {
    let (a, _) = two_hosts(&Lan::default());
    let mut keeper = AddressKeeper::new(a.clone(), Thief(a.clone()), Record::in_memory());
    keeper.acquire(&Place::on("eth0"), &vip(), Presence::Absent, 1).unwrap();
    assert!(!a.has(VIP), "it is for the election to find out");
    assert!(keeper.is_missing(&Place::on("eth0"), &vip()).unwrap());
}

#[test]
fn an_address_that_came_meanwhile_is_foreign_and_says_nothing_about_the_kernel() {
    let (a, _) = two_hosts(&Lan::default());
    a.add_foreign(VIP, 32);
    let mut keeper = keeper(&a, Record::in_memory());
    keeper.acquire(&Place::on("eth0"), &vip(), Presence::Absent, 1).unwrap();
    assert_eq!(keeper.release(&Place::on("eth0"), &vip()).unwrap(), []);
    a.remove_foreign(VIP);
    keeper.acquire(&Place::on("eth0"), &vip(), Presence::Absent, 1).unwrap();
    assert_eq!(a.installed().iter().find(|found| found.ip == VIP).unwrap().protocol, Some(MARK));
}

#[test]
fn a_wide_prefix_waits_for_an_address_of_its_subnet() {
    let (a, _) = two_hosts(&Lan::default());
    let wide = [VirtualAddress::new(Ipv4Addr::new(10, 7, 0, 1).into(), Some(24)).unwrap()];
    let mut keeper = keeper(&a, Record::in_memory());
    let refused =
        keeper.acquire(&Place::on("eth0"), &wide, Presence::Unknown, 1).unwrap_err().to_string();
    assert!(refused.contains("no other address of that subnet"), "{refused}");
    a.add_foreign(Ipv4Addr::new(10, 7, 0, 9), 24);
    keeper.acquire(&Place::on("eth0"), &wide, Presence::Unknown, 1).unwrap();
}

#[test]
fn a_primary_address_goes_without_its_secondaries() {
    let (a, _) = two_hosts(&Lan::default());
    let own = Ipv4Addr::new(10, 7, 0, 9);
    let wide = [VirtualAddress::new(Ipv4Addr::new(10, 7, 0, 1).into(), Some(24)).unwrap()];
    a.add_foreign(own, 24);
    let mut keeper = keeper(&a, Record::in_memory());
    keeper.acquire(&Place::on("eth0"), &wide, Presence::Unknown, 1).unwrap();
    // The host's address is removed and added again: it hangs on ours now.
    let mut table = a.clone();
    carp_node::backend::AddressTable::set_promote_secondaries(&mut table, "eth0", true).unwrap();
    a.remove_foreign(own);
    carp_node::backend::AddressTable::set_promote_secondaries(&mut table, "eth0", false).unwrap();
    a.add_foreign(own, 24);
    assert!(a.installed().iter().any(|found| found.ip == own && found.secondary));
    assert_eq!(keeper.release(&Place::on("eth0"), &wide).unwrap(), wide);
    assert!(a.has(own));
}

#[test]
fn what_was_added_before_a_failure_is_removed_again() {
    let (a, _) = two_hosts(&Lan::default());
    a.refuse_addresses(Some(1));
    let mut keeper = keeper(&a, Record::in_memory());
    assert_eq!(
        keeper.acquire(&Place::on("eth0"), &vip(), Presence::Unknown, 1).unwrap_err().code(),
        1
    );
    assert!(!a.has(VIP) && a.announced().is_empty());
}

#[test]
fn what_the_kernel_refuses_for_a_moment_is_asked_for_again() {
    let place = Place::on("eth0");
    for errno in [libc::EINTR, libc::EAGAIN, libc::ENOBUFS, libc::ENOMEM] {
        let (a, _) = two_hosts(&Lan::default());
        let mut keeper = keeper(&a, Record::in_memory());
        a.expect_mishaps([Mishap::Refused(errno); 2]);
        keeper.acquire(&place, &vip(), Presence::Absent, 1).unwrap();
        assert!(a.has(VIP) && a.announced() == [VIP], "{errno}");
        a.expect_mishaps([Mishap::Refused(errno); 3]);
        assert_eq!(keeper.release(&place, &vip()).unwrap(), vip());
        let fault = keeper.acquire(&place, &vip(), Presence::Absent, 1).unwrap_err();
        assert_eq!(fault.code(), errno, "the third time is the last");
        assert!(!a.has(VIP));
    }
}

#[test]
fn an_address_whose_answer_was_lost_is_found_and_ours() {
    let (a, _) = two_hosts(&Lan::default());
    let mut keeper = keeper(&a, Record::in_memory());
    a.expect_mishaps([Mishap::AnswerLost]);
    keeper.acquire(&Place::on("eth0"), &vip(), Presence::Absent, 1).unwrap();
    assert_eq!(a.announced(), [VIP]);
    assert_eq!(keeper.release(&Place::on("eth0"), &vip()).unwrap(), vip());
    assert!(!a.has(VIP));
}

#[test]
fn the_addresses_of_an_owner_are_announced_and_never_touched() {
    let (a, _) = two_hosts(&Lan::default());
    let mut keeper = keeper(&a, Record::in_memory());
    let owned = Place { owned: true, ..Place::on("eth0") };
    let refused = keeper.acquire(&owned, &vip(), Presence::Absent, 1).unwrap_err().to_string();
    assert!(refused.contains("eth0 does not have 192.168.130.100"), "{refused}");
    assert!(!a.has(VIP) && a.announced().is_empty());
    a.add_foreign(VIP, 24);
    let before = a.installed();
    keeper.acquire(&owned, &vip(), Presence::Absent, 2).unwrap();
    assert_eq!(a.announced(), [VIP, VIP]);
    assert_eq!(keeper.release(&owned, &vip()).unwrap(), []);
    assert_eq!(a.installed(), before);
}

#[test]
fn a_device_is_on_only_while_it_has_the_addresses() {
    let (a, _) = two_hosts(&Lan::default());
    let mac = MacAddr::virtual_router(VirtualId::new(1).unwrap());
    let place = Place::virtual_on("eth0", mac);
    let mut keeper = keeper(&a, Record::in_memory());
    keeper.prepare(&place).unwrap();
    assert_eq!(a.devices(), [("eth0.v4-1".to_owned(), false)]);
    keeper.acquire(&place, &vip(), Presence::Absent, 1).unwrap();
    assert_eq!(a.devices(), [("eth0.v4-1".to_owned(), true)]);
    assert!(!a.has(VIP), "it is not on eth0");
    assert_eq!(a.installed_on("eth0.v4-1").unwrap()[0].ip, VIP);
    assert_eq!(keeper.release(&place, &vip()).unwrap(), vip());
    assert_eq!(a.devices(), [("eth0.v4-1".to_owned(), false)]);
    keeper.dismantle(&place).unwrap();
    assert_eq!(a.installed_on("eth0.v4-1"), None);
    // Somebody has removed it: a takeover makes it again.
    assert!(keeper.is_missing(&place, &vip()).unwrap());
    keeper.acquire(&place, &vip(), Presence::Unknown, 1).unwrap();
    assert_eq!(a.devices(), [("eth0.v4-1".to_owned(), true)]);
}
