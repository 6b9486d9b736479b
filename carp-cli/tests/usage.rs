//! What is typed wrongly, and what is not built yet.

use std::process::{Command, Output};

fn carp(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_carp")).args(arguments).output().expect("carp runs")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

#[test]
fn wrong_usage_exits_with_two() {
    for arguments in [
        &[][..],
        &["chekc"],
        &["check"],
        &["check", "a", "b"],
        &["decode"],
        &["decode", "-", "--address", "web"],
        &["decode", "-", "--address", "10.99.0.100"],
        &["decode", "-", "--key-file", "web.key"],
        &["sniff"],
        &["sniff", "-i", "eth0", "--count", "0"],
        &["sniff", "-i", "eth0", "--for", "1"],
        &["sniff", "-i", "eth0", "--key-file", "web.key"],
        &["scan"],
        &["scan", "-i", "eth0", "--read", "lan.pcap"],
        &["scan", "--read", "lan.pcap", "--for", "1s"],
        &["yield"],
        &["status", "--colour"],
        &["demo", "--interval", "1"],
        &["demo", "--protocol", "hsrp"],
        &["simulate", "--runs", "0"],
        &["replay"],
        &["--color", "sometimes", "keygen"],
    ] {
        let output = carp(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(!output.stderr.is_empty() && output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for arguments in [
        &["--help"][..],
        &["--version"],
        &["check", "--help"],
        &["decode", "--help"],
        &["sniff", "--help"],
        &["scan", "--help"],
        &["demo", "--help"],
        &["simulate", "--help"],
        &["replay", "--help"],
    ] {
        let output = carp(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn commands_of_later_versions_say_so() {
    for arguments in [
        &["plan", "carp.toml"][..],
        &["reload", "--confirm", "60s"],
        &["confirm"],
        &["watch"],
        &["explain", "web", "--save", "file"],
        &["drain", "--all", "--until", "2h"],
        &["resume", "web"],
        &["promote", "web"],
        &["announce", "web"],
        &["db", "switchover"],
        &["observe", "-i", "eth0"],
        &["doctor"],
        &["import", "ucarp", "file"],
        &["init"],
        &["completions", "bash"],
        &["man"],
    ] {
        let output = carp(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        let expected = format!("carp: error: \"carp {}\" is not supported yet\n", arguments[0]);
        assert_eq!(err(&output), expected, "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn verbs_of_sync_that_need_no_daemon_need_a_configuration() {
    for verb in ["check", "pair"] {
        let output = carp(&["sync", verb, "-c", "/no/such/file"]);
        assert_eq!(output.status.code(), Some(3), "{verb}: {}", err(&output));
        assert!(err(&output).contains("/no/such/file"), "{}", err(&output));
    }
}

#[test]
fn a_socket_is_not_for_verbs_of_sync_that_need_no_daemon() {
    for verb in ["check", "pair"] {
        let output = carp(&["sync", verb, "--socket", "/no/such/socket"]);
        assert_eq!(output.status.code(), Some(2), "{verb}: {}", err(&output));
        assert!(err(&output).contains("--socket is for the verbs that ask the daemon"));
    }
    let output = carp(&["sync", "status", "--socket", "/no/such/socket"]);
    assert_eq!(output.status.code(), Some(5), "{}", err(&output));
}

#[test]
fn pairing_takes_only_what_another_node_has_printed() {
    let directory = tempfile::tempdir().expect("a directory");
    let config = |name: &str, rsh: &str| {
        let (state, path) = (directory.path(), directory.path().join(name));
        let text = format!(
            "[node]\nstate_dir = \"{}\"\n[router.web]\nprotocol = \"vrrp3\"\ninterface = \"eth0\"\n\
             id = 1\naddresses = [\"192.0.2.7\"]\n[sync.www]\nrouter = \"web\"\npath = \"/srv\"\n\
             peer = \"192.0.2.1\"\n{rsh}\n",
            state.display()
        );
        std::fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (plain, own) = (config("plain.toml", ""), config("own.toml", "rsh = [\"/bin/false\"]"));
    for line in ["nonsense", "ssh-ed25519 AAAA x", "from=\"192.0.2.1\",command=\"sh\""] {
        let output = carp(&["sync", "pair", "-c", &plain, "--authorize", line]);
        assert_eq!(output.status.code(), Some(2), "{line}: {}", err(&output));
        assert!(err(&output).contains("`carp sync pair` printed"), "{}", err(&output));
    }
    let output = carp(&["sync", "pair", "-c", &own]);
    assert_eq!(output.status.code(), Some(6), "{}", err(&output));
    assert!(err(&output).contains("needs no keys"), "{}", err(&output));
}
