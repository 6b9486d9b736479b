//! The renewal alone.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use carp_benches::Result;
use carp_benches::stats::{Spread, millis};
use carp_node::addresses::{AddressKeeper, Lease, Place, Presence, Record};
use carp_node::backend::linux::{NeighbourAnnouncer, NetlinkAddresses};
use carp_node::lab::Host;
use carp_proto::VirtualAddress;

/// Takes the addresses and renews them so many times; what a renewal takes, in milliseconds.
pub(crate) fn time(host: &Host, ips: &[IpAddr], rounds: usize) -> Result<Spread> {
    let timed = host.run_inside(|| renew(ips, rounds).map_err(|error| error.to_string()))?;
    Ok(Spread::of(timed?.into_iter().map(millis)).ok_or("no rounds")?)
}

fn renew(ips: &[IpAddr], rounds: usize) -> Result<Vec<Duration>> {
    let (table, announcer) = (NetlinkAddresses::open()?, NeighbourAnnouncer::open()?);
    let mut keeper = AddressKeeper::new(table, announcer, Record::in_memory());
    let lease = Some(Lease::new(Duration::from_secs(60))?);
    let place = Place { lease, ..Place::on("eth0") };
    let addresses = ips.iter().map(|ip| VirtualAddress::new(*ip, None));
    let addresses = addresses.collect::<std::result::Result<Vec<_>, _>>()?;
    keeper.acquire(&place, &addresses, Presence::Unknown, 1)?;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        std::thread::sleep(Duration::from_millis(20));
        let begin = Instant::now();
        let renewed = keeper.renew(&place, &addresses)?;
        times.push(begin.elapsed());
        if renewed.missing || renewed.unleased.is_some() {
            return Err(format!("{renewed:?}").into());
        }
    }
    Ok(times)
}
