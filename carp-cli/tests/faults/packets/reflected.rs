//! Own adverts that come back.

use std::path::Path;
use std::time::Instant;

use carp_node::lab::wait_until;

use crate::scene::Scene;
use crate::support::{Daemon, LIMIT, Rack, Tested, ensure, run_on_machine, serves};

pub(super) fn in_carp(rack: &Rack) -> Tested {
    let configure = |node: &str, skew| rack.configure(node, &format!("advskew = {skew}"));
    reflected(rack, &configure("primary", 0)?, &configure("secondary", 100)?)
}

pub(super) fn in_vrrp(rack: &Rack) -> Tested {
    let configure =
        |node: &str, priority| rack.configure_vrrp(node, &format!("priority = {priority}"));
    reflected(rack, &configure("primary", 200)?, &configure("secondary", 100)?)
}

/// A switch that sends back what it floods. Linux takes its own address for the source of a packet only
/// where it is told to, as with `accept_local`.
fn reflected(rack: &Rack, first: &Path, second: &Path) -> Tested {
    let scene = Scene::new(rack)?;
    run_on_machine(&rack.primary, "echo 1 > /proc/sys/net/ipv4/conf/eth0/accept_local")?;
    let first = rack.daemon(&rack.primary, first)?;
    let second = rack.daemon(&rack.secondary, second)?;
    scene.wait_until_served_by(&rack.primary)?;
    let transitions = |daemon: &Daemon| {
        daemon.status().map(|router| router["transitions"].clone()).unwrap_or_default()
    };
    let before = (transitions(&first), transitions(&second));
    rack.primary.set_reflected(true)?;
    let since = Instant::now();
    wait_until(LIMIT, "ten adverts came back", || first.rejected("own-loop") >= 10)?;
    let took = since.elapsed();
    // One an interval: none of them is answered.
    let sent = u64::try_from(scene.primary.adverts(since).len())?;
    ensure((9..=took.as_secs() + 2).contains(&sent), format!("{sent} adverts in {took:?}"))?;
    ensure((transitions(&first), transitions(&second)) == before, "nobody has changed")?;
    let conflict = first.status().map(|router| router["conflict"].clone()).unwrap_or_default();
    ensure(conflict == false, "it takes itself for another router")?;
    ensure(serves(&rack.primary) && !serves(&rack.secondary), "the primary serves")?;
    ensure(scene.primary.left(since).is_none(), "it has had the address all the time")?;
    // What comes back of a planned handover does not end it.
    let since = Instant::now();
    first.ask(&["yield", "web"])?;
    scene.wait_until_served_by(&rack.secondary)?;
    let unserved = scene.unserved(since);
    println!("the client had no answer for {unserved:?} when it was handed over");
    Ok(())
}
