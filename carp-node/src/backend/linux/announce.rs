//! Gratuitous ARP through packet sockets.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;

use bytes::BytesMut;
use carp_proto::wire::arp::{Announcement, Form, emit_frame};
use socket2::Socket;

use super::netlink::interface_index;
use super::packets::sending_socket;
use super::sys;
use crate::backend::Announcer;

/// Announces addresses with the link-layer address that the interface has at that moment.
#[derive(Debug, Default)]
pub struct ArpAnnouncer {
    sockets: BTreeMap<String, OnInterface>,
    frame: BytesMut,
}

#[derive(Debug)]
struct OnInterface {
    index: u32,
    socket: Socket,
}

impl Announcer for ArpAnnouncer {
    fn announce(&mut self, interface: &str, addresses: &[IpAddr], burst: u8) -> io::Result<()> {
        let Self { sockets, frame } = self;
        let socket = socket_on(sockets, interface)?;
        // Where there are no link-layer addresses, there is nothing to tell.
        let Some(mac) = sys::bound_mac(socket.as_fd())? else { return Ok(()) };
        for round in 0..burst {
            let form = if round % 2 == 0 { Form::Request } else { Form::Reply };
            for address in addresses {
                let IpAddr::V4(address) = *address else {
                    return Err(io::Error::other("IPv6 addresses are not announced by ARP"));
                };
                frame.clear();
                emit_frame(Announcement { mac, address }, form, frame);
                socket.send(frame)?;
            }
        }
        Ok(())
    }
}

/// The socket on the interface that has this name now.
fn socket_on<'a>(
    sockets: &'a mut BTreeMap<String, OnInterface>,
    interface: &str,
) -> io::Result<&'a Socket> {
    let index = interface_index(interface)?;
    if sockets.get(interface).is_none_or(|known| known.index != index) {
        let socket = sending_socket(index)?;
        sockets.insert(interface.to_owned(), OnInterface { index, socket });
    }
    sockets.get(interface).map(|known| &known.socket).ok_or(io::ErrorKind::NotFound.into())
}
