//! The configuration: what was written, checked as a whole, and what it means.
//!
//! A configuration is TOML. [`Config::load`] reads one from a file, [`Config::parse`] from memory.
//! Both report everything that is wrong, not the first thing only: each [`Diagnostic`] names its
//! place as `file:line:column`. A [`Config`] that exists is valid as far as one file can tell;
//! whether the interface exists, say, is known when it runs, and the [`Places`] of a router are kept
//! for messages about such things.
//!
//! ```no_run
//! use carp_node::config::Config;
//!
//! let loaded = Config::load("/etc/carp/carp.toml".as_ref())?;
//! for warning in &loaded.warnings {
//!     eprint!("{warning}");
//! }
//! # Ok::<(), carp_node::config::ConfigError>(())
//! ```

mod compare;
mod conflicts;
mod duration;
mod error;
mod host;
mod key;
mod known;
mod node;
mod read;
mod router;
mod settings;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use carp_proto::election::{AnnouncePlan, Dialect};
use carp_proto::{CarpInterval, Key, Protocol, VirtualAddress, VirtualId};

pub use duration::{DurationError, format_duration, parse_duration};
pub use error::{ConfigError, Diagnostic, Rendered, Severity};
pub use host::{Host, ProgramError, ThisHost};
pub use key::{KeyFile, KeyFileError, read_key_file};
pub use settings::{Setting, Value};
pub use source::Location;

use crate::hooks::HookSpec;
use settings::Written;

/// The largest configuration file: 1 MiB.
pub const MAX_FILE_SIZE: usize = 1 << 20;

/// A valid configuration of one node.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// `[node]`.
    pub node: NodeSpec,
    /// The tables `[router.NAME]` in the order of the file. At least one.
    pub routers: Vec<RouterSpec>,
}

/// `[node]`: what holds for the whole daemon.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NodeSpec {
    /// `name`: what the node calls itself in status, events and pages. By default the hostname.
    pub name: String,
    /// `state_dir`: where things are kept over restarts. Absolute; by default `/var/lib/carp`.
    pub state_dir: PathBuf,
    pub(crate) written: Written,
}

/// `[router.NAME]`: one virtual router.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouterSpec {
    /// The NAME of the table: 1 to 32 of `A-Z a-z 0-9 . _ -`, unique in the configuration.
    pub name: String,
    /// `protocol`: at present always [`Protocol::Carp`].
    pub protocol: Protocol,
    /// `interface`: where adverts are sent and heard, and where the addresses live. A name that
    /// Linux takes for an interface; whether there is one is not known here.
    pub interface: String,
    /// `id`: the VHID. Unique in the configuration together with interface and protocol.
    pub id: VirtualId,
    /// `addresses`, in the order in which they are written. Never empty, no duplicates.
    pub addresses: Vec<VirtualAddress>,
    /// `key_file`, with a relative path completed by the directory of the configuration file.
    pub key_file: PathBuf,
    /// What the key file held.
    pub key: Key,
    /// `advbase` and `advskew`.
    pub interval: CarpInterval,
    /// `dialect`.
    pub dialect: Dialect,
    /// `preempt`: whether the router takes over from a worse one that is active.
    pub preempt: bool,
    /// `announce`.
    pub announce: AnnouncePlan,
    /// `handover`: the longest time for which two routers have the addresses on a planned stop.
    /// 0 to 60 s; by default (`auto`) the advert interval and one second.
    pub handover: Duration,
    /// `advert_mac`: the source link-layer address of the adverts.
    pub advert_mac: AdvertMac,
    /// `[router.NAME.on]`: programs that run when the state changes. Each is a list of arguments, run
    /// without a shell, that begins with the absolute path of the program.
    pub hooks: HookSpec,
    /// Where the parts of the router are written.
    pub places: Places,
    pub(crate) written: Written,
}

impl RouterSpec {
    /// How long a backup with this rank waits for an advert before it takes over: the detection
    /// time.
    #[must_use]
    pub fn active_down(&self) -> Duration {
        self.interval.active_down(self.dialect.policy().dead_factor)
    }
}

/// The source link-layer address of adverts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdvertMac {
    /// The one of the interface.
    #[default]
    Interface,
    /// `00:00:5e:00:01:ID`, as the BSDs' CARP and VRRP have it.
    Virtual,
    /// `00:00:5e:00:00:ID`, as ucarp has it.
    Ucarp,
}

impl AdvertMac {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Interface, Self::Virtual, Self::Ucarp];

    /// The name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::Virtual => "virtual",
            Self::Ucarp => "ucarp",
        }
    }
}

impl fmt::Display for AdvertMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where the parts of a router are written, for messages about what turns out later.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Places {
    /// The header `[router.NAME]`.
    pub table: Location,
    /// The value of `interface`.
    pub interface: Location,
    /// The value of `id`.
    pub id: Location,
    /// The value of `key_file`.
    pub key_file: Location,
    /// Each element of `addresses`, in the same order as [`RouterSpec::addresses`].
    pub addresses: Vec<Location>,
}

/// A configuration that can be used, and what is doubtful about it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Diagnostics of severity [`Severity::Warning`], in the order of the file.
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// Reads and checks a configuration file, and the key files that it names.
    ///
    /// # Errors
    /// [`ConfigError`] with every error that was found, and with the warnings; also if the file
    /// cannot be read.
    pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
        let bytes = read_limited(path).map_err(|error| unreadable(path, &error))?;
        Self::parse(&path.display().to_string(), &bytes, &ThisHost)
    }

    /// Checks the text of a configuration. `file` is how messages call it, and the directory in it
    /// is where relative paths begin; everything else outside of the text comes from `host`.
    ///
    /// # Errors
    /// [`ConfigError`] with every error that was found, and with the warnings.
    pub fn parse(file: &str, text: &[u8], host: &dyn Host) -> Result<Loaded, ConfigError> {
        read::parse(file, text, host)
    }

    /// What does not fit together in the configurations of two nodes that share routers: `self` is
    /// this node's, `peer` the other's. Places are those of this node's file.
    ///
    /// Errors are differences that keep two routers from hearing each other; warnings are what is
    /// allowed but seldom wanted.
    #[must_use]
    pub fn compare(&self, peer: &Self) -> Vec<Diagnostic> {
        compare::compare(self, peer)
    }
}

/// One byte more than allowed is enough to know that there are too many.
fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_FILE_SIZE).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    let file = path.display().to_string();
    let help = match error.kind() {
        io::ErrorKind::NotFound => {
            "name an existing file, or write one: `carp check --help` shows the least that it needs"
        }
        io::ErrorKind::PermissionDenied => "run this as root, or as the user that carp runs as",
        _ => "a configuration is a regular file of TOML",
    };
    let message = format!("the configuration cannot be read: {}", plain(error));
    Diagnostic::of_file(&file, message).with_help(help).into()
}

/// An I/O error in our style: lower case, without the number.
fn plain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such file or directory".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::IsADirectory => "it is a directory".to_owned(),
        kind => kind.to_string(),
    }
}
