//! F14: many files. `SYNC_FILES` says how many, and `SYNC_DIRECTORY` where on a disk, instead of in memory; `make
//! sync-scale` runs it with 100000, or with a million by `FILES=1000000`.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use carp_node::lab::wait_until;
use libtest_mimic::Failed;

use crate::scene::{Pair, rescue_list, share, shell, sync, wait_held};
use crate::support::{Daemon, LIMIT, Rack, Test, Tested, ensure};

pub(crate) const TESTS: &[Test] = &[
    ("f14_a_large_share_takes_the_daemon_no_memory_and_an_idle_pass_no_time", large_share),
    ("f14_slow_passes_rest_three_times_as_long_as_they_took", slow_passes),
];

/// How many files there are in a quick run.
const FEW: u32 = 2_000;

/// What a daemon may have, whatever the tree: 10 MB, an optimised one altogether, at any time.
const MEMORY_KIB: u64 = 10_000_000 >> 10;

/// What a process of rsync may have.
const RSYNC_KIB: u64 = 100 << 10;

/// What the first copy and an idle pass may take: so much, or so much a file.
const COPYING: (Duration, Duration) = (Duration::from_secs(300), Duration::from_millis(2));
const IDLE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_micros(100));

fn most((least, each): (Duration, Duration), files: u32) -> Duration {
    least.max(each * files)
}

fn large_share(rack: &Rack) -> Tested {
    let files = std::env::var("SYNC_FILES").ok().and_then(|text| text.parse().ok()).unwrap_or(FEW);
    let pair = Pair::new(rack, "")?;
    let disk = std::env::var_os("SYNC_DIRECTORY").map(|it| Disk::new(Path::new(&it)));
    if let Some(disk) = &disk {
        for node in [&pair.a, &pair.b] {
            disk.carry(&node.share)?;
        }
    }
    for file in 0..files {
        let directory = pair.a.share.join(format!("d{}", file / 100));
        if file % 100 == 0 {
            fs::create_dir(&directory)?;
        }
        fs::write(directory.join(format!("f{file}")), "content")?;
    }
    // As many that are replaced, and kept.
    for file in 0..files {
        let directory = pair.b.share.join(format!("o{}", file / 100));
        if file % 100 == 0 {
            fs::create_dir(&directory)?;
        }
        fs::write(directory.join(format!("f{file}")), "older content")?;
    }
    let peak = Peak::watch(rack.path(""));
    let (first, second) = (pair.a.start()?, pair.b.start()?);
    first.wait_for_state("active")?;
    wait_held(&second, "not-adopted")?;
    sync(&second, &["resolve", "--keep", "peer"], 0)?;
    sync(&second, &["approve"], 0).or_else(|_| {
        wait_held(&second, "mass-delete")?;
        sync(&second, &["approve"], 0)
    })?;
    let patience = most(COPYING, files);
    wait_until(patience, "everything is there", || {
        pair.b.share.join(format!("d{}/f{}", (files - 1) / 100, files - 1)).exists()
    })?;
    wait_until(patience, "the share is in sync", || share(&second)["in_sync"] == true)?;
    sync(&second, &["now"], 0)?;
    let idle = |second: &Daemon| {
        let last = &share(second)["last_pass"];
        (last["outcome"] == "complete" && last["changed"] == 0)
            .then(|| last["took_ms"].as_f64().unwrap_or(f64::INFINITY))
    };
    wait_until(patience, "a pass finds nothing to do", || idle(&second).is_some())?;
    let list = rescue_list(&second)?;
    ensure(list["sets"][0]["orphans"] == files, format!("all of the others are kept: {list}"))?;
    let took = idle(&second).ok_or("it had something to do again")?;
    let set = list["sets"][0]["set"].as_str().ok_or("a set has a name")?;
    let shown = sync(&second, &["rescue", "show", set], 0)?;
    let named = shown.lines().filter(|line| line.starts_with("orphan")).count();
    let more = usize::try_from(files)?.saturating_sub(named);
    let says = more == 0 || shown.contains(&format!("and {more} more, in "));
    ensure(says && named > 0, format!("{named} of {files} are named"))?;
    let text = sync(&second, &["rescue", "ack", set], 0)?;
    ensure(text == format!("{files} orphans acknowledged: the set may be pruned\n"), text)?;
    let peaks = [resident(&first, "VmHWM:")?, resident(&second, "VmHWM:")?];
    // Without the pages of the program itself, of which an unoptimised one has several times as many.
    let own = [resident(&first, "RssAnon:")?, resident(&second, "RssAnon:")?];
    let rsync = peak.join().map_err(|_| "nobody has looked at rsync")?;
    println!("{files} files: a process of rsync has at most {rsync} KiB");
    ensure(rsync > 0, "no rsync was seen")?;
    ensure(rsync < RSYNC_KIB, format!("a process of rsync has {rsync} KiB"))?;
    println!(
        "{files} files: an idle pass takes {took} ms; memory {peaks:?} KiB at the most, now \
         {own:?} KiB of its own"
    );
    ensure(took < most(IDLE, files).as_secs_f64() * 1e3, format!("an idle pass takes {took} ms"))?;
    let counted = if cfg!(debug_assertions) { own } else { peaks };
    ensure(counted.iter().all(|kib| *kib < MEMORY_KIB), format!("the daemons have {counted:?} KiB"))
}

