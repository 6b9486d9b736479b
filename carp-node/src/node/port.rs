//! Interfaces: opening them, following them, and what routers learn of them.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use carp_proto::election::{Input, LinkState, State};
use carp_proto::{Family, Instant, VirtualId};

use super::hold::Uptime;
use super::{Node, RouterSetup};
use crate::addresses::{MARK, Task};
use crate::backend::{
    Backend, Clock, Families, InstalledAddress, Interface, LinkChange, Listening, Port, Wanted,
    same_subnet,
};
use crate::event::EventKind;

/// When to try again to open an interface.
const REOPEN: Duration = Duration::from_secs(1);

/// An interface on which routers advertise, and the sockets on it while it is there.
pub(super) struct PortState<P> {
    pub(super) name: String,
    ids: Vec<VirtualId>,
    wanted: Vec<Wanted>,
    addresses: Vec<IpAddr>,
    families: Families,
    /// What is listened for on it.
    pub(super) listening: Listening,
    pub(super) packets: Option<P>,
    reopen_at: Option<Instant>,
    uptime: Uptime,
    /// When a router on it has waited for long enough.
    ripe_at: Option<Instant>,
    /// What the interface is called now that had its name.
    renamed: Option<String>,
}

impl<P> PortState<P> {
    /// When to look at it again although nothing has happened.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        [self.reopen_at, self.ripe_at].into_iter().flatten().min()
    }
}

/// One port an interface, with the ids and the families on it.
pub(super) fn ports<P>(setups: &[RouterSetup]) -> Vec<PortState<P>> {
    let mut ports: Vec<PortState<P>> = Vec::new();
    for setup in setups {
        let place = ports.iter().position(|port| port.name == setup.interface);
        let place = place.unwrap_or_else(|| {
            ports.push(PortState {
                name: setup.interface.clone(),
                ids: Vec::new(),
                wanted: Vec::new(),
                addresses: Vec::new(),
                listening: Listening::default(),
                families: Families::default(),
                packets: None,
                reopen_at: None,
                uptime: Uptime::default(),
                ripe_at: None,
                renamed: None,
            });
            ports.len() - 1
        });
        let (port, config) = (&mut ports[place], &setup.config);
        port.families.extend(config.destinations().iter().copied().map(Family::of));
        port.addresses.extend(config.addresses().iter().map(|address| address.ip()));
        if !port.ids.contains(&config.id()) {
            port.ids.push(config.id());
        }
        port.wanted.push(Wanted::by(config));
    }
    ports
}

