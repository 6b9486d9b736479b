//! What a host in memory is like, and what its kernel does with addresses.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::task::Waker;
use std::time::Duration;

use carp_proto::wire::ip::{GROUP_IPV4, GROUP_IPV6};
use carp_proto::{Instant, RxMeta};

use super::{Halt, Mishap};
use crate::backend::{
    Families, InstalledAddress, Interface, LinkChange, Neighbour, NewAddress, same_subnet,
};

#[derive(Debug, Default)]
pub(super) struct HostState {
    pub(super) interface: String,
    pub(super) cut: bool,
    pub(super) halted: Option<Halted>,
    /// How far its clocks are behind those of the others, because they stood still.
    pub(super) behind: Duration,
    /// For how long it was suspended.
    pub(super) asleep: Duration,
    /// How far its wall clock was set forward, in seconds.
    pub(super) wall: i64,
    pub(super) inbox: VecDeque<Arrival>,
    pub(super) wakers: Vec<Waker>,
    pub(super) links: VecDeque<LinkChange>,
    pub(super) addresses: BTreeMap<String, Vec<InstalledAddress>>,
    /// When addresses go that have a lifetime.
    pub(super) expiries: BTreeMap<(String, IpAddr), Instant>,
    /// How often the addresses have changed.
    pub(super) changes: u64,
    /// What was removed, and that was not asked for yet.
    pub(super) removed: Vec<(String, IpAddr)>,
    /// How often addresses were listed.
    pub(super) lists: usize,
    /// What somebody removes just before it is renewed.
    pub(super) lost_at_renewal: Option<IpAddr>,
    /// What an old kernel does: it takes `IFA_PROTO` and forgets it.
    pub(super) forgets_marks: bool,
    pub(super) promote_secondaries: bool,
    pub(super) refuses: Option<i32>,
    pub(super) mishaps: VecDeque<Mishap>,
    pub(super) refuses_lifetimes: bool,
    pub(super) announced: Vec<IpAddr>,
    /// Whether what it sends is lost.
    pub(super) mute: bool,
    /// Every address that it asked for, and from where.
    pub(super) questions: Vec<(IpAddr, Option<IpAddr>)>,
    pub(super) gateway: Option<IpAddr>,
    /// Devices, and whether they are on.
    pub(super) devices: BTreeMap<String, bool>,
    pub(super) running: bool,
    /// What its interface is like, its addresses and whether it is running aside.
    pub(super) properties: Interface,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Halted {
    pub(super) why: Halt,
    pub(super) since: Instant,
}

#[derive(Debug)]
pub(super) enum Arrival {
    /// A whole IPv4 packet, for this address.
    Ipv4(IpAddr, Vec<u8>),
    /// What an IPv6 packet carried.
    Ipv6(RxMeta, Vec<u8>),
    Neighbour(Neighbour),
}

impl HostState {
    /// Whether a packet for this address is for the host.
    fn is_for(&self, destination: IpAddr) -> bool {
        destination == GROUP_IPV4
            || destination == GROUP_IPV6
            || self.addresses.values().flatten().any(|own| own.ip == destination)
    }

    /// Whether what arrives is kept for the host.
    pub(super) const fn hears(&self) -> bool {
        match self.halted {
            None | Some(Halted { why: Halt::Process, .. }) => true,
            Some(Halted { why: Halt::Suspended | Halt::Frozen, .. }) => false,
        }
    }

    /// The time on the host's clock.
    pub(super) fn now(&self, now: Instant) -> Instant {
        match self.halted {
            Some(Halted { why: Halt::Frozen, since }) => since - self.behind,
            Some(Halted { why: Halt::Process | Halt::Suspended, .. }) | None => now - self.behind,
        }
    }

