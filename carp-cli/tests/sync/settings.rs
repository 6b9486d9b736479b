//! Each key of a share does what it says, and a node may have more than one share.

use std::fs;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;
use serde_json::Value;

use crate::door::max_lag;
use crate::scene::{
    Pair, attribute, events, explain, set_attribute, share, sync, wait_held, wait_in_sync,
};
use crate::support::{LIMIT, Rack, Test, Tested, ensure, serves, told, wait_for_owner};

pub(crate) const TESTS: &[Test] = &[
    ("what_is_excluded_is_neither_copied_nor_deleted", excluded),
    ("what_crosses_the_network_is_compressed_if_that_is_wanted", compressed),
    ("a_router_that_does_not_require_its_share_does_not_wait_for_it", not_required),
    ("an_old_copy_never_takes_over_if_that_is_configured_but_for_the_word_of_somebody", never),
    ("a_node_alone_may_be_told_to_serve_an_old_copy", never_after_a_restart),
    ("two_shares_go_their_own_ways_and_their_router_waits_for_both", two_shares),
    ("of_two_shares_the_one_that_is_required_is_waited_for", one_of_two_required),
];

fn excluded(rack: &Rack) -> Tested {
    let settings = "exclude = [\"/cache/\", \"*.tmp\"]\nattributes = false";
    let pair = Pair::new(rack, settings)?;
    for node in [&pair.a, &pair.b] {
        fs::create_dir(node.share.join("cache"))?;
        fs::write(node.share.join("cache").join(node.name), "1")?;
        node.write(&format!("{}.tmp", node.name), "1")?;
    }
    pair.a.write("page", "1")?;
    let has_attributes = set_attribute(&pair.a.share.join("page"), "user.colour", b"red")?;
    let (_first, second) = pair.start()?;
    pair.b.wait_for("page", Some("1"))?;
    fs::remove_file(pair.a.share.join("page"))?;
    pair.a.write("other", "2")?;
    pair.b.wait_for("page", None)?;
    pair.b.wait_for("other", Some("2"))?;
    for (file, is_there) in [
        ("primary.tmp", false),
        ("cache/primary", false),
        ("secondary.tmp", true),
        ("cache/secondary", true),
    ] {
        let there = pair.b.share.join(file).exists();
        ensure(there == is_there, format!("{file} is there: {there}"))?;
    }
    wait_in_sync(&second)?;
    let diff: Value = serde_json::from_str(&comparison(&second)?)?;
    ensure(diff["schema"] == "carp.sync-diff/1" && diff["share"] == "www", diff.to_string())?;
    ensure(
        diff["changed"] == 0 && diff["deleted"] == 0,
        format!("they are no difference: {diff}"),
    )?;
    if has_attributes {
        set_attribute(&pair.a.share.join("other"), "user.colour", b"red")?;
        pair.a.write("last", "3")?;
        pair.b.wait_for("last", Some("3"))?;
        let found = attribute(&pair.b.share.join("other"), "user.colour")?;
        ensure(found.is_none(), format!("attributes = false, and yet it has {found:?}"))?;
    }
    Ok(())
}

/// `carp sync diff --json`. While a pass runs, it is refused.
fn comparison(daemon: &crate::support::Daemon) -> Result<String, Failed> {
    let mut text = String::new();
    wait_until(LIMIT, "a comparison is made", || {
        let asked = daemon.ask(&["sync", "diff", "www", "--json"]).map(|output| told(&output));
        asked.is_ok_and(|(code, said)| {
            text = said;
            code == Some(0)
        })
    })
    .map_err(|error| Failed::from(format!("{error}: {text}")))?;
    Ok(text)
}

fn compressed(rack: &Rack) -> Tested {
    const LARGE: u64 = 4 << 20;
    // No pass follows the one that the change brings: what is told of that is to be read.
    let pair = Pair::new(rack, "compress = true\nevery = \"1h\"")?;
    let (_first, second) = pair.start()?;
    pair.a.put("large", "all the same ".repeat(usize::try_from(LARGE)? / 13).as_bytes())?;
    let arrived = |last: &Value| last["bytes"].as_u64().is_some_and(|bytes| bytes > LARGE - 13);
    let mut last = Value::Null;
    wait_until(LIMIT, "it is there", || {
        last = share(&second)["last_pass"].clone();
        arrived(&last)
    })?;
    let received = last["received"].as_u64().unwrap_or(u64::MAX);
    ensure(received < LARGE / 10, format!("{received} bytes of {LARGE} crossed the network"))
}

fn not_required(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "require = false\ncold_start_wait = \"0s\"")?;
    let second = pair.b.start()?;
    second.wait_for_state("active")?;
    pair.b.write("page", "1")?;
    // It can copy nothing, and takes the address all the same: it ranks higher.
    pair.a.cut(true)?;
    let first = pair.a.start()?;
    wait_for_owner("the primary serves", &rack.primary, &rack.secondary)
        .map_err(|error| Failed::from(format!("{error:?}: {}", share(&first))))?;
    ensure(pair.a.read("page").is_none(), "it has no copy")?;
    let before = events(&first);
    ensure(!before.contains("put off"), before)
}

