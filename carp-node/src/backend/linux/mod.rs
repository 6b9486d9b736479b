//! Linux: raw sockets, packet sockets, netlink.
//!
//! Needs `CAP_NET_RAW` and `CAP_NET_ADMIN` in the network namespace.

use std::io;

use crate::backend::{Backend, Port, Removals};
use crate::clock::BootClock;

mod alias;
mod announce;
mod batch;
mod changes;
mod device;
mod events;
mod filter;
mod ipv4;
mod ipv6;
mod joined;
mod names;
mod netlink;
mod pace;
mod packets;
mod programs;
mod removals;
mod requests;
mod settings;
mod sieve;
mod strays;
mod sys;
mod watch;

pub use alias::DeviceAlias;
pub use announce::NeighbourAnnouncer;
pub use netlink::NetlinkAddresses;
pub(crate) use netlink::address_message;
pub use packets::LinuxPackets;
#[cfg(feature = "lab")]
pub(crate) use requests::messages;
pub(crate) use sys::{
    bound_address, dropped, link_address, read, receive, register, register_for_reading,
    register_for_reading_and_errors, set_option, timestamp,
};
pub use watch::{NetlinkWatch, interfaces};

/// The host that we run on, in the network namespace of the calling thread.
#[derive(Clone, Copy, Debug, Default)]
pub struct Linux;

impl Backend for Linux {
    type Packets = LinuxPackets;
    type Addresses = NetlinkAddresses;
    type Announcer = NeighbourAnnouncer;
    type Links = NetlinkWatch;
    type Clock = BootClock;

    fn open(&mut self, port: &Port) -> io::Result<LinuxPackets> {
        LinuxPackets::open(port)
    }

    fn addresses(&mut self) -> io::Result<NetlinkAddresses> {
        NetlinkAddresses::open()
    }

    fn announcer(&mut self) -> io::Result<NeighbourAnnouncer> {
        NeighbourAnnouncer::open()
    }

    fn watch(&mut self, interfaces: &[String]) -> io::Result<NetlinkWatch> {
        NetlinkWatch::start(interfaces)
    }

    fn removals(&mut self) -> io::Result<Removals> {
        removals::start()
    }

    fn programs(&self) -> Option<fn() -> Vec<String>> {
        Some(programs::running)
    }

    fn clock(&mut self) -> io::Result<BootClock> {
        BootClock::new()
    }
}
