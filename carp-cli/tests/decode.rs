//! `carp decode`, as it is typed, on captures of real routers.

#[path = "support/told.rs"]
mod told;

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use told::Told;

/// Where the captures of real routers are.
const VECTORS: &str = "../carp-proto/tests/vectors";

/// A packet of ucarp, from the IP header on; the example of docs/wire.md.
const PACKET: &str = "45100038842a4000ff700ca50a630001e0000012\
                      212a000700010a185932ce130361ff37e5ca595ed8c1579627823d1cab476f1408e5b375";

impl Told {
    /// The objects, if all went well.
    fn objects(&self) -> Vec<Value> {
        assert_eq!((self.code, &*self.err), (Some(0), ""));
        self.lines_of_json()
    }

    fn lines_of_json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carp"));
    command.arg("decode").args(arguments).env_remove("NO_COLOR");
    command
}

fn decode(arguments: &[&str]) -> Told {
    command(arguments).output().expect("carp runs").into()
}

/// With this on stdin.
fn decode_stdin(input: &[u8], arguments: &[&str]) -> Told {
    let mut child = command(&[&["-"], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("carp runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("carp ends");
    // A command that refuses its input does not read it.
    let _written = writer.join().expect("written");
    output.into()
}

fn capture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(VECTORS).join(name).with_extension("pcap")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A key file of its own directory.
fn key(content: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("key");
    fs::write(&file, content).expect("written");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("mode set");
    (dir, file)
}

/// The values of a key, in order.
fn all<'a>(objects: &'a [Value], key: &str) -> Vec<&'a str> {
    objects.iter().filter_map(|object| object[key].as_str()).collect()
}

#[test]
fn every_packet_of_real_routers_is_found_and_told_apart() {
    for (name, carp, vrrp2, vrrp3, unknown) in [
        ("ucarp-default", 11, 0, 0, 0),
        ("ucarp-two-elect-sigterm", 23, 0, 0, 0),
        ("ucarp-tie-endianness", 11, 0, 0, 0),
        ("ucarp-injection", 45, 0, 1, 2),
        ("ucarp-honours-bowout-255", 10, 0, 0, 0),
        ("ucarp-linkdown", 6, 0, 0, 0),
        ("collision-ucarp-vhid42-keepalived-col2", 12, 2, 0, 0),
        ("keepalived-v2-noauth-elect-stop", 0, 21, 0, 0),
        ("keepalived-v2-auth-pass", 0, 12, 0, 0),
        ("keepalived-v2-auth-ah", 0, 25, 0, 0),
        ("keepalived-v3-ipv4-centisec", 0, 0, 31, 0),
        ("keepalived-v3-ipv6", 0, 0, 14, 0),
        ("frr-v3-ipv4-ipv6-stop", 0, 0, 11, 0),
        ("frr-sigterm", 0, 3, 0, 0),
    ] {
        let file = capture(name);
        let objects = decode(&[path(&file), "--json"]).objects();
        let of = |name| objects.iter().filter(|object| object["protocol"] == name).count();
        let found = (of("carp"), of("vrrp2"), of("vrrp3"), of("unknown"));
        assert_eq!(found, (carp, vrrp2, vrrp3, unknown), "{name}");
        assert_eq!(objects.len(), carp + vrrp2 + vrrp3 + unknown, "{name}");

        let frames: Vec<_> = objects.iter().filter_map(|object| object["frame"].as_u64()).collect();
        assert!(frames.is_sorted() && frames.len() == objects.len(), "{name}");
        let told = decode(&[path(&file)]);
        assert_eq!((told.code, &*told.err), (Some(0), ""), "{name}");
        assert_eq!(told.out.lines().count(), objects.len(), "{name}");
    }
}

#[test]
fn an_advert_of_ucarp_has_every_field() {
    let file = capture("ucarp-default");
    let told = decode(&[path(&file), "--json"]);
    let first = told.out.lines().next().expect("a line");
    assert_eq!(
        first,
        "{\"frame\":9,\"time\":\"2026-11-22T08:43:47.222603Z\",\"source\":\"10.99.0.1\",\
         \"destination\":\"224.0.0.18\",\"ttl\":255,\"protocol\":\"carp\",\"length\":36,\
         \"vhid\":42,\"advskew\":0,\"advbase\":1,\"demotion\":0,\
         \"counter\":\"5932ce130361ff37\",\"checksum\":\"ok\",\"authentication\":\"unchecked\"}"
    );
    let text = decode(&[path(&file)]);
    assert_eq!(
        text.out.lines().next(),
        Some(
            "   9  08:43:47.222603Z  10.99.0.1 > 224.0.0.18       CARP vhid 42  1+0/256 s    \
             demotion 0  counter 5932ce130361ff37  ttl 255  authentication unchecked"
        )
    );
}

#[test]
fn a_resignation_is_shown_as_one() {
    let told = decode(&[path(&capture("ucarp-honours-bowout-255"))]);
    let resigning: Vec<_> = told.out.lines().filter(|line| line.contains("  resigns  ")).collect();
    assert!(matches!(resigning[..], [line] if line.starts_with("   9  ")), "{told:?}");
}

#[test]
fn the_digest_fits_the_key_and_the_addresses_and_nothing_else() {
    let file = capture("ucarp-default");
    let (_dir, love) = key("love\n");
    let (_dir_hate, hate) = key("hate\n");
    for (key, addresses, expected) in [
        (&love, &["10.99.0.100"][..], "ok"),
        (&love, &["10.99.0.100/24"], "ok"),
        (&love, &["10.99.0.100", "10.99.0.100/32"], "ok"),
        (&love, &["10.99.0.101"], "bad"),
        (&love, &["10.99.0.100", "2001:db8::1"], "bad"),
        (&hate, &["10.99.0.100"], "bad"),
    ] {
        let mut arguments = vec![path(&file), "--json", "--key-file", path(key)];
        arguments.extend(addresses.iter().flat_map(|address| ["--address", *address]));
        let objects = decode(&arguments).objects();
        assert_eq!(all(&objects, "authentication"), [expected; 11], "{arguments:?}");
    }
}

#[test]
fn packets_that_were_made_wrong_get_their_label() {
    let (_dir, love) = key("love");
    let file = capture("ucarp-injection");
    let objects =
        decode(&[path(&file), "--json", "--key-file", path(&love), "--address", "10.99.0.100"])
            .objects();
    let bad: Vec<_> = objects
        .iter()
        .filter_map(|object| {
            let what = match object {
                _ if object["error"].is_string() => object["error"].as_str()?,
                _ if object["protocol"] != "carp" => object["protocol"].as_str()?,
                _ if object["checksum"] == "bad" => "checksum",
                _ if object["authentication"] == "bad" => "authentication",
                _ if object["ttl"] != 255 => "ttl",
                _ => return None,
            };
            Some((object["frame"].as_u64()?, what))
        })
        .collect();
    let expected = [
        (6, "ttl"),
        (10, "vrrp3"),
        (19, "checksum"),
        (21, "authentication"),
        (24, "authentication"),
        (27, "bad-type"),
        (40, "bad-length"),
    ];
    assert_eq!(bad, expected);
    // Signed with its own VHID.
    let other = objects.iter().find(|object| object["frame"] == 13).expect("frame 13");
    assert_eq!((&other["vhid"], &other["authentication"]), (&43.into(), &"ok".into()));
    let long = objects.iter().find(|object| object["frame"] == 40).expect("frame 40");
    assert_eq!((&long["protocol"], &long["length"]), (&"unknown".into(), &40.into()));
}

#[test]
fn messages_inside_an_authentication_header_are_found() {
    let file = capture("keepalived-v2-auth-ah");
    let told = decode(&[path(&file), "--json"]);
    assert_eq!(
        told.out.lines().next(),
        Some(
            "{\"frame\":6,\"time\":\"2026-11-22T08:53:33.816116Z\",\"source\":\"10.99.0.1\",\
             \"destination\":\"224.0.0.18\",\"ttl\":255,\"protocol\":\"vrrp2\",\"length\":20,\
             \"vrid\":53,\"priority\":150,\"interval_ms\":1000,\"addresses\":[\"10.99.0.153\"],\
             \"auth_type\":\"ah\",\"checksum\":\"ok\"}"
        )
    );
    let told = decode(&[path(&file)]);
    assert_eq!(
        told.out.lines().next(),
        Some(
            "   6  08:53:33.816116Z  10.99.0.1 > 224.0.0.18       VRRPv2 vrid 53  priority 150  \
             every 1 s  10.99.0.153  ttl 255  in AH spi 0x0a630001 sequence 1  authentication AH"
        )
    );
    assert!(!told.out.contains(" ! "), "nothing is unusual: {told:?}");
}

/// What the adverts of a capture have in common: its name, their protocol, id, interval in milliseconds,
/// addresses, and one more key with its value.
type Common = (&'static str, &'static str, u8, u32, &'static [&'static str], [&'static str; 2]);

const VRRP: [Common; 6] = [
    (
        "keepalived-v2-noauth-elect-stop",
        "vrrp2",
        51,
        1000,
        &["10.99.0.150", "10.99.0.151"],
        ["auth_type", "none"],
    ),
    ("keepalived-v2-auth-pass", "vrrp2", 52, 1000, &["10.99.0.152"], ["auth_type", "password"]),
    ("keepalived-v2-auth-ah", "vrrp2", 53, 1000, &["10.99.0.153"], ["auth_type", "ah"]),
    (
        "keepalived-v3-ipv4-centisec",
        "vrrp3",
        54,
        250,
        &["10.99.0.154"],
        ["checksum_form", "pseudo-header"],
    ),
    (
        "keepalived-v3-ipv6",
        "vrrp3",
        55,
        1000,
        &["fe80::5555", "2001:db8:99::55"],
        ["checksum_form", "pseudo-header"],
    ),
    ("frr-sigterm", "vrrp2", 70, 1000, &["10.99.0.70"], ["auth_type", "none"]),
];

#[test]
fn every_vrrp_advert_of_real_routers_has_every_field() {
    for (name, protocol, vrid, interval, addresses, [key, value]) in VRRP {
        let objects = decode(&[path(&capture(name)), "--json"]).objects();
        for object in &objects {
            assert_eq!(object["protocol"], protocol, "{name}: {object}");
            assert_eq!((&object["vrid"], &object["interval_ms"]), (&vrid.into(), &interval.into()));
            assert_eq!(object["addresses"], serde_json::json!(addresses), "{name}: {object}");
            assert_eq!((&object["checksum"], &object[key]), (&"ok".into(), &value.into()));
            assert_eq!(object["ttl"], 255, "{name}: {object}");
        }
        let mut priorities: Vec<_> =
            objects.iter().filter_map(|object| object["priority"].as_u64()).collect();
        priorities.dedup();
        // Who stops resigns. A keepalived that uses AH was started again in between.
        let in_turn: &[u64] = match name {
            "frr-sigterm" => &[150, 0],
            "keepalived-v2-auth-ah" => &[150, 0, 100, 150, 0, 100, 0],
            _ => &[150, 0, 100, 0],
        };
        assert_eq!(priorities, in_turn, "{name}");
    }
}

#[test]
fn a_list_without_a_link_local_address_is_mildly_unusual() {
    let objects = decode(&[path(&capture("frr-v3-ipv4-ipv6-stop")), "--json"]).objects();
    let addresses = |ipv4: bool| -> Vec<&Value> {
        let of = |object: &&Value| object["source"] == "10.99.0.1";
        let mut list: Vec<_> = objects
            .iter()
            .filter(|object| of(object) == ipv4)
            .map(|object| &object["addresses"])
            .collect();
        list.dedup();
        list
    };
    assert_eq!(addresses(true), [&serde_json::json!(["10.99.0.70"])]);
    assert_eq!(addresses(false), [&serde_json::json!(["2001:db8:99::70"])]);
    let told = decode(&[path(&capture("frr-v3-ipv4-ipv6-stop"))]);
    for line in told.out.lines() {
        let said = line
            .ends_with("! the first address is not link-local, as FRR and keepalived may send it");
        assert_eq!(said, line.contains("2001:db8:99::70"), "{line}");
    }
    let resigning = told.out.lines().filter(|line| line.contains("  priority 0 (resigns)  "));
    assert_eq!(resigning.count(), 2, "one in each family");
}

#[test]
fn a_capture_can_come_from_stdin() {
    let file = capture("ucarp-default");
    let bytes = fs::read(&file).expect("a capture");
    let told = decode_stdin(&bytes, &[]);
    assert_eq!(told.out, decode(&[path(&file)]).out);
}

#[test]
fn a_damaged_capture_is_decoded_up_to_the_damage() {
    let file = capture("ucarp-default");
    let bytes = fs::read(&file).expect("a capture");
    let whole = decode(&[path(&file)]).out;
    let told = decode_stdin(&bytes[..bytes.len() - 100], &[]);
    assert_eq!(told.code, Some(1));
    assert!(!told.out.is_empty() && whole.starts_with(&told.out), "{told:?}");
    let place = format!("at byte {}, after 21 whole frames", bytes.len() - 100);
    let expected =
        format!("carp: error: stdin: it ends in the middle of a record, {place}\nhelp: ");
    assert!(told.err.starts_with(&expected), "{told:?}");
}

#[test]
fn a_capture_without_adverts_is_no_failure_and_says_so() {
    let file = capture("ucarp-default");
    let bytes = fs::read(&file).expect("a capture");
    // The first frame is an IGMP report.
    let record = |at: usize| at + 16 + usize::from(bytes[at + 8]);
    for (len, said) in [
        (24, "there is no frame in it"),
        (record(24), "the only frame in it is not of IP protocol 112"),
        (record(record(24)), "no frame of the 2 in it is of IP protocol 112"),
    ] {
        let told = decode_stdin(&bytes[..len], &["--json"]);
        assert_eq!((told.code, &*told.out), (Some(0), ""));
        assert_eq!(told.err, format!("carp: stdin: {said}\n"));
    }
}

#[test]
fn a_capture_of_an_unknown_link_type_is_refused_by_its_number() {
    let mut bytes = fs::read(capture("ucarp-default")).expect("a capture");
    bytes[20] = 147;
    let told = decode_stdin(&bytes, &[]);
    assert_eq!((told.code, &*told.out), (Some(1), ""));
    assert!(told.err.starts_with("carp: error: stdin: its link type 147 is not understood\n"));
    assert!(told.err.contains("\nhelp: understood are 0 (NULL), 1 (ETHERNET), "), "{told:?}");
}

/// A block of a pcapng file.
fn block(kind: u32, words: &[u32], data: &[u8]) -> Vec<u8> {
    let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend(data);
    body.resize(body.len().next_multiple_of(4), 0);
    let len = u32::try_from(body.len() + 12).expect("a short block").to_le_bytes();
    [&kind.to_le_bytes()[..], &len, &body, &len].concat()
}

#[test]
fn frames_of_an_unknown_link_type_among_others_are_passed_over_and_counted() {
    let packet: Vec<u8> = (0..PACKET.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&PACKET[at..at + 2], 16).expect("hex"))
        .collect();
    let len = u32::try_from(packet.len()).expect("a short packet");
    let file = [
        block(0x0a0d_0d0a, &[0x1a2b_3c4d, 1, u32::MAX, u32::MAX], &[]),
        block(1, &[220, 0], &[]),
        block(1, &[101, 0], &[]),
        block(6, &[0, 0, 0, 4, 4], b"usb!"),
        block(6, &[1, 0, 0, len, len], &packet),
        block(6, &[0, 0, 0, 4, 4], b"usb!"),
    ]
    .concat();
    let told = decode_stdin(&file, &["--json"]);
    assert_eq!(told.code, Some(1));
    let objects = told.lines_of_json();
    assert_eq!(
        (objects.len(), &objects[0]["frame"], &objects[0]["vhid"]),
        (1, &2.into(), &42.into())
    );
    assert!(
        told.err.contains("not understood: 2, the first is frame 1 of link type 220\n"),
        "{told:?}"
    );
}

#[test]
fn hex_is_taken_for_what_it_is() {
    let ethernet = format!("01005e00001200005e00002a0800{PACKET}");
    for (hex, layer, meta) in [
        (&PACKET[40..], "a message", false),
        (PACKET, "an IP packet", true),
        (&*ethernet, "an Ethernet frame", true),
    ] {
        let told = decode(&[hex]);
        assert_eq!((told.code, &*told.err), (Some(0), ""));
        let rest = "CARP vhid 42  1+0/256 s    demotion 0  counter 5932ce130361ff37";
        assert!(told.out.contains(rest), "{told:?}");
        assert!(told.out.ends_with(&format!("  (read as {layer})\n")), "{told:?}");

        let objects = decode(&[hex, "--json"]).objects();
        assert_eq!(objects.len(), 1);
        assert_eq!((&objects[0]["frame"], &objects[0]["time"]), (&1.into(), &Value::Null));
        assert_eq!(objects[0]["source"].is_string(), meta);
        assert_eq!(objects[0]["ttl"].is_u64(), meta);
    }
    // Longer than the name of any file.
    let padded = format!("{PACKET}{}", "00".repeat(3000));
    assert_eq!(decode(&[&padded]).out, decode(&[PACKET]).out);
    let arp = format!("ffffffffffff02000000000a0806{}", "00".repeat(28));
    let told = decode(&[&arp]);
    assert_eq!((told.code, &*told.out), (Some(0), ""));
    assert_eq!(told.err, "carp: the hex: the only packet in it is not of IP protocol 112\n");

    let (_dir, love) = key("love");
    let told = decode(&[PACKET, "--key-file", path(&love), "--address", "10.99.0.100"]);
    assert!(told.out.contains("  authentication ok"), "{told:?}");
}

#[test]
fn hex_can_come_from_stdin_as_tcpdump_prints_it() {
    let dump = "\
08:43:47.222603 IP 10.99.0.1 > 224.0.0.18: VRRPv2, Advertisement, vrid 42, prio 0
\t0x0000:  4510 0038 842a 4000 ff70 0ca5 0a63 0001  E..8.*@..p...c..
\t0x0010:  e000 0012 212a 0007 0001 0a18 5932 ce13  ....!*......Y2..
\t0x0020:  0361 ff37 e5ca 595e d8c1 5796 2782 3d1c  .a.7..Y^..W.'.=.
\t0x0030:  ab47 6f14 08e5 b375                      .Go....u
08:43:48.197718 IP 10.99.0.1 > 224.0.0.18: VRRPv2, Advertisement, vrid 42, prio 0
\t0x0000:  4510 0038 842a 4000 ff70 0ca5 0a63 0001
\t0x0010:  e000 0012 212a 0007
";
    let objects = decode_stdin(dump.as_bytes(), &["--json"]).objects();
    assert_eq!(objects.len(), 2);
    assert_eq!(
        (&objects[0]["counter"], &objects[0]["checksum"]),
        (&"5932ce130361ff37".into(), &"ok".into())
    );
    assert_eq!(
        (&objects[1]["protocol"], &objects[1]["error"]),
        (&"carp".into(), &"too-short".into())
    );
    assert_eq!((&objects[1]["frame"], &objects[1]["length"]), (&2.into(), &36.into()));
}

#[test]
fn a_file_wins_over_hex() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::copy(capture("ucarp-default"), dir.path().join("abcd")).expect("copied");
    let told: Told = command(&["abcd"]).current_dir(dir.path()).output().expect("carp runs").into();
    assert_eq!(told.out.lines().count(), 11, "{told:?}");
    let told: Told = command(&["abce"]).current_dir(dir.path()).output().expect("carp runs").into();
    assert!(told.out.contains("! too-short: 2 bytes"), "{told:?}");
}