/// The interfaces that have something to do with these routers: those that adverts are sent on, and
/// those that addresses live on.
pub(super) fn watched(setups: &[RouterSetup]) -> Vec<String> {
    let mut names = Vec::new();
    for setup in setups {
        for name in [&setup.interface, &setup.place.interface] {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
    }
    names
}

impl<B: Backend> Node<B> {
    pub(super) fn link_changed(&mut self, change: LinkChange) {
        let LinkChange { name, interface, renamed, forgotten } = change;
        let before = match interface.clone() {
            Some(interface) => self.interfaces.insert(name.clone(), interface),
            None => self.interfaces.remove(&name),
        };
        if let Some(port) = self.ports.iter().position(|port| port.name == name) {
            let state = &mut self.ports[port];
            state.uptime.note(self.clock.now(), interface.as_ref());
            state.renamed = renamed;
            if is_another(before.as_ref(), interface.as_ref()) {
                // Addresses are given back before another interface is looked at, and before the sockets
                // are closed: that takes the kernel a while.
                let closing = self.ports[port].packets.take();
                self.tell_link(port);
                drop(closing);
            } else if self.misses_group(port, forgotten) {
                // What is opened anew belongs to the group again.
                self.ports[port].packets = None;
            }
            self.refresh_port(port);
        }
        self.verify_addresses(&name);
        self.inspect_backups(&name);
        if moved(before.as_ref(), interface.as_ref()) {
            self.announce_anew(&name);
        }
    }

    /// Whether the kernel no longer counts the host among those who want the adverts of a port.
    fn misses_group(&self, port: usize, forgotten: Families) -> bool {
        let state = &self.ports[port];
        let missed = |family: &Family| {
            forgotten.include(*family) && state.families.include(*family) && state.packets.is_some()
        };
        let Some(family) = [Family::Ipv4, Family::Ipv6].into_iter().find(missed) else {
            return false;
        };
        let (family, name) = (family_name(family), &state.name);
        let text = format!("{name} has lost the group of {family} adverts: joining it again");
        self.events.tell(None, EventKind::Log { text });
        true
    }

    /// Tells the neighbours of an interface at once that it has another link-layer address.
    fn announce_anew(&mut self, interface: &str) {
        for (router, member) in self.members.iter().enumerate() {
            let here = member.place.announced_on == interface && member.place.mac.is_none();
            if here && member.router.state() == State::Active {
                let burst = member.router.config().announce_plan().burst;
                // An announcement that finds no place is repeated by the plan.
                let _ =
                    self.addresses.jobs.try_send(member.job(router, Task::Announce { burst }, 0));
            }
        }
    }

    /// Opens what can be opened, and tells the routers of the link.
    pub(super) fn refresh_port(&mut self, port: usize) {
        self.open_port(port);
        self.tell_link(port);
    }

    fn tell_link(&mut self, port: usize) {
        let now = self.clock.now();
        self.ports[port].ripe_at = self.ripe_at(port, now);
        for index in 0..self.members.len() {
            if self.members[index].port != port {
                continue;
            }
            let (link, other) = self.link_of(index, now);
            let router = &mut self.members[index].router;
            router.set_other_source(other);
            if router.snapshot(now).link != link {
                self.input(index, Input::Link(link));
                if let Some(text) = self.link_fault(index, link) {
                    let name = &self.members[index].name;
                    self.events.tell(Some(name), EventKind::Fault { text });
                }
            }
        }
    }

    /// When the first of those routers of a port that still wait has waited for long enough.
    fn ripe_at(&self, port: usize, now: Instant) -> Option<Instant> {
        let since = self.ports[port].uptime.since()?;
        let here = self.members.iter().filter(|member| member.port == port);
        here.map(|member| member.hold.until(since)).filter(|until| *until > now).min()
    }

    /// The link as a router sees it, and its source in the family that the link's is not of.
    fn link_of(&self, index: usize, now: Instant) -> (LinkState, Option<IpAddr>) {
        let (config, port) = (self.members[index].router.config(), self.members[index].port);
        let state = &self.ports[port];
        let Some(interface) = self.interfaces.get(&state.name) else {
            return (LinkState::Down, None);
        };
        let fits = interface.mtu.is_none_or(|mtu| config.packet_len() <= mtu);
        let hold = self.members[index].hold;
        let waits = state.uptime.since().is_none_or(|since| hold.until(since) > now);
        if !interface.running || state.packets.is_none() || !fits || waits {
            return (LinkState::Down, None);
        }
        let virtual_addresses = self.virtual_addresses(port);
        let destinations = config.destinations();
        let source = |family| {
            let to = destinations.iter().copied().find(|to| Family::of(*to) == family)?;
            source_towards(to, interface, &virtual_addresses)
        };
        let mut sources = [Family::Ipv4, Family::Ipv6].into_iter().filter_map(source);
        match sources.next() {
            Some(source) => (LinkState::Up { source }, sources.next()),
            None => (LinkState::NoAddress, None),
        }
    }

    /// The addresses that come and go on a port: no advert may have one as its source. Those of an owner
    /// stay.
    fn virtual_addresses(&self, port: usize) -> Vec<IpAddr> {
        let moving = self.members.iter().filter(|it| it.port == port && !it.place.owned);
        moving.flat_map(|member| member.addresses.iter().map(|address| address.ip())).collect()
    }

    fn open_port(&mut self, port: usize) {
        let state = &mut self.ports[port];
        state.reopen_at = None;
        let (Some(interface), None) = (self.interfaces.get(&state.name), &state.packets) else {
            return;
        };
        let request = Port {
            interface: state.name.clone(),
            index: interface.index,
            ids: state.ids.clone(),
            wanted: state.wanted.clone(),
            addresses: state.addresses.clone(),
            families: state.families,
        };
        match self.backend.open(&request) {
            Ok(packets) => {
                state.packets = Some(packets);
                state.listening = Listening::default();
                self.prepare_addresses(port);
            }
            Err(error) => {
                state.reopen_at = Some(self.clock.now() + REOPEN);
                let text = format!("cannot open {}: {error}; trying again", state.name);
                self.events.tell(None, EventKind::Fault { text });
            }
        }
    }

    /// Has the address thread make ready what takeovers on an interface will need.
    fn prepare_addresses(&mut self, port: usize) {
        let mut prepared = Vec::new();
        for (router, member) in self.members.iter().enumerate() {
            if member.port == port && !prepared.contains(&&member.place) {
                prepared.push(&member.place);
                // If the thread is that busy, the first takeover does it.
                let _ = self.addresses.jobs.try_send(member.job(router, Task::Prepare, 0));
            }
        }
    }

    /// Addresses that seem to be gone from an interface are looked for: the event may be older than the
    /// address.
    fn verify_addresses(&mut self, interface: &str) {
        let found = self.interfaces.get(interface);
        let present = |ip| found.is_some_and(|found| found.addresses.iter().any(|it| it.ip == ip));
        for (router, member) in self.members.iter().enumerate() {
            let complete = member.addresses.iter().all(|address| present(address.ip()));
            let here = member.place.interface == interface;
            if here && !complete && member.router.state() == State::Active {
                // If the thread is that busy, the next link event asks again.
                let _ = self.addresses.jobs.try_send(member.job(router, Task::Verify, 0));
            }
        }
    }

    /// Why a router does not take part.
    pub(super) fn link_fault(&self, index: usize, link: LinkState) -> Option<String> {
        let member = &self.members[index];
        let interface = &member.interface;
        match link {
            LinkState::Up { .. } => None,
            LinkState::NoAddress => {
                let destinations = member.router.config().destinations();
                let family = destinations.first().copied().map(Family::of);
                let family = family_name(family.unwrap_or(Family::Ipv4));
                Some(format!("{interface} has no {family} address of its own to advertise from"))
            }
            LinkState::Down => Some(self.why_down(index)),
        }
    }

    fn why_down(&self, index: usize) -> String {
        let member = &self.members[index];
        let (state, interface) = (&self.ports[member.port], &member.interface);
        let Some(found) = self.interfaces.get(&**interface) else {
            return match &state.renamed {
                None => format!("there is no interface {interface}"),
                Some(name) => format!(
                    "there is no interface {interface}: it was renamed to {name}; name it so in the \
                     configuration, or rename it back"
                ),
            };
        };
        let (len, now) = (member.router.config().packet_len(), self.clock.now());
        match (found.mtu, state.uptime.since()) {
            _ if !found.running => format!("{interface} is down"),
            _ if state.packets.is_none() => format!("{interface} could not be opened"),
            (Some(mtu), _) if mtu < len => format!(
                "the adverts have {len} bytes, and {interface} sends {mtu} at most: raise its MTU, or \
                 divide the addresses among several routers"
            ),
            (_, Some(since)) => member.hold.words(now, since),
            (_, None) => format!("{interface} is down"),
        }
    }
}

const fn family_name(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}

/// Whether one interface has taken the place of another one, or of nothing.
fn is_another(before: Option<&Interface>, now: Option<&Interface>) -> bool {
    before.map(|before| before.index) != now.map(|now| now.index)
}

/// Whether an interface has got another link-layer address.
fn moved(before: Option<&Interface>, now: Option<&Interface>) -> bool {
    let (Some(before), Some(now)) = (before, now) else { return false };
    before.index == now.index && before.mac != now.mac
}

/// The interface's own address that adverts to a destination come from: not a virtual one, whoever put
/// it there, and not one that the kernel does not send from.
///
/// In IPv4 it is the first one; for a peer rather one of the peer's subnet. In IPv6 it is of the scope of
/// the destination: link-local for the group (RFC 9568 section 5.1.2.1).
fn source_towards(
    to: IpAddr,
    interface: &Interface,
    virtual_addresses: &[IpAddr],
) -> Option<IpAddr> {
    let own = |address: &&InstalledAddress| {
        Family::of(address.ip) == Family::of(to)
            && address.protocol != Some(MARK)
            && !address.tentative
            && !virtual_addresses.contains(&address.ip)
            && scope_fits(address.ip, to)
    };
    let candidates = || interface.addresses.iter().filter(own);
    let chosen = candidates()
        .find(|address| same_subnet(address.ip, to, address.prefix_len))
        .or_else(|| candidates().find(|address| !address.secondary))
        .or_else(|| candidates().next());
    chosen.map(|address| address.ip)
}

/// Whether an IPv6 address is one to reach the other from.
fn scope_fits(source: IpAddr, to: IpAddr) -> bool {
    let local = |ip: Ipv6Addr| {
        ip.is_unicast_link_local() || (ip.is_multicast() && ip.octets()[1] & 0x0f == 2)
    };
    match (source, to) {
        (IpAddr::V6(source), IpAddr::V6(to)) => local(source) == local(to),
        (IpAddr::V4(_) | IpAddr::V6(_), _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interface(addresses: &[(&str, u8)]) -> Interface {
        let installed = |&(ip, prefix_len): &(&str, u8)| InstalledAddress {
            ip: ip.parse().unwrap(),
            prefix_len,
            protocol: None,
            label: None,
            secondary: false,
            tentative: false,
        };
        let addresses = addresses.iter().map(installed).collect();
        Interface { index: 2, running: true, addresses, ..Interface::default() }
    }

    fn source(to: &str, interface: &Interface, virtual_addresses: &[&str]) -> Option<String> {
        let virtual_addresses: Vec<_> =
            virtual_addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        let source = source_towards(to.parse().unwrap(), interface, &virtual_addresses);
        source.map(|ip| ip.to_string())
    }

    #[test]
    fn adverts_come_from_the_interface_s_own_first_address() {
        let eth0 = interface(&[("192.0.2.100", 32), ("192.0.2.1", 24), ("198.51.100.1", 24)]);
        assert_eq!(source("224.0.0.18", &eth0, &["192.0.2.100"]).unwrap(), "192.0.2.1");
        assert_eq!(
            source("224.0.0.18", &interface(&[("192.0.2.100", 32)]), &["192.0.2.100"]),
            None
        );
    }

    #[test]
    fn a_peer_is_spoken_to_from_its_own_subnet() {
        let eth0 = interface(&[("192.0.2.1", 24), ("198.51.100.1", 24)]);
        assert_eq!(source("198.51.100.2", &eth0, &[]).unwrap(), "198.51.100.1");
        assert_eq!(source("203.0.113.9", &eth0, &[]).unwrap(), "192.0.2.1");
    }

    #[test]
    fn the_ipv6_group_is_spoken_to_from_a_link_local_address_that_does_not_move() {
        let own = ("fe80::50", 64);
        let eth0 = interface(&[("2001:db8::50", 64), ("fe80::200:5eff:fe00:201", 64), own]);
        let moving = ["fe80::200:5eff:fe00:201"];
        assert_eq!(source("ff02::12", &eth0, &moving).unwrap(), "fe80::50");
        assert_eq!(source("2001:db8::10", &eth0, &moving).unwrap(), "2001:db8::50");
        assert_eq!(source("fe80::10", &eth0, &moving).unwrap(), "fe80::50");
        assert_eq!(source("ff02::12", &interface(&[("2001:db8::50", 64)]), &[]), None);
    }

    #[test]
    fn nothing_is_sent_from_an_address_that_is_tentative_or_marked_as_ours() {
        let mut eth0 = interface(&[("fe80::50", 64), ("fe80::51", 64), ("fe80::52", 64)]);
        eth0.addresses[0].tentative = true;
        eth0.addresses[1].protocol = Some(MARK);
        assert_eq!(source("ff02::12", &eth0, &[]).unwrap(), "fe80::52");
    }
}
