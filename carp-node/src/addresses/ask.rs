//! Asking neighbours: who has the addresses, and whether anybody hears us speak from them.

use std::net::IpAddr;

use carp_proto::{Family, VirtualAddress};

use super::{AddressFault, AddressKeeper, Hosts, Place, interface_fault};
use crate::backend::{AddressTable, Announcer};

impl<T: AddressTable, A: Announcer> AddressKeeper<T, A> {
    /// Asks who has these addresses, in a way that nobody learns anything from; and before that, where these
    /// hosts are. One that has both answers to both, in that order.
    ///
    /// # Errors
    /// [`AddressFault::Interface`].
    pub fn probe(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
        hosts: Hosts,
    ) -> Result<(), AddressFault> {
        let hosts = hosts.into_iter().flatten();
        let asked: Vec<IpAddr> = hosts.chain(addresses.iter().map(|it| it.ip())).collect();
        self.announcer
            .ask(&place.announced_on, None, &asked)
            .map_err(|source| interface_fault("cannot ask on", &place.announced_on, source))
    }

    /// Asks, from the first of these addresses that is of a family, the default gateway of that family and
    /// these hosts. Returns whether there is such a gateway.
    ///
    /// # Errors
    /// [`AddressFault::Interface`].
    pub fn confirm(
        &mut self,
        place: &Place,
        addresses: &[VirtualAddress],
        family: Family,
        hosts: Hosts,
    ) -> Result<bool, AddressFault> {
        let Some(from) = addresses.iter().find(|address| address.family() == family) else {
            return Ok(false);
        };
        let interface = &place.announced_on;
        let gateway = self.table.gateway(interface, family).map_err(|source| {
            interface_fault("cannot find the default gateway on", interface, source)
        })?;
        let asked: Vec<IpAddr> = gateway.into_iter().chain(hosts.into_iter().flatten()).collect();
        self.announcer
            .ask(interface, Some((from.ip(), place.mac)), &asked)
            .map_err(|source| interface_fault("cannot ask on", interface, source))?;
        Ok(gateway.is_some())
    }
}
