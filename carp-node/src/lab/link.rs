//! What administrators do to the interface of a host.

use std::sync::atomic::{AtomicU32, Ordering};

use carp_proto::MacAddr;

use super::error::Doing;
use super::{Host, LabError};

/// The indexes of both ends of a host's cable. One that was deleted keeps them until there is another one.
#[derive(Debug)]
pub(super) struct Cable {
    interface: AtomicU32,
    port: AtomicU32,
}

impl Cable {
    pub(super) const fn new(interface: u32, port: u32) -> Self {
        Self { interface: AtomicU32::new(interface), port: AtomicU32::new(port) }
    }

    /// The host's end.
    pub(super) fn interface(&self) -> u32 {
        self.interface.load(Ordering::Relaxed)
    }

    /// The switch's end.
    pub(super) fn port(&self) -> u32 {
        self.port.load(Ordering::Relaxed)
    }

    fn replace(&self, other: &Self) {
        self.interface.store(other.interface(), Ordering::Relaxed);
        self.port.store(other.port(), Ordering::Relaxed);
    }
}

/// Changes of the host's interface.
impl Host {
    /// Deletes `eth0`, with all that is on it. Its cable and its port on the switch go with it, and so do
    /// [taps](Self::tap) on that port.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn delete_interface(&self) -> Result<(), LabError> {
        let power = self.power()?;
        power.netlink.remove_link(power.interface()).doing(|| self.on("delete the interface"))
    }

    /// Makes `eth0` anew after [`delete_interface`](Self::delete_interface): another index, the same
    /// link-layer address, and the addresses that the host was made with. Returns when the switch
    /// forwards.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn recreate_interface(&self) -> Result<(), LabError> {
        let power = self.power()?;
        power.cable.replace(&self.lay_cable(&power.machine, &power.netlink)?);
        self.plug()?;
        self.add_own_addresses()
    }

    /// Gives its interface another name. The lab goes on to mean this one, whatever it is called.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn rename_interface(&self, name: &str) -> Result<(), LabError> {
        let power = self.power()?;
        let (netlink, index) = (&power.netlink, power.interface());
        let rename = || match netlink.rename(index, name) {
            // Kernels before 6.2 rename only what is switched off.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                netlink.set_up(index, false)?;
                netlink.rename(index, name)?;
                netlink.set_up(index, true)
            }
            result => result,
        };
        rename().doing(|| self.on(&format!("rename the interface to {name}")))
    }

    /// Adds an interface of this name that leads nowhere, and is up.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn add_dead_end(&self, name: &str) -> Result<(), LabError> {
        let added = self.power()?.netlink.add_pair(name, "nowhere");
        added.map(drop).doing(|| self.on(&format!("add the interface {name}")))
    }

    /// Moves one of its interfaces to another host, where it is switched off.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn move_interface(&self, name: &str, to: &Self) -> Result<(), LabError> {
        let (netlink, to) = (&self.power()?.netlink, &to.power()?.machine.namespace);
        let moved = netlink.index_of(name).and_then(|index| netlink.move_link(index, to));
        moved.doing(|| self.on(&format!("move the interface {name} away")))
    }

    /// Gives its interface another link-layer address, while it is up.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn set_mac(&self, mac: MacAddr) -> Result<(), LabError> {
        let power = self.power()?;
        power
            .netlink
            .set_mac(power.interface(), mac)
            .doing(|| self.on("set the link-layer address"))
    }

    /// Limits the length of packets on its interface. Below 68 bytes the kernel gives up IPv4 there, below
    /// 1280 IPv6, with all addresses of that family.
    ///
    /// # Errors
    /// [`LabError::Off`]; [`LabError::System`] if the kernel refuses.
    pub fn set_mtu(&self, mtu: u32) -> Result<(), LabError> {
        let power = self.power()?;
        power.netlink.set_mtu(power.interface(), mtu).doing(|| self.on("set the MTU"))
    }
}
