//! The daemons that are compared: how each is configured, started, and what its timers promise.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use carp_benches::Result;
use clap::ValueEnum;

use crate::rack::{INTERFACE, VIP};

/// The secondary waits three intervals and this many 256ths of one, whatever daemon it runs: VRRP says
/// it by a priority of 100, CARP by a skew of 156, and the address moves at the same moment in theory.
const SKEW: u8 = 156;
const PRIORITY: u8 = 100;

/// What the daemons of CARP share.
pub(crate) const KEY: &str = "secret";

/// From the last advert of the primary to the takeover by the secondary (RFC 9568 section 6.1, and CARP
/// alike): 3.609375 s.
pub(crate) const ACTIVE_DOWN: Duration = Duration::from_nanos(3_609_375_000);

/// A daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Contender {
    /// Ours, with CARP.
    Carp,
    /// keepalived, with VRRPv3.
    Keepalived,
    /// ucarp.
    Ucarp,
}

/// A server of the pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Primary,
    Secondary,
}

/// How our daemon is configured. The others know one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// CARP, as the secondary's timers above want it.
    Usual,
    /// VRRP version 3, with the same timers.
    Vrrp3,
    /// CARP, and the primary advertises about ten times a second: an interval of [`QUICK`].
    Quick,
}

/// The skew of a primary that advertises that often, and its interval.
const QUICK_SKEW: u8 = 26;
pub(crate) const QUICK: Duration = Duration::from_nanos(3_906_250 * QUICK_SKEW as u64);

/// A daemon that is installed.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) contender: Contender,
    pub(crate) manner: Manner,
    pub(crate) program: PathBuf,
    pub(crate) version: String,
}

impl Contender {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Carp => "carp",
            Self::Keepalived => "keepalived",
            Self::Ucarp => "ucarp",
        }
    }
}

impl Role {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Secondary => "secondary",
        }
    }

    /// What it is while nothing happens.
    pub(crate) const fn state(self) -> &'static str {
        match self {
            Self::Primary => "active",
            Self::Secondary => "backup",
        }
    }

    /// Its own address.
    pub(crate) const fn address(self) -> IpAddr {
        let last = match self {
            Self::Primary => 50,
            Self::Secondary => 10,
        };
        IpAddr::V4(Ipv4Addr::new(192, 168, 130, last))
    }
}

/// Those of the wanted daemons that are there, ours first. A peer that is not installed is left out, and
/// that is said; unless it was asked for by name.
pub(crate) fn installed(carp: &Path, only: &[Contender]) -> Result<Vec<Candidate>> {
    let mut found = Vec::new();
    for &contender in Contender::value_variants() {
        if !(only.is_empty() || only.contains(&contender)) {
            continue;
        }
        let program = match contender {
            Contender::Carp => Some(carp.to_owned()),
            Contender::Keepalived | Contender::Ucarp => find(contender.name()),
        };
        match program {
            Some(program) => {
                let version = version(contender, &program)?;
                let manner = Manner::Usual;
                found.push(Candidate { contender, manner, program, version });
            }
            None if only.is_empty() => {
                eprintln!("{} is not installed, and left out", contender.name());
            }
            None => return Err(format!("{} is not installed", contender.name()).into()),
        }
    }
    Ok(found)
}

/// A program on the path of root.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    folders.map(|folder| Path::new(folder).join(program)).find(|path| path.is_file())
}

fn version(contender: Contender, program: &Path) -> Result<String> {
    let output = match contender {
        // ucarp does not tell its version; Debian's package does.
        Contender::Ucarp => {
            Command::new("dpkg-query").args(["-W", "-f=${Version}", "ucarp"]).output()
        }
        Contender::Carp | Contender::Keepalived => Command::new(program).arg("--version").output(),
    }?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let is_version = |word: &&str| {
        let digits = word.strip_prefix('v').unwrap_or(word);
        digits.starts_with(|first: char| first.is_ascii_digit()) && digits.contains('.')
    };
    let word = said.split_whitespace().find(is_version).unwrap_or("of unknown version");
    Ok(word.trim_start_matches('v').to_owned())
}

impl Candidate {
    /// The same program in another manner.
    pub(crate) fn with(&self, manner: Manner) -> Self {
        Self { manner, ..self.clone() }
    }

