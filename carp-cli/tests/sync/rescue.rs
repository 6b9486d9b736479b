//! Rescue sets that outlast the daemon which made them, and F10 for a pass that begins one.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::scene::{Pair, equal, events, share, sync, wait_held, wait_in_sync};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, ensure};
use crate::trees::Both;

pub(crate) const TESTS: &[Test] = &[
    ("a_set_of_a_pass_that_died_with_its_daemon_can_be_shown_and_acknowledged", cut_off),
    ("what_was_kept_is_restored_elsewhere_and_a_set_goes_when_nobody_waits_for_it", restored),
    ("f10_a_disk_that_becomes_full_in_a_pass_with_rescue_loses_nothing", full_disk),
];

/// The primary serves, the secondary follows, and what the secondary had of its own is in a rescue set.
struct Kept {
    first: Daemon,
    second: Daemon,
    /// The set's name, and where it is.
    name: String,
    set: PathBuf,
}

impl Kept {
    fn of(pair: &Pair<'_>) -> Result<Self, Failed> {
        let first = pair.a.start()?;
        first.wait_for_state("active")?;
        let second = pair.b.start()?;
        wait_held(&second, "not-adopted")?;
        sync(&second, &["resolve", "--keep", "peer"], 0)?;
        wait_in_sync(&second)?;
        let sets = pair.b.share.with_file_name(".rescue").join("www");
        let set = fs::read_dir(&sets)?.next().ok_or("no set")??;
        let name = set.file_name().into_string().map_err(|name| format!("{}", name.display()))?;
        Ok(Self { first, second, name, set: set.path() })
    }

    fn report(&self) -> PathBuf {
        self.set.join("report.json")
    }

    /// As if its pass had ended in 2020.
    fn make_old(&self) -> Tested {
        let text = fs::read_to_string(self.report())?;
        let ended = text.lines().find(|line| line.contains("\"ended\"")).ok_or("no end")?;
        let old = text.replace(ended, "  \"ended\": \"2020-01-01T00:00:00Z\",");
        Ok(fs::write(self.report(), old)?)
    }
}

fn restored(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.b.write("own", "1")?;
    pair.b.write("page", "mine")?;
    pair.a.write("page", "theirs")?;
    let kept = Kept::of(&pair)?;
    let second = &kept.second;
    let restore = |path: &str, more: &[&str], code: i32| {
        sync(second, &[&["rescue", "restore", &kept.name, path], more].concat(), code)
    };
    let text = restore("own", &[], 6)?;
    ensure(text.contains("this node is backup: the next pass would delete it again"), text)?;
    kept.first.stop()?;
    second.wait_for_state("active")?;
    // Nothing that is there is replaced, and nothing is led out of the share.
    let text = restore("page", &[], 6)?;
    ensure(text.contains("has an entry of this name"), text)?;
    let text = restore("own", &["--to", "../own"], 6)?;
    ensure(text.contains("one below the share's root"), text)?;
    restore("page", &["--to", "kept/page.old"], 0)?;
    restore("own", &["--to", "kept/own", "www"], 0)?;
    for (file, value) in [("page", "theirs"), ("kept/page.old", "mine"), ("kept/own", "1")] {
        ensure(pair.b.read(file).as_deref() == Some(value), format!("{file} = {value}"))?;
    }
    let text = restore("own", &[], 6)?;
    ensure(text.contains("does not have this entry"), text)?;
    let first = pair.a.start()?;
    pair.a.wait_for("kept/page.old", Some("mine"))?;
    // However old it is, a set whose orphans nobody has acknowledged stays.
    kept.make_old()?;
    let text = sync(second, &["rescue", "prune"], 0)?;
    ensure(text.starts_with("no sets removed: ") && kept.set.exists(), text)?;
    let text = sync(second, &["rescue", "ack", &kept.name], 0)?;
    ensure(text == "2 orphans acknowledged: the set may be pruned\n", text)?;
    let text = sync(second, &["rescue", "prune", "www"], 0)?;
    ensure(text == format!("removed {}\n1 set removed\n", kept.name), text)?;
    ensure(!kept.set.exists(), "it is gone")?;
    // The share's own files are not what is pruned.
    for (file, value) in [("kept/page.old", "mine"), ("kept/own", "1")] {
        pair.a.wait_for(file, Some(value))?;
    }
    first.stop()?;
    Ok(())
}

