//! Gratuitous ARP through packet sockets.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use bytes::BytesMut;
use carp_proto::MacAddr;
use carp_proto::wire::arp::{Announcement, FRAME_LEN, Form, emit_frame};
use socket2::Socket;

use super::names::InterfaceNames;
use super::packets::sending_socket;
use super::sys;
use crate::backend::Announcer;

/// Announces addresses with the link-layer address that the interface has at that moment.
#[derive(Debug)]
pub struct ArpAnnouncer {
    names: InterfaceNames,
    sockets: BTreeMap<String, OnInterface>,
    frame: BytesMut,
}

#[derive(Debug)]
struct OnInterface {
    index: u32,
    socket: Socket,
}

impl ArpAnnouncer {
    /// An announcer for the network namespace of the calling thread.
    ///
    /// # Errors
    /// What the kernel says to a new socket.
    pub fn open() -> io::Result<Self> {
        let (sockets, frame) = (BTreeMap::new(), BytesMut::with_capacity(FRAME_LEN));
        Ok(Self { names: InterfaceNames::open()?, sockets, frame })
    }

    /// Opens a socket on the interface that has this name now, unless there is one.
    fn ensure_socket(&mut self, interface: &str) -> io::Result<()> {
        let index = self.names.index_of(interface)?;
        if self.sockets.get(interface).is_none_or(|known| known.index != index) {
            let socket = sending_socket(index)?;
            self.sockets.insert(interface.to_owned(), OnInterface { index, socket });
        }
        Ok(())
    }
}

impl Announcer for ArpAnnouncer {
    fn prepare(&mut self, interface: &str) -> io::Result<()> {
        self.ensure_socket(interface)
    }

    fn announce(
        &mut self,
        interface: &str,
        mac: Option<MacAddr>,
        addresses: &[IpAddr],
        burst: u8,
    ) -> io::Result<()> {
        self.ensure_socket(interface)?;
        let Some(OnInterface { socket, .. }) = self.sockets.get(interface) else {
            return Err(io::ErrorKind::NotFound.into());
        };
        // Where there are no link-layer addresses, there is nothing to tell.
        let Some(own) = sys::bound_mac(socket.as_fd())? else { return Ok(()) };
        let mac = mac.unwrap_or(own);
        for round in 0..burst {
            let form = if round % 2 == 0 { Form::Request } else { Form::Reply };
            for address in addresses {
                let IpAddr::V4(address) = *address else {
                    return Err(io::Error::other("IPv6 addresses are not announced by ARP"));
                };
                self.frame.clear();
                emit_frame(Announcement { mac, address }, form, &mut self.frame);
                socket.send(&self.frame)?;
            }
        }
        Ok(())
    }
}
