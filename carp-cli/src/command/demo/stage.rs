//! The hosts of the demo, and what runs on them.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use carp_node::lab::{Host, Lab, LabError, Process, Switch, mac};

use super::model::Who;
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

/// When the servers advertise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timers {
    advbase: u8,
    primary_skew: u8,
    secondary_skew: u8,
}

impl Timers {
    /// Timers for an advert interval of the primary; `None` if CARP has none.
    ///
    /// From one second on the secondary has a skew of 100, as in the paper; below, an eighth more than
    /// the primary.
    pub(super) fn from_interval(interval: Duration) -> Option<Self> {
        let whole = interval.subsec_nanos() == 0;
        if whole && (1..=10).contains(&interval.as_secs()) {
            let advbase = u8::try_from(interval.as_secs()).ok()?;
            return Some(Self { advbase, primary_skew: 0, secondary_skew: 100 });
        }
        let units = interval.as_nanos().checked_mul(256)? / 1_000_000_000;
        let exact = units * 1_000_000_000 == interval.as_nanos() * 256;
        let primary_skew = u8::try_from(units).ok().filter(|units| exact && *units > 0)?;
        let secondary_skew = primary_skew.checked_add(primary_skew.div_ceil(8))?;
        (secondary_skew < 255).then_some(Self { advbase: 0, primary_skew, secondary_skew })
    }

    /// The primary's advert interval.
    pub(super) fn interval(self) -> Duration {
        self.of(self.primary_skew).advert()
    }

    /// How long the secondary waits for an advert.
    pub(super) fn active_down(self) -> Duration {
        self.of(self.secondary_skew).active_down(3)
    }

    /// How long the primary waits for an advert.
    pub(super) fn primary_active_down(self) -> Duration {
        self.of(self.primary_skew).active_down(3)
    }

    /// The secondary's advert interval.
    pub(super) fn secondary_interval(self) -> Duration {
        self.of(self.secondary_skew).advert()
    }

    const fn of(self, advskew: u8) -> carp_proto::CarpInterval {
        carp_proto::CarpInterval { advbase: self.advbase, advskew }
    }
}

/// One of the two servers.
pub(super) struct Server {
    pub(super) host: Host,
    who: Who,
    config: PathBuf,
    pub(super) daemon: Option<Process>,
    web: Option<Process>,
}

impl Server {
    fn new(inside: &Lab, switch: &Switch, who: Who, settings: &str) -> Result<Self, LabError> {
        let (name, address) = (who.name(), who.address());
        let last = address.rsplit('.').next().and_then(|octet| octet.parse().ok()).unwrap_or(1);
        let host = switch.host(name, mac(last), &[&format!("{address}/24")])?;
        let config = configure(inside.directory(), name, settings)
            .map_err(|source| LabError::System { doing: format!("configure {name}"), source })?;
        Ok(Self { host, who, config, daemon: None, web: None })
    }

    /// Starts the web server and the daemon, and follows what that says.
    pub(super) fn start(&mut self, watch: &Watch) -> Result<(), LabError> {
        self.web = Some(self.host.serve_web()?);
        self.daemon = Some(self.host.spawn(daemon_command(&self.config))?);
        watch.follow(self.who, socket_of(&self.config))
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
}

impl Stage {
    pub(super) fn build(inside: &Lab, timers: Timers) -> Result<Self, LabError> {
        let switch = Switch::new(inside)?;
        let settings = |skew: u8, preempt: bool| {
            format!("advbase = {}\nadvskew = {skew}\npreempt = {preempt}\n", timers.advbase)
        };
        let first = settings(timers.primary_skew, true);
        let second = settings(timers.secondary_skew, false);
        Ok(Self {
            primary: Server::new(inside, &switch, Who::Primary, &first)?,
            secondary: Server::new(inside, &switch, Who::Secondary, &second)?,
            client: switch.host("client", mac(200), &[&format!("{CLIENT}/24")])?,
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

/// Writes what an operator would: a configuration and a key.
fn configure(directory: &Path, node: &str, settings: &str) -> std::io::Result<PathBuf> {
    let directory = directory.join(node);
    fs::create_dir_all(&directory)?;
    let key = directory.join("web.key");
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&key)?;
    file.write_all(PASSWORD.as_bytes())?;
    let config = directory.join("carp.toml");
    let text = format!(
        "[node]\nname = \"{node}\"\nstate_dir = \"{}\"\n\n[router.web]\nprotocol = \"carp\"\n\
         interface = \"eth0\"\nid = {ID}\naddresses = [\"{VIP}\"]\nkey_file = \"web.key\"\n{settings}",
        directory.display(),
    );
    fs::write(&config, text)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_become_timers_or_nothing() {
        let skews = |millis| {
            let timers = Timers::from_interval(Duration::from_millis(millis))?;
            Some((timers.advbase, timers.primary_skew, timers.secondary_skew))
        };
        assert_eq!(skews(1000), Some((1, 0, 100)));
        assert_eq!(skews(10_000), Some((10, 0, 100)));
        assert_eq!(skews(250), Some((0, 64, 72)));
        assert_eq!(skews(875), Some((0, 224, 252)));
        for impossible in [0, 100, 760, 1500, 11_000] {
            assert_eq!(skews(impossible), None, "{impossible} ms");
        }
    }
}
