//! Whether the addresses of an interface are still as they were: whoever renews a lease need not list them
//! then.
//!
//! The kernel queues its events before the change that they tell of has returned to who asked for it. So
//! what has not been told has not happened.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use socket2::SockRef;

use super::events::{ADDRESSES_IPV4, ADDRESSES_IPV6, LINKS, hear_no_renewals};
use super::names::InterfaceNames;
use super::netlink::installed;
use super::requests::messages;
use crate::backend::{Changes, Edition};

/// Room for events; the kernel doubles it. What does not fit is dropped, and that is told: everything may
/// have changed then. A backup reads none, and need not keep many.
const RECEIVE_BUFFER: usize = 32 << 10;

/// Room for one event. The kernel cuts a longer one, which is read as an event that cannot be.
const EVENT_LEN: usize = 8 << 10;

/// Follows the addresses of all interfaces of the network namespace in which it was opened.
#[derive(Debug)]
pub(super) struct Follower {
    socket: Socket,
    buffer: Vec<u8>,
    /// The indexes of interfaces that are called so, as long as nothing was told of them.
    indexes: BTreeMap<String, u32>,
    /// How often something was told of an interface, since it was asked for first.
    told: BTreeMap<u32, u64>,
    /// How often something was told of everything.
    overruns: u64,
    /// What was removed since that was asked for last, and from where.
    removed: Vec<(u32, IpAddr)>,
}

impl Follower {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
        hear_no_renewals(&socket)?;
        socket.bind(&SocketAddr::new(0, LINKS | ADDRESSES_IPV4 | ADDRESSES_IPV6))?;
        socket.set_non_blocking(true)?;
        Ok(Self {
            socket,
            buffer: Vec::with_capacity(EVENT_LEN),
            indexes: BTreeMap::new(),
            told: BTreeMap::new(),
            overruns: 0,
            removed: Vec::new(),
        })
    }

    /// What has happened to an interface of this name since that was asked last.
    pub(super) fn changes(
        &mut self,
        interface: &str,
        names: &InterfaceNames,
    ) -> io::Result<Changes> {
        self.read_all();
        let index = match self.indexes.get(interface) {
            Some(index) => *index,
            None => {
                let index = names.index_of(interface)?;
                self.indexes.insert(interface.to_owned(), index);
                index
            }
        };
        let told = *self.told.entry(index).or_default();
        let removed = std::mem::take(&mut self.removed).into_iter();
        Ok(Changes {
            edition: Some(Edition { interface: index, number: told.wrapping_add(self.overruns) }),
            removed: removed.filter(|(from, _)| *from == index).map(|(_, ip)| ip).collect(),
        })
    }

    /// The index of an interface, if nothing was told of it since it was found.
    pub(super) fn index_of(&self, interface: &str) -> Option<u32> {
        self.indexes.get(interface).copied()
    }

    /// Reads what has been told, to the end: only then does the kernel tell more after an overrun.
    fn read_all(&mut self) {
        loop {
            self.buffer.clear();
            match self.socket.recv_from(&mut self.buffer, 0) {
                Ok((_, sender)) if sender.port_number() == 0 => self.read_one(),
                // Only the kernel has port 0; any process with the privilege may send to ours.
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.note_overrun();
                    if error.raw_os_error() != Some(libc::ENOBUFS) {
                        return;
                    }
                }
            }
        }
    }

    fn read_one(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        for message in messages(&buffer) {
            match message {
                Ok(message) => self.note(message),
                Err(_) => self.note_overrun(),
            }
        }
        self.buffer = buffer;
    }

    fn note(&mut self, message: NetlinkMessage<RouteNetlinkMessage>) {
        match message.payload {
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => {
                self.note_told(address.header.index);
            }
            NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(address)) => {
                let index = address.header.index;
                self.note_told(index);
                self.removed.extend(installed(&address).map(|it| (index, it.ip)));
            }
            NetlinkPayload::InnerMessage(
                RouteNetlinkMessage::NewLink(link) | RouteNetlinkMessage::DelLink(link),
            ) => {
                self.note_told(link.header.index);
                self.indexes.retain(|_, index| *index != link.header.index);
            }
            _ => self.note_overrun(),
        }
    }

    fn note_told(&mut self, index: u32) {
        if let Some(told) = self.told.get_mut(&index) {
            *told = told.wrapping_add(1);
        }
    }

    /// Something was told that is not known.
    fn note_overrun(&mut self) {
        self.overruns = self.overruns.wrapping_add(1);
        self.indexes.clear();
    }
}
