//! Every mistake, its place and its remedy.

use super::super::*;
use super::{LEAST, config, found, instead, parse, vrrp, with};

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
            "7:1: error: unknown key \"colour\" // [router.web] has accept, accept_from, \
             address_interface, addresses, advbase, advert_mac, advskew, announce, dialect, \
             duplicate, handover, hold, id, interface, key_file, lease, mac, min_ttl, on, peers, preempt, \
             preempt_delay, previous, protocol, track"
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
            "7:2: error: unknown key \"colour\" // the tables are [node], [router.NAME], \
             [group.NAME] and [sync.NAME]".into(),
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
        (
            with("hold = { link_up = \"2h\" }"),
            "7:20: error: 2h is out of range: it is 0s to 1h".into(),
        ),
        (
            with("hold = { vrrp_startup_delay = \"9s\" }"),
            "7:10: error: unknown key \"vrrp_startup_delay\"; did you mean \"boot\"?".into(),
        ),
        (
            with("hold = \"10s\""),
            "7:8: error: expected a table, found a string // write it like hold = { boot = \"30s\", \
             link_up = \"10s\" }"
                .into(),
        ),
        (with("handover = \"61s\""), "7:12: error: 61s is out of range: it is 0s to 60s".into()),
        (
            with("handover = \"2\""),
            "7:12: error: \"2\": not a duration: write a whole number and its unit, like 500ms, \
             1s, 2m, 1h or 7d"
                .into(),
        ),
        (
            with("handover = \"100h\""),
            "7:12: error: 100h is out of range: it is 0s to 60s".into(),
        ),
        (
            with("handover = \"8d\""),
            "7:12: error: \"8d\": the duration is too long: at most 7d".into(),
        ),
        (
            with("lease = 2"),
            "7:9: error: expected a string, found an integer // write it like lease = \"2s\"".into(),
        ),
        (with("lease = \"0s\""), "7:9: error: 0s is out of range: it is 1s to 1h".into()),
        (with("lease = \"3601s\""), "7:9: error: 3601s is out of range: it is 1s to 1h".into()),
        (
            with("lease = \"1500ms\""),
            "7:9: error: a lease is a whole number of seconds, 1s to 3600s".into(),
        ),
        (
            with("lease = \"none\""),
            "7:9: error: \"none\": not a duration: write a whole number and its unit, like 500ms, \
             1s, 2m, 1h or 7d"
                .into(),
        ),
        (
            with("lease = \"3s\""),
            "7:9: warning: should daemon and guard die together, two servers have the addresses for \
             up to 1s // a successor takes over after 3s, and the lease is over after it: take 2s or less"
                .into(),
        ),
        (
            vrrp("vrrp2", "priority = 255\nlease = \"2s\""),
            "7:9: warning: lease has no effect: the addresses of an owner are the host's own // remove \
             it, or take a priority of 1 to 254"
                .into(),
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
        // The gateway.
        (
            with("track = { gateway = \"there\" }"),
            "7:21: error: gateway \"there\" is not an address // write it like track = { gateway = \
             \"192.168.130.1\" }, or leave it empty"
                .into(),
        ),
        (
            with("track = { gateway = \"127.0.0.1\" }"),
            "7:21: error: gateway 127.0.0.1 is no address of a host // name the router of the network"
                .into(),
        ),
        (
            with("track = { gateway = \"192.168.130.100\" }"),
            "7:21: error: gateway 192.168.130.100 is one of the router's own addresses // name another \
             host, which has to answer"
                .into(),
        ),
        (
            with("track = { gateway = \"fe80::1\" }"),
            "7:21: error: gateway fe80::1 is of another family than the router's addresses // name one of \
             their family"
                .into(),
        ),
        // What later versions bring.
        (
            with("accept = false"),
            "7:10: error: accept = false is not supported yet // this version of carp has accept = \
             true"
                .into(),
        ),
        (
            with("ready_when = []"),
            format!("7:1: error: \"ready_when\" is not supported yet // {unsupported}"),
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
        ("[router.web.previous]\nkey_file = \"other.key\"", &known::PREVIOUS),
        ("[router.web.track]", &known::TRACK),
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
        "10:6: error: carp id 1 is already that of [router.web] (/etc/carp/carp.toml:4:6) on eth0 // \
         give every router of an interface its own id",
        "11:14: error: address 192.168.130.100 is already that of [router.web] \
         (/etc/carp/carp.toml:5:14) // an address belongs to one router, and is written once",
    ];
    assert_eq!(found(format!("{LEAST}{dns}")), expected);
    config(&format!("{LEAST}{}", dns.replace("eth0", "eth1")));
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
