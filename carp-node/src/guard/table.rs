//! An address table that tells the guard what is held.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use carp_proto::{Family, Instant, VirtualAddress};
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

use super::board::{Board, Order};
use super::post::Post;
use super::request;
use crate::addresses::MARK;
use crate::backend::{AddressTable, Changes, InstalledAddress, NewAddress, VirtualDevice};

/// An address table that tells the guard what is held: before an address is added, and after it was
/// removed. Of addresses that others have added it tells nothing.
#[derive(Debug)]
pub struct GuardedTable<T> {
    inner: T,
    post: Post,
    /// For looking up interfaces: a takeover has no time to open one.
    socket: OwnedFd,
    /// Whether the kernel is known to keep marks, so that an address without one is foreign.
    keeps_marks: bool,
}

impl<T> GuardedTable<T> {
    pub(super) fn new(inner: T, post: Post) -> io::Result<Self> {
        let (family, kind) = (AddressFamily::UNIX, SocketType::DGRAM);
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        Ok(Self { inner, post, socket, keeps_marks: false })
    }

    /// Notes that an address is held, or is about to be. An interface that is gone holds nothing.
    fn hold(&self, interface: &str, address: &VirtualAddress) {
        let Ok(index) = name_to_index(&self.socket, interface) else { return };
        for (_, order) in self.post.addresses_on(interface).filter(|(held, _)| held == address) {
            let promote = is_wide(address) && !promotes_secondaries(interface);
            order.give(&request::remove(index, address, promote));
        }
    }

    fn let_go(&self, interface: &str, address: &VirtualAddress) {
        let here = self.post.addresses_on(interface);
        here.filter(|(held, _)| held == address).for_each(|(_, order)| order.withdraw());
    }

    /// Brings what is held in line with what is there.
    fn compare(&mut self, interface: &str, installed: &[InstalledAddress]) {
        self.keeps_marks |= installed.iter().any(|there| there.protocol == Some(MARK));
        for (address, order) in self.post.addresses_on(interface) {
            let there = installed.iter().find(|there| there.ip == address.ip());
            let foreign = |there: &InstalledAddress| match there.protocol {
                Some(protocol) => protocol != MARK,
                None => self.keeps_marks,
            };
            if there.is_none_or(|there| foreign(there) || there.prefix_len != address.prefix_len())
            {
                order.withdraw();
            } else if there.is_some_and(|there| there.protocol == Some(MARK)) && !order.is_given() {
                self.hold(interface, &address);
            }
        }
        self.post.review();
    }

    /// The orders to switch a device off, one for each router that has its addresses there.
    fn orders_of(&self, device: &VirtualDevice) -> impl Iterator<Item = Order<'_>> {
        let routers = self.post.board().into_iter().flat_map(Board::routers);
        let members = self.post.members().iter().zip(routers);
        let here = members.filter(|(member, _)| member.interface == device.name);
        here.filter_map(|(_, router)| router.device())
    }
}

impl<T: AddressTable> AddressTable for GuardedTable<T> {
    fn port(&self) -> Option<u32> {
        self.inner.port()
    }

