//! A router whose data are behind: it is active only if nobody else is.

mod support;

use std::time::Duration;

use carp_proto::Demotion;
use carp_proto::election::{Cause, Dialect, Input, LinkState, Phase, Posture, State};
use proptest::prelude::*;
use support::Effect::{Acquire, Claim, Prepare, Priority, Release};
use support::lan::{Lan, Weather, slowest};
use support::vrrp::{Version, VrrpSetup};
use support::{Effect, Rig, Rigged as _, SKEW_UNIT, Setup, ip, ms, secs};

const fn to_backup(cause: Cause) -> Effect {
    Effect::State(State::Active, State::Backup, cause)
}

fn carp(dialect: Dialect) -> Setup {
    Setup { dialect, preempt: true, ..Setup::new() }
}

/// A preempting backup that is held.
fn held(setup: Setup) -> Rig {
    let mut rig = setup.rig();
    assert_eq!(rig.input(Input::Held(true)), [], "before its start");
    rig.backup()
}

fn held_vrrp(setup: &VrrpSetup) -> Rig {
    let mut rig = setup.rig();
    rig.input(Input::Held(true));
    rig.backup()
}

// CARP.

#[test]
fn a_held_router_does_not_preempt_until_it_is_told_that_it_may() {
    for dialect in Dialect::ALL {
        let mut rig = held(carp(dialect));
        for _ in 0..100 {
            assert_eq!(rig.passes(secs(1)).hears(ip(9), 1, 200), [], "{dialect}");
        }
        assert!(rig.held() && rig.router.snapshot(rig.now).held_by_data);
        assert_eq!(rig.input(Input::Held(false)), []);
        assert!(!rig.held());
        let effects = rig.passes(secs(1)).hears(ip(9), 1, 200);
        assert_eq!(effects, [Claim(1, 100, 0), Acquire], "{dialect}");
    }
}

#[test]
fn a_held_router_waits_longer_for_silence_and_says_that_all_others_are_better() {
    for dialect in Dialect::ALL {
        let mut rig = held(carp(dialect));
        assert_eq!(rig.wait(), secs(3) + SKEW_UNIT * (100 + 240), "{dialect}");
        assert_eq!(rig.times_out(), [Claim(1, 240, 0), Acquire]);
        rig.input(Input::Acquired);
        assert!(rig.held());
        assert_eq!(rig.phase(), Some(Phase::Serving));
        rig.hears(ip(9), 1, 239);
        assert_eq!(rig.phase(), Some(Phase::Leaving), "{dialect}: it gives way");
    }
}

/// A preempting backup that waits for a handover.
fn awaiting(setup: Setup) -> Rig {
    let mut rig = setup.rig();
    assert_eq!(rig.input(Input::AwaitsHandover(true)), [], "before its start");
    rig.backup()
}

#[test]
fn a_router_that_awaits_a_handover_does_not_preempt_until_it_is_told_that_it_may() {
    for dialect in Dialect::ALL {
        let mut rig = awaiting(carp(dialect));
        for _ in 0..100 {
            assert_eq!(rig.passes(secs(1)).hears(ip(9), 1, 200), [], "{dialect}");
        }
        assert!(rig.held() && rig.router.snapshot(rig.now).held_by_data);
        // Writers stand still meanwhile: at once.
        let effects = rig.input(Input::AwaitsHandover(false));
        assert_eq!(effects, [Claim(1, 100, 0), Acquire], "{dialect}");
        let active = Effect::State(State::Backup, State::Active, Cause::WorsePeer);
        assert_eq!(rig.input(Input::Acquired), [active], "{dialect}");
    }
}

#[test]
fn a_handover_that_is_ready_is_taken_at_once_where_preemption_comes_by_silence_too() {
    for version in Version::ALL {
        let mut rig = VrrpSetup { priority: 200, ..VrrpSetup::new(version) }.rig();
        rig.input(Input::AwaitsHandover(true));
        let mut rig = rig.backup();
        rig.hears_vrrp(version, 9, 100);
        assert_eq!(
            rig.input(Input::AwaitsHandover(false)),
            [Priority(200), Acquire],
            "{version:?}"
        );
    }
}

