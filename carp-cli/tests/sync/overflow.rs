//! More changes than the kernel remembers for whoever watches a tree: what it has lost is looked for.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use carp_node::lab::wait_until;
use libtest_mimic::Failed;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::io::Errno;

use crate::scene::{Pair, equal, events, explain, share, sync};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, ensure, run_on_machine};

pub(crate) const TESTS: &[Test] = &[(
    "what_the_kernel_has_lost_of_too_many_changes_is_copied_and_watched_all_the_same",
    more_than_the_queue_holds,
)];

/// A longer queue than this is not filled: it takes a few renames a microsecond, and twice as many events.
const LONGEST: usize = 100_000;

/// So many more than fit: a daemon that is told to stand still may take some before it does.
const MORE: usize = 8_192;

fn more_than_the_queue_holds(rack: &Rack) -> Tested {
    let queue = fs::read_to_string("/proc/sys/fs/inotify/max_queued_events")?.trim().parse()?;
    if queue > LONGEST {
        eprintln!("an overflow is left out: the queue of this machine has {queue} places");
        return Ok(());
    }
    // Nothing but what is noticed brings a pass.
    let pair = Pair::new(rack, "every = \"1h\"")?;
    for node in [&pair.a, &pair.b] {
        // Its daemon stands still meanwhile, and neither is taken over from nor gives up: three adverts are 24 s.
        let text = fs::read_to_string(&node.config)?;
        fs::write(&node.config, text.replacen("advskew =", "advbase = 8\nadvskew =", 1))?;
    }
    pair.a.write("there", "0")?;
    let (first, second) = pair.start()?;
    pair.b.wait_for("there", Some("0"))?;
    wait_until(LIMIT, "the tree is watched", || share(&first)["watched"]["directories"] == 1)?;
    let changed = first.status().unwrap_or_default()["transitions"].clone();
    let (daemon, guard) = first.pids()?;
    run_on_machine(&rack.primary, &format!("kill -STOP {daemon} {guard}"))?;
    wait_until(LIMIT, "it stands still", || stands_still(&first))?;
    let lost = change_too_much(&pair.a.share, queue);
    run_on_machine(&rack.primary, &format!("kill -CONT {guard} {daemon}"))?;
    ensure(lost?, "nobody who has watched was told of the folder, and that something was lost")?;
    let explained = |error: Failed| explain(&error, [&first, &second]);
    // Of its coming nothing is told: it was found.
    wait_until(LIMIT, "the folder that came is watched", || {
        share(&first)["watched"]["directories"] == 2
    })
    .map_err(|error| explained(error.into()))?;
    pair.b.wait_for("new/late", Some("1")).map_err(explained)?;
    wait_until(LIMIT, "the trees are equal", || {
        equal(&pair.a.share, &pair.b.share).unwrap_or(false)
    })?;
    wait_until(LIMIT, "the pass that did it is told", || {
        let last = &share(&second)["last_pass"];
        // The root, its marker, what was there, what was renamed, and what came: all of the tree was looked at.
        last["outcome"] == "complete" && last["files"] == 6
    })
    .map_err(|error| explained(error.into()))?;
    sync(&second, &["status"], 0)?;
    // And from now on it is as if it had been noticed.
    pair.a.write("new/later", "2")?;
    pair.b.wait_for("new/later", Some("2")).map_err(explained)?;
    ensure(share(&first)["watched"]["whole"] == true, share(&first).to_string())?;
    let now = first.status().unwrap_or_default()["transitions"].clone();
    ensure(!now.is_null() && now == changed, format!("it served all the time: {}", events(&first)))
}

/// Whether no thread of a daemon runs.
fn stands_still(daemon: &Daemon) -> bool {
    let threads = fs::read_dir(format!("/proc/{}/task", daemon.process.id()));
    let stopped = |thread: fs::DirEntry| {
        fs::read_to_string(thread.path().join("status")).is_ok_and(|it| it.contains("State:\tT"))
    };
    threads.is_ok_and(|threads| threads.flatten().all(stopped))
}

/// Renames a file until no event fits any more, and then makes a folder with a file. Whether somebody who has watched all
/// of that without reading is told of an overflow, and not of the folder.
fn change_too_much(root: &Path, queue: usize) -> Result<bool, Failed> {
    let beside = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&beside, root, WatchFlags::CREATE | WatchFlags::MOVE)?;
    let [one, other] = ["one", "other"].map(|name| root.join(name));
    fs::write(&one, "1")?;
    // Two events each, and no two that follow are alike.
    for _ in 0..(queue + MORE).div_ceil(4) {
        fs::rename(&one, &other)?;
        fs::rename(&other, &one)?;
    }
    fs::create_dir(root.join("new"))?;
    fs::write(root.join("new/late"), "1")?;
    is_lost(&beside, c"new")
}

/// Whether events were lost, and that of this name is among them.
fn is_lost(watch: &OwnedFd, name: &std::ffi::CStr) -> Result<bool, Failed> {
    let mut buffer = [std::mem::MaybeUninit::uninit(); 16 * 1024];
    let mut reader = inotify::Reader::new(watch, &mut buffer);
    let (mut overflow, mut told) = (false, false);
    loop {
        match reader.next() {
            Ok(event) => {
                overflow |= event.events().contains(ReadFlags::QUEUE_OVERFLOW);
                told |= event.file_name() == Some(name);
            }
            Err(Errno::WOULDBLOCK) => return Ok(overflow && !told),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
