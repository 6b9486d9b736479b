//! Every rule of VRRP's election, through the public API, one router at a time. What it shares with
//! CARP is in `election.rs`.

mod support;

use std::time::Duration;

use carp_proto::Demotion;
use carp_proto::election::{Cause, Event, Fault, Input, LearnedInterval, LinkState, Phase, State};
use support::Effect::{Acquire, Announce, Priority, Release, Resign};
use support::vrrp::{Version, VrrpSetup};
use support::{Effect, Rig, SKEW_UNIT, ms, secs};

/// The skew time of priority 100 at an interval of a second, in both versions.
const SKEW: Duration = Duration::from_nanos(609_375_000);

fn setup(version: Version) -> VrrpSetup {
    VrrpSetup::new(version)
}

fn with_priority(version: Version, priority: u8) -> VrrpSetup {
    VrrpSetup { priority, ..setup(version) }
}

fn cautious(version: Version) -> VrrpSetup {
    VrrpSetup { preempt: false, ..setup(version) }
}

const fn state(from: State, to: State, cause: Cause) -> Effect {
    Effect::State(from, to, cause)
}

fn to_active(cause: Cause) -> Effect {
    state(State::Backup, State::Active, cause)
}

fn to_backup(cause: Cause) -> Effect {
    state(State::Active, State::Backup, cause)
}

fn demoted(points: u32) -> Input {
    Input::Demotion(Demotion::clamped(points))
}

fn rival(version: Version, host: u8) -> Effect {
    Effect::Event(Event::Rival { source: version.host(host) })
}

fn serving(setup: &VrrpSetup) -> Rig {
    let mut rig = setup.rig().serving();
    rig.runs(secs(10));
    rig
}

// Timers.

#[test]
fn a_backup_waits_three_intervals_and_its_skew_to_the_nanosecond() {
    let wait = |version, priority, interval| {
        VrrpSetup { interval, ..with_priority(version, priority) }.rig().backup().wait()
    };
    // Version 2: the skew is a part of a second, whatever the interval.
    assert_eq!(wait(Version::V2, 100, secs(1)), secs(3) + SKEW);
    assert_eq!(wait(Version::V2, 254, secs(5)), secs(15) + SKEW_UNIT * 2);
    assert_eq!(wait(Version::V2, 1, secs(255)), secs(765) + SKEW_UNIT * 255);
    // Version 3: it is a part of the interval. In centiseconds nothing would be left of the second.
    for version in Version::THREES {
        assert_eq!(wait(version, 100, secs(1)), secs(3) + SKEW);
        assert_eq!(wait(version, 254, ms(10)), ms(30) + Duration::from_nanos(78_125));
        assert_eq!(wait(version, 1, ms(10)), ms(30) + Duration::from_nanos(9_960_937));
        assert_eq!(wait(version, 128, ms(40_950)), ms(40_950) * 7 / 2);
    }
}

#[test]
fn backup_takes_over_after_three_missed_adverts() {
    for version in Version::ALL {
        let mut rig = setup(version).rig().backup();
        rig.passes(ms(700)).hears_vrrp(version, 9, 150);
        assert_eq!(rig.wait(), secs(3) + SKEW, "{version:?}");
        assert_eq!(rig.times_out(), [Priority(100), Acquire]);
        assert_eq!(rig.input(Input::Acquired), [to_active(Cause::ActiveDown)]);
        assert_eq!(rig.wait(), secs(1), "until its next advert");
    }
}

#[test]
fn an_active_router_advertises_every_interval() {
    for version in Version::ALL {
        let mut rig = serving(&setup(version));
        for _ in 0..5 {
            let effects = rig.runs(secs(1));
            assert_eq!(effects.iter().filter(|(_, e)| *e == Priority(100)).count(), 1);
        }
    }
}

// The address owner.

