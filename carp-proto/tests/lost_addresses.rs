//! What a router does when its addresses are removed.

mod support;

use std::time::Duration;

use carp_proto::election::{Cause, Event, Fault, Input, Phase, State};
use support::Effect::{Acquire, Announce, Claim, Release, Resign};
use support::words::{FAILED_TO_ACQUIRE, native, state, to_backup};
use support::{Effect, Rig, Rigged as _, ip, secs};

#[test]
fn a_lost_address_is_taken_again_and_announced() {
    let mut rig = native().rig().serving();
    rig.runs(secs(10));
    let lost = Effect::Event(Event::AddressLost);
    assert_eq!(rig.input(Input::AddressLost), [lost, Acquire]);
    assert_eq!(rig.input(Input::Acquired), [], "acquiring announces");
    let announced: Vec<Duration> = rig
        .runs(secs(10))
        .into_iter()
        .filter_map(|(at, effect)| (effect == Announce).then_some(at))
        .collect();
    assert_eq!(announced, [secs(1), secs(5)]);
}

#[test]
fn many_addresses_that_go_at_once_are_one_loss() {
    let lost = Effect::Event(Event::AddressLost);
    let mut rig = native().rig().serving();
    assert_eq!(rig.input(Input::AddressLost), [lost, Acquire]);
    for _ in 0..100 {
        assert_eq!(rig.input(Input::AddressLost), []);
    }
    assert_eq!(rig.input(Input::Acquired), [Acquire], "some may have gone after it began");
    assert_eq!(rig.input(Input::Acquired), []);
    assert_eq!(rig.runs(secs(2)).iter().filter(|(_, effect)| *effect == Resign).count(), 0);

    let mut rig = native().rig().acquiring();
    assert_eq!(rig.input(Input::AddressLost), []);
    assert_eq!(rig.input(Input::Acquired), [Acquire]);
    let active = state(State::Backup, State::Active, Cause::ActiveDown);
    assert_eq!(rig.input(Input::Acquired), [active]);
}

/// A serving router whose addresses have been removed three times within a minute.
fn contested() -> Rig {
    let mut rig = native().rig().serving();
    for _ in 0..2 {
        rig.input(Input::AddressLost);
        rig.input(Input::Acquired);
        rig.runs(secs(20));
    }
    let lost = Effect::Event(Event::AddressLost);
    assert_eq!(rig.input(Input::AddressLost), [lost, Acquire]);
    // Only then: what it announces must not come after what its successor announces.
    assert_eq!(rig.input(Input::Acquired), [Resign]);
    rig
}

#[test]
fn the_third_loss_within_a_minute_offers_the_addresses_to_another_router() {
    let mut rig = contested();
    assert_eq!((rig.phase(), rig.fault()), (Some(Phase::Leaving), Some(Fault::AddressLost)));
    assert_eq!(rig.input(Input::AddressLost), [], "it is not taken a second time");
    rig.hears(ip(9), 1, 200);
    let expected = [Release, to_backup(Cause::Fault)];
    assert_eq!(rig.input(Input::AnnouncementHeard), expected);
    assert_eq!((rig.fault(), rig.held()), (Some(Fault::AddressLost), true));
}

#[test]
fn addresses_that_nobody_else_takes_are_served_on_however_often_they_are_removed() {
    let mut rig = contested();
    let effects: Vec<Effect> = rig.runs(secs(3)).into_iter().map(|(_, effect)| effect).collect();
    let window = [Resign, Claim(1, 100, 0), Acquire, Effect::Event(Event::YieldUnanswered)];
    assert_eq!(effects[..4], window, "{effects:?}");
    assert!(!effects.contains(&Release), "{effects:?}");
    rig.input(Input::Acquired);
    assert_eq!((rig.phase(), rig.fault()), (Some(Phase::Serving), None));
    let lost = Effect::Event(Event::AddressLost);
    assert_eq!(rig.input(Input::AddressLost), [lost, Acquire], "it is counted anew");
}

#[test]
fn an_address_that_expired_is_taken_again_as_often_as_it_does() {
    let mut rig = native().rig().serving();
    for _ in 0..10 {
        let expired = Effect::Event(Event::AddressExpired);
        assert_eq!(rig.input(Input::AddressExpired), [expired, Acquire]);
        assert_eq!(rig.input(Input::Acquired), [], "acquiring announces");
        rig.runs(secs(1));
    }
    assert_eq!(rig.phase(), Some(Phase::Serving));
}

#[test]
fn what_expired_does_not_count_as_a_loss() {
    let mut rig = native().rig().serving();
    for input in [Input::AddressLost, Input::AddressExpired, Input::AddressLost] {
        rig.input(input);
        rig.input(Input::Acquired);
    }
    assert_eq!(rig.phase(), Some(Phase::Serving), "two losses are borne");
    rig.input(Input::AddressLost);
    rig.input(Input::Acquired);
    assert_eq!(rig.phase(), Some(Phase::Leaving), "the third one is not");
}

#[test]
fn an_address_that_expired_but_does_not_come_back_is_a_fault() {
    let mut rig = native().rig().serving();
    rig.input(Input::AddressExpired);
    assert_eq!(rig.input(Input::AddressExpired), [], "it is on its way back");
    rig.runs(secs(1));
    assert_eq!(rig.fault(), Some(Fault::AcquireTimeout));
    let mut rig = native().rig();
    assert_eq!(rig.input(Input::AddressExpired), [], "a router without addresses has none to lose");
}

#[test]
fn losses_that_are_far_apart_are_borne() {
    let mut rig = native().rig().serving();
    for _ in 0..10 {
        rig.input(Input::Fault(Fault::AddressLost));
        rig.input(Input::Acquired);
        rig.runs(secs(30));
    }
    assert_eq!(rig.phase(), Some(Phase::Serving));
}

#[test]
fn a_router_that_cannot_take_its_addresses_again_does_not_stay_active() {
    let mut rig = native().rig().serving();
    rig.input(Input::AddressLost);
    let expected = [Resign, Release, to_backup(Cause::Fault)];
    assert_eq!(rig.input(FAILED_TO_ACQUIRE), expected);

    let mut rig = native().rig().serving();
    rig.input(Input::AddressLost);
    let effects: Vec<Effect> = rig.runs(secs(1)).into_iter().map(|(_, effect)| effect).collect();
    assert!(effects.ends_with(&expected), "{effects:?}");
    assert_eq!(rig.fault(), Some(Fault::AcquireTimeout));
}
