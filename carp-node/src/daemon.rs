//! A whole daemon from a configuration: what `carp run` is.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::pin::Pin;

use carp_proto::{AdvBase, AdvSkew, MacAddr, RouterConfig};
use rustix::rand::{GetRandomFlags, getrandom};
use thiserror::Error;

use crate::addresses::Record;
use crate::backend::linux::{Linux, NetlinkAddresses, interfaces};
use crate::backend::{AddressTable, Backend};
use crate::config::{AdvertMac, Config, Diagnostic, RouterSpec};
use crate::control::{BindError, ControlSocket};
use crate::event::{self, EventRecord};
use crate::guard::Guard;
use crate::hooks::HookRouter;
use crate::lock::{LockError, RouterLock};
use crate::node::{Extras, Handle, Node, RouterSetup};
use crate::runner::Runner;
use crate::service::{self, Service, Setup};

/// Why a daemon could not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The configuration does not fit this host.
    #[error("the configuration does not fit this host")]
    Host(Vec<Diagnostic>),
    /// Another daemon runs one of the routers.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The control socket cannot be had.
    #[error(transparent)]
    Control(#[from] BindError),
    /// The operating system refused.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
}

/// A daemon that holds everything for which it needs more than the two capabilities of its work:
/// locks, the control socket, the runner, the guard. No router runs yet.
#[derive(Debug)]
pub struct Daemon {
    config: Config,
    control: ControlSocket,
    runner: Result<Runner, String>,
    setups: Vec<RouterSetup>,
    guard: Result<Guard, String>,
    _locks: Vec<RouterLock>,
}

impl Daemon {
    /// Checks the configuration against this host, takes the locks, binds the control socket and
    /// starts the runner and the guard. Call it before threads are started.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn prepare(config: Config, socket: PathBuf) -> Result<Self, StartError> {
        let problems = misfits(&config)
            .map_err(|source| StartError::System { what: "cannot ask the kernel", source })?;
        if !problems.is_empty() {
            return Err(StartError::Host(problems));
        }
        let lock =
            |router: &RouterSpec| RouterLock::take(&router.interface, router.protocol, router.id);
        let locks = config.routers.iter().map(lock).collect::<Result<_, _>>()?;
        let control = ControlSocket::bind(socket)?;
        let runner = Runner::spawn().map_err(|error| error.to_string());
        let setups = config.routers.iter().map(setup).collect::<io::Result<Vec<_>>>();
        let setups = setups
            .map_err(|source| StartError::System { what: "cannot get random numbers", source })?;
        let guard = Guard::spawn(&setups).map_err(|error| error.to_string());
        Ok(Self { config, control, runner, setups, guard, _locks: locks })
    }

    /// Runs until [`Handle::stop`]. `task` is started beside it, for signals and the like; `show` is
    /// called for every event.
    ///
    /// # Errors
    /// [`StartError::System`].
    pub fn run<F>(
        self,
        show: impl Fn(&EventRecord) + Send + 'static,
        task: impl FnOnce(Handle) -> F + Send + 'static,
    ) -> Result<(), StartError>
    where
        F: Future<Output = ()> + 'static,
    {
        let system = |what| move |source| StartError::System { what, source };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(system("cannot start the protocol task"))?;
        let (events, inbox) = event::channel();
        let (prepare, takeovers) = service::takeovers();
        let extras = Extras {
            events: events.clone(),
            record: Record::open(&self.config.node.state_dir),
            prepare: Some(prepare),
        };
        let (running, handle) = {
            let _context = runtime.enter();
            let node = match &self.guard {
                Ok(guard) => start(guard.around(Linux), self.setups, extras),
                Err(_) => start(Linux, self.setups, extras),
            };
            node.map_err(system("cannot open the network"))?
        };
        let service = Setup {
            node: self.config.node.name.clone(),
            routers: self.config.routers.iter().map(hook_router).collect(),
            runner: self.runner,
            guard: self.guard,
            control: Some(self.control),
            events,
            inbox,
            takeovers,
            show: Box::new(show),
        };
        let service = Service::start(service, handle, task)
            .map_err(system("cannot start the service thread"))?;
        runtime.block_on(running);
        service.finish().map_err(system("the service thread has failed"))
    }
}

/// A node that runs when it is polled.
type Running = Pin<Box<dyn Future<Output = ()>>>;

