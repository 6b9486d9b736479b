//! Two servers with one daemon each, a client, and the wire between them.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use carp_benches::Result;
use carp_node::lab::{Host, Lab, Process, Switch, mac};

use crate::contender::{Candidate, Contender, Role};

/// The address that is kept alive.
pub(crate) const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 130, 100));

/// The only interface of a lab host.
pub(crate) const INTERFACE: &str = "eth0";

/// How long anything may take before a round counts as broken: far longer than every theory.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The pair, and who asks.
pub(crate) struct Rack<'a> {
    pub(crate) switch: Switch,
    pub(crate) primary: Server<'a>,
    pub(crate) secondary: Server<'a>,
    pub(crate) client: Host,
}

/// One server of the pair.
pub(crate) struct Server<'a> {
    pub(crate) host: Host,
    pub(crate) role: Role,
    candidate: &'a Candidate,
    folder: PathBuf,
    echo: Option<Process>,
    daemon: Option<Process>,
}

impl<'a> Rack<'a> {
    /// A rack on which nothing runs yet. `name` is that of a folder of its own.
    pub(crate) fn new(lab: &Lab, candidate: &'a Candidate, name: &str) -> Result<Self> {
        let switch = Switch::new(lab)?;
        let folder = lab.directory().join(name);
        let server = |role: Role, last: u8| -> Result<Server<'a>> {
            let host = switch.host(role.name(), mac(last), &[&format!("{}/24", role.address())])?;
            let folder = folder.join(role.name());
            Ok(Server { host, role, candidate, folder, echo: None, daemon: None })
        };
        Ok(Self {
            primary: server(Role::Primary, 50)?,
            secondary: server(Role::Secondary, 10)?,
            client: switch.host("client", mac(200), &["192.168.130.200/24"])?,
            switch,
        })
    }

    /// Starts both servers, the primary first, and waits until that has the address.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.primary.start()?;
        self.primary.wait_for_address()?;
        self.secondary.start()
    }
}

impl Server<'_> {
    /// Starts the echo server and the daemon.
    pub(crate) fn start(&mut self) -> Result<()> {
        self.echo = Some(self.host.serve_echo(VIP)?);
        let command = self.candidate.command(&self.folder, self.role)?;
        self.daemon = Some(self.host.spawn(command)?);
        Ok(())
    }

    /// Which daemon it runs.
    pub(crate) fn contender(&self) -> Contender {
        self.candidate.contender
    }

    /// The daemon's process.
    pub(crate) fn daemon(&self) -> Result<&Process> {
        Ok(self.daemon.as_ref().ok_or("the daemon was not started")?)
    }

    pub(crate) fn wait_for_address(&self) -> Result<()> {
        let what = format!("the {} to take the address", self.role.name());
        wait_for(&what, || {
            self.daemon()?.expect_running(&what)?;
            Ok(self.host.has_address(VIP)?.then_some(()))
        })
    }
}

/// Waits until `look` finds something; an error ends the wait.
pub(crate) fn wait_for<T>(what: &str, look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let found = look_for(LIMIT, look)?;
    found.ok_or_else(|| format!("waited {} s in vain for {what}", LIMIT.as_secs()).into())
}

/// Looks until `look` finds something, but not for longer than this; an error ends the wait.
pub(crate) fn look_for<T>(
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let end = Instant::now() + limit;
    loop {
        let found = look()?;
        if found.is_some() || Instant::now() >= end {
            return Ok(found);
        }
        // Seldom: whoever looks takes the time of those who are measured.
        std::thread::sleep(Duration::from_millis(10));
    }
}
