//! The effective values, as `carp check --explain` prints them.

use super::super::*;
use super::{config, vrrp, with};

/// `KEY = VALUE`, and ` (default)` where nothing is written.
fn lines(settings: &[Setting]) -> Vec<String> {
    let note = |it: &Setting| if it.is_default { " (default)" } else { "" };
    settings.iter().map(|it| format!("{} = {:?}{}", it.key, it.value, note(it))).collect()
}

/// What holds for a router, but for the keys that all protocols have.
fn of(text: &str, from: &str) -> Vec<String> {
    let all = lines(&config(text).routers[0].settings());
    let begin = all.iter().position(|line| line.starts_with(from)).unwrap();
    let end = all.iter().position(|line| line.starts_with("preempt ")).unwrap();
    all[begin..end].to_vec()
}

#[test]
fn every_protocol_shows_its_own_keys() {
    let path = |name| format!("Text(\"/etc/carp/{name}.key\")");
    assert_eq!(
        of(
            &with("[router.web.previous]\nkey_file = \"other.key\"\naddresses = [\"10.0.0.1\"]"),
            "key"
        ),
        [
            format!("key_file = {}", path("web")),
            "advbase = Number(1) (default)".into(),
            "advskew = Number(0) (default)".into(),
            "dialect = Text(\"native\") (default)".into(),
            format!("previous.key_file = {}", path("other")),
            "previous.addresses = Texts([\"10.0.0.1\"])".into(),
            "previous.accept_for = Duration(3600s) (default)".into(),
        ]
    );
    assert!(of(&with(""), "key").contains(&"previous = Nothing (default)".into()));
    assert_eq!(
        of(&vrrp("vrrp2", "auth = \"password\"\nkey_file = \"web.key\""), "priority"),
        [
            "priority = Number(100) (default)".into(),
            "interval = Duration(1s) (default)".into(),
            "auth = Text(\"password\")".into(),
            format!("key_file = {}", path("web")),
        ]
    );
    let signed = "auth = \"hmac\"\nkey_file = \"hmac.key\"\nkey_id = 7\n\
                  receive_keys = [{ id = 8, key_file = \"new.key\" }]\ninterval = \"250ms\"";
    assert_eq!(
        of(&vrrp("vrrp3", signed), "priority"),
        [
            "priority = Number(100) (default)".into(),
            "interval = Duration(250ms)".into(),
            "checksum = Text(\"auto\") (default)".into(),
            "auth = Text(\"hmac\")".into(),
            format!("key_file = {}", path("hmac")),
            "key_id = Number(7)".into(),
            "auth_mode = Text(\"enforce\") (default)".into(),
            "receive_keys = Keys([(8, \"/etc/carp/new.key\")])".into(),
        ]
    );
    assert_eq!(of(&vrrp("vrrp3", ""), "auth"), ["auth = Text(\"none\") (default)"]);
}

#[test]
fn what_all_protocols_have_is_shown_with_its_effective_value() {
    let text = vrrp(
        "vrrp3",
        "mac = \"virtual\"\npeers = []\naccept_from = [\"10.0.0.2\"]\nhold = { link_up = \"5s\" }",
    );
    let all = lines(&config(&text).routers[0].settings());
    for line in [
        "protocol = Text(\"vrrp3\")",
        "preempt = Flag(true) (default)",
        "preempt_delay = Duration(0ns) (default)",
        "peers = Texts([])",
        "accept_from = Texts([\"10.0.0.2\"])",
        "min_ttl = Number(255) (default)",
        "mac = Text(\"virtual\")",
        "advert_mac = Text(\"virtual\") (default)",
        "address_interface = Text(\"eth0\") (default)",
        "accept = Flag(true) (default)",
        "handover = Duration(2s) (default)",
        "hold.boot = Duration(0ns) (default)",
        "hold.link_up = Duration(5s)",
        "track.gateway = Nothing (default)",
        "lease = Duration(2s) (default)",
    ] {
        assert!(all.iter().any(|it| it == line), "{line} is missing: {all:#?}");
    }
}

#[test]
fn a_group_shows_its_members() {
    let dns = vrrp("vrrp3", "").replace("web]", "dns]").replace("130.100", "130.7");
    let text = format!("{}{dns}[group.a]\nrouters = [\"dns\", \"web\"]\n", vrrp("vrrp2", ""));
    let groups = config(&text).groups;
    assert_eq!(lines(&groups[0].settings()), ["routers = Texts([\"dns\", \"web\"])"]);
}
