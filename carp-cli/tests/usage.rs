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
fn verbs_of_sync_that_come_later_say_so() {
    for verb in ["check", "pair"] {
        let output = carp(&["sync", verb, "--anything"]);
        assert_eq!(output.status.code(), Some(1), "{verb}");
        let expected = format!("carp: error: \"carp sync {verb}\" is not supported yet\n");
        assert_eq!(err(&output), expected);
    }
}