#[test]
fn a_handover_changes_nothing_for_who_may_not_preempt_or_follows_nobody() {
    let ready = |mut rig: Rig| rig.input(Input::AwaitsHandover(false));
    assert_eq!(ready(awaiting(carp(Dialect::Native))), [], "nobody was heard");
    let mut better = awaiting(carp(Dialect::Native));
    better.hears(ip(9), 1, 50);
    assert_eq!(ready(better), [], "the active one is better");
    let mut sticky = awaiting(Setup { preempt: false, ..carp(Dialect::Native) });
    sticky.hears(ip(9), 1, 200);
    assert_eq!(ready(sticky), [], "it does not preempt");
    let mut behind = awaiting(carp(Dialect::Native));
    behind.hears(ip(9), 1, 200);
    behind.input(Input::Held(true));
    assert_eq!(ready(behind), [], "its data are behind");
    let mut equal = awaiting(carp(Dialect::Native));
    equal.hears(ip(9), 1, 100);
    assert_eq!(ready(equal), [], "the active one is as good");
    let mut yielded = carp(Dialect::Native).rig().leaving(Input::Yield);
    yielded.hears(ip(9), 1, 200);
    yielded.input(Input::AnnouncementHeard);
    yielded.input(Input::AwaitsHandover(true));
    yielded.passes(secs(1)).hears(ip(9), 1, 200);
    assert_eq!(ready(yielded), [], "it has yielded a moment ago");
    let mut free = VrrpSetup { priority: 200, ..VrrpSetup::new(Version::V3) }.rig().backup();
    free.hears_vrrp(Version::V3, 9, 100);
    assert_eq!(ready(free), [], "it did not wait");
}

#[test]
fn a_handover_that_nobody_waited_for_does_not_shorten_the_delay_of_preemption() {
    let mut rig = Setup { preempt_delay: ms(1_500), ..carp(Dialect::Native) }.rig().backup();
    for _ in 0..2 {
        assert_eq!(rig.hears(ip(9), 1, 200), [], "the delay is not over");
        rig.passes(secs(1));
    }
    assert_eq!(rig.input(Input::AwaitsHandover(false)), [], "as before");
    assert_eq!(rig.hears(ip(9), 1, 200), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn a_handover_does_not_take_over_from_one_that_is_as_good_by_now() {
    let mut rig = VrrpSetup { priority: 200, ..VrrpSetup::new(Version::V3) }.rig();
    rig.input(Input::AwaitsHandover(true));
    let mut rig = rig.backup();
    rig.hears_vrrp(Version::V3, 9, 100);
    rig.input(Input::Demotion(Demotion::clamped(100)));
    assert_eq!(rig.input(Input::AwaitsHandover(false)), [], "both have 100");
}

#[test]
fn a_router_that_awaits_a_handover_takes_over_from_silence_like_any_other() {
    for dialect in Dialect::ALL {
        let mut rig = awaiting(carp(dialect));
        assert_eq!(rig.wait(), carp(dialect).rig().backup().wait(), "{dialect}");
        assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire], "it says what it is");
    }
    let (setup, free) = (VrrpSetup::new(Version::V3), VrrpSetup::new(Version::V3).rig().backup());
    let mut rig = setup.rig();
    rig.input(Input::AwaitsHandover(true));
    assert_eq!(rig.backup().wait(), free.wait());
}

