//! Where a configuration names what this host has not, or cannot have.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use carp_proto::Family;

use crate::backend::linux::{NetlinkAddresses, interfaces};
use crate::backend::{AddressTable, InstalledAddress};
use crate::config::{Config, Diagnostic, Location, RouterSpec};

/// What is asked of the host.
trait Facts {
    /// The names of its interfaces.
    fn interfaces(&self) -> &[String];

    /// The addresses of an interface that it has.
    fn installed(&mut self, interface: &str) -> io::Result<Vec<InstalledAddress>>;

    /// Whether an interface that it has takes IPv6 addresses.
    fn has_ipv6(&self, interface: &str) -> bool;
}

/// The host that we run on.
struct ThisHost {
    interfaces: Vec<String>,
    table: NetlinkAddresses,
}

impl Facts for ThisHost {
    fn interfaces(&self) -> &[String] {
        &self.interfaces
    }

    fn installed(&mut self, interface: &str) -> io::Result<Vec<InstalledAddress>> {
        self.table.list(interface)
    }

    /// Without the file, the kernel has no IPv6 at all.
    fn has_ipv6(&self, interface: &str) -> bool {
        let conf = Path::new("/proc/sys/net/ipv6/conf").join(interface);
        fs::read_to_string(conf.join("disable_ipv6")).is_ok_and(|disabled| disabled.trim() == "0")
    }
}

/// What does not fit this host.
pub(super) fn of(config: &Config) -> io::Result<Vec<Diagnostic>> {
    let mut host = ThisHost { interfaces: interfaces()?, table: NetlinkAddresses::open()? };
    on(&mut host, config)
}

fn on(host: &mut impl Facts, config: &Config) -> io::Result<Vec<Diagnostic>> {
    let mut problems = Vec::new();
    for router in &config.routers {
        let missing = missing_interfaces(host, router);
        if missing.is_empty() {
            ipv6(host, router, &mut problems);
            addresses(host, router, &mut problems)?;
            peers(host, router, &mut problems)?;
        }
        problems.extend(missing);
    }
    Ok(problems)
}

fn missing_interfaces(host: &impl Facts, router: &RouterSpec) -> Vec<Diagnostic> {
    let present = host.interfaces();
    let missing = |(name, place): &(&String, &Location)| {
        (!present.contains(name)).then(|| {
            let help = format!("this host has {}", present.join(", "));
            place.error(format!("there is no interface {name}")).with_help(help)
        })
    };
    interfaces_of(router).iter().filter_map(missing).collect()
}

/// The interfaces of a router, and where they are written.
fn interfaces_of(router: &RouterSpec) -> Vec<(&String, &Location)> {
    let home = router.address_interface.as_ref().zip(router.places.address_interface.as_ref());
    std::iter::once((&router.interface, &router.places.interface)).chain(home).collect()
}

fn ipv6(host: &impl Facts, router: &RouterSpec, problems: &mut Vec<Diagnostic>) {
    let first = router.addresses.iter().position(|address| address.family() == Family::Ipv6);
    let Some(place) = first.and_then(|first| router.places.addresses.get(first)) else { return };
    for (interface, _) in interfaces_of(router) {
        if !host.has_ipv6(interface) {
            let text = format!("IPv6 is off on {interface}");
            let help = format!("sysctl net.ipv6.conf.{}.disable_ipv6=0", sysctl_name(interface));
            problems.push(place.error(text).with_help(help));
        }
    }
}

/// In a sysctl's name, a dot in the name of an interface is written as a slash.
fn sysctl_name(interface: &str) -> String {
    interface.replace('.', "/")
}

fn addresses(
    host: &mut impl Facts,
    router: &RouterSpec,
    problems: &mut Vec<Diagnostic>,
) -> io::Result<()> {
    let home = router.home();
    let installed = host.installed(home)?;
    for (address, place) in router.addresses.iter().zip(&router.places.addresses) {
        let ip = address.ip();
        let edge = installed.iter().find_map(|own| edge_of(own.ip, own.prefix_len, ip));
        if let Some(edge) = edge {
            let text = format!("{ip} is the {edge} address of a subnet of {home}");
            let help = "no host can have it: choose an address between the two ends";
            problems.push(place.error(text).with_help(help));
        } else if router.is_owner() && !installed.iter().any(|own| own.ip == ip) {
            let text = format!("{ip} is not on {home}, but priority 255 is that of its owner");
            let help = "give the interface the address as its own, for it is never added by carp; \
                        or take a priority of 1 to 254";
            problems.push(place.error(text).with_help(help));
        }
    }
    Ok(())
}

/// Adverts to an own address never leave the host.
fn peers(
    host: &mut impl Facts,
    router: &RouterSpec,
    problems: &mut Vec<Diagnostic>,
) -> io::Result<()> {
    if router.peers.is_empty() {
        return Ok(());
    }
    let interface = &router.interface;
    let installed = host.installed(interface)?;
    for (ip, place) in router.peers.iter().zip(&router.places.peers) {
        if installed.iter().any(|own| own.ip == *ip) {
            let text = format!("{ip} is this host's own address, on {interface}");
            problems.push(place.error(text).with_help("name the other servers only"));
        }
    }
    Ok(())
}

