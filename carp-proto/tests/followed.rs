//! Which active router a backup follows, and how long it waits after it has left itself.

mod support;

use carp_proto::election::{Input, Phase};
use support::{Rig, Rigged as _, Setup, ip, ms, secs};

/// A backup, after the advert of an active router with this advskew.
fn follows(setup: Setup, advskew: u8) -> Rig {
    let mut rig = setup.rig().backup();
    assert_eq!(rig.hears(ip(9), 1, advskew), []);
    rig
}

/// How long it waits, after another router has been heard a second later.
fn wait_after(mut rig: Rig, advskew: u8) -> (std::time::Duration, std::time::Duration) {
    let fresh = rig.wait();
    assert_eq!(rig.passes(secs(1)).hears(ip(8), 1, advskew), []);
    (fresh, rig.wait())
}

#[test]
fn a_backup_that_knows_a_better_active_router_leaves_a_worse_one_to_that() {
    let preempting = Setup { preempt: true, ..Setup::new() };
    let (fresh, wait) = wait_after(follows(preempting, 50), 200);
    assert_eq!(wait, fresh - secs(1), "the better one is still waited for");
}

#[test]
fn a_backup_that_does_not_preempt_follows_whoever_it_heard_last_of_those_that_are_worse() {
    // Neither of the two would give way to it, and it does not know which of them will stay.
    let (fresh, wait) = wait_after(follows(Setup::new(), 200), 210);
    assert_eq!(wait, fresh);
}

#[test]
fn a_router_of_equal_rank_is_followed_although_a_better_one_is_known() {
    let (fresh, wait) = wait_after(follows(Setup::new(), 50), 100);
    assert_eq!(wait, fresh, "it will give way by itself, and is no worse until then");
}

#[test]
fn who_stepped_down_for_its_group_waits_longer_than_any_skew_unless_a_better_one_took_over() {
    let left_to = |advskew: u8| {
        let mut rig = Setup { preempt: true, ..Setup::new() }.rig().leaving(Input::StepDown);
        rig.hears(ip(9), 1, advskew);
        rig.input(Input::AnnouncementHeard);
        for _ in 0..10 {
            if rig.phase() == Some(Phase::Leaving) {
                rig.times_out();
            }
        }
        assert_eq!(rig.phase(), None, "{advskew}: a backup");
        rig
    };
    let better = left_to(50);
    assert!(!better.held(), "it would not take back from that one anyway");
    for advskew in [100, 200] {
        let mut rig = left_to(advskew);
        assert!(rig.held(), "{advskew}");
        rig.passes(ms(1)).hears(ip(9), 1, advskew);
        assert!(rig.wait() >= secs(4), "{advskew}: {:?}", rig.wait());
    }
}
