//! F9: the root of a share that is not there, or is not the share.

use std::fs;

use carp_node::lab::wait_until;

use crate::scene::{Pair, equal, events, hold, share, shell, sync, wait_held, wait_in_sync};
use crate::support::{LIMIT, Rack, Test, Tested, ensure};
use crate::trees::{Both, Snapshot};

pub(crate) const TESTS: &[Test] = &[
    ("f9_a_source_without_its_marker_is_not_copied", no_marker),
    ("f9_a_source_whose_folder_is_gone_is_not_copied", no_folder),
    ("f9_a_standby_whose_disk_is_away_takes_nothing_over", absent_at_takeover),
    ("a_marker_that_was_deleted_comes_back_as_the_message_says", deleted_marker),
];

fn no_marker(rack: &Rack) -> Tested {
    not_mounted(rack, true)
}

/// A share lies below a mount point: without its disk there is no folder.
fn no_folder(rack: &Rack) -> Tested {
    not_mounted(rack, false)
}

/// The disk of the share is not mounted any more on the node that serves, with or without an empty folder in its place.
fn not_mounted(rack: &Rack, folder: bool) -> Tested {
    let pair = Pair::new(rack, "max_lag = \"5s\"")?;
    if !folder {
        fs::remove_dir(&pair.a.share)?;
    }
    let disk = rack.path("disk");
    let on_disk = disk.join("www");
    fs::create_dir_all(&on_disk)?;
    let point = pair.a.share.parent().ok_or("no parent")?.display();
    let mount = format!("mount --bind '{}' '{point}'", disk.display());
    shell(&mount)?;
    pair.a.write("x", "1")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("x", Some("1"))?;
    let copy = Snapshot::of(&pair.b.share)?;
    // Lazily: a pass may have it open.
    shell(&format!("umount -l '{point}'"))?;
    let source = Snapshot::of(&on_disk)?;
    wait_held(&second, "source-marker-missing")?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("mount the share on the peer"), text)?;
    wait_until(LIMIT, "the node that serves says so too", || share(&first)["fault"].is_string())?;
    let fault = share(&first)["fault"].as_str().unwrap_or_default().to_owned();
    wait_until(LIMIT, "both have told it", || {
        let told = |daemon, what: &str| events(daemon).contains(what);
        told(&first, &fault) && told(&second, "mount the share on the peer")
    })?;
    // What cannot be copied becomes old, which is an alarm, however good the connection is.
    wait_until(LIMIT, "that is an alarm", || share(&second)["alarm"] == true)?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("! alarm: the copy is older than max_lag (5s)"), text)?;
    let held = share(&second)["held"]["reason"].clone();
    ensure(held == "source-marker-missing", format!("it is still held: {held}"))?;
    copy.ensure_untouched(&pair.b.share, "everything is still there")?;
    source.ensure_untouched(&on_disk, "nothing is written to the source")?;
    ensure(pair.a.share.exists() == folder, "at the mount point is what was there before")?;
    ensure(!folder || pair.a.tree()?.is_empty(), "and nothing is written to it")?;
    shell(&mount)?;
    pair.a.write("y", "2")?;
    pair.b.wait_for("y", Some("2"))?;
    wait_in_sync(&second)?;
    wait_until(LIMIT, "the alarm is over", || share(&second)["alarm"] == false)?;
    wait_until(LIMIT, "no longer held", || share(&second)["held"].is_null())?;
    sync(&second, &["status"], 0)?;
    Ok(())
}

fn deleted_marker(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let (first, second) = pair.start()?;
    fs::remove_file(pair.a.share.join(".share-id"))?;
    let before = Both::of(&pair)?;
    wait_held(&second, "source-marker-missing")?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("`carp sync status` there has the command"), text)?;
    let mut told = String::new();
    wait_until(LIMIT, "the node that serves has the command", || {
        told = share(&first)["fault"].as_str().unwrap_or_default().to_owned();
        told.contains("make it anew: `")
    })?;
    ensure(sync(&first, &["status"], 0)?.contains(&told), "and says it to people")?;
    before.ensure_untouched("the marker is not there")?;
    let command = told.split('`').nth(1).ok_or("no command")?;
    shell(command)?;
    pair.a.write("x", "1")?;
    pair.b.wait_for("x", Some("1"))?;
    wait_in_sync(&second)?;
    wait_until(LIMIT, "nothing is wrong any more", || share(&first)["fault"].is_null())?;
    // The other way round, the peer's tree is what brings it back.
    hold(&second)?;
    fs::remove_file(pair.b.share.join(".share-id"))?;
    fs::remove_file(pair.b.share.join("x"))?;
    pair.b.write("mine", "1")?;
    let before = Both::of(&pair)?;
    sync(&second, &["hold", "--release"], 0)?;
    wait_held(&second, "local-marker-missing")?;
    let text = sync(&second, &["status"], 1)?;
    before.ensure_untouched("the marker is not here")?;
    ensure(text.contains("`carp sync resolve --keep peer` fills it again"), text)?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    pair.b.wait_for("x", Some("1"))?;
    wait_in_sync(&second)?;
    ensure(equal(&pair.a.share, &pair.b.share)?, "the trees are equal")?;
    ensure(pair.b.rescued("mine") == ["1"], "what the peer did not have is kept")
}

/// The primary dies while the standby's disk is away: an empty mount point is not served.
fn absent_at_takeover(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.a.write("page", "v1")?;
    let (first, second) = pair.start()?;
    wait_in_sync(&second)?;
    hold(&second)?;
    let away = pair.b.share.with_file_name("away");
    fs::rename(&pair.b.share, &away)?;
    fs::create_dir(&pair.b.share)?;
    first.kill_with_guard(&rack.primary)?;
    wait_until(LIMIT, "it is told", || {
        let told = events(&second);
        told.contains(
            "has no .share-id, although it had one: the address is not taken over; mount the share",
        )
    })?;
    second.wait_for_state("backup")?;
    ensure(fs::read_dir(&pair.b.share)?.next().is_none(), "nothing is made there")?;
    fs::remove_dir(&pair.b.share)?;
    fs::rename(&away, &pair.b.share)?;
    second.wait_for_state("active")?;
    ensure(pair.b.read("page").as_deref() == Some("v1"), "the page is there")
}
