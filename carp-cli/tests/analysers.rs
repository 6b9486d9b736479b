//! Other analysers read the captures of real routers as we do, except where they are wrong.
//!
//! Each of them is shown every capture, and each packet's fields are held against those of `carp decode`.
//! What differs has to be in [`DISAGREEMENTS`], with the reason.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A packet's fields, as text.
type Fields = BTreeMap<&'static str, String>;

/// The packets of a capture that somebody could read, by their frame.
type Reading = BTreeMap<u64, Fields>;

/// Where an analyser is known to read other things than we do, and why we are right.
struct Disagreement {
    analyser: &'static str,
    /// In which capture; `None` for all.
    capture: Option<&'static str>,
    /// In which packets.
    packets: Packets,
    #[expect(dead_code, reason = "it is for the reader")]
    why: &'static str,
}

enum Packets {
    /// All that we take for one of these.
    Of(&'static [&'static str]),
    /// These frames.
    Frames(&'static [u64]),
}

const TSHARK: &str = "tshark";
const TSHARK_CARP: &str = "tshark -d ip.proto==112,carp";
const SCAPY: &str = "scapy";
const SCAPY_CARP: &str = "scapy with contrib.carp";

/// The hand-made packets: most of them are wrong on purpose.
const INJECTED: Option<&str> = Some("ucarp-injection");

const DISAGREEMENTS: [Disagreement; 12] = [
    Disagreement {
        analyser: TSHARK,
        capture: None,
        packets: Packets::Of(&["carp"]),
        why: "tshark 4.0 takes CARP for VRRPv2 with seven addresses, for which 36 bytes are too few",
    },
    Disagreement {
        analyser: TSHARK,
        capture: INJECTED,
        packets: Packets::Frames(&[10]),
        why: "it knows the checksum with a pseudo-header only, and RFC 9568 section 5.2.8 has none",
    },
    Disagreement {
        analyser: TSHARK,
        capture: INJECTED,
        packets: Packets::Frames(&[27, 40]),
        why: "bad CARP: type 0 with authlen 9, and four bytes too many; no length of VRRPv2",
    },
    Disagreement {
        analyser: TSHARK_CARP,
        capture: None,
        packets: Packets::Of(&["vrrp2", "vrrp3"]),
        why: "told that protocol 112 is CARP, it reads nothing else",
    },
    Disagreement {
        analyser: TSHARK_CARP,
        capture: INJECTED,
        packets: Packets::Frames(&[40]),
        why: "four bytes too many: it reads the first 36, we refuse the message",
    },
    Disagreement {
        analyser: SCAPY,
        capture: None,
        packets: Packets::Of(&["carp"]),
        why: "scapy 2.5 takes CARP for VRRPv2 with seven addresses",
    },
    Disagreement {
        analyser: SCAPY,
        capture: Some("keepalived-v2-auth-ah"),
        packets: Packets::Of(&["vrrp2"]),
        why: "it does not look into AH",
    },
    Disagreement {
        analyser: SCAPY,
        capture: INJECTED,
        packets: Packets::Frames(&[10]),
        why: "as tshark: a checksum without a pseudo-header is bad to it",
    },
    Disagreement {
        analyser: SCAPY,
        capture: INJECTED,
        packets: Packets::Frames(&[27, 40]),
        why: "as tshark: bad CARP, which it takes for VRRPv2",
    },
    Disagreement {
        analyser: SCAPY_CARP,
        capture: None,
        packets: Packets::Of(&["vrrp2", "vrrp3"]),
        why: "contrib.carp replaces VRRP for all of protocol 112",
    },
    Disagreement {
        analyser: SCAPY_CARP,
        capture: INJECTED,
        packets: Packets::Frames(&[27, 40]),
        why: "it takes all of protocol 112 for CARP, whatever the type and the length",
    },
    Disagreement {
        analyser: SCAPY_CARP,
        capture: INJECTED,
        packets: Packets::Frames(&[15, 52]),
        why: "it looks for CARP in what was sent to 224.0.0.18 alone; these went elsewhere",
    },
];

#[test]
fn tshark_agrees() {
    for (analyser, options) in [(TSHARK, &[][..]), (TSHARK_CARP, &["-d", "ip.proto==112,carp"])] {
        compare(analyser, |capture| tshark(capture, options));
    }
}

#[test]
fn scapy_agrees() {
    for (analyser, script) in [(SCAPY, SCAPY_VRRP_SCRIPT), (SCAPY_CARP, SCAPY_CARP_SCRIPT)] {
        let readings = scapy(script);
        compare(analyser, |capture| readings.get(capture).cloned().unwrap_or_default());
    }
}

