//! F1, F2: what the active node writes is soon on the other one.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, chown, lchown};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;
use serde_json::Value;

use crate::machine::is_root;
use crate::scene::{Pair, attribute, equal, set_attribute, share, sync};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, carp, ensure, told};
use crate::trees::Snapshot;

pub(crate) const TESTS: &[Test] = &[
    ("f1_the_standby_has_everything_as_it_is", everything_as_it_is),
    ("f2_two_writes_of_one_second_both_arrive", two_writes_of_one_second),
    ("a_change_is_copied_long_before_the_interval_is_over", early),
    ("progress_is_told_while_a_pass_runs", progress),
    ("one_line_tells_what_a_failover_would_lose", the_line),
    ("a_terminal_shows_the_latest_status_only", redrawn),
];

/// An access list as the kernel has it: the owner reads and writes, user 0 reads, nobody else does. Version 2, and for each
/// entry what it is of, what is allowed, and who.
const ACCESS: [u8; 44] = {
    const NOBODY: [u8; 4] = [0xff; 4];
    const ENTRIES: [(u8, u8, [u8; 4]); 5] =
        [(1, 6, NOBODY), (2, 4, [0; 4]), (4, 4, NOBODY), (0x10, 4, NOBODY), (0x20, 0, NOBODY)];
    let mut bytes = [0; 44];
    bytes[0] = 2;
    let mut entry = 0;
    while entry < ENTRIES.len() {
        let (tag, allowed, id) = ENTRIES[entry];
        let at = 4 + 8 * entry;
        bytes[at] = tag;
        bytes[at + 2] = allowed;
        let mut byte = 0;
        while byte < 4 {
            bytes[at + 4 + byte] = id[byte];
            byte += 1;
        }
        entry += 1;
    }
    bytes
};

fn everything_as_it_is(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let (_first, second) = pair.start()?;
    let root = &pair.a.share;
    soon(&pair, &second, || pair.a.write("x", "1"), || pair.b.read("x").as_deref() == Some("1"))?;
    pair.a.write("new\nline", "2")?;
    fs::write(root.join(std::ffi::OsString::from_vec(b"\xff\xfe".to_vec())), "no text")?;
    fs::create_dir(root.join("empty"))?;
    fs::hard_link(root.join("x"), root.join("x2"))?;
    std::os::unix::fs::symlink("x", root.join("link"))?;
    fs::create_dir_all(root.join("folder/deep"))?;
    fs::write(root.join("folder/deep/y"), "3")?;
    // A hole before something, and one behind it.
    let sparse = fs::File::create(root.join("sparse"))?;
    sparse.set_len(8 << 20)?;
    sparse.write_all_at(b"something", 4 << 20)?;
    if is_root() {
        chown(root.join("folder/deep/y"), Some(12_345), Some(23_456))?;
        lchown(root.join("link"), Some(12_345), None)?;
        chown(root.join("empty"), None, Some(23_456))?;
    } else {
        eprintln!("other owners are left out WITHOUT root: a user namespace has none");
    }
    fs::set_permissions(root.join("x"), fs::Permissions::from_mode(0o2640))?;
    let times = SystemTime::UNIX_EPOCH + std::time::Duration::new(1_600_000_000, 123_456_789);
    fs::File::options().write(true).open(root.join("x"))?.set_modified(times)?;
    let attributes = [("user.colour", &b"red"[..]), ("system.posix_acl_access", &ACCESS)];
    let mut expected = Vec::new();
    for (name, value) in attributes {
        if set_attribute(&root.join("x"), name, value)? {
            expected.push((name, attribute(&root.join("x"), name)?));
        }
    }
    wait_until(LIMIT, "the trees are equal", || equal(root, &pair.b.share).unwrap_or(false))?;
    for (name, value) in expected {
        let found = attribute(&pair.b.share.join("x"), name)?;
        ensure(value.is_some() && found == value, format!("{name} is {found:?}, not {value:?}"))?;
    }
    let [here, there] = [root, &pair.b.share].map(|root| fs::metadata(root.join("x")));
    let (here, there) = (here?, there?);
    let shown = |it: &fs::Metadata| (it.mode(), it.uid(), it.gid(), it.mtime(), it.mtime_nsec());
    ensure(shown(&here) == shown(&there), format!("{:?} and {:?}", shown(&here), shown(&there)))?;
    ensure(there.nlink() == 2, "the link is a link there too")?;
    let blocks = fs::metadata(pair.b.share.join("sparse"))?.blocks();
    ensure(blocks * 512 < 1 << 20, format!("the holes are holes there too: {blocks} blocks"))?;
    // Of all of them: owners, modes, times to the nanosecond, and where links lead.
    Snapshot::of(root)?.ensure_untouched(&pair.b.share, "the copy is what the source is")?;
    soon(
        &pair,
        &second,
        || Ok(fs::remove_file(root.join("x2"))?),
        || !pair.b.share.join("x2").exists(),
    )
}

/// Does something on the primary, and fails unless the secondary has it after the pass that ran then, if one did, and the
/// one that followed.
fn soon(
    pair: &Pair<'_>,
    second: &Daemon,
    change: impl Fn() -> Tested,
    arrived: impl Fn() -> bool,
) -> Tested {
    let ended = || {
        let last = &share(second)["last_pass"];
        // One that failed brought nothing.
        if last["outcome"] == "complete" { last["ended"].clone() } else { Value::Null }
    };
    change()?;
    let mut passes = vec![ended()];
    wait_until(LIMIT, "it is there after two passes", || {
        let last = ended();
        if !last.is_null() && passes.last() != Some(&last) {
            passes.push(last);
        }
        passes.len() > 2 || arrived()
    })?;
    ensure(arrived(), format!("{} has it not after {passes:?}", pair.b.name))
}

