//! What neighbours are told, and what is heard of it.

use std::io;
use std::net::SocketAddrV6;
use std::time::Duration;

use carp_node::backend::linux::NeighbourAnnouncer;
use carp_node::backend::{Announcer, Neighbour, Received, Saying};
use carp_node::lab::{Host, Lab, wait_until};
use carp_proto::MacAddr;
use carp_proto::wire::ip::IPV6_HEADER_LEN;
use carp_proto::wire::{arp, ethernet, ndp};
use socket2::{Domain, Protocol, Socket, Type};

use crate::support::{
    BOTH, IPV4, IPV6, LIMIT, Observer, Result, Station, TWO, TWO_IPV6, Test, VIRTUAL, VIRTUAL_IPV6,
    id, index_of, ip, pair, run,
};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("announcements_are_heard_in_both_families", announcements_are_heard_in_both_families),
    ("neighbours_learn_the_address_that_is_announced", neighbours_learn_it),
    ("a_router_says_that_it_is_one", a_router_says_that_it_is_one),
    ("frames_of_no_use_are_told_one_at_a_time", useless_frames_are_told),
    ("loopback_announces_nothing", loopback_announces_nothing),
    ("an_answer_or_a_routed_packet_is_no_announcement", no_announcement),
];

const BOTH_VIRTUAL: [&str; 2] = [VIRTUAL, VIRTUAL_IPV6];

fn announcements_are_heard_in_both_families(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let (mut listener, mut own) =
        (Station::open(&two, "eth0", BOTH)?, Station::open(&one, "eth0", BOTH)?);
    announce(&one, "eth0", None, &BOTH_VIRTUAL, 2)?;
    let heard = [(); 4].map(|()| listener.receive().map(|(received, _)| received));
    let heard: Vec<_> = heard.into_iter().collect::<Result<_>>()?;
    for address in BOTH_VIRTUAL {
        let this = heard_of(address, one.mac());
        assert_eq!(heard.iter().filter(|received| **received == this).count(), 2, "{heard:?}");
    }
    // Nobody hears itself: what comes next is the other's.
    announce(&two, "eth0", None, &[TWO_IPV6], 1)?;
    assert_eq!(own.receive()?.0, heard_of(TWO_IPV6, two.mac()));
    Ok(())
}

/// Of frames that are useless there may be no end, and who receives has other things to do.
fn useless_frames_are_told(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let mut station = Station::open(&one, "eth0", IPV4)?;
    // Both are announcements for the filter: one from our own link-layer address, and one that is no ARP of
    // IPv4 over Ethernet.
    let announcement = |mac| {
        let mut frame = Vec::new();
        let said = arp::Announcement { mac, address: VIRTUAL.parse()? };
        arp::emit_frame(said, arp::Form::Request, &mut frame);
        Ok::<_, std::net::AddrParseError>(frame)
    };
    let (ours, mut odd) = (announcement(one.mac())?, announcement(two.mac())?);
    odd[ethernet::HEADER_LEN] = 0xff;
    for frame in [ours, odd] {
        two.flood(vec![frame], 100, Duration::from_millis(50))?.wait()?;
        assert_eq!(station.receive_anything()?.0, Received::Useless);
        assert_eq!(station.receive_anything()?.0, Received::Useless, "one at a time");
        announce(&two, "eth0", None, &[TWO], 1)?;
        assert_eq!(station.receive()?.0, heard_of(TWO, two.mac()));
    }
    Ok(())
}

fn neighbours_learn_it(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let observer = Observer::open(&two)?;
    let virtual_mac = MacAddr::virtual_router(id(1));
    for mac in [None, Some(virtual_mac)] {
        // Entries for another link-layer address, as after a takeover.
        for address in BOTH_VIRTUAL {
            let old = "lladdr 02:00:00:00:00:99 dev eth0 nud reachable";
            run(&two, &format!("ip neigh replace {address} {old}"))?;
        }
        announce(&one, "eth0", mac, &BOTH_VIRTUAL, 2)?;
        let told = mac.unwrap_or(one.mac()).to_string();
        wait_until(LIMIT, "the neighbour to learn it", || {
            BOTH_VIRTUAL.iter().all(|address| {
                run(&two, &format!("ip neigh show {address}")).is_ok_and(|it| it.contains(&told))
            })
        })?;
    }
    let address = VIRTUAL_IPV6.parse()?;
    let expected = [one.mac(), virtual_mac].map(|mac| ndp::Announcement {
        mac,
        address,
        router: false,
        overrides: true,
    });
    let mut said = Vec::new();
    observer.wait("all announcements", |frame| {
        said.extend(announced(frame));
        said.len() >= 4
    })?;
    assert_eq!(said, [expected[0], expected[0], expected[1], expected[1]]);
    Ok(())
}

