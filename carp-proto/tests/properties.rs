//! What holds for every router and every link, whatever happens.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use carp_proto::election::{Dialect, Input, Posture, State};
use carp_proto::testing::strategy::{any_protocol, any_setup, any_steps, any_version};
use carp_proto::testing::{Drill, Step, Version};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use support::lan::{Lan, Weather, slowest};
use support::peers::Extra;
use support::steps::{ORIGIN, Run, outcomes};
use support::{Effect, Setup, cases, ms, secs};

proptest! {
    #[test]
    fn adding_a_constant_to_all_times_changes_nothing(
        setup in any_setup(),
        steps in any_steps(),
        shift in 0..1_u64 << 60,
    ) {
        // A signature tells the time of day.
        prop_assume!(setup.extra != Extra::Signatures);
        let here = outcomes(setup, ORIGIN, &steps);
        let there = outcomes(setup, ORIGIN + Duration::from_nanos(shift), &steps);
        prop_assert_eq!(here, there);
    }

    #[test]
    fn early_and_repeated_timeouts_are_harmless(setup in any_setup(), steps in any_steps()) {
        let quiet = outcomes(setup, ORIGIN, &steps);
        let mut run = Run::new(setup, ORIGIN);
        for (step, expected) in steps.iter().zip(quiet) {
            prop_assert_eq!(run.take(step), expected);
            // What a sleeping router has missed is done at its next step, which is none of these.
            if run.router.poll_timeout().is_some_and(|deadline| deadline.at > run.now) {
                for _ in 0..2 {
                    let before = run.router.poll_timeout();
                    run.take(&Step::Input(Input::Timeout));
                    prop_assert_eq!(run.router.poll_timeout(), before);
                    prop_assert_eq!(run.outcome().effects, []);
                }
            }
        }
    }

    #[test]
    fn a_router_speaks_only_while_it_is_active(setup in any_setup(), steps in any_steps()) {
        let mut run = Run::new(setup, ORIGIN);
        // What those who watch know: whether it claims the role, and whether it has the addresses.
        let (mut claims, mut holds, mut reported) = (false, false, State::Init);
        for step in &steps {
            let acquired = matches!(step, Step::Input(Input::Acquired));
            let outcome = run.take(step);
            let batch = format!("{step:?}: {:?}", outcome.effects);
            for effect in outcome.effects {
                match effect {
                    Effect::Claim(..) | Effect::Priority(_) => claims = true,
                    Effect::Resign => prop_assert!(claims, "{batch}"),
                    Effect::Prepare | Effect::Acquire => prop_assert!(claims, "{batch}"),
                    Effect::Announce => prop_assert!(claims && holds, "{batch}"),
                    Effect::Release => (claims, holds) = (false, false),
                    Effect::State(from, to, _) => {
                        prop_assert_eq!(from, reported, "{}", &batch);
                        prop_assert_eq!(to == State::Active, claims, "{}", &batch);
                        prop_assert!(to != State::Active || acquired, "{batch}");
                        holds |= to == State::Active;
                        reported = to;
                    }
                    Effect::Event(_) => prop_assert!(claims, "{batch}"),
                }
            }
            prop_assert_eq!(claims, outcome.state == State::Active, "{}", batch);
            let waits_for_time = match outcome.posture {
                Posture::Init | Posture::Willing | Posture::Unanswered => false,
                Posture::Backup | Posture::Active | Posture::Leaving => true,
            };
            prop_assert_eq!(outcome.wait.is_some(), waits_for_time);
        }
    }

    #[test]
    fn a_running_router_always_ends_its_stop(setup in any_setup(), steps in any_steps()) {
        let mut run = Run::new(setup, ORIGIN);
        steps.iter().for_each(|step| { run.take(step); });
        run.take(&Step::Input(Input::Stop));
        for _ in 0..3 {
            run.take(&Step::Deadline(Duration::ZERO));
        }
        prop_assert_eq!(run.router.state(), State::Init);
        prop_assert_eq!(run.take(&Step::LinkUp(5)).effects, []);
    }
}

