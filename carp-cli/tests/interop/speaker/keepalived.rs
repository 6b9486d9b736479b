//! keepalived.

use std::process::Command;

use carp_node::lab::Host;
use libtest_mimic::Failed;

use super::{Node, Running, installed};
use crate::variant::{ID, Variant};

pub(super) const PROGRAM: &str = "/usr/sbin/keepalived";

/// Eight bytes: all that VRRPv2 carries.
pub(super) const PASSWORD: &str = "s3cr3t!8";

pub(super) fn start(host: &Host, node: &Node) -> Result<Running, Failed> {
    let config = node.write("keepalived.conf", &configuration(node), 0o600)?;
    let mut command = Command::new(installed(PROGRAM)?);
    command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]).arg(config);
    for (option, file) in [("--pid", "keepalived.pid"), ("--vrrp_pid", "vrrp.pid")] {
        command.arg(option).arg(node.path(file));
    }
    Ok(Running::with_line(host.spawn(command)?, Vec::new(), "Entering BACKUP STATE"))
}

fn configuration(node: &Node) -> String {
    let variant = node.variant;
    let mut lines = vec![
        "interface eth0".to_owned(),
        "state BACKUP".to_owned(),
        format!("virtual_router_id {ID}"),
        format!("priority {}", Variant::priority(node.rank)),
        format!("advert_int {}", seconds(variant.base().as_millis())),
    ];
    if !node.preempt {
        lines.push("nopreempt".to_owned());
    }
    lines.extend(particulars(node));
    let prefix = if variant.is_ipv6() { 128 } else { 32 };
    lines.push("virtual_ipaddress {".to_owned());
    lines.extend(variant.addresses().iter().map(|ip| format!("  {ip}/{prefix}")));
    lines.push("}".to_owned());
    let body: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    let version = variant.vrrp().unwrap_or(2);
    format!(
        "global_defs {{\n  router_id lab{}\n  vrrp_version {version}\n}}\nvrrp_instance web {{\n{body}}}\n",
        node.seat.0
    )
}

/// What differs between variants.
fn particulars(node: &Node) -> Vec<String> {
    match node.variant {
        Variant::Vrrp2Password => vec![
            "authentication {".to_owned(),
            "  auth_type PASS".to_owned(),
            format!("  auth_pass \"{PASSWORD}\""),
            "}".to_owned(),
        ],
        Variant::Vrrp3Unicast => vec![
            format!("unicast_src_ip {}", node.seat.ipv4()),
            "unicast_peer {".to_owned(),
            format!("  {}", node.other.ipv4()),
            "}".to_owned(),
        ],
        Variant::Vrrp3Vmac => vec!["use_vmac".to_owned()],
        Variant::Carp
        | Variant::Vrrp2
        | Variant::Vrrp3
        | Variant::Vrrp3Ipv6
        | Variant::Vrrp3Fast => Vec::new(),
    }
}

/// An interval as keepalived writes it.
fn seconds(millis: u128) -> String {
    match millis % 1000 {
        0 => format!("{}", millis / 1000),
        rest => format!("{}.{rest:03}", millis / 1000),
    }
}
