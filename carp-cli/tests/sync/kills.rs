//! A daemon that is killed at the worst moments of a pass. strace stops rsync where the test wants it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::scene::{Node, Pair, equal, hold, passes, rescue_list, share, sync, wait_in_sync};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, ensure};

pub(crate) const TESTS: &[Test] = &[
    ("a_daemon_killed_between_a_copy_and_its_memory_copies_again", before_the_memory),
    ("a_daemon_killed_while_files_take_their_places_leaves_each_old_or_new", renames),
    ("a_daemon_killed_at_any_call_of_a_pass_that_deletes_leaves_what_that_call_found", calls),
    ("a_daemon_killed_at_any_call_of_a_pass_that_keeps_leaves_what_that_call_found", keeping_calls),
    ("a_daemon_killed_in_the_middle_of_a_file_leaves_the_tree_as_it_was", received),
    ("a_daemon_killed_while_files_are_deleted_deletes_the_others_later", deletes),
    ("a_daemon_killed_while_a_file_is_kept_leaves_it_in_its_place", keeps_one),
    ("a_daemon_killed_in_a_pass_that_keeps_files_has_a_report_of_them_later", keeps),
];

const FILES: [&str; 6] = ["f1", "f2", "f3", "f4", "f5", "f6"];

/// How often something has happened in a pass that is stopped then.
struct Point {
    flag: PathBuf,
    log: PathBuf,
    script: String,
}

impl Point {
    /// Stops rsync when it has made this call so many times, in the next pass with these words in its call.
    fn after(rack: &Rack, words: &str, call: &str, times: u32) -> Self {
        let (flag, log) = (rack.path("stops"), rack.path("calls"));
        let script = format!(
            "case \"$*\" in *{words}*) if rm {flag} 2>/dev/null; then exec strace -f -qq -o {log} -e trace={call} \
             -e inject={call}:signal=STOP:when={times} /usr/bin/rsync \"$@\"; fi;; esac",
            flag = flag.display(),
            log = log.display()
        );
        Self { flag, log, script }
    }

    fn arm(&self) -> Tested {
        Ok(fs::write(&self.flag, "")?)
    }

    fn wait(&self) -> Tested {
        Ok(wait_until(LIMIT, "rsync stops where it is to", || {
            fs::read_to_string(&self.log).is_ok_and(|log| log.contains("stopped by SIGSTOP"))
        })?)
    }
}

/// rsync renames each file twice: to where it waits for the end of the transfer, and to its place.
const RENAMES: &str = "/rename";
const THIRD_PLACE: u32 = 6 + 3;

fn kill(rack: &Rack, pair: &Pair<'_>, daemon: &Daemon) -> Tested {
    daemon.kill_with_guard(&rack.secondary)?;
    Ok(wait_until(LIMIT, "nothing of the pass lives", || passes(&pair.b.share).is_empty())?)
}

fn write_all(node: &Node<'_>, value: &str) -> Tested {
    FILES.iter().try_for_each(|file| node.write(file, value))
}

