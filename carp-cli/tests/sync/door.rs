//! Real sshd in front of each node of a pair. With `SYNC_SSH`, and root, every test reaches the other node through it, and not by
//! a script that runs the key's command.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use carp_node::lab::{Host, Process};
use libtest_mimic::Failed;

use crate::scene::shell;
use crate::ssh::left_out;
use crate::support::Rack;

/// Whether tests go through doors.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os("SYNC_SSH").is_some() && !left_out("SYNC_SSH")
}

/// A lag that a standby keeps to. A login takes a part of a second, and one rests from a pass three times as long as it took.
pub(crate) fn max_lag() -> &'static str {
    if is_wanted() { "8s" } else { "2s" }
}

/// A node as others reach it.
pub(crate) struct Door<'a> {
    pub(crate) rack: &'a Rack,
    pub(crate) host: &'a Host,
    pub(crate) name: &'static str,
    pub(crate) address: &'a str,
}

impl Door<'_> {
    fn file(&self, name: &str) -> PathBuf {
        self.rack.path(&format!("{}.ssh", self.name)).join(name)
    }

    /// Makes its host key, and the key that it logs in with.
    pub(crate) fn make_keys(&self) -> Result<(), Failed> {
        fs::create_dir(self.file(""))?;
        for key in ["host", "id"] {
            let file = self.file(key);
            shell(&format!("ssh-keygen -q -t ed25519 -N '' -f '{}'", file.display()))?;
        }
        Ok(())
    }

    /// What the key runs that the other one has.
    pub(crate) fn command(&self) -> String {
        let conf = self.rack.path(&format!("{}.state/sync/rsyncd.conf", self.name));
        format!("rsync --server --daemon --config={} .", conf.display())
    }

    /// Lets the other one in, as `carp sync pair` does it, and starts sshd. Lasts as long as what is returned.
    pub(crate) fn open(&self, other: &Self) -> Result<Process, Failed> {
        let key = fs::read_to_string(other.file("id.pub"))?;
        // Whatever root's own shell does at a login is not what is tested.
        let line = format!("restrict,environment=\"HOME=/\",command=\"{}\" {key}", self.command());
        fs::write(self.file("authorized_keys"), line)?;
        let config = format!(
            "Port 22\nHostKey {}\nAuthorizedKeysFile {}\nPermitRootLogin forced-commands-only\n\
             PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM no\nStrictModes no\n\
             PermitUserEnvironment yes\nPidFile none\nClientAliveInterval 2\n",
            self.file("host").display(),
            self.file("authorized_keys").display(),
        );
        fs::write(self.file("sshd_config"), config)?;
        fs::create_dir_all("/run/sshd")?;
        let mut sshd = Command::new("/usr/sbin/sshd");
        sshd.arg("-D").arg("-e").arg("-f").arg(self.file("sshd_config"));
        Ok(self.host.spawn(sshd)?)
    }

    /// How this node calls the other one: words of a shell.
    pub(crate) fn call(&self, other: &Self) -> Result<String, Failed> {
        let host_key = fs::read_to_string(other.file("host.pub"))?;
        fs::write(self.file("known_hosts"), format!("{} {host_key}", other.address))?;
        let mut config = format!("Host {}\nHostName {}\n", other.name, other.address);
        for (key, value) in [
            ("IdentityFile", self.file("id").display().to_string()),
            ("UserKnownHostsFile", self.file("known_hosts").display().to_string()),
            ("GlobalKnownHostsFile", "none".to_owned()),
            ("User", "root".to_owned()),
            ("BatchMode", "yes".to_owned()),
            ("ConnectTimeout", "5".to_owned()),
            ("ServerAliveInterval", "2".to_owned()),
        ] {
            let _ = writeln!(config, "{key} {value}");
        }
        let file = self.file("config");
        fs::write(&file, config)?;
        Ok(format!("ssh -F {} {} rsync", file.display(), other.name))
    }
}
