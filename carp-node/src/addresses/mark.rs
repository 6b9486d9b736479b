//! Adding addresses so that they are known again as ours: by a mark, or by a label and a record.

use std::io;

use carp_proto::{Protocol, VirtualAddress};

use super::fault::{interface_fault, system_fault};
use super::installed::find;
use super::{AddressFault, AddressKeeper, Place};
use crate::backend::{AddressTable, Announcer, InstalledAddress, NewAddress};

/// `IFA_PROTO` of our addresses: the number of the IP protocol that they are elected by.
pub const MARK: u8 = Protocol::IP_PROTOCOL;

/// The longest interface label, without its final NUL.
const LABEL_MAX: usize = 15;

impl<T: AddressTable, A: Announcer> AddressKeeper<T, A> {
    /// Adds addresses in the way that the kernel needs. Returns those that were not there.
    pub(super) fn add(
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
    pub(super) fn learn_of_marks(
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

    pub(super) fn add_all(
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

    /// Whether we have added an address: it has our mark, or nobody's mark and our label, or where a label
    /// does not fit, a line in the record.
    pub(super) fn is_ours(&self, interface: &str, address: &InstalledAddress) -> bool {
        match (address.protocol, label(interface).filter(|_| address.ip.is_ipv4())) {
            (Some(mark), _) => mark == MARK,
            (None, Some(label)) => address.label.as_ref() == Some(&label),
            (None, None) => self.record.contains(interface, address.ip),
        }
    }
}

/// The label of our addresses, where it fits.
fn label(interface: &str) -> Option<String> {
    Some(format!("{interface}:carp")).filter(|label| label.len() <= LABEL_MAX)
}
