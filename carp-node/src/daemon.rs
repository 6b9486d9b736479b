//! A whole daemon from a configuration: what `carp run` is.

mod misfits;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;

use rustix::rand::{GetRandomFlags, getrandom};
use thiserror::Error;

use crate::addresses::Record;
use crate::backend::Backend;
use crate::backend::linux::Linux;
use crate::config::{Config, Diagnostic, Election, RouterSpec};
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
        let extras = Extras {
            events: events.clone(),
            record: Record::open(&self.config.node.state_dir).telling(events.clone()),
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
            routers: hook_routers(&self.config),
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
    let of = |(router, group)| router_setups(router, group);
    routers
        .map(of)
        .collect::<io::Result<Vec<_>>>()
        .map(|setups| setups.into_iter().flatten().collect())
}

fn router_setups(router: &RouterSpec, group: Option<usize>) -> io::Result<Vec<RouterSetup>> {
    router.elections().iter().map(|election| setup(router, election, group)).collect()
}

fn setup(
    router: &RouterSpec,
    election: &Election<'_>,
    group: Option<usize>,
) -> io::Result<RouterSetup> {
    let mut seed = [0; 8];
    getrandom(&mut seed, GetRandomFlags::empty())?;
    let config = election.config(u64::from_ne_bytes(seed)).map_err(io::Error::other)?;
    let config = match router.hooks.before_active {
        Some(_) => config.with_prepare(router.hooks.timeout),
        None => config,
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
    })
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