/// Fails with all that differs and is not known.
fn compare(analyser: &str, read: impl Fn(&Path) -> Reading) {
    let mut unknown = Vec::new();
    let mut agreed = 0;
    for capture in captures() {
        let (ours, kinds) = ours(&capture);
        let theirs = read(&capture);
        let frames: BTreeSet<u64> = ours.keys().chain(theirs.keys()).copied().collect();
        let name = capture.file_stem().and_then(|name| name.to_str()).unwrap_or("");
        for frame in frames {
            let (ours, theirs) = (ours.get(&frame), theirs.get(&frame));
            if ours == theirs {
                agreed += 1;
            } else if !is_known(analyser, name, frame, kinds.get(&frame)) {
                unknown
                    .push(format!("{name} frame {frame}:\n  we {ours:?}\n  {analyser} {theirs:?}"));
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    assert!(agreed > 50, "{analyser} agreed on {agreed} packets only");
}

fn is_known(analyser: &str, capture: &str, frame: u64, kind: Option<&String>) -> bool {
    DISAGREEMENTS.iter().any(|known| {
        known.analyser == analyser
            && known.capture.is_none_or(|it| it == capture)
            && match known.packets {
                Packets::Of(kinds) => kind.is_some_and(|kind| kinds.contains(&&**kind)),
                Packets::Frames(frames) => frames.contains(&frame),
            }
    })
}

fn captures() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../carp-proto/tests/vectors");
    let entries = directory.read_dir().expect("the captures");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut captures: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|it| it == "pcap")).collect();
    captures.sort();
    assert!(captures.len() >= 14, "{captures:?}");
    captures
}

/// What we read, and what we take every packet for, also those that we cannot read.
fn ours(capture: &Path) -> (Reading, BTreeMap<u64, String>) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carp"));
    let output = command.arg("decode").arg(capture).arg("--json").output().expect("carp runs");
    assert!(output.status.success(), "{output:?}");
    let (mut reading, mut kinds) = (Reading::new(), BTreeMap::new());
    for line in String::from_utf8(output.stdout).expect("UTF-8").lines() {
        let object: Value = serde_json::from_str(line).expect("JSON");
        let frame = object["frame"].as_u64().expect("a number");
        kinds.insert(frame, object["protocol"].as_str().expect("a name").to_owned());
        if object["error"].is_null() {
            reading.insert(frame, our_fields(&object));
        }
    }
    (reading, kinds)
}

/// The keys that others have too.
fn our_fields(object: &Value) -> Fields {
    const KEYS: [&str; 11] = [
        "protocol",
        "vhid",
        "advskew",
        "advbase",
        "demotion",
        "counter",
        "vrid",
        "priority",
        "interval_ms",
        "auth_type",
        "checksum",
    ];
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let present = KEYS.into_iter().filter(|key| !object[key].is_null());
    let mut fields: Fields = present.map(|key| (key, text(&object[key]))).collect();
    if let Some(list) = object["addresses"].as_array() {
        fields.insert("addresses", list.iter().map(text).collect::<Vec<_>>().join(","));
    }
    fields
}

fn tshark(capture: &Path, options: &[&str]) -> Reading {
    const COLUMNS: [&str; 16] = [
        "frame.number",
        "vrrp.version",
        "vrrp.virt_rtr_id",
        "vrrp.prio",
        "vrrp.adver_int",
        "vrrp.short_adver_int",
        "vrrp.auth_type",
        "vrrp.checksum.status",
        "vrrp.ip_addr",
        "vrrp.ipv6_addr",
        "carp.vhid",
        "carp.advskew",
        "carp.adver_int",
        "carp.demotion",
        "carp.counter",
        "carp.checksum.status",
    ];
    let mut command = Command::new("tshark");
    command.arg("-n").arg("-r").arg(capture).args(options).args(["-T", "fields"]);
    command.args(["-E", "separator=|"]).args(COLUMNS.iter().flat_map(|column| ["-e", column]));
    let output = command.output().expect("tshark runs; .ci/install-test-deps installs it");
    assert!(output.status.success(), "{output:?}");
    let mut reading = Reading::new();
    for line in String::from_utf8(output.stdout).expect("UTF-8").lines() {
        let cells: BTreeMap<&str, &str> = COLUMNS.into_iter().zip(line.split('|')).collect();
        let cell = |column: &str| cells.get(column).copied().unwrap_or("");
        if let Some(fields) = tshark_vrrp(cell).or_else(|| tshark_carp(cell)) {
            reading.insert(cell("frame.number").parse().expect("a number"), fields);
        }
    }
    reading
}

fn tshark_vrrp<'a>(cell: impl Fn(&str) -> &'a str) -> Option<Fields> {
    let (protocol, interval_ms, addresses) = match cell("vrrp.version") {
        "2" => ("vrrp2", times(cell("vrrp.adver_int"), 1000), cell("vrrp.ip_addr")),
        "3" => {
            let addresses = [cell("vrrp.ip_addr"), cell("vrrp.ipv6_addr")];
            let list = addresses.into_iter().find(|list| !list.is_empty()).unwrap_or("");
            ("vrrp3", times(cell("vrrp.short_adver_int"), 10), list)
        }
        _ => return None,
    };
    let mut fields = Fields::from([
        ("protocol", protocol.to_owned()),
        ("vrid", cell("vrrp.virt_rtr_id").to_owned()),
        ("priority", cell("vrrp.prio").to_owned()),
        ("interval_ms", interval_ms),
        ("addresses", addresses.to_owned()),
        ("checksum", checksum(cell("vrrp.checksum.status") == "1")),
    ]);
    if protocol == "vrrp2" {
        fields.insert("auth_type", auth_type(cell("vrrp.auth_type")));
    }
    Some(fields)
}

