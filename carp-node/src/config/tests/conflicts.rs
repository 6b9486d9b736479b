//! Routers and groups that do not go together.

use super::super::*;
use super::{LEAST, config, found, vrrp};

/// Another VRRP router than that of [`vrrp`]: its name, protocol, address and further lines.
fn second(protocol: &str, address: &str, lines: &str) -> String {
    vrrp(protocol, lines).replace("web", "dns").replace("192.168.130.100", address)
}

#[test]
fn an_id_is_unique_by_protocol_and_in_vrrp3_by_family() {
    let ipv4 = vrrp("vrrp3", "");
    let taken = "10:6: error: vrrp3 id 42 is already that of [router.web] (/etc/carp/carp.toml:4:6) \
                 on eth0 // give every router of an interface its own id";
    assert_eq!(found(format!("{ipv4}{}", second("vrrp3", "10.0.0.9", ""))), [taken]);
    let dual = second("vrrp3", "10.0.0.9\", \"2001:db8::9", "");
    assert_eq!(found(format!("{ipv4}{dual}")), [taken]);
    config(&format!("{ipv4}{}", second("vrrp3", "2001:db8::9", "")));
    config(&format!("{ipv4}{}", second("vrrp2", "10.0.0.9", "")));
}

#[test]
fn an_address_is_unique_where_it_lives() {
    let web = vrrp("vrrp2", "address_interface = \"lo\"");
    let dns =
        second("vrrp2", "192.168.130.100", "address_interface = \"lo\"").replace("eth0", "eth1");
    let taken = "11:14: error: address 192.168.130.100 is already that of [router.web] \
                 (/etc/carp/carp.toml:5:14) // an address belongs to one router, and is written once";
    assert_eq!(found(format!("{web}{dns}")), [taken]);
    config(&format!("{web}{}", dns.replace("address_interface = \"lo\"", "")));
}

#[test]
fn derived_addresses_must_not_meet() {
    let home = "address_interface = \"lo\"";
    let web = vrrp("vrrp3", home).replace("192.168.130.100", "2001:db8::1");
    let dns = second("vrrp3", "2001:db8::2", home).replace("eth0", "eth1");
    let taken = "10:6: error: the derived link-local address fe80::200:5eff:fe00:22a is already \
                 that of [router.web] (/etc/carp/carp.toml:4:6) // write another link-local address \
                 before the other IPv6 addresses";
    assert_eq!(found(format!("{web}{dns}")), [taken]);
    config(&format!("{web}{}", dns.replace(home, "")));
}

#[test]
fn protocols_that_share_a_virtual_mac_are_told() {
    let virtual_mac = "mac = \"virtual\"";
    let twice = "11:6: error: 00:00:5e:00:01:2a would be on eth0 twice: [router.web] \
                 (/etc/carp/carp.toml:4:6) has mac \"virtual\" too // give one of them another id";
    let web = vrrp("vrrp3", virtual_mac);
    let dns = |lines| format!("\n{}", second("vrrp2", "10.0.0.9", lines));
    assert_eq!(found(format!("{web}{}", dns(virtual_mac))), [twice]);
    let adverts = "11:6: warning: 00:00:5e:00:01:2a is also an address of [router.web] \
                   (/etc/carp/carp.toml:4:6): switches cannot tell them apart // give one of them \
                   another id";
    assert_eq!(found(format!("{web}{}", dns("advert_mac = \"virtual\""))), [adverts]);
    // Without the virtual address, and with VRRP's own one for IPv6, nothing is shared.
    config(&format!("{web}{}", dns("")));
    let ipv6 = web.replace("192.168.130.100", "2001:db8::1");
    config(&format!("{ipv6}{}", dns(virtual_mac)));
}

/// Three routers with ids 1 to 3, and lines behind them; the first is line 19.
fn three(lines: &str) -> String {
    let router = |name: &str, id| {
        LEAST
            .replace("web]", &format!("{name}]"))
            .replace("id = 1", &format!("id = {id}"))
            .replace(".100", &format!(".10{id}"))
    };
    format!("{}{}{}{lines}\n", router("web", 1), router("dns", 2), router("mail", 3))
}

