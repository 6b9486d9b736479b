//! Adverts that arrive after the resignation that was sent behind them.

mod support;

use carp_proto::election::{Input, Phase, State};
use support::vrrp::{Version, VrrpSetup};
use support::{Rigged as _, Setup, ip, ms};

/// A datagram may be overtaken by the next one. What was said before the goodbye counts for nothing.
#[test]
fn an_advert_that_its_senders_resignation_has_overtaken_is_not_believed() {
    for (after, state) in
        [(ms(0), State::Active), (ms(99), State::Active), (ms(100), State::Backup)]
    {
        let mut rig = Setup::new().rig().backup();
        rig.hears(ip(9), 1, 0);
        rig.hears_resignation(ip(9));
        rig.input(Input::Acquired);
        assert_eq!(rig.state(), State::Active);
        rig.passes(after).hears(ip(9), 1, 0);
        rig.input(Input::AnnouncementHeard);
        assert_eq!(rig.state(), state, "{after:?}");
    }
    // Another one is believed at once.
    let mut rig = Setup::new().rig().backup();
    rig.hears(ip(9), 1, 0);
    rig.hears_resignation(ip(9));
    rig.input(Input::Acquired);
    rig.hears(ip(8), 1, 0);
    rig.input(Input::AnnouncementHeard);
    assert_eq!(rig.state(), State::Backup);
}

/// Another router's advert of worse rank came first, and that one resigned while the addresses were being taken.
#[test]
fn who_hears_a_resignation_while_it_is_active_does_not_believe_what_it_has_overtaken() {
    let taking_over = || {
        let mut rig = Setup { preempt: true, ..Setup::new() }.rig().backup();
        rig.hears(ip(9), 1, 0);
        // Its next advert is late.
        rig.passes(ms(1001)).hears(ip(8), 200, 0);
        assert_eq!(rig.phase(), Some(Phase::TakingOver));
        rig
    };
    for serves in [false, true] {
        for (after, state) in [(ms(99), State::Active), (ms(100), State::Backup)] {
            let mut rig = taking_over();
            if serves {
                rig.input(Input::Acquired);
            }
            rig.hears_resignation(ip(9));
            // What says it again does not put it off.
            rig.passes(ms(50)).hears_resignation(ip(9));
            rig.passes(after - ms(50)).hears(ip(9), 1, 0);
            rig.input(Input::Acquired);
            rig.input(Input::AnnouncementHeard);
            assert_eq!(rig.state(), state, "{serves} {after:?}");
        }
    }
}

/// Of two that resign one after the other, the later one's adverts are not believed either.
#[test]
fn a_resignation_counts_although_another_router_has_just_resigned() {
    let mut rig = Setup { preempt: true, ..Setup::new() }.rig().backup();
    rig.hears(ip(9), 1, 0);
    rig.passes(ms(1001)).hears(ip(8), 200, 0);
    rig.input(Input::Acquired);
    rig.hears_resignation(ip(7));
    rig.passes(ms(10)).hears_resignation(ip(9));
    rig.passes(ms(10)).hears(ip(9), 1, 0);
    rig.input(Input::AnnouncementHeard);
    assert_eq!(rig.state(), State::Active);
}

#[test]
fn half_of_a_short_interval_is_all_that_an_advert_is_late_by() {
    for (after, believed) in [(ms(49), false), (ms(50), true)] {
        let short = VrrpSetup { interval: ms(100), ..VrrpSetup::new(Version::V3) };
        let mut rig = short.rig().backup();
        rig.hears_every(Version::V3, 9, 200, ms(100));
        rig.hears_every(Version::V3, 9, 0, ms(100));
        let skew_time = rig.wait();
        assert!(skew_time > ms(50) && skew_time < ms(100), "{skew_time:?}");
        rig.passes(after).hears_every(Version::V3, 9, 200, ms(100));
        let waits_for_silence = rig.wait() >= ms(300);
        assert_eq!(waits_for_silence, believed, "{after:?}");
    }
}
