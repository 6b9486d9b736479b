//! A run to be: hosts, weather, what is done when, and what is expected.

mod read;
mod write;

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::time::Duration;

pub use self::read::ReadError;
use super::bug::Bug;
use super::fault::{Fault, Weather};
use super::host::{HostModel, HostPlan};
use super::lan::Lan;
use super::random::{Chance, Random};
use super::spec::Spec;
use super::trace::TraceHash;
use crate::router::{ConfigError, RouterConfig};

/// A run to be, complete: the same scenario is the same run, bit for bit, on every machine.
///
/// It has a text, which [`Display`](core::fmt::Display) writes and [`FromStr`](core::str::FromStr) reads.
/// So a run that failed is saved and replayed.
///
/// ```
/// use carp_proto::sim::{Scenario, judge};
///
/// let text = "\
/// carp-scenario 1
/// seed 7
/// until 20s
/// weather delay 0s jitter 2ms loss 0% duplicate 0% reorder 0%
/// host left 10.99.0.1 fe80::1
/// router carp native id 1 advbase 1 advskew 0 addresses 192.168.130.100
/// host right 10.99.0.2 fe80::2
/// router carp native id 1 advbase 1 advskew 100 addresses 192.168.130.100
/// at 10s crash left
/// ";
/// let scenario: Scenario = text.parse()?;
/// let verdict = judge(&scenario)?;
/// assert_eq!(verdict.violation, None);
/// assert_eq!(judge(&scenario)?.hash, verdict.hash, "the same again");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// What chance is drawn from.
    pub seed: u64,
    /// The weather at the beginning.
    pub weather: Weather,
    /// The hosts, all of which boot at the beginning.
    pub hosts: Vec<HostSpec>,
    /// What is done, in the order of time.
    pub steps: Vec<Step>,
    /// When it ends, or if it is to settle, when all is made well.
    pub until: Duration,
    /// Whether all is made well at the end, and then one host must have everything in time.
    pub settles: bool,
    /// How often datagrams that every router rejects come with an advert: [`Lan::with_noise`].
    pub noise: Chance,
    /// Bugs that are planted, for tests of the oracle.
    pub bugs: Vec<(usize, Bug)>,
    /// The hash that the run had when it was saved.
    pub hash: Option<TraceHash>,
}

/// A host of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSpec {
    /// Its name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// How it works.
    pub model: HostModel,
    /// Its own addresses.
    pub sources: (Ipv4Addr, Ipv6Addr),
    /// Its routers, one for each link.
    pub routers: Vec<Spec>,
}

/// Something that is done at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The time since the beginning.
    pub at: Duration,
    /// What.
    pub fault: Fault,
}

impl Scenario {
    /// A scenario without steps, in fair weather, of a minute.
    #[must_use]
    pub fn new(seed: u64, hosts: Vec<HostSpec>) -> Self {
        Self {
            seed,
            weather: Weather::FAIR,
            hosts,
            steps: Vec::new(),
            until: Duration::from_secs(60),
            settles: true,
            noise: Chance::NEVER,
            bugs: Vec::new(),
            hash: None,
        }
    }

