//! The commands that read and show packets: `carp decode`, `carp sniff`, `carp scan`.

use std::path::PathBuf;

use carp_proto::VirtualAddress;
use clap::Args;

use super::duration;

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