#[test]
fn an_owner_is_active_at_once() {
    for version in Version::ALL {
        let (mut rig, effects) = with_priority(version, 255).rig().started();
        assert_eq!(effects, [Priority(255), Acquire], "{version:?}");
        let started = state(State::Init, State::Active, Cause::Start);
        assert_eq!(rig.input(Input::Acquired), [started]);
        let lost = state(State::Active, State::Init, Cause::Link);
        assert_eq!(rig.input(Input::Link(LinkState::Down)), [Release, lost]);
        assert_eq!(rig.link_up(), [Priority(255), Acquire], "with the link it comes back");
    }
}

#[test]
fn an_owner_that_cannot_take_its_addresses_resigns() {
    for version in Version::ALL {
        let (mut rig, _) = with_priority(version, 255).rig().started();
        let failed = state(State::Init, State::Backup, Cause::Fault);
        let effects = rig.input(Input::Fault(Fault::Acquire { code: 1 }));
        assert_eq!(effects, [Resign, Release, failed]);
        assert_eq!(rig.hears_vrrp(version, 9, 100), [], "it is held");
    }
}

#[test]
fn an_owner_preempts_however_it_is_configured() {
    for version in Version::ALL {
        let owner = VrrpSetup { preempt: false, ..with_priority(version, 255) };
        let (mut rig, _) = owner.rig().started();
        rig.input(Input::Fault(Fault::Acquire { code: 1 }));
        for _ in 0..62 {
            assert_eq!(rig.passes(ms(990)).hears_vrrp(version, 9, 254), []);
            assert_eq!(rig.state(), State::Backup);
        }
        assert_eq!(rig.times_out(), [Priority(255), Acquire], "{version:?}, when the hold ends");
    }
}

#[test]
fn an_owner_that_yields_is_not_active_again_at_once() {
    let (mut rig, _) = with_priority(Version::V3, 255).rig().started();
    rig.input(Input::Acquired);
    rig.input(Input::Yield);
    rig.hears_vrrp(Version::V3, 9, 100);
    rig.input(Input::AnnouncementHeard);
    rig.input(Input::Link(LinkState::Down));
    assert_eq!(rig.link_up(), [state(State::Init, State::Backup, Cause::Link)]);
}

// Being backup.

#[test]
fn a_better_or_equal_router_is_followed() {
    for version in Version::ALL {
        for (preempt, host, priority) in
            [(true, 9, 101), (true, 9, 100), (true, 2, 100), (false, 9, 255)]
        {
            let mut rig = VrrpSetup { preempt, ..setup(version) }.rig().backup();
            assert_eq!(rig.passes(secs(1)).hears_vrrp(version, host, priority), []);
            assert_eq!(rig.wait(), secs(3) + SKEW, "{version:?}: {priority} from {host}");
        }
    }
}

#[test]
fn a_worse_router_is_followed_only_without_preemption() {
    for version in Version::ALL {
        let mut rig = cautious(version).rig().backup();
        assert_eq!(rig.passes(secs(1)).hears_vrrp(version, 9, 50), []);
        assert_eq!(rig.wait(), secs(3) + SKEW);
    }
}

#[test]
fn preemption_ignores_worse_adverts_until_the_timer_runs_out() {
    for version in Version::ALL {
        let mut rig = setup(version).rig().backup();
        for second in 1..=3 {
            assert_eq!(rig.passes(secs(1)).hears_vrrp(version, 9, 99), []);
            assert_eq!(rig.wait(), secs(3 - second) + SKEW, "{version:?}: the timer goes on");
        }
        assert_eq!(rig.times_out(), [Priority(100), Acquire]);
        assert_eq!(rig.input(Input::Acquired), [to_active(Cause::WorsePeer)]);
    }
}

#[test]
fn a_better_router_after_a_worse_one_is_followed() {
    let mut rig = setup(Version::V3).rig().backup();
    rig.passes(secs(1)).hears_vrrp(Version::V3, 9, 99);
    rig.passes(secs(1)).hears_vrrp(Version::V3, 8, 200);
    assert_eq!(rig.wait(), secs(3) + SKEW);
    rig.times_out();
    assert_eq!(rig.input(Input::Acquired), [to_active(Cause::ActiveDown)]);
}

