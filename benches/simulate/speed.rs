//! How many seconds of a router are simulated in a second of one processor.

use std::error::Error;
use std::time::{Duration, Instant};

use carp_proto::sim::{Lan, Scenario, View};

/// How long each LAN is simulated, in virtual time, before it is measured and while it is.
const WARM_UP: Duration = Duration::from_secs(1_000);
const MEASURED: Duration = Duration::from_secs(200_000);

/// Rounds, of which the best counts: on a shared machine the others tell of the neighbours.
const ROUNDS: u32 = 5;

const ROUTERS: u32 = 3;

/// Three routers in each protocol, an advert a second, on a link that delays and loses nothing beyond a jitter.
pub(crate) fn measure() -> Result<(), Box<dyn Error>> {
    for (name, routers) in [
        ("CARP", ["carp native advskew 0", "carp native advskew 100", "carp native advskew 200"]),
        ("VRRPv2", ["vrrp2 priority 200", "vrrp2 priority 150", "vrrp2 priority 100"]),
        ("VRRPv3", ["vrrp3 priority 200", "vrrp3 priority 150", "vrrp3 priority 100"]),
    ] {
        let mut text = "carp-scenario 1\nseed 1\n".to_owned();
        for (number, router) in (1..).zip(routers) {
            text += &format!("host h{number} 10.99.0.{number} fe80::{number}\n");
            text += &format!("router {router} addresses 192.0.2.100\n");
        }
        let scenario: Scenario = text.parse()?;
        let mut lan = scenario.lan()?;
        lan.boot_all();
        lan.run(WARM_UP);
        let best = (0..ROUNDS).map(|_| round(&mut lan)).max().unwrap_or(0);
        assert_eq!(lan.view(0, 0), View::Serving);
        println!("{name}: {best} router-seconds in a second of one processor");
    }
    Ok(())
}

fn round(lan: &mut Lan) -> u64 {
    let began = Instant::now();
    lan.run(MEASURED);
    let nanos = began.elapsed().as_nanos().max(1);
    let simulated = MEASURED.as_nanos() * u128::from(ROUTERS);
    u64::try_from(simulated * 1_000_000_000 / nanos / 1_000_000_000).unwrap_or(u64::MAX)
}
