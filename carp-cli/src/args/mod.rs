//! What was typed.

mod later;
mod packets;
mod sync;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use self::{
    later::Later,
    packets::{Decode, Digest, Scan, Sniff},
    sync::{Keep, RescueVerb, Sync, SyncCheck, SyncPair, SyncVerb},
};

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
    /// Draw the worst run as a figure: one that violates an invariant, made small, or the one longest without a holder
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Save the same run, for `carp replay`
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
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
