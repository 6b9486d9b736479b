//! `carp check` and `carp keygen`, as they are typed.

#[path = "support/told.rs"]
mod told;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;
use told::Told;

const LEAST: &str = "\
[router.web]
protocol = \"carp\"
interface = \"eth0\"
id = 1
addresses = [\"192.168.130.100\"]
key_file = \"web.key\"
";

/// A directory with a key, and configurations.
struct Dir(TempDir);

impl Dir {
    fn new() -> Self {
        let dir = Self(tempfile::tempdir().expect("a directory"));
        dir.write("web.key", "hunter2\n", 0o600);
        dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("mode set");
        path
    }

    /// `carp check` of this text, with options.
    fn check(&self, text: &str, options: &[&str]) -> Told {
        self.write("carp.toml", text, 0o644);
        self.carp(&[&["check", "carp.toml"], options].concat())
    }

    fn carp(&self, arguments: &[&str]) -> Told {
        let carp = Command::new(env!("CARGO_BIN_EXE_carp"))
            .args(arguments)
            .current_dir(self.0.path())
            .env_remove("NO_COLOR")
            .output();
        carp.expect("carp runs").into()
    }
}

impl Told {
    fn json(&self) -> Value {
        assert_eq!(self.err, "");
        serde_json::from_str(&self.out).expect("JSON")
    }
}

#[test]
fn a_valid_configuration_is_said_to_be_valid() {
    let told = Dir::new().check(LEAST, &["--strict"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(told.out, "carp.toml: valid, 1 router, no warnings\n");
    assert_eq!(told.err, "");
}

#[test]
fn a_mistake_is_shown_at_its_place_and_exits_with_three() {
    let told = Dir::new().check(&format!("{LEAST}adress = 1\nid = \"x\"\n"), &[]);
    assert_eq!(told.code, Some(3));
    assert!(told.err.starts_with("carp.toml:8:1: error: duplicate key\n"), "{told:?}");
    let told = Dir::new().check(&format!("{LEAST}adress = 1\n"), &[]);
    let expected = "\
carp.toml:7:1: error: unknown key \"adress\"; did you mean \"addresses\"?
 7 | adress = 1
   | ^^^^^^

carp: error: the check of carp.toml found 1 error
";
    assert_eq!((told.code, &*told.out, &*told.err), (Some(3), "", expected));
}

#[test]
fn what_is_not_built_yet_is_an_error() {
    let told = Dir::new().check(&format!("{LEAST}ready_when = []\n"), &[]);
    assert_eq!(told.code, Some(3));
    assert!(told.err.contains("carp.toml:7:1: error: \"ready_when\" is not supported yet"));
}

#[test]
fn warnings_fail_only_with_strict() {
    let wide = LEAST.replace(".100", ".100/24");
    let told = Dir::new().check(&wide, &[]);
    assert_eq!(told.code, Some(0), "{told:?}");
    assert_eq!(told.out, "carp.toml: valid, 1 router, 1 warning\n");
    assert!(told.err.starts_with("carp.toml:5:14: warning: 192.168.130.100/24 is wider"));
    let told = Dir::new().check(&wide, &["--strict"]);
    assert_eq!(told.code, Some(4), "{told:?}");
    assert!(told.err.contains("carp: error: the check of carp.toml found 1 warning"));
}

#[test]
fn key_files_are_refused_with_a_remedy() {
    let long = "12345678901234567890";
    for (content, mode, problem, remedy) in [
        ("hunter2", 0o644, "others can read or write it (mode 0644)", "help: chmod 600 "),
        ("", 0o600, "the key is empty: it has 1 to 19 bytes", "carp keygen"),
        (long, 0o600, "the key has 20 bytes: at most 19 fit", "carp keygen"),
    ] {
        let dir = Dir::new();
        dir.write("web.key", content, mode);
        let told = dir.check(LEAST, &[]);
        assert_eq!(told.code, Some(3));
        assert!(told.err.starts_with("carp.toml:6:12: error: key file web.key: "), "{told:?}");
        assert!(told.err.contains(problem) && told.err.contains(remedy), "{told:?}");
        assert!(content.is_empty() || !told.err.contains(content), "{told:?}");
    }
}

#[test]
fn a_file_that_does_not_exist_is_named() {
    let told = Dir::new().carp(&["check", "none.toml"]);
    assert_eq!(told.code, Some(3));
    assert!(told.err.starts_with("none.toml: error: the configuration cannot be read: no such"));
}

#[test]
fn explain_shows_every_value_and_what_follows_from_it() {
    let text =
        LEAST.to_owned() + "advskew = 100\n[router.web.on]\nactive = [\"/bin/sh\", \"-c\"]\n";
    let told = Dir::new().check(&text, &["--explain"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = told.out.lines().map(squeezed).collect();
    for line in [
        "[router.web]",
        "advskew = 100",
        "advbase = 1 # default",
        "dialect = \"native\" # default",
        "announce.repeat = [\"1s\", \"5s\"] # default",
        "on.active = [\"/bin/sh\", \"-c\"]",
        "on.backup = off # default",
        "# an advert every 1.390625s",
        "# detection time: a dead router is replaced after 3.390625s",
        "# worst overlap at a planned stop 2.390625s",
        "lease = \"2s\" # default",
        "# lease: from the detection time 3.390625s, renewed after half of it at the latest; the kernel drops what nobody \
         renews after 3s at the most",
        "# worst overlap when daemon and guard die together: 1s (if the other node's detection time is \
         the same)",
        "state_dir = \"/var/lib/carp\" # default",
    ] {
        assert!(lines.iter().any(|it| it == line), "{line} is missing:\n{}", told.out);
    }
    assert!(!told.out.contains("hunter2"));
}

#[test]
fn json_lists_diagnostics_and_with_explain_the_values() {
    let json = Dir::new().check(&format!("{LEAST}adress = 1\n"), &["--json"]);
    assert_eq!(json.code, Some(3));
    let json = json.json();
    assert_eq!((&json["schema"], &json["valid"]), (&"carp.check/1".into(), &false.into()));
    let diagnostic = &json["diagnostics"][0];
    assert_eq!(diagnostic["severity"], "error");
    assert_eq!(diagnostic["file"], "carp.toml");
    assert_eq!((&diagnostic["line"], &diagnostic["column"]), (&7.into(), &1.into()));
    assert_eq!(json.get("routers"), None);

    let json = Dir::new().check(&format!("{LEAST}advskew = 100\n"), &["--json", "--explain"]);
    assert_eq!(json.code, Some(0));
    let json = json.json();
    let router = &json["routers"][0];
    assert_eq!(router["name"], "web");
    assert_eq!(router["settings"]["handover_ms"], 2390.625);
    assert_eq!(router["settings"]["announce.repeat_ms"], serde_json::json!([1000, 5000]));
    assert_eq!(router["timers"]["interval_ms"], 1390.625);
    assert_eq!(router["timers"]["active_down_ms"], 3390.625);
    assert_eq!(router["settings"]["lease_ms"], 2000);
    assert_eq!(router["timers"]["lease_overlap_ms"], 1000);
    let defaults = router["defaults"].as_array().unwrap();
    assert!(defaults.contains(&"advbase".into()) && !defaults.contains(&"advskew".into()));
}

#[test]
fn the_overlap_that_a_lease_leaves_is_explained() {
    let dir = Dir::new();
    let vrrp = |lines: &str| {
        format!(
            "[router.web]\nprotocol = \"vrrp3\"\ninterface = \"eth0\"\nid = 1\n\
             addresses = [\"192.168.130.100\"]\n{lines}\n"
        )
    };
    dir.write("peer.toml", &vrrp("interval = \"250ms\"\npriority = 200"), 0o644);
    let explained = |lines: &str, options: &[&str]| {
        let told = dir.check(&vrrp(lines), &[&["--explain"], options].concat());
        assert_eq!(told.code, Some(0), "{told:?}");
        told.out
    };
    let text = explained("interval = \"250ms\"", &[]);
    let overlap = "worst overlap when daemon and guard die together:";
    assert!(text.contains(&format!("{overlap} 1.09765625s (if the other")), "{text}");
    let text = explained("interval = \"250ms\"", &["--peer-config", "peer.toml"]);
    let known = "1.1953125s (the other node takes over after 804.6875ms)";
    assert!(text.contains(&format!("{overlap} {known}")), "{text}");
    let text = explained("lease = \"off\"", &[]);
    assert!(
        text.contains("lease") && text.contains("the addresses stay until `carp cleanup`"),
        "{text}"
    );
    let text = explained("", &[]);
    assert!(
        text.contains("3.609375s, renewed with an advert, before half of it has passed;")
            && text.contains(": none (if"),
        "{text}"
    );
    // It may be renewed up to a second after an advert, and is over 2 s later.
    let text = explained("lease = \"1s\"", &[]);
    assert!(
        text.contains("# lease: renewed after half of it") && text.contains(": none (if"),
        "{text}"
    );
    let text = explained("priority = 255", &[]);
    assert!(text.contains("no lease: the addresses of an owner are the host's own"), "{text}");
    let off = dir.check(&vrrp("lease = \"off\""), &["--json", "--explain"]).json();
    assert_eq!(off["routers"][0]["settings"]["lease_ms"], Value::Null);
    assert_eq!(off["routers"][0]["timers"]["lease_overlap_ms"], Value::Null);
}

#[test]
fn the_configurations_of_two_nodes_are_compared() {
    let dir = Dir::new();
    dir.write("other.key", "hunter3", 0o600);
    let peer = |text: &str| {
        dir.write("peer.toml", text, 0o644);
        dir.check(LEAST, &["--peer-config", "peer.toml", "--strict"])
    };
    assert_eq!(peer(&format!("{LEAST}advskew = 100\n")).code, Some(0));

    let tie = peer(LEAST);
    assert_eq!(tie.code, Some(4), "{tie:?}");
    assert!(tie.err.contains("carp.toml:1:1: warning: the rank is that of peer.toml:1:1 too"));

    let told = peer(&format!("{LEAST}advskew = 100\n").replace("web.key", "other.key"));
    assert_eq!(told.code, Some(3), "{told:?}");
    assert!(told.err.contains("carp.toml:6:12: error: the key is not the one at peer.toml:6:12"));
    assert!(!told.err.contains("hunter"), "{told:?}");

    let broken = peer("[router.web]\n");
    assert_eq!(broken.code, Some(3));
    assert!(broken.err.contains("peer.toml:1:1: error: [router.web] has no \"id\""), "{broken:?}");
}

/// Two routers of VRRP in a group; one has addresses of both families.
const VRRP: &str = "\
[router.web]
protocol = \"vrrp3\"
interface = \"eth0\"
id = 42
addresses = [\"192.168.130.100\", \"2001:db8::100\"]
priority = 200
interval = \"250ms\"
auth = \"hmac\"
key_file = \"hmac.key\"
key_id = 1
receive_keys = [{ id = 2, key_file = \"new.key\" }]
[router.dns]
protocol = \"vrrp2\"
interface = \"eth0\"
id = 43
addresses = [\"192.168.130.101\"]
priority = 200
auth = \"password\"
key_file = \"web.key\"
[group.site]
routers = [\"web\", \"dns\"]
";

impl Dir {
    fn with_hmac_keys() -> Self {
        let dir = Self::new();
        dir.write("hmac.key", "thirty-two bytes, taken as given\n", 0o600);
        dir.write("new.key", &format!("hex:{}\n", "0f".repeat(32)), 0o600);
        dir
    }
}

#[test]
fn explain_shows_what_vrrp_makes_of_both_families() {
    let told = Dir::with_hmac_keys().check(VRRP, &["--explain", "--strict"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines: Vec<_> = told.out.lines().map(squeezed).collect();
    for line in [
        "interval = \"250ms\"",
        "auth_mode = \"enforce\" # default",
        "receive_keys = [{ id = 2, key_file = \"new.key\" }]",
        "preempt = true # default",
        "# the IPv6 list begins with fe80::200:5eff:fe00:22a, derived from the id",
        "# elected as web/ipv4 and web/ipv6, which move together",
        "# detection time: a dead router is replaced after 804.6875ms",
        "# worst overlap at a planned stop 1.25s",
        "[group.site]",
        "routers = [\"web\", \"dns\"]",
    ] {
        assert!(lines.iter().any(|it| it == line), "{line} is missing:\n{}", told.out);
    }
    assert!(!lines.iter().any(|line| line.starts_with("advskew")), "{}", told.out);
    assert!(!told.out.contains("thirty-two") && !told.out.contains("0f0f"), "{}", told.out);
}

#[test]
fn json_has_elections_groups_and_keys() {
    let json = Dir::with_hmac_keys().check(VRRP, &["--json", "--explain"]).json();
    let web = &json["routers"][0];
    assert_eq!(web["settings"]["receive_keys"][0]["id"], 2);
    assert_eq!(web["settings"]["interval_ms"], 250);
    assert_eq!(web["elections"][0]["name"], "web/ipv4");
    let ipv6 = serde_json::json!(["fe80::200:5eff:fe00:22a", "2001:db8::100"]);
    assert_eq!(web["elections"][1]["addresses"], ipv6);
    assert_eq!(json["routers"][1]["elections"][0]["name"], "dns");
    let group = &json["groups"][0];
    assert_eq!((&group["name"], &group["settings"]["routers"][1]), (&"site".into(), &"dns".into()));
}

#[test]
fn two_nodes_of_vrrp_are_compared() {
    let dir = Dir::with_hmac_keys();
    let peer = |text: &str| {
        dir.write("peer.toml", text, 0o644);
        dir.check(VRRP, &["--peer-config", "peer.toml", "--strict"])
    };
    let backup = VRRP.replace("priority = 200", "priority = 100");
    assert_eq!(peer(&backup).code, Some(0));
    let unsigned = backup.replace("key_id = 1", "key_id = 1\nauth_mode = \"receive\"");
    let told = peer(&unsigned);
    assert_eq!(told.code, Some(3), "{told:?}");
    let problem = "carp.toml:8:8: error: this node acts on signed adverts only, and the other node \
                   does not sign\n";
    assert!(told.err.starts_with(problem), "{told:?}");
}

#[test]
fn colour_is_for_those_who_ask_for_it() {
    let dir = Dir::new();
    let bad = format!("{LEAST}adress = 1\n");
    assert!(!dir.check(&bad, &[]).err.contains('\x1b'));
    assert!(!dir.check(&bad, &["--color", "never"]).err.contains('\x1b'));
    assert!(dir.check(&bad, &["--color", "always"]).err.contains("\x1b[1;31merror\x1b[0m"));
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("a file").permissions().mode() & 0o7777
}

#[test]
fn a_new_key_is_one_that_check_accepts() {
    let dir = Dir::new();
    fs::remove_file(dir.path("web.key")).unwrap();
    let told = dir.carp(&["keygen", "web.key"]);
    assert_eq!((told.code, &*told.out), (Some(0), ""), "{told:?}");
    let key = fs::read_to_string(dir.path("web.key")).unwrap();
    assert_eq!(mode(&dir.path("web.key")), 0o600);
    assert!(!told.err.contains(key.trim()));
    assert_eq!(dir.check(LEAST, &["--strict"]).code, Some(0));
}

#[test]
fn keys_are_nineteen_printable_characters_and_never_the_same() {
    let dir = Dir::new();
    let keys = [dir.carp(&["keygen"]), dir.carp(&["keygen"])];
    for told in &keys {
        assert_eq!((told.code, &*told.err), (Some(0), ""));
        let key = told.out.strip_suffix('\n').unwrap();
        assert_eq!(key.len(), 19);
        assert!(key.bytes().all(|byte| byte.is_ascii_graphic()), "{key}");
    }
    assert_ne!(keys[0].out, keys[1].out);
}

#[test]
fn a_key_is_never_overwritten() {
    let dir = Dir::new();
    let told = dir.carp(&["keygen", "web.key"]);
    assert_eq!(told.code, Some(1));
    assert!(told.err.starts_with("carp: error: web.key exists already\nhelp: "), "{told:?}");
    assert_eq!(fs::read_to_string(dir.path("web.key")).unwrap(), "hunter2\n");

    std::os::unix::fs::symlink("elsewhere", dir.path("link")).unwrap();
    assert_eq!(dir.carp(&["keygen", "link"]).code, Some(1));
    assert!(!dir.path("elsewhere").exists());

    let told = dir.carp(&["keygen", "none/web.key"]);
    assert_eq!(told.code, Some(1));
    assert!(told.err.contains("its directory does not exist"), "{told:?}");
}
