//! Who speaks: our daemon and the real peers, each configured as a careful administrator would.

mod frr;
mod keepalived;
mod ours;
mod ucarp;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use carp_node::lab::{Host, Process, Signal, wait_until};
use carp_proto::MacAddr;
use libtest_mimic::Failed;

use crate::support::{LIMIT, Tested};
use crate::variant::{ID, Rank, Variant};

/// A program that elects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Ours,
    Keepalived,
    Frr,
    Ucarp,
}

/// What a daemon is told.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) variant: Variant,
    pub(crate) rank: Rank,
    pub(crate) preempt: bool,
    pub(crate) seat: Seat,
    /// Where the other one is, and what runs there.
    pub(crate) other: Seat,
    pub(crate) faces: Kind,
    /// A folder of its own, for its configuration and what it writes.
    pub(crate) folder: PathBuf,
}

/// A place on the link: the last byte of its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat(pub(crate) u8);

/// A daemon that runs.
pub(crate) struct Running {
    /// The one that elects.
    daemon: Process,
    /// Those that it needs.
    helpers: Vec<Process>,
    listening: Listening,
}

/// How a daemon shows that it listens.
enum Listening {
    /// By a line that it prints.
    Line(&'static str),
    /// By its status: our own control socket.
    Status(PathBuf),
}

impl Seat {
    pub(crate) fn mac(self) -> MacAddr {
        carp_node::lab::mac(self.0)
    }

    pub(crate) fn ipv4(self) -> String {
        format!("192.168.130.{}", self.0)
    }

    pub(crate) fn link_local(self) -> String {
        format!("fe80::{}", self.0)
    }

    /// What the host has from its boot on.
    pub(crate) fn addresses(self) -> [String; 3] {
        [
            format!("{}/24", self.ipv4()),
            format!("{}/64", self.link_local()),
            format!("2001:db8:130::{}/64", self.0),
        ]
    }
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Ours, Self::Keepalived, Self::Frr, Self::Ucarp];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Keepalived => "keepalived",
            Self::Frr => "frr",
            Self::Ucarp => "ucarp",
        }
    }

    /// Its name for people.
    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Ours => "carp",
            Self::Keepalived => "keepalived",
            Self::Frr => "FRR",
            Self::Ucarp => "ucarp",
        }
    }

    /// Whether it says goodbye when it is stopped.
    pub(crate) const fn resigns(self) -> bool {
        match self {
            Self::Ours | Self::Keepalived | Self::Frr => true,
            Self::Ucarp => false,
        }
    }

    /// The link-layer address from which it answers for the virtual address.
    pub(crate) fn answers_from(self, variant: Variant, seat: Seat) -> MacAddr {
        let virtual_mac = match self {
            Self::Frr => true,
            Self::Ours | Self::Keepalived => variant == Variant::Vrrp3Vmac,
            Self::Ucarp => false,
        };
        if virtual_mac { variant.virtual_mac() } else { seat.mac() }
    }

    /// The link-layer address from which it advertises.
    pub(crate) fn advertises_from(self, variant: Variant, seat: Seat) -> MacAddr {
        match self {
            Self::Ucarp => MacAddr([0, 0, 0x5e, 0, 0, ID]),
            Self::Ours | Self::Keepalived | Self::Frr => self.answers_from(variant, seat),
        }
    }

    /// Starts it on a host.
    pub(crate) fn start(self, host: &Host, node: &Node) -> Result<Running, Failed> {
        fs::create_dir_all(&node.folder)?;
        match self {
            Self::Ours => ours::start(host, node),
            Self::Keepalived => keepalived::start(host, node),
            Self::Frr => frr::start(host, node),
            Self::Ucarp => ucarp::start(host, node),
        }
    }

    /// Its version, as it says itself, or as its package does.
    pub(crate) fn version(self) -> String {
        let mut command = match self {
            Self::Ours => crate::support::carp(),
            Self::Keepalived => Command::new(keepalived::PROGRAM),
            Self::Frr => Command::new(frr::VRRPD),
            // ucarp does not tell its version; Debian's package does.
            Self::Ucarp => {
                let mut query = Command::new("dpkg-query");
                query.args(["--show", "--showformat=${Version}", "ucarp"]);
                query
            }
        };
        if self != Self::Ucarp {
            command.arg("--version");
        }
        let said = command.output().map(|output| [output.stdout, output.stderr].concat());
        let said = String::from_utf8_lossy(&said.unwrap_or_default()).into_owned();
        let is_version = |word: &&str| {
            word.contains('.')
                && word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit())
        };
        let version = said.split_whitespace().find(is_version).unwrap_or("unknown");
        version.trim_start_matches('v').to_owned()
    }
}

impl Node {
    /// Writes a file into its folder.
    fn write(&self, name: &str, text: &str, mode: u32) -> Result<PathBuf, Failed> {
        let path = self.path(name);
        fs::write(&path, text)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Running {
    /// A daemon that prints `line` when it listens.
    fn with_line(daemon: Process, helpers: Vec<Process>, line: &'static str) -> Self {
        Self { daemon, helpers, listening: Listening::Line(line) }
    }

    /// Waits until it hears adverts.
    pub(crate) fn wait_until_listening(&self) -> Tested {
        match &self.listening {
            Listening::Line(line) => {
                self.daemon.wait_for_line(LIMIT, line)?;
            }
            Listening::Status(socket) => wait_until(LIMIT, "our daemon listens", || {
                self.daemon.exit_status().is_ok_and(|status| status.is_some())
                    || ours::listens(socket)
            })?,
        }
        Ok(self.daemon.expect_running("it listens")?)
    }

    /// Stops it as planned, and waits for its end.
    pub(crate) fn stop(&self) -> Tested {
        self.daemon.signal(Signal::TERM)?;
        self.daemon.wait(LIMIT)?;
        Ok(())
    }

    /// All that it and its helpers have said, for the message of a failure.
    pub(crate) fn said(&self) -> String {
        self.helpers.iter().chain([&self.daemon]).map(Process::said).collect()
    }
}

/// Fails with a remedy unless a peer is installed.
fn installed(program: &'static str) -> Result<&'static str, Failed> {
    if Path::new(program).is_file() {
        return Ok(program);
    }
    Err(format!("{program} is not installed: .ci/install-test-deps installs it").into())
}