fn never(rack: &Rack) -> Tested {
    let settings = &format!("stale_takeover = \"never\"\nmax_lag = \"{}\"", max_lag());
    let pair = Pair::new(rack, settings)?;
    pair.a.write("page", "1")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("page", Some("1"))?;
    pair.b.cut_off(&second)?;
    wait_until(LIMIT, "the copy is too old", || share(&second)["alarm"] == true)?;
    let text = sync(&second, &["status"], 0)?;
    let older = format!("! alarm: the copy is older than max_lag ({})", max_lag());
    ensure(text.contains(&older), text)?;
    let (_, text) = told(&second.ask(&["status"])?);
    ensure(text.contains("! share www: alarm: the copy is older"), text)?;
    let text = events(&second);
    ensure(text.contains(&format!("that is more than max_lag ({})", max_lag())), text)?;
    first.kill_with_guard(&rack.primary)?;
    let refusal = || {
        let status = second.status().unwrap_or_default();
        status["fault"].as_str().unwrap_or_default().to_owned()
    };
    wait_until(LIMIT, "it does not take over", || refusal().contains("put off"))?;
    ensure(second.state() == "backup" && !serves(&rack.secondary), "nobody serves")?;
    sync(&second, &["resolve", "--keep", "local"], 0)?;
    second
        .wait_for_state("active")
        .map_err(|error| Failed::from(format!("{error:?}: {}: {}", refusal(), share(&second))))?;
    wait_until(LIMIT, "the secondary serves", || serves(&rack.secondary))?;
    // The other one comes back, and is the one that copies.
    pair.b.write("page", "2")?;
    pair.b.cut(false)?;
    let _first = pair.a.start()?;
    pair.a.wait_for("page", Some("2"))?;
    wait_until(LIMIT, "the alarm is over", || share(&second)["alarm"] == false)?;
    let text = events(&second);
    ensure(text.contains(&format!("less than max_lag ({}) again", max_lag())), text)
}

/// A memory alone knows nothing of what the peer has.
fn never_after_a_restart(rack: &Rack) -> Tested {
    let pair =
        Pair::new(rack, &format!("stale_takeover = \"never\"\nmax_lag = \"{}\"", max_lag()))?;
    pair.a.write("page", "1")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("page", Some("1"))?;
    pair.b.cut_off(&second)?;
    wait_until(LIMIT, "the copy is too old", || share(&second)["alarm"] == true)?;
    pair.a.write("late", "1")?;
    second.kill_with_guard(&rack.secondary)?;
    first.kill_with_guard(&rack.primary)?;
    let second = pair.b.start()?;
    let fault = || second.status().map(|router| router["fault"].to_string()).unwrap_or_default();
    wait_until(LIMIT, "it does not take over", || fault().contains("put off"))?;
    let text = sync(&second, &["status"], 0)?;
    ensure(
        text.contains("no takeover now: its copy is old") && text.contains("--keep local"),
        text,
    )?;
    let text = sync(&second, &["resolve", "--keep", "peer"], 6)?;
    ensure(text.contains("what the peer has is not known") && text.contains("sync check"), text)?;
    let text = sync(&second, &["resolve", "--keep", "local"], 0)?;
    ensure(text.contains("may serve its copy"), text)?;
    wait_until(LIMIT, "the secondary serves", || serves(&rack.secondary))?;
    pair.b.write("page", "2")?;
    // What the other one has that was never copied is not given up by that word.
    pair.b.cut(false)?;
    let first = pair.a.start()?;
    pair.a.wait_for("page", Some("2"))?;
    wait_in_sync(&first)?;
    ensure(pair.a.rescued("late") == ["1"], "what only the primary had is kept")
}

/// One more share of a node, with these lines.
fn images(rack: &Rack, node: &str, settings: &str) -> Result<String, Failed> {
    let path = rack.path(&format!("{node}.d/img"));
    fs::create_dir_all(&path)?;
    let peer = if node == "primary" { "secondary" } else { "primary" };
    let rsh = rack.path(&format!("{node}.rsh"));
    Ok(format!(
        "\n[sync.img]\nrouter = \"web\"\npath = \"{}\"\npeer = \"{peer}\"\nrsh = [\"{}\"]\n\
         every = \"1s\"\n{settings}",
        path.display(),
        rsh.display()
    ))
}

