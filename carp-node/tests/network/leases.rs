//! Addresses that the kernel drops by itself.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use carp_node::addresses::lease::Renewal;
use carp_node::addresses::{AddressKeeper, Lease, MARK, Place, Presence, Record};
use carp_node::backend::linux::{Linux, NeighbourAnnouncer, NetlinkAddresses, NetlinkWatch};
use carp_node::backend::{AddressTable, Backend, NewAddress};
use carp_node::lab::{AddressWatch, Host, Lab, wait_until};
use carp_proto::{MacAddr, VirtualAddress};

use crate::support::{LIMIT, Result, Test, id, ip, pair, run};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("a_lease_that_nobody_renews_ends_within_a_second_more", ends_in_time),
    ("a_renewed_address_is_never_interrupted", never_interrupted),
    ("a_foreign_address_gets_no_lifetime", foreign),
    ("a_renewal_does_not_add_what_is_missing", missing),
    ("what_took_the_place_of_an_address_or_its_interface_is_not_renewed", replaced),
    ("an_unmarked_address_changes_with_its_renewal_and_a_marked_one_does_not", editions),
    ("a_renewal_wakes_nobody_who_watches", wakes_nobody),
    ("addresses_on_loopback_and_on_a_device_are_leased", elsewhere),
    ("wide_prefixes_leave_the_subnet_s_route_and_secondaries_alone", wide),
];

const BOTH: [&str; 3] = ["192.168.130.100", "2001:db8::100", "fe80::100"];

/// What a busy machine may add before the watch is told.
const MARGIN: Duration = Duration::from_secs(1);

type Keeper = AddressKeeper<NetlinkAddresses, NeighbourAnnouncer>;

fn keeper(host: &Host) -> Result<Keeper> {
    let open = || -> std::io::Result<Keeper> {
        let (table, announcer) = (NetlinkAddresses::open()?, NeighbourAnnouncer::open()?);
        Ok(AddressKeeper::new(table, announcer, Record::in_memory()))
    };
    Ok(host.run_inside(open)??)
}

/// Takes addresses on a host, whatever was there.
fn acquire(host: &Host, keeper: &mut Keeper, place: &Place, texts: &[&str]) -> Result {
    let addresses = addresses(texts);
    Ok(host.run_inside(|| keeper.acquire(place, &addresses, Presence::Unknown, 1))??)
}

fn on(interface: &str, seconds: u64) -> Place {
    Place { lease: Lease::new(Duration::from_secs(seconds)).ok(), ..Place::on(interface) }
}

fn addresses(texts: &[&str]) -> Vec<VirtualAddress> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// When each of these addresses left a host, after it was there at `since`.
fn ends(watch: &AddressWatch, ips: &[IpAddr], since: Instant) -> Result<Vec<Duration>> {
    let left = |ip: &IpAddr| watch.left(*ip, since);
    wait_until(LIMIT, "the addresses expire", || ips.iter().all(|ip| left(ip).is_some()))?;
    Ok(ips.iter().filter_map(left).map(|at| at.saturating_duration_since(since)).collect())
}

fn ends_in_time(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let watch = one.watch_addresses()?;
    let mut keeper = keeper(&one)?;
    for seconds in [1, 2, 3] {
        let place = on("eth0", seconds);
        let lease = place.lease.unwrap();
        let before = Instant::now();
        acquire(&one, &mut keeper, &place, &BOTH)?;
        let after = Instant::now();
        let ips = BOTH.map(ip);
        for (ip, end) in ips.iter().zip(ends(&watch, &ips, before)?) {
            println!("{ip}: a lease of {seconds} s ended after {end:?}");
            assert!(end >= lease.earliest(), "{ip} was gone after {end:?}");
            let limit = lease.longest() + (after - before) + MARGIN;
            assert!(end <= limit, "{ip} was gone after {end:?} only");
        }
    }
    Ok(())
}

fn never_interrupted(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let watch = one.watch_addresses()?;
    let (mut keeper, place) = (keeper(&one)?, on("eth0", 3));
    let since = Instant::now();
    acquire(&one, &mut keeper, &place, &BOTH)?;
    while since.elapsed() < Duration::from_secs(8) {
        thread::sleep(Duration::from_millis(300));
        assert_eq!(keeper.renew(&place, &addresses(&BOTH))?, Renewal::default());
    }
    for address in BOTH.map(ip) {
        assert_eq!(watch.left(address, since), None, "{address}");
    }
    // And it had been renewed all the time: now it ends.
    ends(&watch, &BOTH.map(ip), since)?;
    Ok(())
}