fn cut_off(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    pair.b.write("own", "1")?;
    let kept = Kept::of(&pair)?;
    kept.second.kill_with_guard(&rack.secondary)?;
    // As a daemon leaves it that is killed before rsync has ended, or with it.
    fs::remove_file(kept.report())?;
    let second = pair.b.start()?;
    let told = || events(&second).contains("a pass was cut off with the daemon");
    wait_until(LIMIT, "the set is told", told).map_err(|error| Failed::from(error.to_string()))?;
    let text = sync(&second, &["rescue", "show", &kept.name], 0)?;
    ensure(text.contains("own"), text)?;
    sync(&second, &["rescue", "ack", &kept.name], 0)?;
    // An old one that nobody waits for is removed at the next start.
    kept.make_old()?;
    second.stop()?;
    let second = pair.b.start()?;
    wait_until(LIMIT, "it is removed", || !kept.set.exists())?;
    let told = || events(&second).contains("rescue sets that nobody waits for were removed");
    Ok(wait_until(LIMIT, "that is told", told)?)
}

/// How large the file is that the pass brings, in MiB, and how large the disk.
const LARGE: u32 = 20;
const DISK: u32 = 64;

fn full_disk(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"\nbandwidth = 4000")?;
    pair.b.mount(DISK)?;
    pair.b.write("own", "1")?;
    pair.b.write("page", "mine")?;
    pair.a.write("page", "theirs")?;
    pair.a.put("large", &vec![7; usize::try_from(LARGE << 20)?])?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let second = pair.b.start()?;
    wait_held(&second, "not-adopted")?;
    let before = Both::of(&pair)?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    // It fits when the pass begins, and is being received: only then somebody else needs the space.
    let disk = pair.b.share.parent().ok_or("no parent")?;
    let enough = || free(disk).is_ok_and(|free| free < u64::from(DISK - 2) << 20);
    wait_until(LIMIT, "a part of it is here", enough)?;
    let filler = disk.join("filler");
    let mut file = fs::File::create(&filler)?;
    while file.write_all(&[1; 1 << 16]).is_ok() {}
    drop(file);
    wait_until(LIMIT, "that is told", || {
        events(&second).contains("fault: share www: the disk of this node is full")
    })
    .map_err(|error| Failed::from(format!("{error}: {}: {}", share(&second), events(&second))))?;
    // The next one sees before it begins that it does not fit.
    wait_held(&second, "rescue-space")?;
    let text = sync(&second, &["status"], 1)?;
    ensure(text.contains("free the space, or give up old sets"), text)?;
    before.ensure_untouched("the disk is full")?;
    fs::remove_file(&filler)?;
    pair.b.wait_for("page", Some("theirs"))?;
    wait_in_sync(&second)?;
    ensure(equal(&pair.a.share, &pair.b.share)?, "the trees are equal")?;
    let kept = [pair.b.rescued("page"), pair.b.rescued("own")];
    ensure(kept == [["mine"], ["1"]], format!("what was here is kept: {kept:?}"))?;
    wait_until(LIMIT, "no longer held", || share(&second)["held"].is_null())?;
    sync(&second, &["status"], 0)?;
    Ok(())
}

/// The bytes that are free on a disk.
fn free(disk: &Path) -> Result<u64, Failed> {
    let found = rustix::fs::statvfs(disk)?;
    Ok(found.f_bavail * found.f_frsize)
}
