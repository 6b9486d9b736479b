//! F9, F15, and what else keeps a share from being copied.

use std::fs;
use std::path::PathBuf;

use carp_node::lab::wait_until;
use carp_node::sync::hold::HoldReason;
use libtest_mimic::Failed;

use crate::scene::{
    Node, Pair, equal, events, explain, hold, share, shell, sync, wait_held, wait_in_sync,
    wait_outcome,
};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, ensure, serves, told};
use crate::trees::{Both, Snapshot};

pub(crate) const TESTS: &[Test] = &[
    ("f9_a_source_without_its_marker_is_not_copied", no_marker),
    ("f9_a_source_whose_folder_is_gone_is_not_copied", no_folder),
    ("f9_a_standby_whose_disk_is_away_takes_nothing_over", absent_at_takeover),
    ("a_standby_whose_disk_hangs_lives_on_and_takes_nothing_over", hangs_at_takeover),
    ("a_share_that_is_not_required_is_taken_over_with_a_disk_that_hangs", hangs_and_is_served),
    ("a_marker_that_was_deleted_comes_back_as_the_message_says", deleted_marker),
    ("an_old_rsync_holds_until_a_newer_one_is_installed", old_rsync),
    ("what_rsync_said_is_in_the_status_as_far_as_it_is_bounded", unreadable_file),
    ("f9_a_mass_delete_waits_for_approval", mass_delete),
    ("f9_a_hundred_files_or_a_tenth_may_go_and_one_more_is_asked_about", default_limits),
    ("an_approval_outlives_a_pass_that_does_not_get_there", approval),
    ("the_operator_can_hold_a_share", operator_hold),
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

/// What 3.1.2 says of itself. It does not know `-V`.
const OLD: &str = "case \"$1\" in -V*) echo 'rsync: -V: unknown option' >&2; exit 1;; --version) \
                   echo 'rsync  version 3.1.2  protocol version 31'; exit 0;; esac";

fn old_rsync(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.a.write("x", "1")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    pair.a.wait_for_marker()?;
    let before = Both::of(&pair)?;
    let second = pair.b.start_with_rsync(OLD)?;
    wait_held(&second, "rsync-version")?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("rsync 3.1.2 is too old") && text.contains("install rsync 3.1.3"), text)?;
    ensure(share(&second)["in_sync"] == false, "nothing is in sync")?;
    before.ensure_untouched("rsync is too old")?;
    // As the package does it: no restart.
    pair.b.replace_rsync(None)?;
    pair.b.wait_for("x", Some("1"))?;
    wait_in_sync(&second)?;
    wait_until(LIMIT, "no longer held", || share(&second)["held"].is_null())?;
    sync(&second, &["status"], 0)?;
    let told = events(&second);
    ensure(told.contains("is here now: data is kept in step"), told)?;
    // And the other way: it is noticed when a call does not work.
    pair.b
        .replace_rsync(Some(&format!("{OLD}\ncase \"$*\" in *--delete-delay*) exit 1;; esac")))?;
    pair.a.write("y", "2")?;
    wait_held(&second, "rsync-version")?;
    pair.b.replace_rsync(None)?;
    pair.b.wait_for("y", Some("2"))
}

