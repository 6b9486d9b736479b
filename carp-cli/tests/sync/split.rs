//! F6 to F8: both served, and only one of them counts.

use std::fs;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;
use serde_json::Value;

use crate::holds::HoldTold;
use crate::scene::{
    Node, Pair, equal, events, explain, rescue_list, share, shell, sync, wait_held, wait_in_sync,
};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, ensure, serves, told, wait_for_owner};
use crate::trees::{Both, Snapshot};

pub(crate) const TESTS: &[Test] = &[
    ("f6_a_split_in_which_one_side_did_nothing_heals_by_itself", one_side_idle),
    ("f7_what_both_sides_wrote_is_asked_about_and_the_peer_may_count", peer_counts),
    ("f7_what_both_sides_wrote_is_asked_about_and_the_one_that_serves_may_count", server_counts),
    ("f7_what_both_sides_wrote_is_asked_about_and_the_standby_may_count", standby_counts),
    ("f7_what_both_sides_wrote_stays_asked_about_while_the_peer_is_dead", peer_dies),
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
    // The lineages part: each node knows its own epoch, and not that of the other one.
    let split = [epochs(&pair.a)?, epochs(&pair.b)?];
    ensure(
        split == [vec!["e1 primary"], vec!["e1 primary", "e2 secondary"]],
        format!("the histories while both serve: {split:?}"),
    )?;
    let counts = Snapshot::of(&pair.a.share)?;
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
    counts.ensure_untouched(&pair.a.share, "the one side that wrote is as it was")?;
    ensure(pair.b.rescued("page") == ["v1"], "what the secondary had is in a rescue set")?;
    ensure(first.state() == "active", "the primary serves")?;
    // The epoch of the one that did nothing is superseded: above it, and without it.
    for (node, daemon) in [(&pair.a, &first), (&pair.b, &second)] {
        let expected = ["e1 primary", "e3 primary"];
        wait_until(LIMIT, "that is told", || epochs(node).is_ok_and(|it| it == expected))
            .map_err(|error| Failed::from(format!("{error}: {}: {:?}", node.name, epochs(node))))?;
        let status: Value = serde_json::from_str(&sync(daemon, &["status", "--json"], 0)?)?;
        ensure(status["shares"][0]["epoch"] == "e3 (primary)", status.to_string())?;
    }
    let superseded = pair.a.told()?["supersedes"].clone();
    ensure(superseded["number"] == 2 && superseded["node"] == "secondary", superseded.to_string())
}

/// The history of a node's tree, as its peer is told it.
fn epochs(node: &Node<'_>) -> Result<Vec<String>, Failed> {
    let history = node.told()?["history"].as_array().cloned().unwrap_or_default();
    let epoch = |entry: &Value| {
        let epoch = &entry["epoch"];
        let node = epoch["node"].as_str().unwrap_or("nobody");
        format!("e{} {node}", epoch["number"])
    };
    Ok(history.iter().map(epoch).collect())
}

/// Both served, and wrote the same file and one of their own, which is what their trees are; now the primary serves alone,
/// and they hear each other.
fn both_wrote<'a>(pair: &'a Pair<'_>, rack: &Rack) -> Result<(Daemon, Daemon, Both<'a>), Failed> {
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
    let wrote = Both::of(pair)?;
    rack.secondary.plug()?;
    wait_for_owner("one serves", &rack.primary, &rack.secondary)?;
    for node in [&pair.a, &pair.b] {
        node.cut(false)?;
    }
    Ok((first, second, wrote))
}

