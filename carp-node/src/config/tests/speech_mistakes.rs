//! Mistakes in the keys of each protocol, and in those that say who is heard and where addresses live.

use super::{config, found, instead, signed, vrrp, with, with_addresses};

#[test]
fn every_mistake_of_vrrp_is_named_at_its_place() {
    for (text, expected) in [
        (
            vrrp("vrrp2", "priority = 0"),
            "6:12: error: 0 is not a priority: it is one of 1 to 254, or 255 for the owner of the \
             address",
        ),
        (
            vrrp("vrrp3", "priority = 256"),
            "6:12: error: 256 is not a priority: it is one of 1 to 254, or 255 for the owner of the \
             address",
        ),
        (
            vrrp("vrrp2", "interval = \"1500ms\""),
            "6:12: error: an interval of 1.5s does not fit VRRP version 2: it is 1 to 255 whole \
             seconds",
        ),
        (
            vrrp("vrrp2", "interval = \"256s\""),
            "6:12: error: an interval of 256s does not fit VRRP version 2: it is 1 to 255 whole \
             seconds",
        ),
        (
            vrrp("vrrp3", "interval = \"41s\""),
            "6:12: error: an interval of 41s does not fit VRRP version 3: it is 10 ms to 40.95 s in \
             steps of 10 ms",
        ),
        (
            vrrp("vrrp3", "interval = \"15ms\""),
            "6:12: error: an interval of 15ms does not fit VRRP version 3: it is 10 ms to 40.95 s in \
             steps of 10 ms",
        ),
        (
            vrrp("vrrp3", "interval = \"1\""),
            "6:12: error: \"1\": not a duration: write a whole number and its unit, like 500ms, 1s, \
             2m, 1h or 7d",
        ),
        (
            vrrp("vrrp3", "interval = 1"),
            "6:12: error: expected a string, found an integer // write it like interval = \"1s\"",
        ),
        // Authentication.
        (
            vrrp("vrrp2", "auth = \"hmac\"\nkey_file = \"hmac.key\""),
            "6:8: error: auth \"hmac\" is for vrrp3 // vrrp2 has \"none\" and \"password\"",
        ),
        (
            vrrp("vrrp3", "auth = \"password\"\nkey_file = \"web.key\""),
            "6:8: error: auth \"password\" is for vrrp2 // vrrp3 has \"none\" and \"hmac\"",
        ),
        (
            vrrp("vrrp3", "auth = \"hmca\"\nkey_file = \"hmac.key\""),
            "6:8: error: unknown auth \"hmca\"; did you mean \"hmac\"? // it is one of none, \
             password, hmac",
        ),
        (
            vrrp("vrrp2", "key_file = \"web.key\""),
            "6:12: error: key_file has no use: adverts are not authenticated // add auth = \
             \"password\", or remove key_file",
        ),
        (
            vrrp("vrrp3", "auth = \"none\"\nkey_id = 1"),
            "7:10: error: key_id has no use: adverts are not authenticated // add auth = \"hmac\", \
             or remove key_id",
        ),
        (
            vrrp("vrrp2", "auth = \"password\""),
            "1:1: error: [router.web] has no \"key_file\" // add key_file = \"/etc/carp/web.key\"",
        ),
        (
            vrrp("vrrp2", "auth = \"password\"\nkey_file = \"missing.key\""),
            "7:12: error: key file /etc/carp/missing.key: it does not exist // create it with \
             `(umask 077; openssl rand -base64 6 > /etc/carp/missing.key)`",
        ),
        (
            vrrp("vrrp2", "auth = \"password\"\nkey_file = \"long.key\""),
            "7:12: error: key file /etc/carp/long.key: the password has 27 bytes: at most 8 fit \
             (keepalived cuts longer ones to 8) // remove it and create another one with `(umask \
             077; openssl rand -base64 6 > /etc/carp/long.key)`",
        ),
        (
            vrrp("vrrp3", "auth = \"hmac\"\nkey_file = \"hmac.key\""),
            "1:1: error: [router.web] has no \"key_id\" // add key_id = 1",
        ),
        (
            vrrp("vrrp3", "auth = \"hmac\"\nkey_file = \"web.key\"\nkey_id = 1"),
            "7:12: error: key file /etc/carp/web.key: the key has 7 bytes: it has 32 to 64, and 32 \
             random ones are best // remove it and create another one with `(umask 077; echo \
             hex:$(openssl rand -hex 32) > /etc/carp/web.key)`",
        ),
        (
            vrrp("vrrp3", "auth = \"hmac\"\nkey_file = \"odd.key\"\nkey_id = 1"),
            "7:12: error: key file /etc/carp/odd.key: what follows `hex:` is not hexadecimal: it has \
             two digits for each byte // remove it and create another one with `(umask 077; echo \
             hex:$(openssl rand -hex 32) > /etc/carp/odd.key)`",
        ),
        (
            signed("").replace("key_id = 1", "key_id = 0"),
            "8:10: error: key_id 0 is out of range: it is 1 to 255",
        ),
        (
            signed("auth_mode = \"enforced\""),
            "9:13: error: unknown auth_mode \"enforced\"; did you mean \"enforce\"? // it is one of \
             receive, permissive, enforce",
        ),
        (
            signed("receive_keys = [{ id = 1, key_file = \"new.key\" }]"),
            "9:24: error: there is a key 1 already // give every key a number of its own",
        ),
        (
            signed("receive_keys = [{ id = 256, key_file = \"new.key\" }]"),
            "9:24: error: id 256 is out of range: it is 1 to 255",
        ),
        (
            signed("receive_keys = [{ key_file = \"new.key\" }]"),
            "9:17: error: an element of receive_keys has no \"id\" // add id = 1",
        ),
        (
            signed("receive_keys = [{ id = 2 }]"),
            "9:17: error: an element of receive_keys has no \"key_file\" // add key_file = \
             \"/etc/carp/web.key\"",
        ),
        (
            signed("receive_keys = [{ id = 2, key_file = \"new.key\", name = 1 }]"),
            "9:49: error: unknown key \"name\" // an element of receive_keys has id, key_file",
        ),
        (
            signed("receive_keys = [\"new.key\"]"),
            "9:17: error: expected a table, found a string // write it like receive_keys = [{ id = \
             2, key_file = \"/etc/carp/new.key\" }]",
        ),
        (
            signed("receive_keys = 2"),
            "9:16: error: expected a list of tables, found an integer // write it like receive_keys \
             = [{ id = 2, key_file = \"/etc/carp/new.key\" }]",
        ),
        // Checksum.
        (
            vrrp("vrrp3", "checksum = \"none\""),
            "6:12: error: unknown checksum \"none\" // it is one of auto, pseudo-header, message",
        ),
        (
            with_addresses("vrrp3", "[\"2001:db8::1\"]", "checksum = \"auto\""),
            "6:12: error: checksum is for IPv4: over IPv6 there is one form only // remove checksum",
        ),
        // Owners.
        (
            vrrp("vrrp2", "priority = 255\npreempt = false"),
            "7:11: warning: preempt = false has no effect: an owner always takes its addresses // \
             remove it, or take a priority of 1 to 254",
        ),
        (
            vrrp("vrrp3", "priority = 255\nmac = \"virtual\""),
            "7:7: error: an owner has its addresses at the interface, not at a virtual mac // remove \
             mac, or take a priority of 1 to 254",
        ),
        (
            with_addresses("vrrp3", "[\"2001:db8::1\"]", "priority = 255"),
            "5:14: error: an owner's IPv6 addresses begin with a link-local one // write the \
             interface's own fe80:: address before the others: it cannot be derived, because an \
             owner's addresses are never added",
        ),
    ] {
        assert_eq!(found(&text), [expected], "{text}");
    }
}