#[test]
fn preemption_can_wait_until_the_worse_router_was_heard_for_a_time() {
    for version in Version::ALL {
        let preempt_delay = secs(5);
        let mut rig = VrrpSetup { preempt_delay, ..setup(version) }.rig().backup();
        for _ in 0..=4 {
            rig.passes(ms(1000)).hears_vrrp(version, 9, 50);
            assert_eq!(rig.wait(), secs(3) + SKEW, "{version:?}: followed meanwhile");
        }
        rig.passes(ms(1000)).hears_vrrp(version, 9, 50);
        assert_eq!(rig.wait(), secs(2) + SKEW, "and from then on ignored");
        rig.passes(ms(500)).hears_vrrp(version, 8, 150);
        rig.passes(ms(500)).hears_vrrp(version, 9, 50);
        assert_eq!(rig.wait(), secs(3) + SKEW, "a better one meanwhile: the delay begins again");
    }
}

#[test]
fn a_demoted_router_does_not_preempt() {
    for version in Version::ALL {
        let mut rig = setup(version).rig().backup();
        rig.input(demoted(60));
        rig.passes(secs(1)).hears_vrrp(version, 9, 50);
        assert_eq!(rig.wait(), secs(3) + SKEW_UNIT * 216, "{version:?}");
    }
}

// Learning the interval.

#[test]
fn version_3_learns_the_interval_of_the_active_router_and_its_skew() {
    for version in Version::THREES {
        for interval in [ms(10), ms(250), secs(1), ms(2_560), secs(4)] {
            let mut rig = setup(version).rig().backup();
            assert_eq!(rig.hears_every(version, 9, 200, interval), []);
            assert_eq!(rig.wait(), interval * 3 + interval * 156 / 256, "{interval:?}");
            let learned = rig.router.snapshot(rig.now).learned.unwrap();
            assert_eq!(learned, LearnedInterval { advertised: interval, reckoned: interval });
            assert!(!learned.is_absurd());
            rig.times_out();
            rig.input(Input::Acquired);
            assert_eq!(rig.wait(), secs(1), "its own adverts have its own interval");
        }
    }
}

#[test]
fn a10_an_absurd_interval_does_not_make_a_backup_wait_for_minutes() {
    let absurd = ms(40_950);
    for (own, reckoned) in [(ms(10), secs(4)), (secs(1), secs(4)), (secs(5), secs(20))] {
        let mut rig = VrrpSetup { interval: own, ..setup(Version::V3) }.rig().backup();
        rig.hears_every(Version::V3, 9, 200, absurd);
        assert_eq!(rig.wait(), reckoned * 3 + reckoned * 156 / 256, "{own:?}");
        let learned = rig.router.snapshot(rig.now).learned.unwrap();
        assert_eq!(learned, LearnedInterval { advertised: absurd, reckoned });
        assert!(learned.is_absurd());
        rig.hears_every(Version::V3, 9, 200, own);
        assert!(!rig.router.snapshot(rig.now).learned.unwrap().is_absurd());
    }
    let mut rig = VrrpSetup { interval: secs(11), ..setup(Version::V3) }.rig().backup();
    rig.hears_every(Version::V3, 9, 200, absurd);
    assert!(!rig.router.snapshot(rig.now).learned.unwrap().is_absurd(), "near enough to our own");
}

#[test]
fn ignored_and_rejected_adverts_teach_nothing() {
    let mut rig = setup(Version::V3).rig().backup();
    rig.hears_every(Version::V3, 9, 50, ms(10));
    assert_eq!((rig.wait(), rig.router.snapshot(rig.now).learned), (secs(3) + SKEW, None));

    let mut rig = setup(Version::V2).rig().backup();
    rig.hears_vrrp(Version::V2, 9, 200);
    assert_eq!(rig.router.snapshot(rig.now).learned, None, "version 2 does not learn");
}