#[test]
fn a_router_that_awaits_a_handover_takes_over_from_one_that_resigns() {
    let mut rig = awaiting(carp(Dialect::Native));
    rig.hears(ip(9), 1, 200);
    assert_eq!(rig.hears_resignation(ip(9)), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn a_router_that_awaits_a_handover_leaves_a_demoted_one_alone() {
    let mut rig = awaiting(carp(Dialect::OpenBsd));
    assert_eq!(rig.hears_demoted(ip(9), 1, 0, 3), []);
    assert_eq!(rig.input(Input::AwaitsHandover(false)), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn an_advskew_that_is_worse_than_240_stays() {
    let mut rig = held(Setup { advskew: 250, ..carp(Dialect::Native) });
    assert_eq!(rig.times_out(), [Claim(1, 250, 0), Acquire]);
}

#[test]
fn a_held_router_takes_over_from_one_that_resigns() {
    let mut rig = held(carp(Dialect::Native));
    rig.hears(ip(9), 1, 200);
    assert_eq!(rig.hears_resignation(ip(9)), [Claim(1, 240, 0), Acquire]);
}

#[test]
fn an_active_router_that_is_too_slow_counts_as_dead_for_a_held_one_too() {
    let mut rig = held(carp(Dialect::Native));
    assert_eq!(rig.hears(ip(9), 3, 0), [], "an advert comes before the timer ends");
    assert_eq!(rig.hears(ip(9), 10, 0), [Claim(1, 240, 0), Acquire]);
}

#[test]
fn a_held_router_leaves_a_demoted_one_alone() {
    let mut rig = held(carp(Dialect::OpenBsd));
    assert_eq!(rig.hears_demoted(ip(9), 1, 0, 3), []);
    rig.input(Input::Held(false));
    assert_eq!(rig.hears_demoted(ip(9), 1, 0, 3), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn demotion_and_a_hold_do_not_add_up_to_more_than_the_worst() {
    let mut rig = held(carp(Dialect::Native));
    rig.input(Input::Demotion(Demotion::clamped(240)));
    assert_eq!(rig.times_out(), [Claim(1, 240, 0), Acquire]);
    let mut rig = held(carp(Dialect::OpenBsd));
    rig.input(Input::Demotion(Demotion::clamped(7)));
    assert_eq!(rig.times_out(), [Claim(1, 240, 7), Acquire], "the byte is sent as well");
}

#[test]
fn an_active_router_tells_at_once_that_it_is_held_and_that_it_is_not() {
    let mut rig = carp(Dialect::Native).rig().serving();
    assert_eq!(rig.input(Input::Held(true)), [Claim(1, 240, 0)]);
    assert_eq!(rig.input(Input::Held(true)), [], "that is no news");
    assert_eq!(rig.input(Input::Held(false)), [Claim(1, 100, 0)]);
    assert_eq!(rig.state(), State::Active);
}

#[test]
fn a_hold_outlasts_stops_links_and_takeovers() {
    let mut rig = held(carp(Dialect::Native));
    for input in [Input::Link(LinkState::Down), Input::Stop, Input::Start] {
        rig.input(input);
        assert!(rig.held(), "{input:?}");
    }
    rig.link_up();
    rig.times_out();
    rig.input(Input::Acquired);
    assert!(rig.held(), "only the word ends it");
}

#[test]
fn the_minute_after_a_yield_and_a_hold_by_data_do_not_end_each_other() {
    let mut rig = carp(Dialect::Native).rig().leaving(Input::Yield);
    rig.hears(ip(9), 1, 200);
    rig.input(Input::AnnouncementHeard);
    rig.input(Input::Held(true));
    rig.input(Input::Held(false));
    assert!(rig.held(), "it has yielded");
    assert!(!rig.router.snapshot(rig.now).held_by_data);
    rig.input(Input::Held(true));
    for _ in 0..61 {
        assert_eq!(rig.passes(secs(1)).hears(ip(9), 1, 200), []);
    }
    assert!(rig.held(), "its data are behind");
}

// A group.

#[test]
fn a_router_that_waits_to_preempt_with_its_group_is_a_backup_again() {
    let mut rig = carp(Dialect::Native).rig();
    rig.input(Input::Permit(false));
    let mut rig = rig.backup();
    assert_eq!(rig.hears(ip(9), 1, 200), []);
    assert_eq!(rig.router.posture(), Posture::Willing);
    assert_eq!(rig.input(Input::Held(true)), []);
    assert_eq!(rig.router.posture(), Posture::Backup);
    assert_eq!(rig.input(Input::Permit(true)), []);
    assert_eq!(rig.hears(ip(9), 1, 200), []);
    assert_eq!(rig.state(), State::Backup);
}

// VRRP.

#[test]
fn a_held_router_of_vrrp_lets_every_other_one_be_better() {
    for version in Version::ALL {
        let mut rig = held_vrrp(&VrrpSetup { priority: 200, ..VrrpSetup::new(version) });
        assert_eq!(rig.wait(), secs(3) + SKEW_UNIT * 255, "{version:?}: the wait of priority 1");
        for _ in 0..20 {
            assert_eq!(rig.passes(secs(1)).hears_vrrp(version, 9, 100), [], "{version:?}");
        }
        assert_eq!(rig.times_out(), [Priority(1), Acquire]);
        rig.input(Input::Acquired);
        rig.hears_vrrp(version, 9, 2);
        assert_eq!(rig.phase(), Some(Phase::Leaving), "{version:?}: it gives way");
        assert_eq!(rig.input(Input::AnnouncementHeard), [Release, to_backup(Cause::BetterPeer)]);
        rig.input(Input::Held(false));
        let effects = rig.runs(secs(5));
        assert_eq!(effects[0].1, Priority(200), "{version:?}: nobody is heard any more");
    }
}

#[test]
fn a_preemption_by_silence_that_has_begun_ends_with_the_hold() {
    let words = [Input::Held(true), Input::AwaitsHandover(true)];
    for (version, word) in Version::ALL.into_iter().flat_map(|it| words.map(|word| (it, word))) {
        let mut rig = VrrpSetup { priority: 200, ..VrrpSetup::new(version) }.rig().backup();
        rig.passes(secs(1)).hears_vrrp(version, 9, 100);
        rig.passes(secs(1)).hears_vrrp(version, 9, 100);
        let before = rig.wait();
        assert_eq!(rig.input(word), []);
        assert!(rig.wait() > before, "{version:?}: it listens anew");
        for _ in 0..20 {
            assert_eq!(rig.passes(secs(1)).hears_vrrp(version, 9, 100), []);
        }
    }
}

#[test]
fn a_word_that_is_no_news_does_not_put_a_preemption_off() {
    for version in Version::ALL {
        let mut rig = VrrpSetup { priority: 200, ..VrrpSetup::new(version) }.rig().backup();
        rig.passes(secs(1)).hears_vrrp(version, 9, 100);
        rig.passes(secs(1)).hears_vrrp(version, 9, 100);
        let before = rig.wait();
        rig.input(Input::Held(false));
        rig.input(Input::AwaitsHandover(false));
        assert_eq!(rig.wait(), before, "{version:?}");
    }
}

#[test]
fn a_held_owner_waits_for_silence_and_stays_an_owner() {
    for version in Version::ALL {
        let owner = VrrpSetup { priority: 255, ..VrrpSetup::new(version) };
        let mut rig = held_vrrp(&owner);
        assert_eq!(rig.passes(secs(1)).hears_vrrp(version, 9, 100), [], "{version:?}");
        rig.input(Input::Held(false));
        let effects = rig.runs(secs(5));
        assert_eq!(effects[0].1, Priority(255));
        let mut rig = held_vrrp(&owner);
        assert_eq!(rig.times_out(), [Priority(255), Acquire]);
    }
}

#[test]
fn what_must_come_before_a_takeover_comes_for_a_held_router_too() {
    let mut rig = held(Setup { prepare: Some(secs(5)), ..carp(Dialect::Native) });
    assert_eq!(rig.times_out(), [Claim(1, 240, 0), Prepare]);
    assert_eq!(rig.input(Input::Held(false)), [Claim(1, 100, 0)]);
    assert_eq!(rig.input(Input::Prepared), [Acquire]);
}

// Several routers.

/// Two or three preempting routers of one protocol, the best one first and no owner among them, and which
/// of them are held.
fn any_lan() -> impl Strategy<Value = (Vec<Setup>, Vec<bool>)> {
    let protocol = prop_oneof![
        prop::sample::select(&Dialect::ALL[..]).prop_map(|dialect| (None, dialect)),
        prop::sample::select(&Version::ALL[..]).prop_map(|it| (Some(it), Dialect::Native)),
    ];
    (protocol, 2..4_usize).prop_flat_map(|((vrrp, dialect), size)| {
        let setups = (0..size)
            .map(|number| {
                let advskew = u8::try_from(number * 50 + 10).expect("a small number");
                Setup { vrrp, dialect, advskew, preempt: true, ..Setup::new() }
            })
            .collect();
        (Just(setups), prop::collection::vec(any::<bool>(), size))
    })
}

/// By when a quiet link has made up its mind, twice.
fn settled(lan: &Lan) -> Duration {
    let (down, interval) = slowest(&lan.sim, 0);
    (down + interval + secs(1)) * 2
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_best_that_is_not_held_is_active_and_any_is_if_all_are(
        (setups, held) in any_lan(),
        seed: u64,
    ) {
        let mut lan = Lan::new(&setups, Weather::FAIR, seed);
        for (node, &held) in held.iter().enumerate() {
            lan.input(node, Input::Held(held));
        }
        lan.run(settled(&lan));
        let active = lan.active();
        prop_assert_eq!(active.len(), 1);
        prop_assert_eq!(lan.holding(), 1);
        if let Some(best) = held.iter().position(|held| !held) {
            prop_assert_eq!(active, [best]);
        }
        // Whoever is in step at last takes over from one that is not.
        (0..setups.len()).for_each(|node| lan.input(node, Input::Held(false)));
        lan.run(settled(&lan));
        prop_assert_eq!(lan.active(), [0]);
        prop_assert_eq!(lan.holding(), 1);
    }
}