    fn list(&mut self, interface: &str) -> io::Result<Vec<InstalledAddress>> {
        let listed = self.inner.list(interface);
        match &listed {
            Ok(installed) => self.compare(interface, installed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.compare(interface, &[]),
            Err(_) => {}
        }
        listed
    }

    fn add(
        &mut self,
        interface: &str,
        addresses: &[NewAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        let ours = |new: &&NewAddress| is_ours(new);
        addresses.iter().filter(ours).for_each(|new| self.hold(interface, &new.address));
        // If nobody knows what became of them, they count as held: removing what is not there is no harm.
        let outcomes = self.inner.add(interface, addresses);
        for (new, outcome) in addresses.iter().zip(outcomes.iter().flatten()) {
            if outcome.is_err() {
                self.let_go(interface, &new.address);
            }
        }
        self.post.review();
        outcomes
    }

    fn renew(
        &mut self,
        interface: &str,
        addresses: &[NewAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        // What is there is held already.
        self.inner.renew(interface, addresses)
    }

    fn changes(&mut self, interface: &str) -> io::Result<Changes> {
        self.inner.changes(interface)
    }

    fn remove(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        let outcomes = self.inner.remove(interface, addresses);
        for (address, outcome) in addresses.iter().zip(outcomes.iter().flatten()) {
            let gone = |error: &io::Error| error.kind() == io::ErrorKind::AddrNotAvailable;
            if outcome.as_ref().err().is_none_or(gone) {
                self.let_go(interface, address);
            }
        }
        self.post.review();
        outcomes
    }

    fn remove_strays(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> io::Result<Vec<VirtualAddress>> {
        let removed = self.inner.remove_strays(interface, addresses)?;
        removed.iter().for_each(|address| self.let_go(interface, address));
        self.post.review();
        Ok(removed)
    }

    fn set_promote_secondaries(&mut self, interface: &str, promote: bool) -> io::Result<bool> {
        self.inner.set_promote_secondaries(interface, promote)
    }

    fn gateway(&mut self, interface: &str, family: Family) -> io::Result<Option<IpAddr>> {
        self.inner.gateway(interface, family)
    }

    fn make_device(&mut self, device: &VirtualDevice) -> io::Result<()> {
        self.inner.make_device(device)
    }

    fn switch_device(&mut self, device: &VirtualDevice, on: bool) -> io::Result<()> {
        if on && let Ok(index) = name_to_index(&self.socket, &device.name) {
            let request = request::switch_off(index);
            self.orders_of(device).for_each(|order| order.give(&request));
        }
        let switched = self.inner.switch_device(device, on);
        if switched.is_ok() != on {
            // It is off, or was not switched on.
            self.orders_of(device).for_each(Order::withdraw);
        }
        switched
    }

    fn remove_device(&mut self, device: &VirtualDevice) -> io::Result<bool> {
        let removed = self.inner.remove_device(device);
        if removed.is_ok() {
            self.orders_of(device).for_each(Order::withdraw);
            self.compare(&device.name, &[]);
        }
        removed
    }

    fn now(&self) -> Instant {
        self.inner.now()
    }
}

/// Whether an address is added for us, and not put back for somebody else: that has its old label.
fn is_ours(new: &NewAddress) -> bool {
    match (new.protocol, &new.label) {
        (Some(protocol), _) => protocol == MARK,
        (None, Some(label)) => label.ends_with(":carp"),
        (None, None) => true,
    }
}

/// Whether other addresses may hang on this one.
fn is_wide(address: &VirtualAddress) -> bool {
    matches!(address.ip(), IpAddr::V4(_)) && !address.is_host()
}

/// Whether the secondary addresses stay when the primary one goes, as it is set now.
fn promotes_secondaries(interface: &str) -> bool {
    let is_set = |of: &str| {
        let path = format!("/proc/sys/net/ipv4/conf/{of}/promote_secondaries");
        fs::read_to_string(path).is_ok_and(|text| text.trim() != "0")
    };
    is_set(interface) || is_set("all")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use carp_proto::{Key, MacAddr, RouterConfig, VirtualId};

    use super::*;
    use crate::addresses::{AddressKeeper, Place, Presence, Record};
    use crate::backend::memory::{Lan, MemoryHost};
    use crate::node::RouterSetup;

    const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

    fn vip() -> VirtualAddress {
        VirtualAddress::new(VIP.into(), None).unwrap()
    }

    /// A keeper over a host whose interface is named as one that this machine has: its index is asked
    /// for.
    fn keeper(host: &MemoryHost) -> (AddressKeeper<GuardedTable<MemoryHost>, MemoryHost>, Post) {
        let key = Key::new(b"secret").unwrap();
        let config = RouterConfig::carp(VirtualId::new(1).unwrap(), &key, vec![vip()], 7).unwrap();
        let post = Post::new(&[RouterSetup::new("web", "lo", config)]).unwrap();
        let table = GuardedTable::new(host.clone(), post.clone()).unwrap();
        (AddressKeeper::new(table, host.clone(), Record::in_memory()), post)
    }

    fn host() -> MemoryHost {
        Lan::default().host("lo", Ipv4Addr::new(192, 0, 2, 1))
    }

    fn holds(post: &Post) -> bool {
        post.board().unwrap().routers().next().unwrap().holds()
    }

    fn limits(post: &Post) -> bool {
        post.board().unwrap().limit().is_some()
    }

    #[test]
    fn an_address_is_held_from_before_it_is_added_until_it_was_removed() {
        let host = host();
        let (mut keeper, post) = keeper(&host);
        let place = Place::on("lo");
        for presence in [Presence::Absent, Presence::Unknown] {
            assert!(!holds(&post) && !limits(&post));
            keeper.acquire(&place, &[vip()], presence, 1).unwrap();
            assert!(holds(&post) && limits(&post));
            keeper.release(&place, &[vip()]).unwrap();
        }
        assert!(!holds(&post) && !limits(&post));
    }

    #[test]
    fn a_foreign_address_is_never_held() {
        let host = host();
        let (mut keeper, post) = keeper(&host);
        host.add_foreign(VIP, 32);
        for presence in [Presence::Unknown, Presence::Absent] {
            keeper.acquire(&Place::on("lo"), &[vip()], presence, 1).unwrap();
            assert!(!holds(&post) && !limits(&post));
        }
    }

    #[test]
    fn an_address_that_others_replaced_is_not_held_any_more() {
        let host = host();
        let (mut keeper, post) = keeper(&host);
        keeper.acquire(&Place::on("lo"), &[vip()], Presence::Unknown, 1).unwrap();
        host.remove_foreign(VIP);
        host.add_foreign(VIP, 32);
        assert!(!keeper.is_missing(&Place::on("lo"), &[vip()]).unwrap());
        assert!(!holds(&post) && !limits(&post));
    }

    #[test]
    fn what_could_not_be_added_is_not_held() {
        let host = host();
        let (mut keeper, post) = keeper(&host);
        host.refuse_addresses(Some(libc::EPERM));
        keeper.acquire(&Place::on("lo"), &[vip()], Presence::Absent, 1).unwrap_err();
        assert!(!holds(&post) && !limits(&post));
    }

    #[test]
    fn on_a_kernel_without_marks_the_record_is_as_good() {
        let host = host();
        host.forget_marks();
        let (mut keeper, post) = keeper(&host);
        keeper.acquire(&Place::on("lo"), &[vip()], Presence::Unknown, 1).unwrap();
        assert!(holds(&post) && limits(&post));
        keeper.release(&Place::on("lo"), &[vip()]).unwrap();
        assert!(!holds(&post));
    }

    #[test]
    fn a_device_is_to_be_switched_off_while_it_is_on() {
        let host = host();
        let key = Key::new(b"secret").unwrap();
        let config = RouterConfig::carp(VirtualId::new(1).unwrap(), &key, vec![vip()], 7).unwrap();
        let mut setup = RouterSetup::new("web", "eth0", config);
        setup.place = Place::on("lo");
        let post = Post::new(&[setup]).unwrap();
        let mut table = GuardedTable::new(host, post.clone()).unwrap();
        let mac = MacAddr::virtual_router(VirtualId::new(1).unwrap());
        let device = VirtualDevice { name: "lo".into(), parent: "eth0".into(), mac };
        let given = || post.board().unwrap().routers().next().unwrap().device().unwrap().is_given();
        table.switch_device(&device, true).unwrap_err();
        assert!(!given(), "there is no such device yet");
        table.make_device(&device).unwrap();
        table.switch_device(&device, true).unwrap();
        assert!(given());
        table.switch_device(&device, false).unwrap();
        assert!(!given());
    }
}
