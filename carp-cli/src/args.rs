//! What was typed.

use std::path::PathBuf;

use carp_proto::VirtualAddress;
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Keeps a service's address alive on two or more Linux servers.
#[derive(Debug, Parser)]
#[command(
    name = "carp",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  carp demo                          see it work, on this machine, without root
  carp check /etc/carp/carp.toml     is the configuration right?
  carp run -c /etc/carp/carp.toml    the daemon
  carp status                        what is"
)]
pub(crate) struct Cli {
    /// When to colour messages.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    /// If it is a terminal and `NO_COLOR` is not set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Where the daemon listens.
#[derive(Debug, Args)]
pub(crate) struct Socket {
    /// The daemon's control socket.
    #[arg(
        id = "socket",
        long = "socket",
        value_name = "PATH",
        global = true,
        default_value = carp_node::control::DEFAULT_SOCKET
    )]
    pub(crate) path: PathBuf,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole system on this machine: two servers, their pages, a client, a crash, a failback
    #[command(after_help = "\
On a terminal it is redrawn in place. Into a pipe, with NO_COLOR, or on a terminal below 60x23 it prints a
line an event; into a pipe with --color always, one picture at the end.

Pages are edited on whichever server is active; a table at the end says where they are. Needs rsync, and no
root where the kernel allows user namespaces. Nothing is left behind.")]
    Demo {
        /// Print one JSON object instead of a timeline
        #[arg(long)]
        json: bool,
        /// Draw the run as a figure: states, answers, outages, theory
        #[arg(long, value_name = "FILE.svg")]
        plot: Option<PathBuf>,
        /// What the servers elect by
        #[arg(long, value_enum, default_value_t = DemoProtocol::Carp)]
        protocol: DemoProtocol,
        /// The time between two adverts
        #[arg(long, value_name = "TIME", default_value = "1s", value_parser = duration)]
        interval: std::time::Duration,
    },
    /// Run the daemon, in the foreground
    #[command(after_help = "\
Signals: TERM and INT hand over and stop, USR1 shows the status on stderr, USR2 yields.")]
    Run {
        /// The configuration
        #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
        #[command(flatten)]
        socket: Socket,
    },
    /// Check a configuration
    Check(Check),
    /// Show what is
    #[command(after_help = "\
With --exit-state: 0 active, 10 backup, 11 init, 12 fault or drained, 13 conflict; of several routers
the worst.")]
    Status {
        /// Only this router
        name: Option<String>,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
        /// Exit with a code that tells the state
        #[arg(long)]
        exit_state: bool,
        #[command(flatten)]
        socket: Socket,
    },
    /// Show what was
    Events {
        /// Go on with what comes
        #[arg(short, long)]
        follow: bool,
        /// Print one JSON object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        socket: Socket,
    },
    /// Hand over to another router now, and do not preempt until it fails or 60 s have passed
    Yield {
        /// The router
        name: String,
        #[command(flatten)]
        socket: Socket,
    },
    /// Remove the addresses that a dead daemon left (for `ExecStopPost`)
    Cleanup {
        /// The configuration
        #[arg(short, long, value_name = "FILE", default_value = DEFAULT_CONFIG)]
        config: PathBuf,
    },
    /// Make a key for a router
    #[command(after_help = "\
Example: carp keygen /etc/carp/web.key, and copy the file to the other servers.")]
    Keygen {
        /// Where to write it, readable by its owner only; without, it is printed
        file: Option<PathBuf>,
    },
    /// Read the adverts in a capture, or in hex
    Decode(Decode),
    /// Show the adverts on a link as they pass
    Sniff(Sniff),
    /// List who speaks CARP or VRRP on a link, and which ids are free
    Scan(Scan),
    /// Play the elections of configurations in virtual time, thousands of times
    Simulate(Simulate),
    /// Play a saved run of `simulate` once more, as a transcript
    #[command(after_help = "\
Exits with 1 if an invariant is violated, or the run is another one than was saved.")]
    Replay {
        /// What `carp simulate --save` wrote
        recording: PathBuf,
        /// Draw the run as a figure
        #[arg(long, value_name = "FILE.svg")]
        plot: Option<PathBuf>,
    },
    /// Data that follow the active router
    Sync(Sync),
    #[command(flatten)]
    Later(Later),
}

/// `carp check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 0 if the configuration is valid, 3 if not, and with --strict 4 if there are warnings.

The least that a configuration needs:
  [router.web]
  protocol  = \"carp\"
  interface = \"eth0\"
  id        = 1
  addresses = [\"192.168.130.100\"]
  key_file  = \"/etc/carp/web.key\"")]
