//! Taking addresses and giving them back: the rules, and the thread that follows them.
//!
//! Address changes can wait for seconds on a lock inside the kernel. They happen on a thread of their
//! own, in the order in which they were asked for, and what became of them is reported back. The
//! rules are few:
//!
//! - An address that we add is **marked**: `IFA_PROTO` 112. A kernel before 5.18 does not keep the
//!   mark; it gets the label `INTERFACE:carp` instead, and a line in the [record](Record).
//! - An address that is there without the mark is **foreign**: it is used and announced, and never
//!   removed.
//! - Adding is exclusive. Removing what is gone is a success.
//! - An address with a wide prefix is not installed while the interface has no other address of that
//!   subnet: it would become the subnet's primary address, and bring a route with it.
//! - Removing an address never takes another one along: see [`AddressKeeper::release`].
//! - The addresses of an **owner** are the host's own: they are announced, and never added or removed.
//! - Addresses that we add are **[leased](lease)**, if their place says so: the kernel drops them when
//!   nobody renews them.
//! - Addresses at a virtual link-layer address live on a **device** of their own, which is on only while
//!   they are there, so that a backup takes no frame for it (RFC 9568 section 6.4.2).

mod ask;
pub mod lease;
mod pace;
mod patience;
mod place;
mod record;
mod thread;

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;

use carp_proto::{MAX_PEERS, Protocol, VirtualAddress};
use thiserror::Error;

pub use self::lease::Lease;
use self::patience::{each_patiently, patiently};
pub use self::place::Place;
pub use self::record::Record;
pub(crate) use self::thread::{AddressThread, Job, Report, Task};
use crate::backend::{AddressTable, Announcer, InstalledAddress, NewAddress, same_subnet};

/// `IFA_PROTO` of our addresses: the number of the IP protocol that they are elected by.
pub const MARK: u8 = Protocol::IP_PROTOCOL;

/// The longest interface label, without its final NUL.
const LABEL_MAX: usize = 15;

/// Why addresses could not be taken or given back.
#[derive(Debug, Error)]
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

/// Hosts that are asked for their own addresses: other routers.
pub type Hosts = [Option<IpAddr>; MAX_PEERS];

/// What is known of addresses before they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// None of them was on the interface a moment ago: there is no need to look again, and a takeover is
    /// in a hurry.
    Absent,
    /// Nothing.
    Unknown,
}

/// Takes addresses and gives them back.
#[derive(Debug)]
pub struct AddressKeeper<T, A> {
    table: T,
    announcer: A,
    record: Record,
    /// Whether the kernel keeps the mark; unknown until one was read back.
    keeps_mark: Option<bool>,
    /// Interfaces on which the kernel has refused lifetimes.
    refusing: BTreeSet<String>,
}

impl<T: AddressTable, A: Announcer> AddressKeeper<T, A> {
    /// A keeper over a table. `record` is where it notes what a kernel without marks would forget.
    pub fn new(table: T, announcer: A, record: Record) -> Self {
        Self { table, announcer, record, keeps_mark: None, refusing: BTreeSet::new() }
    }

    /// Makes ready what a takeover needs there, so that it takes less time.
    ///
    /// # Errors
    /// [`AddressFault::Interface`]. A takeover tries again.
    pub fn prepare(&mut self, place: &Place) -> Result<(), AddressFault> {
        if let Some(device) = &place.device {
            self.table
                .make_device(device)
                .map_err(|source| interface_fault("cannot make", &device.name, source))?;
        }
        let interface = &place.announced_on;
        self.announcer
            .prepare(interface)
            .map_err(|source| interface_fault("cannot announce on", interface, source))
    }

    /// Takes addresses and announces each `burst` times. Those that are there already, ours or
    /// foreign, are only announced.
    ///
    /// # Errors
    /// [`AddressFault`]; what had been added by this call is removed again.
    pub fn acquire(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
        presence: Presence,
        burst: u8,
    ) -> Result<(), AddressFault> {
        let interface = &place.interface;
        if place.owned {
            self.check_owned(interface, addresses)?;
            return self.announce(place, addresses, burst);
        }
        self.switch_on(place)?;
        let missing = match presence {
            // Should one have come in this moment, adding it says so.
            Presence::Absent if addresses.iter().all(|address| address.is_host()) => {
                addresses.to_vec()
            }
            Presence::Absent | Presence::Unknown => self.missing(interface, addresses)?,
        };
        let added = self.add(place, &missing)?;
        // Clients wait for this.
        self.announce(place, addresses, burst)?;
        if self.learn_of_marks(place, &added)? {
            self.announce(place, addresses, burst)?;
        }
        Ok(())
    }

