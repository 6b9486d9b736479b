//! Why addresses could not be taken or given back.

use std::io;

use carp_proto::VirtualAddress;
use thiserror::Error;

/// Why addresses could not be taken or given back.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AddressFault {
    /// The operating system refused.
    #[error("{what} {address} on {interface}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// On which address.
        address: VirtualAddress,
        /// On which interface.
        interface: String,
        /// What it said.
        source: io::Error,
    },
    /// The addresses of an interface could not be read, or neighbours not told.
    #[error("{what} {interface}: {source}")]
    Interface {
        /// What was tried.
        what: &'static str,
        /// On which interface.
        interface: String,
        /// What the system said.
        source: io::Error,
    },
    /// A wide prefix whose subnet is not on the interface.
    #[error(
        "{address} is not installed: {interface} has no other address of that subnet; \
         write it without a prefix length, or give {interface} an address of its own there"
    )]
    NoSubnet {
        /// The address.
        address: VirtualAddress,
        /// The interface.
        interface: String,
    },
    /// An owner's address that the host does not have.
    #[error(
        "{interface} does not have {address}: with priority 255 this host owns the addresses, and \
         they are there before carp; add it, or take a priority from 1 to 254"
    )]
    NotOwned {
        /// The address.
        address: VirtualAddress,
        /// The interface.
        interface: String,
    },
}

impl AddressFault {
    /// `errno`, or 0.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self {
            Self::System { source, .. } | Self::Interface { source, .. } => {
                source.raw_os_error().unwrap_or(0)
            }
            Self::NoSubnet { .. } | Self::NotOwned { .. } => 0,
        }
    }
}

/// Whether an error says that what was to be removed is not there.
pub(super) fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(libc::ENODEV)
}

pub(super) fn interface_fault(
    what: &'static str,
    interface: &str,
    source: io::Error,
) -> AddressFault {
    AddressFault::Interface { what, interface: interface.to_owned(), source }
}

pub(super) fn system_fault(
    what: &'static str,
    address: VirtualAddress,
    interface: &str,
    source: io::Error,
) -> AddressFault {
    AddressFault::System { what, address, interface: interface.to_owned(), source }
}
