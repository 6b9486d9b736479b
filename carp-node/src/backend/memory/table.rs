//! The addresses of a host in memory, as the address thread changes them.

use std::io;
use std::net::IpAddr;

use carp_proto::{Family, Instant, VirtualAddress};

use super::state::HostState;
use super::{MemoryHost, Mishap};
use crate::backend::{AddressTable, Changes, Edition, InstalledAddress, NewAddress, VirtualDevice};

impl AddressTable for MemoryHost {
    fn list(&mut self, interface: &str) -> io::Result<Vec<InstalledAddress>> {
        self.with(|host| {
            host.lists += 1;
            host.addresses.get(interface).cloned()
        })
        .ok_or(io::ErrorKind::NotFound.into())
    }

    fn changes(&mut self, interface: &str) -> io::Result<Changes> {
        Ok(self.with(|host| {
            let removed = std::mem::take(&mut host.removed).into_iter();
            Changes {
                edition: Some(Edition { interface: 2, number: host.changes }),
                removed: removed.filter(|(from, _)| from == interface).map(|(_, ip)| ip).collect(),
            }
        }))
    }

    fn add(
        &mut self,
        interface: &str,
        addresses: &[NewAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        let mishap = self.with(|host| host.mishaps.pop_front());
        let refused = match mishap {
            Some(Mishap::Refused(errno)) => Some(errno),
            Some(Mishap::AnswerLost) | None => None,
        };
        let now = self.lan.now();
        let add = |host: &mut HostState, new: &NewAddress| {
            if let Some(errno) = refused {
                return Err(io::Error::from_raw_os_error(errno));
            }
            if let Some(error) = host.refusal(new) {
                return Err(error);
            }
            let present = host.addresses.get(interface).into_iter().flatten();
            if present.clone().any(|other| other.ip == new.address.ip()) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let label = new.label.clone().or_else(|| Some(interface.to_owned()));
            let installed = InstalledAddress {
                ip: new.address.ip(),
                prefix_len: new.address.prefix_len(),
                protocol: new.protocol.filter(|_| !host.forgets_marks),
                label,
                secondary: false,
                tentative: false,
            };
            host.install(interface, installed);
            host.set_lifetime(interface, new, now);
            Ok(())
        };
        let results = self.with(|host| addresses.iter().map(|new| add(host, new)).collect());
        if mishap == Some(Mishap::AnswerLost) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(results)
    }

    fn renew(
        &mut self,
        interface: &str,
        addresses: &[NewAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        let now = self.lan.now();
        self.with(|host| {
            if let Some(ip) = host.lost_at_renewal.take() {
                host.uninstall(interface, ip);
            }
            // A kernel that does not say whose an address is does not say either that it is a renewal.
            host.changes += u64::from(host.forgets_marks);
        });
        let mut outcomes = Vec::new();
        for new in addresses {
            let present = |host: &mut HostState| {
                let mut present = host.addresses.get(interface).into_iter().flatten();
                present.any(|other| other.ip == new.address.ip())
            };
            if !self.with(present) {
                outcomes.extend(self.add(interface, std::slice::from_ref(new))?);
                continue;
            }
            outcomes.push(self.with(|host| match host.refusal(new) {
                Some(error) => Err(error),
                None => {
                    host.set_lifetime(interface, new, now);
                    Ok(())
                }
            }));
        }
        Ok(outcomes)
    }

    fn remove(
        &mut self,
        interface: &str,
        addresses: &[VirtualAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        let remove = |host: &mut HostState, address: &VirtualAddress| {
            let found = host.uninstall(interface, address.ip());
            if found { Ok(()) } else { Err(io::ErrorKind::AddrNotAvailable.into()) }
        };
        Ok(self.with(|host| addresses.iter().map(|address| remove(host, address)).collect()))
    }

    fn set_promote_secondaries(&mut self, _: &str, promote: bool) -> io::Result<bool> {
        Ok(self.with(|host| std::mem::replace(&mut host.promote_secondaries, promote)))
    }

    fn gateway(&mut self, _: &str, family: Family) -> io::Result<Option<IpAddr>> {
        Ok(self.with(|host| host.gateway.filter(|ip| Family::of(*ip) == family)))
    }

    fn make_device(&mut self, device: &VirtualDevice) -> io::Result<()> {
        self.with(|host| {
            host.devices.insert(device.name.clone(), false);
            host.addresses.entry(device.name.clone()).or_default();
        });
        Ok(())
    }

    fn switch_device(&mut self, device: &VirtualDevice, on: bool) -> io::Result<()> {
        let found = self.with(|host| host.devices.get_mut(&device.name).map(|state| *state = on));
        found.ok_or(io::ErrorKind::NotFound.into())
    }

    fn remove_device(&mut self, device: &VirtualDevice) -> io::Result<bool> {
        Ok(self.with(|host| {
            host.addresses.remove(&device.name);
            host.devices.remove(&device.name).is_some()
        }))
    }

    fn now(&self) -> Instant {
        self.lan.now()
    }
}
