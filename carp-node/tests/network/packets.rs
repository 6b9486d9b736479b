//! Adverts between two hosts.

use std::net::IpAddr;

use carp_node::backend::Received;
use carp_node::lab::{Lab, wait_until};
use carp_proto::wire::ip::{GROUP_IPV4, GROUP_IPV6, TOS_LOW_DELAY, find_message, strip_ipv4};
use carp_proto::{MacAddr, RxMeta};

use crate::support::{
    BOTH, IPV4, IPV6, LIMIT, ONE, ONE_IPV6, ONE_LOCAL, Result, Station, TWO, TWO_IPV6, TWO_LOCAL,
    Test, id, ip, pair, run,
};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("adverts_arrive_as_they_were_sent", adverts_arrive_as_they_were_sent),
    ("a_frame_from_a_virtual_address_is_an_advert_too", virtual_source),
    ("an_advert_with_another_id_does_not_arrive", an_advert_with_another_id_does_not_arrive),
    ("what_is_not_open_is_not_sent", what_is_not_open_is_not_sent),
    ("two_interfaces_do_not_hear_for_each_other", two_interfaces_do_not_hear_for_each_other),
];

/// Something that looks like a message of the router 1. Its checksum is wrong, which is the router's
/// business, not the backend's.
const MESSAGE: &[u8] = b"\x31\x01\xfe\x01\x00\x64\xaa\xbb message";

/// Groups and peers, as the first host reaches them: from where, to where.
const WAYS: [(&str, &str); 5] = [
    (ONE, "224.0.0.18"),
    (ONE, TWO),
    (ONE_LOCAL, "ff02::12"),
    (ONE_LOCAL, TWO_LOCAL),
    (ONE_IPV6, TWO_IPV6),
];

fn adverts_arrive_as_they_were_sent(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let (mut sender, mut receiver) =
        (Station::open(&one, "eth0", BOTH)?, Station::open(&two, "eth0", BOTH)?);
    for (source, destination) in WAYS {
        sender.send(source, ip(destination), MESSAGE)?;
        assert_eq!(received(&mut receiver)?, (meta(source, destination), MESSAGE.to_vec()));
    }
    Ok(())
}

fn virtual_source(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let (mut sender, mut receiver) =
        (Station::open(&one, "eth0", BOTH)?, Station::open(&two, "eth0", BOTH)?);
    let tap = one.tap()?;
    let mac = MacAddr::virtual_router(id(1));
    for (source, destination) in [WAYS[0], WAYS[2]] {
        sender.send_as(Some(mac), source, ip(destination), MESSAGE)?;
        assert_eq!(received(&mut receiver)?, (meta(source, destination), MESSAGE.to_vec()));
    }
    // A peer is reached from where it answers to.
    sender.send_as(Some(mac), ONE, ip(TWO), MESSAGE)?;
    assert_eq!(received(&mut receiver)?.0, meta(ONE, TWO));
    sender.send(ONE_LOCAL, GROUP_IPV6.into(), MESSAGE)?;
    assert_eq!(received(&mut receiver)?.0, meta(ONE_LOCAL, "ff02::12"));

    let mut adverts = Vec::new();
    wait_until(LIMIT, "the frames", || {
        adverts = tap.frames();
        adverts.retain(|frame| frame.bytes.ends_with(MESSAGE));
        adverts.len() >= 4
    })?;
    let macs: Vec<_> = adverts.iter().map(|frame| &frame.bytes[6..12]).collect();
    assert_eq!(macs, [&mac.0, &mac.0, &one.mac().0, &one.mac().0]);
    for frame in adverts {
        let carried = find_message(&frame.bytes[14..], false).ok_or("no message")?;
        assert_eq!((carried.traffic_class, carried.problem), (TOS_LOW_DELAY, None));
    }
    Ok(())
}

fn an_advert_with_another_id_does_not_arrive(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let (mut sender, mut receiver) =
        (Station::open(&one, "eth0", BOTH)?, Station::open(&two, "eth0", BOTH)?);
    for (source, destination) in WAYS {
        for id in [3, 0, 255, 2] {
            sender.send(source, ip(destination), &[0x31, id, 0xfe, 0])?;
        }
        assert_eq!(received(&mut receiver)?, (meta(source, destination), vec![0x31, 2, 0xfe, 0]));
    }
    Ok(())
}

fn what_is_not_open_is_not_sent(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut ipv4 = Station::open(&one, "eth0", IPV4)?;
    let error = ipv4.send(ONE_LOCAL, GROUP_IPV6.into(), MESSAGE).unwrap_err().to_string();
    assert!(error.contains("ff02::12"), "{error}");
    let mut ipv6 = Station::open(&one, "eth0", IPV6)?;
    let error = ipv6.send(ONE, GROUP_IPV4.into(), MESSAGE).unwrap_err().to_string();
    assert!(error.contains("224.0.0.18"), "{error}");
    let error = ipv6.send(ONE, GROUP_IPV6.into(), MESSAGE).unwrap_err().to_string();
    assert!(error.contains("cannot be reached from 192.168.130.50"), "{error}");
    Ok(())
}

fn two_interfaces_do_not_hear_for_each_other(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    run(
        &one,
        "ip link add left type veth peer name right && \
         for end in left right; do ip link set $end addrgenmode none up; done && \
         ip address add fe80::1/64 dev left nodad && ip address add 192.0.2.1/24 dev left",
    )?;
    wait_until(LIMIT, "both ends", || {
        ["left", "right"].iter().all(|end| {
            run(&one, &format!("ip link show {end}")).is_ok_and(|it| it.contains("state UP"))
        })
    })?;
    let (mut left, mut right, mut eth0) = (
        Station::open(&one, "left", BOTH)?,
        Station::open(&one, "right", BOTH)?,
        Station::open(&one, "eth0", BOTH)?,
    );
    let mut other = Station::open(&two, "eth0", BOTH)?;
    for (near, far, group) in [("192.0.2.1", TWO, "224.0.0.18"), ("fe80::1", TWO_LOCAL, "ff02::12")]
    {
        left.send(near, ip(group), MESSAGE)?;
        other.send(far, ip(group), MESSAGE)?;
        // What came first is not for them, and nobody hears itself.
        assert_eq!(received(&mut eth0)?.0, meta(far, group));
        if group == "ff02::12" {
            // In IPv4 the kernel takes a packet from one of its own addresses for a mistake.
            assert_eq!(received(&mut right)?.0, meta(near, group));
        }
    }
    Ok(())
}

/// What arrives next, without its headers.
fn received(station: &mut Station) -> Result<(RxMeta, Vec<u8>)> {
    match station.receive()? {
        (Received::Ipv4 { ttl, .. }, packet) => {
            let (meta, payload) = strip_ipv4(&packet)?;
            assert_eq!(ttl, Some(meta.ttl));
            Ok((meta, payload.to_vec()))
        }
        (Received::Ipv6 { meta, .. }, payload) => Ok((meta, payload)),
        (other @ (Received::Neighbour(_) | Received::Useless), _) => {
            Err(format!("{other:?}").into())
        }
    }
}

fn meta(source: &str, destination: &str) -> RxMeta {
    let parse = |text: &str| text.parse::<IpAddr>().unwrap();
    RxMeta { source: parse(source), destination: parse(destination), ttl: 255 }
}
