//! `carp sync` and its verbs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::DEFAULT_CONFIG;

/// `carp sync`.
#[derive(Debug, Args)]
pub(crate) struct Sync {
    #[command(subcommand)]
    pub(crate) verb: SyncVerb,
    /// The daemon's control socket, for the verbs that ask it: not for check and pair [default: /run/carp/control.sock]
    #[arg(long, value_name = "PATH", global = true)]
    pub(crate) socket: Option<PathBuf>,
}

/// The verbs of `carp sync`. The share need not be named where there is one only, or where only one can be meant: the
/// one that is held, that waits for approval, or that has this rescue set.
#[derive(Debug, Subcommand)]
pub(crate) enum SyncVerb {
    /// Show how far behind the standby is, and what goes on; exits with 1 if a share is held
    Status {
        /// Only this share
        name: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Twice a second, until it is interrupted; a terminal shows the latest only
        #[arg(long)]
        watch: bool,
    },
    /// Begin a pass now, on the standby
    Now {
        /// The share
        name: Option<String>,
    },
    /// Have the other node hand over to this one: how the address returns with failback = "manual"
    #[command(after_help = "\
On the node that is to serve: writers on the other one stand still, the last changes are copied, and this one
takes over. It waits for the share's handover_timeout (15 s) at most until everything is ready, and then until the
addresses are here. If that does not work out, the other node serves on, and it exits with 1; with 6 if this node
may not take over, and says what is missing.")]
    Failback {
        /// A share of the router
        name: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Pull nothing any more on this node, until it is released; it outlasts restarts and changes of roles
    Hold {
        /// The share
        name: Option<String>,
        /// Why, for others to read
        #[arg(long, value_name = "TEXT", conflicts_with = "release")]
        reason: Option<String>,
        /// Undo it
        #[arg(long)]
        release: bool,
    },
    /// Show what a pass would change here
    Diff {
        /// The share
        name: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Say which tree counts, where both sides wrote; the other side's versions are kept
    #[command(after_help = "\
On the node whose share is held. `--keep local` works on the node that serves, too; `--keep peer` does not, because
it would replace what is being served.")]
    Resolve {
        /// The share
        name: Option<String>,
        /// Which one
        #[arg(long, value_enum)]
        keep: Keep,
    },
    /// What passes would have overwritten or deleted, and was kept
    Rescue {
        #[command(subcommand)]
        verb: RescueVerb,
    },
    /// Let one pass delete more files than the limit, on the standby whose share is held for that
    Approve {
        /// The share
        name: Option<String>,
    },
    /// Look for what could keep a share from being copied, and compare both trees; needs no daemon here
    #[command(after_help = "\
Run it on both nodes: each looks at its own rsync, key, disk and markers, and at the other one as it is reached.
Both trees are compared by the checksums of all files, which reads all of them; --fast leaves that out.
Exits with 1 if a share cannot be copied.")]
    Check(SyncCheck),
    /// Make two nodes known to each other: a key, the peer's host key, and the line that lets the key in
    #[command(after_help = "\
On each node once, as root:
  carp sync pair                     # prints a command for the other node, and fixes its host key
  carp sync pair --authorize 'LINE'  # what the other node has printed

The key can read the shares and the node's record, and do nothing else. Running it again changes nothing.")]
    Pair(SyncPair),
}

/// `carp sync check`.
#[derive(Debug, Args)]
pub(crate) struct SyncCheck {
    /// The share; all if none is named
    pub(crate) name: Option<String>,
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub(crate) config: PathBuf,
    /// Compare no trees
    #[arg(long)]
    pub(crate) fast: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `carp sync pair`.
#[derive(Debug, Args)]
pub(crate) struct SyncPair {
    /// The configuration
    #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
    pub(crate) config: PathBuf,
    /// Let the other node in, with the line that it has printed; "-" reads it from stdin
    #[arg(long, value_name = "LINE", conflicts_with = "fingerprint")]
    pub(crate) authorize: Option<String>,
    /// The fingerprint of the peer's host key, as somebody has read it there
    #[arg(long, value_name = "SHA256:…")]
    pub(crate) fingerprint: Option<String>,
}

/// Which tree counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keep {
    /// The one on this node.
    Local,
    /// The one on the other node.
    Peer,
}

/// The verbs of `carp sync rescue`.
#[derive(Debug, Subcommand)]
pub(crate) enum RescueVerb {
    /// List the sets
    List {
        /// The share; all if none is named
        name: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show what is in a set, orphans first
    Show {
        /// The set
        set: String,
        /// The share
        name: Option<String>,
        /// Print the report
        #[arg(long)]
        json: bool,
    },
    /// Move an entry back into the share, on the node that serves
    Restore {
        /// The set
        set: String,
        /// The path, as the set shows it
        path: String,
        /// Another place in the share
        #[arg(long, value_name = "PATH")]
        to: Option<String>,
        /// The share
        name: Option<String>,
    },
    /// Say that the orphans of a set are of no more use
    Ack {
        /// The set
        set: String,
        /// The share
        name: Option<String>,
    },
    /// Remove the sets that nobody waits for and that are older than 30 days, and the oldest above 10 GiB
    #[command(after_help = "\
A set is waited for as long as it has orphans that nobody has acknowledged (`carp sync rescue ack`), and while its
pass has not ended: that is never removed. The daemon does the same once a day.")]
    Prune {
        /// The share; all if none is named
        name: Option<String>,
        /// All that nobody waits for, however young they are
        #[arg(long)]
        all: bool,
    },
}
