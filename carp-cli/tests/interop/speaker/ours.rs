//! Our daemon.

use std::path::{Path, PathBuf};

use carp_node::lab::Host;
use libtest_mimic::Failed;

use super::{Kind, Listening, Node, Running};
use crate::support::carp;
use crate::variant::{ID, Variant};

pub(super) fn start(host: &Host, node: &Node) -> Result<Running, Failed> {
    let config = configure(node)?;
    let socket = node.path("control.sock");
    let mut command = carp();
    command.arg("run").arg("-c").arg(config).arg("--socket").arg(&socket);
    let daemon = host.spawn(command)?;
    Ok(Running { daemon, helpers: Vec::new(), listening: Listening::Status(socket) })
}

fn configure(node: &Node) -> Result<PathBuf, Failed> {
    let quoted: Vec<_> = node.variant.addresses().iter().map(|ip| format!("\"{ip}\"")).collect();
    let text = format!(
        "[node]\nstate_dir = \"{}\"\n\n[router.web]\ninterface = \"eth0\"\nid = {ID}\n\
         addresses = [{}]\npreempt = {}\n{}",
        node.path("state").display(),
        quoted.join(", "),
        node.preempt,
        settings(node)?,
    );
    node.write("carp.toml", &text, 0o644)
}

/// What differs between variants.
fn settings(node: &Node) -> Result<String, Failed> {
    let key = |secret| node.write("web.key", secret, 0o600);
    let vrrp = |version: u8| {
        let (priority, interval) = (Variant::priority(node.rank), node.variant.base().as_millis());
        format!(
            "protocol = \"vrrp{version}\"\npriority = {priority}\ninterval = \"{interval}ms\"\n"
        )
    };
    Ok(match node.variant {
        Variant::Carp => {
            // Of equal ranks ours and ucarp have to agree which stays.
            let dialect = if node.faces == Kind::Ucarp { "ucarp" } else { "native" };
            format!(
                "protocol = \"carp\"\nkey_file = \"{}\"\nadvskew = {}\ndialect = \"{dialect}\"\n",
                key(super::ucarp::PASSWORD)?.display(),
                Variant::advskew(node.rank),
            )
        }
        Variant::Vrrp2 => vrrp(2),
        Variant::Vrrp2Password => {
            let key = key(super::keepalived::PASSWORD)?;
            format!("{}auth = \"password\"\nkey_file = \"{}\"\n", vrrp(2), key.display())
        }
        Variant::Vrrp3 | Variant::Vrrp3Ipv6 | Variant::Vrrp3Fast => vrrp(3),
        Variant::Vrrp3Unicast => format!("{}peers = [\"{}\"]\n", vrrp(3), node.other.ipv4()),
        Variant::Vrrp3Vmac => format!("{}mac = \"virtual\"\n", vrrp(3)),
    })
}

/// Whether it has left its initial state.
pub(super) fn listens(socket: &Path) -> bool {
    let mut status = carp();
    status.args(["status", "--json"]).arg("--socket").arg(socket);
    let report = status.output().ok();
    let report = report.and_then(|output| serde_json::from_slice(&output.stdout).ok());
    let report: serde_json::Value = report.unwrap_or_default();
    matches!(report["routers"][0]["state"].as_str(), Some("backup" | "active"))
}
