//! Which interface each address was added to: one that is renamed takes its addresses along.

use carp_proto::VirtualAddress;

/// The addresses that were added and not removed since.
#[derive(Debug, Default)]
pub(super) struct Strays {
    added: Vec<Added>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Added {
    /// What the interface was called then.
    interface: String,
    index: u32,
    address: VirtualAddress,
}

impl Strays {
    pub(super) fn note_added(&mut self, interface: &str, index: u32, address: VirtualAddress) {
        let added = Added { interface: interface.to_owned(), index, address };
        if !self.added.contains(&added) {
            self.added.push(added);
        }
    }

    pub(super) fn note_removed(&mut self, index: u32, address: VirtualAddress) {
        self.added.retain(|added| (added.index, added.address) != (index, address));
    }

    /// Forgets, and returns with the index of their interface, those of these addresses that were added
    /// to an interface of this name which is not the one that has the name now.
    pub(super) fn take(
        &mut self,
        interface: &str,
        here: Option<u32>,
        addresses: &[VirtualAddress],
    ) -> Vec<(u32, VirtualAddress)> {
        let is_stray = |added: &mut Added| {
            added.interface == interface
                && Some(added.index) != here
                && addresses.contains(&added.address)
        };
        let strays = self.added.extract_if(.., is_stray);
        strays.map(|added| (added.index, added.address)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> VirtualAddress {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_is_astray_when_its_interface_has_another_name() {
        let mut strays = Strays::default();
        let [one, two] = ["192.0.2.1", "192.0.2.2"].map(address);
        strays.note_added("eth0", 2, one);
        strays.note_added("eth0", 2, two);
        assert_eq!(strays.take("eth0", Some(2), &[one, two]), []);
        assert_eq!(strays.take("lan0", Some(7), &[one, two]), []);
        assert_eq!(strays.take("eth0", Some(7), &[one]), [(2, one)]);
        assert_eq!(strays.take("eth0", None, &[one, two]), [(2, two)]);
        assert_eq!(strays.take("eth0", None, &[one, two]), []);
    }

    #[test]
    fn what_was_removed_is_not_astray() {
        let mut strays = Strays::default();
        let one = address("192.0.2.1");
        strays.note_added("eth0", 2, one);
        strays.note_removed(2, one);
        assert_eq!(strays.take("eth0", Some(7), &[one]), []);
    }
}
