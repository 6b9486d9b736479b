//! Addresses that are added, listed and watched.

use std::future::poll_fn;
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};

use carp_node::addresses::MARK;
use carp_node::backend::linux::{Linux, NetlinkAddresses, NetlinkWatch};
use carp_node::backend::{
    AddressTable, Backend as _, InstalledAddress, LinkChange, LinkWatch, NewAddress,
};
use carp_node::lab::{Host, Lab, wait_until};
use carp_proto::VirtualAddress;
use tokio::runtime::Builder;
use tokio::time::timeout;

use crate::support::{LIMIT, ONE, ONE_IPV6, Result, TWO_IPV6, Test, ask, ip, pair, run};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("an_address_can_be_used_as_soon_as_it_is_added", used_as_soon_as_it_is_added),
    ("no_connection_leaves_from_a_virtual_address", no_connection_leaves_from_one),
    ("adding_is_exclusive_and_removing_tells_what_is_gone", adding_is_exclusive),
    ("of_a_thousand_addresses_every_answer_comes", every_answer_comes),
    ("a_removal_names_who_asked_for_it", a_removal_names_who_asked),
    ("a_duplicate_is_tentative_for_ever", a_duplicate_is_tentative_for_ever),
    ("addresses_of_both_families_are_watched", addresses_of_both_families_are_watched),
];

const VIRTUAL: [&str; 3] = ["192.168.130.100", "2001:db8::100", "fe80::100"];

fn used_as_soon_as_it_is_added(lab: &Lab) -> Result {
    let (_switch, one, two) = pair(lab)?;
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    for result in table.add("eth0", &VIRTUAL.map(new))? {
        result?;
    }
    // An address that the kernel still looks for duplicates of cannot be bound.
    for address in &VIRTUAL[..2] {
        one.run_inside(|| UdpSocket::bind((ip(address), 0)))??;
    }
    for address in VIRTUAL {
        let found = find(&mut table, address)?.ok_or("not there")?;
        let prefix_len = if found.ip.is_ipv4() { 32 } else { 128 };
        let label = found.ip.is_ipv4().then(|| "eth0".to_owned());
        assert_eq!((found.prefix_len, found.protocol), (prefix_len, Some(MARK)));
        assert_eq!((found.label, found.secondary, found.tentative), (label, false, false));
    }
    for address in &VIRTUAL[..2] {
        let _echo = one.serve_echo(ip(address))?;
        assert_eq!(two.run_inside(|| ask(address))??, b"question one");
    }
    Ok(())
}

fn no_connection_leaves_from_one(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    // Of all addresses these are the nearest to the second host's.
    for result in table.add("eth0", &["192.168.130.11", "2001:db8::11"].map(new))? {
        result?;
    }
    for (to, from) in [("192.168.130.10", ONE), (TWO_IPV6, ONE_IPV6)] {
        let connect = || -> std::io::Result<SocketAddr> {
            let any = if ip(to).is_ipv4() { "0.0.0.0" } else { "::" };
            let socket = UdpSocket::bind((ip(any), 0))?;
            socket.connect((ip(to), 7))?;
            socket.local_addr()
        };
        assert_eq!(one.run_inside(connect)??.ip(), ip(from));
    }
    Ok(())
}

fn every_answer_comes(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    let text = |number: u16| format!("10.9.{}.{}", number / 256, number % 256);
    let all: Vec<NewAddress> = (0..1000).map(|number| new(&text(number))).collect();
    assert!(table.add("eth0", &all)?.iter().all(std::io::Result::is_ok));
    // A refusal repeats the request, and is longer.
    let again = table.add("eth0", &all)?;
    let exists = |result: &std::io::Result<()>| {
        result.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists)
    };
    assert!(again.len() == 1000 && again.iter().all(exists));
    let ours: Vec<VirtualAddress> = all.iter().map(|new| new.address).collect();
    assert!(table.remove("eth0", &ours)?.iter().all(std::io::Result::is_ok));
    Ok(())
}