#[test]
fn what_cannot_be_read_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().expect("a directory");
    fs::write(dir.path().join("empty"), "").expect("written");
    fs::write(dir.path().join("prose"), "Dear reader,\n").expect("written");
    fs::write(dir.path().join("packed"), b"\x1f\x8b\x08\0").expect("written");
    fs::write(dir.path().join("snoop"), b"snoop\0\0\0\0\0\0\x02\0\0\0\x04").expect("written");
    fs::write(dir.path().join("program"), b"\x7fELF").expect("written");
    for (input, expected) in [
        (
            "missing.pcap",
            "there is no file missing.pcap, and it is not hex: 'm' is not a hex digit",
        ),
        ("212", "there is no file 212, and it is not hex: \"212\" has an odd number of digits"),
        ("", "there is no file , and it is not hex: there is nothing"),
        ("empty", "empty is empty"),
        ("prose", "prose: there is no hex in it: \"Dear reader,\" is neither hex nor a line of"),
        ("packed", "packed is compressed"),
        ("snoop", "snoop is neither a pcap nor a pcapng capture, nor hex"),
        ("program", "program is neither a pcap nor a pcapng capture, nor hex"),
        (".", ". cannot be read: "),
    ] {
        let output = command(&[input]).current_dir(dir.path()).output();
        let told: Told = output.expect("carp runs").into();
        assert_eq!((told.code, &*told.out), (Some(1), ""), "{told:?}");
        assert!(told.err.starts_with(&format!("carp: error: {expected}")), "{told:?}");
    }
}

