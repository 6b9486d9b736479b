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
mod fault;
mod installed;
pub mod lease;
mod mark;
mod pace;
mod patience;
mod place;
mod record;
mod thread;

use std::collections::BTreeSet;
use std::net::IpAddr;

use carp_proto::{MAX_PEERS, VirtualAddress};

pub use self::fault::AddressFault;
use self::fault::{interface_fault, is_gone, system_fault};
use self::installed::{dependents, find, has_subnet};
pub use self::lease::Lease;
use self::lease::Standing;
pub use self::mark::MARK;
use self::patience::{each_patiently, patiently};
pub use self::place::Place;
pub use self::record::Record;
pub(crate) use self::thread::{AddressThread, Job, Report, Task};
use crate::backend::{AddressTable, Announcer, InstalledAddress, NewAddress};

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
    /// The renewals of late.
    standing: Vec<Standing>,
}

impl<T: AddressTable, A: Announcer> AddressKeeper<T, A> {
    /// A keeper over a table. `record` is where it notes what a kernel without marks would forget.
    pub fn new(table: T, announcer: A, record: Record) -> Self {
        Self {
            table,
            announcer,
            record,
            keeps_mark: None,
            refusing: BTreeSet::new(),
            standing: Vec::new(),
        }
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
        self.forget(addresses);
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
        let installed = self.list_if_there(interface)?.unwrap_or_default();
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
        let installed = self.list_if_there(&place.interface)?.unwrap_or_default();
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
        let mut installed = self.list_if_there(&place.interface)?.unwrap_or_default();
        installed.retain(|found| {
            addresses.iter().any(|address| address.ip() == found.ip)
                && !self.is_ours(&place.interface, found)
        });
        Ok(installed)
    }

    /// As [`list`](Self::list), but `None` of an interface that is gone.
    fn list_if_there(
        &mut self,
        interface: &str,
    ) -> Result<Option<Vec<InstalledAddress>>, AddressFault> {
        match self.list(interface) {
            Err(AddressFault::Interface { source, .. }) if is_gone(&source) => Ok(None),
            outcome => outcome.map(Some),
        }
    }

    fn list(&mut self, interface: &str) -> Result<Vec<InstalledAddress>, AddressFault> {
        patiently(|| self.table.list(interface))
            .map_err(|source| interface_fault("cannot read the addresses of", interface, source))
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
