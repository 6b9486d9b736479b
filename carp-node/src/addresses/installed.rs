//! What the addresses that are on an interface say of others.

use std::net::IpAddr;

use carp_proto::VirtualAddress;

use crate::backend::{InstalledAddress, same_subnet};

pub(super) fn find(installed: &[InstalledAddress], ip: IpAddr) -> Option<&InstalledAddress> {
    installed.iter().find(|found| found.ip == ip)
}

/// Whether another address shares the subnet of this one.
pub(super) fn has_subnet(installed: &[InstalledAddress], address: &VirtualAddress) -> bool {
    installed.iter().any(|other| {
        other.prefix_len == address.prefix_len()
            && same_subnet(other.ip, address.ip(), address.prefix_len())
    })
}

/// The secondary addresses that may go when these are removed.
pub(super) fn dependents(
    installed: &[InstalledAddress],
    removed: &[VirtualAddress],
) -> Vec<InstalledAddress> {
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