/// Whether an address is the first or last of the subnet of an interface's own address, which no host
/// can have. Subnets of one or two addresses have no such ends (RFC 3021).
fn edge_of(own: IpAddr, prefix_len: u8, address: IpAddr) -> Option<&'static str> {
    let (IpAddr::V4(own), IpAddr::V4(address)) = (own, address) else { return None };
    if prefix_len == 0 || prefix_len > 30 {
        return None;
    }
    let hosts = u32::MAX >> prefix_len;
    let network = own.to_bits() & !hosts;
    if address == Ipv4Addr::from_bits(network) {
        Some("network")
    } else if address == Ipv4Addr::from_bits(network | hosts) {
        Some("broadcast")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::config;
    use super::*;

    /// A host with `eth0` at 192.168.130.50/24 and `lo`; IPv6 is on where `ipv6` says.
    struct TestHost {
        interfaces: Vec<String>,
        ipv6: &'static [&'static str],
    }

    impl Facts for TestHost {
        fn interfaces(&self) -> &[String] {
            &self.interfaces
        }

        fn installed(&mut self, interface: &str) -> io::Result<Vec<InstalledAddress>> {
            let own = |ip: &str, prefix_len| InstalledAddress {
                tentative: false,
                ip: ip.parse().unwrap(),
                prefix_len,
                protocol: None,
                label: None,
                secondary: false,
            };
            Ok(match interface {
                "eth0" => vec![own("192.168.130.50", 24), own("fe80::50", 64)],
                _ => vec![own("127.0.0.1", 8)],
            })
        }

        fn has_ipv6(&self, interface: &str) -> bool {
            self.ipv6.contains(&interface)
        }
    }

    fn found(lines: &str, ipv6: &'static [&'static str]) -> Vec<String> {
        let text = format!("[router.web]\nid = 1\n{lines}");
        let mut host = TestHost { interfaces: vec!["lo".into(), "eth0".into()], ipv6 };
        let line = |it: &Diagnostic| {
            let place = it.location().unwrap();
            let help = it.help().unwrap_or_default();
            format!("{}:{}: {} // {help}", place.line(), place.column(), it.message())
        };
        on(&mut host, &config(&text)).unwrap().iter().map(line).collect()
    }

    #[test]
    fn what_a_host_has_not_is_named_with_a_remedy() {
        let carp = "protocol = \"carp\"\nkey_file = \"a.key\"\n";
        let vrrp = "protocol = \"vrrp3\"\npriority = 255\n";
        for (lines, ipv6, expected) in [
            (
                format!("{carp}interface = \"eth9\"\naddresses = [\"10.0.0.1\"]\n"),
                &[][..],
                "5:13: there is no interface eth9 // this host has lo, eth0",
            ),
            (
                format!(
                    "{carp}interface = \"eth0\"\naddresses = [\"10.0.0.1\"]\n\
                     address_interface = \"lo9\"\n"
                ),
                &[],
                "7:21: there is no interface lo9 // this host has lo, eth0",
            ),
            (
                format!(
                    "{carp}interface = \"eth0\"\naddresses = [\"10.0.0.1\", \"2001:db8::1\"]\n\
                     address_interface = \"lo\"\n"
                ),
                &["eth0"],
                "6:26: IPv6 is off on lo // sysctl net.ipv6.conf.lo.disable_ipv6=0",
            ),
            (
                format!("{carp}interface = \"eth0\"\naddresses = [\"192.168.130.255\"]\n"),
                &[],
                "6:14: 192.168.130.255 is the broadcast address of a subnet of eth0 // no host can \
                 have it: choose an address between the two ends",
            ),
            (
                format!(
                    "{vrrp}interface = \"eth0\"\naddresses = [\"192.168.130.50\", \
                     \"192.168.130.51\"]\n"
                ),
                &[],
                "6:32: 192.168.130.51 is not on eth0, but priority 255 is that of its owner // give \
                 the interface the address as its own, for it is never added by carp; or take a \
                 priority of 1 to 254",
            ),
            (
                format!(
                    "{carp}interface = \"eth0\"\naddresses = [\"192.168.130.100\"]\n\
                     peers = [\"192.168.130.10\", \"192.168.130.50\"]\n"
                ),
                &[],
                "7:28: 192.168.130.50 is this host's own address, on eth0 // name the other servers \
                 only",
            ),
        ] {
            assert_eq!(found(&lines, ipv6), [expected], "{lines}");
        }
    }

    #[test]
    fn what_fits_is_not_complained_about() {
        let owner = "protocol = \"vrrp3\"\npriority = 255\ninterface = \"eth0\"\n\
                     addresses = [\"192.168.130.50\", \"fe80::50\"]\n";
        assert_eq!(found(owner, &["eth0"]), [""; 0]);
        assert_eq!(sysctl_name("eth0.100"), "eth0/100");
    }

    #[test]
    fn the_ends_of_a_subnet_belong_to_nobody() {
        let own = IpAddr::from([192, 168, 130, 50]);
        assert_eq!(edge_of(own, 24, IpAddr::from([192, 168, 130, 0])), Some("network"));
        assert_eq!(edge_of(own, 24, IpAddr::from([192, 168, 130, 255])), Some("broadcast"));
        assert_eq!(edge_of(own, 24, IpAddr::from([192, 168, 130, 100])), None);
        assert_eq!(edge_of(own, 25, IpAddr::from([192, 168, 130, 127])), Some("broadcast"));
        assert_eq!(edge_of(own, 31, IpAddr::from([192, 168, 130, 51])), None);
    }
}