fn foreign(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut keeper = keeper(&one)?;
    for (address, len) in [("192.168.130.100", 32), ("2001:db8::100", 128)] {
        run(&one, &format!("ip address add {address}/{len} dev eth0"))?;
    }
    let ours = addresses(&BOTH[..2]);
    acquire(&one, &mut keeper, &on("eth0", 1), &BOTH[..2])?;
    assert_eq!(keeper.renew(&on("eth0", 1), &ours)?, Renewal::default());
    let said = run(&one, "ip address show dev eth0")?;
    assert!(!said.contains("dynamic"), "{said}");
    Ok(())
}

fn missing(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut keeper = keeper(&one)?;
    let ours = addresses(&BOTH[..2]);
    for (address, renewals) in ours.iter().flat_map(|address| [(address, 0), (address, 2)]) {
        acquire(&one, &mut keeper, &on("eth0", 60), &BOTH[..2])?;
        for _ in 0..renewals {
            assert_eq!(keeper.renew(&on("eth0", 60), &ours)?, Renewal::default());
        }
        run(&one, &format!("ip address del {address} dev eth0"))?;
        assert!(keeper.renew(&on("eth0", 60), &ours)?.missing);
        assert!(!one.has_address(address.ip())?, "{address}");
    }
    Ok(())
}

fn replaced(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let (mut keeper, place, ours) = (keeper(&one)?, on("eth0", 60), addresses(&BOTH[..2]));
    acquire(&one, &mut keeper, &place, &BOTH[..2])?;
    for _ in 0..3 {
        assert_eq!(keeper.renew(&place, &ours)?, Renewal::default());
    }
    for address in &ours {
        run(&one, &format!("ip address del {address} dev eth0"))?;
        run(&one, &format!("ip address add {address} dev eth0"))?;
    }
    assert_eq!(keeper.renew(&place, &ours)?, Renewal::default());
    let said = run(&one, "ip address show dev eth0")?;
    assert!(!said.contains("dynamic"), "{said}");
    for address in &ours {
        run(&one, &format!("ip address del {address} dev eth0"))?;
    }
    acquire(&one, &mut keeper, &place, &BOTH[..2])?;
    for _ in 0..3 {
        assert_eq!(keeper.renew(&place, &ours)?, Renewal::default());
    }
    run(&one, "ip link set eth0 down && ip link set eth0 name old")?;
    run(&one, "ip link add eth0 type veth peer name eth9 && ip link set eth0 up")?;
    assert!(keeper.renew(&place, &ours)?.missing);
    let said = run(&one, "ip address show dev eth0")?;
    assert!(!ours.iter().any(|address| said.contains(&address.ip().to_string())), "{said}");
    Ok(())
}

/// A kernel before 5.18 says of no address that it is ours, as this one does of those without a mark.
fn editions(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut table = one.run_inside(NetlinkAddresses::open)??;
    for (protocol, stays) in [(None, false), (Some(MARK), true)] {
        let new: Vec<_> = addresses(&BOTH)
            .into_iter()
            .map(|address| NewAddress {
                address,
                protocol,
                label: None,
                lifetime: Lease::new(Duration::from_secs(60)).ok(),
            })
            .collect();
        for added in table.add("eth0", &new)? {
            added?;
        }
        // The kernel tells of an address of IPv6 once more when it can be used.
        let mut last = table.changes("eth0")?;
        wait_until(LIMIT, "a renewal that is told, or not", || {
            thread::sleep(Duration::from_millis(20));
            let renewed = table.renew("eth0", &new).unwrap();
            assert!(renewed.iter().all(std::result::Result::is_ok), "{renewed:?}");
            let before = std::mem::replace(&mut last, table.changes("eth0").unwrap());
            (before == last) == stays
        })?;
        table.remove("eth0", &addresses(&BOTH))?;
        let changes = table.changes("eth0")?;
        assert_ne!(changes.edition, last.edition);
        assert_eq!(changes.removed, BOTH.map(ip));
    }
    Ok(())
}

