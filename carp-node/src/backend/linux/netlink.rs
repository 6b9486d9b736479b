//! The address table, by netlink.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use carp_proto::{Family, Instant, VirtualAddress};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::changes::Follower;
use super::device::Devices;
use super::names::InterfaceNames;
use super::requests::{Answers, Requests};
use super::strays::{Added, Strays};
use crate::addresses::{Lease, MARK};
use crate::backend::{AddressTable, Changes, InstalledAddress, NewAddress, VirtualDevice};
use crate::clock::boot_time;

/// "For ever", as a lifetime.
const FOREVER: u32 = u32::MAX;

/// The address table of the network namespace in which it was opened. Devices are made in the namespace
/// of the thread that asks for them, which has to be the same.
#[derive(Debug)]
pub struct NetlinkAddresses {
    requests: Requests,
    names: InterfaceNames,
    follower: Follower,
    devices: Devices,
    strays: Strays,
}

impl NetlinkAddresses {
    /// Opens netlink sockets.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        Ok(Self {
            requests: Requests::open()?,
            names: InterfaceNames::open()?,
            follower: Follower::open()?,
            devices: Devices::default(),
            strays: Strays::default(),
        })
    }
}

impl AddressTable for NetlinkAddresses {
    fn port(&self) -> Option<u32> {
        Some(self.requests.port())
    }

    fn list(&mut self, interface: &str) -> io::Result<Vec<InstalledAddress>> {
        let index = self.names.index_of(interface)?;
        self.list_at(index)
    }

