//! What an active router does: adverts, rivals, announcements, and sleep.

mod support;

use std::time::Duration;

use carp_proto::election::{
    AnnouncePlan, Cause, Dialect, Event, Input, LinkState, Phase, State, Wait,
};
use support::Effect::{Acquire, Announce, Claim, Release};
use support::words::{FAILED_TO_ACQUIRE, demoted, failed, native, state, to_backup, with};
use support::{Effect, Rigged as _, SKEW_UNIT, Setup, ip, ms, secs};

#[test]
fn an_active_router_advertises_every_interval_and_keeps_the_rhythm() {
    let quiet = AnnouncePlan { burst: 1, repeat: [None; 4], refresh: None };
    let mut rig = Setup { announce: quiet, ..native() }.rig().serving();
    let interval = secs(1) + SKEW_UNIT * 100;
    assert_eq!(rig.wait(), interval);
    assert_eq!(rig.times_out(), [Claim(1, 100, 0)]);
    rig.passes(interval + ms(7));
    assert_eq!(rig.input(Input::Timeout), [Claim(1, 100, 0)]);
    assert_eq!(rig.wait(), interval - ms(7));
    for late in [ms(30), secs(1), secs(3)] {
        let wait = rig.wait();
        rig.passes(wait + late);
        assert_eq!(rig.input(Input::Timeout), [Claim(1, 100, 0)]);
        assert_eq!(rig.wait(), interval - ms(10), "missed adverts are not made up for");
    }
}

#[test]
fn a_strictly_better_router_is_yielded_to_with_or_without_a_farewell() {
    for (dialect, farewell) in [
        (Dialect::Native, true),
        (Dialect::Ucarp, true),
        (Dialect::FreeBsd, false),
        (Dialect::OpenBsd, false),
    ] {
        let mut rig = with(dialect).rig().serving();
        let mut effects = rig.hears(ip(9), 1, 99);
        assert_eq!(rig.phase(), Some(Phase::Leaving), "{dialect} serves until the other does");
        rig.passes(ms(2));
        effects.extend(rig.input(Input::AnnouncementHeard));
        let mut expected = vec![Release, to_backup(Cause::BetterPeer)];
        if farewell {
            expected.insert(0, Claim(1, 100, 0));
        }
        assert_eq!(effects, expected, "{dialect}");
        assert_eq!(rig.wait(), secs(3) + SKEW_UNIT * 100 - ms(2), "since its advert");

        let mut rig = with(dialect).rig().acquiring();
        *expected.last_mut().unwrap() = failed(Cause::BetterPeer);
        assert_eq!(rig.hears(ip(9), 1, 99), expected, "{dialect}, before it had the addresses");
        assert_eq!(rig.input(Input::Acquired), [], "too late");
    }
}

#[test]
fn who_yields_to_a_better_router_serves_until_that_announces_or_200_ms_have_passed() {
    let gives_way = || {
        let mut rig = native().rig().serving();
        assert_eq!(rig.hears(ip(9), 1, 0), [Claim(1, 100, 0)]);
        rig
    };
    let gone = [Release, to_backup(Cause::BetterPeer)];
    assert_eq!(gives_way().wait(), ms(200));
    assert_eq!(gives_way().times_out(), gone);
    let mut short = Setup { handover: Some(ms(50)), ..native() }.rig().serving();
    short.hears(ip(9), 1, 0);
    assert_eq!(short.wait(), ms(50), "never longer than the handover window");

    let mut rig = gives_way();
    assert_eq!(rig.passes(ms(5)).hears(ip(9), 1, 0), [], "its repeated advert");
    assert_eq!(rig.input(Input::Link(LinkState::Down))[0], Release);
    assert_eq!(gives_way().input(Input::Stop), []);
    let mut rig = gives_way();
    rig.input(Input::Stop);
    assert_eq!(rig.times_out(), [Release, state(State::Active, State::Init, Cause::Stop)]);
    let mut rig = gives_way();
    assert_eq!(rig.input(Input::Start), [], "it runs");
    assert_eq!(rig.times_out(), gone);
    let mut rig = gives_way();
    assert_eq!(rig.input(Input::Yield), []);
    assert_eq!(rig.times_out(), [Release, to_backup(Cause::Yield)]);
    assert!(rig.held());
}

#[test]
fn who_yields_to_a_router_that_resigns_at_once_serves_on() {
    let mut rig = native().rig().serving();
    rig.hears(ip(9), 1, 0);
    assert_eq!(rig.hears_resignation(ip(8)), [], "not of the one that it yields to");
    assert_eq!(rig.hears_resignation(ip(9)), [Claim(1, 100, 0), Acquire]);
    assert_eq!(rig.input(Input::Acquired), []);
    assert_eq!((rig.state(), rig.phase()), (State::Active, Some(Phase::Serving)));
}

