//! Addresses that the kernel drops by itself.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use carp_node::addresses::lease::Renewal;
use carp_node::addresses::{AddressKeeper, Lease, Place, Presence, Record};
use carp_node::backend::linux::{NeighbourAnnouncer, NetlinkAddresses};
use carp_node::lab::{AddressWatch, Host, Lab, wait_until};
use carp_proto::{MacAddr, VirtualAddress};

use crate::support::{LIMIT, Result, Test, id, ip, pair, run};

pub(crate) const TESTS: &[(&str, Test)] = &[
    ("a_lease_that_nobody_renews_ends_within_a_second_more", ends_in_time),
    ("a_renewed_address_is_never_interrupted", never_interrupted),
    ("a_foreign_address_gets_no_lifetime", foreign),
    ("a_renewal_does_not_add_what_is_missing", missing),
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
    for address in &ours {
        acquire(&one, &mut keeper, &on("eth0", 60), &BOTH[..2])?;
        run(&one, &format!("ip address del {address} dev eth0"))?;
        assert!(keeper.renew(&on("eth0", 60), &ours)?.missing);
        assert!(!one.has_address(address.ip())?, "{address}");
    }
    Ok(())
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