    fn add(
        &mut self,
        interface: &str,
        addresses: &[NewAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        let index = self.names.index_of(interface)?;
        let mut requests: Vec<_> = addresses
            .iter()
            .map(|new| RouteNetlinkMessage::NewAddress(new_address(index, new)))
            .collect();
        let is_local = |new: &NewAddress| match new.address.ip() {
            IpAddr::V4(_) => false,
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        let local = addresses.iter().position(is_local);
        let local = local.filter(|_| self.devices.have_made(interface));
        requests.extend(local.map(|_| RouteNetlinkMessage::NewRoute(link_local_route(index))));
        let mut results =
            self.requests.change(requests, NLM_F_CREATE | NLM_F_EXCL, Answers::All)?;
        if let Some(place) = local
            && let Some(Err(error)) = results.pop()
            && error.kind() != io::ErrorKind::AlreadyExists
            && let Some(result @ Ok(())) = results.get_mut(place)
        {
            *result = Err(error);
        }
        for (new, result) in addresses.iter().zip(&results) {
            if result.is_ok() {
                self.strays.note_added(interface, index, new);
            }
        }
        Ok(results)
    }

    fn renew(
        &mut self,
        interface: &str,
        addresses: &[NewAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        let index = match self.follower.index_of(interface) {
            Some(index) => index,
            None => self.names.index_of(interface)?,
        };
        let renewed = |new| RouteNetlinkMessage::NewAddress(new_address(index, new));
        let requests = addresses.iter().map(renewed).collect();
        self.requests.change(requests, NLM_F_REPLACE, Answers::Failures)
    }

    fn changes(&mut self, interface: &str) -> io::Result<Changes> {
        self.follower.changes(interface, &self.names)
    }

    fn remove(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        let index = self.names.index_of(interface)?;
        let requests = addresses.iter().map(|address| removal(index, address)).collect();
        let results = self.requests.change(requests, 0, Answers::All)?;
        for (address, result) in addresses.iter().zip(&results) {
            if result.is_ok() {
                self.strays.note_removed(index, *address);
            }
        }
        Ok(results)
    }

    fn remove_strays(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> io::Result<Vec<VirtualAddress>> {
        let here = self.names.index_of(interface).ok();
        let strays = self.strays.take(interface, here, addresses);
        if strays.is_empty() {
            return Ok(Vec::new());
        }
        let removed = self.remove_there(&strays);
        if removed.is_err() {
            // The next attempt is to find them again; that some are gone by then is no harm.
            strays.into_iter().for_each(|stray| self.strays.put_back(stray));
        }
        removed
    }

    fn set_promote_secondaries(&mut self, interface: &str, promote: bool) -> io::Result<bool> {
        let path = format!("/proc/sys/net/ipv4/conf/{interface}/promote_secondaries");
        let before = std::fs::read_to_string(&path)?;
        std::fs::write(&path, if promote { "1" } else { "0" })?;
        Ok(before.trim() != "0")
    }

    fn gateway(&mut self, interface: &str, family: Family) -> io::Result<Option<IpAddr>> {
        let index = self.names.index_of(interface)?;
        let mut gateway = None;
        let asked = self.requests.ask(
            RouteNetlinkMessage::GetRoute(route_away(index, family)),
            0,
            |answer| {
                if let RouteNetlinkMessage::NewRoute(route) = answer {
                    gateway = gateway_of(&route);
                }
            },
        );
        match asked {
            Ok(()) => Ok(gateway),
            Err(error) if is_unreachable(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn make_device(&mut self, device: &VirtualDevice) -> io::Result<()> {
        self.devices.make(&mut self.requests, device)
    }

    fn switch_device(&mut self, device: &VirtualDevice, on: bool) -> io::Result<()> {
        self.devices.switch(&mut self.requests, device, on)
    }

    fn remove_device(&mut self, device: &VirtualDevice) -> io::Result<bool> {
        self.devices.remove(&mut self.requests, device)
    }

    fn now(&self) -> Instant {
        boot_time()
    }
}

impl NetlinkAddresses {
    /// The addresses of the interface that has this index.
    fn list_at(&mut self, index: u32) -> io::Result<Vec<InstalledAddress>> {
        let mut request = AddressMessage::default();
        request.header.index = index;
        let mut found = Vec::new();
        self.requests.ask(RouteNetlinkMessage::GetAddress(request), NLM_F_DUMP, |answer| {
            if let RouteNetlinkMessage::NewAddress(address) = answer
                && address.header.index == index
            {
                found.extend(installed(&address));
            }
        })?;
        Ok(found)
    }

    /// Removes those of these addresses that are still there as they were added. Returns which those are.
    fn remove_there(&mut self, strays: &[Added]) -> io::Result<Vec<VirtualAddress>> {
        let mut there = Vec::new();
        for stray in strays {
            if self.list_at(stray.index)?.iter().any(|found| stray.is_it(found)) {
                there.push(stray);
            }
        }
        let requests = there.iter().map(|stray| removal(stray.index, &stray.address)).collect();
        let is_failure = |error: &io::Error| {
            let gone = [libc::ENODEV, libc::EADDRNOTAVAIL];
            !error.raw_os_error().is_some_and(|code| gone.contains(&code))
        };
        let results = self.requests.change(requests, 0, Answers::All)?;
        match results.into_iter().filter_map(Result::err).find(is_failure) {
            None => Ok(there.into_iter().map(|stray| stray.address).collect()),
            Some(error) => Err(error),
        }
    }
}

fn removal(index: u32, address: &VirtualAddress) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelAddress(address_message(index, address))
}

/// `ip route get 203.0.113.1 oif DEVICE`, or `3fff::1`: the way to an address that is nobody's (RFC 5737,
/// RFC 9637), which is the way to everywhere. A dump of all routes may be long.
fn route_away(index: u32, family: Family) -> RouteMessage {
    let (family, prefix_len, nowhere) = match family {
        Family::Ipv4 => {
            (AddressFamily::Inet, 32, RouteAddress::Inet(Ipv4Addr::new(203, 0, 113, 1)))
        }
        Family::Ipv6 => {
            let nowhere = Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 1);
            (AddressFamily::Inet6, 128, RouteAddress::Inet6(nowhere))
        }
    };
    let mut message = RouteMessage::default();
    message.header.address_family = family;
    message.header.destination_prefix_length = prefix_len;
    message.attributes.push(RouteAttribute::Destination(nowhere));
    message.attributes.push(RouteAttribute::Oif(index));
    message
}

/// The next hop of a route, if it has one.
fn gateway_of(route: &RouteMessage) -> Option<IpAddr> {
    route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        RouteAttribute::Gateway(RouteAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    })
}

/// Whether an error says that there is no such way: the last two are what `prohibit` and `blackhole` say.
fn is_unreachable(error: &io::Error) -> bool {
    let codes = [libc::ENETUNREACH, libc::EHOSTUNREACH, libc::EACCES, libc::EINVAL];
    error.raw_os_error().is_some_and(|code| codes.contains(&code))
}

/// What names an address of an interface in a request.
pub(crate) fn address_message(index: u32, address: &VirtualAddress) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.index = index;
    message.header.prefix_len = address.prefix_len();
    message.header.family = match address.ip() {
        IpAddr::V4(_) => AddressFamily::Inet,
        IpAddr::V6(_) => AddressFamily::Inet6,
    };
    message.attributes.push(AddressAttribute::Local(address.ip()));
    message.attributes.push(AddressAttribute::Address(address.ip()));
    message
}

fn new_address(index: u32, new: &NewAddress) -> AddressMessage {
    let mut message = address_message(index, &new.address);
    if let Some(protocol) = new.protocol {
        let protocol = AddressProtocol::from(protocol);
        message.attributes.push(AddressAttribute::Protocol(protocol));
    }
    if new.address.ip().is_ipv6() {
        // Nothing is waited for. The kernel still takes what comes for the address a moment later than it
        // answers here: a work queue of its own does that.
        message.header.flags |= AddressHeaderFlags::Nodad;
    }
    if let (Some(label), IpAddr::V4(_)) = (&new.label, new.address.ip()) {
        message.attributes.push(AddressAttribute::Label(label.clone()));
    }
    if new.lifetime.is_some() && new.address.ip().is_ipv6() {
        // The route of a subnet is that of the interface's own address. It would get our lifetime. That of a
        // host prefix is of no use, and the kernel would make it anew with each renewal.
        let flags = AddressFlags::Noprefixroute | AddressFlags::Nodad;
        message.attributes.push(AddressAttribute::Flags(flags));
    }
    let mut lifetimes = CacheInfo::default();
    lifetimes.ifa_valid = new.lifetime.map_or(FOREVER, Lease::seconds);
    lifetimes.ifa_preferred = if new.address.is_host() { 0 } else { lifetimes.ifa_valid };
    message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
    message
}

/// `ip route add fe80::/64 dev DEVICE`: without it, what comes for a link-local address on a device could
/// not be answered. Elsewhere the kernel adds it with the interface's own link-local address. It goes
/// when the device is switched off.
fn link_local_route(index: u32) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header.address_family = AddressFamily::Inet6;
    message.header.destination_prefix_length = 64;
    message.header.table = RouteHeader::RT_TABLE_MAIN;
    message.header.protocol = RouteProtocol::Other(MARK);
    message.header.kind = RouteType::Unicast;
    let network = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);
    message.attributes.push(RouteAttribute::Destination(RouteAddress::Inet6(network)));
    message.attributes.push(RouteAttribute::Oif(index));
    message
}

/// What a dump or an event says of an address; `None` if it names none.
pub(super) fn installed(message: &AddressMessage) -> Option<InstalledAddress> {
    let mut installed = InstalledAddress {
        ip: IpAddr::from([0, 0, 0, 0]),
        prefix_len: message.header.prefix_len,
        protocol: None,
        label: None,
        secondary: false,
        tentative: false,
    };
    // All the flags are in an attribute; the header has room for the first eight.
    let mut flags = AddressFlags::from_bits_retain(message.header.flags.bits().into());
    let mut local = None;
    let mut peer = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => local = Some(*ip),
            AddressAttribute::Address(ip) => peer = Some(*ip),
            AddressAttribute::Flags(all) => flags |= *all,
            AddressAttribute::Label(label) => installed.label = Some(label.clone()),
            AddressAttribute::Protocol(protocol) => {
                installed.protocol = Some(u8::from(*protocol)).filter(|protocol| *protocol != 0);
            }
            _ => {}
        }
    }
    installed.ip = local.or(peer)?;
    installed.secondary = installed.ip.is_ipv4() && flags.contains(AddressFlags::Secondary);
    installed.tentative = flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed);
    Some(installed)
}
