//! How many seconds of a router are simulated in a second of one processor.

use std::error::Error;
use std::time::{Duration, Instant};

use carp_proto::sim::{Lan, Scenario, View};
use rustix::time::{ClockId, clock_gettime};

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
        let rounds: Vec<(u64, u64)> = (0..ROUNDS).map(|_| round(&mut lan)).collect();
        let wall = rounds.iter().map(|(wall, _)| *wall).max().unwrap_or(0);
        let processor = rounds.iter().map(|(_, processor)| *processor).max().unwrap_or(0);
        assert_eq!(lan.view(0, 0), View::Serving);
        println!(
            "{name}: {processor} router-seconds in a second of processor time, {wall} by the wall clock"
        );
    }
    Ok(())
}

/// Router-seconds by the wall clock, and by the time that this thread had a processor: on a machine that
/// does other things too, the second one tells of the simulator.
fn round(lan: &mut Lan) -> (u64, u64) {
    let (began, ran) = (Instant::now(), processor_time());
    lan.run(MEASURED);
    (rate(began.elapsed()), rate(processor_time().saturating_sub(ran)))
}

fn rate(took: Duration) -> u64 {
    let simulated = MEASURED.as_nanos() * u128::from(ROUTERS);
    u64::try_from(simulated / took.as_nanos().max(1)).unwrap_or(u64::MAX)
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
