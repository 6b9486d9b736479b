//! More than can be handled.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use carp_node::backend::{Families, Received, Wanted};
use carp_node::lab::{Host, Lab, mac};
use carp_proto::wire::ethernet;
use carp_proto::wire::ip::{emit_ipv4, emit_ipv6_advert};
use carp_proto::{MacAddr, Protocol};

use crate::support::{IPV4, IPV6, LIMIT, ONE, ONE_LOCAL, Result, Station, Test, id, ip, pair};

pub(crate) const TESTS: &[(&str, Test)] = &[(
    "after_an_overflow_only_what_may_be_valid_arrives_for_a_while",
    bad_packets_are_thinned_out,
)];

/// More than a queue has room for.
const MANY: usize = 10_000;

/// For how long bad packets are thinned out, as the backend has it.
const THIN: Duration = Duration::from_secs(10);

/// What the first of two routers may accept, a CARP router that hears everybody, and what the second may, a
/// VRRP router that hears the first host.
const CARP: &[u8] = b"\x21\x01carp";
const VRRP: &[u8] = b"\x31\x02vrrp";

/// By version or type, for none of the two.
const BAD: [&[u8]; 4] = [b"\x31\x01carp", b"\x22\x01carp", b"\x21\x02vrrp", b"\x11\x02vrrp"];

/// A family: the first host, a host that the second router does not hear, and the group.
struct Way {
    families: Families,
    source: &'static str,
    stranger: &'static str,
    group: &'static str,
}

const WAYS: [Way; 2] = [
    Way { families: IPV4, source: ONE, stranger: "192.168.130.66", group: "224.0.0.18" },
    Way { families: IPV6, source: ONE_LOCAL, stranger: "fe80::66", group: "ff02::12" },
];

fn bad_packets_are_thinned_out(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let mut ends = Vec::new();
    for way in WAYS {
        let mut sender = Station::open(&one, "eth0", way.families)?;
        let mut receiver = Station::open_for(&two, "eth0", way.families, &wanted(), vec![])?;
        overflow(&way, &mut sender, &mut receiver)?;
        only_good_ones_arrive(&way, &one, &mut receiver)?;
        ends.push((way, sender, receiver));
    }
    for (way, mut sender, mut receiver) in ends {
        all_arrive_again(&way, &mut sender, &mut receiver)?;
    }
    Ok(())
}

fn wanted() -> [Wanted; 2] {
    let sources = ["192.168.130.77", ONE, "fe80::77", ONE_LOCAL].map(ip).into();
    let of = |number, protocol, sources| Wanted { id: id(number), protocol, min_ttl: 255, sources };
    [of(1, Protocol::Carp, Vec::new()), of(2, Protocol::Vrrp3, sources)]
}

/// Sends more than there is room for, and has the receiver take what is left: until then it hears all.
fn overflow(way: &Way, sender: &mut Station, receiver: &mut Station) -> Result {
    for bad in BAD {
        sender.send(way.source, ip(way.group), bad)?;
        assert_eq!(message(receiver)?, bad);
    }
    for _ in 0..MANY {
        sender.send(way.source, ip(way.group), BAD[0])?;
    }
    assert!(receiver.kernel_dropped() > 0, "there was room for everything");
    while message(receiver)? == BAD[0] {
        sender.send(way.source, ip(way.group), CARP)?;
    }
    Ok(())
}

/// A burst of everything, of which one in each round is good.
fn only_good_ones_arrive(way: &Way, host: &Host, receiver: &mut Station) -> Result {
    let begin = Instant::now();
    let from = |source: &str, ttl, message: &[u8]| frame(ip(source), ip(way.group), ttl, message);
    let mut frames: Vec<_> = BAD.iter().map(|bad| from(way.source, 255, bad)).collect();
    frames.push(from(way.source, 254, CARP));
    frames.push(from(way.stranger, 255, VRRP));
    frames.push(from(way.stranger, 255, &[CARP, b" of a stranger"].concat()));
    frames.push(from(way.source, 255, VRRP));
    host.flood(frames, 1000, Duration::from_millis(100))?.wait()?;
    let mut heard = Vec::new();
    while heard.iter().filter(|heard| *heard == VRRP).count() < 3 {
        heard.push(message(receiver)?);
    }
    let strange = [CARP, b" of a stranger"].concat();
    assert!(heard.contains(&strange));
    let good = |heard: &Vec<u8>| *heard == CARP || *heard == VRRP || *heard == strange;
    // On a machine that stands still for that long, all of it may arrive again.
    assert!(heard.iter().all(good) || begin.elapsed() > THIN / 2, "{heard:02x?}");
    Ok(())
}

fn all_arrive_again(way: &Way, sender: &mut Station, receiver: &mut Station) -> Result {
    let end = Instant::now() + LIMIT;
    loop {
        sender.send(way.source, ip(way.group), BAD[0])?;
        sender.send(way.source, ip(way.group), VRRP)?;
        let mut heard = vec![message(receiver)?];
        while heard.last().is_some_and(|last| last != VRRP) {
            heard.push(message(receiver)?);
        }
        if heard.iter().any(|heard| heard == BAD[0]) {
            return Ok(());
        }
        if Instant::now() > end {
            return Err("bad packets are never heard of again".into());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What arrives next, without its headers.
fn message(receiver: &mut Station) -> Result<Vec<u8>> {
    match receiver.receive()? {
        (Received::Ipv4 { .. }, packet) => Ok(packet[20..].to_vec()),
        (Received::Ipv6 { .. }, message) => Ok(message),
        (other @ (Received::Neighbour(_) | Received::Useless), _) => {
            Err(format!("{other:?}").into())
        }
    }
}

/// A frame to a group, with this TTL or hop limit.
fn frame(source: IpAddr, group: IpAddr, ttl: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    match (source, group) {
        (IpAddr::V4(source), IpAddr::V4(group)) => {
            let to = MacAddr::ADVERTISEMENT_IPV4;
            ethernet::emit(&mut frame, to, mac(0x66), ethernet::TYPE_IPV4);
            emit_ipv4(source, group, message.len(), &mut frame);
            // A TTL that is less by one, and a checksum that is more by as much (RFC 1624).
            let sum = u16::from_be_bytes([frame[24], frame[25]]);
            let less = u16::from(255 - ttl) << 8;
            let (sum, carry) = sum.overflowing_add(less);
            frame[24..26].copy_from_slice(&(sum + u16::from(carry)).to_be_bytes());
            frame[22] = ttl;
        }
        (IpAddr::V6(source), IpAddr::V6(group)) => {
            let to = MacAddr::ADVERTISEMENT_IPV6;
            ethernet::emit(&mut frame, to, mac(0x66), ethernet::TYPE_IPV6);
            emit_ipv6_advert(source, group, message.len(), &mut frame);
            frame[21] = ttl;
        }
        (source, group) => panic!("no header is from {source} to {group}"),
    }
    frame.extend_from_slice(message);
    frame
}
