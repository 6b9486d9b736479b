//! `carp scan --read`, on captures of real routers. Live links are in `listen.rs`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

fn capture(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../carp-proto/tests/vectors");
    directory.join(name).with_extension("pcap")
}

fn scan(capture: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carp"));
    command.args(["scan", "--read"]).arg(capture).args(arguments).env_remove("NO_COLOR");
    let Output { status, stdout, stderr } = command.output().expect("carp runs");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code(), text(stdout), text(stderr))
}

fn report(name: &str) -> Value {
    let (code, out, err) = scan(&capture(name), &["--json"]);
    assert_eq!((code, &*err), (Some(0), ""), "{name}");
    serde_json::from_str(&out).expect("one object")
}

#[test]
fn a_scan_is_a_table_its_findings_and_the_ids() {
    let (code, out, err) = scan(&capture("collision-ucarp-vhid42-keepalived-col2"), &[]);
    assert_eq!((code, &*err), (Some(0), ""));
    assert_eq!(
        out,
        "\
ID  PROTOCOL  SOURCE     RANK                    INTERVAL  ADDRESSES                 AUTHENTICATION  LOOKS LIKE
42  carp      10.99.0.1  1+0/256 s               1 s       -                         unchecked       ucarp (from 00:00:5e:00:00:2a)
42  vrrp2     10.99.0.2  priority 100, resigned  1 s       10.99.0.150, 10.99.0.151  none            keepalived (type of service 0xc0, may be fragmented)

! CARP and VRRP both use id 42, whose virtual MAC is 00:00:5e:00:01:2a in both: 10.99.0.1, 10.99.0.2
ids in use: 42
free ids: 1-41, 43-255
"
    );
    let colored = scan(&capture("collision-ucarp-vhid42-keepalived-col2"), &["--color", "always"]);
    assert!(colored.1.contains("\n\x1b[1;31m! CARP and VRRP both"), "{colored:?}");
}

#[test]
fn a_scan_in_json_has_its_schema() {
    let report = report("keepalived-v3-ipv4-centisec");
    assert_eq!(report["schema"], "carp.scan/1");
    assert_eq!((&report["interface"], &report["kernel_dropped"]), (&Value::Null, &0.into()));
    assert!(report["seconds"].as_f64().is_some_and(|seconds| seconds > 5.0), "{report}");
    assert_eq!((&report["used_ids"], &report["findings"]), (&json!([54]), &json!([])));
    assert_eq!(report["free_ids"], json!([{"first": 1, "last": 53}, {"first": 55, "last": 255}]));
    let speaker = &report["speakers"][0];
    let expected = json!({
        "protocol": "vrrp3", "id": 54, "source": "10.99.0.1", "vlan": null,
        "mac": "02:00:00:00:00:0a", "rank": {"priority": 150}, "resigned": true,
        "interval_ms": 250, "addresses": ["10.99.0.154"], "authentication": "none",
        "key_id": null, "ttl": 255, "adverts": speaker["adverts"],
        "guesses": [{"dialect": "keepalived", "reason": "type of service 0xc0, may be fragmented"}],
    });
    assert_eq!(speaker, &expected);
}

#[test]
fn the_speakers_of_every_capture_are_listed() {
    for (name, expected) in [
        ("ucarp-default", &["carp 42 10.99.0.1"][..]),
        ("ucarp-two-elect-sigterm", &["carp 42 10.99.0.1", "carp 42 10.99.0.2"]),
        ("ucarp-tie-endianness", &["carp 7 10.99.0.9", "carp 7 10.99.1.2"]),
        ("ucarp-honours-bowout-255", &["carp 42 10.99.0.1", "carp 42 10.99.0.3"]),
        ("ucarp-linkdown", &["carp 42 10.99.0.1"]),
        ("keepalived-v2-noauth-elect-stop", &["vrrp2 51 10.99.0.1", "vrrp2 51 10.99.0.2"]),
        ("keepalived-v2-auth-pass", &["vrrp2 52 10.99.0.1", "vrrp2 52 10.99.0.2"]),
        ("keepalived-v2-auth-ah", &["vrrp2 53 10.99.0.1", "vrrp2 53 10.99.0.2"]),
        ("keepalived-v3-ipv4-centisec", &["vrrp3 54 10.99.0.1", "vrrp3 54 10.99.0.2"]),
        (
            "keepalived-v3-ipv6",
            &["vrrp3 55 fe80::1887:acff:fee1:edce", "vrrp3 55 fe80::6cfa:37ff:fec3:1fb0"],
        ),
        ("frr-v3-ipv4-ipv6-stop", &["vrrp3 70 10.99.0.1", "vrrp3 70 fe80::200:5eff:fe00:246"]),
        ("frr-sigterm", &["vrrp2 70 10.99.0.1"]),
    ] {
        let report = report(name);
        let names: Vec<String> = report["speakers"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|speaker| {
                let text = |key: &str| speaker[key].as_str().expect("a text");
                format!("{} {} {}", text("protocol"), speaker["id"], text("source"))
            })
            .collect();
        assert_eq!(names, expected, "{name}");
        assert_eq!(report["findings"], json!([]), "{name}");
    }
}

#[test]
fn what_comes_before_the_damage_counts() {
    let bytes = std::fs::read(capture("ucarp-default")).expect("a capture");
    let dir = tempfile::tempdir().expect("a directory");
    let damaged = dir.path().join("damaged.pcap");
    std::fs::write(&damaged, &bytes[..bytes.len() - 100]).expect("written");
    let (code, out, err) = scan(&damaged, &[]);
    assert_eq!(code, Some(1));
    assert!(out.contains("ucarp (from 00:00:5e:00:00:2a)"), "{out}");
    assert!(err.contains("it ends in the middle of a record, at byte "), "{err}");

    let empty = dir.path().join("empty.pcap");
    std::fs::write(&empty, &bytes[..24]).expect("written");
    let told = scan(&empty, &[]);
    let expected = (Some(0), "free ids: 1-255\n", "carp: nobody was heard in the capture\n");
    assert_eq!((told.0, &*told.1, &*told.2), expected);

    let (code, out, err) = scan(Path::new("missing.pcap"), &[]);
    assert_eq!((code, &*out), (Some(1), ""));
    assert!(err.starts_with("carp: error: missing.pcap cannot be read: "), "{err}");
}
