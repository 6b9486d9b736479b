//! One daemon a router.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use carp_proto::{Protocol, VirtualId};
use thiserror::Error;

/// The right to run the router with this protocol and id on this interface of this network
/// namespace. It ends with the value, or with the process.
///
/// The lock is the name of an abstract socket: such names belong to a network namespace, as routers
/// do, and the kernel forgets them with the process.
#[derive(Debug)]
pub struct RouterLock {
    _socket: UnixDatagram,
}

impl RouterLock {
    /// Takes the lock.
    ///
    /// # Errors
    /// [`LockError::Taken`] if somebody has it.
    pub fn take(interface: &str, protocol: Protocol, id: VirtualId) -> Result<Self, LockError> {
        let name = format!("carp/{interface}/{protocol}/{id}");
        let taken = || LockError::Taken { interface: interface.to_owned(), protocol, id };
        let address = SocketAddr::from_abstract_name(name)?;
        match UnixDatagram::bind_addr(&address) {
            Ok(socket) => Ok(Self { _socket: socket }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(taken()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Why a lock could not be taken.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process runs this router.
    #[error(
        "another daemon already runs {protocol} id {id} on {interface}: stop it, or choose another id"
    )]
    Taken {
        /// The interface.
        interface: String,
        /// The protocol.
        protocol: Protocol,
        /// The id.
        id: VirtualId,
    },
    /// The operating system refused for another reason.
    #[error("cannot take the lock of a router: {0}")]
    System(#[from] io::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_runs_once_and_again_after_it_ended() {
        let id = VirtualId::new(254).unwrap();
        let lock = RouterLock::take("test0", Protocol::Carp, id).unwrap();
        let error = RouterLock::take("test0", Protocol::Carp, id).unwrap_err();
        assert!(error.to_string().contains("already runs carp id 254 on test0"), "{error}");
        RouterLock::take("test0", Protocol::Vrrp3, id).unwrap();
        RouterLock::take("test1", Protocol::Carp, id).unwrap();
        drop(lock);
        RouterLock::take("test0", Protocol::Carp, id).unwrap();
    }
}
