//! Who takes over without being asked to, and when: `peer_alive_veto` and `stale_takeover`.

use std::fs;
use std::time::{Duration, Instant};

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::door::max_lag;
use crate::scene::{Pair, equal, events, explain, share, wait_in_sync};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, ensure, serves, wait_for_owner};

pub(crate) const TESTS: &[Test] = &[
    ("a_live_peer_is_taken_over_from_where_its_word_is_not_asked_for", no_veto),
    ("an_old_copy_takes_over_after_the_time_that_is_configured", old_copy_waits),
    ("an_old_copy_that_waits_for_no_time_takes_over_at_once", old_copy_does_not_wait),
];

fn no_veto(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "peer_alive_veto = false")?;
    pair.a.write("page", "v1")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("page", Some("v1"))?;
    // Only the adverts are lost: the records are still read.
    rack.secondary.cut()?;
    second.wait_for_state("active").map_err(|error| explain(&error, [&first, &second]))?;
    let told = events(&second);
    ensure(!told.contains("put off"), told)?;
    let (one, two) = (share(&first), share(&second));
    ensure(two["peer_alive"] == true, format!("the other one is alive, and says so: {two}"))?;
    ensure(serves(&rack.primary) && one["role"] == "active", format!("and serves: {one}"))?;
    // What that costs is asked about, if both write; here one does.
    pair.a.write("page", "v2")?;
    rack.secondary.plug()?;
    wait_for_owner("one serves", &rack.primary, &rack.secondary)?;
    pair.b.wait_for("page", Some("v2")).map_err(|error| explain(&error, [&first, &second]))?;
    wait_in_sync(&second)?;
    ensure(share(&second)["held"].is_null(), "nobody is asked")?;
    ensure(equal(&pair.a.share, &pair.b.share)?, "the trees are equal")
}

/// How long an old copy waits.
const WAIT: Duration = Duration::from_secs(12);

/// The primary has died, and the secondary has a copy that is too old, without what was written last.
fn dies_with_an_old_copy(pair: &Pair<'_>, rack: &Rack) -> Result<(Daemon, Instant), Failed> {
    pair.a.write("page", "v1")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("page", Some("v1"))?;
    pair.b.cut_off(&second)?;
    wait_until(LIMIT, "the copy is too old", || share(&second)["alarm"] == true)?;
    pair.a.write("page", "va")?;
    pair.a.write("late", "1")?;
    let killed = Instant::now();
    first.kill_with_guard(&rack.primary)?;
    Ok((second, killed))
}

/// It serves what it has; when the dead one returns, nothing is lost.
fn returns(pair: &Pair<'_>, rack: &Rack, second: &Daemon) -> Tested {
    ensure(pair.b.read("page").as_deref() == Some("v1"), "it serves what it has")?;
    pair.b.write("page", "vb")?;
    fs::write(pair.b.share.join("new"), "1")?;
    pair.b.cut(false)?;
    let first = pair.a.start()?;
    wait_for_owner("the primary serves again", &rack.primary, &rack.secondary)
        .map_err(|error| explain(&error, [&first, second]))?;
    for node in [&pair.a, &pair.b] {
        node.wait_for("page", Some("vb"))?;
        node.wait_for("new", Some("1"))?;
        node.wait_for("late", None)?;
    }
    let kept = [pair.a.rescued("page"), pair.a.rescued("late")];
    ensure(kept == [["va"], ["1"]], format!("what only the primary had is kept: {kept:?}"))
}

fn old_copy_waits(rack: &Rack) -> Tested {
    let settings = format!("max_lag = \"{}\"\nstale_takeover = \"{}s\"", max_lag(), WAIT.as_secs());
    let pair = Pair::new(rack, &settings)?;
    let (second, killed) = dies_with_an_old_copy(&pair, rack)?;
    wait_until(LIMIT, "the takeover is put off", || events(&second).contains("put off"))
        .map_err(|error| Failed::from(format!("{error}: {}", events(&second))))?;
    ensure(second.state() == "backup" && !serves(&rack.secondary), "nobody serves")?;
    wait_until(LIMIT, "the secondary serves", || serves(&rack.secondary))
        .map_err(|error| Failed::from(format!("{error}: {}", events(&second))))?;
    // Counted from its last advert, of which there is one a second; 30 s would be the time if none were configured.
    let took = killed.elapsed();
    let expected = WAIT - Duration::from_secs(2)..Duration::from_secs(28);
    ensure(expected.contains(&took), format!("it took over {took:?} after the death"))?;
    second.wait_for_state("active")?;
    returns(&pair, rack, &second)
}

fn old_copy_does_not_wait(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, &format!("max_lag = \"{}\"\nstale_takeover = \"0s\"", max_lag()))?;
    let (second, _) = dies_with_an_old_copy(&pair, rack)?;
    second.wait_for_state("active")?;
    wait_until(LIMIT, "the secondary serves", || serves(&rack.secondary))?;
    let told = events(&second);
    ensure(!told.contains("put off"), told)?;
    returns(&pair, rack, &second)
}
