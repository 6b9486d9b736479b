//! A node: a daemon with a share, and an sshd that lets the other one read.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use carp_benches::Result;
use carp_benches::stats::millis;
use carp_node::lab::{Host, Lab, Process, Signal, Switch, mac, wait_until};
use carp_node::sync::rsync::command::{Care, Pass, Remote};
use carp_node::sync::rsync::ssh;
use carp_node::sync::rsync::version::{ARGUMENTS, Rsync};
use serde_json::Value;

const VIP: &str = "192.168.130.100";
const SHARE: &str = "www";

/// Long enough on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Secondary,
}

impl Role {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }

    const fn address(self) -> &'static str {
        match self {
            Self::Primary => "192.168.130.50",
            Self::Secondary => "192.168.130.10",
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Primary => Self::Secondary,
            Self::Secondary => Self::Primary,
        }
    }

    const fn router(self) -> &'static str {
        match self {
            Self::Primary => "advskew = 0\npreempt = true",
            Self::Secondary => "advskew = 100",
        }
    }
}

pub(crate) struct Node {
    role: Role,
    host: Host,
    carp: PathBuf,
    /// In memory, and short: sockets are in it.
    state: PathBuf,
    pub(crate) share: PathBuf,
    daemon: Option<Process>,
    sshd: Option<Process>,
}

