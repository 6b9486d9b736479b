//! ucarp.

use std::process::Command;

use carp_node::lab::Host;
use libtest_mimic::Failed;

use super::{Node, Running, installed};
use crate::variant::{ID, Variant};

const PROGRAM: &str = "/usr/sbin/ucarp";

pub(super) const PASSWORD: &str = "secret";

pub(super) fn start(host: &Host, node: &Node) -> Result<Running, Failed> {
    let script = |name: &str, verb: &str| {
        let text = format!("#!/bin/sh\nexec ip address {verb} \"$2\"/32 dev \"$1\"\n");
        node.write(name, &text, 0o755)
    };
    let key = node.write("password", PASSWORD, 0o600)?;
    let mut command = Command::new(installed(PROGRAM)?);
    command.args(["--interface=eth0", "--shutdown", "--neutral"]).arg("--passfile").arg(key);
    command.args([format!("--vhid={ID}"), format!("--srcip={}", node.seat.ipv4())]);
    command.arg(format!("--addr={}", node.variant.address()));
    command.arg(format!("--advskew={}", Variant::advskew(node.rank)));
    command.arg("--upscript").arg(script("up", "add")?);
    command.arg("--downscript").arg(script("down", "del")?);
    if node.preempt {
        command.arg("--preempt");
    }
    Ok(Running::with_line(host.spawn(command)?, Vec::new(), "BACKUP"))
}
