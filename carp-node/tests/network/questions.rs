//! What neighbours are asked, and which answers are heard.

use std::io;
use std::net::IpAddr;

use carp_node::backend::linux::{NeighbourAnnouncer, NetlinkAddresses};
use carp_node::backend::{AddressTable, Announcer, Neighbour, Received, Saying};
use carp_node::lab::{Host, Lab, wait_until};
use carp_proto::{Family, MacAddr};

use crate::support::{
    BOTH, IPV4, LIMIT, ONE, Result, Station, TWO, TWO_IPV6, Test, VIRTUAL, VIRTUAL_IPV6, ip, pair,
    run,
};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("whoever_has_an_address_answers_a_question_from_nowhere", from_nowhere),
    ("a_question_from_an_address_is_answered_to_it_and_learnt_from", from_an_address),
    ("what_is_not_listened_for_is_not_heard", what_is_not_listened_for),
    ("more_addresses_than_a_filter_holds_are_heard_of_all_the_same", many_addresses),
    ("the_default_gateway_is_found_in_both_families", the_default_gateway),
];

fn from_nowhere(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let mut station = Station::open(&one, "eth0", BOTH)?;
    station.listen(true, false)?;
    ask(&one, None, &[TWO, TWO_IPV6])?;
    let heard = [station.receive()?.0, station.receive()?.0];
    let mac = Some(two.mac());
    let ipv4 = said(TWO, mac, Saying::Answered(ip("0.0.0.0")));
    // The answer goes to all nodes, as an announcement does.
    let ipv6 = said(TWO_IPV6, mac, Saying::Announced);
    assert!(heard.contains(&ipv4) && heard.contains(&ipv6), "{heard:?}");
    let learnt = run(&two, "ip neigh show")?;
    assert!(!learnt.contains(&one.mac().to_string()), "{learnt}");
    Ok(())
}

fn from_an_address(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    one.add_address(ip(VIRTUAL), 32)?;
    one.add_address(ip(VIRTUAL_IPV6), 128)?;
    wait_until(LIMIT, "the kernel to take what comes for the IPv6 address", || {
        run(&one, "ip -6 route show table local").is_ok_and(|it| it.contains(VIRTUAL_IPV6))
    })?;
    let mut station = Station::open(&one, "eth0", BOTH)?;
    station.listen(true, true)?;
    for (from, asked, mac) in [(VIRTUAL, TWO, Some(two.mac())), (VIRTUAL_IPV6, TWO_IPV6, None)] {
        // Of the other family, nobody is asked.
        ask(&one, Some(from), &[TWO, TWO_IPV6])?;
        assert_eq!(station.receive()?.0, said(asked, mac, Saying::Answered(ip(from))));
        let learnt = run(&two, &format!("ip neigh show {from}"))?;
        assert!(learnt.contains(&one.mac().to_string()), "{learnt}");
    }
    Ok(())
}

fn what_is_not_listened_for(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let mut station = Station::open(&one, "eth0", IPV4)?;
    let by_two = |saying| said(VIRTUAL, Some(two.mac()), saying);
    // The last one is heard in any case.
    ask(&one, None, &[TWO])?;
    ask(&two, Some(VIRTUAL), &[ONE])?;
    announce(&two, VIRTUAL)?;
    assert_eq!(station.receive()?.0, by_two(Saying::Announced));
    station.listen(false, true)?;
    ask(&two, Some("192.168.130.101"), &[ONE])?;
    ask(&two, Some(VIRTUAL), &[ONE])?;
    assert_eq!(station.receive()?.0, by_two(Saying::Asking));
    station.listen(false, false)?;
    ask(&two, Some(VIRTUAL), &[ONE])?;
    announce(&two, VIRTUAL)?;
    assert_eq!(station.receive()?.0, by_two(Saying::Announced));
    Ok(())
}

fn many_addresses(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    run(&two, "ip route add 10.0.0.0/16 dev eth0")?;
    for count in [1000_u16, 1001, 3000] {
        let addresses = (0..count).map(|number| {
            let [high, low] = number.to_be_bytes();
            IpAddr::from([10, 0, high, low])
        });
        let mut station = Station::open_for(&one, "eth0", IPV4, &[], addresses.collect())?;
        station.listen(true, true)?;
        // One that is not ours, nor between those that are.
        ask(&two, Some("10.1.0.7"), &[ONE])?;
        for ours in ["10.0.0.7", "10.0.3.231"] {
            ask(&two, Some(ours), &[ONE])?;
            assert_eq!(station.receive()?.0, said(ours, Some(two.mac()), Saying::Asking));
        }
        ask(&one, None, &[TWO])?;
        let nowhere = Saying::Answered(ip("0.0.0.0"));
        assert_eq!(station.receive()?.0, said(TWO, Some(two.mac()), nowhere));
        // The last address: without answers to it, nothing would ever be confirmed.
        one.add_address(ip("10.0.3.231"), 32)?;
        ask(&one, Some("10.0.3.231"), &[TWO])?;
        let answered = Saying::Answered(ip("10.0.3.231"));
        assert_eq!(station.receive()?.0, said(TWO, Some(two.mac()), answered));
        run(&one, "ip address del 10.0.3.231/32 dev eth0")?;
    }
    Ok(())
}

fn the_default_gateway(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    let mut gateway = |interface: &str| -> Result<[Option<IpAddr>; 2]> {
        let mut of = |family| table.gateway(interface, family);
        Ok([of(Family::Ipv4)?, of(Family::Ipv6)?])
    };
    assert_eq!(gateway("eth0")?, [None, None]);
    run(&one, "ip route add default via 192.168.130.10")?;
    run(&one, "ip -6 route add default via fe80::10 dev eth0")?;
    assert_eq!(gateway("eth0")?, [Some(ip(TWO)), Some(ip("fe80::10"))]);
    assert_eq!(gateway("lo")?, [None, None]);
    assert_eq!(table.gateway("eth7", Family::Ipv4).unwrap_err().kind(), io::ErrorKind::NotFound);
    Ok(())
}

/// Asks for addresses, as a node does on the host.
fn ask(host: &Host, from: Option<&str>, addresses: &[&str]) -> Result {
    let addresses: Vec<_> = addresses.iter().map(|address| ip(address)).collect();
    let from = from.map(|from| (ip(from), None));
    let ask = || NeighbourAnnouncer::open()?.ask("eth0", from, &addresses);
    Ok(host.run_inside(ask)??)
}

fn announce(host: &Host, address: &str) -> Result {
    let announce = || NeighbourAnnouncer::open()?.announce("eth0", None, &[ip(address)], 1);
    Ok(host.run_inside(announce)??)
}

fn said(address: &str, mac: Option<MacAddr>, saying: Saying) -> Received {
    Received::Neighbour(Neighbour { address: ip(address), mac, saying })
}