    /// What it elects by.
    pub(crate) const fn protocol(&self) -> &'static str {
        match (self.contender, self.manner) {
            (Contender::Keepalived, _) | (Contender::Carp, Manner::Vrrp3) => "VRRPv3",
            (Contender::Ucarp, _) | (Contender::Carp, Manner::Usual | Manner::Quick) => "CARP",
        }
    }

    /// The command that runs the daemon as the primary or the secondary. What it needs is written into
    /// `folder`; what a daemon of a machine that died left there is removed, as at a boot.
    pub(crate) fn command(&self, folder: &Path, role: Role) -> Result<Command> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(folder)?;
        match self.contender {
            Contender::Carp => self.carp(folder, role),
            Contender::Keepalived => self.keepalived(folder, role),
            Contender::Ucarp => self.ucarp(folder, role),
        }
    }

    fn carp(&self, folder: &Path, role: Role) -> Result<Command> {
        write(&folder.join("web.key"), 0o600, KEY)?;
        let carp = |base: u8, skew: u8| {
            format!(
                "protocol = \"carp\"\nkey_file = \"web.key\"\nadvbase = {base}\nadvskew = {skew}"
            )
        };
        let vrrp3 = |priority: u8| format!("protocol = \"vrrp3\"\npriority = {priority}");
        let rank = match (self.manner, role) {
            (Manner::Usual, Role::Primary) => carp(1, 0),
            (Manner::Quick, Role::Primary) => carp(0, QUICK_SKEW),
            (Manner::Usual | Manner::Quick, Role::Secondary) => carp(1, SKEW),
            (Manner::Vrrp3, Role::Primary) => vrrp3(200),
            (Manner::Vrrp3, Role::Secondary) => vrrp3(PRIORITY),
        };
        let preempt = role == Role::Primary;
        let config = folder.join("carp.toml");
        let text = format!(
            "[node]\nname = \"{}\"\nstate_dir = \"{}\"\n\n\
             [router.web]\n{rank}\ninterface = \"{INTERFACE}\"\nid = 1\n\
             addresses = [\"{VIP}\"]\npreempt = {preempt}\n",
            role.name(),
            folder.display(),
        );
        write(&config, 0o644, &text)?;
        let mut command = Command::new(&self.program);
        command.arg("run").arg("-c").arg(config).arg("--socket").arg(folder.join("control.sock"));
        Ok(command)
    }

    fn keepalived(&self, folder: &Path, role: Role) -> Result<Command> {
        let priority = match role {
            Role::Primary => 200,
            Role::Secondary => PRIORITY,
        };
        let config = folder.join("keepalived.conf");
        let text = format!(
            "global_defs {{\n  router_id {}\n  vrrp_version 3\n}}\n\
             vrrp_instance web {{\n  interface {INTERFACE}\n  virtual_router_id 1\n  state BACKUP\n  \
             priority {priority}\n  advert_int 1\n  virtual_ipaddress {{\n    {VIP}/32\n  }}\n}}\n",
            role.name(),
        );
        write(&config, 0o644, &text)?;
        let mut command = Command::new(&self.program);
        command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]).arg(config);
        for (option, file) in [("--pid", "keepalived.pid"), ("--vrrp_pid", "vrrp.pid")] {
            command.arg(option).arg(folder.join(file));
        }
        Ok(command)
    }

    fn ucarp(&self, folder: &Path, role: Role) -> Result<Command> {
        let script = |name: &str, verb: &str| -> Result<PathBuf> {
            let path = folder.join(name);
            let text = format!("#!/bin/sh\nexec ip address {verb} {VIP}/32 dev \"$1\"\n");
            write(&path, 0o755, &text)?;
            Ok(path)
        };
        let mut command = Command::new(&self.program);
        command.args(["-i", INTERFACE, "-v", "1", "-p", KEY, "-b", "1", "-z"]);
        command.arg("-a").arg(VIP.to_string()).arg("-s").arg(role.address().to_string());
        command.arg("-u").arg(script("up", "add")?).arg("-d").arg(script("down", "del")?);
        match role {
            Role::Primary => command.args(["-k", "0", "-P"]),
            Role::Secondary => command.args(["-k", &SKEW.to_string()]),
        };
        Ok(command)
    }
}

fn write(path: &Path, mode: u32, text: &str) -> Result<()> {
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}
