//! F6 and F8: both served, and only one of them counts.

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::scene::{Pair, equal, events, share, shell, wait_in_sync};
use crate::support::{LIMIT, Rack, Test, Tested, ensure, serves, wait_for_owner};

pub(crate) const TESTS: &[Test] = &[
    ("f6_a_split_in_which_one_side_did_nothing_heals_by_itself", one_side_idle),
    ("f8_a_restored_disk_is_never_copied_and_never_served_before_the_newer_one", restored_disk),
];

fn one_side_idle(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "stale_takeover = \"allow\"")?;
    pair.a.write("page", "v1")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("page", Some("v1"))?;
    for node in [&pair.a, &pair.b] {
        node.cut(true)?;
    }
    rack.secondary.cut()?;
    second.wait_for_state("active")?;
    wait_until(LIMIT, "both serve", || serves(&rack.primary) && serves(&rack.secondary))?;
    pair.a.write("page", "v2")?;
    pair.a.write("new", "1")?;
    rack.secondary.plug()?;
    wait_for_owner("one serves", &rack.primary, &rack.secondary)?;
    for node in [&pair.a, &pair.b] {
        node.cut(false)?;
    }
    pair.b.wait_for("page", Some("v2"))?;
    pair.b.wait_for("new", Some("1"))?;
    wait_in_sync(&second)?;
    ensure(equal(&pair.a.share, &pair.b.share)?, "the trees are equal")?;
    ensure(share(&second)["held"].is_null(), "nobody is asked")?;
    ensure(pair.b.rescued("page") == ["v1"], "what the secondary had is in a rescue set")?;
    ensure(first.state() == "active", "the primary serves")
}

fn restored_disk(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.a.write("page", "v1")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("page", Some("v1"))?;
    first.stop()?;
    let (disk, state, backup) =
        (rack.path("primary.d"), rack.path("primary.state"), rack.path("backup"));
    let (disk, state, backup) = (disk.display(), state.display(), backup.display());
    // What is restored later are these very files: a copy of them would have changed today.
    shell(&format!(
        "mkdir {backup} && mv {disk} {state} {backup} && cp -a {backup}/* $(dirname {disk})"
    ))?;
    second.wait_for_state("active")?;
    pair.b.write("page", "v2")?;
    let first = pair.a.start()?;
    wait_for_owner("the primary serves again", &rack.primary, &rack.secondary)?;
    pair.a.write("page", "v3")?;
    pair.b.wait_for("page", Some("v3"))?;
    wait_in_sync(&second)?;
    first.kill_with_guard(&rack.primary)?;
    second.kill_with_guard(&rack.secondary)?;
    shell(&format!("rm -r {disk} {state} && mv {backup}/* $(dirname {disk})"))?;
    let first = pair.a.start()?;
    wait_until(LIMIT, "the primary waits for the other one's word", || {
        first.status().is_some_and(|router| {
            router["fault"].as_str().is_some_and(|fault| fault.contains("put off"))
        })
    })?;
    ensure(!serves(&rack.primary), "it does not serve what is old")?;
    let second = pair.b.start()?;
    pair.a.wait_for("page", Some("v3")).map_err(|error| {
        let told = (share(&first), events(&first), events(&second));
        Failed::from(format!("{:?}: {}\n{}\n{}", error.message(), told.0, told.1, told.2))
    })?;
    ensure(pair.b.read("page").as_deref() == Some("v3"), "the newer one is as it was")?;
    ensure(!pair.b.rescued("page").contains(&"v3".into()), "and nothing was copied over it")?;
    wait_for_owner("the primary serves at last", &rack.primary, &rack.secondary)?;
    ensure(pair.a.read("page").as_deref() == Some("v3"), "with the newer one")?;
    wait_in_sync(&second)
}
