//! A link and hosts that exist in memory only, with a clock that somebody else turns.
//!
//! For tests of everything above the backend: a [`Lan`] connects any number of [`MemoryHost`]s, each
//! of which is a [`Backend`]. The same node runs on it as on Linux.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::BytesMut;
use carp_proto::wire::ip::{GROUP_IPV4, GROUP_IPV6, TTL, emit_ipv4};
use carp_proto::{Family, Instant, MacAddr, RxMeta, Transmit, VirtualAddress};

use super::{
    AddressTable, Announcer, Backend, Clock, InstalledAddress, Interface, LinkChange, LinkWatch,
    Neighbour, NewAddress, PacketIo, Port, Received, Saying, VirtualDevice, same_subnet,
};

/// A link that carries everything to everybody else at once, and the time.
#[derive(Clone, Debug, Default)]
pub struct Lan {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    now: Instant,
    timers: Vec<(Instant, Waker)>,
    hosts: Vec<HostState>,
}

#[derive(Debug, Default)]
struct HostState {
    interface: String,
    cut: bool,
    inbox: VecDeque<Arrival>,
    wakers: Vec<Waker>,
    links: VecDeque<LinkChange>,
    addresses: BTreeMap<String, Vec<InstalledAddress>>,
    /// What an old kernel does: it takes `IFA_PROTO` and forgets it.
    forgets_marks: bool,
    promote_secondaries: bool,
    refuses: Option<i32>,
    announced: Vec<IpAddr>,
    /// Whether what it sends is lost.
    mute: bool,
    /// Every address that it asked for, and from where.
    questions: Vec<(IpAddr, Option<IpAddr>)>,
    gateway: Option<IpAddr>,
    /// Devices, and whether they are on.
    devices: BTreeMap<String, bool>,
}

#[derive(Debug)]
enum Arrival {
    /// A whole IPv4 packet, for this address.
    Ipv4(IpAddr, Vec<u8>),
    /// What an IPv6 packet carried.
    Ipv6(RxMeta, Vec<u8>),
    Neighbour(Neighbour),
}

/// The link-layer address of a host: `02:00:00:00:00:NUMBER`, counted from 1 in the order in which they were
/// made.
fn mac(index: usize) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, u8::try_from(index + 1).unwrap_or(u8::MAX)])
}

impl Lan {
    /// A host with one interface that has one address.
    #[must_use]
    pub fn host(&self, interface: &str, address: Ipv4Addr) -> MemoryHost {
        let own = installed(address.into(), 24, interface);
        let mut shared = self.lock();
        let index = shared.hosts.len();
        shared.hosts.push(HostState {
            interface: interface.to_owned(),
            addresses: BTreeMap::from([(interface.to_owned(), vec![own])]),
            ..HostState::default()
        });
        MemoryHost { lan: self.clone(), index }
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.lock().now
    }

