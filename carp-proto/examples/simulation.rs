//! A simulated LAN: how long does the address of a pair have no host when the primary dies, at any moment of its second?
//!
//! ```sh
//! cargo run --release -p carp-proto --features sim --example simulation
//! ```

use std::error::Error;
use std::time::Duration;

use carp_proto::election::Dialect;
use carp_proto::sim::{Fault, HostModel, HostPlan, Lan, Random, Span, View, Weather};
use carp_proto::{AdvBase, AdvSkew, Key, RouterConfig, VirtualId};

fn main() -> Result<(), Box<dyn Error>> {
    let mut gaps = gaps(1000)?;
    gaps.sort_unstable();
    let [median, longest] = [gaps[gaps.len() / 2], gaps[gaps.len() - 1]];
    println!("{} deaths: {median:?} without a host in the median, {longest:?} at most", gaps.len());
    Ok(())
}

/// So many deaths.
pub(crate) fn gaps(deaths: u64) -> Result<Vec<Duration>, Box<dyn Error>> {
    let plans = [host(0, 0)?, host(1, 100)?];
    (0..deaths).map(|seed| gap(&plans, seed)).collect()
}

/// The host with this number, and its router with this advskew.
fn host(number: u8, advskew: i64) -> Result<HostPlan, Box<dyn Error>> {
    let (id, key) = (VirtualId::new(1)?, Key::new(b"secret")?);
    let router = RouterConfig::carp(id, &key, vec!["192.0.2.100".parse()?], number.into())?
        .with_interval(Dialect::Native, AdvBase::new(1)?, AdvSkew::new(advskew)?)?;
    Ok(HostPlan::numbered(number, HostModel::DEFAULT, vec![router]))
}

/// How long nobody has the address in the run of this seed.
fn gap(plans: &[HostPlan], seed: u64) -> Result<Duration, Box<dyn Error>> {
    let mut lan = Lan::new(plans, Weather::FAIR, seed);
    lan.boot_all();
    lan.run(Duration::from_secs(10) + Random::new(seed).up_to(Duration::from_secs(1)));
    let dies = lan.elapsed();
    lan.apply(Fault::Crash { host: 0 });
    lan.run(Duration::from_secs(10));
    if let Some(violation) = lan.violation() {
        return Err(violation.to_string().into());
    }
    assert_eq!(lan.view(1, 0), View::Serving);
    let after = Span { from: dies, to: lan.elapsed() };
    Ok(lan.record().longest(0, after, |hosts| hosts == 0))
}