    fn check_owned(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> Result<(), AddressFault> {
        let installed = self.list(interface)?;
        match addresses.iter().find(|address| find(&installed, address.ip()).is_none()) {
            None => Ok(()),
            Some(&address) => {
                Err(AddressFault::NotOwned { address, interface: interface.to_owned() })
            }
        }
    }

    /// Switches the device of a place on, if it has one. One that is gone is made again.
    fn switch_on(&mut self, place: &Place) -> Result<(), AddressFault> {
        let Some(device) = &place.device else { return Ok(()) };
        let switched = match self.table.switch_device(device, true) {
            Err(error) if is_gone(&error) => {
                self.prepare(place)?;
                self.table.switch_device(device, true)
            }
            outcome => outcome,
        };
        switched.map_err(|source| interface_fault("cannot switch on", &device.name, source))
    }

    /// Removes what [`prepare`](Self::prepare) made. Addresses that are still there go with it.
    ///
    /// # Errors
    /// [`AddressFault::Interface`].
    pub fn dismantle(&mut self, place: &Place) -> Result<(), AddressFault> {
        let Some(device) = &place.device else { return Ok(()) };
        let removed = self.table.remove_device(device).map(drop);
        removed.map_err(|source| interface_fault("cannot remove", &device.name, source))
    }

    /// Which of these are not on the interface, and can be added to it.
    fn missing(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> Result<Vec<VirtualAddress>, AddressFault> {
        let installed = self.list(interface)?;
        let is_missing = |address: &&VirtualAddress| find(&installed, address.ip()).is_none();
        let missing: Vec<_> = addresses.iter().filter(is_missing).copied().collect();
        for address in &missing {
            if !address.is_host() && !has_subnet(&installed, address) {
                let (address, interface) = (*address, interface.to_owned());
                return Err(AddressFault::NoSubnet { address, interface });
            }
        }
        Ok(missing)
    }

    /// Announces each address `burst` times.
    ///
    /// # Errors
    /// [`AddressFault::Interface`].
    pub fn announce(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
        burst: u8,
    ) -> Result<(), AddressFault> {
        let ips: Vec<IpAddr> = addresses.iter().map(|address| address.ip()).collect();
        let interface = &place.announced_on;
        self.announcer
            .announce(interface, place.mac, &ips, burst)
            .map_err(|source| interface_fault("cannot announce on", interface, source))
    }

    /// Gives back those of these addresses that are ours, and says which it removed.
    ///
    /// Removing the primary address of a subnet would take its secondary addresses along, unless
    /// `promote_secondaries` is set; it is set for that moment then, and what went all the same is put
    /// back.
    ///
    /// # Errors
    /// [`AddressFault`]. An interface that is gone has no address left to remove.
    pub fn release(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
    ) -> Result<Vec<VirtualAddress>, AddressFault> {
        if place.owned {
            return Ok(Vec::new());
        }
        let astray = self.table.remove_strays(&place.interface, addresses).map_err(|source| {
            interface_fault("cannot remove addresses that were on", &place.interface, source)
        });
        let released = self.give_back(&place.interface, addresses);
        let released = astray.and_then(|mut astray| {
            astray.extend(released?);
            Ok(astray)
        });
        let Some(device) = &place.device else { return released };
        match self.table.switch_device(device, false) {
            Err(source) if released.is_ok() && !is_gone(&source) => {
                Err(interface_fault("cannot switch off", &device.name, source))
            }
            Ok(()) | Err(_) => released,
        }
    }

    fn give_back(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> Result<Vec<VirtualAddress>, AddressFault> {
        let installed = match self.list(interface) {
            Ok(installed) => installed,
            Err(AddressFault::Interface { source, .. }) if is_gone(&source) => return Ok(vec![]),
            Err(fault) => return Err(fault),
        };
        let ours: Vec<_> = addresses
            .iter()
            .filter(|address| {
                find(&installed, address.ip()).is_some_and(|found| {
                    found.prefix_len == address.prefix_len() && self.is_ours(interface, found)
                })
            })
            .copied()
            .collect();
        if ours.is_empty() {
            return Ok(ours);
        }
        let dependents = dependents(&installed, &ours);
        let promoted = !dependents.is_empty()
            && matches!(self.table.set_promote_secondaries(interface, true), Ok(false));
        let removed = self.remove(interface, &ours);
        self.restore(interface, &dependents)?;
        if promoted {
            // Best effort: the setting was wrong for this interface before, and is now again.
            let _ = self.table.set_promote_secondaries(interface, false);
        }
        removed.map(|()| ours)
    }

    /// Whether one of these addresses is not on the interface.
    ///
    /// # Errors
    /// [`AddressFault::Interface`].
    pub fn is_missing(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
    ) -> Result<bool, AddressFault> {
        let installed = match self.list(&place.interface) {
            Err(AddressFault::Interface { source, .. }) if is_gone(&source) => return Ok(true),
            outcome => outcome?,
        };
        Ok(addresses.iter().any(|address| find(&installed, address.ip()).is_none()))
    }

    /// Those of these addresses that are on the interface, and that we have not added.
    ///
    /// # Errors
    /// [`AddressFault::Interface`].
    pub fn strange(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
    ) -> Result<Vec<InstalledAddress>, AddressFault> {
        let mut installed = match self.list(&place.interface) {
            Err(AddressFault::Interface { source, .. }) if is_gone(&source) => return Ok(vec![]),
            outcome => outcome?,
        };
        installed.retain(|found| {
            addresses.iter().any(|address| address.ip() == found.ip)
                && !self.is_ours(&place.interface, found)
        });
        Ok(installed)
    }

    fn list(&mut self, interface: &str) -> Result<Vec<InstalledAddress>, AddressFault> {
        patiently(|| self.table.list(interface))
            .map_err(|source| interface_fault("cannot read the addresses of", interface, source))
    }

    /// Whether we have added an address: it has our mark, or nobody's mark and our label, or where a label
    /// does not fit, a line in the record.
    fn is_ours(&self, interface: &str, address: &InstalledAddress) -> bool {
        match (address.protocol, label(interface).filter(|_| address.ip.is_ipv4())) {
            (Some(mark), _) => mark == MARK,
            (None, Some(label)) => address.label.as_ref() == Some(&label),
            (None, None) => self.record.contains(interface, address.ip),
        }
    }

    /// Adds addresses in the way that the kernel needs. Returns those that were not there.
    fn add(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
    ) -> Result<Vec<VirtualAddress>, AddressFault> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        if self.keeps_mark == Some(false) {
            return self.add_recorded(place, addresses);
        }
        let lifetime = self.lifetime(place);
        let marked = |address: &VirtualAddress| NewAddress {
            address: *address,
            protocol: Some(MARK),
            label: None,
            lifetime,
        };
        self.add_all(&place.interface, addresses.iter().map(marked).collect())
    }

    /// Finds out, once, whether the kernel has kept the mark of these addresses, and adds them again in
    /// the other way if not. Returns whether it had to.
    fn learn_of_marks(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
    ) -> Result<bool, AddressFault> {
        let interface = &place.interface;
        if self.keeps_mark.is_some() || addresses.is_empty() {
            return Ok(false);
        }
        let installed = self.list(interface)?;
        let found = addresses.iter().filter_map(|address| find(&installed, address.ip()));
        let marks: Vec<bool> = found.map(|found| found.protocol == Some(MARK)).collect();
        if marks.is_empty() {
            // Somebody has removed them already, which says nothing about marks.
            return Ok(false);
        }
        let kept = marks.into_iter().all(|kept| kept);
        self.keeps_mark = Some(kept);
        if kept {
            return Ok(false);
        }
        self.remove(interface, addresses)?;
        self.add_recorded(place, addresses).map(|_| true)
    }

    /// Adds where the kernel forgets who did it.
    fn add_recorded(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
    ) -> Result<Vec<VirtualAddress>, AddressFault> {
        let (interface, lifetime) = (&place.interface, self.lifetime(place));
        self.record.insert(interface, addresses);
        let labelled = |address: &VirtualAddress| NewAddress {
            address: *address,
            protocol: None,
            label: label(interface).filter(|_| address.ip().is_ipv4()),
            lifetime,
        };
        self.add_all(interface, addresses.iter().map(labelled).collect())
    }

    fn add_all(
        &mut self,
        interface: &str,
        mut new: Vec<NewAddress>,
    ) -> Result<Vec<VirtualAddress>, AddressFault> {
        let results = self
            .put(interface, &mut new)
            .map_err(|source| interface_fault("cannot add addresses to", interface, source))?;
        let mut added = Vec::new();
        let mut fault = None;
        for (NewAddress { address, .. }, result) in new.into_iter().zip(results) {
            match result {
                Ok(()) => added.push(address),
                // Somebody was faster: foreign from now on.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => fault = Some(system_fault("cannot add", address, interface, source)),
            }
        }
        let Some(fault) = fault else { return Ok(added) };
        // What is told is why they could not be taken, not what else went wrong on the way back.
        let _ = self.remove(interface, &added);
        Err(fault)
    }

    fn remove(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> Result<(), AddressFault> {
        let results = each_patiently(addresses, |these| self.table.remove(interface, these))
            .map_err(|source| interface_fault("cannot remove addresses of", interface, source))?;
        let mut outcome = Ok(());
        for (address, result) in addresses.iter().zip(results) {
            match result {
                Err(source) if !is_gone(&source) => {
                    outcome = Err(system_fault("cannot remove", *address, interface, source));
                }
                Ok(()) | Err(_) => self.record.remove(interface, address.ip()),
            }
        }
        outcome
    }

    /// Puts back what went with an address that was removed.
    fn restore(
        &mut self,
        interface: &str,
        dependents: &[InstalledAddress],
    ) -> Result<(), AddressFault> {
        if dependents.is_empty() {
            return Ok(());
        }
        let installed = self.list(interface)?;
        let lost = dependents.iter().filter(|address| find(&installed, address.ip).is_none());
        let again = lost.filter_map(|lost| {
            let address = VirtualAddress::new(lost.ip, Some(lost.prefix_len)).ok()?;
            let (protocol, label) = (lost.protocol, lost.label.clone());
            Some(NewAddress { address, protocol, label, lifetime: None })
        });
        self.add_all(interface, again.collect()).map(|_| ())
    }
}

fn find(installed: &[InstalledAddress], ip: IpAddr) -> Option<&InstalledAddress> {
    installed.iter().find(|found| found.ip == ip)
}

/// Whether another address shares the subnet of this one.
fn has_subnet(installed: &[InstalledAddress], address: &VirtualAddress) -> bool {
    installed.iter().any(|other| {
        other.prefix_len == address.prefix_len()
            && same_subnet(other.ip, address.ip(), address.prefix_len())
    })
}

/// The secondary addresses that may go when these are removed.
fn dependents(installed: &[InstalledAddress], removed: &[VirtualAddress]) -> Vec<InstalledAddress> {
    let hangs_on = |address: &VirtualAddress, other: &InstalledAddress| {
        other.secondary
            && other.prefix_len == address.prefix_len()
            && same_subnet(other.ip, address.ip(), address.prefix_len())
    };
    let is_primary = |address: &&VirtualAddress| {
        find(installed, address.ip()).is_some_and(|found| !found.secondary)
    };
    installed
        .iter()
        .filter(|other| !removed.iter().any(|address| address.ip() == other.ip))
        .filter(|other| removed.iter().filter(is_primary).any(|address| hangs_on(address, other)))
        .cloned()
        .collect()
}

/// The label of our addresses, where it fits.
fn label(interface: &str) -> Option<String> {
    Some(format!("{interface}:carp")).filter(|label| label.len() <= LABEL_MAX)
}

/// Whether an error says that what was to be removed is not there.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(libc::ENODEV)
}

fn interface_fault(what: &'static str, interface: &str, source: io::Error) -> AddressFault {
    AddressFault::Interface { what, interface: interface.to_owned(), source }
}

fn system_fault(
    what: &'static str,
    address: VirtualAddress,
    interface: &str,
    source: io::Error,
) -> AddressFault {
    AddressFault::System { what, address, interface: interface.to_owned(), source }
}
