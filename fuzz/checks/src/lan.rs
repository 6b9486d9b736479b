//! Hosts on links, whatever goes wrong with them in whatever order: the bytes choose a scenario, and every invariant
//! of docs/invariants.md holds in it. For half of the scenarios, damaged copies of adverts beside the others and
//! another origin of time are to change nothing.

use std::time::Duration;

use carp_proto::sim::{Chance, judge, judge_on, scenario_of};

/// More bytes than a scenario can use.
const MOST_BYTES: usize = 1024;

/// Panics if these bytes show that something is wrong.
pub fn check(input: &[u8]) {
    let scenario = scenario_of(&input[..input.len().min(MOST_BYTES)]);
    let verdict = judge(&scenario).expect("what the bytes choose can be played");
    if let Some(violation) = verdict.violation {
        panic!("{violation}\n{scenario}");
    }
    if scenario.seed % 2 == 1 {
        let other = scenario.lan().expect("it was played");
        let mut other =
            other.with_origin(Duration::from_secs(1 << 30)).with_noise(Chance::percent(50));
        assert_eq!(judge_on(&scenario, &mut other), verdict, "\n{scenario}");
    }
}
