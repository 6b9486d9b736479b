//! Two nodes side by side.

use super::super::*;
use super::{LEAST, config, instead, line, with};

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
