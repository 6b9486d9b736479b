//! A takeover that something outside of the election forbids.

mod support;

use carp_proto::election::{Bar, Cause, Fault, Input, Posture, State};
use support::Effect::{self, Acquire, Claim, Priority};
use support::vrrp::{Version, VrrpSetup};
use support::{Rig, Rigged as _, Setup, ip, ms, secs};

const PUT_OFF: Effect = Effect::State(State::Backup, State::Backup, Cause::Fault);

fn barred(setup: Setup, bar: Bar) -> Rig {
    let mut rig = setup.rig();
    assert_eq!(rig.input(Input::Bar(bar)), []);
    rig.backup()
}

fn preempting() -> Setup {
    Setup { preempt: true, ..Setup::new() }
}

#[test]
fn silence_is_no_reason_while_the_active_router_is_known_to_live() {
    for bar in [Bar::Silence, Bar::Takeover] {
        let mut rig = barred(Setup::new(), bar);
        assert_eq!(rig.times_out(), [PUT_OFF], "{bar:?}");
        assert_eq!(rig.fault(), Some(Fault::Barred));
        for _ in 0..10 {
            assert_eq!(rig.times_out(), [], "it has been told");
        }
        // The moment when it is allowed is the moment of the takeover.
        assert_eq!(
            rig.passes(ms(100)).input(Input::Bar(Bar::Nothing)),
            [Claim(1, 100, 0), Acquire]
        );
        rig.input(Input::Acquired);
        assert_eq!((rig.state(), rig.fault()), (State::Active, None));
    }
}