#[test]
fn groups_are_read_in_the_order_of_the_file() {
    let dual =
        vrrp("vrrp3", "").replace("web", "dual").replace("130.100\"", "130.9\", \"fd00::9\"");
    let text = format!("{}{dual}[group.b]\nrouters = [\"mail\", \"web\"]\n", three(""));
    let config = config(&text);
    let [group] = &config.groups[..] else { panic!("{config:?}") };
    assert_eq!(
        (&*group.name, &group.routers[..]),
        ("b", &["mail".to_owned(), "web".to_owned()][..])
    );
    assert_eq!(config.sync_groups(), [Some(0), None, Some(0), Some(1)]);
}

#[test]
fn a_router_of_both_families_moves_with_its_group() {
    let dual =
        vrrp("vrrp3", "").replace("web", "dual").replace("130.100\"", "130.9\", \"fd00::9\"");
    let other = dual.replace("dual", "other").replace("id = 42", "id = 43").replace("9\"", "8\"");
    let third = dual.replace("dual", "third").replace("id = 42", "id = 44").replace("9\"", "7\"");
    let text = format!("{dual}{other}{third}[group.a]\nrouters = [\"third\", \"dual\"]\n");
    assert_eq!(config(&text).sync_groups(), [Some(0), Some(1), Some(0)]);
}

#[test]
fn every_mistake_of_a_group_is_named_at_its_place() {
    for (lines, expected) in [
        (
            "[group.a]\nrouters = [\"web\", \"dsn\"]",
            "20:19: error: there is no router \"dsn\"; did you mean \"dns\"? // the routers are web, \
             dns, mail",
        ),
        (
            "[group.a]\nrouters = []",
            "20:11: error: a group needs routers // write it like routers = [\"web\", \"dns\"]",
        ),
        (
            "[group.a]",
            "19:1: error: [group.a] has no \"routers\" // add routers = [\"web\", \"dns\"]",
        ),
        (
            "[group.a]\nrouters = [\"web\"]",
            "20:12: warning: a group of one router has no effect // name the routers that shall move \
             with it, or remove the group",
        ),
        (
            "[group.a]\nrouters = [\"web\", \"dns\", \"web\"]",
            "20:26: error: router \"web\" is already in [group.a] (/etc/carp/carp.toml:20:12) // a \
             router is in one group, and is written once",
        ),
        (
            "[group.a]\nrouters = [\"web\", \"dns\"]\n[group.b]\nrouters = [\"mail\", \"dns\"]",
            "22:20: error: router \"dns\" is already in [group.a] (/etc/carp/carp.toml:20:19) // a \
             router is in one group, and is written once",
        ),
        (
            "[group.a]\nrouters = \"web\"",
            "20:11: error: expected a list of strings, found a string // write it like routers = \
             [\"web\", \"dns\"]",
        ),
        (
            "[group.\"a/b\"]\nrouters = [\"web\", \"dns\"]",
            "19:8: error: \"a/b\" cannot be the name of a group // it is 1 to 32 of A-Z a-z 0-9 . _ \
             - and does not begin with . or -",
        ),
        (
            "[group.a]\nrouters = [\"web\", \"dns\"]\nmember = 1",
            "21:1: error: unknown key \"member\" // [group.a] has routers",
        ),
        (
            "[group]\na = 1",
            "20:5: error: expected a table for each group, found an integer // write it like \
             [group.site]",
        ),
        (
            "[[group]]",
            "19:1: error: expected a table for each group, found a list // write it like \
             [group.site]",
        ),
    ] {
        assert_eq!(found(three(lines)), [expected], "{lines}");
    }
}

#[test]
fn members_of_a_group_that_preempt_and_that_do_not_are_told() {
    let mixed = three("preempt = true\n[group.a]\nrouters = [\"web\", \"mail\"]");
    let doubt = "20:1: warning: router \"mail\" preempts and router \"web\" does not // a group \
                 moves as one: give all of its members the same preempt";
    assert_eq!(found(mixed), [doubt]);
}

#[test]
fn conflicts_are_told_beside_other_mistakes() {
    let broken = three("").replace("id = 3", "id = 0").replace("id = 2", "id = 1");
    let [first, second] = &found(broken)[..] else { panic!("two mistakes") };
    assert!(first.starts_with("10:6: error: carp id 1 is already"), "{first}");
    assert!(second.starts_with("16:6: error: 0 is not a virtual router id"), "{second}");
}

#[test]
fn names_of_elections_cannot_be_names_of_routers() {
    assert!(parse_name("dns/ipv4").is_err());
    assert!(parse_name("dns-ipv4").is_ok());
}

fn parse_name(name: &str) -> Result<Loaded, ConfigError> {
    super::parse(LEAST.replace("router.web", &format!("router.\"{name}\"")))
}