#[test]
fn a_router_that_gives_way_learns_the_interval() {
    let mut rig = serving(&setup(Version::V3));
    rig.hears_every(Version::V3, 9, 200, ms(100));
    rig.input(Input::AnnouncementHeard);
    assert_eq!(rig.wait(), ms(300) + ms(100) * 156 / 256);
}

// Resignation.

#[test]
fn after_a_resignation_a_backup_waits_its_skew_time() {
    for version in Version::ALL {
        for (preempt, priority) in [(true, 200), (false, 200), (false, 50)] {
            let mut rig = VrrpSetup { preempt, ..setup(version) }.rig().backup();
            rig.hears_vrrp(version, 9, priority);
            assert_eq!(rig.passes(ms(300)).hears_vrrp(version, 9, 0), []);
            assert_eq!(rig.wait(), SKEW, "{version:?}");
            assert_eq!(rig.times_out(), [Priority(100), Acquire]);
            assert_eq!(rig.input(Input::Acquired), [to_active(Cause::Resigned)]);
        }
    }
}

#[test]
fn the_skew_after_a_resignation_is_a_part_of_the_learned_interval() {
    let mut rig = setup(Version::V3).rig().backup();
    rig.hears_every(Version::V3, 9, 200, ms(100));
    rig.hears_every(Version::V3, 9, 0, ms(100));
    assert_eq!(rig.wait(), ms(100) * 156 / 256);
}

#[test]
fn a_repeated_resignation_does_not_put_the_takeover_off() {
    for version in Version::ALL {
        let mut rig = setup(version).rig().backup();
        rig.hears_vrrp(version, 9, 200);
        rig.hears_vrrp(version, 9, 0);
        for _ in 0..60 {
            assert_eq!(rig.passes(ms(10)).hears_vrrp(version, 9, 0), []);
        }
        assert_eq!(rig.wait(), SKEW - ms(600));
    }
}

#[test]
fn a5_only_the_active_router_can_resign() {
    for version in Version::ALL {
        let mut rig = setup(version).rig().backup();
        rig.hears_vrrp(version, 9, 200);
        let wait = rig.wait();
        assert_eq!(rig.hears_vrrp(version, 8, 0), []);
        assert_eq!(rig.wait(), wait, "{version:?}");

        let mut rig = setup(version).rig().backup();
        rig.hears_vrrp(version, 8, 0);
        assert_eq!(rig.wait(), SKEW, "nobody else is known");

        let mut rig = setup(version).rig().backup();
        rig.hears_vrrp(version, 9, 200);
        rig.passes(secs(2)).hears_vrrp(version, 8, 50);
        rig.hears_vrrp(version, 8, 0);
        assert_eq!(rig.wait(), SKEW, "the worse one that is active now");
    }
}

#[test]
fn who_advertises_again_has_not_left() {
    for version in Version::ALL {
        let mut rig = setup(version).rig().backup();
        rig.hears_vrrp(version, 9, 200);
        rig.hears_vrrp(version, 9, 0);
        rig.passes(ms(100)).hears_vrrp(version, 9, 200);
        assert_eq!(rig.wait(), secs(3) + SKEW);
        rig.times_out();
        assert_eq!(rig.input(Input::Acquired), [to_active(Cause::ActiveDown)]);
    }
}

#[test]
fn an_active_router_answers_a_resignation_at_once_and_once_an_interval() {
    for version in Version::ALL {
        let mut rig = serving(&setup(version));
        rig.passes(ms(300));
        assert_eq!(rig.hears_vrrp(version, 9, 0), [Priority(100)], "{version:?}");
        assert_eq!(rig.wait(), secs(1), "the timer starts again");
        for _ in 0..9 {
            assert_eq!(rig.passes(ms(100)).hears_vrrp(version, 9, 0), []);
        }
        assert_eq!(rig.wait(), ms(100), "and a flood does not move it");
        assert_eq!(rig.times_out(), [Priority(100)]);
    }
}

