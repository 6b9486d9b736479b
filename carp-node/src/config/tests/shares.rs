//! `[sync.NAME]`.

use std::time::Duration;

use super::super::*;
use super::{config, found, parse, vrrp, with};
use crate::sync::policy::{AutoResolve, Failback, StaleTakeover};

const SHARE: &str =
    "[sync.www]\nrouter = \"web\"\npath = \"/var/www\"\npeer = \"sync@192.0.2.10\"\n";

/// The least that a share needs, with lines behind it; the first is line 11.
fn share(lines: &str) -> String {
    with(&format!("{SHARE}{lines}"))
}

#[test]
fn a_share_has_the_defaults_of_the_documentation() {
    let config = config(&share(""));
    let [share] = config.shares.as_slice() else { panic!("{:?}", config.shares) };
    assert_eq!((share.name.as_str(), share.router.as_str()), ("www", "web"));
    assert_eq!(share.path, Path::new("/var/www"));
    assert_eq!((share.peer.user.as_str(), share.peer.host.as_str()), ("sync", "192.0.2.10"));
    assert_eq!(share.every, Duration::from_secs(60));
    assert_eq!(share.quiesce_timeout, Duration::from_secs(10));
    assert!(share.policy.require && share.policy.peer_alive_veto && share.attributes);
    assert_eq!(share.policy.failback, Failback::Auto);
    assert_eq!(share.policy.stale_takeover, StaleTakeover::After(Duration::from_secs(30)));
    assert_eq!((share.rsh.as_ref(), share.max_delete, share.bandwidth), (None, None, None));
}

#[test]
fn every_key_of_a_share_is_read() {
    let hasty = config(&share("require = false"));
    assert!(!hasty.shares[0].policy.require);
    let config = config(&share(
        "every = \"5s\"\nfailback = \"manual\"\nexclude = [\"/cache/\"]\n\
         rsh = [\"ssh\", \"-p\", \"2222\"]\nmax_delete = 7\nattributes = false\nbandwidth = 100\n\
         compress = true\nquiesce = [\"/bin/a\"]\nunquiesce = [\"/bin/b\", \"c\"]\n\
         quiesce_timeout = \"2s\"\nhandover_timeout = \"20s\"\nmax_lag = \"1m\"\n\
         stale_takeover = \"never\"\ncold_start_wait = \"0s\"\npeer_alive_veto = false\n\
         auto_resolve = \"elected\"",
    ));
    let share = &config.shares[0];
    assert_eq!(share.every, Duration::from_secs(5));
    assert_eq!((share.max_delete, share.bandwidth), (Some(7), Some(100)));
    assert_eq!(share.exclude, ["/cache/"]);
    assert_eq!(share.rsh.as_deref(), Some(&["ssh", "-p", "2222"].map(str::to_owned)[..]));
    let shell = share.own_shell().unwrap();
    assert_eq!(shell, ["ssh", "-p", "2222", "-l", "sync"], "with the user of peer");
    assert_eq!(share.unquiesce.as_deref(), Some(&["/bin/b", "c"].map(str::to_owned)[..]));
    assert_eq!(share.policy.stale_takeover, StaleTakeover::Never);
    assert_eq!(share.policy.auto_resolve, AutoResolve::Elected);
    assert_eq!(share.policy.failback, Failback::Manual);
    assert!(!share.policy.peer_alive_veto && share.compress);
    let defaults = share.settings().iter().filter(|setting| setting.is_default).count();
    assert_eq!(defaults, 1, "all but require");
}

#[test]
fn every_mistake_in_a_share_is_named_at_its_place() {
    for (lines, expected) in [
        (
            "router = \"wbe\"",
            "there is no router \"wbe\"; did you mean \"web\"? // the routers are web",
        ),
        ("path = \"www\"", "path \"www\" is not an absolute path // begin it with /, without .."),
        ("path = \"/var/../www\"", "path \"/var/../www\" is not an absolute path"),
        ("path = \"/\"", "the root of the machine cannot be a share // name a folder"),
        ("peer = \"-oProxyCommand=x\"", "peer \"-oProxyCommand=x\": "),
        (
            "peer = \"192.168.130.100\"",
            "peer 192.168.130.100 is an address of [router.web], which moves",
        ),
        ("rsh = []", "rsh names no program // write it like rsh = [\"ssh\""),
        ("every = \"0s\"", "0s is out of range: it is 1s to 24h"),
        ("failback = \"automatic\"", "unknown failback \"automatic\""),
        (
            "stale_takeover = \"maybe\"",
            "unknown stale_takeover \"maybe\" // it is \"allow\", \"never\"",
        ),
        ("max_delete = -1", "max_delete -1 is out of range: it is 0 to 1000000000"),
        ("bandwith = 3", "unknown key \"bandwith\"; did you mean \"bandwidth\"?"),
        ("quiesce = [\"stop\"]", "\"stop\" is not an absolute path"),
        ("exclude = [\"\"]", "\"\" is no pattern"),
    ] {
        let key = lines.split(' ').next().unwrap_or_default();
        let rest: String = SHARE
            .lines()
            .filter(|line| !line.starts_with(key))
            .map(|line| format!("{line}\n"))
            .collect();
        let found = found(with(&format!("{rest}{lines}")));
        let named = found.iter().any(|it| it.contains(": error: ") && it.contains(expected));
        assert!(named, "{lines}: {found:?}");
    }
}