fn tshark_carp<'a>(cell: impl Fn(&str) -> &'a str) -> Option<Fields> {
    let counter: u64 = cell("carp.counter").parse().ok()?;
    Some(carp([
        cell("carp.vhid"),
        cell("carp.advskew"),
        cell("carp.adver_int"),
        cell("carp.demotion"),
        &format!("{counter:016x}"),
        &checksum(cell("carp.checksum.status") == "1"),
    ]))
}

/// Prints a line for every packet with a layer of VRRP: capture, frame, and the fields.
const SCAPY_VRRP_SCRIPT: &str = r#"
import sys
from scapy.utils import rdpcap
from scapy.layers.vrrp import VRRP, VRRPv3
for path in sys.argv[1:]:
    for number, packet in enumerate(rdpcap(path), 1):
        for layer in (VRRP, VRRPv3):
            if packet.haslayer(layer):
                it = packet[layer]
                again = packet.copy()
                del again[layer].chksum
                again = packet.__class__(bytes(again))
                ok = again[layer].chksum == it.chksum
                auth = it.authtype if layer is VRRP else ""
                print(path, number, it.version, it.vrid, it.priority, it.adv, auth, int(ok),
                      ",".join(it.addrlist), sep="|")
"#;

/// The same with the module that takes all of protocol 112 for CARP.
const SCAPY_CARP_SCRIPT: &str = r#"
import sys
from scapy.utils import rdpcap
from scapy.layers.l2 import Ether
from scapy.contrib.carp import CARP
for path in sys.argv[1:]:
    for number, packet in enumerate(rdpcap(path), 1):
        if packet.haslayer(CARP):
            it = packet[CARP]
            again = packet.copy()
            del again[CARP].chksum
            again = packet.__class__(bytes(again))
            ok = again[CARP].chksum == it.chksum
            counter = (it.counter1 << 32) | it.counter2
            print(path, number, "carp", it.vhid, it.advskew, it.advbase, it.demotion,
                  "%016x" % counter, int(ok), sep="|")
"#;

fn scapy(script: &str) -> BTreeMap<PathBuf, Reading> {
    // Debian's Python, which has Debian's scapy.
    let mut command = Command::new("/usr/bin/python3");
    let output = command.args(["-c", script]).args(captures()).output();
    let output = output.expect("python3 runs; .ci/install-test-deps installs it");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "is scapy there? .ci/install-test-deps installs it: {said}");
    let mut readings = BTreeMap::<PathBuf, Reading>::new();
    for line in String::from_utf8(output.stdout).expect("UTF-8").lines() {
        let cells: Vec<&str> = line.split('|').collect();
        let (path, frame, fields) = match cells[..] {
            [path, frame, "carp", vhid, advskew, advbase, demotion, counter, ok] => {
                let ok = checksum(ok == "1");
                (path, frame, carp([vhid, advskew, advbase, demotion, counter, &ok]))
            }
            [path, frame, version, vrid, priority, interval, auth, ok, addresses] => {
                let ok = ok == "1";
                let fields = scapy_vrrp([version, vrid, priority, interval, auth, addresses], ok);
                (path, frame, fields)
            }
            _ => panic!("{line}"),
        };
        let reading = readings.entry(path.into()).or_default();
        reading.insert(frame.parse().expect("a number"), fields);
    }
    readings
}

fn scapy_vrrp(
    [version, vrid, priority, interval, auth, addresses]: [&str; 6],
    checksum_ok: bool,
) -> Fields {
    let mut fields = Fields::from([
        ("protocol", format!("vrrp{version}")),
        ("vrid", vrid.to_owned()),
        ("priority", priority.to_owned()),
        ("interval_ms", times(interval, if version == "2" { 1000 } else { 10 })),
        ("addresses", addresses.to_owned()),
        ("checksum", checksum(checksum_ok)),
    ]);
    if version == "2" {
        fields.insert("auth_type", auth_type(auth));
    }
    fields
}

fn carp([vhid, advskew, advbase, demotion, counter, checksum]: [&str; 6]) -> Fields {
    Fields::from([
        ("protocol", "carp".to_owned()),
        ("vhid", vhid.to_owned()),
        ("advskew", advskew.to_owned()),
        ("advbase", advbase.to_owned()),
        ("demotion", demotion.to_owned()),
        ("counter", counter.to_owned()),
        ("checksum", checksum.to_owned()),
    ])
}

fn times(number: &str, unit: u32) -> String {
    number.parse::<u32>().map_or_else(|_| number.to_owned(), |it| (it * unit).to_string())
}

fn auth_type(number: &str) -> String {
    match number {
        "0" => "none",
        "1" => "password",
        "2" => "ah",
        _ => "unknown",
    }
    .to_owned()
}

fn checksum(ok: bool) -> String {
    if ok { "ok" } else { "bad" }.to_owned()
}
