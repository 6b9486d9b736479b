//! The hosts of the demo, and what runs on them.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use carp_node::lab::{Host, Lab, LabError, Process, Switch, mac};

use super::model::Who;
use super::pages::{Pages, SHARE};
use super::timers::{KEY_FILE, Timers};
use super::watch::Watch;

/// The virtual address.
pub(super) const VIP: &str = "192.168.130.100";
/// The primary's own address.
pub(super) const PRIMARY: &str = "192.168.130.50";
/// The secondary's own address.
pub(super) const SECONDARY: &str = "192.168.130.10";
/// How often the client asks.
pub(super) const ASKS_EVERY: Duration = Duration::from_millis(5);
const CLIENT: &str = "192.168.130.200";
const ID: u8 = 1;
const PASSWORD: &str = "secret";

/// One of the two servers.
pub(super) struct Server {
    pub(super) host: Host,
    who: Who,
    config: PathBuf,
    pub(super) daemon: Option<Process>,
    /// What serves others: pages to clients, and files to the other server.
    services: Vec<Process>,
}

impl Server {
    fn new(inside: &Lab, switch: &Switch, who: Who, timers: Timers) -> Result<Self, LabError> {
        let (name, address) = (who.name(), who.address());
        let last = address.rsplit('.').next().and_then(|octet| octet.parse().ok()).unwrap_or(1);
        let host = switch.host(name, mac(last), &[&format!("{address}/24")])?;
        let config = configure(inside, who, timers)
            .map_err(|source| LabError::System { doing: format!("configure {name}"), source })?;
        Ok(Self { host, who, config, daemon: None, services: Vec::new() })
    }

    /// Starts the web server, what the other server copies files through, and the daemon, and follows what
    /// that says.
    pub(super) fn start(&mut self, watch: &Watch) -> Result<(), LabError> {
        let shell = self.host.serve_shell(&forced_command(&self.config))?;
        self.services = vec![self.host.serve_web()?, shell];
        self.daemon = Some(self.host.spawn(daemon_command(&self.config))?);
        watch.follow(self.who, self.socket())
    }

    /// The daemon's control socket.
    pub(super) fn socket(&self) -> PathBuf {
        socket_of(&self.config)
    }

    /// Fails, with what the daemon said, if it has ended.
    pub(super) fn expect_daemon(&self, what: &str) -> Result<(), LabError> {
        self.daemon.as_ref().map_or(Ok(()), |daemon| daemon.expect_running(what))
    }
}

/// The stage: hosts on a switch.
pub(super) struct Stage {
    pub(super) switch: Switch,
    pub(super) primary: Server,
    pub(super) secondary: Server,
    pub(super) client: Host,
    pub(super) pages: Pages,
}

impl Stage {
    pub(super) fn build(inside: &Lab, timers: Timers) -> Result<Self, LabError> {
        let switch = Switch::new(inside)?;
        let server = |who| Server::new(inside, &switch, who, timers);
        Ok(Self {
            primary: server(Who::Primary)?,
            secondary: server(Who::Secondary)?,
            client: switch.host("client", mac(200), &[&format!("{CLIENT}/24")])?,
            pages: Pages::new(Who::ALL.map(|who| tree_of(&directory_of(inside, who)))),
            switch,
        })
    }
}

/// This very program, as a server's daemon.
fn daemon_command(config: &Path) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg("run").arg("-c").arg(config);
    command.arg("--socket").arg(socket_of(config));
    command
}

/// The control socket of the daemon with this configuration.
fn socket_of(config: &Path) -> PathBuf {
    config.with_extension("sock")
}

/// What a server's key runs for the other server, as `authorized_keys` says it: see docs/sync.md.
fn forced_command(config: &Path) -> Vec<OsString> {
    let conf = config.with_file_name(STATE).join("sync").join("rsyncd.conf");
    let mut option = OsString::from("--config=");
    option.push(conf);
    vec!["rsync".into(), "--server".into(), "--daemon".into(), option, ".".into()]
}

/// Where a server keeps what it remembers, beside its configuration.
const STATE: &str = "state";

/// Where a server has its configuration, its state, and its pages.
fn directory_of(inside: &Lab, who: Who) -> PathBuf {
    inside.directory().join(who.name())
}

fn tree_of(directory: &Path) -> PathBuf {
    directory.join("files").join(SHARE)
}

/// Writes what an operator would: a configuration and a key, which VRRP does not use; and an empty share.
fn configure(inside: &Lab, who: Who, timers: Timers) -> io::Result<PathBuf> {
    let directory = directory_of(inside, who);
    let tree = tree_of(&directory);
    fs::create_dir_all(&tree)?;
    let key = directory.join(KEY_FILE);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key)?;
    file.write_all(PASSWORD.as_bytes())?;
    let config = directory.join("carp.toml");
    let text = format!(
        "[node]\nname = \"{}\"\nstate_dir = \"{}\"\n\n[router.web]\ninterface = \"eth0\"\n\
         id = {ID}\naddresses = [\"{VIP}\"]\n{}\n[sync.{SHARE}]\nrouter = \"web\"\n\
         path = \"{}\"\npeer = \"{}\"\nrsh = [\"{}\"]\nevery = \"1s\"\npeer_alive_veto = {}\n",
        who.name(),
        directory.join(STATE).display(),
        timers.settings(who),
        tree.display(),
        who.other().address(),
        inside.remote_shell()?.display(),
        timers.outlast_a_word(),
    );
    fs::write(&config, text)?;
    Ok(config)
}
