//! `carp demo`, as a new user runs it.
#![expect(clippy::unwrap_used, reason = "a test fails where something is missing")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn demo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carp"));
    command.arg("demo").args(arguments);
    command
}

#[test]
fn the_demo_loses_nothing_but_what_the_dead_machine_takes() {
    let output = demo(&["--interval", "500ms", "--json"]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    let result: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["schema"], "carp.demo/1");
    assert_eq!(result["ok"], true);
    let number = |of: &str, key: &str| result[of][key].as_f64().unwrap();
    assert!(number("takeover", "theory_ms") > 0.0);
    assert!(number("takeover", "detection_ms") >= number("takeover", "theory_ms"));
    assert!(number("takeover", "outage_ms") >= number("takeover", "theory_ms"));
    assert!(number("handover", "outage_ms") >= 0.0 && number("failback", "outage_ms") >= 0.0);
    let requests = |key: &str| result["requests"][key].as_u64().unwrap();
    assert_eq!(requests("sent"), requests("answered") + requests("failed"));
}

#[test]
fn what_cannot_be_shown_is_said() {
    let told = |arguments: &[&str]| {
        let output = demo(arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, text) = told(&["--interval", "100ms"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("250ms"), "{text}");
    for arguments in [&["--plot", "x.svg"][..], &["--protocol", "vrrp3"]] {
        let (code, text) = told(arguments);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("not supported yet"), "{text}");
    }
}

/// Processes whose environment has this mark: all that descend from the demo.
fn marked(mark: &str) -> usize {
    let has_mark = |entry: std::io::Result<std::fs::DirEntry>| {
        let environment = std::fs::read(entry.ok()?.path().join("environ")).ok()?;
        let text = String::from_utf8_lossy(&environment).into_owned();
        text.contains(mark).then_some(())
    };
    std::fs::read_dir("/proc").unwrap().filter_map(has_mark).count()
}

#[test]
fn nothing_is_left_however_the_demo_ends() {
    for (signal, number) in [("INT", 2), ("TERM", 15), ("KILL", 9)] {
        let mark = format!("CARP_DEMO_TEST={}-{signal}", std::process::id());
        let (name, value) = mark.split_once('=').unwrap();
        let mut child =
            demo(&[]).env(name, value).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let patience = Instant::now() + Duration::from_secs(60);
        // The demo itself, its inside, hosts, web servers, daemons and their runners.
        while marked(&mark) < 8 {
            assert!(Instant::now() < patience, "the demo does not start");
            assert!(child.try_wait().unwrap().is_none(), "the demo has ended");
            std::thread::sleep(Duration::from_millis(20));
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let status = child.wait().unwrap();
        let by_signal = status.signal() == Some(number) || status.code() == Some(128 + number);
        assert!(by_signal, "after {signal}: {status}");
        while marked(&mark) > 0 {
            assert!(Instant::now() < patience, "processes are left after {signal}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
