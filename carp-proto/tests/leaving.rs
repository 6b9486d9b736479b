//! Handovers, stops, and who holds back after them.

mod support;

use carp_proto::election::{Cause, Event, Input, LinkState, Phase, State, Wait};
use support::Effect::{Acquire, Announce, Claim, Release, Resign};
use support::words::{FAILED_TO_ACQUIRE, failed, native, state, to_backup};
use support::{Effect, Rig, Rigged as _, SKEW_UNIT, Setup, ip, ms, secs};

// Leaving.

#[test]
fn a_resignation_is_said_twice_and_the_addresses_stay_meanwhile() {
    let mut rig = native().rig().leaving(Input::Stop);
    assert_eq!((rig.wait(), rig.router.poll_timeout().unwrap().why), (ms(10), Wait::Resignation));
    assert_eq!(rig.times_out(), [Resign]);
    let window = secs(2) + SKEW_UNIT * 100;
    assert_eq!(rig.wait(), window - ms(10), "the interval and one second since the first");
    assert_eq!(rig.router.poll_timeout().unwrap().why, Wait::Handover);
    assert_eq!(rig.times_out(), [Release, state(State::Active, State::Init, Cause::Stop)]);
}

#[test]
fn the_successors_announcement_ends_the_handover() {
    let mut rig = native().rig().leaving(Input::Yield);
    rig.passes(ms(5));
    let expected = [Release, to_backup(Cause::Yield)];
    assert_eq!(rig.input(Input::AnnouncementHeard), expected);
    assert_eq!(rig.input(Input::AnnouncementHeard), [], "again");
    for mut rig in [
        native().rig(),
        native().rig().backup(),
        native().rig().acquiring(),
        native().rig().serving(),
    ] {
        assert_eq!(rig.input(Input::AnnouncementHeard), [], "while not leaving");
    }
}

#[test]
fn an_advert_of_the_successor_ends_the_handover_100_ms_after_its_first() {
    let expected = [Release, state(State::Active, State::Init, Cause::Stop)];
    let mut rig = native().rig().leaving(Input::Stop);
    assert_eq!(rig.passes(ms(3)).hears(ip(9), 0, 20), []);
    assert_eq!(rig.passes(ms(78)).hears(ip(9), 0, 20), [], "it may still take the addresses");
    assert_eq!(rig.passes(ms(78)).hears(ip(9), 0, 20), expected);
}

#[test]
fn of_several_successors_the_best_counts() {
    let mut rig = native().rig().leaving(Input::Stop);
    assert_eq!(rig.passes(ms(3)).hears(ip(8), 0, 30), []);
    assert_eq!(rig.passes(ms(3)).hears(ip(9), 0, 20), [], "a better one");
    assert_eq!(rig.passes(ms(3)).hears(ip(8), 0, 30), [], "the farewell of the first");
    assert_eq!(rig.passes(ms(120)).hears(ip(8), 0, 30), [], "which is not the successor");
    let expected = [Release, state(State::Active, State::Init, Cause::Stop)];
    assert_eq!(rig.hears(ip(9), 0, 20), expected);
}

#[test]
fn a_farewell_is_not_the_successors_second_advert() {
    let mut rig = native().rig().leaving(Input::Stop);
    assert_eq!(rig.hears(ip(8), 1, 200), []);
    assert_eq!(rig.passes(ms(2)).hears(ip(8), 1, 200), []);
    assert_eq!(rig.phase(), Some(Phase::Leaving));
}

#[test]
fn the_handover_ends_200_ms_after_the_successors_first_advert() {
    let mut rig = native().rig().leaving(Input::Yield);
    rig.passes(ms(20)).input(Input::Timeout);
    rig.passes(ms(30)).hears(ip(9), 1, 200);
    assert_eq!(rig.wait(), ms(200));
    assert_eq!(rig.times_out(), [Release, to_backup(Cause::Yield)]);

    let mut rig = Setup { handover: Some(ms(100)), ..native() }.rig().leaving(Input::Yield);
    rig.passes(ms(50)).hears(ip(9), 1, 200);
    rig.input(Input::Timeout);
    assert_eq!(rig.wait(), ms(50), "never later than the window");
}

#[test]
fn an_unanswered_yield_is_taken_back() {
    let mut rig = native().rig().leaving(Input::Yield);
    rig.times_out();
    let unanswered = Effect::Event(Event::YieldUnanswered);
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire, unanswered]);
    assert_eq!((rig.phase(), rig.held()), (Some(Phase::Serving), false));
    assert_eq!(rig.input(Input::Acquired), []);
    assert!(rig.runs(secs(2)).contains(&(secs(1), Announce)));
}

#[test]
fn an_unanswered_yield_without_addresses_is_a_fault() {
    let mut rig = native().rig().leaving(Input::Yield);
    rig.times_out();
    rig.times_out();
    assert_eq!(rig.input(FAILED_TO_ACQUIRE), [Resign, Release, to_backup(Cause::Fault)]);
}

#[test]
fn a_router_that_slept_through_its_handover_has_left() {
    let mut rig = native().rig().leaving(Input::Yield);
    rig.passes(secs(30));
    assert_eq!(rig.input(Input::Timeout), [Release, to_backup(Cause::Yield)]);
    let mut rig = native().rig().leaving(Input::Stop);
    rig.passes(secs(30));
    let stopped = state(State::Active, State::Init, Cause::Stop);
    assert_eq!(rig.input(Input::Timeout), [Release, stopped]);
}

