//! F9, F15, and what else keeps a share from being copied.

use std::fs;

use carp_node::lab::wait_until;

use crate::scene::{Pair, share, sync, wait_held, wait_in_sync};
use crate::support::{LIMIT, Rack, Test, Tested, ensure};

pub(crate) const TESTS: &[Test] = &[
    ("f9_a_source_without_its_marker_is_not_copied", no_marker),
    ("f9_a_mass_delete_waits_for_approval", mass_delete),
    ("the_operator_can_hold_a_share", operator_hold),
    ("damaged_memory_holds_and_never_guesses", damaged_memory),
];

fn no_marker(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.a.write("x", "1")?;
    let (_first, second) = pair.start()?;
    pair.b.wait_for("x", Some("1"))?;
    // As if the disk of the share were not mounted.
    let aside = rack.path("aside");
    fs::rename(&pair.a.share, &aside)?;
    fs::create_dir(&pair.a.share)?;
    wait_held(&second, "source-marker-missing")?;
    sync(&second, &["status"], 1)?;
    ensure(pair.b.read("x").as_deref() == Some("1"), "everything is still there")?;
    fs::remove_dir(&pair.a.share)?;
    fs::rename(&aside, &pair.a.share)?;
    pair.a.write("y", "2")?;
    pair.b.wait_for("y", Some("2"))
}

fn mass_delete(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "max_delete = 5")?;
    for file in 0..40 {
        pair.a.write(&format!("f{file}"), "1")?;
    }
    let (_first, second) = pair.start()?;
    pair.b.wait_for("f39", Some("1"))?;
    for file in 0..38 {
        fs::remove_file(pair.a.share.join(format!("f{file}")))?;
    }
    wait_held(&second, "mass-delete")?;
    let left = pair.b.tree()?.len();
    // The marker is one more.
    ensure(left == 41, format!("{left} are left: it is decided before anything is deleted"))?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("would delete 38 files") && text.contains("carp sync approve"), text)?;
    sync(&second, &["approve"], 0)?;
    pair.b.wait_for("f37", None)?;
    wait_in_sync(&second)?;
    // Few go without a question.
    fs::remove_file(pair.a.share.join("f38"))?;
    pair.b.wait_for("f38", None)
}

fn operator_hold(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let (_first, second) = pair.start()?;
    sync(&second, &["hold", "--reason", "inventory"], 0)?;
    wait_held(&second, "operator")?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("inventory") && text.contains("--release"), text)?;
    pair.a.write("x", "1")?;
    sync(&second, &["hold", "--release"], 0)?;
    pair.b.wait_for("x", Some("1"))?;
    wait_until(LIMIT, "no longer held", || share(&second)["held"].is_null())?;
    Ok(())
}

fn damaged_memory(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let (_first, second) = pair.start()?;
    second.stop()?;
    let memory = rack.path("secondary.state/sync/www.share");
    let text = fs::read_to_string(&memory)?;
    fs::write(&memory, text.replacen("carp.sync", "carp.snyc", 1))?;
    pair.a.write("x", "1")?;
    let second = pair.b.start()?;
    wait_held(&second, "state-damaged")?;
    ensure(pair.b.read("x").is_none(), "nothing is copied")?;
    wait_until(LIMIT, "the peer is known", || share(&second)["peer_alive"] == true)?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    pair.b.wait_for("x", Some("1"))?;
    wait_in_sync(&second)
}
