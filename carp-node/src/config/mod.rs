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
mod election;
mod error;
mod group;
mod host;
mod key;
mod known;
mod node;
mod read;
mod router;
mod settings;
mod source;
mod spec;
mod sync;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

pub use duration::{DurationError, format_duration, parse_duration};
pub use election::{Election, Unfit};
pub use error::{ConfigError, Diagnostic, Rendered, Severity};
pub use host::{Host, ProgramError, ThisHost};
pub use key::{KeyFile, KeyFileError, KeyKind, Secret, read_key_file, read_secret};
pub use settings::{Setting, Value};
pub use source::Location;
pub use spec::{
    AdvertMac, CarpSpec, FromFile, GroupSpec, HmacSpec, LeaseSpec, Mac, NodeSpec, Places,
    PreviousSpec, ProtocolSpec, RouterSpec, Timers, Vrrp2Spec, Vrrp3Spec,
};
pub use sync::SyncSpec;

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
    /// The tables `[group.NAME]` in the order of the file.
    pub groups: Vec<GroupSpec>,
    /// The tables `[sync.NAME]` in the order of the file.
    pub shares: Vec<SyncSpec>,
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

    /// The sync group of each router, in their order: an index. First come the [groups](Self::groups)
    /// of the file, then those that routers with two [elections](RouterSpec::elections) imply where
    /// they are in no other.
    #[must_use]
    pub fn sync_groups(&self) -> Vec<Option<usize>> {
        let mut implied = self.groups.len()..;
        let mut group = |router: &RouterSpec| {
            let written = self.groups.iter().position(|it| it.routers.contains(&router.name));
            written.or_else(|| (router.elections().len() > 1).then(|| implied.next()).flatten())
        };
        self.routers.iter().map(&mut group).collect()
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

    /// For each of our routers, in their order, that of another node which it shares its addresses with.
    #[must_use]
    pub fn counterparts<'a>(&self, peer: &'a Self) -> Vec<Option<&'a RouterSpec>> {
        compare::counterparts(self, peer)
    }
}

/// Reads a file, but no more than one byte beyond [`MAX_FILE_SIZE`]: that is enough to know that there are too many.
///
/// # Errors
/// What the system says.
pub fn read_limited(path: &Path) -> io::Result<Vec<u8>> {
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