pub(crate) struct Check {
    /// The configuration
    pub(crate) file: PathBuf,
    /// Print every effective value, and what follows from the timers
    #[arg(long)]
    pub(crate) explain: bool,
    /// Compare with the configuration of another node
    #[arg(long, value_name = "FILE")]
    pub(crate) peer_config: Option<PathBuf>,
    /// Exit with 4 if there are warnings
    #[arg(long)]
    pub(crate) strict: bool,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `carp decode`.
#[derive(Debug, Args)]
#[command(after_help = "\
Reads every packet of IP protocol 112, also inside IP AH, from pcap and pcapng captures of Ethernet,
VLANs, Linux's \"any\" interface, loopback and raw IP. Hex can be a message, an IP packet or an Ethernet
frame; on stdin and in files also a dump of packets by tcpdump -x, xxd or hexdump -C.

A line has the number of the frame, the time of day in UTC, sender and receiver, and what the packet
says; what is unusual comes last, after a \"!\". With --json, times have their date.

With --key-file and --address, the digests of CARP are checked: the key and all virtual addresses of the
router, whatever its VHID. Without, authentication is \"unchecked\". VRRP's passwords and signatures are
named, not checked.

A bad packet is no failure. Exits with 1 if the input cannot be read, or not to its end.

Examples:
  tcpdump -i eth0 -w lan.pcap proto 112
  carp decode lan.pcap
  carp decode lan.pcap --key-file /etc/carp/web.key --address 192.168.130.100
  tcpdump -i eth0 -U -w - proto 112 | carp decode -
  carp decode lan.pcap --json | jq 'select(.checksum == \"bad\")'")]
pub(crate) struct Decode {
    /// A capture, "-" for stdin, or hex digits
    #[arg(value_name = "FILE|-|HEX")]
    pub(crate) input: std::ffi::OsString,
    #[command(flatten)]
    pub(crate) digest: Digest,
    /// Print one JSON object for each packet
    #[arg(long)]
    pub(crate) json: bool,
}

/// What the digests of CARP adverts are checked with.
#[derive(Debug, Args)]
pub(crate) struct Digest {
    /// Check CARP's digests with this key
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// A virtual address of the CARP router, for its digest (repeat for each, of both families)
    #[arg(long = "address", value_name = "IP")]
    pub(crate) addresses: Vec<VirtualAddress>,
}

/// `carp sniff`.
#[derive(Debug, Args)]
#[command(after_help = "\
Shows every packet of IP protocol 112, also inside IP AH, in both directions, as \"carp decode\" does. It
sends nothing: it joins no group, and asks the network card alone to let the adverts in. Needs CAP_NET_RAW.

Ends on INT and TERM, after --count packets or after --for a time, and says on stderr how many packets it
saw and how many the kernel had to drop.

Examples:
  carp sniff -i eth0
  carp sniff -i eth0 -w lan.pcap --for 1m
  carp sniff -i eth0 --count 1 --json")]
pub(crate) struct Sniff {
    /// The interface
    #[arg(short, long, value_name = "IF")]
    pub(crate) interface: String,
    /// Write the packets to a pcap file too, each as soon as it is there
    #[arg(short, long, value_name = "FILE")]
    pub(crate) write: Option<PathBuf>,
    /// End after so many packets
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this time
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) time: Option<std::time::Duration>,
    #[command(flatten)]
    pub(crate) digest: Digest,
    /// Print one JSON object for each packet
    #[arg(long)]
    pub(crate) json: bool,
}

/// `carp scan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Listens, sends nothing, and lists who speaks CARP or VRRP: only active routers speak, backups are silent.
The dialects are guesses; each has its reason. The ids that nobody was heard to use are free as far as that
tells. Needs CAP_NET_RAW, except with --read.

4 s are enough for intervals of 1 s: within them, every active router speaks at least twice, and if one dies
just before, its successor has spoken. For slower routers listen longer, four times their interval.

Exits with 0 also when nobody was heard.

Examples:
  carp scan -i eth0
  carp scan -i eth0 --for 30s --json | jq '.free_ids'
  carp scan -i eth0 --key-file /etc/carp/web.key --address 192.168.130.100
  carp scan --read lan.pcap")]
#[group(id = "place", required = true, multiple = false, args = ["interface", "read"])]
pub(crate) struct Scan {
    /// The interface
    #[arg(short, long, value_name = "IF")]
    pub(crate) interface: Option<String>,
    /// A capture in place of an interface, "-" for stdin
    #[arg(short, long, value_name = "FILE")]
    pub(crate) read: Option<PathBuf>,
    /// How long to listen
    #[arg(long = "for", value_name = "TIME", default_value = "4s", value_parser = duration,
        conflicts_with = "read")]
    pub(crate) time: std::time::Duration,
    #[command(flatten)]
    pub(crate) digest: Digest,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// `carp simulate`.
#[derive(Debug, Args)]
#[command(after_help = "\
A scenario is a small TOML file that names the configuration of each node, and what happens when:
docs/simulation.md. Without one, two servers are played of which the primary dies. Nothing is sent, and no
key is needed.