fn unreadable_file(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    pair.a.wait_for_marker()?;
    let before = Both::of(&pair)?;
    let said = "case \"$*\" in *--delete-delay*) \
                    for n in $(seq 1 500); do echo \"rsync: cannot read file $n\" >&2; done; \
                    printf 'rsync: \\033[2J last\\n' >&2; exit 23;; esac";
    let second = pair.b.start_with_rsync(said)?;
    wait_outcome(&second, "partial")?;
    before.ensure_untouched("a file cannot be read")?;
    let told = share(&second)["last_pass"]["errors"].as_str().unwrap_or_default().to_owned();
    ensure(told.ends_with("\u{fffd}[2J last") && told.contains("cannot read file 500"), &*told)?;
    ensure(told.len() > 3000 && told.len() <= 4200, format!("{} bytes are kept", told.len()))?;
    ensure(!told.contains("file 1\n"), "the end of it")?;
    let text = sync(&second, &["status"], 0)?;
    ensure(
        text.contains("which and why") && text.contains("    | rsync: cannot read file 500"),
        &*text,
    )?;
    ensure(text.lines().count() < 40 && text.contains("are in --json"), text)?;
    pair.b.replace_rsync(None)?;
    wait_in_sync(&second)?;
    ensure(share(&second)["last_pass"]["errors"] == "", "a good pass says nothing")
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

/// The primary dies while the standby's disk hangs: whoever opens the marker there gets no answer.
fn hangs_at_takeover(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.a.write("page", "v1")?;
    let (first, second) = pair.start()?;
    wait_in_sync(&second)?;
    hold(&second)?;
    let history = pair.b.told()?["history"].clone();
    let marker = hang(&pair.b)?;
    sync(&second, &["hold", "--release"], 0)?;
    // Passes begin each second.
    lives_on(&pair.b)?;
    first.kill_with_guard(&rack.primary)?;
    // Twice, because only the first look is waited for.
    let told = "www has not answered for 3 s; look at its disk, or at the server of its network file system; the \
                address is not taken over";
    wait_until(LIMIT, "it is told", || events(&second).matches(told).count() >= 2)
        .map_err(|error| Failed::from(format!("{error}: {}", events(&second))))?;
    lives_on(&pair.b)?;
    ensure(pair.b.told()?["history"] == history, "no epoch has begun")?;
    ensure(second.state() == "backup" && !serves(&rack.secondary), "the address stays away")?;
    marker.answer()?;
    second.wait_for_state("active")?;
    ensure(pair.b.read("page").as_deref() == Some("v1"), "the page is there")
}

fn hangs_and_is_served(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"\nrequire = false")?;
    pair.a.write("page", "v1")?;
    let (first, second) = pair.start()?;
    wait_in_sync(&second)?;
    hold(&second)?;
    let marker = hang(&pair.b)?;
    first.kill_with_guard(&rack.primary)?;
    second.wait_for_state("active")?;
    let says = || share(&second)["fault"].as_str().unwrap_or_default().to_owned();
    wait_until(LIMIT, "it is told", || says().contains("www has not answered for 3 s"))?;
    lives_on(&pair.b)?;
    ensure(pair.b.told()?["marked"] == false, "its marker is not known to be there")?;
    ensure(second.state() == "active" && serves(&rack.secondary), "and it serves")?;
    marker.answer()?;
    wait_until(LIMIT, "its marker is there", || {
        says().is_empty() && pair.b.told().is_ok_and(|told| told["marked"] == true)
    })?;
    Ok(())
}

/// A marker that hangs whoever opens it.
struct Hanging {
    marker: PathBuf,
    away: PathBuf,
}

fn hang(node: &Node<'_>) -> Result<Hanging, Failed> {
    let hanging =
        Hanging { marker: node.share.join(".share-id"), away: node.share.with_file_name("marker") };
    fs::rename(&hanging.marker, &hanging.away)?;
    shell(&format!("mkfifo '{}'", hanging.marker.display()))?;
    Ok(hanging)
}

impl Hanging {
    /// Whoever has opened it gets an answer, and whoever opens it from now on finds the marker.
    fn answer(self) -> Tested {
        let writer = fs::File::options().write(true).open(&self.marker)?;
        fs::rename(&self.away, &self.marker)?;
        drop(writer);
        Ok(())
    }
}

/// Its record is written each second.
fn lives_on(node: &Node<'_>) -> Tested {
    let beat = node.beat()?;
    Ok(wait_until(LIMIT, "five seconds of its life", || {
        node.beat().is_ok_and(|now| now >= beat + 5)
    })?)
}

fn mass_delete(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "max_delete = 5")?;
    for file in 0..40 {
        pair.a.write(&format!("f{file}"), "1")?;
    }
    let (_first, second) = pair.start()?;
    pair.b.wait_for("f39", Some("1"))?;
    // One pass finds them all.
    hold(&second)?;
    for file in 0..38 {
        fs::remove_file(pair.a.share.join(format!("f{file}")))?;
    }
    let source = Snapshot::of(&pair.a.share)?;
    sync(&second, &["hold", "--release"], 0)?;
    wait_held(&second, "mass-delete")?;
    let left = pair.b.tree()?.len();
    // The marker is one more.
    ensure(left == 41, format!("{left} are left: it is decided before anything is deleted"))?;
    source.ensure_untouched(&pair.a.share, "the source is as it was")?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("would delete 38 files") && text.contains("carp sync approve"), text)?;
    sync(&second, &["approve"], 0)?;
    pair.b.wait_for("f37", None)?;
    wait_in_sync(&second)?;
    // Few go without a question.
    fs::remove_file(pair.a.share.join("f38"))?;
    pair.b.wait_for("f38", None)
}