#[test]
fn a_tie_is_broken_as_the_dialect_says_and_without_a_farewell() {
    // We are 10.99.0.5.
    for (dialect, lower_stays, higher_stays) in [
        (Dialect::Native, true, false),
        (Dialect::Ucarp, true, false),
        (Dialect::FreeBsd, true, true),
        (Dialect::OpenBsd, true, true),
    ] {
        for (source, yields) in [(ip(4), lower_stays), (ip(6), higher_stays)] {
            let mut rig = with(dialect).rig().serving();
            let effects = rig.hears(source, 1, 100);
            let expected = if yields {
                vec![Release, to_backup(Cause::BetterPeer)]
            } else {
                vec![Effect::Event(Event::Rival { source }), Announce]
            };
            assert_eq!(effects, expected, "{dialect} hears {source}");
        }
    }
}

#[test]
fn a_worse_active_router_is_answered_at_once_and_after_one_and_five_seconds() {
    for dialect in Dialect::ALL {
        let plan = AnnouncePlan { refresh: None, ..AnnouncePlan::default() };
        let mut rig = Setup { announce: plan, ..with(dialect) }.rig().serving();
        rig.runs(secs(10));
        let rival = Effect::Event(Event::Rival { source: ip(9) });
        assert_eq!(rig.hears(ip(9), 1, 101), [rival, Announce], "{dialect}");
        let announced: Vec<Duration> = rig
            .runs(secs(20))
            .into_iter()
            .filter_map(|(at, effect)| (effect == Announce).then_some(at))
            .collect();
        assert_eq!(announced, [secs(1), secs(5)], "{dialect}");
    }
}

/// What comes of worse routers that advertise a hundred times, every 50 ms, each time from the next of these sources.
fn besieged(sources: impl Iterator<Item = u8>) -> Vec<Effect> {
    let mut rig = native().rig().serving();
    rig.runs(secs(10));
    let mut effects = Vec::new();
    for source in sources.take(100) {
        effects.extend(rig.hears(ip(source), 1, 200));
        effects.extend(rig.runs(ms(50)).into_iter().map(|(_, effect)| effect));
    }
    effects
}

#[test]
fn a_loud_rival_gets_one_announcement_an_interval_and_one_event() {
    let effects = besieged(std::iter::repeat(9));
    let count = |wanted: &Effect| effects.iter().filter(|effect| *effect == wanted).count();
    assert_eq!(count(&Effect::Event(Event::Rival { source: ip(9) })), 1);
    assert!((3..=4).contains(&count(&Announce)), "{} in 5 s", count(&Announce));
}

#[test]
fn rivals_with_many_sources_get_no_more_announcements_than_one() {
    let effects = besieged(10..);
    let announced = effects.iter().filter(|effect| **effect == Announce).count();
    let events = effects.iter().filter(|effect| matches!(effect, Effect::Event(_))).count();
    assert!((3..=4).contains(&announced), "{announced} in 5 s");
    assert!((3..=4).contains(&events), "{events} in 5 s");
}

#[test]
fn announcements_follow_the_plan() {
    let repeat = [Some(ms(500)), Some(secs(2)), Some(secs(4)), None];
    let plan = AnnouncePlan { burst: 3, repeat, refresh: Some(secs(10)) };
    let mut rig = Setup { announce: plan, ..native() }.rig().serving();
    let announced: Vec<Duration> = rig
        .runs(secs(30))
        .into_iter()
        .filter_map(|(at, effect)| (effect == Announce).then_some(at))
        .collect();
    assert_eq!(announced[..3], [ms(500), secs(2), secs(4)]);
    for pair in announced[2..].windows(2) {
        let pause = pair[1] - pair[0];
        assert!((secs(9)..=secs(11)).contains(&pause), "{announced:?}");
    }
    assert!((4..=5).contains(&announced.len()), "{announced:?}");
}

#[test]
fn routers_that_take_over_together_do_not_refresh_together() {
    let plan = AnnouncePlan { burst: 1, repeat: [None; 4], refresh: Some(secs(60)) };
    let refresh = |seed| {
        let mut rig = Setup { announce: plan, seed, ..native() }.rig().serving();
        let announced = rig.runs(secs(70)).into_iter().find(|(_, effect)| *effect == Announce);
        announced.unwrap().0
    };
    let mut times: Vec<Duration> = (0..100).map(refresh).collect();
    times.sort();
    assert!(times[0] >= secs(54) && times[99] <= secs(66), "{times:?}");
    assert!(times[0] < secs(55) && times[99] > secs(65), "they use the room: {times:?}");
    for second in times.windows(26) {
        assert!(second[25] - second[0] > secs(1), "no second has a quarter of them: {times:?}");
    }
}