    /// The earliest time that some host waits for.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.lock().timers.iter().map(|(at, _)| *at).min()
    }

    /// Sets the time, and wakes those who waited for it. It does not go back.
    pub fn advance_to(&self, now: Instant) {
        let mut shared = self.lock();
        shared.now = shared.now.max(now);
        let reached = shared.now;
        let (due, waiting) = std::mem::take(&mut shared.timers)
            .into_iter()
            .partition::<Vec<_>, _>(|(at, _)| *at <= reached);
        shared.timers = waiting;
        drop(shared);
        due.into_iter().for_each(|(_, waker)| waker.wake());
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands something to every other host that is plugged in.
    fn spread(&self, from: usize, arrival: impl Fn() -> Arrival) {
        let mut shared = self.lock();
        if shared.hosts.get(from).is_none_or(|host| host.cut || host.mute) {
            return;
        }
        for (index, host) in shared.hosts.iter_mut().enumerate() {
            if index != from && !host.cut {
                host.inbox.push_back(arrival());
                host.wakers.drain(..).for_each(Waker::wake);
            }
        }
    }

    /// Has those hosts answer that have an address, as their kernels do.
    fn ask(&self, from: usize, source: Option<IpAddr>, address: IpAddr) {
        let mut shared = self.lock();
        shared.hosts[from].questions.push((address, source));
        if shared.hosts[from].cut || shared.hosts[from].mute {
            return;
        }
        let has = |host: &HostState| {
            host.addresses.values().flatten().any(|installed| installed.ip == address)
        };
        let nowhere = match address {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let saying = Saying::Answered(source.unwrap_or(nowhere));
        let answers: Vec<_> = (shared.hosts.iter().enumerate())
            .filter(|(index, host)| *index != from && !host.cut && has(host))
            .map(|(index, _)| Neighbour { address, mac: Some(mac(index)), saying })
            .collect();
        let host = &mut shared.hosts[from];
        host.inbox.extend(answers.into_iter().map(Arrival::Neighbour));
        host.wakers.drain(..).for_each(Waker::wake);
    }
}

/// A host on a [`Lan`]. Clones are the same host.
#[derive(Clone, Debug)]
pub struct MemoryHost {
    lan: Lan,
    index: usize,
}

impl MemoryHost {
    /// Cuts the host's cable, or plugs it in again; the host does not notice.
    pub fn set_cut(&self, cut: bool) {
        self.with(|host| host.cut = cut);
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

    /// Makes the host's kernel one that does not keep `IFA_PROTO`.
    pub fn forget_marks(&self) {
        self.with(|host| host.forgets_marks = true);
    }

    /// Makes every attempt to add an address fail with this error number; `None` ends that.
    pub fn refuse_addresses(&self, errno: Option<i32>) {
        self.with(|host| host.refuses = errno);
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

    fn with<T>(&self, act: impl FnOnce(&mut HostState) -> T) -> T {
        act(&mut self.lan.lock().hosts[self.index])
    }
}

impl HostState {
    /// Whether a packet for this address is for the host.
    fn is_for(&self, destination: IpAddr) -> bool {
        destination == GROUP_IPV4
            || destination == GROUP_IPV6
            || self.addresses.values().flatten().any(|own| own.ip == destination)
    }

    /// The next thing that arrived and is for the host.
    fn take(&mut self) -> Option<Arrival> {
        loop {
            let arrival = self.inbox.pop_front()?;
            let ours = match &arrival {
                Arrival::Ipv4(destination, _) => self.is_for(*destination),
                Arrival::Ipv6(meta, _) => self.is_for(meta.destination),
                Arrival::Neighbour(_) => true,
            };
            if ours {
                return Some(arrival);
            }
        }
    }

    fn tell_link(&mut self, running: bool) {
        let name = self.interface.clone();
        let addresses = self.addresses.get(&name).cloned().unwrap_or_default();
        let interface = Some(Interface { index: 2, running, addresses });
        self.links.push_back(LinkChange { name, interface });
        self.wakers.drain(..).for_each(Waker::wake);
    }

    /// Adds as Linux does: an address is secondary if another one of its subnet is there.
    fn install(&mut self, interface: &str, mut new: InstalledAddress) {
        let addresses = self.addresses.entry(interface.to_owned()).or_default();
        new.secondary = addresses.iter().any(|other| in_subnet(other, &new));
        addresses.push(new);
    }

    /// Removes as Linux does: secondary addresses go with their primary one, or one is promoted.
    fn uninstall(&mut self, interface: &str, ip: IpAddr) -> bool {
        let promote = self.promote_secondaries;
        let Some(addresses) = self.addresses.get_mut(interface) else { return false };
        let Some(place) = addresses.iter().position(|address| address.ip == ip) else {
            return false;
        };
        let removed = addresses.remove(place);
        if removed.secondary {
            return true;
        }
        if promote {
            if let Some(next) = addresses.iter_mut().find(|other| in_subnet(other, &removed)) {
                next.secondary = false;
            }
        } else {
            addresses.retain(|other| !(other.secondary && in_subnet(other, &removed)));
        }
        true
    }
}

/// An address as some other program adds it.
fn installed(ip: IpAddr, prefix_len: u8, interface: &str) -> InstalledAddress {
    InstalledAddress {
        ip,
        prefix_len,
        protocol: None,
        label: Some(interface.to_owned()),
        secondary: false,
        tentative: false,
    }
}

/// Whether one of two addresses is secondary to the other: of IPv4, and in one subnet.
fn in_subnet(a: &InstalledAddress, b: &InstalledAddress) -> bool {
    a.ip.is_ipv4() && a.prefix_len == b.prefix_len && same_subnet(a.ip, b.ip, a.prefix_len)
}

impl Backend for MemoryHost {
    type Packets = Self;
    type Addresses = Self;
    type Announcer = Self;
    type Links = Self;
    type Clock = MemoryClock;

    fn open(&mut self, _: &Port) -> io::Result<Self> {
        Ok(self.clone())
    }

    fn addresses(&mut self) -> io::Result<Self> {
        Ok(self.clone())
    }

    fn announcer(&mut self) -> io::Result<Self> {
        Ok(self.clone())
    }

    fn watch(&mut self, _: &[String]) -> io::Result<Self> {
        self.set_running(true);
        Ok(self.clone())
    }

    fn clock(&mut self) -> io::Result<MemoryClock> {
        Ok(MemoryClock { lan: self.lan.clone() })
    }
}

impl PacketIo for MemoryHost {
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<Received>> {
        self.with(|host| match host.take() {
            Some(Arrival::Ipv4(_, packet)) => {
                buffer[..packet.len()].copy_from_slice(&packet);
                Poll::Ready(Ok(Received::Ipv4 { len: packet.len(), ttl: None }))
            }
            Some(Arrival::Ipv6(meta, payload)) => {
                buffer[..payload.len()].copy_from_slice(&payload);
                Poll::Ready(Ok(Received::Ipv6 { len: payload.len(), meta }))
            }
            Some(Arrival::Neighbour(said)) => Poll::Ready(Ok(Received::Neighbour(said))),
            None => {
                host.wakers.push(cx.waker().clone());
                Poll::Pending
            }
        })
    }

    fn send(&mut self, advert: &Transmit<'_>, _: Option<MacAddr>) -> io::Result<()> {
        let (destination, payload) = (advert.destination, advert.payload.to_vec());
        if let (IpAddr::V4(source), IpAddr::V4(to)) = (advert.source, destination) {
            let mut packet = BytesMut::new();
            emit_ipv4(source, to, payload.len(), &mut packet);
            packet.extend_from_slice(&payload);
            self.lan.spread(self.index, || Arrival::Ipv4(destination, packet.to_vec()));
        } else {
            let meta = RxMeta { source: advert.source, destination, ttl: TTL };
            self.lan.spread(self.index, || Arrival::Ipv6(meta, payload.clone()));
        }
        Ok(())
    }

    fn kernel_dropped(&self) -> u64 {
        0
    }
}

impl AddressTable for MemoryHost {
    fn list(&mut self, interface: &str) -> io::Result<Vec<InstalledAddress>> {
        self.with(|host| host.addresses.get(interface).cloned())
            .ok_or(io::ErrorKind::NotFound.into())
    }

    fn add(
        &mut self,
        interface: &str,
        addresses: &[NewAddress],
    ) -> io::Result<Vec<io::Result<()>>> {
        let add = |host: &mut HostState, new: &NewAddress| {
            if let Some(errno) = host.refuses {
                return Err(io::Error::from_raw_os_error(errno));
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
            Ok(())
        };
        Ok(self.with(|host| addresses.iter().map(|new| add(host, new)).collect()))
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
}

impl Announcer for MemoryHost {
    fn prepare(&mut self, _interface: &str) -> io::Result<()> {
        Ok(())
    }

    fn announce(
        &mut self,
        _: &str,
        mac: Option<MacAddr>,
        addresses: &[IpAddr],
        burst: u8,
    ) -> io::Result<()> {
        let mac = mac.or(Some(self.mac()));
        for _ in 0..burst {
            for &address in addresses {
                self.with(|host| host.announced.push(address));
                let said = Neighbour { address, mac, saying: Saying::Announced };
                self.lan.spread(self.index, || Arrival::Neighbour(said));
            }
        }
        Ok(())
    }

    fn ask(
        &mut self,
        _: &str,
        from: Option<(IpAddr, Option<MacAddr>)>,
        addresses: &[IpAddr],
    ) -> io::Result<()> {
        for address in addresses {
            self.lan.ask(self.index, from.map(|(ip, _)| ip), *address);
        }
        Ok(())
    }
}

impl LinkWatch for MemoryHost {
    fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<LinkChange> {
        self.with(|host| match host.links.pop_front() {
            Some(change) => Poll::Ready(change),
            None => {
                host.wakers.push(cx.waker().clone());
                Poll::Pending
            }
        })
    }
}

/// The clock of a [`Lan`].
#[derive(Clone, Debug)]
pub struct MemoryClock {
    lan: Lan,
}

impl Clock for MemoryClock {
    fn now(&self) -> Instant {
        self.lan.now()
    }

    fn time_of_day(&self) -> Duration {
        Duration::from_nanos(self.lan.now().as_nanos())
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else { return Poll::Pending };
        let mut shared = self.lan.lock();
        if at <= shared.now {
            return Poll::Ready(());
        }
        shared.timers.retain(|(_, waker)| !waker.will_wake(cx.waker()));
        shared.timers.push((at, cx.waker().clone()));
        Poll::Pending
    }
}