// Being active.

#[test]
fn a_better_router_is_yielded_to_and_served_for_until_it_announces() {
    for version in Version::ALL {
        let mut rig = serving(&setup(version));
        assert_eq!(rig.hears_vrrp(version, 9, 101), [Priority(100)], "the farewell");
        assert_eq!(rig.phase(), Some(Phase::Leaving));
        assert_eq!(rig.input(Input::AnnouncementHeard), [Release, to_backup(Cause::BetterPeer)]);
        assert_eq!(rig.wait(), secs(3) + SKEW, "{version:?}");
    }
}

#[test]
fn of_equal_priorities_the_higher_address_stays() {
    // We are host 5.
    for version in Version::ALL {
        for (host, yields) in [(4, false), (6, true)] {
            let mut rig = serving(&setup(version));
            rig.hears_vrrp(version, host, 100);
            assert_eq!(rig.state() == State::Backup, yields, "{version:?} hears {host}");
        }
    }
}

#[test]
fn version_3_answers_a_worse_router_at_once_and_version_2_announces_only() {
    for version in Version::ALL {
        let mut rig = serving(&setup(version));
        rig.passes(ms(300));
        let effects = rig.hears_vrrp(version, 9, 99);
        if version == Version::V2 {
            assert_eq!(effects, [rival(version, 9), Announce]);
            assert_eq!(rig.wait(), ms(700), "the timer goes on");
        } else {
            assert_eq!(effects, [rival(version, 9), Priority(100), Announce], "{version:?}");
            assert_eq!(rig.wait(), secs(1));
        }
    }
}

#[test]
fn a6_a_flood_of_worse_adverts_is_answered_once_an_interval() {
    for version in Version::ALL {
        let mut rig = serving(&setup(version));
        let mut effects = Vec::new();
        for round in (0..100).cycle().take(500) {
            effects.extend(rig.hears_vrrp(version, 10 + round, 99));
            effects.extend(rig.runs(ms(10)).into_iter().map(|(_, effect)| effect));
        }
        let count = |wanted| effects.iter().filter(|effect| **effect == wanted).count();
        // In 5 s five adverts are due anyway.
        let adverts = if version == Version::V2 { 5..=5 } else { 6..=11 };
        assert!(adverts.contains(&count(Priority(100))), "{version:?}: {effects:?}");
        assert!((3..=6).contains(&count(Announce)), "{version:?}: {effects:?}");
    }
}

#[test]
fn the_crossing_advert_of_the_one_taken_over_from_is_answered_too() {
    for version in Version::ALL {
        let mut rig = setup(version).rig().acquiring();
        let answer = if version == Version::V2 { vec![] } else { vec![Priority(100)] };
        assert_eq!(rig.hears_vrrp(version, 9, 50), answer, "{version:?}");
        assert_eq!(rig.hears_vrrp(version, 9, 50), [], "once");
    }
}

#[test]
fn f50_two_owners_settle_in_version_3_and_stay_in_version_2() {
    for version in Version::THREES {
        let (mut rig, _) = with_priority(version, 255).rig().started();
        rig.input(Input::Acquired);
        rig.hears_vrrp(version, 9, 255);
        assert_eq!(rig.state(), State::Backup, "{version:?}: the higher address stays");
    }
    let (mut rig, _) = with_priority(Version::V2, 255).rig().started();
    rig.input(Input::Acquired);
    rig.runs(secs(10));
    assert_eq!(rig.hears_vrrp(Version::V2, 9, 255), [rival(Version::V2, 9), Announce]);
    assert_eq!(rig.hears_vrrp(Version::V2, 9, 0), [], "RFC 3768: an owner discards adverts");
    assert_eq!(rig.router.snapshot(rig.now).conflict, Some(Version::V2.host(9)));
}