fn two_writes_of_one_second(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let _daemons = pair.start()?;
    let second = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
    for (value, nanos) in [("AAAA", 100_000_000), ("BBBB", 900_000_000)] {
        // It comes with its time: a copy from before that would be of another second.
        let new = rack.path("new");
        fs::write(&new, value)?;
        let file = fs::File::options().write(true).open(&new)?;
        file.set_modified(second + std::time::Duration::from_nanos(nanos))?;
        fs::rename(&new, pair.a.share.join("x"))?;
        pair.b.wait_for("x", Some(value))?;
    }
    Ok(())
}

fn the_line(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    let (first, second) = pair.start()?;
    for daemon in [&first, &second] {
        wait_until(LIMIT, "the lag is known", || share(daemon)["lag_ms"].is_number())?;
        let text = sync(daemon, &["status"], 0)?;
        ensure(text.contains("failover now would lose at most"), text)?;
    }
    let text = sync(&first, &["now"], 6)?;
    ensure(text.contains("this node is active"), text)?;
    sync(&second, &["now"], 0)?;
    let mut text = String::new();
    // While a pass runs, it is refused.
    let asked = wait_until(LIMIT, "a comparison is made", || {
        let told = second.ask(&["sync", "diff", "--json"]).map(|output| told(&output));
        told.is_ok_and(|(code, said)| {
            text = said;
            code == Some(0)
        })
    });
    asked.map_err(|error| Failed::from(format!("{error}: {text}")))?;
    ensure(text.contains("\"deleted\":0"), text)
}

fn early(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "every = \"1h\"")?;
    let (first, second) = pair.start()?;
    wait_until(LIMIT, "the tree is watched", || share(&first)["watched"]["directories"] == 1)?;
    pair.a.write("x", "1")?;
    pair.b.wait_for("x", Some("1"))?;
    fs::create_dir_all(pair.a.share.join("new/newer"))?;
    wait_until(LIMIT, "new directories are watched", || {
        share(&first)["watched"]["directories"] == 3
    })?;
    pair.a.write("new/newer/y", "2")?;
    pair.b.wait_for("new/newer/y", Some("2"))?;
    ensure(share(&first)["watched"]["whole"] == true, "all of it is watched")?;
    ensure(share(&second)["watched"].is_null(), "nobody watches a copy")
}

fn progress(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "bandwidth = 200")?;
    let (_first, second) = pair.start()?;
    // Renamed, so that one pass brings both: of the last file of a pass, none is counted while it comes.
    let new = rack.path("new");
    fs::create_dir(&new)?;
    fs::write(new.join("a"), "it comes first, and is counted")?;
    fs::write(new.join("large"), vec![7; 20 << 20])?;
    fs::rename(&new, pair.a.share.join("new"))?;
    wait_until(LIMIT, "files, bytes, the rate and the time left are told", || {
        let progress = &share(&second)["progress"];
        ["bytes", "rate", "left_ms", "running_ms"]
            .iter()
            .all(|it| progress[*it].as_f64().is_some_and(|figure| figure > 0.0))
            && progress["files"].as_u64().is_some_and(|files| files > 0)
            && progress["to_check"].is_u64()
            && progress["percent"].as_u64().is_some_and(|percent| percent < 100)
    })?;
    let mut watch = carp();
    watch.args(["sync", "status", "--watch", "--socket"]).arg(&second.socket);
    let watch = watch.stdout(Stdio::piped()).spawn()?;
    let lines = told_twice(watch)?;
    ensure(lines.contains("bytes/s") && lines.contains(" left; files: "), lines)
}

/// What is printed until the share has been shown twice.
fn told_twice(mut child: std::process::Child) -> Result<String, Failed> {
    let stdout = child.stdout.take().ok_or("no output")?;
    let mut text = String::new();
    for line in BufReader::new(stdout).lines() {
        text += &format!("{}\n", line?);
        if text.matches("www (").count() == 2 {
            break;
        }
    }
    child.kill()?;
    child.wait()?;
    Ok(text)
}

/// Twice a second, as `--watch` looks: into a pipe one after the other, and on a terminal one in place of the other.
fn redrawn(rack: &Rack) -> Tested {
    const CLEAR: &str = "\x1b[2J\x1b[H";
    let pair = Pair::new(rack, "")?;
    let (_first, second) = pair.start()?;
    let program = carp().get_program().to_string_lossy().into_owned();
    let socket = second.socket.display();
    let watch = format!("timeout 5 '{program}' sync status --watch --socket '{socket}'");
    let shown = |command: &mut Command| -> Result<String, Failed> {
        Ok(String::from_utf8_lossy(&command.stdin(Stdio::null()).output()?.stdout).into_owned())
    };
    let piped = shown(Command::new("sh").args(["-c", &watch]))?;
    ensure(piped.matches("www (backup").count() > 1 && !piped.contains(CLEAR), piped)?;
    let terminal = shown(Command::new("script").args(["-qec", &watch, "/dev/null"]))?;
    ensure(terminal.matches(&format!("{CLEAR}www (backup")).count() > 1, terminal)
}