/// So that the properties here are of what they seem to be of.
#[test]
fn the_routers_and_the_steps_that_are_drawn_are_of_every_kind() {
    let mut runner = TestRunner::deterministic();
    let (mut kinds, mut labels, mut heard) = (BTreeSet::new(), BTreeSet::new(), 0);
    let (mut signers, mut drawn) = (BTreeSet::new(), [0; 3]);
    for _ in 0..600 {
        let tree = (any_setup(), any_steps()).new_tree(&mut runner).expect("a router");
        let (setup, steps) = tree.current();
        kinds.insert(format!("{:?} {:?}", setup.vrrp, setup.extra));
        if setup.extra == Extra::Signatures {
            signers.insert(format!("{:?} {}", setup.hmac_mode, setup.second_key));
        }
        let unusual = [
            setup.preempt_delay != Duration::ZERO,
            setup.announce != Setup::new().announce,
            setup.handover.is_some(),
        ];
        for (drawn, unusual) in drawn.iter_mut().zip(unusual) {
            *drawn += u32::from(unusual);
        }
        let mut drill = Drill::new(setup, ORIGIN);
        for verdict in steps.iter().filter_map(|step| drill.take(step)) {
            match verdict {
                Ok(()) => heard += 1,
                Err(reject) => drop(labels.insert(reject.label())),
            }
        }
    }
    let protocols = [None].into_iter().chain(Version::ALL.map(Some));
    let every: usize = protocols.map(|vrrp| Extra::of(vrrp).len()).sum();
    assert_eq!(kinds.len(), every, "{kinds:?}");
    assert_eq!(signers.len(), 3 * 2, "modes, with one key and with two: {signers:?}");
    assert!(drawn.iter().all(|&number| (200..400).contains(&number)), "{drawn:?}");
    assert!(heard > 1000, "{heard}");
    for label in ["own-loop", "unknown-peer", "bad-authentication", "bad-checksum", "bad-length"] {
        assert!(labels.contains(label), "{label} is not among {labels:?}");
    }
}

/// Routers that differ in skew, by enough that the best of them is clear.
fn any_lan() -> impl Strategy<Value = Vec<Setup>> {
    let skews = prop::sample::subsequence((0..12_u8).map(|n| n * 20).collect::<Vec<_>>(), 2..6);
    (skews.prop_shuffle(), any_protocol(), 1..3_u8, any::<bool>()).prop_map(
        |(skews, (vrrp, dialect), advbase, preempt)| {
            let setup = Setup { vrrp, dialect, advbase, preempt, ..Setup::new() };
            skews.into_iter().map(|advskew| Setup { advskew, ..setup }).collect()
        },
    )
}

fn any_weather() -> impl Strategy<Value = Weather> {
    (0..10_u64, 0..10_u64, 0..50_u64).prop_map(|(delay, lateness, acquiring)| Weather {
        delay: ms(delay),
        lateness: ms(lateness),
        acquiring: ms(acquiring),
        loss: 0,
    })
}

/// By when a quiet link has made up its mind.
fn settled(lan: &Lan) -> Duration {
    let (down, interval) = slowest(&lan.sim, 0);
    down + interval + (lan.weather.delay + lan.weather.lateness) * 4 + lan.weather.acquiring
}

