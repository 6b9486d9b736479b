//! The daemon, its guard and its host die, hang, or run late (chapter A).

mod lease;

use std::time::{Duration, Instant};

use libtest_mimic::Failed;

use crate::scene::Scene;
use crate::support::{Daemon, Rack, Test, Tested, ensure};

pub(crate) const TESTS: &[Test] = &[
    ("f1_a_graceful_stop_costs_the_client_nothing", graceful_stop),
    ("f2_with_daemon_and_guard_killed_the_kernel_drops_the_address", lease::both_killed_vrrp),
    ("f2_with_carp_too", lease::both_killed_carp),
    ("f2_over_ipv6_and_on_a_macvlan_too", lease::both_killed_on_a_device),
    ("f2_without_a_lease_the_address_stays_until_cleanup", lease::both_killed_without_lease),
    ("f2_a_renewed_address_is_never_interrupted", lease::never_interrupted),
    ("f5_a_frozen_host_loses_its_address_and_comes_back_as_a_backup", lease::frozen),
    ("f5_a_frozen_host_that_is_alone_serves_again", lease::frozen_alone),
];

/// What a loaded machine may add to any time; less than the skew time that would be lost otherwise.
const MARGIN: Duration = Duration::from_millis(400);

/// Two VRRP routers with an advert a second, of which the primary is the better one and serves.
fn pair(scene: &Scene<'_>) -> Result<(Daemon, Daemon), Failed> {
    let rack = scene.rack;
    let first = rack.daemon(&rack.primary, &rack.configure_vrrp("primary", "priority = 200")?)?;
    let second = rack.daemon(&rack.secondary, &rack.configure_vrrp("secondary", "")?)?;
    scene.wait_until_served_by(&rack.primary)?;
    Ok((first, second))
}

/// The successor's skew time is 0.61 s, and the one that stops serves meanwhile.
fn graceful_stop(rack: &Rack) -> Tested {
    let scene = Scene::new(rack)?;
    let (first, _second) = pair(&scene)?;
    let since = Instant::now();
    first.stop()?;
    scene.wait_until_served_by(&rack.secondary)?;
    let resigned = scene.primary.resignations(since);
    ensure((1..=2).contains(&resigned), format!("{resigned} resignations"))?;
    let unserved = scene.unserved(since);
    ensure(unserved < MARGIN, format!("no answer for {unserved:?}"))
}
