//! Configurations without a single file: what is read, what is refused, and where the message points.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use carp_proto::election::Dialect;
use carp_proto::{CarpInterval, Key, KeyError, Protocol};
use proptest::prelude::*;

use super::*;

/// A machine whose key files and programs are told by their names.
struct TestHost;

impl Host for TestHost {
    fn name(&self) -> String {
        "testhost".to_owned()
    }

    fn key(&self, path: &Path) -> Result<KeyFile, KeyFileError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (content, ends_with_space) = match &*name {
            "missing.key" => return Err(KeyFileError::Missing),
            "exposed.key" => return Err(KeyFileError::Exposed { mode: 0o644 }),
            "long.key" => return Err(KeyError::TooLong { found: 27 }.into()),
            "crlf.key" => (b"hunter2\r".to_vec(), true),
            "other.key" => (b"hunter3".to_vec(), false),
            _ => (b"hunter2".to_vec(), false),
        };
        Ok(KeyFile { key: Key::new(&content)?, ends_with_space })
    }

    fn program(&self, path: &Path) -> Result<(), ProgramError> {
        if path.ends_with("missing") { Err(ProgramError::Missing) } else { Ok(()) }
    }
}

fn parse(text: impl AsRef<[u8]>) -> Result<Loaded, ConfigError> {
    Config::parse("/etc/carp/carp.toml", text.as_ref(), &TestHost)
}

/// The configuration, which has to be valid and without warnings.
fn config(text: &str) -> Config {
    let loaded = parse(text).unwrap_or_else(|error| panic!("{text}\n{error}"));
    assert_eq!(loaded.warnings, [], "{text}");
    loaded.config
}

/// What is found, as `LINE:COLUMN: SEVERITY: MESSAGE` and perhaps ` // HELP`.
fn found(text: impl AsRef<[u8]>) -> Vec<String> {
    let diagnostics = match parse(text) {
        Ok(loaded) => loaded.warnings,
        Err(error) => error.diagnostics().to_vec(),
    };
    diagnostics.iter().map(line).collect()
}

fn line(diagnostic: &Diagnostic) -> String {
    let (line, column) = diagnostic.position();
    let help = diagnostic.help().map(|help| format!(" // {help}")).unwrap_or_default();
    format!("{line}:{column}: {}: {}{help}", diagnostic.severity(), diagnostic.message())
}

