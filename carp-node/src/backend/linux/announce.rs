//! Gratuitous ARP and unsolicited neighbour advertisements, and questions, through packet sockets.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;

use bytes::BytesMut;
use carp_proto::MacAddr;
use carp_proto::wire::{arp, ndp};
use socket2::Socket;

use super::names::InterfaceNames;
use super::packets::sending_socket;
use super::sys;
use crate::backend::Announcer;

/// Announces addresses, by default at the link-layer address that the interface has at that moment.
#[derive(Debug)]
pub struct NeighbourAnnouncer {
    names: InterfaceNames,
    interfaces: BTreeMap<String, OnInterface>,
    frame: BytesMut,
}

#[derive(Debug)]
struct OnInterface {
    index: u32,
    socket: Socket,
    /// Whether the host forwards what it receives there, to be read when it matters: opening takes
    /// longer. `None` without IPv6.
    forwarding: Option<File>,
}

impl NeighbourAnnouncer {
    /// An announcer for the network namespace of the calling thread.
    ///
    /// # Errors
    /// What the kernel says to a new socket.
    pub fn open() -> io::Result<Self> {
        let (interfaces, frame) = (BTreeMap::new(), BytesMut::with_capacity(ndp::FRAME_LEN));
        Ok(Self { names: InterfaceNames::open()?, interfaces, frame })
    }

    /// Opens a socket on the interface that has this name now, unless there is one.
    fn ensure_open(&mut self, interface: &str) -> io::Result<()> {
        let index = self.names.index_of(interface)?;
        if self.interfaces.get(interface).is_none_or(|known| known.index != index) {
            self.interfaces.insert(interface.to_owned(), OnInterface::open(interface, index)?);
        }
        Ok(())
    }
}

impl Announcer for NeighbourAnnouncer {
    fn prepare(&mut self, interface: &str) -> io::Result<()> {
        self.ensure_open(interface)
    }

    fn announce(
        &mut self,
        interface: &str,
        mac: Option<MacAddr>,
        addresses: &[IpAddr],
        burst: u8,
    ) -> io::Result<()> {
        self.ensure_open(interface)?;
        let Some(on) = self.interfaces.get(interface) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        // Where there are no link-layer addresses, there is nothing to tell.
        let Some(own) = sys::bound_mac(on.socket.as_fd())? else { return Ok(()) };
        let mac = mac.unwrap_or(own);
        let router = addresses.iter().any(IpAddr::is_ipv6) && on.forwards();
        for round in 0..burst {
            let form = if round % 2 == 0 { arp::Form::Request } else { arp::Form::Reply };
            for address in addresses {
                self.frame.clear();
                match *address {
                    IpAddr::V4(address) => {
                        arp::emit_frame(arp::Announcement { mac, address }, form, &mut self.frame);
                    }
                    IpAddr::V6(address) => {
                        let said = ndp::Announcement { mac, address, router, overrides: true };
                        ndp::emit_frame(said, &mut self.frame);
                    }
                }
                on.socket.send(&self.frame)?;
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        interface: &str,
        from: Option<(IpAddr, Option<MacAddr>)>,
        addresses: &[IpAddr],
    ) -> io::Result<()> {
        self.ensure_open(interface)?;
        let Some(on) = self.interfaces.get(interface) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let Some(own) = sys::bound_mac(on.socket.as_fd())? else { return Ok(()) };
        let mac = from.and_then(|(_, mac)| mac).unwrap_or(own);
        for address in addresses {
            let from = from.map(|(ip, _)| ip);
            if question(mac, from, *address, &mut self.frame) {
                on.socket.send(&self.frame)?;
            }
        }
        Ok(())
    }
}

/// Writes the question for an address. Returns whether it can be asked from the other one.
fn question(mac: MacAddr, from: Option<IpAddr>, address: IpAddr, frame: &mut BytesMut) -> bool {
    frame.clear();
    match (from, address) {
        (None, IpAddr::V4(target)) => arp::emit_question_frame(mac, None, target, frame),
        (None, IpAddr::V6(target)) => ndp::emit_probe_frame(mac, target, frame),
        (Some(IpAddr::V4(from)), IpAddr::V4(target)) => {
            arp::emit_question_frame(mac, Some(from), target, frame);
        }
        (Some(IpAddr::V6(from)), IpAddr::V6(target)) => {
            ndp::emit_question_frame(mac, from, target, frame);
        }
        (Some(IpAddr::V4(_)), IpAddr::V6(_)) | (Some(IpAddr::V6(_)), IpAddr::V4(_)) => {
            return false;
        }
    }
    true
}

impl OnInterface {
    fn open(interface: &str, index: u32) -> io::Result<Self> {
        let path = format!("/proc/sys/net/ipv6/conf/{interface}/forwarding");
        Ok(Self { index, socket: sending_socket(index)?, forwarding: File::open(path).ok() })
    }

    /// Whether the host is a router there. The kernel says the same when it is asked for an address.
    fn forwards(&self) -> bool {
        let mut value = [b'0'];
        let read = self.forwarding.as_ref().map(|file| file.read_at(&mut value, 0));
        matches!(read, Some(Ok(1))) && value != *b"0"
    }
}