    /// The next thing that arrived and is for the host, if it runs.
    pub(super) fn take(&mut self) -> Option<Arrival> {
        if self.halted.is_some() {
            return None;
        }
        loop {
            let arrival = self.inbox.pop_front()?;
            let ours = match &arrival {
                Arrival::Ipv4(destination, _) => self.is_for(*destination),
                Arrival::Ipv6(meta, _) => self.is_for(meta.destination),
                Arrival::Neighbour(_) => true,
            };
            if ours {
                return Some(arrival);
            }
        }
    }

    pub(super) fn tell_link(&mut self, running: bool) {
        let name = self.interface.clone();
        let addresses = self.addresses.get(&name).cloned().unwrap_or_default();
        if self.running != running {
            self.properties.carrier_changes += 1;
        }
        self.running = running;
        let interface = Interface { index: 2, running, addresses, ..self.properties.clone() };
        let (interface, forgotten) = (Some(interface), Families::default());
        self.links.push_back(LinkChange { name, interface, renamed: None, forgotten });
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// Adds as Linux does: an address is secondary if another one of its subnet is there.
    pub(super) fn install(&mut self, interface: &str, mut new: InstalledAddress) {
        self.changes += 1;
        let addresses = self.addresses.entry(interface.to_owned()).or_default();
        new.secondary = addresses.iter().any(|other| in_subnet(other, &new));
        addresses.push(new);
    }

    /// Removes as Linux does: secondary addresses go with their primary one, or one is promoted.
    pub(super) fn uninstall(&mut self, interface: &str, ip: IpAddr) -> bool {
        let promote = self.promote_secondaries;
        let Some(addresses) = self.addresses.get_mut(interface) else { return false };
        let Some(place) = addresses.iter().position(|address| address.ip == ip) else {
            return false;
        };
        let removed = addresses.remove(place);
        self.changes += 1;
        self.removed.push((interface.to_owned(), ip));
        self.expiries.remove(&(interface.to_owned(), ip));
        if removed.secondary {
            return true;
        }
        if promote {
            if let Some(next) = addresses.iter_mut().find(|other| in_subnet(other, &removed)) {
                next.secondary = false;
            }
        } else {
            addresses.retain(|other| !(other.secondary && in_subnet(other, &removed)));
        }
        true
    }

    /// Gives an address that is there a lifetime from now on, or takes it away.
    pub(super) fn set_lifetime(&mut self, interface: &str, new: &NewAddress, now: Instant) {
        let key = (interface.to_owned(), new.address.ip());
        match new.lifetime {
            Some(lease) => self.expiries.insert(key, now + lease.time()),
            None => self.expiries.remove(&key),
        };
    }

    /// Why the host does not take an address like this.
    pub(super) fn refusal(&self, new: &NewAddress) -> Option<io::Error> {
        let lifetime = (self.refuses_lifetimes && new.lifetime.is_some()).then_some(libc::EINVAL);
        self.refuses.or(lifetime).map(io::Error::from_raw_os_error)
    }

    /// Drops the addresses whose lifetime is over.
    pub(super) fn expire(&mut self, now: Instant) {
        let over = self.expiries.iter().filter(|(_, at)| **at <= now);
        let over: Vec<_> = over.map(|(key, _)| key.clone()).collect();
        for (interface, ip) in &over {
            self.uninstall(interface, *ip);
        }
        if over.iter().any(|(interface, _)| *interface == self.interface) {
            self.tell_link(true);
        }
    }
}

/// An address as some other program adds it.
pub(super) fn installed(ip: IpAddr, prefix_len: u8, interface: &str) -> InstalledAddress {
    InstalledAddress {
        ip,
        prefix_len,
        protocol: None,
        label: Some(interface.to_owned()),
        secondary: false,
        tentative: false,
    }
}

/// Whether one of two addresses is secondary to the other: of IPv4, and in one subnet.
fn in_subnet(a: &InstalledAddress, b: &InstalledAddress) -> bool {
    a.ip.is_ipv4() && a.prefix_len == b.prefix_len && same_subnet(a.ip, b.ip, a.prefix_len)
}
