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
    AddressTable, Announcer, Backend, Clock, Families, InstalledAddress, Interface, LinkChange,
    LinkWatch, Neighbour, NewAddress, PacketIo, Port, Received, Saying, VirtualDevice, same_subnet,
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
    halted: Option<Halted>,
    /// How far its clocks are behind those of the others, because they stood still.
    behind: Duration,
    /// For how long it was suspended.
    asleep: Duration,
    /// How far its wall clock was set forward, in seconds.
    wall: i64,
    inbox: VecDeque<Arrival>,
    wakers: Vec<Waker>,
    links: VecDeque<LinkChange>,
    addresses: BTreeMap<String, Vec<InstalledAddress>>,
    /// When addresses go that have a lifetime.
    expiries: BTreeMap<(String, IpAddr), Instant>,
    /// What an old kernel does: it takes `IFA_PROTO` and forgets it.
    forgets_marks: bool,
    promote_secondaries: bool,
    refuses: Option<i32>,
    mishaps: VecDeque<Mishap>,
    refuses_lifetimes: bool,
    announced: Vec<IpAddr>,
    /// Whether what it sends is lost.
    mute: bool,
    /// Every address that it asked for, and from where.
    questions: Vec<(IpAddr, Option<IpAddr>)>,
    gateway: Option<IpAddr>,
    /// Devices, and whether they are on.
    devices: BTreeMap<String, bool>,
    running: bool,
    /// What its interface is like, its addresses and whether it is running aside.
    properties: Interface,
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

#[derive(Clone, Copy, Debug)]
struct Halted {
    why: Halt,
    since: Instant,
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

    /// Sets the time, drops addresses whose lifetime is over, and wakes those who waited for it. It does not
    /// go back.
    pub fn advance_to(&self, now: Instant) {
        let mut shared = self.lock();
        shared.now = shared.now.max(now);
        let reached = shared.now;
        let (due, waiting) = std::mem::take(&mut shared.timers)
            .into_iter()
            .partition::<Vec<_>, _>(|(at, _)| *at <= reached);
        shared.timers = waiting;
        shared.hosts.iter_mut().for_each(|host| host.expire(reached));
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
            if index != from && !host.cut && host.hears() {
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

/// What goes wrong once when addresses are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// None is added, for this reason.
    Refused(i32),
    /// They are added, and nobody says so.
    AnswerLost,
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

    /// Whether what arrives is kept for the host.
    const fn hears(&self) -> bool {
        match self.halted {
            None | Some(Halted { why: Halt::Process, .. }) => true,
            Some(Halted { why: Halt::Suspended | Halt::Frozen, .. }) => false,
        }
    }

    /// The time on the host's clock.
    fn now(&self, now: Instant) -> Instant {
        match self.halted {
            Some(Halted { why: Halt::Frozen, since }) => since - self.behind,
            Some(Halted { why: Halt::Process | Halt::Suspended, .. }) | None => now - self.behind,
        }
    }

    /// The next thing that arrived and is for the host, if it runs.
    fn take(&mut self) -> Option<Arrival> {
        if self.halted.is_some() {
            return None;
        }
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
        if self.running != running {
            self.properties.carrier_changes += 1;
        }
        self.running = running;
        let interface = Interface { index: 2, running, addresses, ..self.properties.clone() };
        let (interface, forgotten) = (Some(interface), Families::default());
        self.links.push_back(LinkChange { name, interface, renamed: None, forgotten });
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
        self.expiries.remove(&(interface.to_owned(), ip));
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

    /// Gives an address that is there a lifetime from now on, or takes it away.
    fn set_lifetime(&mut self, interface: &str, new: &NewAddress, now: Instant) {
        let key = (interface.to_owned(), new.address.ip());
        match new.lifetime {
            Some(lease) => self.expiries.insert(key, now + lease.time()),
            None => self.expiries.remove(&key),
        };
    }

    /// Why the host does not take an address like this.
    fn refusal(&self, new: &NewAddress) -> Option<io::Error> {
        let lifetime = (self.refuses_lifetimes && new.lifetime.is_some()).then_some(libc::EINVAL);
        self.refuses.or(lifetime).map(io::Error::from_raw_os_error)
    }

    /// Drops the addresses whose lifetime is over.
    fn expire(&mut self, now: Instant) {
        let over = self.expiries.iter().filter(|(_, at)| **at <= now);
        let over: Vec<_> = over.map(|(key, _)| key.clone()).collect();
        for (interface, ip) in &over {
            self.uninstall(interface, *ip);
        }
        if over.iter().any(|(interface, _)| *interface == self.interface) {
            self.tell_link(true);
        }
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
        Ok(MemoryClock { host: self.clone() })
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

/// The clock of a [`MemoryHost`].
#[derive(Clone, Debug)]
pub struct MemoryClock {
    host: MemoryHost,
}

impl Clock for MemoryClock {
    fn now(&self) -> Instant {
        let now = self.host.lan.now();
        self.host.with(|host| host.now(now))
    }

    /// The time of the [`Lan`], as if that had begun with the epoch, unless it was
    /// [stepped](MemoryHost::step_wall_clock).
    fn time_of_day(&self) -> Duration {
        let steps = self.host.with(|host| host.wall);
        let by = Duration::from_secs(steps.unsigned_abs());
        let time = Duration::from_nanos(self.host.lan.now().as_nanos());
        if steps < 0 { time.saturating_sub(by) } else { time.saturating_add(by) }
    }

    fn time_asleep(&self) -> Duration {
        self.host.with(|host| host.asleep)
    }

    fn poll_deadline(&mut self, cx: &mut Context<'_>, at: Option<Instant>) -> Poll<()> {
        let Some(at) = at else { return Poll::Pending };
        let mut shared = self.host.lan.lock();
        let now = shared.now;
        let host = &mut shared.hosts[self.host.index];
        if host.halted.is_some() {
            host.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        let at = at + host.behind;
        if at <= now {
            return Poll::Ready(());
        }
        shared.timers.retain(|(_, waker)| !waker.will_wake(cx.waker()));
        shared.timers.push((at, cx.waker().clone()));
        Poll::Pending
    }
}
