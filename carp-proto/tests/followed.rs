//! Which active router a backup follows.

mod support;

use support::{Rig, Rigged as _, Setup, ip, secs};

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