    /// The names of the hosts.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.hosts.iter().map(|host| host.name.as_str()).collect()
    }

    /// How many links there are.
    #[must_use]
    pub fn links(&self) -> usize {
        self.hosts.first().map_or(0, |host| host.routers.len())
    }

    /// Its LAN, before anything has happened.
    ///
    /// # Errors
    /// [`ScenarioError`] if there is no host, the hosts have different numbers of routers, a router is not valid, two
    /// hosts have one address of a family that is spoken, or a virtual one for their own, or a step is about a host or
    /// a link that there is not.
    pub fn lan(&self) -> Result<Lan, ScenarioError> {
        let links = self.links();
        if !(1..=32).contains(&self.hosts.len()) || !(1..=32).contains(&links) {
            return Err(ScenarioError::Size);
        }
        self.check_steps(links)?;
        let mut seeds = Random::new(self.seed ^ 0x5eed);
        let mut plans = Vec::new();
        for host in &self.hosts {
            if host.routers.len() != links {
                return Err(ScenarioError::Uneven);
            }
            let routers: Result<Vec<_>, _> =
                host.routers.iter().map(|spec| spec.config(seeds.next())).collect();
            let HostSpec { model, sources, .. } = *host;
            plans.push(HostPlan { model, sources, routers: routers? });
        }
        check_sources(&plans)?;
        let mut lan = Lan::new(&plans, self.weather, self.seed).with_noise(self.noise);
        for &(host, bug) in &self.bugs {
            if host < plans.len() {
                lan.plant(host, bug);
            }
        }
        Ok(lan)
    }

    /// Every step is about a host and a link that there are.
    fn check_steps(&self, links: usize) -> Result<(), ScenarioError> {
        let hosts = self.hosts.len();
        let is_of_another = |step: &&Step| {
            step.fault.host().is_some_and(|host| host >= hosts)
                || matches!(step.fault, Fault::Cut { to, .. } if to >= hosts)
        };
        if let Some(step) = self.steps.iter().find(is_of_another) {
            return Err(ScenarioError::NoSuchHost { at: step.at });
        }
        let goes_beyond = |step: &&Step| step.fault.link().is_some_and(|link| link >= links);
        if let Some(step) = self.steps.iter().find(goes_beyond) {
            return Err(ScenarioError::NoSuchLink { at: step.at, links });
        }
        Ok(())
    }
}

/// No two hosts have the same address of their own, and none has a virtual one for its own but the owner of VRRP. An
/// address of a family that no router speaks is nobody's concern.
fn check_sources(plans: &[HostPlan]) -> Result<(), ScenarioError> {
    let addresses = || plans.iter().flat_map(|it| &it.routers).flat_map(RouterConfig::addresses);
    let speaks = |ip: &IpAddr| addresses().any(|it| it.ip().is_ipv4() == ip.is_ipv4());
    let own = |plan: &HostPlan| [IpAddr::from(plan.sources.0), IpAddr::from(plan.sources.1)];
    for (number, plan) in plans.iter().enumerate() {
        for other in &plans[..number] {
            let shared = |ip: &IpAddr| speaks(ip) && own(other).contains(ip);
            if let Some(both) = own(plan).into_iter().find(shared) {
                return Err(ScenarioError::SameAddress(both));
            }
        }
        for router in plan.routers.iter().filter(|router| !router.standing().is_owner()) {
            let virtual_one = |ip: &IpAddr| router.addresses().iter().any(|it| it.ip() == *ip);
            if let Some(ip) = own(plan).into_iter().find(virtual_one) {
                return Err(ScenarioError::VirtualAddress(ip));
            }
        }
    }
    Ok(())
}

/// Why a scenario cannot be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// No host or no router, or too many.
    #[error("a scenario has 1 to 32 hosts, each with 1 to 32 routers")]
    Size,
    /// The hosts do not have the same links.
    #[error("every host has a router on every link")]
    Uneven,
    /// Two hosts have one address.
    #[error("two hosts have {0} as their own address: give each another one")]
    SameAddress(IpAddr),
    /// A host's own address is a virtual one, and its router is no owner of VRRP.
    #[error("a host has {0} as its own address, which is the virtual one: give it another one")]
    VirtualAddress(IpAddr),
    /// A step is about a host that there is not.
    #[error("what is done at {at:?} is about a host that there is not: add it, or leave that out")]
    NoSuchHost {
        /// The step's time.
        at: Duration,
    },
    /// A step is about a link that there is not.
    #[error(
        "what is done at {at:?} is about a link that there is not: they are numbered from 0 on, and there are {links}"
    )]
    NoSuchLink {
        /// The step's time.
        at: Duration,
        /// How many there are.
        links: usize,
    },
    /// A router is not valid.
    #[error(transparent)]
    Router(#[from] ConfigError),
}
