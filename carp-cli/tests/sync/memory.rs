//! A node whose memory of a share is damaged guesses nothing.

use std::fs;

use carp_node::lab::wait_until;
use carp_node::sync::hold::HoldReason;
use libtest_mimic::Failed;

use crate::scene::{Pair, equal, events, explain, share, sync, wait_held, wait_in_sync};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, ensure, told};
use crate::trees::Both;

pub(crate) const TESTS: &[Test] = &[
    ("damaged_memory_holds_and_never_guesses", damaged_memory),
    (
        "a_node_that_serves_with_a_damaged_memory_asks_when_another_has_taken_over",
        damaged_server_dies,
    ),
    (
        "a_node_that_serves_with_a_damaged_memory_counts_when_the_operator_says_so",
        damaged_server_counts,
    ),
];

fn damaged_memory(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let (_first, second) = pair.start()?;
    second.stop()?;
    damage(rack, "secondary")?;
    pair.a.write("x", "1")?;
    let before = Both::of(&pair)?;
    let second = pair.b.start()?;
    wait_held(&second, "state-damaged")?;
    wait_until(LIMIT, "the peer is known", || share(&second)["peer_alive"] == true)?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("`carp sync resolve --keep peer` copies the peer's"), text)?;
    before.ensure_untouched("nothing is known")?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    pair.b.wait_for("x", Some("1"))?;
    wait_in_sync(&second)
}

/// What a node remembers of the share is not what it has written.
fn damage(rack: &Rack, node: &str) -> Tested {
    let memory = rack.path(&format!("{node}.state/sync/www.share"));
    let text = fs::read_to_string(&memory)?;
    let damaged = text.replacen("carp.sync", "carp.snyc", 1);
    ensure(damaged != text, "nothing was damaged")?;
    Ok(fs::write(&memory, damaged)?)
}

/// The primary has lost what it knew of the share, and has written since; it serves, because nobody answers. Then the
/// secondary is there with its copy, and both ask.
fn serves_with_damage(pair: &Pair<'_>, rack: &Rack) -> Result<(Daemon, Daemon), Failed> {
    pair.a.write("page", "v1")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("page", Some("v1"))?;
    second.stop()?;
    first.stop()?;
    damage(rack, "primary")?;
    pair.a.write("late", "1")?;
    let before = Both::of(pair)?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let told = events(&first);
    let damaged = told.lines().find(|line| line.contains(DAMAGED)).ok_or_else(|| told.clone())?;
    ensure(
        damaged.contains("its checksum is wrong; it is ignored, and will be written anew"),
        damaged,
    )?;
    ensure(damaged.contains(HoldReason::StateDamaged.remedy()), damaged)?;
    wait_until(LIMIT, "it is told that it serves all the same", || {
        events(&first).contains(
            "fault: share www: it is served although what was known of it could not be believed",
        )
    })?;
    ensure(!events(&first).contains("no longer held"), events(&first))?;
    let fault = share(&first)["fault"].to_string();
    ensure(fault.contains("say with `carp sync resolve --keep local` that this one"), fault)?;
    let second = pair.b.start()?;
    wait_held(&second, "rolled-back-source")?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("and has forgotten that it served newer data"), text)?;
    wait_until(LIMIT, "the primary knows that", || share(&first)["standby_held"] == true)?;
    let text = sync(&first, &["status"], 1)?;
    ensure(text.contains("the standby is held"), text)?;
    before.ensure_untouched("nobody knows where the primary's tree comes from")?;
    Ok((first, second))
}

const DAMAGED: &str = "fault: share www: what was known of share www cannot be believed: ";

/// A node with an old copy may serve at once, so one that knows nothing may, too.
const ALLOW: &str = "cold_start_wait = \"0s\"\nstale_takeover = \"allow\"";

fn damaged_server_dies(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, ALLOW)?;
    let (first, second) = serves_with_damage(&pair, rack)?;
    let before = Both::of(&pair)?;
    first.kill_with_guard(&rack.primary)?;
    second.wait_for_state("active").map_err(|error| explain(&error, [&first, &second]))?;
    // What it has written meanwhile was about another epoch, and not about what was damaged.
    let first = pair.a.start()?;
    wait_held(&first, "state-damaged")?;
    wait_until(LIMIT, "the peer is known", || share(&first)["peer_alive"] == true)?;
    let text = sync(&first, &["status"], 1)?;
    ensure(text.contains("cannot be believed") && text.contains("its checksum is wrong"), &*text)?;
    ensure(text.contains(HoldReason::StateDamaged.remedy()), text)?;
    before.ensure_untouched("nobody has said which tree counts")?;
    ensure(first.state() == "backup" && second.state() == "active", "and nobody takes it over")?;
    sync(&first, &["resolve", "--keep", "peer"], 0)?;
    pair.a.wait_for("late", None).map_err(|error| explain(&error, [&first, &second]))?;
    wait_in_sync(&first)?;
    ensure(share(&first)["held"].is_null(), share(&first).to_string())?;
    ensure(pair.a.rescued("late") == ["1"], "what only the primary had is kept")?;
    wait_until(LIMIT, "the trees are equal", || {
        equal(&pair.a.share, &pair.b.share).unwrap_or(false)
    })?;
    Ok(())
}

fn damaged_server_counts(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, &format!("{ALLOW}\nfailback = \"manual\""))?;
    let (first, second) = serves_with_damage(&pair, rack)?;
    sync(&first, &["resolve", "--keep", "local"], 0)?;
    pair.b.wait_for("late", Some("1")).map_err(|error| explain(&error, [&first, &second]))?;
    wait_in_sync(&second)?;
    wait_until(LIMIT, "nothing is left to be said of it", || share(&first)["fault"].is_null())
        .map_err(|error| explain(&error.into(), [&first, &second]))?;
    // Whoever said that has looked at it: nothing is left to be asked when it serves no more.
    let (code, text) = told(&first.ask(&["yield", "web"])?);
    ensure(code == Some(0), format!("{text}: {}", events(&first)))?;
    second.wait_for_state("active")?;
    wait_in_sync(&first)?;
    ensure(share(&first)["held"].is_null(), share(&first).to_string())?;
    ensure(events(&first).matches(DAMAGED).count() == 1, events(&first))?;
    ensure(equal(&pair.a.share, &pair.b.share)?, "the trees are equal")
}
