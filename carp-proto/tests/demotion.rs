//! What demotion does to what a router says, and to whom it gives way.

mod support;

use carp_proto::election::{Cause, Dialect, Input, Phase, State};
use support::Effect::{Acquire, Claim, Release};
use support::words::{demoted, native, to_backup, with};
use support::{Rigged as _, SKEW_UNIT, Setup, ip, secs};

#[test]
fn demotion_by_skew_is_clamped_and_told_at_once() {
    for dialect in [Dialect::Native, Dialect::FreeBsd, Dialect::Ucarp] {
        let mut rig = with(dialect).rig().serving();
        assert_eq!(rig.input(demoted(50)), [Claim(1, 150, 0)], "{dialect}");
        assert_eq!(rig.input(demoted(50)), [], "nothing new");
        assert_eq!(rig.input(demoted(1000)), [Claim(1, 240, 0)]);
        assert_eq!(rig.input(demoted(200)), [], "clamped alike");
        assert_eq!(rig.input(demoted(0)), [Claim(1, 100, 0)]);
        let mut rig = Setup { advskew: 250, ..with(dialect) }.rig().serving();
        assert_eq!(rig.input(demoted(1)), [], "a configured skew above 240 stays");
    }
}

#[test]
fn demotion_by_byte_leaves_the_skew_alone() {
    let mut rig = with(Dialect::OpenBsd).rig().serving();
    assert_eq!(rig.input(demoted(3)), [Claim(1, 100, 3)]);
    assert_eq!(rig.input(demoted(300)), [Claim(1, 100, 255)]);
    assert_eq!(rig.input(demoted(0)), [Claim(1, 100, 0)]);
}

#[test]
fn a_demoted_router_tells_it_while_it_takes_over_and_never_as_backup() {
    let mut rig = native().rig().acquiring();
    assert_eq!(rig.input(demoted(50)), [Claim(1, 150, 0)]);
    for mut rig in [native().rig(), native().rig().backup(), native().rig().leaving(Input::Stop)] {
        assert_eq!(rig.input(demoted(50)), []);
    }
}

#[test]
fn a_demoted_router_yields_and_does_not_preempt() {
    let mut rig = Setup { preempt: true, advskew: 0, ..native() }.rig().serving();
    rig.input(demoted(150));
    rig.hears(ip(9), 1, 100);
    assert_eq!(rig.input(Input::AnnouncementHeard), [Release, to_backup(Cause::BetterPeer)]);
    assert_eq!(rig.hears(ip(9), 1, 100), []);
    rig.input(demoted(0));
    assert_eq!(rig.state(), State::Backup);
    assert_eq!(rig.hears(ip(9), 1, 100), [Claim(1, 0, 0), Acquire]);
}

#[test]
fn the_demotion_byte_counts_before_the_interval_in_the_openbsd_dialect_alone() {
    for (dialect, takes_over) in
        [(Dialect::OpenBsd, true), (Dialect::Native, false), (Dialect::FreeBsd, false)]
    {
        let mut rig = with(dialect).rig().backup();
        let effects = rig.hears_demoted(ip(9), 1, 0, 1);
        assert_eq!(!effects.is_empty(), takes_over, "{dialect}: a demoted active router");
        let mut rig = with(dialect).rig().serving();
        rig.hears_demoted(ip(9), 1, 0, 1);
        let stays = rig.phase() == Some(Phase::Serving);
        assert_eq!(stays, takes_over, "{dialect}: while active");
    }
    let mut rig = with(Dialect::OpenBsd).rig().serving();
    rig.input(demoted(2));
    rig.hears_demoted(ip(9), 10, 0, 1);
    rig.input(Input::AnnouncementHeard);
    assert_eq!(rig.state(), State::Backup, "less demoted is better, whatever the interval");
    assert_eq!(rig.wait(), secs(30), "and is not dead between two adverts");
    assert_eq!(rig.hears_demoted(ip(9), 10, 0, 1), []);
}

#[test]
fn a_demoted_router_with_advbase_0_does_not_take_from_a_better_one() {
    let mut rig = Setup { advbase: 0, advskew: 20, ..native() }.rig().backup();
    rig.input(demoted(220));
    assert_eq!(rig.hears(ip(9), 0, 128), []);
    assert_eq!(rig.wait(), SKEW_UNIT * 128 * 3);
}
