//! `carp sniff` and `carp scan` on a link where this project, ucarp and keepalived speak.

#[expect(dead_code, reason = "each test program uses a part of it")]
mod support;

use std::process::{Command, ExitCode};

use carp_node::lab::{self, Host, Process, Signal, Stream, wait_until};
use carp_proto::MacAddr;
use carp_proto::wire::checksum::checksum;
use carp_proto::wire::ethernet;
use carp_proto::wire::ip::{GROUP_IPV4, emit_ipv4};
use libtest_mimic::Failed;
use serde_json::{Value, json};
use support::{Daemon, LIMIT, PRIMARY, Rack, Test, Tested, VIP, carp, ensure, run_on, told};

const TESTS: &[Test] = &[
    ("sniff_shows_every_speaker_and_writes_what_others_read", sniff_shows_everybody),
    ("scan_lists_every_speaker_with_rank_dialect_and_free_ids", scan_lists_everybody),
    ("two_that_do_not_hear_each_other_are_a_conflict", scan_finds_conflicts),
    ("where_nobody_speaks_scan_says_so_and_succeeds", scan_of_a_silent_link),
    ("a_forwarded_tagged_or_odd_packet_is_shown_as_what_it_is", odd_packets),
    ("packets_of_loopback_are_shown_once", loopback),
    ("sniff_ends_on_a_signal_after_a_count_and_after_a_time", sniff_ends),
    ("an_interface_that_goes_down_is_waited_for_and_one_that_goes_away_is_not", interface_goes),
    ("without_cap_net_raw_the_exit_code_is_seven", missing_capability),
    ("a_missing_interface_is_told_with_those_that_exist", missing_interface),
    ("a_tunnel_is_no_link_to_listen_on", not_ethernet),
];

fn main() -> ExitCode {
    support::main(&[TESTS])
}

const THIRD: &str = "192.168.130.11";
const FOURTH: &str = "192.168.130.12";
const UCARP_VIP: &str = "192.168.130.102";

/// Everybody who speaks, and a host that listens.
struct Link {
    watch: Host,
    ours: Daemon,
    _backup: Daemon,
    _ucarp: (Host, Process),
    _keepalived: (Host, Process),
}

impl Link {
    fn new(rack: &Rack) -> Result<Self, Failed> {
        let ours = rack.configure("primary", "advskew = 3\npreempt = true")?;
        let ours = rack.daemon(&rack.primary, &ours)?;
        let backup =
            rack.daemon(&rack.secondary, &rack.configure("secondary", "advskew = 100")?)?;
        let host = |name, mac, address: &str| {
            rack.switch.host(name, lab::mac(mac), &[&format!("{address}/24")])
        };
        let third = host("third", 0x11, THIRD)?;
        let more = ["-v", "2", "-a", UCARP_VIP, "-k", "7"];
        let ucarp = rack.ucarp(&third, THIRD, &more)?;
        let fourth = host("fourth", 0x12, FOURTH)?;
        let keepalived = fourth.spawn(keepalived(rack)?)?;
        let watch = host("watch", 0x13, "192.168.130.13")?;
        ours.wait_for_state("active")?;
        Ok(Self {
            watch,
            ours,
            _backup: backup,
            _ucarp: (third, ucarp),
            _keepalived: (fourth, keepalived),
        })
    }
}

/// keepalived with a router of either version of VRRP.
fn keepalived(rack: &Rack) -> Result<Command, Failed> {
    let router = |version: u8, id: u8, priority: u8| {
        format!(
            "vrrp_instance v{version} {{\n  version {version}\n  interface eth0\n  state BACKUP\n  \
             virtual_router_id {id}\n  priority {priority}\n  advert_int 1\n  \
             virtual_ipaddress {{\n    192.168.130.10{id}/32\n  }}\n}}\n"
        )
    };
    let config = rack.write("keepalived.conf", &(router(2, 3, 120) + &router(3, 4, 90)), 0o644)?;
    let mut command = Command::new("/usr/sbin/keepalived");
    command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]).arg(config);
    for (option, file) in [("--pid", "keepalived.pid"), ("--vrrp_pid", "vrrp.pid")] {
        command.arg(option).arg(rack.path(file));
    }
    Ok(command)
}