fn slow_passes(rack: &Rack) -> Tested {
    let pair = Pair::new(rack, "cold_start_wait = \"0s\"")?;
    let first = pair.a.start()?;
    first.wait_for_state("active")?;
    let slow = "case \"$*\" in *--delete-delay*) sleep 1.5;; esac";
    let second = pair.b.start_with_rsync(slow)?;
    let mut rests = Vec::new();
    // The first one after a start is followed at once by another one.
    let first_of_all = next_pass(&second, None)?;
    let mut before = next_pass(&second, Some(&first_of_all))?;
    // Of the first ones, the last but one may have been for the deletions or the marker alone.
    for _ in 0..3 {
        let pass = next_pass(&second, Some(&before))?;
        let rest = pass.began - before.ended;
        rests.push((before.took, rest));
        before = pass;
    }
    println!("f14: passes took, and rested: {rests:?} s");
    // A second would be enough by `every`.
    let good = |(took, rest): &(f64, f64)| *took >= 1.5 && *rest >= 3.0 * took - 0.1;
    ensure(rests.iter().all(good), format!("passes took, and rested: {rests:?} s"))
}

/// A pass in seconds since 1970.
struct Timed {
    began: f64,
    ended: f64,
    took: f64,
    stamp: serde_json::Value,
}

/// Waits for the end of a pass after the one that is known.
fn next_pass(daemon: &Daemon, before: Option<&Timed>) -> Result<Timed, Failed> {
    let mut last = serde_json::Value::Null;
    wait_until(LIMIT, "a pass has ended", || {
        last = share(daemon)["last_pass"].clone();
        last["outcome"] == "complete" && before.is_none_or(|it| it.stamp != last["ended"])
    })?;
    let stamp = last["ended"].clone();
    let time: carp_node::control::units::WallTime = serde_json::from_value(stamp.clone())?;
    let ended = SystemTime::from(time.0).duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64();
    let took = last["took_ms"].as_f64().ok_or("no duration")? / 1e3;
    Ok(Timed { began: ended - took, ended, took, stamp })
}

/// What the largest process of rsync of a test has in memory, looked at again and again.
struct Peak {
    ends: std::sync::Arc<std::sync::atomic::AtomicBool>,
    looks: std::thread::JoinHandle<u64>,
}

impl Peak {
    /// `ours` is in the command line of each.
    fn watch(ours: std::path::PathBuf) -> Self {
        use std::sync::atomic::{AtomicBool, Ordering};
        let ends = std::sync::Arc::new(AtomicBool::new(false));
        let end = ends.clone();
        let looks = std::thread::spawn(move || {
            let mut peak = 0;
            while !end.load(Ordering::Relaxed) {
                peak = peak.max(largest(&ours.display().to_string()));
                std::thread::sleep(Duration::from_millis(20));
            }
            peak
        });
        Self { ends, looks }
    }

    /// In KiB.
    fn join(self) -> std::thread::Result<u64> {
        self.ends.store(true, std::sync::atomic::Ordering::Relaxed);
        self.looks.join()
    }
}

fn largest(ours: &str) -> u64 {
    let memory = |entry: fs::DirEntry| {
        let read = |file: &str| fs::read(entry.path().join(file)).ok();
        let command = String::from_utf8_lossy(&read("cmdline")?).into_owned();
        let is_ours = read("comm")?.starts_with(b"rsync") && command.contains(ours);
        let status = String::from_utf8_lossy(&is_ours.then(|| read("status"))??).into_owned();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().strip_suffix(" kB")?.trim().parse().ok()
    };
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(memory).max().unwrap_or(0)
}

/// A directory on a disk, which is removed at the end.
struct Disk(std::path::PathBuf);

impl Disk {
    fn new(directory: &Path) -> Self {
        Self(directory.join("carp-sync-scale"))
    }

    /// Puts a share, and what lies beside it, there.
    fn carry(&self, share: &Path) -> Tested {
        let parent = share.parent().ok_or("no parent")?;
        let name = parent.file_name().ok_or("no name")?;
        let place = self.0.join(name);
        fs::create_dir_all(&place)?;
        shell(&format!("mount --bind '{}' '{}'", place.display(), parent.display()))?;
        Ok(fs::create_dir(share)?)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What stays is in the way of nothing but the next run, which says so.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The resident memory of a daemon, in KiB, as the kernel calls it.
fn resident(daemon: &Daemon, what: &str) -> Result<u64, Failed> {
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.process.id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let figure = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(figure.ok_or("no figure")?.trim().parse()?)
}
