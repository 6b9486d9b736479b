//! The renewal alone.

use std::fs;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use carp_node::addresses::{AddressKeeper, Lease, Place, Presence, Record};
use carp_node::backend::linux::{NeighbourAnnouncer, NetlinkAddresses};
use carp_node::lab::Host;
use carp_proto::VirtualAddress;

use crate::Result;
use crate::stats::{Spread, millis};

/// What one renewal takes, in milliseconds.
pub(crate) struct Renewal {
    pub(crate) wall: Spread,
    /// Of the thread that renews, in the kernel too.
    pub(crate) cpu: Spread,
}

/// Takes the addresses and renews them so many times.
pub(crate) fn time(host: &Host, ips: &[IpAddr], rounds: usize) -> Result<Renewal> {
    let timed = host.run_inside(|| renew(ips, rounds).map_err(|error| error.to_string()))?;
    let (wall, cpu): (Vec<_>, Vec<_>) = timed?.into_iter().unzip();
    let spread = |times: Vec<Duration>| Spread::of(times.into_iter().map(millis));
    let (wall, cpu) = (spread(wall).ok_or("no rounds")?, spread(cpu).ok_or("no rounds")?);
    Ok(Renewal { wall, cpu })
}

fn renew(ips: &[IpAddr], rounds: usize) -> Result<Vec<(Duration, Duration)>> {
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
        let (begin, spent) = (Instant::now(), spent()?);
        let renewed = keeper.renew(&place, &addresses)?;
        times.push((begin.elapsed(), self::spent()?.saturating_sub(spent)));
        if renewed.missing || renewed.unleased.is_some() {
            return Err(format!("{renewed:?}").into());
        }
    }
    Ok(times)
}

/// The time that this thread has spent on a CPU.
fn spent() -> Result<Duration> {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = schedstat.split(' ').next().unwrap_or_default().parse()?;
    Ok(Duration::from_nanos(nanos))
}