fn having(pair: &Pair<'_>, value: &str) -> BTreeSet<&'static str> {
    FILES.into_iter().filter(|file| pair.b.read(file).as_deref() == Some(value)).collect()
}

fn are_equal(pair: &Pair<'_>, daemon: &Daemon) -> Tested {
    wait_in_sync(daemon)?;
    Ok(wait_until(LIMIT, "the trees are equal", || {
        equal(&pair.a.share, &pair.b.share).unwrap_or(false)
    })?)
}

/// What is changed is all in the next pass.
fn all_at_once(standby: &Daemon, change: impl FnOnce() -> Tested) -> Tested {
    hold(standby)?;
    change()?;
    sync(standby, &["hold", "--release"], 0)?;
    Ok(())
}

fn before_the_memory(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.a.write("page", "1")?;
    let (flag, there) = (rack.path("stops"), rack.path("there"));
    // What is fetched when the copy is on the disk, before it is remembered. That of a pass that was stopped may still
    // run when the next one begins.
    let script = format!(
        "case \"$*\" in *www.after*) if [ \"$(cat {page})\" = 2 ] && rm {flag} 2>/dev/null; \
         then : >{there}; sleep 1000; fi;; esac",
        page = pair.b.share.join("page").display(),
        flag = flag.display(),
        there = there.display()
    );
    let (first, second) = (pair.a.start()?, pair.b.start_with_rsync(&script)?);
    first.wait_for_state("active")?;
    pair.b.wait_for("page", Some("1"))?;
    wait_in_sync(&second)?;
    all_at_once(&second, || {
        pair.a.write("page", "2")?;
        Ok(fs::write(&flag, "")?)
    })?;
    let memory = || {
        let text = fs::read_to_string(rack.path("secondary.state/sync/www.share"))?;
        // The first line has the checksum of the rest.
        let json = text.split_once('\n').map(|(_, json)| json).unwrap_or_default();
        let memory: serde_json::Value = serde_json::from_str(json)?;
        Ok::<_, Failed>(memory["as_of"].clone())
    };
    let before = memory()?;
    wait_until(LIMIT, "the pass is at that point", || there.exists())?;
    second.kill_with_guard(&rack.secondary)?;
    ensure(pair.b.read("page").as_deref() == Some("2"), "the copy is in its place")?;
    ensure(!before.is_null() && memory()? == before, "nobody remembers that it is complete")?;
    let second = pair.b.start()?;
    wait_until(LIMIT, "it is remembered", || memory().is_ok_and(|now| now != before))?;
    are_equal(&pair, &second)
}

fn renames(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    write_all(&pair.a, "old")?;
    let point = Point::after(rack, "--delete-delay", RENAMES, THIRD_PLACE);
    let (first, second) = (pair.a.start()?, pair.b.start_with_rsync(&point.script)?);
    first.wait_for_state("active")?;
    pair.b.wait_for("f6", Some("old"))?;
    wait_in_sync(&second)?;
    all_at_once(&second, || {
        write_all(&pair.a, "new")?;
        point.arm()
    })?;
    point.wait()?;
    kill(rack, &pair, &second)?;
    let (new, old) = (having(&pair, "new"), having(&pair, "old"));
    ensure(new.len() == 3 && old.len() == 3, format!("three of each: {new:?}, {old:?}"))?;
    let second = pair.b.start()?;
    wait_until(LIMIT, "all are new", || having(&pair, "new").len() == FILES.len())?;
    are_equal(&pair, &second)?;
    ensure(!pair.b.share.join(".sync-partial").exists(), "what was left of it is removed")
}

/// A standby whose own files are to be kept, stopped there.
fn keeping(rack: &Rack, point: &Point) -> Tested {
    let pair = Pair::new(rack, "")?;
    write_all(&pair.a, "theirs")?;
    write_all(&pair.b, "mine")?;
    let (first, second) = (pair.a.start()?, pair.b.start_with_rsync(&point.script)?);
    first.wait_for_state("active")?;
    wait_until(LIMIT, "it is held", || share(&second)["held"]["reason"] == "not-adopted")?;
    point.arm()?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    point.wait()?;
    kill(rack, &pair, &second)?;
    let (theirs, mine) = (having(&pair, "theirs"), having(&pair, "mine"));
    ensure(theirs.len() + mine.len() == FILES.len(), "each file is whole, and one or the other")?;
    ensure(!mine.is_empty(), "it was in the middle")?;
    for file in &theirs {
        ensure(pair.b.rescued(file) == ["mine"], format!("{file} was replaced, and is kept"))?;
    }
    let second = pair.b.start()?;
    are_equal(&pair, &second)?;
    for file in FILES {
        // What was kept and then not replaced is kept twice.
        let kept = pair.b.rescued(file);
        ensure(kept.iter().all(|value| value == "mine") && !kept.is_empty(), format!("{kept:?}"))?;
    }
    let list = rescue_list(&second)?;
    let counts = list["sets"].as_array().into_iter().flatten().map(|set| set["orphans"].as_u64());
    let counts: Option<Vec<u64>> = counts.collect();
    ensure(
        counts.as_ref().is_some_and(|it| it.len() == 2 && it.iter().sum::<u64>() >= 6),
        format!("both sets have a report: {list}"),
    )
}

fn keeps(rack: &Rack) -> Tested {
    keeping(rack, &Point::after(rack, "--backup-dir", RENAMES, THIRD_PLACE))
}

fn keeps_one(rack: &Rack) -> Tested {
    keeping(rack, &Point::after(rack, "--backup-dir", "/^link", 2))
}

/// Where a pass stands still before it calls rsync in this way.
struct Call {
    what: &'static str,
    /// As a pattern of a shell, for all words of the call.
    words: &'static str,
    /// Whether the files that are new are in their places, and those that are gone are away.
    found: (bool, bool),
}

/// A pass that deletes does so when it has asked once more whether the marker is there.
const DELETING: [Call; 4] = [
    Call {
        what: "it copies",
        words: "*--delete-delay*--max-delete=0?--no-h*",
        found: (false, false),
    },
    Call { what: "it looks for the marker", words: "*/www.marker", found: (true, false) },
    Call { what: "it deletes", words: "*--delete-delay*--max-delete=[1-9]*", found: (true, false) },
    Call { what: "it reads the record again", words: "*/www.after", found: (true, true) },
];

/// One that keeps what it replaces counts first.
const KEEPING: [Call; 4] = [
    Call { what: "it looks for the marker", words: "*/www.marker", found: (false, false) },
    Call { what: "it counts", words: "*--dry-run*", found: (false, false) },
    Call { what: "it copies and keeps", words: "*--backup-dir=*", found: (false, false) },
    Call { what: "it reads the record again", words: "*/www.after", found: (true, true) },
];

impl Call {
    /// A script that stands still there once. What a pass calls that was stopped before may still run, and has found
    /// another page.
    fn script(&self, rack: &Rack, node: &Node<'_>, page: &str) -> Result<String, Failed> {
        let (flag, there) = (rack.path("stops"), rack.path("there"));
        fs::write(&flag, "")?;
        Ok(format!(
            "case \"$*\" in {words}) if [ \"$(cat {page_file})\" = {page} ] && rm {flag} 2>/dev/null; \
             then : >{there}; sleep 1000; fi;; esac",
            words = self.words,
            page_file = node.share.join("page").display(),
            flag = flag.display(),
            there = there.display()
        ))
    }

    /// Waits until it is there, and kills the daemon.
    fn kill(&self, rack: &Rack, pair: &Pair<'_>, daemon: &Daemon) -> Tested {
        let there = rack.path("there");
        wait_until(LIMIT, &format!("a pass is where {}", self.what), || there.exists())
            .map_err(|error| Failed::from(format!("{error}: {}", share(daemon))))?;
        kill(rack, pair, daemon)?;
        Ok(fs::remove_file(there)?)
    }
}

fn calls(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.a.write("page", "0")?;
    pair.a.write("new0", "0")?;
    let (first, mut second) = (pair.a.start()?, pair.b.start_with_rsync(":")?);
    first.wait_for_state("active")?;
    pair.b.wait_for("page", Some("0"))?;
    wait_in_sync(&second)?;
    for (number, call) in DELETING.iter().enumerate() {
        let (old, new) = (number.to_string(), (number + 1).to_string());
        all_at_once(&second, || {
            let page = if call.found.0 { &new } else { &old };
            pair.b.replace_rsync(Some(&call.script(rack, &pair.b, page)?))?;
            pair.a.write("page", &new)?;
            pair.a.write(&format!("new{new}"), &new)?;
            Ok(fs::remove_file(pair.a.share.join(format!("new{old}")))?)
        })?;
        let source = pair.a.tree()?;
        call.kill(rack, &pair, &second)?;
        let copy = pair.b.tree()?;
        let found =
            (copy.get("page") == source.get("page"), !copy.contains_key(&format!("new{old}")));
        ensure(found == call.found, format!("where {}: {copy:?}", call.what))?;
        ensure(copy.contains_key(&format!("new{new}")) == call.found.0, format!("{copy:?}"))?;
        ensure(pair.a.tree()? == source, "the source is as it was")?;
        second = pair.b.start_with_rsync(":")?;
        pair.b.wait_for("page", Some(&new))?;
        pair.b.wait_for(&format!("new{old}"), None)?;
        are_equal(&pair, &second)?;
    }
    Ok(())
}

fn keeping_calls(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    pair.a.write("page", "theirs")?;
    pair.b.write("page", "mine")?;
    pair.b.write("own", "1")?;
    let (first, mut second) = (pair.a.start()?, pair.b.start_with_rsync(":")?);
    first.wait_for_state("active")?;
    wait_until(LIMIT, "it is held", || share(&second)["held"]["reason"] == "not-adopted")?;
    pair.a.wait_for_marker()?;
    for (number, call) in KEEPING.iter().enumerate() {
        let page = if call.found.0 { "theirs" } else { "mine" };
        let script = call.script(rack, &pair.b, page)?;
        if number == 0 {
            pair.b.replace_rsync(Some(&script))?;
            sync(&second, &["resolve", "--keep", "peer"], 0)?;
        } else {
            // The operator's word is good for one complete pass, and there was none.
            second = pair.b.start_with_rsync(&script)?;
        }
        call.kill(rack, &pair, &second)?;
        let (copy, source) = (pair.b.tree()?, pair.a.tree()?);
        if call.found.0 {
            ensure(copy == source, format!("where {}: {copy:?}", call.what))?;
            let kept = [pair.b.rescued("page"), pair.b.rescued("own")];
            ensure(kept == [["mine"], ["1"]], format!("what was here is kept: {kept:?}"))?;
        } else {
            let names: Vec<&str> = copy.keys().map(String::as_str).collect();
            ensure(names == ["own", "page"], format!("where {}: {names:?}", call.what))?;
            ensure(pair.b.read("page").as_deref() == Some("mine"), "nothing was replaced")?;
        }
    }
    let second = pair.b.start_with_rsync(":")?;
    are_equal(&pair, &second)?;
    let kept = [pair.b.rescued("page"), pair.b.rescued("own")];
    ensure(kept == [["mine"], ["1"]], format!("what was here is kept, once: {kept:?}"))?;
    let unended = |list: &serde_json::Value| {
        let sets = list["sets"].as_array().cloned().unwrap_or_default();
        sets.is_empty() || sets.iter().any(|set| set["ended"] != true)
    };
    let list = rescue_list(&second)?;
    ensure(!unended(&list), format!("all sets have a report: {list}"))
}

fn received(rack: &Rack) -> Tested {
    const SLOW: &str = "bandwidth = 200";
    let pair = Pair::with(rack, "", SLOW)?;
    pair.a.write("page", "1")?;
    let (_first, second) = pair.start()?;
    pair.b.wait_for("page", Some("1"))?;
    let before = pair.b.tree()?;
    all_at_once(&second, || {
        pair.a.write("page", "2")?;
        pair.a.put("large", &vec![7; 20 << 20])
    })?;
    // It takes longer than any condition.
    wait_until(LIMIT, "a part of it is here", || {
        share(&second)["progress"]["bytes"].as_u64().is_some_and(|bytes| bytes > 0)
    })?;
    kill(rack, &pair, &second)?;
    ensure(pair.b.tree()? == before, "nothing of it is visible")?;
    let text = fs::read_to_string(&pair.b.config)?;
    fs::write(&pair.b.config, text.replacen(SLOW, "", 1))?;
    let second = pair.b.start()?;
    pair.b.wait_for("page", Some("2"))?;
    are_equal(&pair, &second)?;
    ensure(!pair.b.share.join(".sync-partial").exists(), "what was left of it is removed")
}

fn deletes(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "")?;
    write_all(&pair.a, "old")?;
    pair.a.write("page", "1")?;
    let point = Point::after(rack, "--max-delete=[1-9]", "/unlink", 3);
    let (first, second) = (pair.a.start()?, pair.b.start_with_rsync(&point.script)?);
    first.wait_for_state("active")?;
    pair.b.wait_for("f6", Some("old"))?;
    wait_in_sync(&second)?;
    all_at_once(&second, || {
        for file in FILES {
            fs::remove_file(pair.a.share.join(file))?;
        }
        pair.a.write("page", "2")?;
        point.arm()
    })?;
    point.wait()?;
    kill(rack, &pair, &second)?;
    let left = having(&pair, "old");
    ensure(
        !left.is_empty() && left.len() < FILES.len(),
        format!("it was in the middle: {left:?}"),
    )?;
    ensure(pair.b.read("page").as_deref() == Some("2"), "what is new came first")?;
    let second = pair.b.start()?;
    pair.b.wait_for("f1", None)?;
    are_equal(&pair, &second)?;
    ensure(having(&pair, "old").is_empty(), "the others are deleted too")
}