#[test]
fn every_mistake_of_addresses_is_named_at_its_place() {
    let many = |count| {
        let list: Vec<_> = (0..count).map(|it| format!("\"2001:db8::{:x}\"", it + 1)).collect();
        format!("[{}]", list.join(", "))
    };
    for (text, expected) in [
        (
            with_addresses("vrrp2", "[\"10.0.0.1\", \"2001:db8::1\"]", ""),
            "5:26: error: 2001:db8::1 is an IPv6 address: vrrp2 has IPv4 only // take protocol = \
             \"vrrp3\" for IPv6",
        ),
        (
            with_addresses("vrrp3", "[\"2001:db8::1\", \"fe80::7\"]", ""),
            "5:29: error: fe80::7 is link-local, but not the first IPv6 address // write it before \
             the other IPv6 addresses: adverts of vrrp3 begin with it",
        ),
        (
            with_addresses("vrrp3", &many(255), ""),
            "5:13: error: 256 IPv6 addresses are more than the 255 of an advert // make two routers \
             of it, with ids of their own",
        ),
        (
            instead("addresses", "addresses = [\"2001:db8::/64\"]"),
            "5:14: error: 2001:db8::/64 is the subnet-router anycast address of its network, not one \
             of a host // take another address of the network, or leave out the prefix length",
        ),
        (
            instead("addresses", "addresses = [\"::ffff:10.0.0.1\"]"),
            "5:14: error: ::ffff:10.0.0.1 is an IPv4 address written as one of IPv6 // write \
             \"10.0.0.1\"",
        ),
        (
            instead("addresses", "addresses = [\"2001:db8::1/64\"]"),
            "5:14: warning: 2001:db8::1/64 is wider than a host prefix: outgoing traffic may come \
             from it, and it is not installed while the interface has no other address of that \
             network // write \"2001:db8::1\"; or keep another address of the network on the \
             interface",
        ),
        (
            instead("addresses", "addresses = [\"2001:db8::1/129\"]"),
            "5:14: error: address \"2001:db8::1/129\": the prefix length must be 1 to 128",
        ),
    ] {
        assert_eq!(found(&text), [expected], "{text}");
    }
    config(&with_addresses("vrrp3", &many(254), ""));
}