fn a_router_says_that_it_is_one(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let observer = Observer::open(&two)?;
    let mut announcer = one.run_inside(NeighbourAnnouncer::open)??;
    one.run_inside(|| announcer.prepare("eth0"))??;
    // What counts is what holds when it is announced.
    let mut said = Vec::new();
    for forwarding in [1, 0] {
        run(&one, &format!("echo {forwarding} > /proc/sys/net/ipv6/conf/eth0/forwarding"))?;
        one.run_inside(|| announcer.announce("eth0", None, &[ip(VIRTUAL_IPV6)], 1))??;
    }
    observer.wait("both announcements", |frame| {
        said.extend(announced(frame).map(|it| it.router));
        said.len() >= 2
    })?;
    assert_eq!(said, [true, false]);
    Ok(())
}

fn loopback_announces_nothing(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let observer = Observer::open(&one)?;
    announce(&one, "lo", None, &BOTH_VIRTUAL, 2)?;
    announce(&one, "eth0", None, &BOTH_VIRTUAL, 1)?;
    // The observer sees all interfaces of the host. What it sees first is what was sent first.
    let mut macs = Vec::new();
    observer.wait("the announcements", |frame| {
        let arp = arp::parse(&frame[ethernet::HEADER_LEN..]).ok().map(|(said, _)| said.mac);
        macs.extend(arp.or(announced(frame).map(|said| said.mac)));
        macs.len() >= 2
    })?;
    assert_eq!(macs, [one.mac(); 2]);
    Ok(())
}

fn no_announcement(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let mut listener = Station::open(&two, "eth0", IPV6)?;
    let sender =
        one.run_inside(|| Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)))??;
    let mut answer = message("2001:db8::1")?;
    answer[4] |= 0x40; // solicited
    let (routed, announcement) = (message("2001:db8::2")?, message("2001:db8::3")?);
    for (hops, message) in [(255, answer), (254, routed), (255, announcement)] {
        sender.set_multicast_hops_v6(hops)?;
        let index = one.run_inside(|| index_of("eth0"))??;
        sender.send_to(&message, &SocketAddrV6::new(ndp::ALL_NODES, 0, 0, index).into())?;
    }
    assert_eq!(listener.receive()?.0, heard_of("2001:db8::3", MacAddr([2, 0, 0, 0, 0, 9])));
    Ok(())
}

/// What is heard of the announcement of an address.
fn heard_of(address: &str, mac: MacAddr) -> Received {
    let (address, mac, saying) = (ip(address), Some(mac), Saying::Announced);
    Received::Neighbour(Neighbour { address, mac, saying })
}

/// Announces addresses, as a node does that has just been started on the host.
fn announce(
    host: &Host,
    interface: &str,
    mac: Option<MacAddr>,
    addresses: &[&str],
    burst: u8,
) -> Result {
    let addresses: Vec<_> = addresses.iter().map(|address| ip(address)).collect();
    let announce = || -> io::Result<()> {
        let mut announcer = NeighbourAnnouncer::open()?;
        announcer.prepare(interface)?;
        announcer.announce(interface, mac, &addresses, burst)
    };
    Ok(host.run_inside(announce)??)
}

/// What a frame announces. A virtual link-layer address is its source too: switches learn it there.
fn announced(frame: &[u8]) -> Option<ndp::Announcement> {
    let (header, packet) = frame.split_at_checked(ethernet::HEADER_LEN)?;
    let Ok(ndp::Message::Announcement(said)) = ndp::parse(packet) else { return None };
    assert_eq!(header[6..12], said.mac.0);
    Some(said)
}

/// The `ICMPv6` message that announces an address.
fn message(address: &str) -> Result<Vec<u8>> {
    let mut frame = Vec::new();
    let (mac, address) = (MacAddr([2, 0, 0, 0, 0, 9]), address.parse()?);
    let said = ndp::Announcement { mac, address, router: false, overrides: true };
    ndp::emit_frame(said, &mut frame);
    Ok(frame.split_off(ethernet::HEADER_LEN + IPV6_HEADER_LEN))
}
