//! F6 to F8: both served, and only one of them counts.

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::scene::{Pair, equal, events, explain, share, shell, sync, wait_held, wait_in_sync};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, ensure, serves, told, wait_for_owner};

pub(crate) const TESTS: &[Test] = &[
    ("f6_a_split_in_which_one_side_did_nothing_heals_by_itself", one_side_idle),
    ("f7_what_both_sides_wrote_is_asked_about_and_the_peer_may_count", peer_counts),
    ("f7_what_both_sides_wrote_is_asked_about_and_the_one_that_serves_may_count", server_counts),
    ("f7_what_both_sides_wrote_is_asked_about_and_the_standby_may_count", standby_counts),
    ("what_both_sides_wrote_is_not_asked_about_with_auto_resolve", elected_counts),
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

/// Both served, and wrote the same file and one of their own; now the primary serves alone, and they hear each other.
fn both_wrote(pair: &Pair<'_>, rack: &Rack) -> Result<(Daemon, Daemon), Failed> {
    let (first, second) = pair.start()?;
    for node in [&pair.a, &pair.b] {
        node.cut(true)?;
    }
    rack.secondary.cut()?;
    second.wait_for_state("active")?;
    wait_until(LIMIT, "both serve", || serves(&rack.primary) && serves(&rack.secondary))?;
    for node in [&pair.a, &pair.b] {
        node.write("same", node.name)?;
        node.write(node.name, "1")?;
    }
    rack.secondary.plug()?;
    wait_for_owner("one serves", &rack.primary, &rack.secondary)?;
    for node in [&pair.a, &pair.b] {
        node.cut(false)?;
    }
    Ok((first, second))
}

/// The same, and the secondary asks.
fn asked(pair: &Pair<'_>, rack: &Rack) -> Result<(Daemon, Daemon), Failed> {
    let (first, second) = both_wrote(pair, rack)?;
    wait_held(&second, "diverged")?;
    sync(&second, &["status"], 1)?;
    for node in [&pair.a, &pair.b] {
        ensure(node.read("same").as_deref() == Some(node.name), "both trees are untouched")?;
        ensure(node.read(node.name).as_deref() == Some("1"), "both trees are untouched")?;
    }
    ensure(first.state() == "active", "the primary serves")?;
    wait_until(LIMIT, "the primary knows that", || share(&first)["standby_held"] == true)?;
    let text = sync(&first, &["status"], 1)?;
    ensure(text.contains("the standby is held"), text)?;
    // Each knows what the other one has now: the one that serves has begun an epoch above that of the other one.
    let message = || share(&second)["held"]["message"].as_str().unwrap_or_default().to_owned();
    wait_until(LIMIT, "the primary's epoch is the highest", || {
        message().contains("e2 (secondary) here, e3 (primary) on primary")
    })
    .map_err(|error| Failed::from(format!("{error}: {}", message())))?;
    Ok((first, second))
}

/// The trees of both are that of the one node, and what the other one had is in a rescue set there.
fn counts(pair: &Pair<'_>, winner: &str) -> Tested {
    wait_until(LIMIT, "the trees are equal", || {
        equal(&pair.a.share, &pair.b.share).unwrap_or(false)
    })?;
    for node in [&pair.a, &pair.b] {
        ensure(node.read("same").as_deref() == Some(winner), format!("{} has another", node.name))?;
        let (kept, own) = (node.rescued("same"), node.rescued(node.name));
        if node.name == winner {
            ensure(
                kept.is_empty() && own.is_empty(),
                "nothing of the one that counts is replaced",
            )?;
        } else {
            ensure(kept == [node.name], "its version is in a rescue set")?;
            ensure(own == ["1"], "and so is what only it had")?;
        }
    }
    Ok(())
}

fn peer_counts(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "stale_takeover = \"allow\"")?;
    let (_first, second) = asked(&pair, rack)?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    counts(&pair, "primary")?;
    wait_in_sync(&second)?;
    wait_until(LIMIT, "the orphans are told", || share(&second)["rescue"]["orphans"] == 2)?;
    let text = sync(&second, &["status"], 0)?;
    ensure(text.contains("2 entries that only this node had are kept, in 1 rescue sets"), text)?;
    let list: serde_json::Value =
        serde_json::from_str(&sync(&second, &["rescue", "list", "--json"], 0)?)?;
    ensure(list["schema"] == "carp.sync-rescue/1" && list["share"] == "www", list.to_string())?;
    let set = list["sets"][0]["set"].as_str().unwrap_or_default();
    sync(&second, &["rescue", "ack", set], 0)?;
    wait_until(LIMIT, "nobody is waited for", || share(&second)["rescue"]["sets"] == 0)?;
    let text = sync(&second, &["status"], 0)?;
    ensure(!text.contains("rescue sets"), text)
}

fn server_counts(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "stale_takeover = \"allow\"")?;
    let (first, second) = asked(&pair, rack)?;
    let text = sync(&first, &["resolve", "--keep", "local"], 0)?;
    ensure(text.contains("the peer copies this tree"), text)?;
    counts(&pair, "primary").map_err(|error| {
        Failed::from(format!("{error:?}: {}: {}", share(&second), events(&first)))
    })?;
    wait_in_sync(&second)
}

fn standby_counts(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "stale_takeover = \"allow\"")?;
    let (first, second) = asked(&pair, rack)?;
    let text = sync(&second, &["resolve", "--keep", "local"], 0)?;
    ensure(text.contains("when this node serves, the peer copies it"), text)?;
    let (code, text) = told(&first.ask(&["yield", "web"])?);
    ensure(code == Some(0), format!("{text}: {}", events(&first)))?;
    second.wait_for_state("active")?;
    // There was nothing to wait for: its own tree counts.
    let left = events(&first);
    ensure(!left.contains("did not have everything in time"), left)?;
    counts(&pair, "secondary")
        .map_err(|error| Failed::from(format!("{error:?}: {}: {}", share(&first), events(&first))))
}

fn elected_counts(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "stale_takeover = \"allow\"\nauto_resolve = \"elected\"")?;
    let (_first, second) = both_wrote(&pair, rack)?;
    counts(&pair, "primary").map_err(|error| {
        Failed::from(format!("{error:?}: {}: {}", share(&second), events(&second)))
    })?;
    wait_in_sync(&second)?;
    ensure(share(&second)["held"].is_null(), "nobody has to say anything")
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
    pair.a.wait_for("page", Some("v3")).map_err(|error| explain(&error, [&first, &second]))?;
    ensure(pair.b.read("page").as_deref() == Some("v3"), "the newer one is as it was")?;
    ensure(!pair.b.rescued("page").contains(&"v3".into()), "and nothing was copied over it")?;
    wait_for_owner("the primary serves at last", &rack.primary, &rack.secondary)?;
    ensure(pair.a.read("page").as_deref() == Some("v3"), "with the newer one")?;
    wait_in_sync(&second)
}
