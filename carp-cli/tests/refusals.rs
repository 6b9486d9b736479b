//! What `carp run` refuses, with which words and which exit code.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::path::Path;
use std::process::{Command, ExitCode};

use libtest_mimic::Failed;
use support::{Rack, Test, Tested, VIP, carp, ensure, run_on, told};

const TESTS: &[Test] = &[
    ("a_missing_interface_is_named_with_its_place", missing_interface),
    ("an_address_that_no_host_can_have_is_refused", broadcast_address),
    ("missing_capabilities_are_named", missing_capabilities),
    ("an_occupied_control_socket_is_refused", occupied_socket),
    ("an_invalid_configuration_is_refused", invalid_configuration),
    ("a_key_that_others_can_read_is_refused", open_key),
    ("without_a_daemon_the_exit_code_is_five", no_daemon),
];

fn main() -> ExitCode {
    support::main(&[TESTS])
}

fn run(rack: &Rack, config: &Path, socket: &str) -> Result<(Option<i32>, String), Failed> {
    let mut command = carp();
    command.arg("run").arg("-c").arg(config).arg("--socket").arg(rack.path(socket));
    Ok(told(&run_on(&rack.primary, command)?))
}

fn missing_interface(rack: &Rack) -> Tested {
    let text = std::fs::read_to_string(rack.configure("primary", "")?)?;
    let config = rack.write("primary.toml", &text.replace("eth0", "eth9"), 0o644)?;
    let (code, text) = run(rack, &config, "a.sock")?;
    ensure(code == Some(3), format!("{code:?} {text}"))?;
    ensure(text.contains("primary.toml:6:13"), text.clone())?;
    ensure(text.contains("there is no interface eth9") && text.contains("eth0"), text)
}

fn broadcast_address(rack: &Rack) -> Tested {
    let config = rack.configure_with("primary", "secret", "addresses = [\"192.168.130.255\"]")?;
    let (code, text) = run(rack, &config, "a.sock")?;
    ensure(code == Some(3) && text.contains("broadcast"), format!("{code:?} {text}"))
}

fn missing_capabilities(rack: &Rack) -> Tested {
    let config = rack.configure("primary", "")?;
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set", "-all", "--inh-caps", "-all"]);
    command.arg(env!("CARGO_BIN_EXE_carp")).arg("run").arg("-c").arg(config);
    command.arg("--socket").arg(rack.path("a.sock"));
    let (code, text) = told(&run_on(&rack.primary, command)?);
    ensure(code == Some(7), format!("{code:?} {text}"))?;
    ensure(text.contains("CAP_NET_ADMIN and CAP_NET_RAW") && text.contains("help:"), text)
}

fn occupied_socket(rack: &Rack) -> Tested {
    let daemon = rack.daemon(&rack.primary, &rack.configure("primary", "")?)?;
    let text = std::fs::read_to_string(rack.path("primary.toml"))?;
    let other = rack.write("other.toml", &text.replace("id = 1", "id = 2"), 0o644)?;
    let (code, text) = run(rack, &other, "primary.sock")?;
    ensure(code == Some(1), format!("{code:?} {text}"))?;
    ensure(text.contains("is in use") && text.contains("--socket"), text)?;
    ensure(daemon.status().is_some(), "the first daemon goes on")
}

fn invalid_configuration(rack: &Rack) -> Tested {
    let config = rack.configure("primary", "adress = 1")?;
    let (code, text) = run(rack, &config, "a.sock")?;
    ensure(code == Some(3) && text.contains("addresses"), format!("{code:?} {text}"))?;
    let text = std::fs::read_to_string(rack.configure("primary", "")?)?;
    let config = rack.write("primary.toml", &text.replace("id = 1", "id = 256"), 0o644)?;
    let (code, text) = run(rack, &config, "a.sock")?;
    ensure(code == Some(3) && text.contains("1 to 255"), format!("{code:?} {text}"))
}

fn open_key(rack: &Rack) -> Tested {
    let config = rack.configure("primary", "")?;
    rack.write("primary.key", "secret", 0o644)?;
    let (code, text) = run(rack, &config, "a.sock")?;
    ensure(code == Some(3) && text.contains("chmod 600"), format!("{code:?} {text}"))?;
    ensure(!text.contains("secret"), "the key is not shown")?;
    for (key, words) in [("", "empty"), ("12345678901234567890", "19")] {
        rack.write("primary.key", key, 0o600)?;
        let (code, text) = run(rack, &config, "a.sock")?;
        ensure(code == Some(3) && text.contains(words), format!("{code:?} {text}"))?;
    }
    Ok(())
}

fn no_daemon(rack: &Rack) -> Tested {
    for verb in [&["status"][..], &["events"], &["yield", "web"]] {
        let mut command = carp();
        command.args(verb).arg("--socket").arg(rack.path("none.sock"));
        let (code, text) = told(&run_on(&rack.primary, command)?);
        ensure(code == Some(5), format!("{verb:?}: {code:?} {text}"))?;
    }
    ensure(!support::serves(&rack.primary), format!("nobody has {VIP}"))
}
