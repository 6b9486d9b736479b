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
