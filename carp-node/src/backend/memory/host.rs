//! A host in memory, and what a test does to it.

use std::net::IpAddr;
use std::task::Waker;

use carp_proto::{Instant, MacAddr};

use super::state::{Halted, HostState, installed};
use super::{Arrival, Lan, mac};
use crate::backend::{InstalledAddress, Neighbour, Saying};

/// A host on a [`Lan`]. Clones are the same host.
#[derive(Clone, Debug)]
pub struct MemoryHost {
    pub(super) lan: Lan,
    pub(super) index: usize,
}

impl MemoryHost {
    /// Cuts the host's cable, or plugs it in again; the host does not notice.
    pub fn set_cut(&self, cut: bool) {
        self.with(|host| host.cut = cut);
    }

    /// Makes the host do nothing, until [`go_on`](Self::go_on). Its address thread must be idle.
    pub fn halt(&self, why: Halt) {
        let since = self.lan.now();
        self.with(|host| host.halted = Some(Halted { why, since }));
    }

    /// Ends a [`halt`](Self::halt).
    pub fn go_on(&self) {
        let now = self.lan.now();
        self.with(|host| {
            let Some(Halted { why, since }) = host.halted.take() else { return };
            match why {
                Halt::Process => {}
                Halt::Suspended => host.asleep += now.saturating_since(since),
                Halt::Frozen => host.behind += now.saturating_since(since),
            }
            host.wakers.drain(..).for_each(Waker::wake);
        });
    }

    /// Sets the host's wall clock forward by so many seconds, or back.
    pub fn step_wall_clock(&self, seconds: i64) {
        self.with(|host| host.wall = host.wall.saturating_add(seconds));
    }

    /// Loses what the host sends, or not any more; it does not notice, and hears others.
    pub fn set_mute(&self, mute: bool) {
        self.with(|host| host.mute = mute);
    }

    /// Gives the host a default gateway.
    pub fn set_gateway(&self, gateway: impl Into<IpAddr>) {
        let gateway = gateway.into();
        self.with(|host| host.gateway = Some(gateway));
    }

    /// The link-layer address of the host.
    #[must_use]
    pub fn mac(&self) -> MacAddr {
        mac(self.index)
    }

    /// Has the host announce that an address is at a link-layer address, whether it is or not.
    pub fn claim(&self, address: impl Into<IpAddr>, mac: MacAddr) {
        let (address, saying) = (address.into(), Saying::Announced);
        let claim = Neighbour { address, mac: Some(mac), saying };
        self.lan.spread(self.index, || Arrival::Neighbour(claim));
    }

    /// Every address that the host asked for, and from which of its own, in order.
    #[must_use]
    pub fn questions(&self) -> Vec<(IpAddr, Option<IpAddr>)> {
        self.with(|host| host.questions.clone())
    }

    /// Takes the carrier away, or gives it back, which the host notices.
    pub fn set_running(&self, running: bool) {
        self.with(|host| host.tell_link(running));
    }

    /// Gives the interface another link-layer address.
    pub fn set_mac(&self, mac: MacAddr) {
        self.with(|host| {
            host.properties.mac = Some(mac);
            host.tell_link(host.running);
        });
    }

    /// Gives the interface another limit on the length of packets.
    pub fn set_mtu(&self, mtu: u32) {
        self.with(|host| {
            host.properties.mtu = Some(mtu);
            host.tell_link(host.running);
        });
    }

    /// Makes the host's kernel one that does not keep `IFA_PROTO`.
    pub fn forget_marks(&self) {
        self.with(|host| host.forgets_marks = true);
    }

    /// How often the addresses of the host were listed.
    #[must_use]
    pub fn lists(&self) -> usize {
        self.with(|host| host.lists)
    }

    /// Has some other program remove an address in the moment before addresses are renewed the next time.
    pub fn lose_at_renewal(&self, ip: impl Into<IpAddr>) {
        let ip = ip.into();
        self.with(|host| host.lost_at_renewal = Some(ip));
    }

    /// Makes every attempt to add an address fail with this error number; `None` ends that.
    pub fn refuse_addresses(&self, errno: Option<i32>) {
        self.with(|host| host.refuses = errno);
    }

    /// Has these go wrong, one after the other, at the next attempts to add addresses.
    pub fn expect_mishaps(&self, mishaps: impl IntoIterator<Item = Mishap>) {
        self.with(|host| host.mishaps.extend(mishaps));
    }

    /// Makes every attempt to give an address a lifetime fail.
    pub fn refuse_lifetimes(&self) {
        self.with(|host| host.refuses_lifetimes = true);
    }

    /// When an address of the host goes if nobody renews it; `None` if it stays.
    #[must_use]
    pub fn expires_at(&self, ip: impl Into<IpAddr>) -> Option<Instant> {
        self.with(|host| host.expiries.get(&(host.interface.clone(), ip.into())).copied())
    }

    /// Adds an address as some other program would.
    pub fn add_foreign(&self, ip: impl Into<IpAddr>, prefix_len: u8) {
        self.with(|host| {
            let interface = host.interface.clone();
            host.install(&interface, installed(ip.into(), prefix_len, &interface));
            host.tell_link(true);
        });
    }

    /// Removes an address as some other program would.
    pub fn remove_foreign(&self, ip: impl Into<IpAddr>) {
        self.with(|host| {
            let interface = host.interface.clone();
            host.uninstall(&interface, ip.into());
            host.tell_link(true);
        });
    }

    /// The same, and the host is not told of it.
    pub fn remove_silently(&self, ip: impl Into<IpAddr>) {
        self.with(|host| {
            let interface = host.interface.clone();
            host.uninstall(&interface, ip.into());
        });
    }

    /// The addresses of the host.
    #[must_use]
    pub fn installed(&self) -> Vec<InstalledAddress> {
        self.with(|host| host.addresses.get(&host.interface).cloned().unwrap_or_default())
    }

    /// Whether the host has an address.
    #[must_use]
    pub fn has(&self, ip: impl Into<IpAddr>) -> bool {
        let ip = ip.into();
        self.installed().iter().any(|address| address.ip == ip)
    }

    /// The addresses of one of the host's interfaces, and of devices that are there; `None` if there is no
    /// such interface.
    #[must_use]
    pub fn installed_on(&self, interface: &str) -> Option<Vec<InstalledAddress>> {
        self.with(|host| host.addresses.get(interface).cloned())
    }

    /// The devices that were made, and whether they are on.
    #[must_use]
    pub fn devices(&self) -> Vec<(String, bool)> {
        self.with(|host| host.devices.iter().map(|(name, on)| (name.clone(), *on)).collect())
    }

    /// Adds an interface without carrier to speak of, such as loopback.
    pub fn add_interface(&self, name: &str) {
        self.with(|host| {
            host.addresses.entry(name.to_owned()).or_default();
        });
    }

    /// Every address that was announced, in order.
    #[must_use]
    pub fn announced(&self) -> Vec<IpAddr> {
        self.with(|host| host.announced.clone())
    }

    pub(super) fn with<T>(&self, act: impl FnOnce(&mut HostState) -> T) -> T {
        act(&mut self.lan.lock().hosts[self.index])
    }
}

/// Why a host does nothing for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Halt {
    /// Its processes are stopped. What arrives waits for them.
    Process,
    /// It sleeps, and what arrives is lost. `CLOCK_BOOTTIME` goes on.
    Suspended,
    /// A hypervisor has stopped it, and what arrives is lost. All its clocks stand still.
    Frozen,
}

/// What goes wrong once when addresses are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// None is added, for this reason.
    Refused(i32),
    /// They are added, and nobody says so.
    AnswerLost,
}