/// A node, ready to run, whatever its backend.
fn start<B: Backend + 'static>(
    backend: B,
    setups: Vec<RouterSetup>,
    extras: Extras,
) -> io::Result<(Running, Handle)> {
    let (node, handle) = Node::new(backend, setups, extras)?;
    Ok((Box::pin(node.run()), handle))
}

fn setup(spec: &RouterSpec) -> io::Result<RouterSetup> {
    let mut seed = [0; 8];
    getrandom(&mut seed, GetRandomFlags::empty())?;
    let valid = || -> Result<RouterConfig, Box<dyn std::error::Error + Send + Sync>> {
        let addresses = spec.addresses.clone();
        let seed = u64::from_ne_bytes(seed);
        let advbase = AdvBase::new(spec.interval.advbase.into())?;
        let advskew = AdvSkew::new(spec.interval.advskew.into())?;
        Ok(RouterConfig::carp(spec.id, &spec.key, addresses, seed)?
            .with_interval(spec.dialect, advbase, advskew)?
            .with_preempt(spec.preempt)
            .with_announce(spec.announce)
            .with_handover(spec.handover))
    };
    let config = valid().map_err(io::Error::other)?;
    let config = match spec.hooks.before_active {
        Some(_) => config.with_prepare(spec.hooks.timeout),
        None => config,
    };
    Ok(RouterSetup {
        advert_mac: match spec.advert_mac {
            AdvertMac::Interface => None,
            AdvertMac::Virtual => Some(MacAddr::virtual_router(spec.id)),
            AdvertMac::Ucarp => Some(MacAddr::ucarp(spec.id)),
        },
        ..RouterSetup::new(&spec.name, &spec.interface, config)
    })
}

fn hook_router(spec: &RouterSpec) -> HookRouter {
    HookRouter {
        name: spec.name.clone(),
        interface: spec.interface.clone(),
        addresses: spec.addresses.iter().map(ToString::to_string).collect(),
        spec: spec.hooks.clone(),
    }
}

/// Where the configuration names what this host has not, or cannot have.
fn misfits(config: &Config) -> io::Result<Vec<Diagnostic>> {
    let present = interfaces()?;
    let mut table = NetlinkAddresses::open()?;
    let mut problems = Vec::new();
    for router in &config.routers {
        let interface = &router.interface;
        if !present.contains(interface) {
            let problem =
                router.places.interface.error(format!("there is no interface {interface}"));
            problems.push(problem.with_help(format!("this host has {}", present.join(", "))));
            continue;
        }
        let installed = table.list(interface)?;
        for (address, place) in router.addresses.iter().zip(&router.places.addresses) {
            let edge =
                installed.iter().find_map(|own| edge_of(own.ip, own.prefix_len, address.ip()));
            if let Some(edge) = edge {
                let text =
                    format!("{} is the {edge} address of a subnet of {interface}", address.ip());
                let help = "no host can have it: choose an address between the two ends";
                problems.push(place.error(text).with_help(help));
            }
        }
    }
    Ok(problems)
}

/// Whether an address is the first or last of the subnet of an interface's own address, which no host
/// can have. Subnets of one or two addresses have no such ends (RFC 3021).
fn edge_of(own: IpAddr, prefix_len: u8, address: IpAddr) -> Option<&'static str> {
    let (IpAddr::V4(own), IpAddr::V4(address)) = (own, address) else { return None };
    if prefix_len == 0 || prefix_len > 30 {
        return None;
    }
    let hosts = u32::MAX >> prefix_len;
    let network = own.to_bits() & !hosts;
    if address == Ipv4Addr::from_bits(network) {
        Some("network")
    } else if address == Ipv4Addr::from_bits(network | hosts) {
        Some("broadcast")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_subnet_belong_to_nobody() {
        let own = IpAddr::from([192, 168, 130, 50]);
        assert_eq!(edge_of(own, 24, IpAddr::from([192, 168, 130, 0])), Some("network"));
        assert_eq!(edge_of(own, 24, IpAddr::from([192, 168, 130, 255])), Some("broadcast"));
        assert_eq!(edge_of(own, 24, IpAddr::from([192, 168, 130, 100])), None);
        assert_eq!(edge_of(own, 25, IpAddr::from([192, 168, 130, 127])), Some("broadcast"));
        assert_eq!(edge_of(own, 31, IpAddr::from([192, 168, 130, 51])), None);
    }
}