fn command(verb: &str, arguments: &[&str]) -> Command {
    let mut command = carp();
    command.arg(verb).args(arguments);
    command
}

/// Starts `carp sniff`, and waits until it listens.
fn sniff(host: &Host, arguments: &[&str]) -> Result<Process, Failed> {
    let process = host.spawn(command("sniff", arguments))?;
    process.wait_for_line(LIMIT, "listening on ")?;
    Ok(process)
}

/// What it has printed so far.
fn shown(sniff: &Process) -> Vec<String> {
    let lines = sniff.lines().into_iter().filter(|line| line.stream == Stream::Stdout);
    lines.map(|line| line.text).collect()
}

fn objects(lines: &[String]) -> Vec<Value> {
    lines.iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Waits for its end, and checks what it says then.
fn ends(sniff: &Process) -> Result<usize, Failed> {
    let status = sniff.wait(LIMIT)?;
    ensure(status.success(), format!("{status}: {}", sniff.said()))?;
    let count = shown(sniff).len();
    let packets = if count == 1 { "packet" } else { "packets" };
    sniff.wait_for_line(LIMIT, &format!("carp: {count} {packets}, 0 dropped by the kernel"))?;
    Ok(count)
}

/// A name for everybody who speaks.
fn speaker(object: &Value) -> String {
    let id = object["vhid"].as_u64().or(object["vrid"].as_u64()).or(object["id"].as_u64());
    let text = |key: &str| object[key].as_str().unwrap_or("?").to_owned();
    format!("{} {} {}", text("protocol"), id.unwrap_or(0), text("source"))
}

const EVERYBODY: [&str; 4] = [
    "carp 1 192.168.130.50",
    "carp 2 192.168.130.11",
    "vrrp2 3 192.168.130.12",
    "vrrp3 4 192.168.130.12",
];

fn sniff_shows_everybody(rack: &Rack) -> Tested {
    let link = Link::new(rack)?;
    let file = rack.path("seen.pcap");
    let file = file.to_str().unwrap_or("");
    let sniff = sniff(&link.watch, &["-i", "eth0", "-w", file, "--json"])?;
    wait_until(LIMIT, "everybody is shown", || {
        let heard: Vec<String> = objects(&shown(&sniff)).iter().map(speaker).collect();
        EVERYBODY.iter().all(|name| heard.iter().any(|heard| heard == name))
    })?;
    sniff.signal(Signal::INT)?;
    let count = ends(&sniff)?;
    let live = shown(&sniff);
    for (at, object) in objects(&live).iter().enumerate() {
        ensure(object["frame"] == at + 1 && object["error"].is_null(), object.to_string())?;
        ensure(object["checksum"] == "ok" && object["ttl"] == 255, object.to_string())?;
        // Nanoseconds, and a Z.
        let time = object["time"].as_str().unwrap_or("");
        ensure(time.len() == "2026-11-22T08:43:47.222603123Z".len(), time)?;
    }
    let decoded = command("decode", &[file, "--json"]).output()?;
    let again: Vec<String> =
        String::from_utf8_lossy(&decoded.stdout).lines().map(str::to_owned).collect();
    ensure(again == live, format!("decode reads {again:#?} where sniff showed {live:#?}"))?;
    let tcpdump = Command::new("tcpdump").args(["-nr", file]).output().map_err(|error| {
        Failed::from(format!("tcpdump: {error}; .ci/install-test-deps installs it"))
    })?;
    let lines = String::from_utf8_lossy(&tcpdump.stdout).lines().count();
    ensure(tcpdump.status.success() && lines == count, told(&tcpdump).1)?;

    // What a host sends itself is seen there too.
    let own = rack.primary.spawn(command("sniff", &["-i", "eth0", "--json"]))?;
    wait_until(LIMIT, "its own adverts are shown", || {
        objects(&shown(&own)).iter().any(|object| object["source"] == PRIMARY)
    })?;
    ensure(link.ours.state() == "active", "nothing was disturbed")
}

/// Scans until everybody is heard: a machine that stands still for seconds hears less.
fn scan_until(host: &Host, names: &[&str], arguments: &[&str]) -> Result<Value, Failed> {
    let mut report = Value::Null;
    wait_until(LIMIT, "everybody is heard", || {
        let arguments = [&["-i", "eth0", "--json"], arguments].concat();
        let Ok(output) = run_on(host, command("scan", &arguments)) else { return false };
        report = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let heard: Vec<String> =
            report["speakers"].as_array().into_iter().flatten().map(speaker).collect();
        output.status.success() && heard == names
    })
    .map_err(|error| Failed::from(format!("{error}; the last report: {report}")))?;
    Ok(report)
}

fn scan_lists_everybody(rack: &Rack) -> Tested {
    let link = Link::new(rack)?;
    let key = rack.path("primary.key");
    let checking = ["--key-file", key.to_str().unwrap_or(""), "--address", VIP];
    let report = scan_until(&link.watch, &EVERYBODY, &checking)?;
    ensure(report["schema"] == "carp.scan/1" && report["interface"] == "eth0", report.to_string())?;
    ensure(report["seconds"].as_f64().is_some_and(|it| it >= 4.0), "it listens for 4 s")?;
    let of = |key: &str| -> Vec<Value> {
        let speakers = report["speakers"].as_array().into_iter().flatten();
        speakers.map(|speaker| speaker[key].clone()).collect()
    };
    let carp = |advskew: u8| json!({"advbase": 1, "advskew": advskew, "demotion": 0});
    let vrrp = |priority: u8| json!({"priority": priority});
    ensure(of("rank") == [carp(3), carp(7), vrrp(120), vrrp(90)], report.to_string())?;
    let intervals = [json!(1011.718), json!(1027.343), json!(1000), json!(1000)];
    ensure(of("interval_ms") == intervals, report.to_string())?;
    // ucarp has the key of ours, and other addresses.
    ensure(of("authentication") == ["ok", "bad", "none", "none"], report.to_string())?;
    let lists = [json!([]), json!([]), json!(["192.168.130.103"]), json!(["192.168.130.104"])];
    ensure(of("addresses") == lists, report.to_string())?;
    let dialects: Vec<Value> =
        of("guesses").iter().map(|guesses| guesses[0]["dialect"].clone()).collect();
    ensure(dialects == ["native", "ucarp", "keepalived", "keepalived"], report.to_string())?;
    ensure(report["used_ids"] == json!([1, 2, 3, 4]), report.to_string())?;
    ensure(report["free_ids"] == json!([{"first": 5, "last": 255}]), report.to_string())?;
    let kinds: Vec<&Value> =
        report["findings"].as_array().into_iter().flatten().map(|it| &it["kind"]).collect();
    ensure(kinds == ["bad-authentication"], report.to_string())?;

    let (code, text) = told(&run_on(&link.watch, command("scan", &["-i", "eth0", "--for", "6s"]))?);
    ensure(code == Some(0), text.clone())?;
    for part in
        ["ID  PROTOCOL  SOURCE", "1+3/256 s", "ucarp (from 00:00:5e:00:00:02)", "free ids: 5-255"]
    {
        ensure(text.contains(part), format!("no {part:?} in {text}"))?;
    }
    Ok(())
}

fn scan_finds_conflicts(rack: &Rack) -> Tested {
    let first = rack.daemon(&rack.primary, &rack.configure("primary", "advskew = 0")?)?;
    let addresses = format!("addresses = [\"{VIP}\"]\nadvskew = 100");
    let second = rack.configure_with("secondary", "another key", &addresses)?;
    let second = rack.daemon(&rack.secondary, &second)?;
    first.wait_for_state("active")?;
    second.wait_for_state("active")?;
    let watch = rack.switch.host("watch", lab::mac(0x13), &["192.168.130.13/24"])?;
    let mut said = String::new();
    let found = wait_until(LIMIT, "the conflict is told", || {
        let scan = run_on(&watch, command("scan", &["-i", "eth0"]));
        said = scan.map(|output| told(&output).1).unwrap_or_default();
        said.contains("! 2 are active for carp id 1: 192.168.130.10, 192.168.130.50\n")
    });
    found.map_err(|error| Failed::from(format!("{error}: {said}")))
}

fn scan_of_a_silent_link(rack: &Rack) -> Tested {
    let output = run_on(&rack.primary, command("scan", &["-i", "eth0", "--for", "200ms"]))?;
    let (code, text) = told(&output);
    ensure(code == Some(0), text.clone())?;
    ensure(output.stdout == b"free ids: 1-255\n", text.clone())?;
    ensure(text.contains("carp: nobody was heard on eth0 in 0."), text)
}

/// A VRRPv2 advert of 10.0.0.9 with this id, in an Ethernet frame.
fn advert(id: u8) -> Vec<u8> {
    let mut message = vec![0x21, id, 100, 1, 0, 1, 0, 0, 10, 0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0];
    let sum = checksum(&message).to_be_bytes();
    message[6..8].copy_from_slice(&sum);
    let mut frame = Vec::new();
    ethernet::emit(&mut frame, MacAddr::ADVERTISEMENT_IPV4, lab::mac(9), ethernet::TYPE_IPV4);
    emit_ipv4([10, 0, 0, 9].into(), GROUP_IPV4, message.len(), &mut frame);
    frame.extend(message);
    frame
}

/// The frame with another byte in its IP header. The switch drops packets with a wrong header checksum.
fn changed(mut frame: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    let header = &mut frame[ethernet::HEADER_LEN..][..20];
    header[at] = byte;
    header[10..12].fill(0);
    let sum = checksum(header).to_be_bytes();
    header[10..12].copy_from_slice(&sum);
    frame
}

/// Sends frames as they are from an interface of a host.
fn inject(host: &Host, interface: &str, frames: &[Vec<u8>]) -> Tested {
    const SCRIPT: &str = "\
import socket, sys
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind((sys.argv[1], 0))
for frame in sys.argv[2:]:
    link.send(bytes.fromhex(frame))
";
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", SCRIPT, interface]);
    for frame in frames {
        command.arg(frame.iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    let (code, text) = told(&run_on(host, command)?);
    ensure(code == Some(0), text)
}

fn shell(host: &Host, script: &str) -> Tested {
    let mut command = Command::new("sh");
    command.arg("-ec").arg(script);
    let (code, text) = told(&run_on(host, command)?);
    ensure(code == Some(0), format!("{script}: {text}"))
}

fn odd_packets(rack: &Rack) -> Tested {
    let file = rack.path("odd.pcap");
    let file = file.to_str().unwrap_or("");
    let sniff = sniff(&rack.secondary, &["-i", "eth0", "--count", "4", "-w", file, "--json"])?;
    let (forwarded, short) = (changed(advert(1), 8, 64), changed(advert(2), 3, 36));
    let tagged = [&advert(3)[..12], &[0x81, 0, 0, 5], &advert(3)[12..]].concat();
    inject(&rack.primary, "eth0", &[forwarded, short, tagged, advert(4)])?;
    ends(&sniff)?;
    let seen = objects(&shown(&sniff));
    let of = |key: &str| -> Vec<Value> { seen.iter().map(|seen| seen[key].clone()).collect() };
    ensure(of("vrid") == [json!(1), Value::Null, json!(3), json!(4)], format!("{seen:?}"))?;
    ensure(of("ttl") == [64, 255, 255, 255], format!("{seen:?}"))?;
    ensure(of("vlan") == [Value::Null, Value::Null, json!(5), Value::Null], format!("{seen:?}"))?;
    ensure(seen[1]["error"].is_string(), format!("{seen:?}"))?;
    let decoded = command("decode", &[file]).output()?;
    let text = told(&decoded).1;
    ensure(text.contains("  vlan 5  10.0.0.9 > 224.0.0.18 "), text)?;
    let (_, text) = told(&command("scan", &["--read", file]).output()?);
    ensure(text.starts_with("VLAN  ID  PROTOCOL") && text.contains("\n5     3   vrrp2"), text)
}

fn loopback(rack: &Rack) -> Tested {
    let sniff = sniff(&rack.primary, &["-i", "lo", "--count", "3", "--json"])?;
    inject(&rack.primary, "lo", &[advert(1), advert(2), advert(3)])?;
    ends(&sniff)?;
    let ids: Vec<Value> =
        objects(&shown(&sniff)).iter().map(|object| object["vrid"].clone()).collect();
    ensure(ids == [1, 2, 3], format!("{ids:?}"))
}

fn sniff_ends(rack: &Rack) -> Tested {
    for signal in [Signal::TERM, Signal::INT] {
        let sniff = sniff(&rack.secondary, &["-i", "eth0"])?;
        inject(&rack.primary, "eth0", &[advert(1)])?;
        wait_until(LIMIT, "the packet is shown", || shown(&sniff).len() == 1)?;
        sniff.signal(signal)?;
        ensure(ends(&sniff)? == 1, "one packet")?;
    }
    let counted = sniff(&rack.secondary, &["-i", "eth0", "-c", "2"])?;
    inject(&rack.primary, "eth0", &[advert(1), advert(2), advert(3)])?;
    ensure(ends(&counted)? == 2, "two packets")?;
    let timed = sniff(&rack.secondary, &["-i", "eth0", "--for", "100ms"])?;
    ensure(ends(&timed)? == 0, "no packet")
}

fn interface_goes(rack: &Rack) -> Tested {
    let sniff = sniff(&rack.secondary, &["-i", "eth0"])?;
    rack.secondary.set_link(false)?;
    sniff.wait_for_line(LIMIT, "carp: eth0 is down: listening on until it is up again")?;
    rack.secondary.set_link(true)?;
    wait_until(LIMIT, "packets are shown again", || {
        inject(&rack.primary, "eth0", &[advert(1)]).is_ok() && !shown(&sniff).is_empty()
    })?;
    shell(&rack.secondary, "ip link add v0 type veth peer name v1; ip link set v0 up")?;
    let doomed = self::sniff(&rack.secondary, &["-i", "v0"])?;
    shell(&rack.secondary, "ip link del v0")?;
    let status = doomed.wait(LIMIT)?;
    ensure(status.code() == Some(1), format!("{status}"))?;
    doomed.wait_for_line(LIMIT, "error: v0 has gone")?;
    doomed.wait_for_line(LIMIT, "0 packets, 0 dropped")?;
    Ok(())
}

fn missing_capability(rack: &Rack) -> Tested {
    for verb in ["sniff", "scan"] {
        let mut command = Command::new("setpriv");
        command.args(["--bounding-set", "-all", "--inh-caps", "-all"]);
        command.arg(env!("CARGO_BIN_EXE_carp")).args([verb, "-i", "eth0"]);
        let (code, text) = told(&run_on(&rack.primary, command)?);
        ensure(code == Some(7), format!("{code:?} {text}"))?;
        ensure(text.contains("CAP_NET_RAW missing") && text.contains("help:"), text.clone())?;
        ensure(!text.contains("CAP_NET_ADMIN"), text)?;
    }
    Ok(())
}

fn missing_interface(rack: &Rack) -> Tested {
    let file = rack.path("never.pcap");
    let name = file.to_str().unwrap_or("");
    for arguments in [&["sniff", "-i", "eth9", "-w", name][..], &["scan", "-i", "eth9"]] {
        let (code, text) = told(&run_on(&rack.primary, command(arguments[0], &arguments[1..]))?);
        ensure(code == Some(1), format!("{code:?} {text}"))?;
        ensure(text.contains("there is no interface eth9"), text.clone())?;
        ensure(text.contains("help: this host has ") && text.contains("eth0"), text)?;
    }
    ensure(!file.exists(), "no file is made for nothing")?;
    let unwritable = command("sniff", &["-i", "eth0", "-w", "/proc/none"]);
    let (code, text) = told(&run_on(&rack.primary, unwritable)?);
    ensure(code == Some(1) && text.contains("/proc/none cannot be written"), text)?;
    let (code, text) = told(&run_on(&rack.primary, command("sniff", &["-i", "eth0", "-w", "-"]))?);
    ensure(code == Some(2) && text.contains("help: give -w a file"), text)
}

fn not_ethernet(rack: &Rack) -> Tested {
    shell(&rack.primary, "ip tuntap add mode tun name tun0; ip link set tun0 up")?;
    let (code, text) = told(&run_on(&rack.primary, command("sniff", &["-i", "tun0"]))?);
    ensure(code == Some(1), format!("{code:?} {text}"))?;
    ensure(text.contains("tun0 is no Ethernet link") && text.contains("help:"), text)
}