#[test]
fn a_refresh_of_nothing_is_no_loop() {
    let plan = AnnouncePlan { burst: 1, repeat: [None; 4], refresh: Some(Duration::ZERO) };
    let mut rig = Setup { announce: plan, ..native() }.rig().serving();
    let announced = rig.runs(secs(10)).into_iter().filter(|(_, effect)| *effect == Announce);
    assert!((9..=11).contains(&announced.count()));
}

#[test]
fn an_active_router_that_slept_too_long_listens_first() {
    let down = secs(3) + SKEW_UNIT * 100;
    for mut rig in [native().rig().acquiring(), native().rig().serving()] {
        let wait = rig.router.poll_timeout().unwrap();
        let advert_at =
            if wait.why == Wait::Advert { rig.wait() } else { secs(1) + SKEW_UNIT * 100 };
        rig.passes(advert_at + down + ms(1));
        let from = if rig.phase() == Some(Phase::Serving) { State::Active } else { State::Backup };
        let expected = [Release, state(from, State::Backup, Cause::Paused)];
        assert_eq!(rig.input(Input::Timeout), expected);
        assert_eq!(rig.wait(), down);
    }
}

#[test]
fn an_active_router_that_slept_a_little_goes_on() {
    let mut rig = native().rig().serving();
    let wait = rig.wait().max(secs(1) + SKEW_UNIT * 100);
    rig.passes(wait + secs(3));
    assert!(rig.input(Input::Timeout).contains(&Claim(1, 100, 0)));
    assert_eq!(rig.state(), State::Active);
}

#[test]
fn whatever_wakes_a_router_that_slept_too_long_finds_a_backup() {
    let inputs = [Input::Acquired, Input::AddressLost, demoted(5), Input::Yield, FAILED_TO_ACQUIRE];
    for input in inputs {
        let mut rig = native().rig().serving();
        rig.passes(secs(30));
        assert_eq!(rig.input(input), [Release, to_backup(Cause::Paused)], "{input:?}");
    }
    let mut rig = native().rig().serving();
    rig.passes(secs(30));
    assert_eq!(rig.hears(ip(9), 1, 200), [Release, to_backup(Cause::Paused)]);
    let mut rig = native().rig().serving();
    rig.passes(secs(30));
    let stopped = state(State::Backup, State::Init, Cause::Stop);
    assert_eq!(rig.input(Input::Stop), [Release, to_backup(Cause::Paused), stopped]);
}

#[test]
fn what_a_router_that_slept_hears_first_is_no_reason_to_take_over() {
    let interval = secs(1) + SKEW_UNIT * 100;
    let quarter = interval / 4;
    // One that was active, and preempts.
    let mut rig = Setup { preempt: true, ..native() }.rig().serving();
    rig.passes(secs(30));
    assert_eq!(rig.hears(ip(9), 1, 200), [Release, to_backup(Cause::Paused)]);
    assert_eq!(rig.wait(), quarter);
    rig.passes(ms(1)).hears(ip(9), 1, 200);
    assert_eq!(rig.wait(), quarter - ms(1), "it is not put off");
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire]);

    // A backup, for which a resignation has waited, and behind it the successor's advert.
    let mut rig = native().rig().backup();
    rig.hears(ip(9), 1, 0);
    rig.passes(secs(9));
    assert_eq!(rig.hears_resignation(ip(9)), []);
    assert_eq!(rig.hears(ip(8), 1, 50), []);
    assert_eq!(rig.wait(), secs(3) + SKEW_UNIT * 100);

    // And without a successor.
    let mut rig = native().rig().backup();
    rig.hears(ip(9), 1, 0);
    rig.passes(secs(9));
    assert_eq!(rig.hears_resignation(ip(9)), []);
    assert_eq!(rig.wait(), quarter);
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn a_handover_that_was_slept_through_from_its_beginning_is_over() {
    let mut rig = native().rig().serving();
    rig.input(Input::Yield);
    // The resignation was to be repeated after 10 ms, and the window ends after 2.4 s.
    rig.passes(ms(11) + secs(3) + SKEW_UNIT * 100);
    assert_eq!(rig.input(Input::Timeout), [Release, to_backup(Cause::Yield)]);
}