impl Node {
    pub(crate) fn new(
        lab: &Lab,
        switch: &Switch,
        carp: &Path,
        role: Role,
        directory: &Path,
    ) -> Result<Self> {
        let last = if role == Role::Primary { 0x50 } else { 0x10 };
        let host = switch.host(role.name(), mac(last), &[&format!("{}/24", role.address())])?;
        let unique = directory.parent().and_then(Path::file_name).unwrap_or_default();
        let state = lab.directory().join(unique).join(role.name());
        let share = directory.join(SHARE);
        fs::create_dir_all(state.join("sync"))?;
        fs::create_dir_all(&share)?;
        let carp = carp.to_owned();
        let node = Self { role, host, carp, state, share, daemon: None, sshd: None };
        node.configure()?;
        for key in [node.key(), node.state.join("host_key")] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(key);
            succeeded(&keygen.output()?)?;
        }
        Ok(node)
    }

    fn key(&self) -> PathBuf {
        self.state.join("sync/id_ed25519")
    }

    fn configure(&self) -> Result<()> {
        let key = self.state.join("web.key");
        fs::write(&key, "secret")?;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600))?;
        let text = format!(
            "[node]\nname = \"{}\"\nstate_dir = \"{}\"\n[router.web]\nprotocol = \"carp\"\n\
             interface = \"eth0\"\nid = 1\naddresses = [\"{VIP}\"]\nkey_file = \"web.key\"\n{}\n\
             [sync.{SHARE}]\nrouter = \"web\"\npath = \"{}\"\npeer = \"{}\"\nevery = \"1s\"\n\
             quiesce = [\"/bin/true\"]\nunquiesce = [\"/bin/true\"]\n",
            self.role.name(),
            self.state.display(),
            self.role.router(),
            self.share.display(),
            self.role.other().address(),
        );
        Ok(fs::write(self.config(), text)?)
    }

    fn config(&self) -> PathBuf {
        self.state.join("carp.toml")
    }

    /// Lets the other one in, knows its host key, and starts sshd.
    pub(crate) fn know(&mut self, other: &Self) -> Result<()> {
        let read = |path: PathBuf| fs::read_to_string(path);
        let line = ssh::authorized_keys_line(
            &read(other.key().with_extension("pub"))?,
            other.role.address().parse()?,
            &self.state.join("sync/rsyncd.conf"),
        )?;
        fs::write(self.state.join("authorized_keys"), line)?;
        let host_key = read(other.state.join("host_key.pub"))?;
        let known = format!("{} {host_key}", other.role.address());
        fs::write(self.state.join("sync/known_hosts"), known)?;
        let config = format!(
            "ListenAddress {}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\n\
             PermitRootLogin forced-commands-only\nStrictModes no\nPasswordAuthentication no\n\
             # Or bash reads what root's ~/.bashrc says, which is this machine's own matter.\n\
             SetEnv SHLVL=2\n",
            self.role.address(),
            self.state.join("host_key").display(),
            self.state.join("authorized_keys").display(),
        );
        let file = self.state.join("sshd_config");
        fs::write(&file, config)?;
        fs::create_dir_all("/run/sshd")?;
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.arg("-D").arg("-e").arg("-f").arg(file);
        let sshd = self.host.spawn(sshd)?;
        sshd.wait_for_line(LIMIT, "listening on")?;
        self.sshd = Some(sshd);
        Ok(())
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        let mut command = Command::new(&self.carp);
        command.arg("run").arg("-c").arg(self.config()).arg("--socket").arg(self.socket());
        self.daemon = Some(self.host.spawn(command)?);
        wait_until(LIMIT, "the daemon answers", || self.status().is_some())?;
        Ok(())
    }

    pub(crate) fn stop(&mut self) -> Result<()> {
        if let Some(daemon) = self.daemon.take() {
            daemon.signal(Signal::TERM)?;
            daemon.wait(LIMIT)?;
        }
        Ok(())
    }

    fn socket(&self) -> PathBuf {
        self.state.join("sock")
    }

    fn ask(&self, arguments: &[&str]) -> Result<Output> {
        let mut carp = Command::new(&self.carp);
        Ok(carp.args(arguments).arg("--socket").arg(self.socket()).output()?)
    }

    pub(crate) fn sync(&self, arguments: &[&str]) -> Result<()> {
        succeeded(&self.ask(&[&["sync"], arguments].concat())?)
    }

    fn status(&self) -> Option<Value> {
        let output = self.ask(&["status", "--json"]).ok()?;
        serde_json::from_slice(&output.stdout).ok()
    }

    pub(crate) fn share_status(&self) -> Value {
        self.status().map(|status| status["sync"][0].clone()).unwrap_or_default()
    }

    pub(crate) fn state(&self) -> String {
        let state = self.status().map(|status| status["routers"][0]["state"].clone());
        state.and_then(|state| state.as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// rsync by hand, as the daemon calls it, over the same kept connection: how many milliseconds it takes.
    pub(crate) fn bare_pass(&self) -> Result<f64> {
        let said = Command::new("rsync").args(ARGUMENTS).output()?;
        let rsync = Rsync::parse(&said.stdout)?;
        let config = self.state.join("sync/ssh-0.conf");
        let remote = Remote {
            program: "rsync".into(),
            host: self.role.other().address().to_owned(),
            rsh: ssh::command(&config),
        };
        let pass = Pass {
            remote,
            module: SHARE.to_owned(),
            path: self.share.clone(),
            care: Care::Replace,
            max_delete: 100,
            attributes: true,
            bandwidth: None,
            compress: false,
            exclude: Vec::new(),
        };
        let argv = pass.argv(&rsync);
        let mut command = Command::new(argv.first().ok_or("no program")?);
        command.args(argv.iter().skip(1)).env("LC_ALL", "C");
        let began = Instant::now();
        let output = self.host.run_inside(move || command.output())??;
        let took = began.elapsed();
        succeeded(&output)?;
        Ok(millis(took))
    }

    /// The most memory that the daemon has had at once, in MiB (`VmHWM`).
    pub(crate) fn peak_memory(&self) -> Result<f64> {
        let daemon = self.daemon.as_ref().ok_or("no daemon")?;
        let status = fs::read_to_string(format!("/proc/{}/status", daemon.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_ascii_whitespace().next());
        let kib: f64 = kib.ok_or("no VmHWM")?.parse()?;
        Ok(kib / 1024.0)
    }
}

fn succeeded(output: &Output) -> Result<()> {
    if output.status.success() {
        return Ok(());
    }
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&said)).into())
}
