//! What keeps a pass from being made: F9's many files that would go, an old program, the operator.

use std::fs;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::scene::{Pair, equal, events, hold, share, sync, wait_held, wait_in_sync, wait_outcome};
use crate::support::{LIMIT, Rack, Test, Tested, ensure};
use crate::trees::{Both, Snapshot};

pub(crate) const TESTS: &[Test] = &[
    ("an_old_rsync_holds_until_a_newer_one_is_installed", old_rsync),
    ("what_rsync_said_is_in_the_status_as_far_as_it_is_bounded", unreadable_file),
    ("f9_a_mass_delete_waits_for_approval", mass_delete),
    ("f9_a_hundred_files_or_a_tenth_may_go_and_one_more_is_asked_about", default_limits),
    ("an_approval_outlives_a_pass_that_does_not_get_there", approval),
    ("the_operator_can_hold_a_share", operator_hold),
];

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