#[test]
fn every_mistake_of_senders_is_named_at_its_place() {
    let dual = |lines| with_addresses("vrrp3", "[\"10.0.0.1\", \"2001:db8::1\"]", lines);
    let others = "name the addresses that the other servers always have";
    for (text, expected) in [
        (
            with("peers = [\"web2\"]"),
            "7:10: error: peers: \"web2\" is not an IP address // write it like 192.168.130.10"
                .into(),
        ),
        (
            with("peers = \"192.168.130.10\""),
            "7:9: error: expected a list of strings, found a string // write it like peers = \
             [\"192.168.130.10\"]"
                .into(),
        ),
        (
            with("peers = [\"224.0.0.18\"]"),
            format!(
                "7:10: error: peers: 224.0.0.18 cannot be on an interface: it is unspecified, \
                 broadcast, multicast or loopback // {others}"
            ),
        ),
        (
            with("peers = [\"192.168.130.100\"]"),
            format!(
                "7:10: error: peers: 192.168.130.100 is an address of this router, which moves // \
                 {others}"
            ),
        ),
        (
            with_addresses("vrrp3", "[\"2001:db8::1\"]", "peers = [\"fe80::200:5eff:fe00:22a\"]"),
            format!(
                "6:10: error: peers: fe80::200:5eff:fe00:22a is an address of this router, which \
                 moves // {others}"
            ),
        ),
        (
            with("accept_from = [\"2001:db8::10\"]"),
            "7:16: error: accept_from: 2001:db8::10 is an IPv6 address, and the router has none // \
             adverts are sent in the families of the addresses"
                .into(),
        ),
        (
            with("peers = [\"10.0.0.2\", \"10.0.0.2\"]"),
            "7:22: error: peers: 10.0.0.2 is written twice // remove one of them".into(),
        ),
        (
            dual("peers = [\"10.0.0.2\"]"),
            "6:9: error: peers has no IPv6 address: the router would hear nobody over IPv6 // add \
             the IPv6 address of the other server"
                .into(),
        ),
        (
            dual("accept_from = [\"fe80::2\"]"),
            "6:15: error: accept_from has no IPv4 address: the router would hear nobody over IPv4 \
             // add the IPv4 address of the other server"
                .into(),
        ),
        (
            with("peers = [\"10.0.0.2\"]\naccept_from = [\"10.0.0.2\"]"),
            "8:15: error: accept_from does not go with peers: only they are heard // remove \
             accept_from, or remove peers"
                .into(),
        ),
        (
            with("min_ttl = 0"),
            "7:11: error: min_ttl 0 is out of range: it is 1 to 255".into(),
        ),
        (
            with("min_ttl = 254"),
            "7:11: error: min_ttl 254 needs peers // what crosses routers can come from anywhere: \
             name the peers, or remove min_ttl"
                .into(),
        ),
        (
            vrrp("vrrp2", "peers = [\"10.0.0.2\"]\nmin_ttl = 254"),
            "7:11: error: min_ttl 254 needs authentication // everybody who hears an advert of \
             vrrp2 knows its password: take vrrp3 with auth = \"hmac\", or carp"
                .into(),
        ),
        (
            vrrp("vrrp3", "peers = [\"10.0.0.2\"]\nmin_ttl = 254"),
            "7:11: error: min_ttl 254 needs authentication // set auth = \"hmac\"".into(),
        ),
        (
            signed("auth_mode = \"permissive\"\npeers = [\"10.0.0.2\"]\nmin_ttl = 254"),
            "11:11: error: min_ttl 254 needs authentication // unsigned adverts are accepted: set \
             auth_mode = \"enforce\""
                .into(),
        ),
    ] {
        assert_eq!(found(&text), [expected], "{text}");
    }
    // In CARP one election hears both families, so peers of one may do.
    let carp =
        instead("addresses", "addresses = [\"10.0.0.1\", \"fd00::1\"]\npeers = [\"10.0.0.2\"]");
    config(&carp);
    config(&with("peers = [\"10.0.0.2\"]\nmin_ttl = 1"));
}

