//! Settings of interfaces (`sysctl net.ipv4.conf` and `net.ipv6.conf`).
//!
//! Those of IPv4 are changed by netlink, which works where `/proc/sys` may only be read, as in many
//! containers and under systemd's `ProtectKernelTunables`. Those of IPv6 have no other way than
//! `/proc/sys`. Whatever is set is read back.

use std::fs;
use std::io;
use std::path::Path;

use netlink_packet_core::{DefaultNla, Emitable, NLA_F_NESTED};
use netlink_packet_route::link::{AfSpecInet, AfSpecUnspec, InetDevConf};

/// A setting of IPv4.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ipv4Setting {
    pub(super) name: &'static str,
    /// `IPV4_DEVCONF_…`.
    number: u16,
    pub(super) read: fn(&InetDevConf) -> i32,
}

/// Whether packets for others that arrive there are passed on.
pub(super) const FORWARDING: Ipv4Setting =
    Ipv4Setting { name: "forwarding", number: 1, read: |conf| conf.forwarding };

/// Whether a sender has to be one that is reached by the same interface.
pub(super) const RP_FILTER: Ipv4Setting =
    Ipv4Setting { name: "rp_filter", number: 8, read: |conf| conf.rp_filter };

/// Whether ARP is answered only where the asker is reached.
pub(super) const ARP_FILTER: Ipv4Setting =
    Ipv4Setting { name: "arp_filter", number: 13, read: |conf| conf.arpfilter };

/// Which address ARP asks from.
pub(super) const ARP_ANNOUNCE: Ipv4Setting =
    Ipv4Setting { name: "arp_announce", number: 18, read: |conf| conf.arp_announce };

/// For which addresses ARP is not answered.
pub(super) const ARP_IGNORE: Ipv4Setting =
    Ipv4Setting { name: "arp_ignore", number: 19, read: |conf| conf.arp_ignore };

/// Whether packets from the host's own addresses are taken.
pub(super) const ACCEPT_LOCAL: Ipv4Setting =
    Ipv4Setting { name: "accept_local", number: 23, read: |conf| conf.accept_local };

/// A setting of IPv4, and its value.
pub(super) type Ipv4Value = (Ipv4Setting, i32);

/// The part of a link request that sets these.
pub(super) fn ipv4_request(values: &[Ipv4Value]) -> AfSpecUnspec {
    const IFLA_INET_CONF: u16 = 1;
    let nested: Vec<DefaultNla> = values
        .iter()
        .map(|(setting, value)| DefaultNla::new(setting.number, value.to_ne_bytes().to_vec()))
        .collect();
    let mut bytes = vec![0; nested.as_slice().buffer_len()];
    nested.as_slice().emit(&mut bytes);
    let conf = DefaultNla::new(IFLA_INET_CONF | NLA_F_NESTED, bytes);
    AfSpecUnspec::Inet(vec![AfSpecInet::Other(conf)])
}

/// Whether an interface has these values, in words if not.
pub(super) fn check_ipv4(
    interface: &str,
    conf: Option<&InetDevConf>,
    values: &[Ipv4Value],
) -> io::Result<()> {
    let conf = conf.ok_or_else(|| untold(interface))?;
    for (setting, wanted) in values {
        let found = (setting.read)(conf);
        if found != *wanted {
            let name = format!("net.ipv4.conf.{interface}.{}", setting.name);
            return Err(not_taken(&name, found, *wanted));
        }
    }
    Ok(())
}

/// That an interface has no settings of IPv4.
pub(super) fn untold(interface: &str) -> io::Error {
    io::Error::other(format!("{interface} has no IPv4; its MTU may be too small for it"))
}

/// Whether the settings of all interfaces leave a device free to answer ARP, in words if not. The kernel
/// takes the stricter of the two.
pub(super) fn check_all(device: &str) -> io::Result<()> {
    for (name, most) in [("arp_filter", 0), ("arp_ignore", 1)] {
        let value = fs::read_to_string(format!("/proc/sys/net/ipv4/conf/all/{name}"));
        let value = value.ok().and_then(|text| text.trim().parse::<i32>().ok());
        if let Some(value) = value.filter(|value| *value > most) {
            return Err(io::Error::other(format!(
                "with net.ipv4.conf.all.{name} = {value}, {device} would not answer ARP; \
                 set it to {most}, and what is needed on the interfaces that need it"
            )));
        }
    }
    Ok(())
}

/// Whether an interface has IPv6.
pub(super) fn has_ipv6(interface: &str) -> bool {
    Path::new(&ipv6_path(interface, "")).is_dir()
}

/// A setting of IPv6.
pub(super) fn ipv6(interface: &str, name: &str) -> io::Result<i32> {
    let text = fs::read_to_string(ipv6_path(interface, name))?;
    text.trim().parse().map_err(|_| io::ErrorKind::InvalidData.into())
}

/// Sets a setting of IPv6, unless it is so already.
pub(super) fn set_ipv6(interface: &str, name: &str, wanted: i32) -> io::Result<()> {
    if ipv6(interface, name)? == wanted {
        return Ok(());
    }
    let full = format!("net.ipv6.conf.{interface}.{name}");
    fs::write(ipv6_path(interface, name), wanted.to_string()).map_err(|error| {
        let text = format!(
            "cannot set {full} to {wanted}: {error}; let carp write to /proc/sys/net, \
             or set net.ipv6.conf.default.{name} = {wanted}"
        );
        io::Error::new(error.kind(), text)
    })?;
    match ipv6(interface, name)? {
        found if found == wanted => Ok(()),
        found => Err(not_taken(&full, found, wanted)),
    }
}

fn ipv6_path(interface: &str, name: &str) -> String {
    format!("/proc/sys/net/ipv6/conf/{interface}/{name}")
}

fn not_taken(name: &str, found: i32, wanted: i32) -> io::Error {
    io::Error::other(format!(
        "{name} is {found} although it was set to {wanted}; see what else sets it"
    ))
}