/// The least that a router needs.
const LEAST: &str = "\
[router.web]
protocol = \"carp\"
interface = \"eth0\"
id = 1
addresses = [\"192.168.130.100\"]
key_file = \"web.key\"
";

/// The least, with lines behind it; the first is line 7.
fn with(lines: &str) -> String {
    format!("{LEAST}{lines}\n")
}

/// The least, with one of its lines replaced.
fn instead(key: &str, line: &str) -> String {
    let replaced = |it| if str::starts_with(it, key) { line } else { it };
    LEAST.lines().map(replaced).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_least_that_a_router_needs_gets_every_default() {
    let config = config(LEAST);
    assert_eq!(config.node.name, "testhost");
    assert_eq!(config.node.state_dir, Path::new("/var/lib/carp"));
    let [router] = &config.routers[..] else { panic!("{config:?}") };
    assert_eq!(router.name, "web");
    assert_eq!(router.protocol, Protocol::Carp);
    assert_eq!(router.interface, "eth0");
    assert_eq!(router.id.get(), 1);
    assert_eq!(router.addresses[0].to_string(), "192.168.130.100");
    assert_eq!(router.key_file, Path::new("/etc/carp/web.key"));
    assert_eq!(router.interval, CarpInterval { advbase: 1, advskew: 0 });
    assert_eq!(router.dialect, Dialect::Native);
    assert!(!router.preempt);
    assert_eq!(router.announce, AnnouncePlan::default());
    assert_eq!(router.handover, Duration::from_secs(2));
    assert_eq!(router.advert_mac, AdvertMac::Interface);
    assert_eq!(router.hooks, HookSpec::default());
    assert_eq!(router.active_down(), Duration::from_secs(3));
    assert!(router.settings().iter().filter(|setting| !setting.is_default).count() == 5);
}

#[test]
fn everything_that_is_written_is_read() {
    let text = "\
[node]
name = \"www1\"
state_dir = \"/srv/carp\"
[router.web]
protocol = \"carp\"
interface = \"eth0\"
id = 255
addresses = [\"192.168.130.101\", \"192.168.130.100\"]
key_file = \"/keys/web.key\"
advbase = 3
advskew = 128
dialect = \"openbsd\"
preempt = true
mac = \"interface\"
advert_mac = \"ucarp\"
announce = { burst = 2, repeat = [\"500ms\", \"2m\"], refresh = \"off\" }
handover = \"0s\"
[router.web.on]
active = [\"/bin/true\", \"an argument\"]
timeout = \"5s\"
[router.dns]
protocol = \"carp\"
interface = \"eth1\"
id = 255
addresses = [\"192.168.130.100\"]
key_file = \"web.key\"
";
    let config = config(text);
    assert_eq!(config.node.name, "www1");
    assert_eq!(config.node.state_dir, Path::new("/srv/carp"));
    let [web, dns] = &config.routers[..] else { panic!("{config:?}") };
    assert_eq!(dns.name, "dns");
    assert_eq!(
        web.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["192.168.130.101", "192.168.130.100"]
    );
    assert_eq!(web.key_file, Path::new("/keys/web.key"));
    assert_eq!(web.interval.advert(), Duration::from_millis(3500));
    assert_eq!(web.dialect, Dialect::OpenBsd);
    assert!(web.preempt);
    assert_eq!(web.advert_mac, AdvertMac::Ucarp);
    let plan = AnnouncePlan {
        burst: 2,
        repeat: [Some(Duration::from_millis(500)), Some(Duration::from_secs(120)), None, None],
        refresh: None,
    };
    assert_eq!(web.announce, plan);
    assert_eq!(web.handover, Duration::ZERO);
    assert_eq!(web.hooks.active.as_deref().unwrap(), ["/bin/true", "an argument"]);
    assert_eq!(web.hooks.backup, None);
    assert_eq!(web.hooks.timeout, Duration::from_secs(5));
    assert_eq!(web.places.table.to_string(), "/etc/carp/carp.toml:4:1");
    assert_eq!(web.places.interface.to_string(), "/etc/carp/carp.toml:6:13");
    assert_eq!(web.places.id.to_string(), "/etc/carp/carp.toml:7:6");
    let places: Vec<_> = web.places.addresses.iter().map(Location::column).collect();
    assert_eq!(places, [14, 33]);
}

#[test]
fn a_partial_announce_plan_keeps_the_other_defaults() {
    let config = config(&with("announce = { burst = 1 }"));
    let announce = config.routers[0].announce;
    assert_eq!(announce, AnnouncePlan { burst: 1, ..AnnouncePlan::default() });
    let settings = config.routers[0].settings();
    let is_default = |key| settings.iter().find(|setting| setting.key == key).unwrap().is_default;
    assert!(!is_default("announce.burst") && is_default("announce.refresh"));
}

#[test]
fn every_mistake_is_named_at_its_place() {
    let unsupported = "remove it: this version of carp does not have it";
    for (text, expected) in [
        // Keys.
        (
            with("adress = [\"192.168.130.101\"]"),
            "7:1: error: unknown key \"adress\"; did you mean \"addresses\"?".into(),
        ),
        (
            with("colour = 1"),
            "7:1: error: unknown key \"colour\" // [router.web] has addresses, advbase, \
             advert_mac, advskew, announce, dialect, handover, id, interface, key_file, mac, on, \
             preempt, protocol"
                .into(),
        ),
        (
            with("password = \"hunter2\""),
            "7:1: error: unknown key \"password\"; did you mean \"key_file\"? // write the key \
             into a file of mode 0600 and name it: key_file = \"/etc/carp/NAME.key\""
                .into(),
        ),
        (
            with("[rooter.dns]"),
            "7:2: error: unknown key \"rooter\"; did you mean \"router\"?".into(),
        ),
        (
            with("[colour]"),
            "7:2: error: unknown key \"colour\" // the tables are [node] and [router.NAME]".into(),
        ),
        (
            with("[node]\nnmae = \"a\""),
            "8:1: error: unknown key \"nmae\"; did you mean \"name\"?".into(),
        ),
        (
            with("[router.web.on]\nmaster = [\"/bin/true\"]"),
            "8:1: error: unknown key \"master\"; did you mean \"active\"?".into(),
        ),
        (
            with("announce = { brust = 1 }"),
            "7:14: error: unknown key \"brust\"; did you mean \"burst\"?".into(),
        ),
        // Types.
        (instead("id", "id = \"1\""), "4:6: error: expected an integer, found a string".into()),
        (instead("id", "id = 1.0"), "4:6: error: expected an integer, found a float".into()),
        (
            instead("interface", "interface = 0"),
            "3:13: error: expected a string, found an integer // write it like interface = \
             \"eth0\""
                .into(),
        ),
        (
            instead("addresses", "addresses = \"192.168.130.100\""),
            "5:13: error: expected a list of strings, found a string // write it like addresses = \
             [\"192.168.130.100\"]"
                .into(),
        ),
        (
            instead("addresses", "addresses = [\"192.168.130.100\", 7]"),
            "5:33: error: expected a string, found an integer // write it like addresses = \
             [\"192.168.130.100\"]"
                .into(),
        ),
        (
            with("preempt = \"yes\""),
            "7:11: error: expected true or false, found a string // write it like preempt = true"
                .into(),
        ),
        (
            with("handover = 5"),
            "7:12: error: expected a string, found an integer // write it like handover = \"2s\""
                .into(),
        ),
        (
            with("announce = true"),
            "7:12: error: expected a table, found a boolean // write it like announce = { burst = \
             5, repeat = [\"1s\", \"5s\"], refresh = \"60s\" }"
                .into(),
        ),
        (
            with("on = []"),
            "7:6: error: expected a table, found a list // write it like [router.web.on]".into(),
        ),
        (
            format!("node = 2020-01-01\n{LEAST}"),
            "1:8: error: expected a table, found a date // write it like [node]".into(),
        ),
        (
            "router = 1".into(),
            "1:10: error: expected a table for each router, found an integer // write it like \
             [router.web]"
                .into(),
        ),
        (
            "[[router]]".into(),
            "1:1: error: expected a table for each router, found a list // write it like \
             [router.web]"
                .into(),
        ),
        (
            "[router]\nid = 1".into(),
            "2:6: error: expected a table for each router, found an integer // write it like \
             [router.web]"
                .into(),
        ),
        // What is missing.
        ("".into(), "0:0: error: no router is configured // add a table like [router.web]".into()),
        (
            "[router]".into(),
            "1:1: error: no router is configured // add a table like [router.web]".into(),
        ),
        (
            instead("protocol", ""),
            "1:1: error: [router.web] has no \"protocol\" // add protocol = \"carp\"".into(),
        ),
        (
            instead("interface", ""),
            "1:1: error: [router.web] has no \"interface\" // add interface = \"eth0\"".into(),
        ),
        (instead("id", ""), "1:1: error: [router.web] has no \"id\" // add id = 1".into()),
        (
            instead("addresses", ""),
            "1:1: error: [router.web] has no \"addresses\" // add addresses = \
             [\"192.168.130.100\"]"
                .into(),
        ),
        (
            instead("key_file", ""),
            "1:1: error: [router.web] has no \"key_file\" // add key_file = \
             \"/etc/carp/web.key\""
                .into(),
        ),
        (
            instead("addresses", "addresses = []"),
            "5:13: error: a router needs at least one address // write it like addresses = \
             [\"192.168.130.100\"]"
                .into(),
        ),
        // Ranges.
        (
            instead("id", "id = 0"),
            "4:6: error: 0 is not a virtual router id: it is one of 1 to 255".into(),
        ),
        (
            instead("id", "id = 256"),
            "4:6: error: 256 is not a virtual router id: it is one of 1 to 255".into(),
        ),
        (
            instead("id", "id = 99999999999999999999"),
            "4:6: error: 99999999999999999999 is out of range".into(),
        ),
        (
            with("advbase = 255"),
            "7:11: error: advbase 255 is out of range: it is 0 to 254 seconds".into(),
        ),
        (
            with("advskew = -1"),
            "7:11: error: advskew -1 is out of range: it is 0 to 254, in 1/256 s".into(),
        ),
        (
            with("dialect = \"freebsd\"\nadvbase = 0"),
            "8:11: error: advbase 0 is only understood by the dialects native and openbsd // take \
             advbase = 1 or one of these dialects"
                .into(),
        ),
        (
            with("announce = { burst = 21 }"),
            "7:22: error: burst 21 is out of range: it is 1 to 20".into(),
        ),
        (
            with("announce = { burst = 0 }"),
            "7:22: error: burst 0 is out of range: it is 1 to 20".into(),
        ),
        (
            with("announce = { repeat = [\"1s\",\"2s\",\"3s\",\"4s\",\"5s\"] }"),
            "7:23: error: repeat has 5 times: at most 4 fit".into(),
        ),
        (
            with("announce = { repeat = [\"5s\", \"5s\"] }"),
            "7:30: error: the times of repeat are not ascending // they count from the takeover: \
             \"1s\", \"5s\" is once after 1 s and once after 5 s"
                .into(),
        ),
        (
            with("announce = { refresh = \"0s\" }"),
            "7:24: error: 0s is out of range: it is 1s to 24h".into(),
        ),
        (with("handover = \"61s\""), "7:12: error: 61s is out of range: it is 0s to 60s".into()),
        (
            with("handover = \"2\""),
            "7:12: error: \"2\": not a duration: write a whole number and its unit, like 500ms, \
             1s, 2m or 1h"
                .into(),
        ),
        (
            with("handover = \"100h\""),
            "7:12: error: \"100h\": the duration is too long: at most 24h".into(),
        ),
        // Words.
        (
            with("dialect = \"openbds\""),
            "7:11: error: unknown dialect \"openbds\"; did you mean \"openbsd\"? // it is one of \
             native, openbsd, freebsd, ucarp"
                .into(),
        ),
        (
            with("advert_mac = \"x\""),
            "7:14: error: unknown advert_mac \"x\" // it is one of interface, virtual, ucarp"
                .into(),
        ),
        (
            instead("protocol", "protocol = \"hsrp\""),
            "2:12: error: unknown protocol \"hsrp\" // it is one of carp, vrrp2, vrrp3".into(),
        ),
        // Names.
        (
            LEAST.replace("web]", "\"web 1\"]"),
            "1:9: error: \"web 1\" cannot be the name of a router // it is 1 to 32 of A-Z a-z 0-9 \
             . _ - and does not begin with . or -"
                .into(),
        ),
        (
            instead("interface", "interface = \"a/b\""),
            "3:13: error: \"a/b\" cannot be the name of an interface // it is 1 to 15 bytes \
             without spaces, / and :, as `ip link` shows it"
                .into(),
        ),
        (
            with("[node]\nname = \"a b\""),
            "8:8: error: \"a b\" cannot be the name of a node // it is 1 to 64 of A-Z a-z 0-9 . _ \
             -"
            .into(),
        ),
        (
            with("[node]\nstate_dir = \"carp\""),
            "8:13: error: state_dir \"carp\" is not an absolute path // begin it with /, as in \
             \"/var/lib/carp\""
                .into(),
        ),
        // Addresses.
        (
            instead("addresses", "addresses = [\"web\"]"),
            "5:14: error: address \"web\": not an IP address: write it like 192.0.2.1 or \
             192.0.2.1/24"
                .into(),
        ),
        (
            instead("addresses", "addresses = [\"224.0.0.18\"]"),
            "5:14: error: address \"224.0.0.18\": 224.0.0.18 cannot be on an interface: it is \
             unspecified, broadcast, multicast or loopback"
                .into(),
        ),
        (
            instead("addresses", "addresses = [\"10.0.0.0/33\"]"),
            "5:14: error: address \"10.0.0.0/33\": the prefix length must be 1 to 32".into(),
        ),
        (
            instead("addresses", "addresses = [\"10.0.0.0/24\"]"),
            "5:14: error: 10.0.0.0/24 is the network address of its network, not one of a host // \
             take another address of the network, or leave out the prefix length"
                .into(),
        ),
        (
            instead("addresses", "addresses = [\"10.0.3.255/22\"]"),
            "5:14: error: 10.0.3.255/22 is the broadcast address of its network, not one of a \
             host // take another address of the network, or leave out the prefix length"
                .into(),
        ),
        (
            instead("addresses", "addresses = [\"10.0.0.1/24\"]"),
            "5:14: warning: 10.0.0.1/24 is wider than a host prefix: outgoing traffic may come \
             from it, and it is not installed while the interface has no other address of that \
             network // write \"10.0.0.1\"; or keep another address of the network on the \
             interface, with the sysctl promote_secondaries=1"
                .into(),
        ),
        (
            instead("addresses", "addresses = [\"10.0.0.1\", \"10.0.0.1\"]"),
            "5:26: error: address 10.0.0.1 is already that of [router.web] \
             (/etc/carp/carp.toml:5:14) // an address belongs to one router, and is written once"
                .into(),
        ),
        // Hooks.
        (
            with("[router.web.on]\nactive = []"),
            "8:10: error: active names no program // write it like active = \
             [\"/usr/local/bin/notify\", \"web\"], or leave active out"
                .into(),
        ),
        (
            with("[router.web.on]\nbackup = [\"notify\"]"),
            "8:11: error: \"notify\" is not an absolute path // there is no shell and no search \
             path: begin the program with /"
                .into(),
        ),
        (
            with("[router.web.on]\ninit = \"/bin/true\""),
            "8:8: error: expected a list of strings, found a string // write it like init = \
             [\"/usr/local/bin/notify\", \"web\"]"
                .into(),
        ),
        (
            with("[router.web.on]\nactive = [\"/bin/true\", \"\\u0000\"]"),
            "8:24: error: an argument cannot contain a NUL character // remove it".into(),
        ),
        (
            with("[router.web.on]\nactive = [\"/bin/missing\"]"),
            "8:11: warning: program \"/bin/missing\" does not exist // install it and make it \
             executable before it is needed"
                .into(),
        ),
        (
            with("[router.web.on]\ntimeout = \"0s\""),
            "8:11: error: 0s is out of range: it is 1ms to 24h".into(),
        ),
        // Keys.
        (
            instead("key_file", "key_file = \"missing.key\""),
            "6:12: error: key file /etc/carp/missing.key: it does not exist // create it with \
             `carp keygen /etc/carp/missing.key`"
                .into(),
        ),
        (
            instead("key_file", "key_file = \"exposed.key\""),
            "6:12: error: key file /etc/carp/exposed.key: others can read or write it (mode 0644) \
             // chmod 600 /etc/carp/exposed.key"
                .into(),
        ),
        (
            instead("key_file", "key_file = \"long.key\""),
            "6:12: error: key file /etc/carp/long.key: the key has 27 bytes: at most 19 fit \
             (BSD's ifconfig cuts longer ones to 19) // remove it and create another one with \
             `carp keygen /etc/carp/long.key`"
                .into(),
        ),
        (
            instead("key_file", "key_file = \"crlf.key\""),
            "6:12: warning: the key in /etc/carp/crlf.key ends with white space, which is part of \
             it // one newline at the end is taken off, more than that is not"
                .into(),
        ),
        (
            instead("key_file", "key_file = \"\""),
            "6:12: error: this is not a path // write it like key_file = \"/etc/carp/web.key\""
                .into(),
        ),
        // What later versions bring.
        (
            instead("protocol", "protocol = \"vrrp3\""),
            "2:12: error: protocol \"vrrp3\" is not supported yet // this version of carp has \
             protocol = \"carp\""
                .into(),
        ),
        (
            with("mac = \"virtual\""),
            "7:7: error: mac \"virtual\" is not supported yet // this version of carp has mac = \
             \"interface\""
                .into(),
        ),
        (
            instead("addresses", "addresses = [\"2001:db8::1\"]"),
            "5:14: error: IPv6 addresses are not supported yet // this version of carp has IPv4 \
             addresses"
                .into(),
        ),
        (
            with("lease = \"off\""),
            format!("7:1: error: \"lease\" is not supported yet // {unsupported}"),
        ),
    ] {
        assert_eq!(found(&text), [expected], "{text}");
    }
}

#[test]
fn every_key_that_later_versions_bring_is_refused_as_not_supported_yet() {
    for (prefix, schema) in [
        ("[router.web]", &known::ROUTER),
        ("[router.web.on]", &known::ON),
        ("[node]", &known::NODE),
        ("", &known::ROOT),
    ] {
        for key in schema.later {
            let lines = format!("{prefix}\n{key} = 1\n");
            let text = if prefix == "[router.web]" {
                with(&format!("{key} = 1"))
            } else if prefix.is_empty() {
                format!("{lines}{LEAST}")
            } else {
                with(&lines)
            };
            let found = found(&text);
            assert!(
                found.len() == 1 && found[0].contains(&format!("{key:?} is not supported yet")),
                "{text}{found:?}"
            );
        }
    }
}

#[test]
fn vrrp_is_not_asked_for_a_carp_key() {
    let text = "[router.web]\nprotocol = \"vrrp2\"\npriority = 200\ninterface = \"eth0\"\nid = 1\n\
                addresses = [\"10.0.0.1\"]\n";
    let found = found(text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found.iter().all(|line| line.contains("not supported yet")), "{found:?}");
}

#[test]
fn all_mistakes_are_reported_in_the_order_of_the_file() {
    let text = "\
[router.web]
protocol = \"karp\"
interface = \"a b\"
id = 0
addresses = [\"nonsense\", \"127.0.0.1\"]
key_file = \"missing.key\"
advbase = 300
preempt = 1
[router.web.on]
active = [\"x\"]
[node]
nam = 1
";
    let lines: Vec<_> =
        found(text).iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["2", "3", "4", "5", "5", "6", "7", "8", "10", "12"]);
}

#[test]
fn routers_must_not_share_an_id_or_an_address_on_an_interface() {
    let dns = LEAST.replace("web]", "dns]");
    let expected = [
        "10:6: error: id 1 is already that of [router.web] (/etc/carp/carp.toml:4:6) on eth0 // \
         give every router of an interface its own id",
        "11:14: error: address 192.168.130.100 is already that of [router.web] \
         (/etc/carp/carp.toml:5:14) // an address belongs to one router, and is written once",
    ];
    assert_eq!(found(format!("{LEAST}{dns}")), expected);
    config(&format!("{LEAST}{}", dns.replace("eth0", "eth1")));
}

#[test]
fn syntax_errors_are_reported_alone_and_all() {
    let text = "a = \n[router.web\nid = 1\n";
    assert_eq!(
        found(text),
        [
            "1:5: error: string values must be quoted, expected literal string",
            "2:12: error: unclosed table, expected `]`"
        ]
    );
    assert_eq!(found(with("id = 2")), ["7:1: error: duplicate key"]);
    assert_eq!(found("= \n".repeat(1000)).len(), 10);
}

#[test]
fn what_is_no_text_is_refused() {
    for (text, expected) in [
        (&b"# \xc3\xa4\n\xff"[..], "2:1: error: this is not UTF-8 // save the file as UTF-8"),
        (b"ab\0", "1:3: error: a NUL byte does not belong into a text // remove it"),
        (
            &vec![b'#'; MAX_FILE_SIZE + 1],
            "0:0: error: the file is too large: a configuration has at most 1 MiB // is this the \
             right file?",
        ),
    ] {
        assert_eq!(found(text), [expected]);
    }
}

#[test]
fn interface_names_are_those_that_linux_takes() {
    let long = "x".repeat(16);
    for (name, fits) in [
        ("eth0", true),
        ("enp0s31f6.100@", true),
        (&long[..15], true),
        (&long, false),
        ("", false),
        (".", false),
        ("..", false),
        ("a:1", false),
        ("a\\tb", false),
        ("a\\u0000", false),
    ] {
        let text = instead("interface", &format!("interface = \"{name}\""));
        assert_eq!(parse(&text).is_ok(), fits, "{name:?}");
    }
}

#[test]
fn addresses_at_the_edges_of_small_networks_are_hosts() {
    for (address, errors) in
        [("10.0.0.0/31", 0), ("10.0.0.1/31", 0), ("10.0.0.0/30", 1), ("10.0.0.3/30", 1)]
    {
        let loaded = parse(instead("addresses", &format!("addresses = [\"{address}\"]")));
        assert_eq!(usize::from(loaded.is_err()), errors, "{address}");
    }
}

#[test]
fn an_advbase_of_zero_is_for_dialects_that_know_it() {
    for dialect in Dialect::ALL {
        for advskew in [0, 20] {
            let lines = format!("advbase = 0\nadvskew = {advskew}\ndialect = \"{dialect}\"");
            assert_eq!(parse(with(&lines)).is_ok(), dialect.policy().zero_base, "{lines}");
        }
    }
}

#[test]
fn a_relative_key_file_lies_beside_the_configuration() {
    for (file, expected) in [
        ("/etc/carp/carp.toml", "/etc/carp/web.key"),
        ("carp.toml", "web.key"),
        ("../a/carp.toml", "../a/web.key"),
    ] {
        let loaded = Config::parse(file, LEAST.as_bytes(), &TestHost).unwrap();
        assert_eq!(loaded.config.routers[0].key_file, PathBuf::from(expected));
    }
}

#[test]
fn no_secret_is_ever_shown() {
    let loaded = parse(LEAST).unwrap();
    assert!(!format!("{loaded:?}").contains("hunter2"));
    let error = parse(with("password = \"hunter2\"")).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"));
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let error = Config::load(&dir.path().join("none.toml")).unwrap_err().to_string();
    assert!(error.contains("none.toml: error: the configuration cannot be read: no such file"));
    let error = Config::load(dir.path()).unwrap_err().to_string();
    assert!(error.contains("cannot be read: it is a directory"), "{error}");
    let large = dir.path().join("large.toml");
    fs::write(&large, vec![b' '; MAX_FILE_SIZE + 1]).unwrap();
    let error = Config::load(&large).unwrap_err().to_string();
    assert!(error.contains("at most 1 MiB"), "{error}");
}

#[test]
fn two_nodes_that_fit_together_are_not_complained_about() {
    let ours = config(LEAST);
    assert_eq!(ours.compare(&config(&with("advskew = 100"))), []);
    // The order of addresses does not matter, and a renamed router is found by its id.
    let two = |list: &str, name: &str, skew: u8| {
        let text = instead("addresses", &format!("addresses = {list}\nadvskew = {skew}"));
        config(&text.replace("router.web", &format!("router.{name}")))
    };
    let ours = two("[\"10.0.0.1\", \"10.0.0.2\"]", "web", 0);
    assert_eq!(ours.compare(&two("[\"10.0.0.2\", \"10.0.0.1\"]", "www", 100)), []);
}

#[test]
fn every_difference_between_two_nodes_is_named() {
    let theirs_at = "/etc/carp/carp.toml";
    for (ours, theirs, expected) in [
        (
            LEAST.into(),
            instead("id", "id = 2\nadvskew = 100"),
            format!(
                "4:6: error: the id is 1 here and 2 at {theirs_at}:4:6 // the members of a router \
                 have the same id"
            ),
        ),
        (
            LEAST.into(),
            instead("addresses", "addresses = [\"10.0.0.1\"]\nadvskew = 100"),
            format!(
                "1:1: error: the addresses differ: only here 192.168.130.100, only at \
                 {theirs_at}:1:1 10.0.0.1 // the digest covers the addresses: with other lists the \
                 routers reject each other"
            ),
        ),
        (
            LEAST.into(),
            instead("key_file", "key_file = \"other.key\"\nadvskew = 100"),
            format!(
                "6:12: error: the key is not the one at {theirs_at}:6:12 // copy the key file from \
                 one server to the other"
            ),
        ),
        (
            LEAST.into(),
            with("advskew = 100\ndialect = \"ucarp\""),
            format!(
                "1:1: error: the dialect is native here and ucarp at {theirs_at}:1:1 // routers of \
                 one group elect by the same rules"
            ),
        ),
        (
            LEAST.into(),
            with("advbase = 2"),
            format!(
                "1:1: error: advbase is 1 here and 2 at {theirs_at}:1:1 // take the same advbase, \
                 and rank by advskew"
            ),
        ),
        (
            LEAST.into(),
            LEAST.into(),
            format!(
                "1:1: warning: the rank is that of {theirs_at}:1:1 too: advbase 1, advskew 0 // of \
                 two that are active, the one with the lower source address stays; give the router \
                 that shall be backup a higher advskew"
            ),
        ),
        (
            with("advskew = 200"),
            with("advskew = 220"),
            "1:1: warning: the other node takes over when two adverts in a row are lost: only 1 \
             may be // the other node waits 3.859375s for adverts that come every 1.78125s: lower \
             the advskew of the better router, or raise that of the worse"
                .into(),
        ),
        (
            with("advskew = 254"),
            with("advskew = 253"),
            "1:1: warning: this node takes over when two adverts in a row are lost: only 1 may be \
             // this node waits 3.9921875s for adverts that come every 1.98828125s: lower the \
             advskew of the better router, or raise that of the worse"
                .into(),
        ),
    ] {
        let found = config(&ours).compare(&config(&theirs));
        assert_eq!(found.iter().map(line).collect::<Vec<_>>(), [expected], "{ours}\n{theirs}");
    }
}

#[test]
fn routers_that_only_one_node_has_are_named() {
    let dns = LEAST.replace("web]", "dns]").replace("id = 1", "id = 2").replace("130.100", "130.7");
    let (both, one) = (config(&format!("{LEAST}advskew = 9\n{dns}")), config(LEAST));
    let lines = |found: Vec<Diagnostic>| found.iter().map(line).collect::<Vec<_>>();
    assert_eq!(
        lines(both.compare(&one)),
        [
            "8:1: warning: router \"dns\" is missing on the other node // a router alone does not fail \
         over"
        ]
    );
    assert_eq!(
        lines(one.compare(&both)),
        [
            "8:1: warning: router \"dns\" is missing on this node // a router alone does not fail over"
        ]
    );
}

/// A valid configuration with many kinds of values, for mutation.
const RICH: &str = "\
[node]
name = \"www1\"
[router.web]
protocol = \"carp\"
interface = \"eth0\"
id = 0x01
addresses = [\"192.168.130.100\", \"10.0.0.1/24\"]
key_file = \"wéb.key\"
advskew = 100
announce = { burst = 5, repeat = [\"1s\", \"5s\"], refresh = \"60s\" }
handover = 'auto'
[router.web.on]
active = [\"/bin/true\", \"\"\"\na\"\"\"]
";

#[test]
fn the_configuration_for_mutation_is_valid() {
    parse(RICH).unwrap();
}

proptest! {
    #[test]
    fn no_text_makes_parsing_panic(text in "\\PC*") {
        let _any = found(text);
    }

    #[test]
    fn no_bytes_make_parsing_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _any = found(bytes);
    }

    #[test]
    fn no_mutation_makes_parsing_panic(
        start in 0..RICH.len(),
        len in 0_usize..20,
        insert in "[\\[\\]{}=.,\"'#\n 0-9a-zäµ\\\\-]{0,12}",
    ) {
        let end = RICH.len().min(start + len);
        let mut bytes = RICH.as_bytes().to_vec();
        bytes.splice(start..end, insert.into_bytes());
        match parse(&bytes) {
            // What is valid can be explained and compared; what is not has a place in the text.
            Ok(loaded) => {
                let _any = loaded.config.compare(&parse(RICH).unwrap().config);
                prop_assert!(loaded.config.routers.iter().all(|it| !it.settings().is_empty()));
            }
            Err(error) => {
                let lines = bytes.iter().filter(|&&byte| byte == b'\n').count() + 1;
                prop_assert!(!error.diagnostics().is_empty());
                prop_assert!(error.diagnostics().iter().all(|it| it.position().0 <= lines));
                prop_assert!(!error.to_string().contains("hunter2"));
            }
        }
    }
}
