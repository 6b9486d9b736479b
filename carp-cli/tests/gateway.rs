//! `track.gateway`: a node that has lost its gateway gives way, and nobody flaps if all have.

#[path = "support/mod.rs"]
#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::process::ExitCode;

use carp_node::lab::{Host, mac, wait_until};
use libtest_mimic::Failed;

use support::{Daemon, LIMIT, Rack, Test, Tested, ensure, serves, told, wait_for_owner};

const TESTS: &[Test] = &[
    ("a_node_that_loses_its_gateway_gives_way_and_takes_nothing_over", one_loses_it),
    ("where_all_lose_the_gateway_nobody_flaps", all_lose_it),
    ("a_gateway_of_ipv6_is_watched_too", ipv6),
];

fn main() -> ExitCode {
    support::main(&[TESTS])
}

fn one_loses_it(rack: &Rack) -> Tested {
    let mut one = gateway(rack, 1)?;
    let _other = gateway(rack, 2)?;
    let first =
        node(rack, &rack.primary, "primary", "advskew = 0\npreempt = true", "192.168.130.1")?;
    let second = node(rack, &rack.secondary, "secondary", "advskew = 100", "192.168.130.2")?;
    first.wait_for_state("active")?;
    wait_for_answers(&first, true)?;
    one.power_off()?;
    wait_for_owner("the secondary serves", &rack.secondary, &rack.primary)?;
    wait_for_answers(&first, false)?;
    let status = first.status().unwrap_or_default();
    let fault = status["fault"].as_str().unwrap_or_default();
    ensure(fault.contains("gateway 192.168.130.1 does not answer"), status.to_string())?;
    ensure(status["gateway"]["address"] == "192.168.130.1", status.to_string())?;
    second.kill_with_guard(&rack.secondary)?;
    wait_until(LIMIT, "the takeover is put off", || {
        told_by(&first).contains("the takeover is put off")
    })?;
    ensure(first.state() == "backup" && !serves(&rack.primary), "it takes nothing over")?;
    one.boot()?;
    wait_until(LIMIT, "the primary serves", || serves(&rack.primary))?;
    ensure(told_by(&first).contains("answers again"), told_by(&first))
}

fn all_lose_it(rack: &Rack) -> Tested {
    let mut only = gateway(rack, 1)?;
    let first =
        node(rack, &rack.primary, "primary", "advskew = 0\npreempt = true", "192.168.130.1")?;
    first.wait_for_state("active")?;
    let second =
        node(rack, &rack.secondary, "secondary", "advskew = 100\npreempt = true", "192.168.130.1")?;
    second.wait_for_state("backup")?;
    for node in [&first, &second] {
        wait_for_answers(node, true)?;
    }
    let changes =
        || [&first, &second].map(|node| node.status().unwrap_or_default()["transitions"].clone());
    let before = changes();
    only.power_off()?;
    for node in [&first, &second] {
        wait_for_answers(node, false)?;
    }
    wait_until(LIMIT, "the primary has found nobody to give way to", || {
        told_by(&first).contains("it cannot give way")
    })?;
    ensure(first.state() == "active" && serves(&rack.primary), told_by(&first))?;
    only.boot()?;
    for node in [&first, &second] {
        wait_for_answers(node, true)?;
    }
    ensure(serves(&rack.primary) && !serves(&rack.secondary), told_by(&second))?;
    ensure(changes() == before, format!("{:?}: {}", changes(), told_by(&first)))
}

fn ipv6(rack: &Rack) -> Tested {
    let gateway = ["fe80::1/64", "2001:db8::1/64"];
    let mut only = rack.switch.host("gateway6", mac(1), &gateway)?;
    rack.primary.add_address("fe80::50".parse()?, 64)?;
    let settings = "addresses = [\"fe80::100\", \"2001:db8::100\"]\nprotocol = \"vrrp3\"\n\
                    track = { gateway = \"fe80::1\" }";
    let config = rack.write_config("primary", settings)?;
    let first = rack.daemon(&rack.primary, &config)?;
    first.wait_for_state("active")?;
    wait_for_answers(&first, true)?;
    only.power_off()?;
    wait_for_answers(&first, false)?;
    only.boot()?;
    wait_for_answers(&first, true)
}

fn gateway(rack: &Rack, last: u8) -> Result<Host, Failed> {
    let address = format!("192.168.130.{last}/24");
    Ok(rack.switch.host(&format!("gateway{last}"), mac(last), &[&address])?)
}

fn node(
    rack: &Rack,
    host: &Host,
    name: &str,
    settings: &str,
    gateway: &str,
) -> Result<Daemon, Failed> {
    let settings = format!("{settings}\ntrack = {{ gateway = \"{gateway}\" }}");
    rack.daemon(host, &rack.configure(name, &settings)?)
}

fn wait_for_answers(node: &Daemon, answers: bool) -> Tested {
    let what = format!("the gateway answers: {answers}");
    Ok(wait_until(LIMIT, &what, || {
        node.status().is_some_and(|status| status["gateway"]["answers"] == answers)
    })?)
}

fn told_by(node: &Daemon) -> String {
    node.ask(&["events"]).map(|output| told(&output).1).unwrap_or_default()
}