fn a_removal_names_who_asked(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    let mut removals = one.run_inside(|| Linux.removals())??;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut next = || {
        let removal = poll_fn(|cx| removals.poll_removal(cx));
        runtime.block_on(async { timeout(LIMIT, removal).await })
    };
    for result in table.add("eth0", &VIRTUAL.map(new))? {
        result?;
    }
    // In IPv6 the kernel does not say who it was.
    for result in table.remove("eth0", &VIRTUAL.map(|text| new(text).address))? {
        result?;
    }
    let own = next()?;
    assert_eq!((own.ip, own.prefix_len), (ip(VIRTUAL[0]), 32));
    assert_eq!(Some(own.by.port), table.port());
    for result in table.add("eth0", &[new(VIRTUAL[0])])? {
        result?;
    }
    run(&one, &format!("ip address del {}/32 dev eth0", VIRTUAL[0]))?;
    let other = next()?;
    assert_eq!(other.ip, own.ip);
    assert!(other.by.port != 0 && other.by.port != own.by.port, "{other:?}");
    Ok(())
}

fn adding_is_exclusive(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    let kinds = |results: Vec<std::io::Result<()>>| {
        results.into_iter().map(|it| it.err().map(|error| error.kind())).collect::<Vec<_>>()
    };
    let all = VIRTUAL.map(|text| new(text).address);
    assert_eq!(kinds(table.add("eth0", &VIRTUAL.map(new))?), [None; 3]);
    assert_eq!(kinds(table.add("eth0", &VIRTUAL.map(new))?), [Some(ErrorKind::AlreadyExists); 3]);
    assert_eq!(kinds(table.remove("eth0", &all)?), [None; 3]);
    assert_eq!(kinds(table.remove("eth0", &all)?), [Some(ErrorKind::AddrNotAvailable); 3]);
    assert_eq!(table.list("eth9").unwrap_err().kind(), ErrorKind::NotFound);
    Ok(())
}

fn a_duplicate_is_tentative_for_ever(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    run(&one, &format!("ip address add {TWO_IPV6}/64 dev eth0"))?;
    wait_until(LIMIT, "the duplicate to be found", || {
        run(&one, "ip -6 address show dev eth0").is_ok_and(|said| said.contains("dadfailed"))
    })?;
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    assert!(find(&mut table, TWO_IPV6)?.ok_or("not there")?.tentative);
    assert!(!find(&mut table, ONE_IPV6)?.ok_or("not there")?.tentative);
    Ok(())
}

fn addresses_of_both_families_are_watched(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let mut watch = one.run_inside(|| NetlinkWatch::start(&["eth0".to_owned()]))??;
    let mut until = |ip: &str, there: bool| {
        let seen = async {
            loop {
                let LinkChange { name, interface, .. } = poll_fn(|cx| watch.poll_change(cx)).await;
                assert_eq!(name, "eth0");
                let addresses = interface.map(|it| it.addresses).unwrap_or_default();
                if addresses.iter().any(|found| found.ip == crate::support::ip(ip)) == there {
                    return;
                }
            }
        };
        runtime.block_on(async { timeout(LIMIT, seen).await })
    };
    until(ONE_IPV6, true)?;
    for address in VIRTUAL {
        add(&one, address)?;
        until(address, true)?;
        let mut table = one.run_inside(NetlinkAddresses::open)??;
        for result in table.remove("eth0", &[new(address).address])? {
            result?;
        }
        until(address, false)?;
    }
    Ok(())
}

fn add(host: &Host, address: &str) -> Result {
    let mut table = host.run_inside(NetlinkAddresses::open)??;
    for result in table.add("eth0", &[new(address)])? {
        result?;
    }
    Ok(())
}

/// An address as a keeper adds it.
fn new(address: &str) -> NewAddress {
    let address = VirtualAddress::new(ip(address), None).unwrap();
    NewAddress { address, protocol: Some(MARK), label: None, lifetime: None }
}

fn find(table: &mut NetlinkAddresses, address: &str) -> Result<Option<InstalledAddress>> {
    Ok(table.list("eth0")?.into_iter().find(|found| found.ip == ip(address)))
}
