//! Another host has one of the addresses, and is let keep it.

mod support;

use carp_proto::election::{Cause, Dialect, Fault, Input, Posture, State};
use support::Effect::{self, Acquire, Claim};
use support::{Rig, Rigged as _, SKEW_UNIT, Setup, ip, ms, secs, vrrp};

const PUT_OFF: Effect = Effect::State(State::Backup, State::Backup, Cause::Fault);

fn waiting() -> Rig {
    Setup::new().rig().backup()
}

#[test]
fn a_takeover_is_put_off_by_an_active_down_interval_and_told_once() {
    let mut rig = waiting();
    let active_down = rig.wait();
    assert_eq!(rig.input(Input::AddressInUse), []);
    assert_eq!(rig.fault(), None, "an advert may still come");
    assert_eq!(rig.times_out(), [PUT_OFF]);
    assert_eq!((rig.fault(), rig.wait()), (Some(Fault::AddressInUse), active_down));
    assert_eq!(rig.input(Input::AddressInUse), []);
    assert_eq!(rig.times_out(), [], "it has been told");
    assert_eq!(rig.wait(), active_down);
}

#[test]
fn a_host_that_is_not_heard_of_again_is_gone() {
    let mut rig = waiting();
    rig.input(Input::AddressInUse);
    rig.times_out();
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire]);
    assert_eq!(rig.fault(), Some(Fault::AddressInUse), "until a takeover succeeds");
    rig.input(Input::Acquired);
    assert_eq!((rig.state(), rig.fault()), (State::Active, None));
}

#[test]
fn an_advert_makes_it_meaningless() {
    let mut rig = waiting();
    rig.input(Input::AddressInUse);
    rig.passes(secs(1)).hears(ip(9), 1, 0);
    assert_eq!(rig.times_out(), [Claim(1, 100, 0), Acquire]);

    let mut rig = waiting();
    rig.input(Input::AddressInUse);
    rig.times_out();
    rig.hears(ip(9), 1, 0);
    assert_eq!(rig.fault(), None);
}

#[test]
fn what_rests_on_a_living_router_is_not_put_off() {
    let mut resigned = waiting();
    resigned.hears(ip(9), 1, 0);
    resigned.input(Input::AddressInUse);
    assert_eq!(resigned.hears_resignation(ip(9)), [Claim(1, 100, 0), Acquire]);

    let mut preempting = Setup { preempt: true, ..Setup::new() }.rig().backup();
    preempting.input(Input::AddressInUse);
    assert_eq!(preempting.hears(ip(9), 1, 200), [Claim(1, 100, 0), Acquire]);
}

#[test]
fn a_late_backup_listens_first_and_puts_off_then() {
    let mut rig = waiting();
    rig.input(Input::AddressInUse);
    let late = rig.wait() + secs(2);
    assert_eq!(rig.passes(late).input(Input::Timeout), []);
    assert_eq!(rig.wait(), secs(1) + SKEW_UNIT * 100);
    assert_eq!(rig.times_out(), [PUT_OFF]);
}

#[test]
fn a_router_that_waits_for_its_group_waits_again() {
    let mut rig = waiting();
    let active_down = rig.wait();
    rig.input(Input::Permit(false));
    assert_eq!(rig.times_out(), []);
    assert_eq!(rig.router.posture(), Posture::Willing);
    assert_eq!(rig.input(Input::AddressInUse), [PUT_OFF]);
    assert_eq!((rig.router.posture(), rig.wait()), (Posture::Backup, active_down));
    assert_eq!(rig.input(Input::Permit(true)), []);
}

#[test]
fn no_active_router_cares() {
    let cases = [
        Setup::new().rig(),
        Setup::new().rig().acquiring(),
        Setup::new().rig().serving(),
        Setup::new().rig().leaving(Input::Stop),
    ];
    for mut rig in cases {
        let (state, deadline) = (rig.state(), rig.router.poll_timeout());
        for input in [Input::AddressInUse, Input::Fault(Fault::AddressInUse)] {
            assert_eq!(rig.input(input), []);
        }
        assert_eq!((rig.state(), rig.router.poll_timeout()), (state, deadline));
        assert_eq!(rig.fault(), None);
    }
}

#[test]
fn it_is_so_in_vrrp() {
    let setup = Setup { vrrp: Some(vrrp::Version::V3), ..Setup::new() };
    let mut rig = setup.rig().backup();
    let active_down = rig.wait();
    assert!(active_down > secs(3) && active_down < secs(4), "{active_down:?}");
    rig.passes(ms(100)).input(Input::AddressInUse);
    assert_eq!(rig.times_out(), [PUT_OFF]);
    assert_eq!(rig.wait(), active_down);
}

#[test]
fn it_is_so_in_every_dialect() {
    for dialect in Dialect::ALL {
        let mut rig = Setup { dialect, ..Setup::new() }.rig().backup();
        rig.input(Input::AddressInUse);
        assert_eq!(rig.times_out(), [PUT_OFF], "{dialect}");
    }
}
