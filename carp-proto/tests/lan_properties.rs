//! What holds for whole LANs, whatever goes wrong.

mod support;

use std::time::Duration;

use carp_proto::sim::{Chance, Scenario, judge, judge_on, minimise};
use carp_proto::testing::strategy::any_scenario;
use proptest::prelude::*;
use support::cases;

fn violation(scenario: &Scenario) -> Option<String> {
    judge(scenario).expect("it can be played").violation.map(|it| it.to_string())
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn every_invariant_holds_on_any_lan(scenario in any_scenario()) {
        if let Some(violation) = violation(&scenario) {
            // What proptest has shrunk is made smaller by somebody who knows what a scenario is.
            let small = minimise(&scenario, |it| self::violation(it).is_some());
            prop_assert!(false, "{violation}\n{small}");
        }
    }

    #[test]
    fn a_lan_is_the_same_at_another_time_and_beside_noise(
        scenario in any_scenario(), later in 1..1_u64 << 32, noise in 0..=100_u32,
    ) {
        let lan = scenario.lan().expect("it can be played");
        let mut other = lan.with_origin(Duration::from_secs(later)).with_noise(Chance::percent(noise));
        prop_assert_eq!(judge_on(&scenario, &mut other), judge(&scenario).expect("it can be played"));
    }

    #[test]
    fn any_scenario_reads_as_it_was_written(scenario in any_scenario()) {
        prop_assert_eq!(scenario.to_string().parse(), Ok(scenario));
    }
}