Exits with 1 if an invariant is violated in any run, 3 if the scenario is not valid.

Examples:
  carp simulate
  carp simulate lossy.toml --runs 10000 --json
  carp simulate lossy.toml --plot worst.svg --save worst.run && carp replay worst.run")]
pub(crate) struct Simulate {
    /// The scenario
    pub(crate) file: Option<PathBuf>,
    /// What chance is drawn from: the same seed gives the same runs
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// How often it is played
    #[arg(long, value_name = "N", default_value_t = 1000,
        value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub(crate) runs: u64,
    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Draw the worst run as a figure
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Save the worst run, for `carp replay`
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
}

/// `carp sync`.
#[derive(Debug, Args)]
pub(crate) struct Sync {
    #[command(subcommand)]
    pub(crate) verb: SyncVerb,
    #[command(flatten)]
    pub(crate) socket: Socket,
}

/// The verbs of `carp sync`. Where there is one share only, it need not be named.
#[derive(Debug, Subcommand)]
pub(crate) enum SyncVerb {
    /// Show how far behind the standby is, and what goes on; exits with 1 if a share is held
    Status {
        /// Only this share
        name: Option<String>,
        /// Print one JSON array
        #[arg(long)]
        json: bool,
        /// Again and again
        #[arg(long)]
        watch: bool,
    },
    /// Begin a pass now
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
    /// Pull nothing any more, until it is released
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
    /// Let one pass delete more files than the limit
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
        /// The share
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
    /// Remove the sets that are old, or too many, and that nobody waits for
    Prune {
        /// The share
        name: Option<String>,
    },
}

/// What `carp demo` can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DemoProtocol {
    /// CARP.
    Carp,
    /// VRRP version 2.
    Vrrp2,
    /// VRRP version 3.
    Vrrp3,
}

impl DemoProtocol {
    /// The name in a configuration.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Carp => "carp",
            Self::Vrrp2 => "vrrp2",
            Self::Vrrp3 => "vrrp3",
        }
    }
}

impl std::fmt::Display for DemoProtocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Carp => "CARP",
            Self::Vrrp2 => "VRRP version 2",
            Self::Vrrp3 => "VRRP version 3",
        })
    }
}

/// Commands of the contract that answer "not supported yet", whatever follows them.
#[derive(Debug, Subcommand)]
pub(crate) enum Later {
    #[command(hide = true)]
    /// What a change of the configuration would do
    Plan(Anything),
    #[command(hide = true)]
    /// Apply a changed configuration
    Reload(Anything),
    #[command(hide = true)]
    /// Keep a change
    Confirm(Anything),
    #[command(hide = true)]
    /// A live view
    Watch(Anything),
    #[command(hide = true)]
    /// Why a router is what it is
    Explain(Anything),
    #[command(hide = true)]
    /// Take a router out of service
    Drain(Anything),
    #[command(hide = true)]
    /// Put a router back into service
    Resume(Anything),
    #[command(hide = true)]
    /// Take over from a healthy active router
    Promote(Anything),
    #[command(hide = true)]
    /// Announce the addresses again
    Announce(Anything),
    #[command(hide = true)]
    /// Databases that follow the active router
    Db(Anything),
    #[command(hide = true)]
    /// Follow the routers of a link
    Observe(Anything),
    #[command(hide = true)]
    /// Look for what could keep a router from working
    Doctor(Anything),
    #[command(hide = true)]
    /// Take over another program's configuration
    Import(Anything),
    #[command(hide = true)]
    /// Write a first configuration
    Init(Anything),
    #[command(hide = true)]
    /// Completions for a shell
    Completions(Anything),
    #[command(hide = true)]
    /// The manual page
    Man(Anything),
}

/// Arguments that are not looked at.
#[derive(Debug, Args)]
pub(crate) struct Anything {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _arguments: Vec<std::ffi::OsString>,
}

impl Later {
    /// The command, as it is typed.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Plan(_) => "carp plan",
            Self::Reload(_) => "carp reload",
            Self::Confirm(_) => "carp confirm",
            Self::Watch(_) => "carp watch",
            Self::Explain(_) => "carp explain",
            Self::Drain(_) => "carp drain",
            Self::Resume(_) => "carp resume",
            Self::Promote(_) => "carp promote",
            Self::Announce(_) => "carp announce",
            Self::Db(_) => "carp db",
            Self::Observe(_) => "carp observe",
            Self::Doctor(_) => "carp doctor",
            Self::Import(_) => "carp import",
            Self::Init(_) => "carp init",
            Self::Completions(_) => "carp completions",
            Self::Man(_) => "carp man",
        }
    }
}

const DEFAULT_CONFIG: &str = "/etc/carp/carp.toml";

fn duration(text: &str) -> Result<std::time::Duration, String> {
    carp_node::config::parse_duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