#[test]
fn stop_ends_every_state() {
    let stopped = |from| state(from, State::Init, Cause::Stop);
    let prepares = Setup { prepare: Some(secs(5)), ..native() };
    let cases: [(Rig, Vec<Effect>); 5] = [
        (native().rig(), vec![]),
        (native().rig().backup(), vec![stopped(State::Backup)]),
        (prepares.rig().preparing(), vec![Resign, Release, stopped(State::Backup)]),
        (native().rig().acquiring(), vec![Resign, Release, stopped(State::Backup)]),
        (native().rig().serving(), vec![Resign]),
    ];
    for (mut rig, expected) in cases {
        assert_eq!(rig.input(Input::Stop), expected);
        rig.runs(secs(5));
        assert_eq!((rig.state(), rig.router.poll_timeout()), (State::Init, None));
        assert_eq!(rig.link_up(), [], "it stays stopped");
        assert_eq!(rig.input(Input::Stop), []);
    }
}

#[test]
fn a_router_that_was_stopped_starts_again() {
    let mut rig = native().rig().backup();
    rig.input(Input::Stop);
    assert_eq!(rig.input(Input::Start), [state(State::Init, State::Backup, Cause::Start)]);

    let mut rig = native().rig().leaving(Input::Stop);
    assert_eq!(rig.input(Input::Start), []);
    assert_eq!(rig.input(Input::AnnouncementHeard), [Release, to_backup(Cause::Yield)]);
}

#[test]
fn a_stop_while_yielding_stops() {
    let mut rig = native().rig().leaving(Input::Yield);
    assert_eq!(rig.input(Input::Stop), []);
    let stopped = state(State::Active, State::Init, Cause::Stop);
    assert_eq!(rig.input(Input::AnnouncementHeard), [Release, stopped]);
    let mut rig = native().rig().leaving(Input::Stop);
    assert_eq!(rig.input(Input::Yield), [], "not the other way round");
    rig.runs(secs(5));
    assert_eq!(rig.state(), State::Init);
}

#[test]
fn a_yield_before_the_addresses_are_there_withdraws() {
    let mut rig = native().rig().acquiring();
    assert_eq!(rig.input(Input::Yield), [Resign, Release, failed(Cause::Yield)]);
    assert!(rig.held());
    for mut rig in [native().rig(), native().rig().backup()] {
        assert_eq!(rig.input(Input::Yield), [], "there is nothing to yield");
    }
}

// Holding.

/// A preempting router that has yielded to 10.99.0.9.
fn yielded() -> Rig {
    let mut rig = Setup { preempt: true, ..native() }.rig().leaving(Input::Yield);
    rig.hears(ip(9), 1, 200);
    assert_eq!(rig.input(Input::AnnouncementHeard), [Release, to_backup(Cause::Yield)]);
    rig
}

#[test]
fn a_router_that_yielded_does_not_preempt_for_a_minute() {
    let mut rig = yielded();
    for _ in 0..59 {
        assert_eq!(rig.passes(secs(1)).hears(ip(9), 1, 200), []);
    }
    assert!(rig.held());
    assert_eq!(rig.passes(secs(1)).hears(ip(9), 1, 200), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn a_router_that_yielded_takes_over_when_the_successor_dies_or_resigns() {
    let mut rig = yielded();
    rig.hears(ip(9), 1, 200);
    assert_eq!(rig.wait(), (secs(1) + SKEW_UNIT * 200) * 3);
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire]);
    let mut rig = yielded();
    assert_eq!(rig.hears_resignation(ip(9)), [Claim(1, 100, 0), Acquire]);
    assert!(!rig.held());
}

#[test]
fn a_yield_to_a_slow_successor_lasts_too() {
    let mut rig = Setup { preempt: true, ..native() }.rig().leaving(Input::Yield);
    rig.hears(ip(9), 10, 0);
    rig.input(Input::AnnouncementHeard);
    assert_eq!(rig.wait(), secs(30), "from the first advert on");
    assert_eq!(rig.passes(secs(10)).hears(ip(9), 10, 0), []);
    assert_eq!(rig.wait(), secs(30));
}

#[test]
fn a_yield_outlasts_a_replugged_cable_and_a_fault_does_not() {
    let mut rig = yielded();
    for _ in 0..2 {
        rig.input(Input::Link(LinkState::Down));
        rig.link_up();
        assert!(rig.held());
    }
    assert_eq!(rig.hears(ip(9), 1, 200), []);
    let mut rig = yielded();
    rig.input(Input::Stop);
    rig.input(Input::Start);
    assert!(!rig.held());

    let mut rig = Setup { preempt: true, ..native() }.rig().acquiring();
    rig.input(FAILED_TO_ACQUIRE);
    assert_eq!(rig.hears(ip(9), 1, 200), [], "after a fault too");
    rig.input(Input::Link(LinkState::Down));
    rig.link_up();
    assert_eq!(rig.hears(ip(9), 1, 200), [Claim(1, 100, 0), Acquire]);
}
