//! A link and hosts that exist in memory only, with a clock that somebody else turns.
//!
//! For tests of everything above the backend: a [`Lan`] connects any number of [`MemoryHost`]s, each
//! of which is a [`Backend`]. The same node runs on it as on Linux.

mod clock;
mod host;
mod state;
mod table;
mod traffic;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use carp_proto::{Instant, MacAddr};

pub use self::clock::MemoryClock;
pub use self::host::{Halt, MemoryHost, Mishap};
use self::state::{Arrival, HostState, installed};
use super::{Neighbour, Saying};

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

/// The link-layer address of a host: `02:00:00:00:00:NUMBER`, counted from 1 in the order in which they were
/// made.
fn mac(index: usize) -> MacAddr {
    MacAddr([2, 0, 0, 0, 0, u8::try_from(index + 1).unwrap_or(u8::MAX)])
}
