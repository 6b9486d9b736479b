//! What renewing leases costs: 255 addresses of one router, IPv4 and IPv6.
//!
//! First the renewal alone, as the address thread does it, in this process. Then a whole daemon beside one
//! without leases: the difference is what leases cost it, with the thread that watches addresses. System
//! calls are counted by strace at the end. See `docs/performance.md`.

mod daemon;
mod renewal;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;
use std::time::Duration;

use carp_benches::program::{self, Measured};
use carp_benches::stats::Spread;
use carp_benches::{Result, machine};
use carp_node::lab::{Host, Lab, Switch, mac};
use clap::Parser;

/// Measures what it costs to renew the leases of a router's addresses.
#[derive(Debug, Parser)]
#[command(name = "lease")]
struct Arguments {
    /// How many addresses the router has
    #[arg(long, default_value_t = 255, value_parser = clap::value_parser!(u8).range(1..))]
    addresses: u8,
    /// How often the renewal alone is timed
    #[arg(long, default_value_t = 200)]
    rounds: usize,
    /// For how long each daemon is watched, in seconds
    #[arg(long, default_value_t = 30)]
    steady: u64,
    #[command(flatten)]
    measured: Measured,
}

#[derive(Clone, Copy, Debug)]
enum Family {
    Ipv4,
    Ipv6,
}

impl Family {
    fn addresses(self, count: u8) -> Vec<IpAddr> {
        let address = |last: u8| match self {
            Self::Ipv4 => IpAddr::V4(Ipv4Addr::new(10, 7, 0, last)),
            Self::Ipv6 if last == 1 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x100)),
            Self::Ipv6 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into())),
        };
        (1..=count).map(address).collect()
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

fn main() -> ExitCode {
    program::run(measure)
}

fn measure(lab: &Lab, arguments: &Arguments) -> Result<()> {
    let carp = arguments.measured.carp()?;
    println!("{}\n", machine::describe());
    println!("| addresses: {} | IPv4 | IPv6 |\n|---|---|---|", arguments.addresses);
    let families = [Family::Ipv4, Family::Ipv6];
    let timed = families.map(|family| {
        renewal::time(&host(lab)?, &family.addresses(arguments.addresses), arguments.rounds)
    });
    let [four, six] = both(timed)?;
    println!("| renewal alone, ms | {} | {} |", spread(four), spread(six));
    let time = Duration::from_secs(arguments.steady);
    let watched = families.map(|family| {
        let name = family.to_string();
        daemon::watch(lab, &carp, &name, &family.addresses(arguments.addresses), time)
    });
    let [four, six] = both(watched)?;
    for (what, figure) in daemon::FIGURES {
        println!("| {what} | {} | {} |", figure(&four), figure(&six));
    }
    Ok(())
}

fn both<T>([one, other]: [Result<T>; 2]) -> Result<[T; 2]> {
    Ok([one?, other?])
}

/// A host with addresses of its own to advertise from.
fn host(lab: &Lab) -> Result<Host> {
    let addresses = ["192.168.130.50/24", "fe80::50/64"];
    Ok(Switch::new(lab)?.host("primary", mac(0x50), &addresses)?)
}

fn spread(Spread { median, min, max, .. }: Spread) -> String {
    format!("{median:.2} ({min:.2}–{max:.2})")
}
