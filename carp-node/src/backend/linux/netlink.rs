//! The address table, by netlink.
//!
//! A blocking socket with a time limit, on the address thread: several requests leave in one
//! `send`, and the kernel's answers are taken in order. rtnetlink sends one request at a time and has
//! no setter for `IFA_PROTO`; it serves [watching](super::watch).

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use carp_proto::VirtualAddress;
use netlink_packet_core::{
    NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
    NetlinkPayload,
};
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use socket2::SockRef;

use super::names::InterfaceNames;
use crate::backend::{AddressTable, InstalledAddress, NewAddress, VirtualDevice};

/// The kernel answers at once, unless somebody holds its RTNL lock; then we had better give up.
const TIME_LIMIT: Duration = Duration::from_secs(2);

/// "For ever", as a lifetime.
const FOREVER: u32 = u32::MAX;

/// The address table of the network namespace in which it was opened.
#[derive(Debug)]
pub struct NetlinkAddresses {
    socket: Socket,
    names: InterfaceNames,
    sequence: u32,
    buffer: Vec<u8>,
}

impl NetlinkAddresses {
    /// Opens a netlink socket.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        // Kernels before 4.20 cannot filter dumps; what does not belong is left out here.
        let _ = socket.set_netlink_get_strict_chk(true);
        SockRef::from(&socket).set_read_timeout(Some(TIME_LIMIT))?;
        Ok(Self { socket, names: InterfaceNames::open()?, sequence: 0, buffer: Vec::new() })
    }

    /// `ip address add` and `ip address del`: one answer a request, in order.
    fn change(
        &mut self,
        requests: Vec<RouteNetlinkMessage>,
        flags: u16,
    ) -> io::Result<Vec<io::Result<()>>> {
        let first = self.send(requests, NLM_F_REQUEST | NLM_F_ACK | flags)?;
        let count = usize::try_from(self.sequence.wrapping_sub(first)).map_err(io::Error::other)?;
        let mut answers: Vec<Option<io::Result<()>>> = Vec::new();
        answers.resize_with(count, || None);
        while answers.iter().any(Option::is_none) {
            self.receive(|header, payload| {
                let place = header.sequence_number.wrapping_sub(first);
                let slot = usize::try_from(place).ok().and_then(|place| answers.get_mut(place));
                if let (Some(slot), NetlinkPayload::Error(error)) = (slot, payload) {
                    *slot = Some(if error.code.is_none() { Ok(()) } else { Err(error.to_io()) });
                }
                false
            })?;
        }
        Ok(answers.into_iter().flatten().collect())
    }

    /// `ip address show dev INTERFACE`.
    fn dump(&mut self, index: u32) -> io::Result<Vec<AddressMessage>> {
        let mut request = AddressMessage::default();
        request.header.index = index;
        let first =
            self.send(vec![RouteNetlinkMessage::GetAddress(request)], NLM_F_REQUEST | NLM_F_DUMP)?;
        let mut found = Vec::new();
        let mut outcome = None;
        while outcome.is_none() {
            self.receive(|header, payload| {
                if header.sequence_number != first {
                    return false;
                }
                match payload {
                    NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address))
                        if address.header.index == index =>
                    {
                        found.push(address);
                    }
                    NetlinkPayload::Done(_) => outcome = Some(Ok(())),
                    NetlinkPayload::Error(error) => outcome = Some(Err(error.to_io())),
                    _ => {}
                }
                outcome.is_some()
            })?;
        }
        outcome.unwrap_or(Ok(())).map(|()| found)
    }

    /// Sends requests in one datagram; returns the sequence number of the first.
    fn send(&mut self, requests: Vec<RouteNetlinkMessage>, flags: u16) -> io::Result<u32> {
        let first = self.sequence;
        self.buffer.clear();
        for request in requests {
            let mut header = NetlinkHeader::default();
            header.flags = flags;
            header.sequence_number = self.sequence;
            self.sequence = self.sequence.wrapping_add(1);
            let mut message = NetlinkMessage::new(header, NetlinkPayload::from(request));
            message.finalize();
            let start = self.buffer.len();
            self.buffer.resize(start + message.buffer_len(), 0);
            message.serialize(&mut self.buffer[start..]);
        }
        self.socket.send(&self.buffer, 0)?;
        Ok(first)
    }

    /// Receives one datagram and hands out its messages, until the taker has enough.
    fn receive(
        &self,
        mut take: impl FnMut(NetlinkHeader, NetlinkPayload<RouteNetlinkMessage>) -> bool,
    ) -> io::Result<()> {
        let (datagram, sender) = self.socket.recv_from_full().map_err(|error| {
            let late = error.kind() == io::ErrorKind::WouldBlock;
            if late {
                io::Error::new(io::ErrorKind::TimedOut, "netlink did not answer")
            } else {
                error
            }
        })?;
        // Only the kernel has port 0; any process may send to ours.
        if sender.port_number() != 0 {
            return Ok(());
        }
        let mut rest = &datagram[..];
        while !rest.is_empty() {
            let message = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            let len = usize::try_from(message.header.length).map_err(io::Error::other)?;
            let (header, payload) = message.into_parts();
            if take(header, payload) || len == 0 {
                return Ok(());
            }
            // Messages are aligned to four bytes.
            rest = rest.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        }
        Ok(())
    }
}

impl AddressTable for NetlinkAddresses {
    fn list(&mut self, interface: &str) -> io::Result<Vec<InstalledAddress>> {
        let index = self.names.index_of(interface)?;
        Ok(self.dump(index)?.iter().filter_map(installed).collect())
    }

    fn add(
        &mut self,
        interface: &str,
        addresses: &[NewAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        let index = self.names.index_of(interface)?;
        let requests = addresses
            .iter()
            .map(|new| RouteNetlinkMessage::NewAddress(new_address(index, new)))
            .collect();
        self.change(requests, NLM_F_CREATE | NLM_F_EXCL)
    }

    fn remove(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        let index = self.names.index_of(interface)?;
        let requests = addresses
            .iter()
            .map(|address| RouteNetlinkMessage::DelAddress(message(index, address)))
            .collect();
        self.change(requests, 0)
    }

    fn set_promote_secondaries(&mut self, interface: &str, promote: bool) -> io::Result<bool> {
        let path = format!("/proc/sys/net/ipv4/conf/{interface}/promote_secondaries");
        let before = std::fs::read_to_string(&path)?;
        std::fs::write(&path, if promote { "1" } else { "0" })?;
        Ok(before.trim() != "0")
    }

    fn make_device(&mut self, _: &VirtualDevice) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn switch_device(&mut self, _: &VirtualDevice, _: bool) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_device(&mut self, _: &VirtualDevice) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

fn message(index: u32, address: &VirtualAddress) -> AddressMessage {
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
    let mut message = message(index, &new.address);
    if let Some(protocol) = new.protocol {
        let protocol = AddressProtocol::from(protocol);
        message.attributes.push(AddressAttribute::Protocol(protocol));
    }
    if new.address.ip().is_ipv6() {
        message.header.flags |= AddressHeaderFlags::Nodad;
    }
    if let (Some(label), IpAddr::V4(_)) = (&new.label, new.address.ip()) {
        message.attributes.push(AddressAttribute::Label(label.clone()));
    }
    if new.address.is_host() {
        let mut lifetimes = CacheInfo::default();
        lifetimes.ifa_preferred = 0;
        lifetimes.ifa_valid = FOREVER;
        message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
    }
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