fn best_of(setups: &[Setup], alive: impl Fn(usize) -> bool) -> usize {
    (0..setups.len())
        .filter(|node| alive(*node))
        .min_by_key(|node| setups[*node].advskew)
        .expect("somebody lives")
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn a_quiet_link_elects_one_router_and_keeps_it(
        setups in any_lan(),
        weather in any_weather(),
        seed: u64,
    ) {
        let mut lan = Lan::new(&setups, weather, seed);
        lan.run(settled(&lan));
        // All start together: the least patient one is the best one.
        prop_assert_eq!(lan.active(), [best_of(&setups, |_| true)]);
        prop_assert_eq!(lan.holding(), 1);
        let changes = lan.changes();
        lan.run(secs(300));
        prop_assert_eq!(lan.changes(), changes, "and then nothing changes any more");
    }

    #[test]
    fn the_death_of_the_active_router_is_noticed_in_time(
        setups in any_lan(),
        weather in any_weather(),
        seed: u64,
        lives in 0..3000_u64,
    ) {
        let mut lan = Lan::new(&setups, weather, seed);
        lan.run(settled(&lan) + ms(lives));
        let first = best_of(&setups, |_| true);
        lan.kill(first);
        let died = lan.elapsed();
        let second = best_of(&setups, |node| node != first);
        let down = lan.sim.router(second, 0).snapshot(lan.sim.now()).active_down;
        lan.run(settled(&lan));
        prop_assert_eq!(lan.active(), [second]);
        let bound = down + weather.delay + weather.lateness + weather.acquiring;
        let gap = lan.longest_outside(died, |holders| holders > 0);
        prop_assert!(gap <= bound, "{gap:?} > {bound:?}");
    }

    #[test]
    fn with_preemption_the_best_router_takes_over_when_it_comes_back(
        setups in any_lan(),
        weather in any_weather(),
        seed: u64,
    ) {
        let setups: Vec<Setup> =
            setups.into_iter().map(|setup| Setup { preempt: true, ..setup }).collect();
        let best = best_of(&setups, |_| true);
        let mut lan = Lan::new(&setups, weather, seed);
        lan.plug(best, false);
        lan.run(settled(&lan));
        prop_assert_eq!(lan.active(), [best_of(&setups, |node| node != best)]);
        let back = lan.elapsed();
        lan.plug(best, true);
        lan.run(settled(&lan));
        prop_assert_eq!(lan.active(), [best]);
        prop_assert_eq!(lan.holding(), 1);
        let gap = lan.longest_outside(back, |holders| holders > 0);
        // The one that yields gives up when it hears the other, which is still taking the addresses.
        let bound = weather.acquiring + weather.delay;
        prop_assert!(gap <= bound, "{gap:?} > {bound:?}");
    }

    #[test]
    fn two_active_routers_that_hear_each_other_are_soon_one(
        setups in any_lan(),
        weather in any_weather(),
        seed: u64,
        apart in 0..20_u64,
    ) {
        let mut lan = Lan::new(&setups, weather, seed);
        lan.isolate();
        lan.run(settled(&lan) + secs(apart));
        prop_assert_eq!(lan.active().len(), setups.len(), "alone, everybody is active");
        let heals = lan.elapsed();
        lan.heal();
        lan.run(settled(&lan));
        prop_assert_eq!(lan.active(), [best_of(&setups, |_| true)]);
        let (_, interval) = slowest(&lan.sim, 0);
        // Who yields serves on until the other announces, which that one need not do for everybody, or
        // for 200 ms.
        let bound = interval + ms(200) + weather.delay + weather.lateness;
        let dual = lan.longest_outside(heals, |holders| holders <= 1);
        prop_assert!(dual <= bound, "{dual:?} > {bound:?}");
    }

    #[test]
    fn ties_end_with_one_router_where_the_dialect_orders_them(
        nodes in 2..6_usize,
        (vrrp, dialect) in prop_oneof![
            prop::sample::select(vec![(None, Dialect::Native), (None, Dialect::Ucarp)]),
            any_version().prop_map(|version| (Some(version), Dialect::Native)),
        ],
        weather in any_weather(),
        preempt: bool,
        seed: u64,
    ) {
        let setups = vec![Setup { vrrp, dialect, preempt, ..Setup::new() }; nodes];
        let mut lan = Lan::new(&setups, weather, seed);
        lan.run(settled(&lan) + secs(2));
        prop_assert_eq!(lan.active().len(), 1);
        prop_assert_eq!(lan.holding(), 1);
        let changes = lan.changes();
        lan.run(secs(60));
        prop_assert_eq!(lan.changes(), changes);
    }

    #[test]
    fn a_planned_stop_or_yield_never_leaves_the_addresses_without_a_holder(
        setups in any_lan(),
        weather in any_weather(),
        seed: u64,
        stops: bool,
        at in 0..3000_u64,
    ) {
        let mut lan = Lan::new(&setups, weather, seed);
        lan.run(settled(&lan) + ms(at));
        let first = best_of(&setups, |_| true);
        let began = lan.elapsed();
        lan.input(first, if stops { Input::Stop } else { Input::Yield });
        lan.run(settled(&lan));
        let active = lan.active();
        prop_assert_eq!(active.len(), 1);
        prop_assert_ne!(active[0], first);
        prop_assert_eq!(lan.holding(), 1);
        // With more than two, several backups rise at once; all but the best of them go again, and
        // that one may still be taking the addresses when the first announcement ends the handover.
        let gap = lan.longest_outside(began, |holders| holders > 0);
        let several = weather.delay * 2 + weather.acquiring;
        let bound = if setups.len() == 2 { ms(0) } else { several };
        prop_assert!(gap <= bound, "{gap:?} > {bound:?}");
    }

    #[test]
    fn a_lossy_link_has_one_active_router_again_when_it_is_quiet(
        setups in any_lan(),
        weather in any_weather(),
        seed: u64,
        loss in 1..60_u32,
    ) {
        let mut lan = Lan::new(&setups, Weather { loss, ..weather }, seed);
        lan.run(secs(60));
        lan.set_loss(0);
        lan.run(settled(&lan));
        prop_assert_eq!(lan.active().len(), 1);
        prop_assert_eq!(lan.holding(), 1);
        let changes = lan.changes();
        lan.run(secs(60));
        prop_assert_eq!(lan.changes(), changes);
    }

    #[test]
    fn the_same_seed_gives_the_same_run(setups in any_lan(), seed: u64) {
        let run = || {
            let mut lan = Lan::new(&setups, Weather { loss: 30, ..Weather::FAIR }, seed);
            lan.run(secs(30));
            lan.sim.trace().hash()
        };
        prop_assert_eq!(run(), run());
    }
}

/// The dialects meet on one link as long as no ranks are equal.
#[test]
fn all_dialects_elect_together() {
    for rotation in 0..4 {
        let mut dialects = Dialect::ALL;
        dialects.rotate_left(rotation);
        let setups: Vec<Setup> = dialects
            .into_iter()
            .zip([0, 50, 100, 150])
            .map(|(dialect, advskew)| Setup { dialect, advskew, preempt: true, ..Setup::new() })
            .collect();
        let mut lan = Lan::new(&setups, Weather::FAIR, 1);
        for best in 0..3 {
            lan.run(settled(&lan));
            assert_eq!(lan.active(), [best], "{dialects:?}");
            lan.kill(best);
        }
    }
}