#[test]
fn shares_do_not_overlap_and_an_owner_does_not_wait() {
    let other = "[sync.img]\nrouter = \"web\"\npath = \"/var/www/img\"\npeer = \"b\"\n";
    let overlaps = found(share(other));
    assert!(overlaps.iter().any(|it| it.contains("path /var/www/img overlaps")), "{overlaps:?}");
    for path in ["/var/lib", "/var/lib/carp", "/var/lib/carp/sync/export"] {
        let found = found(with(&SHARE.replace("/var/www", path)));
        let named = "overlaps with this node's own state in /var/lib/carp";
        assert!(found.iter().any(|it| it.contains(named)), "{path}: {found:?}");
    }
    let owner = found(vrrp("vrrp3", &format!("priority = 255\n{SHARE}")));
    assert!(owner.iter().any(|it| it.contains("cannot wait for its data")), "{owner:?}");
    let seldom = found(share("every = \"10m\""));
    assert!(seldom.iter().any(|it| it.contains("a copy is stale after 5m")), "{seldom:?}");
    let stopped = found(share("quiesce = [\"/bin/a\"]"));
    assert!(stopped.iter().any(|it| it.contains("never started again")), "{stopped:?}");
    let idle = found(share("failback = \"manual\"\nrequire = false"));
    assert!(idle.iter().any(|it| it.contains("changes nothing with require = false")), "{idle:?}");
    assert!(parse(share("")).is_ok());
}

#[test]
fn shares_that_differ_on_two_nodes_are_named() {
    let node = |lines: &str| config(&share(lines));
    let told = |ours: &Config, theirs: &Config| -> Vec<String> {
        let found = ours.compare(theirs);
        let about = |it: &Diagnostic| !super::line(it).contains("the rank is that of");
        let short = |it: &Diagnostic| {
            let line = super::line(it).replace("/etc/carp/carp.toml:", "");
            line.split(" // ").next().unwrap_or_default().to_owned()
        };
        found.iter().filter(|it| about(it)).map(short).collect()
    };
    let plain = node("");
    assert_eq!(told(&plain, &plain), Vec::<String>::new());
    // What each node may choose for itself.
    assert_eq!(told(&plain, &node("every = \"5s\"\nbandwidth = 9")), Vec::<String>::new());
    let without = config(&with(""));
    assert_eq!(told(&plain, &without), ["7:1: error: share \"www\" is missing on the other node"]);
    assert_eq!(told(&without, &plain), ["7:1: error: share \"www\" is missing on this node"]);
    for (lines, expected) in [
        ("exclude = [\"/x/\"]", "7:1: warning: exclude is [] here and [\"/x/\"] at 11:11"),
        ("attributes = false", "7:1: warning: attributes is true here and false at 11:14"),
        ("require = false", "7:1: warning: require is true here and false at 11:11"),
        (
            "handover_timeout = \"30s\"",
            "7:1: warning: handover_timeout is 15s here and 30s at 11:20",
        ),
    ] {
        assert_eq!(told(&plain, &node(lines)), [expected], "{lines}");
    }
    let hooks = node("quiesce = [\"/bin/a\"]\nunquiesce = [\"/bin/b\"]");
    assert_eq!(
        told(&plain, &hooks),
        [
            "7:1: warning: only the other node has quiesce: on this one writers go on",
            "7:1: warning: only the other node has unquiesce: on this one writers go on"
        ]
    );
    let elsewhere = config(&share("").replace("/var/www", "/srv/www"));
    assert_eq!(
        told(&plain, &elsewhere),
        ["9:8: warning: path is /var/www here and /srv/www at 9:8"]
    );
}