#[test]
fn key_and_addresses_belong_together_and_the_key_is_private() {
    let (_dir, love) = key("love");
    let told = decode(&["00", "--key-file", path(&love)]);
    let expected =
        "carp: error: --key-file needs --address: the digest covers the virtual addresses\n";
    assert_eq!((told.code, &*told.err), (Some(2), expected));
    let told = decode(&["00", "--address", "10.99.0.100"]);
    let expected = "carp: error: --address needs --key-file: there is no digest without a key\n";
    assert_eq!((told.code, &*told.err), (Some(2), expected));

    fs::set_permissions(&love, Permissions::from_mode(0o644)).expect("mode set");
    let told = decode(&["00", "--key-file", path(&love), "--address", "10.99.0.100"]);
    assert_eq!((told.code, &*told.out), (Some(1), ""));
    assert!(told.err.contains("others can read or write it (mode 0644)\nhelp: chmod 600 "));
    let told = decode(&["00", "--key-file", "/none", "--address", "10.99.0.100"]);
    assert!(told.err.starts_with("carp: error: the key file /none: it does not exist\n"));
    let (_dir, long) = key("12345678901234567890");
    let told = decode(&["00", "--key-file", path(&long), "--address", "10.99.0.100"]);
    assert!(told.err.contains("the key has 20 bytes"), "{told:?}");
}

#[test]
fn colour_is_for_what_stands_out() {
    let file = capture("ucarp-injection");
    let plain = decode(&[path(&file)]);
    assert!(plain.out.contains("  ! checksum bad\n") && !plain.out.contains('\x1b'));
    let colored = decode(&[path(&file), "--color", "always"]);
    assert!(colored.out.contains("  \x1b[1;31m! checksum bad\x1b[0m\n"), "{colored:?}");
    let json = decode(&[path(&file), "--json", "--color", "always"]);
    assert!(!json.out.contains('\x1b'));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let file = capture("ucarp-injection");
    let mut child = command(&[path(&file)])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("carp runs");
    drop(child.stdout.take());
    let told: Told = child.wait_with_output().expect("carp ends").into();
    assert_eq!((told.code, &*told.err), (Some(0), ""));
}