#[test]
fn every_mistake_of_the_link_is_named_at_its_place() {
    for (text, expected) in [
        (
            with("mac = \"virtuel\""),
            "7:7: error: unknown mac \"virtuel\"; did you mean \"virtual\"? // it is one of \
             interface, virtual",
        ),
        (
            vrrp("vrrp3", "advert_mac = \"ucarp\""),
            "6:14: error: advert_mac \"ucarp\" is for carp // vrrp3 has \"interface\" and \"virtual\"",
        ),
        (
            with("mac = \"virtual\"\nadvert_mac = \"ucarp\""),
            "8:14: error: advert_mac \"ucarp\" does not go with mac \"virtual\" // remove \
             advert_mac: adverts come from the virtual mac then",
        ),
        (
            with("advert_mac = \"virtual\"\npeers = [\"10.0.0.2\"]"),
            "7:14: error: advert_mac does not go with peers // remove advert_mac: adverts to peers \
             leave by the host's own routing, from the interface's own address",
        ),
        (
            with("mac = \"virtual\"\naddress_interface = \"lo\""),
            "8:21: error: address_interface does not go with mac \"virtual\" // remove one of the \
             two: a virtual mac has a device of its own on interface",
        ),
        (
            with("address_interface = \"a b\""),
            "7:21: error: \"a b\" cannot be the name of an interface // it is 1 to 15 bytes without \
             spaces, / and :, as `ip link` shows it",
        ),
        (
            with("duplicate = \"vetoo\""),
            "7:13: error: unknown duplicate \"vetoo\"; did you mean \"veto\"? // it is one of report, \
             veto",
        ),
        (
            vrrp("vrrp2", "priority = 255\nduplicate = \"veto\""),
            "7:13: warning: duplicate = \"veto\" has no effect: an owner always takes its addresses // \
             remove it",
        ),
        (
            with("address_interface = \"lo\"\nduplicate = \"veto\""),
            "8:13: warning: duplicate = \"veto\" has no effect: nobody is asked for addresses that live \
             on lo // remove it",
        ),
        (
            with("preempt_delay = \"5s\""),
            "7:17: warning: preempt_delay has no effect without preempt // add preempt = true, or \
             remove it",
        ),
        (
            vrrp("vrrp2", "preempt_delay = \"61m\""),
            "6:17: error: 61m is out of range: it is 0s to 1h",
        ),
    ] {
        assert_eq!(found(&text), [expected], "{text}");
    }
    config(&vrrp("vrrp2", "preempt_delay = \"5s\""));
    config(&with("preempt_delay = \"0s\""));
}

#[test]
fn every_mistake_of_what_was_before_is_named_at_its_place() {
    let previous = |lines: &str| with(&format!("[router.web.previous]\n{lines}"));
    for (text, expected) in [
        (
            previous("accept_for = \"1h\""),
            "7:1: error: [router.web.previous] names nothing that was before // add the key_file or \
             the addresses of before the change, or remove the table",
        ),
        (
            previous("key_file = \"other.key\"\naccept_for = \"0s\""),
            "9:14: error: 0s is out of range: it is 1s to 7d",
        ),
        (
            previous("key_file = \"missing.key\""),
            "8:12: error: key file /etc/carp/missing.key: it does not exist // create it with `carp \
             keygen /etc/carp/missing.key`",
        ),
        (
            previous("addresses = [\"nonsense\"]"),
            "8:14: error: address \"nonsense\": not an IP address: write it like 192.0.2.1 or \
             192.0.2.1/24",
        ),
        (
            previous("addresses = []"),
            "8:13: error: a router needs at least one address // write it like addresses = \
             [\"192.168.130.100\"]",
        ),
        (
            previous("key_file = \"other.key\"\nadvskew = 1"),
            "9:1: error: unknown key \"advskew\" // [router.web.previous] has accept_for, addresses, \
             key_file",
        ),
        (
            previous("key_file = \"web.key\"\naddresses = [\"192.168.130.100\"]"),
            "7:1: warning: the previous key and addresses are the present ones // name what was \
             before the change, or remove the table",
        ),
    ] {
        assert_eq!(found(&text), [expected], "{text}");
    }
}