fn wakes_nobody(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let told = one.watch_addresses()?;
    let (mut keeper, place, ours) = (keeper(&one)?, on("eth0", 60), addresses(&BOTH));
    let watching = || -> std::io::Result<_> {
        Ok((NetlinkWatch::start(&["eth0".to_owned()])?, Linux.removals()?))
    };
    let _watching = one.run_inside(watching)??;
    let mut watchers = Vec::new();
    // A thread gives itself its name.
    wait_until(LIMIT, "both watchers", || {
        let found = one.run_inside(|| threads(&["carp-watch", "carp-removals"]));
        watchers = found.unwrap().unwrap();
        watchers.len() == 2
    })?;
    acquire(&one, &mut keeper, &place, &BOTH)?;
    // They wake for the addresses, and now and then to look anyway.
    wait_until(LIMIT, "renewals that nobody wakes for", || {
        let (since, before) = (Instant::now(), slept(&watchers));
        for _ in 0..5 {
            thread::sleep(Duration::from_millis(20));
            assert_eq!(keeper.renew(&place, &ours).unwrap(), Renewal::default());
        }
        let all_told = || BOTH.iter().all(|it| told.renewals(ip(it), since..Instant::now()) >= 5);
        wait_until(LIMIT, "the kernel tells them", all_told).unwrap();
        slept(&watchers) == before
    })?;
    Ok(())
}

/// The threads of this process that are called so and live in the network namespace of the calling one.
fn threads(names: &[&str]) -> std::io::Result<Vec<PathBuf>> {
    let here = fs::read_link("/proc/thread-self/ns/net")?;
    let mut found = Vec::new();
    for thread in fs::read_dir("/proc/self/task")? {
        let path = thread?.path();
        // Those of other tests may have ended.
        let name = fs::read_to_string(path.join("comm")).unwrap_or_default();
        let is_here = fs::read_link(path.join("ns/net")).is_ok_and(|there| there == here);
        if is_here && names.contains(&name.trim_end()) {
            found.push(path);
        }
    }
    Ok(found)
}

/// How often threads have gone to sleep, taken together.
fn slept(threads: &[PathBuf]) -> u64 {
    let slept = |thread: &PathBuf| -> u64 {
        let status = fs::read_to_string(thread.join("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse().unwrap()
    };
    threads.iter().map(slept).sum()
}

fn elsewhere(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut keeper = keeper(&one)?;
    let watch = one.watch_addresses()?;
    run(&one, "ip link set lo up")?;
    let device = Place::virtual_on("eth0", MacAddr::virtual_router(id(1)));
    let device = Place { lease: on("eth0", 2).lease, ..device };
    one.run_inside(|| keeper.prepare(&device))??;
    for place in [on("lo", 2), device] {
        let since = Instant::now();
        acquire(&one, &mut keeper, &place, &BOTH)?;
        while since.elapsed() < Duration::from_secs(4) {
            thread::sleep(Duration::from_millis(200));
            assert_eq!(keeper.renew(&place, &addresses(&BOTH))?, Renewal::default());
        }
        let last = Instant::now();
        for end in ends(&watch, &BOTH.map(ip), since)? {
            assert!(end > last - since, "it ended after {end:?}, while it was renewed");
        }
        one.run_inside(|| keeper.release(&place, &addresses(&BOTH)))??;
    }
    Ok(())
}

/// The host's own addresses of the subnets stay, and so do their routes.
fn wide(lab: &Lab) -> Result {
    let (_switch, one, _two) = pair(lab)?;
    let mut keeper = keeper(&one)?;
    let watch = one.watch_addresses()?;
    let routes = || -> Result<String> {
        let (four, six) = ("ip -4 route show proto kernel", "ip -6 route show proto kernel");
        Ok(run(&one, four)? + &run(&one, six)?)
    };
    let own = run(&one, "ip -brief address show dev eth0")?;
    let before = routes()?;
    assert!(before.contains("2001:db8::/64") && !before.contains("expires"), "{before}");
    let wide = ["192.168.130.100/24", "2001:db8::100/64"];
    let ours = addresses(&wide);
    let since = Instant::now();
    acquire(&one, &mut keeper, &on("eth0", 1), &wide)?;
    keeper.renew(&on("eth0", 1), &ours)?;
    assert_eq!(routes()?, before);
    let ips: Vec<_> = ours.iter().map(|address| address.ip()).collect();
    ends(&watch, &ips, since)?;
    assert_eq!(routes()?, before);
    assert_eq!(run(&one, "ip -brief address show dev eth0")?, own);
    Ok(())
}