#[test]
fn a_bar_that_is_lifted_before_the_deadline_has_done_nothing() {
    let mut rig = barred(Setup::new(), Bar::Silence);
    assert_eq!(rig.passes(secs(1)).input(Input::Bar(Bar::Nothing)), []);
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn a_bar_is_told_of_when_it_stands_in_the_way_and_not_before() {
    let mut rig = Setup::new().rig().backup();
    rig.hears(ip(9), 1, 0);
    for bar in [Bar::Silence, Bar::Takeover, Bar::Nothing] {
        assert_eq!((rig.input(Input::Bar(bar)), rig.fault()), (vec![], None), "{bar:?}");
    }
}

#[test]
fn a_bar_that_is_lifted_is_no_fault_any_more_while_the_group_is_waited_for() {
    let mut rig = Setup::new().rig();
    rig.input(Input::Permit(false));
    rig.input(Input::Bar(Bar::Takeover));
    let mut rig = rig.backup();
    assert_eq!((rig.times_out(), rig.fault()), (vec![PUT_OFF], Some(Fault::Barred)));
    assert_eq!((rig.input(Input::Bar(Bar::Nothing)), rig.fault()), (vec![], None));
    assert_eq!(rig.router.posture(), Posture::Willing);
    let again = (rig.input(Input::Bar(Bar::Takeover)), rig.fault());
    assert_eq!(again, (vec![PUT_OFF], Some(Fault::Barred)), "the next one stands in the way too");
}

#[test]
fn what_a_barred_router_hears_gives_it_a_new_deadline_which_the_end_of_the_bar_does_not_bring_forward()
 {
    for version in Version::ALL {
        let barred = || {
            let mut rig = VrrpSetup { priority: 200, ..VrrpSetup::new(version) }.rig().backup();
            rig.hears_vrrp(version, 9, 100);
            rig.input(Input::Bar(Bar::Takeover));
            assert_eq!(rig.times_out(), [PUT_OFF], "{version:?}");
            rig.passes(secs(1));
            rig
        };
        let mut worse = barred();
        assert_eq!(worse.hears_vrrp(version, 9, 100), []);
        assert_eq!(
            worse.input(Input::Bar(Bar::Nothing)),
            [],
            "{version:?}: it preempts by silence"
        );
        let mut resigned = barred();
        assert_eq!(resigned.hears_vrrp(version, 9, 0), []);
        assert_eq!(
            resigned.input(Input::Bar(Bar::Nothing)),
            [],
            "{version:?}: after its skew time"
        );
        assert_eq!(resigned.times_out(), [Priority(200), Acquire]);
    }
}

#[test]
fn an_address_that_somebody_else_had_before_the_bar_does_not_outlast_it() {
    let mut rig = barred(preempting(), Bar::Takeover);
    rig.input(Input::AddressInUse);
    assert_eq!(rig.hears(ip(9), 1, 200), [PUT_OFF], "whoever advertises is who has it");
    assert_eq!(rig.input(Input::Bar(Bar::Nothing)), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn an_owner_whose_bar_is_lifted_does_not_wait_for_a_deadline() {
    let mut rig = VrrpSetup { priority: 255, ..VrrpSetup::new(Version::V3) }.rig();
    rig.input(Input::Bar(Bar::Takeover));
    let mut rig = rig.backup();
    assert_eq!(rig.passes(ms(10)).input(Input::Bar(Bar::Nothing)), [Priority(255), Acquire]);
}

#[test]
fn an_advert_makes_it_an_ordinary_backup_again() {
    let mut rig = barred(Setup::new(), Bar::Silence);
    rig.times_out();
    assert_eq!(rig.hears(ip(9), 1, 0), []);
    assert_eq!(rig.fault(), None);
    assert_eq!(rig.input(Input::Bar(Bar::Nothing)), [], "the active router is heard");
}

#[test]
fn where_adverts_arrive_silence_is_not_what_it_acts_on() {
    let mut rig = barred(preempting(), Bar::Silence);
    assert_eq!(rig.hears(ip(9), 1, 200), [Claim(1, 100, 0), Acquire]);
    let mut rig = barred(Setup::new(), Bar::Silence);
    rig.hears(ip(9), 1, 0);
    assert_eq!(rig.hears_resignation(ip(9)), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn data_that_are_too_old_are_never_served() {
    let mut rig = barred(preempting(), Bar::Takeover);
    assert_eq!(rig.hears(ip(9), 1, 200), [PUT_OFF]);
    rig.hears(ip(9), 1, 200);
    assert_eq!(rig.hears_resignation(ip(9)), []);
    assert_eq!(rig.times_out(), []);
    assert_eq!(rig.input(Input::Bar(Bar::Silence)), [Claim(1, 100, 0), Acquire], "it has resigned");
}

#[test]
fn an_active_router_is_not_concerned() {
    let mut rig = Setup::new().rig().serving();
    assert_eq!(rig.input(Input::Bar(Bar::Takeover)), []);
    rig.runs(secs(60));
    assert_eq!(rig.state(), State::Active);
}

#[test]
fn another_host_that_has_the_address_is_minded_when_the_bar_is_lifted() {
    let mut rig = barred(Setup::new(), Bar::Silence);
    rig.times_out();
    rig.input(Input::AddressInUse);
    assert_eq!(rig.input(Input::Bar(Bar::Nothing)), [PUT_OFF]);
    assert_eq!(rig.fault(), Some(Fault::AddressInUse));
}

#[test]
fn a_router_that_waits_for_its_group_does_not_count_as_willing_any_more() {
    let mut rig = Setup::new().rig();
    rig.input(Input::Permit(false));
    let mut rig = rig.backup();
    rig.times_out();
    assert_eq!(rig.router.posture(), Posture::Willing);
    assert_eq!(rig.input(Input::Bar(Bar::Silence)), [PUT_OFF]);
    assert_eq!(rig.router.posture(), Posture::Backup);
    assert_eq!(rig.input(Input::Permit(true)), []);
    assert_eq!(rig.input(Input::Bar(Bar::Nothing)), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn in_vrrp_too_and_for_an_owner_only_if_its_data_are_too_old() {
    for version in Version::ALL {
        let mut rig = VrrpSetup::new(version).rig();
        rig.input(Input::Bar(Bar::Silence));
        let mut rig = rig.backup();
        assert_eq!(rig.times_out(), [PUT_OFF], "{version:?}");
        assert_eq!(rig.input(Input::Bar(Bar::Nothing)), [Priority(100), Acquire]);

        let owner = VrrpSetup { priority: 255, ..VrrpSetup::new(version) };
        let mut rig = owner.rig();
        rig.input(Input::Bar(Bar::Silence));
        rig.input(Input::Start);
        assert_eq!(rig.link_up(), [Priority(255), Acquire], "{version:?}");
        let mut rig = owner.rig();
        rig.input(Input::Bar(Bar::Takeover));
        let mut rig = rig.backup();
        assert_eq!(rig.times_out(), [PUT_OFF]);
        assert_eq!(rig.input(Input::Bar(Bar::Nothing)), [Priority(255), Acquire]);
    }
}