fn default_limits(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let files = |range: std::ops::Range<u32>| range.map(|number| format!("f{number}"));
    for file in files(0..1300) {
        pair.a.write(&file, "1")?;
    }
    let (_first, second) = pair.start()?;
    // Of 1300 files a tenth may go, of what is left then less, and of few a hundred.
    let goes = [
        (0..130, None),
        (130..248, Some("would delete 118 files, and the limit is 117")),
        (248..700, Some("would delete 452 files, and the limit is 105")),
        (700..800, None),
        (800..901, Some("would delete 101 files, and the limit is 100")),
    ];
    for (range, asked) in goes {
        let copy = Snapshot::of(&pair.b.share)?;
        // One pass finds them all.
        hold(&second)?;
        for file in files(range.clone()) {
            fs::remove_file(pair.a.share.join(file))?;
        }
        let source = Snapshot::of(&pair.a.share)?;
        sync(&second, &["hold", "--release"], 0)?;
        if let Some(asked) = asked {
            wait_held(&second, "mass-delete")?;
            let text = sync(&second, &["status"], 1)?;
            ensure(text.contains(asked) && text.contains("carp sync approve"), text)?;
            copy.ensure_untouched(&pair.b.share, "nothing is deleted before the word")?;
            sync(&second, &["approve"], 0)?;
        }
        let last = format!("f{}", range.end - 1);
        pair.b
            .wait_for(&last, None)
            .map_err(|error| Failed::from(format!("{error:?}: {}", share(&second))))?;
        wait_in_sync(&second)?;
        wait_until(LIMIT, "the trees are equal", || {
            equal(&pair.a.share, &pair.b.share).unwrap_or(false)
        })?;
        source.ensure_untouched(&pair.a.share, "the source is as it was")?;
        source.ensure_untouched(&pair.b.share, "and so is its copy")?;
        // The next limit is a tenth of what a complete pass has counted; the marker and the root are two more.
        wait_until(LIMIT, "a pass has counted what is left", || {
            let status = share(&second);
            let pass = &status["last_pass"];
            pass["outcome"] == "complete"
                && pass["files"] == 1302 - range.end
                && status["held"].is_null()
        })?;
    }
    Ok(())
}

fn approval(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "max_delete = 5\ncold_start_wait = \"0s\"")?;
    for file in 0..20 {
        pair.a.write(&format!("f{file}"), "1")?;
    }
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let cut = rack.path("cut");
    let script = format!(
        "case \"$*\" in *--delete-delay*) [ -e {} ] && \
         {{ echo 'rsync: connection unexpectedly closed' >&2; exit 12; }};; esac",
        cut.display()
    );
    let second = pair.b.start_with_rsync(&script)?;
    pair.b.wait_for("f19", Some("1"))?;
    wait_in_sync(&second)?;
    for file in 0..20 {
        fs::remove_file(pair.a.share.join(format!("f{file}")))?;
    }
    wait_held(&second, "mass-delete")?;
    let before = Both::of(&pair)?;
    fs::write(&cut, "")?;
    sync(&second, &["now"], 0)?;
    wait_outcome(&second, "transport")?;
    ensure(share(&second)["held"]["reason"] == "mass-delete", share(&second).to_string())?;
    sync(&second, &["approve"], 0)?;
    let ended = || share(&second)["last_pass"]["ended"].clone();
    let last = ended();
    wait_until(LIMIT, "a pass of the approval fails", || ended() != last)?;
    before.ensure_untouched("nothing is deleted yet")?;
    fs::remove_file(&cut)?;
    pair.b.wait_for("f0", None)?;
    wait_in_sync(&second)?;
    // It was about one pass.
    for file in 0..20 {
        pair.a.write(&format!("g{file}"), "1")?;
    }
    pair.b.wait_for("g19", Some("1"))?;
    wait_in_sync(&second)?;
    for file in 0..20 {
        fs::remove_file(pair.a.share.join(format!("g{file}")))?;
    }
    wait_held(&second, "mass-delete")
}

fn operator_hold(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let (_first, second) = pair.start()?;
    sync(&second, &["hold", "--reason", "inventory"], 0)?;
    wait_held(&second, "operator")?;
    wait_until(LIMIT, "no pass runs", || share(&second)["progress"].is_null())?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("inventory") && text.contains("--release"), text)?;
    pair.a.write("x", "1")?;
    let before = Both::of(&pair)?;
    let beat = pair.a.beat()?;
    wait_until(LIMIT, "passes would have come", || pair.a.beat().is_ok_and(|now| now > beat + 3))?;
    before.ensure_untouched("the operator holds it")?;
    sync(&second, &["hold", "--release"], 0)?;
    pair.b.wait_for("x", Some("1"))?;
    wait_until(LIMIT, "no longer held", || share(&second)["held"].is_null())?;
    Ok(())
}

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
    // Whoever said that has looked at it: nothing is left to be asked when it serves no more.
    let (code, text) = told(&first.ask(&["yield", "web"])?);
    ensure(code == Some(0), format!("{text}: {}", events(&first)))?;
    second.wait_for_state("active")?;
    wait_in_sync(&first)?;
    ensure(share(&first)["held"].is_null(), share(&first).to_string())?;
    ensure(events(&first).matches(DAMAGED).count() == 1, events(&first))?;
    ensure(equal(&pair.a.share, &pair.b.share)?, "the trees are equal")
}
