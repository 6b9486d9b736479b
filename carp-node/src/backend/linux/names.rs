//! From the name of an interface to its index.

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// Knows the interfaces of the network namespace in which it was opened. It holds a socket: a takeover
/// has no time to open one.
#[derive(Debug)]
pub(super) struct InterfaceNames {
    socket: OwnedFd,
}

impl InterfaceNames {
    pub(super) fn open() -> io::Result<Self> {
        let (family, kind) = (AddressFamily::UNIX, SocketType::DGRAM);
        Ok(Self { socket: socket_with(family, kind, SocketFlags::CLOEXEC, None)? })
    }

    /// The index of the interface that has this name now.
    pub(super) fn index_of(&self, name: &str) -> io::Result<u32> {
        name_to_index(&self.socket, name).map_err(|error| match error {
            Errno::NODEV => {
                io::Error::new(io::ErrorKind::NotFound, format!("there is no interface {name}"))
            }
            error => error.into(),
        })
    }
}