/// The same, and the secondary asks.
fn asked(pair: &Pair<'_>, rack: &Rack) -> Result<(Daemon, Daemon), Failed> {
    let (first, second, before) = both_wrote(pair, rack)?;
    wait_held(&second, "diverged")?;
    sync(&second, &["status"], 1)?;
    before.ensure_untouched("both sides wrote")?;
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
    ensure(
        text.contains(
            "2 orphans that nobody has acknowledged, in 1 rescue set: `carp sync rescue list`",
        ),
        text,
    )?;
    let list = rescue_list(&second)?;
    ensure(list["schema"] == "carp.sync-rescue/1" && list["share"] == "www", list.to_string())?;
    let set = list["sets"][0]["set"].as_str().unwrap_or_default();
    sync(&second, &["rescue", "ack", set], 0)?;
    wait_until(LIMIT, "nobody is waited for", || share(&second)["rescue"]["sets"] == 0)?;
    let text = sync(&second, &["status"], 0)?;
    ensure(!text.contains("rescue set"), text)?;
    // It is young and small, and goes all the same if its space is wanted.
    let text = sync(&second, &["rescue", "prune"], 0)?;
    ensure(text.contains("no sets removed: one goes after 30 days"), text)?;
    let text = sync(&second, &["rescue", "prune", "--all"], 0)?;
    ensure(text == format!("removed {set}\n1 set removed\n"), text)?;
    ensure(rescue_list(&second)?["sets"].as_array().is_some_and(Vec::is_empty), "it is gone")
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

fn peer_dies(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"\nstale_takeover = \"never\"")?;
    let (first, second) = asked(&pair, rack)?;
    let told = HoldTold::by(&second)?;
    let before = Both::of(&pair)?;
    first.kill_with_guard(&rack.primary)?;
    told.ensure_stays(&second)?;
    before.ensure_untouched("both sides wrote, and one of them is dead")?;
    ensure(second.state() == "backup" && !serves(&rack.secondary), "nobody has decided")?;
    // The service is wanted more than what only the dead one has, of which nothing is lost.
    sync(&second, &["resolve", "--keep", "local"], 0)?;
    second.wait_for_state("active")?;
    wait_until(LIMIT, "the secondary serves", || serves(&rack.secondary))?;
    sync(&second, &["status"], 0)?;
    let first = pair.a.start()?;
    counts(&pair, "secondary").map_err(|error| explain(&error, [&first, &second]))
}

fn elected_counts(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "stale_takeover = \"allow\"\nauto_resolve = \"elected\"")?;
    let (_first, second, _) = both_wrote(&pair, rack)?;
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
    // So that all passes of the secondary would be of the time in which the other one has what is old.
    fs::write(&pair.a.config, fs::read_to_string(&pair.a.config)? + "failback = \"manual\"\n")?;
    let newer = Snapshot::of(&pair.b.share)?;
    // A machine that is off does not even have its last word read.
    pair.a.cut(true)?;
    let first = pair.a.start()?;
    wait_until(LIMIT, "the primary waits for the other one's word", || {
        first.status().is_some_and(|router| {
            router["fault"] == "the takeover is put off: it is not allowed at present"
        })
    })?;
    let waits = share(&first);
    ensure(waits["held_back"] == "not-in-sync" && waits["held"].is_null(), waits.to_string())?;
    ensure(
        waits["put_off"].as_str().is_some_and(|why| why.contains("cold_start_wait")),
        format!("what it waits for: {waits}"),
    )?;
    ensure(waits["epoch"] == "e1 (primary)", format!("it is of the first epoch: {waits}"))?;
    ensure(!serves(&rack.primary), "it does not serve what is old")?;
    let second = pair.b.start()?;
    pair.a.cut(false)?;
    pair.a.wait_for("page", Some("v3")).map_err(|error| explain(&error, [&first, &second]))?;
    wait_in_sync(&first)?;
    let serves_on = share(&second);
    ensure(second.state() == "active" && first.state() == "backup", "the newer one serves")?;
    ensure(
        serves_on["last_pass"].is_null() && serves_on["progress"].is_null(),
        format!("nothing was ever pulled from the older one: {serves_on}"),
    )?;
    newer.ensure_untouched(&pair.b.share, "the newer one is as it was")?;
    ensure(!pair.b.rescued("page").contains(&"v3".into()), "and nothing was copied over it")?;
    wait_until(LIMIT, "only the word is missing", || {
        share(&first)["failback"] == "carp sync failback www"
    })?;
    sync(&first, &["failback"], 0).map_err(|error| explain(&error, [&first, &second]))?;
    wait_for_owner("the primary serves at last", &rack.primary, &rack.secondary)?;
    ensure(pair.a.read("page").as_deref() == Some("v3"), "with the newer one")?;
    wait_in_sync(&second)
}
