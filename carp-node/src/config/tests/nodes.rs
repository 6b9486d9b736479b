//! Two nodes side by side.

use super::super::*;
use super::{LEAST, config, instead, line, vrrp, with, with_addresses};

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
                "4:6: error: id is 1 here and 2 at {theirs_at}:4:6 // the members of a router \
                 have the same id"
            ),
        ),
        (
            LEAST.into(),
            instead("addresses", "addresses = [\"10.0.0.1\"]\nadvskew = 100"),
            format!(
                "5:13: error: the addresses differ: only here 192.168.130.100, only at \
                 {theirs_at}:5:13 10.0.0.1 // the digest covers the addresses: with other lists the \
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
                "1:1: error: dialect is native here and ucarp at {theirs_at}:8:11 // the members of \
                 a router elect by the same rules"
            ),
        ),
        (
            LEAST.into(),
            with("advbase = 2"),
            format!(
                "1:1: error: advbase is 1 here and 2 at {theirs_at}:7:11 // take the same advbase, \
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

/// What is found in the configurations of two nodes, without help; places as `LINE:COLUMN`.
fn told(ours: &str, theirs: &str) -> Vec<String> {
    let found = config(ours).compare(&config(theirs));
    let short = |it: &Diagnostic| {
        let line = line(it).replace("/etc/carp/carp.toml:", "");
        line.split(" // ").next().unwrap_or_default().to_owned()
    };
    found.iter().map(short).collect()
}

#[test]
fn a_lease_that_outlasts_the_patience_of_the_other_node_is_named() {
    let node = |lines: &str| config(&vrrp("vrrp3", &format!("interval = \"10s\"\n{lines}")));
    let (patient, impatient) = (node(""), node("priority = 254"));
    let at = |found: Vec<Diagnostic>| found.iter().map(line).collect::<Vec<_>>();
    assert_eq!(
        at(patient.compare(&impatient)),
        ["1:1: warning: should daemon and guard of this node die together, both nodes have the \
          addresses for up to 5.921875s // the other one takes over after 30.078125s: give this node \
          lease = \"29s\""]
    );
    let [told] = &at(impatient.compare(&patient))[..] else { panic!("one warning") };
    assert!(told.contains("guard of the other node die together"), "{told}");
    let other =
        config(&vrrp("vrrp3", "priority = 254")).routers[0].patience_with(&patient.routers[0]);
    assert_eq!(other, impatient.routers[0].timers.active_down, "it goes by the other's interval");
    assert_eq!(at(node("lease = \"29s\"").compare(&impatient)), [""; 0]);
    assert_eq!(at(node("lease = \"off\"").compare(&impatient)), [""; 0], "that was a decision");
}

#[test]
fn two_vrrp_routers_that_fit_together_are_not_complained_about() {
    let signed = |mode: &str, lines: &str| {
        let keys = "auth = \"hmac\"\nkey_file = \"hmac.key\"\nkey_id = 1\nauth_mode";
        vrrp("vrrp3", &format!("{keys} = \"{mode}\"\n{lines}"))
    };
    let new = "receive_keys = [{ id = 2, key_file = \"new.key\" }]";
    for (ours, theirs) in [
        (vrrp("vrrp2", "priority = 200"), vrrp("vrrp2", "")),
        (vrrp("vrrp3", "priority = 200\nchecksum = \"message\""), vrrp("vrrp3", "")),
        (signed("enforce", "priority = 200"), signed("permissive", new)),
        // The rounds of a roll-out.
        (vrrp("vrrp3", "priority = 200"), signed("receive", "")),
        (signed("receive", "priority = 200"), signed("permissive", "")),
        (
            vrrp("vrrp3", "priority = 200\npeers = [\"192.168.130.10\", \"192.168.130.11\"]"),
            vrrp("vrrp3", "peers = [\"192.168.130.50\", \"192.168.130.11\"]"),
        ),
    ] {
        assert_eq!(told(&ours, &theirs), [""; 0], "{ours}{theirs}");
    }
}

#[test]
fn every_difference_between_two_vrrp_routers_is_named() {
    let better = |protocol, lines: &str| vrrp(protocol, &format!("{lines}\npriority = 200"));
    let password = "auth = \"password\"\nkey_file = ";
    let hmac = |lines: &str| format!("auth = \"hmac\"\n{lines}");
    for (ours, theirs, expected) in [
        (
            better("vrrp2", ""),
            vrrp("vrrp3", ""),
            "2:12: error: protocol is vrrp2 here and vrrp3 at 2:12",
        ),
        (
            better("vrrp2", "interval = \"2s\""),
            vrrp("vrrp2", ""),
            "6:12: error: interval is 2s here and 1s at 1:1",
        ),
        (
            better("vrrp3", "interval = \"2s\""),
            vrrp("vrrp3", "interval = \"500ms\""),
            "6:12: warning: interval is 2s here and 500ms at 6:12",
        ),
        (
            better("vrrp2", &format!("{password}\"web.key\"")),
            vrrp("vrrp2", ""),
            "6:8: error: auth is password here and none at 1:1",
        ),
        (
            better("vrrp2", &format!("{password}\"web.key\"")),
            vrrp("vrrp2", &format!("{password}\"other.key\"")),
            "7:12: error: the password is not the one at 7:12",
        ),
        (
            better(
                "vrrp3",
                &hmac("key_file = \"hmac.key\"\nkey_id = 1\nauth_mode = \"permissive\""),
            ),
            vrrp("vrrp3", ""),
            "6:8: error: this node signs its adverts, and the other node rejects them: it has no \
             auth = \"hmac\"",
        ),
        (
            better("vrrp3", &hmac("key_file = \"hmac.key\"\nkey_id = 1")),
            vrrp("vrrp3", &hmac("key_file = \"hmac.key\"\nkey_id = 1\nauth_mode = \"receive\"")),
            "6:8: error: this node acts on signed adverts only, and the other node does not sign",
        ),
        (
            better("vrrp3", &hmac("key_file = \"hmac.key\"\nkey_id = 1")),
            vrrp("vrrp3", &hmac("key_file = \"new.key\"\nkey_id = 1")),
            "7:12: error: key 1 is not the one at 7:12",
        ),
        (
            better(
                "vrrp3",
                &hmac(
                    "key_file = \"hmac.key\"\nkey_id = 1\nreceive_keys = [{ id = 2, key_file = \"new.key\" }]",
                ),
            ),
            vrrp(
                "vrrp3",
                &hmac(
                    "key_file = \"hmac.key\"\nkey_id = 1\nreceive_keys = [{ id = 2, key_file = \"hmac.key\" }]",
                ),
            ),
            "9:38: warning: key 2 is not the one at 9:38",
        ),
        (
            better(
                "vrrp3",
                &hmac(
                    "key_file = \"hmac.key\"\nkey_id = 1\nreceive_keys = [{ id = 2, key_file = \"new.key\" }]",
                ),
            ),
            vrrp("vrrp3", &hmac("key_file = \"new.key\"\nkey_id = 2")),
            "6:8: error: this node signs with key 1, and the other node has no such key",
        ),
        (
            vrrp("vrrp3", ""),
            vrrp("vrrp3", ""),
            "1:1: warning: the priority is that of 1:1 too: 100",
        ),
        (
            vrrp("vrrp2", "priority = 255"),
            vrrp("vrrp2", "priority = 255"),
            "6:12: warning: this node and that of 6:12 both own the addresses",
        ),
        (
            better("vrrp2", ""),
            with_addresses("vrrp2", "[\"10.0.0.1\"]", ""),
            "5:13: warning: the addresses differ: only here 192.168.130.100, only at 5:13 10.0.0.1",
        ),
        (
            better("vrrp3", ""),
            with_addresses("vrrp3", "[\"192.168.130.100\", \"fe80::1\"]", ""),
            "5:13: error: the addresses differ: only here none, only at 5:13 fe80::1",
        ),
        (
            better("vrrp3", "preempt = false"),
            vrrp("vrrp3", ""),
            "6:11: warning: preempt is false here and true at 1:1",
        ),
        (
            better("vrrp3", "peers = [\"10.0.0.1\"]"),
            vrrp("vrrp3", ""),
            "6:9: error: peers is not empty here and empty at 1:1",
        ),
        (
            better("vrrp3", "peers = [\"10.0.0.1\"]"),
            vrrp("vrrp3", "peers = [\"10.0.0.1\"]"),
            "6:9: error: peers does not name the other node: all of them are its peers at 6:9 too",
        ),
        (
            better("vrrp3", "peers = [\"10.0.0.1\", \"10.0.0.2\"]"),
            vrrp("vrrp3", "peers = [\"10.0.0.1\"]"),
            "6:9: error: the peers at 6:9 do not name this node: all of them are peers here too",
        ),
    ] {
        assert_eq!(told(&ours, &theirs), [expected], "{ours}\n{theirs}");
    }
}

#[test]
fn a_change_of_the_key_is_followed_from_round_to_round() {
    let node = |key: &str, lines: &str| {
        instead("key_file", &format!("key_file = \"{key}.key\"\nadvskew = {lines}"))
    };
    let previous = |key: &str| format!("[router.web.previous]\nkey_file = \"{key}.key\"");
    let (old, new) = (node("web", "0"), node("other", "100"));
    assert_eq!(told(&old, &new), ["6:12: error: the key is not the one at 6:12"]);
    let backup = new + "\n" + &previous("web");
    assert_eq!(told(&old, &backup), ["6:12: warning: the key is not the one at 6:12"]);
    let ready = old.clone() + "\n" + &previous("other");
    assert_eq!(told(&ready, &backup), [""; 0]);
    let moved =
        old.replace(".100", ".101") + "\n[router.web.previous]\naddresses = [\"192.168.130.100\"]";
    let kept = node("web", "100") + "\n[router.web.previous]\naddresses = [\"192.168.130.101\"]";
    assert_eq!(told(&moved, &kept), [""; 0]);
}

#[test]
fn groups_that_differ_or_contradict_themselves_are_named() {
    let node = |web: u8, dns: u8, group: &str| {
        let router = |name: &str, id: u8, priority: u8| {
            vrrp("vrrp2", &format!("priority = {priority}"))
                .replace("web]", &format!("{name}]"))
                .replace("id = 42", &format!("id = {id}"))
                .replace("130.100", &format!("130.{id}"))
        };
        format!("{}{}{group}", router("web", 1, web), router("dns", 2, dns))
    };
    let both = "[group.a]\nrouters = [\"web\", \"dns\"]\n";
    assert_eq!(told(&node(200, 200, both), &node(100, 100, both)), [""; 0]);
    assert_eq!(
        told(&node(200, 100, both), &node(100, 200, both)),
        ["13:1: warning: this node is better in \"web\", and the other one in \"dns\""]
    );
    assert_eq!(
        told(&node(200, 200, both), &node(100, 100, "")),
        ["13:1: warning: router \"web\" does not move with the same routers as at 1:1"]
    );
    assert_eq!(
        told(&node(200, 200, ""), &node(100, 100, both)),
        ["1:1: warning: router \"web\" does not move with the same routers as at 13:1"]
    );
}