/// The one that is required is waited for; the other one, which cannot be copied, is not.
fn one_of_two_required(rack: &Rack) -> Tested {
    let images = |node| images(rack, node, "require = false");
    let settings = |node| Ok::<_, Failed>(format!("cold_start_wait = \"0s\"\n{}", images(node)?));
    let pair = Pair::with(rack, &settings("primary")?, &settings("secondary")?)?;
    let second = pair.b.start()?;
    second.wait_for_state("active")?;
    pair.b.write("page", "1")?;
    let gone = pair.b.share.with_file_name("img");
    fs::rename(&gone, rack.path("aside"))?;
    let first = pair.a.start()?;
    wait_for_owner("the primary serves", &rack.primary, &rack.secondary)
        .map_err(|error| explain(&error, [&first, &second]))?;
    ensure(pair.a.read("page").as_deref() == Some("1"), "with what is required")?;
    fs::rename(rack.path("aside"), &gone)?;
    // What it says of itself as the one that serves is not meant.
    wait_until(LIMIT, "the secondary is backup", || share(&second)["role"] == "backup")?;
    wait_in_sync(&second)?;
    // Nobody copies the other one, and a yield waits for what is copied.
    sync(&second, &["hold", "img", "--reason", "a test"], 0)?;
    wait_until(LIMIT, "it is held", || {
        let report = second.report().unwrap_or_default();
        report["sync"][1]["held"]["reason"] == "operator"
    })?;
    pair.a.write("page", "2")?;
    let (code, text) = told(&first.ask(&["yield", "web"])?);
    ensure(code == Some(0), format!("{text}: {}", events(&first)))?;
    second.wait_for_state("active")?;
    ensure(pair.b.read("page").as_deref() == Some("2"), "it has what was written last")
}

/// What the status of the node that serves says of the operator's hold.
const LATER: &str = "held by the operator as soon as this node does not serve: for later";

fn two_shares(rack: &Rack) -> Tested {
    let pair = Pair::with(rack, &images(rack, "primary", "")?, &images(rack, "secondary", "")?)?;
    let images = [&pair.a, &pair.b].map(|node| node.share.with_file_name("img"));
    let image = || fs::read_to_string(images[1].join("logo")).ok();
    let (first, second) = pair.start()?;
    pair.a.write("page", "1")?;
    fs::write(images[0].join("logo"), "1")?;
    pair.b.wait_for("page", Some("1"))?;
    wait_until(LIMIT, "the other share is there", || image().as_deref() == Some("1"))?;
    let status: Value = serde_json::from_str(&sync(&second, &["status", "--json"], 0)?)?;
    ensure(status["schema"] == "carp.sync-status/1", status.to_string())?;
    let names: Vec<_> = [0, 1].map(|number| status["shares"][number]["name"].clone()).into();
    ensure(names == ["www", "img"], status.to_string())?;
    let text = sync(&second, &["now"], 1)?;
    ensure(text.contains("name one of the shares: www, img"), text)?;
    // One is held, and the other goes on.
    sync(&second, &["hold", "www", "--reason", "a test"], 0)?;
    wait_held(&second, "operator")?;
    sync(&second, &["status"], 1)?;
    sync(&second, &["status", "img"], 0)?;
    pair.a.write("page", "2")?;
    fs::write(images[0].join("logo"), "2")?;
    wait_until(LIMIT, "the other share goes on", || image().as_deref() == Some("2"))?;
    ensure(pair.b.read("page").as_deref() == Some("1"), "the held one is as it was")?;
    // Only one can be meant, so that the remedy works as it is printed.
    sync(&second, &["hold", "--release"], 0)?;
    pair.b.wait_for("page", Some("2"))?;
    wait_in_sync(&second)?;
    let text = sync(&second, &["hold", "--release"], 1)?;
    ensure(text.contains("name one of the shares: www, img"), text)?;
    let text = sync(&second, &["rescue", "list"], 0)?;
    ensure(text.contains("www:\nSET") && text.contains("img:\nSET"), text)?;
    // The node that serves pulls nothing in any case, and says what is to come.
    let text = sync(&first, &["hold", "img", "--reason", "for later"], 0)?;
    ensure(text.contains("when it does not serve any more, nothing is pulled"), text)?;
    let later = || sync(&first, &["status", "img"], 0).is_ok_and(|it| it.contains(LATER));
    wait_until(LIMIT, "the status says so", later)?;
    sync(&first, &["hold", "--release"], 0)?;
    wait_until(LIMIT, "no longer", || !later())?;
    // The roles change for both, and back for both.
    pair.a.write("page", "3")?;
    fs::write(images[0].join("logo"), "3")?;
    first.stop()?;
    second.wait_for_state("active")?;
    ensure(pair.b.read("page").as_deref() == Some("3"), "the one has what was written last")?;
    ensure(image().as_deref() == Some("3"), "and so has the other")?;
    pair.b.write("page", "4")?;
    fs::write(images[1].join("logo"), "4")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    ensure(pair.a.read("page").as_deref() == Some("4"), "back with the one")?;
    let logo = fs::read_to_string(images[0].join("logo"))?;
    ensure(logo == "4", format!("and with the other, which says {logo}"))
}
