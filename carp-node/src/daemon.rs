//! A whole daemon from a configuration: what `carp run` is.

mod misfits;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use carp_proto::Family;
use rustix::rand::{GetRandomFlags, getrandom};
use thiserror::Error;

use crate::addresses::Record;
use crate::backend::Backend;
use crate::backend::linux::Linux;
use crate::config::{Config, Diagnostic, Election, RouterSpec};
use crate::control::proto::RankStatus;
use crate::control::{BindError, ControlSocket};
use crate::event::{self, EventRecord};
use crate::guard::Guard;
use crate::hooks::HookRouter;
use crate::lock::{LockError, RouterLock};
use crate::node::{Extras, GiveWay, Handle, Node, RouterSetup};
use crate::runner::Runner;
use crate::service::{self, Service, Setup};
use crate::sync::engine;

/// Why a daemon could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
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
        let problems = misfits::of(&config)
            .map_err(|source| StartError::System { what: "cannot ask the kernel", source })?;
        if !problems.is_empty() {
            return Err(StartError::Host(problems));
        }
        let locks = locks(&config)?;
        let control = ControlSocket::bind(socket)?;
        let runner = Runner::spawn().map_err(|error| error.to_string());
        let setups = setups(&config)
            .map_err(|source| StartError::System { what: "cannot set the routers up", source })?;
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
        let (give_way, giving_way) = service::giving_way();
        let extras = Extras {
            events: events.clone(),
            record: Record::open(&self.config.node.state_dir).telling(events.clone()),
            prepare: Some(prepare),
        };
        let (running, handle) = {
            let _context = runtime.enter();
            let held = held_seats(&self.config);
            let node = match &self.guard {
                Ok(guard) => start(guard.around(Linux), self.setups, extras, &held, give_way),
                Err(_) => start(Linux, self.setups, extras, &held, give_way),
            };
            node.map_err(system("cannot open the network"))?
        };
        let service = Setup {
            node: self.config.node.name.clone(),
            routers: hook_routers(&self.config),
            runner: self.runner,
            guard: self.guard,
            control: Some(self.control),
            events,
            inbox,
            takeovers,
            sync: sync_setup(&self.config),
            giving_way,
            show: Box::new(show),
        };
        let service = Service::start(service, handle, task)
            .map_err(system("cannot start the service thread"))?;
        runtime.block_on(running);
        service.finish().map_err(system("the service thread has failed"))
    }
}

/// How long a takeover may wait for a pass to end, and for an epoch to be on the disk.
const PREPARE_DATA: Duration = Duration::from_secs(10);

/// A node that runs when it is polled.
type Running = Pin<Box<dyn Future<Output = ()>>>;

/// A node, ready to run, whatever its backend.
fn start<B: Backend + 'static>(
    backend: B,
    setups: Vec<RouterSetup>,
    extras: Extras,
    held: &[usize],
    give_way: GiveWay,
) -> io::Result<(Running, Handle)> {
    let (mut node, handle) = Node::new(backend, setups, extras)?;
    node.begin_held(held);
    node.give_way_with(give_way);
    Ok((Box::pin(node.run()), handle))
}

/// One lock a router. Two routers of VRRP version 3 may share an id, one for each family, and then they
/// share the lock.
fn locks(config: &Config) -> Result<Vec<RouterLock>, LockError> {
    let key = |router: &RouterSpec| (router.interface.clone(), router.protocol(), router.id);
    let keys: BTreeSet<_> = config.routers.iter().map(key).collect();
    keys.iter()
        .map(|(interface, protocol, id)| RouterLock::take(interface, *protocol, *id))
        .collect()
}

/// What the node runs: every election of every router, in their order.
fn setups(config: &Config) -> io::Result<Vec<RouterSetup>> {
    let groups = config.sync_groups();
    let routers = config.routers.iter().zip(groups);
    let of = |(router, group): (&RouterSpec, _)| {
        let shares = config.shares.iter().any(|share| share.router == router.name);
        router_setups(router, group, shares)
    };
    routers
        .map(of)
        .collect::<io::Result<Vec<_>>>()
        .map(|setups| setups.into_iter().flatten().collect())
}

fn router_setups(
    router: &RouterSpec,
    group: Option<usize>,
    shares: bool,
) -> io::Result<Vec<RouterSetup>> {
    router.elections().iter().map(|election| setup(router, election, group, shares)).collect()
}

fn setup(
    router: &RouterSpec,
    election: &Election<'_>,
    group: Option<usize>,
    shares: bool,
) -> io::Result<RouterSetup> {
    let mut seed = [0; 8];
    getrandom(&mut seed, GetRandomFlags::empty())?;
    let config = election.config(u64::from_ne_bytes(seed)).map_err(io::Error::other)?;
    let before = router.hooks.before_active.as_ref().map(|_| router.hooks.timeout);
    let config = match (before, shares) {
        (None, false) => config,
        (before, shares) => {
            let data = if shares { PREPARE_DATA } else { Duration::ZERO };
            config.with_prepare(before.unwrap_or_default() + data)
        }
    };
    Ok(RouterSetup {
        name: election.name(),
        interface: router.interface.clone(),
        config,
        advert_mac: election.advert_mac(),
        place: election.place(),
        hold: router.hold,
        group,
        duplicate: router.duplicate,
        gateway: router.gateway.filter(|gateway| {
            let family = Family::of(*gateway);
            election.addresses().iter().any(|address| address.family() == family)
        }),
    })
}

/// What keeps the data in step, if any are to be.
fn sync_setup(config: &Config) -> Option<engine::Setup> {
    let seat = |router: &RouterSpec, election: &Election<'_>| {
        let rank = election.config(0).ok().map(|config| RankStatus::from(config.standing()));
        engine::Seat {
            name: election.name(),
            preempts: router.preempt,
            // A configuration that is no good has been refused before.
            rank: rank.unwrap_or(RankStatus::Vrrp { priority: 0 }),
        }
    };
    let seats = config.routers.iter().flat_map(|router| {
        router.elections().iter().map(|election| seat(router, election)).collect::<Vec<_>>()
    });
    (!config.shares.is_empty()).then(|| engine::Setup {
        node: config.node.name.clone(),
        state_dir: config.node.state_dir.clone(),
        shares: config.shares.clone(),
        seats: seats.collect(),
    })
}

/// The elections, by their numbers, that wait for their data before they take part in earnest.
fn held_seats(config: &Config) -> Vec<usize> {
    let waits = |router: &RouterSpec| {
        let mut shares = config.shares.iter().filter(|share| share.router == router.name);
        shares.any(|share| share.policy.require)
    };
    let of = |router: &RouterSpec| vec![waits(router); router.elections().len()];
    let seats = config.routers.iter().flat_map(of).enumerate();
    seats.filter(|(_, waits)| *waits).map(|(seat, _)| seat).collect()
}

/// The programs of what the node runs, in the same order.
fn hook_routers(config: &Config) -> Vec<HookRouter> {
    let of = |router: &RouterSpec| -> Vec<_> {
        router.elections().iter().map(|election| hook_router(router, election)).collect()
    };
    config.routers.iter().flat_map(of).collect()
}

fn hook_router(router: &RouterSpec, election: &Election<'_>) -> HookRouter {
    HookRouter {
        name: election.name(),
        interface: router.interface.clone(),
        addresses: election.addresses().iter().map(ToString::to_string).collect(),
        spec: router.hooks.clone(),
    }
}

#[cfg(test)]
mod tests;