#[test]
fn demotion_lowers_the_priority_and_is_told_at_once() {
    for version in Version::ALL {
        let mut rig = serving(&setup(version));
        assert_eq!(rig.input(demoted(30)), [Priority(70)]);
        assert_eq!(rig.input(demoted(200)), [Priority(1)], "never 0, which resigns");
        assert_eq!(rig.input(demoted(255)), []);
        assert_eq!(rig.input(demoted(0)), [Priority(100)]);

        let mut rig = with_priority(version, 255).rig().started().0;
        rig.input(Input::Acquired);
        assert_eq!(rig.input(demoted(255)), [], "an owner is 255 or not at all");
    }
}

#[test]
fn a_demoted_router_yields() {
    for version in Version::ALL {
        let mut rig = serving(&setup(version));
        rig.input(demoted(51));
        rig.hears_vrrp(version, 9, 50);
        assert_eq!(rig.phase(), Some(Phase::Leaving), "{version:?}");
    }
}

// Leaving.

#[test]
fn a_stop_resigns_with_priority_0_and_serves_until_the_successor_does() {
    for version in Version::ALL {
        let mut rig = serving(&setup(version));
        assert_eq!(rig.input(Input::Stop), [Resign]);
        assert_eq!(rig.times_out(), [Resign], "10 ms later, in case the first was lost");
        assert_eq!(rig.wait(), secs(2) - ms(10), "the interval and a second");
        assert_eq!(rig.passes(SKEW).hears_vrrp(version, 9, 50), []);
        let stopped = state(State::Active, State::Init, Cause::Stop);
        assert_eq!(rig.input(Input::AnnouncementHeard), [Release, stopped]);
    }
}

#[test]
fn every_successor_comes_within_the_handover_window() {
    for (version, interval) in [
        (Version::V2, secs(1)),
        (Version::V2, secs(255)),
        (Version::V3, ms(10)),
        (Version::V3, ms(40_950)),
    ] {
        let slowest = VrrpSetup { interval, ..with_priority(version, 1) };
        let mut successor = slowest.rig().backup();
        successor.hears_every(version, 9, 200, interval);
        successor.hears_every(version, 9, 0, interval);
        let window = slowest.config().handover();
        assert!(successor.wait() < window, "{version:?}: {:?}", successor.wait());
    }
}

#[test]
fn a_yield_is_not_taken_back_for_a_minute() {
    for version in Version::ALL {
        let mut rig = serving(&setup(version));
        assert_eq!(rig.input(Input::Yield), [Resign]);
        rig.hears_vrrp(version, 9, 50);
        assert_eq!(rig.input(Input::AnnouncementHeard), [Release, to_backup(Cause::Yield)]);
        for _ in 0..59 {
            assert_eq!(rig.passes(secs(1)).hears_vrrp(version, 9, 50), []);
            assert_eq!(rig.wait(), secs(3) + SKEW);
        }
        rig.passes(secs(1)).hears_vrrp(version, 9, 50);
        assert_eq!(rig.wait(), secs(2) + SKEW, "{version:?}: then it is ignored, and preempted");
    }
}

#[test]
fn an_active_router_that_slept_too_long_listens_first() {
    for version in Version::ALL {
        let mut rig = setup(version).rig().serving();
        rig.passes(secs(30));
        let effects = rig.hears_vrrp(version, 9, 50);
        assert_eq!(effects, [Release, to_backup(Cause::Paused)], "{version:?}");
        assert_eq!(rig.wait(), secs(3) + SKEW);
    }
}

#[test]
fn a_backup_that_slept_waits_one_more_interval_awake() {
    let mut rig = setup(Version::V3).rig().backup();
    rig.hears_every(Version::V3, 9, 200, secs(2));
    rig.passes(secs(60));
    assert_eq!(rig.input(Input::Timeout), []);
    assert_eq!(rig.wait(), secs(2), "the longer of both intervals");
    assert_eq!(rig.times_out(), [Priority(100), Acquire]);
}
