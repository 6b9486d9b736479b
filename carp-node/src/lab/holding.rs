//! Watching who has which address, and from when to when.

use std::io;
use std::net::IpAddr;
use std::ops::Range;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use netlink_packet_core::{NetlinkMessage, NetlinkPayload};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use socket2::SockRef;

use super::LabError;
use super::error::Doing;
use super::net::{NetNs, attribute_ip};
use super::process::lock;
use crate::backend::linux::messages;

/// `RTMGRP_IPV4_IFADDR` and `RTMGRP_IPV6_IFADDR`.
const ADDRESS_GROUPS: u32 = 0x10 | 0x100;

/// Room in the socket for bursts, in bytes.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Keeps every address that comes to a host or leaves it, as the kernel tells it.
#[derive(Debug)]
pub struct AddressWatch {
    told: Arc<Mutex<Told>>,
    end: Arc<OwnedFd>,
    watcher: Option<JoinHandle<()>>,
}

/// What the kernel has told.
#[derive(Debug, Default)]
struct Told {
    changes: Vec<AddressChange>,
    /// When it told of an address that it was where it had been.
    again: Vec<(IpAddr, Instant)>,
}

/// An address that came or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressChange {
    /// When the watcher was told, which on a busy machine may be milliseconds after it happened.
    pub at: Instant,
    /// The index of the interface.
    pub interface: u32,
    /// The address.
    pub ip: IpAddr,
    /// Whether it is there now.
    pub there: bool,
}

/// A time for which an address was on a host. `to` is `None` if it still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// When it came.
    pub from: Instant,
    /// When it left.
    pub to: Option<Instant>,
}

impl AddressWatch {
    /// Watches the interfaces of a namespace. What is there already is not told.
    pub(super) fn open(namespace: &NetNs) -> Result<Self, LabError> {
        let open = || -> io::Result<Self> {
            let socket = namespace.run(socket)??;
            let end = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
            let told = Arc::<Mutex<Told>>::default();
            let (sink, ending) = (Arc::clone(&told), Arc::clone(&end));
            let watch = move || while watch_once(&socket, &ending, &sink).is_ok() {};
            let watcher = thread::Builder::new().name("lab-addresses".into()).spawn(watch)?;
            Ok(Self { told, end, watcher: Some(watcher) })
        };
        open().doing(|| "watch addresses".into())
    }

    /// All changes so far, in their order.
    #[must_use]
    pub fn changes(&self) -> Vec<AddressChange> {
        lock(&self.told).changes.clone()
    }

    /// How often the kernel told of an address, in a time, that it was where it had been: its lease was
    /// renewed.
    #[must_use]
    pub fn renewals(&self, ip: IpAddr, time: Range<Instant>) -> usize {
        let is_it = |(told, at): &&(IpAddr, Instant)| *told == ip && time.contains(at);
        lock(&self.told).again.iter().filter(is_it).count()
    }

    /// The times for which the host had an address, of those that began since the watch did.
    #[must_use]
    pub fn holdings(&self, ip: IpAddr) -> Vec<Holding> {
        let mut holdings: Vec<Holding> = Vec::new();
        for change in lock(&self.told).changes.iter().filter(|change| change.ip == ip) {
            let last = holdings.last_mut().filter(|last| last.to.is_none());
            match (last, change.there) {
                (None, true) => holdings.push(Holding { from: change.at, to: None }),
                (Some(last), false) => last.to = Some(change.at),
                (Some(_), true) | (None, false) => {}
            }
        }
        holdings
    }

    /// When an address first left the host since then.
    #[must_use]
    pub fn left(&self, ip: IpAddr, since: Instant) -> Option<Instant> {
        self.first(ip, since, false)
    }

    /// When an address first came to the host since then.
    #[must_use]
    pub fn came(&self, ip: IpAddr, since: Instant) -> Option<Instant> {
        self.first(ip, since, true)
    }

    /// Whether the host has an address, by what was told since the watch began: what the kernel did a
    /// moment ago may not have been told yet. Of an address that never came nor left, it is `None`.
    #[must_use]
    pub fn has(&self, ip: IpAddr) -> Option<bool> {
        let told = lock(&self.told);
        told.changes.iter().rfind(|change| change.ip == ip).map(|change| change.there)
    }

    fn first(&self, ip: IpAddr, since: Instant, there: bool) -> Option<Instant> {
        let is_it = |change: &&AddressChange| {
            change.at >= since && change.ip == ip && change.there == there
        };
        lock(&self.told).changes.iter().find(is_it).map(|change| change.at)
    }
}

impl Drop for AddressWatch {
    fn drop(&mut self) {
        // A failure could only mean that the watcher has ended.
        let _ = rustix::io::write(&self.end, &1_u64.to_ne_bytes());
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

fn socket() -> io::Result<Socket> {
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER)?;
    socket.bind(&SocketAddr::new(0, ADDRESS_GROUPS))?;
    socket.set_non_blocking(true)?;
    Ok(socket)
}

/// Waits for news, and keeps them. An error is the end.
fn watch_once(socket: &Socket, end: &OwnedFd, sink: &Mutex<Told>) -> io::Result<()> {
    let mut ready =
        [PollFd::new(socket, PollFlags::IN), PollFd::from_borrowed_fd(end.as_fd(), PollFlags::IN)];
    poll(&mut ready, None)?;
    if !ready[1].revents().is_empty() {
        return Err(io::ErrorKind::Interrupted.into());
    }
    let (bytes, _) = socket.recv_from_full()?;
    let at = Instant::now();
    let mut told = lock(sink);
    for change in messages(&bytes).flatten().filter_map(|message| change(message, at)) {
        if !is_known(&told.changes, &change) {
            told.changes.push(change);
        } else if change.there {
            told.again.push((change.ip, at));
        }
    }
    Ok(())
}

/// Whether an address is told to be where it is already: its lifetime was renewed, for example.
fn is_known(changes: &[AddressChange], change: &AddressChange) -> bool {
    let is_its =
        |known: &&AddressChange| (known.interface, known.ip) == (change.interface, change.ip);
    changes.iter().rev().find(is_its).is_some_and(|last| last.there == change.there)
}

fn change(message: NetlinkMessage<RouteNetlinkMessage>, at: Instant) -> Option<AddressChange> {
    let (address, there) = match message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewAddress(address)) => (address, true),
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::DelAddress(address)) => (address, false),
        _ => return None,
    };
    let ip = attribute_ip(&address.attributes)?;
    Some(AddressChange { at, interface: address.header.index, ip, there })
}
