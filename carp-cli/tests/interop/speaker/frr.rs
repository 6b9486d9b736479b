//! FRR's vrrpd, with the zebra that it needs.

use std::fs;
use std::net::IpAddr;
use std::process::Command;

use carp_node::lab::{Host, Process};
use libtest_mimic::Failed;

use super::{Node, Running, Seat, installed};
use crate::support::{LIMIT, Tested, ensure, run_on, told};
use crate::variant::{ID, Variant};

pub(super) const VRRPD: &str = "/usr/lib/frr/vrrpd";
const ZEBRA: &str = "/usr/lib/frr/zebra";

/// What zebra, and then vrrpd, prints when it has read its configuration.
const STARTING: &str = "starting: vty@";

/// Only members of this group may own FRR's sockets.
const GROUP: &str = "frrvty";

pub(super) fn start(host: &Host, node: &Node) -> Result<Running, Failed> {
    prepare(host, node)?;
    node.write("group", &groups(&fs::read_to_string("/etc/group")?), 0o644)?;
    let zebra = daemon(host, node, ZEBRA, "hostname lab\n")?;
    zebra.wait_for_line(LIMIT, STARTING)?;
    let vrrpd = daemon(host, node, VRRPD, &configuration(node))?;
    Ok(Running::with_line(vrrpd, vec![zebra], "Initialize -> Backup"))
}

/// The virtual MAC's interface, which FRR wants to find with the virtual addresses on it (its manual,
/// section VRRP). The host answers ARP only where the address is: FRR takes the interface down to be
/// backup, and the address stays on it.
fn prepare(host: &Host, node: &Node) -> Tested {
    let mut quiet = Command::new("sh");
    quiet.args(["-c", "echo 1 >/proc/sys/net/ipv4/conf/all/arp_ignore"]);
    let (code, text) = told(&run_on(host, quiet)?);
    ensure(code == Some(0), text)?;
    let parse = |ip: &str| -> Result<IpAddr, Failed> { Ok(ip.parse()?) };
    let (name, prefix) =
        if node.variant.is_ipv6() { ("vrrp6-2-1", 128) } else { ("vrrp4-2-1", 32) };
    let mut addresses = Vec::new();
    for ip in node.variant.addresses() {
        addresses.push((parse(ip)?, prefix));
    }
    if node.variant.is_ipv6() {
        // Adverts come from the first link-local address that the kernel lists, which is the last one
        // added: it has to be the host's own.
        addresses.push((parse(&Seat(node.seat.0 + 1).link_local())?, 64));
    }
    Ok(host.add_macvlan(name, node.variant.virtual_mac(), &addresses)?)
}

/// The system's groups, with root in FRR's: the only user that there is in a private user namespace.
fn groups(system: &str) -> String {
    let joined = |line: &str| match line.split(':').collect::<Vec<_>>()[..] {
        [GROUP, password, id, _] => format!("{GROUP}:{password}:{id}:root\n"),
        _ => format!("{line}\n"),
    };
    system.lines().map(joined).collect()
}

/// Starts one of FRR's daemons as root, with files of its own: it sees its own group file, and its own
/// place for crash logs, which are named by process ids that hosts of the lab share.
fn daemon(
    host: &Host,
    node: &Node,
    program: &'static str,
    configuration: &str,
) -> Result<Process, Failed> {
    const SCRIPT: &str = "mount -t tmpfs frr /var/tmp && mount --bind \"$0/group\" /etc/group \
                          && exec \"$@\"";
    let name = program.rsplit('/').next().unwrap_or(program);
    let config = node.write(&format!("{name}.conf"), configuration, 0o640)?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT]).arg(&node.folder).arg(installed(program)?);
    command.args(["--user", "root", "--group", "root", "--vty_port", "0"]);
    command.args(["--log", "stdout", "--log-level", "debug"]);
    command.arg("--config_file").arg(config).arg("--vty_socket").arg(&node.folder);
    command.arg("--socket").arg(node.path("zserv.api"));
    command.arg("--pid_file").arg(node.path(&format!("{name}.pid")));
    Ok(host.spawn(command)?)
}

fn configuration(node: &Node) -> String {
    let variant = node.variant;
    let mut text = format!(
        "hostname lab\ninterface eth0\n vrrp {ID} version {}\n vrrp {ID} priority {}\n \
         vrrp {ID} advertisement-interval {}\n",
        variant.vrrp().unwrap_or(3),
        Variant::priority(node.rank),
        variant.base().as_millis(),
    );
    if !node.preempt {
        text.push_str(&format!(" no vrrp {ID} preempt\n"));
    }
    let family = if variant.is_ipv6() { "ipv6" } else { "ip" };
    for ip in variant.addresses() {
        text.push_str(&format!(" vrrp {ID} {family} {ip}\n"));
    }
    text
}
