//! Which interface each address was added to: one that is renamed takes its addresses along.

use carp_proto::VirtualAddress;

use crate::backend::{InstalledAddress, NewAddress};

/// The addresses that were added and not removed since.
#[derive(Debug, Default)]
pub(super) struct Strays {
    added: Vec<Added>,
}

/// An address that was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Added {
    /// What the interface was called then.
    interface: String,
    pub(super) index: u32,
    pub(super) address: VirtualAddress,
    protocol: Option<u8>,
    label: Option<String>,
}

impl Added {
    /// Whether what is there now is what was added, and not another one's of the same address. The kernel
    /// gives the labels of a renamed interface its new name, and leaves their ends.
    pub(super) fn is_it(&self, found: &InstalledAddress) -> bool {
        let end = |label: &String| label.rsplit_once(':').map(|(_, end)| end.to_owned());
        (found.ip, found.prefix_len) == (self.address.ip(), self.address.prefix_len())
            && found.protocol == self.protocol
            && (self.label.is_none()
                || self.label.as_ref().and_then(end) == found.label.as_ref().and_then(end))
    }
}

impl Strays {
    pub(super) fn note_added(&mut self, interface: &str, index: u32, new: &NewAddress) {
        let (interface, address) = (interface.to_owned(), new.address);
        let (protocol, label) = (new.protocol, new.label.clone());
        self.put_back(Added { interface, index, address, protocol, label });
    }

    /// Takes note of one that was [taken](Self::take) again.
    pub(super) fn put_back(&mut self, added: Added) {
        self.note_removed(added.index, added.address);
        self.added.push(added);
    }

    pub(super) fn note_removed(&mut self, index: u32, address: VirtualAddress) {
        self.added.retain(|added| (added.index, added.address) != (index, address));
    }

    /// Forgets, and returns, those of these addresses that were added
    /// to an interface of this name which is not the one that has the name now.
    pub(super) fn take(
        &mut self,
        interface: &str,
        here: Option<u32>,
        addresses: &[VirtualAddress],
    ) -> Vec<Added> {
        let is_stray = |added: &mut Added| {
            added.interface == interface
                && Some(added.index) != here
                && addresses.contains(&added.address)
        };
        self.added.extract_if(.., is_stray).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> VirtualAddress {
        text.parse().unwrap()
    }

    fn new(address: VirtualAddress) -> NewAddress {
        NewAddress { address, protocol: Some(112), label: None, lifetime: None }
    }

    /// Those that are taken, and the index of their interface.
    fn take(
        strays: &mut Strays,
        interface: &str,
        here: Option<u32>,
        addresses: &[VirtualAddress],
    ) -> Vec<(u32, VirtualAddress)> {
        let taken = strays.take(interface, here, addresses);
        taken.into_iter().map(|added| (added.index, added.address)).collect()
    }

    #[test]
    fn an_address_is_astray_when_its_interface_has_another_name() {
        let mut strays = Strays::default();
        let [one, two] = ["192.0.2.1", "192.0.2.2"].map(address);
        strays.note_added("eth0", 2, &new(one));
        strays.note_added("eth0", 2, &new(two));
        assert_eq!(take(&mut strays, "eth0", Some(2), &[one, two]), []);
        assert_eq!(take(&mut strays, "lan0", Some(7), &[one, two]), []);
        assert_eq!(take(&mut strays, "eth0", Some(7), &[one]), [(2, one)]);
        assert_eq!(take(&mut strays, "eth0", None, &[one, two]), [(2, two)]);
        assert_eq!(take(&mut strays, "eth0", None, &[one, two]), []);
    }

    #[test]
    fn what_was_removed_is_not_astray() {
        let mut strays = Strays::default();
        let one = address("192.0.2.1");
        strays.note_added("eth0", 2, &new(one));
        strays.note_removed(2, one);
        assert_eq!(take(&mut strays, "eth0", Some(7), &[one]), []);
    }

    #[test]
    fn what_somebody_else_has_put_in_its_place_is_not_it() {
        let added = |protocol, label: Option<&str>| {
            let mut strays = Strays::default();
            let label = label.map(str::to_owned);
            let address = address("192.0.2.1");
            strays.note_added("eth0", 2, &NewAddress { protocol, label, ..new(address) });
            strays.take("eth0", Some(7), &[address]).remove(0)
        };
        let found = |prefix_len, protocol, label: &str| InstalledAddress {
            ip: [192, 0, 2, 1].into(),
            prefix_len,
            protocol,
            label: Some(label.to_owned()),
            secondary: false,
            tentative: false,
        };
        let marked = added(Some(112), None);
        assert!(marked.is_it(&found(32, Some(112), "lan0")));
        for other in
            [found(24, Some(112), "lan0"), found(32, None, "lan0"), found(32, Some(4), "lan0")]
        {
            assert!(!marked.is_it(&other), "{other:?}");
        }
        let labelled = added(None, Some("eth0:carp"));
        assert!(labelled.is_it(&found(32, None, "lan0:carp")));
        assert!(!labelled.is_it(&found(32, None, "lan0")));
        assert!(!labelled.is_it(&found(32, Some(4), "lan0:carp")));
    }
}
